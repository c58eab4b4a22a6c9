"""Checks of the state and the gradient that a caller gives to an optimiser."""

import reprlib
from collections.abc import Callable
from math import inf
from typing import Any, TypeAlias

from minivae import backend
from minivae.errors import (
    DTypeError,
    MinivaeError,
    OptionError,
    ShapeError,
    a_function,
    as_float,
    instance,
    truth,
    whole_number,
)
from minivae.nn.flat_parameters import expect_in_use

Feval: TypeAlias = Callable[[backend.Array], tuple[Any, backend.Array]]  # x -> (loss, gradient at x)


def read_options(optimiser, state, defaults, memory, below_one=()):
    """{name: value} of the options, those of `state` before the defaults; raise at a slip, which would do nothing."""
    instance(optimiser, "state", state, dict, "; at first an empty one, {}, and the same for every step")
    unknown = sorted(map(str, set(state) - set(defaults) - set(memory)))
    if unknown:
        raise OptionError(f"{optimiser}: unknown {'key' if len(unknown) == 1 else 'keys'} {', '.join(unknown)} in "
                          f"state; options are {', '.join(defaults)} (and {', '.join(memory)}, kept between steps)")
    option = defaults | state
    for name, default in defaults.items():
        if isinstance(default, bool):
            option[name] = truth(optimiser, name, option[name])
            continue
        option[name] = as_float(option[name])
        if not 0 <= option[name] < (1 if name in below_one else inf):
            most = f" to just below 1, such as {default}" if name in below_one else ""
            raise OptionError(f"{optimiser}: {name} is {reprlib.repr(state[name])}; choose a number from 0{most}")
    return option


def next_rate(state, option):
    """The learning rate of this step, which it counts in state["t"].

    A recorded step that is taken again has the options of the first time, but the state's own learning_rate.
    """
    steps = whole_number("an optimiser", "t", state.get("t", 0), least=0)
    state["t"] = steps + 1
    return as_float(state.get("learning_rate", option["learning_rate"])) / (1 + steps * option["learning_rate_decay"])


def evaluated(optimiser, feval, x):
    """(loss, gradient) of feval(x), after x and the gradient have been checked."""
    library = backend.array_library(backend.name_of(x))
    if x.dtype not in backend.FLOATS.values():
        raise DTypeError(f"{optimiser}: x has dtype {x.dtype}, expected float32 or float64; x.astype('float32')")
    a_function(optimiser, "feval", feval, "is a function, x -> (loss, gradient)")
    result = feval(x)
    expect_in_use(x)  # now that the model has looked at its parameters
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise ShapeError(f"{optimiser}: feval(x) returns (loss, gradient), not {type(result).__name__}")
    loss, grad = result
    expect_like(optimiser, "the gradient of feval", grad, x, "feval(x) returns (loss, gradient)")
    return loss, grad.copy() if library.may_share_memory(grad, x) else grad  # weight decay is added to it in place


def expect_like(optimiser, what, array, x, cure):
    """Raise unless the array is of the library, the shape and the dtype of x."""
    if not isinstance(array, type(x)) or isinstance(array, backend.OTHERS):
        raise MinivaeError(f"{optimiser}: {what} is of type {type(array).__name__}, x of {type(x).__name__}; {cure}")
    if array.shape != x.shape or array.dtype != x.dtype:
        raise MinivaeError(f"{optimiser}: {what} is of shape {array.shape} and dtype {array.dtype}, x of {x.shape} and "
                           f"{x.dtype}; {cure}")


def memory_like(optimiser, state, name, x, value=0):
    """state[name], an array like x which is made at the first step, and checked at the others."""
    if name not in state:
        state[name] = backend.empty(x.shape, x.dtype, backend.name_of(x))
        state[name].fill(value)
    expect_like(optimiser, f"state[{name!r}]", state[name], x, "start a new state for another vector")
    return state[name]
