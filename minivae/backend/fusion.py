"""A formula as one kernel on a device, by CuPy's fusion."""

from minivae.backend.selection import array_library

_kernels = {}


def run(name, formula, outs, arguments):
    """outs = formula(xp, *arguments) in one launch; without `outs` the formula updates its arguments."""
    _kernel(name, formula, len(outs))(*outs, *arguments)


def total(name, formula, arguments):
    """Sum of formula(xp, *arguments) in one launch, in float64: a 0-d device array."""
    return _kernel(name, formula, -1)(0.0, *arguments)


def _kernel(name, formula, outs):
    """The fused kernel of a formula: it writes to its first `outs` arguments, or with −1 returns the sum."""
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
            return xp.sum(formula(xp, *arguments).astype("float64") + zero)

        # a name of its own: a kernel called exp or std would hide CUDA's
        name_kernel = xp.fuse(kernel_name=f"minivae_{formula.__name__.strip('_<>')}")
        _kernels[key] = name_kernel(total if outs < 0 else elementwise)
    return _kernels[key]
