"""Sentences on entries that stand in another order in one pass: grouped, numbered, shifted or thinned otherwise.

Each takes the Pairs of pairs_of_entries, and gives None where it does not hold.
"""

from itertools import product

import numpy as np

from minivae.debug.diagnosis.fitting import TOLERANCE
from minivae.debug.diagnosis.places import where
from minivae.debug.tables import same


def regrouped(pairs):
    """The sentence if copies, or what is summed, lie side by side in one pass and a length apart in the other."""
    if pairs.copied is None or pairs.of_parameter or len(pairs.facts.y) > 1:
        return None
    places, of, to = pairs.copied
    axes, ways = [], set()
    for axis, (length, place) in enumerate(zip(of, np.indices(to))):
        known = {"repeat": place * length // to[axis], "tile": place % length}
        way = tuple(next((name for name, each in known.items() if np.array_equal(of_pass[axis], each)), None)
                    for of_pass in places)
        if None in way:
            return None
        if way[0] != way[1]:
            axes.append(axis)
            ways.add(way)
    if len(ways) != 1 or not same(*(np.sort(each, axis=0) for each in (pairs.forward, pairs.backward)), TOLERANCE):
        return None
    words = {"repeat": "side by side, as numpy.repeat orders them (place k belongs to k // the number of copies)",
             "tile": "a whole length apart, as numpy.tile orders them (place k belongs to k mod the length)"}
    forward, backward = (words[each] for each in ways.pop())
    return (f"along axis {' and '.join(map(str, axes))} update_output has what belongs together {forward}, and "
            f"backward takes it {backward}: other places get each other's gradients")


def numbered(pairs, within="the image"):
    """The sentence if each output is of one input, whose place `within` the two passes number otherwise."""
    if pairs.copied is None or len(pairs.facts.shape) != 4 != len(pairs.shape):
        return None
    (used, given), of, to = pairs.copied
    if to != pairs.shape or not np.array_equal(used[:2], given[:2]):
        return None
    (height, width), begin = of[2:], (0, 0)
    if within != "the image":
        kernel, step, pad = (getattr(pairs.facts.module, name, 0) for name in ("kernel", "step", "pad"))
        if not np.any(kernel) or not all(np.shape(each) in ((), (2,)) for each in (kernel, step, pad)):
            return None
        (height, width), (step, pad) = np.broadcast_to(kernel, 2), (np.broadcast_to(each, 2) for each in (step, pad))
        begin = [place * by - off for place, by, off in zip(np.indices(to)[2:], step, pad)]
    (y, x), (v, u) = ((each[2] - begin[0], each[3] - begin[1]) for each in (used, given))
    for how, ways in (
            (f"by rows of {width} in one pass and of {height} in the other: the height stands where the width belongs",
             ((y * width + x, v * height + u), (y * height + x, v * width + u))),
            ("along rows in one pass and along columns in the other",
             ((y * width + x, u * height + v), (x * height + y, v * width + u)))):
        if any(np.array_equal(*way) for way in ways):
            return (f"each output's gradient goes to another input than the one it came from: the places of {within} "
                    f"are numbered {how}")
    return None


def numbered_in_windows(pairs):
    return numbered(pairs, "its window")


def shift(pairs):
    """The sentence if all that is wrong of some inputs stands at other outputs, each shifted along an axis or two."""
    wrong = np.abs(pairs.backward - pairs.forward).max(axis=1) > 1e-4 * np.abs(pairs.forward).max()
    along = [[(axis, by) for by in range(-5, 6) if 0 < abs(by) < pairs.shape[axis] - 1]
             for axis in range(1, len(pairs.shape))]
    shifts = [(each,) for axis in along for each in axis]
    shifts += [each for each in product(*along[-2:]) if max(abs(by) for _, by in each) < 4] if len(along) > 1 else []
    found = []
    for i in np.flatnonzero(wrong):
        forward, backward = (each[i].reshape(pairs.shape) for each in (pairs.forward, pairs.backward))
        near = sorted(shifts, key=lambda each: each not in found[-1:])  # mostly that of the entry before
        found.append(next((each for each in near if _same_shifted(forward, backward, each)), None))
        if found[-1] is None:
            return None
    if not found:
        return None
    axes = " and ".join(map(str, sorted({axis for each in found for axis, _ in each})))
    steps = ", ".join(map(str, sorted({abs(by) for each in found for _, by in each})))
    place = where(wrong.reshape(pairs.facts.shape)) if wrong.size == np.prod(pairs.facts.shape, dtype=int) else None
    entries = pairs.entry(several=True) + (f" {place}" if place else "")
    return (f"what comes back to the {entries} is shifted by {steps} along axis {axes} of the output: look at an "
            "offset, a stride, a dilation or a padding")


def shift_of_inputs(pairs):
    """The sentence if each output gives to inputs all shifted alike along an axis or two, as with a stride."""
    shape = pairs.facts.shape
    if pairs.of_parameter or len(shape) < 3 or len(pairs.forward) != np.prod(shape):
        return None
    along = [[(axis, by) for by in range(-3, 4) if abs(by) < shape[axis] - 1] for axis in range(2, len(shape))]
    forward, backward = (np.moveaxis(each.reshape(*shape, -1), -1, 0) for each in (pairs.forward, pairs.backward))
    for shifts in sorted(product(*along), key=lambda each: sum(by != 0 for _, by in each)):
        shifts = [(axis + 1, by) for axis, by in shifts if by]
        if shifts and _same_shifted(forward, backward, shifts, all_of=True):
            axes, steps = (", ".join(map(str, dict.fromkeys(each))) for each in (
                [axis - 1 for axis, _ in shifts], [abs(by) for _, by in shifts]))
            return (f"what each output gives back is shifted by {steps} along axis {axes} of the input: look at "
                    "an offset, a crop or a padding of both passes")
    return None


def strided(pairs):
    """The sentence if each entry meets what it should, but at outputs nearer to the first, or farther from it."""
    if found := _thinned(*(each.reshape(-1, *pairs.shape) for each in (pairs.forward, pairs.backward))):
        twice, step, along = found
        far = "near to" if twice else "far from"
        return (f"what comes back to each {pairs.entry()} is of outputs {step} times as {far} the first, "
                f"along axis {along}, as those that it acts on: a stride is " + (
                    "there twice in backward, or left out of update_output" if twice else
                    "left out of backward, or too many in update_output"))
    return None


def dilated(pairs):
    """The sentence if each output gives back what it should, but to inputs nearer to its first, or farther from it."""
    shape = pairs.facts.shape
    if pairs.of_parameter or len(pairs.forward) != np.prod(shape):
        return None
    forward, backward = (each.T.reshape(-1, *shape) for each in (pairs.forward, pairs.backward))
    for axis, length in list(enumerate(shape, 1))[1:]:  # the first that either pass takes, to place 0
        rest = tuple(other for other in range(1, forward.ndim) if other != axis)
        first = ((forward != 0) | (backward != 0)).any(axis=rest).argmax(axis=1)
        places = np.expand_dims((first[:, None] + np.arange(length)) % length, rest)
        forward, backward = (np.take_along_axis(each, places, axis) for each in (forward, backward))
    if found := _thinned(forward, backward):
        near, step, along = found
        far = "near to" if near else "far from"
        return (f"what each output gives back goes to inputs {step} times as {far} one another, along axis {along}, "
                "as those that it is made of: a dilation or a stride is " + (
                    "left out of backward, or too many in update_output" if near else
                    "there twice in backward, or left out of update_output"))
    return None


def off(pairs):
    """The sentence if what some outputs give back goes to inputs so many places off along an axis."""
    if pairs.copied is None or pairs.copied[2] != pairs.shape or pairs.of_parameter:
        return None
    (used, given), *_ = pairs.copied
    far = np.abs(given - used)
    axes, steps, place = np.flatnonzero(far.reshape(len(far), -1).any(axis=1)), np.unique(far), where(far.any(axis=0))
    if len(axes) != 1 or len(steps) != 2 or place is None:
        return None
    return (f"what comes back from the outputs {place} goes to inputs {steps[-1]} off along axis {axes[0]}: look at "
            "the index, as where a border is mirrored or repeated")


def _thinned(forward, backward):
    """(Whether backward is nearer, how many times, the axes) if one pass thins out what the other has; or None."""
    axes = [(axis,) for axis in range(1, forward.ndim - 1)] + ([(2, 3)] if forward.ndim == 5 else [])
    for step, along, (near, one, other) in product((2, 3), axes, (
            (False, forward, backward), (True, backward, forward))):
        thinned = other[(slice(None), *(slice(None, None, step if axis in along else None)
                                        for axis in range(forward.ndim - 1)))]
        part = tuple(map(slice, thinned.shape))
        both = (one[part] != 0) & (thinned != 0) & (np.indices(thinned.shape)[along[0] + 1] > 0)
        varies = any(np.ptp(one[part], axis=axis + 1).any() for axis in along)  # else any outputs would be the same
        if both.sum() > 2 and varies and same(one[part], thinned, TOLERANCE) and not same(
                one[part], other[part], TOLERANCE):
            return near, step, " and ".join(map(str, along))
    return None


def _same_shifted(forward, backward, shifts, all_of=False):
    """Whether they agree after shifts, [(axis, by)], where both have values, or in all that is left."""
    for axis, by in shifts:
        length = forward.shape[axis]
        forward = forward.take(range(max(by, 0), length + min(by, 0)), axis)
        backward = backward.take(range(max(-by, 0), length + min(-by, 0)), axis)
    both = (forward != 0) | (backward != 0) if all_of else (forward != 0) & (backward != 0)
    return both.sum() > 2 and same(forward[both], backward[both], TOLERANCE)
