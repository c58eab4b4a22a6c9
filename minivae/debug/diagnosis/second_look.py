"""A second look at what passes: it may be right by luck, at the first call, or in training mode only."""

import ast
import contextlib
import copy
from types import FunctionType

import numpy as np

from minivae import backend
from minivae.debug.diagnosis.elsewhere import Elsewhere, Point, nudge, shuffled
from minivae.debug.diagnosis.explain import explain, ignoring
from minivae.debug.diagnosis.finding import Finding
from minivae.debug.diagnosis.memory import leftovers
from minivae.debug.diagnosis.shared_state import shared_by_objects
from minivae.debug.differences import compare
from minivae.debug.source_edits.own_code import tree_of
from minivae.debug.tables import arrays, copied, mapped, same
from minivae.errors import MinivaeError
from minivae.nn import Criterion

WAYS = 8  # on which a jump is looked for
FEW = 100  # entries of an array that is looked at whole
KEPT = ("right at first, wrong when the same module is then given another input and other weights, where a copy that "
        "was never called is right: ")
SOMEWHERE = ("backward uses an array that was kept at the first call, such as an output, a mask, places of maxima, a "
             "copy of a weight, which each call must renew; or it writes to a part of a buffer and leaves in the rest "
             "what an earlier call has written")
HISTORY = ("update_output gives something else than a copy that was never called, for the same input and the same "
           "random numbers: it uses what it kept from an earlier call, such as an order, a mask, a statistic, or noise "
           "that is drawn once and never again")
EVALUATION = ("right in training mode, wrong in evaluation mode: the two passes do not do the same there, as where one "
              "asks self.train and the other does not, or has what belongs to the other mode")
FOLLOWS = ("in evaluation mode the output for the same input is another after another batch: update_output changes "
           "there what it goes on with, such as running statistics, which have to follow in training mode only")
ASKED_ONCE = ("__init__ reads self.train, which is true there for every module: evaluate() changes it later, so ask in "
              "each update_output")
ROWS = ("for a batch of one row more it is another than in a copy that was never called with fewer, or fails: a number "
        "of rows, or an array of that many, is kept from the first call where it has to be that of the input")


def second_look(twin, unused, given, step, tolerance):
    """[Finding] on arrays that are wrong at another input and other weights.

    `unused` is a copy of the module from before it was run.
    """
    with backend.seeded(len(str(type(twin)))):
        other = (mapped(shuffled, given[0]), mapped(backend.host_generator().permutation, given[1])) if isinstance(
            twin, Criterion) else mapped(shuffled, given)  # a row of a target, such as a distribution, stays whole
    if found := history(twin, unused, other):
        return found
    try:
        point = _run(twin, other)
        wrong = _wrong(point, step, tolerance)
        still = _wrong(_run(unused, other), step, tolerance) if wrong else ()
        said = _not_cleared(point, wrong, step, tolerance) if wrong else {}
        kept = _kept(twin, unused, lambda each: not _wrong(_run(each, other), step, tolerance)) if set(
            wrong) - set(still) and not isinstance(twin, Criterion) else None
    except Exception:  # it does not take that input
        return []
    return [Finding("not cleared", said[name], "certain", name) if name in said else
            _finding(name, name in still, point, step, tolerance, kept) for name in wrong] or shared_by_objects(
        unused, given) or _follows(unused, given, other) or _in_evaluation(
        twin, unused, given, other, step, tolerance) or _asked_once(unused) or _with_another_row(
        twin, unused, given, step, tolerance)


def history(twin, unused, given, change=lambda twin: None):
    """[Finding] on an output that is not that of a copy which was never called."""
    def output(each):
        with backend.seeded(1):
            change(each)
            return arrays(copied(each.hold_noise(False).forward(copied(given))))

    if isinstance(twin, Criterion):
        return []
    try:
        fresh = output(_with_generators(unused.clone(), twin))
        if all(map(same, output(twin.clone()), fresh)):
            return []
    except Exception:  # it does not take that input
        return []
    kept = _kept(twin, unused, lambda each: all(map(same, output(each), fresh)))
    return [Finding("history", f"update_output uses {kept} as an earlier call has left it: compute it anew in each call"
                    if kept else HISTORY, "likely")]


def _kept(twin, unused, is_fresh):
    """The attribute or buffer that a module would have to forget to be as a copy that was never called, or None."""
    for number, ((path, layer), before) in enumerate(zip(twin.named_modules(), unused.list_modules())):
        learned = {prefix + name for name in layer.parameter_names for prefix in ("", "grad_")}
        attributes = sorted(set(vars(layer)) - learned - {"_modules", "buffers", "output", "input"})
        for holder, name in [*((vars, name) for name in attributes), *((_buffers, name) for name in layer.buffers)]:
            each = twin.clone()
            now, then = holder(each.list_modules()[number]), holder(before)
            del now[name]
            now |= {name: copy.deepcopy(then[name])} if name in then else {}
            with contextlib.suppress(Exception):  # whatever a layer may raise
                if is_fresh(each):
                    kept = f"self.{name}" if holder is vars else f"the buffer {name!r}"
                    return f"{kept} of {path}" if path else kept
    return None


def _buffers(layer):
    return layer.buffers


def _asked_once(unused):
    """[Finding] on a module that asks for its mode when it is made, and never again."""
    layers = [] if isinstance(unused, Criterion) else unused.list_modules()
    for cls in {type(layer) for layer in layers if not type(layer).__module__.startswith("minivae.")}:
        with contextlib.suppress(OSError, TypeError, SyntaxError):  # no source
            asking = {name for each in cls.__mro__ if not each.__module__.startswith("minivae.")
                      for name, function in vars(each).items() if isinstance(function, FunctionType)
                      and "self.train" in map(ast.unparse, ast.walk(tree_of(function)))}
            if asking == {"__init__"}:
                return [Finding("mode", ASKED_ONCE, "certain")]
    return []


def _in_evaluation(twin, unused, given, other, step, tolerance):
    """[Finding] on arrays that are right in training mode and wrong in evaluation mode, at first or after training on
    another batch.

    Where the output jumps there, as that of hard codes, the gradient of training may stand for the derivative.
    """
    if isinstance(unused, Criterion) or not unused.train:
        return []
    for each, batch in ((unused, given), (twin, other)):
        with contextlib.suppress(Exception):  # it does not take that mode, or not before it has been trained
            evaluated, taken = each.clone().evaluate(), copied(batch)
            evaluated.forward(taken)
            changed = not all(map(np.array_equal, arrays(taken), arrays(batch)))
            if changed and not any(getattr(layer, "inplace", False) for layer in evaluated.list_modules()):
                return [Finding("input modified", "in evaluation mode forward has changed its input, which is another "
                                "module's: write to a buffer of your own, self.buffer(...)", "certain")]
            point = Point(each.clone().evaluate(), batch, nudge)
            wrong = _wrong(point, step, tolerance)
            if wrong and not any(_jumps(array, point.objective) for array, _ in point.gradients.values()):
                return [Finding("mode", EVALUATION, "certain", name) for name in wrong]
    return []


def _follows(unused, given, other):
    """[Finding] on an output in evaluation mode that hangs on what the module was given before."""
    if isinstance(unused, Criterion):
        return []
    outputs = []
    try:
        for before in ((), (other,)):
            each = unused.clone().evaluate().hold_noise(False)
            for batch in before:
                each.forward(copied(batch))
            _with_generators(each, unused)
            with backend.seeded(1):
                outputs.append(arrays(copied(each.forward(copied(given)))))
    except Exception:  # it does not take that mode
        return []
    return [] if all(map(same, *outputs)) else [Finding("mode", FOLLOWS, "certain")]


def _with_another_row(twin, unused, given, *options):
    """[Finding] on what is another with one row more than in a copy that was never called with fewer."""
    points = []
    for each in (twin, unused if isinstance(unused, Criterion) else _with_generators(unused.clone(), twin)):
        with backend.seeded(1):
            points.append(Elsewhere(each, given, *options).at("rows"))
    if points[1] and not points[0]:
        return [Finding("rows", ROWS, "certain")]
    if None in points:
        return []
    one, other = ([("", output) for output in point.facts.y] + [
        (name, grad) for name, (_, grad) in point.gradients.items()] for point in points)
    return [Finding("rows", ROWS, "certain", name) for (name, a), (_, b) in zip(one, other) if not same(a, b)][:1]


def _with_generators(unused, twin):
    """The copy, with the random generators of the module's own as they are now: their draws are new each time."""
    for layer, now in zip(unused.list_modules(), twin.list_modules()):
        for name, value in vars(now).items():
            if isinstance(value, np.random.Generator | np.random.RandomState):
                setattr(layer, name, copy.deepcopy(value))
    return unused


def _run(twin, given):
    with backend.seeded(1):
        return Point(twin, given, nudge)


def _not_cleared(point, wrong, step, tolerance):
    """{name: sentence} of the wrong arrays that are right where an array of the module has been cleared."""
    found = {}
    for said, fill in leftovers(point.twin):
        still = {}
        for number in (0, 1, -1):
            try:
                fill(number)
                point.look()
                still[number] = set(_wrong(point, step, tolerance))
            except Exception:  # as of an array that cannot be written to
                still[number] = set(point.gradients)
        mended = (still[1] | still[-1]) - still[0]
        found = {**{name: said for name in wrong if name in mended}, **found}
    return found


def _wrong(point, step, tolerance):
    """The names of the arrays that are wrong, of a large one in its last row."""
    parts = {name: slice(None) if array.size <= FEW else slice(-1, None)
             for name, (array, grad) in point.gradients.items() if array.shape == grad.shape and array.ndim}
    checks = [compare(name, *(each[part] for each in point.gradients[name]), point.objective, step, tolerance)
              for name, part in parts.items()]
    return [check.name for check in checks if not check.error <= tolerance]


def _jumps(array, objective):
    """Whether terms of the objective stay as they are, and then jump, on the way of an array to another place."""
    kept, before, random = array.copy(), objective(), np.random.default_rng(0)
    far = 10 * (1 + np.abs(kept).max(initial=0.0)) * random.standard_normal((WAYS, *kept.shape))

    def at(part, there):
        array[...] = kept + part * (there - kept)
        return objective()

    try:
        for there in (*(random.permutation(kept.ravel()).reshape(kept.shape) for _ in range(WAYS)), *far):
            with contextlib.suppress(MinivaeError):  # it is not defined there
                for term in np.flatnonzero((at(1, there) != before) & (at(1e-9, there) == before))[:FEW]:
                    low, high = 0.0, 1.0
                    for _ in range(50):
                        middle = (low + high) / 2
                        low, high = (low, middle) if at(middle, there)[term] != before[term] else (middle, high)
                    if abs(at(high, there)[term] - before[term]) > 1e-6:
                        return True
        return False
    finally:
        array[...] = kept


def _finding(name, still, point, step, tolerance, kept):
    if not still:
        return Finding("kept from earlier", KEPT + (
            f"{kept} is as an earlier call has left it, and each call must renew it" if kept else SOMEWHERE),
            "certain", name)
    elsewhere = Elsewhere(point.twin, point.given, step, tolerance)
    check = compare(name, *point.gradients[name], point.objective, step, tolerance)
    found = ignoring(name, elsewhere) or explain(check, point.facts, elsewhere)
    return Finding("wrong elsewhere", "right at this input and these weights by luck, and wrong at others: "
                   + found[0].text, found[0].certainty, name) if found[0].kind != "kept from earlier" else found[0]
