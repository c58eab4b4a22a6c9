"""The machine's C compiler, where there is one, run within limits."""

import contextlib
import functools
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from minivae.errors import OptionError

NAMES = ("cc", "gcc", "clang")
# Sums in the order that they are written in and no fused multiplications, so that arithmetic gives NumPy's bits on any
# processor; and no -ffast-math, which takes it that there are neither NaN nor infinities.
FLAGS = ("-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fwrapv", "-fopenmp-simd", "-pthread",
         "-shared", "-fPIC", "-w")
NATIVE = ("-march=native",)  # all instructions of this processor, if the compiler can find out which they are
PATIENCE = 20  # seconds for one library, which takes a tenth of one
FLOOD = 1_000_000  # bytes of messages


@functools.cache
def command():
    """The compiler's command, [] where there is none: `MINIVAE_CC`, which may be "none", or CC, cc, gcc, clang."""
    asked = os.environ.get("MINIVAE_CC")
    if asked == "none" or os.name != "posix":
        return []
    for words in [asked] if asked else [os.environ.get("CC", ""), *NAMES]:
        with contextlib.suppress(ValueError):  # quotes that do not close
            program, *options = shlex.split(words) or [""]
            path = shutil.which(program)
            if path and not _opens_a_dialog(path):
                return [path, *options]
    if asked:
        raise OptionError(f"MINIVAE_CC={asked}: there is no such command; name a C compiler, or none")
    return []


def _opens_a_dialog(path):
    """Whether the command is macOS's stand-in, which offers to install the tools wherever they are not."""
    if sys.platform != "darwin" or not path.startswith("/usr/bin/"):
        return False
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        return subprocess.run(["/usr/bin/xcode-select", "-p"], capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=PATIENCE).returncode != 0
    return True


@functools.cache
def identity():
    """What a library depends on besides its source and options: the compiler's file, and the processor."""
    file, cpuinfo = os.stat(command()[0]), Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if cpuinfo.exists() else []
    traits = [line for line in lines if line.startswith(("vendor_id", "model", "flags", "Features", "CPU"))]
    return repr((file.st_size, file.st_mtime_ns, platform.machine(), platform.processor(), traits))


def compiled(source, words, place):
    """The path of a new library in the folder `place`; None if the compiler does not know -march=native."""
    file, made = place / "kernel.c", place / "kernel.so"
    file.write_text(source, encoding="utf-8")
    file.chmod(0o600)  # whatever the umask
    status, said = run([*words, str(file), "-o", str(made), "-lm"])
    if status and NATIVE[0] in words:
        return None
    if status:
        raise OSError(said or (f"signal {-status} ended it" if status < 0 else f"exit status {status}"))
    made.chmod(0o700)
    return made


def run(words):
    """(exit status, the beginning of what was printed) of a command that has limits, and leaves no process behind.

    It has a session of its own, because Ctrl-C is for the training, which ends after its step.
    """
    with tempfile.TemporaryFile() as messages:
        end = time.monotonic() + PATIENCE
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=messages, stderr=subprocess.STDOUT,
                                   start_new_session=True, umask=0o077)
        try:
            while process.poll() is None:
                if time.monotonic() > end:
                    raise OSError(f"it was stopped after {PATIENCE} seconds")
                if os.fstat(messages.fileno()).st_size > FLOOD:
                    raise OSError(f"it was stopped after {FLOOD} bytes of messages")
                time.sleep(0.002)
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # nothing is left, on Linux and on macOS
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        messages.seek(0)
        return process.returncode, messages.read(1000).decode(errors="replace")
