"""cuBLAS as `ctypes` would call it, on NumPy's memory: what it multiplies is found by addresses and strides alone."""

import ctypes

import numpy as np

from minivae.backend import memory


class StrictCublas:
    """The functions that the engine calls.  `launch` does a piece of work, or puts it down."""

    matmul = staticmethod(np.matmul)

    def __init__(self, launch):
        self.launch = launch
        for letter, number in (("S", ctypes.c_float), ("D", ctypes.c_double)):
            setattr(self, f"cublas{letter}gemm_v2", self._gemm(number))
            setattr(self, f"cublas{letter}gemmStridedBatched", self._stacked(number))

    def cublasCreate_v2(self, handle):
        handle._obj.value = 1
        return 0

    def cublasSetStream_v2(self, handle, stream):
        return 0

    def cublasSetWorkspace_v2(self, handle, memory, size):
        return 0

    def _gemm(self, number):
        def gemm(handle, left, right, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
            self.launch(self._product(number, left, right, (m, n, k), alpha, (a, lda), (b, ldb), beta, (c, ldc)))
            return 0
        return gemm

    def _stacked(self, number):
        def gemm(handle, left, right, m, n, k, alpha, a, lda, da, b, ldb, db, beta, c, ldc, dc, count):
            works = [self._product(number, left, right, (m, n, k), alpha, (a, lda, da, i), (b, ldb, db, i), beta,
                                   (c, ldc, dc, i)) for i in range(count.value)]
            self.launch(lambda: [work() for work in works])
            return 0
        return gemm

    def _product(self, number, left, right, sizes, alpha, a, b, beta, c):
        """C = op(A) op(B) + beta C, all with columns one behind the other, done as the rows of Cᵀ = op(B)ᵀ op(A)ᵀ."""
        m, n, k = (size.value for size in sizes)
        at = _seen(number, a, (k, m), left.value)
        bt = _seen(number, b, (n, k), right.value)
        ct = _seen(number, c, (n, m), 0)
        assert alpha._obj.value == 1
        add = beta._obj.value == 1

        def work():
            if add and len(bt) == 1 and (bt == 1).all():
                ct[...] += at.sum(axis=0)  # in NumPy's order, which is that of the host
            elif add:
                aligned = memory.empty(ct.shape, ct.dtype, "numpy")  # as all memory of a GPU
                ct[...] += self.matmul(bt, at, out=aligned)
            else:
                self.matmul(bt, at, out=ct)
        return work


def _seen(number, operand, shape, transposed):
    """op(X)ᵀ as rows: X has columns `leading` numbers apart, and op transposes or does not."""
    pointer, leading, *stack = operand
    item = ctypes.sizeof(number)
    start = pointer.value + (stack[0].value * stack[1] * item if stack else 0)
    rows, columns = shape
    along = columns if not transposed else rows
    assert leading.value >= along, "a leading dimension shorter than what it leads"
    length = (leading.value * ((rows if not transposed else columns) - 1) + along)
    memory = np.ctypeslib.as_array(ctypes.cast(start, ctypes.POINTER(number)), (length,))
    strides = (leading.value * item, item) if not transposed else (item, leading.value * item)
    return np.lib.stride_tricks.as_strided(memory, shape, strides)
