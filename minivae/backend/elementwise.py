"""Element-wise work over large arrays, its formula written once for both libraries.

A formula is a pure function of arrays, `formula(xp, *arguments) -> array or tuple of arrays`, and reads as
its equation.  NumPy runs it in blocks that stay in the cache, over the worker threads; CuPy fuses it into
one kernel.
"""

import numpy as np

from minivae.backend import workers
from minivae.backend.library import library, name_of

BLOCK = 16384  # elements of one block: what a formula reads and writes then stays in the second-level cache
PARALLEL = 8 * BLOCK  # from here on waking the worker threads costs less than it saves


def elementwise(formula, *arguments, out):
    """out = formula(xp, *arguments), where arguments are arrays that broadcast to `out`, or numbers.

    `out` may be a tuple, for a formula that returns one, and may be among the arguments.
    """
    outs = out if isinstance(out, tuple) else (out,)
    if not isinstance(outs[0], np.ndarray):
        _kernel(name_of(outs[0]), formula, len(outs))(*outs, *arguments)
        return out

    def store(part, outs, arguments):
        values = formula(np, *arguments)
        for target, value in zip(outs, values if isinstance(out, tuple) else (values,)):
            target[...] = value

    _in_blocks(store, outs, arguments)
    return out


def total(formula, *arguments):
    """Sum over all elements of formula(xp, *arguments): a float on NumPy, a 0-d device array on CuPy.

    Block sums are added in the order of the blocks, so the result does not depend on the thread count.
    """
    first = arguments[0]
    if not isinstance(first, np.ndarray):
        return _kernel(name_of(first), formula, 0)(*arguments)
    sums = {}

    def add(part, _, arguments):
        sums[part] = float(formula(np, *arguments).sum())

    _in_blocks(add, (), arguments)
    return sum(sums[part] for part in sorted(sums))


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

    blocks = -(-rows // step)
    if size >= PARALLEL and workers.count() > 1:
        workers.run(span, blocks)
    else:
        span(0, blocks)


def _cut(arrays, shape, size):
    """(how to flatten the arrays or None, length of the axis that is cut, its elements in a block)."""
    if all(a.shape == shape for a in arrays):
        if all(a.flags.c_contiguous for a in arrays):
            return (lambda a: a.reshape(-1)), size, BLOCK
        if all(a.flags.f_contiguous for a in arrays):
            return (lambda a: a.T.reshape(-1)), size, BLOCK
    return None, shape[0], max(1, BLOCK * shape[0] // size)


_kernels = {}


def _kernel(name, formula, outs):
    """CuPy's fused kernel of a formula: `outs` arrays are written, or with none the sum is returned."""
    key = name, formula, outs
    if key not in _kernels:
        xp = library(name)

        def total_kernel(*arguments):
            return xp.sum(formula(xp, *arguments))

        def store_kernel(*arguments):
            values = formula(xp, *arguments[outs:])
            for target, value in zip(arguments, values if outs > 1 else (values,)):
                target[...] = value

        kernel = store_kernel if outs else total_kernel
        _kernels[key] = xp.fuse(kernel_name=formula.__name__.strip("_"))(kernel)
    return _kernels[key]


def outside(array, low, high):
    """None if every element is in [low, high], else "minimum is ..." or "maximum is ...".

    Asked of host arrays only: on a device the answer would make every step wait for the queue.
    """
    if not isinstance(array, np.ndarray) or array.size == 0:
        return None
    smallest, largest = array.min(), array.max()
    if smallest >= low and largest <= high:
        return None
    return f"minimum is {smallest:g}" if smallest < low else f"maximum is {largest:g}"
