"""CuPy's generated kernels, compiled by g++ and run on NumPy arrays: their values, without a GPU."""

import ctypes
import subprocess

import numpy as np

HEAD = """#include <algorithm>
#include <cmath>
#define __device__
using std::isfinite; using std::isnan; using std::max; using std::min;
"""


def build(kernels, folder):
    """[run(arguments)] of fused kernels, an elementwise one writes to its arrays and a reduction returns the sum."""
    source = HEAD + "".join(_source(i, kernel) for i, kernel in enumerate(kernels))
    (folder / "kernels.cpp").write_text(source)
    subprocess.run(["g++", "-O1", "-ffp-contract=off", "-shared", "-fPIC", "-w", "kernels.cpp", "-o", "kernels.so"],
                   cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "kernels.so"))
    return [_runner(getattr(library, f"run{i}"), kernel) for i, kernel in enumerate(kernels)]


def _parameters(kernel):
    if hasattr(kernel, "map_expr"):
        return list(kernel.in_params)
    return [each for each in kernel.params if each.name != "_ind"]


def _source(i, kernel):
    preamble = "\n".join(line for line in kernel.preamble.splitlines() if not line.startswith("#include"))
    parameters = _parameters(kernel)
    pointers = ", ".join(f"{each.ctype}* p_{each.name}, long s_{each.name}" for each in parameters)
    names = "\n".join(f"{each.ctype} &{each.name} = p_{each.name}[i * s_{each.name}];" for each in parameters)
    if hasattr(kernel, "map_expr"):
        body, start, end = f"total += {kernel.map_expr};", "double total = 0;", "return total;"
    else:
        body, start, end = kernel.operation, "", "return 0;"
    return (f'namespace k{i} {{\n{preamble}\nextern "C" double run{i}(long n, {pointers}) {{\n{start}\n'
            f"for (long i = 0; i < n; ++i) {{\n{names}\n{body}\n}}\n{end}\n}}\n}}\n")


def _runner(function, kernel):
    function.restype = ctypes.c_double

    def run(arguments):
        shape = np.broadcast_shapes(*(a.shape for a in arguments if isinstance(a, np.ndarray)))
        passed, kept = [ctypes.c_long(int(np.prod(shape)))], []
        for parameter, argument in zip(_parameters(kernel), arguments, strict=True):
            array = isinstance(argument, np.ndarray)
            memory = argument if array and argument.shape == shape and argument.flags.c_contiguous else (
                np.ascontiguousarray(np.broadcast_to(argument, shape)) if array else
                np.array([argument], parameter.dtype))
            assert memory.dtype == parameter.dtype
            kept.append(memory)
            passed += [memory.ctypes.data_as(ctypes.c_void_p), ctypes.c_long(1 if array else 0)]
        return function(*passed)
    return run
