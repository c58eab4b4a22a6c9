"""Solution 06."""

from minivae import backend, nn


class GaussianSampler(nn.Sampler):

    def update_output(self, input):
        self.expect_table("input", input, 2)
        mean, log_var = input
        n, q = mean.shape
        noise = self.draw(backend.standard_normal, (n * self.samples, q))
        self.output = self.buffer("output", noise.shape)
        std = self.xp.exp(0.5 * log_var)
        self.grouped(self.output)[...] = mean[:, None] + std[:, None] * self.grouped(noise)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        mean, log_var = input
        self.grad_input = self.buffer("mean", mean.shape), self.buffer("log_var", mean.shape)
        half_std = 0.5 * self.xp.exp(0.5 * log_var)
        self.grad_input[0][...] = self.grouped(grad_output).sum(axis=1)
        self.grad_input[1][...] = half_std * self.grouped(grad_output * self.noise).sum(axis=1)
        return self.grad_input
