"""A folder of image files."""

import io
import os
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from minivae.data.images import MOST_BYTES, Images
from minivae.errors import OptionError, all_digits
from minivae.files import expanded
from minivae.progress import progress_bar

MOST_PIXELS = 2**26  # of one file, which has to be unpacked whole: 67 million, 8192×8192
MOST_FILE = 2**28  # bytes
PROGRAMS = {"EPS", "WMF", "MPEG"}  # what Pillow hands to another program, or cannot show
SHOWN = 5  # files that a message names
SPLITS = ("train", "test")
GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F"}  # Pillow's modes


def image_folder(path, size=None, grey=False, strict=False, progress=True) -> Images:
    """The images in a folder and the folders inside it, in the order of their names.

        size      (height, width), or one number for both: each image is made smaller or larger until it covers this
                  size, by a Lanczos filter, and cut at its centre; None: all must have one size already
        grey      make one plane of colour; by default there are three if any image has colour
        strict    raise at the first file that cannot be used; by default it is skipped, and named in `skipped`

    Where every image lies in a folder inside, the first folder's name is its label.  Hidden files are no images.  What
    is transparent is laid on white, 16 bits become 8, a photograph is turned as its camera says.  Skipped are files
    that are damaged, cut off, no image, of several frames, of grey values of 32 bits that are no floats, or of more
    than 67 million pixels, which are not unpacked.
    """
    path = expanded(path)
    size = _expect_size(size)
    found, skipped = [], []
    with progress_bar(None, "file", progress, desc="looking at images", leave=False) as bar:
        for file in _files(path):
            bar.update()
            try:
                found.append((file, *_header(file)))
            except ValueError as error:
                _skip(skipped, file, error, strict)
    if not found:
        raise OptionError(f"{path} holds no image that can be used{_named(skipped)}")
    height, width = size or _one_size(path, [shape for _, shape, _ in found])
    planes = 1 if grey or all(colourless for _, _, colourless in found) else 3
    total = len(found) * planes * height * width
    if total > MOST_BYTES:
        raise OptionError(f"{path}: {len(found)} images of {planes}×{height}×{width} take {total / 2**30:.1f} GiB, "
                          f"more than {MOST_BYTES / 2**30:.0f}; size=, or --size, makes them smaller")
    pixels, kept = np.empty((len(found), planes, height, width), np.uint8), []
    with progress_bar(len(found), "image", progress, desc="reading images", leave=False) as bar:
        for file, _, _ in found:
            try:
                pixels[len(kept)] = _pixels(file, planes, height, width)
                kept.append(file)
            except ValueError as error:
                _skip(skipped, file, error, strict)
            bar.update()
    if not kept:
        raise OptionError(f"{path} holds no image that can be used{_named(skipped)}")
    labels, names = _labels(path, kept)
    return Images(pixels[:len(kept)], labels, names, tuple(skipped))


def is_split(path) -> bool:
    """True if the folder keeps images to learn from and others to test on apart, in `train` and `test`."""
    return all((Path(path) / each).is_dir() for each in SPLITS)


def _expect_size(size):
    if size is None:
        return None
    sizes = tuple(size) if isinstance(size, Iterable) else (size, size)
    if len(sizes) != 2 or not all(isinstance(each, int | np.integer) and not isinstance(each, bool)
                                  and 1 <= each <= 4096 for each in sizes):
        raise OptionError(f"size={size!r}: a size is a whole number from 1 to 4096, or a height and a width")
    return int(sizes[0]), int(sizes[1])


def _files(path):
    """Every file that is not hidden, in the order of the names."""
    def refuse(error):
        raise OptionError(f"cannot look into {error.filename}: {error.strerror}") from error

    for folder, inside, names in os.walk(path, onerror=refuse):
        inside[:] = sorted(name for name in inside if not name.startswith((".", "__MACOSX")))
        yield from (Path(folder, name) for name in sorted(names) if not name.startswith("."))


def _opened(file):
    """The image in a file, whose header has been read; ValueError says why it cannot be used."""
    if not file.is_file():
        raise ValueError("no file, or a link that leads nowhere")
    if file.stat().st_size > MOST_FILE:
        raise ValueError(f"{file.stat().st_size / 1e6:.0f} MB, more than {MOST_FILE / 1e6:.0f}")
    from PIL import Image  # here, because importing minivae does without

    Image.init()
    formats = [name for name in Image.OPEN if name not in PROGRAMS]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are looked at here, and of odd tags
            content = io.BytesIO(file.read_bytes())  # no more than these are read, whatever a header asks for
            image = Image.open(content, formats=formats)
    except Image.DecompressionBombError as error:
        raise ValueError(f"more than {MOST_PIXELS / 1e6:.0f} million pixels") from error
    except Image.UnidentifiedImageError as error:
        raise ValueError("empty" if not content.getbuffer().nbytes else "no image that Pillow can read") from error
    except Exception as error:  # Pillow's readers raise all kinds of errors of damaged files
        raise ValueError(_reason(error)) from error
    return image


def _header(file):
    """((height, width), whether it is grey) as the file says; ValueError if it cannot be used."""
    with _opened(file) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(f"{width}×{height} pixels, more than {MOST_PIXELS / 1e6:.0f} million")
        try:
            frames = getattr(image, "is_animated", False)
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            grey = image.mode in GREY or (image.mode in ("P", "PA") and _grey_palette(image))
        except Exception as error:
            raise ValueError(_reason(error)) from error
        if frames:
            raise ValueError("several frames; save the one that is wanted")
        if image.mode == "I" and image.format not in ("PNG", "PPM"):  # of these, Pillow may give 16 bits as 32
            raise ValueError("whole numbers of 32 bits, or with a sign, of which none is known to be white; save it "
                             "with 8 or 16 bits")
        return (width, height) if turned else (height, width), grey


def _grey_palette(image):
    colours = np.array(image.getpalette("RGB") or [], np.uint8)
    colours = colours[:len(colours) // 3 * 3].reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _pixels(file, planes, height, width):
    """One image (planes, height, width), uint8."""
    from PIL import Image, ImageOps

    with _opened(file) as image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                clear = _transparent(image)
                image.draft("L" if planes == 1 else "RGB", (2 * width, 2 * height))  # a JPEG is unpacked no larger
                image.load()
                image = ImageOps.exif_transpose(image)
                if image.mode in ("I", "F") or image.mode.startswith("I;16"):
                    values = np.asarray(image)
                    image = Image.fromarray(_eight_bits(values))
                    if clear is not None:
                        image.putalpha(Image.fromarray(np.where(values == clear, np.uint8(0), np.uint8(255))))
                elif clear is not None:
                    image.info["transparency"] = clear
                if image.has_transparency_data:
                    image = image.convert("RGBA")
                    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
                image = image.convert("L" if planes == 1 else "RGB")
                if image.size != (width, height):
                    image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
                found = np.asarray(image)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(_reason(error)) from error
    return found[None] if planes == 1 else np.moveaxis(found, 2, 0)


def _transparent(image):
    """The transparent value or colour of a PNG, or None.  Pillow has it as in the file, and pixels of 8 bits."""
    clear = image.info.get("transparency") if image.format == "PNG" and image.tile else None
    if clear is None:
        return None
    raw = image.tile[0][3]
    return tuple(each >> 8 for each in clear) if raw == "RGB;16B" else clear * {"L;2": 85, "L;4": 17}.get(raw, 1)


def _eight_bits(values):
    """Grey values of 16 bits, or floats from 0 to 1, as bytes."""
    if values.dtype.kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):
            raise ValueError(f"float pixels from {all_digits(values.min())} to {all_digits(values.max())}, "
                             "expected 0 to 1")
        return np.rint(255 * values).astype(np.uint8)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"pixels from {values.min()} to {values.max()}, expected 0 to 65,535")
    return ((values.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def _one_size(path, sizes):
    counts = Counter(sizes)
    if len(counts) > 1:
        (height, width), most = counts.most_common(1)[0]
        small, large = min(counts, key=np.prod), max(counts, key=np.prod)
        raise OptionError(f"{path} holds images of {len(counts)} sizes, from {small[0]}×{small[1]} to "
                          f"{large[0]}×{large[1]} (height × width), {most} of {len(sizes)} of them {height}×{width}; "
                          "size=28, or --size 28, makes all of them 28×28")
    return sizes[0]


def _labels(path, files):
    """(numbers, names) by the first folder inside; (None, ()) unless every file lies in one."""
    inside = [file.relative_to(path).parts for file in files]
    if any(len(parts) < 2 for parts in inside):
        return None, ()
    names = sorted({parts[0] for parts in inside})
    return np.array([names.index(parts[0]) for parts in inside]), tuple(names)


def _skip(skipped, file, error, strict):
    if strict:
        raise OptionError(f"{file}: {error}; remove it, or let it be skipped") from error
    skipped.append((str(file), str(error)))


def _named(skipped):
    """What was skipped, as the end of a message."""
    if not skipped:
        return ""
    more = f", and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
    return ": " + "; ".join(f"{path}: {why}" for path, why in skipped[:SHOWN]) + more


def _reason(error):
    text = " ".join(str(error).split())[:150]
    return f"damaged ({text or type(error).__name__})"
