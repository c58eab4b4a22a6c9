"""Exercise 06: draw a Gaussian code so that gradients pass through.  After tutorial 06.

    mean, log_var  input  (N, Q) each      ε  noise  (N·L, Q), from N(0, 1)      z  output  (N·L, Q)

    forward     z = mean + σ ε,  with σ = e^(½ log_var), L = `samples` times for each row;
                row n·L + l of z is draw l for row n: the draws of one row stand together
    backward    with G = ∂L/∂z:    ∂/∂mean = Σₗ G        ∂/∂log_var = ½ σ Σₗ G ε

Hints
- self.draw(backend.standard_normal, shape) draws ε, or hands out the noise that is held while gradients are checked.
  It stays in self.noise.
- self.grouped(z) shows an (N·L, Q) array as (N, L, Q); mean[:, None] has shape (N, 1, Q) and fits beside it.
- log_var is the logarithm of the variance.  A gradient check cannot see whether you took σ or σ²: it only compares your
  two passes with one another.  Counting draws can.

Check it: python tutorials/exercises/06_gaussian_sampler.py
"""

import numpy as np
from checks import check, column, draws_right, expect, gradients, normal, same

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
        same("z for the means 0, 1, 2, two draws each", z, np.array([[0], [0], [1], [1], [2], [2]]), 1e-3)

    def draws():
        layer, x = GaussianSampler(), (normal(3, 2), normal(3, 2, seed=2))
        first = layer.forward(x).copy()
        expect(not np.array_equal(first, layer.forward(x)), "two calls gave the same z: noise is drawn anew each time")
        layer.hold_noise()
        first = layer.forward(x).copy()
        expect(np.array_equal(first, layer.forward(x)), "hold_noise() did not hold: draw with self.draw(...)")

    x = normal(4, 3), normal(4, 3, seed=2)
    test.layer(GaussianSampler, nn.GaussianSampler, x)
    def three():
        layer = GaussianSampler(samples=3)
        shape = layer.forward(x).shape
        expect(shape == (12, 3), f"z of three draws for each of 4 rows has shape {shape}, expected (12, 3)")
        gradients(layer, x)

    test.that("three draws a row: gradients agree with finite differences", three)
    test.that("the draws of one row stand together", rows)
    test.that("new noise each time, unless it is held", draws)
    test.that("the moments of z, counted over 100,000 draws",
              lambda: draws_right(check_sampler(GaussianSampler(), "gaussian")))


if __name__ == "__main__":
    check(conditions)
