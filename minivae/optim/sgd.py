"""Stochastic gradient descent (torch/optim sgd)."""

from typing import Any

from minivae import backend
from minivae.errors import OptionError
from minivae.optim.adam import decay
from minivae.optim.state import Feval, evaluated, memory_like, next_rate, read_options

DEFAULTS = {"learning_rate": 1e-3, "learning_rate_decay": 0.0, "weight_decay": 0.0, "momentum": 0.0,
            "dampening": 0.0, "nesterov": False}
MEMORY = ("t", "velocity")


def sgd(feval: Feval, x: backend.Array, state: dict[str, Any]) -> tuple[backend.Array, Any]:
    """One step of gradient descent on the flat vector x, in place.  Returns (x, f), f the loss before the step.

        feval(x) -> (loss, gradient), both at x
        state    a dict of the keys above: options that are missing take their defaults; t, velocity are kept in it

    With g the gradient (plus weight_decay · x), t = 1, 2, … and η = learning_rate / (1 + (t − 1) · decay):

        v ← g at t = 1, then momentum · v + (1 − dampening) g
        x ← x − η v              or, with nesterov,  x ← x − η (g + momentum · v)

    Weight decay and nesterov change the gradient in place.  Torch7's dampening defaults to the momentum; here to 0,
    as in PyTorch.
    """
    option = read_options("sgd", state, DEFAULTS, MEMORY)
    momentum = option["momentum"]
    if option["nesterov"] and (momentum <= 0 or option["dampening"] != 0):
        raise OptionError("sgd: nesterov needs a momentum above 0 and dampening 0")
    loss, grad = evaluated("sgd", feval, x)

    if option["weight_decay"] != 0:
        backend.elementwise(decay, grad, x, option["weight_decay"])
    direction = grad
    if momentum != 0:
        if "velocity" not in state:
            state["velocity"] = direction = grad.copy()
        else:
            direction = memory_like("sgd", state, "velocity", x)
            backend.elementwise(_carry_on, direction, grad, momentum, 1.0 - option["dampening"])
        if option["nesterov"]:
            backend.elementwise(decay, grad, direction, momentum)  # g + momentum · v
            direction = grad
    backend.elementwise(_descend, x, direction, backend.varying(lambda: next_rate(state, option), x))
    return x, loss


def _carry_on(xp, velocity, grad, momentum, share):
    velocity *= momentum
    velocity += share * grad


def _descend(xp, x, direction, rate):
    x -= rate * direction
