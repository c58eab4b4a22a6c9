"""Fully connected layer (torch/nn Linear)."""

from math import sqrt
from typing import Self

from minivae import backend
from minivae.errors import truth, whole_number
from minivae.nn.module import Module


class Linear(Module):
    """Affine map of every row:  y = x Wᵀ + b.

        x  input   (N, I)      W  weight  (O, I)      b  bias  (O,)      y  output  (N, O)

    With G = ∂L/∂y of shape (N, O):

        ∂L/∂x  = G W        ∂L/∂W += scale Gᵀ x        ∂L/∂b += scale Σₙ Gₙ

    Weights start uniform in ±1/√I, as in Torch7.  `Linear.tied(other)` has the transpose of another's, see TiedLinear.

    >>> layer = nn.Linear(2, 1)
    >>> layer.weight[...], layer.bias[...] = [[2, -1]], [0.5]
    >>> layer(np.float32([[1, 1], [3, 0]])).tolist()
    [[1.5], [6.5]]
    """

    weight: backend.Array
    grad_weight: backend.Array
    parameter_names = ("weight", "bias")
    spare_output = True

    def __init__(self, n_in: int, n_out: int, bias: bool = True):
        super().__init__()
        self.n_in = whole_number("Linear", "n_in", n_in)
        self.n_out = whole_number("Linear", "n_out", n_out)
        self.bias = None
        self.new_parameter("weight", (self.n_out, self.n_in))
        if truth("Linear", "bias", bias):
            self.new_parameter("bias", (self.n_out,))
        self.reset()

    def reset(self):
        bound = 1 / sqrt(self.n_in)
        for parameter in (self.weight, self.bias):
            if parameter is not None:
                backend.fill_uniform(parameter, -bound, bound)

    def no_bias(self) -> Self:
        """Do without b, from now on; returns self.

        >>> nn.Linear(3, 2).no_bias()
        nn.Linear(3 -> 2, no bias)
        """
        self.bias = self.grad_bias = None
        return self

    def update_output(self, input):
        self.expect("input", input, ("N", self.n_in))
        self.output = self.buffer("output", (len(input), self.n_out))
        return backend.affine(input, self.weight.T, self.bias, out=self.output)  # x Wᵀ + b

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.matmul(grad_output, self.weight, out=self.grad_input)  # G W
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.expect_grad_output(grad_output)
        if scale != 1:
            grad_output = scale * grad_output
        backend.add_product(self.grad_weight, grad_output.T, input)  # Gᵀ x
        if self.bias is not None:
            backend.add_rows(self.grad_bias, grad_output)  # Σₙ Gₙ

    @staticmethod
    def tied(other: "Linear", bias: bool = True) -> Module:
        """The layer from the outputs of a Linear to its inputs, with the same weights: a TiedLinear."""
        from minivae.nn.tied_linear import TiedLinear  # which begins with this class

        return TiedLinear(other, bias)

    def extra_repr(self):
        return f"{self.n_in} -> {self.n_out}" + ("" if self.bias is not None else ", no bias")

