"""Windows over planes: what convolution and pooling have in common."""

from minivae import backend
from minivae.errors import OptionError, ShapeError, truth, whole_number
from minivae.nn.module import Module


class Windowed(Module):
    """A layer whose output looks at windows of its input.

        x  input   (N, C, H, W)       padh rows are put above and below, padw columns to the left and the right
        y  output  (N, O, H′, W′)     y[:, :, u, v] sees the rows dh u … dh u + kh − 1 of that, and the columns
                                      dw v … dw v + kw − 1

        H′ = ⌊(H + 2 padh − kh) / dh⌋ + 1          W′ = ⌊(W + 2 padw − kw) / dw⌋ + 1

    With `ceil_mode` ⌈ ⌉ stand for ⌊ ⌋: the last windows may reach beyond the padding, as long as they begin before the
    end of the image.  Options are (width, height), as in Torch7; what is kept are pairs (height, width), as the axes
    of arrays.
    """

    def __init__(self, kernel: tuple, step: tuple, pad: tuple, ceil_mode: bool = False):
        super().__init__()
        name = type(self).__name__
        self.ceil_mode = truth(name, "ceil_mode", ceil_mode)
        (kw, kh), (dw, dh), (padw, padh) = kernel, step, pad
        self.kernel = whole_number(name, "kh", kh), whole_number(name, "kw", kw)
        self.step = whole_number(name, "dh", dh), whole_number(name, "dw", dw)
        self.pad = whole_number(name, "padh", padh, least=0), whole_number(name, "padw", padw, least=0)

    def output_size(self, input):
        """(H′, W′)"""
        size = tuple(map(self._count, input.shape[2:], self.kernel, self.step, self.pad))
        if min(size) < 1:
            raise ShapeError(f"{self.title}: input has shape {input.shape}, smaller than one window of "
                             f"{_by(self.kernel)}; take a larger image, a smaller kernel, more padding or fewer layers")
        return size

    def _count(self, length, k, d, pad):
        """The number of windows along one axis."""
        span = length + 2 * pad - k
        if not self.ceil_mode:
            return span // d + 1
        count = -(-span // d) + 1
        return count - 1 if (count - 1) * d >= length + pad else count

    def framed(self, planes, value, size):
        """A copy of planes (C, H, W, N) in a frame of `value`, as wide as the padding, or as (H′, W′) windows need."""
        (padh, padw), (c, height, width, n) = self.pad, planes.shape
        sides = [max(length + 2 * pad, (count - 1) * d + k) for length, pad, count, d, k
                 in zip((height, width), self.pad, size, self.step, self.kernel)]
        frame = self.buffer("frame", (c, *sides, n))
        if sides != [height, width]:
            frame.fill(value)
        backend.copy(planes, frame[:, padh:padh + height, padw:padw + width])
        return frame

    def taps(self, planes, size):
        """One place of every window, for each of the kh·kw places in reading order: views (C, H′, W′, N)."""
        (kh, kw), (dh, dw), (height, width) = self.kernel, self.step, size
        return [planes[:, i:i + dh * height:dh, j:j + dw * width:dw] for i in range(kh) for j in range(kw)]

    def expect_small_padding(self):
        if any(2 * pad > k for pad, k in zip(self.pad, self.kernel)):
            raise OptionError(f"{type(self).__name__}({Windowed.extra_repr(self)}): padding of more than half a kernel "
                              "makes windows that see nothing; take less")

    def extra_repr(self):
        step = f", step {_by(self.step)}" if self.step != (1, 1) else ""
        pad = f", pad {_by(self.pad)}" if self.pad != (0, 0) else ""
        return f"{_by(self.kernel)}{step}{pad}{', ceil' if self.ceil_mode else ''}"


def batch_last(images):
    """Images (N, C, H, W) as planes (C, H, W, N), and back with `batch_first`: views.

    The buffers of these layers lie in memory like that.  A row of all images is then one stretch, and what is copied
    or compared are long runs even where planes are small.
    """
    return images.transpose(1, 2, 3, 0)


def batch_first(planes):
    """Planes (C, H, W, N) as images (N, C, H, W): a view."""
    return planes.transpose(3, 0, 1, 2)


def windows(xp, planes, kernel, step, size):
    """The windows of planes (C, H, W, N), a view (kh, kw, C, H′, W′, N): [i, j, :, u, v] is [:, dh u + i, dw v + j]."""
    c, h, w, n = planes.strides
    shape = (*kernel, len(planes), *size, planes.shape[3])
    return xp.lib.stride_tricks.as_strided(planes, shape, (h, w, c, step[0] * h, step[1] * w, n))


def _by(pair):
    """Width×height, the order in which options are given."""
    return f"{pair[1]}×{pair[0]}"
