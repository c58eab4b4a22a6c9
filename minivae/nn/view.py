"""The same numbers in another shape (torch/nn View)."""

from math import prod

from minivae.errors import ShapeError, whole_number
from minivae.nn.checks import show_shape
from minivae.nn.module import Module


class View(Module):
    """y = x, of shape (N, *sizes);  backwards  ∂L/∂x = ∂L/∂y, of the shape of x.

        x  input  (N, ...)      y  output  (N, *sizes), in the same memory wherever the layout of x allows it

    View(784) flattens images of 28×28, View(1, 28, 28) undoes it; what has that shape already passes as it is.  Other
    axes than these sizes, such as those of images with their channels last, would be scrambled and are refused.

    >>> nn.View(2, 3)(np.zeros((5, 6), np.float32)).shape
    (5, 2, 3)
    """

    def __init__(self, *sizes: int):
        super().__init__()
        if not sizes:
            raise ShapeError("View(): give it one size or more, without the batch axis")
        self.sizes = tuple(whole_number("View", "size", size) for size in sizes)

    def update_output(self, input):
        self.expect("input", input)
        if prod(input.shape[1:]) != prod(self.sizes):
            raise ShapeError(f"{self.title}: input has shape {input.shape}, that is {prod(input.shape[1:])} "
                             f"numbers a row, expected {prod(self.sizes)} for {show_shape(('N', *self.sizes))}")
        before, after = ([size for size in sizes if size != 1] for sizes in (input.shape[1:], self.sizes))
        if len(before) > 1 and len(after) > 1 and before != after:
            raise ShapeError(f"{self.title}: input has shape {input.shape}, expected {show_shape(('N', *self.sizes))} "
                             f"or rows of {prod(self.sizes)} numbers: a View orders nothing anew; put channels first "
                             f"with x.transpose(0, 3, 1, 2), or View({prod(self.sizes)}) before it to mean this order")
        self.output = input.reshape((len(input), *self.sizes))
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = grad_output.reshape(input.shape)
        return self.grad_input

    def extra_repr(self):
        return ", ".join(map(str, self.sizes))
