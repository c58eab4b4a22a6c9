"""The command line: a verb a file."""

import sys

import minivae
from minivae.cli import doctor, evaluate, explore, options, profile, sample, step, train
from minivae.errors import MinivaeError

VERBS = (train, evaluate, sample, explore, step, profile, doctor)


def main(arguments=None):
    """Run `minivae ARGUMENTS`; returns the exit status: 0, or 1 for an error that has been explained.

    A training that Ctrl-C ends early keeps what it learned, and is no error.
    """
    args = parser().parse_args(arguments)
    try:
        return args.run(args) or 0
    except MinivaeError as error:
        print(f"minivae: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("minivae: interrupted", file=sys.stderr)
        return 130


def parser():
    top = options.Parser(
        prog="minivae", description="Variational auto-encoders from scratch, on NumPy and CuPy.",
        epilog="`minivae VERB --help` explains a verb.  First steps: minivae train denoising --epochs 1")
    top.add_argument("--version", action="version", version=f"minivae {minivae.__version__}")
    verbs = top.add_subparsers(metavar="VERB", required=True)
    for verb in VERBS:
        verb.add_to(verbs)
    return top
