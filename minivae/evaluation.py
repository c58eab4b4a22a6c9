"""Evaluation: bounds of log p(x), and the units of a code that carry information.

Everything is in nats per image and drawn from a `seed` of its own, which leaves the training stream untouched.
Codes are always drawn, discrete ones are hard and noise layers are off: only then is a bound one.  Images are
an array (n, ...) or an `Images`, in [0, 1] once they have been multiplied by `scale`: 1/255 for grey bytes.  Of a
`Redrawn` they are the bits that it draws by seed 0, for which `scale` means nothing.

Of grey pixels under a Bernoulli, log p(x|z) stands for a negative cross-entropy, and no number here is a bound of a
log-likelihood: `quantities` has the names for that case.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, log, nan, prod, sqrt
from typing import Any, NamedTuple

import numpy as np

from minivae import backend, models
from minivae.data import Redrawn
from minivae.data.images import pixels_of
from minivae.errors import OptionError, ShapeError, instance, real_number, whole_number
from minivae.nn import MOST_CODES, Sampler
from minivae.progress import progress_bar

PIXELS = 2**20  # that are predicted at once: a few megabytes an array
IMAGES = 8  # of one batch at least, so that worker threads can share it
ACTIVE = 0.01  # variance of E_q[z] above which a unit is active


@dataclass(frozen=True)
class Estimate:
    """A mean over images of log p(x) or a bound of it.

        value            the mean, nats per image        standard_error   of it, from the spread over the images
        per_image        (n,) float64                    samples          draws of z for each image; 0: none, exact
        reconstruction   −E_q log p(x|z), and
        divergence       KL(q(z|x) ‖ p(z)): their sum is −value.  None where value has no such parts; of the exact
                         log p(x) the posterior p(z|x) stands in the place of q
    """

    per_image: np.ndarray
    samples: int
    reconstruction: float | None = None
    divergence: float | None = None

    @property
    def value(self) -> float:
        return float(self.per_image.mean())

    @property
    def standard_error(self) -> float:
        n = len(self.per_image)
        return float(self.per_image.std(ddof=1) / sqrt(n)) if n > 1 and np.isfinite(self.per_image).all() else inf

    def __str__(self):
        parts = ("" if self.divergence is None else
                 f", that is −({self.reconstruction:.2f} reconstruction + {self.divergence:.2f} KL)")
        return f"{self.value:.2f} ± {self.standard_error:.2f} nats per image{parts}"

    __repr__ = __str__


class ActiveUnits(NamedTuple):
    """`count` units are active; of each, the `variance` of E_q[z] over the images, and its mean KL, `divergence`.

    Where a variance is NaN, so is the count.
    """
    count: int | float  # type: ignore[assignment]  # in place of the method of tuples
    variance: np.ndarray
    divergence: np.ndarray


def elbo(model: Any, images: Any, scale: float = 1, samples: int = 1, seed: int = 0,
         progress: bool = False) -> Estimate:
    """The evidence lower bound  E_q log p(x|z) − KL(q(z|x) ‖ p(z)) ≤ log p(x),  from `samples` draws of z an image.

    Kingma and Welling 2013, equation 7.
    """
    reconstructions, divergences = [], []
    with _evaluating(model, samples, seed):
        for x in _batches(model, images, scale, samples, progress):
            parameters, loss = model.encode(x), 0
            for z in _draws(model, parameters, samples, x):
                loss = loss - _log_likelihood(model, x, z).sum(axis=1)
            reconstructions.append(loss / samples)
            divergences.append(_host(model.kl.rows(parameters)))
    reconstruction, divergence = np.concatenate(reconstructions), np.concatenate(divergences)
    return Estimate(-reconstruction - divergence, samples, float(reconstruction.mean()), float(divergence.mean()))


def log_likelihood(model: Any, images: Any, scale: float = 1, samples: int = 1000, seed: int = 0,
                   progress: bool = False) -> Estimate:
    """The importance-weighted bound  log (1/K) Σₖ p(x|zₖ) p(zₖ) / q(zₖ|x) ≤ log p(x),  with K = `samples` draws.

    With K = 1 it is an ELBO (one whose KL is drawn too); it grows with K and tends to log p(x).
    Burda et al. 2015, equation 8.
    """
    estimates = []
    with _evaluating(model, samples, seed):
        for x in _batches(model, images, scale, samples, progress):
            parameters = model.encode(x)
            log_total = np.full(len(x), -inf)
            for z in _draws(model, parameters, samples, x):
                ratio = model.kl.latent.log_prior(z) - model.kl.latent.log_posterior(parameters, z)
                weight = _log_likelihood(model, x, z) + _host(ratio).reshape(len(x), -1)
                log_total = np.logaddexp(log_total, np.logaddexp.reduce(weight, axis=1))
            estimates.append(log_total - log(samples))
    return Estimate(np.concatenate(estimates), samples)


def exact_log_likelihood(model: Any, images: Any, scale: float = 1, progress: bool = False) -> Estimate:
    """log p(x) = log Σ_z p(x|z) p(z)  over all codes of a model with a discrete code that has at most 4,096 of them."""
    _expect_vae(model)
    if model.kl.latent.support_size(model.code) > MOST_CODES:
        raise OptionError(f"exact_log_likelihood sums over every code: it takes a model with at most {MOST_CODES} of "
                          f"them, such as 12 bits, not {type(model.kl).__name__} and a code of {model.code}; "
                          "log_likelihood estimates it")
    if model.labels:
        raise OptionError("exact_log_likelihood decodes each code once, for all images; the decoder of this model sees "
                          "their labels; log_likelihood estimates it")
    z = model.kl.latent.support(model.code)
    exact, reconstructions = [], []
    with _evaluating(model, 1, 0):
        prediction, prior, criterion = model.decoder.forward(z), _host(model.kl.latent.log_prior(z)), model.criterion()
        for x in _batches(model, images, scale, len(z), progress):
            losses = _host(criterion.pairs(prediction, model.target(x)))
            joint = prior - losses
            exact.append(np.logaddexp.reduce(joint, axis=1))
            with np.errstate(invalid="ignore"):
                posterior = np.exp(joint - exact[-1][:, None])
            reconstructions.append((posterior * np.where(posterior > 0, losses, 0)).sum(axis=1))
    found, reconstruction = np.concatenate(exact), float(np.concatenate(reconstructions).mean())
    return Estimate(found, 0, reconstruction, -float(found.mean()) - reconstruction)


def encode(model: Any, images: Any, scale: float = 1) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    """(parameters of q(z|x), a tuple of arrays; codes E_q[z] (n, code)) of every image, on the host."""
    found = []
    for x in _batches(model, images, scale, 1, progress=False):
        parameters = model.encode(x)
        codes = model.kl.latent.expected(parameters)
        found.append([*(parameters if isinstance(parameters, tuple) else (parameters,)), codes])
    *parameters, codes = (np.concatenate([backend.to_numpy(each) for each in parts]) for parts in zip(*found))
    return tuple(parameters), codes


def active_units(model: Any, images: Any, scale: float = 1, threshold: float = ACTIVE) -> ActiveUnits:
    """The units of the code whose mean E_q[z] varies from image to image: by a variance above `threshold`.

    The others have learned to say nothing.  Burda et al. 2015, section 5.1.  A unit that is a vector of numbers, as
    one-hot ones, varies by the sum of their variances.
    """
    threshold = real_number("active_units", "threshold", threshold, "is a variance, a number from 0", least=0)
    expected, divergences = [], []
    for x in _batches(model, images, scale, 1, progress=False):
        parameters = model.encode(x)
        expected.append(_host(model.kl.latent.expected(parameters)))
        divergences.append(_host(model.kl.units(parameters)))
    divergence = np.concatenate(divergences).mean(axis=0)
    variance = np.concatenate(expected).var(axis=0).reshape(len(divergence), -1).sum(axis=1)
    count = nan if np.isnan(variance).any() else int((variance > threshold).sum())
    return ActiveUnits(count, variance, divergence)


@contextmanager
def _evaluating(model, samples, seed):
    """Evaluation mode and a random stream of its own; afterwards the model draws as many codes as before, and holds
    the noise that it held."""
    _expect_vae(model)
    sampler = _sampler(model)
    kept, sampler.samples = sampler.samples, whole_number("evaluation", "samples", samples)
    held = [(layer, layer.noise) for layer in model.list_modules() if layer.holding_noise]
    for layer, _ in held:
        layer.holding_noise = False
        layer.buffers.pop("noise", None)  # what is drawn now is not written over it
    try:
        with backend.seeded(seed), model.evaluating():
            yield
    finally:
        sampler.samples = kept
        model.criterion()  # draws as many as the sampler again
        for layer, noise in held:
            layer.holding_noise, layer.noise = True, noise


def expect_images(images: Any, scale: float) -> tuple[Any, float]:
    """(an array or Redrawn, the scale as a float); raise unless a model can be evaluated on these images."""
    images = images if isinstance(images, Redrawn) else pixels_of(images)
    return images, real_number("evaluation", "scale", scale, "is what pixels are multiplied by, such as 1/255")


def _batches(model, images, scale, samples, progress):
    """The images, scaled, on the model's device: as many as can be predicted at once with all their draws."""
    _expect_vae(model)
    images, scale = expect_images(images, scale)
    if isinstance(images, Redrawn):
        images, scale = images.draw(0), 1
    n = max(IMAGES, PIXELS // (samples * prod(images.shape[1:])))
    with progress_bar(len(images), "image", progress) as bar:
        for first in range(0, len(images), n):
            x = backend.aligned(images[first:first + n], model.dtype, model.backend)
            x *= scale
            yield x
            bar.update(len(x))


def _draws(model, parameters, samples, x):
    """Codes drawn from q, (n·k, Q) at a time, `samples` in all for each image."""
    sampler = _sampler(model)
    most = max(1, PIXELS // x.size)
    for first in range(0, samples, most):
        sampler.samples = min(most, samples - first)
        z = model.sampler.forward(parameters)
        if len(z) != len(x) * sampler.samples:
            raise ShapeError(f"{sampler.title}: it gives {len(z)} rows for {len(x)} images and "
                             f"samples={sampler.samples}; expected so many draws of each image, side by side")
        yield z


def _expect_vae(model):
    instance("evaluation", "model", model, models.VAE)


def _sampler(model):
    """The layer that draws the code."""
    samplers = model.find_modules(Sampler)
    if len(samplers) != 1:
        named = ", ".join(each.title for each in samplers) or "none"
        raise OptionError(f"evaluation takes a model with one layer that draws, this one has {len(samplers)}: {named}")
    return samplers[0]


def _log_likelihood(model, x, z):
    """log p(x|z) on the host, float64 (n, k)."""
    return -_host(model.criterion().rows(model.decoder.forward(z), model.target(x))).reshape(len(x), -1)


def _host(array):
    return backend.to_numpy(array).astype(np.float64)
