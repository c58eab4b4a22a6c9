"""The largest number of each window (torch/nn SpatialMaxPooling)."""

from math import inf, nan

from minivae import backend
from minivae.nn.windows import Windowed, batch_first, batch_last


class SpatialMaxPooling(Windowed):
    """y[n, c, u, v] = max over i, j of x[n, c, dh u + i − padh, dw v + j − padw];  x = −∞ outside.

        x  input  (N, C, H, W)      y  output  (N, C, H′, W′), see Windowed for H′ and W′

    Backwards ∂L/∂y goes to the place of the maximum, to the first of equals in reading order, as in PyTorch.
    The windows lie side by side unless `dw` and `dh` say otherwise; what does not fill a window is left out, but
    for `ceil_mode`.  Without
    padh it is 0, as in Torch7, whose convolution takes padw for it.

    >>> nn.SpatialMaxPooling(2, 2)(np.float32([[[[1, 2], [3, 4]]]])).tolist()
    [[[[4.0]]]]
    """

    def __init__(self, kw: int, kh: int, dw: int | None = None, dh: int | None = None, padw: int = 0, padh: int = 0,
                 ceil_mode: bool = False):
        super().__init__((kw, kh), (kw if dw is None else dw, kh if dh is None else dh), (padw, padh), ceil_mode)
        self.expect_small_padding()

    def update_output(self, input):
        self.expect("input", input, ("N", "C", "H", "W"))
        size = self.output_size(input)
        first, *others = self.taps(self._seen(input, -inf, size), size)
        output = self.buffer("output", first.shape)
        backend.copy(first, output)
        for tap in others:
            self.xp.maximum(output, tap, out=output)
        self.output = batch_first(output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        (padh, padw), (height, width) = self.pad, input.shape[2:]
        output, size = batch_last(self.output), self.output.shape[2:]
        seen = self._seen(input, nan, size)  # a frame that equals no number, not even −∞
        grad = self.buffer("grad_input", seen.shape)
        grad.fill(0)
        rest, share = (self.buffer(name, output.shape) for name in ("rest", "share"))
        backend.copy(batch_last(grad_output), rest)
        for tap, receiving in zip(self.taps(seen, size), self.taps(grad, size)):
            backend.elementwise(_claim, receiving, share, rest, tap, output)
        self.grad_input = batch_first(grad[:, padh:padh + height, padw:padw + width])
        return self.grad_input

    def _seen(self, input, outside, size):
        """The input as planes (C, H, W, N), framed by `outside` if windows see what is there."""
        framed = any(self.pad) or self.ceil_mode
        return self.framed(batch_last(input), outside, size) if framed else batch_last(input)


def _claim(xp, receiving, share, rest, x, y):
    """The place of the maximum takes what is left of the gradient, and leaves nothing for those after it."""
    xp.multiply(rest, x == y, out=share)
    rest -= share
    receiving += share
