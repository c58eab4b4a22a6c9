"""Convolution of planes (torch/nn SpatialConvolution)."""

from math import prod, sqrt

from minivae import backend
from minivae.errors import whole_number
from minivae.nn.windows import Windowed, batch_last, windows

# Numbers in the columns of a batch: up to KEPT they stay until the backward pass; of more, a PART is made at a time,
# which stays near the second-level cache, and made again on the way back.
KEPT, PART = 2**19, 2**16


class SpatialConvolution(Windowed):
    """Every output plane is a sum of input planes, each seen through a small kernel that slides over it.

        y[n, o, u, v] = b[o] + Σ W[o, c, i, j] x[n, c, dh u + i − padh, dw v + j − padw]  over c, i, j;  x = 0 outside

        x  input   (N, C, H, W)       W  weight  (O, C, kh, kw)      b  bias  (O,)
        y  output  (N, O, H′, W′)     see Windowed for H′ and W′

    The windows in one row u of all images, side by side, are the columns of a matrix X (C·kh·kw, W′·N), and with W
    and row u of y as matrices of O rows it is a matrix product.  With G = ∂L/∂y:

        y = W X + b        ∂L/∂W += scale Σ G Xᵀ  over u        ∂L/∂b += scale Σ G  over n, u, v
        ∂L/∂x: the convolution of G, its rows and columns dh and dw apart with zeros between, with the kernels turned
        by half a turn, from O planes to C

    Weights start uniform in ±1/√(C·kh·kw), as in Torch7.  Without padh it is padw, as in Torch7's code, whose
    documentation says 0.
    """

    parameter_names = ("weight", "bias")
    spare_output = True

    def __init__(self, planes_in, planes_out, kw, kh, dw=1, dh=1, padw=0, padh=None):
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
        output = self.buffer("output", (height, self.planes_out, width, len(input)))
        self._multiply(self.weight, "columns", seen, output)  # W X
        output += self.bias.reshape(-1, 1, 1)  # + b
        self.output = output.transpose(3, 1, 0, 2)
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
        grad_input = self.buffer("grad_input", (height, planes, width, n))
        self._multiply(turned, "grad_columns", seen, grad_input)
        self.grad_input = grad_input.transpose(3, 1, 0, 2)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.expect_grad_output(grad_output)
        if scale != 1:
            grad_output = scale * grad_output
        seen = windows(self.xp, self.buffers["frame"], self.kernel, self.step, grad_output.shape[2:])
        rows, n = grad_output.shape[2], len(grad_output)
        grads = self.buffer("grads", (rows, self.planes_out, grad_output.shape[3], n))
        grads[...] = grad_output.transpose(2, 1, 3, 0)
        grads = grads.reshape((rows, self.planes_out, -1))
        parts = self._parts(seen)
        for part in parts:
            columns = self._columns("columns", seen, part, filled=len(parts) == 1)
            products = self.buffer("products", (len(columns), *columns.shape[1:2], self.planes_out))
            backend.matmul(columns, grads[part].transpose(0, 2, 1), out=products)  # (G Xᵀ)ᵀ of each row
            total = self.buffer("total", products.shape[1:], batch=False)
            self.xp.sum(products, axis=0, out=total)
            self.grad_weight += total.T.reshape(self.weight.shape)
        row = self.buffer("row", self.bias.shape)
        self.xp.sum(grads, axis=(0, 2), out=row)  # Σ G
        self.grad_bias += row

    def _multiply(self, weight, name, seen, out):
        """out (H′, O, W′, N) = weight · columns of the windows `seen`, row by row."""
        matrix, rows = weight.reshape(len(weight), -1), out.reshape((*out.shape[:2], -1))
        for part in self._parts(seen):
            backend.matmul(matrix, self._columns(name, seen, part), out=rows[part])

    def _columns(self, name, seen, part, filled=False):
        """The matrices (rows, C·kh·kw, W′·N) of the windows in some rows; `filled`: the buffer holds them already."""
        some = seen[:, :, :, part].transpose(3, 2, 0, 1, 4, 5)
        columns = self.buffer(name, some.shape)
        if not filled:
            columns[...] = some
        return columns.reshape((len(some), prod(some.shape[1:4]), -1))

    def _parts(self, seen):
        """Slices that cover the rows of windows: one of all, or of as many rows as make a PART."""
        height = seen.shape[3]
        most = height if seen.size <= KEPT else max(1, PART * height // seen.size)
        return [slice(first, min(first + most, height)) for first in range(0, height, most)]

    def extra_repr(self):
        return f"{self.planes_in} -> {self.planes_out}, {super().extra_repr()}"
