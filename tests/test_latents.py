"""Latent variables: what a divergence layer says of its latent variable, and what happens where it does not."""

import numpy as np
import pytest
from pytest import approx
from rounding import placed

from minivae import models, nn
from minivae.data import Batches
from minivae.errors import MinivaeError, MissingMethodError
from minivae.evaluation import active_units, elbo, log_likelihood
from minivae.training import Training

KINDS = {nn.GaussianKL: nn.GaussianLatent, nn.BernoulliKL: nn.BernoulliLatent, nn.CategoricalKL: nn.CategoricalLatent}
IMAGES = np.random.default_rng(0).integers(0, 2, (40, 3, 3), dtype=np.uint8)


class Measured(nn.Divergence):
    """The Gaussian divergence as a reader may write it, as a formula and no more."""

    def update_output(self, input):
        self.divergence = self.units(input).sum()
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        (mean, log_var), (one, other) = input, grad_output
        self.grad_input = one + self.beta * mean, other + 0.5 * self.beta * (np.exp(log_var) - 1)
        return self.grad_input

    def units(self, parameters):
        mean, log_var = parameters
        return 0.5 * (mean**2 + np.exp(log_var) - 1 - log_var)


class Named(Measured):
    latent_class = nn.GaussianLatent


class Half(nn.Latent):
    """Less than is asked of it."""

    def expected(self, parameters):
        return parameters[0].copy()


class NamesHalf(Measured):
    latent_class = Half


def model(kl):
    vae = models.vae(image=(3, 3), hidden=8)
    vae.modules[1] = kl
    return vae


def test_codes_lie_where_arrays_of_the_engine_do():
    """A decoder multiplies them, and a BLAS may round otherwise what begins elsewhere."""
    for kind in (nn.GaussianKL(), nn.BernoulliKL(), nn.CategoricalKL(categories=3), nn.LearnedBernoulliKL(6),
                 nn.LearnedCategoricalKL(2, 3)):
        parameters = np.zeros((5, 2, 3) if "Categorical" in type(kind).__name__ else (5, 6), "float32")
        parameters = (parameters, parameters) if isinstance(kind, nn.GaussianKL) else parameters
        latent = kind.float().latent
        codes = [latent.sample_prior(5, 6), latent.expected(parameters), latent.most_likely(parameters)]
        codes += [latent.support(6)] if np.isfinite(latent.support_size(6)) else []
        for code in codes:
            assert code.shape[1] == 6 and code.dtype == "float32" and placed(code)


def test_each_divergence_names_its_kind():
    every = {each for each in vars(nn).values() if isinstance(each, type) and issubclass(each, nn.Divergence)}
    learned = {nn.LearnedBernoulliKL(2): nn.BernoulliLatent, nn.LearnedCategoricalKL(2, 3): nn.LearnedCategoricalLatent}
    assert every - {nn.Divergence} == set(KINDS) | set(map(type, learned))
    assert all(type(layer.latent) is kind for layer, kind in learned.items())
    for layer, kind in KINDS.items():
        assert type(layer().latent) is kind and layer(0.5).double().latent.dtype == np.float64
    own = {name for name, each in vars(nn.Latent).items() if callable(each) and not name.startswith("_")}
    assert not own & {name for layer in KINDS for each in layer.__mro__ for name in vars(each)}


@pytest.mark.parametrize("kl", [Measured, Named, NamesHalf])
def test_a_divergence_of_ones_own_trains(kl):
    run = Training(model(kl()), Batches(IMAGES, 8))
    first, *_, last = run.run(60, progress=False)["total"]
    assert last < first and ("std" in run.protocol.columns) == (kl is Named)


def test_it_is_evaluated_once_it_names_its_kind():
    named = model(Named())
    ours = models.vae(image=(3, 3), hidden=8)
    ours.load_state_dict(named.state_dict())
    for verb in (elbo, log_likelihood):
        assert verb(named, IMAGES, samples=2).value == approx(verb(ours, IMAGES, samples=2).value, rel=1e-5)
    assert named.sample(2).shape == (2, 3, 3)


def test_without_a_kind_the_error_says_what_to_write():
    unnamed = model(Measured())
    for verb in (lambda: log_likelihood(unnamed, IMAGES), lambda: active_units(unnamed, IMAGES),
                 lambda: unnamed.sample(1), lambda: unnamed.reconstruct(IMAGES[:1].astype(np.float32))):
        with pytest.raises(MinivaeError, match=r"kl Measured: its latent_class is None.*latent_class = nn.Gauss"):
            verb()
    unnamed.kl.latent_class = "gaussian"
    with pytest.raises(MinivaeError, match="latent_class is 'gaussian'"):
        unnamed.sample(1)


def test_what_a_kind_lacks_is_named():
    half = model(NamesHalf())
    assert active_units(half, IMAGES).variance.shape == (2,)
    with pytest.raises(MissingMethodError, match="Half has no sample_prior, which kl NamesHalf is asked for; write it"):
        half.sample(1)


@pytest.mark.parametrize(("make", "verb", "arguments"), [
    (nn.Module, "update_output", 1), (nn.Module, "update_grad_input", 2), (nn.Criterion, "update_output", 2),
    (nn.Criterion, "update_grad_input", 2), (nn.Criterion, "rows", 2), (nn.Divergence, "units", 1),
    (nn.HardCode, "harden", 2), *((lambda: nn.Latent(nn.GaussianKL()), verb, arguments) for verb, arguments in {
        "log_prior": 1, "log_posterior": 2, "sample_prior": 2, "expected": 1, "most_likely": 1, "support": 1}.items())])
def test_whatever_a_class_lacks_is_one_kind_of_error(make, verb, arguments):
    with pytest.raises(MissingMethodError) as raised:
        getattr(make(), verb)(*range(arguments))
    assert isinstance(raised.value, MinivaeError) and isinstance(raised.value, NotImplementedError)


class Forgets(nn.GaussianKL):
    def update_output(self, input):
        self.output = input
        return input


class Vector(nn.GaussianKL):
    def keep(self, divergence, parameters):
        self.divergence = np.ones(3)


@pytest.mark.parametrize(("kl", "said"), [(Forgets, "does not call keep"), (Vector, "its divergence .*a number")])
def test_a_divergence_that_is_no_number_is_refused(kl, said):
    with pytest.raises(MinivaeError, match=said):
        Training(model(kl()), Batches(IMAGES, 8)).step()


class Once(nn.GaussianSampler):
    def update_output(self, input):
        return input[0].copy()


def test_a_sampler_that_draws_too_few_is_named():
    made = model(Named())
    once = models.VAE(made.encoder, made.kl, Once(), made.decoder, 2)
    for verb in (elbo, log_likelihood):
        with pytest.raises(MinivaeError, match=r"sampler Once.*: it gives .* rows for .* images and samples=3"):
            verb(once, IMAGES, samples=3)
