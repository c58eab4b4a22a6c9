"""Convolution of planes (torch/nn SpatialConvolution)."""

from math import prod, sqrt

from minivae import backend
from minivae.errors import whole_number
from minivae.nn.windows import Windowed, windows

COLUMNS = 2**20  # numbers that the windows of a part of the batch may take: 4 MB in float32


class SpatialConvolution(Windowed):
    """Every output plane is a sum of input planes, each seen through a small kernel that slides over it.

        y[n, o, u, v] = b[o] + Σ W[o, c, i, j] x[n, c, dh u + i − padh, dw v + j − padw]  over c, i, j;  x = 0 outside

        x  input   (N, C, H, W)       W  weight  (O, C, kh, kw)      b  bias  (O,)
        y  output  (N, O, H′, W′)     see Windowed for H′ and W′

    All windows side by side are the columns of one matrix X (C·kh·kw, N·H′·W′), and with W and y as matrices of O
    rows it is a matrix product.  With G = ∂L/∂y:

        y = W X + b        ∂L/∂W += scale G Xᵀ        ∂L/∂b += scale Σ G  over n, u, v
        ∂L/∂x: the convolution of G, its rows and columns dh and dw apart with zeros between, with the kernels turned
        by half a turn, from O planes to C

    Weights start uniform in ±1/√(C·kh·kw), as in Torch7.
    """

    parameter_names = ("weight", "bias")
    spare_output = True

    def __init__(self, planes_in, planes_out, kw, kh, dw=1, dh=1, padw=0, padh=0):
        super().__init__((kw, kh), (dw, dh), (padw, padh))
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
        size = self.output_size(input)
        frame = self.framed(input.transpose(1, 0, 2, 3), 0)
        output = self.buffer("output", (self.planes_out, len(input), *size))  # planes first: rows of a matrix
        self._multiply(self.weight, "columns", windows(self.xp, frame, self.kernel, self.step, size), output)  # W X
        output += self.bias.reshape(-1, 1, 1, 1)  # + b
        self.output = output.transpose(1, 0, 2, 3)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        (kh, kw), (dh, dw), (padh, padw) = self.kernel, self.step, self.pad
        n, (height, width) = len(input), input.shape[2:]
        frame = self.buffer("grad_frame", (self.planes_out, n, height + 2 * padh + kh - 1, width + 2 * padw + kw - 1))
        frame.fill(0)
        spread = frame[:, :, kh - 1:, kw - 1:][:, :, :grad_output.shape[2] * dh:dh, :grad_output.shape[3] * dw:dw]
        spread[...] = grad_output.transpose(1, 0, 2, 3)
        turned = self.buffer("turned", (self.planes_in, self.planes_out, kh, kw))
        turned[...] = self.weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        grad_input = self.buffer("grad_input", (self.planes_in, n, height, width))
        seen = windows(self.xp, frame[:, :, padh:, padw:], self.kernel, (1, 1), (height, width))
        self._multiply(turned, "grad_columns", seen, grad_input)
        self.grad_input = grad_input.transpose(1, 0, 2, 3)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.expect_grad_output(grad_output)
        planes = self.buffer("planes", (self.planes_out, len(input), *grad_output.shape[2:]))
        self.xp.multiply(grad_output.transpose(1, 0, 2, 3), scale, out=planes)
        grads = planes.reshape(self.planes_out, -1)
        total = self.grad_weight.reshape(self.planes_out, -1)
        product = self.buffer("product", total.shape, batch=False)
        seen = windows(self.xp, self.buffers["frame"], self.kernel, self.step, grad_output.shape[2:])
        parts = self._parts(seen)
        for part, place in parts:
            columns = self._columns("columns", seen, part, filled=len(parts) == 1)
            backend.add_product(total, grads[:, place], columns.T, spare=product)  # G Xᵀ
        row = self.buffer("row", self.bias.shape)
        self.xp.sum(grads, axis=1, out=row)  # Σ G
        self.grad_bias += row

    def _multiply(self, weight, name, seen, out):
        """out = weight · columns of the windows `seen`, a part of the batch at a time."""
        matrix, rows = weight.reshape(len(weight), -1), out.reshape(len(out), -1)
        for part, place in self._parts(seen):
            self.xp.matmul(matrix, self._columns(name, seen, part), out=rows[:, place])

    def _columns(self, name, seen, part, filled=False):
        """The matrix of the windows of some images; `filled`: the buffer holds them already."""
        some = seen[:, :, :, part].transpose(2, 0, 1, 3, 4, 5)
        columns = self.buffer(name, some.shape)
        if not filled:
            columns[...] = some
        return columns.reshape(prod(some.shape[:3]), -1)

    def _parts(self, seen):
        """[(images, their columns), ...]: slices that cover the batch."""
        kh, kw, planes, n, height, width = seen.shape
        most, area = max(1, COLUMNS // (kh * kw * planes * height * width)), height * width
        bounds = [(first, min(first + most, n)) for first in range(0, n, most)]
        return [(slice(first, last), slice(first * area, last * area)) for first, last in bounds]

    def extra_repr(self):
        return f"{self.planes_in} -> {self.planes_out}, {super().extra_repr()}"
