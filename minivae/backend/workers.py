"""The worker threads that share out large work on NumPy arrays: blocks of element-wise work, parts of matrix products.

Where there is a C compiler, threads of C do most of it, as many as here: see `compiled.pool`.
NumPy lets go of the interpreter's lock inside a loop over a large array and inside a product, so two threads that each
take half of the parts finish in little more than half the time.  Workers only compute: they never draw random numbers,
and work is cut the same way however many workers there are, so results do not depend on it.

They give way to other programs.  A thread takes the next part when it has done its last one, a worker sleeps while
there is none, and the caller waits only for parts that a worker has begun: where the cores are taken, it does them
itself.  BLAS's own threads, which `blas` switches off, have fixed shares and spin while they wait, so that all of
them stand still whenever one has lost its core.

A forked process starts workers of its own.  OpenBLAS has threads too, and forking while another thread multiplies
matrices can hang in its fork handler: there fork before training, spawn, or set OPENBLAS_NUM_THREADS=1.
"""

import contextvars
import os
import threading
from collections import deque
from queue import SimpleQueue

from minivae.backend import threads

_count = None
_started = 0  # worker threads
_open = []  # jobs whose parts may not all have been taken
_wake = SimpleQueue()  # an entry wakes one worker


def count():
    """Threads that share work, the calling one included; see `threads` for how many."""
    global _count
    if _count is None:
        _count, _ = threads.chosen()
    return _count


def set_count(threads):
    """Use this many threads from now on; 1 means none but the caller's own."""
    global _count
    _count = max(1, int(threads))


def run(task, parts):
    """Call `task(part)` for each part of range(parts), in parallel."""
    helpers = min(count(), parts) - 1
    if helpers < 1:
        for part in range(parts):
            task(part)
        return
    _start(helpers)
    job = _Job(task, parts)
    _open.append(job)
    try:
        for _ in range(helpers - _wake.qsize()):  # those that are still to wake up will find this job too
            _wake.put(None)
        job.work()
    finally:
        _open.remove(job)
    errors = [error for error in [job.done.get() for _ in range(parts)] if error is not None]
    if errors:
        raise errors[0]


class _Job:
    def __init__(self, task, parts):
        self.task, self.left, self.done = task, deque(range(parts)), SimpleQueue()
        self.context = contextvars.copy_context()  # it holds what numpy.errstate has set

    def work(self):
        """Do parts until none is left to take.  Each tells `done` its error, or None, for the caller is to go on only
        when nobody writes to the arrays any more."""
        while True:
            try:
                part = self.left.popleft()
            except IndexError:
                return
            error = None
            try:
                self.task(part)
            except BaseException as raised:
                error = raised
            self.done.put(error)


def _start(wanted):
    global _started
    while _started < wanted:
        _started += 1
        threading.Thread(target=_serve, args=(_wake,), name=f"minivae-{_started}", daemon=True).start()


def _serve(wake):
    while True:
        wake.get()
        for job in tuple(_open):
            job.context.copy().run(job.work)
            del job  # else its arrays are kept until the next one


def _forget():
    """Threads do not survive a fork: the child starts its own."""
    global _started, _open, _wake
    _started, _open, _wake = 0, [], SimpleQueue()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
