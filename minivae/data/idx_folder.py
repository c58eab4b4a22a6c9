"""Sets in MNIST's file format: Fashion-MNIST, KMNIST, EMNIST, and one's own."""

import gzip
import re
import struct
import zlib
from math import prod
from pathlib import Path

from minivae.data.idx import read_idx
from minivae.data.images import MOST_BYTES, Images
from minivae.errors import OptionError
from minivae.files import expanded

NAME = re.compile(r"(?P<set>.*?)(?P<split>train|test|t10k)?-?images[-.]idx[34]-ubyte(\.gz)?", re.IGNORECASE)


def idx_sets(path) -> dict[str, dict[str, Path]]:
    """{name of a set: {"train": file of its images, "test": ...}} of the files in a folder, or of one file's set.

    Names are MNIST's, train-images-idx3-ubyte and t10k-images-idx3-ubyte, with or without .gz, after the name of the
    set and a hyphen where there are several, as EMNIST has them: emnist-letters-train-images-idx3-ubyte.gz.
    """
    path = expanded(path)
    folder, only = (path, None) if path.is_dir() else (path.parent, NAME.fullmatch(path.name))
    found: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.iterdir(), key=lambda file: (file.suffix == ".gz", file.name)):
        match = NAME.fullmatch(file.name)
        if match and file.is_file() and (only is None or match["set"] == only["set"]):
            split = "test" if (match["split"] or "train").lower() in ("test", "t10k") else "train"
            found.setdefault(match["set"].rstrip("-_"), {}).setdefault(split, file)
    return found


def idx_folder(path) -> tuple[Images, Images | None]:
    """(images to learn from, those to test on or None) of a folder of IDX files, or of the set of one of them.

    Labels are in the file of the same name with `labels` and `idx1`.
    """
    sets = idx_sets(path)
    if len(sets) != 1:
        names = ", ".join((files.get("train") or files["test"]).name for files in sets.values())
        raise OptionError(f"{path} holds the sets of {names}; give the file of one of them" if sets else
                          f"{path} holds no IDX file of images, such as train-images-idx3-ubyte.gz")
    files, = sets.values()
    if "train" not in files:
        raise OptionError(f"{files['test']} is a file of test images, and the one to learn from is not beside it")
    return _images(files["train"]), _images(files["test"]) if "test" in files else None


def _images(file):
    labels = [file.with_name(re.sub(r"idx[34]", "idx1", re.sub("images", "labels", name)))
              for name in (file.name, file.name.removesuffix(".gz"), f"{file.name}.gz")]
    labels = next((each for each in labels if each.is_file()), None)
    return Images.of(_content(file), None if labels is None else _content(labels), str(file))


def _content(file):
    """The bytes of a file, unpacked: as many as its header asks for, and one more if there are any."""
    try:
        with open(file, "rb") as opened:
            packed = opened.read(2) == b"\x1f\x8b"
        with gzip.open(file, "rb") if packed else open(file, "rb") as opened:
            head = opened.read(4)
            axes = head[3] if head[:3] == b"\0\0\x08" else 0
            sizes = opened.read(4 * axes)
            wanted = prod(struct.unpack(f">{axes}I", sizes)) if len(sizes) == 4 * axes else 0
            if wanted > MOST_BYTES:
                raise OptionError(f"{file} says that it holds {wanted / 2**30:.1f} GiB, more than the "
                                  f"{MOST_BYTES / 2**30:.0f} that a set may have")
            content = head + sizes + opened.read(wanted + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise OptionError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}; copy or download it "
                          "again") from error
    return read_idx(content, str(file))
