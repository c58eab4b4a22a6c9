"""Solution 04."""

from minivae import nn


class ConcatTable(nn.Container):

    def update_output(self, input):
        self.output = tuple(module.forward(input) for module in self.modules)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_table("grad_output", grad_output, len(self.modules))
        self.grad_input = self.buffer("grad_input", input.shape)
        self.grad_input.fill(0)
        for module, grad in zip(self.modules, grad_output):
            self.grad_input += module.update_grad_input(input, grad)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for module, grad in zip(self.modules, grad_output):
            module.acc_grad_parameters(input, grad, scale)
