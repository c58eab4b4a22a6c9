"""Progress bars."""

import sys

from tqdm import tqdm


def progress_bar(total, unit, shown=True, **options):
    """A tqdm bar; none where it is not to be shown, or where there is no standard error, as under pythonw."""
    return tqdm(total=total, unit=unit, disable=not shown or sys.stderr is None, **options)
