"""Bits instead of relaxed bits."""

from minivae import backend
from minivae.nn.hard_code import HardCode


class HardBits(HardCode):
    """z in (0, 1) -> 1 where z > ½, else 0: in evaluation, and with `straight_through` in training too.

        z  input  (N, ...), after the Sigmoid that follows a BernoulliSampler      output  (N, ...)

    Backwards  ∂L/∂z = ∂L/∂output, an estimator and not the derivative (Bengio et al. 2013); see HardCode.

    >>> layer, z = nn.HardBits(), np.float32([[0.25, 0.75]])
    >>> layer(z).tolist(), layer.evaluate()(z).tolist()
    ([[0.25, 0.75]], [[0.0, 1.0]])
    """

    def harden(self, input, out):
        backend.elementwise(_harden, input, out=out)


def _harden(xp, z):
    return xp.where(z > 0.5, 1, 0)
