"""The one change of a layer's source that makes its gradients right: mistakes in one place, and whether it is named.

Each class has one mistake, in the line that holds the first of two texts; the report must say the second.
"""

import ast
import inspect
import math
import textwrap
from pathlib import Path

import numpy as np
import pytest

import minivae as mv
from minivae import nn
from minivae.debug import gradient_check
from minivae.debug.source_edits import alternatives, edited_code
from minivae.debug.source_edits import edits as edit_module
from minivae.debug.source_edits import one_change as search
from minivae.debug.source_edits.edited_code import EditedGradients, quietly
from minivae.debug.source_edits.edits import edits, surroundings
from minivae.debug.source_edits.own_code import own_code, tree_of


class Gelu(nn.Module):
    def update_output(self, input):
        self.output = 0.5 * input * (1 + np.vectorize(math.erf)(input / math.sqrt(2)))
        return self.output

    def update_grad_input(self, input, grad_output):
        below = 0.5 * (1 + np.vectorize(math.erf)(input / math.sqrt(2)))
        density = np.exp(-input**2) / math.sqrt(2 * math.pi)
        self.grad_input = grad_output * (below + input * density)
        return self.grad_input


class Attention(nn.Module):
    """A softmax over axis 2; its derivative, in a method of its own, sums over axis 1."""

    def update_output(self, input):
        powers = np.exp(input - input.max(axis=2, keepdims=True))
        self.output = powers / powers.sum(axis=2, keepdims=True)
        return self.output

    @staticmethod
    def through(shares, grad):
        return shares * (grad - (grad * shares).sum(axis=1, keepdims=True))

    def update_grad_input(self, input, grad_output):
        self.grad_input = self.through(self.output, grad_output)
        return self.grad_input


class RMS(nn.Module):
    """ε stands outside of the root in update_output."""

    def update_output(self, input):
        self.inverse = 1 / (np.sqrt((input**2).mean(axis=1, keepdims=True)) + 0.3)
        self.output = input * self.inverse
        return self.output

    def update_grad_input(self, input, grad_output):
        along = (grad_output * self.output).mean(axis=1, keepdims=True)
        self.grad_input = self.inverse * (grad_output - self.output * along)
        return self.grad_input


class Cosine(nn.Module):
    """The cosine of two vectors; one of its gradients divides by a norm and not by its square."""

    def update_output(self, input):
        a, b = input
        self.norm_a = np.sqrt((a**2).sum(axis=1, keepdims=True))
        self.norm_b = np.sqrt((b**2).sum(axis=1, keepdims=True))
        self.output = (a * b).sum(axis=1, keepdims=True) / (self.norm_a * self.norm_b)
        return self.output

    def update_grad_input(self, input, grad_output):
        a, b = input
        grad_a = grad_output * (b / (self.norm_a * self.norm_b) - self.output * a / self.norm_a**2)
        grad_b = grad_output * (a / (self.norm_a * self.norm_b) - self.output * b / self.norm_b)
        self.grad_input = grad_a, grad_b
        return self.grad_input


class Gate(nn.Module):
    """Two of three factors of a chain, the sign of one part turned."""

    parameter_names = ("weight",)

    def __init__(self, size):
        super().__init__()
        self.new_parameter("weight", (size, size))

    def update_output(self, input):
        self.z = 1 / (1 + np.exp(-input @ self.weight))
        self.n = np.tanh(input)
        self.output = (1 - self.z) * self.n + self.z * input
        return self.output

    def by_gate(self, input, grad_output):
        return grad_output * (self.n - input) * self.z * (1 - self.z)

    def update_grad_input(self, input, grad_output):
        by_gate = self.by_gate(input, grad_output)
        self.grad_input = grad_output * ((1 - self.z) * (1 - self.n**2) + self.z) + by_gate @ self.weight.T
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * input.T @ self.by_gate(input, grad_output)


class Overlap(nn.Module):
    """Places that overlap get the last gradient only."""

    def update_output(self, input):
        self.output = np.stack([input[:, k:k + 3].max(axis=1) for k in range(input.shape[1] - 2)], axis=1)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.zeros_like(input)
        rows = np.arange(len(input))
        for k in range(grad_output.shape[1]):
            self.grad_input[rows, k + input[:, k:k + 3].argmax(axis=1)] = grad_output[:, k]
        return self.grad_input


class Bent(nn.Tanh):
    """It calls what it inherits, from a closure."""

    def update_output(self, input):
        return super().update_output(3 * input)

    def update_grad_input(self, input, grad_output):
        grad = super().update_grad_input(3 * input, grad_output)
        self.grad_input = grad * 3 * self.output
        return self.grad_input


class Unscaled(nn.Module):
    """A factor of the layer's own is missing, and `scale` must not be taken for it."""

    parameter_names = ("weight",)

    def __init__(self):
        super().__init__()
        self.gain = 0.4
        self.new_parameter("weight", (3,))

    def update_output(self, input):
        self.output = np.tanh(input * self.weight) + self.gain * self.weight**2
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * (1 - np.tanh(input * self.weight) ** 2) * self.weight
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        slope = (1 - np.tanh(input * self.weight) ** 2) * input
        self.grad_weight += scale * (grad_output * (slope + 2 * self.weight)).sum(axis=0)


class Repeated(nn.Module):
    """Of several places with one number it keeps the last gradient."""

    parameter_names = ("weight",)

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (2,))
        self.place = np.array([0, 1, 0])

    def update_output(self, input):
        self.output = np.sin(input * self.weight[self.place])
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * np.cos(input * self.weight[self.place]) * self.weight[self.place]
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        each = grad_output * np.cos(input * self.weight[self.place]) * input
        self.grad_weight[self.place] += scale * each.sum(axis=0)


class Recurrent(nn.Module):
    """The state of the same step, where that of the step before belongs."""

    parameter_names = ("weight",)

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (2,))

    def update_output(self, input):
        self.output, state = np.zeros_like(input), 0
        for t in range(input.shape[1]):
            state = self.output[:, t] = np.tanh(input[:, t] + self.weight * state)
        return self.output

    def before(self, grad_output):
        self.grad, carried = np.zeros_like(grad_output), 0
        for t in reversed(range(grad_output.shape[1])):
            self.grad[:, t] = (grad_output[:, t] + carried) * (1 - self.output[:, t] ** 2)
            carried = self.grad[:, t] * self.weight
        return self.grad

    def update_grad_input(self, input, grad_output):
        self.grad_input = self.before(grad_output)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        grad = self.before(grad_output)
        for t in range(input.shape[1]):
            self.grad_weight += scale * (grad[:, t] * self.output[:, t]).sum(axis=0)


class Highway(nn.Module):
    """The path through the gate is forgotten."""

    parameter_names = ("weight", "gate_weight")

    def __init__(self):
        super().__init__()
        for name in self.parameter_names:
            self.new_parameter(name, (3, 3))

    def update_output(self, input):
        self.bent = np.tanh(input @ self.weight.T)
        self.gate = 1 / (1 + np.exp(-input @ self.gate_weight.T))
        self.output = self.gate * self.bent + (1 - self.gate) * input
        return self.output

    def parts(self, input, grad_output):
        by_gate = grad_output * (self.bent - input) * self.gate * (1 - self.gate)
        return grad_output * self.gate * (1 - self.bent**2), by_gate

    def update_grad_input(self, input, grad_output):
        by_bent, by_gate = self.parts(input, grad_output)
        self.grad_input = by_bent @ self.weight + grad_output * (1 - self.gate)
        self.size = by_gate.size
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        by_bent, by_gate = self.parts(input, grad_output)
        self.grad_weight += scale * by_bent.T @ input
        self.grad_gate_weight += scale * by_gate.T @ input


class Projected(nn.Module):
    """It projects on the input, in two places, where it should on the output."""

    def update_output(self, input):
        self.length = np.sqrt((input**2).sum(axis=1, keepdims=True))
        self.output = input / self.length
        return self.output

    def update_grad_input(self, input, grad_output):
        along = (grad_output * input).sum(axis=1, keepdims=True)
        self.grad_input = (grad_output - input * along) / self.length
        return self.grad_input


class Summed(nn.Module):
    """It sums from the first on, where it should from the last."""

    def update_output(self, input):
        self.output = np.cumsum(np.sin(input), axis=1)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.cumsum(grad_output, axis=1) * np.cos(input)
        return self.grad_input


class Cube(nn.Module):
    """The power is taken down without its factor."""

    def update_output(self, input):
        self.bent = np.tanh(input + 0.1 * input**3)
        self.output = input * self.bent
        return self.output

    def update_grad_input(self, input, grad_output):
        inner = 1 + 0.1 * input**2
        self.grad_input = grad_output * (self.bent + input * (1 - self.bent**2) * inner)
        return self.grad_input


class Contrastive(nn.Criterion):
    """A unit vector without its division by the distance."""

    def update_output(self, prediction, target):
        self.gap = prediction - target
        self.distance = np.sqrt((self.gap**2).sum(axis=1, keepdims=True))
        return (np.maximum(2 - self.distance, 0) ** 2).sum()

    def update_grad_input(self, prediction, target):
        self.grad_input = -2 * np.maximum(2 - self.distance, 0) * self.gap
        return self.grad_input


class Weighed(nn.Module):
    """Σ p x with p = softmax(x), whose derivative is taken for that of a logistic function."""

    def update_output(self, input):
        powers = np.exp(input)
        self.p = powers / powers.sum(axis=1, keepdims=True)
        self.output = (self.p * input).sum(axis=1, keepdims=True)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * (self.p + input * self.p * (1 - self.p))
        return self.grad_input


class Spread(nn.Module):
    """A transposed convolution, with places read side by side that are a stride apart."""

    parameter_names = ("weight",)
    def __init__(self):
        super().__init__()
        self.stride = 2
        self.new_parameter("weight", (3,))

    def update_output(self, input):
        n, length = input.shape
        self.output = np.zeros((n, 2 * length + 1))
        for k in range(3):
            self.output[:, k:k + (length - 1) * self.stride + 1:self.stride] += input * self.weight[k]
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = sum(grad_output[:, k:k + input.shape[1]] * self.weight[k] for k in range(3))
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for k in range(3):
            apart = grad_output[:, k:k + (input.shape[1] - 1) * self.stride + 1:self.stride]
            self.grad_weight[k] += scale * (apart * input).sum()


class Sized(nn.Module):
    """W / ‖W‖ times x; its norm is taken for a constant."""

    parameter_names = ("weight",)

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (2, 3))

    def update_output(self, input):
        self.norm = np.sqrt((self.weight**2).sum(axis=1, keepdims=True))
        self.unit = self.weight / self.norm
        self.output = input @ self.unit.T
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output @ self.unit
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * (grad_output.T @ input) / self.norm


class Numbered(nn.Module):
    """The largest of three in two columns; its place is found by the wrong one of the layer's whole numbers."""

    def __init__(self):
        super().__init__()
        self.rows, self.columns = 3, 2

    def update_output(self, input):
        block = input[:, :self.rows, :self.columns].reshape(len(input), -1)
        self.where, self.output = block.argmax(axis=1), block.max(axis=1, keepdims=True)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.zeros_like(input)
        for n, place in enumerate(self.where):
            self.grad_input[n, min(place // self.rows, 2), place % self.columns] += grad_output[n, 0]
        return self.grad_input


class Margins(nn.Criterion):
    """The number of violated margins, and not whether there is any, comes back to the right class."""

    def update_output(self, prediction, target):
        own = (prediction * target).sum(axis=1, keepdims=True)
        self.over = np.maximum(0, prediction - own + 1.1) * (1 - target)
        return self.over.sum()

    def update_grad_input(self, prediction, target):
        over = (self.over > 0).astype(float)
        self.grad_input = over - target * over.max(axis=1, keepdims=True)
        return self.grad_input


class Shares(nn.Criterion):
    """−Σ t ln p, with the derivative by the logits."""

    def update_output(self, prediction, target):
        return -(target * np.log(prediction)).sum()

    def update_grad_input(self, prediction, target):
        self.grad_input = 1.0 * (prediction - target)
        return self.grad_input


class Carried(nn.Module):
    """y_t = x_t + m y_(t − 1); acc_grad_parameters forgets what comes back through later steps."""

    parameter_names = ("memory",)

    def __init__(self):
        super().__init__()
        self.new_parameter("memory", (2,))

    def update_output(self, input):
        self.output = np.array(input)
        for t in range(1, input.shape[1]):
            self.output[:, t] += self.memory * self.output[:, t - 1]
        return self.output

    def through_time(self, grad_output):
        total = grad_output.copy()
        for t in range(grad_output.shape[1] - 2, -1, -1):
            total[:, t] += self.memory * total[:, t + 1]
        return total

    def update_grad_input(self, input, grad_output):
        self.grad_input = self.through_time(grad_output)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        products = grad_output[:, 1:] * self.output[:, :-1]
        self.grad_memory += scale * products.sum(axis=(0, 1))


class Odds(nn.Module):
    """σ(a) (a − ln(p / (1 − p))), in whose derivative p stands for its logit."""

    def __init__(self):
        super().__init__()
        self.prior = 0.3

    def update_output(self, input):
        odds = input - np.log(self.prior / (1 - self.prior))
        self.output = odds / (1 + np.exp(-input))
        return self.output

    def update_grad_input(self, input, grad_output):
        y, odds = 1 / (1 + np.exp(-input)), input - self.prior
        self.grad_input = grad_output * (y + y * (1 - y) * odds)
        return self.grad_input


class Thresholds(nn.Criterion):
    """Columns count whose mean is above 0.12; the gradient asks each entry."""

    def update_output(self, prediction, target):
        self.squares = (prediction - target) ** 2
        return (self.squares * (self.squares.mean(axis=0) > 0.12)).sum()

    def update_grad_input(self, prediction, target):
        self.grad_input = 2 * (prediction - target) * (self.squares > 0.12)
        return self.grad_input


class Positives(nn.Criterion):
    """w x softplus(−a) + (1 − x) softplus(a), with a derivative that holds for x = 0 and 1 only."""

    def __init__(self):
        super().__init__()
        self.weight = 2.5

    def update_output(self, prediction, target):
        on, off = np.logaddexp(0, -prediction), np.logaddexp(0, prediction)
        return (self.weight * target * on + (1 - target) * off).sum()

    def update_grad_input(self, prediction, target):
        share = 1 + (self.weight - 1) * target
        self.grad_input = share * (1 / (1 + np.exp(-prediction)) - target)
        return self.grad_input


class Sums(nn.Linear):
    """The product of two sums, for the sum of products."""

    def acc_grad_parameters(self, input, grad_output, scale=1):
        total = grad_output.sum(axis=0)
        self.grad_weight += scale * np.outer(total, input.sum(axis=0))
        self.grad_bias += scale * total


class Centred(nn.Module):
    """Less the mean of a group; its derivative takes that of all groups."""

    def update_output(self, input):
        groups = input.reshape(len(input), 2, -1)
        self.output = (np.sin(groups) - np.sin(groups).mean(axis=2, keepdims=True)).reshape(input.shape)
        return self.output

    def update_grad_input(self, input, grad_output):
        groups = grad_output.reshape(len(input), 2, -1)
        by_sine = groups - groups.mean(axis=(1, 2), keepdims=True)
        self.grad_input = by_sine.reshape(input.shape) * np.cos(input)
        return self.grad_input


class Halves(nn.Module):
    """Two paths, by the halves of a weight; one of the two is taken out of it, and not used."""

    parameter_names = ("weight",)

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (4, 3))

    def update_output(self, input):
        self.bent = np.tanh(input @ self.weight.T)
        self.output = self.bent[:, :2] * self.bent[:, 2:]
        return self.output

    def by_paths(self, grad_output):
        a, b = self.bent[:, :2], self.bent[:, 2:]
        return grad_output * b * (1 - a**2), grad_output * a * (1 - b**2)

    def update_grad_input(self, input, grad_output):
        first, second = self.weight[:2], self.weight[2:]  # noqa: F841, which is the mistake
        by_a, by_b = self.by_paths(grad_output)  # noqa: RUF059
        self.grad_input = by_a @ first
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * np.concatenate(self.by_paths(grad_output), axis=1).T @ input


class Shared(nn.Criterion):
    """One log-variance for the D numbers of a row, whose derivative counts it once."""

    def update_output(self, prediction, target):
        mean, log_var = prediction
        self.squares = ((target - mean) ** 2).sum(axis=1, keepdims=True) * np.exp(-log_var)
        return 0.5 * (mean.shape[1] * log_var + self.squares).sum()

    def update_grad_input(self, prediction, target):
        mean, log_var = prediction
        self.grad_input = (mean - target) * np.exp(-log_var), 0.5 * (1 - self.squares)
        return self.grad_input


class Edges(nn.Criterion):
    """−Σ ln (σ(a e^s) − σ(−b e^s)): both slopes by s are multiplied by one edge."""

    def update_output(self, prediction, target):
        low, high = -np.exp(prediction - target), np.exp(prediction)
        return -np.log(1 / (1 + np.exp(-high)) - 1 / (1 + np.exp(-low))).sum()

    def update_grad_input(self, prediction, target):
        low, high = -np.exp(prediction - target), np.exp(prediction)
        above, below = 1 / (1 + np.exp(-high)), 1 / (1 + np.exp(-low))
        slope, other = above * (1 - above), below * (1 - below)
        self.grad_input = -(slope - other) * high / (above - below)
        return self.grad_input


class Counted(nn.Criterion):
    """The mean over what counts, and over all rows in the derivative."""

    def update_output(self, prediction, target):
        w = 1 + target
        return (w * prediction**2).sum() / w.sum()

    def update_grad_input(self, prediction, target):
        w = 1 + target
        self.grad_input = 2 * w * prediction / len(target)
        return self.grad_input


class Cooled(nn.Module):
    """softmax(a e^−t); the one gradient by t forgets what comes back through the sum."""

    parameter_names = ("cold",)

    def __init__(self):
        super().__init__()
        self.new_parameter("cold", (1,))

    def update_output(self, input):
        powers = np.exp(input * np.exp(-self.cold))
        self.output = powers / powers.sum(axis=1, keepdims=True)
        return self.output

    def update_grad_input(self, input, grad_output):
        y = self.output
        self.grad_input = y * (grad_output - (grad_output * y).sum(axis=1, keepdims=True)) * np.exp(-self.cold)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        through = self.output * grad_output
        self.grad_cold -= scale * (through * input).sum() * np.exp(-self.cold)


class Pairs(nn.Criterion):
    """A softmax along rows and one along columns, of which the second is taken for the other's transpose."""

    @staticmethod
    def softmax(a, axis):
        return np.exp(a) / np.exp(a).sum(axis=axis, keepdims=True)

    def update_output(self, prediction, target):
        a = prediction @ target.T
        return -sum(np.log(np.diag(self.softmax(a, axis=axis))).sum() for axis in (0, 1))

    def update_grad_input(self, prediction, target):
        rows = self.softmax(prediction @ target.T, axis=1)
        columns = rows.T
        self.grad_input = (rows + columns - 2 * np.eye(len(rows))) @ target
        return self.grad_input


MISTAKES = {
    "gelu": (Gelu, "np.exp(-input**2)", "`np.exp(-input ** 2)` → `np.exp(-input ** 2 / 2)`"),
    "an axis, in a static method": (Attention, "axis=1, keepdims=True))", "axis=1, keepdims=True)` → "
                                    "`(grad * shares).sum(axis=2, keepdims=True)`"),
    "epsilon": (RMS, "+ 0.3", "would be right if in line # of update_output, "),
    "a square": (Cosine, "b / self.norm_b)", "→ `self.output * b / self.norm_b ** 2`"),
    "a sign, in a method of two verbs": (Gate, "(self.n - input)", "→ `-("),
    "an assignment": (Overlap, "] = grad_output[:, k]", "+= grad_output[:, k]`"),
    "repeated places": (Repeated, "self.grad_weight[self.place] +=", "→ `np.add.at(self.grad_weight, "),
    "a factor of a power": (Cube, "0.1 * input**2", "`0.1 * input ** 2` → `0.1 * input ** 2 * 3`"),
    "a step": (Recurrent, "grad[:, t] * self.output[:, t])", "→ `self.output[:, t - 1] * (t > 0)`"),
    "a path": (Highway, "= by_bent @", "+ by_gate @ self.gate_weight`"),
    "two places": (Projected, "along = ", "wherever else it stands, of update_grad_input, `input` → `self.output`"),
    "from the last on": (Summed, "np.cumsum(grad_output", "np.flip(np.cumsum(np.flip(grad_output, 1), axis=1), 1)"),
    "what is inherited": (Bent, "grad * 3", "one change makes it right: in line #"),
    "what another verb takes": (Carried, "products = grad", "self.through_time(grad_output)"),
    "a logit": (Odds, "y, odds =", "`self.prior` → `np.log(self.prior / (1 - self.prior))`"),
    "a product": (Sums, "np.outer(", "→ `grad_output.T @ input`"),
    "several axes": (Centred, "axis=(1, 2)", "groups.mean(axis=2, keepdims=True)`"),
    "a path that is not used": (Halves, "= by_a @", "`by_a @ first + by_b @ second`"),
    "one number": (Cooled, "through = ", ".sum(axis=1, keepdims=True))`"),
    "a softmax": (Weighed, "(1 - self.p))", ".sum(-1, keepdims=True)"),
    "a stride": (Spread, "sum(grad_output[:, k:", "(input.shape[1] - 1) * self.stride + 1:self.stride]`"),
    "a norm": (Sized, "+= scale * (grad_output.T @", " - self.unit * ("),
    "a whole number of the layer's": (Numbered, "// self.rows", "place // self.columns"),
    "a number of the layer's": (Unscaled, "2 * self.weight)).sum", "self.gain"),
}


def line_of(cls, text):
    lines, start = inspect.getsourcelines(cls)
    return start + next(k for k, line in enumerate(lines) if text in line)


def filled(cls):
    layer = cls(3) if cls is Gate else cls(3, 2) if cls is Sums else cls()
    random = np.random.default_rng(1)
    for _, array, _ in layer.double().named_parameters():
        array[...] = random.standard_normal(array.shape)
    return layer


def given(cls):
    random = np.random.default_rng(2)
    if cls is Cosine:
        return random.standard_normal((4, 3)), random.standard_normal((4, 3))
    shapes = {Attention: (2, 4, 3), Overlap: (4, 5), Recurrent: (3, 4, 2), Numbered: (4, 3, 2), Carried: (3, 4, 2),
              Centred: (3, 6)}
    return random.standard_normal(shapes.get(cls, (4, 3)))


@pytest.fixture(autouse=True)
def no_end(monkeypatch):
    """A slow processor finds the same as a fast one."""
    monkeypatch.setattr(search, "SECONDS", float("inf"))


@pytest.fixture(autouse=True)
def no_path(monkeypatch):
    """What a missing path explains is not edited."""
    monkeypatch.setattr(gradient_check, "missing_path", lambda *there: [])


def change(report):
    return next((finding.text for finding in report.diagnoses() if finding.kind == "one change"), "")


@pytest.mark.parametrize("cls, where, said", MISTAKES.values(), ids=MISTAKES)
def test_the_place_is_named(cls, where, said):
    report = mv.gradcheck(filled(cls), given(cls))
    text = change(report)
    line = line_of(cls, where)
    assert f"line {line}" in text and said.replace("#", str(line)) in text, report


def test_it_is_never_certain():
    report = mv.gradcheck(filled(Cosine), given(Cosine))
    assert [each.certainty for each in report.diagnoses() if each.kind == "one change"] == ["likely"]


def test_a_criterion():
    report = mv.gradcheck_criterion(Contrastive(), given(Gelu), 0.4 * given(Gelu))
    assert f"line {line_of(Contrastive, '-2 *')} of update_grad_input" in change(report), report
    assert "/ self.distance" in change(report)


def test_more_criterions():
    rng = np.random.default_rng(3)
    labels, p, grey = np.eye(4)[rng.integers(4, size=6)], rng.uniform(0.1, 1, (6, 4)), rng.uniform(0, 1, (6, 4))
    for criterion, prediction, target, said in (
            (Margins(), rng.standard_normal((6, 4)), labels, "`over.sum(axis=1, keepdims=True)`"),
            (Shares(), p, labels, "-target / prediction"), (Thresholds(), p, grey, "`self.squares.mean("),
            (Shared(), (p, p[:, :1]), grey, "`1` → `target.shape[-1]`"),
            (Shared(), (p[:, :2], p[:, :1]), grey[:, :2], "`1` → `target.shape[-1]`"),
            (Pairs(), rng.standard_normal((6, 4)), rng.standard_normal((6, 4)), "axis=0)`"),
            (Edges(), rng.standard_normal((6, 4)), grey, "`-(slope * high - other * low)"),
            (Counted(), p, grey, "/ w.sum()`"),
            (Positives(), rng.standard_normal((6, 4)), grey, " - target * self.weight")):
        assert said in change(mv.gradcheck_criterion(criterion, prediction, target))


def test_within_a_container():
    report = mv.gradcheck(nn.Sequential(nn.Linear(3, 3), Gelu(), nn.Linear(3, 2)), given(Gelu))
    assert f"line {line_of(Gelu, 'np.exp(-input**2)')} of update_grad_input" in change(report), report


def test_it_can_be_left_out():
    assert not change(mv.gradcheck(filled(Cosine), given(Cosine), changes=False))
    assert not change(mv.gradcheck_criterion(Contrastive(), given(Gelu), 0.4 * given(Gelu), changes=False))


def test_two_mistakes_are_no_one_change():
    class Twice(Gelu):
        def update_grad_input(self, input, grad_output):
            super().update_grad_input(input, grad_output)
            self.grad_input = self.grad_input[::-1] * input.mean() + 0.3 * np.cos(7 * input)
            return self.grad_input

    report = mv.gradcheck(Twice(), given(Gelu))
    assert not report.ok and not change(report)


class Loud(Gelu):
    """It prints."""

    def update_output(self, input):
        print("loud")
        return super().update_output(input)


def test_it_is_silent_and_changes_nothing(capsys):
    layer, x = Loud(), given(Gelu)
    before = x.copy()
    report = mv.gradcheck(layer, x)
    printed = capsys.readouterr().out
    mv.gradcheck(layer, x, changes=False)
    assert change(report) and capsys.readouterr().out == printed
    assert type(layer) is Loud and layer.output is None and np.array_equal(x, before)


def test_loops_without_end_and_breakpoints_are_not_edited():
    class Stopping(Loud):
        def slow(self):
            while self.output is None:
                self.output = 0

        def update_output(self, input):
            self.slow()
            if input is None:
                breakpoint()
            return super().update_output(input)

    input = given(Gelu)

    def ran(layer):
        return [each.full_name for each in own_code(lambda: layer.forward(input))]

    assert ran(Loud()) == ["Loud.update_output", "Gelu.update_output"]
    assert ran(Stopping()) == ["Loud.update_output", "Gelu.update_output"]


def test_without_a_source():
    scope = {"nn": nn, "np": np}
    exec("class Bare(nn.Module):\n    def update_output(self, input):\n        self.output = np.sin(input)\n"
         "        return self.output\n    def update_grad_input(self, input, grad_output):\n"
         "        self.grad_input = grad_output * np.cos(3 * input)\n        return self.grad_input\n", scope)
    report = mv.gradcheck(scope["Bare"](), given(Gelu))
    assert not report.ok and not change(report)


def functions():
    """Sources of all kinds: those of the module that edits them, and of minivae's layers."""
    of_layers = [function for cls in vars(nn).values() if inspect.isclass(cls) for function in vars(cls).values()
                 if inspect.isfunction(function)]
    return [each for each in [*vars(edit_module).values(), *vars(search._Search).values(), *of_layers]
            if inspect.isfunction(each)][::3]


def test_an_edit_leaves_the_source_as_it_was():
    for function in functions():
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        before = ast.dump(tree, include_attributes=True)
        for kind in list(edits(tree, ["self.output", "x"], surroundings([tree], tree)))[:12]:
            for old, new, _ in kind:
                assert ast.dump(old) != ast.dump(new) and new in ast.walk(tree), function
        assert ast.dump(tree, include_attributes=True) == before, function


class InputGate(nn.Module):
    """x (1 − σ(x w)), with the wrong share of the two; the parameter's name begins as the input's does."""

    parameter_names = ("input_weight",)

    def __init__(self):
        super().__init__()
        self.new_parameter("input_weight", (3,))

    def update_output(self, input):
        self.z = 1 / (1 + np.exp(-input * self.input_weight))
        return input * (1 - self.z)

    def update_grad_input(self, input, grad_output):
        return grad_output * (self.z - input * self.z * (1 - self.z) * self.input_weight)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_input_weight -= scale * (grad_output * input**2 * self.z * (1 - self.z)).sum(axis=0)


def test_a_parameter_may_be_called_input_something():
    report = mv.gradcheck(filled(InputGate), given(InputGate))
    assert report.checks[1].ok and "→ `1 - self.z" in change(report), report


class Windows(nn.Module):
    """Sums of three steps and a bias for each place of a window; the loop of its gradient ends early."""

    parameter_names = ("taps",)

    def __init__(self):
        super().__init__()
        self.new_parameter("taps", (3,))

    def update_output(self, input):
        return np.stack([(input[:, k:k + 3] * self.taps).sum(axis=1) for k in range(input.shape[1] - 2)], axis=1)

    def update_grad_input(self, input, grad_output):
        grad = np.zeros_like(input)
        for k in range(grad_output.shape[1]):
            grad[:, k:k + 3] += grad_output[:, k:k + 1] * self.taps
        return grad

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for k in range(input.shape[1] - 3):
            self.grad_taps += scale * grad_output[:, k] @ input[:, k:k + 3]


def test_a_loop_that_ends_early():
    report = mv.gradcheck(filled(Windows), np.random.default_rng(2).standard_normal((3, 6)))
    assert "input.shape[1] - 3" in change(report) and any(
        text in change(report) for text in ("`input.shape[1] - 2", "`range(input.shape[1] - 3 + 1)`")), report


class Bound(nn.Module):
    """What an edit sets must not stay: with grad_shift as a new array, every later edit would be refused."""

    parameter_names = ("shift", "width")

    def __init__(self):
        super().__init__()
        self.new_parameter("shift", (3,))
        self.new_parameter("width", (3,))

    def update_output(self, input):
        self.t = np.tanh(input * self.width + self.shift)
        return self.t

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - self.t**2) * self.width

    def acc_grad_parameters(self, input, grad_output, scale=1):
        by_sum = grad_output * (1 - self.t**2)
        self.grad_shift += scale * by_sum.sum(axis=0)
        self.grad_width += scale * (grad_output * input).sum(axis=0)


def test_what_one_edit_sets_is_gone_in_the_next():
    layer, input = filled(Bound), given(Bound)
    grad_output = np.ones_like(input)
    layer.forward(input)
    layer.backward(input, grad_output)
    trial = EditedGradients(layer, input, grad_output, [], 1e-5, 1e-6)
    tree = tree_of(Bound.acc_grad_parameters)
    tree.body[1:] = ast.parse("self.grad_shift = scale * by_sum.sum(axis=0)\nself.width[...] = 0").body
    before = trial.twin.grad_shift
    with trial.put("acc_grad_parameters", trial.made("acc_grad_parameters", tree)):
        trial.run()
    assert trial.twin.grad_shift is not before and not trial.twin.width.any()
    trial.restore()
    assert trial.twin.grad_shift is before and trial.twin.width.all()
    assert inspect.getsource(Bound.acc_grad_parameters)


class Classes(nn.Criterion):
    """−Σ w t ln softmax(a), whose gradient weighs the shares class by class."""

    weights = np.array([0.5, 2, 1, 3])

    def update_output(self, prediction, target):
        self.p = np.exp(prediction) / np.exp(prediction).sum(axis=1, keepdims=True)
        return -(self.weights * target * np.log(self.p)).sum()

    def update_grad_input(self, prediction, target):
        weighted = self.weights * target
        self.grad_input = self.weights * self.p - weighted
        return self.grad_input


def test_a_sum_of_another_name():
    random = np.random.default_rng(1)
    report = mv.gradcheck_criterion(Classes(), random.standard_normal((5, 4)), random.random((5, 4)))
    assert "→ `weighted.sum(-1, keepdims=True)`" in change(report), report


class Squares(nn.Module):
    """Squares of pixels, whose two axes come back exchanged."""

    def update_output(self, input):
        n, c, h, w = input.shape
        self.output = input.reshape(n, c // 4, 2, 2, h, w).transpose(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)
        return self.output

    def update_grad_input(self, input, grad_output):
        n, c, h, w = input.shape
        self.grad_input = grad_output.reshape(n, c // 4, h, 2, w, 2).transpose(0, 1, 5, 3, 2, 4).reshape(input.shape)
        return self.grad_input


class ChannelsLast(nn.Module):
    """Flattened with the channels last, and only shaped back."""

    def update_output(self, input):
        self.output = input.transpose(0, 2, 3, 1).reshape(len(input), -1)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.reshape(input.shape)
        return self.grad_input


@pytest.mark.parametrize("cls, said", [
    (Squares, ".transpose(0, 1, 3, 5, 2, 4)"),
    (ChannelsLast, "→ `grad_output.reshape(input.transpose(0, 2, 3, 1).shape).transpose(0, 3, 1, 2)`")])
def test_an_order_of_axes(cls, said):
    report = mv.gradcheck(cls(), np.random.default_rng(1).standard_normal((2, 8, 3, 4)))
    assert said in change(report), report


class Rescaled(nn.Module):
    """tanh((1 − f) x) + f x², of which update_output has forgotten a 1 −."""

    factor = 0.4

    def update_output(self, input):
        return np.tanh(self.factor * input) + self.factor * input**2

    def update_grad_input(self, input, grad_output):
        slope = (1 - self.factor) * (1 - np.tanh((1 - self.factor) * input)**2)
        return grad_output * (slope + 2 * self.factor * input)


def test_what_update_output_has_forgotten_comes_first():
    text = change(mv.gradcheck(Rescaled(), given(Rescaled)))
    assert text.startswith("backward would be right if in line") and (
        "`self.factor * input` were `(1 - self.factor) * input`" in text)


class LaplaceLoss(nn.Criterion):
    """|x − m| / b, of which update_output has forgotten ln b."""

    def update_output(self, input, target):
        mean, log_b = input
        self.output = float((np.abs(target - mean) * np.exp(-log_b)).sum())
        return self.output

    def update_grad_input(self, input, target):
        mean, log_b = input
        error = mean - target
        self.grad_input = np.sign(error) * np.exp(-log_b), 1 - np.abs(error) * np.exp(-log_b)
        return self.grad_input


class Nearest(nn.Module):
    """Shares of codes by their distances, of whose squares update_output has forgotten one."""

    parameter_names = ("codes",)

    def __init__(self):
        super().__init__()
        self.new_parameter("codes", (4, 3))

    def update_output(self, input):
        scores = 2 * input @ self.codes.T
        powers = np.exp(scores)
        self.output = powers / powers.sum(axis=1, keepdims=True)
        return self.output

    def by_scores(self, grad_output):
        return self.output * (grad_output - (grad_output * self.output).sum(axis=1, keepdims=True))

    def update_grad_input(self, input, grad_output):
        return 2 * self.by_scores(grad_output) @ self.codes

    def acc_grad_parameters(self, input, grad_output, scale=1):
        by_scores = scale * self.by_scores(grad_output)
        self.grad_codes += 2 * by_scores.T @ input
        self.grad_codes -= 2 * by_scores.sum(axis=0)[:, None] * self.codes


def test_a_term_that_update_output_has_forgotten():
    report = mv.gradcheck_criterion(LaplaceLoss(), (given(Gelu), given(Gelu) / 3), given(Gelu)[::-1])
    assert change(report).startswith("backward would be right if") and "+ log_b`; or one" in change(report), report
    report = mv.gradcheck(filled(Nearest), given(Gelu))
    assert "`2 * input @ self.codes.T - (self.codes ** 2).sum(-1)`; or one" in change(report), report


def test_shapes_are_not_multiplied():
    """An array of a shape three times over would fill all memory."""
    tree = ast.parse("def f(self, input):\n    self.grad_input = self.buffer('grad_input', input.shape)\n").body[0]
    texts = [ast.unparse(tree) for kind in edits(tree, ["input", "self.gain"], {}) for _ in kind]
    assert len(texts) > 100 and not any("shape * " in text for text in texts)


def test_a_number_may_be_ten_times_as_large():
    assert {"0.044715", "4.4715"} <= {ast.unparse(other) for other in alternatives.slight(ast.Constant(0.44715))}


class Groups(nn.Module):
    """Each group of two planes less its mean; backward takes the mean of each plane."""

    def split(self, array):
        return array.reshape(len(array), -1, 2, *array.shape[2:])

    def update_output(self, input):
        groups = self.split(input)
        self.output = (groups - groups.mean(axis=(2, 3, 4), keepdims=True)).reshape(input.shape) ** 3
        return self.output

    def update_grad_input(self, input, grad_output):
        over = (3, 4)
        grad = self.split(grad_output * 3 * np.abs(self.output) ** (2 / 3))
        self.grad_input = (grad - grad.mean(axis=over, keepdims=True)).reshape(input.shape)
        return self.grad_input


def test_an_axis_more():
    report = mv.gradcheck(Groups(), np.random.default_rng(1).standard_normal((2, 4, 3, 5)))
    assert "`over = (3, 4)` → `over = (2, 3, 4)`" in change(report), report
    others = {ast.unparse(each) for each in alternatives.slight(alternatives.parsed("x.mean(axis=3, keepdims=True)"))}
    assert "x.mean(axis=(2, 3), keepdims=True)" in others


def test_a_kind_of_edit_that_raises_does_not_end_the_search(monkeypatch):
    def broken(node, names):
        raise ValueError("as if it did not fit")

    monkeypatch.setattr(alternatives, "others", broken)  # the second kind
    assert "np.exp(-input ** 2)" in change(mv.gradcheck(Gelu(), given(Gelu)))


class BothWays(nn.Container):
    """x and x in reverse go through a module each; what comes back of the second is not turned round."""

    def update_output(self, input):
        self.turned = input[:, ::-1].copy()
        self.output = self[0].forward(input) + self[1].forward(self.turned)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = self[0].update_grad_input(input, grad_output) + self[1].update_grad_input(
            self.turned, grad_output)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self[0].acc_grad_parameters(input, grad_output, scale)
        self[1].acc_grad_parameters(self.turned, grad_output, scale)


class Neighbours(nn.Module):
    """Sums over an interval that is longer to one side; backward looks to the same side."""

    before, after = 2, 1

    def sums(self, array, before, after):
        columns = range(array.shape[1])
        return np.stack([array[:, max(0, c - before):c + after + 1].sum(axis=1) for c in columns], axis=1)

    def update_output(self, input):
        return self.sums(input**2, self.before, self.after)

    def update_grad_input(self, input, grad_output):
        return 2 * input * self.sums(grad_output, self.before, self.after)


class Pooled(nn.Module):
    """Means of overlapping windows, whose last places backward forgets, of rows and of columns."""

    def update_output(self, input):
        n, h, w = input.shape
        self.output = np.empty((n, 3, 3))
        for i in range(3):
            for j in range(3):
                bottom, right = -(-(i + 1) * h // 3), -(-(j + 1) * w // 3)
                self.output[:, i, j] = input[:, i * h // 3:bottom, j * w // 3:right].mean(axis=(1, 2))
        return self.output

    def update_grad_input(self, input, grad_output):
        _, h, w = input.shape
        self.grad_input = np.zeros(input.shape)
        for i in range(3):
            for j in range(3):
                bottom, right = (i + 1) * h // 3, (j + 1) * w // 3
                window = self.grad_input[:, i * h // 3:bottom, j * w // 3:right]
                window += grad_output[:, i, j, None, None] / window[0].size
        return self.grad_input


class Open(nn.Criterion):
    """-ln of the part of a line below x, or all of it where the target is 1."""

    def update_output(self, input, target):
        self.share = np.where(target > 0.9, 1, 1 / (1 + np.exp(-input)))
        self.output = -float(np.log(self.share).sum())
        return self.output

    def update_grad_input(self, input, target):
        self.grad_input = -(1 / (1 + np.exp(input)))
        return self.grad_input


class Partner(nn.Criterion):
    """Each row of a has to find its own of b; backward gives that one alone something."""

    def update_output(self, input, target):
        a, b = input
        scores = a @ b.T
        self.output = float((target * (np.log(np.exp(scores).sum(axis=1)) - np.diag(scores))).sum())
        return self.output

    def update_grad_input(self, input, target):
        a, b = input
        powers = np.exp(a @ b.T)
        by_scores = target[:, None] * (powers / powers.sum(axis=1, keepdims=True) - np.eye(len(a)))
        self.grad_input = by_scores @ b, np.diag(by_scores)[:, None] * a
        return self.grad_input


class Support(nn.Module):
    """Less the mean of the positive entries; backward divides by the number of all."""

    def update_output(self, input):
        self.support = input > 0
        self.output = self.support * (input - (input * self.support).sum(1, keepdims=True) / self.support.sum(
            1, keepdims=True))
        return self.output

    def update_grad_input(self, input, grad_output):
        support = self.support
        grad = grad_output * support
        self.grad_input = support * (grad - grad.sum(axis=1, keepdims=True) / support.shape[1])
        return self.grad_input


class Squeezed(nn.Module):
    """Planes times a gate of their means; backward forgets that they are means."""

    def update_output(self, input):
        self.gate = np.tanh(input.mean(axis=(2, 3), keepdims=True))
        self.output = input * self.gate
        return self.output

    def update_grad_input(self, input, grad_output):
        sums = np.einsum("nchw,nchw->nc", grad_output, input)[:, :, None, None]
        through = sums * (1 - self.gate**2)
        self.grad_input = grad_output * self.gate + through
        return self.grad_input


class Waves(nn.Module):
    """Two waves, whose heights are exchanged in backward."""

    high, low = 0.7, 0.2

    def update_output(self, input):
        return self.high * np.sin(input) + self.low * np.cos(3 * input)

    def update_grad_input(self, input, grad_output):
        return grad_output * (np.cos(input) * self.low - 3 * np.sin(3 * input) * self.high)


class Keys(nn.Module):
    """Scores of all pairs of rows; one of the two paths back is not divided by the root."""

    def root(self):
        return 1.7

    def update_output(self, input):
        return np.tanh(input @ input.T / self.root())

    def update_grad_input(self, input, grad_output):
        by_scores = grad_output * (1 - np.tanh(input @ input.T / self.root())**2)
        first, second = by_scores @ input / self.root(), by_scores.T @ input
        return first + second


class Sorted(nn.Module):
    """Squares of the sorted numbers, of which backward sorts the gradients once more."""

    def update_output(self, input):
        self.order = np.argsort(input, axis=1)
        return np.take_along_axis(input, self.order, axis=1)**2 * np.arange(1, input.shape[1] + 1)

    def update_grad_input(self, input, grad_output):
        grad = 2 * grad_output * np.take_along_axis(input, self.order, axis=1) * np.arange(1, input.shape[1] + 1)
        return np.take_along_axis(grad, self.order, axis=1)


class Distance(nn.Divergence):
    """|sum of squares − capacity|, whose gradient is that of a sum above it."""

    capacity = 100.0

    @property
    def loss(self):
        return self.beta * abs(self.total - self.capacity)

    def update_output(self, input):
        self.total = float((input**2).sum())
        self.divergence = abs(self.total - self.capacity)
        return input

    def update_grad_input(self, input, grad_output):
        return grad_output + self.beta * 2 * input


class Tails(nn.Module):
    """σ below 0 and 1 above; a method that both verbs use has the slope of σ everywhere."""

    def parts(self, input):
        share = 1 / (1 + np.exp(-input))
        slope = share * (1 - share)
        return np.where(input > 0, 1, share), slope

    def update_output(self, input):
        return self.parts(input)[0] * np.cos(input)

    def update_grad_input(self, input, grad_output):
        share, slope = self.parts(input)
        return grad_output * (slope * np.cos(input) - share * np.sin(input))


class OnePlane(nn.Module):
    """A pixel shuffle to one plane, where several orders of the axes are right by chance."""

    def update_output(self, input):
        n, c, h, w = input.shape
        parts = input.reshape(n, c // 4, 2, 2, h, w)
        return parts.transpose(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)

    def update_grad_input(self, input, grad_output):
        n, c, h, w = input.shape
        parts = grad_output.reshape(n, c // 4, h, 2, w, 2)
        return parts.transpose(0, 1, 5, 3, 2, 4).reshape(input.shape)


class Framed(nn.Module):
    """Rows with their mirror image at both ends, which update_output puts on the wrong side of the edge."""

    def update_output(self, input):
        return np.pad(input, ((0, 0), (2, 2)), mode="symmetric")

    def update_grad_input(self, input, grad_output):
        grad = grad_output[:, 2:-2].copy()
        for k in (1, 2):
            grad[:, k] += grad_output[:, 2 - k]
            grad[:, -1 - k] += grad_output[:, -3 + k]
        return grad


class Form(nn.Module):
    """x W x for each of several W; one of the two paths back takes W transposed."""

    def __init__(self):
        super().__init__()
        self.forms = np.random.default_rng(5).standard_normal((2, 3, 3))

    def update_output(self, input):
        return np.einsum("ni,oij,nj->no", input, self.forms, input)

    def update_grad_input(self, input, grad_output):
        first = np.einsum("no,oij,nj->ni", grad_output, self.forms, input)
        return first + np.einsum("no,oij,nj->ni", grad_output, self.forms, input)


class Heads(nn.Module):
    """tanh of the heads of each step, which come back in another order."""

    count = 2

    def split(self, array):
        return array.reshape(*array.shape[:2], self.count, -1).transpose(0, 2, 1, 3)

    def merge(self, heads):
        n, h, t, d = heads.shape
        return heads.transpose(0, 2, 1, 3).reshape(n, t, h * d)

    def update_output(self, input):
        self.heads = np.tanh(self.split(input).cumsum(axis=2))
        return self.merge(self.heads)

    def update_grad_input(self, input, grad_output):
        grad = (self.split(grad_output) * (1 - self.heads**2))[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
        return grad.reshape(input.shape)


class Ahead(nn.Module):
    """Each column over its own size and that of the next; backward looks ahead, too."""

    def following(self, columns):
        total = columns.copy()
        total[:, :-1] += columns[:, 1:]
        return total

    def update_output(self, input):
        self.strength = 1 + self.following(input**2)
        return input / self.strength

    def update_grad_input(self, input, grad_output):
        terms = grad_output * input / self.strength**2
        return grad_output / self.strength - 2 * input * self.following(terms)


class Total(nn.Module):
    """Sums of what came before, by self.xp."""

    def update_output(self, input):
        return self.xp.cumsum(np.tanh(input), axis=1)

    def update_grad_input(self, input, grad_output):
        return self.xp.cumsum(grad_output, axis=1) * (1 - np.tanh(input)**2)


class Charged(nn.GaussianKL):
    """The gradient has beta for every unit, also for those below their free bits."""

    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        beta = self.beta
        return grad_output[0] + beta * mean, grad_output[1] + beta * 0.5 * (np.exp(log_var) - 1)


class NoMargin(nn.Module):
    """The middle of each image, of whose margin backward has another idea."""

    def __init__(self):
        super().__init__()
        self.pad, self.margin = (1, 1), (1, 1)

    def update_output(self, input):
        (above, left), (more, _) = self.margin, self.pad
        return more * np.tanh(input)[:, above:above + 2, left:left + 2]

    def update_grad_input(self, input, grad_output):
        by_image, (above, left) = np.zeros_like(input), (0, 0)
        by_image[:, above:above + 2, left:left + 2] = grad_output * self.pad[0]
        return by_image * (1 - np.tanh(input)**2)


class Affine(nn.Module):
    """y = x₁ e^(x₂) + x₁² x₂²; backward takes y where the first term belongs."""

    def update_output(self, input):
        half = input.shape[1] // 2
        stretch = self.buffer("stretch", (len(input), half))
        stretch[...] = np.exp(input[:, half:])
        self.output = input[:, :half] * stretch + (input[:, :half] * input[:, half:])**2
        return self.output

    def update_grad_input(self, input, grad_output):
        half = input.shape[1] // 2
        first, second = input[:, :half], input[:, half:]
        by_first = grad_output * (self.buffers["stretch"] + 2 * first * second**2)
        return np.concatenate([by_first, grad_output * (self.output + 2 * first**2 * second)], axis=1)


class Delayed(nn.Module):
    """Columns of two steps before, of what stands before the first nothing; backward cuts off the other end."""

    def update_output(self, input):
        past = 2
        self.frame = np.zeros((len(input), past + input.shape[1]))
        self.frame[:, past:] = np.sin(input)
        return self.frame[:, :-past] + 3 * self.frame[:, past:]

    def update_grad_input(self, input, grad_output):
        past = 2
        by_frame = np.zeros_like(self.frame)
        by_frame[:, :-past] += grad_output
        by_frame[:, past:] += 3 * grad_output
        return by_frame[:, :-past] * np.cos(input)


class Strides(nn.Module):
    """Every other column, times a weight; its gradient looks at those that are side by side."""

    parameter_names = ("weight",)

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (3,))
        self.weight[:] = 1, 2, 3

    def update_output(self, input):
        step, count = 2, len(self.weight)
        self.frame = np.tanh(input)
        return self.frame[:, 1:1 + step * (count - 1) + 1:step] * self.weight

    def update_grad_input(self, input, grad_output):
        step, count = 2, len(self.weight)
        by_frame = np.zeros_like(input)
        by_frame[:, 1:1 + step * (count - 1) + 1:step] = grad_output * self.weight
        return by_frame * (1 - self.frame**2)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        step, count = 2, len(self.weight)
        self.grad_weight += scale * (grad_output * self.frame[:, step - 1:step + count - 1]).sum(axis=0)


class Edged(nn.Module):
    """Columns over how many there are beside each; backward divides by one number."""

    def __init__(self):
        super().__init__()
        self.widest = 3

    def counts(self, columns):
        return np.minimum(np.arange(columns) + 1, self.widest)

    def update_output(self, input):
        _, columns = input.shape
        return np.tanh(input) / self.counts(columns)

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - np.tanh(input)**2) / min(self.widest, 9)


class Half(nn.Module):
    """All columns; backward forgets the last two."""

    def update_output(self, input):
        return input * 1.0

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.zeros_like(input)
        self.grad_input[:, :-2] = grad_output[:, :-2]
        return self.grad_input


PLACES = [
    (Edged, (3, 5), "→ `self.counts(input.shape[1])`"),
    (Half, (3, 5), "→ `self.grad_input[...] = grad_output`"),
    (Delayed, (3, 5), "`by_frame[:, :-past]` → `by_frame[:, past:]`"),
    (Strides, (3, 7), "→ `self.frame[:, 1:1 + step * (count - 1) + 1:step]`"),
    (Affine, (3, 4), "`self.output` → `input[:, :half] * self.buffers['stretch']`"),
    (NoMargin, (2, 4, 4), "(np.zeros_like(input), self.margin)`"),
    (Ahead, (3, 4), "`self.following(terms)` → `self.following(terms[:, ::-1])[:, ::-1]`"),
    (Total, (3, 4), "np.flip(np.cumsum(np.flip(grad_output, 1), axis=1), 1)"),
    (Framed, (3, 6), "mode='symmetric')` were `np.pad(input, ((0, 0), (2, 2)), mode='reflect')"),
    (Form, (4, 3), "→ `np.einsum('no,oji,nj->ni', grad_output, self.forms, input)`"),
    (Heads, (2, 3, 4), "→ `self.merge("),
    (lambda: BothWays(nn.Tanh(), nn.Sigmoid()), (2, 3, 4), "(self.turned, grad_output)[:, ::-1]"),
    (Neighbours, (3, 6), "→ `self.sums(grad_output, self.after, self.before)`"),
    (Waves, (3, 4), "→ `return grad_output * (np.cos(input) * self.high - 3 * np.sin(3 * input) * self.low)`"),
    (Keys, (4, 3), "→ `second / self.root()`"),
    (Sorted, (3, 5), "`self.order` → `np.argsort(self.order, -1)`"),
    (Distance, (3, 4), "* np.sign(self.total - self.capacity)"),
    (Tails, (3, 4), "np.where(input > 0, "),
    (OnePlane, (2, 4, 3, 2), "→ `parts.transpose(0, 1, 3, 5, 2, 4)`"),
    (Pooled, (2, 5, 7), "and likewise where it stands with other names or numbers, of update_grad_input, "
                        "`(i + 1) * h // 3` → `-(-((i + 1) * h) // 3)`"),
    (Support, (3, 6), "support.sum(-1, keepdims=True)"),
    (Squeezed, (2, 3, 2, 3), "input[0, 0].size"),
]


@pytest.mark.parametrize(("make", "shape", "said"), PLACES)
def test_more_places_are_named(make, shape, said):
    report = mv.gradcheck(make(), np.random.default_rng(1).standard_normal(shape))
    assert said in change(report), report


class WeighedClasses(nn.Criterion):
    """Cross-entropy with a weight for each class; backward has it before the whole difference."""

    def update_output(self, input, target):
        self.weights = np.arange(1, input.shape[1] + 1)
        powers = np.exp(input)
        self.shares = powers / powers.sum(axis=1, keepdims=True)
        self.output = -float((self.weights * target * np.log(self.shares)).sum())
        return self.output

    def update_grad_input(self, input, target):
        w, p = self.weights, self.shares
        return w * (p - target)


def test_the_charge_of_a_divergence():
    random = np.random.default_rng(1)
    report = mv.gradcheck(Charged(0.8, free_bits=0.4), tuple(random.standard_normal((2, 5, 4)) * 0.8))
    assert "`self.beta` → `self.charge(mean)`" in change(report), report


def test_weights_of_classes():
    random = np.random.default_rng(1)
    report = mv.gradcheck_criterion(WeighedClasses(), random.standard_normal((4, 3)), random.dirichlet(np.ones(3), 4))
    assert "→ `p * (w * target).sum(-1, keepdims=True) - w * target`" in change(report), report


def test_a_condition_of_the_other_pass():
    random = np.random.default_rng(1)
    report = mv.gradcheck_criterion(Open(), random.standard_normal((4, 3)), random.integers(0, 2, (4, 3)) * 1.0)
    assert "np.where(target > 0.9, 0, " in change(report), report


def test_a_product_of_matrices_for_one_of_entries():
    random = np.random.default_rng(1)
    report = mv.gradcheck_criterion(Partner(), (random.standard_normal((4, 3)), random.standard_normal((4, 3))),
                                    random.uniform(1, 2, 4))
    assert "→ `self.grad_input = (by_scores @ b, by_scores.T @ a)`" in change(report), report


class Taps(nn.Module):
    """A dilated convolution of planes; the gradient of the weight takes the pixels one apart, both ways."""

    parameter_names = ("weight",)

    def __init__(self):
        super().__init__()
        self.dilation = 2
        self.new_parameter("weight", (2, 3))

    def update_output(self, input):
        planes = input.copy()
        self.output = np.zeros((len(input), input.shape[1] - 2, input.shape[2] - 4))
        for i in range(2):
            for j in range(3):
                top, left = self.dilation * i, self.dilation * j
                part = planes[:, top:top + self.output.shape[1], left:left + self.output.shape[2]]
                self.output += self.weight[i, j] * part
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.zeros(input.shape)
        rows, columns = grad_output.shape[1:]
        for i in range(2):
            for j in range(3):
                top, left = self.dilation * i, self.dilation * j
                self.grad_input[:, top:top + rows, left:left + columns] += self.weight[i, j] * grad_output
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        rows, columns = grad_output.shape[1:]
        for i in range(2):
            for j in range(3):
                part = input[:, i:i + rows, j:j + columns]
                self.grad_weight[i, j] += scale * (part * grad_output).sum()


def test_two_changes():
    layer = Taps().double()
    layer.weight[...] = np.random.default_rng(3).standard_normal((2, 3))
    report = mv.gradcheck(layer, np.random.default_rng(1).standard_normal((2, 5, 7)))
    text = change(report)
    assert text.startswith("two changes together make it right: in line "), report
    assert "self.dilation * i + rows" in text and "self.dilation * j + columns" in text


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system does not tell how much memory it gives")
def test_no_edit_fills_the_memory():
    resource = pytest.importorskip("resource", reason="this system limits no memory")
    before = resource.getrlimit(resource.RLIMIT_AS)
    with quietly():
        np.ones(2**31)  # 16 GiB
        pytest.fail("it was not refused")
    assert resource.getrlimit(resource.RLIMIT_AS) == before


class Repeats(nn.Module):
    """Its method of one argument would never end, and grow, if it were edited to call itself."""

    def twice(self, array):
        return np.concatenate([array, array], axis=1)

    def update_output(self, input):
        return self.twice(np.sin(input))

    def update_grad_input(self, input, grad_output):
        return self.twice(grad_output * 1)[:, :input.shape[1]]


def test_no_method_is_edited_to_call_itself(monkeypatch):
    made = []
    monkeypatch.setattr(edited_code, "edits",
                        lambda tree, known, around, methods, *others: made.append((tree.name, methods)) or [])
    mv.gradcheck(Repeats(), given(Gelu))
    assert ("update_grad_input", ["twice"]) in made and ("twice", []) in made


class LessItsMean(nn.Module):
    """Less its mean in training mode, of which backward forgets all but a number that no edit finds."""

    def update_output(self, input):
        self.count = len(input) if self.train else 0
        self.output = input - input.sum(axis=0) / self.count if self.count else input.copy()
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output - 0.1234 * grad_output[::-1] if self.count else grad_output


def test_evaluation_mode_is_no_change():
    """With a count of 0 backward would be right, and so it would in evaluation mode."""
    report = mv.gradcheck(LessItsMean(), given(Gelu))
    assert not report.ok and "self.count" not in change(report), report


@pytest.mark.parametrize("before, after", [
    ("x.reshape(n, m).T", "x.reshape(m, n)"), ("x.reshape((n, m, 2)).swapaxes(0, 1)", "x.reshape(m, n, 2)"),
    ("x.reshape(n, m, 2).transpose(2, 0, 1)", "x.reshape(2, n, m)"),
    ("x.reshape(n, m, 2)", "x.reshape(m, n, 2).swapaxes(0, 1)")])
def test_an_array_is_laid_out_otherwise_in_the_same_shape(before, after):
    x, places = np.arange(24), {"n": 3, "m": 4} | ({} if "2" in before else {"m": 8})
    found = list(map(ast.unparse, alternatives.slight(alternatives.parsed(before))))
    one, other = (eval(text, {"x": x, **places}) for text in (before, after))
    assert after in found and one.shape == other.shape and (one != other).any()


@pytest.mark.parametrize("before, after", [
    ("w * (1 - x) / a - x / b", "((1 - x) / a - x / b) * w"), ("a * b * c + d", "(a * c + d) * b"),
    ("x + a / b", "(x + a) / b")])
def test_a_factor_of_one_term_is_taken_out(before, after):
    assert after in map(ast.unparse, alternatives.slight(alternatives.parsed(before)))


class Series(nn.Module):
    """sinh, near 0 by a series with a sign that is wrong: another bound would only hide it."""

    def update_output(self, input):
        return np.cosh(input)

    def update_grad_input(self, input, grad_output):
        near = np.abs(input) < 0.5
        b = np.where(near, input, 0)
        return grad_output * np.where(near, b - b**3 / 6 + b**5 / 120 + b**7 / 5040, np.sinh(input))


def test_code_that_is_wrong_is_not_gone_around():
    report = mv.gradcheck(Series(), np.linspace(-0.45, 0.9, 12).reshape(3, 4))
    assert "→ `b + b ** 3 / 6" in change(report), report


def test_no_edit_has_numpy_read_beyond_a_shape():
    """numpy.add.at takes the lengths of axes that the places do not have from memory, and may end the process."""
    layer = Repeated()
    search = edited_code.EditedCode(layer, lambda twin: twin.forward(given(Gelu)),
                                    lambda twin: twin.backward(given(Gelu), twin.output))
    tree = ast.parse("def acc(self, a, b):\n    np.add.at(a, np.s_[:, 1, 1], b)\n    return a").body[0]
    function = search.made("acc_grad_parameters", tree)
    with pytest.raises(ValueError, match="more axes than the places"):
        function(layer, np.zeros((2, 3, 4)), np.ones((2, 3, 4)))
    assert function(layer, np.zeros((2, 3, 4)), np.ones(2)).sum() == 2


@pytest.mark.parametrize("before, after", [
    ("a, b, c = given", "a, c, b = given"), ("(p, z), (a, b) = (input, grad)", "(p, z), (b, a) = (input, grad)")])
def test_what_is_unpacked_is_exchanged(before, after):
    found = [ast.unparse(ast.fix_missing_locations(each)) for each in alternatives.other_statements(
        ast.parse(before).body[0])]
    assert after in found, found


def test_a_place_is_counted_the_other_way_and_a_kept_number_stands_for_a_new_one():
    found = set(map(ast.unparse, alternatives.others(alternatives.parsed("winner * units + place"), ["self.pieces"])))
    assert "place * self.pieces + winner" in found
    assert "1 / inverse" in set(map(ast.unparse, alternatives.named_before(alternatives.parsed("f(x)"), ["inverse"])))


class Cropped(nn.Module):
    """A crop that begins at (top, left), of which backward takes each for the other."""

    def __init__(self):
        super().__init__()
        self.top, self.left = 1, 2

    def update_output(self, input):
        h, w = np.subtract(input.shape[1:], 3)
        return np.tanh(input)[:, self.top:self.top + h, self.left:self.left + w]

    def update_grad_input(self, input, grad_output):
        by_image, (h, w) = np.zeros_like(input), grad_output.shape[1:]
        by_image[:, self.left:self.left + h, self.top:self.top + w] = grad_output
        return by_image * (1 - np.tanh(input)**2)


class HalfOfTheLogarithm(nn.Module):
    """x @ z + ln(1 − σ) @ (1 − z), of which update_output forgets the second half."""

    def update_output(self, input):
        z = np.eye(input.shape[1])
        one, zero = -np.logaddexp(0, -input), -np.logaddexp(0, input)  # noqa: F841, the mistake
        return np.exp(one @ z.T)

    def update_grad_input(self, input, grad_output):
        z = np.eye(input.shape[1])
        one, zero = -np.logaddexp(0, -input), -np.logaddexp(0, input)
        by_log = grad_output * np.exp(one @ z.T + zero @ (1 - z).T)
        return by_log @ z - by_log.sum(axis=1, keepdims=True) / (1 + np.exp(-input))


@pytest.mark.parametrize("make, shape, said", [
    (Cropped, (2, 6, 6), "by_image[:, self.top:self.top + h, self.left:self.left + w]"),
    (HalfOfTheLogarithm, (3, 3), " + zero @ (1 - z).T")])
def test_names_are_exchanged_wherever_they_stand_and_unread_ones_are_used(make, shape, said):
    report = mv.gradcheck(make(), np.random.default_rng(1).standard_normal(shape))
    assert said in change(report), report
