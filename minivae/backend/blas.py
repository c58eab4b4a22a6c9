"""The BLAS library that NumPy multiplies matrices with: its threads, and the product that adds to what is there.

Every BLAS has that product, C ← A B + C, and NumPy's matmul does not give it away.  With it the gradient of a weight is
read and written once; without it the product is written to an array of its own, read again and added.
"""

import ctypes
import functools
import os
from pathlib import Path

import numpy as np

from minivae.backend.memory import address

ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112  # cblas.h
FUNCTIONS = {np.dtype("float32"): ("scipy_cblas_sgemm64_", ctypes.c_float),
             np.dtype("float64"): ("scipy_cblas_dgemm64_", ctypes.c_double)}
CONFIG = [f"{name}get_config{bits}" for name in ("scipy_openblas_", "openblas_") for bits in ("64_", "")]
SIZE = ctypes.c_int64
THREADS = (  # the functions that get and set their number, of NumPy's wheels, of OpenBLAS elsewhere, and of MKL
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("openblas_get_num_threads", "openblas_set_num_threads"),
    ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"))


@functools.cache
def one_thread():
    """Have BLAS compute on the thread that calls it, from now on, for everyone in this process.

    Returns how many threads it had; None where that cannot be set: then BLAS goes on as it was.
    """
    for get, set in (map(_function, names) for names in THREADS):
        if get and set:
            threads = get()
            set(1)
            return threads
    return None


@functools.cache
def identity():
    """The library's name, version and kernels, as it says itself; of another BLAS, what NumPy knows of it and how many
    threads the environment gives it."""
    config = next(filter(None, map(_function, CONFIG)), None)
    if config:
        config.restype = ctypes.c_char_p
        return config().decode(errors="replace").strip()
    known = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    given = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.endswith("_NUM_THREADS")]
    return " ".join([known.get("name", "unknown"), known.get("version", ""), *given])


def adding_function():
    """The name of the function behind `add_product` for float32, or "": it is not in use."""
    dtype = np.dtype("float32")
    return FUNCTIONS[dtype][0] if _gemm(dtype) else ""


def adds(total, a, b):
    """Whether `add_product` can take these matrices, and so any rows or columns of them."""
    layouts = [_layout(matrix) for matrix in (total, a, b)]
    return (total.dtype == a.dtype == b.dtype and _gemm(total.dtype) is not None and None not in layouts
            and layouts[0][0] == AS_IT_IS and total.flags.writeable
            and total.shape == (len(a), b.shape[1]) and len(b) == a.shape[1])


def add_product(total, a, b):
    """total += a b, for matrices on the host that it `adds`."""
    (left, a_step), (right, b_step), (_, step) = map(_layout, (a, b, total))
    _gemm(total.dtype)(ROW_MAJOR, left, right, *total.shape, len(b), 1, address(a), a_step, address(b), b_step, 1,
                       address(total), step)


def share(run, out, a, b, add, cuts, threads, row=None):
    """out = a b, or += where it adds, and + row, in parts: those slices of its longer side.  `run` is pool.c's.

    Returns False, and has done nothing, where it cannot: for stacks, vectors, layouts that BLAS does not take.
    """
    if run is None or out.ndim != 2 or min(out.shape) == 1 or not out.dtype == a.dtype == b.dtype:
        return False
    if row is not None and not (row.dtype == out.dtype and row.shape == out.shape[1:] and row.flags.carray):
        return False
    layouts = [_layout(matrix) for matrix in (a, b, out)]
    gemm = _gemm(out.dtype)
    if gemm is None or None in layouts or np.may_share_memory(out, a) or np.may_share_memory(out, b):
        return False
    by_rows = out.shape[0] >= out.shape[1]
    stands = layouts[2][0] == TRANSPOSED
    if stands:  # then BLAS forms outᵀ = bᵀ aᵀ
        out, a, b, by_rows = out.T, b.T, a.T, not by_rows
        layouts = [(AS_IT_IS + TRANSPOSED - flag, step) for flag, step in (layouts[1], layouts[0], layouts[2])]
    (left, a_step), (right, b_step), (_, step) = layouts
    bounds = (SIZE * (len(cuts) + 1))(0, *[cut.stop for cut in cuts])
    run(gemm, out.itemsize, left, right, *out.shape, len(b), address(a), address(b), address(out),
        None if row is None else address(row), (SIZE * 3)(a_step, b_step, step), float(add), by_rows, stands, bounds,
        len(cuts), threads)
    return True


def _layout(matrix):
    """(as it is or transposed, elements from one row or column to the next), or None: BLAS cannot take it."""
    if matrix.size == 0 or matrix.ndim != 2 or not matrix.flags.aligned:
        return None
    for flag, (length, across), (step, along) in ((AS_IT_IS, matrix.shape, matrix.strides),
                                                  (TRANSPOSED, matrix.shape[::-1], matrix.strides[::-1])):
        if (along == matrix.itemsize or across == 1) and (length == 1 or step >= across * matrix.itemsize):
            return flag, across if length == 1 else step // matrix.itemsize
    return None


@functools.cache
def _gemm(dtype):
    """The function for that dtype, or None: there is none, or this NumPy has another BLAS."""
    if dtype not in FUNCTIONS:
        return None
    name, number = FUNCTIONS[dtype]
    gemm, matrix = _function(name), (ctypes.c_void_p, SIZE)
    if gemm:
        gemm.argtypes = (*[ctypes.c_int] * 3, *[SIZE] * 3, number, *matrix, *matrix, number, *matrix)
        gemm.restype = None
    return gemm


def _function(name):
    """The function of that name, of the first of NumPy's libraries that has it, or None."""
    return next((getattr(library, name) for library in _libraries() if hasattr(library, name)), None)


@functools.cache
def _libraries():
    """Libraries that NumPy has loaded: the BLAS of its wheel, and the module that calls a BLAS, which finds the
    functions of whatever it is linked to."""
    package, pattern, found = Path(np.__file__).parent, "libscipy_openblas*", []
    for path in (*package.with_name("numpy.libs").glob(pattern), *(package / ".dylibs").glob(pattern),
                 np._core._multiarray_umath.__file__):
        try:
            found.append(ctypes.CDLL(str(path)))
        except OSError:
            continue
    return found
