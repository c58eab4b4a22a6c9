"""A code of categories whose prior is learned."""

from minivae import backend
from minivae.nn.categorical_latent import CategoricalLatent
from minivae.nn.sampler import inside


class LearnedCategoricalLatent(CategoricalLatent):
    """q(z|x) = Π Cat(p), p = softmax(a), and p(z) = Π Cat(r), r = softmax(π), the layer's `prior_logits`.

        ln p(z) = Σₖ Σ_c z_c ln r_c

    >>> kl = nn.LearnedCategoricalKL(variables=1, categories=2)
    >>> kl.prior_logits[:] = 0, 50
    >>> kl.latent.sample_prior(3, 2).tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]
    """

    def log_prior(self, z):
        return (z * self._log_prior_probabilities().reshape(1, -1)).sum(axis=1)

    def log_prior_backward(self, z, grad):
        return grad[:, None] * self._log_prior_probabilities().reshape(1, -1)

    def sample_prior(self, n, code):
        u = backend.uniform(self.new(n, *self.layer.prior_logits.shape))
        return self.most_likely(self.layer.prior_logits - self.xp.log(-self.xp.log(inside(self.xp, u))))

    def statistics(self, parameters):
        entropy = backend.total(_entropy, self._log_probabilities(parameters))  # which no divergence tells here
        return super().statistics(parameters) | {"entropy": (entropy, self.layer.log_mean.size)}

    def _log_prior_probabilities(self):
        """ln r (1, K, C)."""
        return self._log_probabilities(self.layer.prior_logits[None])


def _entropy(xp, log_p):
    return -xp.exp(log_p) * log_p
