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
    ends = np.array([[0, 1, 0, 1]], dtype=np.float32)

    def differences():
        report = mv.gradcheck_criterion(BCEWithLogitsCriterion(), a, x)
        expect(report.ok, str(report))

    def numbers():
        mine, own = BCEWithLogitsCriterion(), nn.BCEWithLogitsCriterion()
        for n, spread in ((4, 1), (1, 3), (7, 30)):
            logits = spread * normal(n, 6, seed=n)
            target = np.random.default_rng(n).random((n, 6)).astype(np.float32)
            kept = logits.copy(), target.copy()
            loss = mine.forward(logits, target)
            expect(
                loss is not None and np.ndim(loss) == 0,
                "update_output returns a number: is a return missing?",
            )
            same("the loss", float(loss), own.forward(logits, target))
            grad = mine.backward(logits, target)
            expect(grad is not None, "update_grad_input returns None: is a return missing?")
            same("∂L/∂a", grad, own.backward(logits, target))
            same("the prediction and the target after both passes", (logits, target), kept, 0)

    def loss_far_out():
        loss = BCEWithLogitsCriterion().forward(far, ends)
        same("the loss of logits −200, −200, 200, 200 at targets 0, 1, 0, 1", loss, 400)

    def derivative_far_out():
        grad_input = BCEWithLogitsCriterion().backward(far, ends)
        same("grad_input", grad_input, np.array([[0, -1, 1, 0]]))

    test.that("the loss and its derivative are right, call after call", numbers)
    test.that("the derivative agrees with finite differences", differences)
    test.that("logits of ±200: 0 nats where right, 200 where wrong", loss_far_out)
    test.that("logits of ±200: the derivative is right", derivative_far_out)


if __name__ == "__main__":
    check(conditions)
