"""The normalizer of a softmax."""

from minivae import backend


def log_sum_exp(xp, a, buffer):
    """(ln Σ_c e^a, the largest a) over the last axis, which stays with length 1: softmax(a) = e^(a − ln Σ_c e^a).

    The largest is taken out before exp, which then cannot overflow.  `buffer(name, shape)` gives the arrays to work
    in: a layer's own, and then the two that are returned are its buffers, or new ones.
    """
    rows = (*a.shape[:-1], 1)
    peak, total, spare = buffer("peak", rows), buffer("log_total", rows), buffer("spare", a.shape)
    xp.max(a, axis=-1, keepdims=True, out=peak)
    backend.elementwise(_exp, a, peak, out=spare)
    xp.sum(spare, axis=-1, keepdims=True, out=total)
    return backend.elementwise(_logarithm, peak, total, out=total), peak


def _exp(xp, a, peak):
    return xp.exp(a - peak)


def _logarithm(xp, peak, total):
    return peak + xp.log(total)
