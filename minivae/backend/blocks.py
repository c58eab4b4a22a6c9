"""NumPy's element-wise work in blocks that stay in the cache, and over the worker threads."""

import numpy as np

from minivae.backend import workers

# Elements of one block: small enough for a formula's arrays to stay in the second-level cache.  Blocks that threads
# share out are larger, although the third-level cache is slower: each NumPy call takes the interpreter's lock, and a
# thread that meets another one there sleeps for longer than a small block takes.
BLOCK = 96 * 1024
SHARED_BLOCK = 224 * 1024
PARALLEL = 448 * 1024  # from here on waking the worker threads costs less than it saves


def in_blocks(work, outs, arguments):
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

    def compute(part):
        rows_of = slice(part * step, min((part + 1) * step, rows))

        def block(a):
            sliced = isinstance(a, np.ndarray) and a.ndim == cut and a.shape[0] == rows
            return a[rows_of] if sliced else a

        work(part, [block(a) for a in outs], [block(a) for a in arguments])

    share(compute, -(-rows // step), size)


def share(compute, blocks, size):
    """Call compute(part) for all blocks, over the worker threads where that pays."""
    if size >= PARALLEL:
        workers.run(compute, blocks)
    else:
        for part in range(blocks):
            compute(part)


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
