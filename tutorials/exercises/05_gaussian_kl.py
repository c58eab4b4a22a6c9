"""Exercise 05: the divergence of a Gaussian code from the unit Gaussian.  After tutorial 07.

The layer hands on its input, the table (mean, log_var), as it is; it measures, and pulls on the way
back.

    mean, log_var  input and output  (N, Q) each      beta  a number: the weight of the divergence

    divergence = ½ Σₙ Σ_q (mean² + e^log_var − 1 − log_var)    in nats, over the whole batch

    backward    training minimises L + beta · divergence, where L is what comes behind this layer.
                With (G₁, G₂) = ∂L/∂(mean, log_var), derive what belongs into grad_input, a table
                of two arrays.

nn.Divergence gives the layer `beta`, and `loss` = beta · divergence, which training adds to the
reconstruction. `divergence` itself is not multiplied by beta.

Check it: python tutorials/exercises/05_gaussian_kl.py      A hint: add --hint 1, 2 or 3
"""

import numpy as np
from checks import check, column, expect, mean_is, normal, same

from minivae import nn


class GaussianKL(nn.Divergence):

    def update_output(self, input):
        self.expect_table("input", input, 2)
        raise NotImplementedError  # set self.divergence and self.output, return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_table("grad_output", grad_output, 2)
        raise NotImplementedError  # set self.grad_input, a table, and return it


def conditions(test):
    def is_a_number(kl):
        shape = np.shape(kl.divergence)
        expect(
            shape == (),
            f"the divergence has shape {shape}, expected one number for the whole batch",
        )

    def by_hand():
        known = (
            (0, 0, 0), (1, 0, 0.5), (0, np.log(4), 1.5 - np.log(2)), (2, 0, 2), (0, -200, 99.5)
        )
        for mean, log_var, wanted in known:
            kl = GaussianKL()
            kl.forward((column(mean, 2), column(log_var, 2)))
            is_a_number(kl)
            what = f"divergence of two codes of mean {mean}, log_var {log_var:.3f}"
            same(what, kl.divergence, 2 * wanted)

    def by_counting():  # KL = E_q[ln q(z) − ln p(z)]
        mean, log_var = 0.8, -1.2
        z = np.random.default_rng(0).normal(mean, np.exp(log_var / 2), 20000)
        log_q = -0.5 * (np.log(2 * np.pi) + log_var + (z - mean) ** 2 / np.exp(log_var))
        kl = GaussianKL()
        kl.forward((column(mean, 1), column(log_var, 1)))
        is_a_number(kl)
        log_p = -0.5 * (np.log(2 * np.pi) + z**2)
        mean_is("the divergence", float(kl.divergence), log_q - log_p)

    def weighs():
        kl = GaussianKL(beta=3)
        x = normal(3, 2), normal(3, 2, seed=2)
        kl.forward(x)
        is_a_number(kl)
        wanted = nn.GaussianKL()
        wanted.forward(x)
        expect(
            not np.isclose(kl.divergence, 3 * wanted.divergence, rtol=1e-5),
            "the divergence is multiplied by beta: that is the loss, which nn.Divergence computes",
        )
        same("divergence at beta=3", kl.divergence, wanted.divergence)
        same("loss at beta=3", kl.loss, 3 * wanted.divergence)
        zero = np.zeros((3, 2), np.float32)
        grad_input = kl.backward(x, (zero, zero))
        same("grad_input at beta=3", grad_input, (3 * x[0], 1.5 * (np.exp(x[1]) - 1)))
        kl.beta = 0.5
        grad_input = kl.backward(x, (zero, zero))
        wanted = 0.5 * x[0], 0.25 * (np.exp(x[1]) - 1)
        same("grad_input after beta was set to 0.5", grad_input, wanted)

    def reports():
        kl, own = GaussianKL(), nn.GaussianKL()
        for n, q in ((4, 3), (1, 3), (4, 3), (300, 5)):
            x = normal(n, q, seed=n), normal(n, q, seed=n + 5)
            if n == 300:
                kl.evaluate()
            kl.forward(x)
            own.forward(x)
            is_a_number(kl)
            same("the divergence of one batch after another", kl.divergence, own.divergence)

    table = normal(4, 3), normal(4, 3, seed=2)
    test.layer(GaussianKL, nn.GaussianKL, table, (normal(6, 2, seed=3), 2 * normal(6, 2, seed=4)))
    test.that("beta weighs the gradient and the loss, not the divergence", weighs)
    quarter = (lambda: GaussianKL(0.25)), (lambda: nn.GaussianKL(0.25))
    test.layer(*quarter, table, name="beta = 0.25: ")
    test.that("the divergence is of the batch just seen, in evaluation too", reports)
    test.that("the divergence is right where it can be computed by hand", by_hand)
    test.that("the divergence is the mean of ln q(z) − ln p(z)", by_counting)


if __name__ == "__main__":
    check(conditions)
