"""Annotations of public functions, which mypy checks where they are."""

import inspect

import pytest

from minivae import backend, evaluation, nn, optim, training

MODULES = backend, nn, optim, training, evaluation
PUBLIC = {f"{module.__name__}.{name}": each for module in MODULES for name, each in vars(module).items()
          if not name.startswith("_") and str(getattr(each, "__module__", "")).startswith(module.__name__)}


def missing(function):
    """What of a function has no annotation."""
    signature = inspect.signature(function)
    names = [name for name, each in signature.parameters.items() if each.annotation is each.empty and name != "self"]
    made = signature.return_annotation is signature.empty and function.__name__ != "__init__"
    return names + ["return"] * made


def verbs(cls):
    """The public functions and properties that a class defines, but for overrides, which take and return the same."""
    for key, each in vars(cls).items():
        inherited = any(key in vars(base) for base in cls.__mro__[1:-1])
        each = getattr(each, "fget", None) or getattr(each, "__func__", each)
        if inspect.isroutine(each) and (key in ("__init__", "__call__") or (not key.startswith("_") and not inherited)):
            yield each


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_module_exports_is_annotated(name):
    each = PUBLIC[name]
    public = list(verbs(each)) if inspect.isclass(each) else [each]
    assert {each.__name__: missing(each) for each in public if missing(each)} == {}
