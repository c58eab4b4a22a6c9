"""Logistic function (torch/nn Sigmoid)."""

from minivae import backend
from minivae.nn.exponentials import unless
from minivae.nn.in_place import InPlace


class Sigmoid(InPlace):
    """y = σ(x) = 1 / (1 + e^−x);  backwards  ∂L/∂x = ∂L/∂y · y (1 − y).

        x  input  (N, ...)      y  output  (N, ...), in (0, 1)

    Where y or its gradient would be subnormal, below 1e-38 in float32, it is 0: processors compute many times slower
    with such numbers.  `inplace=True` lets y overwrite x, where no other layer needs x.

    >>> nn.Sigmoid()(np.float32([[-100, 0, 100]])).round(3).tolist()
    [[0.0, 0.5, 1.0]]
    """

    def update_output(self, input):
        self.expect("input", input)
        self.output = self.output_like(input)
        backend.elementwise(_output, input, backend.least_normal(input.dtype), out=self.output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer_like("grad_input", grad_output)
        least = backend.least_normal(input.dtype)
        backend.elementwise(_derivative, self.output, grad_output, least, out=self.grad_input)
        return self.grad_input


def sigmoid(xp, x):
    """1 / (1 + e^−x), above and below multiplied by e^x where x < 0, so that nothing overflows."""
    return xp.exp(xp.minimum(x, 0)) / (1 + xp.exp(-xp.abs(x)))


def _output(xp, x, least):
    return unless(xp, sigmoid(xp, x), least)


def _derivative(xp, y, grad, least):
    return unless(xp, grad * y * (1 - y), least)
