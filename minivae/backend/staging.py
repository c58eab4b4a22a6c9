"""Host memory that a device's arrays pass through, on their way to another process and back."""

import numpy as np

from minivae.backend.selection import Array, array_library, name_of


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


def use_device(name: str, number: int) -> None:
    """Compute on the device of that number, counted round and round; NumPy has none."""
    if name != "numpy":
        cuda = array_library(name).cuda
        cuda.Device(number % cuda.runtime.getDeviceCount()).use()
