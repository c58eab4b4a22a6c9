"""Statistics of draws that the checks of samplers and of noise layers share."""

from math import sqrt

import numpy as np

from minivae.debug.draws.distribution_report import IN_A_SMALL_BATCH, REPEATED
from minivae.debug.draws.noise_shapes import repeated
from minivae.debug.source_edits.change_of_draws import change_of_draws
from minivae.debug.tables import arrays, copied, mapped
from minivae.errors import instance, real_number, whole_number
from minivae.nn import Module

DRAWS = 100_000
CALLS = 100  # draws for each call of a batch of four
ENOUGH = 30  # times that two rare things are expected together, for a normal variable to stand for their number
NORMAL = (-1, 0.15865525393145707), (0, 0.5), (1, 0.8413447460685429)  # quantiles of N(0, 1): (value, share below it)


def expect_countable(title, name, layer, draws, false_alarm):
    """Raise unless this is a module, draws a number of draws, and false_alarm a probability."""
    instance(title, name, layer, Module)
    whole_number(title, "draws", draws, least=2)
    real_number(title, "false_alarm", false_alarm, "is a probability above 0 and below 1", above=0, below=1)


def explained(layer, count, draws, changes, general=True):
    """The report of count(layer, draws, seed), with the change of its source that would make it right."""
    report = count(layer, draws)
    if changes and not report.ok:
        report.findings += change_of_draws(layer, count, draws, general)
    return report


def moments(report, noise, names, fourth=3.0, quantiles=NORMAL, mean=0.0, spread=1.0):
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
    repeats(report, noise)
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


def repeats(report, noise):
    report.add("share of noise that comes again in another row", repeated(noise), 0, REPEATED / 5)


def in_small_batches(report, layer, row, draws):
    """Whether two rows of a batch of four depend on each other, as where noise is centred: large ones hide that.

    Counted is how often both are above their means; not where that is too rare to tell.
    """
    x = mapped(lambda array: np.repeat(array[:1], 4, axis=0), row)
    y = np.stack([rows_of(copied(layer.forward(copied(x))))[[0, -1]] for _ in range(draws // CALLS + 1)])
    above = y > y.mean(axis=0) + 1e-9
    share = above.mean(axis=0)
    known = len(y) * np.minimum(share, 1 - share).min(axis=0)**2 > ENOUGH
    if not known.any():
        return
    standard = (above - share) / np.sqrt(share * (1 - share) + 1e-9)
    excess = standard[..., known].prod(axis=1).mean(axis=1)
    report.add(IN_A_SMALL_BATCH, excess.mean(), 0, excess.std() / sqrt(len(y)))


def rows_of(output):
    """An array or a table as one row of numbers for each of its rows."""
    return np.concatenate([np.reshape(each, (len(each), -1)) for each in arrays(output)], axis=1)
