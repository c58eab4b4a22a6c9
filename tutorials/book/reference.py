"""The reference from the docstrings: a page for each package of minivae, with its public names."""

import importlib
import inspect
import pkgutil

from text import restructured

import minivae

PACKAGES = {
    "nn": "layers and losses",
    "models": "models",
    "optim": "optimisers",
    "data": "images and batches",
    "debug": "checks and traces",
    "figures": "pictures and pages",
    "backend": "arrays and random numbers",
}


def reference():
    """({page: its lines}, the modules whose source the book shows)."""
    pages, shown = {"minivae": []}, {}
    for name, title in PACKAGES.items():
        package = importlib.import_module(f"minivae.{name}")
        pages[name] = heading(f"minivae.{name}: {title}", "=")
        pages[name] += section(package, shown)
    lines = heading("minivae.*: training, evaluation, files", "=")
    for module in top_modules():
        if public(module):
            lines += [*heading(module.__name__, "-"), *section(module, shown)]
    pages["modules"] = lines
    short = [
        f"- ``mv.{name}``: :py:obj:`{shown[value]}`"
        for name, value in vars(minivae).items()
        if callable(value) and value in shown
    ]
    text = [*restructured(minivae.__doc__), "``import minivae as mv`` has these short names:", ""]
    pages["minivae"] = [*heading("minivae", "="), *text, *short, ""]
    return pages, {value.__module__ for value in shown}


def top_modules():
    for found in pkgutil.iter_modules(minivae.__path__):
        if not found.ispkg and not found.name.startswith("_"):
            yield importlib.import_module(f"minivae.{found.name}")


def public(module):
    """The names of a module's own classes and functions that say what they are."""
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__doc__
        and f"{value.__module__}.".startswith(f"{module.__name__}.")
    ]


def heading(title, sign):
    return [title, sign * len(title), ""]


def section(module, shown):
    """A module's docstring and an entry for each of its public names, noted in `shown`."""
    path = module.__name__
    lines = restructured(module.__doc__ or "")
    for name in public(module):
        value = getattr(module, name)
        shown[value] = f"{path}.{name}"
        if inspect.isclass(value):
            lines += [f".. autoclass:: {path}.{name}", "   :members:", ""]
        else:
            lines += [f".. autofunction:: {path}.{name}", ""]
    if not hasattr(module, "__path__"):
        return lines
    for name, value in vars(module).items():  # numbers that a package offers
        if name.isupper() and type(value) in (int, float):
            lines += [f".. py:data:: {path}.{name}", f"   :value: {value}", ""]
    return lines
