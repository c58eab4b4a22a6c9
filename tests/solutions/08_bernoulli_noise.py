"""Solution 08."""

from minivae import backend, nn


class BernoulliNoise(nn.Module):

    def __init__(self, p=0.1):
        super().__init__()
        self.p = p

    def update_output(self, input):
        self.expect("input", input)
        if not self.train:
            self.output = input
            return self.output
        u = self.draw(backend.uniform, input.shape)
        self.output = self.buffer("output", input.shape)
        self.output[...] = self.xp.where(u < self.p, 1 - input, input)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        if not self.train:
            self.grad_input = grad_output
            return self.grad_input
        self.grad_input = self.buffer("grad_input", input.shape)
        self.grad_input[...] = self.xp.where(self.noise < self.p, -grad_output, grad_output)
        return self.grad_input
