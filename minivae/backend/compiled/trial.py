"""A first call of a compiled function, in this process or, as a script, in one that may crash."""

import ctypes
import sys

AXES, OPERANDS, ELEMENTS = 3, 64, 1000


def call(kernel):
    """Call it for one row, with the same zeros as every operand."""
    zeros = (ctypes.c_float * (ELEMENTS + AXES))()
    kernel.restype = ctypes.c_double
    lengths, strides = (ctypes.c_ssize_t * AXES)(1, 1, ELEMENTS), (ctypes.c_ssize_t * (AXES * OPERANDS))()
    strides[:] = [1] * len(strides)
    kernel(lengths, (ctypes.c_void_p * OPERANDS)(*[ctypes.addressof(zeros)] * OPERANDS), strides,
           (ctypes.c_float * OPERANDS)())


if __name__ == "__main__":
    call(ctypes.CDLL(sys.argv[1]).kernel)
