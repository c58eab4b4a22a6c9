"""Additive Gaussian noise."""

from minivae import backend
from minivae.errors import real_number
from minivae.nn.module import Module


class GaussianNoise(Module):
    """Training: y = x + std · ε, with ε from N(0, 1).  Evaluation: y = x.  Backwards  ∂L/∂x = ∂L/∂y.

        x  input  (N, ...)      y  output  (N, ...)      ε  noise  (N, ...)

    >>> layer, x = nn.GaussianNoise(0.1), np.float32([[0, 1]])
    >>> layer.evaluate()(x) is x, layer.training()(x) is x
    (True, False)
    """

    def __init__(self, std: float = 0.1):
        super().__init__()
        self.std = real_number("GaussianNoise", "std", std, "is a standard deviation, a number from 0", least=0)

    def update_output(self, input):
        self.expect("input", input)
        if not self.train:
            self.output = input
            return self.output
        noise = self.draw(backend.standard_normal, input.shape)
        self.output = self.buffer("output", input.shape)
        return backend.elementwise(_add, input, noise, float(self.std), out=self.output)

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = grad_output
        return self.grad_input

    def extra_repr(self):
        return f"{self.std:g}"


def _add(xp, x, noise, std):
    return x + std * noise
