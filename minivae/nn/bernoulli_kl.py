"""Kullback-Leibler divergence of a binary code from independent coins."""

from math import log, log1p
from typing import Any

from minivae import backend
from minivae.errors import real_number
from minivae.nn.bernoulli_latent import BernoulliLatent
from minivae.nn.divergence import Divergence
from minivae.nn.exponentials import excess


class BernoulliKL(Divergence):
    """Logits a -> the same, with KL(Ber(θ) ‖ Ber(prior)), θ = σ(a), kept in `divergence`.

        a  input and output  (N, Q)

        KL = Σ θ ln(θ / prior) + (1 − θ) ln((1 − θ) / (1 − prior))

    With G = ∂L/∂a:

        ∂/∂a = G + beta · θ (1 − θ) (a − ln(prior / (1 − prior)))

    It takes logits because in probabilities the derivative divides by 1 − θ, which float32 rounds to zero at
    a ≈ 17.  Bernoulli VAE article, equation (2) with the weights θ and 1 − θ that are missing there.

    >>> print(nn.BernoulliKL().units(np.float32([[0, 99]])).round(3))  # of an open bit, and of one decided: ln 2
    [[0.    0.693]]
    """

    latent_class = BernoulliLatent
    varying_names = ("beta",)

    def __init__(self, beta: float = 1, prior: float = 0.5, free_bits: float = 0):
        super().__init__(beta, free_bits)
        self.prior = real_number("BernoulliKL", "prior", prior, "is a probability between 0 and 1", above=0, below=1)

    @property
    def log_prior_odds(self) -> tuple[Any, Any, Any]:
        """(the prior's logit, ln prior, ln(1 − prior)), in which `_divergence` measures."""
        log_one, log_zero = log(self.prior), log1p(-self.prior)
        return log_one - log_zero, log_one, log_zero

    @property
    def prior_probability(self) -> Any:
        """Of a bit to be 1."""
        return self.prior

    def update_output(self, input):
        self.expect("input", input, ("N", "Q"))
        self.keep(backend.total(_divergence, input, *self.log_prior_odds), input)
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        return backend.elementwise(_derivative, input, grad_output, self.log_prior_odds[0], self.charge(input),
                                   out=self.grad_input)

    def units(self, parameters):
        return _divergence(self.xp, parameters, *self.log_prior_odds)

    def extra_repr(self):
        prior = "" if self.prior == 0.5 else f"prior={self.prior:g}"
        return ", ".join(filter(None, (super().extra_repr(), prior)))


def _divergence(xp, a, prior_logit, log_one, log_zero):
    # With t the probability of the less likely value of the bit, and v its logit less the prior's, the divergence is
    # t v + ln(1 + t (e^−v − 1)).  Near v = 0 that is a small difference of what is left of its terms beyond t v.
    e = xp.exp(-xp.abs(a))
    t = e / (1 + e)
    v = xp.where(a > 0, prior_logit - a, a - prior_logit)
    near = xp.minimum(xp.maximum(v, -1), 1)
    growth = xp.expm1(-near)
    small = t * excess(xp, -near, growth) - excess(xp, xp.log1p(t * growth), t * growth)
    large = t * v - xp.log1p(e)  # the rest of ln(1 + t (e^−v − 1)) is a constant
    return xp.where(xp.abs(v) < 1, small, xp.where(a > 0, large - log_one, large - log_zero))


def _derivative(xp, a, grad, prior_logit, beta):
    e = xp.exp(-xp.abs(a))
    return grad + beta * e / ((1 + e) * (1 + e)) * (a - prior_logit)  # θ (1 − θ) = e / (1 + e)²
