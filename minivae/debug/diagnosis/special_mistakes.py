"""Mistakes that leave a mark of their own: factors, transposes, products, draws, branches.

Each rule says what the analytic gradient `a` would be if that mistake had been made, given the numeric one `n`, and
yields a Finding only if that reproduces every entry that was `seen`.
"""

import copy
import itertools

import numpy as np

from minivae.debug.diagnosis.finding import ESTIMATOR, FACTOR, Finding
from minivae.debug.diagnosis.fitting import TOLERANCE, constant_names, fit, fits
from minivae.debug.diagnosis.places import drawn
from minivae.debug.tables import arrays, copied, mapped, same
from minivae.nn import Container, Criterion


def unused(a, n, seen, facts):
    if not np.any(np.abs(n[seen]) > 1e-9):
        steps = isinstance(facts.module, Criterion) or all(np.array_equal(y, np.round(y)) for y in facts.y)
        wrong = "the forward pass has left it out, overwritten what it made of it, or uses a copy made earlier"
        yield Finding("unused", "the derivative of update_output by it is 0, and backward gives it a gradient: " + (
            f"that may be meant, {ESTIMATOR}; if it is not, {wrong}" if steps else wrong))


def own_loss(a, n, seen, facts):
    """Layers that add the gradient of a loss of their own, which nobody counts."""
    if facts.of_parameter or facts.passes_on or isinstance(facts.module, Criterion | Container):
        return
    alone = facts.again(grad_output=mapped(np.zeros_like, facts.grad_output))
    if alone is not None and np.any(alone[seen]) and fits(alone, a - n, seen):
        yield Finding("own loss", "backward adds a gradient of its own to that of the outputs, the same for any "
                      "grad_output: a layer with a loss of its own has to be a Divergence, whose loss is counted; "
                      "otherwise this term is too many")


def by_pairing(a, n, seen, facts):
    """Criterions that compare a prediction with another row's target."""
    *predictions, target = facts.x
    rows, samples = len(target), len(a) // len(target)
    if not isinstance(facts.module, Criterion) or rows < 2 or {len(each) for each in predictions} != {samples * rows}:
        return
    k = np.arange(len(a))
    tiled = k % samples * rows + k // samples
    for how, to in ((f"k mod N, as numpy.tile orders them, where k // {samples} belongs", tiled),
                    ("of the row before", (k + samples) % len(k)), ("of the row behind", (k - samples) % len(k)),
                    ("counted from the last", k[::-1])):
        moved = [np.empty_like(each) for each in predictions]
        for each, other in zip(moved, predictions):
            each[to] = other
        given = tuple(moved) if len(moved) > 1 else moved[0]
        twin = copy.deepcopy(facts.module)
        try:
            twin.forward(given, np.array(target))
            grad = arrays(copied(twin.backward(given, np.array(target))))[facts.number]
        except Exception:  # whatever a criterion may raise
            return
        if not np.array_equal(to, k) and fits(grad[to], n, seen):
            yield Finding("pairing", f"backward pairs row k of the prediction with the target {how}: the rows of "
                          "different images are mixed")
            return


def transposed(a, n, seen, facts):
    if a.ndim == 2 and a.shape[0] == a.shape[1] > 1 and fits(n.T, a, np.ones_like(seen)):
        yield Finding("transposed", "the gradient is the transpose of the derivative of update_output: exchange the "
                      "factors of the product, or drop a .T, here or there")


def factor(a, n, seen, facts):
    c = fit(n, a, seen)
    if c is None or abs(c - 1) < 1e-4 or (seen.sum() < 2 and abs(c + 1) > 1e-4):  # of one number, any c would do
        return
    times = f"every entry is {c:.4g} times the derivative of update_output"
    if abs(c - 2) < 1e-4 and facts.of_parameter:
        yield Finding("accumulated twice", f"{times}: it has been added twice, or there is a factor of 2 in it, or ½ "
                      "in update_output")
    elif abs(c + 1) < 1e-4:
        yield Finding("sign", f"the sign is wrong: {times}")
    else:
        yield Finding("factor", f"{times}: {FACTOR}",
                      names=constant_names(c, facts, _counted(n)))


def _counted(n):
    """[(name, number)]: what is made of how many entries have a derivative."""
    count = np.count_nonzero(n)
    parts = (count, "the number"), (count / n.size, "the share")
    return [] if count in (0, n.size) else [(f"{one}{name} of the entries that count, whose derivative is not 0", value)
                                            for each, name in parts for one, value in (("", each), ("1 / ", 1 / each))]


def signs(a, n, seen, facts):
    wrong = (np.sign(a) != np.sign(n)) & seen
    if fits(np.abs(a), np.abs(n), seen) and wrong.any() and not wrong.all():
        slopes = [np.sign(n / g)[wrong] for g in facts.g if fits(np.abs(g), np.abs(n), seen)]
        reason = ("backward turns the sign there, and update_output does not" if any(map(all, [d > 0 for d in slopes]))
                  else "a derivative of −1 is missing, as where a pixel was flipped" if any(
                      map(all, [d < 0 for d in slopes])) else
                  "a derivative of −1 is missing or too many, or an abs is there")
        yield Finding("sign", f"{wrong.mean():.0%} of the entries have the wrong sign, all have the right size: "
                      + reason)


def cut(a, n, seen, facts):
    """The right gradient, rounded, limited, or times an integer that has wrapped."""
    for g, bits in itertools.product([each for each in facts.g if each.shape == a.shape and np.all(each)], (32, 16, 8)):
        wraps = (a - n) / g / 2**bits
        if np.any(np.rint(wraps[seen])) and same(wraps[seen], np.rint(wraps[seen]), TOLERANCE):
            yield Finding("cut", f"some derivatives are off by 2^{bits}, as {2**bits - 1} for −1: integers of {bits} "
                          "bits without a sign wrap below 0; compute them in the dtype of grad_output")
    for how, function in (("cut to whole numbers", np.trunc), ("rounded to whole numbers", np.rint),
                          ("rounded down to whole numbers", np.floor)):
        if fits(function(n), a, seen):
            yield Finding("cut", f"the gradient is {how}: it is put in an array of integers; make that with the dtype "
                          "of grad_output")
    most = np.abs(a[seen]).max(initial=0)
    counts = most and same(n[seen] / most, np.rint(n[seen] / most), TOLERANCE)  # as of a hinge, whose sum has one term
    if ((np.abs(n) > 1.0001 * most) & seen).any() and not counts and (np.abs(a[seen]) < 0.9999 * most).any() and fits(
            np.clip(n, -most, most), a, seen):
        yield Finding("cut", f"the gradient is limited to ±{most:.4g}, and the derivative of update_output is not: "
                      "that is for the optimiser to do, or a sum of several has been taken for one of them")


def own_term(a, n, seen, facts):
    """Gradients of the form G + own: the layer hands G on and adds a derivative of its own."""
    for g in facts.g:
        if g.shape != a.shape:
            continue
        if fits(a * g, n, seen) and not isinstance(facts.module, Criterion):
            yield Finding("grad_output missing", "this is the derivative alone: it has to be multiplied by "
                          "grad_output, which comes back from the later layers")
            return
        own = n - g
        if not np.any(np.abs(own[seen]) > 1e-9):
            continue
        if fits(g, a, seen):
            if facts.passes_on:
                yield Finding("own gradient missing", "grad_output is handed on unchanged: the gradient of the "
                              "divergence itself is missing")
            elif fit(g, n, seen) is None:  # else a factor is missing, which is more exact
                belongs = ("it has to be multiplied by the derivative of the layer, with all its terms, or by its mask"
                           if facts.elementwise() else "here an output depends on inputs in other places, and each "
                           "input gets Σⱼ Gⱼ ∂yⱼ/∂xᵢ")
                yield Finding("derivative missing", "grad_output is handed on unchanged, as if the derivative were 1: "
                              + belongs)
        elif facts.passes_on and fits(own, a, seen):
            yield Finding("grad_output not added", "only the layer's own gradient is there: grad_output, which comes "
                          "from above, has to be added")
        elif facts.passes_on and (c := fit(own, a - g, seen)) is not None:
            sign = abs(c + 1) < 1e-4
            text = "the wrong sign" if sign else f"{c:.4g} times its size, a factor of {{names}}"
            yield Finding("own gradient's sign" if sign else "own gradient's factor", "the layer's own gradient, "
                          f"which is added to grad_output, has {text}; or self.divergence has the inverse (as of "
                          ".mean() where .sum() belongs): look at both", names=constant_names(c, facts))


def by_products(a, n, seen, facts):
    """Products of matrices, for layers with a weight: which arrays have been multiplied."""
    weight = getattr(facts.module, "weight", None)
    if weight is None or np.ndim(weight) != 2:
        return
    x, y, g = facts.x[0], facts.y[0], facts.g[0]
    wrong = [("the output instead of grad_output", lambda: y.T @ x),
             ("the output instead of the input", lambda: g.T @ y),
             ("the transposed weight", lambda: g @ weight.T),
             ("the input instead of grad_output", lambda: x @ weight),
             ("the output instead of grad_output, summed over the batch", lambda: y.sum(axis=0)),
             ("the first row of grad_output only", lambda: g[0]), ("the last row of grad_output only", lambda: g[-1]),
             ("the sum of all of grad_output in every entry", lambda: np.full(a.shape, g.sum())),
             ("the first image of the batch only", lambda: np.outer(g[0], x[0])),
             ("the last image of the batch only", lambda: np.outer(g[-1], x[-1])),
             ("absolute values of grad_output", lambda: np.abs(g).T @ x)]
    for label, product in wrong:
        try:
            candidate = product()
        except ValueError:  # shapes that do not multiply: not this mistake
            continue
        if fits(candidate, a, seen) and not fits(candidate, n, seen):
            yield Finding("wrong product", f"the gradient is computed from {label}")
            return


def by_draws(a, n, seen, facts):
    """Layers that draw L rows for each row: a sum over draws with something missing, or over the wrong rows."""
    g, samples = facts.g[0], facts.samples
    if samples == 1 or a.ndim != 2 or g.ndim != 2 or len(g) != samples * len(a) or g.shape[1] != a.shape[1]:
        return
    with np.errstate(all="ignore"):
        noisy = None if facts.noise is None else g * facts.noise
        scale = _ratio_of_sums(n, g, noisy, samples)
        for rows in (g, noisy):
            if rows is None:
                continue
            grouped, other = rows.reshape(len(a), samples, -1), rows.reshape(samples, len(a), -1)
            ratio = n / other.sum(axis=0)
            if fits(ratio * grouped.sum(axis=1), a, seen & np.isfinite(ratio)) and (rows is g) == np.allclose(
                    ratio, ratio.flat[0], rtol=1e-4):
                yield Finding("draws", "the two passes group the draws differently: of grad_output, backward takes "
                              "rows n·L + l for row n, and update_output has made rows l·N + n of it")
                return
            constant = fits(scale[1], np.full(n.shape, scale[1].flat[0]), seen)  # as of the mean, which has no noise
            plain = grouped.sum(axis=1) if rows is g and not constant else None
            apart = _pairings(g.reshape(grouped.shape), facts.noise.reshape(grouped.shape)) if rows is noisy else ()
            for what, total in (*apart, ("the first draw of each row only", grouped[:, 0]),
                                ("the last draw of each row only", grouped[:, -1]),
                                ("rows l·N + n instead of n·L + l: it mixes rows of the input", other.sum(axis=0)),
                                ("grad_output without the noise", plain)):
                if total is None:
                    continue
                for factor in scale:
                    if fits(factor * total, a, seen) and not fits(factor * total, n, seen):
                        yield Finding("draws", f"the sum over the draws is wrong: it takes {what}")
                        return


def by_rows(a, n, seen, facts):
    """Any array of N rows to which L rows of an output belong."""
    for how in () if facts.of_parameter else filter(None, (drawn(a, n, each) for each in facts.g)):
        yield Finding("draws", how)
        return


def _pairings(g, noise):
    """[(words, sum)] of grad_output with the noise of other draws than its own, each (rows, draws, ...)."""
    total = g.sum(axis=1)
    return (("the noise of the first draw for all of them", noise[:, 0] * total),
            ("the noise of the last draw for all of them", noise[:, -1] * total),
            ("the sum of grad_output times the sum of the noise, where the products of each draw are to be summed",
             noise.sum(axis=1) * total),
            ("the mean of grad_output times the sum of the noise, where the products of each draw are to be summed",
             noise.mean(axis=1) * total),
            ("the noise of the draw before", (g * np.roll(noise, 1, axis=1)).sum(axis=1)),
            ("the noise of the draw behind", (g * np.roll(noise, -1, axis=1)).sum(axis=1)))


def _ratio_of_sums(n, g, noisy, samples):
    """What a right sum over draws is multiplied by in this layer: found from N itself."""
    factors = [np.ones_like(n)]
    for rows in (g, noisy):
        if rows is not None:
            ratio = n / rows.reshape(len(n), samples, -1).sum(axis=1)
            factors.append(np.where(np.isfinite(ratio), ratio, 0))
    return factors


def by_children(a, n, seen, facts):
    """Containers that add up their branches: which of them is in the sum."""
    if not isinstance(facts.module, Container):
        return
    if facts.misfed:
        yield Finding("misfed", facts.misfed)
        return
    parts = [(name, part) for name, child in facts.module.children() if child.grad_input is not None
             for part in arrays(child.grad_input)]
    if any(fits(g, n - a, seen) for g in facts.g) and not any(fits(part, n - a, seen) for _, part in parts):
        yield Finding("branch missing", "grad_output itself has not been added, which comes back by the direct way, "
                      "past the modules inside, or through one that hands it on")
        return
    for name, part in parts:
        if np.shape(part) == a.shape and fits(part, a, seen) and not fits(part, n, seen):
            yield Finding("branch missing", f"only the gradient of branch ({name}) is there: those of all branches "
                          "have to be added")
            return
        if np.shape(part) == a.shape and fits(n - part, a, seen) and np.any(part):
            yield Finding("branch missing", f"the gradient of branch ({name}) has not been added")
            return
