"""Kullback-Leibler divergence of a categorical code from the uniform distribution."""

from typing import Any

from minivae import backend
from minivae.errors import whole_number
from minivae.nn.categorical_latent import CategoricalLatent
from minivae.nn.divergence import Divergence
from minivae.nn.exponentials import excess, relative_exponentials


class CategoricalKL(Divergence):
    """Logits a -> the same, with KL(Cat(p) ‖ uniform), p = softmax(a), kept in `divergence`.

        a  input and output  (N, K, C): K variables of C categories

        KL = Σₖ Σ_c p_c ln(C p_c)

    With G = ∂L/∂a:

        ∂/∂a_c = G_c + beta · p_c (ln(C p_c) − Σⱼ pⱼ ln(C pⱼ))

    `categories` = C is needed where only the prior is asked for, as by `sample`.  Jang et al. 2016, section 4.2, learn
    the prior.

    >>> print(nn.CategoricalKL().units(np.float32([[[0, 0, 0], [99, 0, 0]]])).round(3))  # open, and decided: ln 3
    [[0.    1.099]]
    """

    latent_class = CategoricalLatent
    varying_names = ("beta",)
    state_names = (*Divergence.state_names, "peak", "log_mean", "of_variables")

    def __init__(self, beta: float = 1, categories: int | None = None, free_bits: float = 0):
        super().__init__(beta, free_bits)
        self.categories = None if categories is None else whole_number("CategoricalKL", "categories", categories)
        self.peak = self.log_mean = self.of_variables = None

    def update_output(self, input):
        self.expect("input", input, ("N", "K", self.categories or "C"))
        self.peak, self.log_mean, spare = self._normalizer(input, self.buffer)
        c = input.shape[2]
        backend.elementwise(_divergence, input, self.peak, self.log_mean, *self.prior(c), 1 / c, out=spare)
        self.of_variables = self.buffer("of_variables", self.peak.shape)
        self.xp.sum(spare, axis=-1, keepdims=True, out=self.of_variables)  # Σ_c
        self.keep(backend.total(_same, self.of_variables), input)
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        c = input.shape[2]
        return backend.elementwise(_derivative, input, self.peak, self.log_mean, self.prior(c)[1], self.of_variables,
                                   grad_output, self._charge(input, 1 / c), out=self.grad_input)

    def prior(self, c: int) -> tuple[Any, Any]:
        """(r, ln(C r)) of each of c categories, in which `_divergence` measures: numbers, or arrays (1, K, C)."""
        return 1 / c, 0.0

    def units(self, parameters):
        """KL(q ‖ p) of every variable for every image, in nats (N, K)."""
        peak, log_mean, _ = self._normalizer(parameters, self._new)
        c = parameters.shape[2]
        return _divergence(self.xp, parameters, peak, log_mean, *self.prior(c), 1 / c).sum(axis=2)

    def extra_repr(self):
        categories = "" if self.categories is None else f"categories={self.categories}"
        return ", ".join(filter(None, (super().extra_repr(), categories)))

    def _charge(self, input, times):
        """`charge` of variables, for their categories."""
        charge = self.charge(input, times)
        return charge if self.free_bits == 0 else charge[:, None]

    def _normalizer(self, a, buffer):
        """(the largest a, ln of the mean of e^(a − largest), an array like a to work in): see `_log_ratio`."""
        peak, spare, total = relative_exponentials(self.xp, a, buffer)
        log_mean = buffer("log_mean", total.shape)
        return peak, backend.elementwise(_log_mean, total, 1 / a.shape[2], out=log_mean), spare

    def _new(self, name, shape):
        return backend.empty(shape, self.dtype, self.backend)


def _same(xp, x):
    return x


def _log_mean(xp, total, share):
    return xp.log(share * total)


def _log_ratio(xp, a, peak, log_mean):
    # ln(C p), which is small where a is nearly uniform: the difference of nearly equal logits is exact, ln p − ln 1/C
    # is not.  Logits at both ends of what a float holds are too far apart for one.
    return xp.maximum(a - peak, -1e30) - log_mean


def _divergence(xp, a, peak, log_mean, prior, offset, share):
    # p ln(p / r) + r − p, of which no term is negative, and what is added sums up to nothing
    log_ratio = _log_ratio(xp, a, peak, log_mean)  # ln(C p), and not ln(p / r), for r may be smaller than a float holds
    p, ratio = share * xp.exp(log_ratio), log_ratio - offset
    near = xp.maximum(ratio, -1)
    return xp.where(ratio < -1, prior - p * (1 - ratio), p * excess(xp, -near, xp.expm1(-near)))


def _derivative(xp, a, peak, log_mean, offset, divergence, grad, beta):
    ratio = _log_ratio(xp, a, peak, log_mean)
    return grad + beta * xp.exp(ratio) * (ratio - offset - divergence)
