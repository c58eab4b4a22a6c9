"""A stand-in for CuPy that runs on NumPy with CuPy's manners, for machines without a GPU.

It refuses what CuPy refuses: host arrays among device arrays, keywords that CuPy lacks, functions that are not on
its list; fills `empty` with NaN; keeps reductions on the device as arrays without axes; and counts kernel launches,
allocations, copies between host and device, and synchronisations.

A stream records as CUDA's does: what is launched meanwhile is not done but put down, with its arrays and its numbers,
and a graph does it.  Then a copy to or from the host, a synchronisation, CuPy's own matmul and memory that is not of a
pool raise.
"""

import collections
import contextlib
import threading
import types

import numpy as np
import philox
import strict_cublas

counts = collections.Counter()  # launches, allocations, host_to_device, device_to_host
NUMBERS = bool | int | float


class _Thread(threading.local):
    """What a thread is in."""

    def __init__(self):
        self.recording = []  # the graph that its stream makes
        self.running = []  # kernels and graphs, whose parts do not count
        self.pools = []  # the allocators in use
        self.streams = [Stream()]



class Refused(RuntimeError):
    """What CUDA does not do while a stream records."""


class ndarray:
    """A device array: NumPy's numbers, which NumPy itself may not touch."""

    __array_ufunc__ = None
    __hash__ = None

    def __init__(self, array, base=None, *, memptr=None, strides=None):
        if memptr is not None:  # array and base are a shape and a dtype: another view of memory
            seen = {"shape": array, "typestr": base.str, "data": (memptr.ptr, False), "strides": strides, "version": 3}
            array, base = np.asarray(types.SimpleNamespace(__array_interface__=seen)), memptr.owner
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
    data = property(lambda self: types.SimpleNamespace(ptr=self._array.ctypes.data, owner=self))
    T = property(lambda self: self._seen_as(self._array.T))

    def _seen_as(self, array):
        return ndarray(array, self if self.base is None else self.base)

    def __len__(self):
        return len(self._array)

    def __getitem__(self, key):
        if isinstance(key, np.ndarray | list):
            raise TypeError("indexing by a host array copies it to the device each time")
        seen = self._array[key]
        if np.ndim(seen) == 0:  # CuPy's is a view
            seen = self._array[(*key, ...) if isinstance(key, tuple) else (key, ...)]
        return self._seen_as(seen)

    def __setitem__(self, key, value):
        value = _inside(value)
        _launch(lambda: self._array.__setitem__(key, value), value)

    def reshape(self, *shape):
        if self.size and not np.shares_memory(self._array.reshape(*shape), self._array):
            return _fresh(lambda: self._array.reshape(*shape))
        return self._seen_as(self._array.reshape(*shape))

    def transpose(self, *axes):
        return self._seen_as(self._array.transpose(*axes))

    def swapaxes(self, a, b):
        return self._seen_as(self._array.swapaxes(a, b))

    def view(self, dtype):
        return self._seen_as(self._array.view(dtype))

    def astype(self, dtype):
        return _fresh(lambda: self._array.astype(dtype))

    def copy(self):
        return _fresh(self._array.copy)

    def fill(self, value):
        value = _inside(value)
        _launch(lambda: self._array.fill(value), value)

    def sum(self, axis=None):
        return _fresh(lambda: self._array.sum(axis=axis))

    def mean(self):
        return _fresh(self._array.mean)

    def std(self, ddof=0):
        return _fresh(lambda: self._array.std(ddof=ddof))

    def get(self, out=None):
        _copy(device_to_host=1)
        if out is None:
            return self._array.copy()
        if type(out) is not np.ndarray or out.shape != self.shape or out.dtype != self.dtype:
            raise TypeError("out is a host array of the same kind")
        out[...] = self._array
        return out

    def set(self, array, stream=None):
        _copy(host_to_device=1)
        if type(array) is not np.ndarray or array.shape != self.shape or array.dtype != self.dtype:
            raise TypeError("set takes a host array of the same kind")
        self._array[...] = array

    def __float__(self):
        _copy(device_to_host=1)
        return float(self._array)

    def __bool__(self):
        _copy(device_to_host=1)
        return bool(self._array)

    def __deepcopy__(self, memo):
        return self.copy()


def _count(**events):
    if not _thread.running:
        counts.update(events)


def _copy(**events):
    if _thread.recording:
        raise Refused("operation not permitted when stream is capturing: a copy between host and device")
    _count(**events)


def _launch(work, *numbers):
    """Do some work on arrays, or put it down: a number that it was given is that of the moment."""
    _count(launches=1)
    if _thread.recording and not _thread.running:
        _thread.recording[-1].add(work, numbers)
    else:
        work()


def _fresh(compute, numbers=()):
    """A new array of what compute() gives."""
    if not _thread.recording or _thread.running:
        _count(launches=1, allocations=1)
        return ndarray(np.asarray(compute()))
    with np.errstate(all="ignore"):
        made = np.array(compute())  # of what happens to be in memory, for the shape and the dtype
    array = empty(made.shape, made.dtype)
    _launch(lambda: np.copyto(array._array, compute()), *numbers)
    return array


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
            _launch(lambda: function(a, b, out=self._array, casting="same_kind"), other)
            return self
        return _fresh(lambda: function(a, b), (other,))
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
ndarray.__neg__ = lambda self: _fresh(lambda: np.negative(self._array))


def _function(function, keywords=("out",)):
    """A function of device arrays that takes the keywords CuPy has, and no others."""
    def call(*arguments, out=None, **options):
        if set(options) - set(keywords):
            raise TypeError(f"{function.__name__}: CuPy has no keyword {sorted(set(options) - set(keywords))}")
        if out is not None and not isinstance(out, ndarray):
            raise TypeError(f"{function.__name__}: out must be a device array")
        if function is np.matmul and _thread.recording:
            raise Refused("calling cuBLAS API during stream capture is currently unsupported")
        inside = list(map(_inside, arguments))
        if out is None:
            return _fresh(lambda: function(*inside, **options), arguments)
        _launch(lambda: function(*inside, **options, out=out._array), *arguments)
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
    _copy()  # of their addresses
    return _fresh(lambda: np.stack([_inside(each) for each in arrays]))


def empty(shape, dtype):
    if _thread.recording and not _thread.pools:
        raise Refused("operation not permitted when stream is capturing: memory that no pool keeps")
    _count(allocations=1)
    array = np.empty(shape, dtype)
    array.fill(np.nan if array.dtype.kind == "f" else 255)
    return ndarray(array)


def ones(shape, dtype):
    return _fresh(lambda: np.ones(shape, dtype))


def arange(stop):
    return _fresh(lambda: np.arange(stop))


def asarray(array):
    _copy(host_to_device=1, allocations=1)
    return ndarray(np.array(array))


def may_share_memory(one, other):
    """By their addresses, which the host knows."""
    return np.may_share_memory(one._array, other._array)


def asnumpy(array):
    return array.get()




def fuse(kernel_name):
    """Fused work is one launch and keeps what is between in registers."""
    def decorate(function):
        def kernel(*arguments):
            if not all(isinstance(each, ndarray | NUMBERS) for each in arguments):
                raise TypeError(f"{kernel_name}: a host array in a fused kernel")
            def run(*arguments):
                _thread.running.append(kernel_name)
                try:
                    return function(*arguments)
                finally:
                    _thread.running.pop()

            with np.errstate(all="ignore"):
                result = run(*map(_copied, arguments)) if _thread.recording and not _thread.running else None
            if result is None:
                made = []
                _launch(lambda: made.append(run(*arguments)), *arguments)
                if not _thread.recording or _thread.running:
                    return made[0]
                return None
            return _fresh(lambda: run(*arguments)._array, arguments)
        return kernel
    return decorate


def _copied(argument):
    return ndarray(argument._array.copy()) if isinstance(argument, ndarray) else argument


def ElementwiseKernel(inputs, output, operation, name, preamble=""):
    """The kernels that are written in CUDA's C++: here by their names, in NumPy."""
    function = {"minivae_random": _drawn(philox.uniform), "minivae_standard_normal": _drawn(philox.normal),
                "minivae_gather": _gathered}[name]

    def kernel(*arguments):
        inside = list(map(_inside, arguments))
        _launch(lambda: function(*inside), *arguments)
    return kernel


def _drawn(function):
    def draw(key, number, out):
        out[...] = function(int(key), int(number), out.shape, out.dtype)
    return draw


def _gathered(array, indices, width, scale, out):
    out[...] = array.reshape(-1, width)[indices].reshape(out.shape).astype(out.dtype) * out.dtype.type(scale)


def _as_strided(array, shape, strides):
    return array._seen_as(np.lib.stride_tricks.as_strided(array._array, shape, strides))


lib = types.SimpleNamespace(stride_tricks=types.SimpleNamespace(as_strided=_as_strided))
devices = []  # whose number has been asked for


class Device:
    def __init__(self, number):
        if not 0 <= number < cuda.runtime.getDeviceCount():
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self.number = number

    def use(self):
        devices.append(self.number)


class Graph:
    """Work that has been put down, and the numbers that went into it."""

    def __init__(self):
        self.work, self.numbers = [], []

    def add(self, work, numbers):
        self.work.append(work)
        self.numbers.append([each for each in numbers if isinstance(each, NUMBERS)])

    def launch(self):
        _launch(self._run)

    def _run(self):
        _thread.running.append("graph")
        try:
            for work in self.work:
                work()
        finally:
            _thread.running.pop()


class Stream:
    def __init__(self, non_blocking=False):
        self.ptr = id(self) if non_blocking else 0

    def __enter__(self):
        _thread.streams.append(self)

    def __exit__(self, *_):
        _thread.streams.pop()

    def begin_capture(self, mode):
        if self.ptr == 0 or _thread.recording:
            raise Refused("cannot capture on the default stream")
        _thread.recording.append(Graph())

    def end_capture(self):
        graph = _thread.recording.pop()
        graphs.append(graph)
        return graph

    def synchronize(self):
        if _thread.recording:
            raise Refused("operation not permitted when stream is capturing: a synchronisation")
        counts.update(synchronisations=1)


class MemoryPool:
    def malloc(self, size):
        """The stand-in takes its memory elsewhere."""

    def total_bytes(self):
        return 0


@contextlib.contextmanager
def _using_allocator(allocator):
    _thread.pools.append(allocator)
    try:
        yield
    finally:
        _thread.pools.pop()


_thread = _Thread()
graphs = collections.deque(maxlen=4)  # the last that have been recorded
cuda = types.SimpleNamespace(
    runtime=types.SimpleNamespace(getDeviceCount=lambda: 2, runtimeGetVersion=lambda: 12090,
                                  streamCaptureModeThreadLocal=1),
    Device=Device, Stream=Stream, MemoryPool=MemoryPool, using_allocator=_using_allocator,
    get_current_stream=lambda: _thread.streams[-1], get_device_id=lambda: 0, get_cublas_handle=lambda: 0,
    alloc_pinned_memory=lambda size: bytearray(size + 512))  # CuPy rounds up
cublas = strict_cublas.StrictCublas(lambda work: _launch(work))
