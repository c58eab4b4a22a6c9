"""Kullback-Leibler divergence of a categorical code from probabilities that are learned."""

from minivae import backend
from minivae.errors import whole_number
from minivae.nn.categorical_kl import CategoricalKL, _log_ratio, _same, terms
from minivae.nn.exponentials import relative_exponentials
from minivae.nn.learned_categorical_latent import LearnedCategoricalLatent


class LearnedCategoricalKL(CategoricalKL):
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

    parameter_names = ("prior_logits",)
    prior_logits: backend.Array
    grad_prior_logits: backend.Array
    latent_class = LearnedCategoricalLatent

    def __init__(self, variables: int, categories: int, beta: float = 1):
        super().__init__(beta, categories)
        self.variables = whole_number("LearnedCategoricalKL", "variables", variables)
        self.new_parameter("prior_logits", (self.variables, self.categories))

    def reset(self):
        self.prior_logits.fill(0)

    def prior(self) -> tuple[backend.Array, backend.Array]:
        """(r, ln(C r)), both (1, K, C)."""
        def buffer(name, shape):
            return self.buffer(f"prior_{name}", shape, batch=False)

        logits = self.prior_logits[None]
        peak, u, total = relative_exponentials(self.xp, logits, buffer)
        share, offset = buffer("share", u.shape), buffer("offset", u.shape)
        backend.elementwise(_prior, logits, peak, u, total, 1 / self.categories, out=(share, offset))
        return share, offset

    def update_output(self, input):
        self.expect("input", input, ("N", self.variables, self.categories))
        self.peak, self.log_mean, spare = self._normalizer(input, self.buffer)
        backend.elementwise(_divergence, input, self.peak, self.log_mean, *self.prior(), 1 / self.categories,
                            out=spare)
        self.of_variables = self.buffer("of_variables", self.peak.shape)
        self.xp.sum(spare, axis=-1, keepdims=True, out=self.of_variables)  # Σ_c
        self.divergence = backend.total(_same, self.of_variables)
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        return backend.elementwise(_derivative, input, self.peak, self.log_mean, self.prior()[1], 1 / self.categories,
                                   self.of_variables, grad_output, self.varying_beta(input), out=self.grad_input)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        residual = self.buffer("residual", input.shape)
        backend.elementwise(_residual, input, self.peak, self.log_mean, self.prior()[0], 1 / self.categories,
                            out=residual)
        self._accumulate(residual, self.varying_beta(input, over=1 / scale) if scale else 0.0)

    def acc_grad_prior(self, z, grad, scale=1):
        vectors = z.reshape(len(z), self.variables, self.categories)
        residual = self.buffer("residual", vectors.shape)
        backend.elementwise(_weighted_residual, vectors, self.prior()[0], grad[:, None, None], out=residual)
        self._accumulate(residual, float(scale))

    def units(self, parameters):
        peak, log_mean, _ = self._normalizer(parameters, self._new)
        return _divergence(self.xp, parameters, peak, log_mean, *self.prior(), 1 / self.categories).sum(axis=2)

    def _accumulate(self, residual, weight):
        total = self.buffer("sum", self.prior_logits.shape, batch=False)
        self.xp.sum(residual, axis=0, out=total)
        backend.elementwise(_add, self.grad_prior_logits, total, weight)

    def extra_repr(self):
        return ", ".join(filter(None, (str(self.variables), super().extra_repr())))


def _prior(xp, logits, peak, u, total, share):
    return u / total, xp.maximum(logits - peak, -1e30) - xp.log(share * total)


def _divergence(xp, a, peak, log_mean, prior, offset, share):
    ratio = _log_ratio(xp, a, peak, log_mean)  # ln(C p), and not ln(p / r), for r may be smaller than a float holds
    return terms(xp, share * xp.exp(ratio), ratio - offset, prior)


def _derivative(xp, a, peak, log_mean, offset, share, divergence, grad, beta):
    ratio = _log_ratio(xp, a, peak, log_mean)
    return grad + beta * (share * xp.exp(ratio)) * (ratio - offset - divergence)


def _residual(xp, a, peak, log_mean, prior, share):
    return prior - share * xp.exp(_log_ratio(xp, a, peak, log_mean))  # r − p


def _weighted_residual(xp, z, prior, grad):
    return grad * (z - prior)


def _add(xp, total, x, weight):
    total += weight * x
