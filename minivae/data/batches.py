"""Minibatches from images kept as bytes."""

import numpy as np

from minivae import backend
from minivae.data.binarized import Redrawn
from minivae.data.images import pixels_of
from minivae.errors import OptionError, real_number, truth, whole_number


class Batches:
    """Batches of `pixels` (n, ...), scaled, in a buffer that the next batch overwrites.

        pixels      uint8 (or float) images, an array or an Images, or a Redrawn, whose bits are drawn anew for every
                    batch; a copy goes to the device when the backend is CuPy
        scale       what each pixel is multiplied by: 1/255 for grey bytes, 1 for 0 and 1 and for floats; of a
                    Redrawn, which knows its own, it means nothing
        by_epoch    False: every batch is drawn at random with replacement (in the articles' listings the images of one
                    batch are different ones of the 50,000, the first of a new permutation)
                    True: each image once an epoch, in random order, the last batch short if need be
        drop_last   True: no short last batch, whose images wait for another epoch: a batch of one has no variance for
                    batch normalization
        rounds      so often by_epoch shows each image in what `len` counts as an epoch

    `len(batches)` is the number of batches an epoch; `next()` gives one, without end, and a loop over `batches` is of
    one epoch.
    """

    state_names, varying_names = (), ("order", "position")  # as modules have them: see `backend.Replayed`

    def __init__(self, pixels, batch_size, scale=1, by_epoch=False, drop_last=False, rounds=1):
        batch_size = whole_number("Batches", "batch_size", batch_size)
        self.redraw = isinstance(pixels, Redrawn)
        if self.redraw:
            pixels, scale = pixels.grey, 1 / 255
        pixels = pixels_of(pixels)
        if batch_size > len(pixels):
            raise OptionError(f"batch size {batch_size}; choose from 1 to {len(pixels)}, the number of images")
        self.backend = backend.current()
        self.dtype = backend.default_dtype()
        self.pixels = backend.from_numpy(pixels)
        self.scale = real_number("Batches", "scale", scale, "is what pixels are multiplied by, such as 1/255")
        self.batch_size = batch_size
        self.by_epoch, self.drop_last = truth("Batches", "by_epoch", by_epoch), truth("Batches", "drop_last", drop_last)
        self.rounds = whole_number("Batches", "rounds", rounds)
        self.order = None  # the permutation of this epoch
        self.position = 0  # how many images of it have been used
        self._buffers = {}

    def __repr__(self):
        by_epoch = ", by_epoch=True" * self.by_epoch
        return f"Batches({tuple(self.pixels.shape)}, batch_size={self.batch_size}, scale={self.scale:.4g}{by_epoch})"

    def __len__(self):
        n = len(self.pixels)
        whole = n // self.batch_size
        return self.rounds * (-(-n // self.batch_size) if self.by_epoch and not self.drop_last else whole)

    def __iter__(self):
        return (self.next() for _ in range(len(self)))

    def next(self):
        """The next batch, (N, ...) in the default dtype."""
        indices = backend.varying(self._indices, self.pixels)
        shape = (len(indices), *self.pixels.shape[1:])
        batch = self._buffer("batch", shape, self.dtype)
        backend.gather(self.pixels, indices, self.scale, batch)
        if self.redraw:
            u = backend.uniform(self._buffer("uniform", shape, self.dtype))
            backend.elementwise(_bits, u, batch, out=batch)
        return batch

    def _indices(self):
        n, random = len(self.pixels), backend.host_generator()
        if not self.by_epoch:
            return random.integers(0, n, self.batch_size)
        if self.order is None or self.position >= (n - n % self.batch_size if self.drop_last else n):
            self.order, self.position = random.permutation(n), 0
        indices = self.order[self.position:self.position + self.batch_size]
        self.position += len(indices)
        return indices

    def get_state(self):
        """Where in the data it stands, for a checkpoint: {"order": int array, "position": int array ()}."""
        order = np.zeros(0, np.int64) if self.order is None else self.order
        return {"order": order, "position": np.array(self.position)}

    def set_state(self, state):
        """Continue from a state of `get_state`; one that is none raises, and changes nothing."""
        order, position, n = np.asarray(state["order"]), np.asarray(state["position"]), len(self.pixels)
        if order.size not in (0, n):
            raise OptionError(f"this state is of {order.size} images, the data has {n}")
        if order.dtype != np.int64 or order.ndim != 1 or not np.array_equal(np.sort(order), np.arange(order.size)):
            raise OptionError("this state's order is no permutation of the images: each number from 0 once, as int64")
        if position.dtype.kind not in "iu" or position.ndim != 0 or not 0 <= position <= order.size:
            raise OptionError(f"this state's position is {position}, expected a whole number from 0 to {order.size}")
        self.order, self.position = (order.copy() if order.size else None), int(position)

    def _buffer(self, name, shape, dtype):
        self._buffers[name] = backend.resize(self._buffers.get(name), shape, dtype, self.backend)
        return self._buffers[name]


def _bits(xp, u, probability):
    return u < probability
