"""The file format of MNIST: big-endian, a magic number, the sizes, the bytes."""

import struct
from math import prod

import numpy as np

from minivae.errors import OptionError


def read_idx(content, name="this file"):
    """The array (uint8) in the bytes of an IDX file; read-only, without a copy."""
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise OptionError(f"{name} is not an IDX file of bytes: it begins with {bytes(content[:4])!r}, "
                          r"expected b'\x00\x00\x08' and the number of axes")
    axes = content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise OptionError(f"{name} ends within its header, after {len(content)} bytes; copy or download it again")
    shape = struct.unpack(f">{axes}I", content[4:start])
    if prod(shape) != len(content) - start:  # of Python's integers: no header makes it allocate
        raise OptionError(f"{name} says that it holds {' × '.join(map(str, shape))} = {prod(shape)} bytes, but has "
                          f"{len(content) - start}; copy or download it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
