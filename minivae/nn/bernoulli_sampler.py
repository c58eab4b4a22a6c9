"""Reparameterized, relaxed draws of bits."""

from minivae import backend
from minivae.nn.sampler import Sampler, inside


class BernoulliSampler(Sampler):
    """y = (a + ln u − ln(1 − u)) / T with u uniform in (0, 1), L times for each row; a Sigmoid follows.

        a  logits, input  (N, Q)      y  output  (N·L, Q)      u  noise  (N·L, Q)

    Row n·L + l of y is draw l for row n.  z = σ(y) is a binary Concrete variable: z > ½ with probability σ(a)
    at any temperature T, and the lower T, the nearer z is to 0 or 1.  With G = ∂L/∂y:

        ∂/∂a = Σₗ G / T

    Maddison et al. 2016, appendix B; Bernoulli VAE article, equation (1).  Its listing adds one Gumbel variable
    instead of this logistic one, and then P(z > ½) = 1 − e^−p.

    >>> bits = nn.Sequential(nn.BernoulliSampler(temperature=0.5), nn.Sigmoid())
    >>> bits(np.float32([[-99, 99]])).round(3).tolist()
    [[0.0, 1.0]]
    """

    spare_output = True

    def __init__(self, temperature: float = 1, samples: int = 1):
        super().__init__(samples)
        self.temperature = self.expect_temperature(temperature)

    def update_output(self, input):
        self.expect("input", input, ("N", "Q"))
        n, q = input.shape
        noise = self.draw(backend.uniform, (n * self.samples, q))
        self.output = self.buffer("output", noise.shape)
        backend.elementwise(_relax, input[:, None], self.grouped(noise), self.varying_temperature(),
                            out=self.grouped(self.output))
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        self.xp.sum(self.grouped(grad_output), axis=1, out=self.grad_input)  # Σₗ G
        self.grad_input *= backend.varying(lambda: 1 / self.temperature, self.grad_input)
        return self.grad_input


def _relax(xp, a, u, temperature):
    u = inside(xp, u)
    return (a + xp.log(u) - xp.log(1 - u)) / temperature
