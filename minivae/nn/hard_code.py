"""Base of the layers that harden relaxed codes."""

from typing import Any

from minivae import backend
from minivae.errors import missing, truth
from minivae.nn.module import Module


class HardCode(Module):
    """A relaxed code -> the discrete one nearest to it: in evaluation, and with `straight_through` in training too.

    Backwards  ∂L/∂z = ∂L/∂output.  The derivative of a step is zero almost everywhere, so this is an estimator
    ("straight-through") and not the derivative.  In training without `straight_through` z passes through: the code
    stays relaxed.
    """

    def __init__(self, straight_through: bool = False):
        super().__init__()
        self.straight_through = truth(type(self).__name__, "straight_through", straight_through)

    def update_output(self, input):
        self.expect_code(input)
        if self.train and not self.straight_through:
            self.output = input
            return self.output
        self.output = self.buffer("output", input.shape)
        self.harden(input, self.output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = grad_output
        return self.grad_input

    def expect_code(self, input: backend.Array) -> None:
        """Raise unless `input` is a relaxed code."""
        self.expect("input", input)

    def harden(self, input: backend.Array, out: backend.Array) -> Any:
        """out = the discrete code."""
        raise missing(self, "harden")

    def extra_repr(self):
        return "straight_through" if self.straight_through else ""
