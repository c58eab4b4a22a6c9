"""Mistakes in whatever code of a user's own runs: helpers, bases, other objects, modules inside; and what is left."""

import cProfile
import sys

import numpy as np
import pytest

import minivae as mv
from minivae import nn
from minivae.debug.source_edits import one_change
from minivae.debug.source_edits.own_code import own_code


@pytest.fixture(autouse=True)
def no_end(monkeypatch):
    """A slow processor finds the same as a fast one."""
    monkeypatch.setattr(one_change, "SECONDS", float("inf"))


def given(*shape):
    return np.random.default_rng(1).standard_normal(shape)


def _bell(x):
    return np.exp(-x**2 / 2)


def _slope(x):
    return (1 - x**2) * _bell(3 * x)


class Bell(nn.Module):
    """Its derivative is in a function of the file."""

    def update_output(self, input):
        self.output = input * _bell(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * _slope(input)
        return self.grad_input


class Wave(nn.Module):
    """Its derivative is a property."""

    frequency = 3

    @property
    def slope(self):
        return np.cos(self.frequency * self.angle)

    def update_output(self, input):
        self.angle = input
        self.output = np.sin(self.frequency * input)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * self.slope
        return self.grad_input


class Doubled(Bell):
    """Twice a base whose derivative is wrong."""

    def update_output(self, input):
        return 2 * super().update_output(input)

    def update_grad_input(self, input, grad_output):
        return super().update_grad_input(input, 2 * grad_output)


class Rates:
    """What another object computes."""

    def through(self, grad, x):
        return grad * np.tanh(x)

    def of(self, x):
        return np.log(np.cosh(x)) + np.tanh(x)


class Rated(nn.Module):
    def __init__(self):
        super().__init__()
        self.rates = Rates()

    def update_output(self, input):
        self.output = self.rates.of(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = self.rates.through(grad_output, input)
        return self.grad_input


class Draws(nn.BernoulliLatent):
    """ln q of bits, whose derivative by z forgets the zeros."""

    def log_posterior(self, parameters, z):
        a = np.repeat(parameters, len(z) // len(parameters), axis=0)
        return (z * a - np.log1p(np.exp(a))).sum(axis=1)

    def log_posterior_backward(self, parameters, z, grad):
        a = np.repeat(parameters, len(z) // len(parameters), axis=0)
        by_a = grad[:, None] * (z - 1 / (1 + np.exp(-a)))
        return by_a.reshape(len(parameters), -1, a.shape[1]).sum(axis=1), grad[:, None] * np.exp(a)


class Drawn(nn.BernoulliKL):
    latent_class = Draws


class Keeps(nn.KeepLabel):
    """Right by itself, with no label's gradient to come."""

    def update_grad_input(self, input, grad_output):
        self.grad_input = self.buffer("grad_input", input.shape)
        self.grad_input[...] = grad_output
        if self.label.grad is not None:
            self.grad_input[:, -self.label.classes:] = self.label.grad
        return self.grad_input


def labelled():
    label = nn.Label(2)
    return nn.Sequential(Keeps(label), nn.Linear(5, 4), nn.AppendLabel(label))


CASES = {
    "a function": (Bell, given(4, 3), "of _slope, `(1 - x ** 2) * _bell(3 * x)` → `(1 - x ** 2) * _bell(x)`"),
    "a property": (Wave, given(4, 3), " → `grad_output * self.slope * self.frequency`"),
    "a base": (Doubled, given(4, 3), "of _slope, `(1 - x ** 2) * _bell(3 * x)` → `(1 - x ** 2) * _bell(x)`"),
    "another object": (Rated, given(4, 3), " of Rates.of, for a constant"),
    "a latent variable": (lambda: nn.LogDensities(Drawn()), (given(3, 4), given(6, 4)),
                          "of Draws.log_posterior_backward, `grad[:, None] * np.exp(a)` → `grad[:, None] * a`"),
    "a module inside": (labelled, given(4, 5), "→ `self.grad_input[:, -self.label.classes:] += self.label.grad`"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_change_is_quoted(name):
    make, input, said = CASES[name]
    report = mv.gradcheck(make(), input)
    assert ("one change makes it right" in str(report) or name == "another object") and said in str(report), report


def test_the_code_is_left_as_it_was():
    def now():
        return [_bell, _slope, *(raw for cls in (Bell, Wave, Doubled, Rates, Draws, Keeps)
                                 for name, raw in sorted(vars(cls).items()) if name[:2] != "__")]

    before = now()
    for make, input, _ in CASES.values():
        mv.gradcheck(make(), input)
    assert all(one is other for one, other in zip(before, now(), strict=True))


def test_what_is_found():
    layer, input = Rated(), given(4, 3)
    found = own_code(lambda: layer.forward(input))
    assert [(each.owner, each.name, each.user) for each in found] == [
        (Rated, "update_output", layer), (Rates, "of", layer.rates)]
    assert own_code(lambda: nn.Tanh().forward(np.float32(input))) == []
    assert [each.full_name for each in own_code(lambda: Doubled().forward(input))] == [
        "Doubled.update_output", "Bell.update_output", "_bell"]


def test_a_profiler_goes_on():
    layer, input, seen = Rated(), given(4, 3), []
    profiler = cProfile.Profile()
    profiler.enable()
    own_code(lambda: layer.forward(input))
    layer.backward(input, input)
    profiler.disable()
    assert any(each.code.co_name == "through" for each in profiler.getstats() if hasattr(each.code, "co_name"))
    sys.setprofile(lambda frame, event, argument: seen.append(frame.f_code.co_name))
    try:
        own_code(lambda: layer.forward(input))
        layer.backward(input, input)
    finally:
        sys.setprofile(None)
    assert "through" in seen
