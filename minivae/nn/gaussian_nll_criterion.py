"""Negative log-likelihood of a Gaussian."""

from math import log, pi

from minivae import backend
from minivae.errors import ShapeError
from minivae.nn.criterion import Criterion
from minivae.nn.exponentials import root_std


class GaussianNLLCriterion(Criterion):
    """−log N(x; mean, diag(e^log_var)) = ½ Σ_d [ln 2π + log_var + (x − mean)² e^−log_var].

        mean, log_var  prediction, a table  (N·L, ...) each, or mean alone      x  target  (N, ...)

        ∂/∂mean = (1/L) (mean − x) e^−log_var        ∂/∂log_var = (1/L) ½ [1 − (x − mean)² e^−log_var]

    The mean alone stands for identity covariance, log_var = 0.  The constant D/2 · ln 2π, which the AEVB article
    drops, is kept: without it the number is not a log-density.

    >>> round(nn.GaussianNLLCriterion()(np.float32([[0]]), np.float32([[2]])), 3)  # ½ ln 2π + ½ · 2²
    2.919
    """

    def update_output(self, input, target):
        mean, log_var, x = self._grouped(input, target)
        if log_var is None:
            value = backend.total(_squares, mean, x)
        else:
            value = backend.total(weighted_squares, mean, log_var, x)
        self.output = 0.5 * (value + log(2 * pi) * mean.size) * self.weight(target)
        return self.output

    def update_grad_input(self, input, target):
        mean, log_var, x = self._grouped(input, target)
        weight = self.weight(target)
        grad_mean = self.buffer("mean", (input if log_var is None else input[0]).shape)
        if log_var is None:
            backend.elementwise(_identity_derivative, mean, x, weight, out=grad_mean.reshape(mean.shape))
            self.grad_input = grad_mean
            return self.grad_input
        grad_log_var = self.buffer("log_var", input[1].shape)
        backend.elementwise(_derivative, mean, log_var, x, weight, weight / 2,
                            out=(grad_mean.reshape(mean.shape), grad_log_var.reshape(mean.shape)))
        self.grad_input = grad_mean, grad_log_var
        return self.grad_input

    def rows(self, input, target):
        mean, log_var, x = self._grouped(input, target)
        if log_var is None:
            squares = backend.row_totals(_squares, mean, x)
        else:
            squares = backend.row_totals(weighted_squares, mean, log_var, x)
        return 0.5 * (squares.reshape(-1) + log(2 * pi) * mean.shape[-1])

    def _grouped(self, input, target):
        """(mean, log_var or None, x), with the axes (N, L, D)."""
        if not isinstance(input, tuple):
            mean, x = self.grouped("mean", input, target)
            return mean, None, x
        if len(input) != 2:
            raise ShapeError(f"{self.title}: prediction is a table of {len(input)}, expected (mean, log_var) or a mean")
        (mean, x), (log_var, _) = self.grouped("mean", input[0], target), self.grouped("log_var", input[1], target)
        return mean, log_var, x


def weighted_squares(xp, mean, log_var, x):
    """log_var + ((x − mean) / σ)²"""
    root = root_std(xp, -log_var)
    error = (x - mean) * root * root
    return log_var + error * error


def _derivative(xp, mean, log_var, x, weight, half_weight):
    root = root_std(xp, -log_var)
    error = (mean - x) * root * root  # (mean − x) / σ
    return weight * (error * root * root), half_weight * (1 - error * error)


def _squares(xp, mean, x):
    error = x - mean
    return error * error


def _identity_derivative(xp, mean, x, weight):
    return weight * (mean - x)
