"""MNIST: 70,000 handwritten digits of 28×28 grey pixels (LeCun, Cortes and Burges)."""

import gzip
import hashlib
import io
import os
import zlib
from typing import NamedTuple

from minivae.data.binarized import BINARIZE, binarized
from minivae.data.idx import read_idx
from minivae.errors import OptionError
from minivae.files import cache, expanded


class File(NamedTuple):
    """One of the four files: its name, and size and MD5 of its content when it is no longer compressed."""
    name: str
    size: int
    md5: str


FILES = {
    "train": (File("train-images-idx3-ubyte", 47040016, "6bbc9ace898e44ae57da46a324031adb"),
              File("train-labels-idx1-ubyte", 60008, "a25bea736e30d166cdddb491f175f624")),
    "test": (File("t10k-images-idx3-ubyte", 7840016, "2646ac647ad5339dbf082846283269ea"),
             File("t10k-labels-idx1-ubyte", 10008, "27ae3e4e09519cfbb04c329615203637")),
}
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
LARGEST = max(file.size for files in FILES.values() for file in files)
SLACK = 1024  # bytes that compression may add at most


def mnist(split, root=None, binarize=None, progress=True, download=True):
    """(images, labels) of "train" (60,000) or "test" (10,000): uint8 (n, 28, 28) and (n,).

        binarize    None          grey, from 0 to 255: give Batches scale=1/255
                    "threshold"   0 and 1: 1 above half of the greatest grey
                    "fixed"       0 and 1, drawn once, with the grey as the probability of a 1; always the same bits
                    "each_epoch"  a `Redrawn`: as "fixed", but drawn anew whenever an image is used

    A Bernoulli likelihood is one of bits: of grey pixels it is a cross-entropy, and its values cannot be compared
    with those of binarized images.

    The four files, with or without .gz, are looked for in the folder `root`, else in `$MINIVAE_DATA`, else in the
    cache folder; files that are not there are downloaded to it, unless `download=False`.  What is in them is verified
    by its MD5.
    """
    if split not in FILES:
        raise OptionError(f"mnist({split!r}): choose the split \"train\" or \"test\"")
    if binarize not in BINARIZE:
        raise OptionError(f"mnist(binarize={binarize!r}): choose one of {', '.join(map(repr, BINARIZE))}")
    folder = _folder(root)
    images, labels = (read_idx(_content(folder, file, progress, download), file.name) for file in FILES[split])
    return binarized(images, binarize), labels


def _folder(root):
    """Where the files are, or should be."""
    given = os.environ.get("MINIVAE_DATA") if root is None else root
    try:
        folder = expanded(given) if given else cache() / "mnist"
    except OptionError as error:
        raise OptionError(f"{error}: root=, --root or $MINIVAE_DATA names the folder of MNIST's files") from error
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise OptionError(f"the folder of the MNIST files is {folder}, which is a file; give the folder that it is in")
    return folder


def _content(folder, file, progress, download):
    """The verified content of one of the files, downloaded if it is not there."""
    try:
        for place in (folder, folder / "mnist", folder / "MNIST" / "raw"):  # the last is torchvision's
            for name in (file.name, file.name.replace("-idx", ".idx")):
                for path in (place / name, place / f"{name}.gz"):
                    if path.is_file():
                        return _local(path, file)
    except OSError as error:
        raise OptionError(f"cannot look for {file.name} in {folder}: {error.strerror}; root=, --root or $MINIVAE_DATA "
                          "names another folder") from error
    if not download:
        raise OptionError(f"{file.name} is not in {folder}; root=, or --root, gives the folder that it is in")
    from minivae.data.download import download as fetch  # here, because few need it and it loads the whole of urllib

    path = folder / f"{file.name}.gz"
    try:
        content = fetch(MIRRORS, path.name, path, lambda content: _verified(content, path.name, file),
                        largest=file.size + SLACK, progress=progress)
    except (OSError, OptionError) as error:
        wanted = ", ".join(each.name + ".gz" for files in FILES.values() for each in files)
        raise OptionError(f"MNIST is not in {folder} and cannot be downloaded ({error}); put {wanted} there, or into "
                          "a folder that root=, --root or $MINIVAE_DATA names") from error
    return _verified(content, path, file)


def _local(path, file):
    try:
        with open(path, "rb") as opened:
            content = opened.read(LARGEST + SLACK)
    except OSError as error:
        raise OptionError(f"cannot read {path}: {error.strerror}") from error
    try:
        return _verified(content, path, file)
    except OptionError as error:
        raise OptionError(f"{error}; for other images of this format give their folder, as --data {path.parent} does; "
                          "a file that is damaged is downloaded again once it is gone") from error


def _verified(content, source, file):
    """The content, decompressed if need be; raise unless it is the one that everybody else has."""
    if content[:2] == b"\x1f\x8b":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as opened:
                content = opened.read(LARGEST + 1)  # no further, whatever it would grow to
        except (OSError, EOFError, zlib.error) as error:
            raise OptionError(f"{source} is damaged: {error}") from error
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if len(content) != file.size or md5 != file.md5:
        found = f"{len(content)} bytes" if len(content) <= LARGEST else f"more than {LARGEST} bytes"
        others = [each.name for files in FILES.values() for each in files if each.md5 == md5]
        raise OptionError(f"{source} is not MNIST's {file.name}: {found} with MD5 {md5}"
                          f"{', its '.join(['', *others])}; expected {file.size} with {file.md5}")
    return content
