"""The change of the loss when one weight moves, beside the change that its gradient predicts."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minivae.debug.differences import one_sided
from minivae.debug.steps import Trace
from minivae.debug.tables import float64
from minivae.debug.tracing import target_of
from minivae.errors import OptionError
from minivae.nn import Criterion, side_loss

STEP = 1e-5  # of the finite difference
POINTS = 17  # of a curve, the weight as it is in their middle
LARGEST, SPREAD = 3, 2  # weights of each parameter: those of largest gradient, and others at even distances


@dataclass
class Nudge:
    """One weight, the loss around it, and its derivative twice: by backward, and by a central difference.

        path      of the module      parameter, index   which weight      value   what it is
        moves     (POINTS,) what is added to the weight      losses   (POINTS,) the loss then, KL included, in nats
    """

    path: str
    parameter: str
    index: tuple
    value: float
    analytic: float
    numeric: float
    moves: np.ndarray
    losses: np.ndarray


def nudges(model: Any, input: Any, recorded: Trace, criterion: Criterion | None = None,
           target: Any = None) -> list[Nudge]:
    """[Nudge] of a few weights of every parameter, for the pass over `input` that the Trace `recorded` holds.

    All of it is computed in float64, in a copy of the model with the noise of that pass.  A weight moves by up to
    four times the spread of its parameter either way.  `criterion` and `target` are the model's own unless told
    otherwise.
    """
    twin, x = _with_noise(model, recorded), float64(input)
    if criterion is None and not hasattr(twin, "criterion"):
        raise OptionError(f"nudges differentiates the loss of a model with a criterion, such as a VAE; {twin.title} "
                          "has none")
    criterion = twin.criterion() if criterion is None else criterion.clone().cpu().double()
    target = target_of(twin, x) if target is None else float64(target)

    def loss():
        return float(criterion.forward(twin.forward(x), target) + side_loss(twin))

    centre = loss()
    twin.zero_grad_parameters()
    twin.backward(x, criterion.backward(twin.output, target))
    found = []
    for path, array, grad in twin.named_parameters():
        module, parameter = _split(path)
        reach = 4 * max(float(array.std()), 0.01)
        moves = np.linspace(-reach, reach, POINTS)
        for index in _chosen(grad):
            numeric = np.mean(one_sided(array, index, loss, centre, STEP))
            found.append(Nudge(module, parameter, index, float(array[index]), float(grad[index]), float(numeric), moves,
                               _losses(array, index, loss, moves)))
    return found


def _with_noise(model, recorded):
    """The model in float64 on the host, its random layers holding what they drew in that pass."""
    twin = model.clone().cpu().double().training()
    noise = {step.path: step["noise"] for step in recorded
             if step.verb == "update_output" and "noise" in step.arrays}
    for path, layer in twin.named_modules():
        if path in noise:
            layer.noise = noise[path].astype(np.float64)
    return twin.hold_noise()


def _chosen(grad):
    """Indices of the entries of largest gradient, and of some at even distances, each once."""
    order = np.argsort(-np.abs(grad), axis=None)[:LARGEST]
    even = (np.arange(SPREAD) + 0.5) * grad.size / SPREAD
    return [tuple(map(int, np.unravel_index(k, grad.shape))) for k in dict.fromkeys([*order, *even.astype(int)])]


def _losses(array, index, loss, moves):
    kept, found = array[index], []
    for move in moves:
        array[index] = kept + move
        found.append(loss())
    array[index] = kept
    return np.array(found)


def _split(path):
    """("encoder.0", "weight") of "encoder.0.weight"."""
    module, _, parameter = path.rpartition(".")
    return module, parameter
