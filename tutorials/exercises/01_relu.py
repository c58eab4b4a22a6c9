"""Exercise 01: a rectifier, forward and backward.  After tutorial 02.

Write the two verbs of a layer that sets negative numbers to zero.

    x  input  (N, ...)      y  output  (N, ...), any shape with the batch first

    forward     y = max(x, 0)
    backward    ∂L/∂x = ∂L/∂y where x > 0, else 0

`forward` calls `update_output`, `backward` calls `update_grad_input`; the `expect` lines refuse wrong input.

Hints
- `self.xp` is the array library, here NumPy, and stands for np: self.xp.maximum(a, b, out=c).
- `self.buffer(name, shape)` is an array that the layer owns and keeps.  Fill it with `out=` or with `array[...] = `.
- grad_output is ∂L/∂y.  A comparison such as `x > 0` gives True and False, and these multiply as 1 and 0.

Check it: python tutorials/exercises/01_relu.py
"""

from checks import check, normal

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
    test.layer(ReLU, nn.ReLU, normal(4, 5))
    test.layer(ReLU, nn.ReLU, normal(2, 3, 3))


if __name__ == "__main__":
    check(conditions)
