"""Negative log-density of a continuous Bernoulli, of logits: a likelihood of grey values."""

from minivae import backend
from minivae.nn.criterion import Criterion


class ContinuousBernoulliCriterion(Criterion):
    """−log CB(x; a), summed, with the density  CB(x; a) = e^(a x − A(a))  of x in [0, 1].

        a  prediction  (N·L, ...), logits      x  target  (N, ...), in [0, 1], grey values of pixels

        A(a) = ln ∫₀¹ e^(a t) dt = ln((e^a − 1) / a)        ∂/∂a = (1/L) (A′(a) − x)

        A′(a) = 1/(1 − e^−a) − 1/a = E[x],  the mean

    A Bernoulli of a grey value does not integrate to 1; this is the same density with its constant.
    With λ = σ(a) it is C(λ) λ^x (1 − λ)^(1 − x) of Loaiza-Ganem and Cunningham 2019, equations 4 to 7.

    >>> abs(round(nn.ContinuousBernoulliCriterion()(np.float32([[0]]), np.float32([[0.3]])), 3))  # uniform: ln 1
    0.0
    """

    def update_output(self, input, target):
        a, x = self._checked(input, target)
        self.output = backend.total(_loss, a, x) * self.weight(target)
        return self.output

    def update_grad_input(self, input, target):
        a, x = self._checked(input, target)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.elementwise(_derivative, a, x, self.weight(target), out=self.grad_input.reshape(a.shape))
        return self.grad_input

    def rows(self, input, target):
        return backend.row_totals(_loss, *self._checked(input, target)).reshape(-1)

    def _checked(self, input, target):
        self.expect_probabilities("target", target)
        return self.grouped("prediction", input, target)


SMALLEST = 1e-30  # in place of |a| = 0, where (1 − e^−|a|) / |a| is 1 and its formula 0/0
NEAR = 0.25  # below it A′ is a series: the formula is a difference of two numbers near 1/a


def _loss(xp, a, x):
    # A(a) − a x = |a| |x − [a > 0]| + ln((1 − e^−|a|) / |a|)
    t = xp.maximum(xp.abs(a), SMALLEST)
    return xp.abs(a) * xp.abs(x - (a > 0)) + xp.log(-xp.expm1(-t) / t)


def mean(xp, a):
    """E[x] = A′(a) of a continuous Bernoulli with logit a."""
    t = xp.maximum(xp.abs(a), NEAR)
    e = xp.expm1(-t)  # e^−|a| − 1
    far = xp.where(a > 0, -1 / e - 1 / t, 1 / t + (1 + e) / e)
    # ½ + a/12 − a³/720 + a⁵/30240 − …, whose next term is below 2e-16 for |a| < ¼
    b = xp.minimum(xp.maximum(a, -NEAR), NEAR)
    s = b * b
    near = 0.5 + b * (1 / 12 - s * (1 / 720 - s * (1 / 30240 - s * (1 / 1209600 - s / 47900160))))
    return xp.where(xp.abs(a) < NEAR, near, far)


def _derivative(xp, a, x, weight):
    return weight * (mean(xp, a) - x)
