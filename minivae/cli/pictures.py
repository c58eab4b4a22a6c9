"""The pictures of a run."""

from minivae import figures
from minivae.data import is_full_square
from minivae.figures.curves import save_curve
from minivae.nn import GaussianKL


def draw(model, folder, images, protocol, floor):
    """Write a run's pictures; returns lines that say what is in them."""
    figures.save_png(folder / "reconstructions.png", figures.reconstructions(model, images[:20]), scale=2)
    lines = [f"{folder / 'reconstructions.png'}: images above what the model makes of them"]
    lines.append(latent_picture(model, folder))
    if save_curve(folder / "curve.png", protocol, floor):
        lines.append(f"{folder / 'curve.png'}: the losses, step by step")
    else:
        lines.append("no curve.png: matplotlib is not installed (pip install \"minivae[plots]\" draws it)")
    return lines


def latent_picture(model, folder, span=figures.SPAN, threshold=False, seed=0):
    """Write the plane of a code of 2, or draws from the prior of a larger one; returns a line about it."""
    samples = figures.prior_samples(model, 400, seed)
    drawn = f"{is_full_square(samples).mean():.0%} of 400 prior samples"
    if model.code == 2 and isinstance(model.kl, GaussianKL):
        path, images = folder / "interpolations.png", figures.plane(model, span=span)
        line = (f"{path}: codes from {-span:g} to {span:g}, both ways; {is_full_square(images).mean():.0%} of its "
                f"tiles and {drawn} are exactly one full 9×9 square when thresholded at ½")
    else:
        path, images = folder / "samples.png", samples
        line = (f"{path}: what 400 prior samples decode to; {is_full_square(samples).mean():.0%} of them are exactly "
                "one full 9×9 square when thresholded at ½")
    sheet = figures.grid(images, 20, gap=1, background=0.25)
    figures.save_png(path, (sheet > 0.5) if threshold else sheet, scale=2)
    return line
