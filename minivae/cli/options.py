"""Types of options, with messages of their own."""

import argparse
import math
import os

from minivae.backend.threads import LARGEST
from minivae.files import expanded

MOST = 2**63 - 1  # of a whole number: any that is larger is a slip, and no float
LARGEST_SEED = 2**128 - 1  # as secrets.randbits(128) draws them
SHOWN = 200  # characters of a value that a message quotes


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
    return _number(text, int, lambda value: 1 <= value <= MOST, "a whole number from 1")


def wholes(text):
    """Whole numbers from 1, with commas between."""
    return [whole(part) for part in text.split(",")]


def threads(text):
    """A number of threads."""
    return _number(text, int, lambda value: 1 <= value <= LARGEST, f"a whole number from 1 to {LARGEST}")


def count(text):
    """A whole number from 0."""
    return _number(text, int, lambda value: 0 <= value <= MOST, "a whole number from 0")


def seed(text):
    """A whole number from 0, of up to 128 bits."""
    return _number(text, int, lambda value: 0 <= value <= LARGEST_SEED, "a whole number from 0 to 2^128 − 1")


def positive(text):
    """A number above 0."""
    return _number(text, float, lambda value: 0 < value < math.inf, "a number above 0")


def span(text):
    """A number above 0 that codes may have."""
    return _number(text, float, lambda value: 0 < value <= 1000, "a number above 0, at most 1000")


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


def path(text):
    """A file or a folder, whether it is there or not.  What no verb could use is refused here, by the option's name."""
    try:
        found = expanded(text)
        os.stat(found)
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:  # no home, or a character that no name can have
        why = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"{_shown(text)}: {why}") from error
    if not text:
        raise argparse.ArgumentTypeError("it is empty; name a file or a folder, such as . for this one")
    return found


def file(text):
    """A file to write."""
    found = path(text)
    if found.is_dir() or not found.name:
        raise argparse.ArgumentTypeError(f"{_shown(text)} is a folder; give the name of a file in it")
    return found


def one_of(*names):
    """One of these names."""
    def name(text):
        if text not in names:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not one of {', '.join(names)}")
        return text
    return name


def _shown(text):
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")


def _number(text, kind, accepts, wanted):
    try:
        value = kind(text)
    except ValueError:
        value = None
    if value is None or not accepts(value):
        raise argparse.ArgumentTypeError(f"{_shown(text)} is not {wanted}")
    return value
