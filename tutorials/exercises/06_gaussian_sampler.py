"""Exercise 06: draw a Gaussian code so that gradients pass through.  After tutorial 06.

    mean, log_var  input  (N, Q) each      ε  noise  (N·L, Q), from N(0, 1)      z  output  (N·L, Q)

    forward     z = mean + σ ε,  with σ = e^(½ log_var), L = `samples` times for each row;
                row n·L + l of z is draw l for row n: the draws of one row stand together
    backward    with G = ∂L/∂z, derive ∂L/∂mean and ∂L/∂log_var: what does z do when each moves,
                and ε stays?

nn.Sampler keeps L as self.samples, and self.grouped(array) shows an array (N·L, Q) as (N, L, Q),
without copying it.  self.draw(backend.standard_normal, shape) draws ε, or hands out the noise that
is held while gradients are checked.  It stays in self.noise.  log_var is the logarithm of the
variance.  A gradient check cannot see whether you took σ or σ²: it only compares your two passes
with one another.  Counting draws can.

Check it: python tutorials/exercises/06_gaussian_sampler.py      A hint: add --hint 1, 2 or 3
"""

import numpy as np
from checks import check, column, draws_right, expect, gradients, like, normal, same

from minivae import backend, nn  # noqa: F401  backend.standard_normal is for you
from minivae.debug import check_sampler


class GaussianSampler(nn.Sampler):

    def update_output(self, input):
        self.expect_table("input", input, 2)
        raise NotImplementedError  # set self.output, (N·L, Q), and return it

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        raise NotImplementedError  # set self.grad_input, a table of two, and return it


def conditions(test):
    def rows():
        mean = np.arange(3, dtype=np.float32)[:, None]
        z = GaussianSampler(samples=2).forward((mean, column(-30, 3)))
        wanted = np.array([[0], [0], [1], [1], [2], [2]])
        same("z for the means 0, 1, 2, two draws each", z, wanted, 1e-3)
        log_var = np.array([[-40], [0], [40]], dtype=np.float32)
        z = GaussianSampler(samples=2).forward((np.zeros_like(log_var), log_var))
        same(
            "the size of z, as 0 (tiny), 1 or 2 (huge), for the log_var −40, 0, 40, two draws each",
            np.digitize(np.abs(z), (1e-4, 1e4)),
            wanted,
        )

    def sizes():
        for n, samples in ((4, 1), (4, 3), (1, 2)):
            for mode in ("training", "evaluate"):
                layer = getattr(GaussianSampler(samples), mode)()
                shape = layer.forward((normal(n, 3), normal(n, 3))).shape
                expect(
                    shape == (n * samples, 3),
                    f"z of {samples} draws for each of {n} rows has shape {shape}, "
                    f"expected ({n * samples}, 3)",
                )

    def precise():
        layer = GaussianSampler(samples=3).double()
        mean, log_var = (each.astype(np.float64) for each in x)
        z = layer.forward((mean, log_var)).reshape(4, 3, 3)  # (N, L, Q)
        grad_output = like(z)
        grad_input = layer.backward((mean, log_var), grad_output.reshape(12, 3))
        moved = 0.5 * grad_output * (z - mean[:, None])
        wanted = grad_output.sum(axis=1), moved.sum(axis=1)
        same("∂L/∂(mean, log_var) in float64", grad_input, wanted, 1e-9)

    def evaluation():
        for samples in (1, 3):
            draws_right(check_sampler(Evaluated(samples), "gaussian", changes=False))

    class Evaluated(GaussianSampler):
        def training(self):
            return self.evaluate()

    x = normal(4, 3), normal(4, 3, seed=2)
    test.that("each row gets `samples` draws", sizes)
    test.noise(GaussianSampler, x)
    test.that(
        "three draws a row: gradients agree with finite differences",
        lambda: [gradients(GaussianSampler(samples=3), x), precise()],
    )
    test.that("the draws of one row stand together", rows)
    test.that(
        "z is distributed as it should, counted over 100,000 draws",
        lambda: draws_right(check_sampler(GaussianSampler(), "gaussian", changes=False)),
    )
    test.that(
        "three draws a row: z is distributed as it should",
        lambda: draws_right(check_sampler(GaussianSampler(samples=3), "gaussian", changes=False)),
    )
    test.that("a code is drawn in evaluation too", evaluation)


if __name__ == "__main__":
    check(conditions)
