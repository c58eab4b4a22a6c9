"""The machine's C compiler, where there is one, and what it has compiled before.

Libraries are kept in the cache folder, under names made from their source, the compiler and the processor.
"""

import contextlib
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
# Sums in the order that they are written in and no fused multiplications, so that arithmetic gives NumPy's bits on any
# processor; and no -ffast-math, which takes it that there are neither NaN nor infinities.
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fwrapv", "-fopenmp-simd", "-shared",
         "-fPIC", "-w")
NATIVE = ("-march=native",)  # all instructions of this processor, if the compiler can find out which they are
PATIENCE = 120  # seconds for one library, which takes a tenth of one

_broken = []  # why the compiler is not tried again


@functools.cache
def command():
    """The compiler's command, [] where there is none: `MINIVAE_CC`, which may be "none", or CC, cc, gcc, clang."""
    asked = os.environ.get("MINIVAE_CC")
    if asked == "none" or os.name != "posix":
        return []
    for words in [asked] if asked else [os.environ.get("CC", ""), *NAMES]:
        with contextlib.suppress(ValueError):  # quotes that do not close
            program, *options = shlex.split(words) or [""]
            if shutil.which(program):
                return [shutil.which(program), *options]
    if asked:
        raise OptionError(f"MINIVAE_CC={asked}: there is no such command; name a C compiler, or none")
    return []


@functools.cache
def function(source):
    """The function `kernel` of a C source, or None: there is no compiler, or it fails, which is said once."""
    if _broken or not command():
        return None
    try:
        kernel = ctypes.CDLL(str(_library(source))).kernel
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:  # RuntimeError: no home
        _broken.append(" ".join(str(error).split())[:300])
        print(f"minivae: {shlex.join(command())} cannot be used ({_broken[0]}); NumPy computes without it, more "
              "slowly.  MINIVAE_CC names another C compiler, or none", file=sys.stderr)
        return None
    kernel.restype = ctypes.c_double
    return kernel


def _library(source):
    """The path of the library of a source, which is compiled unless it is there and whole."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minivae" / "kernels"
    for options in (NATIVE, ()):
        flags = (*command(), *FLAGS, *options)
        name = _digest("\0".join([source, *flags, _identity()]).encode())
        for path in folder.glob(f"{name}-*.so"):
            if path.name == f"{name}-{_digest(path.read_bytes())}.so":
                return path
        if path := _compiled(source, flags, folder, name):
            return path


def _compiled(source, flags, folder, name):
    """The path of a new library, whose name has a digest of its content; None if the compiler does not know -march."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        file, made = Path(place) / "kernel.c", Path(place) / "kernel.so"
        file.write_text(source, encoding="utf-8")
        # In a session of its own, because Ctrl-C is for the training, which ends after its step.
        done = subprocess.run([*flags, str(file), "-o", str(made), "-lm"], capture_output=True, text=True,
                              errors="replace", stdin=subprocess.DEVNULL, start_new_session=True, timeout=PATIENCE)
        if done.returncode and NATIVE[0] in flags:
            return None
        if done.returncode:
            raise OSError(done.stderr or f"exit status {done.returncode}")
        path = folder / f"{name}-{_digest(made.read_bytes())}.so"
        os.replace(made, path)  # whole or not there, whoever else compiles it
    return path


def _digest(content):
    return hashlib.sha256(content).hexdigest()[:32]


@functools.cache
def _identity():
    """What a library depends on besides its source and options: the compiler's file, and the processor."""
    file, cpuinfo = os.stat(command()[0]), Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().split("\n\n")[0].splitlines() if cpuinfo.exists() else []
    traits = [line for line in lines if line.startswith(("vendor_id", "model", "flags", "Features", "CPU"))]
    return repr((file.st_size, file.st_mtime_ns, platform.machine(), platform.processor(), traits))
