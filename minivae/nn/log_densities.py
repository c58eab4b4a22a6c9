"""Log-densities of drawn codes, under the prior and under q."""

from math import prod

from minivae.errors import ShapeError, instance
from minivae.nn.divergence import Divergence
from minivae.nn.module import Module


class LogDensities(Module):
    """(parameters of q(z|x), z) -> (z, ln p(z), ln q(z|x)), as the latent variable of a divergence layer has them.

        parameters   (N, ...), a table or an array, as that layer takes them        z  codes  (N·L, Q), handed on
        ln p(z), ln q(z|x)   (N·L,)

    With (G, P, R) = ∂L/∂(z, ln p, ln q):

        ∂/∂z = G + P ∂ln p(z)/∂z + R ∂ln q(z|x)/∂z        ∂/∂parameters = Σₗ R ∂ln q(z|x)/∂parameters

    The layer stands elsewhere in the network, before the sampler; with `beta` 0 it adds no gradient of its own.

    >>> densities = nn.LogDensities(nn.BernoulliKL())
    >>> z, log_p, log_q = densities((np.float32([[0, 0]]), np.float32([[1, 1]])))
    >>> print(log_p.round(3), log_q.round(3))  # ln ¼ twice
    [-1.386] [-1.386]
    """

    def __init__(self, kl: Divergence):
        super().__init__()
        self.kl = instance(type(self).__name__, "kl", kl, Divergence)

    def update_output(self, input):
        self.expect_table("input", input, 2)
        parameters, z = input
        first = parameters[0] if isinstance(parameters, tuple) else parameters
        self.expect("z", z, ("N·L", prod(first.shape[1:])))
        if len(z) % max(1, len(first)):
            raise ShapeError(f"{self.title}: {len(z)} codes for {len(first)} rows of parameters; expected as many "
                             "codes for each")
        latent, log_p, log_q = self.kl.latent, self.buffer("log_p", (len(z),)), self.buffer("log_q", (len(z),))
        log_p[...], log_q[...] = latent.log_prior(z), latent.log_posterior(parameters, z)
        self.output = z, log_p, log_q
        return self.output

    def update_grad_input(self, input, grad_output):
        self._expect_gradients(grad_output)
        (parameters, z), (grad_z, grad_p, grad_q) = input, grad_output
        by_parameters, through_q = self.kl.latent.log_posterior_backward(parameters, z, grad_q)
        self.grad_input = by_parameters, grad_z + through_q + self.kl.latent.log_prior_backward(z, grad_p)
        return self.grad_input

    def _expect_gradients(self, grad_output):
        self.expect_table("grad_output", grad_output, 3)
        for grad, each in zip(grad_output, self.output or (None,) * 3):
            self.expect_grad_output(grad, getattr(each, "shape", None))

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.kl.acc_grad_prior(self.output[0], grad_output[1], scale)

    def extra_repr(self):
        return type(self.kl).__name__
