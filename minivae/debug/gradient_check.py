"""Gradients against finite differences, every entry, with a report."""

import copy
from dataclasses import dataclass, field

import numpy as np

from minivae import backend
from minivae.errors import MinivaeError
from minivae.nn import side_loss

KINKS_ALLOWED = 0.02  # share of the entries of one array


@dataclass
class ArrayCheck:
    """One array: its analytic gradient beside the numeric one."""

    name: str
    analytic: np.ndarray
    numeric: np.ndarray
    kink: np.ndarray
    tolerance: float

    @property
    def error(self):
        """‖analytic − numeric‖ / the larger of the two norms, without the kinks; absolute where both are zero."""
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

    def __str__(self):
        text = f"{'ok  ' if self.ok else 'FAIL'}  {self.name:<28} {self.analytic.shape!s:<14} error {self.error:.1e}"
        if self.kink.any():
            text += f", {self.kinks:.1%} of the entries are at a kink"
        if self.ok:
            return text
        wrong = self.wrong()
        text += f"\n      {len(wrong)} of {self.analytic.size} entries differ; the worst:"
        for index in wrong[:4]:
            a, n = self.analytic[index], self.numeric[index]
            ratio = f"{a / n:.4g}" if n != 0 else "-"
            text += f"\n      [{', '.join(map(str, index))}]  analytic {a:.8g}  numeric {n:.8g}  ratio {ratio}"
        return text


@dataclass
class GradientReport:
    """What a gradient check found: `ok`, and an ArrayCheck for the input and each parameter."""

    title: str
    checks: list = field(default_factory=list)

    @property
    def ok(self):
        return all(check.ok for check in self.checks)

    def raise_if_failed(self):
        """Raise with the whole report unless every array passed."""
        if not self.ok:
            raise GradientError(str(self))
        return self

    def __str__(self):
        verdict = "gradients agree" if self.ok else "GRADIENTS DIFFER"
        return "\n".join([f"{self.title}: {verdict} with central differences"]
                         + [f"  {check!s}" for check in self.checks])


class GradientError(MinivaeError, AssertionError):
    """An analytic gradient that is not the derivative."""


def gradcheck(module, input, *, tolerance=1e-6, step=1e-5, seed=0, scale=1.0):
    """Check a module's backward passes at `input`, an array or a table.  Returns a GradientReport.

    With random weights G, the number that is differentiated is ⟨G, output⟩ plus the side losses of the module.
    Every entry of the input and of every parameter is moved by ±step, in a float64 copy of the module; yours,
    its input and the random stream stay as they were.  Noise is drawn once and held.

    An entry is excused as a kink only if its one-sided differences disagree, however small the step, and the analytic
    value lies between them; more than 2 % of kinks in one array fails.
    """
    with backend.seeded(seed):
        twin = module.clone().cpu().double().hold_noise()
        input = _float64(input)
        output = twin.forward(input)  # draws the noise that is held from here on
        grad_output = _map(lambda y: backend.host_generator().standard_normal(y.shape), output)

        def objective():
            total = sum(float((g * y).sum()) for g, y in zip(_arrays(grad_output), _arrays(twin.forward(input))))
            return total + float(side_loss(twin))

        twin.zero_grad_parameters()
        twin.forward(input)
        grad_input = _map(np.array, twin.backward(input, _map(np.array, grad_output), scale))
        parameters = [(path, array, np.array(grad) / scale) for path, array, grad in twin.named_parameters()]
        targets = [*_named("input", input, grad_input), *parameters]
        title = module.title if not module.children() else type(module).__name__
        return GradientReport(title, _compare(targets, objective, step, tolerance))


def gradcheck_criterion(criterion, prediction, target, *, tolerance=1e-6, step=1e-5):
    """Check a criterion's derivative by the prediction, an array or a table.  Returns a GradientReport."""
    twin = copy.deepcopy(criterion).cpu().double()
    prediction, target = _float64(prediction), _float64(target)
    twin.forward(prediction, target)
    grads = _map(np.array, twin.backward(prediction, target))
    checks = _compare(_named("prediction", prediction, grads),
                      lambda: float(twin.forward(prediction, target)), step, tolerance)
    return GradientReport(type(criterion).__name__, checks)


def _compare(targets, objective, step, tolerance):
    """An ArrayCheck for each (name, array, its analytic gradient); the arrays are moved and put back."""
    checks = []
    for name, array, analytic in targets:
        if np.shape(analytic) != array.shape:
            raise GradientError(f"{name} has shape {array.shape}, its gradient {np.shape(analytic)}")
        numeric, kink = np.zeros(array.shape), np.zeros(array.shape, dtype=bool)
        centre = objective()
        for index in np.ndindex(array.shape):
            below, above = _one_sided(array, index, objective, centre, step)
            numeric[index] = (below + above) / 2
            if abs(above - below) > 10 * step * max(1.0, abs(below), abs(above)):
                # at half the step the gap of a smooth function is half as wide, that of a corner as it was
                nearer = np.diff(_one_sided(array, index, objective, centre, step / 2))[0]
                low, high = sorted((below, above))
                kink[index] = abs(nearer) > 0.75 * (high - low) and low <= analytic[index] <= high
        checks.append(ArrayCheck(name, np.asarray(analytic), numeric, kink, tolerance))
    return checks


def _one_sided(array, index, objective, centre, step):
    """(difference quotient to the left, to the right) of the objective when that entry moves; it is put back."""
    kept = array[index]
    array[index] = kept - step
    below = objective()
    array[index] = kept + step
    above = objective()
    array[index] = kept
    return (centre - below) / step, (above - centre) / step


def _map(function, value):
    return tuple(_map(function, each) for each in value) if isinstance(value, tuple) else function(value)


def _arrays(value):
    return [array for each in value for array in _arrays(each)] if isinstance(value, tuple) else [value]


def _float64(value):
    return _map(lambda array: np.array(backend.to_numpy(array), dtype=np.float64), value)


def _named(name, value, grads):
    if not isinstance(value, tuple):
        return [(name, value, grads)]
    return [each for i, (v, g) in enumerate(zip(value, grads)) for each in _named(f"{name}[{i}]", v, g)]
