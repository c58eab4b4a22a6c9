"""Smooth rectifier (torch/nn SoftPlus, beta 1)."""

from minivae import backend
from minivae.nn.module import Module
from minivae.nn.sigmoid import sigmoid


class SoftPlus(Module):
    """y = log(1 + e^x);  backwards  ∂L/∂x = ∂L/∂y · σ(x).

        x  input  (N, ...)      y  output  (N, ...), positive

    Exact for every x; Torch7's is linear above 20, off by 2e-9 there.

    >>> nn.SoftPlus()(np.float32([[-100, 100]])).round(3).tolist()
    [[0.0, 100.0]]
    """

    def update_output(self, input):
        self.expect("input", input)
        self.output = self.buffer("output", input.shape)
        backend.elementwise(soft_plus, input, out=self.output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.elementwise(_derivative, input, grad_output, out=self.grad_input)
        return self.grad_input


def soft_plus(xp, x):
    """log(1 + e^x) = max(x, 0) + log(1 + e^−|x|), which cannot overflow."""
    return xp.maximum(x, 0) + xp.log1p(xp.exp(-xp.abs(x)))


def _derivative(xp, x, grad):
    return grad * sigmoid(xp, x)
