"""The contract of every layer (torch/nn Module)."""

from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any, Self, TypeVar

from minivae import backend
from minivae.errors import (
    OptionError,
    ShapeError,
    a_function,
    instance,
    missing,
    real_number,
    several,
    truth,
    whole_number,
)
from minivae.nn import checks, copying, flat_parameters
from minivae.nn.array_owner import ArrayOwner, Value
from minivae.nn.inventory import Inventory

Found = TypeVar("Found")


class Module(ArrayOwner):
    """A function with a hand-written forward and backward pass.

    A layer defines three verbs, each called with the same `input`:

        update_output(input)                             y = f(x), into `output`
        update_grad_input(input, grad_output)            ∂L/∂x from ∂L/∂y, into `grad_input`, overwritten
        acc_grad_parameters(input, grad_output, scale)   adds scale · ∂L/∂w to the gradients of the parameters

    Arrays have the batch first.  A table (several arrays, such as mean and log-variance) is a tuple.
    `output` and `grad_input` are buffers that the module owns and its next call overwrites: copy to keep.
    """

    parameter_names: tuple = ()  # attributes that are learned; grad_NAME holds the gradient of each
    statistic_names: tuple = ()  # kept and copied as parameters are, but measured and not learned: running_mean
    state_names: tuple = ("input", "output", "grad_output", "grad_input", "noise")  # set by a call, see `clear_state`
    _inventory = None  # what it consisted of when it was last looked at

    def __init__(self):
        super().__init__()
        checks.expect_names(self)
        self.path = ""  # where it stands in the model, such as "encoder.2"; containers set it
        self.train = True
        self.holding_noise = False
        self.flat = None  # (flat, flat_grad) once `get_parameters` has been called
        self.input = self.grad_output = None  # what the last pass was given
        self.noise = None  # what a random layer drew

    # -- the verbs --------------------------------------------------------------------------------

    def __call__(self, input: Value) -> Value:
        return self.forward(input)

    def forward(self, input: Value) -> Value:
        """The output for `input`.  After a change of the module the rules are checked first."""
        self.inventory()
        return self.run(input)

    def run(self, input: Value) -> Value:
        """As `forward`, without the checks: containers call it, whose own `forward` has made them."""
        self.input = input
        self.output = self.update_output(input)
        return self.output

    def backward(self, input: Value, grad_output: Value, scale: float = 1, need_grad_input: bool = True) -> Value:
        """∂L/∂input, and scale · ∂L/∂w added to the gradients.  `input` is the one just given to `forward`.

        With `need_grad_input=False`, for the first module of a model, ∂L/∂input is not computed and None is
        returned.
        """
        self.expect_same_input(input)
        self.grad_input = self.update_grad_input(input, grad_output) if need_grad_input else None
        self.acc_grad_parameters(input, grad_output, scale)
        return self.grad_input

    def update_output(self, input: Value) -> Value:
        raise missing(self, "update_output")

    def update_grad_input(self, input: Value, grad_output: Value) -> Value:
        raise missing(self, "update_grad_input")

    def acc_grad_parameters(self, input: Value, grad_output: Value, scale: float = 1) -> None:
        """Nothing to add: a layer with parameters overrides this."""

    # -- the modules inside -----------------------------------------------------------------------

    def children(self) -> list[tuple[str, "Module"]]:
        """[(name, module), ...]: the modules directly inside this one."""
        return []

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """(path, module) of this module and of every module inside it, in order; each module once."""
        seen, waiting = set(), [(prefix, self)]
        while waiting:
            path, module = waiting.pop()
            if id(module) not in seen:
                checks.expect_initialized(module)
                seen.add(id(module))
                yield path, module
                waiting += [(f"{path}.{name}" if path else name, child) for name, child in reversed(module.children())]

    def list_modules(self) -> list["Module"]:
        """This module and every module inside it."""
        return [module for _, module in self.named_modules()]

    def find_modules(self, cls: type[Found]) -> list[Found]:
        """Every module of class `cls`, in order.

        >>> len(nn.Sequential(nn.Linear(3, 2), nn.Sequential(nn.Linear(2, 1))).find_modules(nn.Linear))
        2
        """
        modules = self.list_modules()
        try:
            return [module for module in modules if isinstance(module, cls)]
        except TypeError as error:
            raise OptionError(f"{self.title}: find_modules takes a class, such as nn.Linear, got an instance of "
                              f"{type(cls).__name__}") from error

    def inventory(self) -> Inventory:
        """The parts of the module.  The first call after a change lists them anew and checks the rules for them."""
        if self._inventory is None or not self._inventory.holds(self):
            self._inventory = Inventory(self)
        return self._inventory

    def replace(self, function: Callable[["Module"], "Module"]) -> "Module":
        """Put function(module) in the place of every module inside this one, and return it for this one.

        The innermost come first, so that what a function puts around a module is not visited.
        """
        return a_function("replace", "function", function)(self)

    def apply(self, function: Callable[["Module"], Any]) -> Self:
        """Call function(module) for this module and every module inside it."""
        a_function("apply", "function", function)
        for module in self.list_modules():
            function(module)
        return self

    # -- parameters -------------------------------------------------------------------------------

    def new_parameter(self, name: str, shape: tuple) -> None:
        """Give the module a parameter that `parameter_names` lists, and its gradient, both zero."""
        checks.expect_initialized(self)
        checks.expect_listed(self, name)
        shape = tuple(whole_number("new_parameter", "shape", size) for size in several(
            "new_parameter", "shape", shape, "is a tuple of sizes"))
        for attribute in (name, "grad_" + name):
            array = backend.empty(shape, self.dtype, self.backend)
            array.fill(0)
            setattr(self, attribute, array)

    def named_parameters(self) -> Iterator[tuple[str, backend.Array, backend.Array]]:
        """(path, array, gradient) of every parameter, such as "encoder.0.weight"; shared ones appear again."""
        for path, module in self.named_modules():
            for name in flat_parameters.names(module):
                yield f"{path}.{name}" if path else name, getattr(module, name), getattr(module, "grad_" + name)

    def named_arrays(self) -> Iterator[tuple[str, backend.Array]]:
        """(path, array) of all that a `state_dict` holds: parameters, and statistics of the data."""
        for path, module in self.named_modules():
            for name in (*flat_parameters.names(module), *flat_parameters.statistics(module)):
                yield f"{path}.{name}" if path else name, getattr(module, name)

    def parameters(self) -> tuple[list[backend.Array], list[backend.Array]]:
        """(list of parameters, list of their gradients); a shared parameter is listed once."""
        inventory = self.inventory()
        return list(inventory.parameters), list(inventory.grads)

    def get_parameters(self) -> tuple[backend.Array, backend.Array]:
        """(flat, flat_grad): every parameter, and every gradient, becomes a view of one vector.

        Called again, or on a part of the model, it returns views of the same storage.

        >>> layer = nn.Linear(3, 2)
        >>> flat, flat_grad = layer.get_parameters()
        >>> flat[:] = 7
        >>> layer.bias.tolist()
        [7.0, 7.0]
        """
        return flat_parameters.flatten(self)

    def zero_grad_parameters(self) -> None:
        """Set the gradients to zero; nothing else does."""
        for grad in self.inventory().whole_grads:
            backend.clear(grad)

    def update_parameters(self, learning_rate: float) -> None:
        """w ← w − learning_rate · ∂L/∂w"""
        rate = real_number("update_parameters", "learning_rate", learning_rate, "is a finite number", above=-inf,
                           below=inf)
        for array, grad in zip(*self.parameters()):
            backend.elementwise(_descend, array, grad, rate)

    def reset(self) -> None:
        """Draw new parameters; what was learned is lost."""
        for _, child in self.children():
            child.reset()

    def state_dict(self) -> dict[str, backend.Array]:
        """{path: copy on the host} of every parameter, and of what is measured beside them, such as running_mean."""
        self.inventory()
        return {path: backend.to_numpy(array).copy() for path, array in self.named_arrays()}

    def load_state_dict(self, state: Mapping[str, backend.Array]) -> None:
        """Copy a `state_dict` into the parameters.  All of it is checked before anything is written."""
        copying.load(self, state)

    # -- modes ------------------------------------------------------------------------------------

    def training(self) -> Self:
        """Training mode: noise layers add noise."""
        return self.apply(lambda module: setattr(module, "train", True))

    def evaluate(self) -> Self:
        """Evaluation mode: noise layers pass through, relaxed codes become hard, statistics are the running ones."""
        return self.apply(lambda module: setattr(module, "train", False))

    def hold_noise(self, on: bool = True) -> Self:
        """Random layers reuse what they drew, so that repeated calls evaluate one function.

        >>> layer, x = nn.GaussianNoise().hold_noise(), np.zeros((1, 3), np.float32)
        >>> np.array_equal(layer(x).copy(), layer(x))
        True
        """
        held = truth("hold_noise", "on", on)
        return self.apply(lambda module: setattr(module, "holding_noise", held))

    # -- copies and conversions -------------------------------------------------------------------

    def convert(self, name: str | None, dtype: backend.DTypeLike | None) -> Self:
        """Move the parameters to another library, or dtype, or both, and drop the buffers."""
        return copying.convert(self, name, dtype)

    def clear_state(self) -> Self:
        """Drop every buffer, so that a copy or a file holds the parameters only."""
        return self.apply(ArrayOwner.clear_state)

    def share(self, other: "Module", *names: str) -> Self:
        """Use the parameters of another module of the same build, such as "weight" and "bias", and their gradients.

        A shared parameter counts once in a model that holds both modules.  Put both in one model before you call
        get_parameters, to, float or double: these move parameters, and another model that shares them either follows
        at its next call or raises, with the cure.
        """
        return copying.share(self, instance("share", "other", other, Module), names)

    def clone(self, share: str | tuple = ()) -> Self:
        """A deep copy; parameters named in `share`, such as ("weight", "bias"), stay this module's own: see `share`.

        >>> layer = nn.Linear(3, 2)
        >>> twin = layer.clone(share=("weight", "bias"))
        >>> twin.weight is layer.weight, layer.clone().weight is layer.weight
        (True, False)
        """
        return copying.clone(self, share)

    def __getstate__(self):
        """The attributes that copy and pickle take along; the new module lists its parts itself."""
        flat_parameters.unique(self)  # raises where views share memory, which copies would not
        return self.__dict__ | {"_inventory": None}

    def __setstate__(self, state):
        self.__dict__.update(state)
        flat_parameters.settle(self)

    # -- what layers use --------------------------------------------------------------------------

    def draw(self, fill: Callable[[backend.Array], Any], shape: tuple) -> backend.Array:
        """The noise of this call: fill(noise) with fill such as `backend.standard_normal`, or what is held."""
        if self.holding_noise and self.noise is not None:
            if self.noise.shape != shape:
                raise ShapeError(f"{self.title}: holds noise of shape {self.noise.shape}, this input needs {shape}; "
                                 "hold_noise(False) lets it draw anew")
            return self.noise
        self.noise = self.buffer("noise", shape)
        return fill(self.noise)

    def expect(self, what: str, array: Any, shape: tuple | None = None) -> None:
        """Raise unless `array` is this module's kind of array and has this shape, such as ("N", 784).

        A letter stands for any size; `shape=None` allows any shape that has a batch axis.
        """
        checks.expect_array(self, what, array, shape)

    def expect_table(self, what: str, table: Any, length: int) -> None:
        """Raise unless `table` is a tuple of that many arrays (or tables)."""
        checks.expect_table(self, what, table, length)

    def expect_grad_output(self, grad_output: Any, shape: tuple | None = None) -> None:
        """Raise unless `forward` came first and `grad_output` has the shape of the output (or `shape`)."""
        checks.expect_grad_output(self, grad_output, shape)

    def expect_same_input(self, input: Value) -> None:
        """Raise unless `input` has the shape of what `forward` was given."""
        checks.expect_same_input(self, input)

    # -- what is printed --------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The text in the brackets of `repr`, such as "784 -> 400"."""
        return ""

    def __repr__(self):
        extra = self.extra_repr()
        return f"{self.class_name}" + (f"({extra})" if extra else "")

    @property
    def title(self) -> str:
        """The name in errors and tables: path, class and sizes on one line, "encoder.2 Linear(784 -> 400)"."""
        extra = self.extra_repr()
        name = type(self).__name__ + (f"({extra})" if extra else "")
        return f"{self.path} {name}" if self.path else name


def _descend(xp, w, grad, learning_rate):
    w -= learning_rate * grad
