"""Hyperbolic tangent (torch/nn Tanh)."""

from minivae import backend
from minivae.nn.module import Module


class Tanh(Module):
    """y = tanh(x);  backwards  ∂L/∂x = ∂L/∂y · (1 − y²).

        x  input  (N, ...)      y  output  (N, ...), in (−1, 1)

    >>> nn.Tanh()(np.float32([[-100, 0, 100]])).round(3).tolist()
    [[-1.0, 0.0, 1.0]]
    """

    def update_output(self, input):
        self.expect("input", input)
        self.output = self.buffer("output", input.shape)
        backend.elementwise(_tanh, input, out=self.output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.elementwise(_derivative, self.output, grad_output, out=self.grad_input)
        return self.grad_input


def _tanh(xp, x):
    return xp.tanh(x)


def _derivative(xp, y, grad):
    return grad * (1 - y * y)
