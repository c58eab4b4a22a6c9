"""A copy of a module or criterion whose class is edited, one method at a time, and run again."""

import ast
import contextlib
import inspect
import io
import itertools
import textwrap
import types
import warnings
from pathlib import Path

import numpy as np

from minivae import backend
from minivae.debug.edits import edits, instead, surroundings
from minivae.debug.elsewhere import copy_of, pairs, terms
from minivae.debug.tables import arrays, copied, is_of_input, same
from minivae.nn import Criterion, Divergence

LARGEST = 5_000  # entries of all arrays: each edit is a whole pass
KNOWN = 16  # names that may be meant in place of others
SHORT = 16  # letters, too few to find a place by
MEMORY = 2**30  # bytes of buffers that what is tried may make, and a quarter of what it may take in all


class EditedClass:
    """A copy of a module or criterion, and the sources of the methods of its class that are not minivae's own.

    backward   names of the methods that update_output does not use
    forward    names of those that it does
    alone      of these, names of those that no other method uses
    shared     the others
    """

    def __init__(self, twin):
        self.twin, self.criterion = copy_of(twin), isinstance(twin, Criterion)
        self.cls, self.methods = type(twin), methods_of(type(twin))
        self.forward = self.used_by("update_output")
        self.backward = [name for name in self.methods if name not in self.forward]
        self.alone = [name for name in self.forward if not any(name in self.used_by(other) for other in self.backward)]
        self.shared = [name for name in self.forward if name not in self.alone]
        self.state = [(vars(layer), dict(vars(layer))) for layer in (
            [self.twin] if self.criterion else self.twin.list_modules())]
        self.content = [(array, np.array(array)) for _, before in self.state for array in before.values()
                        if isinstance(array, np.ndarray)]

    def used_by(self, name):
        """That method, and those of the class that it calls."""
        found = [name] if name in self.methods else []
        for each in found:
            found += [node.attr for node in ast.walk(tree_of(self.methods[each][1])) if isinstance(node, ast.Attribute)
                      and node.attr in self.methods and node.attr not in found]
        return list(dict.fromkeys(found))

    def made(self, name, tree, **others):
        """A class like the twin's with that source of the method, which knows `others`; None if it does not compile."""
        raw, original = self.methods[name]
        try:
            source, scope = _enclosed(tree, [*original.__code__.co_freevars, *others]), {}
            exec(compile(source, "<edited>", "exec"), original.__globals__, scope)
            free = (cell.cell_contents for cell in original.__closure__ or ())
            function = scope["made"](*free, *others.values())
        except Exception:
            return None
        return type(self.cls.__name__, (self.cls,), {
            name: type(raw)(function) if isinstance(raw, staticmethod | classmethod) else function})

    def restore(self):
        """What the edited class has set is as if it had never run."""
        for attributes, before in self.state:
            attributes.clear()
            attributes.update(before)
        for array, before in self.content:
            array[...] = before

    def with_other_numbers(self):
        """Copies with other numbers of their own: all that are not whole, and each that is, one more."""
        own = {name: value for name, value in vars(self.twin).items() if type(value) in (int, float)}
        changed = [{name: 0.9 * value for name, value in own.items() if isinstance(value, float)}]
        if self.criterion:
            changed += [{"size_average": not self.twin.size_average}]
        changed += [{name: value + 1} for name, value in own.items() if isinstance(value, int) and value > 0]
        for numbers in changed:
            other = copy_of(self.twin)
            vars(other).update(numbers)
            yield other

    def edits(self, trees, start=0, stop=None):
        """(kind, method, what stood in its tree, what does, where else), the slightest of each method first."""
        properties = [each.fget for each in vars(self.cls).values() if isinstance(each, property)]
        around = surroundings(map(tree_of, (*properties, *(function for _, function in self.methods.values()))))
        of_one = [name for name, (_, function) in self.methods.items()
                  if function.__code__.co_argcount == 2 and name != "update_output"]
        every = itertools.zip_longest(*(edits(tree, self._known(tree), around, [
            each for each in of_one if name not in self.used_by(each)]) for name, tree in trees.items()))
        for kind, of_a_kind in itertools.islice(enumerate(every), start, stop):
            for name, edited in zip(trees, of_a_kind):
                with contextlib.closing(edited), contextlib.suppress(Exception):  # one kind may not fit its source
                    for edit in edited:
                        yield kind, name, *edit

    def _known(self, tree):
        """The layer's numbers, the function's own names, and the layer's arrays."""
        own = [(f"self.{name}", value) for name, value in vars(self.twin).items()
               if name[0] != "_" and not name.startswith(("grad", "divergence"))]
        names = [name for name, value in own if isinstance(value, float)]
        names += [each.arg for each in tree.args.args if each.arg not in ("self", "xp", "scale")]
        local = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        charges = [f"self.charge({name})" for name in local[:2]] if isinstance(self.twin, Divergence) else []
        names += [*charges, *local]
        names += [name for name, value in own if isinstance(value, np.ndarray)]
        names += [] if self.criterion else [f"self.buffers[{name!r}]" for name in self.twin.buffers
                                            if name not in ("output", "grad_input")]
        names += [name for name, value in own if type(value) is int and value > 1]
        return list(dict.fromkeys(names))[:KNOWN]


class EditedGradients(EditedClass):
    """One whose gradients are computed again, at the point where they were checked."""

    def __init__(self, twin, given, grad_output, checks, step, tolerance):
        if sum(check.analytic.size for check in checks) > LARGEST or any(
                check.analytic.shape != check.numeric.shape for check in checks):
            raise ValueError("too large, or of a wrong shape")
        super().__init__(twin)
        self.given, self.grad_output, self.checks = given, grad_output, checks
        self.step, self.tolerance = step, tolerance

    def run(self, scale=1):
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

    def is_scaled(self, gradients):
        """Whether `scale` still acts as it must."""
        if self.criterion:
            return True
        _, halved = self.run(0.5)
        return all(same((1 if is_of_input(name) else 0.5) * gradients[name], halved[name]) for name in gradients)

    def objective(self):
        if self.criterion:
            return np.array(float(self.twin.forward(*copied(self.now))))
        return terms(self.twin, self.now, self.grad_output)


@contextlib.contextmanager
def quietly():
    """What is tried may print, warn and raise anything, and a source may be like no other."""
    with (warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"),
          backend.at_most(MEMORY), _limited(4 * MEMORY), contextlib.suppress(Exception)):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _limited(memory):
    """So much more than the process has now, where the system can tell and limit it: then a MemoryError is raised."""
    try:
        import resource

        now = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limits = [limit for limit in (soft, hard, now + memory) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(limits), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def methods_of(cls):
    """{name: (as it stands in the class, function)} of the methods that are not minivae's own, with their sources."""
    found = {}
    for each in cls.__mro__:
        for name, raw in vars(each).items() if not each.__module__.startswith("minivae.") else ():
            found.setdefault(name, (raw, getattr(raw, "__func__", raw)))  # what it overrides is not what runs
    return {name: (raw, function) for name, (raw, function) in found.items()
            if isinstance(function, types.FunctionType) and not name.startswith("__") and _has_source(function)}


def line_of(function, node):
    return f"line {function.__code__.co_firstlineno + node.lineno - 1}"


def _has_source(function):
    """Whether its source can be had, and neither waits for somebody nor can run for ever."""
    try:
        tree = tree_of(function)
    except (OSError, TypeError, SyntaxError):
        return False
    return isinstance(tree, ast.FunctionDef) and not any(
        isinstance(node, ast.While) or getattr(node, "id", "") == "breakpoint" for node in ast.walk(tree))


def tree_of(function):
    return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]


def _enclosed(tree, free):
    """A module with the function within another, which gives it the names that it takes from around it."""
    bare = ast.FunctionDef("function", tree.args, tree.body, [])
    arguments = ast.arguments([], [ast.arg(name) for name in free], None, [], [], None, [])
    made = ast.FunctionDef("made", arguments, [bare, ast.Return(ast.Name("function", ast.Load()))], [])
    for node in (made, bare, *arguments.args, made.body[1], made.body[1].value):
        ast.copy_location(node, tree)
    return ast.Module([made], [])


def in_words(old, new, elsewhere, tree, function):
    """("line …", before, after) of an edit; what is shown goes as far around it as it takes to find the place."""
    above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    if elsewhere:
        return f"{line_of(function, old)}{elsewhere}", ast.unparse(old), ast.unparse(new)
    shown = new
    while not isinstance(shown, ast.stmt) and (
            len(ast.unparse(shown)) < SHORT or isinstance(shown, ast.keyword | ast.Slice | ast.Tuple)):
        shown = above[shown]
    after, before = ast.unparse(shown), old if shown is new else shown
    if _is_sum(shown) and not _is_sum(before) and isinstance(above[shown], ast.BinOp | ast.UnaryOp):
        after = f"({after})"  # or what is beside it would part it
    with instead(above[new], new, old):
        lines = [text.splitlines() for text in (ast.unparse(before), after)]
        heads = 1 if isinstance(before, ast.If) and isinstance(shown, ast.If) else None
        return line_of(function, before), *("\n".join(each[:heads]) for each in lines)


def _is_sum(node):
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
