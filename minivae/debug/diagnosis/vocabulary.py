"""The vocabulary of formulas: what derivatives are made of, each array or number beside its name in a sentence."""

from math import prod

import numpy as np

from minivae.nn import Criterion


def _pieces(label, array, shape):
    """[(label, part)] of that shape, if the array is two to four of them side by side."""
    axes = [axis for axis in range(1, len(shape)) if array.ndim == len(shape) and array.shape[axis] != shape[axis]]
    if len(axes) != 1 or array.size not in [count * prod(shape) for count in (2, 3, 4)]:
        return []
    (axis,), parts = axes, array.size // max(prod(shape), 1)
    if array.shape[axis] != parts * shape[axis]:
        return []
    return [(f"part {k} of {parts} of {label} along axis {axis}", part)
            for k, part in enumerate(np.split(array, parts, axis), 1)]


class Vocabulary:
    """Names for the arrays and numbers that a module deals with, and for functions of them.

    A subclass has `module`, its inputs `x`, outputs `y`, `g` of the outputs, `noise`, and named `numbers`.
    """

    def per_unit(self, length):
        """[(label, array)]: one number a unit, of parameters, statistics and the spread of inputs and outputs."""
        names = *getattr(self.module, "parameter_names", ()), "running_mean", "running_var", "std", "var", "mean"
        found = [(name, getattr(self.module, name, None)) for name in names]
        found += [(f"self.{name}", each.reshape(-1)) for name, each in self.kept.items()]
        for label, each in [(f"the input{self.index(self.x, i)}", v) for i, v in enumerate(self.x)] + [
                ("the output", self.y[0]), ("grad_output", self.g[0])]:
            for axis in range(each.ndim):
                rest = tuple(other for other in range(each.ndim) if other != axis)
                if each.ndim > 1:
                    found += [(f"the standard deviation of {label}", each.std(rest)),
                              (f"the mean of {label}", each.mean(rest)),
                              (f"the norm of {label}", np.sqrt((each * each).sum(rest)))]
        return [(label, each) for label, each in found if np.shape(each) == (length,)]

    def softmaxes(self, shape, axes=(-1,)):
        """[(label, array)] of the softmax of each value along its last axis, or along those."""
        found = []
        for axis in axes:
            for label, v in self.values(shape):
                p = np.exp(v - v.max(axis=axis, keepdims=True))
                p /= p.sum(axis=axis, keepdims=True)
                found.append((f"the softmax of {label}" + (f" along axis {axis}" if len(axes) > 1 else ""), p))
        return found

    def formulas(self, shape):
        """[(label, array)]: what derivatives of criterions are made of: residuals, their signs and squares, scaled."""
        values = self.values(shape)
        target = next((each for each in values if each[0] == "the target"), ("0", 0))
        predictions = [each for each in values if each[0] != "the target"]
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
        found += [(f"({residual}) · {label}", r * p) for label, p in self.softmaxes(shape)
                  for residual, r in found if "the target" not in label and residual.endswith("− " + target[0])]
        return [(label, f) for label, f in found if np.isfinite(f).all() and np.ptp(f) > 0]

    def products(self, shape):
        """[(label, array)] of products of a value, or of 1 less it, with a function of another value or of itself."""
        found = []
        for label, v in self.values(shape):
            powers = [(f"{label}²", v * v), (f"{label}³", v**3)] if label.startswith(("the input", "the pred")) else []
            for name, factor in ((label, v), (f"(1 − {label})", 1 - v), *powers):
                found += [(f"{name} · {other}", factor * f) for other, f in self.functions(shape) if other != label]
        return found

    def constants(self):
        """[(label, number)] of factors that are easily forgotten or put where they do not belong."""
        fixed = [("−1", -1), ("2", 2), ("½", 0.5), ("−2", -2), ("−½", -0.5), ("4", 4), ("¼", 0.25)]
        named = [(label, value) for label, value in self.numbers.items() if value != 1]
        inverse = [(f"1 / {label}", 1 / value) for label, value in named]
        square = [(f"{label} squared", value**2) for label, value in named if isinstance(value, float)]
        roots = [(f"{one}√ of {label}", value**power) for label, value in named if isinstance(value, int)
                 for one, power in (("", 0.5), ("1 / ", -0.5))]
        return [*named, *inverse, *square, *fixed, *roots]

    def values(self, shape):
        """[(label, array)] of that shape, whose factors or terms may have been left out."""
        sources = self.labelled()
        sources += [] if self.noise is None else [("the noise", self.noise)]
        sources += [(f"self.{name}", each) for name, each in self.kept.items()]
        sources += [(name, getattr(self.module, name)) for name in self.module.parameter_names
                    if getattr(self.module, name, None) is not None] if hasattr(self.module, "parameter_names") else []
        if not isinstance(self.module, Criterion):  # one number for each unit, in the argument of a function
            sources += [(f"{name} · {label}", each * v) for name, v in self.parameters() for label, each in sources
                        if label.startswith("the input") and np.shape(each) == shape and v.shape == shape[-1:]]
        if isinstance(self.module, Criterion) and np.shape(self.x[-1]) == (*shape[:-1], 1):  # one for all of a row
            sources[len(self.x) - 1] = "the target", np.broadcast_to(self.x[-1], shape)
        for i, each in enumerate(self.x if len(self.x) > 1 and shape else ()):  # one for all draws
            if each.shape[1:] == shape[1:] and 0 < each.size < prod(shape) and shape[0] % len(each) == 0:
                sources[i] = sources[i][0], np.repeat(each, shape[0] // len(each), axis=0)
        sources += [piece for label, each in sources for piece in _pieces(label, np.asarray(each), shape)]
        return [(label, each) for label, each in sources if np.shape(each) == shape]

    def labelled(self):
        """[(label, array)] of what the module is given, and of its outputs."""
        if isinstance(self.module, Criterion):
            names = [f"the prediction{self.index(self.x[:-1], i)}" for i in range(len(self.x) - 1)]
            return list(zip([*names, "the target"], self.x))
        return [(f"the input{self.index(self.x, i)}", each) for i, each in enumerate(self.x)] + [
            (f"the output{self.index(self.y, i)}", each) for i, each in enumerate(self.y)
            if not self.passes_on]  # where it is the input

    def regions(self, shape):
        """[(label, array)] of what conditions are of: arguments, a prediction's distance to the target, a unit's KL."""
        values = self.values(shape)
        found = [each for each in values if each[0].startswith(("the input", "the prediction", "the target"))]
        target = dict(found).get("the target")
        found += [(f"{label} − the target", v - target) for label, v in found
                  if target is not None and label != "the target"]
        return found + self.unit_losses(shape)

    def unit_losses(self, shape):
        """[(label, array)] of the divergence of each unit, of a layer that has one."""
        try:
            units = self.module.units(self.input) if self.passes_on else None
        except Exception:  # whatever a layer may raise
            return []
        return [("the divergence of a unit", units)] if np.shape(units) == shape else []

    @staticmethod
    def index(table, i):
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
                          (f"1 / (1 − v) of {label}", 1 / (1 - v)), (f"1 / (1 + |v|) of {label}", 1 / (1 + np.abs(v))),
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
