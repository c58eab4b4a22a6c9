"""The mean of each window (torch/nn SpatialAveragePooling)."""

from minivae.errors import truth
from minivae.nn.windows import Windowed, batch_first, batch_last


class SpatialAveragePooling(Windowed):
    """y[n, c, u, v] = 1/m Σ x[n, c, dh u + i − padh, dw v + j − padw]  over i, j;  x = 0 outside.

        x  input  (N, C, H, W)      y  output  (N, C, H′, W′), see Windowed for H′ and W′

    m = kh · kw, but for windows that reach beyond the padding, as the last of `ceil_mode` may: beyond it nothing is
    counted, and with `count_include_pad=False` the padding is not either.  Backwards every x of a window gets the same
    share:

        ∂L/∂x = Σ 1/m ∂L/∂y  over the windows that see x

    The windows are one step apart unless `dw` and `dh` say otherwise, as in Torch7, where those of max pooling lie side
    by side.

    >>> nn.SpatialAveragePooling(2, 2)(np.float32([[[[1, 2], [3, 4]]]])).tolist()
    [[[[2.5]]]]
    """

    state_names = (*Windowed.state_names, "counted")
    counted = None  # the images and windows that the buffer "1/m" is for

    def __init__(self, kw: int, kh: int, dw: int = 1, dh: int = 1, padw: int = 0, padh: int = 0,
                 ceil_mode: bool = False, count_include_pad: bool = True):
        super().__init__((kw, kh), (dw, dh), (padw, padh), ceil_mode)
        self.expect_small_padding()
        self.count_include_pad = truth("SpatialAveragePooling", "count_include_pad", count_include_pad)

    def update_output(self, input):
        self.expect("input", input, ("N", "C", "H", "W"))
        size = self.output_size(input)
        first, *others = self.taps(self.framed(batch_last(input), 0, size), size)
        output = self.buffer("output", first.shape)
        output[...] = first
        for tap in others:
            output += tap
        output *= self._shares(input.shape[2:], size)  # 1/m Σ
        self.output = batch_first(output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        (padh, padw), (height, width), size = self.pad, input.shape[2:], self.output.shape[2:]
        grad = self.buffer("grad_input", self.buffers["frame"].shape)
        grad.fill(0)
        share = self.buffer("share", batch_last(grad_output).shape)
        self.xp.multiply(batch_last(grad_output), self._shares(input.shape[2:], size), out=share)  # 1/m ∂L/∂y
        for receiving in self.taps(grad, size):
            receiving += share
        self.grad_input = batch_first(grad[:, padh:padh + height, padw:padw + width])
        return self.grad_input

    def _shares(self, lengths, size):
        """1/m of each window (1, H′, W′, 1), of an image with sides of these lengths."""
        windows = lengths, size, self.kernel, self.step, self.pad, self.count_include_pad
        if self.counted != windows:
            self.counted, shares = windows, self.buffer("1/m", (1, *size, 1))
            shares.fill(1)
            for axis in (0, 1):
                for place, count in enumerate(self._counts(lengths[axis], size[axis], axis)):
                    shares[(slice(None),) * (axis + 1) + (place,)] /= count
        return self.buffers["1/m"]

    def _counts(self, length, size, axis):
        """The number of numbers that each window counts along one axis."""
        pad, k, d = self.pad[axis], self.kernel[axis], self.step[axis]
        low, high = (-pad, length + pad) if self.count_include_pad else (0, length)
        return [min(d * u - pad + k, high) - max(d * u - pad, low) for u in range(size)]

    def extra_repr(self):
        return super().extra_repr() + ("" if self.count_include_pad else ", without padding")
