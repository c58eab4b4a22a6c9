"""A trace as a page: one pass, verb by verb, with every number that moves."""

from math import isqrt, prod
from typing import Any

import numpy as np

from minivae.figures.equations import equation, source
from minivae.figures.page import packed, page

WHOLE = 2**15  # entries of an array that is in the page as it is; of a larger one, blocks
BLOCKS = 96  # along each side of a larger one: of each, the entry of largest magnitude


def step_page(recorded: Any, title: str, nudges: Any = (), objective: Any = None) -> str:
    """The page on a Trace, as text; with `nudges` of its weights, what the loss does when one moves.

    It walks through the innermost modules, whose calls are what is computed; containers are the tree around them.  The
    loss is reconstruction + β·KL, unless it is that of an `objective`.
    """
    arrays = _Arrays()
    steps = [{"path": step.path, "title": step.title, "verb": step.verb, "equation": equation(step.layer, step.verb),
              "code": source(step.layer, step.verb),
              "records": [{"name": each.name, "array": arrays.add(each.array), "made": each in step.made,
                           "shared": each.shared} for each in step.recorded]}
             for step in recorded if step.inside == 0]
    tree = [{"path": step.path, "title": step.title, "depth": step.depth} for step in recorded
            if step.verb == "update_output"]
    moved = [{"path": each.path, "parameter": each.parameter, "index": list(each.index), "value": each.value,
              "analytic": each.analytic, "numeric": each.numeric, "moves": each.moves.tolist(),
              "losses": each.losses.tolist()} for each in nudges if np.isfinite(each.losses).all()]
    divergence, whole = ("KL", False) if objective is None else (objective.divergence, objective.whole)
    return page(f"{title}: step by step", "step.html", ("heatmap.js", "nudge.js", "step.js"), ("step.css",),
                {"title": title, "steps": steps, "tree": tree, "arrays": arrays.packed, "nudges": moved,
                 "divergence": divergence, "whole": whole})


class _Arrays:
    """The arrays of a page, each once however many steps hold it."""

    def __init__(self):
        self.packed, self.numbers = [], {}

    def add(self, array):
        """Its number."""
        key = array.shape, array.dtype.str, array.tobytes()
        if key not in self.numbers:
            self.numbers[key] = len(self.packed)
            self.packed.append(_described(array))
        return self.numbers[key]


def _described(array):
    """Shape, type, what can be said in numbers, and the entries: all of them, or the largest of each block."""
    kind = "float32" if array.dtype == np.float32 else "float64"
    finite = array[np.isfinite(array)].astype(np.float64)
    found = {"shape": list(array.shape), "dtype": str(array.dtype), "nonfinite": array.size - finite.size,
             "zeros": float((array == 0).mean()) if array.size else 0,
             "range": [float(finite.min()), float(finite.mean()), float(finite.max())] if finite.size else None}
    if array.size <= WHOLE:
        return found | {"values": packed(array.ravel(), kind)}
    where = _blocks(array.ravel(), _laid_out(np.arange(array.size).reshape(array.shape)))
    return found | {"values": packed(array.ravel()[where], kind), "where": packed(where, "uint32")}


def _laid_out(array):
    """The entries of a large array as a matrix, much as heatmap.js lays out a smaller one: one example's batch axis is
    left out, a vector is folded, and images and kernels stand side by side."""
    array = array[0] if array.ndim > 1 and len(array) == 1 else array
    if array.ndim == 1:
        return array.reshape(-1, _across(array.size))
    *planes, height, width = array.shape
    across = planes[-1] if len(planes) > 1 else _across(prod(planes))
    return array.reshape(-1, across, height, width).swapaxes(1, 2).reshape(-1, across * width)


def _across(n):
    """The first divisor of n from its square root on."""
    return next(k for k in range(isqrt(n - 1) + 1, n + 1) if n % k == 0)


def _blocks(values, matrix):
    """(R, C) of the indices in R × C blocks of a matrix, those of the values of largest magnitude."""
    edges = [np.linspace(0, size, min(size, BLOCKS) + 1).astype(int) for size in matrix.shape]
    rows, columns = (len(each) - 1 for each in edges)
    where = np.zeros((rows, columns), dtype=np.int64)
    magnitude = np.abs(np.where(np.isnan(values), np.inf, values))  # what is not finite is what one wants to see
    for r in range(rows):
        band = matrix[edges[0][r]:edges[0][r + 1]]
        for c in range(columns):
            block = band[:, edges[1][c]:edges[1][c + 1]].ravel()
            where[r, c] = block[magnitude[block].argmax()]
    return where
