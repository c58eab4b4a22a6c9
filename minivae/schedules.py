"""Numbers that change while a model learns.

Each is a function of t, the steps taken before, and of nothing else.  So a run that continues has the numbers of one
that never stopped.  Any function will do: Training(model, batches, learning_rate=lambda t: 0.01 * 0.999**t).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, exp, inf, pi
from typing import Any, TypeAlias

from minivae.errors import OptionError, real_number, whole_number
from minivae.nn import Divergence, Module, Sampler

Schedule: TypeAlias = Callable[[int], float]


@dataclass(frozen=True)
class LearningRate:
    """The learning rate: peak / (1 + t · decay), as Torch7's optimisers have it; two options change it.

        steps     it falls to 0 at t = steps, times ½ (1 + cos πs), where s goes from 0, at the end of the warm-up, to 1
                  (Loshchilov and Hutter 2016, equation 5, without restarts)
        warm_up   so many steps at first, it is (t + 1) / warm_up of that
    """

    peak: float = 1e-3
    decay: float = 0.0
    steps: int | None = None
    warm_up: int = 0

    def __post_init__(self):
        for name in ("peak", "decay"):
            real_number("LearningRate", name, getattr(self, name), "is a number from 0", least=0, below=inf)
        whole_number("LearningRate", "warm_up", self.warm_up, least=0)
        if self.steps is not None and whole_number("LearningRate", "steps", self.steps) <= self.warm_up:
            raise OptionError(f"{self}: wanted more steps than those of the warm-up")

    def __call__(self, t):
        rate = self.peak / (1 + t * self.decay)
        if self.steps is not None:
            done = (t - self.warm_up) / (self.steps - self.warm_up)
            rate *= (1 + cos(pi * min(max(done, 0), 1))) / 2
        return rate * (t + 1) / self.warm_up if t < self.warm_up else rate


@dataclass(frozen=True)
class WarmUp:
    """The KL divergence's weight: beta = start + (full − start) · t / steps, and full from t = steps on.

    From 0, the encoder can say something before it is charged for it (Bowman et al. 2015, section 3.1; Sønderby et al.
    2016).  From above `full`, the code says at first what matters most, and details as they become cheap:
    deterministic annealing (Rose 1998).
    """

    steps: int
    full: float = 1.0
    start: float = 0.0

    def __post_init__(self):
        whole_number("WarmUp", "steps", self.steps)
        for name in ("full", "start"):
            real_number("WarmUp", name, getattr(self, name), "is a weight from 0", least=0, below=inf)

    def __call__(self, t):
        return self.start + (self.full - self.start) * min(1.0, t / self.steps)


@dataclass(frozen=True)
class Annealing:
    """The temperature of relaxed codes: T = max(floor, start · e^(−rate · t)), renewed every so many steps.

    They begin soft, where gradients have little variance, and end near the discrete ones that are evaluated.
    Jang et al. 2016, section 4: start 1, floor ½, rate 1e-5 or 1e-4, every 500 or 1,000 steps.
    """

    start: float = 1.0
    rate: float = 1e-4
    floor: float = 0.5
    every: int = 1000

    def __post_init__(self):
        whole_number("Annealing", "every", self.every)
        real_number("Annealing", "rate", self.rate, "is a number from 0", least=0, below=inf)
        start = real_number("Annealing", "start", self.start, "is a temperature above 0", above=0, below=inf)
        real_number("Annealing", "floor", self.floor, f"is a temperature above 0, up to start={start:g}", above=0,
                    most=start)

    def __call__(self, t):
        return max(self.floor, self.start * exp(-self.rate * (t - t % self.every)))


def apply(values: dict[str, float], model: Module, state: dict[str, Any]) -> None:
    """Set the numbers of a step: the `learning_rate` in the optimiser's state, `beta` and `temperature` in layers."""
    for name, value in values.items():
        words, above = ("above 0", 0) if name == "temperature" else ("from 0", -inf)
        value = real_number("a schedule", name, value, f"is a number {words}", least=0, above=above)
        if name == "learning_rate":
            state[name] = value
        for layer in model.find_modules(Divergence) if name == "beta" else ():
            layer.beta = value
        for sampler in relaxed_samplers(model) if name == "temperature" else ():
            sampler.temperature = value


def relaxed_samplers(model: Module) -> list[Sampler]:
    """The layers of a model that draw relaxed codes."""
    return [sampler for sampler in model.find_modules(Sampler) if sampler.temperature is not None]
