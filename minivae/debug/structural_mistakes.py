"""Mistakes of structure: which entry goes where, along which axes, and which outputs an input acts on.

Rules as in special_mistakes.  Some compare two Jacobians, of update_output and of backward, pair by pair.
"""

import itertools

import numpy as np

from minivae.debug.facts import Finding
from minivae.debug.fitting import TOLERANCE, constant_names, fit, fits
from minivae.debug.tables import same
from minivae.nn import Criterion

EITHER = "look at both passes"


def permuted(a, n, seen, facts):
    """The values are right, their places are not."""
    if a.size < 3 or not same(np.sort(a, axis=None), np.sort(n, axis=None), TOLERANCE) or np.ptp(n) == 0:
        yield from _shifted(a, n)
        return
    for how, moved in _moves(n):
        if same(moved, a, TOLERANCE):
            yield Finding("places", f"the values are right and stand in other places, {how}, beside the derivative of "
                          f"update_output: {EITHER}", "certain")
            return
    yield Finding("places", "the values are right and stand in other places: the two passes order them differently, as "
                  "by a reshape without its transpose, row and column exchanged, or rows given out in another order: "
                  f"{EITHER}", "certain")


def _shifted(a, n):
    for axis, length in enumerate(a.shape):
        for by in (1, 2, -1, -2):
            if length > abs(by) + 1:
                to, of = (slice(by, None), slice(None, -by)) if by > 0 else (slice(None, by), slice(-by, None))
                to, of = ((slice(None),) * axis + (each,) for each in (to, of))
                if np.any(a[to]) and same(a[to], n[of], TOLERANCE):
                    yield Finding("places", f"the values are shifted by {abs(by)} along axis {axis}: look for a slice, "
                                  f"a padding or a crop that begins {'early' if by > 0 else 'late'}", "certain")
                    return


def _moves(n):
    for axis in range(n.ndim):
        for by in (1, -1, 2, -2):
            yield f"shifted by {abs(by)} along axis {axis}", np.roll(n, by, axis)
    for count in range(1, n.ndim + 1):
        for axes in itertools.combinations(range(n.ndim), count):
            yield ("turned round along axis " + " and ".join(map(str, axes))
                   + (" (a kernel turned by half a turn)" if n.ndim == 4 and axes == (2, 3) else "")), np.flip(n, axes)
    for order in itertools.permutations(range(n.ndim)):
        moved = n.transpose(order)
        if order != tuple(range(n.ndim)):
            yield f"as after transpose{order}", moved.reshape(n.shape)
            yield f"as after transpose{order}", n.reshape(moved.shape).transpose(np.argsort(order)).reshape(n.shape)


def by_ratio(a, n, seen, facts):
    """a / n depends on the place along some axes only."""
    known = seen & (np.abs(n) > 1e-9 * np.abs(n).max())
    if a.ndim == 0 or known.sum() < 2 or not same(a[seen & ~known], np.zeros((seen & ~known).sum())):
        return
    ratio = np.divide(a, n, out=np.full(a.shape, np.nan), where=known)
    axes = [axis for axis in range(a.ndim) if a.shape[axis] > 1 and _constant(ratio, axis)]
    left = [axis for axis in range(a.ndim) if axis not in axes and a.shape[axis] > 1]
    if not left or (not axes and a.ndim > 1):
        return
    along = np.array([np.nanmean(each) if not np.isnan(each).all() else np.nan
                      for each in np.moveaxis(ratio, left[0], 0).reshape(a.shape[left[0]], -1)])
    names = _per_unit_names(along, facts) if len(left) == 1 else []
    what = "axis " + " and ".join(map(str, left))
    if names:
        yield Finding("factor along an axis", f"every entry along {what} is wrong by a factor of its own: there is "
                      f"{' or '.join(names[:2])} in it, or the inverse in update_output", "certain" if len(names) == 1
                      else "likely")
    elif axes:
        each = "row" if left == [0] else "place, such as a count at the borders," if max(left) > 1 else "unit"
        yield Finding("factor along an axis", "the ratio to the derivative of update_output depends on the place along "
                      f"{what} only, {_span(ratio)}: a factor of each {each} is wrong", "certain")


def _constant(ratio, axis):
    with np.errstate(all="ignore"):
        low, high = np.fmin.reduce(ratio, axis), np.fmax.reduce(ratio, axis)
    return not (np.abs(high - low) > TOLERANCE * np.nanmax(np.abs(ratio))).any() and (
        (~np.isnan(ratio)).sum(axis) > 1).any()


def _span(ratio):
    return f"from {np.nanmin(ratio) + 0.0:.4g} to {np.nanmax(ratio) + 0.0:.4g}"


def _per_unit_names(ratio, facts):
    known = ~np.isnan(ratio)
    names = []
    for label, values in facts.per_unit(len(ratio)):
        for power, word in ((1, "{}"), (-1, "1 / {}"), (2, "{} squared"), (-2, "1 / {} squared"), (0.5, "√{}"),
                            (-0.5, "1 / √{}")):
            with np.errstate(all="ignore"):
                power_of = values**power
            c = fit(power_of, ratio, known) if np.isfinite(power_of[known]).all() and np.ptp(power_of[known]) else None
            if c is not None and (abs(c - 1) < 1e-3 or constant_names(c, facts)):
                names.append(word.format(label) + ("" if abs(c - 1) < 1e-3 else f" (times {c:.4g})"))
    return names


PAIRS = {
    "direction":
        "backward does to grad_output just as update_output does to its input, in the same direction: a shift has "
        "to go back, a running sum to run from the end, a matrix to be transposed",
    "diagonal only":
        "grad_output is multiplied by ∂yᵢ/∂xᵢ alone: each output depends on other inputs too, and each adds its "
        "term, Σⱼ Gⱼ ∂yⱼ/∂xᵢ",
    "outputs left out":
        "of the outputs that an input acts on, only {which} give their gradient back: those of all are to be "
        "added, +=, as where windows overlap or rows are used twice",
    "too many inputs":
        "inputs are given gradients of outputs on which they do not act, all else is right: backward lacks a mask,"
        " a slice or a condition of update_output",
    "mean for sum":
        "the gradients of the outputs that an input acts on are averaged, where they are to be added, or "
        "update_output has the inverse factor",
    "wrong inputs":
        "each output's gradient goes to another input than the one it came from: look at the indices (row and "
        "column, stride, offset, order) of both passes",
    "taken as constant":
        "each output depends on several inputs, and backward on its own only: what update_output computes from "
        "them, such as a mean, a standard deviation, a norm or a sum, is no constant and has a derivative too",
    "one weight for all":
        "every gradient is handed on with the factor {weight}, but those of update_output reach from {low} to "
        "{high}, as at the borders of an image",
    "spread":
        "each output's gradient is handed on whole, but is shared out among inputs otherwise than update_output "
        "uses them",
    "rows mixed":
        "backward mixes the rows of the batch, and update_output treats each by itself: sums and means over the "
        "batch do not belong here, as in evaluation mode, or run over the wrong axis",
    "rows not mixed":
        "update_output mixes the rows of the batch, and backward treats each by itself: the statistics of the "
        "batch have derivatives too",
}


def by_jacobian(a, n, seen, facts):
    """Pair by pair: what backward hands on of each output, beside what update_output does with each input."""
    if facts.jacobians() is None:
        return
    forward, backward = (each[seen.reshape(-1)] for each in facts.jacobians())
    used, given = (np.abs(each) > 1e-6 * np.abs(forward).max() for each in (forward, backward))
    kind = _kind_of_pairs(forward, backward, used, given, len(facts.y) == 1 and facts.y[0].size == a.size,
                          len(a))
    if kind is not None:
        first, last = ((np.cumsum(each, axis=1) == 1) & each for each in (used, used[:, ::-1]))
        which = ("the first" if np.array_equal(given, first) else
                 "the last" if np.array_equal(given, last[:, ::-1]) else
                 f"{given.sum() / used.sum():.0%}")
        numbers = {"weight": np.abs(backward).max(), "low": forward[used].min(), "high": forward[used].max()}
        text = PAIRS[kind].format(which=which, **{name: f"{value + 0.0:.4g}" for name, value in numbers.items()})
        yield Finding(kind, text + (example(facts) if kind in ("wrong inputs", "spread") else ""), "certain")
    elif (text := _of_outputs(forward, backward, facts)) is not None:
        yield Finding("factor of outputs", text, "certain")


def _kind_of_pairs(forward, backward, used, given, alike, rows):
    """The first of PAIRS that holds; `alike`: the output is as large as the input."""
    whole = alike and forward.shape[0] == forward.shape[1]
    if not given.any() or not used.any():
        return None
    if whole:
        own = np.eye(len(forward), dtype=bool)
        if same(backward, forward.T, TOLERANCE):
            return "direction"
        if same(backward, np.where(own, forward, 0), TOLERANCE):
            return "diagonal only"
    if same(np.where(given, forward, 0), backward, TOLERANCE):
        return "outputs left out"
    if same(np.where(used, backward, 0), forward, TOLERANCE):
        return "too many inputs"
    if used.sum(axis=1).max() > 1 and same(backward * used.sum(axis=1, keepdims=True), forward, TOLERANCE):
        return "mean for sum"
    if same(np.sort(backward, axis=0), np.sort(forward, axis=0), TOLERANCE):
        return "wrong inputs"
    if whole and (used & ~own).any() and not (given & ~own).any():
        return "taken as constant"
    if np.array_equal(used, given) and np.ptp(backward[given]) < 1e-6 < np.ptp(forward[used]):
        return "one weight for all"
    if same(forward.sum(axis=0), backward.sum(axis=0), TOLERANCE) and not np.array_equal(used, given):
        return "spread"
    if whole:
        row = np.arange(len(forward)) * rows // len(forward)
        other = row[:, None] != row
        if (given & other).any() != (used & other).any():
            return "rows mixed" if (given & other).any() else "rows not mixed"
    return None


def _of_outputs(forward, backward, facts):
    """The sentence if each output's column is off by a factor of its own."""
    top = np.abs(forward).argmax(axis=0), np.arange(forward.shape[1])
    with np.errstate(all="ignore"):
        factor = backward[top] / forward[top]
    if not np.isfinite(factor).all() or np.ptp(factor) < 1e-4 * np.abs(factor).max():
        return None
    if not same(forward * factor, backward, TOLERANCE):
        return None
    if len(facts.y) == 1:
        for label, f in facts.functions(facts.y[0].shape):
            for words, wanted in (("first to be multiplied by {}", 1 / factor if factor.all() else None),
                                  ("not to be multiplied by {}", factor)):
                if wanted is not None and same(wanted, f.reshape(-1), TOLERANCE):
                    return f"grad_output has {words.format(label)}; or update_output should be another"
    return (f"each entry of grad_output is off by a factor of its own, from {factor.min() + 0.0:.4g} to "
            f"{factor.max() + 0.0:.4g}: a factor for each output, such as a derivative or a mask, is wrong or missing"
            f"{example(facts)}")


def example(facts):
    """The pair that is most wrong, in words that can be checked by hand."""
    forward, backward = facts.jacobians()
    i, k = np.unravel_index(np.abs(forward - backward).argmax(), forward.shape)
    x = facts.x[facts.number]
    source = ", ".join(map(str, np.unravel_index(i, x.shape)))
    target = ", ".join(map(str, np.unravel_index(k, facts.y[0].shape))) if len(facts.y) == 1 else f"number {k}"
    return (f"; for one, ∂output[{target}]/∂{facts.name}[{source}] is {forward[i, k] + 0.0:.4g} by update_output and "
            f"{backward[i, k] + 0.0:.4g} by backward")


def by_weight(a, n, seen, facts):
    """The backward pass is right for another weight: the two passes use it differently."""
    weight = getattr(facts.module, "weight", None)
    if weight is None or np.ndim(weight) < 2 or facts.of_parameter:
        return
    changes = [("transposed", weight.swapaxes(0, 1)), ("turned by half a turn", weight[..., ::-1, ::-1]),
               ("turned round along its last axis", weight[..., ::-1]),
               ("turned round along its last axis but one", weight[..., ::-1, :]),
               ("with its last two axes exchanged", weight.swapaxes(-1, -2)),
               ("normalised, each row to length 1", weight / np.linalg.norm(weight, axis=-1, keepdims=True)),
               ("normalised, each column to length 1", weight / np.linalg.norm(weight, axis=0)),
               ("masked to its lower triangle", np.tril(weight)), ("masked to its upper triangle", np.triu(weight)),
               ("squared", weight**2), ("as absolute values", np.abs(weight)), ("as e^weight", np.exp(weight))]
    for how, other in changes:
        if np.shape(other) == np.shape(weight) and fits(facts.again(weight=other), n, seen):
            yield Finding("weight used differently", f"the gradient would be right with the weight {how}: the two "
                          f"passes use it differently; {EITHER}", "certain")
            return


def by_arguments(a, n, seen, facts):
    """The backward pass is right for another grad_output or input: a function of something is left out before it."""
    if isinstance(facts.module, Criterion) or len(facts.g) > 1 or len(facts.x) > 1:
        return
    for label, f in facts.functions(facts.g[0].shape):
        if fits(facts.again(grad_output=facts.g[0] * f), n, seen):
            yield Finding("factor of outputs", "the gradient would be right if grad_output were first multiplied by "
                          f"{label}: a derivative is left out, or update_output computes too much", "certain")
            return
    for label, f in facts.functions(facts.x[0].shape) if facts.of_parameter else ():
        if "of the input" in label and fits(facts.again(input=f), n, seen):
            yield Finding("function of the input", f"the gradient would be right if the input were {label}, as in "
                          "update_output", "certain")
            return


def by_sums(a, n, seen, facts):
    """Gradients of parameters that are sums of grad_output times something."""
    g, x = facts.g[0], facts.x[0]
    if not facts.of_parameter or isinstance(facts.module, Criterion):
        return
    if a.ndim == 1 and g.ndim > 1:
        axes = tuple(axis for axis in range(g.ndim) if axis != (1 if g.ndim > 2 else g.ndim - 1))
        sums = [(label, (g * f).sum(axes)) for label, f in [("1", np.ones_like(g)), *facts.functions(g.shape)]]
    elif a.ndim == 2 and g.ndim == 2 == x.ndim:
        sums = [(label, g.T @ f) for label, f in facts.functions(x.shape)]
    else:
        return
    for label, total in sums:
        if fits(total, a, seen):
            right = next((f", where {other} belongs" for other, each in sums if fits(each, n, seen)),
                         "; update_output, which has something else or more in it, has another derivative")
            yield Finding("wrong sum", f"the gradient is the sum of grad_output times {label}{right}", "certain")
            return


def _is_multiple(d, f, axes):
    size = (f * f).sum(axes, keepdims=True)
    return np.any(d) and same((d * f).sum(axes, keepdims=True) / np.where(size, size, 1) * f, d, TOLERANCE)


def by_statistic(a, n, seen, facts):
    """A − N is a function of each entry times one number a row, a column or a plane: a sum over that axis is wrong."""
    if a.ndim < 2 or not seen.all():
        return
    spans = [("column", (0,)), ("row", tuple(range(1, a.ndim)))]
    spans += [("plane", (0, 2, 3)), ("vector along the last axis", (3,))] if a.ndim == 4 else []
    spans += [("vector along the last axis", (2,))] if a.ndim == 3 else []
    for (unit, axes), (label, f) in itertools.product(
            spans, [("a constant", np.ones_like(a)), *facts.softmaxes(a.shape), *facts.functions(a.shape)]):
        if np.prod([a.shape[axis] for axis in axes]) < 3:
            continue
        if not _is_multiple(a - n, f, axes):  # or of f without its mean, beside a mean of its own
            off, f = (each - each.mean(axes, keepdims=True) for each in (a - n, f))
            if np.prod([a.shape[axis] for axis in axes]) < 4 or not _is_multiple(off, f, axes):
                continue
            label += ", and a constant,"
        yield Finding("sum along an axis", f"the difference is {label} times one number for each {unit}: the term with "
                      f"a sum or mean over each {unit} is missing or wrong, or there without need (the path through a "
                      "mean, a variance, a norm or a softmax's sum)", "certain")
        return
