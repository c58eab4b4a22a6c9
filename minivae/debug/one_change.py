"""The one change in a layer's own source that makes its gradients right, found by trying.

Where no rule knows the mistake, the methods of its class are edited in small ways, one at a time, and run again.
"""

import ast
import contextlib
import inspect
import io
import itertools
import textwrap
import time
import types
import warnings

import numpy as np

from minivae.debug.edits import edits, instead, surroundings
from minivae.debug.elsewhere import Elsewhere, along, copy_of, pairs, terms
from minivae.debug.finding import Finding
from minivae.debug.fitting import TOLERANCE
from minivae.debug.tables import arrays, copied, norm, same
from minivae.nn import Criterion

MOST = 20_000  # edits of the backward methods that are tried, and as many of the others
SECONDS = 20  # of processor time, at most
OF_FORWARD = 3  # kinds of edits that update_output gets: without one of a factor, whose mirror image backward gets
LARGEST = 5_000  # entries of all arrays: each edit is a whole pass
SHARE = 0.01  # of its size that a gradient keeps: what is constant has a right one, too
KNOWN = 14  # names that may be meant in place of others
SHORT = 16  # letters, too few to find a place by


def one_change(twin, given, grad_output, checks, step, tolerance):
    """[Finding] on changes of the class of `twin` that make failed checks right, and no right one wrong."""
    wrong = [check for check in checks if not check.ok]
    if not wrong or sum(check.analytic.size for check in checks) > LARGEST or any(
            check.analytic.shape != check.numeric.shape for check in wrong):
        return []
    backward = forward = None
    with (warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"),
          contextlib.suppress(Exception)):  # what is tried may do anything, and a source may be like no other
        warnings.simplefilter("ignore")
        search = _Search(twin, given, grad_output, checks, step, tolerance)
        backward = search.first(search.backward, None)
        forward = search.first(search.forward, 1 if backward else OF_FORWARD)
        if forward and backward and len(backward[-1]) < len(forward[-1]):
            backward = None
    said = []
    if backward:
        said.append("one change makes it right: in {1} of {0}, `{2}` → `{3}`".format(*backward) + _of(backward, wrong))
    if forward:
        said.append("backward would be right if in {1} of {0}, `{2}` were `{3}`".format(*forward) + _of(forward, wrong))
    return [Finding("one change", "; or ".join(said), "possible" if forward else "likely")] if said else []


def _of(change, wrong):
    names = change[-1]
    return f", for {' and '.join(names)}" if len(names) < len(wrong) else ""


class _Search:
    """A copy of a module or criterion whose class is edited, and whether its gradients are then right.

    backward   names of the methods that update_output does not use
    forward    names of those that it does
    """

    def __init__(self, twin, given, grad_output, checks, step, tolerance):
        self.twin, self.given, self.grad_output, self.checks = copy_of(twin), given, grad_output, checks
        self.step, self.tolerance, self.criterion = step, tolerance, isinstance(twin, Criterion)
        self.cls, self.methods = type(twin), _methods(type(twin))
        self.forward = self._used_by("update_output")
        self.backward = [name for name in self.methods if name not in self.forward]
        self.end = time.process_time() + SECONDS

    def first(self, methods, kinds):
        """(method, "line …", before, after, names of the arrays that it mends) of the slightest such edit, or None.

        One that goes on to agree when the layer's numbers change comes before any that does not.
        """
        trees, loose = {name: _tree(self.methods[name][1]) for name in methods}, None
        tried = self._edits(trees, kinds)
        for name, *edit in itertools.islice(tried, MOST):
            if time.process_time() > self.end:
                break
            if name in self.forward and isinstance(edit[1], ast.Pass):  # which leaves what an earlier call has set
                continue
            mended, strictly = self._mended(self._class(name, trees[name]), name in self.backward)
            strictly = strictly and not self._is_number_of_the_layer(*edit[:2], trees[name])
            if mended and (strictly or not loose):
                loose = name, *_texts(*edit, trees[name], self.methods[name][1]), mended
                if strictly:
                    break
        tried.close()
        return loose

    def _is_number_of_the_layer(self, old, new, tree):
        """Whether a number, but for an axis, stands where one of the layer's own or a length of that value may."""
        if any(getattr(node, "value", None) is new for node in ast.walk(tree) if isinstance(node, ast.keyword)):
            return False
        now, before = ({each.value for each in ast.walk(node) if isinstance(each, ast.Constant)} for node in (new, old))
        own = [value for value in vars(self.twin).values() if type(value) is int]
        lengths = [length for array in arrays(self.given) for length in np.shape(array)]
        return any(value > 1 and value in now - before for value in own + lengths)

    def _edits(self, trees, kinds):
        """(method, what stood in its tree, what does) of all edits, the slightest of each method first."""
        around = surroundings(_tree(function) for _, function in self.methods.values())
        every = itertools.zip_longest(*(edits(tree, self._known(tree), around) for tree in trees.values()))
        for of_a_kind in itertools.islice(every, kinds):
            for name, edited in zip(trees, of_a_kind):
                with contextlib.closing(edited):
                    for edit in edited:
                        yield name, *edit

    def _used_by(self, name):
        """That method, and those of the class that it calls."""
        found = [name] if name in self.methods else []
        for each in found:
            found += [node.attr for node in ast.walk(_tree(self.methods[each][1])) if isinstance(node, ast.Attribute)
                      and node.attr in self.methods and node.attr not in found]
        return list(dict.fromkeys(found))

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

    def _class(self, name, tree):
        """A class like the twin's, with that source of the method; None if it does not compile."""
        raw, original = self.methods[name]
        try:
            code, scope = compile(_enclosed(tree, original.__code__.co_freevars), "<one change>", "exec"), {}
            exec(code, original.__globals__, scope)
            function = scope["made"](*(cell.cell_contents for cell in original.__closure__ or ()))
        except Exception:
            return None
        return type(self.cls.__name__, (self.cls,), {
            name: type(raw)(function) if isinstance(raw, staticmethod | classmethod) else function})

    def _mended(self, changed, backward_only):
        """(Names of the arrays whose gradients were wrong and are right, whether with other numbers too)."""
        if changed is None:
            return [], False
        self.twin.__class__ = changed
        try:
            arrays, gradients = self._run()
            mended = []
            for check in sorted(self.checks, key=lambda check: check.ok):
                gradient = gradients[check.name]
                right = _agrees(check, gradient) if backward_only else norm(gradient) > SHARE * norm(
                    check.analytic) and along(arrays[check.name], gradient, self._objective)
                if right and not check.ok and np.any(check.numeric):  # if not, none of its gradients would do
                    mended.append(check.name)
                elif not right and (check.ok or not backward_only or not same(gradient, check.analytic)):
                    return [], False
            if not mended or not self._scaled(gradients) or not Elsewhere(
                    self.twin, self.given, self.step, self.tolerance).agrees(mended):
                return [], False
            other = copy_of(self.twin)
            for name, value in vars(other).items():
                setattr(other, name, 0.9 * value if isinstance(value, float) else value)
            return mended, Elsewhere(other, self.given, self.step, self.tolerance).agrees(mended)
        except Exception:  # whatever an edited layer may raise
            return [], False

    def _run(self, scale=1):
        """{name: array} and {name: its gradient}."""
        twin, given = self.twin, copied(self.given)
        self.now = given
        if self.criterion:
            twin.forward(*given)
            found = pairs("prediction", given[0], copied(twin.backward(*given)))
        else:
            twin.zero_grad_parameters()
            twin.forward(given)
            grad_output = copied(self.grad_output)
            grads = copied(twin.backward(given, grad_output, scale))
            if not (all(map(same, arrays(grad_output), arrays(self.grad_output))) or any(
                    getattr(layer, "inplace", False) for layer in twin.list_modules())):
                raise ValueError("backward changes its grad_output")
            found = [*pairs("input", given, grads), *twin.named_parameters()]
        return {name: array for name, array, _ in found}, {name: np.array(grad) for name, _, grad in found}

    def _scaled(self, gradients):
        """Whether `scale` still acts as it must."""
        if self.criterion:
            return True
        _, halved = self._run(0.5)
        return all(same((1 if name.startswith("input") else 0.5) * gradients[name], halved[name]) for name in gradients)

    def _objective(self):
        if self.criterion:
            return np.array(float(self.twin.forward(*copied(self.now))))
        return terms(self.twin, self.now, self.grad_output)


def _agrees(check, gradient):
    return np.shape(gradient) == check.numeric.shape and same(
        gradient[~check.kink], check.numeric[~check.kink], TOLERANCE)


def _methods(cls):
    """{name: (as it stands in the class, function)} of the methods that are not minivae's own, with their sources."""
    found = {}
    for each in cls.__mro__:
        for name, raw in vars(each).items() if not each.__module__.startswith("minivae.") else ():
            found.setdefault(name, (raw, getattr(raw, "__func__", raw)))  # what it overrides is not what runs
    return {name: (raw, function) for name, (raw, function) in found.items()
            if isinstance(function, types.FunctionType) and not name.startswith("__") and _has_source(function)}


def _has_source(function):
    """Whether its source can be had, and neither waits for somebody nor can run for ever."""
    try:
        tree = _tree(function)
    except (OSError, TypeError, SyntaxError):
        return False
    return isinstance(tree, ast.FunctionDef) and not any(
        isinstance(node, ast.While) or getattr(node, "id", "") == "breakpoint" for node in ast.walk(tree))


def _tree(function):
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]


def _texts(old, new, places, tree, function):
    """("line …", before, after) of an edit; what is shown goes as far around it as it takes to find the place."""
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    if abs(places) > 1:
        return (f"line {function.__code__.co_firstlineno + old.lineno - 1}, "
                f"{'and wherever else it stands' if places > 1 else 'wherever it stands there'},",
                ast.unparse(old), ast.unparse(new))
    shown = new
    while not isinstance(shown, ast.stmt) and (
            len(ast.unparse(shown)) < SHORT or isinstance(shown, ast.keyword | ast.Slice | ast.Tuple)):
        shown = above[shown]
    after, before = ast.unparse(shown), old if shown is new else shown
    if _is_sum(shown) and not _is_sum(before) and isinstance(above[shown], ast.BinOp | ast.UnaryOp):
        after = f"({after})"  # or what is beside it would part it
    with instead(above[new], new, old):
        return f"line {function.__code__.co_firstlineno + before.lineno - 1}", ast.unparse(before), after


def _is_sum(node):
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)


def _enclosed(tree, free):
    """A module with the function within another, which gives it the names that it takes from around it."""
    bare = ast.FunctionDef("function", tree.args, tree.body, [])
    arguments = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
    made = ast.FunctionDef("made", arguments, [bare, ast.Return(ast.Name("function", ast.Load()))], [])
    for node in (made, bare, *arguments.args, made.body[1], made.body[1].value):
        ast.copy_location(node, tree)
    return ast.Module([made], [])
