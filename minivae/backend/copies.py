"""Copies: into another layout, of some rows, between host and device; and zeros."""

import numpy as np

from minivae.backend.elementwise import elementwise
from minivae.backend.memory import address, empty, scratch
from minivae.backend.selection import Array, array_library, from_numpy, name_of

WIDE = np.dtype(np.complex128)  # the longest numbers there are, of 16 bytes
GATHER = "out = (T)array[indices[i / width] * width + i % width] * (T)scale"

_kernels = {}


def copy(array: Array, out: Array) -> Array:
    """out = array, broadcast to it.  A device copies 16 bytes at a time where they lie together: a thread for each
    number would spend its time on finding out where that number is."""
    if isinstance(out, np.ndarray) or not _goes_wide(array, out):
        out[...] = array
    else:
        _wide(out)[...] = _wide(array)
    return out


def clear(array: Array) -> None:
    """array = 0, by all threads of the host: NumPy's fill takes twice as long for the gradients of a large model."""
    if isinstance(array, np.ndarray):
        elementwise(_nothing, 0.0, out=array)
    else:
        array.fill(0)


def _nothing(xp, zero):
    return zero


def aligned(array: np.ndarray, dtype: np.dtype, name: str) -> Array:
    """A copy of a host array in the library of that name.  Of numbers that lie elsewhere a BLAS may round otherwise: so
    what is computed from a copy has the same bits each time."""
    array = from_numpy(array, name)
    return copy(array, empty(array.shape, dtype, name))


def _goes_wide(array, out):
    return array.dtype == out.dtype and all(
        each.ndim > 0 and each.shape[-1] == out.shape[-1] and each.strides[-1] == each.itemsize
        and address(each) % WIDE.itemsize == 0 and each.shape[-1] * each.itemsize % WIDE.itemsize == 0
        and all(step % WIDE.itemsize == 0 for step in each.strides[:-1]) for each in (array, out))


def _wide(array):
    """The same memory as wide numbers."""
    xp = array_library(name_of(array))
    shape = (*array.shape[:-1], array.shape[-1] * array.itemsize // WIDE.itemsize)
    return xp.ndarray(shape, WIDE, memptr=array.data, strides=(*array.strides[:-1], WIDE.itemsize))


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
                                            GATHER, "minivae_gather")
    _kernels[xp](array, indices, out.size // max(1, len(out)), scale, out)
    return out


def page_locked(array: Array, spare: np.ndarray | None = None) -> np.ndarray:
    """A host array of the same size for the two copies below: a NumPy array itself, else page-locked memory.

    `spare`, from an earlier call, is used again where it fits.
    """
    if isinstance(array, np.ndarray):
        return array
    if spare is not None and (spare.shape, spare.dtype) == (array.shape, array.dtype):
        return spare
    return page_locked_memory(array_library(name_of(array)), array.shape, array.dtype)


def page_locked_memory(xp, shape, dtype=np.uint8):
    """A new array of the host from which the device of a library copies by itself."""
    size = int(np.prod(shape))
    memory = xp.cuda.alloc_pinned_memory(size * np.dtype(dtype).itemsize)
    return np.frombuffer(memory, dtype, size).reshape(shape)


def copy_to_host(array: Array, host: np.ndarray) -> None:
    """host = array, and wait for it."""
    if host is not array:
        array.get(out=host)  # type: ignore[attr-defined]


def copy_from_host(host: np.ndarray, array: Array) -> None:
    """array = host."""
    if host is not array:
        array.set(host)  # type: ignore[attr-defined]
