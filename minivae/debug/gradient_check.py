"""Gradients against finite differences, every entry, with a report that says what is wrong."""

import contextlib
import copy
import itertools
from functools import partial
from typing import Any

import numpy as np

from minivae import backend
from minivae.debug.diagnosis.behaviour import (
    grouped_otherwise,
    not_double,
    not_finite,
    observe,
    random_like,
    random_state,
    unrepeatable,
)
from minivae.debug.diagnosis.elsewhere import Elsewhere, near_by, nudge, pairs, shuffled, terms
from minivae.debug.diagnosis.explain import explain, explain_shared, explain_swap, is_vague
from minivae.debug.diagnosis.facts import Facts
from minivae.debug.diagnosis.finding import Finding
from minivae.debug.diagnosis.memory import (
    kept_as_one,
    not_cleared,
    overlapping,
    overwritten,
    overwritten_inside,
    written_twice,
)
from minivae.debug.diagnosis.second_look import history, second_look
from minivae.debug.diagnosis.shared_state import kept_on_class, one_array_in_the_output, shared_by_objects
from minivae.debug.differences import compare
from minivae.debug.report import GradientError, GradientReport
from minivae.debug.source_edits.missing_path import missing_path
from minivae.debug.source_edits.one_change import one_change
from minivae.debug.tables import arrays, copied, float64, mapped, named, put_back, same
from minivae.debug.verbs import watched
from minivae.errors import instance, real_number
from minivae.nn import Criterion, Divergence, Module, side_loss

# Kinds of finding that explain whatever else is wrong.
CAUSES = {"input modified", "stale noise", "output modified", "grad_input accumulates", "noise not held",
          "prediction modified", "target modified", "backward changes", "shared by objects", "loss changes",
          "output dtype", "memory order", "history", "kept as one", "kept on class", "not cleared",
          "overwritten in backward", "overwritten inside"}


def gradcheck(module: Module, input: Any, *, tolerance: float = 1e-6, step: float = 1e-5, seed: int = 0,
              changes: bool = True) -> GradientReport:
    """Check a module's backward passes at `input`, an array or a table, of one row or more.  Returns a GradientReport.

    With random weights G, the number that is differentiated is ⟨G, output⟩ plus the side losses of the module.
    Every entry of the input and of every parameter is moved by ±step (times the size of its array, if that is above 1)
    in a float64 copy of the module; yours, its input and the random stream stay as they were.  Noise is drawn once and
    held.  An entry that does not agree is looked at with steps of all sizes, and what rounding hides is no mistake; the
    report says where it hides nearly all.

    An entry is excused as a kink only if its one-sided differences disagree, however small the step, and the analytic
    value lies between them.  If more than 2 % of one array are at kinks, the check has to pass at a point beside them;
    so it has for a container whose layers pass each by itself.
    A report that fails says what the difference looks like; inside a container it looks for the layer that is wrong by
    itself.  Where it knows no cause, and with `changes`, it looks at the source of what runs and is not minivae's: the
    verbs, their bases and helpers, and other objects, all of which it puts back.  It holds one expression of
    update_output after the other, and quotes the one that backward takes for a constant; or it makes one small change
    at a time, or two that are alike, runs each, and quotes one that makes the gradients right: up to 20 s of computing.
    It checks the module as it is: in this mode.  What passes is looked at once more: at another input and other
    weights, of large arrays in one row; with one row more; and in evaluation mode.  Beside a copy that was never
    called, that shows what a layer has kept from an earlier call.  New buffers hold NaN, so that one which is read
    before it is written shows too.
    """
    tolerance, step = _small("gradcheck", tolerance=tolerance, step=step)
    instance("gradcheck", "module", module, Module, "; gradcheck_criterion(criterion, prediction, target) checks a "
             "criterion" * isinstance(module, Criterion))
    _expect_numbers("gradcheck", "input", input)
    with backend.seeded(seed), backend.marked(), np.errstate(all="ignore"):  # what is not finite is in the report
        twin = module.clone().cpu().double()
        unused = twin.clone()
        title = module.title if not module.children() else type(module).__name__
        _expect_arrays("update_output", twin.forward(float64(input)), title)
        _expect_divergence(twin)
        return _check(twin, float64(input), title, tolerance, step, changes, unused)


def _all_grads(twin, grad_input):
    """Copies of the gradients by the input, and of those by the parameters."""
    return arrays(copied(grad_input)), [np.array(grad) for _, _, grad in twin.named_parameters()]


def _small(title, **numbers):
    return [real_number(title, name, value, "is a small number above 0 and below 1", above=0, below=1)
            for name, value in numbers.items()]


def _check(twin, input, title, tolerance, step, changes, unused=None, beside=False):
    """The report on a module in float64; `unused` is a copy from before it was first run."""
    unused = unused or twin.clone()
    kept, fed = copied(input), {}  # what each of the modules inside is given first
    with watched([(layer, "update_output") for _, layer in twin.children()],
                 lambda layer, verb, arguments: fed.setdefault(layer, copied(arguments[0]))):
        output = twin.forward(input)
    grad_output, written = random_like(output), copied(output)
    twin.zero_grad_parameters()
    earlier = twin.backward(input, copied(grad_output))  # with noise that is then drawn anew
    _expect_arrays("update_grad_input", earlier, title)
    shared, short = overlapping("input", earlier), _precision(twin, kept, grad_output)
    earlier, overwritten = copied(earlier), not all(map(same, arrays(output), arrays(written)))
    both = _all_grads(twin, earlier)
    before = random_state()
    twin.zero_grad_parameters()
    repeated = _all_grads(twin, twin.backward(input, copied(grad_output)))
    drawn = random_state() != before
    for value, before in zip(arrays(input), arrays(kept)):
        put_back(value, before)
    twin.hold_noise(False).forward(input)
    twin.hold_noise()  # from here on it is held
    output = copied(twin.forward(input))
    findings = not_finite(twin, input, output, side_loss(twin))
    if not findings:
        grad_input, parameters, findings = observe(twin, input, grad_output, kept)
        findings = findings or unrepeatable(both, repeated, drawn, overwritten) or short
        output = copied(twin.forward(input))

    objective = partial(terms, twin, input, grad_output)
    kinds = {finding.kind for finding in findings}
    # of what changes or is not finite there is no difference
    checks = [] if kinds & {"noise not held", "loss changes", "not finite"} else [
        compare(name, array, grad, objective, step, tolerance)
        for name, array, grad in [*pairs("input", input, grad_input), *parameters]]
    failed = [check for check in checks if not check.ok]
    if failed:  # which explains it
        wrong = {check.name for check in failed}
        findings = [finding for finding in findings if finding.kind != "needs grad_input"
                    and not (finding.kind == "scale" and finding.name in wrong)]
    findings = _of_memory(twin, input, grad_output, failed, findings) or findings
    if {finding.kind for finding in findings} == {"backward changes"}:
        findings = shared_by_objects(unused, input) or findings
    kinds |= {finding.kind for finding in findings}
    if not (failed or findings or beside):
        findings = second_look(twin, unused, input, step, tolerance) or _grouping(twin, input)
        if of_mode := [finding for finding in findings if finding.kind == "mode" and finding.name]:
            with backend.seeded(1):
                _explain_mode(of_mode, [(unused, input), (twin, mapped(shuffled, input))], tolerance, step, changes)
    layers = []
    if (failed or findings) and twin.children():
        fresh = dict(zip((layer for _, layer in twin.children()), (layer for _, layer in unused.children())))
        layers = [report for layer, given in fed.items() if all(np.isfinite(each).all() for each in arrays(given))
                  for report in _alone(layer, given, layer.title, tolerance, step, changes, fresh.get(layer))]
    inside = [report for report in layers if not report.ok]
    kinky = any(check.kink.any() for check in [*checks, *(check for report in layers for check in report.checks)])
    if failed and kinky and not (findings or inside or beside) and (findings := history(twin, unused, input)):
        kinds, failed, checks = kinds | {"history"}, [], []  # no difference tells
    # A layer must be right at its kinks; in a container several of them may add up to anything.
    if failed and kinky and not (findings or inside or beside) and (
            layers or all(check.error <= tolerance for check in failed)):
        near = twin.clone().hold_noise(False)
        nudge(near)
        near = _check(near, mapped(near_by, input), f"{title}, beside its kinks", tolerance, step, changes, beside=True)
        if not near.ok:
            return near
        for check in failed:
            check.beside = True
        failed = []
    twin.forward(input)
    twin.backward(input, copied(grad_output))
    facts = Facts(twin, input, output, grad_output, dict(named("input", earlier)))
    if failed and not (inside or findings):
        findings = history(twin, unused, input, nudge)
        kinds |= {finding.kind for finding in findings}
    for check in failed:
        if not (inside or kinds & CAUSES):
            check.findings = explain(check, facts, Elsewhere(twin, input, step, tolerance, unused))
    if not inside:
        explain_swap(checks)
        explain_shared(checks, shared)
        if changes and not kinds & CAUSES:
            _look_for_change(failed, twin, input, grad_output, checks, step, tolerance)
        for finding in (each for check in failed for each in check.findings if kinds & {"grad_output modified"}):
            finding.certainty = "possible"  # it may come of that
    return GradientReport(title, checks, findings, inside)


def _explain_mode(findings, runs, *options):
    """Add to findings on evaluation mode what is said there of the first module, with an input, of which any is known.
    """
    for each, input in runs:
        with contextlib.suppress(Exception):  # it does not take that mode, or not before it has been trained
            report = _check(each.clone().evaluate().hold_noise(False), copied(input), "", *options, beside=True)
            said = {check.name: check.findings for check in report.checks if not check.ok}
            for finding in findings if said else ():
                there = said.get(finding.name, [])
                cause = next((f"; there {cause}" for cause in there if cause.kind != "mode" and (
                    cause.certainty == "certain" or cause.kind in ("one change", "missing path"))), "")
                finding.pattern = next((mode.text for mode in there if mode.kind == "mode"), finding.pattern) + cause
            if said:
                return


def _of_memory(twin, input, grad_output, failed, findings):
    """[Finding] on arrays that are kept, or not cleared, where that explains all that failed."""
    derivatives = {check.name: check.numeric for check in failed}
    cleared = [("not cleared", not_cleared)] if {finding.kind for finding in findings} <= {"backward changes"} else []
    own = [] if findings else [("overwritten inside", overwritten_inside), ("overwritten in backward", overwritten),
                               ("overwritten in backward", written_twice)]
    for kind, find in [("kept as one", kept_as_one), ("kept as one", one_array_in_the_output),
                        ("kept on class", kept_on_class), *cleared, *own
                       ] if failed else ():
        with contextlib.suppress(Exception):  # whatever a layer may raise
            if said := find(twin, input, grad_output, derivatives):
                return [Finding(kind, said, "certain")]
    return []


def _alone(layer, *arguments):
    """[Its report], or none of a layer that cannot be run by itself, as one that waits for what another leaves."""
    try:
        return [_check(layer, *arguments)]
    except GradientError:
        raise
    except Exception:  # whatever a layer may raise
        return []


def _precision(twin, input, grad_output):
    """[Finding] on the output and the gradients of a module or of any inside that are not in float64."""
    fine = twin.clone()  # at a point whose numbers need all digits
    try:
        with backend.seeded(1):
            nudge(fine)
            fine.zero_grad_parameters()
            fine.hold_noise(False).forward(mapped(near_by, input))
            fine.backward(mapped(near_by, input), copied(grad_output))
    except Exception:  # it does not take that
        fine = twin
    return [finding for layer in fine.list_modules() for finding in (
        not_double("output", layer.output, "output dtype") or not_double("input gradient", layer.grad_input))][:1] or [
        finding for path, _, grad in fine.named_parameters() for finding in not_double(f"gradient of {path}", grad)][:1]


def _criterion_precision(criterion, prediction, target):
    """[Finding] on a loss or a gradient that is not in float64, at a prediction near by."""
    try:
        with backend.seeded(1):
            near, twin = mapped(near_by, prediction), copy.deepcopy(criterion)
        loss = np.array(twin.update_output(near, copied(target)))
        return not_double("loss", loss, "output dtype") or not_double("gradient", twin.backward(near, copied(target)))
    except Exception:  # it does not take that
        return []


def _pairing(twin, prediction, target):
    def gradient(target):
        twin.forward(prediction, target)
        return twin.backward(prediction, target)

    try:
        return grouped_otherwise(twin.samples, target, gradient, ("prediction", "target"))
    except Exception:  # it does not take rows that are equal
        return []


def _grouping(twin, input):
    samples = getattr(twin, "samples", 1)
    try:
        return grouped_otherwise(samples, input, twin.forward, ("output", "input")) if isinstance(samples, int) else []
    except Exception:  # it does not take rows that are equal
        return []


def _expect_arrays(verb, value, title):
    for array in arrays(value):
        if not isinstance(array, np.ndarray):
            raise GradientError(f"{title}: {verb} returned {array!r} where an array belongs: is its return missing?")


def _expect_numbers(verb, name, value):
    if not any(getattr(array, "size", 1) for array in arrays(value)):
        shapes = ", ".join(str(array.shape) for array in arrays(value))
        raise GradientError(f"{verb}: {name} has shape {shapes}, no number that could be moved; give it a row or more")


def _expect_divergence(twin):
    for layer in twin.find_modules(Divergence):
        if layer.divergence is None and layer.input is not None:
            raise GradientError(f"{layer.title}: update_output has not set self.divergence")
        if np.ndim(layer.divergence) != 0:
            raise GradientError(f"{layer.title}: self.divergence has shape {np.shape(layer.divergence)}, expected one "
                                "number for the whole batch: sum over all axes")


def gradcheck_criterion(criterion: Criterion, prediction: Any, target: Any, *, tolerance: float = 1e-6,
                        step: float = 1e-5, seed: int = 0, changes: bool = True) -> GradientReport:
    """Check a criterion's derivative by the prediction, an array or a table.  Returns a GradientReport.

    Where the criterion raises on one side of a prediction, as outside [0, 1], the difference is of the other side.
    """
    tolerance, step = _small("gradcheck_criterion", tolerance=tolerance, step=step)
    instance("gradcheck_criterion", "criterion", criterion, Criterion, "; gradcheck(module, input) checks a module" *
             isinstance(criterion, Module))
    _expect_numbers("gradcheck_criterion", "prediction", prediction)
    with backend.seeded(seed), backend.marked(), np.errstate(all="ignore"):
        twin = copy.deepcopy(criterion).cpu().double()
        return _check_criterion(twin, float64(prediction), float64(target), type(criterion).__name__, tolerance, step,
                                changes)


def _check_criterion(twin, prediction, target, title, tolerance, step, changes, beside=False):
    kept, unused = copied((prediction, target)), copy.deepcopy(twin)
    twin.forward(prediction, target)
    grads = twin.backward(prediction, target)
    _expect_arrays("update_grad_input", grads, title)
    grads, findings = copied(grads), _criterion_precision(unused, prediction, target) or not_double("gradient", grads)
    for (name, now), (_, before) in zip(named("arguments", (prediction, target)), named("arguments", kept)):
        if not np.array_equal(now, before, equal_nan=True):
            which = "prediction" if name.startswith("arguments[0]") else "target"
            findings.append(Finding(f"{which} modified", f"the criterion has changed its {which}: write to a buffer of "
                                    "your own, self.buffer(...)", "certain", which))
            put_back(now, before)

    findings = findings or _criterion_repeats(unused, prediction, target)

    def loss():
        return np.array([float(twin.forward(*copied((prediction, target))))])

    checks = [compare(name, array, grad, loss, step, tolerance)
              for name, array, grad in pairs("prediction", prediction, grads)]
    failed = [check for check in checks if not check.ok]
    if not (failed or findings or beside):
        findings = second_look(twin, unused, (prediction, target), step, tolerance) or _pairing(
            twin, prediction, target)
    if failed and not (findings or beside) and all(check.error <= tolerance for check in failed):
        near = _check_criterion(twin, mapped(near_by, prediction), target, f"{title}, beside its kinks", tolerance,
                                step, changes, beside=True)
        if not near.ok:
            return near
        for check in failed:
            check.beside = True
        failed = []
    ones = tuple(map(np.ones_like, arrays(prediction)))
    facts = Facts(twin, (*arrays(prediction), *arrays(target)), prediction, ones)
    for check in failed:
        if not CAUSES & {finding.kind for finding in findings}:
            check.findings = explain(check, facts, Elsewhere(twin, (prediction, target), step, tolerance))
    explain_swap(checks)
    if changes and not CAUSES & {finding.kind for finding in findings}:
        _look_for_change(failed, twin, (prediction, target), None, checks, step, tolerance)
    return GradientReport(title, checks, findings)


def _criterion_repeats(criterion, prediction, target):
    """[Finding] on two forward or two backward passes of the same arguments that do not agree."""
    twin, random = copy.deepcopy(criterion), backend.get_random_state()
    losses, grads = [], []
    for passes, verb in ((losses, twin.forward), (grads, twin.backward)):
        for _ in range(2):
            backend.set_random_state(random)
            passes.append(arrays(copied(verb(*copied((prediction, target))))))
    if not all(map(same, *losses)):
        return [Finding("loss changes", "two forward passes with the same arguments give other losses: the criterion "
                        "adds to what an earlier call has left, or counts calls", "certain")]
    finite = all(np.isfinite(each).all() for each in itertools.chain(*grads))  # the others are no news
    return [] if not finite or all(map(same, *grads)) else [Finding(
        "backward changes", "two backward passes after one forward differ: backward changes an array or a counter that "
        "it reads, such as one that update_output has kept", "certain")]


def _look_for_change(failed, *there):
    """Where no explanation names a cause, add the path that is missing, or what one change of the source would do."""
    for check in failed:
        vague = is_vague(check.findings)
        kind = check.findings[0].kind if check.findings else ""
        if check.error > check.tolerance and (vague or kind in ("wrong derivative", "derivative missing")):
            found = missing_path(*there) or (one_change(*there) if vague or kind == "derivative missing" else [])
            likely = bool(found) and found[0].certainty == "likely"
            for each in failed if likely and vague else ():  # it is right at all points that were tried
                each.findings = [finding for finding in each.findings if finding.kind not in ("rows", "values")]
            for each in failed if found and vague else ():
                for finding in each.findings:  # it was no cause that they named
                    finding.certainty = "possible" if likely or finding.certainty == "possible" else "likely"
            check.findings = [*found, *check.findings] if likely and vague else [*check.findings, *found]
            return
