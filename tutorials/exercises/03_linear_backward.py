"""Exercise 03: the backward pass of a linear layer.  After tutorial 03.

The forward pass is given; write the other two verbs.

    x  input   (N, I)      W  weight  (O, I)      b  bias  (O,)      y  output  (N, O)

    forward     y = x Wᵀ + b
    backward    with G = ∂L/∂y of shape (N, O)

        ∂L/∂x  = G W        ∂L/∂W += scale · Gᵀ x        ∂L/∂b += scale · Σₙ Gₙ

The gradient of the input is overwritten; those of the parameters are added to what is there, because a model may use
a layer twice before it takes a step.

Hints
- Shapes lead the way: (N, O) and (O, I) make (N, I).
- self.xp.matmul(a, b, out=c) is a matrix product, a.T the transpose, a.sum(axis=0) the sum over the batch.
- self.grad_weight and self.grad_bias exist already and are zero at first.

Check it: python tutorials/exercises/03_linear_backward.py
"""

from math import sqrt

from checks import check, gradients, normal

from minivae import backend, nn


class Linear(nn.Module):
    parameter_names = ("weight", "bias")

    def __init__(self, n_in, n_out):
        super().__init__()
        self.n_in, self.n_out = n_in, n_out
        self.new_parameter("weight", (n_out, n_in))
        self.new_parameter("bias", (n_out,))
        self.reset()

    def reset(self):
        bound = 1 / sqrt(self.n_in)
        backend.fill_uniform(self.weight, -bound, bound)
        backend.fill_uniform(self.bias, -bound, bound)

    def update_output(self, input):
        self.expect("input", input, ("N", self.n_in))
        self.output = self.buffer("output", (len(input), self.n_out))
        self.xp.matmul(input, self.weight.T, out=self.output)  # x Wᵀ
        self.output += self.bias  # + b
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        raise NotImplementedError

    def acc_grad_parameters(self, input, grad_output, scale=1):
        raise NotImplementedError


def conditions(test):
    test.that("4 -> 3: gradients agree with finite differences and add up, times scale",
              lambda: gradients(Linear(4, 3), normal(5, 4)))
    test.that("3 -> 3, where a transpose too many would fit", lambda: gradients(Linear(3, 3), normal(5, 3)))


if __name__ == "__main__":
    check(conditions)
