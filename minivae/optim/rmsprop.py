"""Root-mean-square propagation (torch/optim rmsprop)."""

from typing import Any

from minivae import backend
from minivae.optim.adam import decay
from minivae.optim.state import Feval, evaluated, memory_like, read_options

DEFAULTS = {"learning_rate": 1e-2, "alpha": 0.99, "epsilon": 1e-8, "weight_decay": 0.0, "initial_mean": 0.0}
MEMORY = ("t", "m")  # steps taken, mean of the squared gradient


def rmsprop(feval: Feval, x: backend.Array, state: dict[str, Any]) -> tuple[backend.Array, Any]:
    """One step of RMSprop on the flat vector x, in place.  Returns (x, f) with f the loss before the step.

        feval(x) -> (loss, gradient), both at x
        state    a dict of the keys above: options that are missing take their defaults; t, m are kept in it

    With g the gradient (plus weight_decay · x), and m = initial_mean at first:

        m ← α m + (1 − α) g²        x ← x − learning_rate · g / (√m + ε)

    Tieleman and Hinton 2012.  The weight decay is added to the gradient in place.
    """
    option = read_options("rmsprop", state, DEFAULTS, MEMORY, below_one=("alpha",))
    loss, grad = evaluated("rmsprop", feval, x)
    mean = memory_like("rmsprop", state, "m", x, option["initial_mean"])
    state["t"] = state.get("t", 0) + 1
    if option["weight_decay"] != 0:
        backend.elementwise(decay, grad, x, option["weight_decay"])
    backend.elementwise(_rmsprop, x, mean, grad, option["alpha"], 1 - option["alpha"], option["learning_rate"],
                        option["epsilon"])
    return x, loss


def _rmsprop(xp, x, mean, grad, alpha, share, rate, epsilon):
    mean *= alpha
    mean += share * grad * grad
    x -= rate * grad / (xp.sqrt(mean) + epsilon)
