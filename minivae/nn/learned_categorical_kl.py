"""Kullback-Leibler divergence of a categorical code from probabilities that are learned."""

from minivae import backend
from minivae.errors import whole_number
from minivae.nn.categorical_kl import CategoricalKL, _log_ratio
from minivae.nn.exponentials import relative_exponentials
from minivae.nn.learned_categorical_latent import LearnedCategoricalLatent
from minivae.nn.learned_prior import LearnedPrior


class LearnedCategoricalKL(LearnedPrior, CategoricalKL):
    """Logits a -> the same, with KL(Cat(p) ‖ Cat(r)), p = softmax(a), r = softmax(π), kept in `divergence`.

        a  input and output  (N, K, C)      π  prior_logits  (K, C), 0 at first: r = 1/C

    As CategoricalKL, with a prior for each variable, which is learned:

        KL = Σₖ Σ_c p_c ln(p_c / r_c)

        ∂/∂a_c = G_c + beta · p_c (ln(p_c / r_c) − Σⱼ pⱼ ln(pⱼ / rⱼ))        ∂/∂π += scale beta Σₙ (r − pₙ)

    The best prior has the mean of p over the images.  Jang et al. 2016, section 4.

    >>> layer, a = nn.LearnedCategoricalKL(1, 2), np.float32([[[0, 199]]])
    >>> layer(a).tolist(), layer.backward(a, 0 * a).tolist(), layer.grad_prior_logits.tolist()
    ([[[0.0, 199.0]]], [[[0.0, 0.0]]], [[0.5, -0.5]])
    """

    latent_class = LearnedCategoricalLatent

    def __init__(self, variables: int, categories: int, beta: float = 1, free_bits: float = 0):
        super().__init__(beta, whole_number("LearnedCategoricalKL", "categories", categories), free_bits)
        self.variables = whole_number("LearnedCategoricalKL", "variables", variables)
        self.new_parameter("prior_logits", (self.variables, self.categories))

    def prior(self, c):
        def buffer(name, shape):
            return self.buffer(f"prior_{name}", shape, batch=False)

        logits = self.prior_logits[None]
        peak, u, total = relative_exponentials(self.xp, logits, buffer)
        share, offset = buffer("share", u.shape), buffer("offset", u.shape)
        backend.elementwise(_prior, logits, peak, u, total, 1 / c, out=(share, offset))
        return share, offset

    @property
    def prior_probability(self):
        return self.prior(self.categories)[0][0]

    def update_output(self, input):
        self.expect("input", input, ("N", self.variables, self.categories))
        return super().update_output(input)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        residual = self.buffer("residual", input.shape)
        backend.elementwise(_residual, input, self.peak, self.log_mean, self.prior_probability[None],
                            1 / self.categories, out=residual)
        self.accumulate(residual, self._charge(input, scale))

    def trials(self, vectors):
        return self.xp.sum(vectors, axis=2, keepdims=True)

    def extra_repr(self):
        return ", ".join(filter(None, (str(self.variables), super().extra_repr())))


def _prior(xp, logits, peak, u, total, share):
    return u / total, xp.maximum(logits - peak, -1e30) - xp.log(share * total)


def _residual(xp, a, peak, log_mean, prior, share):
    return prior - share * xp.exp(_log_ratio(xp, a, peak, log_mean))  # r − p
