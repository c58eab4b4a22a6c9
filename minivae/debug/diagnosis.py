"""What a wrong gradient looks like: the mistakes that people make, tried one by one, the special before the general."""

import numpy as np

from minivae.debug import general_mistakes as general
from minivae.debug import special_mistakes as special
from minivae.debug.facts import Finding
from minivae.debug.fitting import TOLERANCE
from minivae.debug.tables import same

RULES = (
    (special.transposed, special.factor, special.signs, special.own_term, special.by_products, special.by_draws,
     special.by_children),
    (general.masked, general.by_side),
    (general.by_function, general.by_axis),
    (general.missing_term,),
    (general.missing_product, general.in_own_term),
)


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
    if not np.any(a):
        return [Finding("zero", "the gradient is zero everywhere: it was never computed, or never added", "certain")]
    seen = ~check.kink
    facts.of_parameter = not check.name.startswith(("input", "prediction"))
    found = []
    for rules in RULES:
        for rule in rules:
            found += [finding for finding in rule(a, n, seen, facts) if finding.kind not in {f.kind for f in found}]
        if found:
            break
    else:
        if facts.noise is not None and same(facts.earlier.get(check.name), a):
            return [Finding("stale noise", "it is the gradient of an earlier forward: backward uses noise that was "
                            "kept then and has not been renewed", "likely")]
        found = _partly(check, a, n)
    if len(found) > 1:
        for finding in found:
            finding.certainty = "possible"
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
                                              "two entries of the table are swapped", "certain")]


def _partly(check, a, n):
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
    return [Finding("unknown", "no pattern that I know: compare your formula with the layer's equation, entry by "
                    "entry", "possible")]


def _few(indices):
    return ", ".join(map(str, indices[:5])) + (", …" if len(indices) > 5 else "")
