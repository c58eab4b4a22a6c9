"""The examples in docstrings: each prints what it says, and each public class has one or a reason to have none."""

import doctest
import importlib
import inspect
import pkgutil

import numpy as np
import pytest
from layers import ABSTRACT

import minivae as mv
from minivae import nn

NONE = {*ABSTRACT, "Criterion", "WrappingCriterion", "Latent", "Identity"}  # bases, and one that does nothing
NAMES = {"np": np, "mv": mv, "nn": nn}  # which every example takes for granted


@pytest.mark.parametrize("name", [each.name for each in pkgutil.iter_modules(nn.__path__)])
def test_examples_print_what_they_say(name):
    mv.manual_seed(0)
    found = doctest.testmod(importlib.import_module(f"minivae.nn.{name}"), extraglobs=NAMES)
    assert found.failed == 0


def test_each_public_class_has_an_example():
    classes = {name: each for name, each in vars(nn).items() if inspect.isclass(each)}
    assert {name for name, each in classes.items() if ">>>" not in (each.__doc__ or "")} == NONE
