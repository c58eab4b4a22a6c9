"""Base of the layers that measure a Kullback-Leibler divergence."""

from math import inf

from minivae.errors import real_number
from minivae.nn.module import Module


class Divergence(Module):
    """Hands on the parameters of q(z|x), keeps KL(q(z|x) ‖ p(z)), and adds its gradient on the way back.

        divergence   KL in nats, summed over the batch: what is reported
        loss         beta · divergence: what is minimised, next to the criterion's loss

    A kind of latent variable is defined by its q and its prior p, so this layer also answers what they are: `units`,
    `log_posterior`, `log_prior`, `sample_prior`, `expected`, `most_likely` and `statistics`, and for a discrete one
    `support_size` and `support`.  Every answer is a new array.  `parameters` are those of q(z|x), as the layer takes
    them, and z has N·L rows, those of one image together.
    """

    state_names: tuple = (*Module.state_names, "divergence")

    def __init__(self, beta=1):
        super().__init__()
        self.beta = real_number(type(self).__name__, "beta", beta, "weighs the divergence, a number from 0", least=0)
        self.divergence = None

    @property
    def loss(self):
        """beta · divergence, zero before the first forward."""
        return 0.0 if self.divergence is None or self.beta == 0 else self.beta * self.divergence  # it may be infinite

    def units(self, parameters):
        """KL(q ‖ p) of every unit of the code for every image, in nats (N, Q)."""
        raise NotImplementedError(f"{type(self).__name__} has no units")

    def rows(self, parameters):
        """KL(q(z|x) ‖ p(z)) of every image, in nats (N,)."""
        return self.units(parameters).sum(axis=1)

    def support_size(self, code):
        """How many different codes of `code` numbers there are."""
        return inf

    def support(self, code):
        """Every code z there is, once each (support_size, code)."""
        raise NotImplementedError(f"{type(self).__name__}: its codes cannot be enumerated")

    def extra_repr(self):
        return "" if self.beta == 1 else f"beta={self.beta:g}"


def side_loss(module):
    """Σ loss of the divergence layers in a module: what is minimised besides the criterion's loss."""
    return sum((each.loss for each in module.find_modules(Divergence)), 0.0)


def digits(xp, base, length):
    """The numbers from 0 to baseˡᵉⁿᵍᵗʰ − 1 written in that base, the last digit first: (base^length, length)."""
    return xp.arange(base**length)[:, None] // base ** xp.arange(length) % base
