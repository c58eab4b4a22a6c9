"""Arrays of images in .npy and .npz files."""

import zipfile
from dataclasses import replace
from math import prod

import numpy as np
from numpy.lib import format as npy

from minivae.data.images import MOST_BYTES, Images
from minivae.errors import OptionError
from minivae.files import expanded

NAMES = (  # (images, labels) of all, or to learn from, or to test on, as archives name them
    ("images", "labels"), ("x", "y"),
    ("train_images", "train_labels"), ("x_train", "y_train"),
    ("test_images", "test_labels"), ("x_test", "y_test"))
TESTS = ("test_images", "x_test")
HEADER = 10_000  # bytes, at most, of an array's header


def array_file(path) -> tuple[Images, Images | None]:
    """(images, or those to learn from; those to test on, or None) of a .npy or .npz file.  Nothing is unpickled.

    A .npz holds `images` and, if there are any, `labels`; or x_train, y_train, x_test, y_test; or train_images,
    train_labels, test_images, test_labels; or one array.  `Images.of` says what the arrays may be.  Arrays of other
    names, and a second set to learn from or to test on, are not read, and are named in `skipped`.
    """
    path = expanded(path)
    try:
        with open(path, "rb") as file:
            if not zipfile.is_zipfile(file):
                file.seek(0)
                return Images.of(_array(file, path.stat().st_size), title=str(path)), None
            file.seek(0)
            with zipfile.ZipFile(file) as archive:
                return _of_archive(archive, path)
    except OptionError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds for damaged files
        raise OptionError(f"{path} cannot be read: {' '.join(str(error).split())[:200]}; numpy.save and numpy.savez "
                          "write files that can") from error


def _of_archive(archive, path):
    members = {each.filename.removesuffix(".npy"): each for each in archive.infolist()}
    if len(members) == 1:
        pairs = [(*members, None)]
    else:
        pairs = [pair for pair in NAMES if pair[0] in members]
    if not pairs:
        raise OptionError(f"{path} holds {', '.join(sorted(members))[:200] or 'nothing'}; name the images `images` and "
                          "their labels `labels`")

    def read(name):
        if name not in members:
            return None
        with archive.open(members[name]) as file:
            return _array(file, members[name].file_size)

    others, tests = ([pair for pair in pairs if (pair[0] in TESTS) == wanted][:1] for wanted in (False, True))
    if not others:
        raise OptionError(f"{path} holds {tests[0][0]} and no images to learn from")
    names = [name for pair in others + tests for name in pair]
    train, *test = (Images.of(read(pixels), read(labels), f"{path}: {pixels}") for pixels, labels in others + tests)
    skipped = tuple((f"{path}: {name}", f"{', '.join(names)} are what is read")
                    for name in members if name not in names)
    return replace(train, skipped=skipped), test[0] if test else None


def _array(file, size):
    """The array in an open .npy file of that many bytes; its header is believed only where it fits these."""
    version = npy.read_magic(file)
    read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read_header is None:
        raise ValueError(f"it is an array of version {version[0]}.{version[1]}, which holds no plain numbers")
    shape, fortran, dtype = read_header(file, max_header_size=HEADER)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, and none are unpickled")
    if dtype.kind not in "biufUS":
        raise ValueError(f"it holds {dtype}, no plain numbers")
    wanted = prod(shape) * dtype.itemsize  # of Python's integers: no header makes it allocate
    if wanted > MOST_BYTES:
        raise ValueError(f"it holds {wanted / 2**30:.1f} GiB, more than the {MOST_BYTES / 2**30:.0f} that a set may "
                         "have")
    if wanted > size:
        raise ValueError(f"it says that it has shape {shape} of {dtype}, and has {size} bytes")
    content = file.read(wanted)
    if len(content) < wanted:
        raise ValueError(f"it ends after {len(content)} of {wanted} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
