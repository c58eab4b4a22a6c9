"""Central differences, and what one array's gradient is beside them."""

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from minivae.debug.tables import norm
from minivae.errors import MinivaeError

KINKS_ALLOWED = 0.02  # share of the entries of one array
ROUNDING = 4 * np.finfo(float).eps  # of a sum, relative to the sizes of its terms
LADDER = 10  # from one step to the next


@dataclass
class ArrayCheck:
    """One array: its analytic gradient beside the numeric one, and what that looks like."""

    name: str
    analytic: np.ndarray
    numeric: np.ndarray
    kink: np.ndarray         # where the function has a corner, so that no difference can tell
    uncertainty: np.ndarray  # of each numeric entry, by rounding and by steps that are too wide
    tolerance: float
    beside: bool = False     # whether it is right at a point beside its kinks, and so excused
    findings: list = field(default_factory=list)  # Findings on what is wrong, the best explanation first

    @property
    def error(self):
        """‖analytic − numeric‖ / the larger of the two norms, without kinks and without what is uncertain."""
        if self.analytic.shape != self.numeric.shape:
            return float("inf")
        difference = norm(self._off()[~self.kink])
        return difference / self.size if self.size else difference

    @property
    def size(self):
        """The larger norm of the two, without kinks."""
        return max(norm(each[~self.kink]) for each in (self.numeric, self.analytic))

    @property
    def told_to(self):
        """How much of the gradient's size is uncertain; what is wrong by less cannot be told."""
        if self.analytic.shape != self.numeric.shape or not self.size:
            return 0.0
        return norm(self.uncertainty[~self.kink]) / self.size

    @property
    def kinks(self):
        """Share of the entries that are at a kink."""
        return float(self.kink.mean()) if self.kink.size else 0.0

    @property
    def ok(self):  # False for NaN too
        return self.beside or (self.error <= self.tolerance and self.kinks <= KINKS_ALLOWED)

    def _off(self):
        return np.maximum(np.abs(self.analytic - self.numeric) - 3 * self.uncertainty, 0)

    def wrong(self):
        """Indices of the entries that differ by more than the tolerance, the worst first; none if only kinks fail."""
        if self.error <= self.tolerance:
            return []
        scale = np.abs(self.numeric) + np.abs(self.numeric).max(initial=0.0) * 1e-3 + 1e-300
        with np.errstate(all="ignore"):
            off = np.where(self.kink, 0, self._off() / scale)
        off = np.where(np.isnan(off), np.inf, off)
        order = np.argsort(-off, axis=None)[:int((off > self.tolerance).sum())]
        return [tuple(int(i) for i in np.unravel_index(each, off.shape)) for each in order]

    def summary(self):
        """One line."""
        text = f"{'ok  ' if self.ok else 'FAIL'}  {self.name:<28} {self.analytic.shape!s:<14} error {self.error:.1e}"
        if self.kink.any():
            text += f", {self.kinks:.1%} of the entries are at a kink"
        text += ", but right beside the kinks" if self.beside else ""
        if self.told_to > self.tolerance:
            text += (", hidden by rounding: too large or too small to tell" if self.told_to > 0.1 else
                     f", known to {self.told_to:.0e} because of rounding")
        return text

    def __str__(self):
        text = self.summary()
        if self.ok:
            return text
        if self.analytic.shape == self.numeric.shape:
            wrong = self.wrong()
            text += (f"\n      {len(wrong)} of {self.analytic.size} entries differ; the worst:" if wrong else
                     "\n      a kink is a corner, as of max(x, 0) at 0, where no difference tells: give other inputs")
            for index in wrong[:4]:
                a, n = self.analytic[index], self.numeric[index]
                ratio = f"{a / n:.4g}" if n != 0 else "-"
                text += f"\n      [{', '.join(map(str, index))}]  analytic {a:.8g}  numeric {n:.8g}  ratio {ratio}"
        return text + "".join(f"\n      {finding}" for finding in self.findings)

    __repr__ = __str__


def compare(name, array, analytic, objective, step, tolerance):
    """The ArrayCheck of an array whose every entry is moved to both sides, and put back.

    The objective is a sum, given as its terms.  An entry that does not agree at once is looked at with other steps.
    """
    analytic = np.asarray(analytic)
    numeric, uncertainty = np.zeros(array.shape), np.zeros(array.shape)
    kink = np.zeros(array.shape, dtype=bool)
    if analytic.shape == array.shape:
        centre, scale = objective(), _typical(array) or 1.0
        for index in np.ndindex(array.shape):
            numeric[index] = _middle(one_sided(array, index, objective, centre, step * max(scale, 1)))
        looked_at = np.zeros(array.shape, dtype=bool)
        while True:  # what is found to be a kink, or not finite, does not count for the size of the others
            known = np.where(np.isfinite(numeric) & ~kink, numeric, 0)
            enough = 0.1 * tolerance * _typical(known)
            doubtful = np.argwhere(~looked_at & ~(np.abs(analytic - numeric) <= 5 * enough))
            if not len(doubtful):
                break
            # of the objective, as of any function of which each term and each argument is rounded
            rounding = ROUNDING * float(np.abs(centre).sum() + np.abs(array * known).sum())
            for index in map(tuple, doubtful):
                numeric[index], uncertainty[index], kink[index] = _closer(
                    array, index, objective, centre, scale, rounding, enough, analytic[index], tolerance)
                looked_at[index] = True
    return ArrayCheck(name, analytic, numeric, kink, uncertainty, tolerance)


def one_sided(array, index, objective, centre, step):
    """(Difference quotients to the left, to the right) of all terms when that entry moves; it is put back.

    A side where the objective is not defined, and raises, has NaN.
    """
    kept, quotients = array[index], []
    for moved in (kept - step, kept + step):
        try:
            array[index] = moved
            quotients.append((objective() - centre) / ((moved - kept) or step))
        except MinivaeError:
            quotients.append(centre * np.nan)
        finally:
            array[index] = kept
    return quotients


def _closer(array, index, objective, centre, scale, rounding, enough, analytic, tolerance):
    """(Derivative, its uncertainty, whether there is a kink) by steps that grow until two of them agree.

    Too small a step drowns in rounding; too large a one sees the function bend, or
    meets a corner that is near.  Half of what a corner's sides differ by stays, however small the step.
    """
    step = max(1e-9 * min(abs(array[index]) or scale, scale, 1), 8 * np.spacing(abs(array[index])))
    largest = 1.01 * max(scale, 1)
    if array[index] and np.isnan(one_sided(array, index, objective, centre, 1e4 * step)).any():
        # the domain ends near by
        step = 8 * np.spacing(abs(array[index]))
    best, middles, apart, smaller = (np.inf,), [], 0.0, None
    while step <= largest:
        sides = one_sided(array, index, objective, centre, step)
        middles.append(_middle(sides))
        if smaller is not None:
            before, apart = apart, abs(middles[-1] - middles[-2])
            error = max(apart, before / LADDER, rounding / step)
            if len(best) > 1 and abs(middles[-1] - best[1]) > 3 * best[0]:
                break  # steps of this size see another part of the function
            if error < best[0]:
                best = error, middles[-1], step, sides, smaller
            if error <= enough:
                break
        smaller, step = sides, LADDER * step
    if len(best) == 1:
        return np.nan, np.inf, False  # nothing there is finite
    error, derivative, step, (left, right), nearer = best
    # the terms are added up on whichever side each is lower, and higher: corners of two terms may cancel
    low, high = np.minimum(*nearer).sum(), np.maximum(*nearer).sum()
    noise, slack = 4 * LADDER * rounding / step, tolerance * max(abs(low), abs(high))
    corner = high - low > max(0.5 * np.abs(right - left).sum(), 10 * noise, 10 * error)
    between = low - slack - noise <= analytic <= high + slack + noise
    # quotients that grow without end, as of √x at 0: there is no derivative at all
    endless = len(middles) > 3 and all(abs(one) > 3 * abs(other) and one * other > 0
                                       for one, other in pairwise(middles[:6]))
    return derivative, error, bool(endless or (corner and between))


def _middle(sides):
    """The central quotient; where one side is not defined, the other."""
    left, right = map(np.sum, sides)
    return float(right if np.isnan(left) else left if np.isnan(right) else (left + right) / 2)


def _typical(array):
    """The root of the mean square."""
    return norm(array) / array.size**0.5 if array.size else 0.0
