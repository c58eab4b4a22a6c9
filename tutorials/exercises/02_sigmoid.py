"""Exercise 02: a logistic function that cannot overflow.  After tutorial 02.

    x  input  (N, ...)      y  output  (N, ...), in [0, 1]

    forward     y = σ(x) = 1 / (1 + e^−x)
    backward    ∂L/∂x, given G = ∂L/∂y: derive it, and write it with y alone: self.output

The equation as it stands overflows at x = −100: float32 ends at 3.4e38, and e^100 is 2.7e43.  Find
another form, in which nothing can overflow.  Your layer must give 0 there, to seven digits, and
NumPy must not warn.

Check it: python tutorials/exercises/02_sigmoid.py      A hint: add --hint 1, 2 or 3
"""

import numpy as np
from checks import check, hidden_warnings, normal, same

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
        with hidden_warnings():
            layer.forward(x)
        same("output far from zero", layer.forward(x), np.array([[0, 0, 0.5, 1, 1]]))
        grad_input = layer.backward(x, np.ones_like(x))
        same("∂L/∂x far from zero", grad_input, np.array([[0, 0, 0.25, 0, 0]]))

    inputs = normal(4, 5), normal(6), normal(2, 3, 2, 2), 10 * normal(3, 3, 2, seed=3)
    test.layer(Sigmoid, nn.Sigmoid, *inputs)
    test.that("both passes are right at x = ±100 and ±1000, without an overflow", far_out)


if __name__ == "__main__":
    check(conditions)
