"""Solution 09."""

from minivae import nn


class BCEWithLogitsCriterion(nn.Criterion):

    def update_output(self, input, target):
        xp = self.xp
        self.output = float((xp.maximum(input, 0) - input * target + xp.log1p(xp.exp(-xp.abs(input)))).sum())
        return self.output

    def update_grad_input(self, input, target):
        self.grad_input = self.buffer("grad_input", input.shape)
        e = self.xp.exp(-self.xp.abs(input))
        self.grad_input[...] = self.xp.where(input >= 0, 1, e) / (1 + e) - target
        return self.grad_input
