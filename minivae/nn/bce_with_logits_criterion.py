"""Binary cross entropy of logits: Sigmoid and BCECriterion in one."""

from math import prod

from minivae import backend
from minivae.errors import ShapeError
from minivae.nn import checks
from minivae.nn.criterion import Criterion


class BCEWithLogitsCriterion(Criterion):
    """−log Ber(x; σ(a)) = log(1 + e^a) − a x, summed.

        a  prediction  (N·L, ...), logits      x  target  (N, ...), in [0, 1]

        ∂/∂a = (1/L) (σ(a) − x)

    The same value and gradient as Sigmoid followed by BCECriterion, with no logarithm of a rounded probability.

    >>> loss, a, x = nn.BCEWithLogitsCriterion(), np.float32([[0, 99]]), np.float32([[1, 0]])
    >>> round(loss(a, x), 3), loss.backward(a, x).tolist()
    (99.693, [[-0.5, 1.0]])
    """

    def update_output(self, input, target):
        a, x = self.grouped("prediction", input, target)
        self.expect_probabilities("target", target)
        self.output = backend.total(_loss, a, x) * self.weight(target)
        return self.output

    def update_grad_input(self, input, target):
        a, x = self.grouped("prediction", input, target)
        self.grad_input = self.buffer("grad_input", input.shape)
        weight = self.weight(target)
        backend.elementwise(_derivative, a, x, weight, weight / 2, out=self.grad_input.reshape(a.shape))
        return self.grad_input

    def rows(self, input, target):
        a, x = self.grouped("prediction", input, target)
        self.expect_probabilities("target", target)
        return backend.row_totals(_loss, a, x).reshape(-1)

    def pairs(self, input, target):
        # every term x ln(1 + e^−a) + (1 − x) ln(1 + e^a) is positive: no digit is lost, as one product x a would
        a, x = self._matrices(input, target)
        on, off = self.buffer("on", a.shape), self.buffer("off", a.shape)
        backend.elementwise(_costs, a, out=(on, off))
        absent, losses = self.buffer("absent", x.shape), self.buffer("losses", (len(x), len(a)))
        self.xp.subtract(1, x, out=absent)
        backend.matmul(x, on.T, out=losses)
        backend.add_product(losses, absent, off.T)
        return losses

    def pairs_backward(self, input, target, weights):
        a, x = self._matrices(input, target)
        mixed, total = self.buffer("mixed", a.shape), self.buffer("total", (len(a), 1))
        backend.matmul(weights.T, x, out=mixed)
        self.xp.sum(weights, axis=0, out=total[:, 0])
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.elementwise(_mixed_derivative, a, mixed, total, out=self.grad_input.reshape(a.shape))
        return self.grad_input

    def _matrices(self, input, target):
        """(logits (S, D), targets (N, D)), after their shapes have been checked."""
        checks.expect_array(self, "prediction", input, None)
        checks.expect_array(self, "target", target, None)
        self.expect_probabilities("target", target)
        a, x = (each.reshape(len(each), prod(each.shape[1:])) for each in (input, target))
        if a.shape[1] != x.shape[1]:
            raise ShapeError(f"{self.title}: prediction has shape {input.shape} and the target {target.shape}; "
                             "expected rows of as many elements")
        return a, x


# e^−88 is a denormal number, on which exp is up to ten times slower, and a decoder that is sure of its black pixels
# gives nothing else.  e^−64 = 1.6e-28 is as good as nothing.
SURE = 64.0


def _loss(xp, a, x):
    # log(1 + e^a) − a x as two terms that are not negative: the first is (1 − x) a where a > 0, else x |a|
    return xp.abs(a) * xp.abs(x - (a > 0)) + xp.log1p(xp.exp(-xp.minimum(xp.abs(a), SURE)))


def _derivative(xp, a, x, weight, half_weight):
    # weight · (σ(a) − x) with σ(a) = ½ (1 + tanh ½a): half the time of the exponential, and a black pixel that the
    # decoder is sure of gives 0 instead of denormal numbers, on which the products of the backward pass would be slow
    return half_weight * xp.tanh(0.5 * a) + weight * (0.5 - x)


def _costs(xp, a):
    # ln(1 + e^−a) and ln(1 + e^a), of a pixel that is on, and of one that is off
    small = xp.log1p(xp.exp(-xp.minimum(xp.abs(a), SURE)))
    return xp.maximum(-a, 0) + small, xp.maximum(a, 0) + small


def _mixed_derivative(xp, a, mixed, total):
    return total * (0.5 + 0.5 * xp.tanh(0.5 * a)) - mixed  # (Σₙ w) σ(a) − Σₙ w x
