"""A formula as one loop of C: the formula is called with symbols, which write down what it does to them.

What it may do is listed in `elementwise`, and CuPy's fusion allows it too; functions may have `out=`.  Anything else
raises.
"""

from math import inf, isfinite
from pathlib import Path

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

NUMBERS = {
    np.add: "{} + {}", np.subtract: "{} - {}", np.multiply: "{} * {}", np.divide: "{} / {}", np.negative: "-{}",
    np.maximum: "maximum({}, {})", np.minimum: "minimum({}, {})", np.absolute: "fabsf({})", np.sqrt: "sqrtf({})",
    np.exp: "exp_({})", np.expm1: "expm1_({})", np.log: "log_({})", np.log1p: "log1p_({})", np.tanh: "tanh_({})",
}
COMPARISONS = {
    np.less: "{} < {}", np.less_equal: "{} <= {}", np.greater: "{} > {}", np.greater_equal: "{} >= {}",
    np.equal: "{} == {}", np.not_equal: "{} != {}", np.isfinite: "is_finite({})",
}
LOGIC = {np.bitwise_and: "{} & {}", np.bitwise_or: "{} | {}", np.logical_not: "!{}"}
AXES = 3  # of a loop; along the last one lie the elements that are computed together

HEAD = Path(__file__).with_name("vector_math.h").read_text(encoding="utf-8")
KERNEL = """
double kernel(const ptrdiff_t *lengths, float *const *arrays, const ptrdiff_t *strides, const float *numbers)
{{
    const ptrdiff_t length = lengths[2];
    double total = 0;
    {numbers}
    for (ptrdiff_t i = 0; i < lengths[0]; ++i) for (ptrdiff_t j = 0; j < lengths[1]; ++j) {{
        {pointers}
        {loop}
    }}
    return total;
}}
"""
ELEMENTS = """#pragma omp simd
        for (ptrdiff_t k = 0; k < length; ++k) {{
            {body}
        }}"""
# By way of a short array, because compilers do not vectorize a long formula in float and its sum in double together.
SUM = """double sum = 0;
        for (ptrdiff_t first = 0; first < length; first += 256) {{
            const ptrdiff_t end = length - first < 256 ? length : first + 256;
            float values[256];
            #pragma omp simd
            for (ptrdiff_t k = first; k < end; ++k) {{
                {body}
            }}
            #pragma omp simd reduction(+: sum)
            for (ptrdiff_t k = 0; k < end - first; ++k)
                sum += values[k];
        }}
        {use}"""


class Symbol(NDArrayOperatorsMixin):
    """One element of an array, or a number: the name of a C variable, which NumPy's functions and operators take."""

    def __init__(self, name, lines, truth=False):
        self.name, self.lines = name, lines
        self.truth = truth  # whether it is one, of a comparison
        self.assigned = False  # whether the formula has written to it

    def __array_ufunc__(self, ufunc, method, *inputs, out=(None,)):
        truths = [isinstance(each, Symbol) and each.truth for each in inputs]
        table = NUMBERS if ufunc in NUMBERS else COMPARISONS if ufunc in COMPARISONS else LOGIC
        # NumPy multiplies truths by numbers; what it does with truths alone is not what C does
        if method != "__call__" or ufunc not in table or all(truths) != (table is LOGIC):
            return NotImplemented
        if out[0] is None:
            return self._variable(table[ufunc].format(*map(_code, inputs)), truth=table is not NUMBERS)
        if table is not NUMBERS:
            return NotImplemented
        out[0].name, out[0].assigned = self._variable(table[ufunc].format(*map(_code, inputs)), truth=False).name, True
        return out[0]

    def __array_function__(self, function, types, arguments, options):
        if function is not np.where or options or not getattr(arguments[0], "truth", False):
            return NotImplemented
        return self._variable("where({}, {}, {})".format(*map(_code, arguments)), truth=False)

    def __bool__(self):
        raise TypeError("a formula has no if: where() chooses for each element")

    def _variable(self, expression, truth):
        name = f"t{len(self.lines)}"
        self.lines.append(f"const {'int' if truth else 'float'} {name} = {expression};")
        return Symbol(name, self.lines, truth)


def source(formula, purpose, outs, steps):
    """(C that computes formula(np, *operands[outs:]) over three axes, the numbers of the operands that it writes to).

        purpose   "elements": into the first `outs` operands, or into those that the formula assigns to;
                  "total": the sum is returned;  "rows": sums along the last axis, into the first operand
        steps     of each operand: how many elements it is to its next one on the last axis, or "number"
    """
    lines = []
    operands = [Symbol(f"x{k}", lines) for k in range(len(steps))]
    arrays = [k for k, step in enumerate(steps) if step != "number"]
    numbers = [f"const float x{k} = numbers[{k}];" for k in range(len(steps)) if k not in arrays]
    pointers = [f"float *const p{k} = arrays[{k}] + i * strides[{AXES * k}] + j * strides[{AXES * k + 1}];"
                for k in arrays]
    loads = [f"const float x{k} = {_place(k, steps)};" for k in arrays if k >= outs]
    values = formula(np, *operands[outs:])
    values = values if isinstance(values, tuple) else (values,)
    assigned = {k: each for k, each in enumerate(operands) if each.assigned}
    if any(k not in arrays for k in assigned) or (assigned and (outs or purpose != "elements")):
        raise TypeError("a formula assigns to arrays, and then returns nothing")
    if outs > 1 and any(value is each for value in values for each in operands):
        raise TypeError("of several results, each is a new one")  # NumPy would write one and then read it for another
    if purpose == "elements":
        results = dict(enumerate(values[:outs])) | assigned
        stores = [f"{_place(k, steps)} = {_code(value)};" for k, value in results.items()]
        loop, written = ELEMENTS, tuple(results)
    else:
        stores, loop, written = [f"values[k - first] = {_code(values[0])};"], SUM, tuple(range(outs))
    use = "total += sum;" if purpose == "total" else "*p0 = sum;"
    loop = loop.format(body="\n            ".join(loads + lines + stores), use=use)
    kernel = KERNEL.format(numbers="\n    ".join(numbers), pointers="\n        ".join(pointers), loop=loop)
    return HEAD + kernel, written


def _place(k, steps):
    """Element k of the loop, in operand k."""
    return f"p{k}[k]" if steps[k] == 1 else f"*p{k}" if steps[k] == 0 else f"p{k}[k * strides[{AXES * k + 2}]]"


def _code(value):
    """A symbol's name, or a number as C writes it."""
    if isinstance(value, Symbol):
        return value.name
    if type(value) not in (int, float):
        raise TypeError(f"{type(value).__name__} in a formula, which combines arrays and Python's numbers")
    value = float(value)
    return f"{value.hex()}f" if isfinite(value) else {inf: "INFINITY", -inf: "-INFINITY"}.get(value, "NAN")
