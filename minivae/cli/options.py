"""Types of options, with messages of their own."""

import argparse
import math


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Prints the default of each option that has one, and leaves room for the names."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=28)

    def _get_help_string(self, action):
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Takes options by their whole names, and explains one that it does not know with its own usage, where argparse
    shows that of the whole program."""

    def __init__(self, **options):
        super().__init__(**options, allow_abbrev=False)

    def parse_known_args(self, args=None, namespace=None):
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}; {self.prog} --help lists what there is")
        return found, unknown


def whole(text):
    """A whole number from 1."""
    return _number(text, int, lambda value: value >= 1, "a whole number from 1")


def wholes(text):
    """Whole numbers from 1, with commas between."""
    return [whole(part) for part in text.split(",")]


def count(text):
    """A whole number from 0."""
    return _number(text, int, lambda value: value >= 0, "a whole number from 0")


def positive(text):
    """A number above 0."""
    return _number(text, float, lambda value: 0 < value < math.inf, "a number above 0")


def rate(text):
    """A number from 0."""
    return _number(text, float, lambda value: 0 <= value < math.inf, "a number from 0")


def probability(text):
    """A number from 0 to 1."""
    return _number(text, float, lambda value: 0 <= value <= 1, "a probability, from 0 to 1")


def below_one(text):
    """A number from 0 to just below 1."""
    return _number(text, float, lambda value: 0 <= value < 1, "a number from 0 to below 1")


def number_or_none(text):
    """A number, or None for "none"."""
    return None if text.lower() == "none" else _number(text, float, math.isfinite, "a number or none")


def one_of(*names):
    """One of these names."""
    def name(text):
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(names)}")
        return text
    return name


def _number(text, kind, accepts, wanted):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not accepts(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
    return value
