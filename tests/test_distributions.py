"""Random layers, tested by counting.  False-alarm rates are for one run of one test with a random seed.

Each test takes the mean of n independent draws and allows it 5 standard errors: a correct layer fails with
probability 6e-7.  The seed is fixed, so a test that passes keeps passing.
"""

import numpy as np
import pytest

from minivae import nn

N = 20000


def within_five_errors(draws, wanted):
    """Whether the mean of the draws is as near to `wanted` as it should be, whatever their distribution."""
    draws = np.asarray(draws, dtype=np.float64)
    return abs(draws.mean() - wanted) <= 5 * draws.std() / np.sqrt(draws.size)


def column(value):
    return np.full((N, 1), value, dtype=np.float32)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_bernoulli_noise_flips_a_share_p(p):
    """The public listing flips every pixel: it overwrites the zeros it has just made."""
    flipped = nn.BernoulliNoise(p).forward(column(0))
    assert within_five_errors(flipped, p)
    assert set(np.unique(flipped)) <= {0, 1}


def test_gaussian_noise_has_its_standard_deviation():
    noise = nn.GaussianNoise(0.3).forward(column(2)) - 2
    assert within_five_errors(noise, 0) and within_five_errors(noise**2, 0.09)


@pytest.mark.parametrize("log_var", [-2.0, 0.0, 1.5])
def test_gaussian_sampler_moments(log_var):
    """The variance is e^log_var: σ² in place of σ, as the article's text has it, would give e^(2 log_var)."""
    z = nn.GaussianSampler().forward((column(0.7), column(log_var))) - 0.7
    variance = np.exp(log_var)
    assert within_five_errors(z, 0)
    assert within_five_errors(z**2, variance)
    assert within_five_errors(z**4, 3 * variance**2)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
def test_bit_is_one_with_probability_p_at_any_temperature(p, temperature):
    """One Gumbel in place of a logistic variable gives 1 − e^−p: .613 for p = .95."""
    y = nn.BernoulliSampler(temperature).forward(column(np.log(p) - np.log(1 - p)))
    assert within_five_errors(y > 0, p)


@pytest.mark.parametrize("temperature", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("p", [(0.5, 0.3, 0.2), (0.9, 0.05, 0.05), (0.98, 0.019, 0.001)])
@pytest.mark.parametrize("samples", [1, 4])
def test_hard_categories_have_the_probabilities_of_the_softmax(p, temperature, samples):
    """At any temperature; with logistic noise on each logit, say, the rare ones would come too often."""
    logits = np.tile(np.log(np.array([p, p[::-1]], np.float32)) + 3, (N // samples, 1, 1))
    sampler = nn.Sequential(nn.GumbelSoftmaxSampler(temperature, samples), nn.HardOneHot(3)).evaluate()
    z = sampler.forward(logits).reshape(N, 2, 3)
    assert set(np.unique(z)) == {0, 1} and (z.sum(axis=2) == 1).all()
    for c in range(3):
        assert within_five_errors(z[:, 0, c], p[c]) and within_five_errors(z[:, 1, 2 - c], p[c])
        assert within_five_errors(z[:, 0, c] * z[:, 1, c], p[c] * p[2 - c])  # the variables are independent


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_two_categories_are_a_relaxed_bit(temperature):
    """The first of two is σ((a₀ − a₁ + logistic noise) / T): the same mean and spread as BernoulliSampler's."""
    pair = nn.GumbelSoftmaxSampler(temperature).forward(np.tile(np.float32([0.3, 1.0]), (N, 1, 1)))[:, 0]
    bit = nn.Sequential(nn.BernoulliSampler(temperature), nn.Sigmoid()).forward(column(-0.7))[:, 0]
    for power in (1, 2, 3):
        difference = pair.astype(np.float64)**power - bit.astype(np.float64)**power  # of independent draws
        assert within_five_errors(difference, 0)


def test_lower_temperature_is_nearer_to_bits():
    shares = []
    for temperature in (0.1, 0.5, 2 / 3, 1, 2, 5):
        y = nn.BernoulliSampler(temperature).forward(column(np.log(0.3) - np.log(0.7)))
        shares.append((np.abs(y) < np.log(9)).mean())  # relaxed bits in (.1, .9)
    assert shares == pytest.approx([0.09, 0.44, 0.56, 0.75, 0.97, 1.0], abs=0.02)


def test_gaussian_kl_is_the_mean_log_ratio():
    mean, log_var = 0.8, -1.2
    kl = nn.GaussianKL()
    kl.forward((column(mean), column(log_var)))
    z = nn.GaussianSampler().forward((column(mean), column(log_var))).astype(np.float64)
    log_q = -0.5 * (np.log(2 * np.pi) + log_var + (z - mean) ** 2 / np.exp(log_var))
    log_p = -0.5 * (np.log(2 * np.pi) + z**2)
    assert within_five_errors(log_q - log_p, kl.divergence / N)


@pytest.mark.parametrize("prior", [0.5, 0.2])
def test_bernoulli_kl_is_the_mean_log_ratio(prior):
    p = 0.9
    logits = column(np.log(p) - np.log(1 - p))
    kl = nn.BernoulliKL(prior=prior)
    kl.forward(logits)
    bits = nn.BernoulliSampler().forward(logits) > 0
    ratio = np.where(bits, np.log(p / prior), np.log((1 - p) / (1 - prior)))
    assert within_five_errors(ratio, kl.divergence / N)


def test_categorical_kl_is_the_mean_log_ratio():
    p = np.array([0.7, 0.2, 0.1])
    logits = np.tile(np.log(p).astype(np.float32), (N, 1, 1))
    kl = nn.CategoricalKL()
    kl.forward(logits)
    z = nn.Sequential(nn.GumbelSoftmaxSampler(), nn.HardOneHot(3)).evaluate().forward(logits)
    assert within_five_errors(np.log(3 * p)[z.argmax(axis=1)], kl.divergence / N)


@pytest.mark.parametrize(("kl", "mean", "square"), [(nn.GaussianKL(), 0, 1), (nn.BernoulliKL(prior=0.3), 0.3, 0.3),
                                                    (nn.CategoricalKL(categories=4), 0.25, 0.25)])
def test_prior_samples_have_the_priors_moments(kl, mean, square):
    z = kl.latent.sample_prior(N // 4, 4)
    assert within_five_errors(z, mean) and within_five_errors(z**2, square)
