"""The array library behind the layers: choice, doors, random numbers, buffers, blocks and threads."""

import ast
import importlib
import itertools
import multiprocessing
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from minivae import backend, models, nn
from minivae.backend import blas, blocks, memory, products, workers
from minivae.data import Batches
from minivae.errors import BackendError, DTypeError, OptionError
from minivae.training import Training

library = importlib.import_module("minivae.backend.selection")  # the functions of these names hide the modules


def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(library._libraries, "cupy", raising=False)


def test_import_does_not_import_cupy_or_matplotlib():
    code = "import sys, minivae; print([m for m in ('cupy', 'matplotlib', 'torch', 'tqdm', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_auto_falls_back_in_one_line_and_cupy_raises(monkeypatch, capsys):
    no_cupy(monkeypatch)
    assert backend.use("auto") == "numpy"
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(BackendError, match=r"cannot run here: CuPy is not installed"):
        backend.use("cupy")
    assert backend.current() == "numpy"
    assert backend.available("numpy") == (True, "")


@pytest.mark.parametrize("call", [backend.use, backend.available])
def test_unknown_backend_is_refused(call):
    with pytest.raises(OptionError, match="unknown backend 'jax'"):
        call("jax")


def test_environment_chooses_the_backend():
    code = "from minivae import backend; print(backend.current())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8",
                          env={"MINIVAE_BACKEND": "jax"})
    assert done.returncode != 0 and "unknown backend 'jax'" in done.stderr


def test_doors():
    array = np.ones(3, np.float32)
    assert backend.to_numpy(array) is array and backend.from_numpy(array) is array
    with pytest.raises(DTypeError, match="got list"):
        backend.to_numpy([1.0])


def test_default_dtype_is_that_of_new_modules():
    backend.set_default_dtype("float64")
    assert nn.Linear(2, 2).weight.dtype == np.float64
    with pytest.raises(OptionError, match="float16"):
        backend.set_default_dtype("float16")


def draw():
    return backend.standard_normal(np.empty(5, np.float32)).tolist()


def test_seed_repeats_and_state_continues():
    backend.manual_seed(0)
    first = draw()
    backend.manual_seed(0)
    assert draw() == first
    state = backend.get_random_state()
    following = draw()
    backend.set_random_state(state)
    assert draw() == following != first


def test_seeded_block_leaves_the_stream_alone():
    backend.manual_seed(0)
    expected = [draw(), draw()]
    backend.manual_seed(0)
    first = draw()
    with backend.seeded(5):
        inside = draw()
    assert [first, draw()] == expected
    with backend.seeded(5):
        assert draw() == inside


def test_each_thread_has_its_own_stream():
    backend.manual_seed(0)
    expected = draw()
    backend.manual_seed(0)
    def other():
        backend.manual_seed(1)
        draw()
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert draw() == expected


@pytest.mark.parametrize("seed", [-1, 1.5, "a"])
def test_impossible_seed_is_refused(seed):
    with pytest.raises(OptionError, match="seed"):
        backend.manual_seed(seed)


# ------------------------------------------------------------------------------------------- buffers

def test_buffers_are_aligned_and_keep_the_largest_storage():
    large = backend.resize(None, (100, 3), np.float32, "numpy")
    short = backend.resize(large, (37, 3), np.float32, "numpy")
    assert short.shape == (37, 3) and np.shares_memory(short, large)
    assert backend.resize(short, (100, 3), np.float32, "numpy").ctypes.data == large.ctypes.data
    assert all(a.ctypes.data % memory.ALIGNMENT == 0 for a in (large, short))
    assert not np.shares_memory(backend.resize(large, (101, 3), np.float32, "numpy"), large)
    assert backend.resize(large, (100, 3), np.float64, "numpy").dtype == np.float64


def test_what_is_allowed_counts_the_arrays_that_are_there():
    with backend.at_most(20_000):
        for rows in range(1, 100):  # each takes the place of the one before, and all of them 20 times what is allowed
            kept = backend.resize(None, (rows, 20), np.float32, "numpy")
            view = kept[1:]
        with pytest.raises(OptionError, match=r"shape \(160, 20\) takes 12864 bytes, 12016 are left"):
            backend.empty((160, 20), np.float32)
        del kept
        with pytest.raises(OptionError, match="12016 are left"):  # the view still holds it
            backend.empty((160, 20), np.float32)
        del view
        assert backend.empty((160, 20), np.float32).nbytes == 12_800
    assert backend.empty((100, 200), np.float32).nbytes == 80_000


def test_small_batches_are_column_major():
    assert backend.resize(None, (memory.COLUMNS - 1, 9), np.float32, "numpy").flags.f_contiguous
    assert backend.resize(None, (memory.COLUMNS, 9), np.float32, "numpy").flags.c_contiguous
    assert backend.resize(None, (2, 9), np.float32, "numpy", batch=False).flags.c_contiguous


# ------------------------------------------------------------------------- element-wise work in blocks

def formula(xp, x, y, factor):
    return factor * xp.exp(-xp.abs(x)) + y


def test_blocks_equal_the_whole(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 64)
    monkeypatch.setattr(blocks, "SHARED_BLOCK", 64)
    monkeypatch.setattr(blocks, "PARALLEL", 128)
    random = np.random.default_rng(0)
    x, y = random.standard_normal((50, 7)), random.standard_normal((50, 7))
    wanted = formula(np, x, y, 2.0)
    for change in (np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2]):
        out = change(np.zeros_like(x))
        assert backend.elementwise(formula, change(x), y, 2.0, out=out) is out
        assert np.array_equal(out, wanted)
    assert backend.total(formula, x, y, 2.0) == pytest.approx(wanted.sum(), rel=1e-12)


def test_blocks_are_the_same_for_any_number_of_threads(four_workers):
    """The end of a block may decide over the last bit: some machines compute the rest of a vector otherwise."""
    x, found = np.ones(5000), []
    for threads in (1, 4):
        workers.set_count(threads)
        seen = []
        backend.elementwise(lambda xp, x, seen=seen: (seen.append(x.size), x)[1], x, out=np.empty_like(x))
        found.append(sorted(seen))
    assert found[0] == found[1] and len(found[0]) > 4


def test_blocks_follow_the_axes_as_they_lie_in_memory(monkeypatch):
    """Planes (N, C, H, W) that lie as (H, C, W, N) are cut as one vector, and not into slices of scattered numbers."""
    monkeypatch.setattr(blocks, "BLOCK", 64)
    x, y = (np.random.default_rng(seed).random((5, 2, 6, 8)).transpose(3, 1, 0, 2) for seed in (0, 1))
    out, seen = np.zeros((5, 2, 6, 8)).transpose(3, 1, 0, 2), []

    def watched(xp, x, y, factor):
        seen.append(x.shape)
        return formula(xp, x, y, factor)

    backend.elementwise(watched, x, y, 2.0, out=out)
    assert np.array_equal(out, formula(np, x, y, 2.0)) and set(seen) == {(60,)}


def test_blocks_broadcast(monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 64)
    monkeypatch.setattr(blocks, "SHARED_BLOCK", 64)
    random = np.random.default_rng(0)
    x, target = random.standard_normal((20, 3, 8)), random.standard_normal((20, 1, 8))
    out = np.empty_like(x)
    backend.elementwise(formula, x, target, 1.0, out=out)
    assert np.array_equal(out, formula(np, x, target, 1.0))
    assert backend.total(formula, x, target, 1.0) == pytest.approx(out.sum(), rel=1e-12)


def test_out_may_be_an_argument_and_a_table():
    x, y = np.ones(3), np.full(3, 2.0)
    backend.elementwise(lambda xp, x, y: (x + y, x - y), x, y, out=(x, y))
    assert x.tolist() == [3, 3, 3] and y.tolist() == [-1, -1, -1]


@pytest.mark.parametrize("count", [1, 2, 9, 10, 30])
def test_arrays_are_added_up_from_the_first_to_the_last(count, library):
    arrays = np.random.default_rng(0).standard_normal((count, 5, 7)).astype(np.float32)
    expected = arrays[0].copy()
    for array in arrays[1:]:
        expected += array
    out = backend.from_numpy(np.zeros((5, 7), np.float32))
    assert backend.add_up([backend.from_numpy(array) for array in arrays], out) is out
    np.testing.assert_array_equal(backend.to_numpy(out), expected)


def test_row_totals(monkeypatch, four_workers):
    """Sums over the last axis, of blocks of rows; a target of one draw is broadcast over three."""
    monkeypatch.setattr(blocks, "BLOCK", 64)
    monkeypatch.setattr(blocks, "SHARED_BLOCK", 64)
    monkeypatch.setattr(blocks, "PARALLEL", 128)
    a, x = np.random.default_rng(0).random((50, 3, 7)), np.random.default_rng(1).random((50, 1, 7))
    assert backend.row_totals(lambda xp, a, x, c: c * a * x, a, x, 2.0) == pytest.approx((2 * a * x).sum(axis=2))
    assert backend.row_totals(lambda xp, a: a, np.zeros((0, 3, 7))).shape == (0, 3)


@pytest.mark.parametrize("has_gemm", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_add_product(has_gemm, dtype, monkeypatch):
    """For all that a layer multiplies, by the BLAS itself where NumPy brings it, else by way of a scratch array."""
    if not has_gemm:
        monkeypatch.setattr(blas, "_gemm", lambda dtype: None)
    elif blas._gemm(np.dtype("float32")) is None:
        pytest.skip("this NumPy does not bring OpenBLAS")
    random, used = np.random.default_rng(0), []
    monkeypatch.setattr(products, "scratch", lambda *what: used.append(1) or memory.scratch(*what))
    layouts = (np.ascontiguousarray, np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2])
    sizes = ((4, 3, 5), (1, 3, 1), (4, 1, 5), (300, 16, 200))
    for (rows, inner, columns), left, right in itertools.product(sizes, layouts, layouts):
        a, b = random.random((rows, inner)).astype(dtype), random.random((inner, columns)).astype(dtype)
        total, kept = np.full((rows, columns), 1.5, dtype), (a.copy(), b.copy())
        for _ in range(2):
            backend.add_product(total, left(a), right(b))
        np.testing.assert_allclose(total, 1.5 + 2 * (a @ b), rtol=1e-6)
        assert np.array_equal(a, kept[0]) and np.array_equal(b, kept[1])
    assert len(used) == (20 if has_gemm else 72)  # BLAS does not take every second number of a row


def test_add_product_takes_nan_no_elements_and_nothing_read_only():
    total = np.zeros((2, 2))
    backend.add_product(total, np.full((2, 1), np.nan), np.ones((1, 2)))
    assert np.isnan(total).all()
    total = np.ones((2, 2))
    backend.add_product(total, np.ones((2, 0)), np.ones((0, 2)))
    assert (total == 1).all()
    total.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        backend.add_product(total, np.ones((2, 2)), np.ones((2, 2)))
    assert (total == 1).all()


@pytest.mark.parametrize(("a", "b"), [((2, 3), (4, 2)), ((2, 3), (3, 5)), ((5, 3), (3, 2))])
def test_add_product_refuses_other_shapes(a, b):
    total = np.ones((2, 2))
    with pytest.raises(ValueError):
        backend.add_product(total, np.ones(a), np.ones(b))
    assert (total == 1).all()


def test_scratch_is_kept_and_each_threads_own():
    def addresses():
        shapes = ((300, 200), (3, 4), (300, 200), (20,))
        return {backend.address(memory.scratch(shape, np.dtype("float32"))) for shape in shapes}

    with ThreadPoolExecutor(1) as another:
        mine, theirs = addresses(), another.submit(addresses).result()
    assert len(mine) == len(theirs) == 1 and mine != theirs
    assert backend.address(memory.scratch((2, 2), np.dtype("uint8"))) not in mine  # another dtype's


def test_threads_add_products_without_one_another(monkeypatch):
    monkeypatch.setattr(blas, "_gemm", lambda dtype: None)  # all by way of a scratch array
    random = np.random.default_rng(0)
    pairs = [(random.random((90, 70)), random.random((70, 80))) for _ in range(4)]

    def added(pair):
        total = np.zeros((90, 80))
        for _ in range(50):
            backend.add_product(total, *pair)
        return total

    with ThreadPoolExecutor(4) as several:
        for pair, total in zip(pairs, several.map(added, pairs)):
            np.testing.assert_array_equal(total, added(pair))


def test_total_of_nothing_is_zero():
    assert backend.total(formula, np.zeros((0, 3)), np.zeros((0, 3)), 1.0) == 0


@pytest.fixture
def four_workers(monkeypatch):
    kept = workers.count()
    monkeypatch.setattr(blocks, "BLOCK", 256)
    monkeypatch.setattr(blocks, "SHARED_BLOCK", 400)
    monkeypatch.setattr(blocks, "PARALLEL", 512)
    yield
    workers.set_count(kept)


def test_thread_count_changes_nothing(four_workers):
    x = np.random.default_rng(0).standard_normal(10000).astype(np.float32)
    results = []
    for threads in (1, 2, 3, 4):
        workers.set_count(threads)
        out = np.empty_like(x)
        backend.elementwise(formula, x, x, 3.0, out=out)
        results.append((out.tobytes(), backend.total(formula, x, x, 3.0)))
    assert len(set(results)) == 1


def test_sums_are_added_in_the_order_of_the_blocks_not_of_the_threads(four_workers):
    """1e16 − 1e16 + 1 is 1, and 1 + 1e16 − 1e16 is 0; the caller's blocks, the first, are made to come last."""
    x = np.zeros(2048)
    x[0], x[300], x[2000] = 1e16, -1e16, 1

    def slow_caller(xp, x):
        if threading.current_thread() is threading.main_thread() and workers.count() > 1:
            time.sleep(0.05)
        return x

    sums = []
    for threads in (1, 4):
        workers.set_count(threads)
        sums.append(backend.total(slow_caller, x))
    assert sums == [1, 1]


def test_error_in_a_worker_reaches_the_caller(four_workers):
    workers.set_count(4)
    x, failed = np.zeros(10000), threading.Event()

    def fails(xp, x):
        if threading.current_thread().name.startswith("minivae"):
            failed.set()
            raise ArithmeticError("in a worker")
        failed.wait(30)  # else this thread may do all the blocks before a worker is awake
        return x

    with pytest.raises(ArithmeticError, match="in a worker"):
        backend.elementwise(fails, x, out=x)


def test_workers_see_what_errstate_has_set(four_workers):
    workers.set_count(4)
    x = np.zeros(10000)
    with np.errstate(divide="ignore"):
        backend.elementwise(lambda xp, x: xp.log(x), x, out=x)
    assert np.isneginf(x).all()


def test_formulas_never_combine_two_numbers():
    """CuPy's fusion would compute a number from two numbers in half precision."""

    class Alone(float):
        def _refuse(self, other):
            if isinstance(other, int | float):
                raise AssertionError("a formula combines two numbers")
            return NotImplemented

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse

    with pytest.raises(AssertionError, match="two numbers"):
        1 - Alone(0.5)
    plain, seen = blocks.in_blocks, []

    def wrapped(work, outs, arguments):
        seen.append(1)
        return plain(work, outs, [Alone(a) if isinstance(a, float) else a for a in arguments])

    blocks.in_blocks = wrapped
    try:
        for name in ("denoising", "bernoulli"):
            model = models.build(name, image=(1, 3, 3), hidden=4)
            Training(model, Batches(np.ones((4, 1, 3, 3), np.uint8), 2)).run(2, progress=False)
        for criterion, prediction in ((nn.GaussianNLLCriterion(), (np.ones((2, 3)), np.ones((2, 3)))),
                                      (nn.GaussianNLLCriterion(), np.ones((2, 3)))):
            criterion.double().forward(prediction, np.ones((2, 3)))
            criterion.backward(prediction, np.ones((2, 3)))
    finally:
        blocks.in_blocks = plain
    assert len(seen) > 40


def _in_child(queue):
    x = np.ones(10000)
    queue.put(backend.total(formula, x, x, 1.0))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.skipif(not hasattr(multiprocessing, "get_context") or sys.platform == "win32", reason="no fork on Windows")
def test_workers_survive_a_fork(four_workers):
    workers.set_count(4)
    x = np.ones(10000)
    wanted = backend.total(formula, x, x, 1.0)  # starts the threads, which the child does not inherit
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_in_child, args=(queue,))
    child.start()
    try:
        assert queue.get(timeout=60) == wanted
    finally:
        child.join(timeout=60)
    assert child.exitcode == 0


def test_outside_tells_which_end():
    assert backend.outside(np.array([0.0, 1.0]), 0, 1) is None
    assert backend.outside(np.array([0.0, 255.0]), 0, 1) == "its maximum is 255"
    assert backend.outside(np.array([-1.0, 0.5]), 0, 1) == "its minimum is -1"
    assert backend.outside(np.array([np.nan]), 0, 1) == "it holds NaN"


@pytest.mark.parametrize("path", sorted(path for folder in ("nn", "optim") for path in (
    Path(backend.__file__).parents[1] / folder).glob("*.py")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_layer_knows_its_array_library(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    imported += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not {name.partition(".")[0] for name in imported} & {"numpy", "cupy"}


def test_new_memory_is_marked_inside_the_block_only():
    with backend.marked():
        assert all(np.isnan(backend.empty((3, 4), dtype)).all() for dtype in (np.float32, np.float64))
        with backend.marked(on=False):
            assert not backend.memory._allowed.marking
            kept = backend.empty((300, 40), np.float64)
            kept.fill(1)
            assert backend.resize(kept, (300, 40), np.float64, "numpy") is kept
        assert np.isnan(backend.resize(None, (2, 2), np.float32, "numpy")).all() and (kept == 1).all()
    assert not backend.memory._allowed.marking
