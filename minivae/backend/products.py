"""Matrix products that are added to what is there: how the gradients of weights accumulate."""

import numpy as np

from minivae.backend import blas
from minivae.backend.elementwise import elementwise
from minivae.backend.selection import array_library, name_of


def add_product(total, a, b, spare):
    """total += a b.  `spare()` gives an array of the same shape to work in, where one is needed."""
    if isinstance(total, np.ndarray) and blas.add_product(total, a, b):
        return
    product = spare()
    array_library(name_of(total)).matmul(a, b, out=product)
    elementwise(_add, total, product)


def _add(xp, total, x):
    total += x
