"""Rows of numbers that stay on a device until they are asked for."""

from typing import Any

import numpy as np

from minivae.backend.elementwise import elementwise
from minivae.backend.selection import Array, from_numpy, name_of, to_numpy


class Ring:
    """A table of `length` rows, whose numbers are arrays without axes of the device that `like` lives on."""

    def __init__(self, length: int, width: int, like: Array) -> None:
        name = name_of(like)
        self.table = from_numpy(np.zeros((length, width)), like=name)
        self.rows = from_numpy(np.arange(length)[:, None], like=name)
        self.columns = from_numpy(np.arange(width)[None], like=name)

    def write(self, row: Any, numbers: Any) -> None:
        """Put numbers into a row, in one launch; `row` may be an array without axes."""
        elementwise(_write, self.table, self.rows, row, self.columns, *numbers, out=self.table)

    def read(self, length: int) -> np.ndarray:
        """The first rows, on the host, in one copy."""
        return to_numpy(self.table)[:length]


def _write(xp, table, rows, row, columns, *numbers):
    value = numbers[0]
    for column, number in enumerate(numbers[1:], 1):
        value = xp.where(columns == column, number, value)
    return xp.where(rows == row, value, table)
