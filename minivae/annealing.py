"""The temperature of relaxed codes while a model learns."""

from dataclasses import dataclass
from math import exp

from minivae.errors import OptionError
from minivae.nn import Sampler


@dataclass(frozen=True)
class Annealing:
    """T = max(floor, start · e^(−rate · t)), t the steps taken, renewed every so many of them.

    Relaxed codes begin soft, where gradients have little variance, and end near the discrete ones that are evaluated.
    It is a function of the step alone, so a run that continues has the temperature of one that never stopped.
    Jang et al. 2016, section 4: start 1, floor ½, rate 1e-5 or 1e-4, every 500 or 1,000 steps.
    """

    start: float = 1.0
    rate: float = 1e-4
    floor: float = 0.5
    every: int = 1000

    def __post_init__(self):
        if not (0 < self.floor <= self.start and self.rate >= 0 and self.every >= 1):
            raise OptionError(f"{self}: wanted 0 < floor ≤ start, a rate from 0 and every from 1")

    def temperature(self, steps):
        """T after so many steps."""
        return max(self.floor, self.start * exp(-self.rate * (steps - steps % self.every)))

    def apply(self, model, steps):
        """Give the samplers of relaxed codes in a model their temperature."""
        for sampler in relaxed_samplers(model):
            sampler.temperature = self.temperature(steps)


def relaxed_samplers(model):
    """The layers of a model that draw relaxed codes."""
    return [sampler for sampler in model.find_modules(Sampler) if sampler.temperature is not None]
