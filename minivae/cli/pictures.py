"""The pictures of a run."""

import numpy as np

from minivae import evaluation, figures
from minivae.data import is_full_square
from minivae.files import expect_writable
from minivae.nn import GaussianKL

CODES = 5000  # test images in the scatter of codes
ROWS = 50  # labels that draws are shown of


def draw(model, folder, data, protocol, names, divergence="KL"):
    """Write a run's pictures, with these names of its numbers; returns lines that say what is in them."""
    shown = figures.reconstructions_picture(model, data.test[:20] * data.scale)
    figures.save_png(folder / "reconstructions.png", shown)
    lines = [f"{folder / 'reconstructions.png'}: test images above what the model makes of them"]
    lines.append(latent_picture(model, folder, squares=data.floor is not None, names=data.names))
    curve = figures.curve(protocol, data.floor, names.loss, names.test, divergence)
    if curve is None:
        return [*lines, "no curve.png: matplotlib is not installed, or cannot be used (pip install \"minivae[plots]\" "
                "draws it)"]
    figures.save_png(folder / "curve.png", curve)
    lines.append(f"{folder / 'curve.png'}: the losses, step by step")
    if data.labels is not None:
        _, codes = evaluation.encode(model, data.test[:CODES], data.scale)
        figures.save_png(folder / "codes.png", figures.scatter(codes, data.labels[:CODES], data.names))
        lines.append(f"{folder / 'codes.png'}: the codes of {len(codes)} test images, coloured by label")
    return lines


def has_plane(model):
    """Whether a model's codes are a plane: two numbers."""
    return model.code == 2 and isinstance(model.kl, GaussianKL)


def latent_picture(model, folder, span=None, threshold=False, seed=0, squares=True, article=False, label=None,
                   names=()):
    """Write the plane of a code of 2, or draws from the prior of a larger one; returns a line about it.

    Of a model that is given labels: of one `label`, a number into `names`, or draws of each in a row of their own, and
    the plane of the first.

    `squares` counts the images that are one full square, as the articles' rectangles are; without a `span` the plane is
    then the article's, and elsewhere holds most of the prior.
    """
    rows, under = (), ""
    path = folder / ("interpolations.png" if has_plane(model) else "samples.png")
    expect_writable(path)
    if model.labels and (label is not None or has_plane(model)):
        under = f" under label {names[label or 0]}"
        samples = figures.prior_samples(model, 400, seed, label=label or 0)
    else:
        rows = names[:min(model.labels, ROWS)]
        each = {"label": np.repeat(np.arange(len(rows)), 20)} if rows else {}
        samples = figures.prior_samples(model, 20 * len(rows) or 400, seed, **each)
    drawn = f"{len(samples)} prior samples"
    if has_plane(model):
        span = span or (figures.SPAN if squares else figures.PRIOR)
        images = figures.plane(model, span=span, article=article)
        sheet = figures.plane_picture(images, span, article, threshold)
        ways = "z₀ downwards and z₁ to the right, as in the article" if article else "z₀ to the right, z₁ upwards"
        line = f"{path}: codes from −{span:g} to {span:g}, {ways}"
        drawn = f"{_full(images)} of its tiles and {_full(samples)} of {drawn}" if squares else ""
    else:
        sheet = figures.samples_picture(samples, threshold=threshold, names=rows)
        line = f"{path}: what {drawn} decode to" + ", a label a row" * bool(rows)
        drawn = f"{_full(samples)} of them" if squares else ""
    figures.save_png(path, sheet)
    return line + under + (f"; {drawn} are exactly one full 9×9 square when thresholded at ½" if squares else "")


def _full(images):
    return f"{is_full_square(images).mean():.0%}"
