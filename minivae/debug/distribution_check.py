"""Whether random layers draw from the distribution that they name: moments, flip rates, divergences by counting.

A gradient check holds the noise, so it cannot see a wrong distribution: exp(log_var) for the standard deviation passes.
"""

from math import sqrt

import numpy as np

from minivae import backend, nn
from minivae.debug.distribution_report import DistributionReport
from minivae.errors import OptionError

DRAWS = 100_000


def check_sampler(sampler, kind=None, draws=DRAWS, seed=0, false_alarm=1e-6):
    """Count what a sampler draws.  Returns a DistributionReport.

        kind   "gaussian": (mean, log_var) -> z, to be N(mean, e^log_var)
               "bernoulli": logits a -> y = (a + logistic noise) / temperature; y > 0 with probability σ(a)
               "categorical": logits a (N, K, C) -> K relaxed one-hot vectors, whose largest is softmax(a)-distributed
               None: from the class, a GaussianSampler, BernoulliSampler or GumbelSoftmaxSampler

    It checks the mean and variance of every unit, that units and rows are independent, and the divergence: the mean of
    ln q(z|x) − ln p(z) over the draws beside the closed form of the KL layer.
    """
    kind = kind or next((name for name, cls in (("gaussian", nn.GaussianSampler), ("bernoulli", nn.BernoulliSampler),
                                                ("categorical", nn.GumbelSoftmaxSampler))
                         if isinstance(sampler, cls)), None)
    checks = {"gaussian": _check_gaussian, "bernoulli": _check_bernoulli, "categorical": _check_categorical}
    if kind not in checks:
        raise OptionError(f"check_sampler does not know what {type(sampler).__name__} draws: give kind=\"gaussian\", "
                          "\"bernoulli\" or \"categorical\"")
    report = DistributionReport(sampler.title, false_alarm)
    with backend.seeded(seed):
        twin = sampler.clone().cpu().double().training()
        checks[kind](twin, draws, report)
    return report


def _check_gaussian(sampler, draws, report):
    unit = np.array([[-1.0, 0.5, 2.0, 0.0], [-2.0, 0.0, 1.0, 2.5]])  # means and log-variances of four units
    rows = max(2, draws // sampler.samples)
    mean, log_var = (np.tile(each, (rows, 1)) for each in unit)
    mean[1::2] += 3  # so that draws given to the wrong row show
    z = np.array(sampler.forward((mean, log_var)))
    wide_mean, std = np.repeat(mean, sampler.samples, axis=0), np.exp(np.repeat(log_var, sampler.samples, axis=0) / 2)
    noise = (z - wide_mean) / std
    _moments(report, noise, [f"of (z − mean) / e^(log_var/2), log_var {v:g}" for v in unit[1]])
    kl = nn.GaussianKL().double()
    _divergence(report, kl, (mean, log_var), z)


def _check_bernoulli(sampler, draws, report):
    logits = np.tile([-3.0, -0.5, 0.0, 2.0], (max(2, draws // sampler.samples), 1))
    logits[1::2] += 1
    y, wide = np.array(sampler.forward(logits)), np.repeat(logits, sampler.samples, axis=0)
    for k in range(wide.shape[1]):
        for start in (0, 1):
            theta = 1 / (1 + np.exp(-logits[start, k]))
            rows = np.arange(len(y)) // sampler.samples % 2 == start
            report.add(f"share of y > 0 for logit {logits[start, k]:g}", (y[rows, k] > 0).mean(), theta,
                       sqrt(theta * (1 - theta) / rows.sum()))
    noise = getattr(sampler, "temperature", 1) * y - wide  # logistic, so its σ is uniform
    uniform = 1 / (1 + np.exp(-noise))
    _moments(report, (uniform - 0.5) * sqrt(12), [f"of the noise's σ, unit {k}" for k in range(y.shape[1])], fourth=1.8)
    _divergence(report, nn.BernoulliKL().double(), logits, (y > 0).astype(np.float64))


def _check_categorical(sampler, draws, report):
    logits = np.tile([[0.0, 1.0, 2.0], [1.0, 0.0, -1.0]], (max(2, draws // sampler.samples), 1, 1))
    logits[1::2, :, 0] += 1  # so that draws given to the wrong row show
    y = np.array(sampler.forward(logits)).reshape(-1, 2, 3)
    report.add("largest distance of a vector's sum from 1", np.abs(y.sum(axis=2) - 1).max(), 0, 1e-12)
    largest, odd = y.argmax(axis=2), np.arange(len(y)) // sampler.samples % 2 == 1
    for rows, where in ((~odd, "even"), (odd, "odd")):
        p = np.exp(logits[int(where == "odd")])
        p /= p.sum(axis=1, keepdims=True)
        n, hit = rows.sum(), largest[rows, :, None] == np.arange(3)
        for k, c in np.ndindex(2, 3):
            report.add(f"share of category {c} of variable {k}, {where} rows", hit[:, k, c].mean(), p[k, c],
                       sqrt(p[k, c] * (1 - p[k, c]) / n))
        for name, both, pair in (("both variables in category 0", hit[:, 0, 0] & hit[:, 1, 0], p[0, 0] * p[1, 0]),
                                 ("two rows in category 1", hit[:-1, 0, 1] & hit[1:, 0, 1], p[0, 1]**2)):
            report.add(f"share of {name}, {where} rows", both.mean(), pair, sqrt(3 * pair * (1 - pair) / len(both)))
    hard = np.eye(3)[largest].reshape(len(y), 6)
    _divergence(report, nn.CategoricalKL(categories=3).double(), logits, hard)


def _moments(report, noise, names, fourth=3.0):
    """Mean 0, variance 1 of each unit, given its fourth moment, and no correlation of units or of rows."""
    n = len(noise)
    for k, name in enumerate(names):
        report.add(f"mean {name}", noise[:, k].mean(), 0, 1 / sqrt(n))
        report.add(f"variance {name}", (noise[:, k]**2).mean(), 1, sqrt((fourth - 1) / n))
    report.add("correlation of neighbouring units", (noise[:, :-1] * noise[:, 1:]).mean(), 0,
               1 / sqrt(n * (noise.shape[1] - 1)))
    report.add("correlation of one row with the next", (noise[:-1] * noise[1:]).mean(), 0,
               1 / sqrt((n - 1) * noise.shape[1]))


def _divergence(report, kl, parameters, z):
    ratio = kl.log_posterior(parameters, z) - kl.log_prior(z)
    report.add("KL(q ‖ p), mean of ln q(z|x) − ln p(z)", ratio.mean(), kl.rows(parameters).mean(),
               ratio.std() / sqrt(len(ratio)))


def check_noise(layer, kind=None, draws=DRAWS, seed=0, false_alarm=1e-6):
    """Count what a noise layer adds.  Returns a DistributionReport.

        kind   "bernoulli": x -> 1 − x with probability layer.p      "gaussian": x + layer.std · ε
               None: from the class, a BernoulliNoise or GaussianNoise

    In evaluation mode the layer must hand on its input.
    """
    kind = kind or next((name for name, cls in (("bernoulli", nn.BernoulliNoise), ("gaussian", nn.GaussianNoise))
                         if isinstance(layer, cls)), None)
    if kind not in ("gaussian", "bernoulli"):
        raise OptionError(f"check_noise does not know what {type(layer).__name__} adds: give kind=\"gaussian\" or "
                          "\"bernoulli\"")
    report = DistributionReport(layer.title, false_alarm)
    with backend.seeded(seed):
        twin = layer.clone().cpu().double().training()
        x = np.tile([0.0, 0.2, 0.7, 1.0], (draws // 4, 1))
        y = np.array(twin.forward(x.copy()))
        if kind == "gaussian":
            _moments(report, (y - x) / twin.std, [f"of (y − x) / std, x = {value:g}" for value in x[0]])
        else:
            _flips(report, twin, x, y)
        report.add("largest change in evaluation mode", np.abs(twin.evaluate().forward(x.copy()) - x).max(), 0, 0)
    return report


def _flips(report, layer, x, y):
    p, flipped = layer.p, np.abs(y - x) > 1e-9
    report.add("largest distance of y from x and from 1 − x", np.minimum(abs(y - x), abs(y - (1 - x))).max(), 0, 1e-12)
    for k, value in enumerate(x[0]):
        report.add(f"share flipped of pixels {value:g}", flipped[:, k].mean(), p, sqrt(p * (1 - p) / len(x)))
    both = (flipped[:, :-1] & flipped[:, 1:]).mean()
    report.add("share of neighbours both flipped", both, p * p, sqrt(p**2 * (1 - p**2) / len(x)))
    grad = np.array(layer.backward(x, np.ones_like(x)))
    for name, where, slope in (("flipped pixels whose derivative is −1", flipped, -1),
                               ("other pixels whose derivative is 1", ~flipped, 1)):
        report.add(f"share of {name}", (grad[where] == slope).mean() if where.any() else 1, 1, 0)
