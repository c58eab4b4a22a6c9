"""Base of the kinds of latent variable."""

from math import inf
from typing import Any

from minivae import backend
from minivae.errors import MissingMethodError, instance, missing
from minivae.nn.array_owner import Value
from minivae.nn.module import Module


class Latent:
    """A latent variable z with its q(z|x) and its prior p(z): all that evaluation asks beside the divergence.

    A divergence layer names the kind by its class attribute `latent_class`, and `layer.latent` is one that takes its
    options, such as `prior`, from that layer.  `parameters` are those of q(z|x), as the layer takes them.  z has N·L
    rows, those of one image together.  Every answer is a new array, in nats where it is a logarithm.
    """

    names: tuple[str, ...] = ("logits",)  # of the parameters, as files of codes have them

    def __init__(self, layer: Any):
        instance(type(self).__name__, "layer", layer, Module)
        self.layer, self.xp, self.dtype = layer, layer.xp, layer.dtype

    def log_posterior(self, parameters: Value, z: backend.Array) -> backend.Array:
        """ln q(z|x) of every row of z (N·L,)."""
        raise self._missing("log_posterior")

    def log_prior(self, z: backend.Array) -> backend.Array:
        """ln p(z) of every row of z (N·L,)."""
        raise self._missing("log_prior")

    def log_posterior_backward(self, parameters: Value, z: backend.Array, grad: backend.Array) -> tuple:
        """(∂L/∂parameters, ∂L/∂z) of what `log_posterior` gives, with grad = ∂L/∂ln q (N·L,)."""
        raise self._missing("log_posterior_backward")

    def log_prior_backward(self, z: backend.Array, grad: backend.Array) -> backend.Array:
        """∂L/∂z of what `log_prior` gives, with grad = ∂L/∂ln p (N·L,)."""
        raise self._missing("log_prior_backward")

    def sample_prior(self, n: int, code: int) -> backend.Array:
        """n draws from p(z), rows of `code` numbers (n, code)."""
        raise self._missing("sample_prior")

    def expected(self, parameters: Value) -> backend.Array:
        """E_q[z] (N, code)."""
        raise self._missing("expected")

    def most_likely(self, parameters: Value) -> backend.Array:
        """The code z of highest probability, or density, under q (N, code)."""
        raise self._missing("most_likely")

    def statistics(self, parameters: Value) -> dict[str, tuple]:
        """{name: (sum over the batch, of how many)} of `parameters` just given to the layer: columns of a protocol."""
        return {}

    def support_size(self, code: int) -> float:
        """The number of different codes of `code` numbers."""
        return inf

    def support(self, code: int) -> backend.Array:
        """Every code z there is, once each (support_size, code)."""
        raise MissingMethodError(f"{type(self).__name__}: its codes cannot be enumerated")

    def new(self, *shape: int) -> backend.Array:
        """A new array of the layer's kind."""
        return backend.empty(shape, self.dtype, self.layer.backend)

    def placed(self, codes: backend.Array) -> backend.Array:
        """The same numbers in such an array; all begin alike in memory, so products round alike."""
        return backend.copy(codes, self.new(*codes.shape))

    def _missing(self, method):
        return missing(self, method, f", which {self.layer.title} is asked for")


def digits(xp, base, length):
    """The numbers from 0 to baseˡᵉⁿᵍᵗʰ − 1 written in that base, the last digit first: (base^length, length)."""
    return xp.arange(base**length)[:, None] // base ** xp.arange(length) % base


def draws(z, n):
    """L of the rows z (n·L, ...) of n images; 1 of none."""
    return len(z) // n if n else 1
