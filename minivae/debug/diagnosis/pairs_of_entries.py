"""Mistakes that show pair by pair: which output acts on which input or weight, by update_output and by backward."""

from functools import cached_property
from math import prod

import numpy as np

from minivae.debug.diagnosis import order_of_entries as order
from minivae.debug.diagnosis.finding import Finding
from minivae.debug.diagnosis.fitting import TOLERANCE
from minivae.debug.diagnosis.places import condition, where
from minivae.debug.diagnosis.sums_over_units import centred
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
        one = not self.of_parameter and len(facts.y) == 1 and inputs == a.size
        self.whole = one and inputs == outputs
        draws = len(facts.y[0]) // len(a) if one and len(a) else 0  # a row may have several, side by side
        self.drawn = one and draws * inputs == outputs and len(facts.y[0]) == draws * len(a)
        row = inputs // max(len(a), 1)
        self.source = np.arange(outputs) // max(draws * row, 1) * row + np.arange(outputs) % max(row, 1)
        self.own = np.arange(inputs)[:, None] == self.source  # the input in the place of each output
        self.drawn = self.drawn and (draws == 1 or self.used[self.own].all())

    @cached_property
    def lost(self):
        """Outputs of which nothing comes back."""
        return self.used.any(axis=0) & ~self.given.any(axis=0)

    @cached_property
    def repeats(self):
        """Whether each of those is of one input, of which others are made too, that give something back."""
        alone = self.used.sum(axis=0) == 1
        seen = self.used[:, alone & ~self.lost].any(axis=1)
        of_lost = self.used[:, self.lost].any(axis=1)
        return bool(not self.of_parameter and alone[self.lost].all() and seen[of_lost].all())

    @cached_property
    def wrong(self):
        """Outputs whose share is wrong."""
        off = np.abs(self.backward - self.forward).max(axis=0)
        return off > 1e-4 * np.abs(self.forward).max()

    @cached_property
    def mixing(self):
        """(Axes along which backward alone mixes places, those along which update_output alone does)."""
        if not self.drawn:
            return [], []
        axes = ([], [])
        for axis, place in enumerate(np.indices(self.facts.shape).reshape(len(self.facts.shape), -1)):
            apart = place[:, None] != place[self.source]
            used, given = ((each & apart).any() for each in (self.used, self.given))
            if used != given:
                axes[bool(used)].append(axis)
        return axes

    @cached_property
    def copied(self):
        """(Places of the only inputs of each output in update_output, in backward), or None; or the other way round."""
        for used, given, of, to in ((self.used, self.given, self.facts.shape, self.shape),
                                    (self.used.T, self.given.T, self.shape, self.facts.shape)):
            if (used.sum(axis=0) == 1).all() and (given.sum(axis=0) == 1).all() and len(of) == len(to):
                return [np.array(np.unravel_index(each.argmax(axis=0), of)).reshape(-1, *to)
                        for each in (used, given)], of, to
        return None

    def place(self, outputs):
        """The words for those outputs, True in a flat array: "0, 1 of axis 2", of a table "output[2]"; or None."""
        if len(self.facts.y) == 1:
            return where(outputs.reshape(self.shape))
        parts = [(name, outputs[start:start + np.prod(shape, dtype=int)].reshape(shape))
                 for start, name, shape in self.facts.entries()]
        parts = [(name, part) for name, part in parts if part.any()]
        if len(parts) == 1 and not parts[0][1].all():
            place = where(parts[0][1])
            return place and f"{parts[0][0]} {place}"
        return None if outputs.all() or not all(part.all() for _, part in parts) else " and ".join(
            name for name, _ in parts)

    def condition(self, outputs, among):
        """The words for those outputs among others, both flat, by the bounds of something in their places; or None."""
        values = self.facts.values(self.shape) if len(self.facts.y) == 1 else []
        return condition(outputs[among], [(label, v.reshape(-1)[among]) for label, v in values
                                          if not label.startswith("the output")])

    def backward_is(self, other):
        return same(other, self.backward, TOLERANCE)

    def entry(self, several=False):
        return (("entries" if several else "entry") + " of the parameter" if self.of_parameter else
                "inputs" if several else "input")


def _kept(pairs):
    return pairs.backward_is(np.where(pairs.lost, 0, pairs.forward)) and pairs.place(pairs.lost)


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
    if pairs.place(wrong) and np.ptp(factor[wrong]) < 1e-4 * np.abs(factor[wrong]).max():
        return (f"what comes back from {_outputs(pairs, wrong)} is {factor[wrong][0]:.4g} times what it should be, all "
                "else is right")
    for start, name, shape in pairs.facts.entries():
        part = slice(start, start + np.prod(shape, dtype=int))
        for label, f in pairs.facts.functions(shape) if wrong[part].sum() == wrong.sum() else ():
            for words, wanted in (("first to be multiplied by {}", 1 / factor[part] if factor.all() else None),
                                  ("not to be multiplied by {}", factor[part])):
                if wanted is not None and same(wanted, f.reshape(-1), TOLERANCE):
                    return (f"grad_{name if len(pairs.facts.y) > 1 else 'output'} has {words.format(label)}; or "
                            "update_output should be another")
    return None


def _counted(pairs):
    """The sentence if one pass adds an entry of the parameter, such as a bias, several times to places of an image."""
    if len(pairs.shape) < 2 or not pairs.of_parameter or (pairs.used.sum(axis=0) != 1).any() or not np.array_equal(
            pairs.used, pairs.given):
        return None
    forward, backward = (each.sum(axis=0).reshape(pairs.shape) for each in (pairs.forward, pairs.backward))
    if any(not same(each, np.broadcast_to(each[:1, :1], each.shape), TOLERANCE) for each in (forward, backward)):
        return None
    for one, other, times in (("update_output", "backward", forward / backward),
                              ("backward", "update_output", backward / forward)):
        most = np.rint(times.max())
        if same(times, np.rint(times), TOLERANCE) and 1 <= np.rint(times.min()) < most:
            return (f"{one} counts each {pairs.entry()} up to {most:.0f} times in an output, as in every window that "
                    f"overlaps there, and {other} once: a bias is added once, after the windows")
    return None


def _masked(pairs):
    """The words for outputs on which nothing acts, and from which backward takes something all the same; or None."""
    lost = pairs.given.any(axis=0) & ~pairs.used.any(axis=0)
    only = np.array_equal(pairs.given & ~pairs.used, pairs.given & lost)
    return pairs.condition(lost, pairs.given.any(axis=0)) if only else None


def _covered(pairs):
    """The words for outputs from which nothing comes back, and where they are; or None."""
    return pairs.backward_is(np.where(pairs.lost, 0, pairs.forward)) and pairs.condition(
        pairs.lost, pairs.used.any(axis=0))


def _assigned(pairs):
    """Whether each output depends on inputs at the last, or the first, of the places that backward gives to only."""
    axes = pairs.facts.shape[2:]
    if not axes or not pairs.used.any(axis=1).all() or not (pairs.given & ~pairs.used).any():
        return False
    flat = np.unravel_index(np.arange(len(pairs.used)), pairs.facts.shape)[2:]
    place, most = np.ravel_multi_index(flat, axes)[:, None], np.prod(axes)
    (first, last), (first_used, last_used) = (
        (np.where(each, place, most).min(axis=0), np.where(each, place, -1).max(axis=0))
        for each in (pairs.given, pairs.used))
    return np.array_equal(first_used, last_used) and any(map(np.array_equal, (first, last), (first_used, last_used)))


def _mixing(pairs):
    """The sentence on the axes along which backward alone mixes places, or None."""
    return mixes(*pairs.mixing)


def mixes(more, less, batch=True):
    """The sentence on backward, which mixes places along the axes `more`, where update_output does along `less`."""
    if not more:
        return None
    ours, theirs = (" and ".join(f"axis {axis}" for axis in axes) for axes in (more, less))
    rows = batch and more == [0]
    what = "the rows of the batch" if rows else f"the places along {ours}"
    if less:
        return (f"backward mixes {what}, and update_output the places along {theirs} instead: a sum or mean runs over "
                f"another axis in one of them, {ours} in backward and {theirs} in update_output")
    return (f"backward mixes {what}, and update_output treats each by itself: " + (
        "sums and means over the batch do not belong here, or run over the wrong axis"
        if rows else
        f"a sum or mean over {ours} runs over more than it should, or does not belong here"))


def _any_factor(pairs):
    factor = _factors(pairs) if prod(pairs.facts.shape) > 1 else None  # of one number it would say nothing
    return None if factor is None else (
        f"each entry of grad_output is off by a factor of its own, from {factor.min() + 0.0:.4g} to "
        f"{factor.max() + 0.0:.4g}: a factor for each output, such as a derivative or a mask, is wrong or missing"
        f"{example(pairs.facts)}")


# (kind, whether it holds, sentence or function that makes it); the first that holds is the finding.
REGROUPED = (
    ("regrouped", order.regrouped, order.regrouped),
    ("numbered", order.numbered_in_windows, order.numbered_in_windows),
)
EXACT = (
    ("direction", lambda p: p.whole and p.backward_is(p.forward.T),
     "backward does to grad_output just as update_output does to its input, in the same direction: a shift has to go "
     "back, a running sum to run from the end, a matrix to be transposed, of two steps the last to be undone first"),
    ("diagonal only", lambda p: p.drawn and not p.backward_is(p.forward) and p.backward_is(
        np.where(p.own, p.forward, 0)),
     "grad_output is multiplied by ∂yᵢ/∂xᵢ alone: each output depends on other inputs too, and each adds its term, "
     "Σⱼ Gⱼ ∂yⱼ/∂xᵢ"),
    ("outputs left out", _kept, lambda p:
     f"nothing comes back from {_outputs(p, p.lost)}, all else is right: " + (
         "the term with its grad_output is missing" if len(p.facts.y) > 1 else
         "their inputs act on other outputs too, as where a border is mirrored or copied, or an index is there twice: "
         "what comes back from all of them is to be added, with numpy.add.at where indices repeat" if p.repeats else
         "a loop ends early, what it adds is overwritten, or a slice cuts it off")),
    ("mask", _covered, lambda p:
     f"nothing comes back from outputs {_covered(p)}, all else is right: a mask covers too much, or one of "
     f"update_output too little{example(p.facts)}"),
    ("rows mixed", lambda p: same(np.where(p.used, p.backward, 0), p.forward, TOLERANCE) and _mixing(p), _mixing),
    ("mask missing", lambda p: same(np.where(p.used, p.backward, 0), p.forward, TOLERANCE) and _masked(p), lambda p:
     f"outputs {_masked(p)} do not depend on it, and backward takes their gradients too, all else is right: a mask is "
     f"missing, or update_output has one too many{example(p.facts)}"),
    ("assigned", lambda p: same(np.where(p.used, p.backward, 0), p.forward, TOLERANCE) and _assigned(p), lambda p:
     f"of what several {p.entry(several=True)} add to an output, as where windows overlap, update_output keeps one "
     "share and backward counts all: update_output assigns (=) where it must add (+=), or backward adds too much"
     f"{_at(p)}"),
    ("added several times", _counted, _counted),
    ("too many inputs", lambda p: same(np.where(p.used, p.backward, 0), p.forward, TOLERANCE), lambda p:
     f"an {p.entry()} is given gradients of outputs on which it does not act, all else is right: backward lacks a "
     f"mask, a slice or a condition of update_output, or pads otherwise; or update_output assigns where it must add"
     f"{_at(p)}"),
    ("mean for sum", lambda p: p.used.sum(axis=1).max() > 1 and same(
        p.backward * p.used.sum(axis=1, keepdims=True), p.forward, TOLERANCE), lambda p:
     f"the gradients of the outputs that an {p.entry()} acts on are averaged, where they are to be added, or "
     "update_output has the inverse factor"),
)
LEFT_OUT = (
    ("outputs left out", lambda p: p.backward_is(np.where(p.given, p.forward, 0)), lambda p:
     f"of the outputs that an {p.entry()} acts on, only {p.given.sum() / p.used.sum():.0%} of them give something "
     "back: those of all are to be added, +=, with numpy.add.at where indices repeat, as where windows overlap or rows "
     f"are used twice{example(p.facts)}"),
)
OTHERS = (
    ("shifted", order.strided, order.strided),
    ("shifted", order.dilated, order.dilated),
    ("shifted", order.shift, order.shift),
    ("shifted", order.shift_of_inputs, order.shift_of_inputs),
    ("numbered", order.numbered, order.numbered),
    ("rows mixed", _mixing, _mixing),
    ("shifted", order.off, order.off),
    ("wrong inputs", lambda p: same(np.sort(p.backward, axis=0), np.sort(p.forward, axis=0), TOLERANCE), lambda p:
     f"gradients of outputs go to another {p.entry()} than the one that they came from: look at the indices (row and "
     "column, stride, offset, order) of both passes" + example(p.facts)),
    ("taken as constant", lambda p: p.drawn and (p.used & ~p.own).any() and not (p.given & ~p.own).any(),
     "each output depends on several inputs, and backward on its own only: what update_output computes from them, such "
     "as a mean, a standard deviation, a norm or a sum, is no constant and has a derivative too"),
    ("one weight for all", lambda p: np.array_equal(p.used, p.given) and np.ptp(p.backward[p.given]) < 1e-6 < np.ptp(
        p.forward[p.used]), lambda p:
     f"every gradient is handed on with the factor {np.abs(p.backward).max():.4g}, but those of update_output reach "
     f"from {p.forward[p.used].min() + 0.0:.4g} to {p.forward[p.used].max() + 0.0:.4g}, "
     + ("as at the borders of an image" if len(p.facts.shape) > 2 else "as where a derivative is left out")),
    ("spread", lambda p: same(p.forward.sum(axis=0), p.backward.sum(axis=0), TOLERANCE) and not np.array_equal(
        p.used, p.given), lambda p:
     f"each output's gradient is handed on whole, but is shared out otherwise than update_output uses the {p.entry()}s"
     + example(p.facts)),
    ("rows not mixed", lambda p: p.whole and 0 in p.mixing[1],
     "update_output mixes the rows of the batch, and backward treats each by itself: the statistics of the batch have "
     "derivatives too"),
    ("factor of outputs", _known_factor, _known_factor),
    ("factor of outputs", centred, centred),
)
VAGUE = (
    ("any factor", _any_factor, _any_factor),
    ("some outputs", lambda p: p.place(p.wrong), lambda p:
     f"only what comes back from {_outputs(p, p.wrong)} is wrong" + example(p.facts)),
)


def _at(pairs):
    so = f"; this is so of {_outputs(pairs, pairs.wrong)}" if pairs.place(pairs.wrong) else ""
    return so + example(pairs.facts)


def _outputs(pairs, which):
    """The words for some outputs that have a place."""
    return ("the outputs " if len(pairs.facts.y) == 1 else "") + pairs.place(which)


def regrouped(a, n, seen, facts):
    """Copies, or what is summed, that lie in another order."""
    yield from _first(REGROUPED, a, n, seen, facts)


def exactly(a, n, seen, facts):
    """What backward hands on of each output, beside what update_output does with each input."""
    yield from _first(EXACT, a, n, seen, facts)


def left_out(a, n, seen, facts):
    """What backward hands on of some outputs only, wherever these are."""
    yield from _first(LEFT_OUT, a, n, seen, facts)


def otherwise(a, n, seen, facts):
    """The same, less exact."""
    yield from _first(OTHERS, a, n, seen, facts)


def by_draws(a, n, seen, facts):
    """Layers that give L rows for each: whose rows they are, by which entries act on which."""
    if facts.of_parameter or len(facts.y) > 1 or facts.jacobians() is None or not facts.y[0].ndim:
        return
    rows, draws = len(facts.x[facts.number]), len(facts.y[0])
    if rows < 2 or draws <= rows or draws % rows:
        return
    acts = [np.abs(each.reshape(rows, -1, draws, each.shape[1] // draws)).max(axis=(1, 3)) > 0
            for each in facts.jacobians()]
    place = np.arange(draws)
    known = {"n·L + l": place // (draws // rows), "l·N + n": place % rows}
    names = [next((name for name, row in known.items() if np.array_equal(each, row == np.arange(rows)[:, None])), None)
             for each in acts]
    if None not in names and names[0] != names[1]:
        yield Finding("draws", f"the two passes group the draws differently: of grad_output, backward takes rows "
                      f"{names[1]} for row n, and update_output has made rows {names[0]} of it")


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
    start, name, shape = [each for each in facts.entries() if each[0] <= k][-1]
    target = ", ".join(map(str, np.unravel_index(k - start, shape)))
    return (f"; for one, ∂{name}[{target}]/∂{facts.name}[{source}] is {forward[i, k] + 0.0:.4g} by update_output and "
            f"{backward[i, k] + 0.0:.4g} by backward")
