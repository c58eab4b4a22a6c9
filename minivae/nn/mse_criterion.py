"""Squared error (torch/nn MSECriterion)."""

from minivae import backend
from minivae.nn.criterion import Criterion


class MSECriterion(Criterion):
    """Σ (y − x)².

        y  prediction  (N·L, ...)      x  target  (N, ...)

        ∂/∂y = (2/L) (y − x)

    Half of it is GaussianNLLCriterion of a mean, but for its constant.  Torch7's is the mean: `size_average=True`.

    >>> nn.MSECriterion()(np.float32([[1, 2]]), np.float32([[0, 0]]))
    5.0
    """

    def update_output(self, input, target):
        y, x = self.grouped("prediction", input, target)
        self.output = backend.total(_loss, y, x) * self.weight(target)
        return self.output

    def update_grad_input(self, input, target):
        y, x = self.grouped("prediction", input, target)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.elementwise(_derivative, y, x, 2 * self.weight(target), out=self.grad_input.reshape(y.shape))
        return self.grad_input

    def rows(self, input, target):
        y, x = self.grouped("prediction", input, target)
        return backend.row_totals(_loss, y, x).reshape(-1)


def _loss(xp, y, x):
    error = y - x
    return error * error


def _derivative(xp, y, x, weight):
    return weight * (y - x)
