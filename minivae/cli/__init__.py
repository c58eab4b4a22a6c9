"""The command line: a verb a file."""

import sys

import minivae
from minivae import backend, progress
from minivae.cli import (
    compare, doctor, encode, evaluate, explore, parsing, profile, runs, sample, step, streams, subjects, train,
)
from minivae.errors import MinivaeError

VERBS = (train, evaluate, sample, explore, encode, runs, compare, step, profile, doctor)


def main(arguments: list[str] | None = None) -> int:
    """Run `minivae ARGUMENTS`; returns the exit status: 0, or 1 for an error that has been explained.

    A training that Ctrl-C ends early keeps what it learned, and is no error.
    """
    with streams.lasting() as output:
        try:
            return _run(arguments) or output.lost()
        except SystemExit as stop:  # after --help, or of an option that cannot be understood
            sys.exit(stop.code or output.lost())


def _run(arguments):
    top = parser()
    args = top.parse_args(arguments)
    if args.run is None:
        top.print_help()
        return 0
    try:
        with backend.at_most(subjects.allowance(args)), progress.hidden(getattr(args, "quiet", False)):
            return args.run(args) or 0
    except KeyboardInterrupt:
        print("minivae: interrupted", file=sys.stderr)
        return 130
    except MinivaeError as error:
        explanation = str(error)
    except (MemoryError, OSError) as error:  # the machine's, which any line of a verb can meet
        if sys.flags.dev_mode:
            raise
        explanation = _of_the_machine(error, args)
    print(f"minivae: {explanation}", file=sys.stderr)
    return 1


def _of_the_machine(error, args):
    """A line about an error of the machine: memory that it has not, or a file that it cannot use."""
    if isinstance(error, MemoryError):
        return f"not enough memory: {error or 'none is left'}; {args.less}"
    where = "" if error.filename is None else f"{error.filename}: "
    return where + (error.strerror or str(error))


def parser() -> parsing.Parser:
    top = parsing.Parser(
        prog="minivae", description="Variational auto-encoders from scratch, on NumPy and CuPy.",
        epilog="`minivae VERB --help` explains a verb.  First steps: minivae train denoising --epochs 1")
    top.add_argument("--version", action="version", version=f"minivae {minivae.__version__}")
    top.set_defaults(run=None)
    verbs = top.add_subparsers(title="verbs", metavar="VERB")
    for verb in VERBS:
        verb.add_to(verbs)
    return top
