"""Mistakes that show pair by pair: which output acts on which input or weight, by update_output and by backward."""

from functools import cached_property
from itertools import product

import numpy as np

from minivae.debug.finding import Finding
from minivae.debug.fitting import TOLERANCE
from minivae.debug.places import where
from minivae.debug.tables import same


class Pairs:
    """∂output/∂input by both passes (inputs, outputs), and where it is not 0: `used` by update_output, `given` back.

    The inputs are those of one array, or the entries of one parameter.
    """

    def __init__(self, a, seen, facts):
        self.facts, self.rows, self.of_parameter = facts, len(a), facts.of_parameter
        self.shape = facts.y[0].shape if len(facts.y) == 1 else (sum(each.size for each in facts.y),)
        self.forward, self.backward = (each[seen.reshape(-1)] for each in facts.jacobians())
        size = 1e-6 * np.abs(self.forward).max()
        self.used, self.given = np.abs(self.forward) > size, np.abs(self.backward) > size
        inputs, outputs = self.forward.shape
        self.whole = not self.of_parameter and len(facts.y) == 1 and inputs == outputs == a.size
        self.own = np.eye(inputs, outputs, dtype=bool)

    @cached_property
    def lost(self):
        """Outputs of which nothing comes back."""
        return self.used.any(axis=0) & ~self.given.any(axis=0)

    @cached_property
    def wrong(self):
        """Outputs whose share is wrong."""
        off = np.abs(self.backward - self.forward).max(axis=0)
        return off > 1e-4 * np.abs(self.forward).max()

    @cached_property
    def mixed(self):
        """Pairs of different rows of the batch."""
        row = np.arange(len(self.forward)) * self.rows // len(self.forward)
        column = np.arange(self.forward.shape[1]) * self.rows // self.forward.shape[1]
        return row[:, None] != column

    def backward_is(self, other):
        return same(other, self.backward, TOLERANCE)

    def which(self):
        """Of the outputs that an input acts on, those that give back."""
        first, last = ((np.cumsum(each, axis=1) == 1) & each for each in (self.used, self.used[:, ::-1]))
        return ("the first of them gives" if np.array_equal(self.given, first) else
                "the last of them gives" if np.array_equal(self.given, last[:, ::-1]) else
                f"{self.given.sum() / self.used.sum():.0%} of them give")


def _kept(pairs):
    return pairs.backward_is(np.where(pairs.lost, 0, pairs.forward)) and where(pairs.lost.reshape(pairs.shape))


def _factors(pairs):
    """By which factor each output's column is off, or None if that is not all."""
    top = np.abs(pairs.forward).argmax(axis=0), np.arange(pairs.forward.shape[1])
    with np.errstate(all="ignore"):
        factor = pairs.backward[top] / pairs.forward[top]
    factor = np.where(pairs.used.any(axis=0), factor, 1)
    off = np.isfinite(factor).all() and np.ptp(factor) > 1e-4 * np.abs(factor).max()
    return factor if off and pairs.backward_is(pairs.forward * factor) else None


def _known_factor(pairs):
    """The sentence on a factor of outputs at some places, or one that is a function of something."""
    factor = _factors(pairs)
    if factor is None:
        return None
    wrong = np.abs(factor - 1) > 1e-4
    if (place := where(wrong.reshape(pairs.shape))) and np.ptp(factor[wrong]) < 1e-4 * np.abs(factor[wrong]).max():
        return (f"what comes back from the outputs {place} is {factor[wrong][0]:.4g} times what it should be, all else "
                "is right")
    for label, f in pairs.facts.functions(pairs.facts.y[0].shape) if len(pairs.facts.y) == 1 else ():
        for words, wanted in (("first to be multiplied by {}", 1 / factor if factor.all() else None),
                              ("not to be multiplied by {}", factor)):
            if wanted is not None and same(wanted, f.reshape(-1), TOLERANCE):
                return f"grad_output has {words.format(label)}; or update_output should be another"
    return None


def _any_factor(pairs):
    factor = _factors(pairs)
    return None if factor is None else (
        f"each entry of grad_output is off by a factor of its own, from {factor.min() + 0.0:.4g} to "
        f"{factor.max() + 0.0:.4g}: a factor for each output, such as a derivative or a mask, is wrong or missing"
        f"{example(pairs.facts)}")


def _shift(pairs):
    """The sentence if all that is wrong of some inputs stands at other outputs, each shifted along one axis."""
    wrong = np.abs(pairs.backward - pairs.forward).max(axis=1) > 1e-4 * np.abs(pairs.forward).max()
    found = []
    for i in np.flatnonzero(wrong):
        forward, backward = (each[i].reshape(pairs.shape) for each in (pairs.forward, pairs.backward))
        shifts = ((axis, by) for axis in range(1, len(pairs.shape)) for by in range(-5, 6)
                  if 0 < abs(by) < pairs.shape[axis] - 1)
        found.append(next((each for each in shifts if _same_shifted(forward, backward, *each)), None))
    if None in found or not found:
        return None
    axes = " and ".join(map(str, sorted({axis for axis, _ in found})))
    steps = ", ".join(map(str, sorted({abs(by) for _, by in found})))
    place = where(wrong.reshape(pairs.facts.shape)) if wrong.size == np.prod(pairs.facts.shape, dtype=int) else None
    return (f"what comes back to the {_entry(pairs)}s{' ' + place if place else ''} is shifted by {steps} along axis "
            f"{axes} of the output: look at an offset, a stride, a dilation or a padding")


def _strided(pairs):
    """The sentence if each entry meets what it should, but at outputs nearer to the first, or farther from it."""
    forward, backward = (each.reshape(-1, *pairs.shape) for each in (pairs.forward, pairs.backward))
    axes = [(axis,) for axis in range(1, len(pairs.shape))] + ([(2, 3)] if len(pairs.shape) == 4 else [])
    for step, along, (one, other, words) in product((2, 3), axes, (
            (forward, backward, "closer together than those of update_output: a stride is left out"),
            (backward, forward, "farther apart than those of update_output: a stride is there twice, or left out "
             "of update_output"))):
        thinned = other[(slice(None), *(slice(None, None, step if axis in along else None)
                                        for axis in range(len(pairs.shape))))]
        part = tuple(map(slice, thinned.shape))
        both = (one[part] != 0) & (thinned != 0) & (np.indices(thinned.shape)[along[0] + 1] > 0)
        if both.sum() > 2 and same(one[part], thinned, TOLERANCE) and not same(one[part], other[part], TOLERANCE):
            return (f"what comes back to each {_entry(pairs)} is of windows that are, by a factor of {step} along axis "
                    f"{' and '.join(map(str, along))} of the output, {words}")
    return None


def _same_shifted(forward, backward, axis, by):
    """Whether they agree after a shift, where both have values."""
    length = forward.shape[axis]
    one = forward.take(range(max(by, 0), length + min(by, 0)), axis)
    other = backward.take(range(max(-by, 0), length + min(-by, 0)), axis)
    both = (one != 0) & (other != 0)
    return both.sum() > 2 and same(one[both], other[both], TOLERANCE)


# (kind, whether it holds, sentence or function that makes it); the first that holds is the finding.
EXACT = (
    ("direction", lambda p: p.whole and p.backward_is(p.forward.T),
     "backward does to grad_output just as update_output does to its input, in the same direction: a shift has to go "
     "back, a running sum to run from the end, a matrix to be transposed, of two steps the last to be undone first"),
    ("diagonal only", lambda p: p.whole and p.backward_is(np.where(p.own, p.forward, 0)),
     "grad_output is multiplied by ∂yᵢ/∂xᵢ alone: each output depends on other inputs too, and each adds its term, "
     "Σⱼ Gⱼ ∂yⱼ/∂xᵢ"),
    ("outputs left out", _kept, lambda p:
     f"nothing comes back from the outputs {where(p.lost.reshape(p.shape))}, all else is right: a loop ends early, or "
     "what it adds is overwritten"),
    ("outputs left out", lambda p: p.backward_is(np.where(p.given, p.forward, 0)), lambda p:
     f"of the outputs that an {_entry(p)} acts on, only {p.which()} something back: those of all are to be added, +=, "
     f"as where windows overlap or rows are used twice{_at(p)}"),
    ("too many inputs", lambda p: same(np.where(p.used, p.backward, 0), p.forward, TOLERANCE), lambda p:
     f"an {_entry(p)} is given gradients of outputs on which it does not act, all else is right: backward lacks a "
     f"mask, a slice or a condition of update_output, or pads otherwise; or update_output assigns where it must add"
     f"{_at(p)}"),
    ("mean for sum", lambda p: p.used.sum(axis=1).max() > 1 and same(
        p.backward * p.used.sum(axis=1, keepdims=True), p.forward, TOLERANCE), lambda p:
     f"the gradients of the outputs that an {_entry(p)} acts on are averaged, where they are to be added, or "
     "update_output has the inverse factor"),
)
OTHERS = (
    ("shifted", _strided, _strided),
    ("shifted", lambda p: _shift(p), lambda p: _shift(p)),
    ("wrong inputs", lambda p: same(np.sort(p.backward, axis=0), np.sort(p.forward, axis=0), TOLERANCE), lambda p:
     f"each output's gradient goes to another {_entry(p)} than the one it came from: look at the indices (row and "
     "column, stride, offset, order) of both passes" + example(p.facts)),
    ("taken as constant", lambda p: p.whole and (p.used & ~p.own).any() and not (p.given & ~p.own).any(),
     "each output depends on several inputs, and backward on its own only: what update_output computes from them, such "
     "as a mean, a standard deviation, a norm or a sum, is no constant and has a derivative too"),
    ("one weight for all", lambda p: np.array_equal(p.used, p.given) and np.ptp(p.backward[p.given]) < 1e-6 < np.ptp(
        p.forward[p.used]), lambda p:
     f"every gradient is handed on with the factor {np.abs(p.backward).max():.4g}, but those of update_output reach "
     f"from {p.forward[p.used].min() + 0.0:.4g} to {p.forward[p.used].max() + 0.0:.4g}, as at the borders of an image"),
    ("spread", lambda p: same(p.forward.sum(axis=0), p.backward.sum(axis=0), TOLERANCE) and not np.array_equal(
        p.used, p.given), lambda p:
     f"each output's gradient is handed on whole, but is shared out otherwise than update_output uses the {_entry(p)}s"
     + example(p.facts)),
    ("rows mixed", lambda p: p.whole and (p.given & p.mixed).any() and not (p.used & p.mixed).any(),
     "backward mixes the rows of the batch, and update_output treats each by itself: sums and means over the batch do "
     "not belong here, as in evaluation mode, or run over the wrong axis"),
    ("rows not mixed", lambda p: p.whole and (p.used & p.mixed).any() and not (p.given & p.mixed).any(),
     "update_output mixes the rows of the batch, and backward treats each by itself: the statistics of the batch have "
     "derivatives too"),
    ("factor of outputs", _known_factor, _known_factor),
)
VAGUE = (
    ("factor of outputs", _any_factor, _any_factor),
    ("some outputs", lambda p: where(p.wrong.reshape(p.shape)), lambda p:
     f"only what comes back from the outputs {where(p.wrong.reshape(p.shape))} is wrong" + example(p.facts)),
)


def _entry(pairs):
    return "entry of the parameter" if pairs.of_parameter else "input"


def _at(pairs):
    place = where(pairs.wrong.reshape(pairs.shape))
    return (f"; this is so of the outputs {place}" if place else "") + example(pairs.facts)


def exactly(a, n, seen, facts):
    """What backward hands on of each output, beside what update_output does with each input."""
    yield from _first(EXACT, a, n, seen, facts)


def otherwise(a, n, seen, facts):
    """The same, less exact."""
    yield from _first(OTHERS, a, n, seen, facts)


def vaguely(a, n, seen, facts):
    """The same, where nothing more can be said."""
    yield from _first(VAGUE, a, n, seen, facts)


def _first(rules, a, n, seen, facts):
    if facts.jacobians() is None:
        return
    pairs = Pairs(a, seen, facts)
    if not pairs.given.any() or not pairs.used.any():
        return
    for kind, holds, sentence in rules:
        if holds(pairs):
            yield Finding(kind, sentence if isinstance(sentence, str) else sentence(pairs))
            return


def example(facts):
    """The pair that is most wrong, in words that can be checked by hand."""
    forward, backward = facts.jacobians()
    i, k = np.unravel_index(np.abs(forward - backward).argmax(), forward.shape)
    source = ", ".join(map(str, np.unravel_index(i, facts.shape)))
    target = ", ".join(map(str, np.unravel_index(k, facts.y[0].shape))) if len(facts.y) == 1 else f"number {k}"
    return (f"; for one, ∂output[{target}]/∂{facts.name}[{source}] is {forward[i, k] + 0.0:.4g} by update_output and "
            f"{backward[i, k] + 0.0:.4g} by backward")
