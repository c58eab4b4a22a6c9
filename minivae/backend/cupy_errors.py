"""One line on a CuPy that does not work: the cause, and the cure."""

import os

INSTALL = "with an NVIDIA GPU: pip install -e '.[cuda12]', or cuda13 (nvidia-smi shows the driver's CUDA version)"
LIBRARIES = "a library of CUDA is missing; the wheel does not bring it alone: pip install 'cupy-cuda12x[ctk]', or 13x"

# (what the error says, what that means); the first that fits
CAUSES = (
    ("No module named 'pytest'", "this release of CuPy (14.1.0) cannot be imported without pytest; take another one: "
                                 "pip install -U 'cupy-cuda12x!=14.1.0', or 13x"),
    ("InsufficientDriver", "there is no NVIDIA driver, or one too old for this CuPy: where nvidia-smi fails, install "
                           "it; where it shows a CUDA version below the wheel's, update it or take the other wheel"),
    ("NoDevice", "the driver sees no NVIDIA GPU"),
    ("nvrtc", f"NVRTC, which compiles CuPy's kernels: {LIBRARIES}"),
    ("cannot open shared object file", LIBRARIES),
    ("Could not find module", LIBRARIES),  # the same on Windows
    ("numpy.dtype size changed", "CuPy was built for another NumPy: pip install -U --force-reinstall the CuPy wheel"),
    ("out of memory", "the GPU's memory is full: nvidia-smi shows by whom"),
    ("MemoryAllocation", "the GPU's memory is full: nvidia-smi shows by whom"),
)


def explain(error):
    """One line on why CuPy does not work: `error` is what it raised."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
        return f"CuPy is not installed; {INSTALL}"
    wheels = installed_wheels()
    if len(wheels) > 1:
        return (f"{len(wheels)} CuPy wheels are installed, which break one another: pip uninstall -y "
                f"{' '.join(wheels)}, then install the one of your CUDA version")
    said = f"{type(error).__name__}: {error}"
    meaning = next((meaning for sign, meaning in CAUSES if sign in said), "CuPy is installed but does not work")
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if "sees no" in meaning and hidden is not None:
        meaning += f"; CUDA_VISIBLE_DEVICES={hidden!r} hides those that it does not name"
    return f"{meaning} ({' '.join(said.split())})"


class NoDevice(Exception):
    """CuPy works, and counts no GPU."""


def installed_wheels():
    """The names of all CuPy packages here: cupy, cupy-cuda12x, ..."""
    import importlib.metadata  # here, because it would be a fifth of the time that importing minivae takes

    names = {(found.metadata["Name"] or "").lower() for found in importlib.metadata.distributions()}
    return sorted(name for name in names if name == "cupy" or name.startswith("cupy-cuda"))
