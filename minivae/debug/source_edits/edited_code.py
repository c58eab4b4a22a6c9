"""A copy of a module or criterion whose code is edited, one function at a time, and run again."""

import ast
import contextlib
import copy
import io
import itertools
import warnings
from functools import partial
from pathlib import Path

import numpy as np

from minivae import backend
from minivae.debug.diagnosis.elsewhere import copy_of, pairs, terms
from minivae.debug.source_edits.edits import edits, instead, surroundings
from minivae.debug.source_edits.own_code import own_code
from minivae.debug.tables import arrays, copied, is_of_input, same
from minivae.nn import Criterion, Divergence, Module, side_loss

LARGEST = 5_000  # entries of all arrays: each edit is a whole pass
KNOWN, WHOLE = 18, 5  # names that may be meant in place of others, and those among them of whole numbers
SHORT = 16  # letters, too few to find a place by
MEMORY = 2**30  # bytes of buffers that what is tried may make, and a quarter of what it may take in all


class EditedCode:
    """A copy of a module or criterion, and the code that runs when it does and is not minivae's own.

    methods    {name: OwnCode}; methods of its own have their bare names, others that of their class before it
    backward   names of those that run in backward alone      alone   in update_output alone      shared   in both
    """

    tables: tuple[str, ...] = ()  # names of arguments that are tables of arrays

    def __init__(self, twin, forward, backward=lambda twin: None):
        self.twin, self.cls, self.criterion = copy_of(twin), type(twin), isinstance(twin, Criterion)
        self.state = [(vars(layer), dict(vars(layer))) for layer in (
            [self.twin] if self.criterion else self.twin.list_modules())]
        self.content = [(array, np.array(array)) for _, before in self.state for array in before.values()
                        if isinstance(array, np.ndarray)]
        in_update, in_backward = ({_name(each, self.cls): each for each in own_code(partial(run, self.twin))}
                                  for run in (forward, backward))
        self.restore()
        self.methods = in_update | in_backward
        self.alone = [name for name in in_update if name not in in_backward]
        self.shared = [name for name in in_update if name in in_backward]
        self.backward = [name for name in in_backward if name not in in_update]

    @contextlib.contextmanager
    def put(self, name, made):
        """Have that function run in the place of the one of that name."""
        owner, key = self.methods[name].owner, self.methods[name].name
        before = owner[key] if isinstance(owner, dict) else vars(owner)[key]
        put = owner.__setitem__ if isinstance(owner, dict) else partial(setattr, owner)
        try:
            put(key, made)
            yield
        finally:
            put(key, before)

    def made(self, name, tree, **others):
        """A function with that source in the place of one, which knows `others`; None if it does not compile."""
        raw, original = self.methods[name].raw, self.methods[name].function
        if any(_is_at(node) for node in ast.walk(tree)):
            tree, others = _Checked().visit(copy.deepcopy(tree)), {**others, "_checked": _checked}
        try:
            source, scope = _enclosed(tree, [*original.__code__.co_freevars, *others]), {}
            exec(compile(source, "<edited>", "exec"), original.__globals__, scope)
            free = (cell.cell_contents for cell in original.__closure__ or ())
            function = scope["made"](*free, *others.values())
        except Exception:
            return None
        return type(raw)(function) if isinstance(raw, staticmethod | classmethod | property) else function

    def restore(self):
        """What the edited code has set is as if it had never run."""
        for attributes, before in self.state:
            attributes.clear()
            attributes.update(before)
        for array, before in self.content:
            array[...] = before

    def with_other_numbers(self):
        """Copies with other numbers of their own: all that are not whole; each that is, or a tuple of them, one more.
        """
        own = {name: value for name, value in vars(self.twin).items() if type(value) in (int, float)}
        changed = [{name: 0.9 * value for name, value in own.items() if isinstance(value, float)}]
        if self.criterion:
            changed += [{"size_average": not self.twin.size_average}]
        changed += [{name: value + 1} for name, value in own.items() if isinstance(value, int)]
        changed += [{name: tuple(each + 1 for each in value)} for name, value in _tuples(self.twin)]
        for numbers in changed:
            other = copy_of(self.twin)
            vars(other).update(numbers)
            yield other

    def edits(self, trees, start=0, stop=None):
        """(kind, method, what stood in its tree, what does, where else), the slightest of each method first."""
        sources = {name: each.tree() for name, each in self.methods.items()}
        asks = any("self.train" in ast.unparse(each) for each in sources.values())

        def of_each_kind(name, tree):
            around = surroundings([*sources.values()], sources[name])
            tuples = [f"self.{key}" for key, _ in _tuples(self.methods[name].user)]
            return edits(tree, self._known(name, tree), around, self._of_one(name), asks, tuples)

        every = itertools.zip_longest(*itertools.starmap(of_each_kind, trees.items()))
        for kind, of_a_kind in itertools.islice(enumerate(every), start, stop):
            for name, edited in zip(trees, of_a_kind):
                with contextlib.closing(edited), contextlib.suppress(Exception):  # one kind may not fit its source
                    for edit in edited:
                        yield kind, name, *edit

    def _of_one(self, name):
        """Names of methods of its class that take one argument, and never call it."""
        owner = self.methods[name].owner
        return [each.name for each in self.methods.values() if each.owner is owner
                and each.function.__code__.co_argcount == 2 and each.name != "update_output"
                and self.methods[name].name not in self._called(each.name)]

    def _called(self, name):
        """That name and those of all that it calls."""
        found = [name]
        for bare in found:
            called = set().union(*(_names(each.tree()) for each in self.methods.values() if each.name == bare))
            found += [each.name for each in self.methods.values() if each.name in called - set(found)]
        return found

    def _known(self, name, tree):
        """The numbers of the object, the function's own names, and the object's arrays."""
        user = self.methods[name].user
        of_class = {key: value for cls in type(user).__mro__ if not cls.__module__.startswith("minivae.")
                    for key, value in vars(cls).items() if type(value) in (int, float)}
        own = [(f"self.{key}", value) for key, value in {**of_class, **getattr(user, "__dict__", {})}.items()
               if key[0] != "_" and not key.startswith(("grad", "divergence"))]
        names = [key for key, value in own if isinstance(value, float)]
        names += [each.arg for each in tree.args.args if each.arg not in ("self", "xp", "scale", *self.tables)]
        local = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
        charges = [f"self.charge({key})" for key in local[:2]] if isinstance(user, Divergence) else []
        names += [*charges, *local]
        names += [key for key, value in own if isinstance(value, np.ndarray)]
        names += [f"self.buffers[{key!r}]" for key in user.buffers if key not in ("output", "grad_input")
                  and f"self.buffer({key!r}" not in ast.unparse(tree)] if isinstance(user, Module) else []
        whole = [key for key, value in own if type(value) is int and value > 1][:WHOLE]
        return [*list(dict.fromkeys(names))[:KNOWN - len(whole)], *whole]


class EditedGradients(EditedCode):
    """One whose gradients are computed again, at the point where they were checked."""

    def __init__(self, twin, given, grad_output, checks, step, tolerance):
        if sum(check.analytic.size for check in checks) > LARGEST or any(
                check.analytic.shape != check.numeric.shape for check in checks):
            raise ValueError("too large, or of a wrong shape")
        self.given, self.grad_output, self.checks = given, grad_output, checks
        self.step, self.tolerance = step, tolerance
        called = (("input", given[0]), ("target", given[1])) if isinstance(twin, Criterion) else (
            ("input", given), ("grad_output", grad_output))
        self.tables = tuple(name for name, value in called if isinstance(value, tuple))
        if isinstance(twin, Criterion):
            super().__init__(twin, lambda twin: twin.forward(*copied(given)),
                             lambda twin: twin.backward(*copied(given)))
        else:
            super().__init__(twin, lambda twin: (twin.forward(copied(given)), side_loss(twin)),
                             lambda twin: twin.backward(copied(given), copied(grad_output)))

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


class _Checked(ast.NodeTransformer):
    """Calls of ufunc.at, by way of _checked."""

    def visit_Call(self, node):
        self.generic_visit(node)
        if _is_at(node):
            node.func = ast.copy_location(ast.Call(ast.Name("_checked", ast.Load()), [node.func], []), node.func)
            ast.fix_missing_locations(node)
        return node


def _is_at(node):
    return isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "at"


def _checked(at):
    """That ufunc.at, which raises where NumPy reads beyond the shape of the places and ends the process."""
    def call(array, places, *values):
        if any(np.ndim(each) > np.ndim(array[places]) for each in values):
            raise ValueError("the values have more axes than the places")
        return at(array, places, *values)
    return call


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


def line_of(function, node):
    return f"line {function.__code__.co_firstlineno + node.lineno - 1}"


def _tuples(user):
    """[(name, value)] of an object's tuples of numbers, such as the sides of a kernel."""
    return [(name, value) for name, value in getattr(user, "__dict__", {}).items() if isinstance(value, tuple)
            and value and all(type(each) in (int, float) for each in value)]


def _name(code, cls):
    """Its bare name if it is a method that objects of that class have."""
    owner = next((each for each in cls.__mro__ if code.name in vars(each)), None)
    return code.name if code.owner is owner else code.full_name


def _names(tree):
    """What is read there by name, of an object or not."""
    return {getattr(node, "attr", getattr(node, "id", None)) for node in ast.walk(tree)}


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
            len(ast.unparse(shown)) < SHORT or isinstance(shown, ast.keyword | ast.Slice | ast.Tuple)
            or (shown is new and _stands_again(old, new, above))):
        shown = above[shown]
    after, before = ast.unparse(shown), old if shown is new else shown
    if _is_sum(shown) and not _is_sum(before) and isinstance(above[shown], ast.BinOp | ast.UnaryOp):
        after = f"({after})"  # or what is beside it would part it
    with instead(above[new], new, old):
        lines = [text.splitlines() for text in (ast.unparse(before), after)]
        heads = 1 if isinstance(before, ast.If) and isinstance(shown, ast.If) else None
        return line_of(function, before), *("\n".join(each[:heads]) for each in lines)


def _stands_again(old, new, above):
    """Whether the statement in which that has been edited holds it once more, so that a reader could not tell which."""
    statement = new
    while not isinstance(statement, ast.stmt):
        statement = above[statement]
    inside = set(ast.walk(new))
    return isinstance(old, ast.expr) and any(
        each not in inside and isinstance(each, ast.expr) and ast.unparse(each) == ast.unparse(old)
        for each in ast.walk(statement))


def _is_sum(node):
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
