"""Kullback-Leibler divergence of a binary code from coins that are learned."""

from minivae import backend
from minivae.nn.bernoulli_kl import BernoulliKL
from minivae.nn.exponentials import log_probabilities
from minivae.nn.sigmoid import sigmoid


class LearnedBernoulliKL(BernoulliKL):
    """Logits a -> the same, with KL(Ber(θ) ‖ Ber(p)), θ = σ(a), p = σ(π), kept in `divergence`.

        a  input and output  (N, Q)      π  prior_logits  (Q,), 0 at first: p = ½

    As BernoulliKL, with a prior for each bit, which is learned:

        ∂/∂a = G + beta · θ (1 − θ) (a − π)        ∂/∂π += scale beta Σₙ (p − θₙ)

    The best prior has the mean of θ over the images.  Jang et al. 2016, section 4, learn theirs.

    >>> layer, a = nn.LearnedBernoulliKL(code=2), np.float32([[0, 199]])
    >>> layer(a).tolist(), layer.backward(a, 0 * a).tolist(), layer.grad_prior_logits.tolist()
    ([[0.0, 199.0]], [[0.0, 0.0]], [0.0, -0.5])
    """

    parameter_names = ("prior_logits",)
    prior_logits: backend.Array
    grad_prior_logits: backend.Array

    def __init__(self, code: int, beta: float = 1):
        super().__init__(beta)
        self.code = code
        self.new_parameter("prior_logits", (code,))

    def reset(self):
        self.prior_logits.fill(0)

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
        self._accumulate(residual, self.varying_beta(input, over=1 / scale) if scale else 0.0)

    def acc_grad_prior(self, z, grad, scale=1):
        residual = self.buffer("residual", z.shape)
        backend.elementwise(_weighted_residual, z, self.prior_probability[None], grad[:, None], out=residual)
        self._accumulate(residual, float(scale))

    def _accumulate(self, residual, weight):
        total = self.buffer("total", self.prior_logits.shape, batch=False)
        self.xp.sum(residual, axis=0, out=total)
        backend.elementwise(_add, self.grad_prior_logits, total, weight)

    def extra_repr(self):
        return ", ".join(filter(None, (str(self.code), super().extra_repr())))


def _residual(xp, a, p):
    return p - sigmoid(xp, a)  # p − θ


def _weighted_residual(xp, z, p, grad):
    return grad * (z - p)


def _add(xp, total, x, weight):
    total += weight * x
