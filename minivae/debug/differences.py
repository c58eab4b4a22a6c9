"""Central differences, and what one array's gradient is beside them."""

from dataclasses import dataclass, field

import numpy as np

KINKS_ALLOWED = 0.02  # share of the entries of one array


@dataclass
class ArrayCheck:
    """One array: its analytic gradient beside the numeric one, and what that looks like."""

    name: str
    analytic: np.ndarray
    numeric: np.ndarray
    kink: np.ndarray
    tolerance: float
    findings: list = field(default_factory=list)  # Findings on what is wrong, the best explanation first

    @property
    def error(self):
        """‖analytic − numeric‖ / the larger of the two norms, without the kinks; absolute where both are zero."""
        if self.analytic.shape != self.numeric.shape:
            return float("inf")
        difference = np.linalg.norm((self.analytic - self.numeric)[~self.kink])
        size = max(np.linalg.norm(self.numeric[~self.kink]), np.linalg.norm(self.analytic[~self.kink]))
        return float(difference / size) if size > 1e-8 else float(difference)

    @property
    def kinks(self):
        """Share of the entries where the function has a corner, so that no difference can tell."""
        return float(self.kink.mean()) if self.kink.size else 0.0

    @property
    def ok(self):
        return self.error <= self.tolerance and self.kinks <= KINKS_ALLOWED  # False for NaN too

    def wrong(self):
        """Indices of the entries that differ by more than the tolerance, the worst first."""
        scale = np.abs(self.numeric) + np.abs(self.numeric).max(initial=0.0) * 1e-3 + 1e-8
        off = np.where(self.kink, 0, np.abs(self.analytic - self.numeric) / scale)
        off = np.where(np.isnan(off), np.inf, off)
        order = np.argsort(-off, axis=None)[:int((off > self.tolerance).sum())]
        return [tuple(int(i) for i in np.unravel_index(each, off.shape)) for each in order]

    def summary(self):
        """One line."""
        text = f"{'ok  ' if self.ok else 'FAIL'}  {self.name:<28} {self.analytic.shape!s:<14} error {self.error:.1e}"
        if self.kink.any():
            text += f", {self.kinks:.1%} of the entries are at a kink"
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


def compare(name, array, analytic, objective, step, tolerance):
    """The ArrayCheck of an array whose every entry is moved by ±step, and put back."""
    analytic = np.asarray(analytic)
    numeric, kink = np.zeros(array.shape), np.zeros(array.shape, dtype=bool)
    centre = objective()
    for index in np.ndindex(array.shape):
        below, above = one_sided(array, index, objective, centre, step)
        numeric[index] = (below + above) / 2
        if analytic.shape == array.shape and abs(above - below) > 10 * step * max(1.0, abs(below), abs(above)):
            # at half the step the gap of a smooth function is half as wide, that of a corner as it was
            nearer = np.diff(one_sided(array, index, objective, centre, step / 2))[0]
            low, high = sorted((below, above))
            kink[index] = abs(nearer) > 0.75 * (high - low) and low <= analytic[index] <= high
    return ArrayCheck(name, analytic, numeric, kink, tolerance)


def one_sided(array, index, objective, centre, step):
    """(difference quotient to the left, to the right) of the objective when that entry moves; it is put back."""
    kept = array[index]
    array[index] = kept - step
    below = objective()
    array[index] = kept + step
    above = objective()
    array[index] = kept
    return (centre - below) / step, (above - centre) / step
