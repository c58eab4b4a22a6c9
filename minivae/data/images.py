"""Images of one's own, as every reader of this package gives them."""

from dataclasses import dataclass

import numpy as np

from minivae import backend
from minivae.errors import ROUNDING, DTypeError, OptionError, all_digits

MOST_BYTES = 2**33  # of all images of a set: they are held in memory
WHAT = "images are uint8 from 0 to 255, bool, or float from 0 to 1"


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Images:
    """Images and what is known of them.

        pixels   (n, planes, height, width): uint8, or float32 from 0 to 1; 1 plane is grey, 3 are red, green and blue
        labels   (n,) numbers from 0 into `names`, or None          names    what the labels stand for, as texts
        skipped  ((path, why), ...) of files that could not be used, and of arrays in a file that were not
    """

    pixels: np.ndarray
    labels: np.ndarray | None = None
    names: tuple[str, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(pixels, labels=None, title="images") -> "Images":
        """Images from an array: (n, h, w), (n, planes, h, w) or (n, h, w, planes), with 1 or 3 planes.

            pixels   uint8 or another whole number from 0 to 255, bool, or float from 0 to 1
            labels   (n,) whole numbers or texts, one for each image

        Floats are kept as float32, everything else as uint8.
        """
        pixels = _planes(_array(pixels, title), title)
        if pixels.size * min(pixels.itemsize, 4) > MOST_BYTES:
            raise OptionError(f"{title}: {pixels.size * min(pixels.itemsize, 4) / 2**30:.1f} GiB of pixels, more than "
                              f"the {MOST_BYTES / 2**30:.0f} that a set may have; take fewer or smaller images")
        return Images(np.ascontiguousarray(_values(pixels, title)), *numbered(labels, len(pixels), title))

    @property
    def white(self) -> int:
        """The value of a white pixel: 255, but 1 of floats and where no byte is larger."""
        return 255 if self.pixels.dtype == np.uint8 and self.pixels.max(initial=0) > 1 else 1

    @property
    def bits(self) -> bool:
        """True if every pixel is black or white."""
        return self.only(self.white)

    def only(self, white: int) -> bool:
        """True if every pixel is 0 or that; looks no further than the first image that has another."""
        return all(((image == 0) | (image == white)).all() for image in self.pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows) -> "Images":
        """Some of the images, or one: a slice, an array of indices or of truths, or a number."""
        if not isinstance(rows, slice):
            rows = np.arange(len(self))[rows].reshape(-1)  # one number, too, becomes a row of numbers
        labels = None if self.labels is None else self.labels[rows]
        return Images(self.pixels[rows], labels, self.names, self.skipped)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        """The pixels, for numpy.asarray."""
        return np.array(self.pixels, dtype, copy=copy)


def pixels_of(images):
    """The pixels of what is given for images: of an `Images`, or an array itself; raise if these are none."""
    pixels = images.pixels if isinstance(images, Images) else images
    backend.name_of(pixels, "numpy.asarray(images) makes one of images that are alike")
    if pixels.dtype.kind not in "biuf":
        raise DTypeError(f"images have dtype {pixels.dtype}, expected whole numbers, bool or float; convert "
                         "them with .astype('float32')")
    if 0 in pixels.shape or not pixels.shape:
        raise OptionError(f"there are no images in an array of shape {pixels.shape}; expected (n, ...), one or more")
    return pixels


def numbered(labels, n, title):
    """(numbers from 0, names) of labels, which are whole numbers or texts; (None, ()) without any."""
    if labels is None:
        return None, ()
    labels = _array(labels, f"{title}: labels")
    if labels.ndim == 2 and 1 in labels.shape:  # a column, as some archives have
        labels = labels.reshape(-1)
    if labels.shape != (n,) or labels.dtype.kind not in "iubUS":
        raise OptionError(f"{title}: labels of shape {labels.shape} and type {labels.dtype}; for {n} images there are "
                          f"{n} labels, whole numbers or texts, in one row")
    names, numbers = np.unique(labels, return_inverse=True)
    try:
        texts = tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)
    except UnicodeDecodeError as error:
        raise OptionError(f"{title}: the label {error.object!r:.100} is no text in UTF-8; numpy.char.decode(labels, "
                          "'latin-1') reads one of another encoding") from error
    return numbers.astype(np.int64), texts


def _array(values, title):
    """The values as one array."""
    try:
        return np.asarray(values)
    except ValueError as error:
        raise OptionError(f"{title}: rows of several lengths, which make no array; cut or fill them to one") from error


def _planes(pixels, title):
    """The array with its planes second."""
    shape = pixels.shape
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and shape[1] not in (1, 3) and shape[3] in (1, 3):
        pixels = np.moveaxis(pixels, 3, 1)
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise OptionError(f"{title}: shape {shape}; expected (n, height, width), (n, planes, height, width) or (n, "
                          f"height, width, planes) with 1 plane (grey) or 3 (colour){_advice(shape)}")
    if 0 in pixels.shape:
        raise OptionError(f"{title}: shape {shape}, in which there is no pixel")
    return pixels


def _advice(shape):
    if len(shape) == 2 and round(shape[1] ** 0.5) ** 2 == shape[1]:
        side = round(shape[1] ** 0.5)
        return f"; images.reshape(-1, {side}, {side}) makes squares of these rows"
    if len(shape) == 4 and 4 in (shape[1], shape[3]):
        return "; images[..., :3] leaves out a fourth plane" if shape[3] == 4 else "; images[:, :3] leaves out a fourth"
    return ""


def _values(pixels, title):
    """The array as uint8, or float32 from 0 to 1; raise if it holds anything else."""
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == bool:
        return pixels.view(np.uint8)
    if pixels.dtype.kind not in "iuf":
        raise OptionError(f"{title}: type {pixels.dtype}; {WHAT}")
    least, most = pixels.min(), pixels.max()
    if pixels.dtype.kind in "iu" and least >= 0 and most <= 255:
        return pixels.astype(np.uint8)
    if pixels.dtype.kind == "f" and least >= 0 and most <= 1:  # false of NaN
        return pixels.astype(np.float32)
    cure = ""
    if pixels.dtype.kind == "f":
        cures = {"numpy.isnan finds what is no number": least != least,
                 "numpy.clip(images, 0, 1) takes away what rounding added": least >= -ROUNDING and most <= 1 + ROUNDING,
                 "divide by 255": 0 <= least and most <= 255, "(images + 1) / 2 would do": least >= -1 and most <= 1}
        cure = next((f"; {words}" for words, helps in cures.items() if helps), "")
    raise OptionError(f"{title}: {pixels.dtype} from {all_digits(least)} to {all_digits(most)}; {WHAT}{cure}")
