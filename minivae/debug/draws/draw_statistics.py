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
COLUMNS = 1024  # that are looked at in pairs, at most
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


def moments(report, noise, names, fourth=3.0, quantiles=NORMAL, mean=0.0, spread=1.0, samples=1):
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
             "one row with the next": (noise[:-1], noise[1:]),
             "the first half of the rows with the second": (noise[:n // 2], noise[n // 2:][:n // 2])}
    for name, (a, b) in pairs.items():
        if a.size:
            report.add(f"correlation of {name}", (a * b).mean(), 0, 1 / sqrt(a.size))
            report.add(f"correlation of squares, of {name}", ((a**2 - 1) * (b**2 - 1)).mean(), 0,
                       (fourth - 1) / sqrt(a.size))
    for what, x in (("noise above its median", noise), ("noise above its median size", np.abs(noise))):
        together(report, f"rows with {what}", x > np.median(x, axis=0), samples)


def together(report, what, events, samples=1):
    """How often two events of a row, of its units and draws, happen together: of all pairs, the one farthest off.

    Its z is the root of the deviance with the counts half a row nearer, which is normal where events are rare, too.
    """
    rows, units = len(events) // samples, events.shape[1]
    events = events.reshape(rows, -1)
    columns = np.flatnonzero(events.any(axis=0) & ~events.all(axis=0))
    columns = columns[np.linspace(0, len(columns) - 1, min(len(columns), COLUMNS)).astype(int)]
    if len(columns) < 2:
        return
    seen = events[:, columns].astype(np.float32)  # counts are exact
    q = seen.mean(axis=0, dtype=float)
    p, both = q[:, None], (seen.T @ seen).astype(float) / rows
    off = both - p * q
    nearer = np.sign(off) * np.maximum(np.abs(off) - 0.5 / rows, 0)
    deviance = np.zeros_like(both)
    for share, sign in ((p * q, 1), (p * (1 - q), -1), ((1 - p) * q, -1), ((1 - p) * (1 - q), 1)):
        cell = np.maximum(share + sign * nearer, 1e-30)
        deviance += 2 * rows * cell * np.log(cell / share)
    np.fill_diagonal(deviance, 0)
    pair = np.unravel_index(deviance.argmax(), deviance.shape)
    names = (f"unit {c % units}" + (f" of draw {c // units}" if samples > 1 else "") for c in sorted(columns[[*pair]]))
    report.add(f"share of {what} in both {' and '.join(names)}", both[pair], (p * q)[pair],
               abs(off[pair]) / sqrt(max(deviance[pair], 1e-9)), tried=len(columns) * (len(columns) - 1) // 2)


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
