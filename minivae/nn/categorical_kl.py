"""Kullback-Leibler divergence of a categorical code from the uniform distribution."""

from math import log

from minivae import backend
from minivae.errors import OptionError, whole_number
from minivae.nn.divergence import Divergence, digits
from minivae.nn.exponentials import excess, relative_exponentials
from minivae.nn.hard_one_hot import one_hot


class CategoricalKL(Divergence):
    """Logits a -> the same, with KL(Cat(p) ‖ uniform), p = softmax(a), kept in `divergence`.

        a  input and output  (N, K, C): K variables of C categories

        KL = Σₖ Σ_c p_c ln(C p_c)

    With G = ∂L/∂a:

        ∂/∂a_c = G_c + beta · p_c (ln(C p_c) − Σⱼ pⱼ ln(C pⱼ))

    Codes z are (N, K·C), K one-hot vectors one behind the other.  What is asked of the prior alone, `log_prior`,
    `sample_prior` and `support`, needs `categories` = C.  Jang et al. 2016, section 4.2, learn the prior.
    """

    state_names = (*Divergence.state_names, "peak", "log_mean", "of_variables")

    def __init__(self, beta=1, categories=None):
        super().__init__(beta)
        self.categories = None if categories is None else whole_number("CategoricalKL", "categories", categories)
        self.peak = self.log_mean = self.of_variables = None

    def update_output(self, input):
        self.expect("input", input, ("N", "K", self.categories or "C"))
        self.peak, self.log_mean, spare = self._normalizer(input, self.buffer)
        share = 1 / input.shape[2]
        backend.elementwise(_divergence, input, self.peak, self.log_mean, share, out=spare)
        self.of_variables = self.buffer("of_variables", self.peak.shape)
        self.xp.sum(spare, axis=-1, keepdims=True, out=self.of_variables)  # Σ_c
        self.divergence = backend.total(_same, self.of_variables)
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        return backend.elementwise(_derivative, input, self.peak, self.log_mean, self.of_variables, grad_output,
                                   float(self.beta) / input.shape[2], out=self.grad_input)

    def units(self, parameters):
        """KL(q ‖ p) of every variable for every image, in nats (N, K)."""
        peak, log_mean, _ = self._normalizer(parameters, self._new)
        return _divergence(self.xp, parameters, peak, log_mean, 1 / parameters.shape[2]).sum(axis=2)

    def log_posterior(self, parameters, z):
        """ln q(z|x) of every row of one-hot codes z, in nats (N·L,)."""
        n, k, c = parameters.shape
        log_p = self._log_probabilities(parameters).reshape(n, 1, k * c)
        return (z.reshape(n, -1, k * c) * log_p).sum(axis=2).reshape(-1)

    def log_prior(self, z):
        """ln p(z) = −K ln C of every row of one-hot codes z, in nats (N·L,)."""
        return z.sum(axis=1) * -log(self._expect_categories())

    def expected(self, parameters):
        """E_q[z] (N, K·C): the probabilities p."""
        n, k, c = parameters.shape
        return self.xp.exp(self._log_probabilities(parameters)).reshape(n, k * c)

    def most_likely(self, parameters):
        """The code z (N, K·C) of highest probability under q."""
        return self._one_hot(parameters)

    def sample_prior(self, n, code):
        """n draws (n, code) from p(z): K = code / C one-hot vectors, all equally likely."""
        c = self._expect_categories()
        return self._one_hot(backend.uniform(backend.empty((n, code // c, c), self.dtype, self.backend)))

    def support_size(self, code):
        return self._expect_categories() ** (code // self.categories)

    def support(self, code):
        c = self._expect_categories()
        category = digits(self.xp, c, code // c)[:, :, None]
        return (category == self.xp.arange(c)).astype(self.dtype).reshape(-1, code)

    def statistics(self, input):
        """{name: (sum over images and variables, of how many)}, of the input just given to `forward`: of the largest
        p, of the entropy in nats, and of the variables not yet decided, whose largest p is below .9."""
        n = self.peak.size
        c = input.shape[2]
        return {"largest_probability": (backend.total(_largest, self.log_mean, 1 / c), n),
                "entropy": (backend.total(_entropy, self.of_variables, log(c)), n),
                "undecided": (backend.total(_undecided, self.log_mean, -log(0.9 * c)), n)}

    def extra_repr(self):
        categories = "" if self.categories is None else f"categories={self.categories}"
        return ", ".join(filter(None, (super().extra_repr(), categories)))

    def _normalizer(self, a, buffer):
        """(the largest a, ln of the mean of e^(a − largest), an array like a to work in): see `_log_ratio`."""
        peak, spare, total = relative_exponentials(self.xp, a, buffer)
        log_mean = buffer("log_mean", total.shape)
        return peak, backend.elementwise(_log_mean, total, 1 / a.shape[2], out=log_mean), spare

    def _log_probabilities(self, parameters):
        peak, log_mean, _ = self._normalizer(parameters, self._new)
        return _log_ratio(self.xp, parameters, peak, log_mean) - log(parameters.shape[2])

    def _new(self, name, shape):
        return backend.empty(shape, self.dtype, self.backend)

    def _one_hot(self, a):
        """1 at the largest of each C numbers (n, K, C), else 0: a new array (n, K·C)."""
        n, k, c = a.shape
        return one_hot(self.xp, a, out=backend.empty(a.shape, self.dtype, self.backend)).reshape(n, k * c)

    def _expect_categories(self):
        if self.categories is None:
            raise OptionError(f"{self.title}: its prior alone does not know how many categories a variable has; make "
                              "it with CategoricalKL(categories=C)")
        return self.categories


def _same(xp, x):
    return x


def _log_mean(xp, total, share):
    return xp.log(share * total)


def _log_ratio(xp, a, peak, log_mean):
    # ln(C p), which is small where a is nearly uniform: the difference of nearly equal logits is exact, ln p − ln 1/C
    # is not.  Logits at both ends of what a float holds are too far apart for one.
    return xp.maximum(a - peak, -1e30) - log_mean


def _divergence(xp, a, peak, log_mean, share):
    # p ln(C p) + 1/C − p, of which no term is negative, and what is added sums up to nothing
    ratio = _log_ratio(xp, a, peak, log_mean)
    p = share * xp.exp(ratio)
    near = xp.maximum(ratio, -1)
    return xp.where(ratio < -1, share - p * (1 - ratio), p * excess(xp, -near, xp.expm1(-near)))


def _largest(xp, log_mean, share):
    return share * xp.exp(-log_mean)


def _undecided(xp, log_mean, least):
    return log_mean > least


def _entropy(xp, divergence, most):
    return most - divergence


def _derivative(xp, a, peak, log_mean, divergence, grad, beta):
    ratio = _log_ratio(xp, a, peak, log_mean)
    return grad + beta * xp.exp(ratio) * (ratio - divergence)
