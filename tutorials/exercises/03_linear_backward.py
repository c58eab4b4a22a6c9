"""Exercise 03: the backward pass of a linear layer.  After tutorial 03.

The forward pass is given; write the other two verbs.

    x  input   (N, I)      W  weight  (O, I)      b  bias  (O,)      y  output  (N, O)

    forward     y = x Wᵀ + b
    backward    with G = ∂L/∂y of shape (N, O), derive ∂L/∂x (N, I), ∂L/∂W (O, I) and ∂L/∂b (O,)

`update_grad_input` overwrites self.grad_input.  `acc_grad_parameters` *adds* scale · ∂L/∂W to
self.grad_weight, and scale · ∂L/∂b to self.grad_bias, because a model may be run several times
before it takes a step.  `scale` is a number with which the caller weighs this call: backward(x, G,
scale=0.5) adds half of the gradient.  Both arrays exist already and are zero at first.

Check it: python tutorials/exercises/03_linear_backward.py      A hint: add --hint 1, 2 or 3
"""

from math import sqrt

import numpy as np
from checks import check, gradients, keeps_to_itself, like, normal, same

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
    def by_input():
        layer, own = Linear(4, 3), nn.Linear(4, 3)
        own.load_state_dict(layer.state_dict())
        x = normal(5, 4)
        layer.forward(x)
        grad_output = like(own.forward(x))
        wanted = own.update_grad_input(x, grad_output)
        same("∂L/∂x", layer.update_grad_input(x, grad_output), wanted)

    def numbers():
        layer, own = Linear(4, 3), nn.Linear(4, 3)
        own.load_state_dict(layer.state_dict())
        for n, scale in ((5, 1), (1, 0.5), (7, -2), (7, 1)):
            x = normal(n, 4, seed=n)
            if scale == -2:
                layer.evaluate()  # a gradient is added in either mode
            for each in (layer, own):
                each.forward(x)
            grad_output = like(own.output)
            got = layer.backward(x, grad_output, scale)
            same("∂L/∂x", got, own.backward(x, like(own.output), scale))
            same("∂L/∂W after several calls", layer.grad_weight, own.grad_weight)
            same("∂L/∂b after several calls", layer.grad_bias, own.grad_bias)
        layer, own, x = layer.double(), own.double(), x.astype(np.float64)
        for each in (layer, own):
            each.zero_grad_parameters()
            each.forward(x)
        grad_output = like(own.output)
        got, wanted = (each.backward(x, grad_output) for each in (layer, own))
        same("∂L/∂x in float64", got, wanted, 1e-9)
        same("∂L/∂W in float64", layer.grad_weight, own.grad_weight, 1e-9)

    test.that("∂L/∂x is right", by_input)
    test.that(
        "4 -> 3: gradients agree with finite differences and add up, times scale",
        lambda: gradients(Linear(4, 3), normal(5, 4)),
    )
    test.that(
        "3 -> 3, where a transpose too many would fit: gradients agree as well",
        lambda: gradients(Linear(3, 3), normal(5, 3)),
    )
    test.that("both passes are right for batches of other sizes, one after the other", numbers)
    test.that(
        "nobody else's array is written to or kept",
        lambda: keeps_to_itself(lambda: Linear(4, 3), normal(5, 4)),
    )


if __name__ == "__main__":
    check(conditions)
