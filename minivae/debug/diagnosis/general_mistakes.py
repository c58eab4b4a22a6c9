"""Mistakes that many a formula could explain: masks, derivatives, sides, axes, terms.  Rules as in special_mistakes."""

from itertools import combinations, permutations, product

import numpy as np

from minivae.debug.diagnosis.finding import Finding
from minivae.debug.diagnosis.fitting import TOLERANCE, constant_names, fit, fits
from minivae.debug.diagnosis.places import condition, where
from minivae.debug.diagnosis.special_mistakes import factor
from minivae.debug.tables import norm, same
from minivae.nn import Criterion

MOST_TERMS, ROWS = 3_000, 64  # whose pairs are tried, so many rows at a time: they stay in the cache
TARGET = {"a constant", "the target"}
OWN = "in the layer's own gradient, which is added to grad_output: "


def masked(a, n, seen, facts):
    yield from _masked(a, n, seen, facts)
    for g in facts.g if facts.passes_on else ():
        if g.shape == a.shape and np.any(a - g):
            yield from (Finding(each.kind, OWN + each.pattern, names=each.names)
                        for rule in (_masked_by_row, _masked) for each in rule(a - g, n - g, seen, facts))


def _masked_by_row(a, n, seen, facts):
    """Units whose loss counts in some rows, where it should in all of them or in none."""
    size = np.abs(n).max() * 1e-6 + 1e-12
    counts, should = np.abs(a) > size, np.abs(n) > size
    for label, v in facts.unit_losses(a.shape) if len(a) > 1 else ():
        place = condition(counts, [(label, v)])
        if place and (should == should[:1]).all() and not (counts == counts[:1]).all() and same(
                *(np.where(counts & should, each, 0) for each in (a, n)), TOLERANCE):
            yield Finding("mask", f"a unit counts in the rows {place}, and in update_output in all rows or in none: "
                          "its mean over the batch is to decide")


def _masked(a, n, seen, facts):
    size = np.abs(n).max() * 1e-6 + 1e-12
    zero_a, zero_n = np.abs(a) <= size, np.abs(n) <= size
    c = fit(np.where(zero_n, 0, a), n, seen) if (zero_n & ~zero_a & seen).any() else None
    wrong, plain = zero_n & ~zero_a, c is not None and abs(c - 1) < 1e-4
    if plain or (c is not None and condition(wrong, facts.values(a.shape))):
        rest = "right: a mask is" if plain else f"to be {c:.4g} times as large: a mask and a factor of {{names}} are"
        other = ("" if facts.passes_on or not where(wrong) else
                 ", or update_output leaves out or overwrites what these entries add")
        yield Finding("mask missing", f"{wrong.mean():.0%} of the entries{_places(wrong, facts)} should be 0 and are "
                      f"not, the others are {rest} missing{other}", names=() if plain else constant_names(c, facts))
    elif (zero_a & ~zero_n & seen).any() and fits(np.where(zero_a, 0, n), a, seen):
        wrong = zero_a & ~zero_n
        due = [c for g in facts.g if g.shape == a.shape and (c := fit(g, n, seen & wrong)) and abs(c - 1) > 1e-4]
        belongs = f"; there {due[0]:.4g} times grad_output belongs" if due else ""
        yield Finding("mask", f"{wrong.mean():.0%} of the entries{_places(wrong, facts)} are 0 and should not "
                      "be, the others are right: a mask covers too much" + (
                          ", or a loop ends early" if where(wrong) else "") + belongs)
    elif (zero_a ^ zero_n).mean() > 0.99 and any(fits(np.where(zero_n, g, 0), a, seen) for g in facts.g
                                                 if g.shape == a.shape):
        yield Finding("mask inverted", "the gradient passes exactly where it should be 0: the mask is inverted")
    elif (zero_a & ~zero_n).any() and (zero_n & ~zero_a).any() and same(
            *(np.where(zero_a | zero_n, 0, each) for each in (a, n)), TOLERANCE):
        values = [each for each in facts.values(a.shape) if not each[0].startswith("the output")]
        taken, right = (condition(~zero, values) or "at other places" for zero in (zero_a, zero_n))
        for g in facts.g:
            if g.shape == a.shape and (c := fit(np.where(zero_a, 0, g), a, seen)) is not None and fits(
                    np.where(zero_n, 0, c * g), n, seen):
                yield Finding("another mask", f"the gradient passes {taken}, and update_output lets its input pass "
                              f"{right}: the two passes have another mask or comparison")
                return


def _places(wrong, facts):
    place = where(wrong, not facts.of_parameter) or condition(
        wrong, [*facts.values(wrong.shape), *facts.unit_losses(wrong.shape)])
    return f", {place.replace('the image', 'the kernel' if facts.of_parameter else 'the image')}," if place else ""


def by_function(a, n, seen, facts):
    """A factor that differs from entry to entry is missing, or there without need, or another one is in its place."""
    criterion = isinstance(facts.module, Criterion)  # which has no grad_output
    g, other = [each for each in facts.g if each.shape == a.shape and not criterion], []
    found, taken = [], []
    functions = facts.functions(a.shape)
    for each in g:
        texts = list(_derivatives(each, a, n, seen, functions, facts))
        if texts and not (" · " in texts[0] and any(fits(a * f, n, seen) for _, f in functions)):  # which is shorter
            yield from (Finding("wrong derivative", text) for text in texts)
            return
    with np.errstate(all="ignore"):
        for label, f in functions:
            wrong = f"grad_output is multiplied by {label}, which is not the derivative, or not all of it" + (
                "" if facts.elementwise() else ": an output depends on several inputs, and each adds its term")
            for kind, text, basis, wanted in (
                    ("factor missing", f"the factor {label} is missing", n, a * f),
                    ("factor too many", f"there is a factor {label} too many", n * f, a),
                    *(("wrong derivative", wrong, each * f, a) for each in g)):
                c = fit(basis, wanted, seen)
                if c is not None and (abs(c - 1) < 1e-4 or constant_names(c, facts)):
                    extra = "" if abs(c - 1) < 1e-4 else ", with the sign turned" if abs(c + 1) < 1e-4 else (
                        f", beside a factor of {c:.4g}, which is {{names}}")
                    finding = Finding(kind, text + extra, names=constant_names(c, facts) if "{" in extra else ())
                    inverse = [known for known, h in taken if fits(f * h, np.ones_like(f), seen)]
                    if kind == "wrong derivative":
                        other.append(finding)
                    elif inverse:  # the same said the other way round
                        inverse[0].pattern += f", or {text}"
                    else:
                        taken.append((finding, f))
                        found.append(finding)
        for each in g:
            d = n / each
            if np.isfinite(d[seen]).all() and fits(each * d * d, a, seen):
                found.append(Finding("factor too many", "the derivative has been multiplied by twice"))
    yield from found or other  # grad_output times something is true of many mistakes: only if nothing more exact is


def _derivatives(g, a, n, seen, functions, facts):
    """Sentences on what grad_output is multiplied by, where the derivative, or what is missing of it, is known too."""
    products = [(f"{one} · {other}", f * h) for (one, f), (other, h) in combinations(functions, 2)
                if one.split(" of ")[-1] == other.split(" of ")[-1]]  # of one value
    known = [("1", np.ones_like(a)), *functions, *(each for each in products if np.isfinite(each[1]).all())]
    with np.errstate(all="ignore"):
        taken = [label for label, f in known if fits(g * f, a, seen)]
        right = [label for label, f in functions if taken and fits(g * f, n, seen)]
        if not (taken and right):
            yield from _stretched(g, a, n, seen, facts)
        for one, other in product(taken[:4], right[:4]):
            if one in dict(functions):
                yield f"grad_output is multiplied by {one}, where the derivative of update_output is {other}"
        for label, f in known if taken and not right else ():
            c = fit(g * f, n - a, seen)
            plain = c is not None and abs(abs(c) - 1) < 1e-4
            names = () if plain or c is None else constant_names(abs(c), facts)
            at = [one for one in taken[:4] if plain or (names and one in dict(functions))]
            if at:
                term = (f"{abs(c):.4g} ({' or '.join(names)}) · " if names else "") + "grad_output"
                term += "" if label == "1" else f" · {label}"
                yield from (f"grad_output is multiplied by {one}, and the term {term} is "
                            f"{'missing' if c > 0 else 'too many'}" for one in at)


# (derivative, the function that gives back its argument, or the size of that)
ARGUMENTS = (
    ("σ", lambda d: np.log(d / (1 - d)), np.array), ("e^", np.log, np.array), ("tanh ", np.arctanh, np.array),
    ("1 − tanh² ", lambda d: np.arctanh(np.sqrt(1 - d)), np.abs),
    ("σ (1 − σ) ", lambda d: 2 * np.arccosh(0.5 / np.sqrt(d)), np.abs),
    ("cos ", lambda d: np.arccos(d), np.abs),
)


def _stretched(g, a, n, seen, facts):
    """Sentences on a derivative that is taken at another multiple of a value."""
    with np.errstate(all="ignore"):
        for (name, argument, size), (label, v) in product(ARGUMENTS, facts.values(a.shape)):
            if label.startswith("the input"):
                taken, right = (fit(size(v), np.nan_to_num(argument(each / g), posinf=0, neginf=0), seen)
                                for each in (a, n))
                if taken and right and abs(taken - right) > 1e-4 * abs(right):
                    yield (f"grad_output is multiplied by {name}({taken:.4g} · {label}), where the derivative of "
                           f"update_output is {name}({right:.4g} · {label}): the two passes scale the argument "
                           "differently")


def instead(a, n, seen, facts):
    """One function of a value stands where another of the same value belongs."""
    known = {}
    for label, f in facts.functions(a.shape):
        if np.all(f[seen]):  # 0 = 0 says nothing
            known.setdefault(label.split(" of ")[-1], []).append((label, f[seen]))
    size = max(norm(a[seen]), norm(n[seen])) or 1
    a, n, found = a[seen] / size, n[seen] / size, []
    for functions in known.values() if a.size > 4 else ():
        values = np.array([f / (norm(f) or 1) for _, f in functions])
        sizes = np.array([norm(f) for _, f in functions])
        for i, (taken, _) in enumerate(functions):  # a · right = n · taken
            off = np.abs(a * values * (sizes / sizes[i])[:, None] - n * values[i]).max(axis=1)
            found += [(taken, functions[j][0]) for j in np.flatnonzero(off < 1e-5 * norm(n * values[i]))
                      if j != i and same(a * functions[j][1], n * functions[i][1], TOLERANCE)]
    for taken, right in sorted(found, key=lambda pair: sum(map(len, pair)))[:1]:
        yield Finding("function for another", f"{taken} stands where the derivative of update_output has {right}, all "
                      "else is right")


def on_one_side(a, n, seen, facts):
    """Layers that are put together of two formulas: one of them is wrong."""
    wrong = np.abs(a - n) > 1e-4 * np.abs(n).max()
    if facts.of_parameter or min(wrong[seen].sum(), (~wrong[seen]).sum()) < 2:
        return
    places = [place for label, v in facts.regions(a.shape) if (place := condition(wrong[seen], [(label, v[seen])]))]
    if any(place.startswith("where the target") for place in places) and any(missing_terms(a, n, seen, facts)):
        return  # a term with the target is more exact
    rules = (factor, by_function, turned, missing_terms) if places else ()
    about = next((finding for rule in rules for finding in rule(a, n, seen & wrong, facts)), None)
    text = ("update_output does not change with it, as where it is cut off or held at a limit, so the gradient is 0"
            if not np.any(n[seen & wrong]) else about.pattern if about else
            "compare the two formulas of the derivative there")
    for place in places:
        yield Finding("one side", f"it is right except {place}: there {text}", names=about.names if about else ())


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
                    yield Finding("wrong side", f"the slope {high:.4g} instead of {low + 0.0:.4g} is taken {word} "
                                  f"{label} is positive, which is not the condition of the forward pass")
                    return


def by_axis(a, n, seen, facts):
    """Parameters of one number a unit: the sum runs over the units instead of the batch."""
    for g in facts.g:
        for _, v in [("", np.ones_like(g)), *facts.functions(g.shape)]:
            terms = g * v
            if a.ndim == 1 and terms.ndim == 2 and fits(terms.sum(axis=0), n, seen):
                for text, candidate in (("over the units instead of the batch", terms.sum(axis=1)),
                                        ("over everything", np.full(a.shape, terms.sum()))):
                    if fits(candidate, a, seen):
                        yield Finding("wrong axis", f"the sum runs {text}")
                        return
            elif a.ndim == 1 and terms.ndim == 2 and fits(terms.sum(axis=1), n, seen) and fits(
                    terms.sum(axis=0), a, seen):
                yield Finding("wrong axis", "the sum runs over the batch, and update_output gives each row, not each "
                              "unit, its number: one of the two takes the wrong axis")
                return


def swapped(a, n, seen, facts):
    """Tables: another entry's grad_output is in it."""
    given = [] if isinstance(facts.module, Criterion) else facts.g
    for (i, one), (j, other) in permutations(enumerate(given), 2):
        if one.shape == other.shape == a.shape and fits(one - other, a - n, seen):
            yield Finding("swapped", f"grad_output[{i}] is in it where grad_output[{j}] belongs: the two passes number "
                          "the entries of the output table differently")
            return


def missing_terms(a, n, seen, facts):
    """A − N is a multiple of something, or a sum of two: a term was left out, or one too many added."""
    basis = _basis(a.shape, seen, facts)
    singles = [(label, c) for label, f in basis if seen.sum() > 1 and (c := fit(f, a - n, seen)) is not None]
    for label, c in singles[:4]:
        half = ", or half of it has the wrong sign" if abs(abs(c) - 2) < 1e-4 else ""
        yield Finding("term", f"the gradient is the right one plus {c:.4g} times {label}: that term is too many, or "
                      f"its negative is missing{half}")
    for terms in () if singles else _two_terms(basis, a - n, seen, facts):
        sums = " plus ".join(f"{c:.4g} times {label}" for label, c in terms)
        advice = ("backward takes for the target something else than update_output does, which scales or shifts it, as "
                  "where labels are smoothed" if {label for label, _ in terms} == TARGET else "look for a bracket or a "
                  "factor that stands in the wrong place, or for what is too many or missing")
        yield Finding("term", f"the gradient is the right one plus {sums}: {advice}")


def _basis(shape, seen, facts):
    """[(label, array)] of what may be a term."""
    given = [] if isinstance(facts.module, Criterion) else [each for each in facts.g if each.shape == shape]
    with np.errstate(all="ignore"):
        basis = [("a constant", np.ones(shape)), *facts.functions(shape), *facts.products(shape)]
        basis += [(f"grad_output · {label}" if label != "a constant" else "grad_output", g * f)
                  for g in given for label, f in basis]
    return [(label, f) for label, f in basis if np.isfinite(f[seen]).all() and np.any(f[seen])]


def turned(a, n, seen, facts):
    """All but one term has the sign of the derivative turned."""
    half = (a + n) / 2
    found = [(label, c) for label, f in _basis(a.shape, seen, facts) if seen.sum() > 2 and np.any(half[seen])
             and (c := fit(f, half, seen)) and (abs(2 * c - round(2 * c)) < 1e-4 or constant_names(c, facts))]
    for label, c in sorted(found, key=lambda each: len(each[0]))[:1]:
        yield Finding("turned", f"all of it but the term {c:.4g} times {label} has the opposite sign of the derivative "
                      "of update_output: a sign is wrong in one of the passes, or an absolute value is missing")


def _two_terms(basis, difference, seen, facts):
    """[((label, c), (label, c))] of sums that are the difference, the shortest first."""
    if seen.sum() < 5:
        return []
    basis = basis[:MOST_TERMS]
    d, columns = difference[seen], np.array([f[seen] / norm(f[seen]) for _, f in basis])
    right, pairs = columns @ d, []
    for k in range(0, len(columns), ROWS):
        with np.errstate(all="ignore"):
            one, other, gram = right[k:k + ROWS, None], right[k:], columns[k:k + ROWS] @ columns[k:].T
            det = 1 - gram * gram
            left = det * (d @ d) - (one * one + other * other - 2 * gram * one * other)  # of |d|², det times too much
            near = np.triu((left < 1e-9 * (d @ d) * det) & (det > 1e-6), 1)
        pairs += [(k + i, k + j) for i, j in np.argwhere(near)]
    found = []
    for i, j in sorted(pairs, key=lambda pair: sum(len(basis[k][0]) for k in pair))[:50]:
        (one, f), (other, h) = basis[i], basis[j]
        gram = columns[i] @ columns[j]
        p, q = ((right[m] - gram * right[n]) / (1 - gram * gram) / norm(basis[m][1][seen]) for m, n in ((i, j), (j, i)))
        if fits(p * f + q * h, difference, seen) and all(
                {one, other} == TARGET or abs(2 * each - round(2 * each)) < 1e-4 or constant_names(each, facts)
                for each in (p, q)):
            found.append(((one, p), (other, q)))
    return found[:4]


def epsilon(a, n, seen, facts):
    """The gradient is right but for a small number in a denominator."""
    with np.errstate(all="ignore"):
        for wanted, which in ((n / a - 1, "backward"), (a / n - 1, "update_output")):
            if np.isfinite(wanted[seen]).all() and np.abs(wanted[seen]).max() < 0.3:
                for label, f in facts.functions(a.shape):
                    if (c := fit(1 / f, wanted, seen)) is not None and 0 < c < 0.1:
                        yield Finding("epsilon", f"{which} divides by {label} plus {c:.2g}, and the other pass by it "
                                      "alone: a small number stands in one of them only")


def nearly(a, n, seen, facts):
    """The two passes differ by little everywhere."""
    largest = np.abs(n[seen]).max(initial=1e-300)
    off = np.abs(a - n)[seen].max(initial=0)
    if seen.sum() > 3 and off < 0.02 * largest and (np.abs(a - n) <= 0.1 * np.abs(n) + 0.005 * largest)[seen].all():
        yield Finding("nearly", f"the gradient is off by at most {off / largest:.1g} of its largest entry: one of the "
                      "passes has an approximation of what the other has, such as tanh for erf, the first terms of a "
                      "series or a rounded number, or a small number such as an ε stands in one of them only")


def recognised(a, n, seen, facts):
    """Criterions: the formula that the gradient follows, and the derivative's if that is known too."""
    if not isinstance(facts.module, Criterion):
        return
    formulas = facts.formulas(a.shape)
    taken, right = ([(label, c) for label, f in formulas if (c := fit(f, wanted, seen)) is not None
                     and (abs(c - 1) < 1e-4 or constant_names(c, facts))] for wanted in (a, n))
    def words(label, c):
        return ("" if abs(c - 1) < 1e-4 else f"{c:.4g} times ") + label

    if taken:
        belongs = (f"; the derivative of update_output is {words(*right[0])}" if right else
                   ", which is not the derivative of update_output, or not all of it")
        yield Finding("formula", f"the gradient is {words(*taken[0])}{belongs}")
