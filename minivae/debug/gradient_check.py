"""Gradients against finite differences, every entry, with a report that says what is wrong."""

import copy

import numpy as np

from minivae import backend
from minivae.debug.behaviour import observe, random_like, unrepeatable
from minivae.debug.diagnosis import explain, explain_swap
from minivae.debug.differences import compare
from minivae.debug.facts import Facts, Finding
from minivae.debug.report import GradientError, GradientReport
from minivae.debug.tables import arrays, copied, float64, named
from minivae.nn import Divergence, side_loss


def gradcheck(module, input, *, tolerance=1e-6, step=1e-5, seed=0):
    """Check a module's backward passes at `input`, an array or a table.  Returns a GradientReport.

    With random weights G, the number that is differentiated is ⟨G, output⟩ plus the side losses of the module.
    Every entry of the input and of every parameter is moved by ±step, in a float64 copy of the module; yours,
    its input and the random stream stay as they were.  Noise is drawn once and held.

    An entry is excused as a kink only if its one-sided differences disagree, however small the step, and the analytic
    value lies between them; more than 2 % of kinks in one array fails.  A report that fails says what the difference
    looks like; inside a container it looks for the layer that is wrong by itself.
    """
    with backend.seeded(seed):
        twin = module.clone().cpu().double()
        _expect_arrays("update_output", twin.forward(float64(input)))
        _expect_divergence(twin)
        title = module.title if not module.children() else type(module).__name__
        return _check(twin, float64(input), title, tolerance, step)


def _check(twin, input, title, tolerance, step):
    """The report on a module in float64."""
    fed, kept = _Fed(twin), copied(input)
    grad_output = random_like(twin.forward(input))
    earlier = twin.backward(input, copied(grad_output))  # with noise that is then drawn anew
    _expect_arrays("update_grad_input", earlier)
    earlier = copied(earlier)
    repeated = copied(twin.backward(input, copied(grad_output)))
    for value, before in zip(arrays(input), arrays(kept)):
        value[...] = before
    twin.hold_noise(False).forward(input)
    twin.hold_noise()  # from here on it is held
    grad_input, parameters, findings = observe(twin, input, grad_output, kept)
    findings = findings or unrepeatable(earlier, repeated)
    output = copied(twin.forward(input))
    fed.stop()

    def objective():
        total = sum(float((g * y).sum()) for g, y in zip(arrays(grad_output), arrays(twin.forward(copied(input)))))
        return total + float(side_loss(twin))

    checks = [compare(name, array, grad, objective, step, tolerance) for name, array, grad in
              [*_pairs("input", input, grad_input), *parameters]]
    failed = [check for check in checks if not check.ok]
    inside = []
    if (failed or findings) and twin.children():
        inside = [report for report in (_check(layer, given, layer.title, tolerance, step)
                                        for layer, given in fed.layers()) if not report.ok]
    twin.forward(input)
    twin.backward(input, copied(grad_output))
    facts = Facts(twin, input, output, grad_output, dict(named("input", earlier)))
    for check in failed:
        check.findings = explain(check, facts) if not inside else []
        if {"noise not held", "input modified"} & {finding.kind for finding in findings}:
            check.findings = []  # no difference of a function that changes means anything
    if not inside:
        explain_swap(checks)
    return GradientReport(title, checks, findings, inside)


def _expect_arrays(verb, value):
    for array in arrays(value):
        if not isinstance(array, np.ndarray):
            raise GradientError(f"{verb} returned {array!r} where an array belongs: is its return missing?")


def _expect_divergence(twin):
    for layer in twin.find_modules(Divergence):
        if layer.divergence is None:
            raise GradientError(f"{layer.title}: update_output has not set self.divergence")
        if np.ndim(layer.divergence) != 0:
            raise GradientError(f"{layer.title}: self.divergence has shape {np.shape(layer.divergence)}, expected one "
                                "number for the whole batch: sum over all axes")


class _Fed:
    """The innermost modules of a twin, and the inputs that its first forward gave them."""

    def __init__(self, twin):
        self.given = {}
        self.watched = [(path, module) for path, module in twin.named_modules() if not module.children()
                        and module is not twin]
        for path, module in self.watched:
            module.update_output = self._watch(path, module.update_output)

    def _watch(self, path, update_output):
        def watched(input):
            self.given.setdefault(path, copied(input))
            return update_output(input)
        return watched

    def stop(self):
        for _, module in self.watched:
            del module.update_output

    def layers(self):
        """(module, input) of each; an inplace layer, which may not stand alone, is left to its container."""
        return [(module, self.given[path]) for path, module in self.watched
                if path in self.given and not getattr(module, "inplace", False)]


def gradcheck_criterion(criterion, prediction, target, *, tolerance=1e-6, step=1e-5):
    """Check a criterion's derivative by the prediction, an array or a table.  Returns a GradientReport."""
    twin = copy.deepcopy(criterion).cpu().double()
    prediction, target = float64(prediction), float64(target)
    kept = copied((prediction, target))
    findings = []
    twin.forward(prediction, target)
    grads = copied(twin.backward(prediction, target))
    for (name, now), (_, before) in zip(named("arguments", (prediction, target)), named("arguments", kept)):
        if not np.array_equal(now, before, equal_nan=True):
            which = "prediction" if name.startswith("arguments[0]") else "target"
            findings.append(Finding(f"{which} modified", f"the criterion has changed its {which}: write to a buffer of "
                                    "your own, self.buffer(...)", "certain", which))
            now[...] = before
    checks = [compare(name, array, grad, lambda: float(twin.forward(prediction, target)), step, tolerance)
              for name, array, grad in _pairs("prediction", prediction, grads)]
    ones = tuple(np.ones_like(each) for each in arrays(prediction))
    facts = Facts(twin, (*arrays(prediction), *arrays(target)), prediction, ones)
    for check in checks:
        check.findings = [] if check.ok else explain(check, facts)
    explain_swap(checks)
    return GradientReport(type(criterion).__name__, checks, findings)


def _pairs(name, value, grads):
    """[(name, array, its gradient)] of an array or a table; a gradient that is no such table is one of wrong shape."""
    flat, grads = named(name, value), arrays(grads)
    grads += [np.zeros(0)] * (len(flat) - len(grads))
    return [(name, array, grad) for (name, array), grad in zip(flat, grads)]
