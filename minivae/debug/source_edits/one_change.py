"""The one change in a layer's own source that makes its gradients right, found by trying.

Where no rule knows the mistake, the methods of its class are edited in small ways, one at a time, and run again.
"""

import ast
import contextlib
import copy
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minivae.debug.diagnosis.elsewhere import Elsewhere, along, copy_of
from minivae.debug.diagnosis.finding import Finding
from minivae.debug.diagnosis.fitting import TOLERANCE
from minivae.debug.source_edits.alternatives import is_length, is_shape
from minivae.debug.source_edits.edited_code import EditedGradients, in_words, quietly
from minivae.debug.tables import arrays, copied, norm, same
from minivae.nn import Criterion, side_loss

MOST = 40_000  # edits of the backward methods that are tried, and as many of the others
SECONDS = 20  # of processor time, at most
OF_FORWARD = 8  # kinds of edits that update_output gets: without one of a factor, whose mirror image backward gets
FEW_OF_FORWARD = 2  # where as slight a change of backward has been found that takes nothing away; or up to its kind
SOON = 4  # times as many edits as one took: within these a better one may come
SHARE = 0.01  # of its size that a gradient keeps: what is constant has a right one, too
ENOUGH = 0.1  # of the wrong entries, that a first of two changes must make right
BEGUN = 20  # first changes to which a second is looked for


def one_change(twin, given, grad_output, checks, step, tolerance):
    """[Finding] on changes of the class of `twin` that make failed checks right, and no right one wrong."""
    backward = forward = None
    with quietly():
        search = _Search(twin, given, grad_output, checks, step, tolerance)
        backward = search.first(search.backward + search.shared)
        forward = search.first(search.alone, 0, OF_FORWARD if not backward else None if backward.takes_away else (
            min(max(FEW_OF_FORWARD, backward.kind + 1), OF_FORWARD)))
        if forward and backward and len(backward.mended) < len(forward.mended):
            backward = None
        if not (backward or forward):
            backward = search.second()
        if backward and forward and backward.strictly != forward.strictly:  # the other is right by chance
            backward, forward = (backward, None) if backward.strictly else (None, forward)
    said, wrong = [], [check for check in checks if not check.ok]
    if backward:
        lacks = backward.takes_away and not forward
        said.append(f"{backward.count} it right: {backward.text('→', wrong)}"
                    + ("; or update_output lacks what this takes away" if lacks else ""))
    if forward:
        said.append(f"backward would be right if {forward.text('were', wrong)}")
    if forward and backward and backward.takes_away and forward.adds:
        said.reverse()  # more is forgotten than invented
    proven = all(each.strictly and len(each.mended) == len(wrong) for each in (backward, forward) if each)
    return [Finding("one change", "; or ".join(said), "likely" if proven else "possible")] if said else []


@dataclass
class _Change:
    """An edit that makes the gradients of the arrays in `mended` right."""

    method: str
    place: str
    before: str
    after: str
    mended: list[str]
    strictly: bool  # with other numbers of the layer's, too
    takes_away: bool  # a part of what stood there
    adds: bool
    kind: int = 0
    after_another: "_Change | None" = None

    @property
    def count(self):
        return "two changes together make" if self.after_another else "one change makes"

    def text(self, to, wrong):
        only = f", for {' and '.join(self.mended)}" if len(self.mended) < len(wrong) else ""
        other = f"{self.after_another.text(to, ())}, and " if self.after_another else ""
        return f"{other}in {self.place} of {self.method}, `{self.before}` {to} `{self.after}`{only}"


@dataclass
class _Halfway:
    """One edit, of that kind, that makes some of the entries right and none wrong."""

    gain: float
    kind: int
    made: Any
    method: str
    tree: ast.FunctionDef
    change: _Change


class _Search(EditedGradients):
    """Edits of the code, and whether the gradients are then right."""

    def __init__(self, *there):
        super().__init__(*there)
        self.wrong, self.trees, self.halfway = sum(not check.ok for check in self.checks), {}, []
        self.run()
        self.outputs = _results(self.twin)
        self.restore()
        self.in_the_other_mode = self._in_the_other_mode()  # no edit may have it do so in this
        self.only_here = self._elsewhere(self.twin).agrees([check.name for check in self.checks if not check.ok])
        self.entries = {check.name: _right(check, check.analytic) for check in self.checks}
        self.others = [other for other in self.with_other_numbers() if self._matters(other)]
        self.end = time.process_time() + SECONDS

    def first(self, methods, start=0, stop=None):
        """The slightest _Change of those methods, by edits of those kinds, or None.

        One that goes on to agree when the layer's numbers change comes before any that does not, one that mends all
        before any that does not, and any before one that goes around the rest, if it comes soon.
        """
        trees = {name: self.trees.get(name) or self.methods[name].tree() for name in methods}
        best, best_rank, last = None, (), MOST
        tried = self.edits(trees, start, stop)
        for count, (kind, name, *edit) in enumerate(tried):
            if count > last or time.process_time() > self.end:
                break
            if name in self.alone and isinstance(edit[1], ast.Pass):  # which leaves what an earlier call has set
                continue
            tree = trees[name]
            made = self.made(name, tree)
            mended, strictly, gain = self._mended(name, made)
            if gain and self.halfway is not None and not _is_number(edit[1]):
                self.halfway.append(_Halfway(gain, kind, made, name, copy.deepcopy(tree), _Change(
                    name, *in_words(*edit, tree, self.methods[name].function), [], True, False, False)))
            strictly = strictly and not self._is_number_of_the_layer(*edit[:2], tree)
            rank = (strictly, len(mended), not _goes_around(edit[1], tree)) if mended else ()
            if rank > best_rank:
                best_rank = rank
                best = _Change(name, *in_words(*edit, tree, self.methods[name].function), mended, strictly,
                               _takes_away(*edit[:2]), _adds(*edit[:2]), kind)
                last = min(last, SOON * count + 500) if strictly else last
                if rank == (True, self.wrong, True):
                    break
        tried.close()
        return best

    def second(self):
        """The slightest _Change after one of those that made most entries right, and none wrong; or None."""
        begun, self.halfway = sorted(self.halfway, key=lambda each: -each.gain)[:BEGUN], None
        for each in begun:  # the second is like the first
            self.trees = {each.method: each.tree}
            with self.put(each.method, each.made):
                if found := self.first(self.backward + self.shared, each.kind, each.kind + 1):
                    return replace(found, after_another=each.change)
        return None

    def _is_number_of_the_layer(self, old, new, tree):
        """Whether a number, but for an axis, stands where one of the layer's own or a length of that value may."""
        axes = {id(node) for root in (tree, new, old) for each in ast.walk(root) for part in _of_axes(each)
                for node in ast.walk(part)}
        if id(new) in axes or (isinstance(new, ast.Tuple) and isinstance(old, ast.Tuple)):
            return False
        now, before = (Counter(each.value for each in ast.walk(node) if isinstance(each, ast.Constant)
                               and id(each) not in axes) for node in (new, old))
        own = [value for value in vars(self.twin).values() if type(value) is int]
        lengths = [length for array in arrays(self.given) for length in np.shape(array)]
        return any(value > 1 and {value, 1 / value} & set(now - before) for value in own + lengths)

    def _mended(self, name, made):
        """(Names of the arrays whose gradients were wrong and are right, whether with other numbers too, how many
        entries are right that were wrong, if none is wrong that was right).
        """
        if made is None:
            return [], False, 0
        backward_only, gain, edited = name not in self.alone, 0, contextlib.ExitStack()
        try:
            edited.enter_context(self.put(name, made))
            arrays, gradients = self.run()
            if (name in self.shared and not all(map(same, _results(self.twin), self.outputs))) or (
                    name in self.alone and _are_same(_results(self.twin), self.in_the_other_mode)):
                return [], False, 0
            mended, gain = [], self._gain(gradients) if backward_only else 0
            for check in sorted(self.checks, key=lambda check: check.ok):
                gradient = gradients[check.name]
                right = _agrees(check, gradient) if backward_only else norm(gradient) > SHARE * norm(
                    check.analytic) and along(arrays[check.name], gradient, self.objective)
                if right and not check.ok and np.any(check.numeric):  # if not, none of its gradients would do
                    mended.append(check.name)
                elif not right and (check.ok or not backward_only or not same(gradient, check.analytic)):
                    return [], False, gain
            if not (mended and self.is_scaled(gradients) and self._elsewhere(self.twin).agrees(mended)):
                return [], False, gain
            if not (self.criterion or self.twin.train or self._elsewhere(copy_of(self.twin).training()).agrees(mended)):
                return [], False, 0  # it is to be right in training mode, too
            return mended, not self.only_here and all(
                self._elsewhere(other).agrees(mended) for other in self.others), gain
        except Exception:  # whatever an edited layer may raise
            return [], False, 0
        finally:
            edited.close()
            self.restore()

    def _matters(self, other):
        """Whether it can be run with those numbers, and gives something else."""
        try:
            run = copy_of(other)
            run.forward(*copied(self.given)) if self.criterion else run.forward(copied(self.given))
            results = _results(run)
            return (all(np.isfinite(each).all() for each in results) and not all(map(same, results, self.outputs))
                    and self._elsewhere(other).at("values"))
        except Exception:  # whatever a layer may raise
            return False

    def _elsewhere(self, other):
        return Elsewhere(other, self.given, self.step, self.tolerance)

    def _in_the_other_mode(self):
        """What it gives in evaluation mode, or if it is in that in training mode, where that is something else."""
        if self.criterion:
            return None
        try:
            twin = copy_of(self.twin)
            (twin.evaluate if twin.train else twin.training)().forward(copied(self.given))
            outputs = _results(twin)
        except Exception:  # it does not take that mode
            return None
        return None if _are_same(outputs, self.outputs) else outputs

    def _gain(self, gradients):
        now = {check.name: _right(check, gradients[check.name]) for check in self.checks}
        if any((before & ~now[name]).any() for name, before in self.entries.items()):
            return 0
        gain = sum((now[name] & ~before).sum() for name, before in self.entries.items())
        return gain if gain >= ENOUGH * sum((~before).sum() for before in self.entries.values()) else 0


def _results(twin):
    """Copies of what it has given."""
    given = (twin.output,) if isinstance(twin, Criterion) else (*arrays(twin.output), side_loss(twin))
    return list(map(np.array, given))


def _are_same(some, others):
    return others is not None and len(some) == len(others) and all(map(same, some, others))


def _right(check, gradient):
    """Which entries of a gradient are right."""
    if np.shape(gradient) != check.numeric.shape:
        return np.zeros(check.numeric.shape, dtype=bool)
    return np.abs(gradient - check.numeric) <= TOLERANCE * np.abs(check.numeric).max(initial=0)


def _agrees(check, gradient):
    return np.shape(gradient) == check.numeric.shape and same(
        gradient[~check.kink], check.numeric[~check.kink], TOLERANCE)


def _takes_away(old, new):
    """Whether less stands there after the edit, a number has been divided by, or nothing is left."""
    if (isinstance(old, ast.If) and isinstance(new, ast.If)) or is_length(old) or (
            isinstance(old, ast.Subscript) and isinstance(new, ast.Subscript)):
        return False
    halved = isinstance(new, ast.BinOp) and isinstance(new.op, ast.Div) and isinstance(new.right, ast.Constant)
    return halved or getattr(new, "value", None) == 0 or _adds(new, old)


def _adds(old, new):
    """Whether more stands there after the edit."""
    return sum(1 for _ in ast.walk(new)) > sum(1 for _ in ast.walk(old))


def _of_axes(node):
    """What stands for an axis below that node: keywords, and what transposes."""
    moves = isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("transpose", "swapaxes", "moveaxis")
    if isinstance(node, ast.Subscript) and is_shape(node.value):
        return [node.slice]
    return [node.value] if isinstance(node, ast.keyword) else node.args if moves else []


def _goes_around(new, tree):
    """Whether it stands in a comparison or is what is returned: the code that is wrong may then only have no effect."""
    nodes = list(ast.walk(tree))
    compared = any(each is new for node in nodes if isinstance(node, ast.Compare) for each in ast.walk(node))
    returned = any(node.value is new for node in nodes if isinstance(node, ast.Return))
    return compared or (returned and isinstance(new, ast.Name | ast.Attribute))


def _is_number(node):
    return isinstance(getattr(node, "operand", node), ast.Constant)
