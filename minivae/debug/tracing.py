"""One forward and one backward pass, verb by verb, with every number that moves."""

from typing import Any

import numpy as np

from minivae import backend
from minivae.debug.diagnosis.behaviour import random_like
from minivae.debug.steps import Recorded, Step, Trace
from minivae.debug.tables import mapped, named
from minivae.debug.verbs import watched
from minivae.errors import instance
from minivae.nn import Criterion, Module


def trace(model: Any, input: Any, criterion: Criterion | None = None, target: Any = None, seed: int = 0) -> Trace:
    """Run one forward and one backward pass and record every verb.  Returns a Trace.

        criterion   by default the model's own, if it has one; else ∂L/∂output is random, and nothing is added up
        target      by default the input, or the image in it, as an auto-encoder's

    It runs on a copy, with zeroed gradients and noise from a `seed` of its own: the model stays as it is.
    """
    twin = instance("trace", "model", model, Module).clone()
    if criterion is not None:
        instance("trace", "criterion", criterion, Criterion)
    criterion = criterion or (twin.criterion() if hasattr(twin, "criterion") else None)
    recorder = _Recorder(twin, criterion)
    with backend.seeded(seed), watched(recorder.calls, recorder.before, recorder.after):
        output = twin.forward(input)
        if criterion is None:
            grad_output = mapped(lambda g: backend.from_numpy(g.astype(twin.dtype), like=twin.backend),
                                 random_like(output))
        else:
            target = target_of(twin, input) if target is None else target
            criterion.forward(output, target)
            grad_output = criterion.backward(output, target)
        twin.zero_grad_parameters()
        twin.backward(input, grad_output)
    return Trace(recorder.steps)


def target_of(model: Any, input: Any) -> Any:
    """What the criterion of a model compares its output with: the part of the input that is the image."""
    return model.target(input) if hasattr(model, "target") else input


class _Recorder:
    """The steps of a pass through a model and its criterion, written as their verbs are called."""

    def __init__(self, twin, criterion):
        self.steps, self.open = [], []
        self.paths = {id(module): path for path, module in twin.named_modules()} | {id(criterion): "criterion"}
        self.calls = [(module, verb) for module in twin.list_modules() for verb in _verbs(module)]
        if criterion is not None:
            self.calls += [(criterion, "update_output"), (criterion, "update_grad_input")]

    def before(self, owner, verb, arguments):
        step = Step(len(self.steps), self.paths[id(owner)], owner.title, verb, len(self.open), type(owner),
                    _record(_given(owner, verb), arguments))
        step.parameters = _parameters(owner) if verb == "update_output" else []
        self.steps.append(step)
        self.open.append(step)

    def after(self, owner, verb, arguments, result):
        step = self.open.pop()
        step.inside = len(self.steps) - step.number - 1
        if verb == "acc_grad_parameters":
            step.made = _parameters(owner, "grad_")
        else:
            step.made = _result("output" if verb == "update_output" else "grad_input", result,
                                zip(_given(owner, verb), arguments))
            step.made += _kept(owner) if verb == "update_output" else []


def _verbs(module):
    """What a module is asked: a container for a whole backward pass, the innermost verb by verb."""
    if module.children():
        return "update_output", "backward"
    return "update_output", "update_grad_input", *["acc_grad_parameters"] * bool(module.parameter_names)


def _given(owner, verb):
    """The names of a verb's arguments."""
    if isinstance(owner, Criterion):
        return "prediction", "target"
    return ("input",) if verb == "update_output" else ("input", "grad_output")


def _record(names, values):
    return [Recorded(name, np.array(backend.to_numpy(array) if hasattr(array, "shape") else array))
            for name, value in zip(names, values) for name, array in named(name, value)]


def _kept(owner):
    """What a forward pass leaves in a module beside its output, such as the noise of a sampler."""
    handed_on = ("input", "output", "grad_output", "grad_input")
    left = [name for name in owner.state_names if name not in handed_on and getattr(owner, name) is not None]
    return _record(left, [getattr(owner, name) for name in left])


def _result(name, result, given):
    """What a verb returned, and whether that is the memory of something it was given."""
    records, given = _record((name,), (result,)), [pair for source, value in given for pair in named(source, value)]
    for record, (_, array) in zip(records, named(name, result)):
        record.shared = next((source for source, each in given if _same_memory(array, each)), "")
    return records


def _same_memory(a, b):
    return hasattr(a, "ctypes") and hasattr(b, "ctypes") and a.size > 0 and np.may_share_memory(a, b)


def _parameters(owner, prefix=""):
    """The parameters that a module has, or their gradients; a criterion has none."""
    names = [name for name in getattr(owner, "parameter_names", ()) if getattr(owner, name) is not None]
    return _record([prefix + name for name in names], [getattr(owner, prefix + name) for name in names])
