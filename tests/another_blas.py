"""A BLAS that rounds as no other does, as a plugin: `pytest -p another_blas` with tests/ on the path.

Products of the same operands and strides have the same bits each time.  Any other layout or number of rows gives other
last bits, anywhere within ε |a| |b|, the bound that every BLAS keeps; so what passes here hangs on no kernel.  Whole
numbers stay exact, as they do everywhere.  NumPy's `@` is left alone: the engine calls `matmul`.  Processes that a test
starts multiply as they always do.
"""

import zlib

import numpy as np

from minivae.backend import blas

matmul = np.matmul


def rounded_otherwise(a, b, out=None):
    product = matmul(a, b)
    if product.dtype.kind == "f" and product.size and not (whole(a) and whole(b)):
        operands = a, b, product if out is None else out
        layouts = [(each.shape, each.strides) for each in operands]
        random = np.random.default_rng(zlib.crc32(repr(layouts).encode()))
        bound = np.finfo(product.dtype).eps * np.nan_to_num(matmul(abs(a), abs(b)), nan=0, posinf=0)
        product += random.uniform(-1, 1, product.shape) * bound
    if out is None:
        return product
    out[...] = product
    return out


def whole(a):
    with np.errstate(invalid="ignore"):
        return (a == np.rint(a)).all()


np.matmul = rounded_otherwise
blas._gemm = lambda dtype: None
