"""The pictures of a run."""

from minivae import backend, figures
from minivae.data import is_full_square
from minivae.nn import GaussianKL

CODES = 5000  # test images in the scatter of codes


def draw(model, folder, data, protocol):
    """Write a run's pictures; returns lines that say what is in them."""
    shown = figures.reconstructions(model, data.test[:20] * data.scale)
    figures.save_png(folder / "reconstructions.png", shown, scale=2)
    lines = [f"{folder / 'reconstructions.png'}: test images above what the model makes of them"]
    lines.append(latent_picture(model, folder, squares=data.floor is not None))
    curve = figures.curve(protocol, data.floor)
    if curve is None:
        return [*lines, "no curve.png: matplotlib is not installed (pip install \"minivae[plots]\" draws it)"]
    figures.save_png(folder / "curve.png", curve)
    lines.append(f"{folder / 'curve.png'}: the losses, step by step")
    if data.labels is not None:
        x = backend.from_numpy(data.test[:CODES] * model.dtype.type(data.scale), like=model.backend)
        codes = backend.to_numpy(model.kl.expected(model.encode(x)))
        figures.save_png(folder / "codes.png", figures.scatter(codes, data.labels[:CODES]))
        lines.append(f"{folder / 'codes.png'}: the codes of {len(codes)} test images, coloured by digit")
    return lines


def latent_picture(model, folder, span=figures.SPAN, threshold=False, seed=0, squares=True):
    """Write the plane of a code of 2, or draws from the prior of a larger one; returns a line about it.

    `squares` counts the images that are one full square, as the articles' rectangles are.
    """
    samples, drawn = figures.prior_samples(model, 400, seed), "400 prior samples"
    if model.code == 2 and isinstance(model.kl, GaussianKL):
        path, images = folder / "interpolations.png", figures.plane(model, span=span)
        line = f"{path}: codes from {-span:g} to {span:g}, both ways"
        drawn = f"{_full(images)} of its tiles and {_full(samples)} of {drawn}"
    else:
        path, images = folder / "samples.png", samples
        line = f"{path}: what {drawn} decode to"
        drawn = f"{_full(samples)} of them"
    sheet = figures.grid(images, 20, gap=1, background=0.25)
    figures.save_png(path, (sheet > 0.5) if threshold else sheet, scale=2)
    return line + (f"; {drawn} are exactly one full 9×9 square when thresholded at ½" if squares else "")


def _full(images):
    return f"{is_full_square(images).mean():.0%}"
