"""Scatter of the codes of images, drawn with matplotlib."""

import numpy as np

from minivae.figures.style import COLOURS, MARKERS, add_legend, axes_of, new_figure, rendered, shortened


def scatter(codes, labels, names=()):
    """Codes (n, Q) by their labels (n,), as a Pillow image; None where matplotlib is not installed.

    `names` says what the labels stand for.  There are ten colours and three shapes: from the eleventh label on they
    begin again.

    Of a code of more than 2 numbers it shows the plane in which they spread most: two principal components.
    """
    figure = new_figure(8, 6.6)
    if figure is None:
        return None
    points, axis_names = _two(codes)
    axes = axes_of(figure, f"Mean codes of {len(points)} test images", *axis_names)
    order = np.random.default_rng(0).permutation(len(points))  # in turns, so that no label lies on top of all others
    for turn in np.array_split(order, 20):
        for label in np.unique(labels):
            axes.scatter(*points[turn[labels[turn] == label]].T, c=COLOURS[label % 10], marker=MARKERS[label % 3], s=11,
                         linewidths=0, alpha=0.8)
    shown = np.unique(labels)
    for label in shown:
        axes.scatter([], [], c=COLOURS[label % 10], marker=MARKERS[label % 3], s=50, label=str(label))
    axes.set(aspect="equal")
    add_legend(axes, shortened([names[label] if len(names) else str(label) for label in shown], 20), frameon=False,
               loc="center left", bbox_to_anchor=(1, 0.5), title="label", ncols=1 + len(shown) // 25)
    return rendered(figure)


def _two(codes):
    """(points (n, 2), names of the axes)."""
    if codes.shape[1] <= 2:
        return _padded(codes), ("z₀, first number of the code", "z₁, second number of the code")
    centred = codes - codes.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    share = np.append(spread**2, 0) / max((spread**2).sum(), np.finfo(spread.dtype).tiny)  # one image spreads nowhere
    return _padded(centred @ directions[:2].T), [f"{which} principal component of the code, {part:.0%} of its variance"
                                                 for which, part in zip(("first", "second"), share)]


def _padded(points):
    """Points with a second number, 0, where they have one."""
    return np.pad(points, ((0, 0), (0, 2 - points.shape[1])))
