"""The steps of a traced pass, with copies of their arrays."""

import html
from dataclasses import dataclass, field

import numpy as np

from minivae.debug.tables import columns
from minivae.errors import OptionError


@dataclass
class Recorded:
    """A copy of one array as it was, and what can be said of it in a line."""

    name: str
    array: np.ndarray
    shared: str = ""  # whose memory it was in: "input", "grad_output", or its own

    @property
    def nonfinite(self) -> int:
        """How many entries are infinite or not a number."""
        return int((~np.isfinite(self.array)).sum())

    @property
    def zeros(self) -> float:
        """Share of entries that are 0."""
        return float((self.array == 0).mean()) if self.array.size else 0.0

    def row(self) -> list[str]:
        """[name, shape, dtype, min, mean, max, std, zeros, note]: the columns of a trace's table, as text."""
        finite = self.array[np.isfinite(self.array)]
        with np.errstate(all="ignore"):
            numbers = [f"{f(finite.astype(np.float64)):.4g}" if finite.size else "-"
                       for f in (np.min, np.mean, np.max, np.std)]
        notes = [f"{self.nonfinite} not finite"] * bool(self.nonfinite) + [f"is {self.shared}"] * bool(self.shared)
        shape = "×".join(map(str, self.array.shape)) or "number"
        return [self.name, shape, str(self.array.dtype), *numbers, f"{self.zeros:.0%}", ", ".join(notes)]

    def numbers(self) -> str:
        """The entries, those in the middle of a large array left out."""
        with np.printoptions(precision=4, suppress=True, threshold=60, edgeitems=3, linewidth=110):
            return f"{self.name} =\n{self.array}"


@dataclass
class Step:
    """One call of a verb.  `arrays`: what went in and what came out, by name; `inside`: the steps that it called."""

    number: int
    path: str
    title: str
    verb: str
    depth: int
    layer: type  # the class of the module, or of the criterion
    given: list[Recorded] = field(default_factory=list)
    parameters: list[Recorded] = field(default_factory=list)
    made: list[Recorded] = field(default_factory=list)
    inside: int = 0  # how many of the following steps happened within this one

    @property
    def recorded(self) -> list[Recorded]:
        """Every array, in the order: what it was given, its parameters, what it made."""
        return [*self.given, *self.parameters, *self.made]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """{name: array}, copies: "input", "weight", "output", "noise", "grad_output", "grad_weight", ..."""
        return {each.name: each.array for each in self.recorded}

    def __getitem__(self, name):
        """The array of that name."""
        if name not in self.arrays:
            raise OptionError(f"step {self.number} has no {name!r}; it has {', '.join(self.arrays)}")
        return self.arrays[name]

    def table(self, records: "list[Recorded] | None" = None) -> list[str]:
        """The verb, and lines on these of its arrays; by default on all."""
        rows = [each.row() for each in (self.recorded if records is None else records)]
        return [f"[{self.number}] {self.title}.{self.verb}", *columns([HEADER[2:], *rows], left=(0, 1, 2, 8))]

    def __str__(self):
        return "\n".join([*self.table(), *(each.numbers() for each in self.made)])

    __repr__ = __str__


HEADER = ["step", "verb", "array", "shape", "dtype", "min", "mean", "max", "std", "zeros", ""]


class Trace:
    """The steps of one pass, in the order in which they happened.  `trace[k]` is one; print it, or the whole."""

    def __init__(self, steps: list[Step]):
        self.steps = steps

    def __len__(self):
        return len(self.steps)

    def __getitem__(self, number):
        return self.steps[number]

    def __iter__(self):
        return iter(self.steps)

    def first_nonfinite(self) -> "Step | None":
        """The first step that made an infinite number or a NaN from arrays that held none, or None."""
        for step in self.steps:
            if step.inside == 0 and any(each.nonfinite for each in step.made) and not any(
                    each.nonfinite for each in step.given):
                return step
        return None

    def rows(self) -> list[list[str]]:
        """The table: a row for each array that a step made, as text in the columns of HEADER."""
        return [[str(step.number) if k == 0 else "", "  " * step.depth + f"{step.title}.{step.verb}" if k == 0 else "",
                 *each.row()] for step in self.steps for k, each in enumerate(step.made)]

    def __str__(self):
        return "\n".join(columns([HEADER, *self.rows()], left=(0, 1, 2, 3, 4, 10)))

    __repr__ = __str__

    def _repr_html_(self):
        """The page of `minivae step --html` in a frame, which is how a notebook shows a trace."""
        from minivae.figures.step_page import step_page  # here, because it loads Pillow

        page = html.escape(step_page(self, self.steps[0].title))
        return f'<iframe srcdoc="{page}" width="100%" height="760" style="border: 0"></iframe>'
