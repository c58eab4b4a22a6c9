"""The subject of a verb: a trained run, or a new model by its name."""

from pathlib import Path

from minivae import backend, checkpoint, models
from minivae.data import data_set
from minivae.errors import OptionError

DATA = {"vae": "rectangles", "denoising": "rectangles", "bernoulli": "rectangles", "categorical": "rectangles",
        "aevb": "mnist", "conv": "rectangles"}  # of its article
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
    _, options = _source(what, config)
    return model, data_set.build(**options), models.SCHEDULES[config["model"]] | config.get("training", {})


def tested(folder, root=None):
    """(model, configuration, data set) of a trained run, whose test images are what it is wanted for.

    `root` says where MNIST's files are, if they have moved.
    """
    model, config = checkpoint.load_model(folder)
    source, options = _source(folder, config, root)
    return model, config | {"data": source}, data_set.build(**options | {"images": 1})


def _source(folder, config, root=None):
    """(data of a run, options that build it): a folder that only the run names is never written to."""
    if "name" not in config.get("data", {}):
        raise OptionError(f"{folder} does not say what data it learned from; `minivae train` writes runs that do")
    source = config["data"] | ({} if root is None else {"root": str(root)})
    given = root is not None or "root" not in source
    return source, source | ({} if given else {"download": False})
