"""The normalizer of a softmax."""

from minivae import backend


def log_sum_exp(xp, a, spare):
    """ln Σ_c e^a over the last axis, which stays with length 1: a new array, so that softmax(a) = e^(a − it).

    The largest of each row is taken out before exp, which then cannot overflow.  `spare`, of a's shape, is written to.
    """
    peak = xp.max(a, axis=-1, keepdims=True)
    backend.elementwise(_exp, a, peak, out=spare)
    total = xp.sum(spare, axis=-1, keepdims=True)
    return backend.elementwise(_logarithm, peak, total, out=total)


def _exp(xp, a, peak):
    return xp.exp(a - peak)


def _logarithm(xp, peak, total):
    return peak + xp.log(total)
