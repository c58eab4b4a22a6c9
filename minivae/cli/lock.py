"""One training at a time in a folder.

The lock is the operating system's, on a file that says who holds it: it goes with the process, however that ends, and
a file that was left behind is in nobody's way.
"""

import contextlib
import os
import socket

from minivae.errors import OptionError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

NAME = "train.lock"
FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)  # no link of another's chooses what is written to
FAR = 2**30  # the byte that Windows locks, far from those that others read


@contextlib.contextmanager
def held(folder):
    """Keep every other process from training in this folder until the block ends."""
    path = folder / NAME
    file = _taken(path)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the folder may be gone by now, and then so is what it held
            if fcntl is None:
                os.close(file)  # Windows removes no open file
                file = None
            path.unlink()
        if file is not None:
            os.close(file)


def _taken(path):
    """The locked file, open; raise if another process has it."""
    while True:
        try:
            file = os.open(path, FLAGS, 0o666)
        except OSError as error:
            raise OptionError(f"cannot write {path}: {error.strerror}; choose another folder") from error
        try:
            _lock(file)
            if _is_at(file, path):
                with contextlib.suppress(OSError):  # on a full disk too the lock is one
                    os.truncate(file, 0)
                    os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
                return file
        except BlockingIOError as error:
            os.lseek(file, 0, os.SEEK_SET)
            holder = os.read(file, 200).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise OptionError(f"{path.parent} is being trained by {holder}; wait until it ends, or choose another "
                              "folder") from error
        os.close(file)  # it was removed between the two calls


def _is_at(file, path):
    """True if the path still leads to the open file; who held the lock may have removed it at any moment."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _lock(file):
    """Lock an open file; BlockingIOError if it is another's.  A file system without locks gives it to everyone."""
    if fcntl is None:
        try:
            os.lseek(file, FAR, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        except OSError as error:
            raise BlockingIOError from error
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        pass
