"""The matrix product that adds to what is there, C ← A B + C, of the OpenBLAS that NumPy's wheels bring along.

Every BLAS has it, and NumPy's matmul does not give it away.  With it the gradient of a weight is read and written once;
without it the product is written to an array of its own, read again and added.
"""

import ctypes
import functools
from pathlib import Path

import numpy as np

from minivae.backend.buffers import address

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # cblas.h
FUNCTIONS = {np.dtype("float32"): ("scipy_cblas_sgemm64_", ctypes.c_float),
             np.dtype("float64"): ("scipy_cblas_dgemm64_", ctypes.c_double)}
SIZE = ctypes.c_int64


def add_product(total, a, b):
    """total += a b, for matrices on the host.  Returns False, and has done nothing, where it is not for this BLAS."""
    (rows, inner), columns = a.shape, b.shape[-1]
    gemm = _gemm(total.dtype) if total.dtype == a.dtype == b.dtype else None
    left, right = _layout(a), _layout(b)
    if gemm is None or left is None or right is None or not (total.flags.c_contiguous and total.flags.behaved):
        return False
    if total.shape != (rows, columns) or b.shape != (inner, columns):
        return False
    gemm(ROW_MAJOR, left, right, rows, columns, inner, 1, address(a), inner if left == AS_IT_IS else rows,
         address(b), columns if right == AS_IT_IS else inner, 1, address(total), columns)
    return True


def _layout(matrix):
    if matrix.size == 0 or not matrix.flags.aligned:
        return None
    return AS_IT_IS if matrix.flags.c_contiguous else TRANSPOSED if matrix.flags.f_contiguous else None


@functools.cache
def _gemm(dtype):
    """The function for that dtype, or None: there is none, or this NumPy has another BLAS."""
    if dtype not in FUNCTIONS:
        return None
    name, number = FUNCTIONS[dtype]
    package, pattern = Path(np.__file__).parent, "libscipy_openblas64_*"
    for path in (*package.with_name("numpy.libs").glob(pattern), *(package / ".dylibs").glob(pattern)):
        try:
            gemm = getattr(ctypes.CDLL(str(path)), name)  # NumPy has loaded it before
        except (OSError, AttributeError):
            continue
        matrix = ctypes.c_void_p, SIZE
        gemm.argtypes = (*[ctypes.c_int] * 3, *[SIZE] * 3, number, *matrix, *matrix, number, *matrix)
        gemm.restype = None
        return gemm
    return None
