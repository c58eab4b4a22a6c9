"""Lines on stderr that a user is told once in a process."""

import functools
import sys


@functools.cache
def say_once(text: str) -> None:
    """Print the line, unless it has been printed before."""
    print(f"minivae: {text}", file=sys.stderr)
