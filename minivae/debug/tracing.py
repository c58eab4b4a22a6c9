"""One forward and one backward pass, verb by verb, with every number that moves."""

from contextlib import contextmanager

import numpy as np

from minivae import backend
from minivae.debug.behaviour import random_like
from minivae.debug.steps import Recorded, Step, Trace
from minivae.debug.tables import mapped, named
from minivae.nn import Module


def trace(model, input, criterion=None, target=None, seed=0):
    """Run one forward and one backward pass and record every verb.  Returns a Trace.

        criterion   by default the model's own, if it has one; else ∂L/∂output is random, and nothing is added up
        target      by default the input, as an auto-encoder's

    It runs on a copy, with zeroed gradients and noise from a `seed` of its own: the model stays as it is.
    """
    twin = model.clone()
    criterion = criterion or (twin.criterion() if hasattr(twin, "criterion") else None)
    steps = []
    with backend.seeded(seed), _recording(twin, criterion, steps):
        output = twin.forward(input)
        if criterion is None:
            grad_output = mapped(lambda g: backend.from_numpy(g.astype(twin.dtype), like=twin.backend),
                                 random_like(output))
        else:
            target = input if target is None else target
            criterion.forward(output, target)
            grad_output = criterion.backward(output, target)
        twin.zero_grad_parameters()
        twin.backward(input, grad_output)
    return Trace(steps)


@contextmanager
def _recording(twin, criterion, steps):
    """Each verb of the twin's modules and of the criterion writes a step while the block runs."""
    wrapped = []

    def wrap(owner, path, verb, given, made):
        plain, title = getattr(owner, verb), owner.title

        def watched(*arguments, **options):
            depth = sum(each.inside < 0 for each in steps)
            step = Step(len(steps), path, title, verb, depth, type(owner), _record(given, arguments), inside=-1)
            steps.append(step)
            step.parameters = _parameters(owner) if verb == "update_output" else []
            result = plain(*arguments, **options)
            step.inside = len(steps) - step.number - 1
            step.made = made(owner, result, arguments)
            return result

        setattr(owner, verb, watched)
        wrapped.append((owner, verb))

    for path, module in twin.named_modules():
        wrap(module, path, "update_output", ("input",), _result("output", ("input",), _kept(module)))
        if module.children():
            wrap(module, path, "backward", ("input", "grad_output"), _result("grad_input", ("input", "grad_output")))
        else:
            wrap(module, path, "update_grad_input", ("input", "grad_output"),
                 _result("grad_input", ("input", "grad_output")))
            if module.parameter_names:
                wrap(module, path, "acc_grad_parameters", ("input", "grad_output"), _gradients)
    if criterion is not None:
        for verb, name in (("update_output", "output"), ("update_grad_input", "grad_input")):
            wrap(criterion, "criterion", verb, ("prediction", "target"), _result(name, ("prediction", "target")))
    try:
        yield
    finally:
        for owner, verb in wrapped:
            delattr(owner, verb)


def _record(names, values):
    return [Recorded(name, np.array(backend.to_numpy(array) if hasattr(array, "shape") else array))
            for name, value in zip(names, values) for name, array in named(name, value)]


def _kept(module):
    """What a forward pass leaves in a module beside its output, such as the noise of a sampler."""
    return [name for name in module.state_names if name not in Module.state_names]


def _result(name, sources, kept=()):
    """What a verb returned, and whether that is the memory of something it was given; and what it `kept`."""
    def made(owner, result, arguments):
        records = _record((name,), (result,))
        given = [pair for source, value in zip(sources, arguments) for pair in named(source, value)]
        for record, (_, array) in zip(records, named(name, result)):
            record.shared = next((source for source, each in given if _same_memory(array, each)), "")
        left = [each for each in kept if getattr(owner, each) is not None]
        return records + _record(left, [getattr(owner, each) for each in left])
    return made


def _same_memory(a, b):
    return hasattr(a, "ctypes") and hasattr(b, "ctypes") and a.size > 0 and np.may_share_memory(a, b)


def _gradients(owner, result, arguments):
    return _parameters(owner, "grad_")


def _parameters(owner, prefix=""):
    """The parameters that a module has, or their gradients; a criterion has none."""
    names = [name for name in getattr(owner, "parameter_names", ()) if getattr(owner, name) is not None]
    return _record([prefix + name for name in names], [getattr(owner, prefix + name) for name in names])
