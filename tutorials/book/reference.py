"""The reference: a page for each package of minivae, a section for each of its public names, from the docstrings."""

import importlib
import inspect
import pkgutil

from text import restructured

import minivae

PACKAGES = {"nn": "Layers and losses", "models": "Models", "optim": "Optimisers", "data": "Images and batches",
            "debug": "Checks and traces", "figures": "Pictures and pages", "backend": "Arrays and random numbers"}


def reference():
    """({page: its lines}, the modules whose source the book shows)."""
    pages, shown = {"minivae": []}, {}
    for name, title in PACKAGES.items():
        package = importlib.import_module(f"minivae.{name}")
        pages[name] = [*heading(f"minivae.{name}: {title.lower()}", "="), *section(package, package.__name__, shown)]
    lines = heading("minivae.*: training, evaluation, files", "=")
    for module in top_modules():
        if public(module):
            lines += [*heading(module.__name__, "-"), *section(module, module.__name__, shown)]
    pages["modules"] = lines
    short = [f"- ``mv.{name}``: :py:obj:`{shown[value]}`" for name, value in vars(minivae).items()
             if callable(value) and value in shown]
    pages["minivae"] = [*heading("minivae", "="), *restructured(minivae.__doc__), "``import minivae as mv`` has short "
                        "names for what is used most:", "", *short, ""]
    return pages, {value.__module__ for value in shown}


def top_modules():
    for found in pkgutil.iter_modules(minivae.__path__):
        if not found.ispkg and not found.name.startswith("_"):
            yield importlib.import_module(f"minivae.{found.name}")


def public(module):
    """The names of a module's own classes and functions that say what they are."""
    return [name for name, value in vars(module).items() if not name.startswith("_")
            and (inspect.isclass(value) or inspect.isfunction(value)) and value.__doc__
            and f"{value.__module__}.".startswith(f"{module.__name__}.")]


def heading(title, sign):
    return [title, sign * len(title), ""]


def section(module, path, shown):
    """A module's docstring and an entry for each of its public names, which are noted in `shown`."""
    lines = restructured(module.__doc__ or "")
    for name in public(module):
        value = getattr(module, name)
        shown[value] = f"{path}.{name}"
        lines += [f".. autoclass:: {path}.{name}", "   :members:", ""] if inspect.isclass(value) else [
            f".. autofunction:: {path}.{name}", ""]
    for name, value in vars(module).items():
        if name.isupper() and type(value) in (int, float) and hasattr(module, "__path__"):  # a package offers it
            lines += [f".. py:data:: {path}.{name}", f"   :value: {value}", ""]
    return lines
