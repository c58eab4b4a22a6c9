"""Facts about a wrong gradient, and findings on it."""

from dataclasses import dataclass

import numpy as np

from minivae.debug.tables import arrays
from minivae.nn import Criterion, Divergence


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
        self.module = module
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
        for name in ("temperature", "beta", "std", "p", "prior"):
            value = getattr(module, name, None)
            if isinstance(value, int | float) and value not in (0, 1):
                self.numbers[name] = value

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
                          (f"v² of {label}", v * v), (f"e^v of {label}", np.exp(v)),
                          (f"e^(v/2), a standard deviation, of {label}", np.exp(v / 2)),
                          (f"e^v − 1 of {label}", np.expm1(v)), (f"σ(v) of {label}", sigma),
                          (f"σ(v) (1 − σ(v)) of {label}", sigma * (1 - sigma)),
                          (f"1 − tanh² of {label}", 1 - np.tanh(v)**2), (f"the mask v > 0 of {label}", (v > 0) * 1.0)]
        return [(label, f) for label, f in found if np.isfinite(f).all() and np.any(f) and np.ptp(f) > 0]
