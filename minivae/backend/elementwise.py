"""Element-wise work over large arrays, its formula written once for both libraries.

A formula is a function of arrays, `formula(xp, *arguments) -> array or tuple of arrays`, and reads as its equation.
NumPy runs it in blocks that stay in the cache, over the worker threads (`blocks`).  Where there is a C compiler, large
float32 arrays go through one compiled loop instead (`compiled`).  CuPy fuses it into one kernel (`fusion`).

For the compilers' sake a formula does the same whenever it is called.  It combines arrays and Python's numbers by
arithmetic, comparisons, & and |, augmented assignment such as x += y, xp.where, and xp's maximum, minimum, abs, sqrt,
exp, expm1, log, log1p, tanh, isfinite and logical_not.  It combines no two numbers with each other, which CuPy would do
in half precision: so pass 1 − β beside β.  NumPy's warnings of overflow and the like do not come out of a compiled
loop; np.seterr(all="raise") has NumPy compute.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import isfinite
from typing import Any, TypeAlias

import numpy as np

from minivae.backend import blocks, compiled, fusion
from minivae.backend.selection import Array, array_library, name_of
from minivae.errors import all_digits

Formula: TypeAlias = Callable[..., Any]
AT_ONCE = 9  # arrays that are added up in one pass: a kernel on a GPU may not have any number of arguments


def elementwise(formula: Formula, *arguments: Any, out: Any = None) -> Any:
    """out = formula(xp, *arguments), where arguments are arrays that broadcast to `out`, or numbers.

    `out` may be a tuple, for a formula that returns one, and may be among the arguments.  Without `out` the
    formula updates its array arguments in place and returns nothing: no copy, which is a third of Adam's time.
    """
    outs = out if isinstance(out, tuple) else () if out is None else (out,)
    first = outs[0] if outs else arguments[0]
    if not isinstance(first, np.ndarray):
        fusion.run(name_of(first), formula, outs, arguments)
        return out
    if compiled.run(formula, "elements", outs, arguments, first.size) is not None:
        return out

    def store(part, outs, arguments):
        values = formula(np, *arguments)
        for target, value in zip(outs, values if isinstance(values, tuple) else (values,)):
            target[...] = value

    blocks.in_blocks(store, outs, arguments)
    return out


def add_up(arrays: Sequence[Array], out: Array) -> Array:
    """out = Σ arrays, from the first to the last."""
    elementwise(_sum, *arrays[:AT_ONCE], out=out)
    for k in range(AT_ONCE, len(arrays), AT_ONCE):
        elementwise(_sum, out, *arrays[k:k + AT_ONCE], out=out)
    return out


def _sum(xp, first, *others):
    if not others:
        return first
    total = first + others[0]
    for other in others[1:]:
        total += other
    return total


@cache
def least_normal(dtype: Any) -> float:
    """1e-38 in float32.  Below it numbers are subnormal, and with those processors compute many times slower."""
    return float(np.finfo(dtype).tiny)


def total(formula: Formula, *arguments: Any) -> Any:
    """Sum over all elements of formula(xp, *arguments): a float on NumPy, a 0-d device array on CuPy.

    Where float32 would overflow the sum is that of float64.
    Parts are added in their order, so the result does not depend on the thread count.
    """
    first = arguments[0]
    if not isinstance(first, np.ndarray):
        return fusion.total(name_of(first), formula, arguments)
    value = compiled.run(formula, "total", (), arguments, first.size)
    if value is not None:
        return value
    sums = {}

    def add(part, _, arguments):
        values = formula(np, *arguments)
        with np.errstate(over="ignore"):
            value = float(values.sum())  # pairwise, so float32 will do for one block, unless it overflows
        sums[part] = value if isfinite(value) else float(values.sum(dtype=np.float64))

    blocks.in_blocks(add, (), arguments)
    return sum(sums[part] for part in sorted(sums))


def row_totals(formula: Formula, *arguments: Any) -> Array:
    """Sums over the last axis of formula(xp, *arguments): a new array.

    Every array has the axes (N, ..., D), those between in full or of length 1, and the first one's are full.
    """
    first = arguments[0]
    if not isinstance(first, np.ndarray):
        return formula(array_library(name_of(first)), *arguments).sum(axis=-1)
    sums = np.empty(first.shape[:-1], first.dtype)
    if compiled.run(formula, "rows", (sums[..., None],), arguments, first.size) is not None:
        return sums
    step = max(1, blocks.BLOCK * len(first) // max(1, first.size))

    def compute(part):
        rows = slice(part * step, (part + 1) * step)
        values = formula(np, *(a[rows] if isinstance(a, np.ndarray) else a for a in arguments))
        np.sum(values, axis=-1, out=sums[rows])

    blocks.share(compute, -(-len(first) // step), first.size)
    return sums


def outside(array: Array, low: float, high: float) -> str | None:
    """None if every element is in [low, high], else "its minimum is ...", or "its maximum is ...".

    Asked of host arrays only: on a device the answer would make every step wait for the queue.
    """
    if not isinstance(array, np.ndarray) or array.size == 0:
        return None
    smallest, largest = array.min(), array.max()
    if smallest >= low and largest <= high:
        return None
    if np.isnan(smallest):
        return "it holds NaN"
    return f"its minimum is {all_digits(smallest)}" if smallest < low else f"its maximum is {all_digits(largest)}"
