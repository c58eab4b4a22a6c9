"""The code of a user's own that runs when a module or criterion does: its methods, its helpers and other objects'."""

import ast
import inspect
import sys
import sysconfig
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, NamedTuple

import minivae

PLACES = Path(minivae.__file__).parent, Path(sysconfig.get_path("stdlib"))  # whose code is not a user's


class OwnCode(NamedTuple):
    """A method or a function."""

    owner: Any  # the class, or the names of the module, in which it stands
    name: str
    raw: Any  # as it stands there
    function: FunctionType
    user: Any  # the object whose method was called, or None

    @property
    def full_name(self):
        return self.name if isinstance(self.owner, dict) else f"{self.owner.__name__}.{self.name}"

    def tree(self):
        return tree_of(self.function)


def own_code(run: Callable[[], Any]) -> list[OwnCode]:
    """All of it that run() calls and that has a source, in the order of first calls."""
    found, before = {}, sys.getprofile()

    def look(frame, event, _):
        if event == "call" and frame.f_code not in found:
            found[frame.f_code] = _of_frame(frame)

    sys.setprofile(look)
    try:
        run()
    finally:
        sys.setprofile(before if callable(before) else None)
        if not callable(before) and before is not None:  # cProfile's, which is switched on in its own way
            before.enable()
    return [each for each in found.values() if each and _has_source(each.function)]


def is_own(path: Path) -> bool:
    """Whether a file is neither minivae's nor a library's."""
    packages = {"site-packages", "dist-packages"} & {*path.parts}
    return not packages and not any(path.is_relative_to(place) for place in PLACES)


def _of_frame(frame):
    """The OwnCode that runs there, or None."""
    code = frame.f_code
    if not is_own(Path(code.co_filename)):
        return None
    for user in map(_first_argument, (frame, frame.f_back)):  # a static method has that of the method that calls it
        for owner in user.__mro__ if isinstance(user, type) else type(user).__mro__:
            for name, raw in vars(owner).items():
                if getattr(_function(raw), "__code__", None) is code and not name.startswith("__"):
                    return OwnCode(owner, name, raw, _function(raw), user)
    raw = frame.f_globals.get(code.co_name)
    return OwnCode(frame.f_globals, code.co_name, raw, raw, None) if getattr(raw, "__code__", None) is code else None


def _first_argument(frame):
    return frame.f_locals.get(frame.f_code.co_varnames[0]) if frame and frame.f_code.co_argcount else None


def _function(raw):
    return raw.fget if isinstance(raw, property) else getattr(raw, "__func__", raw)


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
