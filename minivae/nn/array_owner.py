"""Base of modules and criterions: a library, a dtype, and buffers of their own."""

from types import ModuleType
from typing import Any, Self, TypeAlias

from minivae import backend
from minivae.nn import checks

Value: TypeAlias = Any  # an array, or a table: a tuple of arrays


class ArrayOwner:
    """Something that computes with the arrays of one library in one dtype, into buffers that it owns."""

    state_names: tuple = ("output", "grad_input")  # attributes that a call computes
    varying_names: tuple = ()  # numbers that another step may have another of, and that it reads by `backend.varying`

    def __init__(self):
        self.backend = backend.current()
        self.dtype = backend.default_dtype()
        self.buffers = {}  # the arrays that this object owns and its calls overwrite, see `buffer`
        self.output = None
        self.grad_input = None

    @property
    def class_name(self) -> str:
        """The class as `repr` writes it: nn.Linear, but LeakyReLU for a class of one's own."""
        name = type(self).__name__
        return f"nn.{name}" if type(self).__module__.startswith("minivae.") else name

    @property
    def xp(self) -> ModuleType:
        """The array library: numpy or cupy."""
        return backend.array_library(self.backend)

    # -- conversions ------------------------------------------------------------------------------

    def to(self, name: str) -> Self:
        """Compute with the library "numpy" or "cupy" from now on; parameters move there, and buffers are dropped."""
        return self.convert(name, None)

    def cuda(self) -> Self:
        return self.to("cupy")

    def cpu(self) -> Self:
        return self.to("numpy")

    def float(self) -> Self:
        return self.convert(None, backend.FLOATS["float32"])

    def double(self) -> Self:
        return self.convert(None, backend.FLOATS["float64"])

    def convert(self, name: str | None, dtype: backend.DTypeLike | None) -> Self:
        """Compute with another library, or in another dtype, or both; None keeps what it is."""
        checks.expect_initialized(self)
        name, dtype = backend.usable(name, dtype)
        self.backend, self.dtype = name or self.backend, dtype or self.dtype
        return self.clear_state()

    def clear_state(self) -> Self:
        """Drop every buffer."""
        self.buffers.clear()
        for name in self.state_names:
            setattr(self, name, None)
        return self

    # -- buffers ----------------------------------------------------------------------------------

    def buffer(self, name: str, shape: tuple, batch: bool = True) -> backend.Array:
        """This object's array of that name, with this shape; its content is whatever the last call left.

        The storage is kept while it is large enough, so a step of training allocates nothing.  `batch` tells whether
        the first axis is the batch, as `backend.resize` wants to know.
        """
        self.buffers[name] = backend.resize(self.buffers.get(name), shape, self.dtype, self.backend, batch)
        return self.buffers[name]

    def buffer_like(self, name: str, array: backend.Array) -> backend.Array:
        """This object's array of that name, with the shape of another, and planes in the order of its memory."""
        if array.ndim < 3:
            return self.buffer(name, array.shape)
        order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
        back = sorted(range(array.ndim), key=order.__getitem__)
        return self.buffer(name, tuple(array.shape[axis] for axis in order)).transpose(back)
