"""The course of a training, drawn with matplotlib."""

import numpy as np

from minivae.figures.images import rendered


def curve(protocol, floor=None):
    """The losses of a protocol, step by step, as a Pillow image; None where matplotlib is not installed.

    `floor` is the least that the data allow, in nats per image: a dotted line.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    step = protocol["step"]
    width = max(1, len(step) // 300)  # steps that one point of the curve is the mean of
    lowest = [] if floor is None else [floor]
    for column, label, colour in (("total", "total = −ELBO", "#1b4965"),
                                  ("reconstruction", "reconstruction", "#e07a5f"), ("divergence", "KL", "#5fa8d3")):
        values = _means(protocol[column], width)
        lowest.append(values[len(values) // 10:].min())
        axes.plot(_means(step, width), values, label=f"{label}, at the end {values[-1]:.2f}", color=colour,
                  linewidth=2 if column == "total" else 1.2)
    if floor is not None:
        axes.axhline(floor, color="0.4", linestyle=":", label=f"optimum {floor:.3f}")
    axes.set(xlabel="step", ylabel="nats per image", xlim=(0, step[-1]))
    if min(lowest) > 0:  # a density can exceed 1, and then a Gaussian's loss is negative
        axes.set(yscale="log", ylim=(0.8 * min(lowest), None))
    axes.set_title(f"Training loss, means over {width} step{'s' if width > 1 else ''}", loc="left")
    axes.grid(alpha=0.25, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return rendered(figure)


def _means(values, width):
    """The means of consecutive stretches of `width` values, the remainder left out."""
    n = len(values) // width * width
    return np.asarray(values[:n]).reshape(-1, width).mean(axis=1)
