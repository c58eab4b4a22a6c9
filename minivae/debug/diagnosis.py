"""Diagnosis of a wrong gradient: common mistakes, tried one by one, the special before the general."""

import numpy as np

from minivae.debug import general_mistakes as general
from minivae.debug import special_mistakes as special
from minivae.debug import structural_mistakes as structural
from minivae.debug.facts import Finding
from minivae.debug.fitting import TOLERANCE
from minivae.debug.tables import same

RULES = (
    (special.transposed, special.factor, special.signs, special.own_term, special.by_products, special.by_draws,
     special.by_children),
    (general.masked, general.by_side),
    (structural.permuted,),
    (general.by_function, general.by_axis),
    (general.on_one_side,),
    (structural.by_weight,),
    (structural.by_ratio,),
    (structural.by_jacobian, structural.by_sums),
    (structural.by_arguments,),
    (general.missing_term,),
    (general.missing_product, general.in_own_term),
    (structural.by_statistic,),
    (general.recognised,),
)

# What else must then be true, in other words.
IMPLIED = {
    "derivative missing": {"factor missing", "mask missing", "factor", "wrong derivative", "term"},
    "own gradient missing": {"factor", "factor missing", "factor too many", "term"},
    "grad_output not added": {"factor", "factor missing", "factor too many", "term"},
}
# How the gradient looks, whatever the reason: these rival no explanation.
OBSERVATIONS = {
    "places", "factor along an axis", "direction", "diagonal only", "outputs left out", "too many inputs", "one side",
    "mean for sum", "wrong inputs", "taken as constant", "one weight for all", "spread", "factor of outputs", "formula",
    "rows mixed", "rows not mixed", "weight used differently", "function of the input", "wrong sum",
    "sum along an axis",
}
# Of a layer that hands on its input and has a divergence: true even if the divergence itself is wrong.
WHATEVER_FORWARD = {"own gradient missing", "grad_output not added", "grad_output missing"}


def explain(check, facts):
    """The Findings on one failed ArrayCheck, the best first; one that says so if nothing fits."""
    a, n = check.analytic, check.numeric
    if a.shape != n.shape:
        return [Finding("wrong shape", f"the array has shape {n.shape}, its gradient {a.shape}: they must be equal",
                        "certain")]
    if not np.isfinite(a).all() or not np.isfinite(n).all():
        who = "gradient" if np.isfinite(n).all() else "output"
        where = np.argwhere(~np.isfinite(a if who == "gradient" else n))[0]
        return [Finding("nan", f"the {who} is not finite, first at [{', '.join(map(str, where))}]: look for 0/0, "
                        "log 0, an overflow of exp, or a buffer that was never written", "certain")]
    if check.error <= check.tolerance:  # there are only too many kinks
        return []
    facts.about(check.name)
    if not np.any(a):
        return [Finding("zero", "the gradient is zero everywhere: it was never computed, or never added",
                        "certain" if facts.of_parameter else "likely")]
    seen = ~check.kink
    by_rules = [[finding for rule in rules for finding in rule(a, n, seen, facts)] for rules in RULES]
    found = list({finding.kind: finding for finding in reversed(next(filter(None, by_rules), []))}.values())[::-1]
    seen_only = all(each.kind in OBSERVATIONS for each in found)
    if seen_only and facts.noise is not None and same(facts.earlier.get(check.name), a):
        found = [Finding("stale noise", "it is the gradient of an earlier forward: backward uses noise that was kept "
                         "then and has not been renewed", "likely")]
    found = found or _partly(check, a, n, facts)
    others = {finding.kind for findings in by_rules for finding in findings} - {finding.kind for finding in found}
    others -= OBSERVATIONS
    for finding in found:
        if len(found) > 1 or check.told_to > check.tolerance:
            finding.certainty = "possible"
        elif finding.certainty == "certain" and (others - IMPLIED.get(finding.kind, set()) or (
                facts.passes_on and finding.kind not in WHATEVER_FORWARD)):
            finding.certainty = "likely"
    return found[:3]


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
    if a.ndim >= 1 and 0 < wrong.sum() < wrong.size:
        rows = np.flatnonzero(wrong.reshape(len(a), -1).any(axis=1))
        columns = np.flatnonzero(wrong.reshape(-1, a.shape[-1]).any(axis=0))
        if len(rows) < len(a) or len(columns) < a.shape[-1]:
            return [Finding("partly", f"it is wrong in rows {_few(rows)} of {len(a)} and columns {_few(columns)} of "
                            f"{a.shape[-1]}, and right elsewhere: no mistake that I know", "possible")]
    return [Finding("unknown", "no pattern that I know: compare your formula with the layer's equation, entry by entry"
                    + (structural.example(facts) if facts.jacobians() else ""), "possible")]


def _few(indices):
    return ", ".join(map(str, indices[:5])) + (", …" if len(indices) > 5 else "")
