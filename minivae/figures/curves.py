"""The course of a training, drawn with matplotlib."""

import numpy as np

from minivae.figures.style import COLOURS, MARKERS, STYLES, add_legend, apart, axes_of, new_figure, rendered, shortened

TOTAL, RECONSTRUCTION, KL, TEST = "#1b4965", "#c8553d", "#2a7f9e", "#111111"
MOST = len(COLOURS) * len(STYLES)  # lines that one can tell apart


def curve(protocol, floor=None, loss="reconstruction + KL", test="test images", divergence="KL"):
    """The losses of a protocol, step by step, as a Pillow image; None where matplotlib is not installed.

        floor        the least that the data allow, in nats per image      loss, test, divergence   what the
                     totals are, and what is added to the reconstruction, in words
    """
    figure = new_figure(9, 4.8)
    if figure is None:
        return None
    step = protocol["step"]
    width = max(1, len(step) // 300)  # steps that one point of the curve is the mean of
    title = f"Training, nats per image (means over {width} step{'s' if width > 1 else ''})"
    axes = axes_of(figure, title, "step", "nats per image")
    lines, lowest = [], [] if floor is None else [floor]
    for column, name, colour in (("total", loss, TOTAL), ("reconstruction", "reconstruction", RECONSTRUCTION),
                                 ("divergence", divergence, KL)):
        values = _means(protocol[column], width)
        lowest.append(values[len(values) // 4:].min())  # a KL that starts at 0 does not set the scale
        axes.plot(_means(step, width), values, color=colour, linewidth=2 if column == "total" else 1.3)
        lines.append((values[-1], f"{name}  {values[-1]:.2f}", colour))
    if protocol.tests:
        at, reconstruction, divergence = np.transpose(protocol.tests)
        axes.plot(at, reconstruction + divergence, "o", color=TEST, markersize=5, clip_on=False, zorder=3)
        lines.append((reconstruction[-1] + divergence[-1], f"test, {test}  {reconstruction[-1] + divergence[-1]:.2f}",
                      TEST))
        lowest.append((reconstruction + divergence).min())
    if floor is not None:
        axes.axhline(floor, color="0.4", linestyle=":", linewidth=1.5)
        lines.append((floor, f"optimum  {floor:.3f}", "0.4"))
    axes.set(xlim=(0, step[-1]))
    if min(lowest) > 0:  # a density can exceed 1, and then a Gaussian's loss is negative
        _logarithmic(axes, 0.8 * min(lowest))
    _name_at_the_end(axes, lines)
    return rendered(figure)


def comparison(runs):
    """The losses of several runs in one picture; None where matplotlib is not installed.

        runs   (name, protocol (steps, columns), tests (looks, 3)) of each, as a checkpoint has them; at most MOST

    Their names stand at the ends of the lines, or in a legend where lines of one colour differ in their style.
    """
    figure = new_figure(9, max(4.8, 0.25 * len(runs)))
    if figure is None:
        return None
    axes = axes_of(figure, "Training (lines) and test images (points), nats per image", "step", "nats per image")
    lines, lowest = [], []
    names = shortened([name for name, _, _ in runs], 28)
    for k, (name, (_, protocol, tests)) in enumerate(zip(names, runs)):
        colour, width = COLOURS[k % len(COLOURS)], max(1, len(protocol) // 300)
        style, marker = STYLES[k // len(COLOURS) % len(STYLES)], MARKERS[k % len(MARKERS)]
        values = _means(protocol[:, 3], width)
        axes.plot(_means(protocol[:, 0], width), values, style, color=colour, linewidth=1.3)
        lowest.append(values[len(values) // 4:].min())
        last = values[-1]
        if len(tests):
            totals = tests[:, 1] + tests[:, 2]
            axes.plot(tests[:, 0], totals, marker, color=colour, markersize=5, clip_on=False)
            lowest.append(totals.min())
            last = totals[-1]
        lines.append((last, f"{name}  {last:.2f}", colour))
        axes.plot([], [], style, marker=marker, color=colour, linewidth=1.3, markersize=5, label=str(k))
    axes.set(xlim=(0, None))
    if min(lowest) > 0:
        _logarithmic(axes, 0.8 * min(lowest))
    if len(runs) <= len(COLOURS):
        _name_at_the_end(axes, lines)
    else:
        add_legend(axes, [text for _, text, _ in lines], frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return rendered(figure)


def _logarithmic(axes, bottom):
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set(yscale="log", ylim=(bottom, None))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _name_at_the_end(axes, lines):
    """Write each line's name to the right of where it ends, apart from one another."""
    to_pixels = axes.transData.transform
    heights = np.array([to_pixels((0, max(value, axes.get_ylim()[0])))[1] for value, _, _ in lines])
    bottom, top = (to_pixels((0, limit))[1] for limit in axes.get_ylim())
    places = apart((heights - bottom) / (top - bottom), 0.06)
    for place, (_, name, colour) in zip(places, lines):
        axes.annotate(name, (1, place), (8, 0), xycoords="axes fraction", textcoords="offset points", color=colour,
                      va="center", fontsize=10, annotation_clip=False)


def _means(values, width):
    """The means of consecutive stretches of `width` values, the remainder left out."""
    n = len(values) // width * width
    return np.asarray(values[:n]).reshape(-1, width).mean(axis=1)
