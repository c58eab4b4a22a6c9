"""Exercise 01: a rectifier, forward and backward.  After tutorial 02.

Write the two verbs of a layer that sets negative numbers to zero.

    x  input  (N, ...)      y  output  (N, ...), any shape with the batch first

    forward     y = max(x, 0)
    backward    ∂L/∂x, given G = ∂L/∂y: derive it.  At x = 0 the function has a kink; let the
                derivative there be 0.

`forward` calls `update_output`, `backward` calls `update_grad_input`; the `expect` lines refuse
wrong input.  `self.xp` is the array library, here NumPy.  `self.buffer(name, shape)` is an array
that the layer owns and keeps from call to call; its content is whatever was there.

Check it: python tutorials/exercises/01_relu.py      A hint: add --hint 1, 2 or 3
"""

import numpy as np
from checks import check, normal, same

from minivae import nn


class ReLU(nn.Module):

    def update_output(self, input):
        self.expect("input", input)
        self.output = self.buffer("output", input.shape)
        raise NotImplementedError  # fill self.output and return it

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        raise NotImplementedError  # fill self.grad_input and return it


def conditions(test):
    def at_the_kink():
        x = np.array([[-1, 0, 0, 2]], dtype=np.float32)
        layer = ReLU()
        same("the output for −1, 0, 0, 2", layer.forward(x), np.array([[0, 0, 0, 2]]))
        grad_output = np.array([[1, 1, -3, 5]], dtype=np.float32)
        same("∂L/∂x there", layer.backward(x, grad_output), np.array([[0, 0, 0, 5]]))

    def sizes():
        x = np.array([-1e30, -1e-30, 1e-30, 1e30], dtype=np.float32)
        same("the output for ±1e-30 and ±1e30", ReLU().forward(x), np.maximum(x, 0), 0)

    inputs = normal(4, 5), normal(3, 3, 3), normal(2, 3, 2, 2), normal(6), 1000 * normal(7, 2)
    test.layer(ReLU, nn.ReLU, *inputs)
    test.that("at x = 0, ∂L/∂x is 0", at_the_kink)
    test.that("very large and very small numbers are right too", sizes)


if __name__ == "__main__":
    check(conditions)
