"""Tools of every lesson: claims that are checked, pictures that are kept, diagrams and plots.

    claim("x is small", x < 0.01)                                prints ✓ and the sentence, or stops
    show(picture, "codes")                                       under its cell, or into a folder
    show(boxes("x → [Linear] → a → [ReLU] → y"), "two layers")   boxes and arrows
    show(plot("Error", "h", "relative error", draw), "error")    draw(axes) fills matplotlib's axes
    show(beside(one, other), "two")                              two pictures, or more, side by side

`FAST` is true with MINIVAE_FAST=1, for which a lesson takes fewer steps.  MINIVAE_PICTURES names
the folder of the pictures, by default pictures.
"""

import os
import re
import signal
import sys
from itertools import product
from pathlib import Path

from PIL import Image

from minivae.figures.style import axes_of, new_figure, rendered

for stream in (sys.stdout, sys.stderr):
    if hasattr(stream, "reconfigure"):  # a notebook's takes every character
        stream.reconfigure(errors="replace")  # ✓ and equations, where the encoding lacks them
if hasattr(signal, "SIGPIPE") and "ipykernel" not in sys.modules:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # "head" may end a lesson

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

        display(picture, metadata={"name": name})
    else:
        lesson = Path(sys.argv[0]).stem or "lesson"
        folder = Path(os.environ.get("MINIVAE_PICTURES", "pictures")) / lesson
        path = folder / f"{name.replace(' ', '_')}.png"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(path)
        except OSError as error:
            print(f"(no picture of {name}: {path} cannot be written: {error.strerror}; "
                  "MINIVAE_PICTURES names another folder)")
        else:
            print(f"picture: {path}")


def plot(title, x, y, draw, size=(8, 4.5)):
    """A plot with the names of its axes, as a Pillow image; None without matplotlib."""
    figure = new_figure(*size)
    if figure is None:
        return None
    draw(axes_of(figure, title, x, y))
    return rendered(figure)


def beside(*pictures):
    """Pillow images side by side, as one; None if one of them is None."""
    if None in pictures:
        return None
    width = sum(each.width for each in pictures)
    height = max(each.height for each in pictures)
    page = Image.new("RGB", (width, height), "white")
    left = 0
    for each in pictures:
        page.paste(each, (left, 0))
        left += each.width
    return page


def boxes(text):
    """A diagram: [boxes], plain names of arrays, and arrows → or ← between them.

    Each line of the text is a row.  [mean | log_var] are two boxes, one above the other: each has
    an arrow of its own.  Rows of as many parts stand in columns.
    """
    lines = text.strip().splitlines()
    rows = [[part.strip() for part in re.split(r"([→←])", line)] for line in lines]
    widths = [[_width(part) for part in row] for row in rows]
    if len({len(row) for row in rows}) == 1:
        widths = [[max(column) for column in zip(*widths)]] * len(rows)
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
        for k, (part, space) in enumerate(zip(row, spaces)):
            if part in "→←":
                before = _heights(row[k - 1], middle)
                after = _heights(row[k + 1], middle)
                _arrows(axes, part, left, space, before, after)
            else:
                _pile(axes, part, left + space / 2, _heights(part, middle))
            left += space
        top -= 0.75 * rise
    return rendered(figure)


def _names(part):
    return [name.strip() for name in part.strip("[]").split(" | ")]


def _width(part):
    return 0.5 if part in "→←" else 0.25 + 0.11 * max(map(len, _names(part)))


def _heights(part, middle):
    """Where the names of a pile stand, from the top."""
    count = len(_names(part))
    return [middle + 0.75 * ((count - 1) / 2 - k) for k in range(count)]


def _arrows(axes, part, left, width, before, after):
    """One arrow for each pair of neighbours; a single one has as many as the other side."""
    if len(before) == len(after):
        pairs = zip(before, after)
    else:
        pairs = product(before, after)
    for a, b in pairs:
        ends = [(left + 0.05, a), (left + width - 0.05, b)]
        start, end = ends if part == "→" else ends[::-1]
        axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK, "lw": 1.4})


def _pile(axes, part, centre, heights):
    style = {"ha": "center", "va": "center", "fontsize": 11, "color": INK}
    if part.startswith("["):
        style["bbox"] = {"boxstyle": "round,pad=0.35", "facecolor": BOX, "edgecolor": EDGE}
    for name, height in zip(_names(part), heights):
        axes.text(centre, height, name, **style)
