"""Rows of an array by their numbers."""

import numpy as np

from minivae.backend.buffers import scratch
from minivae.backend.selection import Array, array_library, name_of

OPERATION = "out = (T)array[indices[i / width] * width + i % width] * (T)scale"

_kernels = {}


def gather(array: Array, indices: Array, scale: float, out: Array) -> Array:
    """out = scale · array[indices] along the first axis; the indices are known to be in range."""
    if isinstance(array, np.ndarray):
        gathered = scratch(out.shape, array.dtype)
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
