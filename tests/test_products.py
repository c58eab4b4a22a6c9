"""Matrix products, sums of rows, copies and random numbers of a device, beside NumPy's."""

import itertools
from pathlib import Path

import numpy as np
import philox
import pytest

from minivae import backend, nn
from minivae.backend import cublas, selection

pytestmark = pytest.mark.usefixtures("device")


def both(array):
    """The same numbers in the same layout on the host and on the device."""
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    back = np.argsort(order).tolist()
    return array, backend.from_numpy(np.ascontiguousarray(array.transpose(order)), like="cupy").transpose(back)


def matrix(rows, columns, transposed, stack, dtype):
    shape = (columns, rows) if transposed else (rows, columns)
    array = np.random.default_rng(rows).standard_normal(((stack,) if stack else ()) + shape).astype(dtype)
    return both(array.swapaxes(-1, -2) if transposed else array)


def close(device, wanted):
    tolerance = 1e-5 if wanted.dtype == np.float32 else 1e-12
    np.testing.assert_allclose(backend.to_numpy(device), wanted, rtol=tolerance, atol=tolerance * abs(wanted).max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sizes", [(3, 4, 5), (1, 7, 1), (16, 60, 2), (1, 1, 6), (33, 1, 1)])
def test_products_of_every_layout(sizes, dtype):
    rows, inner, columns = sizes
    for left, right, turned, stack, add in itertools.product(*[(False, True)] * 3, (0, 3), (False, True)):
        (a, da), (b, db) = matrix(rows, inner, left, stack, dtype), matrix(inner, columns, right, stack, dtype)
        out, dout = matrix(rows, columns, turned, stack, dtype)
        assert cublas.multiply(selection.array_library("cupy"), da, db, dout, add)
        close(dout, np.matmul(a, b) + (out if add else 0))


def test_layers_multiply_by_the_backend_alone():
    """CuPy's own matmul cannot be recorded."""
    for file in Path(nn.__file__).parent.glob("*.py"):
        assert "xp.matmul" not in file.read_text(encoding="utf-8"), file.name


def test_one_matrix_times_a_stack_and_part_of_one():
    (a, da), (b, db) = matrix(3, 4, False, 0, "float32"), matrix(4, 5, False, 6, "float32")
    _, out = both(np.zeros((6, 3, 5), np.float32))
    backend.matmul(da, db, out=out)
    close(out, np.matmul(a, b))
    side, dside = both(np.random.default_rng(1).standard_normal((4, 30)).astype(np.float32))
    beside = backend.empty((3, 30), np.float32, "cupy")
    backend.matmul(da, dside.reshape(4, 6, 5).transpose(1, 0, 2), out=beside.reshape(3, 6, 5).transpose(1, 0, 2))
    close(beside, a @ side)
    _, wide = both(np.zeros((3, 20), np.float32))
    backend.matmul(da, db[0], out=wide[:, 5:10])
    close(wide[:, 5:10], a @ b[0])
    assert not backend.to_numpy(wide)[:, :5].any() and not backend.to_numpy(wide)[:, 10:].any()


@pytest.mark.parametrize(("rows", "columns"), [(5, 8), (5, 7), (0, 4), (1, 1)])
def test_affine_and_sums_of_rows(rows, columns):
    (x, dx), (w, dw) = matrix(rows, 3, False, 0, "float32"), matrix(columns, 3, False, 0, "float32")
    bias, dbias = both(np.arange(columns, dtype=np.float32))
    out = backend.empty((rows, columns), np.float32, "cupy")
    wanted = x @ w.T + bias
    assert backend.affine(dx, dw.T, dbias, out) is out
    np.testing.assert_allclose(backend.to_numpy(out), wanted, rtol=1e-5, atol=1e-5)
    _, total = both(np.ones(columns, np.float32))
    backend.add_rows(total, out)
    np.testing.assert_allclose(backend.to_numpy(total), 1 + wanted.sum(axis=0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8"])
@pytest.mark.parametrize(("shape", "part"), [
    ((6, 32), np.s_[:, :]), ((6, 32), np.s_[1:, 16:]), ((6, 32), np.s_[:, 1:17]), ((6, 9), np.s_[:, :]),
    ((2, 3, 4, 16), np.s_[:, :, 1:3])], ids=str)
def test_copies_of_parts(shape, part, dtype):
    values = np.random.default_rng(0).integers(0, 99, np.empty(shape)[part].shape).astype(dtype)
    out = backend.empty(shape, np.dtype(dtype), "cupy")
    out.fill(7)
    target = out[part]
    assert backend.copy(backend.from_numpy(values, like="cupy"), target) is target
    same = backend.aligned(values, np.dtype(dtype), "cupy")
    assert same.dtype == dtype and np.array_equal(backend.to_numpy(same), values)
    wanted = np.full(shape, 7, dtype)
    wanted[part] = values
    assert np.array_equal(backend.to_numpy(out), wanted)


def test_philox_gives_its_authors_numbers():
    """Random123's known answers for the counter and key of zeros, and of ones."""
    first, second = philox.bits(0, 0, 1)
    assert (first[0], second[0]) == (0x6627E8D5E169C58D, 0xBC57AC4C9B00DBD8)
    ones = 2**64 - 1
    assert philox.block([0xFFFFFFFF] * 4, ones) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["random", "standard_normal"])
def test_draws_of_the_device_are_philox(kind, dtype):
    out = backend.empty((70, 3), np.dtype(dtype), "cupy")
    backend.philox.fill(kind, out, 2**31 + 5, 7)
    reference = {"random": philox.uniform, "standard_normal": philox.normal}[kind](2**31 + 5, 7, (70, 3), out.dtype)
    close(out, reference)
