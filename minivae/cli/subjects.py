"""The subject of a verb: a trained run, or a new model by its name."""

from pathlib import Path

from minivae import backend, checkpoint, models
from minivae.data import data_set
from minivae.errors import OptionError

DATA = {"vae": "rectangles", "denoising": "rectangles", "bernoulli": "rectangles", "categorical": "rectangles",
        "aevb": "mnist", "conv": "rectangles"}  # by default
NAMES = ", ".join(models.BY_NAME)
NUMBER = int, float
TRAINING = {"epochs": (int,), "batch_size": (int,), "learning_rate": NUMBER, "learning_rate_decay": NUMBER,
            "momentum": NUMBER, "anneal_rate": NUMBER, "anneal_floor": NUMBER, "anneal_every": (int,)}
ANNEALING = "anneal_rate", "anneal_floor", "anneal_every"
MEMORY = 2**30  # bytes for the arrays of a verb that reads a run, and so much more
OF_THE_FILE, OF_AN_IMAGE = 2**8, 2**24  # for each byte of its file, and each image that an option asks for
HUGE = 1e100  # that no number of a training reaches
MOST = 60000  # images to learn from, for a verb that does not train


def allowance(args):
    """Bytes that the arrays of a verb may take; None: no limit, as it reads no file that may come from elsewhere."""
    folder = getattr(args, "folder", None)
    path = folder and (folder / checkpoint.NAME if folder.is_dir() else folder)
    if path is None or not path.is_file():
        return None
    images = getattr(args, "batch_size", None) or getattr(args, "images", None) or 0
    return getattr(args, "memory", MEMORY) + OF_THE_FILE * path.stat().st_size + OF_AN_IMAGE * images


def subject(what, seed=0, images=MOST):
    """(model, data set, training options) of a run's folder, or of a new model of that name with its default data.

    Of a run's data there are so many images to learn from at most.
    """
    name = str(what)
    if name in models.BY_NAME and not Path(what).exists():
        backend.manual_seed(seed)
        return models.build(name), data_set.build(DATA[name]), models.SCHEDULES[name]
    try:
        model, config = checkpoint.load_model(what)
    except OptionError as error:
        raise OptionError(f"{name!r} is no run and none of {NAMES}: {error}") from error
    _, options = _source(what, config)
    if type(options.get("images")) is int:
        options["images"] = min(options["images"], images)
    schedule = models.SCHEDULES[config["model"]] | config.get("training", {})
    if lacks := unusable(schedule):
        raise OptionError(f"{what}: its configuration has no usable {', '.join(lacks)}; `minivae train` writes runs "
                          "that do")
    return model, data_set.build(**options), schedule


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


def unusable(training):
    """The names of what is missing in a configuration's training, or is of another kind."""
    absent = {"momentum"} - training.keys() | (set() if "anneal_rate" in training else set(ANNEALING))
    return [name for name, kinds in TRAINING.items() if name not in absent and not _usable(training.get(name), kinds)]


def _usable(value, kinds):
    return type(value) in kinds and abs(value) < HUGE and (value >= 1 if kinds == (int,) else value >= 0)
