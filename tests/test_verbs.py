"""Verbs that are watched: each call is seen once, and whatever happens nothing is left behind."""

from types import MethodType

import numpy as np
import pytest

import minivae as mv
from minivae import models, nn
from minivae.data import Batches, rectangles
from minivae.debug.profiling import profile
from minivae.debug.verbs import watched
from minivae.training import Training

X = np.ones((2, 3), np.float32)


class Doubled(nn.Linear):
    """A layer whose verbs call those of its class."""

    def update_output(self, input):
        return super().update_output(2 * input)


def seen(calls, act):
    """[(what, owner, verb, how many arguments, whether there is a result)] while `act` runs."""
    found = []
    with watched(calls, lambda owner, verb, given: found.append(("before", owner, verb, len(given), False)),
                 lambda owner, verb, given, result: found.append(("after", owner, verb, len(given),
                                                                  result is not None))):
        act()
    return found


def test_calls_come_in_pairs_and_nest():
    inner = nn.Linear(3, 2)
    outer = nn.Sequential(inner)
    found = seen([(outer, "forward"), (inner, "update_output")], lambda: outer.forward(X))
    assert found == [("before", outer, "forward", 1, False), ("before", inner, "update_output", 1, False),
                     ("after", inner, "update_output", 1, True), ("after", outer, "forward", 1, True)]


def test_a_call_is_seen_once_however_often_it_is_named_and_whatever_it_calls():
    layer = Doubled(3, 2)
    assert len(seen([(layer, "update_output")] * 3, lambda: layer.forward(X))) == 2
    other = nn.Linear(3, 2)
    assert not seen([(layer, "update_output")], lambda: other.forward(X)), "a module of the same class was seen"


def test_named_arguments_are_seen_as_well():
    layer = nn.Linear(3, 2)
    layer.forward(X)
    found = seen([(layer, "acc_grad_parameters")], lambda: layer.acc_grad_parameters(
        X, grad_output=np.ones((2, 2), np.float32), scale=0.5))
    assert [entry[3] for entry in found] == [3, 3]


def test_a_shared_parameter_has_two_modules_and_each_is_seen():
    first = nn.Linear(3, 3)
    second = first.clone(share=("weight", "bias"))
    model = nn.Sequential(first, second)
    found = seen([(each, "update_output") for each in model], lambda: model.forward(X))
    assert [entry[1] for entry in found] == [first, first, second, second]


@pytest.mark.parametrize("fails", ["before", "verb", "after", "block", "wrong name"])
def test_an_error_leaves_nothing_behind(fails):
    def fail(*arguments):
        raise ValueError("broken")

    layer, own = nn.Linear(3, 2), nn.Linear(3, 2)
    own.update_output = fail if fails == "verb" else lambda input: input
    kept = own.update_output
    verbs = [(layer, "update_output"), (own, "update_output"), (layer, "acc_grad_parameters")]
    verbs += [(layer, "no_such_verb")] * (fails == "wrong name")
    with pytest.raises(AttributeError if fails == "wrong name" else ValueError), watched(
            verbs, fail if fails == "before" else None, fail if fails == "after" else None):
        own.forward(X)
        raise ValueError("broken")
    assert own.update_output is kept and "update_output" not in vars(layer)
    assert "acc_grad_parameters" not in vars(layer)


def test_watched_within_watched_ends_in_order():
    layer = nn.Linear(3, 2)
    with watched([(layer, "update_output")]):
        outer = layer.update_output
        with watched([(layer, "update_output")]):
            assert layer.update_output is not outer
        assert layer.update_output is outer
    assert "update_output" not in vars(layer)


def replaced(layer):
    """Give a layer a method of its own, as one does at a prompt; a copy of the layer has its own of it."""
    layer.update_grad_input = MethodType(type(layer).update_grad_input, layer)
    return layer.update_grad_input


@pytest.mark.parametrize("look", [
    lambda model, training, x: mv.trace(model, x), lambda model, training, x: profile(training, steps=2),
    lambda model, training, x: mv.gradcheck(model.decoder, np.ones((2, 2)))], ids=["trace", "profile", "gradcheck"])
@pytest.mark.parametrize("broken", [False, True])
def test_every_tool_leaves_a_method_that_a_module_owns(look, broken):
    model = models.vae(image=(1, 6, 6), hidden=4)
    images = rectangles(40, 6, 6, sides=(2, 2))
    training = Training(model, Batches(images, 8))
    layer = model.decoder[1]
    kept, x = replaced(layer), images[:4].astype(np.float32)
    if broken:
        def fail(input):
            raise ValueError("broken")

        model.decoder[3].update_output = fail
        with pytest.raises(ValueError, match="broken"):
            look(model, training, x)
    else:
        look(model, training, x)
    assert vars(layer)["update_grad_input"] is kept
    left = {(module.path, verb) for module in model.list_modules() for verb in ("update_output", "update_grad_input",
            "acc_grad_parameters", "zero_grad_parameters", "backward") if verb in vars(module)}
    assert left == {("decoder.1", "update_grad_input"), *[("decoder.3", "update_output")] * broken}
