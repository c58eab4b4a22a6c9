"""The style of all pictures: colours, letters, frames."""

import logging
import warnings
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Ten colours that readers who see red and green alike can tell apart, dark enough for a white page; and shapes beside.
COLOURS = ("#332288", "#1e90d2", "#0b7a6f", "#117733", "#7a7a00", "#b8860b", "#d1495b", "#882255", "#aa4499", "#666666")
MARKERS = ("o", "^", "s")
STYLES = ("-", "--", ":", "-.")  # of lines: the ten colours come once with each
INK, PALE = (40, 40, 40), (120, 120, 120)
SIZE = 16  # of letters, in pixels
TICK = 4


def font(size=SIZE):
    return ImageFont.load_default(size)


def framed(sheet, title="", x=None, y=None, rows=()):
    """A picture with a title above it, axes beside it, and names beside its rows, on white.  Texts are in ASCII.

        sheet   a Pillow image       x, y   (name, [(position in pixels, text), ...]) of an axis below and to the left
        rows    [(position in pixels, name), ...] to the left
    """
    sheet = sheet.convert("RGB")
    letters = font()
    names = [text for _, text in rows] + ([text for _, text in y[1]] if y else [])
    left = max([_width(text) for text in names], default=0) + (SIZE + 14 if y else 10) + TICK
    left, top, bottom = (left if names else 8), (SIZE + 14 if title else 8), (2 * SIZE + 18 if x else 8)
    width = max(sheet.width + left + 12, _width(title) + 16)
    page = Image.new("RGB", (width, sheet.height + top + bottom), "white")
    page.paste(sheet, (left, top))
    draw = ImageDraw.Draw(page)
    draw.text((left if names else 8, 6), title, INK, letters)
    for position, text in rows:
        draw.text((left - 8, top + position), text, INK, letters, anchor="rm")
    if x:
        foot = top + sheet.height
        for position, text in x[1]:
            draw.line((left + position, foot, left + position, foot + TICK), PALE)
            draw.text((left + position, foot + TICK + 2), text, INK, letters, anchor="ma")
        draw.text((left + sheet.width / 2, foot + SIZE + TICK + 6), x[0], INK, letters, anchor="ma")
    if y:
        for position, text in y[1]:
            draw.line((left - TICK - 1, top + position, left - 1, top + position), PALE)
            draw.text((left - TICK - 4, top + position), text, INK, letters, anchor="rm")
        name = Image.new("L", (_width(y[0]) + 2, SIZE + 4))
        ImageDraw.Draw(name).text((1, 1), y[0], 255, letters)
        name = name.rotate(90, expand=True)
        page.paste(INK, (3, top + (sheet.height - name.height) // 2), name)
    return page


def _width(text):
    return int(font().getlength(text)) + 1


def axes_of(figure, title, x, y):
    """The axes of a matplotlib figure, in the style of all."""
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.set_title(title, loc="left", fontsize=12)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def new_figure(width, height):
    """A matplotlib figure, or None where matplotlib is not installed, or cannot be used.

    What it says of its cache folder and its settings, when it is imported, is no concern of who wants a figure.
    """
    logger = logging.getLogger("matplotlib")
    kept = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        from matplotlib.figure import Figure

        return Figure(figsize=(width, height), layout="constrained")
    except (ImportError, OSError, RuntimeError, ValueError):  # the last three: of its folders and its settings
        return None
    finally:
        logger.setLevel(kept)


def shortened(names, most):
    """The names in so many letters: cut where all begin alike, then at the end, and numbered if two would be one."""
    alike = next((k for k, letters in enumerate(zip(*names)) if len(set(letters)) > 1), min(map(len, names)))
    start = max(0, min(alike, max(map(len, names)) - most))
    cut = [name[start:start + most] for name in names]
    return cut if len(set(cut)) == len(set(names)) else [f"{k}. {name}" for k, name in enumerate(cut, 1)]


def add_legend(axes, names, **options):
    """A legend of these names for what is drawn with labels, in that order."""
    legend = axes.legend(**options)
    for text, name in zip(legend.get_texts(), names):
        text.set_text(name)  # given as a label, a name that begins with _ would be left out


def rendered(figure, dpi=120):
    """A matplotlib figure as a Pillow image."""
    from matplotlib.axis import Tick
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    numbers = {text for tick in figure.findobj(Tick) for text in tick.findobj(Text)}  # 10⁻² of a log axis is $…$
    for text in set(figure.findobj(Text)) - numbers:
        text.set_parse_math(False)  # names of runs and labels may hold $, and may be no text
        text.set_text(text.get_text().encode(errors="replace").decode())
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter that the font lacks is a box
        canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba()))


def apart(values, gap):
    """Positions near `values`, in the same order, no two of them nearer than `gap`: where labels fit."""
    order = np.argsort(values, kind="stable")
    places = np.array(values, dtype=np.float64)
    for _ in range(100):
        moved = False
        for low, high in pairwise(order):
            if (missing := gap - (places[high] - places[low])) > 1e-9:
                places[low] -= missing / 2
                places[high] += missing / 2
                moved = True
        if not moved:
            break
    return places
