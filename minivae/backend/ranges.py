"""A check that the numbers of an array lie in a range."""

import numpy as np

from minivae.backend.selection import Array


def outside(array: Array, low: float, high: float) -> str | None:
    """None if every element is in [low, high], else "its minimum is ...", or "its maximum is ...".

    Asked of host arrays only: on a device the answer would make every step wait for the queue.
    """
    if not isinstance(array, np.ndarray) or array.size == 0:
        return None
    smallest, largest = array.min(), array.max()
    if smallest >= low and largest <= high:
        return None
    if np.isnan(smallest):
        return "it holds NaN"
    return f"its minimum is {smallest:g}" if smallest < low else f"its maximum is {largest:g}"
