"""The errors minivae raises on purpose: each says what came, what was wanted and what to do."""

import inspect
import operator
import reprlib
from math import inf, nan

import numpy as np

ROUNDING = 1e-3  # no further beyond an end of their range are numbers that rounding has brought there


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


class PlaceError(MinivaeError, IndexError):
    """A number or a name under which a container has no module; Python's loops end at an IndexError."""


class BackendError(MinivaeError, RuntimeError):
    """An array library that was asked for and cannot run here."""


class NonFiniteError(MinivaeError, ArithmeticError):
    """A loss or a gradient that is infinite or not a number."""


class MissingMethodError(MinivaeError, NotImplementedError):
    """A class lacks a method that it is asked for."""


def missing(owner, method, why=""):
    """The error for a method that the class of an object lacks."""
    name = type(owner).__name__
    return MissingMethodError(f"{name} has no {method}{why}; write it in class {name}")


def whole_number(title, name, value, least=1):
    """The value as an int; raise unless it is one, from `least`."""
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < least:
        raise OptionError(f"{title}({name}={reprlib.repr(value)}): {name} is a whole number from {least}")
    return number


def truth(title, name, value):
    """The value as a bool; raise unless it is one: a text such as "no" would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{title}({name}={reprlib.repr(value)}): {name} is True or False")
    return bool(value)


def a_function(title, name, value, meaning="is a function"):
    """The value; raise unless it can be called."""
    if not callable(value):
        raise OptionError(f"{title}({name}={reprlib.repr(value)}): {name} {meaning}")
    return value


def several(title, name, values, meaning):
    """The values as a tuple; raise for one that stands alone."""
    try:
        return tuple(values)
    except TypeError as error:
        shown = reprlib.repr(values)
        raise OptionError(f"{title}({name}={shown}): {name} {meaning}; write ({shown},) for one alone") from error


def instance(title, name, value, wanted, cure=""):
    """The value; raise unless it is an instance of that class."""
    if not isinstance(value, wanted):
        shown = " ".join(reprlib.repr(value).split())  # a container has lines
        raise OptionError(f"{title}({name}={shown}): {name} is an instance of {wanted.__name__}"
                          f"{call_cure(value, wanted) or cure}")
    return value


def call_cure(value, wanted):
    """What to write where a class, or a function, stands in the place of the `wanted` that a call of it would make."""
    made = value if isinstance(value, type) else getattr(value, "__annotations__", {}).get("return")
    if not isinstance(made, type) or not issubclass(made, wanted):
        return ""
    try:
        inspect.signature(value).bind()
        given = ""
    except (TypeError, ValueError):  # it needs arguments, or does not say
        given = "..."
    return f"; write {value.__name__}({given}), not {value.__name__}"


def real_number(title, name, value, meaning, least=-inf, most=inf, above=-inf, below=inf):
    """The value as a float; raise unless it is a number in that range, of which `least` and `most` are part."""
    number = as_float(value)
    if not (least <= number <= most and above < number < below):
        raise OptionError(f"{title}({name}={reprlib.repr(value)}): {name} {meaning}")
    return number


def all_digits(number):
    """A number of an array as a text: 1.0000001 is not written as 1, and 255.0 is 255."""
    return str(number).removesuffix(".0")


def as_float(value):
    """Any kind of number as Python's float; NaN for what is none, such as a truth, a text, or an array of several."""
    if type(value) is float:  # as nearly always
        return value
    if isinstance(value, bool | str | bytes) or getattr(value, "ndim", 0) != 0:
        return nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return nan
