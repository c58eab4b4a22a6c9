"""The layer that changes nothing (torch/nn Identity)."""

from minivae.nn.module import Module


class Identity(Module):
    """y = x;  backwards  ∂L/∂x = ∂L/∂y.  Hands on its input, array or table, without a copy."""

    def update_output(self, input):
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output
        return self.grad_input
