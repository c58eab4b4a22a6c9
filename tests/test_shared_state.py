"""Objects of a class that share state without a wish to."""

import numpy as np
import pytest

import minivae as mv
from minivae import nn

KEPT = {}


def given(*shape):
    return np.random.default_rng(1).standard_normal(shape)


class OfTheFile(nn.Module):
    def update_output(self, input):
        KEPT["output"] = self.output = np.tanh(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - KEPT["output"]**2)


class OfTheClass(nn.Module):
    kept = {}  # noqa: RUF012, the mistake

    def update_output(self, input):
        self.kept["output"] = self.output = np.tanh(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - self.kept["output"]**2)


class OfADefault(nn.Module):
    def memory(self, kept=[None]):  # noqa: B006, the mistake
        return kept

    def update_output(self, input):
        self.memory()[0] = self.output = np.tanh(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - self.memory()[0]**2)


class Loss(nn.Criterion):
    kept = {}  # noqa: RUF012, the mistake

    def update_output(self, input, target):
        self.kept["difference"] = input - target
        return float((self.kept["difference"]**2).sum())

    def update_grad_input(self, input, target):
        self.grad_input = 2 * self.kept["difference"]
        return self.grad_input


class OfItsOwn(OfTheClass):
    def __init__(self):
        super().__init__()
        self.kept = {}


@pytest.mark.parametrize("cls", [OfTheFile, OfTheClass, OfADefault])
def test_what_another_object_changes(cls):
    report = mv.gradcheck(cls(), given(4, 3))
    assert not report.ok and "certain: after update_output of another object of the class" in str(report), report


def test_of_a_criterion():
    report = mv.gradcheck_criterion(Loss(), given(4, 3), given(4, 3))
    assert not report.ok and "after update_output of another object of the class" in str(report), report


def test_of_two_modules_in_a_container():
    report = mv.gradcheck(nn.Sequential(OfTheClass(), nn.Linear(3, 3), OfTheClass()), given(4, 3))
    assert "certain: OfTheClass.kept is one for all objects of the class" in str(report), report


def test_what_each_has_of_its_own():
    assert mv.gradcheck(OfItsOwn(), given(4, 3)).ok
    assert mv.gradcheck(nn.Sequential(OfItsOwn(), nn.Linear(3, 3), OfItsOwn()), given(4, 3)).ok
