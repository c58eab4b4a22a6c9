"""Exponentials that neither cancel nor overflow, for the formulas of divergences, densities and samplers."""

from minivae import backend

FAR = 87.0  # e^87 is finite in float32, and its square is infinite


def excess(xp, v, growth):
    """growth − v, with growth = e^v − 1: never negative, and by its series near 0, where a difference has no digits."""
    series = v * v * (1 / 2 + v * (1 / 6 + v * (1 / 24 + v * (1 / 120 + v * (1 / 720)))))
    return xp.where(xp.abs(v) < 0.03, series, growth - v)


def log_probabilities(xp, a):
    """ln σ(a) and ln(1 − σ(a)): of a bit with logit a to be 1, and to be 0."""
    small = xp.log1p(xp.exp(-xp.abs(a)))
    return xp.minimum(a, 0) - small, xp.minimum(-a, 0) - small


def root_std(xp, log_var):
    """√σ = e^(¼ log_var), the factor that is taken twice for σ: so 0 · σ is 0 and not 0 · ∞, however large σ is."""
    return xp.exp(xp.minimum(0.25 * log_var, FAR))


def relative_exponentials(xp, a, buffer, temperature=1.0):
    """(the largest a, u = e^((a − largest) / T), Σ_c u) over the last axis, which stays with length 1.

    softmax(a / T) = u / Σ_c u.  The largest is taken out before it is divided, and then exp cannot overflow.
    `buffer(name, shape)` gives the arrays to work in: a layer's own, or new ones.
    """
    rows = (*a.shape[:-1], 1)
    peak, total, u = buffer("peak", rows), buffer("total", rows), buffer("u", a.shape)
    xp.max(a, axis=-1, keepdims=True, out=peak)
    backend.elementwise(_relative, a, peak, temperature, out=u)
    xp.sum(u, axis=-1, keepdims=True, out=total)
    return peak, u, total


def negligible(dtype):
    """A share of 1 for which 0 is taken: its product with a gradient is not to be subnormal."""
    return backend.least_normal(dtype) ** 0.5


def unless(xp, v, least):
    """v, or 0 where its size is less than that."""
    return xp.where(xp.abs(v) < least, 0, v)


def share(xp, u, total, least):
    return unless(xp, u / total, least)


def _relative(xp, a, peak, temperature):
    return xp.exp((a - peak) / temperature)
