"""Exercise 02: a logistic function that cannot overflow.  After tutorial 02.

    x  input  (N, ...)      y  output  (N, ...), in (0, 1)

    forward     y = σ(x) = 1 / (1 + e^−x)
    backward    ∂L/∂x = ∂L/∂y · y (1 − y)

The equation as it stands overflows at x = −100: float32 ends at 3.4e38, and e^100 is 2.7e43.  Your layer must give 0
there without a warning.

Hints
- e^−|x| is never above 1.  With e = e^−|x|, y is 1 / (1 + e) for x ≥ 0.  What is it for x < 0?
- self.xp.where(condition, a, b) takes a where the condition holds, else b.  It computes both.
- The backward pass needs y only, and that is self.output.

Check it: python tutorials/exercises/02_sigmoid.py
"""

import numpy as np
from checks import check, normal, same

from minivae import nn


class Sigmoid(nn.Module):

    def update_output(self, input):
        self.expect("input", input)
        self.output = self.buffer("output", input.shape)
        raise NotImplementedError

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        raise NotImplementedError


def conditions(test):
    def far_out():
        x = np.array([[-1000, -100, 0, 100, 1000]], dtype=np.float32)
        layer = Sigmoid()
        same("output far from zero", layer.forward(x), np.array([[0, 0, 0.5, 1, 1]]))
        same("grad_input far from zero", layer.backward(x, np.ones_like(x)), np.array([[0, 0, 0.25, 0, 0]]))

    test.layer(Sigmoid, nn.Sigmoid, normal(4, 5))
    test.that("x = ±1000 gives 0 and 1 without an overflow", far_out)


if __name__ == "__main__":
    check(conditions)
