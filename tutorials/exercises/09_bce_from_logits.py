"""Exercise 09: binary cross entropy, from logits.  After tutorial 11.

A criterion: a loss, and its derivative by the prediction.

    a  prediction  (N, D), logits      x  target  (N, D), in [0, 1]      p = σ(a), the probability of a 1

    forward     L = −Σ [x ln p + (1 − x) ln(1 − p)],  a number: the sum over pixels and batch, in nats
    backward    ∂L/∂a = σ(a) − x

With p computed first, ln p is −∞ as soon as p is rounded to 0.  But ln σ(a) = −ln(1 + e^−a), so

    L = Σ [ln(1 + e^a) − a x]

and ln(1 + e^a) = max(a, 0) + ln(1 + e^−|a|), in which nothing can overflow.

Hints
- self.xp.log1p(t) is ln(1 + t), exact for small t.
- A sum, not a mean: the divergence beside it is a sum, too.

Check it: python tutorials/exercises/09_bce_from_logits.py
"""

import numpy as np
from checks import check, expect, normal, same

import minivae as mv
from minivae import nn


class BCEWithLogitsCriterion(nn.Criterion):

    def update_output(self, input, target):
        raise NotImplementedError  # set self.output, a number, and return it

    def update_grad_input(self, input, target):
        self.grad_input = self.buffer("grad_input", input.shape)
        raise NotImplementedError


def conditions(test):
    a, x = normal(4, 6), np.random.default_rng(0).random((4, 6)).astype(np.float32)
    far = np.array([[-200, -200, 200, 200]], dtype=np.float32)
    ends = np.array([[0, 1, 0, 1]], dtype=np.float32)

    def differences():
        report = mv.gradcheck_criterion(BCEWithLogitsCriterion(), a, x)
        expect(report.ok, str(report))

    test.that("the loss is right", lambda: same("the loss", BCEWithLogitsCriterion().forward(a, x),
                                                nn.BCEWithLogitsCriterion().forward(a, x)))
    test.that("the derivative agrees with finite differences", differences)
    test.that("logits of ±200: 0 nats where right, 200 where wrong", lambda: same(
        "the loss of logits −200, −200, 200, 200 at targets 0, 1, 0, 1",
        BCEWithLogitsCriterion().forward(far, ends), 400))
    test.that("logits of ±200: the derivative", lambda: same(
        "grad_input", BCEWithLogitsCriterion().backward(far, ends), np.array([[0, -1, 1, 0]])))


if __name__ == "__main__":
    check(conditions)
