"""Windows over planes: what convolution and pooling have in common."""

from minivae.errors import ShapeError, whole_number
from minivae.nn.module import Module


class Windowed(Module):
    """A layer whose output looks at windows of its input.

        x  input   (N, C, H, W)       padh rows are put above and below, padw columns to the left and the right
        y  output  (N, O, H′, W′)     y[:, :, u, v] sees the rows dh u … dh u + kh − 1 of that, and the columns
                                      dw v … dw v + kw − 1

        H′ = ⌊(H + 2 padh − kh) / dh⌋ + 1          W′ = ⌊(W + 2 padw − kw) / dw⌋ + 1

    Options are (width, height), as in Torch7; what is kept are pairs (height, width), as the axes of arrays.
    """

    def __init__(self, kernel, step, pad):
        super().__init__()
        name = type(self).__name__
        (kw, kh), (dw, dh), (padw, padh) = kernel, step, pad
        self.kernel = whole_number(name, "kh", kh), whole_number(name, "kw", kw)
        self.step = whole_number(name, "dh", dh), whole_number(name, "dw", dw)
        self.pad = whole_number(name, "padh", padh, least=0), whole_number(name, "padw", padw, least=0)

    def output_size(self, input):
        """(H′, W′)"""
        size = tuple((length + 2 * pad - k) // d + 1
                     for length, k, d, pad in zip(input.shape[2:], self.kernel, self.step, self.pad))
        if min(size) < 1:
            raise ShapeError(f"{self.title}: input has shape {input.shape}, smaller than one window of "
                             f"{_by(self.kernel)}; take a larger image, a smaller kernel, more padding or fewer layers")
        return size

    def framed(self, planes, value):
        """A copy of planes (A, B, H, W) inside a frame of `value`, as wide as the padding."""
        (padh, padw), (height, width) = self.pad, planes.shape[2:]
        frame = self.buffer("frame", (*planes.shape[:2], height + 2 * padh, width + 2 * padw))
        if padh or padw:
            frame.fill(value)
        frame[:, :, padh:padh + height, padw:padw + width] = planes
        return frame

    def extra_repr(self):
        step = f", step {_by(self.step)}" if self.step != (1, 1) else ""
        pad = f", pad {_by(self.pad)}" if self.pad != (0, 0) else ""
        return f"{_by(self.kernel)}{step}{pad}"


def windows(xp, planes, kernel, step, size):
    """The windows of planes (A, B, H, W), a view (kh, kw, A, B, H′, W′):  [i, j, :, :, u, v] is row dh u + i and
    column dw v + j."""
    a, b, h, w = planes.strides
    shape, strides = (*kernel, *planes.shape[:2], *size), (h, w, a, b, step[0] * h, step[1] * w)
    return xp.lib.stride_tricks.as_strided(planes, shape, strides)


def _by(pair):
    """Width×height, the order in which options are given."""
    return f"{pair[1]}×{pair[0]}"
