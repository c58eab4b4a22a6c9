"""The folders that runs are written to."""

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

from minivae import checkpoint
from minivae.cli import lock
from minivae.errors import OptionError
from minivae.files import strays

BEST = "best.npz"  # the model of the epoch with the best bound on test images
DERIVED = "evaluation.json", "latent.html", "codes.npz"  # what other verbs made of its checkpoint
FILES = (checkpoint.NAME, BEST, "config.json", "protocol.csv", "reconstructions.png", "interpolations.png",
         "samples.png", "curve.png", "codes.png", *DERIVED)


@contextlib.contextmanager
def claimed(out: Path | None, name: str, force: bool) -> Iterator[Path]:
    """Make the folder of a run and hold it: `out`, or the first of runs/NAME, runs/NAME-2, ... that is free.

    An earlier run stays in it, for `train` to replace.  If the block ends without a checkpoint, nothing of this one is
    left.
    """
    if out is not None and not (out / lock.NAME).exists():
        _expect_free(out, force=True)  # before a lock is put into a folder that is no run's
    folder, new = _made(out, name)
    try:
        with lock.held(folder):
            if out is not None:
                _expect_free(out, force)
            sweep(folder)
            try:
                yield folder
            except BaseException:
                with contextlib.suppress(OSError):  # the error that ended it is the one to be told of
                    if not (folder / checkpoint.NAME).exists():
                        clear(folder)
                raise
    except BaseException:
        with contextlib.suppress(OSError):  # it is not empty, or not there
            if new:
                folder.rmdir()
        raise


def _made(out, name):
    """(the folder, whether it is new)."""
    if out is not None:
        return out, make_folder(out)
    number = 1
    while not make_folder(folder := Path("runs") / (name if number == 1 else f"{name}-{number}")):
        number += 1
    return folder, True


def _expect_free(out, force):
    """Raise unless a run may be written to this folder."""
    if (out / checkpoint.NAME).exists():
        if not force:
            raise OptionError(f"--out {out} holds a run already; --force overwrites it, and minivae train "
                              f"--resume {shlex.quote(str(out))} continues it, with --trust if its model is your own")
    elif out.exists() and not (out.is_dir() and {path.name for path in out.iterdir()} <= {lock.NAME, *_strays(out)}):
        raise OptionError(f"--out {out} exists and is not a run; choose another name")


def make_folder(folder: Path) -> bool:
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


def clear(folder: Path) -> None:
    """Remove a run's files but its checkpoint; whatever else is in the folder stays."""
    sweep(folder)
    for name in FILES[1:]:
        (folder / name).unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Remove what a run that was killed while it wrote has left half-written."""
    for name in _strays(folder):
        (folder / name).unlink(missing_ok=True)


def _strays(folder):
    return [path.name for name in FILES for path in strays(folder / name)]
