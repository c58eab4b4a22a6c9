"""minivae doctor: what is installed, what can run here, and whether it runs as it should."""

import argparse
import importlib.metadata
import os
import platform
import time
from typing import Any

import numpy as np

import minivae
from minivae import backend
from minivae.backend import blas, compiled, threads
from minivae.errors import MinivaeError

PACKAGES = ("numpy", "pillow", "tqdm", "matplotlib", "mpi4py", "cupy-cuda12x", "cupy-cuda13x", "torch")
SIZE = 1536  # of the matrices that are multiplied


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser("doctor", help="say what is installed and what can run here",
                            description="Versions, backends (and why one cannot run), threads, the C compiler, "
                            "BLAS, and a check of float32 against float64 matrix products.")
    verb.set_defaults(run=run, less="close other programs")


def run(args: argparse.Namespace) -> int:
    print(f"{'minivae':<12} {minivae.__version__} on Python {platform.python_version()}, {platform.platform()}")
    for package in PACKAGES:
        print(f"{package:<12} {_version(package)}")
    print()
    for name in backend.NAMES:
        works, reason = backend.available(name)
        print(f"{name:<12} {'works' if works else 'cannot run here: ' + reason}")
    try:
        print(f"default      {backend.current()}, {backend.default_dtype()}")
        print(f"threads      {threads.sentence()}")
        print(f"C compiler   {compiled.sentence()}")
    except MinivaeError as error:
        print(f"environment  {error}")
    print()
    return _blas()


def _blas():
    library = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    print(f"BLAS         {library.get('name', 'unknown')} {library.get('version', '')}")
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE",
                     "OPENBLAS_L2_SIZE"):
        if variable in os.environ:
            print(f"             {variable}={os.environ[variable]} is set, and changes its speed")
    function = blas.adding_function()
    print(f"add_product  {function} adds to a gradient while it multiplies" if function else
          "add_product  this BLAS shows no function that adds to a gradient: it gets each product in a second pass")
    single, seconds32, cores32 = _product(np.float32)
    double, seconds64, cores64 = _product(np.float64)
    for name, seconds, cores in (("float32", seconds32, cores32), ("float64", seconds64, cores64)):
        print(f"{name:<12} {2e-9 * SIZE**3 / seconds:.0f} GFLOP/s on {cores:.1f} cores, a {SIZE}×{SIZE} product")
    error = np.abs(single - double).max() / np.abs(double).max()
    good = error < 1e-5
    print(f"agreement    float32 differs from float64 by {error:.1e} of the largest entry: "
          + ("as it should" if good else "too much, this BLAS cannot be trusted; reinstall numpy"))
    return 0 if good else 1


def _product(dtype):
    """(the product, seconds it took at best, cores it used): of the same random matrices in either dtype."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((SIZE, SIZE)).astype(dtype) for _ in range(2))
    product, best, cores = np.empty_like(a), float("inf"), 0.0
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        backend.matmul(a, b, product)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if wall < best:
            best, cores = wall, cpu / wall
    return product, best, cores


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
