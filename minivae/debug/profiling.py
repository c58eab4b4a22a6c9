"""Profile of a training step: its time, module by module (torch/nn's Profile)."""

import time
from dataclasses import dataclass, field

from minivae import backend
from minivae.debug.tables import columns
from minivae.debug.verbs import watched
from minivae.training import Training

WARM_UP = 5  # steps: buffers are made in the first ones
VERBS = {"update_output": "forward", "update_grad_input": "backward", "acc_grad_parameters": "backward"}


@dataclass
class Part:
    """One module, or another part of a step: milliseconds a step, and bytes that it holds."""

    title: str
    forward: float = 0.0
    backward: float = 0.0
    parameters: int = 0  # bytes, gradients included
    buffers: int = 0


@dataclass
class Profile:
    """The parts of a step; print it for a table."""

    steps: int
    total: float  # milliseconds a step
    parts: list[Part] = field(default_factory=list)

    def __str__(self):
        rows = [["", "forward ms", "backward ms", "share", "parameters MB", "buffers MB"]]
        for part in self.parts:
            rows.append([part.title, _ms(part.forward), _ms(part.backward),
                         f"{(part.forward + part.backward) / self.total:.0%}", _mb(part.parameters), _mb(part.buffers)])
        forward, backward, parameters, buffers = (sum(getattr(part, name) for part in self.parts) for name in
                                                  ("forward", "backward", "parameters", "buffers"))
        rows.append(["a step", _ms(forward), _ms(backward), f"{(forward + backward) / self.total:.0%}", _mb(parameters),
                     _mb(buffers)])
        return "\n".join([*columns(rows), f"mean of {self.steps} steps; parameters are counted with their gradients"])


def profile(training: Training, steps: int = 100) -> Profile:
    """Take so many steps of a Training, and time its parts.  Returns a Profile.

    Times of modules are those of their own verbs; what a container does beside its modules is in no row.
    """
    model = training.model.training()
    for _ in range(WARM_UP):
        training.step()
    parts = [(module, Part(module.title)) for module in model.list_modules() if not module.children()]
    criterion, clearing, gathering = training.criterion, Part("zero gradients"), Part("gather a batch")
    loss, optimiser = Part(type(criterion).__name__), Part("Adam, and the protocol")
    timed = {(id(owner), verb): (owner, part, column) for owner, part, columns in [
        *((module, part, VERBS) for module, part in parts), (criterion, loss, VERBS),
        (model, clearing, {"zero_grad_parameters": "backward"}), (training.batches, gathering, {"next": "forward"})]
        for verb, column in columns.items() if hasattr(owner, verb)}
    started = []

    def before(owner, verb, arguments):
        started.append(_now(model.backend))

    def after(owner, verb, arguments, result):
        _, part, column = timed[id(owner), verb]
        setattr(part, column, getattr(part, column) + (_now(model.backend) - started.pop()) * 1e3)

    with watched([(owner, verb) for (_, verb), (owner, _, _) in timed.items()], before, after):
        began = _now(model.backend)
        for _ in range(steps):
            training.step()
        total = (_now(model.backend) - began) * 1e3
    rows = [gathering, *(part for _, part in parts), loss, clearing]
    optimiser.backward = total - sum(part.forward + part.backward for part in rows)
    for part in (*rows, optimiser):
        part.forward, part.backward = part.forward / steps, part.backward / steps
    for module, part in parts:
        part.parameters = sum(2 * array.nbytes for _, array, _ in module.named_parameters())
        part.buffers = sum(array.nbytes for array in module.buffers.values())
    loss.buffers = sum(array.nbytes for array in criterion.buffers.values())
    optimiser.buffers = sum(array.nbytes for key, array in training.state.items() if key in ("m", "v"))
    return Profile(steps, total / steps, [*rows, optimiser])


def _now(name):
    """Seconds, once the device has done what it was given."""
    if name != "numpy":
        backend.array_library(name).cuda.get_current_stream().synchronize()
    return time.perf_counter()


def _ms(value):
    return f"{value:.3f}"


def _mb(value):
    return f"{value / 1e6:.2f}" if value else ""
