"""Base of the layers that draw codes."""

from typing import Any

from minivae import backend
from minivae.errors import real_number, whole_number
from minivae.nn.module import Module

SMALLEST, LARGEST = 2.0**-25, 1 - 2.0**-24


class Sampler(Module):
    """Draws `samples` = L codes for each row; row n·L + l of the output is draw l for row n.

    Relaxed codes have a `temperature` T > 0: the lower, the nearer they are to discrete ones.  It may be changed
    between two passes, as `schedules.Annealing` does while a model learns.  Other codes have None.
    """

    varying_names = ("temperature",)
    temperature: Any = None  # a float, of relaxed codes

    def __init__(self, samples: int = 1):
        super().__init__()
        self.samples = whole_number(type(self).__name__, "samples", samples)

    def grouped(self, array: backend.Array) -> backend.Array:
        """(N·L, Q) seen as (N, L, Q)."""
        return array.reshape(len(array) // self.samples, self.samples, array.shape[1])

    def varying_temperature(self) -> Any:
        """T, as a number that may be another in the next step."""
        return backend.varying(lambda: self.expect_temperature(self.temperature), self.noise)

    def expect_temperature(self, value: float) -> float:
        """The value as a float; raise unless it can be T."""
        return real_number(type(self).__name__, "temperature", value, "is a number above 0", above=0)

    def extra_repr(self):
        temperature = "" if self.temperature is None else f"temperature={self.temperature:g}"
        samples = "" if self.samples == 1 else f"samples={self.samples}"
        return ", ".join(filter(None, (temperature, samples)))


def inside(xp, u):
    """u within (0, 1): a generator may return 0, whose logarithm has no place here, and rounding makes 1."""
    return xp.minimum(xp.maximum(u, SMALLEST), LARGEST)
