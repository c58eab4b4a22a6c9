"""The number of threads that compute on NumPy arrays.

It is `MINIVAE_THREADS`, or what the machine grants this process: the cores that it may run on, the processor time that
its control group has (a container's limit), the threads that BLAS was given, as by OPENBLAS_NUM_THREADS, and 8 at
most.  How busy other programs keep the cores does not count: `workers` gives way to them by itself.
"""

import os
from math import ceil
from pathlib import Path

from minivae.backend import blas
from minivae.errors import OptionError

LARGEST = 1024  # number that can be asked for
MOST = 8  # element-wise work is bound by memory traffic, which more threads do not add to


def choose(asked, cores, quota, blas_threads):
    """(number of threads, its reason): `asked` is a text or None, `quota` in cores; None: there is no such limit."""
    if asked:
        if not asked.isdecimal() or not 1 <= int(asked[:9]) <= LARGEST:
            raise OptionError(f"MINIVAE_THREADS={asked[:99]}; set it to a whole number from 1 to {LARGEST}, "
                              "or not at all")
        return int(asked), f"MINIVAE_THREADS={asked}"
    limits = [(cores, f"{cores} core{'s' * (cores > 1)} to run on"), (MOST, "more would wait for memory")]
    if quota is not None:
        limits.append((max(1, ceil(quota)), f"a quota of {quota:g} cores"))
    if blas_threads is not None:
        limits.append((blas_threads, "so many were given to BLAS"))
    return min(limits, key=lambda limit: limit[0])


def chosen():
    """`choose` for this process on this machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return choose(os.environ.get("MINIVAE_THREADS"), cores, quota(), blas.one_thread())


def sentence(number=None, reason=None):
    """A line on the choice, or on another number and its reason."""
    if number is None:
        number, reason = chosen()
    return f"{number} thread{'s' * (number > 1)} ({reason}; --threads or MINIVAE_THREADS changes it)"


def quota(proc=Path("/proc/self/cgroup"), root=Path("/sys/fs/cgroup")):
    """The processor time that Linux's control groups leave to this process, in cores; None: they set no limit."""
    found = []
    for line in _read(proc).splitlines():
        _, controllers, path = (line.split(":", 2) + ["", ""])[:3]
        parts = Path(path.lstrip("/"))
        if controllers == "":
            for folder in (parts, *parts.parents):  # each level may have a limit of its own
                found.append(_cores(_read(root / folder / "cpu.max").split()))
        elif "cpu" in controllers.split(","):
            for folder in (parts, *parts.parents):
                files = [root / controllers / folder / f"cpu.cfs_{name}_us" for name in ("quota", "period")]
                found.append(_cores([_read(file).strip() for file in files]))
    return min((cores for cores in found if cores is not None), default=None)


def _read(path):
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _cores(words):
    """Of the words "quota period" in microseconds; "max" or −1 is no quota."""
    try:
        time, period = map(int, words)
    except ValueError:
        return None
    return time / period if time > 0 and period > 0 else None
