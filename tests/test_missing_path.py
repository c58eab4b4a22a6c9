"""The path that a backward pass leaves out: the expression of update_output that it takes for a constant is quoted."""

import inspect

import numpy as np
import pytest

import minivae as mv
from minivae import nn


class Shares(nn.Module):
    """Σ softmax(x) x along a row."""

    def update_output(self, input):
        powers = np.exp(input)
        self.shares = powers / powers.sum(axis=1, keepdims=True)
        self.output = self.shares * input
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * self.shares


class Alike(nn.Module):
    """All products of rows."""

    def update_output(self, input):
        self.output = input @ input.T
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output @ input


class Unit(nn.Module):
    """x wᵀ / ‖w‖, the norm in a method of its own that backward calls too."""

    parameter_names = ("weight",)

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (2, 3))
        self.weight[...] = [[0.5, -1, 2], [1, 0.3, -0.7]]

    def length(self):
        return np.sqrt((self.weight**2).sum(axis=1, keepdims=True))

    def update_output(self, input):
        self.output = input @ (self.weight / self.length()).T
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output @ (self.weight / self.length())

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * grad_output.T @ input / self.length()


class Loop(nn.Module):
    """h ← h + tanh(x) h, three times, from h = x."""

    def update_output(self, input):
        self.states = [input]
        for _ in range(3):
            slope = np.tanh(input)
            self.states.append(self.states[-1] + slope * self.states[-1])
        return self.states[-1]

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 + np.tanh(input))**3


class Mixture(nn.Criterion):
    """−Σ ln Σₖ softmax(a)ₖ e^−(x − k)², with the gradient of logarithms of shares."""

    def update_output(self, prediction, target):
        logits = prediction - np.log(np.exp(prediction).sum(axis=1, keepdims=True))
        self.joint = logits - (target - np.arange(prediction.shape[1]))**2
        self.output = -np.log(np.exp(self.joint).sum(axis=1)).sum()
        return self.output

    def update_grad_input(self, prediction, target):
        joint = np.exp(self.joint)
        self.grad_input = -joint / joint.sum(axis=1, keepdims=True)
        return self.grad_input


def given(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def line_of(cls, text):
    lines, start = inspect.getsourcelines(cls)
    return start + next(k for k, line in enumerate(lines) if text in line)


@pytest.mark.parametrize("layer, quoted, line", [
    (Shares(), "`self.shares` in `self.shares * input`", "self.output = self.shares"),
    (Alike(), "`input.T` in `self.output = input @ input.T`", "@ input.T"),
    (Unit(), "`self.length()` in `self.weight / self.length()`", "self.output ="),
    (Loop(), "`slope` in `slope * self.states[-1]`", "slope * "),
], ids=["shares", "one use of several", "a method", "a loop"])
def test_the_expression_is_quoted(layer, quoted, line):
    said = f"backward takes {quoted}, line {line_of(type(layer), line)} of update_output, for a constant"
    assert said in str(mv.gradcheck(layer, given(4, 3)))


def test_of_a_criterion():
    report = mv.gradcheck_criterion(Mixture(), given(5, 3), given(5, 1))
    said = "backward takes `np.log(np.exp(prediction).sum(axis=1, keepdims=True))`, line "
    assert f"{said}{line_of(Mixture, 'logits =')} of" in str(report)


def test_only_gradients_that_stay_as_they_were_are_explained():
    """What backward reads of update_output is held with it: the gradient is then another, and proves nothing."""
    class Cut(nn.Module):
        def rows(self, frame):
            for k in range(2):
                yield frame[:, k:k + 2]

        def update_output(self, input):
            return sum(self.rows(input)) / 2

        def update_grad_input(self, input, grad_output):
            self.grad_input = np.zeros_like(input)
            for row in self.rows(self.grad_input):
                row += grad_output / 3
            return self.grad_input

    assert "for a constant" not in str(mv.gradcheck(Cut(), given(4, 3)))
