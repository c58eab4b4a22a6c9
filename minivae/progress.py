"""Progress bars, and lines in their place where no terminal shows them."""

import contextlib
import sys
import time

SECONDS = 5  # between two lines of a log at least

_hidden = []  # one entry for each block of `hidden` that the process is in


@contextlib.contextmanager
def hidden(hides=True):
    """Show no progress inside the block."""
    _hidden.extend([True] * hides)
    try:
        yield
    finally:
        del _hidden[len(_hidden) - hides:]


def progress_bar(total, unit, shown=True, **options):
    """A tqdm bar; none where it is not to be shown, or where there is no standard error, as under pythonw.

    Where no terminal shows it, as in a log file, it is a line in five seconds at most.
    """
    from tqdm import tqdm  # here, because importing minivae does without

    shown = shown and not _hidden and sys.stderr is not None
    kind = Log if shown and not sys.stderr.isatty() else tqdm
    bar = kind(total=total, unit=unit, disable=not shown, **options)
    bar.format_meter = _meter
    return bar


def _meter(ncols, postfix, **facts):
    """tqdm's line, with as many of the parts beside the bar as there is room for: no number is cut."""
    from tqdm import tqdm

    while postfix and ncols and len(tqdm.format_meter(postfix=postfix, **facts)) - 9 > ncols:  # a bar of 1, and not 10
        postfix = postfix.rpartition(", ")[0]
    return tqdm.format_meter(ncols=ncols, postfix=postfix, **facts)


def say(line):
    """Print a line, above the bars of a terminal."""
    from tqdm import tqdm

    if sys.stderr is not None and sys.stderr.isatty() and sys.stdout is not None:
        tqdm.write(line)
    else:
        print(line, flush=True)


class Log:
    """The bar of a log file: it has the verbs of tqdm that are used here, and writes lines to standard error."""

    def __init__(self, total, unit, desc=None, unit_scale=False, **options):
        self.format = {"total": total, "unit": unit, "prefix": f"{desc}: " if desc else "", "unit_scale": unit_scale,
                       "bar_format": "{desc}{n_fmt}" + " of {total_fmt}" * bool(total)
                       + " in {elapsed}, {rate_fmt}{postfix}"}
        self.done, self.postfix = 0, None
        self.started = self.written = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def set_postfix_str(self, text, refresh=False):
        self.postfix = text

    def update(self, n=1):
        self.done += n
        now = time.monotonic()
        if now - self.written >= SECONDS:
            from tqdm import tqdm

            self.written = now
            line = tqdm.format_meter(self.done, elapsed=now - self.started, postfix=self.postfix, **self.format)
            print(line, file=sys.stderr, flush=True)
