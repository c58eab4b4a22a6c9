"""Adam (torch/optim adam)."""

from math import sqrt

from minivae import backend
from minivae.nn.flat_parameters import expect_in_use
from minivae.optim.state import expect_same_kind, known_keys

DEFAULTS = {"learning_rate": 1e-3, "learning_rate_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8,
            "weight_decay": 0.0}
MEMORY = ("t", "m", "v")  # steps taken, first and second moment: what the next step needs


def adam(feval, x, state):
    """One step of Adam on the flat vector x, in place.  Returns (x, f) with f the loss before the step.

        feval(x) -> (loss, gradient), both at x
        state    a dict of the keys above: options that are missing take their defaults; t, m, v are kept in it

    With g the gradient (plus weight_decay · x), t = 1, 2, … and η = learning_rate / (1 + (t − 1) · decay):

        m ← β₁ m + (1 − β₁) g        v ← β₂ v + (1 − β₂) g²
        x ← x − η √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)

    The weight decay is added to the gradient in place.  Torch7 adds ε to the uncorrected √v; Kingma and Ba's
    algorithm 1 and PyTorch add it to √(v / (1 − β₂ᵗ)), which is this with ε √(1 − β₂ᵗ) in place of ε.
    """
    known_keys("adam", state, DEFAULTS, MEMORY)
    expect_in_use(x)
    loss, grad = feval(x)
    option = DEFAULTS | state
    beta1, beta2 = option["beta1"], option["beta2"]

    if "m" not in state:
        for moment in ("m", "v"):
            state[moment] = backend.empty(x.shape, x.dtype, backend.name_of(x))
            state[moment].fill(0)
    expect_same_kind("adam", "m", state["m"], x)
    steps = state.get("t", 0)
    state["t"] = steps + 1

    if option["weight_decay"] != 0:
        backend.elementwise(decay, grad, x, float(option["weight_decay"]))
    rate = option["learning_rate"] / (1 + steps * option["learning_rate_decay"])
    step = rate * sqrt(1 - beta2 ** state["t"]) / (1 - beta1 ** state["t"])
    backend.elementwise(_adam, x, state["m"], state["v"], grad, step, beta1, 1 - beta1, beta2, 1 - beta2,
                        option["epsilon"])
    return x, loss


def _adam(xp, x, m, v, grad, step, beta1, share1, beta2, share2, epsilon):
    m *= beta1
    m += share1 * grad
    v *= beta2
    v += share2 * (grad * grad)
    x -= step * m / (xp.sqrt(v) + epsilon)


def decay(xp, grad, x, weight_decay):
    """∂/∂x of ½ weight_decay ‖x‖², added to the gradient."""
    grad += weight_decay * x
