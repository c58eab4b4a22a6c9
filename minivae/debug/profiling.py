"""Profile of a training step: its time and traffic, module by module (torch/nn's Profile)."""

import time
from dataclasses import dataclass, field

from minivae import backend
from minivae.checkpoint import MOMENTS
from minivae.debug.tables import arrays, columns
from minivae.debug.verbs import watched
from minivae.errors import instance, whole_number
from minivae.training import Training

WARM_UP = 5  # steps: buffers are made in the first ones
NOTES = """Mean of {} steps; parameters are counted with their gradients.
Why one layer is slower than another of its size:
- it multiplies more (products, in millions a step): the first layer with weights computes no gradient of its input;
- it multiplies more slowly (G/s, thousand millions a second): products with a short side, such as a code or a small
  batch, use each weight that they fetch from memory only a few times; a larger --batch-size raises G/s;
- it has no products: its time is that of reading its input and writing its output, which are larger.
Small differences are chance; more --steps make them smaller."""
BYTES = """Traffic of one step, caches aside: what each call of the backend reads and writes.
`least`: each array read once and written once by each verb, and not read where that verb has just written it.
Where the two differ, a verb passes over an array again.  Arrays of a few megabytes stay in the processor's cache."""
PRODUCTS = "matmul", "affine", "add_product"
PASSES = (*PRODUCTS, "add_rows", "elementwise", "total", "row_totals", "copy", "clear", "gather", "uniform",
          "standard_normal")
VERBS = {"update_output": "forward", "update_grad_input": "backward", "acc_grad_parameters": "backward"}


@dataclass
class Part:
    """One module, or another part of a step: milliseconds a step, and bytes that it holds."""

    title: str
    forward: float = 0.0
    backward: float = 0.0
    products: int = 0  # multiplications in matrix products
    moved: int = 0  # bytes that are read and written
    least: int = 0  # of them, if each verb passed once over each array
    parameters: int = 0  # bytes, gradients included
    buffers: int = 0


@dataclass
class Profile:
    """The parts of a step; print it for a table."""

    steps: int
    total: float  # milliseconds a step
    parts: list[Part] = field(default_factory=list)

    def traffic(self) -> str:
        """A table of the megabytes that each part reads and writes in a step, and of the least it could do with."""
        whole = Part("a step", moved=sum(part.moved for part in self.parts),
                     least=sum(part.least for part in self.parts))
        rows = [["", "moved MB", "least MB"]]
        rows += [[part.title, _millions(part.moved), _millions(part.least)] for part in (*self.parts, whole)]
        return "\n".join([*columns(rows), "", BYTES])

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

    __repr__ = __str__


def profile(training: Training, steps: int = 100) -> Profile:
    """Take so many steps of a Training, and time its parts.  Returns a Profile.

    Times of modules are those of their own verbs; what a container does beside its modules is in no row.
    """
    instance("profile", "training", training, Training)
    steps = whole_number("profile", "steps", steps)
    model, network = training.model.training(), training.objective.network.training()
    for _ in range(WARM_UP):
        training.step()
    parts = [(module, Part(module.title)) for module in network.list_modules() if not module.children()]
    criterion, clearing, gathering = training.criterion, Part("zero gradients"), Part("gather a batch")
    loss = Part(type(criterion).__name__)
    optimiser = Part(f"{'SGD' if 'momentum' in training.state else 'Adam'}, and the protocol")
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

    _count(training, timed, optimiser)
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
    optimiser.buffers = sum(array.nbytes for key, array in training.state.items() if key in MOMENTS)
    return Profile(steps, total / steps, [*rows, optimiser])


def _count(training, timed, optimiser):
    """Take a step, and count for each part what its verbs multiply, and what they read and write."""
    inside, copies = [(optimiser, [])], []

    def before(owner, verb, arguments):
        if owner is not backend:
            inside.append((timed[id(owner), verb][1], []))
        elif verb == "elementwise":
            copies.append([array.copy() for array in _arrays(arguments)])

    def after(owner, verb, arguments, result):
        part, passes = inside[-1]
        if owner is not backend:
            _add_traffic(*inside.pop())
            return
        if verb in PRODUCTS:
            made, left = arguments[:2] if verb == "add_product" else (result, arguments[0])
            part.products += made.size * left.shape[-1]
        passes.append(_pass(verb, arguments, result, copies))

    with watched([(owner, verb) for (_, verb), (owner, _, _) in timed.items()]
                 + [(backend, verb) for verb in PASSES], before, after):
        training.step()
    _add_traffic(*inside.pop())


def _pass(verb, arguments, result, copies):
    """(arrays that a call of the backend reads, arrays that it writes)"""
    if verb == "elementwise" and result is None:
        given, before = _arrays(arguments), copies.pop()
        return given, [array for array, copy in zip(given, before) if not backend.to_numpy(array == copy).all()]
    if verb == "elementwise":
        copies.pop()
    if verb == "clear":
        return [], _arrays(arguments)
    if verb in ("add_product", "add_rows"):
        return _arrays(arguments), _arrays(arguments[:1])
    if verb == "gather":  # of the data only the rows that are asked for
        return [arguments[0][:len(arguments[1])], arguments[1]], [result]
    return _arrays(arguments[:-1] if arguments[-1] is result else arguments), _arrays((result,))


def _add_traffic(part, passes):
    """Count the bytes of these passes, and those of the least that a verb with these arrays could do with."""
    seen = set()
    for reads, writes in passes:
        for array, written in [*((array, False) for array in reads), *((array, True) for array in writes)]:
            key = backend.address(array), array.nbytes
            part.moved += array.nbytes
            if (*key, written) not in seen and (written or (*key, True) not in seen):
                part.least += array.nbytes  # what was written before need not be read: it could be at hand
            seen.add((*key, written))


def _arrays(arguments):
    return [each for each in arrays(arguments) if hasattr(each, "nbytes") and each.ndim > 0]


def _now(name):
    """Seconds, once the device has done what it was given."""
    if name != "numpy":
        backend.array_library(name).cuda.get_current_stream().synchronize()
    return time.perf_counter()


def _millions(value):
    return f"{value / 1e6:.2f}" if value else ""
