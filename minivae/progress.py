"""Progress bars."""

import sys


def progress_bar(total, unit, shown=True, **options):
    """A tqdm bar; none where it is not to be shown, or where there is no standard error, as under pythonw.

    Where no terminal shows it, as in a log file, it writes once in five seconds at most.
    """
    from tqdm import tqdm  # here, because importing minivae does without

    if sys.stderr is not None and not sys.stderr.isatty():
        options = {"mininterval": 5, "maxinterval": 10, **options}
    return tqdm(total=total, unit=unit, disable=not shown or sys.stderr is None, **options)
