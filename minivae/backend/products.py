"""Matrix products, large ones in parts that the worker threads share.

Parts are cut alike for any number of threads, and each is computed by one: so their number changes no bit.  There are
as many as the machine has cores, because each part reads all of the other matrix again.
"""

import functools
import os
from itertools import pairwise
from math import ceil, log2, prod

import numpy as np

from minivae.backend import blas, compiled, cublas, workers
from minivae.backend.copies import copy
from minivae.backend.elementwise import elementwise
from minivae.backend.memory import scratch
from minivae.backend.selection import Array, array_library, name_of

PART = 4e6  # multiplications and additions of a part, at least: some 0.05 ms, several times what waking a thread costs
WIDTH = 96  # rows or columns of a part, at least: each part reads all of the other matrix
MULTIPLE = 16  # of rows or columns: a cache line of float32, so that two threads write to none together
MOST = min(8, 2 ** ceil(log2(os.cpu_count() or 1)))  # parts


def matmul(a: Array, b: Array, out: Array) -> Array:
    """out = a b, for matrices or stacks of them."""
    return affine(a, b, None, out)


def affine(a: Array, b: Array, row: Array | None, out: Array) -> Array:
    """out = a b + row, for matrices and one row that is added to all, or None."""
    if isinstance(out, np.ndarray):
        _share(out, a, b, row=row)
        return out
    xp = array_library(name_of(out))
    if row is not None and cublas.trouble(xp) is None:
        copy(row, out)
        if cublas.multiply(xp, a, b, out, add=True):
            return out
    if not cublas.multiply(xp, a, b, out):
        xp.matmul(a, b, out=out)
    if row is not None:
        out += row
    return out


def add_product(total: Array, a: Array, b: Array) -> None:
    """total += a b, for matrices."""
    xp = array_library(name_of(total))
    if xp is not np:
        if not cublas.multiply(xp, a, b, total, add=True):
            total += xp.matmul(a, b)
    elif blas.adds(total, a, b):
        _share(total, a, b, add=True)
    else:
        elementwise(_add, total, matmul(a, b, scratch(total.shape, total.dtype)))


def add_rows(total: Array, rows: Array) -> None:
    """total (F,) += Σ rows (M, F) over M."""
    xp = array_library(name_of(total))
    if xp is np:
        total += np.sum(rows, axis=0, out=scratch(total.shape, total.dtype))
    elif not cublas.multiply(xp, _ones(xp, len(rows), rows.dtype), rows, total.reshape(1, -1), add=True):
        total += xp.sum(rows, axis=0)


@functools.cache
def _ones(xp, length, dtype):
    """A row of ones: kept for good, because a recorded step goes on using it."""
    return xp.ones((1, length), dtype)


def _share(out, a, b, add=False, row=None):
    """out = a b, or += where it adds, and + row, in parts that together are all of out."""
    multiply, cuts = blas.add_product if add else _multiply, _cuts(out.shape, a.shape[-1])
    if blas.one_thread() is None or len(cuts) == 1:
        multiply(out, a, b)
    elif blas.share(compiled.product(), out, a, b, add, cuts, workers.count(), row):
        return
    else:
        workers.run(lambda part: multiply(*_part(cuts[part], out, a, b)), len(cuts))
    if row is not None:
        out += row


@functools.lru_cache(maxsize=1024)
def _cuts(shape, inner):
    """The slices of the parts of a product with a result of this shape: of a stack, or of the longer side."""
    *stack, rows, columns = shape
    length = stack[0] if stack else max(rows, columns)
    most = min(MOST, 2 * prod(shape) * inner / PART, length if stack else length / WIDTH)
    parts = 2 ** int(log2(max(1, most)))
    bounds = [length * part // parts for part in range(parts + 1)]
    if not stack:
        bounds[1:-1] = [bound // MULTIPLE * MULTIPLE for bound in bounds[1:-1]]
    return [slice(*pair) for pair in pairwise(bounds)]


def _part(cut, out, a, b):
    if out.ndim > 2:
        return [matrix[cut] if matrix.ndim == out.ndim else matrix for matrix in (out, a, b)]
    return (out[cut], a[cut], b) if out.shape[0] >= out.shape[1] else (out[:, cut], a, b[:, cut])


def _multiply(out, a, b):
    np.matmul(a, b, out=out)


def _add(xp, total, x):
    total += x


def arithmetic() -> dict[str, str]:
    """{name: text} of the versions and settings that the last digits of results depend on.

    The number of threads is not among them, unless BLAS has threads of its own.
    """
    return {"NumPy": np.__version__, "BLAS": blas.identity(), "parts of a product": str(MOST),
            "C compiler": compiled.name()}
