"""Element-wise work over large arrays, its formula written once for both libraries.

A formula is a function of arrays, `formula(xp, *arguments) -> array or tuple of arrays`, and reads as its
equation.  NumPy runs it in blocks that stay in the cache, over the worker threads; CuPy fuses it into
one kernel.  Of its numbers it may combine each with an array, but not two with each other: CuPy would do that
in half precision, so pass 1 − β beside β.
"""

from math import isfinite

import numpy as np

from minivae.backend import workers
from minivae.backend.selection import array_library, name_of

# Elements of one block: small enough for a formula's arrays to stay in the second-level cache.  Blocks that threads
# share out are larger, although the third-level cache is slower: each NumPy call takes the interpreter's lock, and a
# thread that meets another one there sleeps for longer than a small block takes.
BLOCK = 96 * 1024
SHARED_BLOCK = 224 * 1024
PARALLEL = 448 * 1024  # from here on waking the worker threads costs less than it saves


def elementwise(formula, *arguments, out=None):
    """out = formula(xp, *arguments), where arguments are arrays that broadcast to `out`, or numbers.

    `out` may be a tuple, for a formula that returns one, and may be among the arguments.  Without `out` the
    formula updates its array arguments in place and returns nothing: no copy, which is a third of Adam's time.
    """
    outs = out if isinstance(out, tuple) else () if out is None else (out,)
    first = outs[0] if outs else arguments[0]
    if not isinstance(first, np.ndarray):
        _kernel(name_of(first), formula, len(outs))(*outs, *arguments)
        return out

    def store(part, outs, arguments):
        values = formula(np, *arguments)
        for target, value in zip(outs, values if isinstance(values, tuple) else (values,)):
            target[...] = value

    _in_blocks(store, outs, arguments)
    return out


def total(formula, *arguments):
    """Sum over all elements of formula(xp, *arguments): a float on NumPy, a 0-d device array on CuPy.

    Where float32 would overflow the sum is that of float64.
    Block sums are added in the order of the blocks, so the result does not depend on the thread count.
    """
    first = arguments[0]
    if not isinstance(first, np.ndarray):
        return _kernel(name_of(first), formula, -1)(*arguments)
    sums = {}

    def add(part, _, arguments):
        values = formula(np, *arguments)
        with np.errstate(over="ignore"):
            value = float(values.sum())  # pairwise, so float32 will do for one block, unless it overflows
        sums[part] = value if isfinite(value) else float(values.sum(dtype=np.float64))

    _in_blocks(add, (), arguments)
    return sum(sums[part] for part in sorted(sums))


def row_totals(formula, *arguments):
    """Sums over the last axis of formula(xp, *arguments): a new array.

    Every array has the axes (N, ..., D), those between in full or of length 1, and the first one's are full.
    """
    first = arguments[0]
    if not isinstance(first, np.ndarray):
        return formula(array_library(name_of(first)), *arguments).sum(axis=-1)
    sums = np.empty(first.shape[:-1], first.dtype)
    step = max(1, BLOCK * len(first) // max(1, first.size))

    def span(start, stop):
        for part in range(start, stop):
            rows = slice(part * step, (part + 1) * step)
            values = formula(np, *(a[rows] if isinstance(a, np.ndarray) else a for a in arguments))
            np.sum(values, axis=-1, out=sums[rows])

    _share(span, -(-len(first) // step), first.size)
    return sums


def _in_blocks(work, outs, arguments):
    """Call work(part, outs, arguments) for every block of the arrays."""
    arrays = [a for a in (*outs, *arguments) if isinstance(a, np.ndarray)]
    shape, size = arrays[0].shape, arrays[0].size
    if size <= BLOCK:
        work(0, outs, arguments)
        return
    flatten, rows, step = _cut(arrays, shape, size)
    cut = len(shape) if not flatten else 1

    def flat(array):
        return flatten(array) if flatten and isinstance(array, np.ndarray) else array

    outs, arguments = [flat(a) for a in outs], [flat(a) for a in arguments]

    def span(first, last):
        for part in range(first, last):
            rows_of = slice(part * step, min((part + 1) * step, rows))

            def block(a, rows_of=rows_of):
                sliced = isinstance(a, np.ndarray) and a.ndim == cut and a.shape[0] == rows
                return a[rows_of] if sliced else a

            work(part, [block(a) for a in outs], [block(a) for a in arguments])

    _share(span, -(-rows // step), size)


def _share(span, blocks, size):
    """Call span(first, last) for all blocks, over the worker threads where that pays."""
    if size >= PARALLEL and workers.count() > 1:
        workers.run(span, blocks)
    else:
        span(0, blocks)


def _cut(arrays, shape, size):
    """(how to flatten the arrays or None, length of the axis that is cut, its elements in a block).

    The same for any number of threads: where a block ends may decide over the last bit of what NumPy computes.
    """
    block = BLOCK if size < PARALLEL else SHARED_BLOCK
    if all(a.shape == shape for a in arrays):
        order = sorted(range(len(shape)), key=lambda axis: -arrays[0].strides[axis])  # as the axes lie in memory
        if all(a.transpose(order).flags.c_contiguous for a in arrays):
            return (lambda a: a.transpose(order).reshape(-1)), size, _even(size, block)
    return None, shape[0], _even(shape[0], max(1, block * shape[0] // size))


def _even(length, most):
    """The length of blocks of at most `most`, when their number is even and they are as long as one another."""
    pairs = -(-length // (2 * most))
    return -(-length // (2 * pairs))


_kernels = {}


def _kernel(name, formula, outs):
    """CuPy's fused kernel of a formula: it writes to its first `outs` arguments, or with −1 returns the sum."""
    xp = array_library(name)
    key = xp, formula, outs
    if key not in _kernels:

        def kernel(*arguments):
            values = formula(xp, *arguments[max(outs, 0):])
            for target, value in zip(arguments[:max(outs, 0)], values if isinstance(values, tuple) else (values,)):
                target[...] = value
            return xp.sum(values.astype("float64")) if outs < 0 else None

        _kernels[key] = xp.fuse(kernel_name=formula.__name__.strip("_"))(kernel)
    return _kernels[key]


def outside(array, low, high):
    """None if every element is in [low, high], else "its minimum is ...", or "its maximum is ...".

    Asked of host arrays only: on a device the answer would make every step wait for the queue.
    """
    if not isinstance(array, np.ndarray) or array.size == 0:
        return None
    smallest, largest = array.min(), array.max()
    if smallest >= low and largest <= high:
        return None
    if np.isnan(smallest):
        return "it holds NaN"
    return f"its minimum is {smallest:g}" if smallest < low else f"its maximum is {largest:g}"


def gather(array, indices, out):
    """out = array[indices] along the first axis; the indices are known to be in range."""
    if isinstance(array, np.ndarray):
        np.take(array, indices, axis=0, out=out, mode="clip")  # the mode "raise" would write to a copy first
    else:
        array_library(name_of(array)).take(array, indices, axis=0, out=out)
    return out
