"""Convolution of planes (torch/nn SpatialConvolution)."""

from math import prod, sqrt

from minivae import backend
from minivae.errors import whole_number
from minivae.nn.windows import Windowed, batch_first, batch_last, windows

# Numbers in the columns of a batch: up to KEPT they stay until the backward pass; of more, a PART is made at a time,
# which on the host stays near the second-level cache, and made again on the way back.
KEPT, PART = {"numpy": 2**19, "cupy": 2**28}, {"numpy": 2**16, "cupy": 2**27}


class SpatialConvolution(Windowed):
    """Every output plane is a sum of input planes, each seen through a small kernel that slides over it.

        y[n, o, u, v] = b[o] + Σ W[o, c, i, j] x[n, c, dh u + i − padh, dw v + j − padw]  over c, i, j;  x = 0 outside

        x  input   (N, C, H, W)       W  weight  (O, C, kh, kw)      b  bias  (O,)
        y  output  (N, O, H′, W′)     see Windowed for H′ and W′

    The windows of all images, side by side, are the columns of a matrix X (C·kh·kw, H′·W′·N), and with W and y as
    matrices of O rows it is a matrix product, of a few rows u of y at a time.  With G = ∂L/∂y:

        y = W X + b        ∂L/∂W += scale G Xᵀ        ∂L/∂b += scale Σ G  over n, u, v
        ∂L/∂x: the convolution of G, its rows and columns dh and dw apart with zeros between, with the kernels turned
        by half a turn, from O planes to C

    Weights start uniform in ±1/√(C·kh·kw), as in Torch7.  Without padh it is padw, as in Torch7's code, whose
    documentation says 0.

    >>> layer = nn.SpatialConvolution(1, 8, 3, 3, padw=1)
    >>> layer(np.zeros((16, 1, 28, 28), np.float32)).shape
    (16, 8, 28, 28)
    """

    parameter_names = ("weight", "bias")
    spare_output = True

    def __init__(self, planes_in: int, planes_out: int, kw: int, kh: int, dw: int = 1, dh: int = 1, padw: int = 0,
                 padh: int | None = None):
        super().__init__((kw, kh), (dw, dh), (padw, padw if padh is None else padh))
        self.planes_in = whole_number("SpatialConvolution", "planes_in", planes_in)
        self.planes_out = whole_number("SpatialConvolution", "planes_out", planes_out)
        self.new_parameter("weight", (self.planes_out, self.planes_in, *self.kernel))
        self.new_parameter("bias", (self.planes_out,))
        self.reset()

    def reset(self):
        bound = 1 / sqrt(prod(self.weight.shape[1:]))
        for parameter in (self.weight, self.bias):
            backend.fill_uniform(parameter, -bound, bound)

    def update_output(self, input):
        self.expect("input", input, ("N", self.planes_in, "H", "W"))
        height, width = size = self.output_size(input)
        seen = windows(self.xp, self.framed(batch_last(input), 0, size), self.kernel, self.step, size)
        output = self.buffer("output", (self.planes_out, height, width, len(input)))
        self._multiply(self.weight, "columns", seen, output)  # W X
        output += self.bias.reshape(-1, 1, 1, 1)  # + b
        self.output = batch_first(output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        (kh, kw), (dh, dw), (padh, padw) = self.kernel, self.step, self.pad
        n, planes, height, width = input.shape
        frame = self.buffer("grad_frame", (self.planes_out, height + 2 * padh + kh - 1, width + 2 * padw + kw - 1, n))
        frame.fill(0)
        rows, columns = grad_output.shape[2:]
        frame[:, kh - 1:, kw - 1:][:, :rows * dh:dh, :columns * dw:dw] = batch_last(grad_output)
        turned = self.buffer("turned", (planes, self.planes_out, kh, kw))
        turned[...] = self.weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        seen = windows(self.xp, frame[:, padh:, padw:], self.kernel, (1, 1), (height, width))
        grad_input = self.buffer("grad_input", (planes, height, width, n))
        self._multiply(turned, "grad_columns", seen, grad_input)
        self.grad_input = batch_first(grad_input)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.expect_grad_output(grad_output)
        if scale != 1:
            grad_output = scale * grad_output
        seen = windows(self.xp, self.buffers["frame"], self.kernel, self.step, grad_output.shape[2:])
        grads, parts = self._planes(grad_output), self._parts(seen)
        for part in parts:
            columns = self._columns("columns", seen, part, filled=len(parts) == 1)
            backend.add_product(_rows(self.grad_weight).T, columns, _rows(grads[:, part]).T)  # (G Xᵀ)ᵀ
        backend.add_rows(self.grad_bias, _rows(grads).T)  # Σ G

    def _planes(self, grad_output):
        """∂L/∂y as planes (O, H′, W′, N), one behind the other."""
        planes = batch_last(grad_output)
        if planes.flags.c_contiguous:
            return planes
        return backend.copy(planes, self.buffer("grad_planes", planes.shape))

    def _multiply(self, weight, name, seen, out):
        """out (O, H′, W′, N) = weight · columns of the windows `seen`, some rows of the planes at a time."""
        for part in self._parts(seen):
            rows = out[:, part]
            columns = self._columns(name, seen, part)
            planes = columns.reshape(len(columns), *rows.shape[1:])
            backend.matmul(_rows(weight), _stack(planes), out=_stack(rows))

    def _columns(self, name, seen, part, filled=False):
        """The matrix (C·kh·kw, rows·W′·N) of the windows in some rows; `filled`: the buffer holds it already."""
        some = seen[:, :, :, part].transpose(2, 0, 1, 3, 4, 5)
        columns = self.buffer(name, some.shape)
        if not filled:
            backend.copy(some, columns)
        return columns.reshape((prod(some.shape[:3]), -1))

    def _parts(self, seen):
        """Slices that cover the rows of windows: one of all, or of as many rows as make a PART."""
        height = seen.shape[3]
        most = height if seen.size <= KEPT[self.backend] else max(1, PART[self.backend] * height // seen.size)
        return [slice(first, min(first + most, height)) for first in range(0, height, most)]

    def extra_repr(self):
        return f"{self.planes_in} -> {self.planes_out}, {super().extra_repr()}"


def _stack(planes):
    """Planes (C, H, W, N) as H matrices (C, W·N): OpenBLAS is faster at a row of windows than at all of them."""
    return planes.reshape(*planes.shape[:2], -1).transpose(1, 0, 2)


def _rows(array):
    """The same numbers as a matrix of len(array) rows."""
    return array.reshape((len(array), -1))
