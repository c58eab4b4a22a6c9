"""Fully connected layer with the weights of another one, transposed: the decoder of a classic auto-encoder."""

from math import sqrt

from minivae import backend
from minivae.errors import OptionError, truth
from minivae.nn.linear import Linear
from minivae.nn.module import Module


class TiedLinear(Module):
    """Affine map of every row:  y = x W + b,  with the W of a Linear from O to I numbers, and a bias of its own.

        x  input   (N, I)      W  weight  (I, O), the other layer's      b  bias  (O,)      y  output  (N, O)

    With G = ∂L/∂y of shape (N, O):

        ∂L/∂x  = G Wᵀ        ∂L/∂W += scale xᵀ G        ∂L/∂b += scale Σₙ Gₙ

    Both layers add to one gradient, and W counts once in a model that holds both, as with `share`.

    >>> coder = nn.Linear(3, 2)
    >>> nn.Sequential(coder, nn.Linear.tied(coder)).get_parameters()[0].shape  # 3·2 shared, biases of 2 and of 3
    (11,)
    """

    parameter_names = ("weight", "bias")
    spare_output = True

    def __init__(self, other: Linear, bias: bool = True):
        super().__init__()
        if not isinstance(other, Linear):
            raise OptionError(f"TiedLinear({other!r}): give the nn.Linear whose weights it shares")
        other.inventory()
        self.n_in, self.n_out, self.backend, self.dtype = other.n_out, other.n_in, other.backend, other.dtype
        self.weight, self.grad_weight, self.bias = other.weight, other.grad_weight, None
        if truth("TiedLinear", "bias", bias):
            self.new_parameter("bias", (self.n_out,))
        self.reset()

    def reset(self):
        """Draw the bias; the weights are for the other layer to draw."""
        if self.bias is not None:
            bound = 1 / sqrt(self.n_in)
            backend.fill_uniform(self.bias, -bound, bound)

    def update_output(self, input):
        self.expect("input", input, ("N", self.n_in))
        self.output = self.buffer("output", (len(input), self.n_out))
        return backend.affine(input, self.weight, self.bias, out=self.output)  # x W + b

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.matmul(grad_output, self.weight.T, out=self.grad_input)  # G Wᵀ
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.expect_grad_output(grad_output)
        if scale != 1:
            grad_output = scale * grad_output
        backend.add_product(self.grad_weight, input.T, grad_output)  # xᵀ G
        if self.bias is not None:
            backend.add_rows(self.grad_bias, grad_output)  # Σₙ Gₙ

    def extra_repr(self):
        return f"{self.n_in} -> {self.n_out}" + ("" if self.bias is not None else ", no bias")
