"""A Gaussian code, and the unit Gaussian as its prior."""

from math import log, pi

from minivae import backend
from minivae.nn.exponentials import root_std
from minivae.nn.gaussian_nll_criterion import weighted_squares
from minivae.nn.latent import Latent, draws


class GaussianLatent(Latent):
    """q(z|x) = N(mean, e^log_var), of independent numbers, and p(z) = N(0, I);  parameters (mean, log_var) (N, Q) each.

        ln q(z|x) = −½ Σ (ln 2π + log_var + (z − mean)² / e^log_var)        ln p(z) = −½ Σ (ln 2π + z²)

    >>> q = np.float32([[0.5]]), np.float32([[0]])
    >>> print(nn.GaussianKL().latent.log_posterior(q, np.float32([[0.5]])).round(3))  # −½ ln 2π
    [-0.919]
    """

    names = "mean", "log_var"

    def log_posterior(self, parameters, z):
        n, q = parameters[0].shape
        mean, log_var = (each.reshape(n, 1, q) for each in parameters)
        return _log_density(self.xp, mean, log_var, z.reshape(n, draws(z, n), q)).sum(axis=2).reshape(-1)

    def log_posterior_backward(self, parameters, z, grad):
        n, q = parameters[0].shape
        mean, log_var = (each.reshape(n, 1, q) for each in parameters)
        root, grad = root_std(self.xp, -log_var), grad.reshape(n, draws(z, n), 1)
        error = (z.reshape(n, draws(z, n), q) - mean) * root * root  # (z − mean) / σ
        by_mean = grad * error * root * root
        by_log_var = 0.5 * grad * (error * error - 1)
        return (by_mean.sum(axis=1), by_log_var.sum(axis=1)), -by_mean.reshape(z.shape)

    def log_prior(self, z):
        return -0.5 * (log(2 * pi) + z * z).sum(axis=1)

    def log_prior_backward(self, z, grad):
        return -grad[:, None] * z

    def sample_prior(self, n, code):
        return backend.standard_normal(self.new(n, code))

    def expected(self, parameters):
        return self.placed(parameters[0])

    most_likely = expected  # the mean, where the density is highest

    def statistics(self, parameters):
        """Of the means, the standard deviations and the log-variances."""
        mean, log_var = parameters
        return {"mean": (backend.total(_same, mean), mean.size), "std": (backend.total(_std, log_var), mean.size),
                "log_var": (backend.total(_same, log_var), mean.size)}


def _log_density(xp, mean, log_var, z):
    return -0.5 * (log(2 * pi) + weighted_squares(xp, mean, log_var, z))


def _same(xp, x):
    return x


def _std(xp, log_var):
    return xp.exp(0.5 * log_var)
