"""What a wrong gradient looks like: the mistakes that people make, tried one by one.

Each rule says what the analytic gradient A would be if a certain mistake had been made, given the numeric one N and
what the module was fed; an explanation is offered only if it reproduces every entry of A.
"""

from dataclasses import dataclass

import numpy as np

from minivae.debug.tables import arrays, same
from minivae.nn import Container, Criterion, Divergence

TOLERANCE = 1e-5  # of a reproduction: numeric gradients carry the error of their differences


@dataclass
class Finding:
    """One explanation: its kind in a word or two, what it means, how sure it is, and the array it is about."""

    kind: str
    text: str
    certainty: str  # "certain", "likely" or "possible"
    name: str = ""

    def __str__(self):
        return f"{self.certainty}: {self.text}"


class Facts:
    """What a module was fed and gave back: the material that mistakes are made of."""

    def __init__(self, module, input, output, grad_output, earlier=None):
        self.module = module
        self.of_parameter = False  # whether the array that is explained now is one
        self.earlier = earlier or {}  # {name: input gradient that an earlier forward, with other noise, had}
        self.x, self.y, self.g = arrays(input), arrays(output), arrays(grad_output)
        self.noise = getattr(module, "noise", None)
        self.passes_on = isinstance(module, Divergence)
        self.samples = int(getattr(module, "samples", 1) or 1)
        x = self.x[0]
        self.numbers = {"the batch size N": len(x), "the length of a row D": x[0].size if len(x) else 1,
                        "all elements N·D": x.size,
                        "the draws for a row L": self.samples}
        for name in ("temperature", "beta", "std", "p", "prior"):
            value = getattr(module, name, None)
            if isinstance(value, int | float) and value not in (0, 1):
                self.numbers[name] = value

    def constants(self):
        """[(label, number)] of factors that are easily forgotten or put where they do not belong."""
        fixed = [("−1", -1), ("2", 2), ("½", 0.5), ("−2", -2), ("−½", -0.5), ("4", 4), ("¼", 0.25)]
        named = [(label, value) for label, value in self.numbers.items() if value != 1]
        inverse = [(f"1 / {label}", 1 / value) for label, value in named]
        square = [(f"{label} squared", value**2) for label, value in named if isinstance(value, float)]
        return [*named, *inverse, *square, *fixed]

    def values(self, shape):
        """[(label, array)] of that shape, whose factors or terms may have been left out."""
        if isinstance(self.module, Criterion):
            names = [f"the prediction{self._index(self.x[:-1], i)}" for i in range(len(self.x) - 1)]
            sources = list(zip([*names, "the target"], self.x))
        else:
            sources = [(f"the input{self._index(self.x, i)}", each) for i, each in enumerate(self.x)]
            sources += [(f"the output{self._index(self.y, i)}", each) for i, each in enumerate(self.y)]
        sources += [] if self.noise is None else [("the noise", self.noise)]
        sources += [(name, getattr(self.module, name)) for name in self.module.parameter_names
                    if getattr(self.module, name, None) is not None] if hasattr(self.module, "parameter_names") else []
        return [(label, each) for label, each in sources if np.shape(each) == shape]

    @staticmethod
    def _index(table, i):
        return f"[{i}]" if len(table) > 1 else ""

    def functions(self, shape):
        """[(label, array)]: of each value v of that shape v itself, 1 − v, e^v, ... as they occur in derivatives."""
        found = []
        with np.errstate(all="ignore"):
            for label, v in self.values(shape):
                sigma = 1 / (1 + np.exp(-v))
                found += [(label, v), (f"1 − v of {label}", 1 - v), (f"v (1 − v) of {label}", v * (1 - v)),
                          (f"1 − v² of {label}", 1 - v * v), (f"1 + v² of {label}", 1 + v * v),
                          (f"v² of {label}", v * v), (f"e^v of {label}", np.exp(v)),
                          (f"e^(v/2), a standard deviation, of {label}", np.exp(v / 2)),
                          (f"e^v − 1 of {label}", np.expm1(v)), (f"σ(v) of {label}", sigma),
                          (f"σ(v) (1 − σ(v)) of {label}", sigma * (1 - sigma)),
                          (f"1 − tanh² of {label}", 1 - np.tanh(v)**2), (f"the mask v > 0 of {label}", (v > 0) * 1.0)]
        return [(label, f) for label, f in found if np.isfinite(f).all() and np.any(f) and np.ptp(f) > 0]


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
    if not np.any(a):
        return [Finding("zero", "the gradient is zero everywhere: it was never computed, or never added", "certain")]
    seen = ~check.kink
    facts.of_parameter = not check.name.startswith(("input", "prediction"))
    found = []
    for rules in ((_transposed, _factor, _signs, _own_term, _by_products, _by_draws, _by_children),
                  (_masked, _by_side), (_by_function, _by_axis), (_missing_term,), (_missing_product, _in_own_term)):
        for rule in rules:  # the general ones last
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


def _fits(candidate, wanted, seen):
    return np.shape(candidate) == np.shape(wanted) and same(candidate[seen], wanted[seen], TOLERANCE)


def _fit(basis, wanted, seen):
    """The c for which c · basis is nearest to `wanted`, or None if that does not reproduce it."""
    b = basis[seen]
    size = float((b * b).sum())
    if size == 0:
        return None
    c = float((b * wanted[seen]).sum()) / size
    return c if c != 0 and _fits(c * basis, wanted, seen) else None


def _labels(c, facts):
    return [label for label, value in facts.constants() if abs(c - value) <= 1e-4 * abs(value)]


def _transposed(a, n, seen, facts):
    if a.ndim == 2 and a.shape[0] == a.shape[1] > 1 and _fits(n.T, a, np.ones_like(seen)):
        yield Finding("transposed", "the gradient is the transpose of the right one: exchange the factors of the "
                      "product, or drop a .T", "certain")


def _factor(a, n, seen, facts):
    c = _fit(n, a, seen)
    if c is None or seen.sum() < 2 or abs(c - 1) < 1e-4:
        return
    labels = _labels(c, facts)
    if abs(c - 2) < 1e-4 and facts.of_parameter:
        yield Finding("accumulated twice", "every entry is 2 times what it should be: it has been added twice, or "
                      "there is a constant factor of 2", "certain")
    elif abs(c + 1) < 1e-4:
        yield Finding("sign", "the sign is wrong: every entry is −1 times what it should be", "certain")
    elif labels:
        yield Finding("factor", f"every entry is {c:.4g} times what it should be: a constant factor of "
                      f"{' or of '.join(labels)}", "certain" if len(labels) == 1 else "likely")
    else:
        yield Finding("factor", f"every entry is {c:.6g} times what it should be: a constant factor", "likely")


def _signs(a, n, seen, facts):
    wrong = (np.sign(a) != np.sign(n)) & seen
    if _fits(np.abs(a), np.abs(n), seen) and wrong.any() and not wrong.all():
        yield Finding("sign", f"{wrong.mean():.0%} of the entries have the wrong sign, all have the right size: a "
                      "derivative of −1 is missing, as where a pixel was flipped, or an abs is there", "certain")


def _own_term(a, n, seen, facts):
    """Gradients of the form G + own: the layer hands G on and adds a derivative of its own."""
    for g in facts.g:
        if g.shape != a.shape:
            continue
        if _fits(a * g, n, seen) and not isinstance(facts.module, Criterion):
            yield Finding("grad_output missing", "this is the derivative alone: it has to be multiplied by "
                          "grad_output, which comes back from the later layers", "certain")
            return
        own = n - g
        if not np.any(np.abs(own[seen]) > 1e-9):
            continue
        if _fits(g, a, seen):
            if facts.passes_on:
                yield Finding("own gradient missing", "grad_output is handed on unchanged: the gradient of the "
                              "divergence itself is missing", "certain")
            else:
                yield Finding("derivative missing", "grad_output is handed on unchanged: it has to be multiplied by "
                              "the derivative of the layer, or by its mask", "certain")
        elif facts.passes_on and _fits(own, a, seen):
            yield Finding("grad_output not added", "only the layer's own gradient is there: grad_output, which comes "
                          "from above, has to be added", "certain")
        elif facts.passes_on and (c := _fit(own, a - g, seen)) is not None:
            labels, sign = _labels(c, facts), abs(c + 1) < 1e-4
            text = "the wrong sign" if sign else f"{c:.4g} times its size, a factor of {' or of '.join(labels) or '?'}"
            yield Finding("own gradient's sign" if sign else "own gradient's factor", "the layer's own gradient, "
                          f"which is added to grad_output, has {text}", "certain" if labels else "likely")


def _by_products(a, n, seen, facts):
    """Products of matrices, for layers with a weight: which arrays have been multiplied."""
    weight = getattr(facts.module, "weight", None)
    if weight is None or np.ndim(weight) != 2:
        return
    x, y, g = facts.x[0], facts.y[0], facts.g[0]
    wrong = [("the output instead of grad_output", lambda: y.T @ x),
             ("the output instead of the input", lambda: g.T @ y),
             ("the transposed weight", lambda: g @ weight.T), ("the weight, not transposed", lambda: g @ weight),
             ("the input instead of grad_output", lambda: x @ weight),
             ("the output instead of grad_output, summed over the batch", lambda: y.sum(axis=0)),
             ("the first row of grad_output only", lambda: g[0]), ("the last row of grad_output only", lambda: g[-1]),
             ("the mean of grad_output instead of the sum", lambda: g.mean(axis=0)),
             ("the sum of all of grad_output in every entry", lambda: np.full(a.shape, g.sum())),
             ("the first image of the batch only", lambda: np.outer(g[0], x[0])),
             ("the last image of the batch only", lambda: np.outer(g[-1], x[-1])),
             ("absolute values of grad_output", lambda: np.abs(g).T @ x)]
    for label, product in wrong:
        try:
            candidate = product()
        except ValueError:  # shapes that do not multiply: not this mistake
            continue
        if _fits(candidate, a, seen) and not _fits(candidate, n, seen):
            yield Finding("wrong product", f"the gradient is computed from {label}", "certain")
            return


def _by_draws(a, n, seen, facts):
    """Layers that draw L rows for each row: a sum over draws with something missing, or over the wrong rows."""
    g, samples = facts.g[0], facts.samples
    if samples == 1 or a.ndim != 2 or g.ndim != 2 or len(g) != samples * len(a) or g.shape[1] != a.shape[1]:
        return
    with np.errstate(all="ignore"):
        scale = _ratio_of_sums(n, g, facts, samples)
        for label, rows in (("G", g), ("G ε", None if facts.noise is None else g * facts.noise)):
            if rows is None:
                continue
            grouped, other = rows.reshape(len(a), samples, -1), rows.reshape(samples, len(a), -1)
            plain = grouped.sum(axis=1) if label == "G" else None
            for what, total in (("the first draw of each row only", grouped[:, 0]),
                                ("the last draw of each row only", grouped[:, -1]),
                                ("rows l·N + n instead of n·L + l: it mixes rows of the input", other.sum(axis=0)),
                                ("grad_output without the noise", plain)):
                if total is None:
                    continue
                for factor in scale:
                    if _fits(factor * total, a, seen) and not _fits(factor * total, n, seen):
                        yield Finding("draws", f"the sum over the draws is wrong: it takes {what}", "certain")
                        return


def _ratio_of_sums(n, g, facts, samples):
    """What a right sum over draws is multiplied by in this layer: found from N itself."""
    factors = [np.ones_like(n)]
    for rows in (g, None if facts.noise is None else g * facts.noise):
        if rows is not None:
            ratio = n / rows.reshape(len(n), samples, -1).sum(axis=1)
            factors.append(np.where(np.isfinite(ratio), ratio, 0))
    return factors


def _by_children(a, n, seen, facts):
    """Containers that add up their branches: which of them is in the sum."""
    if not isinstance(facts.module, Container):
        return
    parts = [(name, part) for name, child in facts.module.children() if child.grad_input is not None
             for part in arrays(child.grad_input)]
    for name, part in parts:
        if np.shape(part) == a.shape and _fits(part, a, seen) and not _fits(part, n, seen):
            yield Finding("branch missing", f"only the gradient of branch ({name}) is there: those of all branches "
                          "have to be added", "certain")
            return
        if np.shape(part) == a.shape and _fits(n - part, a, seen) and np.any(part):
            yield Finding("branch missing", f"the gradient of branch ({name}) has not been added", "certain")
            return


def _masked(a, n, seen, facts):
    size = np.abs(n).max() * 1e-6 + 1e-12
    zero_a, zero_n = np.abs(a) <= size, np.abs(n) <= size
    if (zero_n & ~zero_a & seen).any() and _fits(np.where(zero_n, 0, a), n, seen):
        yield Finding("mask missing", f"{(zero_n & ~zero_a).mean():.0%} of the entries should be 0 and are not, the "
                      "others are right: a mask is missing", "certain")
    elif (zero_a & ~zero_n & seen).any() and _fits(np.where(zero_a, 0, n), a, seen):
        yield Finding("mask", f"{(zero_a & ~zero_n).mean():.0%} of the entries are 0 and should not be, the others are "
                      "right: a mask covers too much", "certain")
    elif (zero_a ^ zero_n).mean() > 0.99 and any(_fits(np.where(zero_n, g, 0), a, seen) for g in facts.g
                                                 if g.shape == a.shape):
        yield Finding("mask inverted", "the gradient passes exactly where it should be 0: the mask is inverted",
                      "certain")


def _by_function(a, n, seen, facts):
    """A factor that differs from entry to entry is missing, or there without need, or another one is in its place."""
    g, other = [each for each in facts.g if each.shape == a.shape], []
    found = []
    with np.errstate(all="ignore"):
        for label, f in facts.functions(a.shape):
            wrong = (f"grad_output is multiplied by {label}, which is not the derivative, or not all of it: where an "
                     "output depends on several inputs, a term of each is to be added")
            for kind, text, basis, wanted in (
                    ("factor missing", f"the factor {label} is missing", n, a * f),
                    ("factor too many", f"there is a factor {label} too many", n * f, a),
                    *(("wrong derivative", wrong, each * f, a) for each in g)):
                c = _fit(basis, wanted, seen)
                if c is not None and (abs(c - 1) < 1e-4 or _labels(c, facts)):
                    extra = "" if abs(c - 1) < 1e-4 else f", beside a constant factor of {c:.4g}"
                    finding = Finding(kind, text + extra, "certain" if not extra else "likely")
                    (other if kind == "wrong derivative" else found).append(finding)
        for each in g:
            d = n / each
            if np.isfinite(d[seen]).all() and _fits(each * d * d, a, seen):
                found.append(Finding("factor too many", "the derivative has been multiplied by twice", "certain"))
    yield from found or other  # grad_output times something is true of many mistakes: only if nothing more exact is


def _by_side(a, n, seen, facts):
    """Layers whose slope has two values, such as a leaky rectifier: the side is chosen by the wrong thing."""
    for g in facts.g:
        if g.shape != a.shape or not np.all(g):
            continue
        right, wrong = n / g, a / g
        low, high = right.min(), right.max()
        if high - low < 1e-6 or not same(np.where(right > (low + high) / 2, high, low), right, TOLERANCE):
            continue
        for label, value in (("grad_output", g), *facts.values(a.shape)):
            for word, side in (("where", value > 0), ("except where", value <= 0)):
                if same(np.where(side, high, low), wrong, TOLERANCE):
                    yield Finding("wrong side", f"the slope {high:.4g} instead of {low:.4g} is taken {word} {label} is "
                                  "positive, which is not the condition of the forward pass", "certain")
                    return


def _by_axis(a, n, seen, facts):
    """Parameters of one number a unit: the sum runs over the units instead of the batch."""
    for g in facts.g:
        for _, v in [("", np.ones_like(g)), *facts.functions(g.shape)]:
            product = g * v
            if a.ndim == 1 and product.ndim == 2 and _fits(product.sum(axis=0), n, seen):
                for text, candidate in (("over the units instead of the batch", product.sum(axis=1)),
                                        ("over everything", np.full(a.shape, product.sum()))):
                    if _fits(candidate, a, seen):
                        yield Finding("wrong axis", f"the sum runs {text}", "certain")
                        return


def _in_own_term(a, n, seen, facts):
    """Pass-through layers whose own gradient is wrong by a factor that differs from entry to entry."""
    for g in facts.g if facts.passes_on else ():
        if g.shape == a.shape:
            for finding in _by_function(a - g, n - g, seen, facts):
                if finding.kind != "wrong derivative":
                    yield Finding(finding.kind, "in the layer's own gradient, which is added to grad_output: "
                                  + finding.text, finding.certainty)


def _missing_term(a, n, seen, facts):
    """A − N is a multiple of something: a term was left out, or one too many added."""
    values = [("grad_output", each) for each in facts.g if each.shape == a.shape] + [("a constant", np.ones_like(a))]
    for label, f in values + facts.functions(a.shape):
        c = _fit(f, a - n, seen)
        if c is not None:
            plain = any(abs(abs(c) - value) < 1e-4 for value in (0.5, 1, 2))
            yield Finding("term", f"the gradient is the right one plus {c:.4g} times {label}: that term is too many, "
                          "or its negative is missing", "certain" if plain else "likely")
            return


def _missing_product(a, n, seen, facts):
    """For criterions, whose terms have two arguments: A − N is a product of a function of each."""
    values = facts.values(a.shape)
    if not isinstance(facts.module, Criterion) or len(values) < 2:
        return
    with np.errstate(all="ignore"):
        functions = [[(label, v), (f"(1 − {label})", 1 - v), (f"1 / {label}", 1 / v),
                      (f"1 / (1 − {label})", 1 / (1 - v)), (f"e^−({label})", np.exp(-v))] for label, v in values]
        for (one, f), (other, g) in ((p, q) for i in range(len(functions)) for j in range(i) for p in functions[i]
                                     for q in functions[j]):
            c = _fit(f * g, a - n, seen) if np.isfinite(f * g).all() else None
            if c is not None and abs(abs(c) - 1) < 1e-4:
                sign, word = ("plus", "too many") if c > 0 else ("minus", "missing")
                yield Finding("term", f"the gradient is the right one {sign} {other} · {one}: that term is {word}",
                              "certain")
                return


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
