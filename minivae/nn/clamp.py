"""Limits (torch/nn Clamp)."""

from math import inf

from minivae import backend
from minivae.errors import OptionError, as_float
from minivae.nn.module import Module


class Clamp(Module):
    """y = min(max(x, low), high);  backwards  ∂L/∂x = ∂L/∂y where low < x < high, else 0.

        x  input  (N, ...)      y  output  (N, ...)

    None leaves that side open: Clamp(-6, None) keeps a log-variance from falling below −6.

    >>> nn.Clamp(-6, None)(np.float32([[-9, 9]])).tolist()
    [[-6.0, 9.0]]
    """

    def __init__(self, low: float | None = None, high: float | None = None):
        super().__init__()
        self.low, self.high = low, high
        if not self.bounds[0] < self.bounds[1] or self.bounds == (-inf, inf):
            raise OptionError(f"Clamp({low}, {high}): give a low below a high, or one of them and None")

    @property
    def bounds(self) -> tuple[float, float]:
        """(low, high), infinite where a side is open."""
        return as_float(-inf if self.low is None else self.low), as_float(inf if self.high is None else self.high)

    def update_output(self, input):
        self.expect("input", input)
        self.output = self.buffer("output", input.shape)
        backend.elementwise(_clamp, input, *self.bounds, out=self.output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.elementwise(_derivative, input, grad_output, *self.bounds, out=self.grad_input)
        return self.grad_input

    def extra_repr(self):
        return f"{self.low}, {self.high}"


def _clamp(xp, x, low, high):
    return xp.minimum(xp.maximum(x, low), high)


def _derivative(xp, x, grad, low, high):
    return grad * ((x > low) & (x < high))
