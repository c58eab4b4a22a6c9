"""The distribution of noise in words: its shape, its mean and spread, and what several draws have in common."""

from math import erf, exp, pi, sqrt

import numpy as np

EULER = 0.5772156649015329
# Distribution functions of variables of mean 0 and variance 1.
SHAPES = {
    "normal": lambda x: (1 + erf(x / sqrt(2))) / 2,
    "logistic": lambda x: 1 / (1 + exp(-x * pi / sqrt(3))),
    "uniform": lambda x: min(max((x / sqrt(3) + 1) / 2, 0), 1),
    "Gumbel, −ln(−ln u)": lambda x: exp(-exp(-(x * pi / sqrt(6) + EULER))),
    "a Gumbel with its sign turned": lambda x: 1 - exp(-exp(x * pi / sqrt(6) - EULER)),
    "exponential": lambda x: 1 - exp(-max(x + 1, 0)),
    "exponential with its sign turned, ln u": lambda x: exp(min(x - 1, 0)),
    "ln u + ln(1 − u), with one sign wrong": lambda x: 1 - sqrt(max(1 - 4 * exp(sqrt(4 - pi * pi / 3) * x - 2), 0)),
    "Laplace": lambda x: exp(-sqrt(2) * -x) / 2 if x < 0 else 1 - exp(-sqrt(2) * x) / 2,
    "of two values": lambda x: 0.5 * (x >= -1) + 0.5 * (x >= 1),
}
FAMILIES = {"laplace": "Laplace", "logistic": "logistic", "uniform": "uniform", "exponential": "exponential",
            "gumbel": "Gumbel, −ln(−ln u)", "normal": "normal"}  # {kind: its shape}
FEW = 0.001  # of the numbers
POINTS = -2.2, -1.5, -0.8, -0.3, 0.3, 0.8, 1.5, 2.2


def shape(noise):
    """The name of the shape that all its quantiles fit, or None."""
    spread = noise.std()
    if not spread > 0:
        return None
    shares = [((noise - noise.mean()) / spread < x).mean() for x in POINTS]
    off = {name: max(abs(share - cdf(x)) for share, x in zip(shares, POINTS)) for name, cdf in SHAPES.items()}
    best = min(off, key=off.get)
    return best if off[best] < 3 / sqrt(noise.size) + 0.001 else None


def shares(noise, name):
    """Of noise of that shape, less its mean and by its spread: (point, share below it, expected, standard error)."""
    z, cdf, step = (noise - noise.mean()) / noise.std(), SHAPES[name], 1e-4
    for point in POINTS:
        density, below = (cdf(point + step) - cdf(point - step)) / (2 * step), z < point
        influence = below + density * (z + point * (z * z - 1) / 2)  # of mean and spread, which are estimated, too
        yield point, below.mean(), cdf(point), influence.std() / sqrt(noise.size)


def described(noise, wanted, spread=1.0):
    """(The sentence on noise (rows, units) that should have mean 0 and that standard deviation, its shape)."""
    means, spreads, error = noise.mean(axis=0), noise.std(axis=0), 3 * noise.std() / sqrt(len(noise))
    moved = _varying(noise)
    name = shape((moved - moved.mean(axis=0)) / moved.std(axis=0)) or "of no shape that I know"
    return (f"the noise is {name}, with mean {_range(means, error)} and standard deviation {_range(spreads, error)}; "
            f"it should be {wanted} with mean 0 and standard deviation {spread:.4g}"), name


def _range(values, error):
    low, high = values.min(), values.max()
    return f"{values.mean() + 0.0:.3g}" if high - low < error else f"from {low:.3g} to {high:.3g} by unit"


def repeated(noise, signed=False):
    """The share of numbers of noise (rows, units) that come again, with either sign or their own, in another row.

    Of float64 noise none do, and of 100,000 float32 numbers one in a thousand.
    """
    noise = _varying(noise)
    again = np.diff(np.sort(noise if signed else np.abs(noise), axis=0), axis=0) < 1e-9
    return float(again.mean()) if again.size else 0.0


def _varying(noise):
    """The units that are not always the same: one that is tells nothing of how noise is drawn."""
    return noise[:, np.ptp(noise, axis=0) > 1e-9]


def cut_off(noise):
    """The sentence on noise of which many numbers are its largest or its smallest, of more than a few; or None."""
    noise = _varying(noise)
    limits = {limit: (np.abs(noise - limit) < 1e-9).mean() for limit in (noise.min(), noise.max())}
    limits = {limit: share for limit, share in limits.items() if share > FEW}
    if limits and np.unique(np.round(noise.flat[:1000], 9)).size > 10:
        return (f"{sum(limits.values()):.1%} of the noise is cut off at "
                f"{' and '.join(f'{limit:.3g}' for limit in limits)}: take it as it is drawn")
    return None


def shared(noise, samples=1):
    """The sentence on what several rows, units or draws have in common, or None."""
    if np.ptp(noise) < 1e-9:
        return "no noise is added" if abs(noise.flat[0]) < 1e-9 else (
            f"in the place of noise the same is added each time, {noise.flat[0]:.4g} standard deviations")
    groups = [("units of a row", noise, noise[:, :1]), ("rows of the batch", noise, noise[:1])]
    if samples > 1:
        draws = noise.reshape(-1, samples, noise.shape[1])
        groups = [("draws for a row", draws, draws[:, :1]), *groups, ("rows of the batch", draws, draws[:1])]
    for what, each, one in groups:
        if np.allclose(each, one, atol=1e-9):
            return f"all {what} have the same noise: draw a number for each entry"
        if np.allclose(np.abs(each), np.abs(one), atol=1e-9):
            return f"all {what} have the same noise but for its sign: draw a number for each entry"
    half = len(noise) // 2
    for what, one, other in (("the second half of the rows", noise[:half], noise[half:2 * half]),
                             ("each second row", noise[:half * 2:2], noise[1:half * 2:2])):
        for sign, word in ((1, "the same noise as"), (-1, "the noise with its sign turned of")):
            if half and np.allclose(one, sign * other, atol=1e-9):
                return f"{what} has {word} the other: draw a number for each entry" + (
                    ", unless antithetic draws are meant" if sign < 0 else "")
    return None
