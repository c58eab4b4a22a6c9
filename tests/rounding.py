"""Distances that rounding explains: each BLAS adds in its own order, and tests may ask no more than this."""

from math import prod

import numpy as np
from layers import arrays, copies

from minivae import nn


def terms(module, rows):
    """Terms of the longest chain of sums in a forward and a backward pass over so many rows: 0 without products.

    A layer of weights (O, I, ...) sums I·... terms forward, O·... backward, and one of each row, or of each place of
    each row, in the gradient of its weights.
    """
    found = 0
    for each in module.list_modules():
        if isinstance(each, nn.Linear | nn.SpatialConvolution):
            places = 1 if isinstance(each, nn.Linear) or each.output is None else prod(each.output.shape[2:])
            found += prod(each.weight.shape[1:]) + each.weight.size // each.weight.shape[1] + rows * places
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
