"""Checks, by counting, that random layers draw from the distribution that they name.

A gradient check holds the noise, so it cannot see a wrong distribution: exp(log_var) for the standard deviation passes.
"""

from collections.abc import Callable
from math import pi, prod, sqrt
from typing import Any

import numpy as np

from minivae import backend, nn
from minivae.debug.change_of_draws import change_of_draws
from minivae.debug.distribution_report import IN_A_SMALL_BATCH, REPEATED, DistributionReport
from minivae.debug.noise_shapes import FAMILIES, repeated, shape, shared, shares
from minivae.debug.stated_law import compare_draws
from minivae.debug.tables import arrays, copied, float64, mapped
from minivae.errors import OptionError, ShapeError

DRAWS = 100_000
AMOUNTS = {"bernoulli": "p", "gaussian": "std"}  # kind: what says how much
LAW = 2**20  # the seed of a law's own draws
MORE = 4  # times as many of these
CALLS = 100  # draws for each call of a batch of four
ENOUGH = 30  # times that two rare things are expected together, for a normal variable to stand for their number
MOST_UNITS = 4  # whose shape is looked at
NORMAL = (-1, 0.15865525393145707), (0, 0.5), (1, 0.8413447460685429)  # quantiles of N(0, 1): (value, share below it)
UNIFORM = (-sqrt(0.75), 0.25), (0, 0.5), (sqrt(0.75), 0.75)  # of the uniform distribution of variance 1
MIXED = ("the rows of different images are mixed: the draws of one row belong side by side, row n·L + l is draw l for "
         "row n, as numpy.repeat groups them and numpy.tile does not")


def check_sampler(sampler: Any, kind: str | None = None, draws: int = DRAWS, seed: int = 0, false_alarm: float = 1e-6,
                  changes: bool = True) -> DistributionReport:
    """Count what a sampler draws.  Returns a DistributionReport.

        kind   "gaussian": (mean, log_var) -> z, to be N(mean, e^log_var)
               "bernoulli": logits a -> y = (a + logistic noise) / temperature; y > 0 with probability σ(a)
               "relaxed": logits a -> σ of that, between 0 and 1      "bits": logits a -> 0, or 1 with probability σ(a)
               "categorical": logits a (N, K, C) -> K relaxed one-hot vectors, whose largest is softmax(a)-distributed
               None: from the class, a GaussianSampler, BernoulliSampler or GumbelSoftmaxSampler

    It checks the mean and variance of every unit, that units and rows are independent, and the divergence: the mean of
    ln q(z|x) − ln p(z) over the draws beside the closed form of the KL layer.  With `changes`, of a class that is not
    minivae's it looks for one change of the source by which the draws are right, for ten seconds at most.
    """
    kind = kind or next((name for name, cls in (("gaussian", nn.GaussianSampler), ("bernoulli", nn.BernoulliSampler),
                                                ("categorical", nn.GumbelSoftmaxSampler))
                         if isinstance(sampler, cls)), None)
    checks = {"gaussian": _check_gaussian, "bernoulli": _check_bernoulli, "relaxed": _check_relaxed,
              "bits": _check_bits, "categorical": _check_categorical}
    if kind not in checks:
        raise OptionError(f"check_sampler does not know what {type(sampler).__name__} draws: give kind=\"gaussian\", "
                          "\"bernoulli\", \"relaxed\", \"bits\" or \"categorical\"")

    def count(layer, draws):
        report = DistributionReport(layer.title, false_alarm)
        with backend.seeded(seed):
            checks[kind](layer, draws, report)
        return report

    twin = sampler.clone().cpu().double().training()
    if twin.children():  # a sampler and layers behind it
        twin.samples = prod(getattr(layer, "samples", 1) for layer in twin.list_modules())
    return _explained(twin, count, draws, changes)


def _in_small_batches(report, layer, row, draws):
    """Whether two rows of a batch of four depend on each other, as where noise is centred: large ones hide that.

    Counted is how often both are above their means; not where that is too rare to tell.
    """
    x = mapped(lambda array: np.repeat(array[:1], 4, axis=0), row)
    y = np.stack([_rows(copied(layer.forward(copied(x))))[[0, -1]] for _ in range(draws // CALLS + 1)])
    above = y > y.mean(axis=0) + 1e-9
    share = above.mean(axis=0)
    known = len(y) * np.minimum(share, 1 - share).min(axis=0)**2 > ENOUGH
    if not known.any():
        return
    standard = (above - share) / np.sqrt(share * (1 - share) + 1e-9)
    excess = standard[..., known].prod(axis=1).mean(axis=1)
    report.add(IN_A_SMALL_BATCH, excess.mean(), 0, excess.std() / sqrt(len(y)))


def _explained(layer, count, draws, changes, general=True):
    """The report of count(layer, draws), with the change of its source that would make it right."""
    report = count(layer, draws)
    if changes and not report.ok:
        report.findings += change_of_draws(layer, count, draws, general)
    return report


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
    _moments(report, noise(), names)
    _divergence(report, nn.GaussianKL().double(), (mean, log_var), z)
    _in_small_batches(report, sampler, (mean, log_var), draws)
    report.explain(
        ("σ² stands where σ belongs: the noise is scaled by e^log_var, and e^(log_var/2) is the standard deviation",
         lambda guess: _moments(guess, noise(power=1), names)),
        ("the noise is not scaled: it belongs times σ = e^(log_var/2)", lambda guess: _moments(guess, noise(power=0),
                                                                                              names)),
        ("the noise is divided by σ where it belongs times σ = e^(log_var/2)",
         lambda guess: _moments(guess, noise(power=-0.5), names)),
        (MIXED, lambda guess: _moments(guess, noise(_tile), names)))
    report.describe(noise(), "normal", samples=sampler.samples)


def _check_relaxed(sampler, draws, report):
    _check_bernoulli(sampler, draws, report, lambda z: np.log(z) - np.log1p(-z))


def _check_bits(sampler, draws, report):
    logits, y = _bits(sampler, draws, report, lambda z: z - 0.5)
    report.add("largest distance of a bit from 0 and 1", np.abs(np.abs(y) - 0.5).max(), 0, 0)
    noise = np.array(y)
    for start in (0, 1):  # of their own mean and spread, so that a wrong share shows above only
        rows = np.arange(len(y)) // sampler.samples % 2 == start
        spread = y[rows].std(axis=0)
        noise[rows] = (y[rows] - y[rows].mean(axis=0)) / np.where(spread == 0, 1, spread)
    if not noise.any():
        report.findings.append("all rows of the batch have the same noise: draw a number for each entry")
    for name, a, b in (("neighbouring units", noise[:, :-1], noise[:, 1:]),
                       ("one row with the next", noise[:-1], noise[1:]),
                       ("the first half of the rows with the second", *np.split(noise[:len(noise) // 2 * 2], 2))):
        report.add(f"correlation of {name}", (a * b).mean(), 0, 1 / sqrt(a.size))
        if report.statistics[-1] in report.wrong():
            report.findings.append(f"the bits of {name} depend on each other: draw a number for each entry")
    _divergence(report, nn.BernoulliKL().double(), logits, (y > 0).astype(np.float64))
    report.describe()


def _bits(sampler, draws, report, to_sign):
    """(Logits, `to_sign` of what the sampler makes of them), and the share of each unit that is above 0."""
    n = max(2, draws // sampler.samples)
    logits = np.tile([-3.0, -0.5, 0.0, 2.0], (n, 1))
    logits[1::2] += 1
    with np.errstate(all="ignore"):
        y = to_sign(np.array(sampler.forward(logits)))
    _expect_rows(report, y, n, sampler, logits.shape[1])
    for k in range(logits.shape[1]):
        for start in (0, 1):
            theta = 1 / (1 + np.exp(-logits[start, k]))
            rows = np.arange(len(y)) // sampler.samples % 2 == start
            report.add(f"share of y > 0 for logit {logits[start, k]:g}", (y[rows, k] > 0).mean(), theta,
                       sqrt(theta * (1 - theta) / rows.sum()))
    _in_small_batches(report, sampler, logits, draws)
    return logits, y


def _check_bernoulli(sampler, draws, report, to_sign=np.array):
    logits, y = _bits(sampler, draws, report, to_sign)
    temperature = getattr(sampler, "temperature", None) or 1

    def uniform(wide=np.repeat, temperature=temperature, warm=1):  # the noise is logistic, so its σ is uniform
        return 1 / (1 + np.exp(warm * wide(logits, sampler.samples, axis=0) - temperature * y))

    def of_a_gumbel(location):  # u, if T·y = location − ln(−ln u)
        return np.exp(-np.exp(location(np.repeat(logits, sampler.samples, axis=0)) - temperature * y))

    def moments(to, uniform):
        names = [f"of u = σ(noise), unit {k}" for k in range(y.shape[1])]
        _moments(to, (uniform - 0.5) * sqrt(12), names, fourth=1.8, quantiles=UNIFORM, mean=0.5, spread=1 / sqrt(12))

    moments(report, uniform())
    _divergence(report, nn.BernoulliKL().double(), logits, (y > 0).astype(np.float64))
    if ((y >= 0) & (y <= 1)).all():
        report.findings.append("y lies between 0 and 1: it has to be (logit + noise) / temperature, any number; the "
                               "sigmoid of it is another layer's, of kind=\"relaxed\"")
        return
    report.explain(("one Gumbel is added to ln θ, as in the article's listing: a bit is 1 with probability 1 − e^−θ",
                    lambda guess: moments(guess, of_a_gumbel(lambda a: -np.log1p(np.exp(-a))))),
                   ("one Gumbel, −ln(−ln u), is added to the logit, where logistic noise belongs: ln u − ln(1 − u)",
                    lambda guess: moments(guess, of_a_gumbel(lambda a: a))),
                   ("the sum of logit and noise is not divided by the temperature",
                    lambda guess: moments(guess, uniform(temperature=1))),
                   ("the sum of logit and noise is multiplied by the temperature, by which it has to be divided",
                    lambda guess: moments(guess, uniform(temperature=1 / temperature))),
                   ("the logit is divided by the temperature and the noise is not: divide their sum",
                    lambda guess: moments(guess, uniform(temperature=1, warm=1 / temperature))),
                   ("the noise is divided by the temperature and the logit is not: divide their sum",
                    lambda guess: moments(guess, uniform(warm=temperature))),
                   (MIXED, lambda guess: moments(guess, uniform(_tile))))
    report.describe(temperature * y - np.repeat(logits, sampler.samples, axis=0), "logistic, ln u − ln(1 − u),",
                    pi / sqrt(3), sampler.samples)


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

    temperature = getattr(sampler, "temperature", None) or 1
    odd, tiled = np.arange(len(y)) // sampler.samples % 2 == 1, np.arange(len(y)) % len(logits) % 2 == 1
    shares(report, softmax, odd)
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
                   (MIXED, lambda guess: shares(guess, softmax, tiled)))
    if np.abs(y.sum(axis=2) - 1).max() > 1e-9 > np.abs(y.sum(axis=(1, 2)) - 1).max():
        report.findings.append("all K·C numbers of a row add up to 1: each of the K variables needs a softmax, or a "
                               "largest, of its own C categories")
    if report.wrong() and all(np.ptp(largest[rows], axis=0).max() == 0 for rows in (odd, ~odd)):
        report.findings.append("the largest logit wins always: no Gumbel noise is added")
    with np.errstate(all="ignore"):  # a softmax in which the largest of all has taken everything
        difference = (temperature * np.log(y[..., :2] / y[..., 1:])
                      - np.repeat(logits[..., :2] - logits[..., 1:], sampler.samples, axis=0)).reshape(len(y), -1)
    if np.isfinite(difference).all():
        _repeats(report, difference)
        of_one, of_other = difference[:, :2], difference[:, 2:]
        if np.allclose(of_one, of_other, rtol=0, atol=1e-9):
            report.findings.append("all variables of a row have the same noise: each needs C numbers of its own, "
                                   "(rows, K, C) in all")
        if report.wrong() and not report.findings and shape(difference / difference.std(axis=0)) == "Laplace":
            report.findings.append("the noise seems to be exponential, −ln u: it needs a Gumbel variable, −ln(−ln u)")
        of_two_logistic = pi * sqrt(2 / 3)
        if report.wrong() and np.allclose(difference.std(axis=0), of_two_logistic, rtol=0.02):
            report.findings.append("each logit seems to get logistic noise, ln u − ln(1 − u): it needs one Gumbel "
                                   "variable, −ln(−ln u)")
        report.describe(difference, "logistic, as the difference of two Gumbel variables is,", pi / sqrt(3),
                        sampler.samples)
    report.describe()
    _in_small_batches(report, sampler, logits, draws)
    hard = np.eye(3)[largest].reshape(len(y), 6)
    _divergence(report, nn.CategoricalKL(categories=3).double(), logits, hard)


def _moments(report, noise, names, fourth=3.0, quantiles=NORMAL, mean=0.0, spread=1.0):
    """Mean 0, variance 1 and quantiles of each unit, given its fourth moment; and units and rows are independent.

    They are reported of mean + spread · noise.
    """
    n = len(noise)
    for k, name in enumerate(names):
        report.add(f"mean {name}", mean + spread * noise[:, k].mean(), mean, spread / sqrt(n))
        report.add(f"variance {name}", spread**2 * (noise[:, k]**2).mean(), spread**2,
                   spread**2 * sqrt((fourth - 1) / n))
        for value, share in quantiles:
            report.add(f"share below {mean + spread * value:.2f} {name}", (noise[:, k] < value).mean(), share,
                       sqrt(share * (1 - share) / n))
    _repeats(report, noise)
    with np.errstate(all="ignore"):  # so that a mistake of mean or scale shows above only
        own = noise.std(axis=0)
        noise = (noise - noise.mean(axis=0)) / np.where(own == 0, 1, own)
    pairs = {"neighbouring units": (noise[:, :-1], noise[:, 1:]),
             "units that are two apart": (noise[:, :-2], noise[:, 2:]),
             "one row with the next": (noise[:-1], noise[1:]),
             "the first half of the rows with the second": (noise[:n // 2], noise[n // 2:][:n // 2])}
    for name, (a, b) in pairs.items():
        if a.size:
            report.add(f"correlation of {name}", (a * b).mean(), 0, 1 / sqrt(a.size))
            report.add(f"correlation of squares, of {name}", ((a**2 - 1) * (b**2 - 1)).mean(), 0,
                       (fourth - 1) / sqrt(a.size))


def _repeats(report, noise):
    report.add("share of noise that comes again in another row", repeated(noise), 0, REPEATED / 5)


def _divergence(report, kl, parameters, z):
    ratio = kl.latent.log_posterior(parameters, z) - kl.latent.log_prior(z)
    report.add("KL(q ‖ p), mean of ln q(z|x) − ln p(z)", ratio.mean(), kl.rows(parameters).mean(),
               ratio.std() / sqrt(len(ratio)))


def check_noise(layer: Any, kind: str | Callable | None = None, draws: int = DRAWS, seed: int = 0,
                false_alarm: float = 1e-6, input: Any = None, changes: bool = True) -> DistributionReport:
    """Count what a noise layer adds.  Returns a DistributionReport.

        kind   "bernoulli": x -> 1 − x with probability layer.p      "gaussian": x + layer.std · ε
               "other": only that each row and each call has noise of its own, whatever its distribution
               "laplace", "logistic", "uniform", "exponential", "gumbel" or "normal": that, and that a number of the
               output has this distribution, with any mean and spread
               a function (input, generator) -> output: that, and that a row has the distribution of what it draws with
               that numpy.random.Generator: means, variances, shares and how its numbers depend on each other
               None: from the class, a BernoulliNoise or GaussianNoise, or else "other"
        input  an array or a table that the layer takes; its first row is repeated.  None: rows of four numbers, or
               planes of one pixel for a layer of images.  The first two kinds make their own

    In evaluation mode the layer must hand on its input; one with layers inside, or with other inputs than outputs, must
    only be without noise, and a layer of several inputs, as a sampler is, may draw.  With `changes`, of a class that is
    not minivae's and of which a kind says what it draws, it looks for one change of the source by which that is right,
    for ten seconds at most.

    >>> check_noise(nn.GaussianNoise(0.5), lambda x, generator: x + 0.5 * generator.standard_normal(x.shape)).ok
    True
    """
    kind = kind or next((name for name, cls in (("bernoulli", nn.BernoulliNoise), ("gaussian", nn.GaussianNoise))
                         if isinstance(layer, cls)), "other")
    known = {**AMOUNTS, "other": None, **dict.fromkeys(FAMILIES)}
    if not callable(kind) and kind not in known:
        raise OptionError(f"check_noise: kind is {kind!r}, expected one of {', '.join(known)}, or a function (input, "
                          "generator) that draws")
    amount = None if callable(kind) else known[kind]
    if amount and not hasattr(layer, amount):
        raise OptionError(f"check_noise: {type(layer).__name__} has no {amount}, the amount of {kind} noise: give it "
                          "one, or kind=\"other\", which asks for no distribution")

    twin = layer.clone().cpu().double().training()
    row = _row(twin, [0.0, 0.2, 0.7, 1.0] * (16 if kind == "bernoulli" else 1)) if amount else (
        _row(twin, [-1.0, 0.2, 0.7, 1.5], input))

    def count(layer, draws):
        report = DistributionReport(layer.title, false_alarm)
        rows = max(2, draws // max(array.size for array in arrays(row)))
        x = mapped(lambda array: np.repeat(array, rows, axis=0), row)
        with backend.seeded(seed):
            if amount:
                {"gaussian": _adds, "bernoulli": _flips}[kind](report, layer.training(), x)
            else:
                _has_its_own(report, layer.training(), x, kind)
            _in_small_batches(report, layer, row, draws)
            _in_evaluation(report, layer.evaluate(), x, bool(amount))
            report.describe()
        return report

    return _explained(twin, count, draws, changes and kind != "other", general=not callable(kind))


def _row(layer, numbers, input=None):
    """The first row of that input, or a row of those numbers, or planes of one pixel if a layer takes no rows."""
    if input is None:
        row = np.array([numbers])
        planes = row[:, :, None, None]
        return planes if not _takes(layer, row) and _takes(layer, planes) else row
    input = float64(input)
    if any(array.size == 0 or array.ndim == 0 for array in arrays(input)):
        raise ShapeError(f"{layer.title}: input has {' and '.join(str(array.shape) for array in arrays(input))}, "
                         "expected at least one row of numbers in each array")
    return mapped(lambda array: array[:1], input)


def _in_evaluation(report, layer, x, hands_on):
    if not isinstance(x, np.ndarray):
        return
    y = np.array(layer.forward(x.copy()))
    hands_on = hands_on or (y.shape == x.shape and not layer.children() and not layer.parameters()[0])
    changed = np.abs(y - (x if hands_on else layer.forward(x.copy()))).max()
    report.add("largest change in evaluation mode", changed, 0, 0)
    if changed:
        report.findings.append("in evaluation mode the layer has to hand on its input, and it changes it" if hands_on
                               else "in evaluation mode two calls differ: the layer goes on to draw noise there")


def _takes(layer, row):
    try:
        with backend.seeded(0):
            layer.clone().forward(np.repeat(row, 2, axis=0))
        return True
    except Exception:  # whatever a layer may raise
        return False


def _has_its_own(report, layer, x, kind):
    """Noise of rows that are equal: that of one row or call tells nothing of another's; and its shape, if it is known.
    """
    y, again = (_rows(copied(layer.forward(copied(x)))) for _ in range(2))
    moved = (np.ptp(y, axis=0) > 1e-9) | (np.abs(again - y).max(axis=0) > 1e-9)
    same = [name for name, one, other in (("rows of the batch", y[1:], y[:-1]), ("calls", y, again))
            if np.allclose(one[:, moved], other[:, moved], rtol=0, atol=1e-9)]
    report.add("units that get noise", moved.any(), 1, 0)
    for name in ("rows of the batch", "calls"):
        report.add(f"noise of their own for the {name}", name not in same, 1, 0)
    if not moved.any():
        report.findings.append("no noise is added")
    elif same:
        report.findings.append(f"all {same[0]} have the same noise: draw a number for each entry at each forward")
    if same or not moved.any():
        return
    if isinstance(x, np.ndarray) and x.size == y.size:
        _keeps_the_mean(report, x.reshape(y.shape), y)
    one, other = (each[:, moved] - each[:, moved].mean(axis=0) for each in (y, again))
    for name, product in (("one row with the next", one[:-1] * one[1:]), ("one call with the next", one * other),
                          ("the first half of the rows with the second",
                           one[:len(one) // 2] * one[len(one) // 2:][:len(one) // 2])):
        product = product.sum(axis=1)  # units may depend on each other, as where a whole row is dropped
        report.add(f"correlation of {name}", product.mean(), 0, product.std() / sqrt(len(product)))
    if callable(kind):
        more = mapped(lambda array: np.repeat(array, MORE, axis=0), x)
        compare_draws(report, y, _rows(kind(more, np.random.default_rng(LAW))))
        return
    family = FAMILIES.get(kind)
    for unit, noise in enumerate(y[:, moved].T[:MOST_UNITS] if family else ()):
        for point, share, expected, error in shares(noise, family):
            report.add(f"share of unit {unit} below its mean {point:+g} standard deviations", share, expected, error)
    if family and report.wrong() and not report.findings:
        seen = shape(one[:, 0] / one[:, 0].std())
        report.findings.append(f"the draws are not {family}: one unit "
                               f"{f'looks {seen}' if seen else 'is of no shape that I know'}, between "
                               f"{y[:, moved][:, 0].min():.3g} and {y[:, moved][:, 0].max():.3g}")


def _rows(output):
    """An array or a table as one row of numbers for each of its rows."""
    return np.concatenate([np.reshape(each, (len(each), -1)) for each in arrays(output)], axis=1)


def _keeps_the_mean(report, x, y):
    """Where y is 0 or c x, as of a dropout, and c > 1, a share of 1/c is kept."""
    known = x != 0
    factors, kept = np.unique(np.round(y[known] / x[known], 9)), y != 0
    if len(factors) == 2 and factors[0] == 0 and factors[1] > 1:
        shares, c = kept.sum(axis=1) / known.sum(axis=1), factors[1]
        report.add(f"share of entries that are kept, and multiplied by {c:.4g}", shares.mean(), 1 / c,
                   shares.std() / sqrt(len(shares)))
        if report.wrong():
            report.findings.append(f"a share of {shares.mean():.3g} of the entries is kept and multiplied by {c:.4g}, "
                                   f"so the mean is {c * shares.mean():.3g} times the input: keep {1 / c:.3g} of them, "
                                   f"or multiply by {1 / shares.mean():.4g}")


def _adds(report, layer, x):
    x, y = _rows(x), _rows(layer.forward(x.copy()))
    noise, names = (y - x) / layer.std, [f"of (y − x) / std, x = {value:g}" for value in x[0]]
    _moments(report, noise, names)
    with np.errstate(all="ignore"):
        guesses = [(sentence, y - x - mean, std) for sentence, mean, std in (
            ("√std stands where std belongs: std is the standard deviation, not the variance", 0, np.sqrt(layer.std)),
            ("std² stands where std belongs: the noise is std · ε", 0, layer.std**2),
            ("ε is not multiplied by std", 0, 1), ("ε is divided by std, by which it has to be multiplied", 0,
                                                   1 / layer.std),
)]
        guesses += [("ε is multiplied by the input: y = x + std · ε", np.where(x == 0, np.nan, (y - x) / x), layer.std)]
    report.explain(*((sentence, lambda guess, added=added, std=std: _one_kind(guess, added, std, names))
                     for sentence, added, std in guesses))
    report.describe(noise, "normal")


def _one_kind(report, added, std, names):
    """Moments of what is added, std times a normal variable."""
    known = ~np.isnan(added).any(axis=0)
    _moments(report, added[:, known] / std, [name for name, each in zip(names, known) if each])


def _flips(report, layer, x):
    given = x
    x, y = _rows(x), _rows(layer.forward(x.copy()))
    p, flipped = layer.p, np.abs(y - x) > 1e-9
    apart = np.minimum(abs(y - x), abs(y - (1 - x)))
    report.add("largest distance of y from x and from 1 − x", apart.max(), 0, 1e-12)

    def shares(to, p):
        for value in x[0, :4]:
            to.add(f"share flipped of pixels {value:g}", flipped[x == value].mean(), p, sqrt(4 * p * (1 - p) / x.size))
        both = (flipped[:, :-1] & flipped[:, 1:]).mean()
        to.add("share of neighbours both flipped", both, p * p, sqrt(4 * p**2 * (1 - p**2) / x.size))
        for apart in (1, 2, 3, 4):
            to.add(f"share of pixels flipped in two rows, {apart} apart", (flipped[:-apart] & flipped[apart:]).mean(),
                   p * p, sqrt(4 * p**2 * (1 - p**2) / x.size))

    shares(report, p)
    share = flipped.mean()
    if 0 < share < 1 and report.wrong() and (sentence := shared(flipped.astype(float))):
        report.findings.append(sentence)
        return
    if p < 1 and flipped.all():
        report.findings.append("every pixel flips: make the comparison with p once, before anything is written" if p
                               else "every pixel flips, and with p = 0 none may")
    elif any(each.name.startswith("share") for each in report.wrong()):
        report.explain(("1 − p stands where p belongs: a pixel flips with probability p", lambda to: shares(to, 1 - p)),
                       ("p² stands where p belongs: a pixel flips with probability p", lambda to: shares(to, p * p)),
                       (f"pixels flip with probability {share:.4g}, not p = {p:g}", lambda to: shares(to, share)))
    if (y[flipped] == 1).all() and flipped[x < 1].any() and not flipped.all():
        report.findings.append("pixels are set to 1 where they should flip: y = 1 − x")
    elif not apart.max() < 1e-9:
        worst = apart.argmax()
        report.findings.append(f"some pixels are neither x nor 1 − x: x = {x.flat[worst]:g} became {y.flat[worst]:.4g}")
    grad = _rows(layer.backward(given, np.ones_like(given)))
    for name, where, slope in (("flipped pixels whose derivative is −1", flipped, -1),
                               ("other pixels whose derivative is 1", ~flipped, 1)):
        report.add(f"share of {name}", (grad[where] == slope).mean() if where.any() else 1, 1, 0)
