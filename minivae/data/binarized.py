"""Bits made of grey pixels, once or anew whenever they are used."""

import numpy as np

from minivae.data.images import pixels_of
from minivae.errors import DTypeError, OptionError, whole_number

BINARIZE = (None, "threshold", "fixed", "each_epoch")
SEED = 0  # of the bits of "fixed": everyone's are the same


class Redrawn:
    """Grey images whose pixels are bits, drawn anew whenever they are used: a grey of g is 1 with probability g/255.

    `Batches.next` draws every batch afresh, so an image has other bits in every epoch.  Burda et al. (2015)
    draw bits too, and follow Salakhutdinov and Murray (2008) in that (footnote 2); the set of fixed bits they
    attribute to Larochelle (2011; in their appendix D).  `images.grey` holds the bytes.
    """

    def __init__(self, grey):
        grey = pixels_of(grey)
        if grey.dtype != np.uint8:
            raise DTypeError(f"Redrawn takes grey pixels as uint8 from 0 to 255, got {grey.dtype}")
        self.grey = grey

    def __len__(self):
        return len(self.grey)

    @property
    def shape(self):
        return self.grey.shape

    def draw(self, seed):
        """The bits of all images, uint8 (n, ...), from a seed of their own."""
        random = np.random.default_rng(whole_number("draw", "seed", seed, least=0))
        return (255 * random.random(self.shape, dtype=np.float32) < self.grey).view(np.uint8)


def binarized(grey, how):
    """Bits of grey pixels (uint8 from 0 to 255), in one of the ways that BINARIZE lists.

        None          the greys as they are: give Batches scale=1/255
        "threshold"   1 above half of the greatest grey
        "fixed"       drawn once, with the grey as the probability of a 1; always the same bits
        "each_epoch"  a `Redrawn`: as "fixed", but drawn anew whenever an image is used
    """
    if how not in BINARIZE:
        raise OptionError(f"binarize={how!r}; choose one of {', '.join(map(repr, BINARIZE))}")
    if how == "threshold":
        return (grey > 127).view(np.uint8)
    if how == "fixed":
        return Redrawn(grey).draw(SEED)
    return Redrawn(grey) if how == "each_epoch" else grey
