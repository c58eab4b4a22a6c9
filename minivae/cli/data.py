"""The options that say what images a model learns from."""

import argparse
from pathlib import Path
from typing import Annotated, Any, Literal

from minivae.cli import parsing
from minivae.data import data_set
from minivae.errors import OptionError
from minivae.kinds import Range, Whole

OWN = "size", "grey", "strict", "test_share"  # options of images of one's own
Size = Whole | tuple[Whole, Whole]
Binarize = Literal["threshold", "fixed", "each_epoch"]
Share = Annotated[float, Range("a share, above 0 and below 1", above=0, below=1)]
MOVED = "where the images are, if they have moved since the training began"


def add_root(verb: argparse.ArgumentParser) -> None:
    """The option of a verb on a run whose images have moved."""
    verb.add_argument("--root", type=parsing.path, metavar="FOLDER", default=None, help=MOVED)


def add_to(group: Any, default: str) -> None:
    """The options of a new run's data, which is `default` unless another is named."""
    names = ", ".join(data_set.NAMED)
    group.add_argument("--data", type=name_or_path, metavar="NAME|PATH", default=default, help=f"{names}, or images of "
                       "your own: a folder of files, whose folders inside are labels; a .npy or .npz array; a folder "
                       "in MNIST's format, such as Fashion-MNIST's, or one of its files")
    group.add_argument("--images", type=parsing.typed(Whole | None), metavar="N", default=None, help="train on so many "
                       "images; by default 50000 rectangles, all of any other data")
    group.add_argument("--binarize", type=parsing.typed(Binarize | None), metavar="HOW",
                       default=None, help="make bits of grey pixels, of which a Bernoulli is no likelihood: threshold, "
                       "white above ½; fixed, drawn once with the grey as probability; each_epoch, drawn anew; "
                       "none, the default, leaves them grey")
    group.add_argument("--root", type=parsing.path, metavar="FOLDER", default=None, help="where MNIST's files are; by "
                       "default $MINIVAE_DATA, or a cache that is downloaded to")
    group.add_argument("--size", type=parsing.typed(Size), metavar="N|H,W", default=None, help="of image files: "
                       "make each so large, 28 or 24,32 pixels, and cut it at its centre")
    group.add_argument("--grey", action="store_true", default=None, help="of image files: make one plane of colour")
    group.add_argument("--strict", action="store_true", default=None, help="of image files: refuse the first that "
                       "cannot be used; by default each is skipped and named")
    group.add_argument("--test-share", type=parsing.typed(Share), metavar="SHARE", default=None, help="of your "
                       "own images, held out for tests by a fixed random choice, unless there are test images; by "
                       "default 0.1")


def name_or_path(text: str) -> str | Path:
    """The name of a data set, or an existing file or folder."""
    if text in data_set.NAMED:
        return text
    found = parsing.path(text)
    if not found.exists():
        raise argparse.ArgumentTypeError(f"{text!r:.200} is neither one of {', '.join(data_set.NAMED)} nor a file or "
                                         "folder that is there")
    return found


def chosen(args: argparse.Namespace) -> dict[str, Any]:
    """What builds the data set again: {"name": ..., and the options that were given}."""
    given = {name: getattr(args, name) for name in ("images", "binarize", *OWN)}
    given["root"] = args.root and str(args.root.resolve())
    found = {name: value for name, value in given.items() if value is not None}
    if isinstance(args.data, Path):
        wrong = [name for name in ("root",) if name in found]
        source = {"name": "own", "path": str(args.data.resolve())}
    else:
        wrong = [name for name in (*OWN, *["root"] * (args.data in data_set.RECTANGLES)) if name in found]
        source = {"name": args.data}
    if wrong:
        raise OptionError(f"--{wrong[0].replace('_', '-')} does not go with --data {args.data}; it is an option of "
                          f"{'MNIST' if wrong[0] == 'root' else 'images of your own, --data PATH'}")
    if args.binarize is not None and args.data in data_set.RECTANGLES:
        raise OptionError(f"--binarize {args.binarize} makes bits of grey pixels, and {args.data} are bits already; it "
                          "goes with --data mnist, as in --preset jang, or with grey images of your own; --binarize "
                          "none takes it back")
    return source | found


def moved(source: dict[str, Any], root: Path | None) -> dict[str, Any]:
    """The data of a run, which has moved to `root`; None: it has not."""
    if root is None:
        return source
    return source | {"path" if source.get("name") == "own" else "root": str(root.resolve())}
