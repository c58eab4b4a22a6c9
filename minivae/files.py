"""Files that are whole or not there."""

import contextlib
import os
import secrets
from pathlib import Path

from minivae.errors import OptionError


@contextlib.contextmanager
def atomic(path, mode="wb"):
    """Open a file that takes its name only once everything has been written; on any error it never appears."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    options = {} if "b" in mode else {"encoding": "utf-8", "newline": ""}
    try:
        file = open(temporary, mode.replace("w", "x"), **options)
    except OSError as error:
        raise OptionError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _keep_name(path.parent)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OptionError(f"cannot write {path}: {error.strerror or error}; "
                              "what was there before is untouched") from error
        raise


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
    return list(Path(path).parent.glob(f".{Path(path).name}.{'[0-9a-f]' * 8}"))
