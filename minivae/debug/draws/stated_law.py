"""The draws of a random layer beside those of a law that is stated as a function."""

from math import sqrt

import numpy as np

from minivae.debug.draws.noise_shapes import shape
from minivae.errors import ShapeError

UNITS = 16  # that are looked at, the first
PAIRS = 64  # of them, neighbours first
ENDS = 0.001, 0.999  # shares beyond which no draw counts more, so that moments exist
SHARES = np.arange(1, 8) / 8
NEAR = 1e-9
LITTLE = 0.05  # that two spreads or means may differ without a word


def compare_draws(report, drawn, stated):
    """Add statistics of draws (rows, units) and of draws of the law, whose rows are independent; and what they say."""
    if drawn.shape[1] != stated.shape[1]:
        raise ShapeError(f"{report.title}: a row of its output has {drawn.shape[1]} numbers, and a row of the law "
                         f"{stated.shape[1]}: both must be equal")
    units = range(min(drawn.shape[1], UNITS))
    drawn, stated = drawn[:, :UNITS], stated[:, :UNITS]
    low, high = np.quantile(np.concatenate([drawn, stated]), ENDS, axis=0)
    y, z = (np.clip(each, low, high) for each in (drawn, stated))
    for k in units:
        _compare(report, f"mean of unit {k}", y[:, k], z[:, k])
        _compare(report, f"variance of unit {k}", *((each[:, k] - each[:, k].mean())**2 for each in (y, z)))
        for point in np.unique(np.quantile(stated[:, k], SHARES).round(9)):
            atom = any((np.abs(each[:, k] - point) < NEAR).any() for each in (drawn, stated))
            for name, edge in (("below", point - NEAR), ("up to", point + NEAR))[:1 + atom]:
                _compare(report, f"share {name} {point:.3g} of unit {k}", drawn[:, k] < edge, stated[:, k] < edge)
    alone = report.ok
    pairs = sorted(((i, k) for k in units for i in range(k)), key=lambda pair: pair[1] - pair[0])[:PAIRS]
    mean, spread = z.mean(axis=0), np.where(z.std(axis=0) > NEAR, z.std(axis=0), 1)
    a, b = (y - mean) / spread, (z - mean) / spread
    for i, k in pairs:
        _compare(report, f"product of units {i} and {k}", *(each[:, i] * each[:, k] for each in (a, b)))
        _compare(report, f"product of squares of units {i} and {k}", *((each[:, i] * each[:, k])**2 for each in (a, b)))
    if not report.ok:
        report.findings.append(_in_words(report, drawn, stated, alone))


def _compare(report, name, drawn, stated):
    """Two means; as the error that of their difference, of shares that of both together, so that it is never 0."""
    if drawn.dtype == bool:
        both = (drawn.sum() + stated.sum() + 1) / (drawn.size + stated.size + 2)
        error = sqrt(both * (1 - both) * (1 / drawn.size + 1 / stated.size))
    else:
        error = sqrt(drawn.var() / drawn.size + stated.var() / stated.size) + NEAR
    report.add(name, drawn.mean(), stated.mean(), error)


def _in_words(report, drawn, stated, alone):
    worst = max(report.wrong(), key=lambda each: each.name.startswith("mean"))  # the worst, of means if they are off
    off = f"the {worst.name} is {worst.observed:.4g}, and by the law {worst.expected:.4g}"
    if alone and (shared := _shared(drawn, stated)):
        return shared
    if alone:
        return f"each number by itself is right, and how several of a row depend on each other is not: {off}"
    moved = stated.std(axis=0) > NEAR
    if not moved.any() or not (drawn.std(axis=0) > NEAR)[moved].all():
        return off
    y, z = drawn[:, moved], stated[:, moved]
    ratios = y.std(axis=0) / z.std(axis=0)
    if _alike((y - y.mean(axis=0)) / y.std(axis=0), (z - z.mean(axis=0)) / z.std(axis=0)):
        said = [f"{_range(ratios)} times its spread"] if np.abs(ratios - 1).max() > LITTLE else []
        moved_by = y.mean(axis=0) - z.mean(axis=0)
        said += [f"means moved by {_range(moved_by)}"] if np.abs(moved_by / z.std(axis=0)).max() > LITTLE else []
        return f"the draws have the shape of the law, and {' and '.join(said)}" if said else off
    names = [shape((each - each.mean(axis=0)) / each.std(axis=0)) for each in (y, z)]
    if not names[1] or names[0] == names[1]:
        return off
    return f"{off}; the draws {f'look {names[0]}' if names[0] else 'have no shape that I know'}, and the law {names[1]}"


def _shared(drawn, stated):
    """The sentence on units of which one tells the others, by the law or here, and not in both; or None."""
    with np.errstate(invalid="ignore"):  # of units that are always the same
        here, by_law = (np.abs(np.corrcoef(each.T)) > 1 - NEAR for each in (drawn, stated))
    for together, apart, said in ((by_law, here, "by the law {} share one draw, and here they do not"),
                                  (here, by_law, "here {} share one draw, and by the law they do not")):
        of_one = (together & ~apart).sum(axis=1).argmax()
        if (together & ~apart)[of_one].any():
            units = ", ".join(map(str, np.flatnonzero(together[of_one])))
            return "each number by itself is right; " + said.format(f"the units {units} of a row")
    return None


def _alike(y, z):
    shares = [(each[:, None] < np.quantile(z, SHARES, axis=0)).mean(axis=0) for each in (y, z)]
    return np.abs(shares[0] - shares[1]).max() < 0.02


def _range(values):
    low, high = values.min(), values.max()
    one = high - low < 2 * LITTLE * max(abs(low), abs(high))
    return f"about {values.mean():.2g}" if one else f"{low:.3g} to {high:.3g} by unit"
