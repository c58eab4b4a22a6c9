"""Tables of arrays, which may hold tables, as flat lists and back; and tables of text."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minivae import backend


def mapped(function: Callable, value: Any) -> Any:
    """The table with function(array) in place of each array."""
    return tuple(mapped(function, each) for each in value) if isinstance(value, tuple) else function(value)


def arrays(value: Any) -> list:
    """The arrays of a table, in order; of an array, itself."""
    return [array for each in value for array in arrays(each)] if isinstance(value, tuple) else [value]


def named(name: str, value: Any) -> list[tuple[str, Any]]:
    """[(name, array)]: "input", or "input[0]", "input[1]", ... of a table."""
    if not isinstance(value, tuple):
        return [(name, value)]
    return [pair for i, each in enumerate(value) for pair in named(f"{name}[{i}]", each)]


def is_of_input(name: str) -> bool:
    """Whether it names an input or a prediction, or an entry of such a table, and not a parameter."""
    return name.partition("[")[0] in ("input", "prediction")


def float64(value: Any) -> Any:
    """A copy on the host in double precision."""
    return mapped(lambda array: np.array(backend.to_numpy(array), dtype=np.float64), value)


def copied(value: Any) -> Any:
    return mapped(np.array, value)


def put_back(array: np.ndarray, before: np.ndarray) -> None:
    """Have an array that was changed, or its shape, be as it was."""
    if array.shape != before.shape:
        array.resize(before.shape, refcheck=False)
    array[...] = before


def same(a: Any, b: Any, tolerance: float = 1e-7) -> bool:
    """Whether two arrays are equal but for rounding."""
    if np.shape(a) != np.shape(b):
        return False
    with np.errstate(all="ignore"):
        difference = np.subtract(a, b)
        most = tolerance * np.sqrt(difference.size) * max(np.abs(a).max(initial=0), np.abs(b).max(initial=0))
        if np.abs(difference).max(initial=0) > most:  # |d| ≥ max |dᵢ| and |a| ≤ √n max |aᵢ| save the norms
            return False
        return bool(norm(difference) <= tolerance * max(norm(a), norm(b)))


def norm(array: Any) -> float:
    """The root of the sum of squares, which neither overflow nor vanish."""
    largest = float(np.abs(array).max(initial=0.0))
    return largest * float(np.linalg.norm(np.divide(array, largest))) if 0 < largest < np.inf else largest


def columns(rows, left=(0,)):
    """Lines of text whose columns are aligned: those numbered in `left` to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return ["  ".join(cell.ljust(width) if k in left else cell.rjust(width)
                      for k, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
