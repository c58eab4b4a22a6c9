"""Reparameterized draws from a Gaussian."""

from minivae import backend
from minivae.nn.exponentials import root_std
from minivae.nn.sampler import Sampler


class GaussianSampler(Sampler):
    """z = mean + σ · ε, with σ = e^(½ log_var) and ε from N(0, 1), L times for each row.

        mean, log_var  input  (N, Q) each      z  output  (N·L, Q)      ε  noise  (N·L, Q)

    Row n·L + l of z is draw l for row n.  With G = ∂L/∂z:

        ∂/∂mean = Σₗ G        ∂/∂log_var = ½ σ Σₗ G ε

    Kingma and Welling 2013, section 2.4; the articles' ReparameterizationSampler.  The denoising article's text
    has σ² for σ: then the code would not come from the q whose divergence is added to the loss.

    >>> never = np.float32([[1, 2]]), np.float32([[-100, -100]])  # variances of e^−100
    >>> nn.GaussianSampler(samples=2)(never).round(3).tolist()
    [[1.0, 2.0], [1.0, 2.0]]
    """

    def update_output(self, input):
        self.expect_table("input", input, 2)
        mean, log_var = input
        self.expect("mean", mean, ("N", "Q"))
        self.expect("log_var", log_var, mean.shape)
        n, q = mean.shape
        noise = self.draw(backend.standard_normal, (n * self.samples, q))
        self.output = self.buffer("output", noise.shape)
        backend.elementwise(_sample, mean[:, None], log_var[:, None], self.grouped(noise),
                            out=self.grouped(self.output))
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        mean, log_var = input
        product = self.buffer("product", grad_output.shape)
        grad_mean, grad_log_var = self.buffer("mean", mean.shape), self.buffer("log_var", log_var.shape)
        self.xp.sum(self.grouped(grad_output), axis=1, out=grad_mean)  # Σₗ G
        self.xp.multiply(grad_output, self.noise, out=product)
        self.xp.sum(self.grouped(product), axis=1, out=grad_log_var)  # Σₗ G ε
        backend.elementwise(_times_half_std, grad_log_var, log_var, out=grad_log_var)
        self.grad_input = grad_mean, grad_log_var
        return self.grad_input


def _sample(xp, mean, log_var, noise):
    root = root_std(xp, log_var)
    return mean + noise * root * root


def _times_half_std(xp, grad, log_var):
    root = root_std(xp, log_var)
    return 0.5 * grad * root * root
