"""Kullback-Leibler divergence of a Gaussian code from the unit Gaussian."""

from minivae import backend
from minivae.nn.divergence import Divergence
from minivae.nn.exponentials import FAR, excess
from minivae.nn.gaussian_latent import GaussianLatent


class GaussianKL(Divergence):
    """(mean, log_var) -> the same, with KL(N(mean, e^log_var) ‖ N(0, I)) kept in `divergence`.

        mean, log_var  input and output  (N, Q) each

        KL = ½ Σ (mean² + e^log_var − 1 − log_var)

    With (G₁, G₂) = ∂L/∂(mean, log_var):

        ∂/∂mean = G₁ + beta · mean        ∂/∂log_var = G₂ + beta · ½ (e^log_var − 1)

    Kingma and Welling 2013, appendix B; the articles' KullbackLeiblerDivergence.

    >>> kl, q = nn.GaussianKL(), (np.float32([[1, 0]]), np.float32([[0, 0]]))  # means and log-variances
    >>> kl(q) is q, kl.divergence, kl.units(q).tolist()
    (True, 0.5, [[0.5, 0.0]])
    """

    latent_class = GaussianLatent
    varying_names = ("beta",)

    def update_output(self, input):
        self.expect_table("input", input, 2)
        self.expect("mean", input[0], ("N", "Q"))
        self.expect("log_var", input[1], input[0].shape)
        self.keep(backend.total(_divergence, *input), input)
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_table("grad_output", grad_output, 2)
        mean, log_var = input
        self.expect_grad_output(grad_output[0], mean.shape)
        self.expect_grad_output(grad_output[1], mean.shape)
        self.grad_input = self.buffer("mean", mean.shape), self.buffer("log_var", log_var.shape)
        return backend.elementwise(_derivative, mean, log_var, *grad_output, self.charge(mean),
                                   self.charge(mean, 0.5), out=self.grad_input)

    def units(self, parameters):
        return _divergence(self.xp, *parameters)


def _divergence(xp, mean, log_var):
    return 0.5 * (mean * mean + excess(xp, log_var, xp.expm1(log_var)))


def _derivative(xp, mean, log_var, grad_mean, grad_log_var, beta, half_beta):
    growth = xp.expm1(xp.minimum(0.5 * log_var, FAR))
    # e^log_var − 1 = growth (growth + 2), in two factors: a beta of 0 times e^100 is 0
    return grad_mean + beta * mean, grad_log_var + half_beta * growth * (growth + 2)
