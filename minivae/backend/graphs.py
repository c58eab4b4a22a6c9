"""A step of training as one launch: recorded once on a device, and replayed from then on.

A launch costs Python 10 to 40 µs, more than most kernels of a small network take, and a step has some sixty.  CUDA
records them as a graph, with the addresses of their arrays and the numbers they were given, and launches that at once.
Layers know nothing of it: they find their buffers, and a graph does again what they have done.  What is another number
in another step goes through `varying`.
"""

import contextlib
import gc
import os
import threading
from collections.abc import Callable
from operator import is_, itemgetter
from typing import Any

import numpy as np

from minivae.backend import cublas, debugger
from minivae.backend.buffers import address, empty
from minivae.backend.notices import say_once
from minivae.backend.selection import Array, array_library, from_numpy
from minivae.backend.staging import page_locked_memory

WARM_UP = 2  # steps in which nothing changed, before one is recorded: they compile kernels and make buffers
TURNS = 64  # steps that the host may be ahead of the device
ALIGNMENT = 16  # bytes
SPARE = 2**20  # bytes
NUMBERS = bool, int, float, str


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


class Replayed:
    """A function without arguments, step(), that is recorded and replayed where it can be, else called.

        owners      () -> the objects whose attributes a recording takes for granted, but for their `state_names` and
                    `varying_names`
        constants   () -> a tuple of all else that it takes for granted
        obstacle    () -> why it cannot be recorded, or None

    When something that was taken for granted is another, such as a learning rate, a size or a mode, the step is called,
    and if that goes on it is recorded anew.  `MINIVAE_GRAPHS=none` has it called always.
    """

    def __init__(self, step: Callable[[], Any], owners: Callable[[], list], constants: Callable[[], tuple],
                 obstacle: Callable[[], str | None]) -> None:
        self.step, self.owners, self.constants, self.obstacle = step, owners, constants, obstacle
        self._granted: _Granted | None = None
        self._recording: _Recording | None = None
        self._alike = 0  # steps in which nothing has changed; below 0: in which something has

    def __call__(self, name: str, call: bool = False) -> Any:
        """One step, on the library of that name; with `call` it is not replayed."""
        if name == "numpy":
            return self.step()
        self._look()
        reason = "a debugger or tracer is looking" if debugger.looking() else None
        if self._recording is not None and self._alike > 0 and not call and not reason:
            return self._recording()
        if self._alike >= WARM_UP and not call:
            reason = reason or _trouble(array_library(name)) or self.obstacle()
            if not reason:
                self._recording = _Recording(self.step, name)
                return self._recording()
            _say(reason)
            self._alike = 1
        return self.step()

    def _look(self):
        """Count the steps since something has changed.  Twice in a row, and there is nothing left to replay."""
        if self._granted is not None and self._granted.hold():
            self._alike = max(self._alike, 0) + 1
        elif self._granted is None or self._alike < 0:
            self._granted, self._recording, self._alike = _Granted(self.owners(), self.constants), None, 0
        else:
            self._alike = -1  # a short batch changes the shapes of buffers, and the next one changes them back

    def __getstate__(self):
        """What copies and files take along: no recording, which is of other arrays."""
        return self.__dict__ | {"_granted": None, "_recording": None, "_alike": 0}


class _Granted:
    """The attributes of some objects as they are, held so that no memory of theirs goes to somebody else."""

    def __init__(self, owners, constants):
        self.constants, self.readers = constants, []
        for owner in owners:
            attributes = vars(owner)
            for group in (attributes, *(value for value in attributes.values() if type(value) is dict)):
                names = [name for name in group if name not in (*owner.state_names, *owner.varying_names)]
                if names:  # once more the first: itemgetter gives a tuple for two names
                    self.readers.append((itemgetter(*names, names[0]), group, len(group)))
        self.values = self._read()

    def _read(self):
        return [self.constants(), *(reader(group) for reader, group, _ in self.readers)]

    def hold(self):
        """Whether all is as it was."""
        if any(len(group) != length for _, group, length in self.readers):
            return False
        return all(len(a) == len(b) and (all(map(is_, a, b)) or all(map(_same, a, b)))
                   for a, b in zip(self.values, self._read()))


def _same(a, b):
    if a is b or type(a) is not type(b):
        return a is b
    if hasattr(a, "strides"):  # another view of the same memory, which is held and so is nobody else's
        return (address(a), a.shape, a.dtype, a.strides) == (address(b), b.shape, b.dtype, b.strides)
    return type(a) in NUMBERS and a == b


class _Recording:
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
                _say(f"recording failed: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
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


def _trouble(xp):
    """Why this library cannot record at all, or None."""
    if os.environ.get("MINIVAE_GRAPHS") == "none":
        return "MINIVAE_GRAPHS=none"
    if not hasattr(xp.cuda.Stream, "begin_capture"):
        return "this CuPy is too old to record"
    return cublas.trouble(xp)


def _say(reason):
    say_once(f"training launches kernel by kernel, because {reason}")
