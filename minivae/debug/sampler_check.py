"""The check, by counting, that a sampler draws from the distribution that it names.

A gradient check holds the noise, so it cannot see a wrong distribution: exp(log_var) for the standard deviation passes.
"""

from math import erf, exp, expm1, pi, prod, sqrt
from typing import Any

import numpy as np

from minivae import backend, nn
from minivae.debug.draws.distribution_report import DistributionReport
from minivae.debug.draws.draw_statistics import (
    DRAWS,
    expect_countable,
    explained,
    in_small_batches,
    moments,
    repeats,
    together,
)
from minivae.debug.draws.noise_shapes import shape
from minivae.errors import OptionError, ShapeError

COLDEST = 0.1  # temperature at which a softmax still rounds few numbers to 0
UNIFORM = (-sqrt(0.75), 0.25), (0, 0.5), (sqrt(0.75), 0.75)  # of the uniform distribution of variance 1
MIXED = ("the rows of different images are mixed: the draws of one row belong side by side, row n·L + l is draw l for "
         "row n, as numpy.repeat groups them and numpy.tile does not")

OTHER_BITS = (  # what a bit may be 1 with, in place of σ(a)
    ("the noise seems to be normal: a bit is 1 with probability Φ(a), and logistic noise, ln u − ln(1 − u), gives σ(a)",
     lambda a: (1 + erf(a / sqrt(2))) / 2),
    ("one Gumbel, −ln(−ln u), is added to the logit, where logistic noise belongs: ln u − ln(1 − u)",
     lambda a: -expm1(-exp(a))),
    ("one Gumbel of the wrong sign, ln(−ln u), is added to the logit, where logistic noise belongs: ln u − ln(1 − u)",
     lambda a: exp(-exp(-a))),
    ("a bit is 1 with probability 1 − σ(a), where σ(a) belongs: a comparison is turned round, or a sign",
     lambda a: _logistic(-a)),
    ("the logit is taken for the probability, of which it is ln θ − ln(1 − θ): θ = σ(a)", lambda a: min(max(a, 0), 1)),
    ("the bits do not depend on the logits", lambda a: 0.5))


def check_sampler(sampler: Any, kind: str | None = None, draws: int = DRAWS, seed: int = 0, false_alarm: float = 1e-6,
                  changes: bool = True) -> DistributionReport:
    """Count what a sampler draws.  Returns a DistributionReport.

        kind   "gaussian": (mean, log_var) -> z, to be N(mean, e^log_var)
               "bernoulli": logits a -> y = (a + logistic noise) / temperature; y > 0 with probability σ(a)
               "relaxed": logits a -> σ of that, between 0 and 1      "bits": logits a -> 0, or 1 with probability σ(a)
               "categorical": logits a (N, K, C) -> K vectors softmax((a + Gumbel noise) / temperature), or one-hot
               None: from the class, a GaussianSampler, BernoulliSampler or GumbelSoftmaxSampler

    It checks the mean and variance of every unit, that units and rows are independent, and the divergence: the mean of
    ln q(z|x) − ln p(z) over the draws beside the closed form of the KL layer.  With `changes`, of a class that is not
    minivae's it looks for one change of the source by which the draws are right, for about ten seconds, and tries it
    with more draws.
    """
    expect_countable("check_sampler", "sampler", sampler, draws, false_alarm)
    kind = kind or next((name for name, cls in (("gaussian", nn.GaussianSampler), ("bernoulli", nn.BernoulliSampler),
                                                ("categorical", nn.GumbelSoftmaxSampler))
                         if isinstance(sampler, cls)), None)
    checks = {"gaussian": _check_gaussian, "bernoulli": _check_bernoulli, "relaxed": _check_relaxed,
              "bits": _check_bits, "categorical": _check_categorical}
    if kind not in checks:
        raise OptionError(f"check_sampler does not know what {type(sampler).__name__} draws: give kind=\"gaussian\", "
                          "\"bernoulli\", \"relaxed\", \"bits\" or \"categorical\"")

    def count(layer, draws, seed=seed):
        report = DistributionReport(layer.title, false_alarm)
        with backend.seeded(seed):
            checks[kind](layer, draws, report)
        return report

    twin = sampler.clone().cpu().double().training()
    if twin.children():  # a sampler and layers behind it
        twin.samples = prod(getattr(layer, "samples", 1) for layer in twin.list_modules())
    return explained(twin, count, draws, changes)


def _check_gaussian(sampler, draws, report):
    unit = np.array([[-1.0, 0.5, 2.0, 0.0], [-2.0, 0.0, 1.0, 2.5]])  # means and log-variances of four units
    rows = max(2, draws // sampler.samples)
    mean, log_var = (np.tile(each, (rows, 1)) for each in unit)
    mean[1::2] += 3  # so that draws given to the wrong row show
    z = np.array(sampler.forward((mean, log_var)))
    _expect_rows(report, z, rows, sampler, unit.shape[1])

    def noise(wide=np.repeat, power=0.5):
        means, log_vars = (wide(each, sampler.samples, axis=0) for each in (mean, log_var))
        return (z - means) / np.exp(power * log_vars)

    names = [f"of (z − mean) / e^(log_var/2), log_var {v:g}" for v in unit[1]]
    moments(report, noise(), names, samples=sampler.samples)
    _divergence(report, nn.GaussianKL().double(), (mean, log_var), z)
    in_small_batches(report, sampler, (mean, log_var), draws)
    report.explain(
        ("σ² stands where σ belongs: the noise is scaled by e^log_var, and e^(log_var/2) is the standard deviation",
         lambda guess: moments(guess, noise(power=1), names)),
        ("the noise is not scaled: it belongs times σ = e^(log_var/2)", lambda guess: moments(guess, noise(power=0),
                                                                                              names)),
        ("the noise is divided by σ where it belongs times σ = e^(log_var/2)",
         lambda guess: moments(guess, noise(power=-0.5), names)),
        (MIXED, lambda guess: moments(guess, noise(_tile), names)))
    report.describe(noise(), "normal", samples=sampler.samples)


def _check_relaxed(sampler, draws, report):
    _check_bernoulli(sampler, draws, report, lambda z: np.log(z) - np.log1p(-z))


def _check_bits(sampler, draws, report):
    logits, y = _bits(sampler, draws, report, lambda z: z - 0.5)
    report.add("largest distance of a bit from 0 and 1", np.abs(np.abs(y) - 0.5).max(), 0, 0)
    noise = np.array(y)
    for start, which in enumerate(("even", "odd")):
        rows = np.arange(len(y)) // sampler.samples % 2 == start
        spread = y[rows].std(axis=0)  # and their own mean, so that a wrong share shows above only
        noise[rows] = (y[rows] - y[rows].mean(axis=0)) / np.where(spread == 0, 1, spread)
        together(report, f"{which} rows with y > 0", y[rows] > 0, sampler.samples)
    if not noise.any():
        report.findings.append("all rows of the batch have the same noise: draw a number for each entry")
    for name, a, b in (("one row with the next", noise[:-1], noise[1:]),
                       ("the first half of the rows with the second", *np.split(noise[:len(noise) // 2 * 2], 2))):
        report.add(f"correlation of {name}", (a * b).mean(), 0, 1 / sqrt(a.size))
        if report.statistics[-1] in report.wrong():
            report.findings.append(f"the bits of {name} depend on each other: draw a number for each entry")
    _divergence(report, nn.BernoulliKL().double(), logits, (y > 0).astype(np.float64))
    report.explain(*((sentence, lambda guess, probability=probability: _shares(
        guess, sampler, logits, y, probability)) for sentence, probability in OTHER_BITS))
    report.describe()


def _bits(sampler, draws, report, to_sign):
    """(Logits, `to_sign` of what the sampler makes of them), and the share of each unit that is above 0."""
    n = max(2, draws // sampler.samples)
    logits = np.tile([-3.0, -0.5, 0.0, 2.0], (n, 1))
    logits[1::2] += 1
    with np.errstate(all="ignore"):
        y = to_sign(np.array(sampler.forward(logits)))
    _expect_rows(report, y, n, sampler, logits.shape[1])
    _shares(report, sampler, logits, y, _logistic)
    in_small_batches(report, sampler, logits, draws)
    return logits, y


def _logistic(logit):
    return 1 / (1 + exp(-logit))


def _shares(report, sampler, logits, y, probability):
    """The share of bits that are 1, by logit, beside their probability."""
    for start, k in np.ndindex(2, logits.shape[1]):
        theta = probability(logits[start, k])
        rows = np.arange(len(y)) // sampler.samples % 2 == start
        report.add(f"share of y > 0 for logit {logits[start, k]:g}", (y[rows, k] > 0).mean(), theta,
                   sqrt(theta * (1 - theta) / rows.sum()))


def _check_bernoulli(sampler, draws, report, to_sign=np.array):
    logits, y = _bits(sampler, draws, report, to_sign)
    temperature = _temperature(sampler) or 1

    def uniform(wide=np.repeat, temperature=temperature, warm=1):  # the noise is logistic, so its σ is uniform
        return 1 / (1 + np.exp(warm * wide(logits, sampler.samples, axis=0) - temperature * y))

    def of_a_gumbel(location):  # u, if T·y = location − ln(−ln u)
        return np.exp(-np.exp(location(np.repeat(logits, sampler.samples, axis=0)) - temperature * y))

    _uniform(report, uniform(), samples=sampler.samples)
    _divergence(report, nn.BernoulliKL().double(), logits, (y > 0).astype(np.float64))
    if ((y >= 0) & (y <= 1)).all():
        report.findings.append("y lies between 0 and 1: it has to be (logit + noise) / temperature, any number; the "
                               "sigmoid of it is another layer's, of kind=\"relaxed\"")
        return
    report.explain(("one Gumbel is added to ln θ, as in the article's listing: a bit is 1 with probability 1 − e^−θ",
                    lambda guess: _uniform(guess, of_a_gumbel(lambda a: -np.log1p(np.exp(-a))))),
                   ("one Gumbel, −ln(−ln u), is added to the logit, where logistic noise belongs: ln u − ln(1 − u)",
                    lambda guess: _uniform(guess, of_a_gumbel(lambda a: a))),
                   ("the sum of logit and noise is not divided by the temperature",
                    lambda guess: _uniform(guess, uniform(temperature=1))),
                   ("the sum of logit and noise is multiplied by the temperature, by which it has to be divided",
                    lambda guess: _uniform(guess, uniform(temperature=1 / temperature))),
                   ("the logit is divided by the temperature and the noise is not: divide their sum",
                    lambda guess: _uniform(guess, uniform(temperature=1, warm=1 / temperature))),
                   ("the noise is divided by the temperature and the logit is not: divide their sum",
                    lambda guess: _uniform(guess, uniform(warm=temperature))),
                   (MIXED, lambda guess: _uniform(guess, uniform(_tile))))
    report.describe(temperature * y - np.repeat(logits, sampler.samples, axis=0), "logistic, ln u − ln(1 − u),",
                    pi / sqrt(3), sampler.samples)


def _uniform(report, u, what="noise", samples=1):
    names = [f"of u = σ({what}), unit {k}" for k in range(u.shape[1])]
    moments(report, (u - 0.5) * sqrt(12), names, fourth=1.8, quantiles=UNIFORM, mean=0.5, spread=1 / sqrt(12),
            samples=samples)


def _temperature(sampler):
    """That of the sampler or, if layers are behind it, of the one among them; None if there is none."""
    return next((layer.temperature for layer in sampler.list_modules() if hasattr(layer, "temperature")), None)


def _expect_rows(report, draws, rows, sampler, units):
    wanted = rows * sampler.samples, units
    if draws.shape != wanted:
        raise ShapeError(f"{report.title}: the draws have shape {draws.shape}, expected {wanted}: {sampler.samples} "
                         f"for each of {rows} rows")


def _tile(array, times, axis):
    return np.tile(array, (times, 1))


def _check_categorical(sampler, draws, report):
    logits = np.tile([[0.0, 1.0, 2.0], [1.0, 0.0, -1.0]], (max(2, draws // sampler.samples), 1, 1))
    logits[1::2, :, 0] += 1  # so that draws given to the wrong row show
    y = np.array(sampler.forward(logits)).reshape(-1, 2, 3)
    report.add("largest distance of a vector's sum from 1", np.abs(y.sum(axis=2) - 1).max(), 0, 1e-12)
    largest = y.argmax(axis=2)

    def shares(to, probabilities, odd):
        for rows, where in ((~odd, "even"), (odd, "odd")):
            p = probabilities(logits[int(where == "odd")])
            n, hit = rows.sum(), largest[rows, :, None] == np.arange(3)
            for k, c in np.ndindex(2, 3):
                to.add(f"share of category {c} of variable {k}, {where} rows", hit[:, k, c].mean(), p[k, c],
                       sqrt(p[k, c] * (1 - p[k, c]) / n))
            for name, both, pair in (("both variables in category 0", hit[:, 0, 0] & hit[:, 1, 0], p[0, 0] * p[1, 0]),
                                     ("two rows in category 1", hit[:-1, 0, 1] & hit[1:, 0, 1], p[0, 1]**2)):
                to.add(f"share of {name}, {where} rows", both.mean(), pair, sqrt(3 * pair * (1 - pair) / len(both)))

    def softmax(logits):
        p = np.exp(logits)
        return p / p.sum(axis=1, keepdims=True)

    def of_negative_gumbels(logits):  # the largest a + ln E, E exponential, is the largest of exponentials of mean e^a
        rates = np.exp(-logits)
        i, j = rates[:, [1, 2, 0]], rates[:, [2, 0, 1]]
        return 1 - rates / (rates + i) - rates / (rates + j) + rates / (rates + i + j)

    named = _temperature(sampler)
    temperature = named or 1
    odd, tiled = np.arange(len(y)) // sampler.samples % 2 == 1, np.arange(len(y)) % len(logits) % 2 == 1
    with np.errstate(all="ignore"):  # a softmax in which the largest of all has taken everything
        ratio = np.log(y[..., :2] / y[..., 1:]).reshape(len(y), -1)
    apart = np.repeat(logits[..., :2] - logits[..., 1:], sampler.samples, axis=0).reshape(len(y), -1)
    difference = temperature * ratio - apart  # of two Gumbel variables, which is logistic

    def ratios(to, temperature):
        with np.errstate(over="ignore"):
            u = 1 / (1 + np.exp(apart - temperature * ratio))[:, [0, 3]]  # that do not depend on each other
        _uniform(to, np.nan_to_num(u, nan=0.5), "difference of noise", sampler.samples)

    shares(report, softmax, odd)
    if named and not np.isin(y, (0, 1)).all() and (named >= COLDEST or np.isfinite(ratio).all()):
        ratios(report, named)
    elif np.isfinite(difference).all():
        repeats(report, difference)
    report.explain(("the Gumbel noise has the wrong sign: −ln(−ln u) belongs to the logit, and +ln(−ln u) is added",
                    lambda guess: shares(guess, of_negative_gumbels, odd)),
                   ("the logits are divided by the temperature and the noise is not: divide their sum",
                    lambda guess: shares(guess, lambda logits: softmax(logits / temperature), odd)),
                   ("the noise is divided by the temperature and the logits are not: divide their sum",
                    lambda guess: shares(guess, lambda logits: softmax(logits * temperature), odd)),
                   ("the logits are subtracted where they are to be added", lambda guess: shares(
                       guess, lambda logits: softmax(-logits), odd)),
                   ("the draws do not depend on the logits", lambda guess: shares(
                       guess, lambda logits: softmax(0 * logits), odd)),
                   (MIXED, lambda guess: shares(guess, softmax, tiled)),
                   ("the sum of logits and noise is not divided by the temperature", lambda guess: ratios(guess, 1)),
                   ("the sum of logits and noise is multiplied by the temperature, by which it has to be divided",
                    lambda guess: ratios(guess, 1 / temperature)),
                   ("the sum of logits and noise is divided by the temperature twice",
                    lambda guess: ratios(guess, temperature**2)))
    if np.abs(y.sum(axis=2) - 1).max() > 1e-9 > np.abs(y.sum(axis=(1, 2)) - 1).max():
        report.findings.append("all K·C numbers of a row add up to 1: each of the K variables needs a softmax, or a "
                               "largest, of its own C categories")
    if report.wrong() and all(np.ptp(largest[rows], axis=0).max() == 0 for rows in (odd, ~odd)):
        report.findings.append("the largest logit wins always: no Gumbel noise is added")
    if np.isfinite(difference).all():
        of_one, of_other = difference[:, :2], difference[:, 2:]
        if np.allclose(of_one, of_other, rtol=0, atol=1e-9):
            report.findings.append("all variables of a row have the same noise: each needs C numbers of its own, "
                                   "(rows, K, C) in all")
        if report.wrong() and not report.findings and shape(difference / difference.std(axis=0)) == "Laplace":
            report.findings.append("the noise seems to be exponential, −ln u: it needs a Gumbel variable, −ln(−ln u)")
        of_two_logistic = pi * sqrt(2 / 3)
        if report.wrong() and not report.findings and np.allclose(
                difference.std(axis=0), of_two_logistic, rtol=0.02):
            report.findings.append("each logit seems to get logistic noise, ln u − ln(1 − u): it needs one Gumbel "
                                   "variable, −ln(−ln u)")
        report.describe(difference, "logistic, as the difference of two Gumbel variables is,", pi / sqrt(3),
                        sampler.samples)
    report.describe()
    in_small_batches(report, sampler, logits, draws)
    hard = np.eye(3)[largest].reshape(len(y), 6)
    _divergence(report, nn.CategoricalKL(categories=3).double(), logits, hard)


def _divergence(report, kl, parameters, z):
    ratio = kl.latent.log_posterior(parameters, z) - kl.latent.log_prior(z)
    report.add("KL(q ‖ p), mean of ln q(z|x) − ln p(z)", ratio.mean(), kl.rows(parameters).mean(),
               ratio.std() / sqrt(len(ratio)))
