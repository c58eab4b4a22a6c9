"""Bits that are drawn anew."""

import numpy as np

from minivae.errors import DTypeError


class Redrawn:
    """Grey images whose pixels are bits, drawn anew whenever they are used: a grey of g is 1 with probability g/255.

    Batches draws every batch afresh, so an image has other bits in every epoch.  Burda et al. (2015, footnote 2) draw
    bits too and follow Salakhutdinov and Murray (2008) in that; the set of fixed bits they attribute to Larochelle
    (2011).  `images.grey` holds the bytes.
    """

    def __init__(self, grey):
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
        random = np.random.default_rng(seed)
        return (255 * random.random(self.shape, dtype=np.float32) < self.grey).view(np.uint8)
