"""Base of the layers that draw relaxed discrete codes."""

from minivae import backend
from minivae.errors import real_number
from minivae.nn.sampler import Sampler

SMALLEST, LARGEST = 2.0**-25, 1 - 2.0**-24


class RelaxedSampler(Sampler):
    """A sampler with a `temperature` T > 0: the lower, the nearer its codes are to discrete ones.

    It may be changed between two passes, as an `Annealing` does while a model learns.
    """

    varying_names = ("temperature",)

    def __init__(self, temperature=1, samples=1):
        super().__init__(samples)
        self.temperature = real_number(type(self).__name__, "temperature", temperature, "is a number above 0", above=0)

    def varying_temperature(self):
        """T, which an `Annealing` changes."""
        return backend.varying(lambda: float(self.temperature), self.noise)

    def extra_repr(self):
        return ", ".join(filter(None, (f"temperature={self.temperature:g}", super().extra_repr())))


def inside(xp, u):
    """u within (0, 1): a generator may return 0, whose logarithm has no place here, and rounding makes 1."""
    return xp.minimum(xp.maximum(u, SMALLEST), LARGEST)
