"""Exercise 07: draw relaxed bits so that gradients pass through.  After tutorial 11.

    a  logits, input  (N, Q)      u  noise  (N·L, Q), uniform in (0, 1)
    y  output  (N·L, Q)           T  temperature

    forward     y = (a + ln u − ln(1 − u)) / T,  L = `samples` times for each row;
                row n·L + l of y is draw l for row n: the draws of one row stand together
    backward    with G = ∂L/∂y, derive ∂L/∂a

y may be any number: leave the sigmoid to the layer after this one, a Sigmoid.  Its z = σ(y) is
above ½ with probability σ(a), at any temperature, and the lower T, the nearer z is to 0 or 1.
self.draw(backend.uniform, shape) draws u, or hands out what is held; it stays in self.noise.
nn.Sampler keeps L as self.samples, and self.grouped(array) shows an array (N·L, Q) as (N, L, Q),
without copying it.  A generator of numbers in [0, 1) may return 0 exactly, and ln 0 = −∞: keep u
within SMALLEST … LARGEST.

Check it: python tutorials/exercises/07_bernoulli_sampler.py      A hint: add --hint 1, 2 or 3
"""

import numpy as np
from checks import check, column, draws_right, expect, gradients, keeps_to_itself, normal, same

from minivae import backend, nn  # noqa: F401  backend.uniform is for you
from minivae.debug import check_sampler

SMALLEST, LARGEST = 2.0**-25, 1 - 2.0**-24


class BernoulliSampler(nn.Sampler):

    def __init__(self, temperature=1, samples=1):
        super().__init__(samples)
        self.temperature = temperature

    def update_output(self, input):
        self.expect("input", input, ("N", "Q"))
        raise NotImplementedError

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        raise NotImplementedError


def conditions(test):
    def bits():
        for temperature in (0.5, 2):
            draws_right(check_sampler(BernoulliSampler(temperature), "bernoulli", changes=False))

    def nearness():  # of relaxed bits z = σ(y), |y| < ln 9 is z in (.1, .9)
        layer = BernoulliSampler()
        for temperature, share in ((0.1, 0.09), (0.5, 0.44), (1, 0.75), (2, 0.97)):
            layer.temperature = temperature  # which a schedule lowers while a model learns
            y = layer.forward(column(np.log(0.3) - np.log(0.7)))
            what = f"the share of z in (.1, .9), for p = .3 and T = {temperature},"
            same(what, (np.abs(y) < np.log(9)).mean(), share, 0.02)

    def ends():
        layer = BernoulliSampler().hold_noise()
        # what uniform can return at its ends
        layer.noise = np.array([[0, 0.5, 1 - 2.0**-24]], dtype=np.float32)
        y = layer.forward(np.zeros((1, 3), np.float32))
        expect(
            np.isfinite(y).all(),
            f"u = 0, 0.5 and 1 − 2⁻²⁴ gave y = {y[0]}, expected finite numbers",
        )

    def of_known_noise():
        layer = BernoulliSampler(0.5).hold_noise()
        u = np.array([[1e-6, 1e-3, 0.2, 0.5, 0.75, 0.9999]], dtype=np.float32)
        layer.noise = u.copy()
        y = layer.forward(np.full_like(u, 0.3))
        noise = np.log(u) - np.log1p(-u)
        # −noise is distributed alike
        wanted = 2 * (0.3 + (noise if np.ndim(y) != 2 or y[0, 0] < 0 else -noise))
        which = "y for u = 1e-6, 0.001, 0.2, 0.5, 0.75, 0.9999, logit 0.3 and T = 0.5"
        same(which, y, wanted, 1e-3)

    def evaluation():
        for samples in (1, 3):
            draws_right(check_sampler(Evaluated(0.5, samples), "bernoulli", changes=False))

    class Evaluated(BernoulliSampler):
        def training(self):
            return self.evaluate()

    def rows():
        logits = np.array([[-60], [0], [60]], dtype=np.float32)  # far beyond any noise
        signs = np.sign(BernoulliSampler(samples=4).forward(logits))
        same(
            "the signs of y for the logits −60 and 60, four draws each",
            signs[[0, 1, 2, 3, 8, 9, 10, 11]],
            np.array([[-1]] * 4 + [[1]] * 4),
        )

    def sizes():
        for n, samples in ((4, 1), (4, 3), (1, 2)):
            for mode in ("training", "evaluate"):
                shape = getattr(BernoulliSampler(0.7, samples), mode)().forward(normal(n, 3)).shape
                expect(
                    shape == (n * samples, 3),
                    f"y of {samples} draws for each of {n} rows has shape {shape}, "
                    f"expected ({n * samples}, 3)",
                )

    x = normal(4, 3)
    test.that("each row gets `samples` draws", sizes)
    test.noise(lambda: BernoulliSampler(0.7), x)
    test.that(
        "three draws a row: gradients agree with finite differences",
        lambda: gradients(BernoulliSampler(0.7, samples=3), x),
    )
    test.that(
        "at T = 1 nobody else's array is written to or kept",
        lambda: keeps_to_itself(BernoulliSampler, x),
    )
    test.that("the draws of one row stand together", rows)
    test.that("a bit is 1 with probability σ(a), counted over 100,000 draws", bits)
    test.that(
        "three draws a row: a bit is 1 with probability σ(a)",
        lambda: draws_right(
            check_sampler(BernoulliSampler(0.5, samples=3), "bernoulli", changes=False)
        ),
    )
    test.that("the share of z near ½ is right at four temperatures", nearness)
    test.that("y is right for noise that is known", of_known_noise)
    test.that("bits are drawn in evaluation too", evaluation)
    test.that("y is finite for u at both ends of [0, 1)", ends)


if __name__ == "__main__":
    check(conditions)
