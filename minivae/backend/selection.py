"""The array library, the dtype, and the two doors between host and device.

The only file that imports cupy.
"""

import os
import reprlib
from collections.abc import Sequence
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from minivae.backend.cupy_errors import NoDevice, explain
from minivae.errors import BackendError, DTypeError, OptionError

Array: TypeAlias = np.ndarray  # or one of CuPy's, which has the same attributes and methods

NAMES = ("numpy", "cupy")
FLOATS = {name: np.dtype(name) for name in ("float32", "float64")}  # the dtypes that modules compute in
OTHERS = np.matrix, np.ma.MaskedArray  # NumPy's arrays that multiply, index or sum in another way

_libraries: dict[str, ModuleType] = {"numpy": np}
_settings: dict[str, Any] = {"backend": None, "dtype": np.dtype(np.float32)}


def use(name: str) -> str:
    """Make `name` ("numpy", "cupy" or "auto") the library of modules and data made from now on.

    "auto" takes CuPy where it can run and says in one line why it does not; "cupy" that cannot run raises.
    """
    if name == "auto":
        works, reason = available("cupy")
        if not works:
            print(f"minivae: running on NumPy, because {reason}")
        name = "cupy" if works else "numpy"
    require(name)
    _settings["backend"] = name
    return name


def require(name: str) -> None:
    """Raise, with the reason, if that library cannot run here."""
    works, reason = available(name)
    if not works:
        raise BackendError(f"the {name} backend cannot run here: {reason}\n`minivae doctor` shows what is "
                           "installed; --backend numpy runs everything on the CPU")


def current() -> str:
    """Name of the library of modules and data made now; `MINIVAE_BACKEND` sets it from outside."""
    if _settings["backend"] is None:
        use(os.environ.get("MINIVAE_BACKEND") or "numpy")
    return _settings["backend"]


def available(name: str) -> tuple[bool, str]:
    """(True, "") if the library can do its work here, else (False, why not).  Finds out by doing."""
    if name not in NAMES:
        raise OptionError(f"unknown backend {reprlib.repr(name)}; choose one of numpy, cupy, auto")
    try:
        xp = array_library(name)
        if name == "cupy":  # missing libraries show at their first use, not at import
            if xp.cuda.runtime.getDeviceCount() == 0:
                raise NoDevice("CuPy counts 0 devices")
            ones = xp.ones((2, 2), dtype=np.float32)
            float(xp.matmul(ones, ones).sum())
    except Exception as error:  # whatever it is, it is the reason
        return False, explain(error)
    return True, ""


def array_library(name: str) -> ModuleType:
    """The module of that name, imported at its first use."""
    if name not in NAMES:
        raise OptionError(f"unknown backend {reprlib.repr(name)}; choose one of {', '.join(NAMES)}")
    if name not in _libraries:
        import cupy

        _libraries["cupy"] = cupy
    return _libraries[name]


def name_of(array: object, cure: str | None = None) -> str:
    """"numpy" or "cupy": whose array this is.  Anything else raises, and is told the cure."""
    for name, xp in _libraries.items():
        if isinstance(array, xp.ndarray) and not isinstance(array, OTHERS):
            return name
    several = isinstance(array, list) and any(isinstance(each, tuple) or getattr(each, "ndim", 0) for each in array)
    cure = array_cure(array, cure or (
        "several arrays are a table, which is a tuple: tuple(...) makes one" if several else
        "numpy.asarray(..., dtype='float32') makes one"))
    raise DTypeError(f"expected an array, got {type(array).__name__}; {cure}")


def array_cure(thing: object, usual: str) -> str:
    """What makes an array of a thing that is none: the usual, unless it is masked."""
    return "what is masked has no value here: x.filled(0) gives it one" if hasattr(thing, "filled") else usual


def default_dtype() -> np.dtype:
    """dtype of the parameters and buffers of modules made now: float32 unless set otherwise."""
    return _settings["dtype"]


def set_default_dtype(dtype: DTypeLike) -> None:
    """float32 or float64 for the modules made from now on."""
    _settings["dtype"] = float_dtype(dtype)


def float_dtype(dtype: DTypeLike) -> np.dtype:
    """A dtype that modules compute in, however it is written; raise if it is another."""
    try:
        name = None if dtype is None else np.dtype(dtype).name  # of None NumPy makes float64
    except (TypeError, ValueError):
        name = None
    if name not in FLOATS:
        raise OptionError(f"dtype {reprlib.repr(dtype)}; choose float32 or float64")
    return FLOATS[name]


def usable(name: str | None, dtype: DTypeLike | None) -> tuple[str | None, np.dtype | None]:
    """(library, dtype) to convert to, once both can be used; None stays None."""
    if name is not None:
        require(name)
    return name, None if dtype is None else float_dtype(dtype)


def to_numpy(array: Array) -> np.ndarray:
    """The array on the host: NumPy's own array as it is, a device array copied."""
    return array if isinstance(array, np.ndarray) else array_library(name_of(array)).asnumpy(array)


def to_floats(values: Sequence[Any]) -> list[float]:
    """The numbers as a list of floats: those on a device come to the host together, in one copy."""
    kinds = [isinstance(value, float | int | np.generic) for value in values]
    waiting = [value for value, host in zip(values, kinds) if not host]
    if waiting:
        xp = array_library(name_of(waiting[0]))
        waiting = to_numpy(xp.stack(waiting)).tolist()
    return [float(value) if host else waiting.pop(0) for value, host in zip(values, kinds)]


def number(value: Any) -> Any:
    """A number on the host as a float, one on a device as it is; of what is no number, None."""
    if isinstance(value, float | int | np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return float(value)
    return value if getattr(value, "ndim", None) == 0 else None


def from_numpy(array: np.ndarray, like: Array | str | None = None) -> Array:
    """A host array in the library, and on the device, of `like` (an array or a name; else the default)."""
    name = current() if like is None else like if isinstance(like, str) else name_of(like)
    return array if name == "numpy" else array_library(name).asarray(array)


def use_device(name: str, number: int) -> None:
    """Compute on the device of that number, counted round and round; NumPy has none."""
    if name != "numpy":
        cuda = array_library(name).cuda
        cuda.Device(number % cuda.runtime.getDeviceCount()).use()
