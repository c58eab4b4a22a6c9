"""Binary cross entropy of logits: Sigmoid and BCECriterion in one."""

from minivae import backend
from minivae.nn.criterion import Criterion
from minivae.nn.sigmoid import sigmoid
from minivae.nn.soft_plus import soft_plus


class BCEWithLogitsCriterion(Criterion):
    """−log Ber(x; σ(a)) = log(1 + e^a) − a x, summed.

        a  prediction  (N·L, ...), logits      x  target  (N, ...), in [0, 1]

        ∂/∂a = (1/L) (σ(a) − x)

    The same value and gradient as Sigmoid followed by BCECriterion, with no logarithm of a rounded probability.
    """

    def update_output(self, input, target):
        a, x = self.grouped("prediction", input, target)
        self.expect_probabilities(target)
        self.output = backend.total(_loss, a, x) * self.weight(target)
        return self.output

    def update_grad_input(self, input, target):
        a, x = self.grouped("prediction", input, target)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.elementwise(_derivative, a, x, self.weight(target), out=self.grad_input.reshape(a.shape))
        return self.grad_input

    def rows(self, input, target):
        a, x = self.grouped("prediction", input, target)
        self.expect_probabilities(target)
        return _loss(self.xp, a, x).sum(axis=2).reshape(-1)


def _loss(xp, a, x):
    return soft_plus(xp, a) - a * x


def _derivative(xp, a, x, weight):
    return weight * (sigmoid(xp, a) - x)
