"""A data set of one's own: a folder of images, an array, or files in MNIST's format."""

import hashlib
from pathlib import Path

import numpy as np

from minivae.data.array_file import array_file
from minivae.data.idx_folder import NAME, idx_folder, idx_sets
from minivae.data.image_folder import SPLITS, image_folder, is_split
from minivae.data.images import Images
from minivae.errors import OptionError, real_number, whole_number
from minivae.files import expanded

EMNIST = "EMNIST stores its images with rows and columns exchanged; they are shown as they are"


def read(path, size=None, grey=False, strict=False, progress=True) -> tuple[Images, Images | None]:
    """(images, or those to learn from; those to test on, or None) of a folder or file of one's own.

        path   a folder of image files (`image_folder`), which may keep them in `train` and `test`; a folder of IDX
               files in MNIST's format, or the file of images of one such set (`idx_folder`); a .npy or .npz file
               (`array_file`)

    `size`, `grey` and `strict` are those of `image_folder`, and go with image files alone.
    """
    path = expanded(path)
    if not path.exists():
        raise OptionError(f"there is no file or folder {path}; of a run whose images have moved, --root FOLDER "
                          "says where they are")
    if path.is_dir() and not idx_sets(path):
        if not is_split(path):
            return image_folder(path, size, grey, strict, progress), None
        return _alike(path, *(image_folder(path / each, size, grey, strict, progress) for each in SPLITS))
    if size is not None or grey or strict:
        raise OptionError(f"{path}: size, grey and strict are for image files; this is an array, "
                          "which is taken as it is")
    if path.is_dir() or NAME.fullmatch(path.name):
        return _alike(path, *idx_folder(path))
    return _alike(path, *array_file(path))


def split(images, share, seed=0) -> tuple[Images, Images]:
    """(to learn from, to test on): a share of the images, chosen at random by the seed, is held out."""
    share = real_number("split", "share", share, "is a part of the images, above 0 and below 1", above=0, below=1)
    held = max(1, round(share * len(images)))
    if held >= len(images):
        raise OptionError(f"{len(images)} image{'s' * (len(images) != 1)}, of which {held} would be held out for "
                          "tests, and none is left to learn from; give more images or a smaller share")
    order = np.random.default_rng(whole_number("split", "seed", seed, least=0)).permutation(len(images))
    return images[np.sort(order[held:])], images[np.sort(order[:held])]


def digest(*parts) -> str:
    """A fingerprint of images and labels, which every change of them changes."""
    found = hashlib.sha256()
    for part in parts:
        for array in (part.pixels, part.labels):
            if array is not None:
                found.update(f"{array.dtype}{array.shape}".encode())
                found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def notes(path, *parts) -> list[str]:
    """What a user should know of these images, a line each."""
    pixels, skipped = parts[0].pixels, [each for part in parts for each in part.skipped]
    lines = [f"skipped {name}: {why}" for name, why in skipped]
    if pixels.shape[1] == 3 and all((part.pixels[:, :1] == part.pixels).all() for part in parts):
        lines.append("the three planes of every image are equal; --grey, for image files, makes one of them")
    if Path(path).name.lower().startswith("emnist"):
        lines.append(EMNIST)
    return lines


def title(path) -> str:
    """What a reader calls the set: the name of its folder or file."""
    return expanded(path).resolve().name or str(path)


def _alike(path, train, test):
    """Both, once their shapes and labels fit each other."""
    if test is None:
        return train, test
    if train.pixels.shape[1:] != test.pixels.shape[1:] or train.pixels.dtype != test.pixels.dtype:
        raise OptionError(f"{path}: images to learn from are {train.pixels.shape[1:]} {train.pixels.dtype}, those to "
                          f"test on {test.pixels.shape[1:]} {test.pixels.dtype}; make them alike")
    names = train.names
    if test.labels is None or set(test.names) - set(names):
        names = tuple(sorted({*train.names, *test.names}))
    return _renamed(train, names), _renamed(test, names)


def _renamed(images, names):
    if images.labels is None or images.names == names:
        return images
    numbers = np.array([names.index(name) for name in images.names])
    return Images(images.pixels, numbers[images.labels], names, images.skipped)
