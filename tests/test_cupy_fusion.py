"""Every formula goes through CuPy's own fusion into one kernel.  Needs a CuPy wheel, but neither GPU nor driver:
the code of a kernel is made from the kinds of its arguments, and never from their memory.
"""

import importlib
import shutil

import kernels_on_host
import numpy as np
import pytest
from formulas import collect

from minivae.backend import fusion

cupy = pytest.importorskip("cupy", reason="CuPy is not installed: any cupy-cuda wheel, without a GPU, runs this test")
cupy_fusion = importlib.import_module("cupy._core.fusion")
local = importlib.import_module("cupy._core._fusion_thread_local").thread_local
elementwise = importlib.import_module("minivae.backend.elementwise")  # the function of this name hides the module
selection = importlib.import_module("minivae.backend.selection")


def without_memory(array):
    """A device array of the same kind whose memory is not there."""
    memory = cupy.cuda.UnownedMemory(1 << 20, max(array.nbytes, 1), None, 0)
    return cupy.ndarray(array.shape, array.dtype, memptr=cupy.cuda.MemoryPointer(memory, 0))


def fused(formula, outs, arguments):
    """(the kernel, the dtypes of what it keeps in registers) that CuPy makes of a formula."""
    kernel = fusion._kernel("cupy", formula, outs)
    history = cupy_fusion._FusionHistory()
    local.history, local.is_old_fusing = history, True
    try:
        arguments = [without_memory(a) if isinstance(a, np.ndarray) else a for a in arguments]
        return history.get_fusion(kernel.__wrapped__, arguments, kernel.name)[0], {v.dtype for v in history.local_list}
    finally:
        local.history, local.is_old_fusing = None, False


@pytest.fixture
def formulas(monkeypatch):
    """{(formula, outs): operands} as CuPy's kernels take them: a sum has a number before them."""
    seen = {key: operands if key[1] >= 0 else (0.0, *operands) for key, operands in collect().items()}
    monkeypatch.setitem(selection._libraries, "cupy", cupy)
    return seen


def test_every_formula_becomes_one_kernel_in_full_precision(formulas):
    for (formula, outs), arguments in formulas.items():
        kernel, dtypes = fused(formula, outs, arguments)
        kind = cupy.ReductionKernel if outs < 0 else cupy.ElementwiseKernel
        assert isinstance(kernel, kind), formula
        assert np.dtype(np.float16) not in dtypes, f"{formula.__module__}.{formula.__name__} rounds to half precision"
        assert kernel.name.startswith("minivae_"), "a name of CUDA's own, such as exp, compiles on no GPU"
        assert outs >= 0 or len(kernel.in_params) > 1, "CuPy would give a sum of one array to CUB, and fail"


def test_two_numbers_combined_would_be_half_precision(monkeypatch):
    """Why no formula may do it; NumPy has no such trap."""
    monkeypatch.setitem(selection._libraries, "cupy", cupy)
    _, dtypes = fused(lambda xp, x, beta: (1 - beta) * x, 0, [np.ones(3, np.float32), 0.999])
    assert np.dtype(np.float16) in dtypes


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not here to compile CuPy's kernels")
def test_every_kernel_gives_the_numbers_of_its_formula(formulas, tmp_path):
    kernels = [fused(formula, outs, arguments)[0] for (formula, outs), arguments in formulas.items()]
    for ((formula, outs), arguments), run in zip(formulas.items(), kernels_on_host.build(kernels, tmp_path)):
        arguments = [copied(argument) for argument in arguments]
        others = [copied(argument) for argument in arguments]
        total = run(others)
        if outs < 0:
            assert total == pytest.approx(elementwise.total(formula, *arguments[1:]), rel=1e-5, abs=1e-6), formula
            continue
        elementwise.elementwise(formula, *arguments[outs:], out=tuple(arguments[:outs]) or None)
        for one, other in zip(arguments, others):
            if isinstance(one, np.ndarray):
                np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-7, err_msg=formula.__name__)


def copied(argument):
    """A contiguous copy of an array, so that memory is what the kernel has to see."""
    return np.ascontiguousarray(argument) + 0 if isinstance(argument, np.ndarray) else argument
