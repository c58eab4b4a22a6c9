"""A code of bits, and independent coins as its prior."""

from math import log

from minivae import backend
from minivae.nn.latent import Latent, digits, draws
from minivae.nn.sigmoid import sigmoid


class BernoulliLatent(Latent):
    """q(z|x) = Π Ber(θ), θ = σ(a), and p(z) = Π Ber(prior);  parameters a, the logits (N, Q);  z of bits 0 and 1.

        ln q(z|x) = Σ z a − ln(1 + e^a)        ln p(z) = Σ z ln prior + (1 − z) ln(1 − prior)

    >>> nn.BernoulliKL().latent.support(2).tolist()
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]
    """

    def log_posterior(self, parameters, z):
        n, q = parameters.shape
        z = z.reshape(n, draws(z, n), q)
        return _log_probability(self.xp, parameters.reshape(n, 1, q), z).sum(axis=2).reshape(-1)

    def log_posterior_backward(self, parameters, z, grad):
        n, q = parameters.shape
        grad, bit = grad.reshape(n, draws(z, n), 1), z.reshape(n, draws(z, n), q)
        by_logits = (grad * (bit - sigmoid(self.xp, parameters)[:, None])).sum(axis=1)  # Σₗ G (z − θ)
        return by_logits, (grad * parameters[:, None]).reshape(z.shape)

    def log_prior(self, z):
        _, log_one, log_zero = self.layer.log_prior_odds
        return (z * log_one + (1 - z) * log_zero).sum(axis=1)

    def log_prior_backward(self, z, grad):
        logit, _, _ = self.layer.log_prior_odds
        return self.xp.broadcast_to(grad[:, None], z.shape) * logit

    def sample_prior(self, n, code):
        return self.placed(backend.uniform(self.new(n, code)) < self.layer.prior_probability)

    def expected(self, parameters):
        return self.placed(sigmoid(self.xp, parameters))  # θ

    def most_likely(self, parameters):
        return self.placed(parameters > 0)  # 1 where θ > ½

    def statistics(self, parameters):
        """Of θ, of |a|, and of the bits not yet decided, θ in (.1, .9)."""
        a, n = parameters, parameters.size
        return {"probability": (backend.total(sigmoid, a), n), "absolute_logit": (backend.total(_absolute, a), n),
                "undecided": (backend.total(_undecided, a), n)}

    def support_size(self, code):
        return 2**code

    def support(self, code):
        return self.placed(bits(self.xp, code))


def bits(xp, length):
    """Every code of so many bits (2^length, length)."""
    return digits(xp, 2, length)


def _log_probability(xp, a, z):
    return z * a - xp.maximum(a, 0) - xp.log1p(xp.exp(-xp.abs(a)))  # z a − ln(1 + e^a)


def _absolute(xp, a):
    return xp.abs(a)


def _undecided(xp, a):
    return xp.abs(a) < log(9)
