"""The layer that keeps the label of each row for a later layer."""

from minivae.errors import ShapeError, instance
from minivae.nn.label import Label
from minivae.nn.module import Module


class KeepLabel(Module):
    """y = x.  The last C numbers of each row are its label, one-hot, kept in `label` for an AppendLabel.

        x  input and output  (N, D + C)

    With G = ∂L/∂y, and H = ∂L/∂label from the AppendLabel, whose backward pass comes first:

        ∂L/∂x = G, plus H in the last C columns

    >>> label = nn.Label(2)
    >>> nn.KeepLabel(label)(np.float32([[0.1, 0.2, 0, 1]])).shape, label.rows.tolist()
    ((1, 4), [[0.0, 1.0]])
    """

    def __init__(self, label: Label):
        super().__init__()
        self.label = instance("KeepLabel", "label", label, Label)

    def update_output(self, input):
        self.expect("input", input, ("N", "D"))
        if input.shape[1] <= self.label.classes:
            raise ShapeError(f"{self.title}: input has shape {input.shape}, expected rows of an image's numbers and of "
                             f"{self.label.classes} for its label")
        self.label.rows, self.label.grad = input[:, -self.label.classes:], None
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        self.grad_input[...] = grad_output
        if self.label.grad is not None:
            self.grad_input[:, -self.label.classes:] += self.label.grad
        return self.grad_input

    def extra_repr(self):
        return str(self.label.classes)
