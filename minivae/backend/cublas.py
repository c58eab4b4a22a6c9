"""Matrix products of device arrays by cuBLAS, C ← A B + β C, through a handle of our own.

CuPy's matmul cannot add to what is there, and refuses to be recorded (see `graphs`), which cuBLAS itself does not.
"""

import ctypes
import threading

import numpy as np

from minivae.backend.memory import address

AS_IT_IS, TRANSPOSED = 0, 1  # cublasOperation_t
FUNCTIONS = {np.dtype("float32"): ("cublasSgemm", ctypes.c_float),
             np.dtype("float64"): ("cublasDgemm", ctypes.c_double)}
WORKSPACE = 32 * 2**20  # bytes, what NVIDIA advises for Hopper; on other GPUs less would do
NUMBER, SIZE, POINTER = ctypes.c_int, ctypes.c_longlong, ctypes.c_void_p


class _Handles(threading.local):
    """A handle belongs to one thread and one device."""

    def __init__(self):
        self.made = {}


_handles = _Handles()
_libraries = {}  # of each array library: cuBLAS, or why there is none


def trouble(xp):
    """Why cuBLAS cannot be called, or None."""
    library = _library(xp)
    return library if isinstance(library, str) else None


def multiply(xp, a, b, out, add=False):
    """out = a b, or out += a b, for matrices or stacks of them; False, and nothing done, where it is not for cuBLAS."""
    if trouble(xp) is not None or out.dtype not in FUNCTIONS or not a.dtype == b.dtype == out.dtype:
        return False
    left, right, target = (_layout(each) for each in (a, b, out))
    (rows, inner), columns = a.shape[-2:], b.shape[-1]
    if None in (left, right, target) or min(rows, inner, columns) == 0:
        return False
    if target[0] != AS_IT_IS:
        return multiply(xp, b.swapaxes(-1, -2), a.swapaxes(-1, -2), out.swapaxes(-1, -2), add)  # Cᵀ = Bᵀ Aᵀ
    stack = out.shape[0] if out.ndim == 3 else 1
    if b.shape[-2] != inner or out.shape[-2:] != (rows, columns) or any(
            each.ndim == 3 and len(each) != stack for each in (a, b)):
        return False
    if stack > 1 and a.ndim == 2 and right[0] == AS_IT_IS and right[2] == target[2] == columns and all(
            leading >= columns * stack for (_, leading, _), n in ((right, inner), (target, rows)) if n > 1):
        columns, stack = columns * stack, 1  # matrices that lie side by side are one
        right, target = ((AS_IT_IS, max(leading, columns), 0) for _, leading, _ in (right, target))
    name, number = FUNCTIONS[out.dtype]
    # cuBLAS has columns one behind the other: for it these arrays are the transposed ones, and Cᵀ = Bᵀ Aᵀ.
    operands = []
    for array, (_, leading, step) in ((b, right), (a, left), (out, target)):
        operands.append((POINTER(address(array)), NUMBER(leading), *([SIZE(step)] if stack > 1 else [])))
    one, beta = number(1), number(1 if add else 0)
    gemm = getattr(_library(xp), f"{name}StridedBatched" if stack > 1 else f"{name}_v2")
    status = gemm(_handle(xp), NUMBER(right[0]), NUMBER(left[0]), NUMBER(columns), NUMBER(rows), NUMBER(inner),
                  ctypes.byref(one), *operands[0], *operands[1], ctypes.byref(beta), *operands[2],
                  *([NUMBER(stack)] if stack > 1 else []))
    _expect_success(name, status)
    return True


def follow(xp):
    """Work on the stream that is current now."""
    if trouble(xp) is None:
        _handle(xp)


def _layout(array):
    """(whether rows or columns lie in memory, numbers from one to the next, from one matrix to the next), or None."""
    if array.ndim not in (2, 3):
        return None
    size = array.itemsize
    step = array.strides[0] // size if array.ndim == 3 else 0
    (rows, columns), (down, right) = array.shape[-2:], array.strides[-2:]
    if (right == size or columns == 1) and (down >= columns * size or rows == 1):
        return AS_IT_IS, max(down // size, columns) if rows > 1 else columns, step
    if (down == size or rows == 1) and (right >= rows * size or columns == 1):
        return TRANSPOSED, max(right // size, rows) if columns > 1 else rows, step
    return None


def _handle(xp):
    """This thread's handle, which works on the current stream and in memory of its own: cuBLAS's would be allocated."""
    device, stream = (xp, xp.cuda.get_device_id()), xp.cuda.get_current_stream().ptr
    if device not in _handles.made:
        handle = POINTER()
        _expect_success("cublasCreate", _library(xp).cublasCreate_v2(ctypes.byref(handle)))
        _handles.made[device] = [handle, None, xp.empty(WORKSPACE, dtype=np.uint8)]
    kept = _handles.made[device]
    handle, last, workspace = kept
    if stream != last:  # which also takes the workspace away
        _expect_success("cublasSetStream", _library(xp).cublasSetStream_v2(handle, POINTER(stream)))
        _expect_success("cublasSetWorkspace", _library(xp).cublasSetWorkspace_v2(
            handle, POINTER(address(workspace)), ctypes.c_size_t(WORKSPACE)))
        kept[1] = stream
    return handle


def _library(xp):
    if xp not in _libraries:
        _libraries[xp] = _load(xp)
    return _libraries[xp]


def _load(xp):
    """The cuBLAS that CuPy has loaded, or why there is none."""
    version = xp.cuda.runtime.runtimeGetVersion() // 1000
    xp.cuda.get_cublas_handle()  # loads it
    for name in (f"libcublas.so.{version}", f"cublas64_{version}.dll"):
        try:
            return ctypes.CDLL(name)
        except OSError as error:
            said = str(error)
    return f"cuBLAS {version} is not found ({said[:200]})"


def _expect_success(name, status):
    if status:
        raise RuntimeError(f"{name} of cuBLAS failed with status {status}")
