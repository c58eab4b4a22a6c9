"""Base of the layers that draw codes."""

from minivae.errors import whole_number
from minivae.nn.random_layer import RandomLayer


class Sampler(RandomLayer):
    """Draws `samples` = L codes for each row; row n·L + l of the output is draw l for row n."""

    def __init__(self, samples=1):
        super().__init__()
        self.samples = whole_number(type(self).__name__, "samples", samples)

    def grouped(self, array):
        """(N·L, Q) seen as (N, L, Q)."""
        return array.reshape(len(array) // self.samples, self.samples, array.shape[1])

    def extra_repr(self):
        return "" if self.samples == 1 else f"samples={self.samples}"
