"""The origin of a number that is not finite."""

from typing import Any

import numpy as np

from minivae import backend
from minivae.debug.tables import named
from minivae.debug.tracing import trace
from minivae.nn import Criterion


def origin(model: Any, input: Any, criterion: Criterion | None = None, target: Any = None,
           first: bool = False) -> str:
    """A clause that names the first module and verb to make an infinity or a NaN, with the noise just drawn.

    Parameters that hold one already are named first: then an earlier gradient was the cause, unless this is the first.
    """
    for name, array in named("the batch", input):
        if not _finite(array):
            return f"{name} holds values that are not finite"
    for path, array, _ in reversed(list(model.named_parameters())):  # as a gradient passes them
        if not _finite(array):
            since = "before the first step" if first else "the gradient of an earlier step"
            return f"{path} holds values that are not finite, from {since}"
    with np.errstate(all="ignore"):
        step = trace(model.clone().hold_noise(), input, criterion, target).first_nonfinite()
    return "a second pass over the batch is finite" if step is None else f"it arose in {step.title}.{step.verb}"


def _finite(array):
    return bool(np.isfinite(backend.to_numpy(array)).all())
