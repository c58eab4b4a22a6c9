"""Solution 05."""

from minivae import nn


class GaussianKL(nn.Divergence):

    def update_output(self, input):
        self.expect_table("input", input, 2)
        mean, log_var = input
        self.divergence = 0.5 * float((mean * mean + self.xp.expm1(log_var) - log_var).sum())
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_table("grad_output", grad_output, 2)
        mean, log_var = input
        self.grad_input = self.buffer("mean", mean.shape), self.buffer("log_var", mean.shape)
        self.grad_input[0][...] = grad_output[0] + self.beta * mean
        self.grad_input[1][...] = grad_output[1] + self.beta * 0.5 * self.xp.expm1(log_var)
        return self.grad_input
