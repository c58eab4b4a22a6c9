"""Rows of an array by their numbers."""

from collections.abc import Callable

import numpy as np

from minivae.backend.selection import Array, array_library, name_of

OPERATION = "out = (T)array[indices[i / width] * width + i % width] * (T)scale"

_kernels = {}


def gather(array: Array, indices: Array, scale: float, out: Array, spare: Callable[[], Array]) -> Array:
    """out = scale · array[indices] along the first axis; the indices are known to be in range.

    `spare()` gives an array as `array` has them and of the shape of `out`, where one is needed.
    """
    if isinstance(array, np.ndarray):
        gathered = spare()
        np.take(array, indices, axis=0, out=gathered, mode="clip")  # the mode "raise" would write to a copy first
        out[...] = gathered
        if scale != 1:
            out *= scale
        return out
    xp = array_library(name_of(array))
    if xp not in _kernels:
        _kernels[xp] = xp.ElementwiseKernel("raw S array, raw int64 indices, int64 width, float64 scale", "T out",
                                            OPERATION, "minivae_gather")
    _kernels[xp](array, indices, out.size // max(1, len(out)), scale, out)
    return out
