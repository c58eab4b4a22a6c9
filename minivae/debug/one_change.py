"""The one change in a layer's own source that makes its gradients right, found by trying.

Where no rule knows the mistake, the methods of its class are edited in small ways, one at a time, and run again.
"""

import ast
import contextlib
import itertools
import time
from dataclasses import dataclass

import numpy as np

from minivae.debug.edited_class import EditedClass, line_of, quietly, tree_of
from minivae.debug.edits import edits, instead, surroundings
from minivae.debug.elsewhere import Elsewhere, along, copy_of
from minivae.debug.finding import Finding
from minivae.debug.fitting import TOLERANCE
from minivae.debug.tables import arrays, norm, same

MOST = 20_000  # edits of the backward methods that are tried, and as many of the others
SECONDS = 20  # of processor time, at most
OF_FORWARD = 4  # kinds of edits that update_output gets: without one of a factor, whose mirror image backward gets
SOON = 4  # times as many edits as one took: within these a better one may come
SHARE = 0.01  # of its size that a gradient keeps: what is constant has a right one, too
KNOWN = 14  # names that may be meant in place of others
SHORT = 16  # letters, too few to find a place by


def one_change(twin, given, grad_output, checks, step, tolerance):
    """[Finding] on changes of the class of `twin` that make failed checks right, and no right one wrong."""
    backward = forward = None
    with quietly():
        search = _Search(twin, given, grad_output, checks, step, tolerance)
        backward = search.first(search.backward, None)
        forward = search.first(search.alone, 1 if backward and not backward.takes_away else OF_FORWARD)
        if forward and backward and len(backward.mended) < len(forward.mended):
            backward = None
    said, wrong = [], [check for check in checks if not check.ok]
    if backward:
        lacks = backward.takes_away and not forward
        said.append(f"one change makes it right: {backward.text('→', wrong)}"
                    + ("; or update_output lacks what this takes away" if lacks else ""))
    if forward:
        said.append(f"backward would be right if {forward.text('were', wrong)}")
    if forward and backward and backward.takes_away and not forward.takes_away:
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

    def text(self, to, wrong):
        only = f", for {' and '.join(self.mended)}" if len(self.mended) < len(wrong) else ""
        return f"in {self.place} of {self.method}, `{self.before}` {to} `{self.after}`{only}"


class _Search(EditedClass):
    """Edits of a class, and whether its gradients are then right."""

    def __init__(self, *there):
        super().__init__(*there)
        self.wrong = sum(not check.ok for check in self.checks)
        self.end = time.process_time() + SECONDS

    def first(self, methods, kinds):
        """The slightest _Change of those methods, or None.

        One that goes on to agree when the layer's numbers change comes before any that does not, and one that mends
        all before any that does not, if it comes soon.
        """
        trees, best, last = {name: tree_of(self.methods[name][1]) for name in methods}, None, MOST
        tried = self._edits(trees, kinds)
        for count, (name, *edit) in enumerate(tried):
            if count > last or time.process_time() > self.end:
                break
            if name in self.forward and isinstance(edit[1], ast.Pass):  # which leaves what an earlier call has set
                continue
            tree = trees[name]
            mended, strictly = self._mended(self.made(name, tree), name in self.backward)
            strictly = strictly and not self._is_number_of_the_layer(*edit[:2], tree)
            if mended and (not best or (strictly, len(mended)) > (best.strictly, len(best.mended))):
                best = _Change(name, *_texts(*edit, tree, self.methods[name][1]), mended, strictly,
                               _takes_away(*edit[:2]))
                last = min(last, SOON * count + 500) if strictly else last
                if strictly and len(mended) == self.wrong:
                    break
        tried.close()
        return best

    def _is_number_of_the_layer(self, old, new, tree):
        """Whether a number, but for an axis, stands where one of the layer's own or a length of that value may."""
        keywords = [each for node in (tree, new, old) for each in ast.walk(node) if isinstance(each, ast.keyword)]
        axes = {id(node) for keyword in keywords for node in ast.walk(keyword.value)}
        if id(new) in axes or (isinstance(new, ast.Tuple) and isinstance(old, ast.Tuple)):
            return False
        now, before = ({each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and id(each) not in axes}
                       for node in (new, old))
        own = [value for value in vars(self.twin).values() if type(value) is int]
        lengths = [length for array in arrays(self.given) for length in np.shape(array)]
        return any(value > 1 and value in now - before for value in own + lengths)

    def _edits(self, trees, kinds):
        """(method, what stood in its tree, what does) of all edits, the slightest of each method first."""
        around = surroundings(tree_of(function) for _, function in self.methods.values())
        every = itertools.zip_longest(*(edits(tree, self._known(tree), around) for tree in trees.values()))
        for of_a_kind in itertools.islice(every, kinds):
            for name, edited in zip(trees, of_a_kind):
                with contextlib.closing(edited), contextlib.suppress(Exception):  # one kind may not fit its source
                    for edit in edited:
                        yield name, *edit

    def _known(self, tree):
        """The layer's numbers, the function's own names, and the layer's arrays."""
        own = [(f"self.{name}", value) for name, value in vars(self.twin).items()
               if name[0] != "_" and not name.startswith(("grad", "divergence"))]
        names = [name for name, value in own if isinstance(value, float)]
        names += [each.arg for each in tree.args.args if each.arg not in ("self", "xp", "scale")]
        names += [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        names += [name for name, value in own if isinstance(value, np.ndarray)]
        names += [name for name, value in own if type(value) is int and value > 1]
        return list(dict.fromkeys(names))[:KNOWN]

    def _mended(self, changed, backward_only):
        """(Names of the arrays whose gradients were wrong and are right, whether with other numbers too)."""
        if changed is None:
            return [], False
        try:
            self.twin.__class__ = changed
            arrays, gradients = self.run()
            mended = []
            for check in sorted(self.checks, key=lambda check: check.ok):
                gradient = gradients[check.name]
                right = _agrees(check, gradient) if backward_only else norm(gradient) > SHARE * norm(
                    check.analytic) and along(arrays[check.name], gradient, self.objective)
                if right and not check.ok and np.any(check.numeric):  # if not, none of its gradients would do
                    mended.append(check.name)
                elif not right and (check.ok or not backward_only or not same(gradient, check.analytic)):
                    return [], False
            if not mended or not self.is_scaled(gradients) or not Elsewhere(
                    self.twin, self.given, self.step, self.tolerance).agrees(mended):
                return [], False
            other = copy_of(self.twin)
            for name, value in vars(other).items():
                setattr(other, name, 0.9 * value if isinstance(value, float) else value)
            return mended, Elsewhere(other, self.given, self.step, self.tolerance).agrees(mended)
        except Exception:  # whatever an edited layer may raise
            return [], False
        finally:
            self.restore()


def _agrees(check, gradient):
    return np.shape(gradient) == check.numeric.shape and same(
        gradient[~check.kink], check.numeric[~check.kink], TOLERANCE)


def _texts(old, new, places, tree, function):
    """("line …", before, after) of an edit; what is shown goes as far around it as it takes to find the place."""
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    if abs(places) > 1:
        where = "and wherever else it stands" if places > 1 else "wherever it stands there"
        return f"{line_of(function, old)}, {where},", ast.unparse(old), ast.unparse(new)
    shown = new
    while not isinstance(shown, ast.stmt) and (
            len(ast.unparse(shown)) < SHORT or isinstance(shown, ast.keyword | ast.Slice | ast.Tuple)):
        shown = above[shown]
    after, before = ast.unparse(shown), old if shown is new else shown
    if _is_sum(shown) and not _is_sum(before) and isinstance(above[shown], ast.BinOp | ast.UnaryOp):
        after = f"({after})"  # or what is beside it would part it
    with instead(above[new], new, old):
        return line_of(function, before), ast.unparse(before), after


def _takes_away(old, new):
    """Whether less stands there after the edit, or a number has been divided by."""
    halved = isinstance(new, ast.BinOp) and isinstance(new.op, ast.Div) and isinstance(new.right, ast.Constant)
    return halved or sum(1 for _ in ast.walk(new)) < sum(1 for _ in ast.walk(old))


def _is_sum(node):
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
