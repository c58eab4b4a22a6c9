"""Solution 10."""

from math import sqrt


def adam(feval, x, state):
    loss, grad = feval(x)
    state["t"] = t = state.get("t", 0) + 1
    beta1, beta2 = state["beta1"], state["beta2"]
    state["m"] = m = beta1 * state.get("m", 0) + (1 - beta1) * grad
    state["v"] = v = beta2 * state.get("v", 0) + (1 - beta2) * grad * grad
    step = state["learning_rate"] * sqrt(1 - beta2**t) / (1 - beta1**t)
    x -= step * m / (v**0.5 + state["epsilon"])
    return x, loss
