"""A stand-in for CuPy that runs on NumPy with CuPy's manners, for machines without a GPU.

It refuses what CuPy refuses: host arrays among device arrays, keywords that CuPy lacks, functions that are not on
its list; fills `empty` with NaN; keeps reductions on the device as arrays without axes; and counts kernel launches,
allocations, copies between host and device, and synchronisations.
"""

import collections
import types

import numpy as np

counts = collections.Counter()  # launches, allocations, host_to_device, device_to_host
NUMBERS = bool | int | float


class ndarray:
    """A device array: NumPy's numbers, which NumPy itself may not touch."""

    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, array, base=None):
        self._array, self.base = array, base

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    shape = property(lambda self: self._array.shape)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    dtype = property(lambda self: self._array.dtype)
    itemsize = property(lambda self: self._array.itemsize)
    strides = property(lambda self: self._array.strides)
    nbytes = property(lambda self: self._array.nbytes)
    flags = property(lambda self: self._array.flags)
    data = property(lambda self: types.SimpleNamespace(ptr=self._array.ctypes.data))
    T = property(lambda self: self._seen_as(self._array.T))

    def _seen_as(self, array):
        if not np.shares_memory(array, self._array) and array.size:
            _count(launches=1, allocations=1)
            return ndarray(array)
        return ndarray(array, self if self.base is None else self.base)

    def __len__(self):
        return len(self._array)

    def __getitem__(self, key):
        if isinstance(key, np.ndarray | list):
            raise TypeError("indexing by a host array copies it to the device each time")
        return self._seen_as(self._array[key])

    def __setitem__(self, key, value):
        _count(launches=1)
        self._array[key] = _inside(value)

    def reshape(self, *shape):
        return self._seen_as(self._array.reshape(*shape))

    def transpose(self, *axes):
        return self._seen_as(self._array.transpose(*axes))

    def view(self, dtype):
        return self._seen_as(self._array.view(dtype))

    def astype(self, dtype):
        return _fresh(self._array.astype(dtype))

    def copy(self):
        return _fresh(self._array.copy())

    def fill(self, value):
        _count(launches=1)
        self._array.fill(_inside(value))

    def sum(self, axis=None):
        return _fresh(np.asarray(self._array.sum(axis=axis)))

    def mean(self):
        return _fresh(np.asarray(self._array.mean()))

    def std(self, ddof=0):
        return _fresh(np.asarray(self._array.std(ddof=ddof)))

    def get(self, out=None):
        _count(device_to_host=1)
        if out is None:
            return self._array.copy()
        if type(out) is not np.ndarray or out.shape != self.shape or out.dtype != self.dtype:
            raise TypeError("out is a host array of the same kind")
        out[...] = self._array
        return out

    def set(self, array):
        _count(host_to_device=1)
        if type(array) is not np.ndarray or array.shape != self.shape or array.dtype != self.dtype:
            raise TypeError("set takes a host array of the same kind")
        self._array[...] = array

    def __float__(self):
        _count(device_to_host=1)
        return float(self._array)

    def __bool__(self):
        _count(device_to_host=1)
        return bool(self._array)

    def __deepcopy__(self, memo):
        return self.copy()


def _count(**events):
    if not _fusing:
        counts.update(events)


def _fresh(array):
    _count(launches=1, allocations=1)
    return ndarray(np.asarray(array))


def _inside(value):
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, np.ndarray | np.generic) or not isinstance(value, NUMBERS):
        raise TypeError(f"Unsupported type {type(value)}: a host value among device arrays")
    return value


def _operator(function, swap=False, inplace=False):
    def operate(self, other):
        a, b = (_inside(other), self._array) if swap else (self._array, _inside(other))
        if inplace:
            _count(launches=1)
            function(a, b, out=self._array, casting="same_kind")
            return self
        return _fresh(function(a, b))
    return operate


for _name, _function in {"add": np.add, "sub": np.subtract, "mul": np.multiply, "truediv": np.divide}.items():
    setattr(ndarray, f"__{_name}__", _operator(_function))
    setattr(ndarray, f"__r{_name}__", _operator(_function, swap=True))
    setattr(ndarray, f"__i{_name}__", _operator(_function, inplace=True))
for _name, _function in {"floordiv": np.floor_divide, "mod": np.remainder, "pow": np.power, "rpow": np.power}.items():
    setattr(ndarray, f"__{_name}__", _operator(_function, swap=_name.startswith("r")))
for _name, _function in {"lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
                         "eq": np.equal, "and": np.logical_and, "or": np.logical_or}.items():
    setattr(ndarray, f"__{_name}__", _operator(_function))
ndarray.__neg__ = lambda self: _fresh(np.negative(self._array))


def _function(function, keywords=("out",)):
    """A function of device arrays that takes the keywords CuPy has, and no others."""
    def call(*arguments, out=None, **options):
        if set(options) - set(keywords):
            raise TypeError(f"{function.__name__}: CuPy has no keyword {sorted(set(options) - set(keywords))}")
        if out is not None and not isinstance(out, ndarray):
            raise TypeError(f"{function.__name__}: out must be a device array")
        result = function(*map(_inside, arguments), **options, **({} if out is None else {"out": out._array}))
        if out is None:
            return _fresh(result)
        _count(launches=1)
        return out
    return call


for _name in ("exp", "log", "log1p", "expm1", "tanh", "sqrt", "abs", "maximum", "minimum", "subtract", "multiply",
              "divide", "matmul", "isfinite", "logical_not"):
    globals()[_name] = _function(getattr(np, _name))
where = _function(np.where, ())
sum = _function(np.sum, ("axis", "keepdims"))
take = _function(np.take, ("axis",))
max = _function(np.max, ("axis", "keepdims"))
argmax = _function(np.argmax, ("axis",))


def broadcast_to(array, shape):
    return array._seen_as(np.broadcast_to(array._array, shape))




def stack(arrays):
    return _fresh(np.stack([_inside(each) for each in arrays]))


def empty(shape, dtype):
    _count(allocations=1)
    array = np.empty(shape, dtype)
    array.fill(np.nan if array.dtype.kind == "f" else 255)
    return ndarray(array)


def ones(shape, dtype):
    return _fresh(np.ones(shape, dtype))


def arange(stop):
    return _fresh(np.arange(stop))


def asarray(array):
    _count(host_to_device=1, allocations=1)
    return ndarray(np.array(array))


def asnumpy(array):
    return array.get()


_fusing = []


def fuse(kernel_name):
    """Fused work is one launch and keeps what is between in registers."""
    def decorate(function):
        def kernel(*arguments):
            if not all(isinstance(each, ndarray | NUMBERS) for each in arguments):
                raise TypeError(f"{kernel_name}: a host array in a fused kernel")
            _count(launches=1)
            _fusing.append(kernel_name)
            try:
                return function(*arguments)
            finally:
                _fusing.pop()
        return kernel
    return decorate


class _Generator:
    """What the generators of NumPy and CuPy share; CuPy needs size= beside out=."""

    def __init__(self, seed):
        self._generator = np.random.default_rng(seed)

    def random(self, size, dtype, out=None):
        return self._fill(self._generator.random, size, dtype, out)

    def standard_normal(self, size, dtype, out=None):
        return self._fill(self._generator.standard_normal, size, dtype, out)

    def _fill(self, draw, size, dtype, out):
        if out is None:
            return _fresh(draw(size, dtype=dtype))
        _count(launches=1)
        out._array[...] = draw(size, dtype=dtype)
        return out


def _as_strided(array, shape, strides):
    return array._seen_as(np.lib.stride_tricks.as_strided(array._array, shape, strides))


lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=_as_strided))
random = types.SimpleNamespace(Generator=_Generator, XORWOW=lambda seed, size: seed)
devices = []  # whose number has been asked for


class Device:
    def __init__(self, number):
        if not 0 <= number < cuda.runtime.getDeviceCount():
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.number = number

    def use(self):
        devices.append(self.number)


cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=lambda: 2), Device=Device,
                             alloc_pinned_memory=lambda size: bytearray(size + 512))  # CuPy rounds up
