"""minivae compare: several runs in one figure and one table."""

import argparse
from pathlib import Path
from typing import Any

from minivae import figures
from minivae.cli import parsing, runs
from minivae.errors import OptionError
from minivae.figures.curves import MOST
from minivae.files import expect_writable


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser(
        "compare", help="show several runs in one figure", formatter_class=parsing.Help,
        description="Draw the losses of several runs in one figure, those of training batches as lines and those of "
        "test images as points, and print a table of their numbers.  Nothing is computed anew.")
    verb.add_argument("folders", type=parsing.path, metavar="RUN", nargs="+", help="runs, or folders of runs")
    verb.add_argument("-o", "--out", type=parsing.file(".png"), metavar="FILE", default=Path("compare.png"),
                      help="the picture to write")
    verb.set_defaults(run=run, less="fewer runs take less")


def run(args: argparse.Namespace) -> int:
    looked, broken = runs.look_at(args.folders)
    looked = [each for each in looked if len(each[2])]
    for line in broken:
        print(line)
    if len(looked) < 2:
        raise OptionError(f"{len(looked)} run{'s' * (len(looked) != 1)} to compare that took a step; give two or more")
    if len(looked) > MOST:
        raise OptionError(f"{len(looked)} runs to compare, and one can tell the lines of {MOST} apart; name that many "
                          "at most (minivae runs lists all)")
    print(runs.table([row for row, *_ in looked]))
    kinds = [_kind(config) for _, config, *_ in looked]
    if unlike := [name for name in kinds[0] if any(kind[name] != kinds[0][name] for kind in kinds)]:
        print(f"these are losses of different kinds: the runs differ in their {', '.join(unlike)}; compare those of "
              "one kind only")
    expect_writable(args.out)
    picture = figures.comparison([(row.run, protocol, tests) for row, _, protocol, tests in looked])
    if picture is None:
        print("no picture: matplotlib is not installed, or cannot be used (pip install \"minivae[plots]\" draws it)")
        return 0
    figures.save_png(args.out, picture)
    print(f"{args.out}: losses of training as lines, of test images as points")
    return 0


def _kind(config: dict[str, Any]) -> dict[str, Any]:
    """What the losses of a run are of, by its configuration: runs that differ in it have no numbers to compare."""
    data, training, options = (config.get(part, {}) for part in ("data", "training", "options"))
    objective = training.get("objective", "elbo")
    if objective in ("iwae", "dreg"):  # two gradients of one bound, which is another for another number of draws
        objective = "iwae", options.get("samples")
    return {"data": (data.get("digest", data.get("name")), data.get("binarize")),
            "quantity": (config.get("quantity"), "labels" in config),  # with labels, it is that given the label
            "objective": objective, "likelihood": options.get("likelihood", "bernoulli")}
