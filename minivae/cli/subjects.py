"""What a verb is about: a trained run, or a new model by its name."""

from pathlib import Path

from minivae import backend, checkpoint, models
from minivae.data import data_set
from minivae.errors import OptionError

DATA = {"vae": "rectangles", "denoising": "rectangles", "bernoulli": "rectangles", "aevb": "mnist",  # of its article
        "conv": "rectangles"}
NAMES = ", ".join(models.BY_NAME)


def subject(what, seed=0):
    """(model, data set, training options) of a run's folder, or of a new model of that name with its article's data."""
    if what in models.BY_NAME and not Path(what).exists():
        backend.manual_seed(seed)
        return models.build(what), data_set.build(DATA[what]), models.SCHEDULES[what]
    try:
        model, config = checkpoint.load_model(what)
    except OptionError as error:
        raise OptionError(f"{what!r} is no run and none of {NAMES}: {error}") from error
    return model, data_set.build(**config["data"]), models.SCHEDULES[config["model"]] | config.get("training", {})
