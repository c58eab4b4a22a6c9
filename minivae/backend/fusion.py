"""A formula as one kernel on a device, by CuPy's fusion."""

from minivae.backend.selection import array_library

ONE_BLOCK = 2**15  # elements that one block of threads adds up in no more time than a launch takes
ROWS = 1024

_kernels = {}


def run(name, formula, outs, arguments):
    """outs = formula(xp, *arguments) in one launch; without `outs` the formula updates its arguments.

    Axes go in the order in which the first array lies in memory: neighbouring threads then read neighbouring numbers.
    """
    operands = (*outs, *arguments)
    first = operands[0]
    if not first.flags.c_contiguous:
        order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
        operands = [each.transpose(order) if getattr(each, "ndim", 0) == first.ndim else each for each in operands]
        if any(0 < getattr(each, "ndim", 0) < first.ndim for each in operands):
            operands = (*outs, *arguments)  # which broadcasts along axes that are last no longer
    _kernel(name, formula, len(outs))(*operands)


def total(name, formula, arguments):
    """Sum of formula(xp, *arguments) in float64: a 0-d device array.

    CuPy adds up each sum in one block of threads: many elements are added row by row, and then the rows.
    """
    if max(each.size for each in arguments if not isinstance(each, float | int)) <= ONE_BLOCK:
        return _kernel(name, formula, -1)(0.0, *arguments)
    return _kernel(name, formula, -2)(0.0, *_in_rows(arguments)).sum()


def _in_rows(arguments):
    """The arguments, of which one-dimensional ones are cut into rows, as even as the length allows."""
    if arguments[0].ndim > 1:
        return arguments
    rows = next(rows for rows in range(ROWS, 0, -1) if arguments[0].size % rows == 0)
    return [each if isinstance(each, float | int) else each.reshape(rows, -1) for each in arguments]


def _kernel(name, formula, outs):
    """The fused kernel of a formula: it writes to its first `outs` arguments; −1, −2: returns the sum, sums of rows."""
    xp = array_library(name)
    key = xp, formula, outs
    if key not in _kernels:

        def elementwise(*arguments):
            values = formula(xp, *arguments[outs:])
            for target, value in zip(arguments[:outs], values if isinstance(values, tuple) else (values,)):
                target[...] = value

        def total(zero, *arguments):
            # adding nothing: a sum of one array alone would go to CUB, for which CuPy 14 fuses code that no
            # compiler takes ("invalid redeclaration of type name")
            values = formula(xp, *arguments).astype("float64") + zero
            return xp.sum(values, axis=None if outs == -1 else tuple(range(1, values.ndim)))

        # a name of its own: a kernel called exp or std would hide CUDA's
        name_kernel = xp.fuse(kernel_name=f"minivae_{formula.__name__.strip('_<>')}")
        _kernels[key] = name_kernel(total if outs < 0 else elementwise)
    return _kernels[key]
