"""Base of the divergence layers that learn their prior."""

from typing import Any

from minivae import backend
from minivae.errors import missing
from minivae.nn.divergence import Divergence


class LearnedPrior(Divergence):
    """A divergence from a prior r with logits π, one for each number of a row of the code.

        π  prior_logits, 0 at first: all codes are equally likely

        ∂/∂π += scale beta Σₙ (rₙ − qₙ)   of the divergence, and of ln p(z) with a factor G, scale Σₙ Gₙ (zₙ − r),
        or (zₙ − r Σ_c zₙ) for categories, which is the same where z is one-hot
    """

    parameter_names = ("prior_logits",)
    prior_logits: backend.Array
    grad_prior_logits: backend.Array

    @property
    def prior_probability(self) -> Any:
        """r, of the shape of `prior_logits`."""
        raise missing(self, "prior_probability")

    def reset(self):
        self.prior_logits.fill(0)

    def acc_grad_prior(self, z, grad, scale=1):
        vectors = z.reshape(len(z), *self.prior_logits.shape)
        residual = self.buffer("residual", vectors.shape)
        backend.elementwise(_weighted_residual, vectors, self.prior_probability[None], self.trials(vectors),
                            grad.reshape(len(z), *[1] * self.prior_logits.ndim), out=residual)
        self.accumulate(residual, float(scale))

    def trials(self, vectors: backend.Array) -> Any:
        """By what r is multiplied in the gradient of ln p(z): 1 for a bit, Σ_c z for categories."""
        return 1

    def accumulate(self, residual: backend.Array, weight: Any) -> None:
        """∂/∂π += weight · Σₙ residualₙ"""
        total = self.buffer("sum", self.prior_logits.shape, batch=False)
        self.xp.sum(residual, axis=0, out=total)
        backend.elementwise(_add, self.grad_prior_logits, total, weight)


def _weighted_residual(xp, z, prior, trials, grad):
    return grad * (z - trials * prior)


def _add(xp, total, x, weight):
    total += weight * x
