"""A step of training as one launch: recorded once on a device, and replayed from then on.

A launch costs Python 10 to 40 µs, more than most kernels of a small network take, and a step has some sixty.  CUDA
records them as a graph, with the addresses of their arrays and the numbers they were given, and launches that at once.
Layers know nothing of it: they find their buffers, and a graph does again what they have done.  What is another number
in another step goes through `varying`.
"""

import os
from collections.abc import Callable
from operator import is_, itemgetter
from typing import Any

from minivae.backend import cublas, debugger
from minivae.backend.cuda_graph import Recording, launch_because
from minivae.backend.memory import address
from minivae.backend.selection import array_library

WARM_UP = 2  # steps in which nothing changed, before one is recorded: they compile kernels and make buffers
NUMBERS = bool, int, float, str


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
        self._recording: Recording | None = None
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
                self._recording = Recording(self.step, name)
                return self._recording()
            launch_because(reason)
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


def _trouble(xp):
    """Why this library cannot record at all, or None."""
    if os.environ.get("MINIVAE_GRAPHS") == "none":
        return "MINIVAE_GRAPHS=none"
    if not hasattr(xp.cuda.Stream, "begin_capture"):
        return "this CuPy is too old to record"
    return cublas.trouble(xp)
