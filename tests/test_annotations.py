"""Annotations of public functions, which mypy checks where they are."""

import inspect

import pytest

from minivae import backend, optim

PUBLIC = {f"{module.__name__}.{name}": each for module in (backend, optim) for name, each in vars(module).items()
          if getattr(each, "__module__", "").startswith("minivae.")}


def missing(function):
    """What of a function has no annotation."""
    signature = inspect.signature(function)
    names = [name for name, each in signature.parameters.items() if each.annotation is each.empty and name != "self"]
    return names + ["return"] * (signature.return_annotation is signature.empty)


@pytest.mark.parametrize("name", PUBLIC)
def test_what_a_module_exports_is_annotated(name):
    each = PUBLIC[name]
    if inspect.isclass(each):
        public = [verb for key, verb in vars(each).items() if inspect.isroutine(verb) and (
            not key.startswith("_") or key in ("__init__", "__call__"))]
    else:
        public = [each]
    assert {each.__name__: missing(each) for each in public if missing(each)} == {}
