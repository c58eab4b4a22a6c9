"""Kullback-Leibler divergence of a binary code from coins that are learned."""

from minivae import backend
from minivae.errors import whole_number
from minivae.nn.bernoulli_kl import BernoulliKL
from minivae.nn.exponentials import log_probabilities
from minivae.nn.learned_prior import LearnedPrior
from minivae.nn.sigmoid import sigmoid


class LearnedBernoulliKL(LearnedPrior, BernoulliKL):
    """Logits a -> the same, with KL(Ber(θ) ‖ Ber(p)), θ = σ(a), p = σ(π), kept in `divergence`.

        a  input and output  (N, Q)      π  prior_logits  (Q,), 0 at first: p = ½

    As BernoulliKL, with a prior for each bit, which is learned:

        ∂/∂a = G + beta · θ (1 − θ) (a − π)        ∂/∂π += scale beta Σₙ (p − θₙ)

    The best prior has the mean of θ over the images.  Jang et al. 2016, section 4, learn theirs.

    >>> layer, a = nn.LearnedBernoulliKL(code=2), np.float32([[0, 199]])
    >>> layer(a).tolist(), layer.backward(a, 0 * a).tolist(), layer.grad_prior_logits.tolist()
    ([[0.0, 199.0]], [[0.0, 0.0]], [0.0, -0.5])
    """

    def __init__(self, code: int, beta: float = 1, free_bits: float = 0):
        super().__init__(beta, free_bits=free_bits)
        self.code = whole_number("LearnedBernoulliKL", "code", code)
        self.new_parameter("prior_logits", (self.code,))

    @property
    def log_prior_odds(self):
        logits, (log_one, log_zero) = self.prior_logits[None], (
            self.buffer(name, (1, self.code), batch=False) for name in ("log_one", "log_zero"))
        backend.elementwise(log_probabilities, logits, out=(log_one, log_zero))
        return logits, log_one, log_zero

    @property
    def prior_probability(self):
        return sigmoid(self.xp, self.prior_logits)

    def update_output(self, input):
        self.expect("input", input, ("N", self.code))
        return super().update_output(input)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        residual = self.buffer("residual", input.shape)
        backend.elementwise(_residual, input, self.prior_probability[None], out=residual)
        self.accumulate(residual, self.charge(input, scale))

    def extra_repr(self):
        return ", ".join(filter(None, (str(self.code), super().extra_repr())))


def _residual(xp, a, p):
    return p - sigmoid(xp, a)  # p − θ
