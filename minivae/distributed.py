"""Training on many processes, on one machine or on many, over MPI.

    mpiexec -n 2 -bind-to core python -m mpi4py -m minivae train aevb

Every rank draws the same batch and the same noise and computes with its share of their rows.  A loss is a sum over
rows, so the gradients simply add: one Allreduce of the flat gradient a step, after which all ranks take the same step
of the optimiser.  The first rank alone writes and prints.  `-m mpi4py` ends all ranks when one fails; without it the
others would wait for ever.  Any number of ranks trains the same model but for rounding, unless it has free bits or a
BatchNormalization: these take their means, and the latter its variance, over the rows of each rank.
"""

import os
import sys
from contextlib import contextmanager

import numpy as np

from minivae import backend
from minivae.errors import OptionError


class Ranks:
    """The processes that train one model together; without a communicator of mpi4py, this one alone.

        in_place   MPI.IN_PLACE        local   this rank's number on its machine, which chooses its device
    """

    def __init__(self, communicator=None, in_place=None, local=0):
        self.communicator, self.in_place, self.local = communicator, in_place, local
        self.rank = 0 if communicator is None else communicator.Get_rank()
        self.size = 1 if communicator is None else communicator.Get_size()
        self._counts = True  # whether this rank's rows are its own
        self._host = None  # where the gradient of a device passes through

    @property
    def first(self):
        """Whether this rank is the one that writes and prints."""
        return self.rank == 0

    @contextmanager
    def share(self, batch):
        """This rank's rows of a batch; inside the block noise is drawn for the whole batch, and cut to them.

        They may be one more than another rank's.  A rank without any works on the first row and is not counted.
        """
        n = len(batch)
        start, stop = (-(-n * rank // self.size) for rank in (self.rank, self.rank + 1))
        self._counts = start < stop
        if not self._counts:
            start, stop = 0, min(1, n)
        if self.size == 1:
            yield batch
        else:
            with backend.rows_of_batch(start, stop, n):
                yield batch[start:stop]

    def add(self, gradient, sums):
        """Add the ranks' gradients, in place, and their sums over rows: returns those of the whole batch."""
        if self.size == 1:
            return sums
        numbers = np.array(backend.to_floats(sums))
        if not self._counts:
            gradient.fill(0)
            numbers.fill(0)
        self.communicator.Allreduce(self.in_place, numbers)
        self._host = backend.page_locked(gradient, self._host)
        backend.copy_to_host(gradient, self._host)
        self.communicator.Allreduce(self.in_place, self._host)
        backend.copy_from_host(self._host, gradient)
        return numbers.tolist()

    def any(self, flag):
        """Whether the flag is set on any rank: the same answer on all of them."""
        if self.size == 1:
            return flag
        flags = np.array([int(flag)])
        self.communicator.Allreduce(self.in_place, flags)
        return bool(flags[0])

    def in_turn(self, make):
        """make(), by the first rank before the others: what it leaves on the disk they find there."""
        made = make() if self.first else None
        if self.size > 1:
            self.communicator.Barrier()
        return made if self.first else make()


def world():
    """The ranks that mpiexec has started under `python -m mpi4py`; else this process alone."""
    started = max(map(_size, ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")))
    if "mpi4py" in sys.modules:
        from mpi4py import MPI

        everyone = MPI.COMM_WORLD
        if everyone.Get_size() < started:
            raise OptionError(f"mpiexec has started {started} processes, of which mpi4py sees {everyone.Get_size()}: "
                              "it was built for another MPI; take the mpiexec of its own")
        return Ranks(everyone, MPI.IN_PLACE, everyone.Split_type(MPI.COMM_TYPE_SHARED).Get_rank())
    if started > 1:
        raise OptionError("mpiexec has started several processes that know nothing of each other; write `mpiexec -n 2 "
                          "python -m mpi4py -m minivae train ...` (pip install \"minivae[mpi]\")")
    return Ranks()


def _size(variable):
    """How many processes there are, by a variable that mpiexec sets."""
    value = os.environ.get(variable) or "1"
    try:
        return int(value)
    except ValueError as error:
        raise OptionError(f"{variable}={value[:100]}: mpiexec sets it to a number of processes; unset it") from error
