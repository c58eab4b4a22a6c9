"""Every code with its prior probability."""

from minivae.errors import OptionError, instance, whole_number
from minivae.nn.divergence import Divergence
from minivae.nn.enumerated_sampler import MOST_CODES
from minivae.nn.module import Module


class EnumeratedPrior(Module):
    """Anything -> (z, ln p(z)): every code that a divergence layer knows, and the logarithm of its prior.

        input  (N, ...), of which nothing is read       z  codes  (S, code)        ln p(z)  (S,)

    Backwards ∂L/∂input = 0.  With a LikelihoodCriterion behind the decoder it gives the exact log-likelihood of a model
    without an encoder.

    >>> z, log_p = nn.EnumeratedPrior(nn.BernoulliKL(prior=0.25), code=1)(np.zeros((1, 1), np.float32))
    >>> z.tolist(), np.exp(log_p).round(3).tolist()
    ([[0.0], [1.0]], [0.75, 0.25])
    """

    def __init__(self, kl: Divergence, code: int):
        super().__init__()
        self.kl = instance("EnumeratedPrior", "kl", kl, Divergence)
        self.code = whole_number("EnumeratedPrior", "code", code)
        self._size()

    def children(self):
        return [("kl", self.kl)]

    def update_output(self, input):
        self.expect("input", input)
        z = self.buffers.get("z")
        if z is None or z.shape != (self._size(), self.code):
            codes = self.kl.latent.support(self.code)
            z = self.buffer("z", codes.shape, batch=False)
            z[...] = codes
        log_p = self.buffer("log_p", (len(z),))
        log_p[...] = self.kl.latent.log_prior(z)
        self.output = z, log_p
        return self.output

    def _size(self):
        """The number of codes."""
        size = self.kl.latent.support_size(self.code)
        if size > MOST_CODES:
            raise OptionError(f"{self.title}: such a code of {type(self.kl).__name__} has more than {MOST_CODES} "
                              "values, too many to enumerate; 12 bits have as many")
        return size

    def update_grad_input(self, input, grad_output):
        self.expect_table("grad_output", grad_output, 2)
        self.expect_grad_output(grad_output[0], self.output[0].shape)
        self.expect_grad_output(grad_output[1], self.output[1].shape)
        self.grad_input = self.buffer("grad_input", input.shape)
        self.grad_input.fill(0)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.kl.acc_grad_prior(self.output[0], grad_output[1], scale)

    def extra_repr(self):
        return str(self.code)
