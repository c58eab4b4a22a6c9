"""Bits instead of relaxed bits."""

from minivae import backend
from minivae.nn.module import Module


class HardBits(Module):
    """z in (0, 1) -> 1 where z > ½, else 0: in evaluation, and with `straight_through` in training too.

        z  input  (N, ...), after the Sigmoid that follows a BernoulliSampler      output  (N, ...)

    Backwards  ∂L/∂z = ∂L/∂output.  The derivative of a step is zero almost everywhere, so this is an estimator
    (Bengio et al. 2013, "straight-through") and not the derivative.  In training without `straight_through`
    it passes z through: the bits stay relaxed.
    """

    def __init__(self, straight_through=False):
        super().__init__()
        self.straight_through = straight_through

    def update_output(self, input):
        self.expect("input", input)
        if self.train and not self.straight_through:
            self.output = input
            return self.output
        self.output = self.buffer("output", input.shape)
        return backend.elementwise(_harden, input, out=self.output)

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = grad_output
        return self.grad_input

    def extra_repr(self):
        return "straight_through" if self.straight_through else ""


def _harden(xp, z):
    return xp.where(z > 0.5, 1, 0)
