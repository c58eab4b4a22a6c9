"""Solution 07."""

from minivae import backend, nn

SMALLEST, LARGEST = 2.0**-25, 1 - 2.0**-24


class BernoulliSampler(nn.Sampler):

    def __init__(self, temperature=1, samples=1):
        super().__init__(samples)
        self.temperature = temperature

    def update_output(self, input):
        self.expect("input", input, ("N", "Q"))
        n, q = input.shape
        u = self.draw(backend.uniform, (n * self.samples, q))
        u = self.xp.minimum(self.xp.maximum(u, SMALLEST), LARGEST)
        self.output = self.buffer("output", u.shape)
        noise = self.grouped(self.xp.log(u) - self.xp.log(1 - u))
        self.grouped(self.output)[...] = (input[:, None] + noise) / self.temperature
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        self.grad_input[...] = self.grouped(grad_output).sum(axis=1) / self.temperature
        return self.grad_input
