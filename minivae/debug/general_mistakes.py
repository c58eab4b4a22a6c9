"""Mistakes that many a formula could explain: masks, derivatives, sides, axes, terms.  Rules as in special_mistakes."""

import numpy as np

from minivae.debug.facts import Finding
from minivae.debug.fitting import TOLERANCE, constant_names, fit, fits
from minivae.debug.tables import same
from minivae.nn import Criterion


def masked(a, n, seen, facts):
    size = np.abs(n).max() * 1e-6 + 1e-12
    zero_a, zero_n = np.abs(a) <= size, np.abs(n) <= size
    if (zero_n & ~zero_a & seen).any() and fits(np.where(zero_n, 0, a), n, seen):
        yield Finding("mask missing", f"{(zero_n & ~zero_a).mean():.0%} of the entries should be 0 and are not, the "
                      "others are right: a mask is missing", "certain")
    elif (zero_a & ~zero_n & seen).any() and fits(np.where(zero_a, 0, n), a, seen):
        yield Finding("mask", f"{(zero_a & ~zero_n).mean():.0%} of the entries are 0 and should not be, the others are "
                      "right: a mask covers too much", "certain")
    elif (zero_a ^ zero_n).mean() > 0.99 and any(fits(np.where(zero_n, g, 0), a, seen) for g in facts.g
                                                 if g.shape == a.shape):
        yield Finding("mask inverted", "the gradient passes exactly where it should be 0: the mask is inverted",
                      "certain")


def by_function(a, n, seen, facts):
    """A factor that differs from entry to entry is missing, or there without need, or another one is in its place."""
    criterion = isinstance(facts.module, Criterion)  # which has no grad_output
    g, other = [each for each in facts.g if each.shape == a.shape and not criterion], []
    found = []
    with np.errstate(all="ignore"):
        for label, f in facts.functions(a.shape):
            wrong = (f"grad_output is multiplied by {label}, which is not the derivative, or not all of it: where an "
                     "output depends on several inputs, a term of each is to be added")
            for kind, text, basis, wanted in (
                    ("factor missing", f"the factor {label} is missing", n, a * f),
                    ("factor too many", f"there is a factor {label} too many", n * f, a),
                    *(("wrong derivative", wrong, each * f, a) for each in g)):
                c = fit(basis, wanted, seen)
                if c is not None and (abs(c - 1) < 1e-4 or constant_names(c, facts)):
                    extra = "" if abs(c - 1) < 1e-4 else f", beside a constant factor of {c:.4g}"
                    finding = Finding(kind, text + extra, "certain" if not extra else "likely")
                    (other if kind == "wrong derivative" else found).append(finding)
        for each in g:
            d = n / each
            if np.isfinite(d[seen]).all() and fits(each * d * d, a, seen):
                found.append(Finding("factor too many", "the derivative has been multiplied by twice", "certain"))
    yield from found or other  # grad_output times something is true of many mistakes: only if nothing more exact is


def by_side(a, n, seen, facts):
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


def by_axis(a, n, seen, facts):
    """Parameters of one number a unit: the sum runs over the units instead of the batch."""
    for g in facts.g:
        for _, v in [("", np.ones_like(g)), *facts.functions(g.shape)]:
            product = g * v
            if a.ndim == 1 and product.ndim == 2 and fits(product.sum(axis=0), n, seen):
                for text, candidate in (("over the units instead of the batch", product.sum(axis=1)),
                                        ("over everything", np.full(a.shape, product.sum()))):
                    if fits(candidate, a, seen):
                        yield Finding("wrong axis", f"the sum runs {text}", "certain")
                        return


def in_own_term(a, n, seen, facts):
    """Pass-through layers whose own gradient is wrong by a factor that differs from entry to entry."""
    for g in facts.g if facts.passes_on else ():
        if g.shape == a.shape:
            for finding in by_function(a - g, n - g, seen, facts):
                if finding.kind != "wrong derivative":
                    yield Finding(finding.kind, "in the layer's own gradient, which is added to grad_output: "
                                  + finding.text, finding.certainty)


def missing_term(a, n, seen, facts):
    """A − N is a multiple of something: a term was left out, or one too many added."""
    given = [] if isinstance(facts.module, Criterion) else facts.g
    values = [("grad_output", each) for each in given if each.shape == a.shape] + [("a constant", np.ones_like(a))]
    for label, f in values + facts.functions(a.shape):
        c = fit(f, a - n, seen)
        if c is not None:
            plain = any(abs(abs(c) - value) < 1e-4 for value in (0.5, 1, 2))
            yield Finding("term", f"the gradient is the right one plus {c:.4g} times {label}: that term is too many, "
                          "or its negative is missing", "certain" if plain else "likely")
            return


def missing_product(a, n, seen, facts):
    """For criterions, whose terms have two arguments: A − N is a product of a function of each."""
    values = facts.values(a.shape)
    if not isinstance(facts.module, Criterion) or len(values) < 2:
        return
    with np.errstate(all="ignore"):
        functions = [[(label, v), (f"(1 − {label})", 1 - v), (f"1 / {label}", 1 / v),
                      (f"1 / (1 − {label})", 1 / (1 - v)), (f"e^−({label})", np.exp(-v))] for label, v in values]
        for (one, f), (other, g) in ((p, q) for i in range(len(functions)) for j in range(i) for p in functions[i]
                                     for q in functions[j]):
            c = fit(f * g, a - n, seen) if np.isfinite(f * g).all() else None
            if c is not None and abs(abs(c) - 1) < 1e-4:
                sign, word = ("plus", "too many") if c > 0 else ("minus", "missing")
                yield Finding("term", f"the gradient is the right one {sign} {other} · {one}: that term is {word}",
                              "certain")
                return
