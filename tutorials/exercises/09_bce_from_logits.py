"""Exercise 09: binary cross entropy, from logits.  After tutorial 13.

A criterion: a loss, and its derivative by the prediction.

    a  prediction  (N, D), logits      x  target  (N, D), in [0, 1]
    p = σ(a), the probability of a 1

    forward     L = −Σ [x ln p + (1 − x) ln(1 − p)],  a sum over pixels and batch, in nats
    backward    ∂L/∂a: derive it; it is simpler than it looks

With p computed first, ln p is −∞ as soon as p is rounded to 0.  Find a form of L in a and x in
which nothing can overflow, whatever the logit.  It is a sum and not a mean, because the divergence
beside it is a sum, too.

Check it: python tutorials/exercises/09_bce_from_logits.py      A hint: add --hint 1, 2 or 3
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
    a = normal(4, 6)
    x = np.random.default_rng(0).random((4, 6)).astype(np.float32)
    far = np.array([[-200, -200, 200, 200]], dtype=np.float32)
    farther = 1e28 * far
    ends = np.array([[0, 1, 0, 1]], dtype=np.float32)

    def differences():
        twice = BCEWithLogitsCriterion()
        first = float(twice.forward(a, x))
        same("the loss of one batch, asked twice,", float(twice.forward(a, x)), first)
        report = mv.gradcheck_criterion(BCEWithLogitsCriterion(), a, x, changes=False)
        expect(report.ok, str(report))

    def numbers():
        mine, own = BCEWithLogitsCriterion(), nn.BCEWithLogitsCriterion()
        for n, spread in ((4, 1), (1, 3), (7, 30)):
            logits = spread * normal(n, 6, seed=n)
            target = np.random.default_rng(n).random((n, 6)).astype(np.float32)
            kept = logits.copy(), target.copy()
            loss = mine.forward(logits, target)
            same("the loss", float(loss), own.forward(logits, target))
            grad = mine.backward(logits, target)
            same("∂L/∂a", grad, own.backward(logits, target))
            expect(grad.dtype == "float32", f"∂L/∂a has dtype {grad.dtype}, expected float32")
            same("the prediction and the target after both passes", (logits, target), kept, 0)
        mine, own = mine.double(), own.double()
        logits, target = logits.astype(np.float64), target.astype(np.float64)
        loss = float(mine.forward(logits, target))
        same("the loss in float64", loss, own.forward(logits, target), 1e-9)
        grad = mine.backward(logits, target)
        same("∂L/∂a in float64", grad, own.backward(logits, target), 1e-9)

    def two():
        first, second = BCEWithLogitsCriterion(), BCEWithLogitsCriterion()
        first.forward(a, x)
        grad = first.backward(a, x)
        kept = grad.copy()
        second.forward(-a, x)
        second.backward(-a, x)
        same("∂L/∂a, after another criterion was used,", grad, kept, 0)

    def loss_far_out():
        loss = BCEWithLogitsCriterion().forward(far, ends)
        same("the loss of logits −200, −200, 200, 200 at targets 0, 1, 0, 1", loss, 400)
        loss = BCEWithLogitsCriterion().forward(farther, ends)
        same("1e-28 times the loss of logits ±2e30 at the same targets", float(loss) / 1e28, 400)

    def derivative_far_out():
        for logits in (far, farther):
            criterion = BCEWithLogitsCriterion()
            criterion.forward(logits, ends)
            same("grad_input", criterion.backward(logits, ends), np.array([[0, -1, 1, 0]]))

    test.that("the loss and its derivative are right, call after call", numbers)
    test.that("the derivative agrees with finite differences", differences)
    test.that("two criterions do not share an array", two)
    test.that("logits of ±200: 0 nats where right, 200 where wrong", loss_far_out)
    test.that("logits of ±200: the derivative is right", derivative_far_out)


if __name__ == "__main__":
    check(conditions)
