"""The fit of a supposed mistake to a gradient, entry by entry."""

from itertools import permutations
from operator import mul, truediv

import numpy as np

from minivae.debug.tables import same

COMPOUND = "the quotient", "the product"  # what a name that stands for two sizes begins with
TOLERANCE = 1e-5  # of a reproduction: numeric gradients carry the error of their differences


def fits(candidate, wanted, seen):
    return np.shape(candidate) == np.shape(wanted) and same(candidate[seen], wanted[seen], TOLERANCE)


def fit(basis, wanted, seen):
    """The c for which c · basis is nearest to `wanted`, or None if that does not reproduce it."""
    b, w = basis[seen], wanted[seen]
    size, product = float(np.vdot(b, b)), float(np.vdot(b, w))
    # |c b − w|² = |w|² − (b·w)²/|b|², which is far above what TOLERANCE allows for most candidates
    if size == 0 or product * product < (1 - 1e-8) * size * float(np.vdot(w, w)):
        return None
    c = product / size
    return c if c != 0 and fits(c * basis, wanted, seen) else None


def constant_names(c, facts, more=()):
    """What such a factor may be: a number of the layer's, or of `more`, or the quotient or product of two sizes."""
    def those(named):
        return tuple(label for label, value in named if abs(c - value) <= 1e-4 * abs(value))

    return those([*facts.constants(), *more]) + those(
        (f"{word} {one} {sign} {other}", of(p, q)) for (one, p), (other, q) in permutations(facts.sizes.items(), 2)
        for word, sign, of in zip(COMPOUND, "/·", (truediv, mul)) if min(p, q) > 1)
