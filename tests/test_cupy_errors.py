"""A CuPy that does not work is explained in one line that says what to do."""

import importlib

import pytest

from minivae import backend
from minivae.backend import cupy_errors
from minivae.cli import main
from minivae.errors import BackendError

selection = importlib.import_module("minivae.backend.selection")


class CUDARuntimeError(RuntimeError):
    """The name and the texts are CuPy's."""


BROKEN = {
    "driver": (CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime "
                                "version"), "no NVIDIA driver.*nvidia-smi.*update it"),
    "device": (CUDARuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected"), "sees no NVIDIA GPU"),
    "NVRTC": (RuntimeError("CuPy failed to load libnvrtc.so.12: OSError: libnvrtc.so.12: cannot open shared object "
                           "file: No such file or directory"), r"NVRTC.*cupy-cuda12x\[ctk\]"),
    "NVRTC on Windows": (RuntimeError("CuPy failed to load nvrtc64_120_0.dll: FileNotFoundError: Could not find module "
                                      "'nvrtc64_120_0.dll'"), r"NVRTC.*cupy-cuda12x\[ctk\]"),
    "cuBLAS": (ImportError("libcublas.so.12: cannot open shared object file: No such file or directory"),
               r"library of CUDA is missing.*\[ctk\]"),
    "pytest": (ModuleNotFoundError("No module named 'pytest'", name="pytest"), "14.1.0.*another one"),
    "NumPy": (ValueError("numpy.dtype size changed, may indicate binary incompatibility"), "built for another NumPy"),
    "memory": (CUDARuntimeError("cudaErrorMemoryAllocation: out of memory"), "memory is full"),
    "anything": (RuntimeError("what nobody\nhas seen"), r"does not work \(RuntimeError: what nobody has seen\)"),
}


@pytest.fixture
def broken(monkeypatch):
    """Make CuPy raise an error wherever it is imported, with these wheels installed."""
    def set_up(error, wheels=("cupy-cuda12x",)):
        plain = selection.array_library

        def library(name):
            if name == "cupy":
                raise error
            return plain(name)

        monkeypatch.setattr(selection, "array_library", library)
        monkeypatch.setattr(cupy_errors, "installed_wheels", lambda: list(wheels))
    return set_up


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_said_with_what_to_do(broken, case):
    error, message = BROKEN[case]
    broken(error)
    works, reason = backend.available("cupy")
    assert not works and "\n" not in reason and len(reason) < 400
    with pytest.raises(BackendError, match=f"cannot run here: .*{message}"):
        backend.use("cupy")


def test_two_wheels_are_named(broken):
    broken(*BROKEN["driver"][:1], wheels=("cupy-cuda12x", "cupy-cuda13x"))
    assert "pip uninstall -y cupy-cuda12x cupy-cuda13x" in backend.available("cupy")[1]


def test_a_hidden_device_is_said_to_be_hidden(broken, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    broken(BROKEN["device"][0])
    assert "CUDA_VISIBLE_DEVICES='' hides" in backend.available("cupy")[1]


def test_doctor_says_it_and_auto_goes_on(broken, capsys):
    broken(BROKEN["NVRTC"][0])
    assert main(["doctor"]) == 0
    assert "NVRTC" in capsys.readouterr().out
    assert backend.use("auto") == "numpy"
    out = capsys.readouterr().out
    assert out.startswith("minivae: running on NumPy, because ") and out.count("\n") == 1


def test_the_wheels_here_are_found():
    import importlib.metadata

    here = {each.metadata["Name"] for each in importlib.metadata.distributions()}
    assert set(cupy_errors.installed_wheels()) == {name for name in here if name.startswith("cupy")}
