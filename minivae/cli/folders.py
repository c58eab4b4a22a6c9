"""The folders that runs are written to."""

import shlex
from pathlib import Path

from minivae import checkpoint
from minivae.errors import OptionError
from minivae.files import strays

FILES = (checkpoint.NAME, "config.json", "protocol.csv", "reconstructions.png", "interpolations.png", "samples.png",
         "curve.png", "codes.png", "evaluation.json", "latent.html")


def claim(out, name, force):
    """Make the folder of a run and return it: `out`, or the first of runs/NAME, runs/NAME-2, ... that is free."""
    if out is None:
        number = 1
        while not make_folder(folder := Path("runs") / (name if number == 1 else f"{name}-{number}")):
            number += 1
        return folder
    sweep(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if not (out / checkpoint.NAME).exists():
            raise OptionError(f"--out {out} exists and is not a run; choose another name")
        if not force:
            raise OptionError(f"--out {out} holds a run already; --force overwrites it, and "
                              f"minivae train --resume {shlex.quote(str(out))} continues it")
    make_folder(out)
    return out


def make_folder(folder):
    """Make a folder and those above it; returns whether it is new."""
    try:
        folder.mkdir(parents=True)
        return True
    except FileExistsError as error:
        if folder.is_dir():
            return False
        raise OptionError(f"cannot make the folder {folder}: a file is in its way") from error
    except OSError as error:
        raise OptionError(f"cannot make the folder {folder}: {error.strerror}; --out FOLDER chooses a place that can "
                          "be written") from error


def clear(folder):
    """Remove a run's files, and the folder if nothing else is in it; whatever else is there stays."""
    sweep(folder)
    for name in FILES:
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def sweep(folder):
    """Remove what a run that was killed while it wrote has left half-written."""
    for name in FILES:
        for path in strays(folder / name):
            path.unlink(missing_ok=True)
