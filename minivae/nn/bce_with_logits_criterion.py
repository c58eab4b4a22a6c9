"""Binary cross entropy of logits: Sigmoid and BCECriterion in one."""

from minivae import backend
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
        self.expect_probabilities("target", target, "divide by 255 if these are pixels")
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
        self.expect_probabilities("target", target, "divide by 255 if these are pixels")
        return backend.row_totals(_loss, a, x).reshape(-1)


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
