"""Base of the layers that measure a Kullback-Leibler divergence."""

from typing import Any

from minivae import backend
from minivae.errors import MinivaeError, instance, missing, real_number
from minivae.nn import checks
from minivae.nn.array_owner import Value
from minivae.nn.latent import Latent
from minivae.nn.module import Module

MEANINGS = {"beta": "weighs the divergence, a number from 0", "free_bits": "is a number of nats from 0"}


class Divergence(Module):
    """Hands on the parameters of q(z|x), keeps KL(q(z|x) ‖ p(z)), and adds its gradient on the way back.

        divergence   KL in nats, summed over the batch: what is reported
        loss         beta · divergence: what is minimised, next to the criterion's loss
        free_bits    λ, in nats: a unit of the code is not charged for less than λ on the mean over the batch, and the
                     loss is beta · Σ_q max(N λ, Σₙ KL_nq)  (Kingma et al. 2016, equation 15 and appendix C.8)
        latent       the latent variable, for evaluation: an object of the `latent_class`
    """

    state_names: tuple = (*Module.state_names, "divergence", "paid", "charged")
    latent_class: type[Latent] | None = None  # the kind of latent variable

    def __init__(self, beta: float = 1, free_bits: float = 0):
        super().__init__()
        self.beta, self.free_bits = self._expect("beta", beta), self._expect("free_bits", free_bits)
        self.divergence = self.paid = self.charged = None

    @property
    def loss(self) -> Any:
        """beta · divergence, or of what is beyond the free bits of it; zero before the first forward."""
        if self.divergence is None and self.output is None:
            return 0.0
        charged = self.divergence if self.free_bits == 0 else self.paid
        if charged is None:
            free = f"it has free_bits={self.free_bits:g}, and " * (self.free_bits != 0)
            raise MinivaeError(f"{self.title}: {free}its update_output does not call keep(divergence, parameters), "
                               "which sees to them")
        charged = checks.expect_number(self, "its divergence", charged)
        beta = self.varying_beta(charged)
        return 0.0 if isinstance(beta, float) and beta == 0 else beta * charged  # it may be infinite

    def varying_beta(self, like: backend.Array, times: float = 1) -> Any:
        """times · beta, as a number that may be another in the next step; a layer that reads it so has "beta" among its
        `varying_names`."""
        return backend.varying(lambda: times * self._expect("beta", self.beta), like)

    def keep(self, divergence: Any, parameters: Value) -> None:
        """Keep the divergence of a batch, and with free bits which units are charged for theirs."""
        self.divergence = divergence
        free = self._expect("free_bits", self.free_bits)
        if free > 0:
            units = self.units(parameters)
            free, units = free * len(units), units.sum(axis=0)
            self.paid, self.charged = backend.total(_at_least, units, free), (units > free).astype(self.dtype)

    def _expect(self, name, value):
        return real_number(type(self).__name__, name, value, MEANINGS[name], least=0)

    def charge(self, like: backend.Array, times: float = 1) -> Any:
        """The factor of the divergence's derivative: times · beta, and 0 for a unit that is not charged."""
        beta = self.varying_beta(like, times)
        return beta if self.free_bits == 0 else beta * self.charged

    @property
    def latent(self) -> Latent:
        """The latent variable with its q(z|x) and p(z), which evaluation asks."""
        if not (isinstance(self.latent_class, type) and issubclass(self.latent_class, Latent)):
            raise MinivaeError(f"{self.title}: its latent_class is {self.latent_class!r}, so nobody can draw or weigh "
                               f"its codes; in class {type(self).__name__} write latent_class = nn.GaussianLatent, or "
                               "a class of your own that extends nn.Latent")
        return self.latent_class(self)

    def units(self, parameters: Value) -> backend.Array:
        """KL(q ‖ p) of every unit of the code for every image, in nats: a new array (N, Q)."""
        raise missing(self, "units")

    def rows(self, parameters: Value) -> backend.Array:
        """KL(q(z|x) ‖ p(z)) of every image, in nats: a new array (N,)."""
        return self.units(parameters).sum(axis=1)

    def acc_grad_prior(self, z: backend.Array, grad: backend.Array, scale: float = 1) -> None:
        """Nothing to add: a layer that learns its prior adds scale · ∂L/∂prior, with grad = ∂L/∂ln p(z) of rows."""

    def extra_repr(self):
        options = {"beta": (self.beta, 1), "free_bits": (self.free_bits, 0)}
        return ", ".join(f"{name}={value:g}" for name, (value, usual) in options.items() if value != usual)


def _at_least(xp, units, free):
    return xp.maximum(units, free)


def side_loss(module: Module) -> Any:
    """Σ loss of the divergence layers in a module: what is minimised besides the criterion's loss.

    >>> model = nn.Sequential(nn.GaussianKL(beta=0.5), nn.GaussianSampler())
    >>> z = model((np.float32([[2]]), np.float32([[0]])))
    >>> float(nn.side_loss(model))  # beta · ½ · 2²
    1.0
    """
    return sum((each.loss for each in instance("side_loss", "module", module, Module).find_modules(Divergence)), 0.0)
