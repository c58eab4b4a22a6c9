"""Libraries of C, which are compiled once and kept in this user's cache folder.

A library is code that will run: it is kept, and loaded, only where nobody else may write.  Its name is made from its
source, the compiler, the processor, and its own content.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import re
import shlex
import stat
import sys
import tempfile
import threading
from pathlib import Path

from minivae.backend.compiled import compiler, trial
from minivae.backend.notices import say_once

_one_at_a_time = threading.Lock()
_broken = []  # why nothing more is compiled in this process


@functools.cache
def loaded(source):
    """The library of a C source that has a function `kernel`, or None: there is no compiler, or it fails, which is said
    once."""
    with _one_at_a_time:
        if _broken or not compiler.command():
            return None
        try:
            return _loaded(source)
        except (OSError, AttributeError) as error:
            _broken.append(printable(error))
            say_once(f"{shlex.join(compiler.command())} cannot be used ({_broken[0]}); NumPy computes without it, more "
                 "slowly.  MINIVAE_CC names another C compiler, or none")
            return None


def trouble():
    """Why nothing more is compiled in this process, or ""."""
    return "".join(_broken[:1])


def folder():
    """(The folder that libraries are kept in, or None; why no new one is kept there, or "")."""
    try:
        asked = os.environ.get("XDG_CACHE_HOME", "")  # which is to be ignored if it is relative
        path = Path(asked if os.path.isabs(asked) else Path.home() / ".cache") / "minivae" / "kernels"
        for each in (*reversed(path.parents), path):
            if not each.exists():
                with contextlib.suppress(FileExistsError):
                    each.mkdir()
                    each.chmod(0o700)  # whatever the umask
        path = path.resolve()
        reason = distrust(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home
        return None, printable(error)
    if reason:
        return None, printable(reason)
    return path, "" if os.access(path, os.W_OK) else printable(f"{path} cannot be written to")


def distrust(path):
    """Why somebody else may change a file or a folder, or "": as OpenSSH asks it of its keys and all folders above.

    In a sticky folder, such as /tmp, others may add something but not exchange what is there.
    """
    for each in (path, *path.parents):
        found = os.lstat(each)
        if found.st_uid != os.geteuid() and (each == path or found.st_uid != 0):
            return f"{each} belongs to another user"
        if found.st_mode & 0o022 and (each == path or not found.st_mode & stat.S_ISVTX):
            return f"others may write to {each}"
    return ""


def printable(text):
    """One line of at most 300 characters, without escape sequences and control characters."""
    text = re.sub(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)?|.)?", " ", str(text))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]


def _loaded(source):
    kept, reason = folder()
    for options in (compiler.NATIVE, ()):
        words = (*compiler.command(), *compiler.FLAGS, *options)
        name = _digest("\0".join([source, *words, compiler.identity()]).encode())
        for path in kept.glob(f"{name}-*.so") if kept else ():
            if found := _found(path, kept / f"{name}.tried"):
                return found
        with tempfile.TemporaryDirectory(dir=None if reason else kept, ignore_cleanup_errors=True) as place:
            place = Path(place).resolve()
            place.chmod(0o700)  # whatever the umask
            if unsafe := distrust(place):
                raise OSError(f"{reason}; {unsafe}")
            if made := compiler.compiled(source, words, place):
                return _new(made, kept / name if not reason else None, reason)


def _found(path, mark):
    """A kept library, or None: it is not whole, or not safe, or no good, and compiled anew."""
    with contextlib.suppress(OSError, AttributeError):
        if distrust(path) or not path.is_file() or path.name != f"{mark.stem}-{_digest(path.read_bytes())}.so":
            return None
        if not mark.exists() or _survives(path):
            return _opened(path, mark)
        path.unlink()  # or it may be found before the new one, and crash again
    return None


def _new(made, kept, reason):
    """A new library, which is moved to `kept`-(its digest).so unless there is a reason not to."""
    mark = made.with_suffix(".tried") if reason else kept.with_suffix(".tried")
    if (reason or mark.exists()) and not _survives(made):
        raise OSError("what it compiles crashes")
    if reason:
        say_once(f"compiled loops are not kept ({reason}): each start compiles them.  XDG_CACHE_HOME names another "
                 "folder")
        return _opened(made, mark)
    path = kept.with_name(f"{kept.name}-{_digest(made.read_bytes())}.so")
    os.replace(made, path)  # whole or not there, whoever else compiles it
    return _opened(path, mark)


def _opened(path, mark):
    """A library after a first call of its function `kernel`; the mark is left behind by a process that crashes here."""
    with contextlib.suppress(OSError):  # where nothing can be written to, nothing can be compiled anew
        mark.touch()
    try:
        library = ctypes.CDLL(str(path))
        trial.call(library.kernel)
    finally:
        with contextlib.suppress(OSError):
            mark.unlink()
    return library


def _survives(path):
    """Whether a process of its own loads and calls a library and does not crash."""
    return compiler.run([sys.executable, "-I", "-S", trial.__file__, str(path)])[0] == 0


def _digest(content):
    return hashlib.sha256(content).hexdigest()[:32]
