"""A recording of a step as a CUDA graph, and the numbers that each replay of it is given anew: see `replayed`."""

import contextlib
import gc
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from minivae.backend import cublas
from minivae.backend.copies import page_locked_memory
from minivae.backend.memory import empty
from minivae.backend.notices import say_once
from minivae.backend.selection import Array, array_library, from_numpy

TURNS = 64  # steps that the host may be ahead of the device
ALIGNMENT = 16  # bytes
SPARE = 2**20  # bytes


class _Now(threading.local):
    """What `varying` does in the step that this thread is in."""

    recording = None  # it is being recorded
    rehearsal = None  # or it is launched, and what it asks for is noted
    given = ()  # values that have been computed for it already


_now = _Now()


def varying(function: Callable[[], Any], like: Array) -> Any:
    """function(), which another step may have another value of: a number, or an array for the library of `like`.

    All that a step computes on the host and that changes from step to step goes through here, counting included: a
    step that is replayed calls these functions, in the same order, and nothing else.  While a step is recorded a
    number is an array without axes, of the dtype of `like` or, for whole numbers, int64.
    """
    if _now.recording is not None:
        return _now.recording.place(function)
    value = _now.given.pop(0) if _now.given else function()
    if _now.rehearsal is not None:
        _now.rehearsal.append(_kind(value, like))
    return from_numpy(value, like=like) if isinstance(value, np.ndarray) else value


def _kind(value, like):
    """(shape, dtype) of a value on the device."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype
    return (), np.dtype(np.int64) if isinstance(value, int) else like.dtype


class Recording:
    """A step as a graph, and the memory of the values that it is given each time.

    Called for the first time it calls the step, in the stream and the memory that the recording will be made in, so
    that there is nothing left to allocate.  The second time it records, and launches that, and then it replays.
    """

    def __init__(self, step, name):
        self.step, self.name, self.xp = step, name, array_library(name)
        self.pool, self.stream = self.xp.cuda.MemoryPool(), self.xp.cuda.Stream(non_blocking=True)
        self.functions, self.graph, self.places, self.failed = [], None, None, False

    def __call__(self):
        if self.failed:
            return self.step()
        if self.places is None:
            return self._rehearse()
        return self._record() if self.graph is None else self._replay()

    def place(self, function):
        """Where on the device the value of the function will be; called while the step is recorded."""
        place = self.places[len(self.functions)]
        self.functions.append(function)
        self.values.append(function())
        if np.shape(self.values[-1]) != place.shape:
            raise _Another(f"a value of shape {np.shape(self.values[-1])} where {place.shape} was before")
        return place

    def _rehearse(self):
        kinds = _now.rehearsal = []
        try:
            self.xp.cuda.get_current_stream().synchronize()
            with self._in_own_memory():
                result = self.step()
                self.stream.synchronize()
                # As much again: what the step has left in its modules is freed only while the next one is recorded.
                self.pool.malloc(self.pool.total_bytes() + SPARE)
        finally:
            _now.rehearsal = None
        self._lay_out(kinds)
        return result

    def _lay_out(self, kinds):
        """Give each value its place, in one stretch that one copy fills; on the host there are several, by turns."""
        sizes = [-(-int(np.prod(shape)) * dtype.itemsize // ALIGNMENT) * ALIGNMENT for shape, dtype in kinds]
        ends = np.cumsum(sizes, dtype=int).tolist()
        cuts = [(end - size, end - size + int(np.prod(shape)) * dtype.itemsize, shape, dtype)
                for end, size, (shape, dtype) in zip(ends, sizes, kinds)]

        def carved(memory):
            return [memory[first:last].view(dtype).reshape(shape) for first, last, shape, dtype in cuts]

        self.memory = empty((ends[-1],), np.uint8, self.name)
        self.host = page_locked_memory(self.xp, (TURNS, ends[-1]))
        self.places, self.turns, self.turn = carved(self.memory), list(map(carved, self.host)), 0

    def _record(self):
        self.values, self.functions, _now.recording = [], [], self
        try:
            with self._in_own_memory(), _no_garbage_collected():
                self.stream.begin_capture(self.xp.cuda.runtime.streamCaptureModeThreadLocal)
                try:
                    self.result = self.step()
                finally:
                    graph = self.stream.end_capture()
        except Exception as error:  # whatever it is: kernel by kernel the step may be possible
            values = self.values
            if not isinstance(error, _Another):
                self.failed = True
                error = error.__context__ or error  # end_capture knows only that something went wrong
                launch_because(f"recording failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        else:
            self.graph = graph
            return self._launch(self.values)
        finally:
            _now.recording = self.values = None
        return self._call(values)

    def _replay(self):
        values = []
        for function, place in zip(self.functions, self.places):
            values.append(function())
            if np.shape(values[-1]) != place.shape:
                return self._call(values)  # and what comes after it depends on it
        return self._launch(values)

    def _launch(self, values):
        for place, value in zip(self.turns[self.turn], values):
            place[...] = value
        stream = self.xp.cuda.get_current_stream()
        self.memory.set(self.host[self.turn], stream=stream)
        self.graph.launch()
        self.turn = (self.turn + 1) % TURNS
        if self.turn == 0:
            stream.synchronize()  # from here on what has been copied is overwritten
        return self.result

    def _call(self, values):
        """The step, kernel by kernel, with values that have been computed for it."""
        _now.given = list(values)
        try:
            return self.step()
        finally:
            _now.given = ()

    @contextlib.contextmanager
    def _in_own_memory(self):
        try:
            with self.xp.cuda.using_allocator(self.pool.malloc), self.stream:
                yield
        finally:
            cublas.follow(self.xp)  # back to the stream that is current now: this one may be gone tomorrow


@contextlib.contextmanager
def _no_garbage_collected():
    """To free the memory of a device, as an array's end may, is not permitted while a stream records."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Another(Exception):
    """This step is another than that before, such as one with a short batch."""


def launch_because(reason):
    say_once(f"training launches kernel by kernel, because {reason}")
