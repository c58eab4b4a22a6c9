"""Solution 03."""

from math import sqrt

from minivae import backend, nn


class Linear(nn.Module):
    parameter_names = ("weight", "bias")

    def __init__(self, n_in, n_out):
        super().__init__()
        self.n_in, self.n_out = n_in, n_out
        self.new_parameter("weight", (n_out, n_in))
        self.new_parameter("bias", (n_out,))
        self.reset()

    def reset(self):
        bound = 1 / sqrt(self.n_in)
        backend.fill_uniform(self.weight, -bound, bound)
        backend.fill_uniform(self.bias, -bound, bound)

    def update_output(self, input):
        self.expect("input", input, ("N", self.n_in))
        self.output = self.buffer("output", (len(input), self.n_out))
        self.xp.matmul(input, self.weight.T, out=self.output)
        self.output += self.bias
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        self.xp.matmul(grad_output, self.weight, out=self.grad_input)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * self.xp.matmul(grad_output.T, input)
        self.grad_bias += scale * grad_output.sum(axis=0)
