"""Formulas over large arrays as compiled loops, which make training faster.  A reader may skip this folder.

The one door is `run`, which `minivae.backend.elementwise` calls; the one switch is `compile`.

Why.  NumPy computes a formula such as Adam's operation by operation, and each one reads and writes whole arrays.  A
loop of C takes one element after another through all of the formula, so each array is read and written once.

How.  Each step is a file, in this order:

    source.py      The formula is called once, with symbols in place of arrays.  A symbol writes down what is done to
                   it: a line of C for each operation.  So an equation is written once, in Python.
    vector_math.h  exp, log and tanh in C that a compiler turns into vector instructions.
    compiler.py    The machine's C compiler (cc, gcc or clang) makes a library of it, within limits of time and output.
    libraries.py   The library is kept in this user's cache folder, where nobody else may write, for the next start.
    trial.py       A first call with zeros, before the library is trusted: in a process of its own after a crash.
    loops.py       Each loop gets the addresses and strides of its arrays, and is cut into parts.
    pool.py, .c    Threads of C share these parts, and those of matrix products, without Python's lock.

When NumPy computes instead.  There is no compiler, or it fails, which is said once.  The arrays are small, or not of
float32, or overlap.  The formula is a closure, or does what `source.py` does not know.  np.seterr asks for an error.  A
debugger is looking, which is said once.  Or `compile(False)` was called.

The numbers.  Arithmetic gives NumPy's bits.  exp, log and tanh are within three units in the last place, and sums are
added in double precision: both may differ from NumPy's in the last digits.  The number of threads changes no bit.
"""

import contextlib
import shlex

import numpy as np

from minivae.backend import debugger
from minivae.backend.compiled import compiler, libraries, loops, pool, source
from minivae.backend.notices import say_once
from minivae.errors import OptionError

SMALL = 32 * 1024  # elements: of fewer NumPy is as fast

_asked: bool | None = None  # what `compile` was called with


def compile(on: bool | None = True) -> None:
    """Choose whether formulas over large arrays run as compiled loops, in all threads of this process.

        True     they do, also under a debugger, which then sees no formula compute
        False    they do not: NumPy computes, more slowly, with other last digits, and a debugger can step into formulas
        None     as at the start: they do, unless a debugger is looking; then a line on stderr says once that NumPy does

    Without a C compiler that works, NumPy computes whatever is asked for here, and `minivae doctor` says why.  From
    outside, `MINIVAE_CC=none` is as good as False, and `MINIVAE_CC=clang` names a compiler.

    >>> from minivae import backend
    >>> backend.compile(False)  # from here on NumPy computes
    >>> backend.compile(None)
    """
    global _asked
    if on is not None and not isinstance(on, bool):
        raise OptionError(f"compile({on!r}): choose True, False, or None for the start's choice")
    _asked = on


def run(formula, purpose, outs, arguments, size):
    """Compute formula(np, *arguments) for `size` elements, for one of the purposes of `source.source`.

    Returns the sum of a "total", and 0 for other purposes; or None, and has done nothing, where NumPy has to.
    """
    operands = (*outs, *arguments)
    if _asked is False or size < SMALL or not loops.suit(formula, operands) or "raise" in np.geterr().values() \
            or not compiler.command():
        return None
    if _asked is None and debugger.looking():
        say_once("a debugger is looking: NumPy computes the formulas, so that you can step into them, and the last "
                 "digits may differ.  backend.compile(True) keeps the compiled loops")
        return None
    return loops.run(formula, purpose, len(outs), operands)


def product():
    """The function of `pool` that shares out a matrix product, or None where Python's threads have to."""
    return None if _asked is False or not compiler.command() else pool.function("run_product")


def work():
    """Whether there is a C compiler here, and one that works."""
    return libraries.loaded(source.source(lambda xp, x: xp.exp(x), "total", 0, [1])[0]) is not None


def name():
    """The command of the compiler whose loops compute now, or "none"."""
    words = []
    if _asked or (_asked is None and not debugger.looking()):
        with contextlib.suppress(OptionError):  # which is raised where a loop is wanted
            words = compiler.command()
    return shlex.join(words) or "none"


def sentence():
    """A line on the compiler and on where its libraries are kept, or on why there are none."""
    command = shlex.join(compiler.command())
    if not command:
        return "none: NumPy does the element-wise work of large arrays, more slowly (MINIVAE_CC names one)"
    if not work():
        return f"{command} cannot be used, and NumPy does the element-wise work of large arrays, more slowly: " \
               f"{libraries.trouble()} (MINIVAE_CC names another, or none)"
    folder, reason = libraries.folder()
    where = f"at each start, because they cannot be kept: {reason}" if reason else f"and keeps them in {folder}"
    return f"{command} compiles loops for large arrays, {where} (MINIVAE_CC names another, or none)"
