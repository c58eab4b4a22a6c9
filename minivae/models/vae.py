"""The variational auto-encoder, and the article's vanilla one on rectangles."""

import reprlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

from minivae import nn
from minivae.backend import Array
from minivae.errors import OptionError, a_function, instance, whole_number
from minivae.kinds import Count, Rate, Shape, Whole
from minivae.models.likelihoods import CRITERIONS, MEANS
from minivae.models.record import Preset, Record, noted


class VAE(nn.Sequential):
    """encoder -> kl -> sampler -> decoder, trained by its criterion plus the kl layer's loss.

        x  input   (N, ...)          images, flat or not: the encoder begins with a View
        output     (N·L, ...)        what the criterion takes: logits, a mean, or (mean, log_var)

    Maximises the evidence lower bound  E_q log p(x|z) − KL(q(z|x) ‖ p(z)),  with L = `samples` draws of z
    for the expectation (Kingma and Welling 2013, equation 7, and their estimator B).

        likelihood  "bernoulli", "continuous_bernoulli": the decoder gives logits
                    "gaussian": mean and log-variance        "identity_gaussian": the mean
    """

    def __init__(self, encoder, kl, sampler, decoder, code, likelihood="bernoulli"):
        super().__init__()
        if not isinstance(likelihood, str) or likelihood not in CRITERIONS:
            raise OptionError(f"unknown likelihood {reprlib.repr(likelihood)}; choose one of {', '.join(CRITERIONS)}")
        title = type(self).__name__
        for name, module in (("encoder", encoder), ("kl", kl), ("sampler", sampler), ("decoder", decoder)):
            self.add(instance(title, name, module, nn.Divergence if name == "kl" else nn.Module), name)
        if not self.find_modules(nn.Sampler):
            raise OptionError(f"{title}: no module of it draws codes; the sampler is, or has in it, an instance of "
                              "Sampler, such as GaussianSampler()")
        self.code, self.likelihood = whole_number(title, "code", code), likelihood
        self.made: tuple[Callable, dict] | None = None  # see made_by
        self._criterion = CRITERIONS[likelihood](samples=self.samples)

    labels: int = 0  # how many numbers at the end of a row are no part of the image

    encoder = property(lambda self: self.get("encoder"))
    kl = property(lambda self: self.get("kl"))
    sampler = property(lambda self: self.get("sampler"))
    decoder = property(lambda self: self.get("decoder"))

    def made_by(self, function: Callable[..., "VAE"], options: dict[str, Any]) -> "VAE":
        """Note the function and all that it was given, from which `minivae.load` makes the model again."""
        self.made = a_function("made_by", "function", function), instance("made_by", "options", options, dict)
        return self

    @property
    def samples(self) -> int:
        """L, the draws of z for each image."""
        return self.find_modules(nn.Sampler)[0].samples

    def criterion(self) -> nn.Criterion:
        """The matching negative log-likelihood, −log p(x|z): the same object each time."""
        self._criterion.samples = self.samples
        if (self._criterion.backend, self._criterion.dtype) != (self.backend, self.dtype):
            self._criterion.convert(self.backend, self.dtype)
        return self._criterion

    def target(self, x: Array) -> Array:
        """What the criterion compares the output with: the part of the input that is the image."""
        return x

    def encode(self, x: Array) -> Any:
        """The parameters of q(z|x) as the kl layer takes them, in arrays of their own; noise layers are off."""
        with self.evaluating():
            parameters = self.encoder.forward(x)
        return tuple(each.copy() for each in parameters) if isinstance(parameters, tuple) else parameters.copy()

    def decode(self, z: Array) -> Array:
        """The mean of p(x|z) for codes z (n, code): of bits their probabilities; a new array."""
        with self.evaluating():
            output = self.decoder.forward(z)
        if self.likelihood in MEANS:
            return MEANS[self.likelihood](self.xp, output)
        return (output[0] if isinstance(output, tuple) else output).copy()

    def reconstruct(self, x: Array, sample: bool = False) -> Array:
        """The mean of p(x|z) for z the most likely code of each image, or one drawn from q(z|x).

        Noise layers are off and binary codes are hard, as in evaluation.
        """
        with self.evaluating():
            parameters = self.encoder.forward(x)
            z = self.sampler.forward(parameters)[::self.samples] if sample else self.kl.latent.most_likely(parameters)
            return self.decode(z)

    def sample(self, n: int) -> Array:
        """The mean of p(x|z) for n codes from the prior; a new array (n, ...)."""
        return self.decode(self.kl.latent.sample_prior(whole_number("sample", "n", n, least=0), self.code))

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Evaluation mode inside the block; afterwards each module has the mode it had."""
        modes = [(module, module.train) for module in self.list_modules()]
        self.evaluate()
        try:
            yield
        finally:
            for module, train in modes:
                module.train = train


@noted
def vae(image: Shape = (1, 24, 24), hidden: Count = 1152, code: Whole = 2, samples: Whole = 1, beta: Rate = 1) -> VAE:
    """The article's VAE on rectangles: 576-1152-1152-(2, 2), 2-1152-1152-576, ReLU between, Bernoulli pixels."""
    return VAE(gaussian_encoder(image, hidden, code), nn.GaussianKL(beta), nn.GaussianSampler(samples),
               mlp_decoder(image, hidden, code), code)


def gaussian_encoder(image: Shape, hidden: int, code: int, *first: nn.Module) -> nn.Module:
    """Images -> (mean, log_var); layers `first` come right after the View."""
    body = nn.Sequential(nn.View(prod(image)), *first)
    width = hidden_layers(body, prod(image), hidden)
    return body.add(nn.ConcatTable(nn.Linear(width, code), nn.Linear(width, code)))


def mlp_decoder(image: Shape, hidden: int, code: int) -> nn.Module:
    """Codes -> logits of the pixels."""
    body = nn.Sequential()
    width = hidden_layers(body, code, hidden)
    return body.add(nn.Linear(width, prod(image))).add(nn.View(*image))


def hidden_layers(body: nn.Sequential, n_in: int, hidden: int) -> int:
    """Add the articles' two layers of `hidden` units, none for hidden=0; returns the width of what comes out."""
    for width in (n_in, hidden) if hidden else ():
        body.add(nn.Linear(width, hidden)).add(nn.ReLU())
    return hidden or n_in


# Under a large weight of the KL a code says at first only where the square is, along one axis each: so the plane that
# the images later share has no folds.
OPTIMUM = Preset("nearer to the optimum of the rectangles, ln 256, than the article's: batches of every square once, a "
                 "weight of the KL that falls from 12 to 1, a learning rate that falls to 0",
                 {"hidden": 256, "data": "squares", "batch_size": 256, "kl_start": 12.0, "kl_warm_up": 12000,
                  "learning_rate": 3e-3, "learning_rate_decay": 0.0, "schedule": "cosine", "epochs": 200})
VANILLA = Record("vae", vae, "the vanilla VAE, code of 2 numbers", schedule={"learning_rate_decay": 1e-4},
                 presets={"optimum": OPTIMUM})
