"""Diagnosis of a wrong gradient: common mistakes, tried one by one, the special before the general.

An explanation is certain if it reproduces every entry, here and at other points (other values, another batch size,
other weights, with other noise and grad_output), and if no other rule's explanation does, but for those that follow.
"""

from math import prod

import numpy as np

from minivae.debug.diagnosis import general_mistakes as general
from minivae.debug.diagnosis import pairs_of_entries as pairs
from minivae.debug.diagnosis import partial_mistakes as partial
from minivae.debug.diagnosis import special_mistakes as special
from minivae.debug.diagnosis import structural_mistakes as structural
from minivae.debug.diagnosis import sums_over_units as sums
from minivae.debug.diagnosis.elsewhere import SMALL
from minivae.debug.diagnosis.finding import ESTIMATOR, Finding
from minivae.debug.diagnosis.fitting import COMPOUND, TOLERANCE, fit
from minivae.debug.diagnosis.floating_point import ANYWHERE, where_it_arose
from minivae.debug.diagnosis.places import where
from minivae.debug.tables import same

RULES = (
    (special.unused,),
    (special.by_children, special.own_loss, special.by_pairing),
    (special.transposed, special.factor, special.signs, special.own_term, special.by_products, special.by_draws),
    (special.cut,),
    (structural.misplaced,),
    (general.by_side,),
    (general.masked,),
    (pairs.regrouped,),
    (special.by_rows, pairs.by_draws),
    (structural.permuted, structural.sliced),
    (partial.in_one_use,),
    (general.on_one_side,),
    (structural.scaled,),
    (general.by_function, general.by_axis),
    (general.instead,),
    (structural.by_weight,),
    (structural.assigned,),
    (pairs.exactly,),
    (pairs.left_out,),
    (general.epsilon,),
    (structural.by_ratio,),
    (structural.elsewhere,),
    (pairs.otherwise, structural.by_sums),
    (structural.by_arguments,),
    (general.swapped,),
    (general.missing_terms,),
    (general.turned,),
    (partial.in_own_term,),
    (partial.in_entry,),
    (sums.by_parts,),
    (sums.by_statistic,),
    (general.recognised,),
    (partial.in_part,),
    (general.nearly,),
    (pairs.vaguely,),
)

# What else must then be true, in other words.
IMPLIED = {
    "derivative missing": {"factor missing", "mask missing", "factor", "wrong derivative", "term"},
    "own gradient missing": {"factor", "factor missing", "factor too many", "term"},
    "mask missing": {"wrong derivative", "derivative missing"},
    "mask": {"wrong derivative", "derivative missing"},
    "argument": {"wrong derivative", "factor missing", "factor too many", "term"},
    "one side": {"wrong derivative"},
    "factor": {"draws"},
    "regrouped": {"draws"},
    "misfed": {"draws"},
    "grad_output not added": {"factor", "factor missing", "factor too many", "term"},
}
# How the gradient looks, whatever the reason: these rival no explanation.
OBSERVATIONS = {
    "places", "factor along an axis", "direction", "diagonal only", "outputs left out", "too many inputs", "one side",
    "mean for sum", "wrong inputs", "taken as constant", "one weight for all", "spread", "factor of outputs", "formula",
    "any factor",
    "rows mixed", "rows not mixed", "weight used differently", "function of the input", "wrong sum",
    "sum along an axis", "some outputs", "misfed", "argument",
    "shifted", "epsilon", "term", "regrouped", "function for another", "part",
    "another mask", "nearly", "numbered", "assigned", "added several times", "part of a sum", "turned",
    "displaced", "one use",
}
# Their sentences say how it looks, and then what it may come from.
GUESSED = {"stale noise", "sum along an axis", "any factor", "nearly"}
# Found by moving arrays, one by one, which proves them; in place of those that say less.
SEEN, WEAK = {"dependence", "stale number"}, {"sum along an axis", "some outputs", "any factor"}
# Of a layer that hands on its input and has a divergence: true even if the divergence itself is wrong.
WHATEVER_FORWARD = {"own gradient missing", "grad_output not added", "grad_output missing"}
UNWRITTEN = ("backward reads a buffer before anything has been written there: write it in every forward pass, in "
             "either mode, or set it to 0 first")


def explain(check, facts, elsewhere=None):
    """The Findings on one failed ArrayCheck, the best first; one that says so if nothing fits.

    `elsewhere` knows the same array at other points.
    """
    a, n = check.analytic, check.numeric
    if a.shape != n.shape:
        return [Finding("wrong shape", f"the array has shape {n.shape}, its gradient {a.shape}: they must be equal",
                        "certain")]
    if not np.isfinite(a).all() or not np.isfinite(n).all():
        who = "gradient" if np.isfinite(n).all() else "output"
        place = np.argwhere(~np.isfinite(a if who == "gradient" else n))[0]
        unwritten = who == "gradient" and elsewhere and elsewhere.is_unwritten(check.name)
        arose = UNWRITTEN if unwritten else (
            where_it_arose(elsewhere.once(backward=who == "gradient")) if elsewhere else ANYWHERE)
        return [Finding("nan", f"the {who} is not finite, first at [{', '.join(map(str, place))}]: {arose}", "certain")]
    if check.error <= check.tolerance:  # there are only too many kinks
        return []
    facts.about(check.name)
    points = elsewhere.checks(check.name) if elsewhere else []
    if not np.any(a):
        return [Finding("zero", "the gradient is zero everywhere: it was never computed, or never added"
                        + (f"; or it is taken for a constant on purpose, {ESTIMATOR}" if "[" in check.name else ""),
                        "certain" if facts.of_parameter else "likely")]
    others = [(each.analytic, each.numeric, ~each.kink, at) for _, each, at in points if not each.ok]
    tiers, once = [], []
    for rules in RULES:
        tiers.append([])
        for rule in rules:
            proven, lost = _proven(rule, (a, n, ~check.kink, facts), others)
            tiers[-1] += proven
            once += lost
    found = list({finding.kind: finding for finding in reversed(next(filter(None, tiers), []))}.values())[::-1]
    if all(each.kind in OBSERVATIONS for each in found):
        found = _stale(check, a, facts, elsewhere) or found
    only_here = _only_here(points, check.name, elsewhere) + _in_evaluation(check.name, elsewhere)
    if only_here or not found:
        kept = ignoring(check.name, elsewhere)
        found, only_here = kept or found, [] if kept else only_here
    found = found or [each for each in once if each.kind not in OBSERVATIONS][:1]
    if elsewhere and len(elsewhere.numbers()) > 1 and a.size <= SMALL:
        found = _stale_number(check.name, elsewhere, facts.module) or found
    if elsewhere and all(each.kind in WEAK for each in found):
        found = _dependence(check.name, elsewhere, facts) or found
    certain = bool(others) and not _rivals(found, tiers, facts) and check.told_to <= check.tolerance
    for finding in found:
        finding.certainty = ("certain" if finding.kind in SEEN else "possible" if len(found) > 1 or finding in once else
                             "certain" if certain and len(finding.names) < 2 and finding.kind not in GUESSED else
                             "likely")
    return (only_here + (found or _partly(check, a, n, facts)))[:3]


def is_vague(findings):
    """Whether they say how a gradient looks, or in which mode it is wrong, and not why."""
    return not findings or findings[0].certainty != "certain" or findings[0].kind in OBSERVATIONS | {
        "dependence", "mask", "mode"}


def _proven(rule, here, others):
    """(Findings of a rule that hold here and at every other point, those that hold here only)."""
    found, lost = _applied(rule, *here), []
    for each in others if found else ():
        there = {finding.claim: finding for finding in _applied(rule, *each)}
        lost += [finding for finding in found if finding.claim not in there]
        found = [finding for finding in found if finding.claim in there]
        for finding in found:
            finding.names = tuple(name for name in finding.names if name in there[finding.claim].names)
    for finding in found:
        plain = tuple(name for name in finding.names if not name.startswith(COMPOUND))
        finding.names = plain or finding.names
    return found, lost


def _applied(rule, *facts):
    """The Findings of a rule; none if it cannot be tried on the arrays of a layer that has shapes of its own."""
    try:
        return list(rule(*facts))
    except (ValueError, IndexError, TypeError, KeyError, AttributeError):
        return []


def _rivals(found, tiers, facts):
    """Whether something else would explain it too."""
    if len(found) != 1:
        return True
    kind = found[0].kind
    others = {finding.kind for tier in tiers for finding in tier} - {kind} - OBSERVATIONS - IMPLIED.get(kind, set())
    return bool(others) or (facts.passes_on and kind not in WHATEVER_FORWARD) or (
        "{names}" in found[0].pattern and not found[0].names)


def _stale(check, a, facts, elsewhere):
    if facts.noise is None or not same(facts.earlier.get(check.name), a):
        return []
    acts, left_out = elsewhere.with_other_noise(check.name) if elsewhere else (True, False)
    if not acts:  # then it is the same at every forward, whatever is wrong with it
        return []
    if left_out:
        return [Finding("noise left out", "the gradient is the same whatever the noise, and the derivative of "
                        "update_output is not: backward leaves the noise out where update_output uses it, or uses the "
                        "input alone for what the two make together")]
    return [Finding("stale noise", "it is the gradient of an earlier forward: backward uses noise that was kept then "
                    "and has not been renewed")]


def ignoring(name, elsewhere):
    """[Finding] on an array that backward does not renew."""
    ignored = elsewhere.ignored(name) if elsewhere else []
    return [Finding("kept from earlier", f"the gradient does not depend on {' and '.join(ignored)}, and the derivative "
                    "of update_output does: backward uses an array that was kept at an earlier call or in __init__ (an "
                    "output, a mask, places of maxima, a copy of a weight), or overwritten since, or a constant",
                    "certain", name)] if ignored else []


def _dependence(name, elsewhere, facts):
    """[Finding] on what the gradient depends on, and the derivative does not, or the other way round."""
    if prod(facts.shape) > SMALL:
        return []
    mixed = _dependent(name, elsewhere, ((axis, name, axis) for axis in range(len(facts.shape))))
    arrays = _dependent(name, elsewhere, ((each if each[:4] == "the " else f"the {each}", each, None)
                                          for each in elsewhere.names()))
    less, does, does_not, what = (
        (True, "does not depend", "does", "left out of backward, or too many in update_output") if arrays[True] else
        (False, "depends", "does not", "too many in backward, or left out of update_output, or a copy made earlier "
         "is used there"))
    sentence = pairs.mixes(*mixed, batch=not facts.of_parameter) or (arrays[less] and (
        f"the gradient {does} on {' and '.join(arrays[less])}, and the derivative of update_output {does_not}: a term, "
        f"a factor or a condition with it is {what}")) or (mixed[1] and (
            f"the derivative of update_output mixes the places along axis {' and '.join(map(str, mixed[1]))}, and the "
            "gradient does not: what is made of all of them, a sum, a mean, a norm or the shares of a softmax or a "
            "posterior, is left out of backward, or has something else in its place")) or (
        _of_other_targets(*_dependent(name, elsewhere, [("", "the target", 0)])))
    return [Finding("dependence", sentence)] if sentence else []


def _of_other_targets(gradient, derivative):
    """The sentence if the gradient of a row alone, or its derivative alone, depends on the targets of other rows."""
    if derivative:
        return ("the derivative of a row depends on the targets of other rows, and the gradient does not: "
                "update_output compares each row with all others, on purpose or as shapes such as (N, 1) and (N,) "
                "broadcast to (N, N), and backward has a row's own share alone")
    return gradient and ("the gradient of a row depends on the targets of other rows, and the derivative of "
                         "update_output does not: a sum, a mean or the shares of a softmax run over the batch in "
                         "backward, or shapes such as (N, 1) and (N,) broadcast there to (N, N)")


def _dependent(name, elsewhere, those):
    """(What of those the gradient alone depends on, what the derivative alone does), of [(word, name, axis)]."""
    found = [], []
    for word, on, axis in those:
        depends = elsewhere.depends(name, on, axis)
        if depends and depends[0] != depends[1]:
            found[depends[1]].append(word)
    return found


def _stale_number(name, elsewhere, module):
    """[Finding] on a number of the layer's own that stands in backward for one that has changed since."""
    both = _dependent(name, elsewhere, ((each, each, None) for each in elsewhere.numbers()))
    one, other = (f"self.{each[0]}, {getattr(module, each[0]):.4g}," if each else None for each in both)
    return [Finding("stale number", f"backward depends on {one} and not on {other} as update_output does: what was "
                    "computed from the second, in __init__ or since, does not change with it: compute it in each pass"
                    )] if one and other else []


def _in_evaluation(name, elsewhere):
    """What is right in training mode, and wrong in this."""
    right, alike = elsewhere.in_training(name) if elsewhere else (False, False)
    if not right:
        return []
    asking = elsewhere.asking()
    where = ("backward does the same in both modes, and update_output does not: look where each asks self.train"
             if alike else
             "update_output asks self.train and backward does not: it does what belongs to training, or reads what "
             "update_output keeps in training only" if asking == {"update_output"} else
             "backward asks self.train and update_output does not" if asking == {"backward"} else
             "in one of the passes what is done where self.train is False is wrong or missing")
    return [Finding("mode", f"it is right in training mode, and wrong in evaluation mode: {where}", "certain")]


def _only_here(points, name, elsewhere):
    """What it takes for the gradient to be wrong."""
    right = {change: check.ok for change, check, _ in points}
    if right.get("rows") and right.get("values") is False and all(
            check.ok for _, check, _ in elsewhere.checks(name, ["rows again"])):
        rows = next(len(facts.x[-1]) for change, _, facts in points if change == "values")
        return [Finding("rows", f"it is wrong for a batch of {rows}, and right for one of {rows + 1}", "certain")]
    if right.get("values"):
        return [Finding("values", "it is right for other values: whether it is wrong depends on them, as at a "
                        "condition, or on an array that was kept from an earlier call", "likely")]
    return []


def explain_shared(checks, shared):
    """Give entries of a table whose gradients are one array in memory, [(name, name)], that one finding."""
    by_name = {check.name: check for check in checks}
    for one, other in ((by_name[a], by_name[b]) for pair in shared for a, b in (pair, pair[::-1])):
        if (not one.ok and one.analytic.shape == one.numeric.shape == other.numeric.shape
                and same(one.analytic, other.numeric, TOLERANCE)):
            found = Finding("shared memory", f"it is one array in memory with the gradient of {other.name}, which was "
                            "written over it: each needs a buffer of its own, with a name of its own", "certain")
            if fit(one.numeric, one.analytic, ~one.kink) is not None:  # or its own factor has been forgotten
                found.certainty = "possible"
                for each in one.findings:
                    each.certainty = "possible"
                one.findings.append(found)
            else:
                one.findings = [found]


def explain_swap(checks):
    """Give entries of a table that have each other's gradients that one finding."""
    for i, one in enumerate(checks):
        for other in checks[i + 1:]:
            pair = one, other
            if (not one.ok and not other.ok and "[" in one.name and same(one.analytic, other.numeric, TOLERANCE)
                    and same(other.analytic, one.numeric, TOLERANCE)):
                for check in pair:
                    check.findings = [Finding("swapped", f"{one.name} and {other.name} have each other's gradient: "
                                              "two entries of the table, or their factors, are exchanged", "certain")]


def _partly(check, a, n, facts):
    """No rule fits: at least where it is wrong."""
    wrong = np.zeros(a.shape, dtype=bool)
    for index in check.wrong():
        wrong[index] = True
    example = pairs.example(facts) if facts.jacobians() else ""
    if a.ndim and (place := where(wrong, not facts.of_parameter)):
        return [Finding("partly", f"it is wrong {place}, and right elsewhere: no mistake that I know{example}",
                        "possible")]
    return [Finding("unknown", "no pattern that I know: compare your formula with the layer's equation, entry by entry"
                    + example, "possible")]
