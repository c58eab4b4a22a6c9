"""The label that two layers of a model share."""

from typing import Any

from minivae.errors import whole_number


class Label:
    """The labels of a batch, which a KeepLabel writes and an AppendLabel reads.

        classes  C      rows  one-hot (N, C), or None      grad  ∂L/∂rows, on its way back from the second to the first

    >>> label, x = nn.Label(2), np.float32([[0.1, 0.2, 0, 1]])  # a row of two pixels, whose label is the second of two
    >>> nn.KeepLabel(label)(x) is x, label.rows.tolist()
    (True, [[0.0, 1.0]])
    """

    def __init__(self, classes: int):
        self.classes = whole_number("Label", "classes", classes)
        self.rows: Any = None
        self.grad: Any = None
