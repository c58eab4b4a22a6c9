"""Rectifier (torch/nn ReLU)."""

from minivae import backend
from minivae.nn.module import Module


class ReLU(Module):
    """y = max(x, 0);  backwards  ∂L/∂x = ∂L/∂y where y > 0, else 0.

        x  input  (N, ...)      y  output  (N, ...)

    `inplace=True` overwrites its input, and ∂L/∂y on the way back: no buffers of its own.
    """

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace

    def update_output(self, input):
        self.expect("input", input)
        self.output = input if self.inplace else self.buffer("output", input.shape)
        self.xp.maximum(input, 0, out=self.output)  # max(x, 0)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = grad_output if self.inplace else self.buffer("grad_input", input.shape)
        backend.elementwise(_derivative, self.output, grad_output, out=self.grad_input)
        return self.grad_input

    def extra_repr(self):
        return "inplace" if self.inplace else ""


def _derivative(xp, y, grad):
    return grad * (y > 0)
