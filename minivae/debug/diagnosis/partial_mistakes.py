"""Mistakes in a part of a gradient, or in one of its terms: other rules, tried on that alone.  Rules as those."""

import copy
from itertools import chain

import numpy as np

from minivae.debug.diagnosis.finding import Finding
from minivae.debug.diagnosis.fitting import TOLERANCE
from minivae.debug.diagnosis.general_mistakes import OWN, by_function, instead, missing_terms
from minivae.debug.diagnosis.places import where
from minivae.debug.diagnosis.special_mistakes import factor

RULES = factor, by_function, instead, missing_terms


def in_part(a, n, seen, facts):
    """Layers whose input has parts, such as a value and its gate: what is wrong of the one that is."""
    wrong = np.abs(a - n) > 1e-4 * np.abs(n).max()
    axes = [axis for axis in range(1, a.ndim) if a.shape[axis] > 1]
    for axis in axes if not facts.of_parameter else ():
        along = wrong.any(axis=tuple(other for other in range(a.ndim) if other != axis))
        for count in range(2, 5):
            length = a.shape[axis] // count
            first = int(along.argmax()) // max(length, 1) * length
            if count * length != a.shape[axis] or along.sum() < length or not along[first:first + length].all() or (
                    along.sum() > length):
                continue
            part = (slice(None),) * axis + (slice(first, first + length),)
            for finding in chain.from_iterable(rule(a[part], n[part], seen[part], facts) for rule in RULES):
                yield Finding("part", f"it is right except {where(wrong)}: {finding.pattern}",
                              names=finding.names)
                return


def in_entry(a, n, seen, facts):
    """Tables: what comes back from one entry of the output is wrong, all else is right."""
    if len(facts.y) < 2 or facts.jacobians() is None:
        return
    forward, backward = facts.jacobians()
    wrong = np.abs(backward - forward).max(axis=0) > 1e-4 * np.abs(forward).max()
    for (start, name, _), y, g in zip(facts.entries(), facts.y, facts.g):
        at = slice(start, start + y.size)
        if wrong[at].any() and wrong[at].sum() == wrong.sum():
            alone = copy.copy(facts)
            alone.y, alone.g = [y], [g]
            a, n = ((each[:, at] @ g.reshape(-1)).reshape(a.shape) for each in (backward, forward))
            for finding in chain.from_iterable(rule(a, n, seen, alone) for rule in RULES):
                yield Finding("part", f"only what comes back from {name} is wrong: {finding.pattern}",
                              names=finding.names)
            return


def in_one_use(a, n, seen, facts):
    """Weights that are used twice, as those that an encoder shares with its decoder: the share of one use is missing.

    A use that is linear up to the output has ⟨its share of the gradient, weight⟩ = ⟨grad_output, output − bias⟩.
    """
    weight = dict(facts.parameters()).get(facts.name)
    if not facts.of_parameter or np.ndim(weight) < 2 or len(facts.y) > 1:
        return
    g, y = facts.g[0], facts.y[0]
    for bias in (0, *(each for _, each in facts.parameters() if each.shape == y.shape[-1:])):
        due, (of_a, of_n) = (g * (y - bias)).sum(), ((each * weight).sum() for each in (a, n))
        if np.isclose(of_n, due, TOLERANCE):
            continue
        if np.isclose(of_a, due, TOLERANCE) or np.isclose(of_n - of_a, due, TOLERANCE):
            yield Finding("one use", "update_output uses the weight several times, and the share of one of these uses "
                          "is missing: the gradient of a shared weight is the sum over all its uses")
            return


def in_own_term(a, n, seen, facts):
    """Pass-through layers whose own gradient is wrong by a factor that differs from entry to entry."""
    for g in facts.g if facts.passes_on else ():
        if g.shape == a.shape:
            for finding in chain.from_iterable(rule(a - g, n - g, seen, facts)
                                               for rule in (by_function, instead) if np.any(a - g)):
                if finding.kind != "wrong derivative":
                    yield Finding(finding.kind, OWN + finding.text, finding.certainty)
