"""Tools of every lesson: claims that are checked where they stand, pictures that are kept, diagrams and plots.

    claim("the share of flipped pixels is p", abs(share - p) < 0.01)      prints ✓ and the sentence, or stops
    show(picture, "codes")                      in a notebook in its place, else saved to a folder whose path is printed
    show(boxes("x → [Linear] → a → [ReLU] → y"), "two layers")            boxes and arrows
    show(plot("Error", "h", "relative error", draw), "error")             draw(axes) fills matplotlib's axes

`FAST` is true with MINIVAE_FAST=1, for which a lesson takes fewer steps.  MINIVAE_PICTURES names the pictures' folder.
"""

import os
import re
import sys
from pathlib import Path

from minivae.figures.style import axes_of, new_figure, rendered

FAST = os.environ.get("MINIVAE_FAST") == "1"
BOX, EDGE, INK = "#e8f1f5", "#1b4965", "#222222"


def claim(sentence, holds):
    """Print the sentence with ✓ if it holds; stop the lesson with it if it does not."""
    if not bool(holds):
        raise AssertionError(f"this does not hold: {sentence}")
    print("✓", sentence)


def show(picture, name):
    """Show a Pillow image under its cell in a notebook; as a script, save it and print where."""
    if picture is None:
        print(f"(no picture of {name}: it needs matplotlib, pip install matplotlib)")
    elif "ipykernel" in sys.modules:
        from IPython.display import display

        display(picture)
    else:
        lesson = Path(sys.argv[0]).stem or "lesson"
        folder = Path(os.environ.get("MINIVAE_PICTURES", "pictures")) / lesson
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name.replace(' ', '_')}.png"
        picture.save(path)
        print(f"picture: {path}")


def plot(title, x, y, draw, size=(8, 4.5)):
    """A plot with the names of its axes, as a Pillow image; None without matplotlib."""
    figure = new_figure(*size)
    if figure is None:
        return None
    draw(axes_of(figure, title, x, y))
    return rendered(figure)


def boxes(text):
    """A diagram: [boxes], plain names of arrays, and arrows → or ← between them, a row for each line of the text.

    [mean | log_var] are two boxes, one above the other, which are given the same.
    """
    rows = [[part.strip() for part in re.split(r"([→←])", line)] for line in text.strip().splitlines()]
    widths = [[0.5 if part in "→←" else 0.25 + 0.11 * max(map(len, _names(part))) for part in row]
              for row in rows]
    tall = [max(len(_names(part)) for part in row) for row in rows]
    width, height = max(map(sum, widths)), 0.75 * sum(tall)
    figure = new_figure(width + 0.2, height)
    if figure is None:
        return None
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.1, width + 0.1), ylim=(0, height))
    axes.set_axis_off()
    top = height
    for row, spaces, rise in zip(rows, widths, tall):
        left, middle = 0, top - 0.375 * rise
        for part, space in zip(row, spaces):
            _draw(axes, part, left, middle, space)
            left += space
        top -= 0.75 * rise
    return rendered(figure)


def _names(part):
    return [name.strip() for name in part[1:-1].split("|")] if part.startswith("[") else [part]


def _draw(axes, part, left, middle, width):
    """One arrow, name or pile of boxes, from `left` on, at the height `middle`."""
    if part in "→←":
        ends = [(left + 0.05, middle), (left + width - 0.05, middle)]
        start, end = ends if part == "→" else ends[::-1]
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.4})
        return
    names = _names(part)
    for k, name in enumerate(names):
        at = middle + 0.75 * ((len(names) - 1) / 2 - k)
        frame = {"boxstyle": "round,pad=0.35", "facecolor": BOX, "edgecolor": EDGE} if part.startswith("[") else None
        axes.text(left + width / 2, at, name, ha="center", va="center", fontsize=11, color=INK, bbox=frame)
