"""The versions and settings that the last digits of results depend on."""

import contextlib
import shlex

import numpy as np

from minivae.backend import blas, c_compiler, products
from minivae.errors import OptionError


def arithmetic() -> dict[str, str]:
    """{name: text}.  The number of threads is not among them, unless BLAS has threads of its own."""
    compiler = []
    with contextlib.suppress(OptionError):
        compiler = c_compiler.command()
    return {"NumPy": np.__version__, "BLAS": blas.identity(), "parts of a product": str(products.MOST),
            "C compiler": shlex.join(compiler) or "none"}
