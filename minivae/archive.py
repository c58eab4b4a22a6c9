"""Reading .npz archives that nobody vouches for: nothing is unpickled, evaluated or unpacked.

numpy.load believes what a header says and allocates it.  Here the sizes are compared first: members are stored, not
compressed, as numpy.savez writes them, so all of them together cannot be larger than the file that they are in.
"""

import contextlib
import os
import re
import struct
import zipfile
from math import prod

import numpy as np

LARGEST = 2**32  # bytes of a file: over a hundred times the largest of the articles' models, with its optimiser
MAGIC = b"\x93NUMPY\x01\x00"
HEADER = re.compile(rb"\{'descr': '([<>|][fiu][1248])', 'fortran_order': False, 'shape': \(([\d, ]{0,99})\), \} *\n")
# what zipfile raises for a file that is damaged, beside OSError and ValueError
ERRORS = (OSError, ValueError, EOFError, RuntimeError, OverflowError, struct.error, zipfile.BadZipFile)


@contextlib.contextmanager
def opened(path):
    """{name: function that reads this array}, while the file is open.  Whatever is wrong is one of ERRORS."""
    size = os.path.getsize(path)
    if size > LARGEST:
        raise ValueError(f"it has {size} bytes, more than the {LARGEST} that one may have")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(each.compress_type != zipfile.ZIP_STORED or each.file_size != each.compress_size for each in members):
            raise ValueError("it is compressed, which minivae's own never are")
        if sum(each.file_size for each in members) > size:
            raise ValueError(f"it has {size} bytes and says that it holds {sum(each.file_size for each in members)}")
        if len({each.filename for each in members}) < len(members):
            raise ValueError("it holds two arrays of one name")
        yield {each.filename.removesuffix(".npy"): lambda each=each: _array(archive.read(each), each.filename)
               for each in members}


def _array(content, name):
    """The array in the bytes of an .npy file of version 1.0."""
    start = 10 + int.from_bytes(content[8:10], "little")
    match = HEADER.fullmatch(content[10:start])
    if content[:8] != MAGIC or match is None:
        raise ValueError(f"{name} is no plain array of numbers")
    dtype, shape = np.dtype(match[1].decode()), tuple(int(size) for size in match[2].split(b",") if size.strip())
    if prod(shape) * dtype.itemsize != len(content) - start:  # of Python's integers: no header makes it allocate
        raise ValueError(f"{name} says that it has shape {shape} of {dtype}, but has {len(content) - start} bytes")
    return np.frombuffer(content, dtype, offset=start).reshape(shape).copy()
