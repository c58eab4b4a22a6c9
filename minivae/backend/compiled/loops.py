"""A compiled loop that is called with the addresses and strides of arrays, its parts shared by threads."""

import ctypes
import functools
import types

import numpy as np

from minivae.backend import workers
from minivae.backend.compiled import libraries, pool
from minivae.backend.compiled.source import AXES, source
from minivae.backend.memory import address

PARALLEL = 64 * 1024  # elements: from here on sharing them costs less than it saves
PARTS = 8  # that the threads share: for any number of threads, so that sums are always added in one order
SHORT = 32  # elements: of rows as short as that, NumPy adds up whole arrays faster
FLOAT32 = np.dtype(np.float32)


def suit(formula, operands):
    """Whether a loop may be made of the formula, which then computes the same for ever, and of float32."""
    # a closure, a default or a method may be another tomorrow, which what it was compiled to is not
    return (isinstance(formula, types.FunctionType) and formula.__closure__ is None and formula.__defaults__ is None
            and all(each.dtype == FLOAT32 for each in operands if isinstance(each, np.ndarray)))


def run(formula, purpose, outs, operands):
    """What `compiled.run` returns, of operands that suit."""
    layout = tuple([(each.shape, each.strides, each.flags.aligned) if type(each) is np.ndarray else type(each)
                    for each in operands])
    loop = _loop(formula, purpose, outs, layout)
    return None if loop is None or not loop.may_write(operands) else loop(operands)


class Loop:
    """A compiled loop over operands, arrays and numbers, of one layout."""

    def __init__(self, function, purpose, outs, written, layout, axes):
        self.function, self.written = function, written
        function.restype = ctypes.c_double
        lengths, steps = zip(*axes)  # of each axis: its length, and how far it is to each operand's next element
        self.lengths = (ctypes.c_ssize_t * AXES)(*lengths)
        self.strides = (ctypes.c_ssize_t * (AXES * len(layout)))(*[step for each in zip(*steps) for step in each])
        self.pointers, self.numbers = ctypes.c_void_p * len(layout), ctypes.c_float * len(layout)
        # the axis that the threads share is not one whose rows are summed: each row has one sum
        self.cut = next((axis for axis in range(AXES - (purpose == "rows")) if lengths[axis] > 1), 0)
        self.bytes = (ctypes.c_ssize_t * len(layout))(*[4 * step for step in steps[self.cut]])
        self.share = pool.function("run_loop") if np.prod(lengths) >= PARALLEL else None
        # (one that is written to, another array, whether the two may be the same)
        self.pairs = [(k, j, k < outs <= j and layout[k] == layout[j]) for k in written for j in range(len(layout))
                      if j != k and isinstance(layout[j], tuple)]

    def may_write(self, operands):
        """Whether what is written to may be, and overlaps nothing of which elements are still to be read."""
        return all(operands[k].flags.writeable for k in self.written) and all(
            not np.may_share_memory(operands[k], operands[j]) or (same and address(operands[k]) == address(operands[j]))
            for k, j, same in self.pairs)

    def __call__(self, operands):
        arrays = self.pointers(*[address(each) if isinstance(each, np.ndarray) else 0 for each in operands])
        numbers = self.numbers(*[0 if isinstance(each, np.ndarray) else each for each in operands])
        if self.share is None:
            return self.function(self.lengths, arrays, self.strides, numbers)
        return self.share(self.function, self.lengths, arrays, self.strides, numbers, self.bytes, len(operands),
                          self.cut, PARTS, workers.count())


@functools.lru_cache(maxsize=1024)
def _loop(formula, purpose, outs, layout):
    """The Loop of a formula for operands of this layout; None: NumPy's work.

    The layout is the shape, strides and alignment of each array, and the type of each number.
    """
    arrays = [each for each in layout if isinstance(each, tuple)]
    if not all(aligned for _, _, aligned in arrays):
        return None
    if any(each not in (int, float) for each in layout if not isinstance(each, tuple)):
        return None
    try:
        shape = np.broadcast_shapes(*(each[0] for each in arrays))
        steps = [_steps(shape, *each[:2]) if isinstance(each, tuple) else (0,) * len(shape) for each in layout]
        axes = _axes(shape, steps, sums_rows=purpose == "rows")
        axes = [(1, (0,) * len(layout))] * (AXES - len(axes)) + axes
        kinds = [step if isinstance(each, tuple) else "number" for each, step in zip(layout, axes[-1][1])]
        text, written = source(formula, purpose, outs, kinds)
    except Exception:  # whatever it is, NumPy can do it, or will say it
        return None
    full = written if purpose == "elements" else [outs]  # which operands must have the whole shape
    if len(axes) > AXES or 0 in shape or any(layout[k][0] != shape for k in full):
        return None
    if purpose == "total" and axes[-1][0] < SHORT:
        return None
    library = libraries.loaded(text)
    return None if library is None else Loop(library.kernel, purpose, outs, written, layout, axes)


def _steps(shape, own, strides):
    """How far it is to the next element along each axis of `shape`, in an array of float32 that is broadcast to it."""
    return (0,) * (len(shape) - len(own)) + tuple(0 if n == 1 else stride // 4 for n, stride in zip(own, strides))


def _axes(shape, steps, sums_rows):
    """[(length, the step of each operand), ...]: the axes as the first operand lies in memory, as few as will do.

    When rows are summed, their axis stays by itself, and last: the sums, first of the operands, do not go along it, and
    of axes with equal steps sorted() keeps the order.
    """
    last = len(shape) - 1 if sums_rows else None
    axes = []
    for axis in sorted(range(len(shape)), key=lambda axis: -abs(steps[0][axis])):
        length, each = shape[axis], tuple(step[axis] for step in steps)
        if axis != last and axes and all(outer == inner * length for outer, inner in zip(axes[-1][1], each)):
            length *= axes.pop()[0]  # the two are one
        if length > 1 or axis == last:
            axes.append((length, each))
    return axes
