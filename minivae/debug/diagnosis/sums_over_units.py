"""Mistakes in a sum or mean over each row, column or plane: paths through a mean, a variance, a norm, a softmax.

Rules as in special_mistakes.
"""

from itertools import permutations, product
from math import prod

import numpy as np

from minivae.debug.diagnosis.finding import FACTOR, Finding
from minivae.debug.diagnosis.fitting import TOLERANCE, constant_names, fit
from minivae.debug.tables import norm, same
from minivae.nn import Criterion

LARGEST = 20_000  # entries of a gradient that is taken apart


def by_parts(a, n, seen, facts):
    """Both are grad_output, or the target, times something, and sums over each unit: which of the sums is wrong."""
    found = []
    if a.ndim < 2 or a.size > LARGEST or not seen.all():
        return
    for k, (unit, axes) in enumerate(_units(a.shape)):
        size = prod(a.shape[axis] for axis in axes)
        if size < 4:
            continue
        functions = [(label, f, _centred(f, axes))
                     for label, f in [*facts.softmaxes(a.shape), *facts.functions(a.shape)]]
        for h in _multiplied(a.shape, facts):
            fits_a = _fits(a, h, functions, axes)
            fits_n = _fits(n, h, functions, axes) if fits_a else []
            for (one, f, of_a), (other, _, of_n) in product(fits_a, fits_n):
                columns, least = (h, f, np.ones_like(f)), TOLERANCE * norm(a)
                off = [norm((p - q) * column) > least for p, q, column in zip(of_a, of_n, columns)]
                if one == other and not off[0]:
                    found += [(1, k, *each) for each in _wrong_parts(least, one, f, of_a, of_n, unit, size, facts)]
                elif not any(off) and norm(of_a[1] * f) > least:
                    found.append((2, k, len(one + other), f"the sum or mean over each {unit} is multiplied by {one}, "
                                  f"where the derivative of update_output has {other}", ()))
    for *_, text, names in sorted(found)[:1]:  # of what is so of a plane, and so of each row of it, the plane
        yield Finding("part of a sum", text, names=names)


def _units(shape):
    found = [("plane", (0, 2, 3))] if len(shape) == 4 else []
    found += [("row", tuple(range(1, len(shape)))), ("column", (0,))]
    return found + ([("vector along the last axis", (len(shape) - 1,))] if len(shape) > 2 else [])


def _multiplied(shape, facts):
    """What the part without sums may be, but for one number a unit."""
    if isinstance(facts.module, Criterion):
        return [v for label, v in facts.values(shape) if label == "the target"]
    slopes = [1, *(p for _, p in facts.softmaxes(shape)[:2])]
    slopes += [p for _, p in facts.parameters() if p.shape == shape[-1:]]
    return [g * slope for g in facts.g for slope in slopes if g.shape == shape]


def _fits(v, h, functions, axes):
    """[(label, f, parts)] of the functions with which h makes up v."""
    v, h = _centred(v, axes), _centred(h, axes)
    return [(label, f, parts) for label, f, own in functions if (parts := _parts(v, h, own, axes))]


def _centred(v, axes):
    """(its mean over each unit, itself without that mean)"""
    mean = v.mean(axes, keepdims=True)
    return mean, v - mean


def _parts(v, h, f, axes):
    """(s, b, c), numbers for each unit of which s · h + b · f + c is v; or None.  All three are centred."""
    (v0, v), (h0, h), (f0, f) = v, h, f
    hh, hf, ff, vh, vf = ((p * q).sum(axes, keepdims=True) for p, q in ((h, h), (h, f), (f, f), (v, h), (v, f)))
    det = hh * ff - hf * hf
    if not (det > 1e-8 * hh * ff).all():
        return None
    s, b = (vh * ff - vf * hf) / det, (vf * hh - vh * hf) / det
    return (s, b, v0 - s * h0 - b * f0) if same(s * h + b * f, v, TOLERANCE) else None


def _wrong_parts(least, label, f, of_a, of_n, unit, size, facts):
    """[(length of the label, sentence, names)], if all that is wrong is wrong alike."""
    said, names = {}, ()
    count = {"row": "D", "column": "N"}.get(unit, "n")  # numbers of a unit
    sizes = [(f"({count} − 1) / {count}, as of a variance over {count} − 1,", (size - 1) / size),
             (f"{count} / ({count} − 1)", size / (size - 1))]
    sizes += [] if unit == "row" else [(f"the numbers of each {unit}", size), (f"1 / those of each {unit}", 1 / size)]
    for what, column, one, other in ((f"that {label} is multiplied by", f, of_a[1], of_n[1]),
                                     ("that is subtracted or added alone", np.ones_like(f), of_a[2], of_n[2])):
        if norm((one - other) * column) < least:
            continue
        c = fit(other, one, np.ones(one.shape, bool))
        how = ("is missing in backward, or too many in update_output" if norm(one * column) < least else
               "is there in backward, and not in the derivative of update_output" if norm(other * column) < least else
               None if c is None else "has the wrong sign in one of the passes" if abs(c + 1) < 1e-4 else
               f"is {c:.4g} times what it should be: {FACTOR}")
        names = constant_names(c, facts, sizes) if how and "{names}" in how else ()
        said.setdefault(how, []).append(what)
    how, parts = next(iter(said.items()), (None, []))
    return [(len(label), f"the sum or mean over each {unit} {' and the one '.join(parts)} {how}", names)] if (
        how and len(said) == 1) else []


def _numbers(unit, shape, facts):
    """[(words, one number for each unit)], sums and means over each row."""
    if unit != "row":
        return []
    found = [("1", np.ones((shape[0], *[1] * (len(shape) - 1))))]
    criterion = isinstance(facts.module, Criterion)
    for k, g in enumerate([v for label, v in facts.values(shape) if label == "the target"] if criterion else facts.g):
        word = "the target" if criterion else f"grad_output{facts.index(facts.g, k)}"
        if g.ndim > 1 and len(g) == shape[0]:
            for name, each in ((word, g), *((f"{word} · {label}", g * v) for label, v in facts.values(g.shape))):
                total = each.sum(tuple(range(1, each.ndim))).reshape(found[0][1].shape)
                found += [(f"the sum of {name} over each row", total),
                          (f"the mean of {name} over each row", total / each[0].size)]
    return found


def _multiple(d, f, axes):
    """The number for each unit by which f is multiplied in d, or None if d is something else."""
    size = (f * f).sum(axes, keepdims=True)
    number = (d * f).sum(axes, keepdims=True) / np.where(size, size, 1)
    return number if np.any(d) and same(number * f, d, TOLERANCE) else None


def by_statistic(a, n, seen, facts):
    """A − N is a function of each entry times one number a row, a column or a plane: a sum over that axis is wrong."""
    if a.ndim < 2 or not seen.all():
        return
    target = [each for each in facts.values(a.shape) if each[0] == "the target"]
    for (unit, axes), (label, f) in product(_units(a.shape), [
            ("a constant", np.ones_like(a)), *target, *facts.softmaxes(a.shape), *facts.functions(a.shape)]):
        size = prod(a.shape[axis] for axis in axes)
        if size < 3:
            continue
        number = _multiple(a - n, f, axes)
        if number is None:  # or of f without its mean, beside a mean of its own
            off, f = (each - each.mean(axes, keepdims=True) for each in (a - n, f))
            if size < 4 or _multiple(off, f, axes) is None:
                continue
            label += ", and a constant,"
        if number is not None and label == "a constant":
            for one, sign, how in ((a, 1, "has to be subtracted from it, as update_output subtracts a mean"),
                                   (n, -1, "is subtracted without need, and update_output subtracts none")):
                if same(sign * number, one.mean(axes, keepdims=True), TOLERANCE):
                    yield Finding("part of a sum", f"the gradient's own mean over each {unit} {how}")
                    return
        known = [] if number is None else [(one, other) for (one, p), (other, q) in permutations(
            _numbers(unit, a.shape, facts), 2) if same(p - q, number, TOLERANCE)]
        if known:
            one, other = min(known, key=lambda each: len("".join(each)))
            yield Finding("part of a sum", f"the two passes multiply {label} by another sum or mean: one has {one}, "
                          f"the other {other}")
            return
        yield Finding("sum along an axis", f"the difference is {label} times one number for each {unit}: the term with "
                      f"a sum or mean over each {unit} is missing or wrong, or there without need (the path through a "
                      "mean, a variance, a norm or a softmax's sum)")


def centred(pairs):
    """The sentence on a factor of grad_output less a mean, where the probabilities that weigh the mean are an output.

    With C, which subtracts the mean, one pass multiplies by M C and the other by M D C, D being that factor.
    """
    facts, rows = pairs.facts, pairs.rows
    whole = len(pairs.forward) == np.prod(facts.shape) and not pairs.of_parameter  # no row lacks an entry
    for (start, name, shape), y in zip(facts.entries(), facts.y) if whole else ():
        own = np.arange(start, start + y.size)
        if len(shape) != 2 or shape[0] != rows or shape[1] < 4 or np.delete(pairs.wrong, own).any():
            continue
        passes = [np.array([one[:, at] for one, at in zip(each.reshape(rows, -1, each.shape[1]), own.reshape(shape))])
                  for each in (pairs.forward, pairs.backward)]
        for p, (label, f), (words, right, taken) in product(
                [p for p in (y, np.exp(y)) if same(p.sum(axis=1), np.ones(rows))],
                [each for each in facts.functions(shape) if "the output" in each[0]],
                (("is missing", *passes), ("is too many", *passes[::-1]))):
            less = np.eye(shape[1]) - p[:, None]  # C
            off = right - (taken * f[:, None]) @ less  # M is `taken`, and any multiple of p in each of its rows
            if same(taken @ less, taken, TOLERANCE) and _multiple(off, (p * f)[:, None] @ less, 2) is not None:
                return (f"what comes back from {name} is a sum with grad_{name} less its mean, in which a factor, "
                        f"{label}, {words}")
    return None
