"""The articles' data: squares at random places."""

import reprlib
from math import log

import numpy as np

from minivae.errors import OptionError, whole_number

SIDES = (9, 9)  # smallest and largest side: the listing's sub(a, a + 8) includes both ends


def rectangles(n=50000, height=24, width=24, sides=SIDES, seed=0):
    """n images (n, 1, height, width), uint8 of 0 and 1, each of one full rectangle at a random place.

    The articles say "of random size", but their torch.random(8, 8) is constant: every image is a 9×9 square at
    one of 16·16 places.  `sides=(smallest, largest)` draws the height and width of each from that range.
    """
    smallest, largest = _expect_sides(height, width, sides)
    n = whole_number("rectangles", "n", n)
    random = np.random.default_rng(whole_number("rectangles", "seed", seed, least=0))
    inside = []
    for length in (height, width):
        side = random.integers(smallest, largest, n, endpoint=True)
        start = random.integers(0, length - side, endpoint=True)
        pixel = np.arange(length)
        inside.append((pixel >= start[:, None]) & (pixel < (start + side)[:, None]))
    return (inside[0][:, None, :, None] & inside[1][:, None, None, :]).view(np.uint8)


def squares(height=24, width=24, side=SIDES[0]):
    """Each different square of this side once, (n, 1, height, width), from the upper left: of the articles', 256."""
    _expect_sides(height, width, (side, side))
    down, across = (np.array([np.isin(np.arange(length), np.arange(start, start + side))
                              for start in range(length - side + 1)]) for length in (height, width))
    images = down[:, None, :, None] & across[None, :, None, :]
    return images.reshape(-1, 1, height, width).view(np.uint8)


def entropy(height=24, width=24, sides=SIDES):
    """Entropy of the images in nats: no model's −log p(x), and no −ELBO, is below it on average.

    The article's 256 squares are equally likely, so it is ln 256 = 5.545 nats per image.
    """
    smallest, largest = _expect_sides(height, width, sides)
    choices = range(smallest, largest + 1)
    return sum(log(len(choices) * (length - side + 1)) / len(choices)
               for length in (height, width) for side in choices)


def is_full_square(images, side=SIDES[0]):
    """For each image (n, ..., height, width), of probabilities: is it, thresholded at ½, one full square?"""
    on = images.reshape(-1, *images.shape[-2:]) > 0.5
    answer = on.sum(axis=(1, 2)) == side * side
    for axis in (1, 2):  # rows and columns that hold anything: `side` of them, next to each other
        held = on.any(axis=axis)
        first, last = held.argmax(axis=1), held.shape[1] - 1 - held[:, ::-1].argmax(axis=1)
        answer &= last - first + 1 == side
    return answer


def _expect_sides(height, width, sides):
    for name, length in (("height", height), ("width", width)):
        whole_number("rectangles", name, length)
    if not isinstance(sides, tuple | list) or len(sides) != 2:
        raise OptionError(f"rectangles(sides={reprlib.repr(sides)}): wanted (smallest, largest), such as {SIDES}")
    smallest, largest = (whole_number("rectangles", "sides", side) for side in sides)
    if not 1 <= smallest <= largest <= min(height, width):
        raise OptionError(f"rectangles: sides={sides} in {height}×{width} pixels; needs 1 ≤ smallest ≤ largest ≤ "
                          f"{min(height, width)}")
    return smallest, largest
