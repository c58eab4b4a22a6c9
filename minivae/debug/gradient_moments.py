"""Mean and variance of a random gradient, part by part, beside what it should be."""

from math import copysign, inf, sqrt
from typing import NamedTuple

import numpy as np

GROUPS = 32  # of draws, whose means are kept


class Moments(NamedTuple):
    """Of one part of a gradient g, whose right value is g*: squares of lengths, with their standard errors.

        bias       |E g − g*|², estimated without bias of its own, so where it is 0 the estimate may be below 0
        variance   E |g − E g|²        size   |g*|²
    """

    size: float
    bias: float
    bias_error: float
    variance: float
    variance_error: float

    @property
    def z(self) -> float:
        """How many standard errors the bias is from nothing."""
        return self.bias / self.bias_error if self.bias_error > 0 else copysign(inf, self.bias) if self.bias else 0.0

    @property
    def relative_bias(self) -> float:
        """|E g − g*| / |g*|, 0 where the estimate of its square is below 0."""
        return sqrt(max(self.bias, 0) / self.size) if self.size > 0 else 0.0

    @property
    def relative_bias_error(self) -> float:
        """Its standard error; where the bias is nothing, the largest that it could be at one standard error."""
        if self.size == 0:
            return 0.0
        return self.bias_error / self.size / max(2 * self.relative_bias, sqrt(self.bias_error / self.size), 1e-300)

    @property
    def noise(self) -> float:
        """The standard deviation √E|g − E g|² / |g*|."""
        return sqrt(max(self.variance, 0) / self.size) if self.size > 0 else 0.0

    @property
    def noise_error(self) -> float:
        return 0.5 * self.noise * self.variance_error / self.variance if self.variance > 0 else 0.0


def moments(draw, draws, right, parts):
    """{part: Moments} of draw() -> a flat gradient, over so many draws; `parts` are slices of the vector by name.

    The draws are cut into groups, and the bias is the mean of dᵢ · dⱼ over all pairs of different groups, where dᵢ is
    the mean of a group less g*.  Errors of different groups are independent, so the noise is not counted in.
    """
    groups = min(GROUPS, draws)
    means, squares = np.zeros((groups, len(right))), {name: np.empty(draws) for name in parts}
    counts = np.bincount(np.arange(draws) % groups)
    for k in range(draws):
        difference = draw() - right
        means[k % groups] += difference
        for name, part in parts.items():
            squares[name][k] = difference[part] @ difference[part]
    means /= counts[:, None]
    return {name: _moments(means[:, part], squares[name], right[part]) for name, part in parts.items()}


def _moments(means, squares, right):
    groups = len(means)
    products = means @ means.T
    pairs = products[np.triu_indices(groups, 1)]
    bias = pairs.mean()
    by_group = (products.sum(axis=1) - products.diagonal()) / (groups - 1)
    # products of different pairs are independent, but for what those of one group have in common
    spread = pairs.var(ddof=1)
    common = max(0.0, by_group.var(ddof=1) - spread / (groups - 1))
    bias_error = sqrt(spread / len(pairs) + 4 * common / groups)
    return Moments(float(right @ right), float(bias), bias_error, float(squares.mean() - bias),
                   float(squares.std(ddof=1) / sqrt(len(squares))))
