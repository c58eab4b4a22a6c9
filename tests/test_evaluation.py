"""Bounds of log p(x) against models whose log p(x) is known: a linear Gaussian one, and codes of a few bits."""

from math import log, pi

import numpy as np
import pytest
from few import few
from pytest import approx

from minivae import backend, evaluation, models, nn
from minivae.data import Redrawn
from minivae.errors import DTypeError, OptionError
from minivae.evaluation import active_units, elbo, exact_log_likelihood, log_likelihood

D, Q = 6, 2


def linear_gaussian(right=True):
    """(model, log_p): x = W z + b + ε in float64, and the density it gives x.

    W has orthogonal columns, so p(z|x) is a Gaussian of independent numbers, and with `right` q is exactly that.
    """
    random = np.random.default_rng(0)
    w = np.linalg.qr(random.standard_normal((D, Q)))[0] * [1.5, 0.8]
    b = random.standard_normal(D)
    variance = 1 / (1 + (w**2).sum(axis=0))  # of p(z|x)
    mean, log_var = nn.Linear(D, Q), nn.Linear(D, Q)
    encoder = nn.Sequential(nn.View(D), nn.ConcatTable(mean, log_var))
    model = models.VAE(encoder, nn.GaussianKL(), nn.GaussianSampler(), nn.Linear(Q, D), Q, "identity_gaussian").double()
    posterior = variance[:, None] * w.T
    arrays = {"encoder.1.0.weight": posterior, "encoder.1.0.bias": -posterior @ b, "decoder.weight": w,
              "encoder.1.1.weight": np.zeros((Q, D)), "encoder.1.1.bias": np.log(variance), "decoder.bias": b}
    if not right:
        arrays["encoder.1.0.bias"] = arrays["encoder.1.0.bias"] + [0.3, -0.2]
        arrays["encoder.1.1.bias"] = arrays["encoder.1.1.bias"] + [0.5, 0.3]
    model.load_state_dict(arrays)
    covariance = w @ w.T + np.eye(D)

    def log_p(x):
        error = x - b
        return -0.5 * (D * log(2 * pi) + np.linalg.slogdet(covariance)[1]
                       + (error * np.linalg.solve(covariance, error.T).T).sum(axis=1))
    return model, log_p


def gaussian_data(n=300):
    return np.random.default_rng(1).standard_normal((n, D)) * 1.5


def bits_model(code=4):
    """A model of 9 binary pixels whose decoder tells its codes apart, so that its bounds lie far apart.

    Its 32 hidden units make one random start much like another.
    """
    return telling(models.bernoulli_vae(image=(3, 3), hidden=32, code=code))


def telling(model):
    flat, _ = model.decoder.get_parameters()
    flat *= 3
    return model


def bit_images(n=200):
    return np.random.default_rng(2).integers(0, 2, (n, 3, 3), dtype=np.uint8)


def categories_model():
    """The same, with a code of 2 variables of 4 categories."""
    return telling(models.categorical_vae(image=(3, 3), hidden=32, code=2, categories=4))


def codes_by_hand(model):
    if model.kl.latent.support_size(model.code) == 2**model.code:
        return [[k >> i & 1 for i in range(model.code)] for k in range(2**model.code)]
    return [np.eye(4)[[i, j]].reshape(8) for i in range(4) for j in range(4)]


def exact_by_hand(model, images):
    """log Σ_z p(x|z) p(z), code by code."""
    x, p, codes = images.reshape(len(images), 9).astype(np.float64), 0, codes_by_hand(model)
    for z in codes:
        theta = model.decode(np.array([z], model.dtype)).reshape(9).astype(np.float64)
        p = p + np.prod(np.where(x == 1, theta, 1 - theta), axis=1) / len(codes)
    return np.log(p)


def test_with_the_exact_posterior_every_bound_is_log_p():
    """Then p(x|z) p(z) / q(z|x) is the same for all z: one draw is as good as a thousand."""
    model, log_p = linear_gaussian()
    x = gaussian_data()
    wanted = log_p(x)
    for samples in (1, 7):
        assert log_likelihood(model, x, samples=samples).per_image == approx(wanted, rel=1e-12)
    estimate = elbo(model, x, samples=4000)
    assert estimate.value == approx(wanted.mean(), abs=0.02)
    assert estimate.value == approx(-estimate.reconstruction - estimate.divergence)


def expect_growth(gaps):
    """Mean gaps to log p(x), each smaller than the one before by 4 standard errors: a false alarm in 30,000."""
    means, errors = [gap.mean() for gap in gaps], [gap.std() / np.sqrt(len(gap)) for gap in gaps]
    for k in range(len(gaps) - 1):
        assert means[k] - means[k + 1] > 4 * np.hypot(errors[k], errors[k + 1])
    assert abs(means[-1]) < 4 * errors[-1] + 1e-3


def test_the_bounds_grow_to_log_p():
    """With a q that is not the posterior: ELBO < K = 2 < K = 10 < K = 1,000, which comes near log p(x)."""
    model, log_p = linear_gaussian(right=False)
    x = gaussian_data(3000)
    exact = log_p(x)
    expect_growth([exact - elbo(model, x, samples=100).per_image]
                  + [exact - log_likelihood(model, x, samples=samples).per_image for samples in (2, 10, 1000)])


def test_the_elbo_falls_short_by_the_divergence_from_the_posterior():
    """log p(x) − ELBO = KL(q ‖ p(z|x)) = ½ Σ (s + d²/v − 1 − ln s), s the ratio of variances, d the shift."""
    right, _ = linear_gaussian()
    model, log_p = linear_gaussian(right=False)
    x = gaussian_data(50)
    v = np.exp(right.encode(x)[1][0])
    shift, s = np.array([0.3, -0.2]), np.exp([0.5, 0.3])
    gap = 0.5 * (s + shift**2 / v - 1 - np.log(s)).sum()
    estimate = elbo(model, x, samples=20000)
    assert log_p(x).mean() - estimate.value == approx(gap, abs=0.01)


@pytest.mark.parametrize("make", [bits_model, categories_model])
def test_all_codes_of_a_few_bits_or_categories(make):
    model, images = make(), bit_images()
    exact = exact_log_likelihood(model, images)
    assert exact.per_image == approx(exact_by_hand(model, images), rel=1e-5)
    assert exact.samples == 0 and exact.divergence > 0
    assert exact.divergence + exact.reconstruction == approx(-exact.value)
    p = [exact_log_likelihood(model, np.array([[k >> i & 1 for i in range(9)]], np.uint8)).value for k in range(512)]
    assert np.exp(p).sum() == approx(1, rel=1e-5)  # a distribution over the 512 images


@pytest.mark.parametrize("make", [bits_model, categories_model])
def test_a_model_that_draws_several_codes_has_the_same_exact_value(make):
    model, images = make(), bit_images(20)
    wanted = exact_log_likelihood(model, images).per_image
    model.find_modules(nn.Sampler)[0].samples = 3
    assert exact_log_likelihood(model, images).per_image == approx(wanted, rel=1e-5)
    assert model.samples == model.criterion().samples == 3


@pytest.mark.parametrize("make", few(1, [categories_model, bits_model]))
def test_the_bounds_of_discrete_codes_grow_to_the_exact_value(make):
    model, images = make(), bit_images(3000)
    exact = exact_log_likelihood(model, images).per_image
    expect_growth([exact - elbo(model, images, samples=100).per_image]
                  + [exact - log_likelihood(model, images, samples=samples).per_image for samples in (2, 10, 1000)])


def test_bits_are_hard_and_noise_is_off():
    """A relaxed code would give another bound, noise on the input a random divergence."""
    model, images = bits_model(), bit_images(20)
    seen = []
    model.decoder.modules[0].update_output = lambda z: seen.append(np.array(z)) or type(model.decoder[0]).update_output(
        model.decoder[0], z)
    elbo(model.training(), images, samples=3)
    assert set(np.unique(seen)) == {0, 1}
    noisy = models.denoising_vae(image=(3, 3), hidden=5, p=0.5)
    assert elbo(noisy, images, seed=1).divergence == approx(elbo(noisy, images, seed=2).divergence, rel=1e-5)


@pytest.mark.parametrize("estimate", [elbo, log_likelihood])
def test_the_model_the_stream_and_the_images_are_left_alone(estimate):
    model, images = models.aevb(samples=3, image=(3, 3), hidden=5, code=2), bit_images(30)
    criterion, kept, state = model.criterion(), images.copy(), backend.get_random_state()
    first = estimate(model, images, samples=4, seed=1)
    assert backend.get_random_state() == state and np.array_equal(images, kept)
    assert model.samples == criterion.samples == 3 and all(module.train for module in model.list_modules())
    again, other = estimate(model, images, samples=4, seed=1).value, estimate(model, images, samples=4).value
    assert again == approx(first.value, rel=1e-5) != other
    with pytest.raises(OptionError, match="samples is a whole number from 1"):
        estimate(model, images, samples=0)
    with pytest.raises(ValueError, match="target"):
        estimate(model, images * 200)
    assert model.samples == criterion.samples == 3 and all(module.train for module in model.list_modules())


@pytest.mark.parametrize("n", [5, 12])
def test_held_noise_is_not_evaluated_with_and_is_still_held(n):
    model, images = models.vae(image=(3, 3), hidden=5).hold_noise(), bit_images(12)
    model.forward(images[:5].astype(np.float32))
    noise = np.array(model.sampler.noise)
    assert elbo(model, images[:n], seed=0).value != elbo(model, images[:n], seed=1).value
    model.forward(images[:5].astype(np.float32))
    assert np.array_equal(model.sampler.noise, noise)


def test_draws_in_several_parts_are_the_same_as_at_once(monkeypatch):
    """The running log-sum-exp of one image, whose draws come in one order however they are cut, into many rows each."""
    model, _ = linear_gaussian(right=False)
    x = gaussian_data(1)
    at_once = log_likelihood(model, x, samples=420), elbo(model, x, samples=420)
    monkeypatch.setattr(evaluation, "PIXELS", 140 * D)
    for whole, parts in zip(at_once, (log_likelihood(model, x, samples=420), elbo(model, x, samples=420))):
        assert parts.value == approx(whole.value, rel=1e-12)


def test_weights_that_exp_cannot_hold():
    """log p(x) near −10⁵: e^w is 0 in float64 for every draw, its logarithm is not."""
    model, log_p = linear_gaussian()
    x = gaussian_data(4) + 200
    assert log_p(x).max() < -10000
    assert log_likelihood(model, x, samples=10).per_image == approx(log_p(x), rel=1e-10)


@pytest.mark.parametrize("chunk", [1, 3, 6])
def test_draws_that_cannot_have_made_the_image_count_for_nothing(chunk, monkeypatch):
    """The first chunk of draws, or all, explain an image with probability 0."""
    model, x = linear_gaussian()[0], gaussian_data(2)
    monkeypatch.setattr(evaluation, "PIXELS", chunk * x.size)
    found, plain = [], evaluation._log_likelihood

    def watched(model, x, z):
        found.append(plain(model, x, z))
        if len(found) == 1:
            found[0][...] = -np.inf
        found[-1][1] = -np.inf
        return found[-1]

    monkeypatch.setattr(evaluation, "_log_likelihood", watched)
    estimate = log_likelihood(model, x, samples=6)
    assert np.isfinite(estimate.per_image[0]) == (chunk < 6) and estimate.per_image[1] == -np.inf
    assert str(estimate) == "-inf ± inf nats per image"
    monkeypatch.setattr(nn.BCEWithLogitsCriterion, "pairs", lambda self, a, x: np.full((len(x), len(a)), np.inf))
    assert (exact_log_likelihood(bits_model(), bit_images(3)).per_image == -np.inf).all()


def test_a_model_with_two_samplers_is_refused():
    encoder, sampler = nn.ConcatTable(nn.Linear(D, Q), nn.Linear(D, Q)), nn.GaussianSampler()
    model = models.VAE(encoder, nn.GaussianKL(), nn.Sequential(sampler, nn.BernoulliSampler()), nn.Linear(Q, D), Q,
                       "identity_gaussian")
    for estimate in (elbo, log_likelihood):
        with pytest.raises(OptionError, match=r"has 2: sampler.0 GaussianSampler, sampler.1 BernoulliSampler"):
            estimate(model, gaussian_data(2).astype(np.float32))


def test_grey_bytes_and_redrawn_bits_are_scaled():
    model = models.aevb(image=(3, 3), hidden=5, code=2)
    grey = (255 * np.random.default_rng(3).random((40, 3, 3))).astype(np.uint8)
    assert elbo(model, grey, 1 / 255).value == approx(elbo(model, (grey / 255).astype(np.float32)).value, rel=1e-6)
    assert elbo(model, Redrawn(grey)).value == elbo(model, Redrawn(grey).draw(0)).value


def test_active_units():
    """Of three numbers of the code the second follows the image, the third hardly; the first and its KL are 0."""
    model = models.aevb(image=(3, 3), hidden=4, code=3)
    heads = model.encoder[3]
    for head in heads:
        head.weight[...] = 0
        head.bias[...] = 0
    heads[0].weight[1], heads[0].weight[2] = 1, 0.001
    images = bit_images()
    active = active_units(model, images)
    assert active.count == 1 and active.variance.argmax() == 1 and active.variance[0] == 0
    mean = model.encode(images.astype(np.float32))[0]
    assert active.variance == approx(mean.var(axis=0), rel=1e-4)
    assert active.divergence == approx(0.5 * (mean.astype(np.float64)**2).mean(axis=0), rel=1e-4)
    assert active_units(model, images, threshold=0).count == 2
    categories = active_units(categories_model(), images, threshold=1e-5)
    assert categories.count == 2 == len(categories.variance) and (categories.variance <= 0.75).all()
    bits = active_units(bits_model(), images, threshold=1e-5)
    assert bits.count == 4 and (bits.variance <= 0.25).all() and (bits.divergence <= np.log(2) + 1e-6).all()


def test_an_image_that_is_no_number_shows_in_every_answer():
    (model, _), images = linear_gaussian(), gaussian_data()
    images[3, 0] = np.nan
    with np.errstate(invalid="ignore"):
        answers = [elbo(model, images).value, log_likelihood(model, images, samples=2).value,
                   active_units(model, images).count]
    assert np.isnan(answers).all()


def test_estimates_read_well():
    estimate = evaluation.Estimate(np.array([-1.0, -2.0, -3.0]), 5, 1.5, 0.5)
    assert repr(estimate) == str(estimate) == "-2.00 ± 0.58 nats per image, that is −(1.50 reconstruction + 0.50 KL)"
    assert str(evaluation.Estimate(np.array([-1.0]), 0)) == "-1.00 ± inf nats per image"


def test_what_cannot_be_evaluated_is_explained():
    with pytest.raises(OptionError, match=r"such as 12 bits, not BernoulliKL and a code of 13; log_likelihood"):
        exact_log_likelihood(bits_model(13), bit_images())
    with pytest.raises(OptionError, match=r"not GaussianKL"):
        exact_log_likelihood(models.vae(image=(3, 3), hidden=3), bit_images())
    for estimate in (elbo, log_likelihood, exact_log_likelihood, evaluation.encode, active_units):
        with pytest.raises(OptionError, match="no images"):
            estimate(bits_model(), bit_images(0))
        with pytest.raises(DTypeError, match="expected an array, got list"):
            estimate(bits_model(), bit_images().tolist())
        with pytest.raises(OptionError, match="scale is what pixels are multiplied by"):
            estimate(bits_model(), bit_images(), "255")
    with pytest.raises(OptionError, match="threshold is a variance"):
        active_units(bits_model(), bit_images(), threshold="0.01")
