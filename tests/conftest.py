"""The start that all tests share: one seed, one backend, float32."""

import gzip
import hashlib
import importlib
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import strict_cupy
from PIL import Image

from minivae import backend
from minivae.backend import blas, cublas
from minivae.figures import codes, curves, style

selection = importlib.import_module("minivae.backend.selection")
GPU, REASON = backend.available("cupy")
CUPY = [pytest.param("cupy", marks=pytest.mark.gpu)] if GPU else []  # test_cupy.py says so where there is none
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a hundred processes would each compile all of minivae anew
SEED = int(os.environ.get("MINIVAE_TEST_SEED", "0"))  # no test may hang on it


@pytest.fixture(autouse=True)
def same_start(tmp_path_factory):
    """Every test starts from one seed on NumPy, whatever ran before it and whatever the environment says."""
    backend.use("numpy")
    backend.set_default_dtype("float32")
    backend.manual_seed(SEED)
    before, path, modules = surroundings(), sys.path[:], set(sys.modules)
    yield
    backend.set_default_dtype("float32")
    backend.compile(None)
    forget_files(tmp_path_factory.getbasetemp(), path, modules)
    assert surroundings() == before, "the test leaves the process otherwise than it found it"


def forget_files(folder, path, modules):
    """What was imported from this folder could be found by a later test, whose file of that name holds other lines."""
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]


def surroundings():
    """What one test could change for those after it."""
    environment = {name: os.environ[name] for name in os.environ  # libraries add words of their own
                   if name.startswith(("MINIVAE_", "OPENBLAS_", "OMP_", "PYTHON", "HOME", "XDG_"))}
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    return blas.one_thread(), cores, np.geterr(), os.getcwd(), sys.path[:], environment


@pytest.fixture(params=["numpy", "strict", *CUPY])
def library(request, monkeypatch):
    """The array library that a test makes its modules and arrays in: NumPy, the stand-in for CuPy, CuPy on a GPU."""
    yield use_library(request.param, monkeypatch)
    backend.use("numpy")


@pytest.fixture(params=["strict", *CUPY])
def device(request, monkeypatch):
    """The stand-in for CuPy, and CuPy on a GPU; modules and data are made on NumPy unless a test says otherwise."""
    yield use_library(request.param, monkeypatch)
    backend.use("numpy")


def use_library(name, monkeypatch):
    if name == "strict":
        monkeypatch.setitem(selection._libraries, "cupy", strict_cupy)
        monkeypatch.setitem(cublas._libraries, strict_cupy, strict_cupy.cublas)
    backend.use("numpy" if name == "numpy" else "cupy")
    return name


@pytest.fixture(autouse=True, scope="session")
def at_once():
    """No power is cut, so nothing waits for the disk; and curves, most of a training's time, stay blank."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        for module in (codes, curves):
            patch.setattr(module, "rendered", lambda figure: Image.new("RGB", (9, 5), "white"))
        yield


@pytest.fixture
def rendering(monkeypatch):
    """Figures of matplotlib are rendered."""
    for module in (codes, curves):
        monkeypatch.setattr(module, "rendered", style.rendered)


@pytest.fixture
def no_curves(monkeypatch, tmp_path_factory):
    """Other processes find no matplotlib: its import and its curve are most of the time of a short training."""
    folder = tmp_path_factory.mktemp("without")
    (folder / "matplotlib.py").write_text("raise ImportError")
    others = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *others]))


@pytest.fixture
def without_rights(tmp_path_factory):
    """The beginning of a command that may read and write no more than its files' modes allow, even of root."""
    if not hasattr(os, "geteuid"):
        pytest.skip("Windows has no modes")
    rights, command, shut = "-dac_override,-dac_read_search", [], tmp_path_factory.mktemp("shut")
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root may do anything, and there is no setpriv to take that away")
        command = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]
    shut.chmod(0)
    done = subprocess.run([*command, "ls", str(shut)], capture_output=True)
    shut.chmod(0o755)
    if not done.returncode:
        pytest.skip("this process may do anything")
    return command


@pytest.fixture
def small_mnist(tmp_path, monkeypatch):
    """A folder of four files as MNIST's, of 150 and 50 images of noise, which `mnist` takes for the real ones."""
    mnist = importlib.import_module("minivae.data.mnist")
    folder, random, files = tmp_path / "files", np.random.default_rng(0), {}
    folder.mkdir()
    for split, n in (("train", 150), ("test", 50)):
        images = (random.random((n, 28, 28)) * random.integers(0, 256, (28, 28))).astype(np.uint8)
        labels = random.integers(0, 10, n).astype(np.uint8)
        files[split] = []
        for file, array in zip(mnist.FILES[split], (images, labels)):
            content = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
            files[split].append(mnist.File(file.name, len(content), hashlib.md5(content).hexdigest()))
            (folder / f"{file.name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(mnist, "FILES", files)
    return folder


@pytest.fixture(scope="session")
def real_mnist():
    """The folder of MNIST's files; tests that need them are skipped where MINIVAE_DATA does not name it."""
    if not os.environ.get("MINIVAE_DATA"):
        pytest.skip("MNIST is not here: set MINIVAE_DATA to the folder of its four files")
    return os.environ["MINIVAE_DATA"]


@pytest.fixture(scope="module")
def chromium():
    """The Chromium that is installed, driven by Playwright; without them the tests of pages are skipped."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install -e "
                                   "\".[browser]\" runs the pages in a browser")
    path = next((found for name in CHROMIUM if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip("Chromium is not installed (apt-get install chromium): the pages are not run in a browser")
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if root else [])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """A function: options of a browser context -> an empty page; it may ask for files only, and complain of nothing."""
    wrong, contexts = [], []

    def opened(**options):
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: wrong.append(request.url) if not request.url.startswith(("file:", "data:"))
                else None)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
