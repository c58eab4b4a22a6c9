"""Threads of C that share the parts of one task at a time: a compiled loop, or a product of matrices.

Python's threads would meet at the interpreter's lock for each part, which takes longer than a part of small work.
These take parts until none is left.  Then they look out for the next task for 50 microseconds, which is longer than
Python takes from one layer to the next, and sleep.  The caller waits only for parts that another thread has begun: so
they give way to other programs as `workers` do.  While they work for one caller, another one does its parts itself.
"""

import ctypes
import functools
import os
from pathlib import Path

from minivae.backend.compiled import libraries
from minivae.backend.compiled.source import AXES

SOURCE = f"#define AXES {AXES}\n" + Path(__file__).with_name("pool.c").read_text(encoding="utf-8")
SIZE, ADDRESS = ctypes.c_int64, ctypes.c_void_p
FUNCTIONS = {
    # kernel, lengths, arrays, strides, numbers, bytes, operands, axis, parts, threads
    "run_loop": (ctypes.c_double, *[ADDRESS] * 6, *[ctypes.c_long] * 4),
    # gemm, size, a_as, b_as, rows, columns, inner, a, b, c, row, steps, beta, by_rows, stands, bounds, parts, threads
    "run_product": (None, ADDRESS, *[ctypes.c_int] * 3, *[SIZE] * 3, *[ADDRESS] * 5, ctypes.c_double,
                    *[ctypes.c_int] * 2, ADDRESS, *[ctypes.c_long] * 2)}


@functools.cache
def function(name):
    """A function of pool.c, or None: it cannot be compiled, which is said once."""
    library = _library()
    if library is None:
        return None
    found = library[name]  # an object of its own, whose types nobody else sets
    found.restype, *found.argtypes = FUNCTIONS[name]
    return found


@functools.cache
def _library():
    library = libraries.loaded(SOURCE)
    if library is not None and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=library.forget)
    return library
