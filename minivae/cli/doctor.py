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
from minivae.cli import parsing
from minivae.errors import MinivaeError, OptionError

PACKAGES = ("numpy", "pillow", "tqdm", "matplotlib", "mpi4py", "cupy-cuda12x", "cupy-cuda13x", "torch")
VARIABLES = "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"
SIZE = 1536  # of the matrices that are multiplied


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser("doctor", help="say what is installed and what can run here",
                            description="Versions, backends (and why one cannot run), threads, the C compiler, "
                            "BLAS, and a check of float32 against float64 matrix products.")
    verb.add_argument("--json", action="store_true", help="print one object instead: minivae, python, platform, "
                      "packages, backends, environment, backend, dtype, threads, compiler, blas, products, agreement, "
                      "sound")
    verb.set_defaults(run=run, less="close other programs")


def run(args: argparse.Namespace) -> int:
    found = findings()
    print(parsing.as_json(found) if args.json else text(found))
    return 0 if found["sound"] else 1


def findings() -> dict[str, Any]:
    """What there is, as JSON has it; `sound`: float32 products agree with those of float64."""
    works = {name: backend.available(name) for name in backend.NAMES}
    found: dict[str, Any] = {
        "minivae": minivae.__version__, "python": platform.python_version(), "platform": platform.platform(),
        "packages": {package: _version(package) for package in PACKAGES},
        "backends": {name: {"works": each, "reason": reason} for name, (each, reason) in works.items()},
        "environment": None, "backend": None, "dtype": None, "threads": None, "compiler": None}
    wrong = []
    for name, find in {"backend": backend.current, "dtype": lambda: str(backend.default_dtype()),
                       "threads": _threads, "compiler": _compiler}.items():
        try:
            found[name] = find()
        except MinivaeError as error:  # of a variable of the environment: all else can still be found
            wrong.append(str(error))
    found["environment"] = "\n".join(wrong) or None
    library = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
    found["blas"] = {"name": library.get("name", "unknown"), "version": library.get("version", ""),
                     "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
                     "adding_function": blas.adding_function() or None}
    (single, *speed32), (double, *speed64) = _product(np.float32), _product(np.float64)
    found["products"] = {name: {"size": SIZE, "gflops": 2e-9 * SIZE**3 / seconds, "cores": cores}
                         for name, (seconds, cores) in (("float32", speed32), ("float64", speed64))}
    found["agreement"] = float(np.abs(single - double).max() / np.abs(double).max())
    return found | {"sound": found["agreement"] < 1e-5}


def text(found: dict[str, Any]) -> str:
    """The findings in lines."""
    lines = [f"{'minivae':<12} {found['minivae']} on Python {found['python']}, {found['platform']}"]
    lines += [f"{package:<12} {version or 'not installed'}" for package, version in found["packages"].items()] + [""]
    lines += [f"{name:<12} {'works' if each['works'] else 'cannot run here: ' + each['reason']}"
              for name, each in found["backends"].items()]
    if found["backend"]:
        lines.append(f"default      {found['backend']}, {found['dtype']}")
    lines += [f"{name:<12} {found[key]['words']}" for name, key in (("threads", "threads"), ("C compiler", "compiler"))
              if found[key]]
    lines += [f"environment  {line}" for line in (found["environment"] or "").splitlines()]
    library = found["blas"]
    lines += ["", f"BLAS         {library['name']} {library['version']}"]
    lines += [f"             {name}={value} is set, and changes its speed"
              for name, value in library["environment"].items()]
    function = library["adding_function"]
    lines.append(f"add_product  {function} adds to a gradient while it multiplies" if function else
                 "add_product  this BLAS shows no function that adds to a gradient: it gets each product in a second "
                 "pass")
    lines += [f"{name:<12} {each['gflops']:.0f} GFLOP/s on {each['cores']:.1f} cores, a {SIZE}×{SIZE} product"
              for name, each in found["products"].items()]
    return "\n".join([*lines, f"agreement    float32 differs from float64 by {found['agreement']:.1e} of the largest "
                      "entry: " + ("as it should" if found["sound"] else
                                   "too much, this BLAS cannot be trusted; reinstall numpy")])


def _threads():
    number, reason = threads.chosen()
    return {"number": number, "reason": reason, "words": threads.sentence()}


def _compiler():
    return {"works": compiled.work(), "words": compiled.sentence()}


def _product(dtype):
    """(the product, seconds it took at best, cores it used): of the same random matrices in either dtype."""
    random = np.random.default_rng(0)
    a, b = (random.standard_normal((SIZE, SIZE)).astype(dtype) for _ in range(2))
    product, best, cores, multiply = np.empty_like(a), float("inf"), 0.0, backend.matmul
    try:
        multiply(a, b, product)
    except OptionError:  # of the environment, which is said: NumPy alone needs none
        multiply = np.matmul
    for _ in range(3):
        wall, cpu = time.perf_counter(), time.process_time()
        multiply(a, b, product)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if wall < best:
            best, cores = wall, cpu / wall
    return product, best, cores


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
