"""Sums of matrix products: how the gradients of weights accumulate."""

import numpy as np

from minivae.backend.elementwise import elementwise
from minivae.backend.selection import array_library, name_of


def add_product(total, a, b, spare):
    """total += a b.  `spare`, of the same shape, may be written to.

    On NumPy a total that is still zero takes the product directly, which halves the memory traffic of a wide layer.
    On a device to look at it would make every step wait for the queue.
    """
    if isinstance(total, np.ndarray) and total.size and total.view(f"u{total.itemsize}").max() == 0:  # all bits
        np.matmul(a, b, out=total)
        return
    array_library(name_of(total)).matmul(a, b, out=spare)
    elementwise(_add, total, spare)


def _add(xp, total, x):
    total += x
