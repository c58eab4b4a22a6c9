"""Mistakes of structure: which entry goes where, along which axes, and with which arguments it would be right.

Rules as in special_mistakes.
"""

import itertools

import numpy as np

from minivae.debug.diagnosis.finding import FACTOR, Finding
from minivae.debug.diagnosis.fitting import TOLERANCE, constant_names, fit, fits
from minivae.debug.diagnosis.pairs_of_entries import example
from minivae.debug.diagnosis.places import displaced, where
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
                          f"update_output: {EITHER}")
            return
    yield Finding("places", "the values are right and stand in other places: the two passes order them differently, as "
                  "by a reshape without its transpose, row and column exchanged, or rows given out in another order: "
                  f"{EITHER}")


def elsewhere(a, n, seen, facts):
    if how := displaced(a, n):
        yield Finding("displaced", how)


def assigned(a, n, seen, facts):
    """Of what several outputs give back to an entry, one share is kept, or none if that is 0."""
    both, g, forward = facts.jacobians(), facts.g[0].reshape(-1), facts.forward
    if forward is None or len(facts.g) > 1:
        return
    used, shares = np.abs(forward) > 1e-6 * np.abs(forward).max(), forward * g
    lost = where((used.any(axis=0) & ~(both[1] != 0).any(axis=0)).reshape(facts.y[0].shape)) if both else None
    near = np.abs(shares - a.reshape(-1, 1)) < 1e-4 * np.abs(shares).max()
    if (lost and lost.count("axis") == 1 and "axis 0" not in lost) or not (  # a loop that ends early is more exact
            near.any(axis=1) | (np.abs(a.reshape(-1)) < 1e-4 * np.abs(a).max())).all():
        return
    for acts in (lambda: used), (lambda: used if facts.of_parameter else facts.reach()):  # the second writes zeros too
        try:
            reach = acts()
        except Exception:  # whatever a layer may raise
            return
        for which, place, how in (
                ("last", reach.shape[1] - 1 - reach[:, ::-1].argmax(axis=1), "assigns (=), takes one of them, or uses "
                 "+= with an array of indices,"),
                ("first", reach.argmax(axis=1), "takes one of them, or assigns (=) in the order from the last,"),
                ("largest", np.where(reach, shares, -np.inf).argmax(axis=1), "takes the maximum"),
                ("largest", np.where(reach, np.abs(shares), -1).argmax(axis=1), "takes the maximum")):
            kept = np.take_along_axis(shares, place[:, None], 1).reshape(a.shape)
            if fits(kept, a, seen) or (which == "largest" and fits(np.maximum(kept, 0), a, seen)):
                yield Finding("assigned", "of what several outputs give back to an entry, as where windows overlap, an "
                              "index is there several times or a loop runs over rows, backward keeps the "
                              f"{which} share alone: it {how} where it must add all of them, +=, with numpy.add.at "
                              f"where indices repeat{example(facts) if both else ''}")
                return


def _shifted(a, n):
    for axis, length in enumerate(a.shape):
        for by in (1, 2, -1, -2):
            if length > abs(by) + 1:
                to, of = (slice(by, None), slice(None, -by)) if by > 0 else (slice(None, by), slice(-by, None))
                to, of = ((slice(None),) * axis + (each,) for each in (to, of))
                if np.any(a[to]) and same(a[to], n[of], TOLERANCE):
                    yield Finding("places", f"the values are shifted by {abs(by)} along axis {axis}: look for a slice, "
                                  f"a padding or a crop that begins {'early' if by > 0 else 'late'}")
                    return


def sliced(a, n, seen, facts):
    """Layers that join or cut arrays: it is a slice of grad_output, with another start than that of the derivative."""
    for k, g in enumerate(facts.g):
        for axis in range(a.ndim if g.ndim == a.ndim else 0):
            length, rest = a.shape[axis], [*a.shape]
            rest[axis] = g.shape[axis]
            if rest != [*g.shape] or length >= g.shape[axis]:
                continue
            slices = np.lib.stride_tricks.sliding_window_view(g, length, axis)  # the window's axis is the last
            slices = np.moveaxis(np.moveaxis(slices, axis, 0), -1, axis + 1)
            right, wrong = (next((start for start, each in enumerate(slices) if same(each, v, TOLERANCE)), None)
                            for v in (n, a))
            if right is not None and wrong is not None:
                name = f"grad_output{facts.index(facts.g, k)}"
                yield Finding("slice", f"it is the slice of {name} that begins at {wrong} along axis {axis}, where the "
                              f"one that begins at {right} belongs: the starts are computed wrongly, as from the size "
                              "of another entry")
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
        yield Finding("factor along an axis", f"every entry along {what} is wrong by a factor of its own: {FACTOR}",
                      names=tuple(names))
    elif left == [0] and (how := _weights_of_draws(along, facts)):
        yield Finding("factor along an axis", how)
    elif axes:
        each = "row" if left == [0] else "place, such as a count at the borders," if max(left) > 1 else "unit"
        yield Finding("factor along an axis", "the ratio to the derivative of update_output depends on the place along "
                      f"{what} only, {_span(ratio)}: a factor of each {each} is wrong")


def _constant(ratio, axis):
    with np.errstate(all="ignore"):
        low, high = np.fmin.reduce(ratio, axis), np.fmax.reduce(ratio, axis)
    known = (~np.isnan(ratio)).sum(axis)
    return not (np.abs(high - low) > TOLERANCE * np.nanmax(np.abs(ratio))).any() and (
        2 * (known > 1).sum() > (known > 0).sum())  # of one number each, anything is constant


def _weights_of_draws(ratio, facts):
    """The sentence if one pass gives the draws of a row weights whose sum is 1, and the other does not."""
    samples = len(ratio) // len(facts.x[-1]) if isinstance(facts.module, Criterion) else 1
    if samples < 2 or len(ratio) != samples * len(facts.x[-1]) or not np.isfinite(ratio).all():
        return None
    for inverse, (one, other) in ((1 / ratio, ("backward", "update_output")), (ratio, ("update_output", "backward"))):
        by_row = inverse.reshape(-1, samples)
        if len(by_row) > 1 and np.ptp(by_row, axis=1).max() < 1e-4 * by_row.max() and abs(
                (1 / by_row[:, 0]).sum() - 1) < 1e-4:
            return (f"the shares, such as importance weights or a softmax, add up to 1 over all draws of the batch in "
                    f"{one}, and over the L draws of each row in {other}")
        of_rows, of_draws = 1 / by_row[:, :1], by_row[:1] / by_row[0, 0]  # both sum up what the shares are of
        if len(by_row) > 1 and same(by_row, of_draws / of_rows, 1e-4) and same(of_rows.sum(), of_draws.sum(), 1e-4):
            return (f"the shares, such as importance weights or a softmax, add up to 1 over the rows of the batch in "
                    f"{one}, and over the L draws of each row in {other}")
        total = by_row.sum(axis=1)
        for size, word in ((samples, "1 / L"), (1, "1")):
            if np.abs(total - size).max() < 1e-4 * size:
                return (f"{one} gives each draw of a row the same weight, {word}, where {other} gives the L draws "
                        "weights of their own that add up to 1: shares such as importance weights, a softmax over the "
                        "draws")
    return None


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


def by_weight(a, n, seen, facts):
    """The backward pass is right for another weight: the two passes use it differently."""
    for name in dict.fromkeys(("weight", *getattr(facts.module, "parameter_names", ()))):
        weight = getattr(facts.module, name, None)
        if weight is None or np.ndim(weight) < 2:
            continue
        with np.errstate(all="ignore"):  # of rows of zeros
            changes = [("transposed", weight.swapaxes(0, 1)), ("turned by half a turn", weight[..., ::-1, ::-1]),
                       ("turned round along its last axis", weight[..., ::-1]),
                       ("turned round along its last axis but one", weight[..., ::-1, :]),
                       ("with its last two axes exchanged", weight.swapaxes(-1, -2)),
                       ("normalised, each row to length 1", weight / np.linalg.norm(weight, axis=-1, keepdims=True)),
                       ("normalised, each column to length 1", weight / np.linalg.norm(weight, axis=0)),
                       ("masked to its lower triangle", np.tril(weight)),
                       ("masked to its upper triangle", np.triu(weight)),
                       ("squared", weight**2), ("as absolute values", np.abs(weight)), ("as e^weight", np.exp(weight))]
        for how, other in changes:
            if np.shape(other) == np.shape(weight) and np.isfinite(other).all() and fits(
                    facts.again(**{name: other}), n, seen):
                yield Finding("weight used differently", f"the gradient would be right with "
                              f"{'the weight' if name == 'weight' else f'self.{name}'} {how}: the two passes use it "
                              f"differently; {EITHER}")
                return


def misplaced(a, n, seen, facts):
    """A parameter multiplies what has been summed along its own axis, where it belongs into the terms."""
    if isinstance(facts.module, Criterion) or len(facts.g) > 1:
        return
    g = facts.g[0]
    for name in getattr(facts.module, "parameter_names", ()):
        weight = getattr(facts.module, name)
        for axis in np.flatnonzero(np.array(g.shape) == np.size(weight)) if np.ndim(weight) == 1 else ():
            inside = g * np.reshape(weight, (-1,) + (1,) * (g.ndim - 1 - axis))
            if not facts.elementwise() and fits(
                    facts.again(grad_output=inside, **{name: np.ones_like(weight)}), n, seen):
                yield Finding("misplaced", f"the gradient would be right if self.{name} multiplied grad_output before "
                              "the sums or means, and nothing after them: they run over places whose "
                              f"self.{name} differ, so they have to be those of the products")
                return


def by_arguments(a, n, seen, facts):
    """The backward pass is right for another grad_output or input: a function of something is left out before it."""
    if isinstance(facts.module, Criterion) or len(facts.g) > 1 or len(facts.x) > 1:
        return
    for label, f in facts.functions(facts.g[0].shape):
        if fits(facts.again(grad_output=facts.g[0] * f), n, seen):
            yield Finding("factor of outputs", "the gradient would be right if grad_output were first multiplied by "
                          f"{label}: a derivative is left out, or update_output computes too much")
    for label, f in facts.functions(facts.x[0].shape) if facts.of_parameter else ():
        if "of the input" in label and fits(facts.again(input=f), n, seen):
            yield Finding("function of the input", f"the gradient would be right if the input were {label}, as in "
                          "update_output")


def scaled(a, n, seen, facts):
    """The backward pass is right for the input times a number, or plus one."""
    if isinstance(facts.module, Criterion) or len(facts.x) > 1:
        return
    x, found = facts.x[0], {}
    for label, c in facts.constants():
        for how, input in (("{names} times the input", c * x), ("the input plus {names}", x + c)):
            if c != -1 and fits(facts.again(input=input), n, seen):
                found[how] = *found.get(how, ()), label
    for how, names in found.items():
        yield Finding("argument", f"the gradient would be right for {how}: the two passes scale or shift the argument "
                      "of a function differently", names=names)


def by_sums(a, n, seen, facts):
    """Gradients of parameters that are sums of grad_output times something."""
    g, x = facts.g[0], facts.x[0]
    if not facts.of_parameter or isinstance(facts.module, Criterion):
        return
    if a.ndim == 1 and g.ndim > 1:
        axes = tuple(axis for axis in range(g.ndim) if axis != (1 if g.ndim > 2 else g.ndim - 1))
        weight, bias = (getattr(facts.module, name, None) for name in ("weight", "bias"))
        known = [("1", np.ones_like(g)), *facts.functions(g.shape)]
        if np.shape(weight) == np.shape(bias) == a.shape == g.sum(axes).shape:
            weight, bias = (each.reshape(-1, *[1] * max(g.ndim - 2, 0)) for each in (weight, bias))
            known.append(("(the output − bias) / weight, which is the normalised input,", (facts.y[0] - bias) / weight))
        sums = [(label, (g * f).sum(axes)) for label, f in known]
    elif a.ndim == 2 and g.ndim == 2 == x.ndim:
        sums = [(label, product) for label, f in [*facts.functions(x.shape), *facts.softmaxes(x.shape, axes=(1, 0))]
                for product in (g.T @ f, f.T @ g)]
    else:
        return
    taken, right = ([label for label, total in sums if fits(total, wanted, seen)] for wanted in (a, n))
    for label, belongs in itertools.product(taken, [*(f", where {other} belongs" for other in right), (
            "; update_output, which has something else or more in it, has another derivative")]):
        yield Finding("wrong sum", f"the gradient is the sum of grad_output times {label}{belongs}")
