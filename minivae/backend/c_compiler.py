"""The machine's C compiler, where there is one, and what it has compiled before.

Libraries are kept in the cache folder, under names made from their source, the compiler and the processor.
"""

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from minivae.errors import OptionError

NAMES = ("cc", "gcc", "clang")
# No -ffast-math, which takes it that there are neither NaN nor infinities.
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-fopenmp-simd", "-shared", "-fPIC", "-w")
NATIVE = ("-march=native",)  # all instructions of this processor, if the compiler can find out which they are

_broken = []  # why the compiler is not tried again


@functools.cache
def command():
    """The compiler's command, [] where there is none: `MINIVAE_CC`, which may be "none", or CC, cc, gcc, clang."""
    asked = os.environ.get("MINIVAE_CC")
    if asked == "none" or os.name != "posix":
        return []
    words = shlex.split(asked or os.environ.get("CC") or next(filter(shutil.which, NAMES), ""))
    found = shutil.which(words[0]) if words else None
    if asked and found is None:
        raise OptionError(f"MINIVAE_CC={asked}: there is no such command; name a C compiler, or none")
    return [found, *words[1:]] if found else []


@functools.cache
def function(source):
    """The function `kernel` of a C source, or None: there is no compiler, or it fails, which is said once."""
    if _broken or not command():
        return None
    try:
        kernel = ctypes.CDLL(str(_library(source))).kernel
    except OSError as error:
        _broken.append(" ".join(str(error).split())[:300])
        print(f"minivae: {shlex.join(command())} cannot be used ({_broken[0]}); NumPy computes without it, more "
              "slowly.  MINIVAE_CC names another C compiler, or none", file=sys.stderr)
        return None
    kernel.restype = ctypes.c_double
    return kernel


def _library(source):
    """The path of the library of a source, which is compiled unless it is there."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minivae" / "kernels"
    digest = hashlib.sha256("\0".join([source, *FLAGS, *command(), _identity()]).encode()).hexdigest()
    path = folder / f"{digest[:32]}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            made = _compiled(source, Path(place), NATIVE) or _compiled(source, Path(place), ())
            os.replace(made, path)  # whole or not there, whoever else compiles it
    return path


def _compiled(source, place, options):
    """The library of a source, in a folder; None if the compiler does not know the options."""
    file, made = place / "kernel.c", place / "kernel.so"
    file.write_text(source, encoding="utf-8")
    # In a session of its own, because Ctrl-C is for the training, which ends after its step.
    done = subprocess.run([*command(), *FLAGS, *options, str(file), "-o", str(made), "-lm"], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, start_new_session=True)
    if done.returncode and not options:
        raise OSError(done.stderr or f"exit status {done.returncode}")
    return None if done.returncode else made


@functools.cache
def _identity():
    """What a library depends on besides its source and options: the compiler's file, and the processor."""
    file, cpuinfo = os.stat(command()[0]), Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.exists() else []
    traits = [line for line in lines if line.startswith(("vendor_id", "model", "flags", "Features", "CPU"))]
    return repr((file.st_size, file.st_mtime_ns, platform.machine(), platform.processor(), traits))
