"""Memory of arrays: which arrays lie side by side, and which share some."""

from collections.abc import Sequence

import numpy as np

from minivae.backend.buffers import address
from minivae.backend.selection import Array, array_library, name_of


def owner(array: Array) -> Array:
    """The array whose memory this one shows: its base, or itself."""
    return array.base if isinstance(array.base, type(array)) else array


def bounds(array: Array) -> tuple[int, int]:
    """(address of the first byte, address behind the last one)."""
    first = last = address(array)
    for length, stride in zip(array.shape, array.strides):
        if stride < 0:
            first += (length - 1) * stride
        else:
            last += (length - 1) * stride
    return first, last + array.itemsize if array.size else first


def side_by_side(arrays: Sequence[Array]) -> Array | None:
    """The vector that these arrays make up, if each begins where the one before ends, in memory of one owner; or None.
    """
    whole = owner(arrays[0])
    start = end = address(arrays[0])
    for array in arrays:
        if owner(array) is not whole or address(array) != end or not array.flags.c_contiguous:
            return None
        end += array.nbytes
    if not whole.flags.c_contiguous:
        return None
    first = start - address(whole)
    return whole.reshape(-1).view(np.uint8)[first:first + end - start].view(arrays[0].dtype)


def sharing(arrays: Sequence[Array]) -> tuple[int, int] | None:
    """The numbers (i, j), i < j, of two arrays that share memory, or None."""
    spans = sorted((*bounds(array), i) for i, array in enumerate(arrays) if array.size)
    open_ = []
    for first, last, i in spans:
        open_ = [(end, j) for end, j in open_ if end > first]
        for _, j in open_:
            if type(arrays[i]) is type(arrays[j]) and array_library(name_of(arrays[i])).shares_memory(
                    arrays[i], arrays[j]):
                return min(i, j), max(i, j)
        open_.append((last, i))
    return None
