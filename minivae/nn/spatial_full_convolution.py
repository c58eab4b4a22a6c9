"""Transposed convolution of planes (torch/nn SpatialFullConvolution)."""

from math import prod, sqrt

from minivae import backend
from minivae.errors import OptionError, ShapeError, whole_number
from minivae.nn.windows import Windowed, batch_first, batch_last, windows


class SpatialFullConvolution(Windowed):
    """Every number of the input puts a small kernel, times itself, into the output: larger planes, where dw, dh > 1.

        y[n, o, dh u + i − padh, dw v + j − padw] += W[c, o, i, j] x[n, c, u, v]  over c, u, v, i, j, from b[o]

        x  input   (N, C, H, W)       W  weight  (C, O, kh, kw)      b  bias  (O,)
        y  output  (N, O, H′, W′)     H′ = (H − 1) dh − 2 padh + kh + adjh,  W′ likewise

    It is the backward pass of a SpatialConvolution from O planes to C: windows of y stand where that one's windows
    of its input do.  With G = ∂L/∂y and its windows as the columns of a matrix Γ (O·kh·kw, H·W·N), and x as a matrix
    of C rows:

        ∂L/∂x = W Γ        ∂L/∂W += scale x Γᵀ        ∂L/∂b += scale Σ G  over n, u, v

    Weights start uniform in ±1/√(C·kh·kw), as in Torch7.

    >>> layer = nn.SpatialFullConvolution(8, 1, 4, 4, 2, 2, 1, 1)
    >>> layer(np.zeros((16, 8, 14, 14), np.float32)).shape
    (16, 1, 28, 28)
    """

    parameter_names = ("weight", "bias")
    spare_output = True

    def __init__(self, planes_in: int, planes_out: int, kw: int, kh: int, dw: int = 1, dh: int = 1, padw: int = 0,
                 padh: int = 0, adjw: int = 0, adjh: int = 0):
        super().__init__((kw, kh), (dw, dh), (padw, padh))
        name = "SpatialFullConvolution"
        self.planes_in = whole_number(name, "planes_in", planes_in)
        self.planes_out = whole_number(name, "planes_out", planes_out)
        self.more = whole_number(name, "adjh", adjh, least=0), whole_number(name, "adjw", adjw, least=0)
        if any(more >= step for more, step in zip(self.more, self.step)):
            raise OptionError(f"{name}(adjw={adjw}, adjh={adjh}): they are less than the steps dw and dh")
        self.new_parameter("weight", (self.planes_in, self.planes_out, *self.kernel))
        self.new_parameter("bias", (self.planes_out,))
        self.reset()

    def reset(self):
        bound = 1 / sqrt(self.planes_in * prod(self.kernel))
        for parameter in (self.weight, self.bias):
            backend.fill_uniform(parameter, -bound, bound)

    def output_size(self, input):
        """(H′, W′)"""
        size = tuple((length - 1) * d - 2 * pad + k + more for length, k, d, pad, more
                     in zip(input.shape[2:], self.kernel, self.step, self.pad, self.more))
        if min(size) < 1:
            raise ShapeError(f"{self.title}: input has shape {input.shape}, and all of its output is cut off; "
                             "take less padding")
        return size

    def update_output(self, input):
        self.expect("input", input, ("N", self.planes_in, "H", "W"))
        height, width = self.output_size(input)
        columns = self.buffer("columns", (self.planes_out, *self.kernel, *input.shape[2:], len(input)))
        backend.matmul(self._matrix().T, self._rows("x", input), out=columns.reshape(self._matrix().shape[1], -1))
        frame = self._frame("frame", input, (height, width))
        seen = windows(self.xp, frame, self.kernel, self.step, input.shape[2:])
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                seen[i, j] += columns[:, i, j]  # W x
        output = self.buffer("output", (self.planes_out, height, width, len(input)))
        output[...] = self._inside(frame, (height, width))
        output += self.bias.reshape(-1, 1, 1, 1)  # + b
        self.output = batch_first(output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        columns = self._grad_columns(input, grad_output)
        grad_input = self.buffer("grad_input", (self.planes_in, *input.shape[2:], len(input)))
        backend.matmul(self._matrix(), columns, out=grad_input.reshape(self.planes_in, -1))  # W Γ
        self.grad_input = batch_first(grad_input)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.expect_grad_output(grad_output)
        if scale != 1:
            grad_output = scale * grad_output
        grad_weight = self.grad_weight.reshape(self.planes_in, -1)
        backend.add_product(grad_weight, self._rows("x", input), self._grad_columns(input, grad_output).T)  # x Γᵀ
        backend.add_rows(self.grad_bias, batch_last(grad_output).reshape(self.planes_out, -1).T)  # Σ G

    def _matrix(self):
        return self.weight.reshape(self.planes_in, -1)

    def _rows(self, name, images):
        """Images as a matrix (C, H·W·N)."""
        rows = self.buffer(name, batch_last(images).shape)
        rows[...] = batch_last(images)
        return rows.reshape(len(rows), -1)

    def _frame(self, name, input, size):
        """Zeros (O, ..., ..., N) for the output and the padding that is cut off it."""
        sides = [length + 2 * pad for length, pad in zip(size, self.pad)]
        frame = self.buffer(name, (self.planes_out, *sides, len(input)))
        frame.fill(0)
        return frame

    def _inside(self, frame, size):
        (padh, padw), (height, width) = self.pad, size
        return frame[:, padh:padh + height, padw:padw + width]

    def _grad_columns(self, input, grad_output):
        """Γ"""
        frame = self._frame("grad_frame", input, grad_output.shape[2:])
        self._inside(frame, grad_output.shape[2:])[...] = batch_last(grad_output)
        seen = windows(self.xp, frame, self.kernel, self.step, input.shape[2:])
        columns = self.buffer("grad_columns", (self.planes_out, *self.kernel, *input.shape[2:], len(input)))
        columns[...] = seen.transpose(2, 0, 1, 3, 4, 5)
        return columns.reshape(self._matrix().shape[1], -1)

    def extra_repr(self):
        more = f", adj {self.more[1]}×{self.more[0]}" if any(self.more) else ""
        return f"{self.planes_in} -> {self.planes_out}, {super().extra_repr()}{more}"
