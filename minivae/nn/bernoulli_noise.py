"""Binary corruption of a denoising VAE's input."""

from minivae import backend
from minivae.errors import real_number
from minivae.nn.module import Module


class BernoulliNoise(Module):
    """Training: y = 1 − x where u < p, else x, with u uniform in [0, 1).  Evaluation: y = x.

        x  input  (N, ...), in [0, 1]      y  output  (N, ...)      u  noise  (N, ...)

    Backwards the derivative of a flipped element is −1:

        ∂L/∂x = −∂L/∂y where u < p, else ∂L/∂y

    p(y′|y) of Im et al. 2017, "Denoising criterion for variational auto-encoding framework", for binary images.

    >>> layer, x = nn.BernoulliNoise(p=1), np.float32([[0, 1]])
    >>> layer(x).tolist(), layer.evaluate()(x).tolist()
    ([[1.0, 0.0]], [[0.0, 1.0]])
    """

    def __init__(self, p: float = 0.1):
        super().__init__()
        self.p = real_number("BernoulliNoise", "p", p, "is the probability of a flip, from 0 to 1", least=0, most=1)

    def update_output(self, input):
        self.expect("input", input)
        if not self.train:
            self.output = input
            return self.output
        noise = self.draw(backend.uniform, input.shape)
        self.output = self.buffer("output", input.shape)
        return backend.elementwise(_flip, input, noise, float(self.p), out=self.output)

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        if not self.train:
            self.grad_input = grad_output
            return self.grad_input
        self.grad_input = self.buffer("grad_input", input.shape)
        return backend.elementwise(_flip_sign, grad_output, self.noise, float(self.p), out=self.grad_input)

    def extra_repr(self):
        return f"{self.p:g}"


def _flip(xp, x, u, p):
    return xp.where(u < p, 1 - x, x)


def _flip_sign(xp, grad, u, p):
    return xp.where(u < p, -grad, grad)
