"""Philox 4×32-10 in NumPy, beside which the device's kernel is held."""

import numpy as np

MASK, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def bits(key, draw, count):
    """Two arrays of 64 random bits for each of `count` elements."""
    i = np.arange(count, dtype=np.uint64)
    draws = (np.full(count, half, np.uint64) for half in (draw & 0xFFFFFFFF, draw >> 32))
    c = block([i & MASK, i >> HALF, *draws], key)
    return c[0] << HALF | c[1], c[2] << HALF | c[3]


def block(counter, key):
    """Four words of 32 bits from a counter of four."""
    c = [np.asarray(word, np.uint64) for word in counter]
    k = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        p, q = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(q >> HALF) ^ c[1] ^ np.uint64(k[0]), q & MASK, (p >> HALF) ^ c[3] ^ np.uint64(k[1]), p & MASK]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def uniform(key, draw, shape, dtype):
    first, _ = bits(key, draw, int(np.prod(shape)))
    short = np.dtype(dtype) == np.float32
    values = (first >> np.uint64(40 if short else 11)).astype(dtype) * dtype.type(2.0**-24 if short else 2.0**-53)
    return values.reshape(shape)


def normal(key, draw, shape, dtype):
    first, second = bits(key, draw, int(np.prod(shape)))
    number, scale = dtype.type, dtype.type(2.0**-64)
    radius = np.sqrt(number(-2) * np.log((first.astype(dtype) + number(0.5)) * scale))
    return (radius * np.cos(number(2 * np.pi) * (second.astype(dtype) * scale))).reshape(shape)
