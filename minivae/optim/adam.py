"""Adam (torch/optim adam)."""

from math import sqrt
from typing import Any

from minivae import backend
from minivae.optim.state import Feval, evaluated, memory_like, next_rate, read_options

DEFAULTS = {"learning_rate": 1e-3, "learning_rate_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8,
            "weight_decay": 0.0}
MEMORY = ("t", "m", "v")  # steps taken, first and second moment: what the next step needs

# The moments of a weight that gets no gradient shrink until they are denormal numbers, as those of half of a model may
# after 1,000 steps.  Arithmetic on these is ten times slower on an Intel; on an AMD Zen a step took 1.2 times as long.
# So what is as good as nothing beside epsilon becomes 0.
NOTHING = 1e-30
FLUSH_EVERY = 64  # steps


def adam(feval: Feval, x: backend.Array, state: dict[str, Any]) -> tuple[backend.Array, Any]:
    """One step of Adam on the flat vector x, in place.  Returns (x, f) with f the loss before the step.

        feval(x) -> (loss, gradient), both at x
        state    a dict of the keys above: options that are missing take their defaults; t, m, v are kept in it

    With g the gradient (plus weight_decay · x), t = 1, 2, … and η = learning_rate / (1 + (t − 1) · decay):

        (1)  m ← β₁ m + (1 − β₁) g                  the mean of the gradient
        (2)  v ← β₂ v + (1 − β₂) g²                 and of its square; both start at 0, which is too small, so
        (3)  step = η √(1 − β₂ᵗ) / (1 − β₁ᵗ)        makes up for it
        (4)  x ← x − step · m / (√v + ε)

    The weight decay is added to the gradient in place.  Torch7 adds ε to the uncorrected √v; Kingma and Ba's
    algorithm 1 and PyTorch add it to √(v / (1 − β₂ᵗ)), which is this with ε √(1 − β₂ᵗ) in place of ε.
    """
    option = read_options("adam", state, DEFAULTS, MEMORY, below_one=("beta1", "beta2"))
    beta1, beta2 = option["beta1"], option["beta2"]
    loss, grad = evaluated("adam", feval, x)
    for moment in ("m", "v"):
        memory_like("adam", state, moment, x)

    def step():
        rate = next_rate(state, option)
        return rate * sqrt(1 - beta2 ** state["t"]) / (1 - beta1 ** state["t"])  # (3)

    if option["weight_decay"] != 0:
        backend.elementwise(decay, grad, x, option["weight_decay"])
    backend.elementwise(_adam, x, state["m"], state["v"], grad, beta1, 1 - beta1, beta2, 1 - beta2,
                        backend.varying(step, x), option["epsilon"])
    if state["t"] % FLUSH_EVERY == 0 and backend.name_of(x) == "numpy":  # GPUs are as fast on any number
        nothing = min(NOTHING, (option["epsilon"] / 1000) ** 2)  # so that the root of v is nothing too
        for moment in ("m", "v"):
            backend.elementwise(_flush, state[moment], -nothing, nothing)
    return x, loss


def _adam(xp, x, m, v, grad, beta1, share1, beta2, share2, step, epsilon):
    # One array to work in: expressions would need one for each of their operations, and NumPy half as long again.
    spare = share1 * grad
    m *= beta1
    m += spare  # (1)
    xp.multiply(grad, grad, out=spare)
    spare *= share2
    v *= beta2
    v += spare  # (2)
    xp.sqrt(v, out=spare)
    spare += epsilon
    xp.divide(m, spare, out=spare)
    spare *= step
    x -= spare  # (4)


def _flush(xp, moment, least, most):
    moment *= (moment > most) | (moment < least)


def decay(xp, grad, x, weight_decay):
    """∂/∂x of ½ weight_decay ‖x‖², added to the gradient."""
    grad += weight_decay * x
