"""The record of a training, a row a step, and its CSV file."""

import csv
import math

import numpy as np

from minivae import backend
from minivae.errors import OptionError, whole_number
from minivae.files import atomic

WAITING = 64  # rows that stay on a device at most


class Protocol:
    """One row a step: step, reconstruction, divergence, total, then the statistics of the latent codes.

    reconstruction, the criterion's loss, and divergence = KL(q(z|x) ‖ p(z)) are in nats per image, total is their
    sum: −ELBO, where the criterion is a likelihood and the codes are not relaxed (`quantities` names it).  The
    statistics are those of the model's kl layer, such as mean, std and log_var of a Gaussian code.  `tests` has a row
    for each time that test images were looked at: (step, reconstruction, divergence).

    protocol["total"] is a column, and `len` counts rows.  As in a table of pandas, a loop and `in` are over the names
    of the columns, and dict(protocol) has all of them.
    """

    def __init__(self, statistics):
        self.columns = ("step", "reconstruction", "divergence", "total", *statistics)
        self.rows, self.tests = [], []
        self.nonfinite = None  # the first row whose total is infinite or NaN, once it has been read
        self._waiting = []  # (step, counts) of rows whose sums are still on the device
        self._ring = None  # where they are

    def add(self, step, images, reconstruction, divergence, statistics):
        """Append a row, from sums over a batch of so many images and the statistics of its codes.

        Device values stay on the device until someone asks for them.  `step` is a function, because another step has
        another number: see `backend.varying`.
        """
        totals, counts = zip((reconstruction, images), (divergence, images), *statistics.values())
        if isinstance(reconstruction, float):
            self._append(step(), totals, counts)
            return
        if self._ring is None:
            self._ring = _Ring(WAITING, len(totals), reconstruction)

        def row():
            if len(self._waiting) == WAITING:
                self.flush()
            self._waiting.append((step(), counts))
            return len(self._waiting) - 1

        self._ring.write(backend.varying(row, reconstruction), totals)

    def _append(self, step, totals, counts):
        reconstruction, divergence, *statistics = (float(total) / count for total, count in zip(totals, counts))
        self.rows.append((float(step), reconstruction, divergence, reconstruction + divergence, *statistics))
        if self.nonfinite is None and not math.isfinite(self.rows[-1][3]):
            self.nonfinite = self.rows[-1]

    def flush(self):
        """Bring what is on the device to the host, in one copy, and divide there."""
        if self._waiting:
            for (step, counts), totals in zip(self._waiting, self._ring.read(len(self._waiting)).tolist()):
                self._append(step, totals, counts)
            self._waiting.clear()

    def cut(self, length):
        """Drop the rows beyond so many: that of a step which was not taken to its end."""
        del self._waiting[max(length - len(self.rows), 0):]
        del self.rows[length:]

    def __repr__(self):
        return f"Protocol({len(self)} rows: {', '.join(self.columns)})"

    def __len__(self):
        return len(self.rows) + len(self._waiting)

    def __iter__(self):
        return iter(self.columns)

    def keys(self):
        """The names of the columns."""
        return self.columns

    def __getitem__(self, column):
        """All values of a column, as an array."""
        if column not in self.columns:
            raise OptionError(f"unknown column {column!r}; the protocol has {', '.join(self.columns)}")
        return self.array()[:, self.columns.index(column)]

    def array(self):
        """The whole table, float64 (steps, columns)."""
        self.flush()
        return np.array(self.rows, dtype=np.float64).reshape(-1, len(self.columns))

    def mean(self, last):
        """{column: mean over the last so many steps}."""
        last = whole_number("mean", "last", last)
        if not len(self):
            raise OptionError("a protocol without rows has no mean; take a step of its training first")
        self.flush()
        return dict(zip(self.columns, np.array(self.rows[-last:]).mean(axis=0)))

    def best(self):
        """The index in `tests` of the least reconstruction + divergence, the first of equal ones; None of no tests."""
        losses = [loss if math.isfinite(loss := reconstruction + divergence) else math.inf
                  for _, reconstruction, divergence in self.tests]
        return losses.index(min(losses)) if losses else None

    def write_csv(self, file):
        """Write the table to a path or an open text file, and the total of test images at the steps that looked."""
        if not hasattr(file, "write"):
            with atomic(file, "w") as opened:
                return self.write_csv(opened)
        self.flush()
        tests = {step: f"{reconstruction + divergence:.6g}" for step, reconstruction, divergence in self.tests}
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow((*self.columns, "test"))
        writer.writerows((int(row[0]), *(f"{value:.6g}" for value in row[1:]), tests.get(row[0], ""))
                         for row in self.rows)


class _Ring:
    """A table of `length` rows, whose numbers are arrays without axes of the device that `like` lives on."""

    def __init__(self, length, width, like):
        name = backend.name_of(like)
        self.table = backend.from_numpy(np.zeros((length, width)), like=name)
        self.rows = backend.from_numpy(np.arange(length)[:, None], like=name)
        self.columns = backend.from_numpy(np.arange(width)[None], like=name)

    def write(self, row, numbers):
        """Put numbers into a row, in one launch; `row` may be an array without axes."""
        backend.elementwise(_write, self.table, self.rows, row, self.columns, *numbers, out=self.table)

    def read(self, length):
        """The first rows, on the host, in one copy."""
        return backend.to_numpy(self.table)[:length]


def _write(xp, table, rows, row, columns, *numbers):
    value = numbers[0]
    for column, number in enumerate(numbers[1:], 1):
        value = xp.where(columns == column, number, value)
    return xp.where(rows == row, value, table)
