"""Files that are whole or not there."""

import contextlib
import os
import tempfile
from pathlib import Path

from minivae.errors import OptionError


@contextlib.contextmanager
def atomic(path, mode="wb"):
    """Open a file that takes its name only once everything has been written; on any error it never appears."""
    path = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise OptionError(f"cannot write {path}: {error.strerror}; choose another folder") from error
    try:
        with os.fdopen(handle, mode, **({} if "b" in mode else {"encoding": "utf-8", "newline": ""})) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            raise OptionError(f"cannot write {path}: {error.strerror}; what was there before is untouched") from error
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
