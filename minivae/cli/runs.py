"""The folders of runs, read without making a model: minivae runs lists them."""

import argparse
import os
import sys
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from minivae import checkpoint
from minivae.cli import parsing
from minivae.errors import OptionError


@dataclass
class Run:
    """A run: where it is, what it learns from what, how far it has come, and its last look at the test images.

        quantity   what the numbers are, such as −ELBO      test   reconstruction + divergence, in nats per image
        train      the mean of the same over the last steps      date   of its checkpoint
    """

    run: str
    model: str
    data: str
    steps: int
    epochs: float | None
    quantity: str
    reconstruction: float | None
    divergence: float | None
    test: float | None
    train: float | None
    date: str


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser(
        "runs", help="list the runs there are", formatter_class=parsing.Help,
        description="A table of runs: model, data, epochs, the loss on test images, date.  Nothing is computed.")
    verb.add_argument("folders", type=parsing.path, metavar="FOLDER", nargs="*",
                      help="runs, or folders of runs; by default runs")
    verb.add_argument("--json", action="store_true", help="print a list of objects "
                      f"instead, each with {', '.join(Run.__annotations__)}; null: unknown")
    verb.set_defaults(run=run, less="fewer folders take less")


def run(args: argparse.Namespace) -> int:
    places = args.folders or [Path("runs")]
    looked, broken = look_at(places)
    rows = [row for row, *_ in looked]
    if args.json:
        print(parsing.as_json([asdict(row) for row in rows]))
    elif rows:
        print(table(rows))
    elif not broken:
        print(f"there are no runs in {', '.join(map(str, places))}; minivae train MODEL makes one")
    for line in broken:
        print(line, file=sys.stderr if args.json else sys.stdout)
    return 0


def look_at(places: list[Path]) -> tuple[list[tuple[Run, dict[str, Any], np.ndarray, np.ndarray]], list[str]]:
    """(what `look` gives of each run in these places, a line for each that is left out, for it cannot be read)."""
    looked, broken = [], []
    for folder in [folder for each in places for folder in found(each)]:
        try:
            looked.append(look(folder))
        except OptionError as error:
            broken.append(f"left out: {error}")
    return looked, broken


def found(folder: Path) -> list[Path]:
    """The folder, if it is a run's, or a file, which may be a checkpoint; else those in it that are."""
    if _holds_run(folder) or folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise OptionError(f"there is no folder {folder}; minivae train writes to runs")
    return sorted(each for each in folder.iterdir() if _holds_run(each))


def _holds_run(folder: Path) -> bool:
    """Whether a folder is a run's, or may be one and does not let us look: then `look` says so."""
    try:
        os.stat(folder / checkpoint.NAME)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def look(folder: Path) -> tuple[Run, dict[str, Any], np.ndarray, np.ndarray]:
    """(the run, its configuration, its protocol, its looks at test images) of a folder.  Nothing in it is executed."""
    header, arrays = checkpoint.read(folder)
    if "steps" not in header:
        raise OptionError(f"{folder} holds a model alone, and no training; give the folder of its run")
    config, protocol, tests = header["config"], arrays["protocol"], arrays.get("tests", np.zeros((0, 3)))
    data, looks = config.get("data", {}), [0.0, *tests[:, 0].tolist()]  # one at the end of each epoch
    length = looks[-1] - looks[-2] if len(looks) > 1 else 0
    date = datetime.fromtimestamp((folder if folder.is_file() else folder / checkpoint.NAME).stat().st_mtime)
    title = Path(str(data.get("path", data.get("name", "?")))).name
    how = f", {data['binarize']}" if isinstance(data.get("binarize"), str) else ""
    reconstruction, divergence = map(float, tests[-1, 1:]) if len(tests) else (None, None)
    return Run(str(folder), str(config["model"]).rpartition(":")[2], title + how, header["steps"],
               header["steps"] / length if length > 0 else None,
               str(config.get("quantity", "")), reconstruction, divergence,
               None if reconstruction is None or divergence is None else reconstruction + divergence,
               float(protocol[-len(protocol) // 10 - 1:, 3].mean()) if len(protocol) else None,
               date.strftime("%Y-%m-%d %H:%M")), config, protocol, tests


def table(rows: list[Run]) -> str:
    """The runs as lines, a column for each fact; numbers in nats per image."""
    lines: list[tuple[str, ...]] = [
        ("run", "model", "data", "epochs", "test loss", "reconstruction", "KL", "which is", "date")]
    for row in rows:
        lines.append((row.run, row.model, row.data, "" if row.epochs is None else f"{row.epochs:.4g}",
                      *("" if number is None else f"{number:.2f}"
                        for number in (row.test, row.reconstruction, row.divergence)), row.quantity, row.date))
    widths = [max(map(len, column)) for column in zip(*lines)]
    right = {3, 4, 5, 6}
    return "\n".join("  ".join(f"{text:>{width}}" if k in right else f"{text:<{width}}"
                               for k, (text, width) in enumerate(zip(line, widths))).rstrip() for line in lines)
