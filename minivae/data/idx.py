"""The file format of MNIST: big-endian, a magic number, the sizes, the bytes."""

import reprlib
import struct
from math import prod

import numpy as np

from minivae.errors import OptionError

OTHERS = [  # (how its content begins, what it is, what to do)
    (b"\x1f\x8b", "compressed by gzip", "gzip.decompress(content) gives what is in it"),
    (b"BZh", "compressed by bzip2", "bz2.decompress(content) gives what is in it"),
    (b"\xfd7zX", "compressed by xz", "lzma.decompress(content) gives what is in it"),
    (b"PK", "a zip archive", "unpack it first"),
    (b"<", "a page of HTML or XML", "download the file itself"), (b"\x93NUM", "a .npy file", "numpy.load reads it"),
]
TYPES = {b"\x09": "int8", b"\x0b": "int16", b"\x0c": "int32", b"\x0d": "float32", b"\x0e": "float64"}

MOST_AXES = 32


def read_idx(content, name="this file"):
    """The array (uint8) in the bytes of an IDX file; read-only, without a copy."""
    if not isinstance(content, bytes | bytearray | memoryview):
        raise OptionError(f"read_idx takes the bytes of a file, not {reprlib.repr(content)}; "
                          "pathlib.Path(...).read_bytes() gives them")
    head = bytes(content[:4])
    for begins, kind, cure in OTHERS:
        if head.startswith(begins):
            raise OptionError(f"{name} is not an IDX file but {kind}; {cure}")
    if head[:2] == b"\0\0" and head[2:3] in TYPES:
        raise OptionError(f"{name} is not an IDX file of bytes (uint8) but one of {TYPES[head[2:3]]}")
    if len(content) < 4 or head[:3] != b"\0\0\x08":
        raise OptionError(f"{name} is not an IDX file of bytes: it begins with {head!r}, "
                          r"expected b'\x00\x00\x08' and the number of axes")
    axes = head[3]
    start = 4 + 4 * axes
    if axes > MOST_AXES:
        raise OptionError(f"{name} says that it has {axes} axes, more than {MOST_AXES}; copy or download it again")
    if len(content) < start:
        raise OptionError(f"{name} ends within its header, after {len(content)} bytes; copy or download it again")
    shape = struct.unpack(f">{axes}I", content[4:start])
    if prod(shape) != len(content) - start:  # of Python's integers: no header makes it allocate
        raise OptionError(f"{name} says that it holds {' × '.join(map(str, shape))} = {prod(shape)} bytes, but has "
                          f"{len(content) - start}; copy or download it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
