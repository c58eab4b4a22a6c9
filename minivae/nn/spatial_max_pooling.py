"""The largest number of each window (torch/nn SpatialMaxPooling)."""

from math import inf

from minivae import backend
from minivae.errors import OptionError
from minivae.nn.windows import Windowed, windows


class SpatialMaxPooling(Windowed):
    """y[n, c, u, v] = max over i, j of x[n, c, dh u + i − padh, dw v + j − padw];  x = −∞ outside.

        x  input  (N, C, H, W)      y  output  (N, C, H′, W′), see Windowed for H′ and W′

    Backwards ∂L/∂y goes to the place of the maximum, to the first of equals in reading order, as in PyTorch.
    The windows lie side by side unless `dw` and `dh` say otherwise; what does not fill a window is left out.
    """

    def __init__(self, kw, kh, dw=None, dh=None, padw=0, padh=0):
        super().__init__((kw, kh), (kw if dw is None else dw, kh if dh is None else dh), (padw, padh))
        if any(2 * pad > k for pad, k in zip(self.pad, self.kernel)):
            raise OptionError(f"SpatialMaxPooling({self.extra_repr()}): padding of more than half a kernel makes "
                              "windows that see nothing; take less")

    def update_output(self, input):
        self.expect("input", input, ("N", "C", "H", "W"))
        size = self.output_size(input)
        framed = self.framed(input, -inf) if any(self.pad) else input
        seen = windows(self.xp, framed, self.kernel, self.step, size)
        taps = self.buffer("taps", seen.shape)  # side by side, where the maximum is quick
        taps[...] = seen
        self.output = self.buffer("output", seen.shape[2:])
        self.xp.max(taps, axis=(0, 1), out=self.output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        (padh, padw), (height, width) = self.pad, input.shape[2:]
        framed = self.buffer("grad_input", (*input.shape[:2], height + 2 * padh, width + 2 * padw))
        framed.fill(0)
        receiving = windows(self.xp, framed, self.kernel, self.step, self.output.shape[2:])
        rest, share = (self.buffer(name, self.output.shape) for name in ("rest", "share"))
        rest[...] = grad_output
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                backend.elementwise(_claim, rest, self.buffers["taps"][i, j], self.output, out=(share, rest))
                receiving[i, j] += share
        self.grad_input = framed[:, :, padh:padh + height, padw:padw + width]
        return self.grad_input


def _claim(xp, rest, x, y):
    """(what of the gradient this place gets, what is left for those after it): all of it or nothing."""
    share = rest * (x == y)
    return share, rest - share
