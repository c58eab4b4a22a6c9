"""Judge one student's file by the conditions of the original exercise.

grade.py runs it, in a process of its own:

    python judge.py EXERCISE FILE RESULT SECONDS MEGABYTES

The result, "PASSED CONDITIONS NOTE", is written once everything has run.  Without it, whatever
else has happened, the file has not passed.
"""

import ast
import builtins
import contextlib
import importlib.util
import os
import pathlib
import symtable
import sys
import threading
import traceback
import types
from importlib.machinery import SourceFileLoader
from pathlib import Path

import numpy as np

import minivae
from minivae import evaluation, nn, optim

HERE = Path(__file__).resolve().parent
PRIVATE = "exercise checks"  # the checks that judge have this name, which no import finds


class Refused(BaseException):
    """What a student's file may not do; not an Exception, which it could catch."""


def main(exercise, path, result, seconds, megabytes):
    del sys.argv[1:]
    # taken now, before a student's code could exchange them
    create, write, leave, flags = os.open, os.write, os._exit, os.O_CREAT | os.O_WRONLY
    limit(int(seconds), int(megabytes))
    # so that nothing is read from minivae's folder later
    for module in ("evaluation", "checkpoint", "training", "models", "data", "debug", "figures"):
        importlib.import_module(f"minivae.{module}")
    for layer in (nn.Linear(2, 2), nn.Linear(2, 2).double()):  # nor is a library loaded
        x = np.ones((2, 2), layer.dtype)
        layer.forward(x)
        layer.backward(x, x)
    checks = load(PRIVATE, HERE / "checks.py")
    original = load_exercise(exercise, checks)
    conditions = count(original, checks)
    verdict = {"passed": 0, "conditions": conditions, "note": ""}
    if path != "None":
        try:
            verdict |= examine(original, checks, exercise, Path(path))
        except Refused as refusal:
            verdict["note"] = str(refusal)
        except BaseException as error:  # a student's code may raise anything
            note = " ".join(f"{type(error).__name__}: {error}"[:200].split())
            its_own = [
                line
                for frame, line in traceback.walk_tb(error.__traceback__)
                if frame.f_code.co_filename == path
            ]
            verdict["note"] = note + (f" (line {its_own[-1]})" if its_own else "")
    text = "{passed} {conditions} {note}".format(**verdict).encode("utf-8", "replace")
    write(create(result, flags), text)
    leave(0)  # without the student's atexit and __del__


def limit(seconds, megabytes):
    """Limits of time and memory, where the system has them; grade.py keeps the time as well."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, value in ((resource.RLIMIT_CPU, seconds), (resource.RLIMIT_AS, megabytes * 2**20)):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_exercise(exercise, checks):
    """The original exercise, whose `from checks import ...` takes the checks given."""
    sys.modules["checks"] = checks
    try:
        return load("original", HERE / f"{exercise}.py")
    finally:
        del sys.modules["checks"]


def count(original, checks):
    """How many conditions there are."""

    class Counted(checks.Checks):
        def that(self, what, function):
            self.count += 1
            self.passed += 1

        def _note_buffers(self, make, input):
            pass

    counted = Counted()
    original.conditions(counted)
    return counted.count


def examine(original, checks, exercise, path):
    """The verdict on a file."""
    verbs = stubs(original)
    tree = parse(path)
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    if missing := [name for name in verbs if name not in defined]:
        raise Refused(f"it does not define {', '.join(missing)}")
    leave_out_experiments(tree.body)
    leave_them_out_beside(path.parent)
    # for the student's imports: another copy
    sys.modules["checks"] = load("checks", HERE / "checks.py")
    watcher = Watcher(path, verbs)
    watcher.load_libraries(tree)
    sys.path[0] = str(path.parent)  # as where Python runs the file
    before = fingerprint(checks, original)
    with watcher:
        student = {"__name__": path.stem, "__file__": str(path)}
        exec(compile(tree, str(path), "exec"), student)
        for name, its_verbs in verbs.items():
            expect_own(name, student.get(name), getattr(original, name), its_verbs, path)
            setattr(original, name, student[name])
        test = judged(checks)
        original.conditions(test)
    after = fingerprint(checks, original)
    mine = {("original", name) for name in verbs}
    if changed := [key for key in before.keys() - mine if before[key] != after.get(key)]:
        raise Refused(f"it changes {'.'.join(changed[0])}")
    if watcher.refusal:
        raise Refused(watcher.refusal)
    wrong = [line.splitlines() for line in test.lines if not line.startswith("passed")]
    note = ": ".join(map(str.strip, wrong[0][:2])) if wrong else ""
    return {"passed": test.passed, "note": note}


def parse(path):
    """The tree of a file, decoded as Python decodes it."""
    return ast.parse(importlib.util.decode_source(path.read_bytes()), str(path))


def judged(checks):
    """Checks whose tally only they may change, not what they run."""

    class Judged(checks.Checks):
        # who grades may read what a bug hunt keeps from who hunts
        quiet = property(lambda self: False, lambda self, value: None)

        def that(self, what, function):
            def watched():
                tally = self.count, self.passed, list(self.lines)
                try:
                    function()
                finally:
                    if (self.count, self.passed, self.lines) != tally:
                        raise Refused("it changes the tally of the checks")

            super().that(what, watched)

    return Judged()


class Watcher:
    """Looks on while a student's code runs: what it calls of minivae, and does to the machine."""

    def __init__(self, path, verbs):
        self.path, self.refusal, self.on, self.loading = path, "", False, False
        self.verbs = verbs
        self.student = {verb for its_verbs in verbs.values() for verb in its_verbs} or set(verbs)
        self.own = {code for name in verbs for code in reference(name)}
        self.makers = {nn.Module.__init__.__code__, nn.Criterion.__init__.__code__}
        self.watched = self.own | self.makers
        self.made = []  # minivae's own modules that the student's code has made
        self.look = self.profile  # one object, by which it is found again
        sys.addaudithook(self.audit)  # which nothing can take off

    def __enter__(self):
        sys.setprofile(self.look)
        threading.setprofile(self.look)
        self.on = True

    def __exit__(self, *_):
        self.on = False
        if sys.getprofile() is not self.look:
            self.refusal = self.refusal or "it changes sys.setprofile, or calls itself without end"
        sys.setprofile(None)
        threading.setprofile(None)

    def profile(self, frame, event, argument):
        """Note when a student's verb, or a module that it has put there, does minivae's work."""
        if event != "call" or self.refusal or frame.f_code not in self.watched:
            return
        module = frame.f_locals.get("self")
        cls = type(module)
        ours = cls.__module__.startswith("minivae")
        if frame.f_code in self.makers:
            if ours and any(self.callers(frame)):
                self.made.append(module)
            return
        if not ours and frame.f_code.co_name in self.verbs.get(cls.__name__, ()):
            self.refusal = f"minivae's own {frame.f_code.co_qualname} has to do the work"
        if any(each is module for each in self.made):
            self.refusal = f"it puts minivae's own {cls.__name__} in the place of its own"
        for code in self.callers(frame):
            if code.co_name in self.student:
                self.refusal = (
                    f"{code.co_qualname} has minivae's own {frame.f_code.co_qualname} do the work"
                )

    def callers(self, frame):
        """The code of the student's file that waits for a frame to return."""
        while (frame := frame.f_back) is not None:
            if frame.f_code.co_filename == str(self.path):
                yield frame.f_code

    def load_libraries(self, tree):
        """Import what a file imports, and what the files beside it do that it names or imports.

        What a library writes or starts as it loads is not the student's doing.
        """
        trees = [tree]
        named = names_taken(tree) | {getattr(each, "module", None) for each in ast.walk(tree)}
        for other in self.path.parent.glob("*.py"):
            if other.stem in named:
                with contextlib.suppress(Exception):  # which its own lines raise again
                    trees.append(parse(other))
        self.loading = True
        for node in (node for tree in trees for node in ast.walk(tree)):
            if isinstance(node, ast.Import | ast.ImportFrom):
                with contextlib.suppress(Exception):
                    exec(compile(ast.Module([node], []), "imports", "exec"), {})
        self.loading = False

    def audit(self, event, arguments):
        """Refuse programs, sources, and files that are written; while libraries load, sources."""
        if not (self.on or self.loading):
            return
        if event == "open":
            path, mode, flags = arguments
            path = Path(os.path.abspath(os.fsdecode(path))) if not isinstance(path, int) else Path()
            writes = set(str(mode)) & set("wax+") or (
                mode is None and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            )
            if writes and self.on:
                self.refuse(f"it writes {path.name}")
            code = path != self.path and path.suffix in (".py", ".pyc")
            if code and FORBIDDEN & set(path.parents):
                self.refuse(f"it reads {path.name}")
        elif self.loading:
            return
        elif event.startswith(PROGRAMS) or (
            event in ("sys.setprofile", "sys.settrace")
            and sys._getframe(1).f_code.co_filename != threading.__file__
        ):
            self.refuse(f"it uses {event}")

    def refuse(self, why):
        if self.loading:  # not run yet: if the student's own line comes to it, that is refused
            raise ImportError(why)
        self.refusal = self.refusal or why
        raise Refused(why)


PROGRAMS = (
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "os.spawn",
    "os.kill",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.chmod",
    "os.link",
    "os.symlink",
    "os.truncate",
    "os.startfile",
    "ctypes.dlopen",
    "shutil.",
    "socket.",
    "pty.",
)
FORBIDDEN = {Path(minivae.__file__).resolve().parent, HERE.parent, HERE.parent.parent / "tests"}


def reference(name):
    """The code of minivae's own class or function of that name, and of what else is in its file."""
    own = getattr(nn, name, None) or {
        "adam": optim.adam,
        "importance_bound": evaluation.log_likelihood,
    }.get(name)
    if not isinstance(own, type | types.FunctionType):
        return []
    functions = [
        each
        for each in vars(sys.modules[own.__module__]).values()
        if hasattr(each, "__module__") and each.__module__ == own.__module__
    ]
    functions += [each for cls in functions if isinstance(cls, type) for each in vars(cls).values()]
    return [each.__code__ for each in functions if isinstance(each, types.FunctionType)]


def leave_them_out_beside(folder):
    """Leave the experiments out of every file of the student's that is imported."""
    taken = set()
    for path in folder.glob("*.py"):
        with contextlib.suppress(Exception):  # which its own import raises again
            taken |= names_taken(parse(path))
    loaded = SourceFileLoader.get_code

    def get_code(loader, name):
        path = Path(loader.get_filename(name))
        if path.parent != folder:
            return loaded(loader, name)
        tree = parse(path)
        leave_out_experiments(tree.body, taken)
        return compile(tree, str(path), "exec")

    SourceFileLoader.get_code = get_code


def names_taken(tree):
    """The names that a file may take from another."""
    nodes = list(ast.walk(tree))
    imported = [each for each in nodes if isinstance(each, ast.alias)]
    modules = {each.asname or each.name for each in imported}
    found = {each.name for each in imported}
    found |= {str(each.value) for each in nodes if isinstance(each, ast.Constant)}  # for getattr
    for each in nodes:
        if isinstance(each, ast.Attribute) and getattr(each.value, "id", None) in modules:
            found.add(each.attr)
        if isinstance(each, ast.Name) and "*" in modules:
            found.add(each.id)
    return found


def leave_out_experiments(body, taken=()):
    """Keep of a file the imports, classes, functions, and all about the variables they use.

    `taken` are the names that other files use.
    """
    kept = [node for node in body if isinstance(node, DEFINITIONS)]
    rest = [node for node in body if node not in kept]
    variables = {name for node in rest for name, bound in names(node) if bound}
    used = {name for node in kept for name, _ in names(node)} | set(taken)
    for node in reversed(rest):
        its_own = {name for name, _ in names(node)} & variables
        if its_own & used:
            used |= its_own
        else:
            body.remove(node)


DEFINITIONS = ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef


def names(node):
    """(name, whether it gets a value) of each global name in a statement of a module."""
    module = symtable.symtable(ast.unparse(node), "statement", "exec")
    for each in module.get_symbols():
        yield each.get_name(), each.is_assigned() or each.is_imported() or each.is_namespace()
    tables = module.get_children()
    for table in tables:
        yield from ((each.get_name(), False) for each in table.get_symbols() if each.is_global())
        tables += table.get_children()


def stubs(original):
    """{class or function of an exercise: the verbs to be written in it}; in a bug hunt, all."""
    tree = ast.parse(Path(original.__file__).read_bytes())
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = [
                each.name
                for each in node.body
                if isinstance(each, ast.FunctionDef)
                and (unwritten(each) or not any(unwritten(other) for other in node.body))
            ]
        elif (
            isinstance(node, ast.FunctionDef)
            and node.name != "conditions"
            and (unwritten(node) or not any(unwritten(other) for other in tree.body))
        ):
            found[node.name] = []
    return found


def unwritten(node):
    return any(
        isinstance(each, ast.Raise) and getattr(each.exc, "id", "") == "NotImplementedError"
        for each in ast.walk(node)
    )


def expect_own(name, mine, original, verbs, path):
    """Raise unless a class or function, and its verbs, were written in the student's file.

    Its bases must be those of the original.
    """
    if isinstance(original, types.FunctionType):
        verbs, owner = [name], {name: mine}
    else:
        if not isinstance(mine, type):
            raise Refused(f"{name} is no class")
        owner = vars(mine)
        allowed = set(original.__mro__)
        foreign = [
            base.__name__
            for base in mine.__mro__
            if base.__module__.startswith("minivae") and base not in allowed
        ]
        if foreign:
            raise Refused(f"{name} is made of minivae's own {foreign[0]}")
        if not issubclass(mine, original.__mro__[1]):
            raise Refused(f"{name} is no {original.__mro__[1].__name__}")
    for verb in verbs:
        code = getattr(undecorated(owner.get(verb)), "__code__", None)
        if getattr(code, "co_filename", None) != str(path):
            raise Refused(
                f"{name} does not define {verb}"
                if verb != name
                else f"{name} is not a function of the file"
            )


def undecorated(function):
    """The function that a decorator such as np.errstate(...) calls: it must hold what it names."""
    inner = getattr(function, "__wrapped__", None)
    cells = getattr(function, "__closure__", None) or ()
    if inner is None or not any(cell.cell_contents is inner for cell in cells):
        return function
    return undecorated(inner)


STANDARD = {each.__name__: each for each in (builtins, os, pathlib)}
METHODS = (types.FunctionType, property, staticmethod, classmethod)


def fingerprint(checks, original):
    """{(module, name): identity} of what judges: checks, exercise, minivae, and what they use."""
    found = {}
    modules = [
        ("checks", checks),
        ("original", original),
        ("numpy", np),
        ("numpy.random", np.random),
        *STANDARD.items(),
    ]
    modules += [
        (name, module) for name, module in sys.modules.items() if name.split(".")[0] == "minivae"
    ]
    for name, module in modules:
        for key, value in list(vars(module).items()):
            if isinstance(value, types.FunctionType | type) or (
                callable(value) and (name.startswith("numpy") or name in STANDARD)
            ):
                found[name, key] = identity(value)
                if isinstance(value, type) and value.__module__.split(".")[0] in (
                    "minivae",
                    PRIVATE,
                    "pathlib",
                ):
                    found |= {
                        (name, f"{key}.{each}"): identity(inner)
                        for each, inner in vars(value).items()
                        if isinstance(inner, METHODS)
                    }
    return found


def identity(value):
    return (
        id(value),
        id(getattr(value, "__code__", None)),
        repr(getattr(value, "__defaults__", None)),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
