"""Where images lie in the space of codes, drawn with matplotlib."""

import numpy as np

from minivae.figures.images import rendered

# ten colours that stay apart for readers who see red and green alike, and a digit in the middle of each cloud
COLOURS = ("#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499", "#777777")


def scatter(codes, labels):
    """Codes (n, Q) coloured by labels (n,) from 0 to 9, as a Pillow image; None where matplotlib is not installed.

    Of a code of more than 2 numbers it shows the plane in which they spread most: two principal components.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.patheffects import withStroke
    except ImportError:
        return None
    points, names = _two(codes)
    figure = Figure(figsize=(7, 6.2), layout="constrained")
    axes = figure.subplots()
    order = np.random.default_rng(0).permutation(len(points))  # no digit lies on top of all others
    axes.scatter(*points[order].T, c=[COLOURS[label] for label in labels[order]], s=6, linewidths=0, alpha=0.7)
    for label in np.unique(labels):
        axes.scatter([], [], c=COLOURS[label], s=30, label=str(label))
        axes.text(*np.median(points[labels == label], axis=0), str(label), fontsize=18, weight="bold",
                  color=COLOURS[label], ha="center", va="center",
                  path_effects=[withStroke(linewidth=4, foreground="white")])
    axes.set(xlabel=names[0], ylabel=names[1], aspect="equal")
    axes.set_title(f"Mean codes of {len(points)} test images", loc="left")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), handletextpad=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return rendered(figure)


def _two(codes):
    """(points (n, 2), names of the axes)."""
    if codes.shape[1] <= 2:
        points = np.zeros((len(codes), 2))
        points[:, :codes.shape[1]] = codes
        return points, ("first number of the code", "second number of the code")
    centred = codes - codes.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    share = spread**2 / (spread**2).sum()
    return centred @ directions[:2].T, [f"{which} principal component of the code, {part:.0%} of its variance"
                                        for which, part in zip(("first", "second"), share)]
