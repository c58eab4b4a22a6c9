"""One forward and one backward pass, verb by verb, with every number that moves."""

import html
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from minivae import backend
from minivae.debug.behaviour import random_like
from minivae.debug.tables import columns, mapped, named
from minivae.errors import OptionError


@dataclass
class Recorded:
    """A copy of one array as it was, and what can be said of it in a line."""

    name: str
    array: np.ndarray
    shared: str = ""  # whose memory it was in: "input", "grad_output", or its own

    @property
    def nonfinite(self):
        """How many entries are infinite or not a number."""
        return int((~np.isfinite(self.array)).sum())

    @property
    def zeros(self):
        """Share of entries that are 0."""
        return float((self.array == 0).mean()) if self.array.size else 0.0

    def row(self):
        """[name, shape, dtype, min, mean, max, std, zeros, note]: the columns of a trace's table, as text."""
        finite = self.array[np.isfinite(self.array)]
        with np.errstate(all="ignore"):
            numbers = [f"{f(finite.astype(np.float64)):.4g}" if finite.size else "-"
                       for f in (np.min, np.mean, np.max, np.std)]
        notes = [f"{self.nonfinite} not finite"] * bool(self.nonfinite) + [f"is {self.shared}"] * bool(self.shared)
        shape = "×".join(map(str, self.array.shape)) or "number"
        return [self.name, shape, str(self.array.dtype), *numbers, f"{self.zeros:.0%}", ", ".join(notes)]


@dataclass
class Step:
    """One call of a verb.  `arrays`: what went in and what came out, by name; `inside`: the steps that it called."""

    number: int
    path: str
    title: str
    verb: str
    depth: int
    given: list[Recorded] = field(default_factory=list)
    made: list[Recorded] = field(default_factory=list)
    inside: int = 0  # how many of the following steps happened within this one

    @property
    def arrays(self):
        """{name: array}, copies: "input", "output", "grad_output", "grad_weight", ..."""
        return {each.name: each.array for each in (*self.given, *self.made)}

    def __getitem__(self, name):
        """The array of that name."""
        if name not in self.arrays:
            raise OptionError(f"step {self.number} has no {name!r}; it has {', '.join(self.arrays)}")
        return self.arrays[name]

    def __str__(self):
        rows = [each.row() for each in (*self.given, *self.made)]
        lines = [f"[{self.number}] {self.title}.{self.verb}", *columns([HEADER[2:], *rows], left=(0, 1, 2, 8))]
        with np.printoptions(precision=4, suppress=True, threshold=60, edgeitems=3, linewidth=110):
            lines += [f"{each.name} =\n{each.array}" for each in self.made]
        return "\n".join(lines)


HEADER = ["step", "verb", "array", "shape", "dtype", "min", "mean", "max", "std", "zeros", ""]


class Trace:
    """The steps of one pass, in the order in which they happened.  `trace[k]` is one; print it, or the whole."""

    def __init__(self, steps):
        self.steps = steps

    def __len__(self):
        return len(self.steps)

    def __getitem__(self, number):
        return self.steps[number]

    def __iter__(self):
        return iter(self.steps)

    def first_nonfinite(self):
        """The first step that made an infinite number or a NaN from arrays that held none, or None."""
        for step in self.steps:
            if step.inside == 0 and any(each.nonfinite for each in step.made) and not any(
                    each.nonfinite for each in step.given):
                return step
        return None

    def rows(self):
        """The table: a row for each array that a step made, as text in the columns of HEADER."""
        return [[str(step.number) if k == 0 else "", "  " * step.depth + f"{step.title}.{step.verb}" if k == 0 else "",
                 *each.row()] for step in self.steps for k, each in enumerate(step.made)]

    def __str__(self):
        return "\n".join(columns([HEADER, *self.rows()], left=(0, 1, 2, 3, 4, 10)))

    def _repr_html_(self):
        def cells(row, tag):
            style = "text-align: left; white-space: pre"
            return "".join(f"<{tag} style='{style}'>{html.escape(each)}</{tag}>" for each in row)

        body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in self.rows())
        return f"<table><thead><tr>{cells(HEADER, 'th')}</tr></thead><tbody>{body}</tbody></table>"


def trace(model, input, criterion=None, target=None, seed=0):
    """Run one forward and one backward pass and record every verb.  Returns a Trace.

        criterion   by default the model's own, if it has one; else ∂L/∂output is random, and nothing is added up
        target      by default the input, as an auto-encoder's

    It runs on a copy, with zeroed gradients and noise from a `seed` of its own: the model stays as it is.
    """
    twin = model.clone()
    criterion = criterion or (twin.criterion() if hasattr(twin, "criterion") else None)
    steps = []
    with backend.seeded(seed), _recording(twin, criterion, steps):
        output = twin.forward(input)
        if criterion is None:
            grad_output = mapped(lambda g: backend.from_numpy(g.astype(twin.dtype), like=twin.backend),
                                 random_like(output))
        else:
            target = input if target is None else target
            criterion.forward(output, target)
            grad_output = criterion.backward(output, target)
        twin.zero_grad_parameters()
        twin.backward(input, grad_output)
    return Trace(steps)


@contextmanager
def _recording(twin, criterion, steps):
    """Each verb of the twin's modules and of the criterion writes a step while the block runs."""
    wrapped = []

    def wrap(owner, path, verb, given, made):
        plain, title = getattr(owner, verb), owner.title

        def watched(*arguments, **options):
            depth = sum(each.inside < 0 for each in steps)
            step = Step(len(steps), path, title, verb, depth, _record(given, arguments), inside=-1)
            steps.append(step)
            result = plain(*arguments, **options)
            step.inside = len(steps) - step.number - 1
            step.made = made(owner, result, arguments)
            return result

        setattr(owner, verb, watched)
        wrapped.append((owner, verb))

    for path, module in twin.named_modules():
        wrap(module, path, "update_output", ("input",), _result("output", ("input",)))
        if module.children():
            wrap(module, path, "backward", ("input", "grad_output"), _result("grad_input", ("input", "grad_output")))
        else:
            wrap(module, path, "update_grad_input", ("input", "grad_output"),
                 _result("grad_input", ("input", "grad_output")))
            if module.parameter_names:
                wrap(module, path, "acc_grad_parameters", ("input", "grad_output"), _gradients)
    if criterion is not None:
        for verb, name in (("update_output", "output"), ("update_grad_input", "grad_input")):
            wrap(criterion, "criterion", verb, ("prediction", "target"), _result(name, ("prediction", "target")))
    try:
        yield
    finally:
        for owner, verb in wrapped:
            delattr(owner, verb)


def _record(names, values):
    return [Recorded(name, np.array(backend.to_numpy(array) if hasattr(array, "shape") else array))
            for name, value in zip(names, values) for name, array in named(name, value)]


def _result(name, sources):
    """What a verb returned, and whether that is the memory of something it was given."""
    def made(owner, result, arguments):
        records = _record((name,), (result,))
        given = [pair for source, value in zip(sources, arguments) for pair in named(source, value)]
        for record, (_, array) in zip(records, named(name, result)):
            record.shared = next((source for source, each in given if _same_memory(array, each)), "")
        return records
    return made


def _same_memory(a, b):
    return hasattr(a, "ctypes") and hasattr(b, "ctypes") and a.size > 0 and np.may_share_memory(a, b)


def _gradients(owner, result, arguments):
    return _record([f"grad_{name}" for name in owner.parameter_names if getattr(owner, name) is not None],
                   [getattr(owner, "grad_" + name) for name in owner.parameter_names
                    if getattr(owner, name) is not None])
