"""The errors minivae raises on purpose: each says what came, what was wanted and what to do."""

import operator
import reprlib


class MinivaeError(Exception):
    """Any error that minivae raises on purpose; catch this one to catch them all."""


class ShapeError(MinivaeError, ValueError):
    """An array whose shape, or a table whose length, does not fit the module."""


class DTypeError(MinivaeError, TypeError):
    """An array of another dtype or another library than the module's, or no array at all."""


class TargetError(MinivaeError, ValueError):
    """A target outside the range that its likelihood is defined on."""


class OptionError(MinivaeError, ValueError):
    """An option, name or file from the user that cannot be used."""


class BackendError(MinivaeError, RuntimeError):
    """An array library that was asked for and cannot run here."""


class NonFiniteError(MinivaeError, ArithmeticError):
    """A loss or a gradient that is infinite or not a number."""


def whole_number(title, name, value, least=1):
    """The value as an int; raise unless it is one, from `least`."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < least:
        raise OptionError(f"{title}({name}={reprlib.repr(value)}): {name} is a whole number from {least}")
    return number
