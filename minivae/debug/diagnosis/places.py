"""Places in an array, in words."""

import numpy as np

from minivae.debug.diagnosis.fitting import TOLERANCE
from minivae.debug.tables import same


def where(mask, batch=True):
    """The places that are True: "0, 1 of axis 2", "at the borders", or None if they have no such form, or are all.

    batch   whether axis 0 is the batch
    """
    if not mask.any() or mask.all():
        return None
    sets = [np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
            for axis in range(mask.ndim)]
    block = np.zeros_like(mask)
    block[np.ix_(*sets)] = True
    if np.array_equal(block, mask):
        return "at " + " and ".join(
            f"{_few(each)} of axis {axis}" + (" (the batch)" if batch and axis == 0 and mask.ndim > 1 else "")
            for axis, each in enumerate(sets) if len(each) < mask.shape[axis])
    border = np.ones(mask.shape, dtype=bool)
    border[..., 1:-1, 1:-1] = mask.ndim < 3
    if border.all() or (mask & ~border).any():
        return None
    return "at the borders of the image" if mask.ndim > 3 else "at the borders of the last two axes"


def condition(mask, values):
    """The bounds of a named value that tell the True from the others: "where the input is above 3", or None."""
    if not mask.any() or mask.all():
        return None
    for label, v in values:
        for name, value in ((label, v), (f"the size of {label}", np.abs(v))):
            if np.shape(value) == mask.shape:
                for word, above, below in (("above", value[mask], value[~mask]), ("below", value[~mask], value[mask])):
                    low, high = below.max(), above.min()
                    if low < high:  # where 0 parts them as well, it is most likely 0
                        bound = 0 if low < 0 < high else low if word == "above" else high
                        return f"where {name} is {word} {bound:.3g}"
    for label, v in values if mask.sum() > 2 else ():
        if np.shape(v) == mask.shape:
            low, high = v[mask].min(), v[mask].max()
            if not ((v >= low) & (v <= high) & ~mask).any():
                return f"where {label} is between {low:.3g} and {high:.3g}"
    return None


def displaced(a, n):
    """The sentence on something that is added at one place along an axis where it belongs at another; or None."""
    d = a - n
    size = np.abs(d).max(initial=0)
    for axis in range(d.ndim):
        rest = tuple(other for other in range(d.ndim) if other != axis)
        places = np.flatnonzero(np.abs(d).max(axis=rest) > 1e-4 * size)
        one, other = np.split(places, [len(places) // 2])
        if 0 < len(one) == len(other) and np.ptp(other - one) == 0 and same(
                d.take(one, axis), -d.take(other, axis), TOLERANCE):
            return (f"what belongs at {_few(other)} of axis {axis} is added at {_few(one)}, or the other way round: "
                    "look at the slice")
    return None


def drawn(a, n, g, of="grad_output"):
    """The sentence if sums over the L rows of g for each row, in some columns, are of other rows in `a`; or None."""
    rows, samples = len(n), len(g) // max(len(n), 1)
    if rows < 2 or samples < 2 or len(g) != samples * rows:
        return None
    grouped, tiled = g.reshape(rows, samples, -1), g.reshape(samples, rows, -1).sum(axis=0)
    total = grouped.sum(axis=1)
    off = [each for each in (a - n).reshape(rows, -1).T if np.abs(each).max() > 1e-5 * np.abs(n).max()]
    order = (f"the two passes group the draws differently: of {of}, backward takes rows {{}} for row n, and "
             "update_output has made rows {} of it")
    part = f"the sum over the draws of {of} is wrong: backward takes {{}} of each row only"
    for how, moved in ((order.format("n·L + l", "l·N + n"), total - tiled),
                       (order.format("l·N + n", "n·L + l"), tiled - total),
                       (part.format("the first draw"), grouped[:, 0] - total),
                       (part.format("the last draw"), grouped[:, -1] - total),
                       (part.format("the mean over the draws"), total / samples - total)):
        if off and all(any(same(one, each, TOLERANCE) for one in moved.T) for each in off):
            return how
    return None


def _few(indices):
    return ", ".join(map(str, indices[:5])) + (", …" if len(indices) > 5 else "")
