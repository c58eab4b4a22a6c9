"""Larger planes, each number repeated (torch/nn SpatialUpSamplingNearest)."""

from minivae.errors import whole_number
from minivae.nn.module import Module
from minivae.nn.windows import windows


class SpatialUpSamplingNearest(Module):
    """y[n, c, s u + i, s v + j] = x[n, c, u, v]  for i, j = 0 … s − 1;  backwards  ∂L/∂x = Σ ∂L/∂y over i, j.

        x  input  (N, C, H, W)      y  output  (N, C, s H, s W)      s  scale
    """

    spare_output = True

    def __init__(self, scale):
        super().__init__()
        self.scale = whole_number("SpatialUpSamplingNearest", "scale", scale)

    def update_output(self, input):
        self.expect("input", input, ("N", "C", "H", "W"))
        n, c, height, width = input.shape
        self.output = self.buffer("output", (n, c, self.scale * height, self.scale * width))
        for tap in self._taps(self.output, input.shape[2:]):
            tap[...] = input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        first, *others = self._taps(grad_output, input.shape[2:])
        self.grad_input[...] = first
        for tap in others:
            self.grad_input += tap
        return self.grad_input

    def _taps(self, planes, size):
        """The s·s views of planes (N, C, s H, s W) that hold one number of each square: (N, C, H, W)."""
        scales = range(self.scale)
        squares = windows(self.xp, planes, (self.scale,) * 2, (self.scale,) * 2, size)
        return [squares[i, j] for i in scales for j in scales]

    def extra_repr(self):
        return f"×{self.scale}"
