"""The subject of a verb: a trained run, or a new model by its name."""

import argparse
import sys
from pathlib import Path
from typing import Any

from minivae import backend, checkpoint, configuration, models
from minivae.cli import parsing
from minivae.cli.data import moved
from minivae.data import data_set
from minivae.errors import OptionError
from minivae.models import own_model
from minivae.nn import Divergence

NAMES = f"{', '.join(models.BY_NAME)}, or FILE.py:FUNCTION of your own"
MEMORY = 2**30  # bytes for the arrays of a verb that reads a run, and so much more
OF_THE_FILE, OF_AN_IMAGE = 2**8, 2**24  # for each byte of its file, and each image that an option asks for
MOST = 60000  # images to learn from, for a verb that does not train


def add_run(verb: argparse.ArgumentParser, new: bool = False) -> None:
    """Take the folder of a run, or with `new` also the name of a model."""
    if new:
        verb.add_argument("--hidden", type=parsing.whole, metavar="N", default=None,
                          help="units of each hidden layer, of a new model")
    what = f"folder of a run, or one of {NAMES}" if new else "folder of a run, such as runs/denoising"
    verb.add_argument("folder", type=parsing.path, metavar="RUN|MODEL" if new else "RUN", help=what)
    add_trust(verb)
    parsing.add_quiet(verb, "show no progress")


def add_trust(verb: argparse.ArgumentParser) -> None:
    """Take leave to execute the file of a run's model."""
    verb.add_argument("--model", metavar="FILE.py:FUNCTION", default=None, dest="own",
                      help="of a run of your own model: its file and function, which is executed")
    verb.add_argument("--trust", action="store_true",
                      help="execute the file that the run names; only for runs of your own")


def allowance(args: argparse.Namespace) -> int | None:
    """Bytes that the arrays of a verb may take; None: no limit, as it reads no file that may come from elsewhere."""
    folder = getattr(args, "folder", None)
    path = folder and (folder / checkpoint.NAME if folder.is_dir() else folder)
    if path is None or not path.is_file():
        return None
    images = getattr(args, "batch_size", None) or getattr(args, "images", None) or 0
    return getattr(args, "memory", MEMORY) + OF_THE_FILE * path.stat().st_size + OF_AN_IMAGE * images


def record(config: dict[str, Any], args: argparse.Namespace, where: Any) -> models.Record:
    """The record of a run's model.  A file that only the run names is not executed unless the user trusts it."""
    name = config["model"]
    if not own_model.is_own(name):
        if args.own is not None:
            raise OptionError(f"{where} is a run of {name:.100}, which is no model of your own; leave out --model")
        return models.find(name)
    if args.own is None and not args.trust:
        raise OptionError(f"{where} is a run of {name:.300}: a file that a run names is not executed unasked.  If it "
                          "is your own, name it again with --model FILE.py:FUNCTION, or pass --trust")
    found = own_model.find(args.own or name)
    if found.digest != config.get("digest"):
        print(f"minivae: {found.file} is not as it was when {where} began", file=sys.stderr)
    return found


def opened(folder: Path, args: argparse.Namespace) -> tuple[models.VAE, dict[str, Any], models.Record]:
    """(model, configuration and the steps taken, its model's record) of a trained run."""
    header, arrays = checkpoint.read(folder)
    found = record(header["config"], args, folder)
    model, config = checkpoint.rebuilt(header, arrays, found), header["config"]
    looked = config.get("tests")  # of the best model, beginning with its step
    steps = looked[0] if isinstance(looked, list) and looked else None
    return model, config | {"steps": header.get("steps", steps)}, found


def expect_unchanged(args: argparse.Namespace, model: models.VAE) -> None:
    """Raise if a file is to stand beside the checkpoint of a run that has gone on since its model was read."""
    if args.out is None and not checkpoint.holds(args.folder, model):
        raise OptionError(f"{args.folder} was trained further meanwhile, and what was found is of its earlier model: "
                          "it is not written; give the command again, or keep it elsewhere with --out")


def subject(args: argparse.Namespace, seed: int = 0, images: int = MOST
            ) -> tuple[models.VAE, data_set.DataSet, dict[str, Any]]:
    """(model, data set, training options) of a run's folder, or of a new model of that name with its default data.

    Of a run's data there are so many images to learn from at most.
    """
    name = str(args.folder)
    if (name in models.BY_NAME or own_model.is_own(name)) and not args.folder.exists():
        return _new(own_model.find(name) if own_model.is_own(name) else models.find(name), seed, args)
    if args.hidden is not None:
        raise OptionError(f"--hidden is for a new model; {name!r} is none of {NAMES}")
    try:
        model, config, found = opened(args.folder, args)
    except OptionError as error:
        if args.folder.exists():
            raise
        raise OptionError(f"{name!r} is no run and none of {NAMES}: {error}") from error
    _, source = _source(args.folder, config, args.root)
    if type(source.get("images")) is int:
        source["images"] = min(source["images"], images)
    schedule = found.schedule | config.get("training", {})
    configuration.expect(config | {"training": schedule}, ("training",), args.folder)
    set_free_bits(model, schedule)
    return model, found.fitted(data_set.build(**source)), schedule


def set_free_bits(model: models.VAE, schedule: dict[str, Any]) -> None:
    """Give the KL layers of a model the free bits of a training."""
    for layer in model.find_modules(Divergence) if schedule.get("free_bits") else ():
        layer.free_bits = schedule["free_bits"]


def _new(found: models.Record, seed: int, args: argparse.Namespace
         ) -> tuple[models.VAE, data_set.DataSet, dict[str, Any]]:
    """A model with its own options, but for its hidden layers, and first weights, and its data."""
    changed = {} if args.hidden is None else {"hidden": args.hidden}
    if changed and "hidden" not in found.parameters:
        raise OptionError(f"--hidden: model {found.name!r} has no such parameter")
    data = found.fitted(data_set.build(**moved({"name": found.data}, args.root)))
    backend.manual_seed(seed)
    return found.build(**found.defaults(data) | changed), data, found.schedule


def tested(args: argparse.Namespace, root: Path | None = None, images: int = 1
           ) -> tuple[models.VAE, dict[str, Any], data_set.DataSet]:
    """(model, configuration, data set) of a trained run, with so many images to learn from at most.

    `root` says where the images are, if they have moved.
    """
    model, config, found = opened(args.folder, args)
    source, given = _source(args.folder, config, root)
    kept = given.get("images")
    if type(kept) is int or images == 1:
        given = given | {"images": min(kept, images) if type(kept) is int else images}
    return model, config | {"data": source}, found.fitted(data_set.build(**given))


def _source(folder: Path, config: dict[str, Any], root: Path | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """(data of a run, options that build it)."""
    configuration.expect(config, ("data",), folder)
    source = moved(config["data"], root)
    return source, undownloaded(source, root)


def undownloaded(source: dict[str, Any], root: Path | None) -> dict[str, Any]:
    """The options of a data set, which downloads nothing to a folder that only a run names."""
    return source | ({"download": False} if root is None and "root" in source else {})
