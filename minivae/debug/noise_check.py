"""The check, by counting, that a layer adds the noise that it names, or that a law states."""

from collections.abc import Callable
from math import sqrt
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
    rows_of,
    together,
)
from minivae.debug.draws.noise_shapes import FAMILIES, shape, shared, shares
from minivae.debug.draws.stated_law import compare_draws
from minivae.debug.tables import arrays, copied, float64, mapped
from minivae.errors import OptionError, ShapeError

AMOUNTS = {"bernoulli": "p", "gaussian": "std"}  # kind: what says how much
LAW = 2**20  # the seed of a law's own draws
MORE = 4  # times as many of these
MOST_UNITS = 4  # whose shape is looked at
SURELY = 6  # standard errors


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

    In evaluation mode the layer must hand on its input; one with layers inside, with other inputs than outputs, or by
    whose law the mean is another, must only be without noise, and a layer of several inputs, as a sampler is, may draw.
    With `changes`, of a class that is not minivae's and of which a kind says what it draws, it looks for one change of
    the source by which that is right, for about ten seconds, and tries it with more draws.

    >>> check_noise(nn.GaussianNoise(0.5), lambda x, generator: x + 0.5 * generator.standard_normal(x.shape)).ok
    True
    """
    expect_countable("check_noise", "layer", layer, draws, false_alarm)
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
    if amount == "std" and not np.all(twin.std > 0):
        raise OptionError(f"check_noise: {twin.title} has std {twin.std}: there is no noise to count; give it one "
                          "above 0")
    row = _row(twin, [0.0, 0.2, 0.7, 1.0] * (16 if kind == "bernoulli" else 1)) if amount else (
        _row(twin, [-1.0, 0.2, 0.7, 1.5], input))

    def count(layer, draws, seed=seed):
        report = DistributionReport(layer.title, false_alarm)
        rows = max(2, draws // max(array.size for array in arrays(row)))
        x = mapped(lambda array: np.repeat(array, rows, axis=0), row)
        with backend.seeded(seed):
            if amount:
                {"gaussian": _adds, "bernoulli": _flips}[kind](report, layer.training(), x)
            else:
                _has_its_own(report, layer.training(), x, kind)
            in_small_batches(report, layer, row, draws)
            _in_evaluation(report, layer.evaluate(), x, kind)
            report.describe()
        return report

    return explained(twin, count, draws, changes and kind != "other", general=not callable(kind))


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


def _in_evaluation(report, layer, x, kind):
    """There is no noise; and out comes what went in, of kinds that say so, or of one layer by whose law the mean does.
    """
    if not isinstance(x, np.ndarray):
        return
    y = np.array(layer.forward(x.copy()))
    alone = y.shape == x.shape and not layer.children() and not layer.parameters()[0]
    hands_on = _keeps(kind, x) and alone if callable(kind) else kind in AMOUNTS or alone
    changed = np.abs(y - (x if hands_on else layer.forward(x.copy()))).max()
    report.add("largest change in evaluation mode", changed, 0, 0)
    if changed:
        report.findings.append("in evaluation mode the layer has to hand on its input, and it changes it" if hands_on
                               else "in evaluation mode two calls differ: the layer goes on to draw noise there")


def _keeps(law, x):
    """Whether the mean of what a law draws is what it is given."""
    drawn = law(x, np.random.default_rng(LAW + 1))
    error = drawn.std(axis=0) / sqrt(len(x))
    return bool((np.abs(drawn.mean(axis=0) - x[0]) <= SURELY * error + 1e-9).all()) if drawn.shape == x.shape else False


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
    y, again = (rows_of(copied(layer.forward(copied(x)))) for _ in range(2))
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
        compare_draws(report, y, rows_of(kind(more, np.random.default_rng(LAW))))
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
    x, y = rows_of(x), rows_of(layer.forward(x.copy()))
    noise, names = (y - x) / layer.std, [f"of (y − x) / std, x = {value:g}" for value in x[0]]
    moments(report, noise, names)
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
    moments(report, added[:, known] / std, [name for name, each in zip(names, known) if each])


def _flips(report, layer, x):
    given = x
    x, y = rows_of(x), rows_of(layer.forward(x.copy()))
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
    together(report, "rows with flips", flipped)
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
    grad = rows_of(layer.backward(given, np.ones_like(given)))
    for name, where, slope in (("flipped pixels whose derivative is −1", flipped, -1),
                               ("other pixels whose derivative is 1", ~flipped, 1)):
        report.add(f"share of {name}", (grad[where] == slope).mean() if where.any() else 1, 1, 0)
