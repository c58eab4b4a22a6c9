"""The data sets by name, each with what training and evaluation have to know about it."""

from typing import NamedTuple

import numpy as np

from minivae import by_name
from minivae.data.mnist import mnist
from minivae.data.rectangles import entropy, rectangles
from minivae.data.redrawn import Redrawn
from minivae.errors import OptionError, whole_number


class DataSet(NamedTuple):
    """Images to learn from, others to test on, and how they are drawn.

        train, test   images, uint8 or a Redrawn       labels   (n,) of the test images, or None
        scale         what makes [0, 1] of the pixels  floor    the least −log p(x) on average, in nats, if it is known
        by_epoch      each image once an epoch; else drawn at random with replacement
    """
    train: np.ndarray | Redrawn
    test: np.ndarray
    labels: np.ndarray | None
    scale: float
    floor: float | None
    by_epoch: bool

    @property
    def grey(self):
        """Whether pixels lie between 0 and 1, or are bits."""
        return self.scale != 1

    @property
    def image(self):
        """Shape of one image."""
        return tuple(self.train.shape[1:])


MOST = 10**6  # rectangles: some thousand times as many as there are different ones, and they must fit into memory


def rectangles_set(images=50000):
    """The articles' rectangles; batches are drawn with replacement, see Batches."""
    if whole_number("rectangles", "images", images) > MOST:
        raise OptionError(f"rectangles(images={images}): at most {MOST}, which are {MOST * 576 / 1e9:.1f} GB")
    return DataSet(rectangles(images), rectangles(2048, seed=1), None, 1, entropy(), by_epoch=False)


def mnist_set(images=60000, binarize=None, root=None, download=True):
    """MNIST, or the first so many of its images to learn from; test images that are binarized are so once, for good."""
    train, _ = mnist("train", root, binarize, download=download)
    test, labels = mnist("test", root, "fixed" if binarize == "each_epoch" else binarize, download=download)
    images = whole_number("mnist", "images", images)
    if images > len(train):
        raise OptionError(f"MNIST has {len(train)} images to learn from, not {images}")
    train = Redrawn(train.grey[:images]) if isinstance(train, Redrawn) else train[:images]
    return DataSet(train, test, labels, 1 if binarize else 1 / 255, None, by_epoch=True)


BY_NAME = {"rectangles": rectangles_set, "mnist": mnist_set}


def build(name, **options):
    """The data set of that name, as a run's configuration has it: build("mnist", binarize="fixed")."""
    return by_name.make("data set", BY_NAME, name, options)
