"""Facts about a wrong gradient, and findings on it."""

from dataclasses import dataclass

import numpy as np

from minivae.debug.tables import arrays, copied, mapped, named, same
from minivae.nn import Criterion, Divergence, Sequential

LARGEST = 1_000_000  # entries of a Jacobian


@dataclass
class Finding:
    """One explanation: its kind in a word or two, what it means, how sure it is, and the array it is about."""

    kind: str
    text: str
    certainty: str  # "certain", "likely" or "possible"
    name: str = ""

    def __str__(self):
        return f"{self.certainty}: {self.text}"


class Facts:
    """What a module was fed and gave back: the material that mistakes are made of."""

    def __init__(self, module, input, output, grad_output, earlier=None):
        self.module, self.input, self.grad_output = module, input, grad_output
        self._of = None, None  # an input's name and its Jacobians
        self.of_parameter = False  # whether the array that is explained now is one
        self.earlier = earlier or {}  # {name: input gradient that an earlier forward, with other noise, had}
        self.x, self.y, self.g = arrays(input), arrays(output), arrays(grad_output)
        self.noise = getattr(module, "noise", None)
        self.passes_on = isinstance(module, Divergence)
        self.samples = int(getattr(module, "samples", 1) or 1)
        x = self.x[0]
        self.numbers = {"the batch size N": len(x), "the length of a row D": x[0].size if len(x) else 1,
                        "all elements N·D": x.size,
                        "the draws for a row L": self.samples}
        for name, each in (("output", self.y[0]), ("input", x)):
            if each.ndim == 4:
                self.numbers[f"the positions H·W of the {name}"] = each[0, 0].size
        kernel = [getattr(module, name, None) for name in ("kh", "kw")]
        if all(isinstance(each, int) for each in kernel):
            self.numbers["the window's size kh·kw"] = kernel[0] * kernel[1]
        if isinstance(scale := getattr(module, "scale", None), int):
            self.numbers |= {"scale": scale, "scale²": scale * scale}
        for name in ("temperature", "beta", "std", "p", "prior"):
            value = getattr(module, name, None)
            if isinstance(value, int | float) and value not in (0, 1):
                self.numbers[name] = value

    def about(self, name):
        """Turn to the array of that name, an input or a parameter."""
        self.name, self.of_parameter = name, not name.startswith(("input", "prediction"))
        names = [each for each, _ in named("input", self.input)]
        self.number = names.index(name) if name in names else 0

    def again(self, grad_output=None, weight=None, input=None):
        """The gradient of the array that is explained, by a copy that is given these; None if it refuses them."""
        twin = self.module.clone()
        if weight is not None:
            twin.weight[...] = weight
        grad_output, input = ((now if other is None else other) for now, other in
                              ((self.grad_output, grad_output), (self.input, input)))
        twin.zero_grad_parameters()
        try:
            twin.forward(copied(input))
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

    def _jacobians(self):
        x, g = self.x[self.number], np.concatenate([each.reshape(-1) for each in self.g])
        if self.of_parameter or self.passes_on or isinstance(self.module, Criterion) or x.size * g.size > LARGEST:
            return None
        twin = self.module.clone()
        table = copied(self.input)
        moved, start = arrays(table)[self.number], np.array(x)

        def output(x):
            moved[...] = x
            return np.concatenate([each.reshape(-1) for each in arrays(twin.forward(table))])

        def grad_input(g):
            parts = iter(np.split(g, np.cumsum([each.size for each in self.g])[:-1]))
            given = mapped(lambda each: next(parts).reshape(each.shape), self.grad_output)
            return np.array(arrays(twin.backward(table, given))[self.number]).reshape(-1)

        step = 1e-5 * np.eye(x.size).reshape(-1, *x.shape)
        forward = np.array([(output(start + each) - output(start - each)) / 2e-5 for each in step])
        output(start)
        backward = np.array([grad_input(each) for each in np.eye(g.size)]).T
        linear = backward.shape == forward.shape and same(backward @ g, grad_input(g), 1e-6)
        return (forward, backward) if linear else None

    def misfed(self):
        """Of a container: the sentences on children that backward gives another input or grad_output than is due."""
        twin, fed, said = self.module.clone(), {}, []
        children = list(twin.children())
        returned = {}

        def watch(number, name, child):
            run = {verb: getattr(child, verb) for verb in ("update_output", "update_grad_input", "backward")}

            def update_output(input):
                fed[number] = copied(input)
                return run["update_output"](input)

            def wrapped(verb):
                def back(input, grad_output, *args, **options):
                    if number in fed and not _alike(fed[number], input):
                        said.append(f"module ({name}) is given another input in backward than it had in forward: each "
                                    "needs the input of its own, which is the output of the one before it")
                    if isinstance(twin, Sequential) and number + 1 in returned and not _alike(returned[number + 1],
                                                                                             grad_output):
                        said.append(f"module ({name}) is given another grad_output than the input gradient that the "
                                    "module after it has returned")
                    grad_input = run[verb](input, grad_output, *args, **options)
                    returned[number] = copied(grad_input) if grad_input is not None else ()
                    return grad_input
                return back
            child.update_output = update_output
            child.update_grad_input, child.backward = wrapped("update_grad_input"), wrapped("backward")
        for number, (name, child) in enumerate(children):
            watch(number, name, child)
        try:
            twin.forward(copied(self.input))
            twin.backward(copied(self.input), copied(self.grad_output))
        except Exception:  # whatever a layer may raise
            return []
        return said

    def elementwise(self):
        """Whether each output depends on the input in its own place only."""
        pairs = self.jacobians()
        rows, columns = (1, 1) if pairs is None else pairs[0].shape
        return pairs is None or (rows == columns and not np.any(pairs[0][~np.eye(rows, dtype=bool)]))

    def per_unit(self, length):
        """[(label, array)]: one number a unit, of parameters, statistics and the spread of inputs and outputs."""
        names = *getattr(self.module, "parameter_names", ()), "running_mean", "running_var", "std", "var", "mean"
        found = [(name, getattr(self.module, name, None)) for name in names]
        for label, each in [(f"the input{self._index(self.x, i)}", v) for i, v in enumerate(self.x)] + [
                ("the output", self.y[0]), ("grad_output", self.g[0])]:
            for axis in range(each.ndim):
                rest = tuple(other for other in range(each.ndim) if other != axis)
                if each.ndim > 1:
                    found += [(f"the standard deviation of {label}", each.std(rest)),
                              (f"the mean of {label}", each.mean(rest)),
                              (f"the norm of {label}", np.sqrt((each * each).sum(rest)))]
        return [(label, each) for label, each in found if np.shape(each) == (length,)]

    def softmaxes(self, shape):
        """[(label, array)] of the softmax of each value along its last axis."""
        found = []
        for label, v in self.values(shape):
            p = np.exp(v - v.max(axis=-1, keepdims=True))
            p /= p.sum(axis=-1, keepdims=True)
            found.append((f"the softmax of {label}", p))
        return found

    def formulas(self, shape):
        """[(label, array)]: what derivatives of criterions are made of: residuals, their signs and squares, scaled."""
        values = self.values(shape)
        *predictions, target = values if len(values) > 1 and values[-1][0] == "the target" else [*values, ("0", 0)]
        found = []
        with np.errstate(all="ignore"):
            for label, v in predictions:
                shown = [(label, v), (f"σ({label})", 1 / (1 + np.exp(-v))), (f"e^({label})", np.exp(v)),
                         (f"tanh({label})", np.tanh(v))]
                for name, value in shown:
                    r = value - target[1]
                    residual = f"{name} − {target[0]}"
                    found += [(residual, r), (f"the sign of {residual}", np.sign(r)), (f"|{residual}|", np.abs(r)),
                              (f"({residual})²", r * r), (f"({residual})³", r**3), (f"1 − ({residual})²", 1 - r * r)]
                    for other, scale in predictions:
                        for word, factor in (("e^−v", np.exp(-scale)), ("e^(−v/2)", np.exp(-scale / 2)),
                                             ("e^v", np.exp(scale)), ("1 / v", 1 / scale),
                                             ("1 / (v (1 − v))", 1 / (scale * (1 - scale)))):
                            found += [(f"({residual}) · {word} of {other}", r * factor),
                                      (f"({residual})² · {word} of {other}", r * r * factor),
                                      (f"1 − ({residual})² · {word} of {other}", 1 - r * r * factor)]
        return [(label, f) for label, f in found if np.isfinite(f).all() and np.ptp(f) > 0]

    def constants(self):
        """[(label, number)] of factors that are easily forgotten or put where they do not belong."""
        fixed = [("−1", -1), ("2", 2), ("½", 0.5), ("−2", -2), ("−½", -0.5), ("4", 4), ("¼", 0.25)]
        named = [(label, value) for label, value in self.numbers.items() if value != 1]
        inverse = [(f"1 / {label}", 1 / value) for label, value in named]
        square = [(f"{label} squared", value**2) for label, value in named if isinstance(value, float)]
        return [*named, *inverse, *square, *fixed]

    def values(self, shape):
        """[(label, array)] of that shape, whose factors or terms may have been left out."""
        if isinstance(self.module, Criterion):
            names = [f"the prediction{self._index(self.x[:-1], i)}" for i in range(len(self.x) - 1)]
            sources = list(zip([*names, "the target"], self.x))
        else:
            sources = [(f"the input{self._index(self.x, i)}", each) for i, each in enumerate(self.x)]
            sources += [(f"the output{self._index(self.y, i)}", each) for i, each in enumerate(self.y)]
        sources += [] if self.noise is None else [("the noise", self.noise)]
        sources += [(name, getattr(self.module, name)) for name in self.module.parameter_names
                    if getattr(self.module, name, None) is not None] if hasattr(self.module, "parameter_names") else []
        return [(label, each) for label, each in sources if np.shape(each) == shape]

    @staticmethod
    def _index(table, i):
        return f"[{i}]" if len(table) > 1 else ""

    def functions(self, shape):
        """[(label, array)]: of each value v of that shape v itself, 1 − v, e^v, ... as they occur in derivatives."""
        found = []
        with np.errstate(all="ignore"):
            for label, v in self.values(shape):
                sigma = 1 / (1 + np.exp(-v))
                found += [(label, v), (f"1 − v of {label}", 1 - v), (f"v (1 − v) of {label}", v * (1 - v)),
                          (f"1 − v² of {label}", 1 - v * v), (f"1 + v² of {label}", 1 + v * v),
                          (f"v² of {label}", v * v), (f"e^v of {label}", np.exp(v)), (f"1 / v of {label}", 1 / v),
                          (f"e^−v of {label}", np.exp(-v)), (f"σ(−v) of {label}", 1 - sigma),
                          (f"e^(v/2), a standard deviation, of {label}", np.exp(v / 2)),
                          (f"e^v − 1 of {label}", np.expm1(v)), (f"σ(v) of {label}", sigma),
                          (f"σ(v) (1 − σ(v)) of {label}", sigma * (1 - sigma)),
                          (f"1 − tanh² of {label}", 1 - np.tanh(v)**2), (f"the mask v > 0 of {label}", (v > 0) * 1.0),
                          (f"v σ(v) of {label}", v * sigma), (f"tanh v of {label}", np.tanh(v)),
                          (f"sin v of {label}", np.sin(v)), (f"cos v of {label}", np.cos(v)),
                          (f"|v| of {label}", np.abs(v)), (f"the sign of {label}", np.sign(v)),
                          (f"√v of {label}", np.sqrt(v))]
        return [(label, f) for label, f in found if np.isfinite(f).all() and np.any(f) and np.ptp(f) > 0]


def _alike(one, other):
    one, other = arrays(one), arrays(other)
    return len(one) == len(other) and all(map(same, one, other))
