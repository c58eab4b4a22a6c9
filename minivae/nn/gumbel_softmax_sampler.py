"""Reparameterized, relaxed draws of categories."""

from minivae import backend
from minivae.nn.exponentials import relative_exponentials, share, unless
from minivae.nn.sampler import Sampler, inside


class GumbelSoftmaxSampler(Sampler):
    """y = softmax((a + g) / T) over the C categories, with g = −ln(−ln u), u uniform in (0, 1), L times for each row.

        a  logits, input  (N, K, C)      y  output  (N·L, K·C)      u  noise  (N·L, K·C)

    Row n·L + l of y is draw l for row n: K relaxed one-hot vectors of C numbers, one behind the other.  The largest of
    a vector stands at category c with probability softmax(a)_c at any temperature T, and the lower T, the nearer the
    vector is to one-hot; a HardOneHot follows.  With G = ∂L/∂y:

        ∂/∂a_c = Σₗ y_c (G_c − Σⱼ Gⱼ yⱼ) / T

    Jang et al. 2016, equation (2); Maddison et al. 2016, the Concrete distribution.  C = 2 is the BernoulliSampler
    and its Sigmoid, with the difference of two Gumbel variables for the logistic one.

    >>> nn.GumbelSoftmaxSampler()(np.float32([[[99, 0, 0], [0, 0, 99]]])).round(3).tolist()
    [[1.0, 0.0, 0.0, 0.0, 0.0, 1.0]]
    """

    def __init__(self, temperature: float = 1, samples: int = 1):
        super().__init__(samples)
        self.temperature = self.expect_temperature(temperature)

    def update_output(self, input):
        self.expect("input", input, ("N", "K", "C"))
        n, k, c = input.shape
        noise = self.draw(backend.uniform, (n * self.samples, k * c))
        self.output = self.buffer("output", noise.shape)
        y = self._vectors(self.output, input)
        backend.elementwise(_perturb, input[:, None], self._vectors(noise, input), out=y)
        _, u, total = relative_exponentials(self.xp, y, self.buffer, self.varying_temperature())
        backend.elementwise(share, u, total, backend.least_normal(y.dtype), out=y)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        grad, y = self._vectors(grad_output, input), self._vectors(self.output, input)
        spare, mean = self.buffer("u", y.shape), self.buffer("mean", (*y.shape[:-1], 1))
        self.xp.multiply(grad, y, out=spare)
        self.xp.sum(spare, axis=-1, keepdims=True, out=mean)  # Σⱼ Gⱼ yⱼ
        backend.elementwise(_derivative, grad, y, mean, self.varying_temperature(), backend.least_normal(y.dtype),
                            out=spare)
        self.grad_input = self.buffer("grad_input", input.shape)
        self.xp.sum(spare, axis=1, out=self.grad_input)  # Σₗ
        return self.grad_input

    def _vectors(self, array, input):
        """(N·L, K·C) seen as (N, L, K, C)."""
        n, k, c = input.shape
        return array.reshape(n, self.samples, k, c)


def _perturb(xp, a, u):
    return a - xp.log(-xp.log(inside(xp, u)))


def _derivative(xp, grad, y, mean, temperature, least):
    return unless(xp, y * (grad - mean) / temperature, least)
