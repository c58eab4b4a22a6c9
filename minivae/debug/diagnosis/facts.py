"""Facts about a wrong gradient."""

from collections import ChainMap
from functools import cached_property
from itertools import combinations_with_replacement, product

import numpy as np

from minivae.debug.diagnosis.children import misfed
from minivae.debug.diagnosis.memory import OF_A_CALL
from minivae.debug.diagnosis.vocabulary import Vocabulary
from minivae.debug.tables import arrays, copied, is_of_input, mapped, named, same
from minivae.nn import Criterion, Divergence

LARGEST = 1_000_000  # entries of a Jacobian
OWN_NUMBERS = {"kh", "kw", "scale", "samples", "temperature", "beta"}  # that have names of their own


class Facts(Vocabulary):
    """What a module was fed and gave back, and what copies of it do with other arguments."""

    def __init__(self, module, input, output, grad_output, earlier=None):
        self.module, self.input, self.output, self.grad_output = module, input, output, grad_output
        self._of = None, None  # an input's name and its Jacobians
        self.forward = None  # the first of these, by update_output, where that is known alone
        self.of_parameter = False  # whether the array that is explained now is one
        self.earlier = earlier or {}  # {name: input gradient that an earlier forward, with other noise, had}
        self.x, self.y, self.g = arrays(input), arrays(output), arrays(grad_output)
        self.noise = getattr(module, "noise", None)
        self.passes_on = isinstance(module, Divergence)
        known = {*getattr(module, "parameter_names", ()), *OF_A_CALL}
        self.kept = {name: np.array(each, dtype=np.float64) for name, each in vars(module).items()
                     if isinstance(each, np.ndarray) and each.dtype.kind == "f" and name not in known
                     and not name.startswith(("_", "grad_"))}  # arrays of the layer's own
        rows = [len(each) for each in self.x if each.ndim]
        several = max(rows, default=1) // max(1, min(rows, default=1))  # rows of one array for each of another
        self.samples = int(getattr(module, "samples", 0) or several or 1)
        x = self.x[0]
        self.numbers = {"the batch size N": len(x), "the length of a row D": x[0].size if len(x) else 1,
                        "all elements N·D": x.size,
                        "the draws for a row L": self.samples}
        self.sizes = {"N": len(x)}  # whose quotients and products may be factors
        for name, each in (("output", self.y[0]), ("input", x)):
            if each.ndim == 4:
                self.numbers[f"the positions H·W of the {name}"] = each[0, 0].size
                self.sizes |= {f"{letter} of the {name}": size for letter, size in zip("CHW", each.shape[1:])}
        known = [*enumerate(x.shape[:2 if x.ndim == 2 else 1])]
        for label, pair in ((label, pair) for label, each in self.labelled() for pair in enumerate(each.shape)):
            if pair not in known:  # axes of another length, under the first of their names
                known.append(pair)
                axis, size = pair
                self.numbers[f"the length of axis {axis} of {label}" if axis else f"the rows of {label}"] = size
        whole = [(f"self.{name}", value) for name, value in vars(module).items()
                 if type(value) is int and value > 1 and name[0] != "_" and name not in OWN_NUMBERS]
        self.numbers |= dict(whole) | {f"({one} · {other})": a * b for (one, a), (other, b) in
                                       combinations_with_replacement(whole, 2)}
        if isinstance(module, Criterion):
            kept = [(f"self.{name}", each) for name, each in self.kept.items()]
            for label, each in [("the target", self.x[-1]), *kept]:
                self.numbers |= {f"the sum of {label}": float(each.sum()), f"the mean of {label}": float(each.mean())}
        kernel = [getattr(module, name, None) for name in ("kh", "kw")]
        if all(isinstance(each, int) for each in kernel):
            self.numbers["the window's size kh·kw"] = kernel[0] * kernel[1]
        if isinstance(scale := getattr(module, "scale", None), int):
            self.numbers |= {"scale": scale, "scale²": scale * scale}
        classes = [vars(cls) for cls in reversed(type(module).__mro__)]
        for name, value in ChainMap(vars(module), *classes[::-1]).items():  # a slope, a temperature: what it was given
            if (type(value) is float or (type(value) is int and name in ("temperature", "beta"))) and (
                    value not in (0, 1) and name[0] != "_"):
                self.numbers[name] = value
                if 0 < value < 1:  # as of a probability
                    self.numbers[f"(1 − {name})"] = 1 - value

    def about(self, name):
        """Turn to the array of that name, an input or a parameter, and return self."""
        self.name, self.of_parameter = name, not is_of_input(name)
        names = [each for each, _ in named(name.partition("[")[0], self.input)]
        self.number = names.index(name) if name in names else 0
        self.shape = np.shape(dict(self.parameters()).get(name, self.x[self.number]))
        return self

    def entries(self):
        """[(its first place in the flat outputs, name, shape)] of the arrays in the output."""
        starts = np.cumsum([0, *(each.size for each in self.y)])
        return [(start, name, each.shape) for start, (name, each) in zip(starts, named("output", self.output))]

    def parameters(self):
        """[(name, array)] of a module; a criterion has none."""
        module = self.module
        return [] if isinstance(module, Criterion) else [(path, each) for path, each, _ in module.named_parameters()]

    def again(self, grad_output=None, input=None, **parameters):
        """The gradient of the array that is explained, by a copy that is given these; None if it refuses them."""
        twin = self.module.clone()
        grad_output, input = ((now if other is None else other) for now, other in
                              ((self.grad_output, grad_output), (self.input, input)))
        twin.zero_grad_parameters()
        try:
            twin.forward(copied(input))
            for name, value in parameters.items():  # of backward alone
                getattr(twin, name)[...] = value
            grad_input = twin.backward(copied(input), copied(grad_output))
        except Exception:  # whatever a layer may raise
            return None
        gradients = dict(named("input", grad_input)) | {path: grad for path, _, grad in twin.named_parameters()}
        return gradients.get(self.name)

    def jacobians(self):
        """∂output/∂input by update_output and by backward, (input size, output size); None where they do not tell."""
        if self._of[0] != self.name:
            try:
                self._of = self.name, self._jacobians()
            except Exception:  # whatever a layer may raise
                self._of = self.name, None
        return self._of[1]

    def reach(self):
        """Which outputs change if an input is larger than all, or less, (input size, output size); it may raise."""
        twin, table = self.module.clone(), copied(self.input)
        moved, before = arrays(table)[self.number], copied(twin.forward(copied(self.input)))
        start, low, high = np.array(moved), moved.min() - 1, moved.max() + 1
        found = []
        for index, value in product(np.ndindex(moved.shape), (low, high)):
            moved[...] = start
            moved[index] = value
            found.append((twin.forward(copied(table)) != before).reshape(-1))
        return np.array(found).reshape(moved.size, 2, -1).any(axis=1)

    def _jacobians(self):
        twin, table, self.forward = self.module.clone(), copied(self.input), None
        if self.passes_on or isinstance(self.module, Criterion):
            return None
        moved = dict((path, array) for path, array, _ in twin.named_parameters())[self.name] if self.of_parameter \
            else arrays(table)[self.number]
        outputs, start = sum(each.size for each in self.g), np.array(moved)
        if moved.size * outputs > LARGEST:
            return None

        def output(value):
            moved[...] = value
            return np.concatenate([each.reshape(-1) for each in arrays(twin.forward(table))])

        def gradient(g):
            parts = iter(np.split(g, np.cumsum([each.size for each in self.g])[:-1]))
            given = mapped(lambda each: next(parts).reshape(each.shape), self.grad_output)
            twin.zero_grad_parameters()
            grads = arrays(twin.backward(table, given))
            return np.array(dict((path, grad) for path, _, grad in twin.named_parameters())[self.name]
                            if self.of_parameter else grads[self.number]).reshape(-1)

        step = 1e-5 * np.eye(moved.size).reshape(-1, *moved.shape)
        forward = np.array([(output(start + each) - output(start - each)) / 2e-5 for each in step])
        output(start)
        self.forward = forward
        backward = np.array([gradient(each) for each in np.eye(outputs)]).T
        g = np.concatenate([each.reshape(-1) for each in self.g])
        linear = backward.shape == forward.shape and same(backward @ g, gradient(g), 1e-6)
        return (forward, backward) if linear else None

    @cached_property
    def misfed(self):
        """Of a container: the sentence on a module inside that is not given what is due, or None."""
        return misfed(self)

    def elementwise(self):
        """Whether each output depends on the input in its own place only."""
        pairs = self.jacobians()
        rows, columns = (1, 1) if pairs is None else pairs[0].shape
        return pairs is None or (rows == columns and not np.any(pairs[0][~np.eye(rows, dtype=bool)]))
