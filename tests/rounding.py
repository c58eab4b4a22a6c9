"""Distances that rounding explains: each BLAS adds in its own order, and tests may ask no more than this."""

from math import prod

import numpy as np
from layers import arrays, copies

from minivae import nn


def terms(module, rows):
    """Terms of the longest chain of sums in a forward and a backward pass over so many rows: 0 without products.

    A layer of weights (O, I, ...), a matrix or more, sums I·... terms forward, O·... backward (or the other way
    round), and one of each row, or of each place of each row, in the gradient of its weights.  An EnumeratedSampler
    multiplies with its codes.
    """
    found = 0
    for each in module.list_modules():
        weight = getattr(each, "weight", None)
        if weight is not None and weight.ndim > 1:
            places = 1 if each.output is None else prod(each.output.shape[2:])
            found += prod(weight.shape[1:]) + weight.size // weight.shape[1] + rows * places
        if isinstance(each, nn.EnumeratedSampler) and "choices" in each.buffers:
            found += sum(each.buffers["choices"].shape)  # a code's log-probability, and back
    return found


def same(a, b, terms=0):
    """Whether two arrays, or tables of them, differ by rounding only; with 0 terms, whether they have the same bits.

    A sum of n products is within n ε |x| |w| of the right one in whatever order it is made (Higham 2002, equation 3.5).
    The largest number of b stands for |x| |w|: where some entries cancel, others do not.
    """
    for one, other in zip(arrays(copies(a)), arrays(copies(b)), strict=True):
        allowed = terms * np.finfo(other.dtype).eps * abs(other).max(initial=0) if terms else 0
        if one.shape != other.shape or not (abs(one - other) <= allowed).all():
            return False
    return True


def placed(array):
    """Whether an array lies where the engine puts all, so that its products round alike in each run of a program.

    Such memory is of bytes (`backend.empty`).
    """
    return array.dtype == np.uint8 if array.base is None else placed(array.base)
