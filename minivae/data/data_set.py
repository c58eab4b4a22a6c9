"""The data sets by name, each with what training and evaluation have to know about it."""

from typing import NamedTuple

import numpy as np

from minivae import by_name
from minivae.data import own_data
from minivae.data.binarized import Redrawn, binarized
from minivae.data.mnist import mnist
from minivae.data.rectangles import entropy, rectangles, squares
from minivae.errors import OptionError, whole_number


class DataSet(NamedTuple):
    """Images to learn from, others to test on, and how they are drawn.

        train, test   images, uint8, float32 or a Redrawn
        labels        (n,) of the test images, numbers into `names`, or None; `train_labels` those of the others
        scale         what makes [0, 1] of the pixels
        floor         the least −log p(x) on average, in nats, if it is known
        by_epoch      each image once an epoch; else drawn at random with replacement
        grey          whether pixels lie between 0 and 1, or are bits
        title         what a reader calls it               notes   what he should know of it, a line each
        digest        a fingerprint of images that may change, or None
        pixels        shape of an image, where they are rows with a label at the end
        rounds        how often an epoch shows each image, by_epoch
    """
    train: np.ndarray | Redrawn
    test: np.ndarray
    labels: np.ndarray | None
    scale: float
    floor: float | None
    by_epoch: bool
    grey: bool
    title: str
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    digest: str | None = None
    train_labels: np.ndarray | None = None
    pixels: tuple[int, ...] | None = None
    rounds: int = 1

    @property
    def image(self):
        """Shape of one image."""
        return self.pixels or tuple(self.train.shape[1:])

    def labelled(self):
        """The same with rows in the place of images: of an image's numbers, and of its label, one-hot."""
        if self.labels is None or self.train_labels is None:
            raise OptionError(f"{self.title}: its images have no labels, and this model wants them; take --data mnist, "
                              "a folder whose folders inside are labels, or an .npz with `images` and `labels`")

        def rows(images, labels):
            if isinstance(images, Redrawn):
                return Redrawn(_joined(images.grey, labels, len(self.names), 255))
            return _joined(images, labels, len(self.names), round(1 / self.scale))

        return self._replace(train=rows(self.train, self.train_labels), test=rows(self.test, self.labels),
                             pixels=self.image)


def _joined(images, labels, classes, one):
    hot = (labels[:, None] == np.arange(classes)).astype(images.dtype) * images.dtype.type(one)
    return np.concatenate([images.reshape(len(images), -1), hot], axis=1)


MOST = 10**6  # rectangles: some thousand times as many as there are different ones, and they must fit into memory


def rectangles_set(images=50000):
    """The articles' rectangles; batches are drawn with replacement, see Batches."""
    if whole_number("rectangles", "images", images) > MOST:
        raise OptionError(f"rectangles(images={images}): at most {MOST}, which are {MOST * 576 / 1e9:.1f} GB")
    return DataSet(rectangles(images), rectangles(2048, seed=1), None, 1, entropy(), by_epoch=False, grey=False,
                   title="rectangles")


def squares_set(images=None):
    """Each of the articles' 256 different rectangles, to learn from and to test on.

    A batch of 256 is their distribution itself, and a mean over them is exact.
    """
    train = _first(squares(), images, "squares")
    return DataSet(train, squares(), None, 1, entropy(), by_epoch=True, grey=False, title="squares", rounds=100)


def mnist_set(images=None, binarize=None, root=None, download=True):
    """MNIST, or the first so many of its images to learn from; test images that are binarized are so once, for good."""
    train, train_labels = mnist("train", root, binarize, download=download)
    test, labels = mnist("test", root, _once(binarize), download=download)
    return DataSet(_first(train, images, "MNIST"), test, labels, 1 if binarize else 1 / 255, None, by_epoch=True,
                   grey=not binarize, title="MNIST", names=tuple("0123456789"), train_labels=train_labels[:images])


def own_set(path, images=None, size=None, grey=False, strict=False, test_share=0.1, binarize=None, digest=None):
    """Images of one's own, see `own_data.read`: a share of them is held out for tests, unless test images come along.

    With a `digest`, that of a run, images that have changed since are refused.
    """
    train, test = own_data.read(path, size, grey, strict)
    notes = own_data.notes(path, train, *([] if test is None else [test]))
    if test is None:
        train, test = own_data.split(train, test_share)
    found = own_data.digest(train, test)
    if digest not in (None, found):
        raise OptionError(f"the images of {path} have changed since the run began; bring the earlier ones back, or "
                          "start a new run")
    white = max(train.white, test.white)
    bits = train.only(white) and test.only(white)
    if binarize is not None:
        if bits and white == 1:  # bytes that are 0 or 255 become what they are
            raise OptionError(f"{path} holds bits already, and binarize={binarize!r} makes bits of grey pixels; leave "
                              "it out")
        arrays = binarized(_bytes(train.pixels), binarize), binarized(_bytes(test.pixels), _once(binarize))
    else:
        arrays = train.pixels, test.pixels
    scale = 1 / white if binarize is None else 1
    return DataSet(_first(arrays[0], images, path), arrays[1], test.labels, scale, None, by_epoch=True,
                   grey=not bits and binarize is None, title=own_data.title(path), names=test.names, notes=tuple(notes),
                   digest=found, train_labels=train.labels if train.labels is None else train.labels[:images])


def _once(binarize):
    """How test images are binarized: they keep their bits."""
    return "fixed" if binarize == "each_epoch" else binarize


def _first(train, images, title):
    """The first so many of the images to learn from; all of them for None."""
    if images is None:
        return train
    if whole_number("images", "images", images) > len(train):
        raise OptionError(f"{title} has {len(train)} images to learn from, not {images}")
    return Redrawn(train.grey[:images]) if isinstance(train, Redrawn) else train[:images]


def _bytes(pixels):
    return pixels if pixels.dtype == np.uint8 else np.rint(255 * pixels).astype(np.uint8)


RECTANGLES = "rectangles", "squares"  # whose images are bits, and of one square each
NAMED = *RECTANGLES, "mnist"  # which have a name of their own; others are found by their path
BY_NAME = {"rectangles": rectangles_set, "squares": squares_set, "mnist": mnist_set, "own": own_set}


def build(name, **options):
    """The data set of that name, as a run's configuration has it: build("mnist", binarize="fixed")."""
    return by_name.make("data set", BY_NAME, name, options)
