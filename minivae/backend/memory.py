"""The memory of arrays: aligned buffers that keep their storage when their shape changes, and who shares some."""

import contextlib
import threading
import weakref
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike

from minivae.backend.selection import Array, array_library, current, name_of
from minivae.errors import OptionError

COLUMNS = 129  # batches of fewer rows are kept column by column, see `resize`
MOST_VIEWS = 256  # of a thread's scratch array, see `scratch`
ALIGNMENT = 64  # bytes: one cache line, one AVX-512 register


class _Allowance:
    """Bytes that may still be taken.  An array that is freed gives its own back."""

    def __init__(self, left):
        self.left = left

    def give_back(self, size):
        self.left += size


class _Allowed(threading.local):
    now: _Allowance | None = None  # this thread's; None: no limit
    marking = False


class _Scratch(threading.local):
    """Each thread has its own, because two may work at once."""

    def __init__(self):
        self.largest = {}  # by dtype
        self.views = {}  # of these, by shape and dtype: a new one takes longer than a small product


_allowed = _Allowed()
_scratch = _Scratch()


@contextlib.contextmanager
def at_most(size: int | None) -> Iterator[None]:
    """Inside the block, parameters and buffers of more than `size` bytes at a time are refused before they are made."""
    kept, _allowed.now = _allowed.now, None if size is None else _Allowance(size)
    try:
        yield
    finally:
        _allowed.now = kept


@contextlib.contextmanager
def marked(on: bool = True) -> Iterator[None]:
    """Inside the block, new parameters and buffers hold NaN until they are written, or what memory held if not `on`."""
    kept, _allowed.marking = _allowed.marking, on
    try:
        yield
    finally:
        _allowed.marking = kept


def empty(shape: Sequence[int], dtype: DTypeLike, name: str | None = None, columns: bool = False) -> Array:
    """A new array whose first byte is aligned; `columns` lays it out column by column."""
    size, allowance = _bytes(shape, dtype) + ALIGNMENT, _allowed.now
    if allowance is not None and size > allowance.left:
        raise OptionError(f"an array of shape {tuple(shape)} takes {size} bytes, {allowance.left} are left")
    raw = array_library(name or current()).empty(size, dtype=np.uint8)
    if _allowed.marking:
        raw.fill(255)  # of any dtype of floating-point numbers a NaN
    if allowance is not None:
        allowance.left -= size
        weakref.finalize(raw, allowance.give_back, size).atexit = False
    return _carve(raw, shape, dtype, columns)


def resize(buffer: Array | None, shape: Sequence[int], dtype: DTypeLike, name: str, batch: bool = True) -> Array:
    """An array of that shape, in the storage of `buffer` wherever it is large enough.

    The content is not kept.  A batch of few rows is laid out column by column on NumPy, which then has OpenBLAS form
    yᵀ = W xᵀ: up to twice as fast as y = x Wᵀ when x has few rows, and element-wise work does not mind.
    CuPy keeps rows, because its matmul writes into a row-major `out` only.
    """
    columns = batch and name == "numpy" and len(shape) == 2 and shape[0] < COLUMNS
    if buffer is None or buffer.dtype != dtype or buffer.base is None or name_of(buffer) != name:
        return empty(shape, dtype, name, columns)
    if buffer.shape == shape:
        return buffer
    if not _carved(buffer) or buffer.base.nbytes < _bytes(shape, dtype) + ALIGNMENT:
        return empty(shape, dtype, name, columns)
    return _carve(buffer.base, shape, dtype, columns)


def scratch(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array of the host to work in until this thread asks for another one; its content is nobody's.

    Its storage is kept, and so a step of training allocates none.  On a device a new array is as good: its memory is of
    a pool, and while a step is recorded of a pool that the recording keeps.
    """
    view = _scratch.views.get((shape, dtype))
    if view is None:
        last = _scratch.largest.get(dtype)
        view = _scratch.largest[dtype] = resize(last, shape, dtype, "numpy", batch=False)
        if last is None or view.base is not last.base or len(_scratch.views) > MOST_VIEWS:
            _scratch.views.clear()  # what they show is free now
        _scratch.views[shape, dtype] = view
    return view


def address(array: Array) -> int:
    """Where the array's first element lies in memory."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def _bytes(shape, dtype):
    size = np.dtype(dtype).itemsize
    for length in shape:
        size *= length
    return size


def _carve(raw, shape, dtype, columns):
    start = -address(raw) % ALIGNMENT
    flat = raw[start:start + _bytes(shape, dtype)].view(dtype)
    return flat.reshape(shape[::-1]).T if columns else flat.reshape(shape)


def _carved(array):
    """Whether `empty` has made it; one that has been pickled lies over memory of another kind."""
    raw = array.base
    return isinstance(raw, type(array)) and raw.ndim == 1 and raw.dtype == np.uint8


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
