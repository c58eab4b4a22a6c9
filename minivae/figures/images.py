"""Grids of images, and what a model draws."""

import io

import numpy as np
from PIL import Image

from minivae import backend
from minivae.errors import OptionError
from minivae.files import atomic

SPAN = 0.95  # the listing's 2·i·0.05 − 21·0.05 for i = 1 … 20: from −0.95 to 0.95 in steps of 0.1


def grid(images, columns, gap=0, background=0.0):
    """Images (n, ..., height, width) of values in [0, 1], in rows of `columns`, `gap` pixels around each."""
    images = np.asarray(images)
    images = images.reshape(-1, *images.shape[-2:])
    rows = -(-len(images) // columns)
    height, width = images.shape[1] + gap, images.shape[2] + gap
    sheet = np.full((rows * height + gap, columns * width + gap), background, dtype=np.float32)
    for k, image in enumerate(images):
        top, left = gap + k // columns * height, gap + k % columns * width
        sheet[top:top + image.shape[0], left:left + image.shape[1]] = image
    return sheet


def picture(image, scale=1):
    """Values (height, width) in [0, 1] as an 8-bit grey Pillow image, which a notebook shows; `scale` enlarges it."""
    bytes_ = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return Image.fromarray(bytes_.repeat(scale, axis=0).repeat(scale, axis=1))


def save_png(path, image, scale=1):
    """Write values in [0, 1], or a Pillow image, as a PNG, each pixel `scale` pixels wide."""
    with atomic(path) as file:
        (image if isinstance(image, Image.Image) else picture(image, scale)).save(file, format="PNG")


def rendered(figure, dpi=120):
    """A matplotlib figure as a Pillow image."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=dpi)
    return Image.open(file)


def plane(model, size=20, span=SPAN):
    """What a model with a code of 2 decodes at size·size codes from −span to span: probabilities (size², ...).

    The first number of the code grows downwards, the second to the right, as in the article's listing.
    """
    if model.code != 2:
        raise OptionError(f"the latent plane needs a code of 2 numbers, this model's has {model.code}")
    steps = np.linspace(-span, span, size)
    codes = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2).astype(model.dtype)
    return backend.to_numpy(model.decode(backend.from_numpy(codes, like=model.backend)))


def prior_samples(model, n=400, seed=0):
    """What a model decodes from n codes drawn from its prior; draws from `seed`, not from the training stream."""
    with backend.seeded(seed):
        return backend.to_numpy(model.sample(n))


def reconstructions(model, images, columns=10):
    """A sheet of pairs of rows: images (n, height, width) in [0, 1] above what the model makes of each."""
    x = backend.from_numpy(np.asarray(images, dtype=model.dtype), like=model.backend)
    again = backend.to_numpy(model.reconstruct(x))
    rows = []
    for k in range(0, len(images), columns):
        rows += [grid(each[k:k + columns], columns, gap=2, background=0.5) for each in (np.asarray(images), again)]
        rows.append(np.full((4, rows[0].shape[1]), 0.5, dtype=np.float32))
    return np.concatenate(rows[:-1])
