"""The layer that appends to each code the label of its row."""

from minivae import backend
from minivae.errors import OptionError, ShapeError, instance
from minivae.nn.label import Label
from minivae.nn.module import Module


class AppendLabel(Module):
    """y = [z, label]: row n·L + l of z gets row n of the label, one-hot, that a KeepLabel has kept.

        z  input  (N·L, Q)      y  output  (N·L, Q + C)

    With G = ∂L/∂y:

        ∂L/∂z = G without its last C columns        ∂L/∂label = Σₗ of these, left in `label` for the KeepLabel

    One row of label goes with any number of codes.

    >>> label = nn.Label(2)
    >>> label.rows = np.float32([[0, 1]])
    >>> nn.AppendLabel(label)(np.float32([[3], [4]])).tolist()
    [[3.0, 0.0, 1.0], [4.0, 0.0, 1.0]]
    """

    def __init__(self, label: Label):
        super().__init__()
        self.label = instance("AppendLabel", "label", label, Label)

    def update_output(self, input):
        self.expect("input", input, ("N", "Q"))
        q, rows = input.shape[1], self._rows(len(input))
        self.output = self.buffer("output", (len(input), q + self.label.classes))
        self.output[:, :q] = input
        self._grouped(self.output)[:, :, q:] = rows[:, None]
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        q = input.shape[1]
        self.grad_input = self.buffer("grad_input", input.shape)
        self.grad_input[...] = grad_output[:, :q]
        self.label.grad = self.buffer("label", self.label.rows.shape)
        self.xp.sum(self._grouped(grad_output)[:, :, q:], axis=1, out=self.label.grad)  # Σₗ
        return self.grad_input

    def _grouped(self, array):
        """(N·L, Q + C) seen as (N, L, Q + C)."""
        n = len(self.label.rows)
        return array.reshape(n, len(array) // max(1, n), array.shape[1])

    def _rows(self, n):
        rows = self.label.rows
        if rows is None or backend.name_of(rows) != self.backend:
            raise OptionError(f"{self.title}: under which label?  model.condition(LABEL) says it, or a forward pass of "
                              "images with theirs")
        if n % max(1, len(rows)) or n > 0 == len(rows):
            raise ShapeError(f"{self.title}: {n} codes for {len(rows)} labels; expected one label, or as many codes "
                             "for each; model.condition(LABELS) says them")
        return rows

    def extra_repr(self):
        return str(self.label.classes)
