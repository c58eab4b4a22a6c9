"""Profile of a training step: its time, module by module (torch/nn's Profile)."""

import time
from dataclasses import dataclass, field

from minivae import backend
from minivae.debug.tables import columns
from minivae.debug.verbs import watched
from minivae.training import Training

WARM_UP = 5  # steps: buffers are made in the first ones
NOTES = """Mean of {} steps; parameters are counted with their gradients.
Why one layer is slower than another of its size:
- it multiplies more (products, in millions a step): the first layer with weights computes no gradient of its input;
- it multiplies more slowly (G/s, thousand millions a second): products with a short side, such as a code or a small
  batch, use each weight that they fetch from memory only a few times; a larger --batch-size raises G/s;
- it has no products: its time is that of reading its input and writing its output, which are larger.
Small differences are chance; more --steps make them smaller."""
PRODUCTS = "matmul", "affine", "add_product"
VERBS = {"update_output": "forward", "update_grad_input": "backward", "acc_grad_parameters": "backward"}


@dataclass
class Part:
    """One module, or another part of a step: milliseconds a step, and bytes that it holds."""

    title: str
    forward: float = 0.0
    backward: float = 0.0
    products: int = 0  # multiplications in matrix products
    parameters: int = 0  # bytes, gradients included
    buffers: int = 0


@dataclass
class Profile:
    """The parts of a step; print it for a table."""

    steps: int
    total: float  # milliseconds a step
    parts: list[Part] = field(default_factory=list)

    def __str__(self):
        rows = [["", "forward ms", "backward ms", "share", "products M", "G/s", "parameters MB", "buffers MB"]]
        whole = Part("a step", *(sum(getattr(part, name) for part in self.parts) for name in
                                 ("forward", "backward", "products", "parameters", "buffers")))
        for part in (*self.parts, whole):
            time = part.forward + part.backward
            rows.append([part.title, f"{part.forward:.3f}", f"{part.backward:.3f}", f"{time / self.total:.0%}",
                         _millions(part.products), f"{part.products / time / 1e6:.1f}" if part.products else "",
                         _millions(part.parameters), _millions(part.buffers)])
        return "\n".join([*columns(rows), "", NOTES.format(self.steps)])


def profile(training: Training, steps: int = 100) -> Profile:
    """Take so many steps of a Training, and time its parts.  Returns a Profile.

    Times of modules are those of their own verbs; what a container does beside its modules is in no row.
    """
    model, network = training.model.training(), training.objective.network.training()
    for _ in range(WARM_UP):
        training.step()
    parts = [(module, Part(module.title)) for module in network.list_modules() if not module.children()]
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

    _count_products(training, timed)
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


def _count_products(training, timed):
    """Take a step, and count for each part what its verbs multiply."""
    inside = []

    def before(owner, verb, arguments):
        if owner is not backend:
            inside.append(timed[id(owner), verb][1])

    def after(owner, verb, arguments, result):
        if owner is not backend:
            inside.pop()
        elif inside:
            made, left = arguments[:2] if verb == "add_product" else (result, arguments[0])
            inside[-1].products += made.size * left.shape[-1]

    with watched([(owner, verb) for (_, verb), (owner, _, _) in timed.items()]
                 + [(backend, verb) for verb in PRODUCTS], before, after):
        training.step()


def _now(name):
    """Seconds, once the device has done what it was given."""
    if name != "numpy":
        backend.array_library(name).cuda.get_current_stream().synchronize()
    return time.perf_counter()


def _millions(value):
    return f"{value / 1e6:.2f}" if value else ""
