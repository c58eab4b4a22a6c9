"""Where, in code of a user's own, numbers overflow or become none."""

import linecache
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from minivae.debug.source_edits.own_code import is_own

ANYWHERE = "look for 0/0, log 0, an overflow of exp, or a buffer that was never written"
LONGEST = 70  # letters of a line that is quoted
WORDS = {"divide by zero": "a division by 0, or log 0,", "overflow": "an overflow",
         "invalid value": "0/0, ∞/∞, ∞ − ∞ or the like"}


def where_it_arose(run: Callable[[], Any]) -> str:
    """A clause on the line in which run() first makes a number that is none, and what came before it, or a guess."""
    events: dict[tuple, str] = {}  # {(kind, file, line): method}
    here = sys._getframe()

    def note(kind, _):
        frame = sys._getframe(1)
        while frame is not here and not is_own(Path(frame.f_code.co_filename)):
            frame = frame.f_back
        if frame is not here:
            events.setdefault((kind, frame.f_code.co_filename, frame.f_lineno), frame.f_code.co_name)

    with np.errstate(under="ignore", over="call", invalid="call", divide="call", call=note), suppress(Exception):
        run()  # which may raise whatever a layer may
    last = next((number for number, (kind, _, _) in enumerate(events) if kind == "invalid value"), 0)
    places: dict[str, list[str]] = {}  # {the line: what happens there}
    for (kind, path, line), method in list(events.items())[max(0, last - 1):last + 1]:
        text = linecache.getline(path, line).strip()
        quoted = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
        places.setdefault(f"in line {line} of {method}, `{quoted}`", []).append(WORDS[kind])
    return ", and then ".join(f"{' and '.join(words)} {place}" for place, words in places.items()) or ANYWHERE
