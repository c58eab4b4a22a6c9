"""Random numbers: a seed for each thread, its generator on the host, and a key and a count of draws on a device."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from minivae.backend import philox
from minivae.backend.cuda_graph import varying
from minivae.backend.memory import resize
from minivae.backend.selection import Array, from_numpy, name_of
from minivae.errors import OptionError, whole_number

DRAWN = 2**13  # numbers that are drawn in float64 at a time, for parameters


class _Streams(threading.local):
    """One set of generators a thread: what one thread draws never depends on another."""

    def __init__(self):
        self.start(np.random.SeedSequence())

    def start(self, seeds):
        self.host = np.random.default_rng(seeds)
        self.device_key = seeds.generate_state(1).item()
        self.device_draws = 0
        self.rows = None  # what part of a batch noise is drawn for: see `rows_of_batch`
        self.whole = None


_streams = _Streams()


def manual_seed(seed: int) -> None:
    """Seed the calling thread's generators, host and device (torch.manualSeed).

    A forked process begins with a copy of them, as it does of NumPy's and PyTorch's: so several draw the same numbers,
    unless each calls this with a seed of its own.
    """
    _streams.start(np.random.SeedSequence(whole_number("manual_seed", "seed", seed, least=0)))


def get_random_state() -> dict[str, Any]:
    """The calling thread's random state, as plain values that JSON can hold; a device's is a key and how many draws."""
    return {"host": _streams.host.bit_generator.state, "device": [_streams.device_key, _streams.device_draws]}


def set_random_state(state: dict[str, Any]) -> None:
    """Continue from a state of `get_random_state`.  A state that is none raises, and changes nothing."""
    try:
        host = np.random.default_rng(0)
        host.bit_generator.state = state["host"]
        key, draws = (whole_number("set_random_state", "device", each, least=0) for each in state["device"])
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
        raise OptionError(f"this is no random state of get_random_state: {str(error)[:300]}") from error
    _streams.host = host
    _streams.device_key, _streams.device_draws = key, draws


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from `seed` inside the block and leave the thread's stream as it was.

    The numbers are others than after `manual_seed(seed)` or in `numpy.random.default_rng(seed)`: a check that drew
    the very numbers that its input was made from would be blind to mistakes.
    """
    kept = dict(vars(_streams))
    _streams.start(np.random.SeedSequence(whole_number("seeded", "seed", seed, least=0), spawn_key=(1,)))
    try:
        yield
    finally:
        vars(_streams).update(kept)


@contextlib.contextmanager
def rows_of_batch(start: int, stop: int, n: int) -> Iterator[None]:
    """Inside the block noise for rows start … stop is what a draw for all n rows of a batch gives these rows.

    So processes that share a batch draw what a single one would, and their streams stay the same.
    """
    kept, _streams.rows = _streams.rows, (start, stop, n)
    try:
        yield
    finally:
        _streams.rows = kept


def host_generator() -> np.random.Generator:
    """The calling thread's NumPy generator: weights and batches come from it on either backend."""
    return _streams.host


def _draw(kind, out):
    """Fill `out` with `kind`, or within `rows_of_batch` with its part of a draw for the whole batch."""
    if _streams.rows is None:
        return _fill(kind, out)
    start, stop, n = _streams.rows
    each = len(out) // max(1, stop - start)  # L draws for each row
    _streams.whole = resize(_streams.whole, (n * each, *out.shape[1:]), out.dtype, name_of(out))  # laid out as theirs
    out[...] = _fill(kind, _streams.whole)[start * each:stop * each]
    return out


def _fill(kind, out):
    """Fill `out`, on the library and device it lives on, with `kind` of its generator."""
    if isinstance(out, np.ndarray):
        getattr(_streams.host, kind)(out=out, dtype=out.dtype)
        return out
    key, draw = varying(lambda: _streams.device_key, out), varying(_next_draw, out)
    return philox.fill(kind, out, key, draw)


def _next_draw():
    _streams.device_draws += 1
    return _streams.device_draws - 1


def standard_normal(out: Array) -> Array:
    """Fill `out` with draws from N(0, 1)."""
    return _draw("standard_normal", out)


def uniform(out: Array) -> Array:
    """Fill `out` with draws from the uniform distribution on [0, 1)."""
    return _draw("random", out)


def fill_uniform(out: Array, low: float, high: float) -> Array:
    """Fill `out` with draws from [low, high) made on the host, so that weights are equal on either library."""
    host = out if isinstance(out, np.ndarray) else np.empty(out.shape, out.dtype)
    rows = max(1, DRAWN // max(1, host[:1].size))  # a few at a time: memory that was large once stays the process's
    for first in range(0, len(host), rows):
        part = host[first:first + rows]
        part[...] = _streams.host.uniform(low, high, part.shape)
    if host is not out:
        out[...] = from_numpy(host, like=out)
    return out
