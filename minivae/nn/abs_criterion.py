"""Absolute error (torch/nn AbsCriterion)."""

from minivae import backend
from minivae.nn.criterion import Criterion


class AbsCriterion(Criterion):
    """Σ |y − x|.

        y  prediction  (N·L, ...)      x  target  (N, ...)

        ∂/∂y = (1/L) sign(y − x), which is 0 where y = x, as in PyTorch; Torch7's is 1 there

    Torch7's is the mean: `size_average=True`.

    >>> nn.AbsCriterion()(np.float32([[1, -2]]), np.float32([[0, 0]]))
    3.0
    """

    def update_output(self, input, target):
        y, x = self.grouped("prediction", input, target)
        self.output = backend.total(_loss, y, x) * self.weight(target)
        return self.output

    def update_grad_input(self, input, target):
        y, x = self.grouped("prediction", input, target)
        self.grad_input = self.buffer("grad_input", input.shape)
        weight = self.weight(target)
        backend.elementwise(_derivative, y, x, weight, -weight, out=self.grad_input.reshape(y.shape))
        return self.grad_input

    def rows(self, input, target):
        y, x = self.grouped("prediction", input, target)
        return backend.row_totals(_loss, y, x).reshape(-1)


def _loss(xp, y, x):
    return xp.abs(y - x)


def _derivative(xp, y, x, weight, negative):
    return xp.where(y > x, weight, xp.where(y < x, negative, y - x))
