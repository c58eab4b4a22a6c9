"""Exercise 08: flip pixels at random, and only while training.  After tutorial 10.

    x  input  (N, ...), in [0, 1]    u  noise  (N, ...), uniform in [0, 1)    y  output  (N, ...)

    training      y = 1 − x where u < p, else x
    evaluation    y = x
    backward      ∂L/∂x, given G = ∂L/∂y: derive it, in either mode

self.train tells the mode: True while training.  self.draw(backend.uniform, shape) draws u, or hands
out what is held; it stays in self.noise, for the way back.  A public listing of this layer sets
some numbers to 0, then everything below p to 1, and so flips every pixel.  In evaluation nothing is
drawn: the layer may hand on its input as it is, and the way back must not ask self.noise, which is
None then or left from training.

Check it: python tutorials/exercises/08_bernoulli_noise.py      A hint: add --hint 1, 2 or 3
"""

import numpy as np
from checks import check, draws_right, expect, gradients, same

from minivae import backend, nn
from minivae.debug import check_noise


class BernoulliNoise(nn.Module):

    def __init__(self, p=0.1):
        super().__init__()
        self.p = p

    def update_output(self, input):
        self.expect("input", input)
        raise NotImplementedError

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        raise NotImplementedError


def conditions(test):
    x = np.random.default_rng(1).random((4, 5)).astype(np.float32)

    def flips():
        for p in (0.1, 0.5, 0.8, 0.0, 1.0):
            draws_right(check_noise(BernoulliNoise(p), "bernoulli", changes=False))
        images = np.full((200, 3, 6, 6), 0.3, np.float32)
        flipped = BernoulliNoise(0.5).forward(images) != images
        for axis, name in enumerate(("image", "channel", "row", "column")):
            share = np.diff(flipped, axis=axis).mean()
            expect(
                abs(share - 0.5) < 0.03,
                f"p = 0.5: of a pixel and the one in the next {name}, one alone is flipped in "
                f"{share:.0%} of the cases, expected 50%: draw a number for each pixel",
            )
        layer = BernoulliNoise(0.4)
        counts = [int((layer.forward(x) != x).sum()) for _ in range(50)]
        expect(
            min(counts) < max(counts),
            f"each of 50 calls flips {counts[0]} of {x.size} pixels; each pixel is to flip with "
            "probability p, whatever becomes of the others",
        )

    def ends():
        for p in (0, 1):
            layer = BernoulliNoise(p).hold_noise()
            layer.noise = np.array([[0, 1 - 2.0**-24]], dtype=np.float32)
            given = np.array([[0.25, 0.25]], dtype=np.float32)
            wanted = (1 - p) * given + p * (1 - given)
            same(f"the output for p = {p} and u = 0 and 1 − 2⁻²⁴", layer.forward(given), wanted)

    def evaluates():
        trained = BernoulliNoise(0.5)
        trained.forward(x)
        for layer in (BernoulliNoise(0.5).evaluate(), trained.evaluate()):
            state, noise = backend.get_random_state(), layer.noise
            for _ in range(2):
                same("output in evaluation", layer.forward(x), x)
                expect(
                    not layer.train,
                    "forward sets self.train: only training() and evaluate() change the mode",
                )
                same("grad_input in evaluation", layer.backward(x, x), x)
            expect(
                backend.get_random_state() == state and layer.noise is noise,
                "it draws noise in evaluation",
            )
            gradients(layer, x)

    def comes_back():
        layer = BernoulliNoise(0.5)
        layer.evaluate().forward(x)
        layer.training()
        expect(
            not np.array_equal(layer.forward(x), x),
            "back in training after an evaluation, it flips nothing",
        )

    planes = np.random.default_rng(2).random((2, 3, 3)).astype(np.float32)
    test.that("a share p of the pixels is flipped, counted over 25,000 pixels", flips)
    test.noise(lambda: BernoulliNoise(0.4), x, planes, modes=("training",))
    test.that("p = 0 flips nothing and p = 1 everything, for u at both ends of [0, 1)", ends)
    test.that("evaluation changes nothing", evaluates)
    test.that("training goes on after an evaluation", comes_back)


if __name__ == "__main__":
    check(conditions)
