"""Files that are whole or not there."""

import contextlib
import glob
import os
import reprlib
import secrets
from pathlib import Path

from minivae.errors import OptionError

SHOWN = 40  # characters of a file's name that stand in its temporary one, which may not be much longer


def expanded(path) -> Path:
    """The path, with the home folder for ~; raises where the user has none, and for what is no path."""
    try:
        return Path(path).expanduser()
    except TypeError as error:
        raise OptionError(f"path={reprlib.repr(path)}: a path is a text or a pathlib.Path") from error
    except RuntimeError as error:
        raise OptionError(f"{path}: there is no such home folder; write the whole path") from error


def cache():
    """The folder of what can be made or downloaded again: $XDG_CACHE_HOME/minivae, or ~/.cache/minivae."""
    return expanded(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "minivae"


@contextlib.contextmanager
def atomic(path, mode="wb"):
    """Open a file that takes its name only once everything has been written; on any error it never appears."""
    path = expanded(path)
    temporary, file = _begun(path, mode)
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _keep_name(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OptionError(f"cannot write {path}: {error.strerror or error}; "
                              "what was there before is untouched") from error
        raise


def expect_writable(path):
    """Raise if `atomic(path)` could not begin: asked before the work that is to be written there."""
    temporary, file = _begun(expanded(path), "wb")
    file.close()
    os.unlink(temporary)


def _begun(path, mode):
    """(temporary name, file) of a file that is to be at this path."""
    if not path.name or (os.path.lexists(path) and not os.path.isfile(path)):  # /dev/null would become a file
        raise OptionError(f"cannot write {path}: it is there and no file; choose another name")
    temporary = path.with_name(f".{path.name[:SHOWN]}.{secrets.token_hex(4)}")
    options = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        return temporary, open(temporary, mode.replace("w", "x"), **options)
    except OSError as error:
        raise OptionError(f"cannot write {path}: {error.strerror}; choose another folder") from error


def _keep_name(folder):
    """Have the disk keep the names in a folder, or a power cut may bring the old ones back; not every system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def strays(path):
    """What `atomic(path)` has left half-written where the process was killed."""
    return list(Path(path).parent.glob(f".{glob.escape(Path(path).name[:SHOWN])}.{'[0-9a-f]' * 8}"))
