"""A code of categories, all equally likely in its prior."""

from math import log

from minivae import backend
from minivae.errors import OptionError
from minivae.nn.exponentials import relative_exponentials
from minivae.nn.hard_one_hot import one_hot
from minivae.nn.latent import Latent, digits, draws


class CategoricalLatent(Latent):
    """q(z|x) = Π Cat(p), p = softmax(a), and p(z) uniform;  parameters a, the logits (N, K, C).

        ln q(z|x) = Σₖ Σ_c z_c ln p_c        ln p(z) = −K ln C

    Codes z are (N, K·C), K one-hot vectors one behind the other.  What is asked of the prior alone, `log_prior`,
    `sample_prior` and `support`, needs the layer's `categories` = C.

    >>> nn.CategoricalKL().latent.most_likely(np.float32([[[1, 3, 2], [5, 0, 0]]])).tolist()
    [[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]]
    """

    def log_posterior(self, parameters, z):
        n, k, c = parameters.shape
        log_p = self._log_probabilities(parameters).reshape(n, 1, k * c)
        return (z.reshape(n, draws(z, n), k * c) * log_p).sum(axis=2).reshape(-1)

    def log_posterior_backward(self, parameters, z, grad):
        n, k, c = parameters.shape
        log_p, vectors = self._log_probabilities(parameters)[:, None], z.reshape(n, draws(z, n), k, c)
        grad = grad.reshape(n, draws(z, n), 1, 1)
        ones = self.xp.sum(vectors, axis=3, keepdims=True)
        by_logits = grad * (vectors - ones * self.xp.exp(log_p))  # G (z − p Σ_c z)
        return by_logits.sum(axis=1), (grad * log_p).reshape(z.shape)

    def log_prior(self, z):
        return z.sum(axis=1) * -log(self._categories())

    def log_prior_backward(self, z, grad):
        return self.xp.broadcast_to(grad[:, None], z.shape) * -log(self._categories())

    def sample_prior(self, n, code):
        c = self._categories()
        return self.most_likely(backend.uniform(self.new(n, code // c, c)))

    def expected(self, parameters):
        return self.placed(_rows(self.xp.exp(self._log_probabilities(parameters))))  # p

    def most_likely(self, parameters):
        return _rows(one_hot(self.xp, parameters, out=self.new(*parameters.shape)))

    def statistics(self, parameters):
        """Of the largest p, of the entropy in nats, and of the variables not yet decided, largest p below .9."""
        log_mean, of_variables, c = self.layer.log_mean, self.layer.of_variables, parameters.shape[2]
        return {"largest_probability": (backend.total(_largest, log_mean, 1 / c), log_mean.size),
                "entropy": (backend.total(_entropy, of_variables, log(c)), log_mean.size),
                "undecided": (backend.total(_undecided, log_mean, -log(0.9 * c)), log_mean.size)}

    def support_size(self, code):
        c = self._categories()
        return c ** (code // c)

    def support(self, code):
        c = self._categories()
        return self.placed(one_hots(self.xp, code // c, c))

    def _log_probabilities(self, a):
        """ln p (N, K, C), finite also where logits stand at both ends of what a float holds."""
        peak, _, total = relative_exponentials(self.xp, a, lambda name, shape: self.new(*shape))
        return self.xp.maximum(a - peak, -1e30) - self.xp.log(total)

    def _categories(self):
        if self.layer.categories is None:
            raise OptionError(f"{self.layer.title}: its prior alone does not know how many categories a variable has; "
                              "make it with CategoricalKL(categories=C)")
        return self.layer.categories


def one_hots(xp, variables, c):
    """Every code of so many variables of c categories (c^variables, variables · c)."""
    category = digits(xp, c, variables)[:, :, None]
    return (category == xp.arange(c)).reshape(-1, variables * c)


def _rows(vectors):
    """(N, K, C) seen as (N, K·C)."""
    n, k, c = vectors.shape
    return vectors.reshape(n, k * c)


def _largest(xp, log_mean, share):
    return share * xp.exp(-log_mean)


def _undecided(xp, log_mean, least):
    return log_mean > least


def _entropy(xp, divergence, most):
    return most - divergence
