"""Grids of images, and what a model draws."""

import numpy as np
from PIL import Image

from minivae import backend
from minivae.errors import OptionError
from minivae.figures.style import framed
from minivae.files import atomic

SPAN = 0.95  # the listing's 2·i·0.05 − 21·0.05 for i = 1 … 20: from −0.95 to 0.95 in steps of 0.1
PRIOR = 2.2  # holds 94 % of the prior's mass
GAP, LINE = 1, 0.25  # pixels between tiles, and their grey
AXES = ("z0, first number of the code", "z1, second number of the code")


def grid(images, columns, gap=0, background=0.0):
    """Images of values in [0, 1], in rows of `columns`, `gap` pixels around each: a sheet (height, width).

    Images are (n, height, width) or (n, planes, height, width); three planes are colours, and the sheet is then
    (height, width, 3).
    """
    images = np.asarray(images)
    colours = images.shape[1:-2] == (3,)
    images = np.moveaxis(images, 1, 3) if colours else images.reshape(-1, *images.shape[-2:])
    rows = -(-len(images) // columns)
    height, width = images.shape[1] + gap, images.shape[2] + gap
    sheet = np.full((rows * height + gap, columns * width + gap, *images.shape[3:]), background, dtype=np.float32)
    for k, image in enumerate(images):
        top, left = gap + k // columns * height, gap + k % columns * width
        sheet[top:top + image.shape[0], left:left + image.shape[1]] = image
    return sheet


def picture(image, scale=1):
    """Values (height, width) in [0, 1] as an 8-bit grey Pillow image, (height, width, 3) as one in colour.

    A notebook shows it; `scale` enlarges it.
    """
    bytes_ = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(bytes_.repeat(scale, axis=0).repeat(scale, axis=1))


def save_png(path, image, scale=1):
    """Write values in [0, 1], or a Pillow image, as a PNG, each pixel `scale` pixels wide."""
    with atomic(path) as file:
        (image if isinstance(image, Image.Image) else picture(image, scale)).save(file, format="PNG")


def plane(model, size=20, span=SPAN, article=False):
    """What a model with a code of 2 decodes at size·size codes from −span to span: probabilities (size², ...).

    In rows of `size`, from top to bottom: the first number of the code, z₀, grows to the right and the second, z₁,
    upwards.  `article` has the layout of the article's listing, z₀ downwards and z₁ to the right.
    """
    if model.code != 2:
        raise OptionError(f"the latent plane needs a code of 2 numbers, this model's has {model.code}")
    steps = np.linspace(-span, span, size)
    second, first = np.meshgrid(steps, steps, indexing="ij") if article else np.meshgrid(steps[::-1], steps,
                                                                                         indexing="ij")
    codes = np.stack([second, first] if article else [first, second], axis=-1).reshape(-1, 2)
    return backend.to_numpy(model.decode(backend.aligned(codes, model.dtype, model.backend)))


def plane_picture(images, span, article=False, threshold=False, scale=None):
    """The tiles of `plane`, with its axes, as a Pillow image."""
    size, scale = round(len(images) ** 0.5), scale or _scale(images)
    tiles = _sheet(images, size, threshold, scale)
    step = (tiles.width - GAP * scale) / size
    numbers = [-span, -span / 2, 0, span / 2, span]
    places = [step * (0.5 + (size - 1) * (number + span) / (2 * span)) for number in numbers]
    ticks = list(zip(places, [f"{number:.3g}" for number in numbers]))
    upwards = [(tiles.height - place, text) for place, text in ticks]
    names = AXES[::-1] if article else AXES
    layout = ", laid out as in the article" if article else ""
    return framed(tiles, f"Decoded codes from -{span:g} to {span:g}{layout}", (names[0], ticks),
                  (names[1], ticks if article else upwards))


def samples_picture(images, columns=20, threshold=False, scale=None, names=()):
    """Draws from the prior, with a title and the names of its rows, if any, as a Pillow image."""
    scale = scale or _scale(images)
    sheet = _sheet(images, columns, threshold, scale)
    height = scale * (np.shape(images)[-2] + GAP)
    rows = [((row + 0.5) * height, name[:20].encode("ascii", "replace").decode()) for row, name in enumerate(names)]
    return framed(sheet, f"{len(images)} draws from the prior, decoded", rows=rows)


def _scale(images):
    """Pixels for a pixel: small images are enlarged, a sheet of large ones fills the screen as it is."""
    return 2 if np.shape(images)[-1] <= 56 else 1


def _sheet(images, columns, threshold, scale):
    """Tiles with lines between them that stay grey when the pixels are made black and white."""
    images = np.asarray(images)
    return picture(grid((images > 0.5) if threshold else images, columns, GAP, LINE), scale)


def prior_samples(model, n=400, seed=0, **options):
    """What a model decodes from n codes drawn from its prior; draws from `seed`, not from the training stream."""
    with backend.seeded(seed):
        return backend.to_numpy(model.sample(n, **options))


def reconstructions(model, images, columns=10):
    """A sheet of pairs of rows: images (n, ..., height, width) in [0, 1] above what the model makes of each."""
    return _stacked(*_pairs(model, images), columns)


def reconstructions_picture(model, images, columns=10, scale=None):
    """The same with a name beside each row, as a Pillow image."""
    images, again = _pairs(model, images)
    sheet = _stacked(images, again, columns)
    scale = scale or _scale(images)
    height = scale * (np.shape(images)[-2] + 4)
    pairs = -(-len(images) // columns)
    rows = [(2 * k * height + 4 * scale * k + place * height, name) for k in range(pairs)
            for place, name in ((0.5, "image"), (1.5, "model"))]
    return framed(picture(sheet, scale), "Test images, and what the model makes of them", rows=rows)


def _pairs(model, x):
    """(images, what the model makes of them), where x may hold labels too."""
    again = backend.to_numpy(model.reconstruct(backend.aligned(np.asarray(x), model.dtype, model.backend)))
    return model.target(np.asarray(x)).reshape(again.shape) if model.labels else np.asarray(x), again


def _stacked(images, again, columns):
    rows = []
    for k in range(0, len(images), columns):
        rows += [grid(each[k:k + columns], columns, gap=2, background=0.5) for each in (images, again)]
        rows.append(np.full((4, *rows[0].shape[1:]), 0.5, dtype=np.float32))
    return np.concatenate(rows[:-1])
