"""Larger planes, each number repeated (torch/nn SpatialUpSamplingNearest)."""

from minivae import backend
from minivae.errors import whole_number
from minivae.nn.module import Module
from minivae.nn.windows import batch_first, batch_last, windows


class SpatialUpSamplingNearest(Module):
    """y[n, c, s u + i, s v + j] = x[n, c, u, v]  for i, j = 0 … s − 1;  backwards  ∂L/∂x = Σ ∂L/∂y over i, j.

        x  input  (N, C, H, W)      y  output  (N, C, s H, s W)      s  scale

    >>> nn.SpatialUpSamplingNearest(2)(np.float32([[[[1, 2]]]])).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
    """

    def __init__(self, scale: int):
        super().__init__()
        self.scale = whole_number("SpatialUpSamplingNearest", "scale", scale)

    def update_output(self, input):
        self.expect("input", input, ("N", "C", "H", "W"))
        n, c, height, width = input.shape
        output = self.buffer("output", (c, self.scale * height, self.scale * width, n))
        backend.copy(batch_last(input), self._squares(output))
        self.output = batch_first(output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        squares = self._squares(batch_last(grad_output))
        grad_input = self.buffer("grad_input", squares.shape[2:])
        backend.add_up([squares[i, j] for i in range(self.scale) for j in range(self.scale)], out=grad_input)
        self.grad_input = batch_first(grad_input)
        return self.grad_input

    def _squares(self, planes):
        """Planes (C, s H, s W, N) as (s, s, C, H, W, N): [i, j] are the numbers at place i, j of all squares."""
        s = self.scale, self.scale
        return windows(self.xp, planes, s, s, (planes.shape[1] // self.scale, planes.shape[2] // self.scale))

    def extra_repr(self):
        return f"×{self.scale}"
