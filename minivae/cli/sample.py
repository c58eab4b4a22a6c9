"""minivae sample: draw from a trained model."""

import argparse
from typing import Any

from minivae.cli import parsing, pictures
from minivae.cli.folders import make_folder
from minivae.cli.subjects import add_run, opened
from minivae.data import data_set
from minivae.errors import OptionError


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser(
        "sample", help="draw from a trained model", formatter_class=parsing.Help,
        description="Draw a trained model's picture again: interpolations.png, the 20×20 plane of latent codes, where "
        "the code has 2 numbers; samples.png, 400 draws from the prior, elsewhere.")
    add_run(verb)
    verb.add_argument("--threshold", action="store_true", help="black and white: probabilities above ½ are white")
    verb.add_argument("--span", type=parsing.span, metavar="SPAN", default=None,
                      help="the plane reaches from −SPAN to SPAN; by default 0.95, the article's, for rectangles, and "
                      "2.2, which holds 94%% of the prior, for other images")
    verb.add_argument("--article", action="store_true", help="lay the plane out as the article does: the first number "
                      "of the code downwards, the second to the right; by default to the right and upwards")
    verb.add_argument("--label", metavar="NAME", default=None, help="of a model that is given labels: draw images of "
                      "this one, by its name or its number; by default of each, a row each")
    verb.add_argument("--seed", type=parsing.seed, metavar="N", default=0, help="of the draws from the prior")
    verb.add_argument("--out", type=parsing.path, default=None, metavar="FOLDER",
                      help="where to write; by default the run")
    verb.set_defaults(run=run, less="a smaller model takes less")


def run(args: argparse.Namespace) -> int:
    model, config, _ = opened(args.folder, args)
    folder = args.out or (args.folder if args.folder.is_dir() else args.folder.parent)
    if not pictures.has_plane(model) and (args.span is not None or args.article):
        raise OptionError(f"--{'article' if args.span is None else 'span'} is of the plane of a code of two numbers; "
                          f"the code of {args.folder} is {model.code} wide and has none; leave it out")
    names = _names(model, config)
    label = None if args.label is None else _numbered(args.label, names, args.folder)
    make_folder(folder)
    print(pictures.latent_picture(model, folder, args.span, args.threshold, args.seed,
                                  squares=config.get("data", {}).get("name") in data_set.RECTANGLES,
                                  article=args.article, label=label, names=names))
    return 0


def _names(model, config):
    """The names of a model's labels, as its run has them; their numbers where it has none that fit."""
    names = config.get("labels")
    if isinstance(names, list) and len(names) == model.labels and all(isinstance(each, str) for each in names):
        return names
    return list(map(str, range(model.labels)))


def _numbered(label, names, folder):
    """The number of a label that is given by its name, or by its number."""
    if not names:
        raise OptionError(f"--label {label:.100}: the model of {folder} is given no labels; one of "
                          "`minivae train conditional` is")
    for known in (names, list(map(str, range(len(names))))):
        if label in known:
            return known.index(label)
    raise OptionError(f"--label {label:.100}: {folder} has {', '.join(each[:40] for each in names[:30])}"
                      + ", ..." * (len(names) > 30))
