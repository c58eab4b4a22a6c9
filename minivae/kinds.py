"""Kinds of options: how one is typed, and which values it may have, by the annotation of a parameter."""

import math
import numbers
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import numpy as np

from minivae.errors import as_float

MOST = 2**63 - 1  # of a whole number: any that is larger is a slip, and no float


class Range(NamedTuple):
    """Numbers that an option may be, and the words for them; it stands in an annotation beside int or float."""

    words: str
    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    below: float = math.inf


Whole = Annotated[int, Range("a whole number from 1", least=1, most=MOST)]
Count = Annotated[int, Range("a whole number from 0", least=0, most=MOST)]
Positive = Annotated[float, Range("a number above 0", above=0)]
Rate = Annotated[float, Range("a number from 0", least=0)]
BelowOne = Annotated[float, Range("a number from 0 to below 1", least=0, below=1)]
Probability = Annotated[float, Range("a probability, from 0 to 1", least=0, most=1)]
Shape = tuple[Whole, ...]  # of an image: (height, width) or (planes, height, width)

PLAIN = {int: Range("a whole number", least=-MOST, most=MOST), float: Range("a number")}
TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Kind:
    """The values of an option.

        words    what they are, for a message         metavar   what stands for one in the help
        read     the value of a text                  take      the value of one from Python or JSON

    Both raise ValueError for what is none.  `take` gives Python's own numbers, truths and tuples, which JSON can keep.
    """

    words: str
    metavar: str
    read: Callable[[str], Any]
    take: Callable[[Any], Any]


def of(annotation: Any) -> Kind | None:
    """The kind for an annotation: int, float, bool, str, Literal, several of them with |, tuple and list, and numbers
    with a Range; None for any other, which nobody can type."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        span = next((each for each in inner[1:] if isinstance(each, Range)), None)
        return _number(inner[0], span) if span and inner[0] in PLAIN else of(inner[0])
    if annotation in (int, float):
        return _number(annotation, PLAIN[annotation])
    if annotation is bool:
        return Kind("true or false", "TRUTH", lambda text: _entry(TRUTHS, text.lower()), _only(bool))
    if annotation is str:
        return Kind("a text", "TEXT", str, _only(str))
    if annotation in (None, NoneType):
        return Kind("none", "none", lambda text: _entry({"none": None}, text.lower()), _only(NoneType))
    if origin is Literal:
        names = {str(each): each for each in inner}
        return Kind(f"one of {', '.join(names)}", "NAME", lambda text: _entry(names, text),
                    lambda value: _entry(names, str(value)))
    if origin in (Union, UnionType):
        return _either([of(each) for each in inner])
    if origin in (tuple, list):
        return _several([of(each) for each in inner if each is not ...], len(inner) if origin is tuple
                        and ... not in inner else None)
    return None


def of_value(value: Any) -> Kind | None:
    """The kind of a parameter that has this default and no annotation."""
    if isinstance(value, tuple) and value:
        return _several([of_value(value[0])], None)
    return of(type(value)) if value is not None else None


def _number(kind: type, span: Range) -> Kind:
    def within(value: Any) -> Any:
        if not (span.least <= value <= span.most and span.above < value < span.below):
            raise ValueError
        return value

    def take(value: Any) -> Any:
        value = _python(value)
        if kind is float:
            return within(as_float(value))
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise ValueError
        return within(int(value))

    return Kind(span.words, "N" if kind is int else "X", lambda text: within(kind(text)), take)


def _python(value: Any) -> Any:
    """NumPy's numbers, truths, texts and arrays as Python's."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _only(kind: type | tuple[type, ...]) -> Callable[[Any], Any]:
    def take(value: Any) -> Any:
        value = _python(value)
        if not isinstance(value, kind):
            raise ValueError
        return value
    return take


def _entry(table: dict, key: str) -> Any:
    if key not in table:
        raise ValueError
    return table[key]


def _either(parts: list[Kind | None]) -> Kind | None:
    kinds = [kind for kind in parts if kind is not None]
    if len(kinds) < len(parts):
        return None

    def first(name: str, value: Any) -> Any:
        for kind in sorted(kinds, key=lambda kind: kind.words != "none"):  # which is a text as well
            try:
                return getattr(kind, name)(value)
            except ValueError:
                pass
        raise ValueError

    return Kind(" or ".join(kind.words for kind in kinds), next(kind.metavar for kind in kinds),
                lambda text: first("read", text), lambda value: first("take", value))


def _several(parts: list[Kind | None], length: int | None) -> Kind | None:
    """`length` values, each of its kind; or any number of the one kind."""
    kinds = [kind for kind in parts if kind is not None]
    if len(kinds) < len(parts) or not kinds:
        return None

    def each(name: str, values: Any) -> tuple:
        if length is not None and len(values) != length:
            raise ValueError
        its_kinds = kinds if length is not None else kinds * len(values)
        return tuple(getattr(kind, name)(value) for kind, value in zip(its_kinds, values))

    def take(value: Any) -> tuple:
        return each("take", _only((tuple, list))(value))

    words = f"{length} values" if length is not None else "values"
    return Kind(f"{words} with commas between, each {' then '.join(kind.words for kind in kinds)}", "A,B,...",
                lambda text: each("read", text.split(",")), take)
