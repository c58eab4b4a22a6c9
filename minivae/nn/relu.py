"""Rectifier (torch/nn ReLU)."""

from minivae import backend
from minivae.nn.in_place import InPlace


class ReLU(InPlace):
    """y = max(x, 0);  backwards  ∂L/∂x = ∂L/∂y where y > 0, else 0.

        x  input  (N, ...)      y  output  (N, ...)

    `inplace=True` lets y overwrite x, where no other layer needs x.

    >>> layer, x = nn.ReLU(), np.float32([[-1, 2]])
    >>> layer(x).tolist(), layer.backward(x, np.float32([[5, 5]])).tolist()
    ([[0.0, 2.0]], [[0.0, 5.0]])
    """

    def update_output(self, input):
        self.expect("input", input)
        self.output = self.output_like(input)
        return backend.elementwise(_rectified, input, out=self.output)

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer_like("grad_input", grad_output)
        backend.elementwise(_derivative, self.output, grad_output, out=self.grad_input)
        return self.grad_input


def _rectified(xp, x):
    return xp.maximum(x, 0)


def _derivative(xp, y, grad):
    return grad * (y > 0)
