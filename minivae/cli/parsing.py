"""Parsers of the command line: its types, help and messages."""

import argparse
import json
import os
import sys
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

from minivae import configuration, kinds
from minivae.files import expanded

SHOWN = 200  # characters of a value that a message quotes


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Prints the default of each option that has one, and leaves room for the names."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None or action.default is False else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Takes options by their whole names, and explains one that it does not know with its own usage, where argparse
    shows that of the whole program."""

    prepare: Callable[[list[str]], None] | None = None  # is given the arguments before they are parsed
    names: Any = None  # of verbs, or models, one of which is to be given
    hint = ""  # on options that are given before it

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, allow_abbrev=False)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        args = sys.argv[1:] if args is None else args
        if self.names is not None:
            self.first(args)
        if self.prepare is not None:
            self.prepare(args)
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}; {self.prog} --help lists what there is")
        return found, unknown

    def add_subparsers(self, **options: Any) -> Any:
        self.names = super().add_subparsers(**options)
        return self.names

    def typed(self, args: list[str]) -> set[str]:
        """The names of the options that stand in the arguments, whatever their values."""
        options = (self._option_string_actions.get(word.partition("=")[0]) for word in args)
        return {option.dest for option in options if option is not None}

    def first(self, args: list[str]) -> str | None:
        """The first argument that is neither an option nor the value of one.

        Those before the name of a verb or a model have to be known: argparse would take the value of one for the name.
        """
        words = iter(args)
        for word in words:
            if not word.startswith("-"):
                return word
            if word == "--":
                continue
            option, given, _ = word.partition("=")
            action = self._option_string_actions.get(option)
            if action is None:
                self.error(f"unrecognized arguments: {word}; options of a {self.names.metavar} stand after its name"
                           f"{self.hint}; {self.prog} --help lists what there is")
            if action.default is argparse.SUPPRESS:  # help or version, which end it
                return None
            if action.nargs is None and not given:
                next(words, None)
        return None


def as_json(value: Any) -> str:
    """A value as JSON.  That has no infinite numbers and no NaN: null stands in their place."""
    return json.dumps(_finite(value), indent=2)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def add_quiet(verb: Any, help: str, **default: Any) -> None:
    """The option that hides progress, which `minivae.cli` obeys."""
    verb.add_argument("--quiet", action="store_true", help=help, **default)


def typed(annotation: Any) -> Callable[[str], Any]:
    """A type for argparse, of the kind that an annotation describes."""
    kind = kinds.of(annotation)
    assert kind is not None, annotation
    return of_kind(kind)


def of_kind(kind: kinds.Kind) -> Callable[[str], Any]:
    """A type for argparse, whose message says what is wanted."""
    def read(text: str) -> Any:
        try:
            return kind.read(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not {kind.words}") from None
    return read


whole, seed, threads = typed(kinds.Whole), typed(configuration.Seed), typed(configuration.Threads)
span = typed(Annotated[float, kinds.Range("a number above 0, at most 1000", above=0, most=1000)])


def path(text: str) -> Path:
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


def file(*endings: str) -> Callable[[str], Path]:
    """A file to write, in the format that has these endings."""
    def read(text: str) -> Path:
        found = path(text)
        if found.is_dir() or not found.name:
            raise argparse.ArgumentTypeError(f"{_shown(text)} is a folder; give the name of a file in it")
        if found.suffix.lower() not in ("", *endings):
            raise argparse.ArgumentTypeError(f"{_shown(text)} ends in {found.suffix:.20}, and its format would not be "
                                             f"that one; let it end in {' or '.join(endings)}")
        return found
    return read


def _shown(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}...")
