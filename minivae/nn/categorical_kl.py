"""Kullback-Leibler divergence of a categorical code from the uniform distribution."""

from math import log

from minivae import backend
from minivae.errors import OptionError, whole_number
from minivae.nn.divergence import Divergence, digits
from minivae.nn.hard_one_hot import one_hot
from minivae.nn.log_sum_exp import log_sum_exp


class CategoricalKL(Divergence):
    """Logits a -> the same, with KL(Cat(p) ‖ uniform), p = softmax(a), kept in `divergence`.

        a  input and output  (N, K, C): K variables of C categories

        KL = Σₖ Σ_c p_c ln p_c + K ln C

    With G = ∂L/∂a:

        ∂/∂a_c = G_c + beta · p_c (ln p_c − Σⱼ pⱼ ln pⱼ)

    Codes z are (N, K·C), K one-hot vectors one behind the other.  What is asked of the prior alone, `log_prior`,
    `sample_prior` and `support`, needs `categories` = C.  Jang et al. 2016, section 4.2.
    """

    state_names = (*Divergence.state_names, "log_total", "peak", "negative_entropy")

    def __init__(self, beta=1, categories=None):
        super().__init__(beta)
        self.categories = None if categories is None else whole_number("CategoricalKL", "categories", categories)
        self.log_total = self.peak = self.negative_entropy = None

    def update_output(self, input):
        self.expect("input", input, ("N", "K", self.categories or "C"))
        self.log_total, self.peak = log_sum_exp(self.xp, input, self.buffer)  # ln p = a − log_total
        spare = self.buffer("spare", input.shape)
        backend.elementwise(_weighted_log, input, self.log_total, out=spare)
        self.negative_entropy = self.buffer("negative_entropy", self.log_total.shape)
        self.xp.sum(spare, axis=-1, keepdims=True, out=self.negative_entropy)  # Σ_c p ln p
        self.divergence = backend.total(_above, self.negative_entropy, log(input.shape[2]))
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        return backend.elementwise(_derivative, input, self.log_total, self.negative_entropy, grad_output,
                                   float(self.beta), out=self.grad_input)

    def units(self, parameters):
        """KL(q ‖ p) of every variable for every image, in nats (N, K)."""
        log_p = self._log_probabilities(parameters)
        return (self.xp.exp(log_p) * log_p).sum(axis=2) + log(parameters.shape[2])

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
        return {"largest_probability": (backend.total(_largest, self.peak, self.log_total), n),
                "entropy": (backend.total(_negated, self.negative_entropy), n),
                "undecided": (backend.total(_undecided, self.peak, self.log_total), n)}

    def extra_repr(self):
        categories = "" if self.categories is None else f"categories={self.categories}"
        return ", ".join(filter(None, (super().extra_repr(), categories)))

    def _log_probabilities(self, parameters):
        def new(name, shape):
            return backend.empty(shape, self.dtype, self.backend)

        return parameters - log_sum_exp(self.xp, parameters, new)[0]

    def _one_hot(self, a):
        """1 at the largest of each C numbers (n, K, C), else 0: a new array (n, K·C)."""
        n, k, c = a.shape
        return one_hot(self.xp, a, out=backend.empty(a.shape, self.dtype, self.backend)).reshape(n, k * c)

    def _expect_categories(self):
        if self.categories is None:
            raise OptionError(f"{self.title}: its prior alone does not know how many categories a variable has; make "
                              "it with CategoricalKL(categories=C)")
        return self.categories


def _weighted_log(xp, a, log_total):
    return xp.exp(a - log_total) * (a - log_total)


def _largest(xp, peak, log_total):
    return xp.exp(peak - log_total)


def _undecided(xp, peak, log_total):
    return peak - log_total < log(0.9)


def _negated(xp, x):
    return -x


def _above(xp, negative_entropy, log_c):
    return negative_entropy + log_c


def _derivative(xp, a, log_total, negative_entropy, grad, beta):
    return grad + beta * xp.exp(a - log_total) * (a - log_total - negative_entropy)
