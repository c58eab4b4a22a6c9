"""The worker threads that share out element-wise work on NumPy arrays.

NumPy lets go of the interpreter's lock inside a loop over a large array, so two threads that each take
half of the blocks finish in little more than half the time.  Workers only compute: they never draw random
numbers, and the blocks are cut the same way however many workers there are, so results do not depend on it.

A forked process starts workers of its own.  OpenBLAS has threads too, and forking while another thread multiplies
matrices can hang in its fork handler: there fork before training, spawn, or set OPENBLAS_NUM_THREADS=1.
"""

import contextvars
import os
from concurrent.futures import ThreadPoolExecutor, wait

from minivae.errors import OptionError

# After a product OpenBLAS's own threads spin for 2²⁶ cycles, some 25 ms, in case another one follows, on the cores
# that Adam needs.  2²⁰ are enough from one layer to the next.  NumPy reads it when it loads.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")

_MAX = 8  # element-wise work is bound by memory traffic, which more threads do not add to

_count = None
_pool = None


def count():
    """Threads that share element-wise work, the calling one included (`MINIVAE_THREADS`, or the cores)."""
    global _count
    if _count is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        asked = os.environ.get("MINIVAE_THREADS") or str(min(cores, _MAX))
        if not asked.isdecimal() or int(asked) < 1:
            raise OptionError(f"MINIVAE_THREADS={asked}; set it to a whole number from 1, or not at all")
        _count = int(asked)
    return _count


def set_count(threads):
    """Use this many threads from now on; 1 means none but the caller's own."""
    global _count
    _forget_pool()
    _count = max(1, int(threads))


def run(task, blocks):
    """Call `task(first, last)` so that the calls together cover range(blocks), in parallel."""
    shares = min(count(), blocks)
    bounds = [blocks * i // shares for i in range(shares + 1)]
    # each in a copy of the caller's context, which holds what numpy.errstate has set
    waiting = [_workers().submit(contextvars.copy_context().run, task, bounds[i], bounds[i + 1])
               for i in range(1, shares)]
    try:
        task(bounds[0], bounds[1])
    finally:
        wait(waiting)  # even when this share failed: nobody may still write to the arrays
    for future in waiting:
        future.result()


def _workers():
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(count() - 1, thread_name_prefix="minivae")
    return _pool


def _forget_pool():
    """Threads do not survive a fork: the child starts its own."""
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)
