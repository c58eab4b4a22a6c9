"""Formulas as compiled loops: NumPy's numbers but for rounding, the same bits for any number of threads, and NumPy
itself wherever a loop cannot be had.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import trace
from pathlib import Path

import numpy as np
import pytest
from few import few
from formulas import collect
from layers import ROWS, arrays, copies, random_like

import minivae as mv
from minivae import backend, models
from minivae.backend import compiled, notices, workers
from minivae.backend.compiled import compiler as c_compiler
from minivae.backend.compiled import libraries, loops
from minivae.backend.compiled.source import HEAD, source
from minivae.data import Batches, rectangles
from minivae.errors import OptionError
from minivae.training import Training

N = compiled.SMALL + 37  # elements, which are no whole number of vectors
needs_compiler = pytest.mark.usefixtures("compiler")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """One for all the processes that share these tests."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return tmp_path_factory.mktemp("cache")
    shared = tmp_path_factory.getbasetemp().parent / "cache"  # of this session, as each worker's folder is
    shared.mkdir(0o700, exist_ok=True)
    return shared


@pytest.fixture(autouse=True)
def forget(monkeypatch, cache):
    """Each test finds the compiler anew, and not what earlier runs have compiled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    backend.compile(True)  # whatever runs the tests
    start_anew()
    yield
    start_anew()


def start_anew():
    for each in (c_compiler.command, c_compiler.identity, libraries.loaded, notices.say_once, loops._loop):
        each.cache_clear()
    libraries._broken.clear()


@pytest.fixture
def compiler(forget):
    if not compiled.work():
        pytest.skip("there is no C compiler that works (cc, gcc or clang)")


@pytest.fixture
def runs(monkeypatch):
    """The purposes of the loops that were run."""
    seen, run = [], compiled.run

    def watched(formula, purpose, outs, arguments, size):
        value = run(formula, purpose, outs, arguments, size)
        if value is not None:
            seen.append(purpose)
        return value
    monkeypatch.setattr(compiled, "run", watched)
    return seen


@pytest.fixture
def threads(monkeypatch):
    """Small arrays are shared out too; set_count says to how many."""
    kept = workers.count()
    monkeypatch.setattr(loops, "PARALLEL", 1)
    yield workers.set_count
    workers.set_count(kept)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def formula(xp, x, y, factor):
    return xp.maximum(x, y) - factor * xp.exp(-xp.abs(y)) / (1 + x * x)


# ------------------------------------------------------------------------------------------------ values

FUNCTIONS = {
    "exp": lambda xp, x: xp.exp(x), "expm1": lambda xp, x: xp.expm1(x), "log": lambda xp, x: xp.log(x),
    "log1p": lambda xp, x: xp.log1p(x), "tanh": lambda xp, x: xp.tanh(x), "sqrt": lambda xp, x: xp.sqrt(x),
    "abs": lambda xp, x: xp.abs(x),
}


@needs_compiler
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_right_to_three_units_in_the_last_place(name, runs):
    """All kinds of float32: each 1021st bit pattern from −NaN to NaN, and the ends."""
    with np.errstate(invalid="ignore"):
        x = np.arange(0, 2**32, 1021, dtype=np.uint32).view(np.float32)
        x = np.concatenate([x, np.float32([0, -0.0, 1, -1, 0.5, 1e-45, 3.4e38, np.inf, -np.inf, np.nan])])
    y = backend.elementwise(FUNCTIONS[name], x, out=np.empty_like(x))
    with np.errstate(all="ignore"):
        exact = getattr(np, name)(x.astype(np.float64))
        rounded = exact.astype(np.float32)
    finite = np.isfinite(rounded)
    assert runs == ["elements"]
    np.testing.assert_array_equal(y[~finite], rounded[~finite])  # NaN, ∞ and −∞
    off = np.abs(y[finite] - exact[finite]) / np.spacing(np.maximum(np.abs(rounded[finite]), np.float32(1e-38)))
    assert off.max() < 3, f"{name}({x[finite][off.argmax()]}) is {y[finite][off.argmax()]}"


@needs_compiler
def test_extremes_of_selections(runs):
    special = np.float32([np.nan, np.inf, -np.inf, 0, 1, -1, 3.4e38, 1e-45])
    x, y = np.resize(np.repeat(special, 8), N), np.resize(special, N)
    for selection in (lambda xp, x, y: xp.maximum(x, y), lambda xp, x, y: xp.minimum(x, y),
                      lambda xp, x, y: xp.where((x > y) | (x != x), x, y), lambda xp, x, y: xp.isfinite(x) & (y <= 1),
                      lambda xp, x, y: xp.logical_not(xp.isfinite(x)), lambda xp, x, y: xp.minimum(x, np.inf) - 1e-44):
        with np.errstate(invalid="ignore"):
            np.testing.assert_array_equal(backend.elementwise(selection, x, y, out=np.empty_like(x)),
                                          np.asarray(selection(np, x, y), np.float32))
    assert len(runs) == 6


@pytest.fixture
def by_numpy():
    """Call a function with no loop compiled."""
    def call(function, *arguments, **options):
        backend.compile(False)
        try:
            return function(*arguments, **options)
        finally:
            backend.compile(True)
    return call


@pytest.mark.slow
@needs_compiler
def test_every_formula_gives_what_numpy_gives(runs, by_numpy):
    """Arithmetic to the last bit: so it does not matter to Adam on which machine of several it runs."""
    exact = 0
    for (each, outs), operands in collect().items():
        if any(isinstance(a, np.ndarray) and a.dtype.kind == "i" for a in operands):
            continue  # the numbers of categories, of HardOneHot
        random = np.random.default_rng(0)
        operands = [random.permutation(np.resize(a, N)) if isinstance(a, np.ndarray) else a for a in operands]
        others = [a.copy() if isinstance(a, np.ndarray) else a for a in operands]
        runs.clear()
        if outs < 0:
            value = backend.total(each, *operands)
            assert value == pytest.approx(by_numpy(backend.total, each, *others), rel=1e-5, abs=1e-4), each
        else:
            backend.elementwise(each, *operands[outs:], out=tuple(operands[:outs]) or None)
            by_numpy(backend.elementwise, each, *others[outs:], out=tuple(others[:outs]) or None)
            kinds = [1 if isinstance(a, np.ndarray) else "number" for a in operands]
            text = source(each, "elements", outs, kinds)[0].removeprefix(HEAD)
            arithmetic = not any(f"{name}_(" in text for name in FUNCTIONS)
            exact += arithmetic
            for one, other in zip(operands, others):
                if isinstance(one, np.ndarray):
                    tolerance = {"rtol": 0, "atol": 0} if arithmetic else {"rtol": 3e-6, "atol": 1e-6}
                    np.testing.assert_allclose(one, other, **tolerance, err_msg=each.__name__)
        assert runs == ["elements" if outs >= 0 else "total"], f"{each.__module__}.{each.__name__} is not compiled"
    assert exact > 10


@needs_compiler
@pytest.mark.parametrize("row", few(18, ROWS.values()), ids=ROWS.keys())
def test_every_layer_gives_what_it_gives_by_numpy(row, monkeypatch, runs, by_numpy):
    """With the shapes, broadcasts and shared arrays that it has."""
    def results():
        backend.manual_seed(0)
        module = row.make()
        output = copies(module.forward(row.input()))
        module.zero_grad_parameters()
        grad_input = copies(module.backward(row.input(), random_like(output)))
        return [*arrays(output), *arrays(grad_input), *module.parameters()[1]]

    monkeypatch.setattr(compiled, "SMALL", 0)
    for one, other in zip(results(), by_numpy(results), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


# ----------------------------------------------------------------------------------------------- layouts

LAYOUTS = {
    "rows": lambda x: x,
    "columns": lambda x: np.asfortranarray(x),
    "every second": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "planes": lambda x: np.ascontiguousarray(x.reshape(20, 4, 5, -1).transpose(2, 1, 3, 0)).transpose(3, 1, 0, 2),
}


@needs_compiler
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_any_layout(layout, runs, threads):
    x, y, out = layout(numbers(400, 93)), layout(numbers(400, 93, seed=1)), layout(np.zeros((400, 93), np.float32))
    wanted = formula(np, x, y, 0.5)
    if x.ndim == 2:
        y = np.ascontiguousarray(y)  # the two need not be laid out alike
    assert backend.elementwise(formula, x, y, 0.5, out=out) is out
    np.testing.assert_allclose(out, wanted, rtol=3e-6, atol=1e-6)
    assert backend.total(formula, x, y, 0.5) == pytest.approx(wanted.sum(dtype=float), rel=1e-5)
    np.testing.assert_allclose(backend.row_totals(formula, x, y, 0.5), wanted.sum(axis=-1), rtol=1e-4, atol=1e-4)
    assert runs == ["elements", "total"] + ["rows"] * (x.ndim == 2)  # planes, whose rows lie apart, have four axes


@needs_compiler
def test_broadcasting(runs, threads):
    x, y = numbers(40, 5, 201), numbers(40, 1, 201, seed=1)
    out, wanted = np.empty_like(x), formula(np, x, y, 2)
    backend.elementwise(formula, x, y, 2, out=out)
    np.testing.assert_allclose(out, wanted, rtol=3e-6, atol=1e-6)
    assert backend.total(formula, x, y, 2) == pytest.approx(wanted.sum(dtype=float), rel=1e-5)
    np.testing.assert_allclose(backend.row_totals(formula, x, y, 2), wanted.sum(axis=2), rtol=1e-4, atol=1e-4)
    backend.elementwise(formula, x, np.array(3, np.float32), 2, out=out)
    np.testing.assert_allclose(out, formula(np, x, np.float32(3), 2), rtol=3e-6, atol=1e-6)
    assert runs == ["elements", "total", "rows", "elements"]


@needs_compiler
def test_rows_of_one_number_and_one_row_of_many(runs, threads):
    for x in (numbers(N, 1), numbers(1, N), numbers(1, 1, N), numbers(2, 1, N)):
        sums = backend.row_totals(lambda xp, x: x, x)
        np.testing.assert_allclose(sums, x.sum(axis=-1, dtype=float), rtol=1e-5, atol=1e-3)
    assert runs == ["rows"] * 4


@needs_compiler
def test_in_place_and_tables(runs):
    x, y = numbers(N), numbers(N, seed=1)
    sums = x + y, x - y
    backend.elementwise(lambda xp, x, y: (x + y, x - y), x, y, out=(x, y))
    np.testing.assert_array_equal([x, y], sums)

    def both(xp, x, y):
        spare = x
        x += 1
        y -= spare  # the x that has been written to
    backend.elementwise(both, x, y)
    np.testing.assert_array_equal([x, y], [sums[0] + 1, sums[1] - (sums[0] + 1)])
    assert runs == ["elements", "elements"]


@needs_compiler
def test_the_number_of_threads_changes_no_bit(threads, runs):
    x, y, found = numbers(N), numbers(N, seed=1), set()
    for count in (1, 2, 3, 8):
        threads(count)
        out = backend.elementwise(formula, x, y, 0.5, out=np.empty_like(x))
        found.add((out.tobytes(), backend.total(formula, x, y, 0.5)))
        loops._loop.cache_clear()
    loops.PARALLEL = N + 1  # undivided
    assert backend.elementwise(formula, x, y, 0.5, out=np.empty_like(x)).tobytes() == out.tobytes()
    assert len(found) == 1 and len(runs) == 9


@needs_compiler
def test_a_sum_is_one_of_double_precision(runs):
    huge = np.full(N, 3e38, np.float32)
    assert backend.total(lambda xp, x: x, huge) == pytest.approx(3e38 * N)
    assert backend.total(lambda xp, x: x > 1, huge) == N
    assert runs == ["total", "total"]


# ------------------------------------------------------------------------------------------ NumPy instead

def branching(xp, x):
    return x if x.sum() > 0 else -x


class Method:
    def formula(self, xp, x):
        return x + 1


two = 2.0
LEFT = {
    "few elements": (lambda xp, x: x + 1, np.ones(compiled.SMALL - 1, np.float32)),
    "double precision": (lambda xp, x: x + 1, np.ones(N)),
    "bytes swapped": (lambda xp, x: x + 1, np.ones(N, ">f4")),
    "not aligned": (lambda xp, x: x + 1, np.ones(4 * N + 1, np.uint8)[1:].view(np.float32)),
    "masked": (lambda xp, x: x + 1, np.ma.masked_array(np.ones(N, np.float32), np.arange(N) % 2)),
    "a function that no formula should need": (lambda xp, x: xp.cumsum(x), np.ones(N, np.float32)),
    "a branch": (branching, np.ones(N, np.float32)),
    "a strong number": (lambda xp, x: x + np.float64(1), np.ones(N, np.float32)),
    "a number as a condition": (lambda xp, x: xp.where(x, 1, 0), np.full(N, 0.5, np.float32)),
    "truths that are added": (lambda xp, x: (x > 0) + (x < 2), np.ones(N, np.float32)),
    "a truth and a whole number": (lambda xp, x: (x > 0) & 1, np.ones(N, np.float32)),
    "a method": (Method().formula, np.ones(N, np.float32)),
    "a default": (lambda xp, x, y=two: x + y, np.ones(N, np.float32)),
    "four axes": (lambda xp, x: x + 1, np.ones((30, 40, 40, 12), np.float32)[::2, ::2, ::2, ::2]),
}


@pytest.mark.parametrize(("formula", "x"), LEFT.values(), ids=LEFT.keys())
def test_what_is_left_to_numpy(formula, x, runs):
    out = np.empty(x.shape, x.dtype)
    backend.elementwise(formula, x, out=out)
    np.testing.assert_array_equal(out, formula(np, x))
    assert runs == []


def test_read_only_arrays_and_those_that_are_broadcast_are_not_written_to():
    x, row = np.zeros((N, 2), np.float32), np.zeros(2, np.float32)
    x.flags.writeable = False

    def write(xp, x, y):
        y += x
    with pytest.raises(ValueError, match="read-only"):
        backend.elementwise(lambda xp, x: x + 1, row, out=x)
    with pytest.raises(ValueError, match="broadcast"):
        backend.elementwise(write, x, row)
    assert not x.any() and not row.any()


def test_a_closure_follows_what_it_encloses(runs):
    factor, x = [2.0], np.ones(N, np.float32)
    for factor[0] in (2.0, 3.0):
        assert (backend.elementwise(lambda xp, x: x * factor[0], x, out=np.empty_like(x)) == factor[0]).all()
    assert runs == []


def test_axes_without_elements(runs):
    def add(xp, x, y):
        y += x

    kept = np.zeros((N, 5), np.float32)
    assert backend.total(lambda xp, x, y: x + y, np.ones((N, 1), np.float32), kept[:, :0]) == 0
    backend.elementwise(add, np.ones((N, 1), np.float32), kept[:, :0])
    assert not kept.any() and runs == []


OVERLAPS = {
    "backwards": lambda x: (x[::-1], x),
    "turned": lambda x: (x.reshape(200, 250).T, x.reshape(250, 200)),
    "shifted": lambda x: (x[:-1], x[1:]),
    "in part": lambda x: (x[::250, None], x.reshape(200, 250)),
}


@pytest.mark.parametrize("overlap", OVERLAPS.values(), ids=OVERLAPS.keys())
def test_arrays_that_overlap_what_is_written_to(overlap, runs, by_numpy):
    def halved():
        x = numbers(50_000)
        argument, out = overlap(x)
        backend.elementwise(lambda xp, y: 0.5 * y, argument, out=out)
        return x

    np.testing.assert_array_equal(halved(), by_numpy(halved))
    assert runs == []


def twice(xp, x, y):
    x += y
    y *= 2


def returning(xp, x):
    x += 1
    return x * 2


def swapping(xp, x, y):
    return y, x


def counting(xp, x, rate):
    rate *= 2
    x -= rate


@pytest.mark.parametrize(("formula", "call"), [
    (twice, lambda x, formula: backend.elementwise(formula, x, x)),
    (returning, lambda x, formula: backend.elementwise(formula, x, out=x)),
    (swapping, lambda x, formula: backend.elementwise(formula, x, x + 1, out=(x, np.empty_like(x)))),
    (counting, lambda x, formula: backend.elementwise(formula, x, 0.5))])
def test_assignments_whose_order_matters(formula, call, runs, by_numpy):
    x, y = numbers(N), numbers(N)
    call(x, formula)
    by_numpy(call, y, formula)
    np.testing.assert_array_equal(x, y)
    assert runs == []


def test_shapes_that_do_not_fit_are_refused_as_numpy_does():
    with pytest.raises(ValueError, match="does not match"):
        backend.row_totals(lambda xp, x, y: x + y, numbers(800, 1, 64), numbers(800, 3, 64))
    with pytest.raises(ValueError, match="broadcast"):
        backend.elementwise(lambda xp, x, y: x + y, numbers(N), numbers(3), out=numbers(N))


def test_errors_that_numpy_is_asked_for_are_raised():
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        backend.elementwise(lambda xp, x: 1 / x, np.zeros(N, np.float32), out=numbers(N))


# ---------------------------------------------------------------------------------- the switch, and debuggers

@contextlib.contextmanager
def traced(function):
    plain = sys.gettrace()
    sys.settrace(function)
    try:
        yield
    finally:
        sys.settrace(plain)


def debug(*_):
    """A trace function, as a debugger sets one."""


seen = []


def watched(xp, x):
    seen.append(type(x))
    return x


@needs_compiler
def test_a_debugger_sees_the_formula_compute_and_that_is_said_once(runs, capsys):
    backend.compile(None)
    x = numbers(N)
    with traced(debug):
        for formula, array in (watched, x.astype(np.float64)), (watched, x[:9]), (lambda xp, y: x + y, x):
            backend.elementwise(formula, array, out=np.empty_like(array))
        assert capsys.readouterr().err == ""  # NumPy computes these in any case
        seen.clear()
        for _ in range(3):
            backend.elementwise(watched, x, out=np.empty_like(x))
        assert backend.arithmetic()["C compiler"] == "none"
    said = capsys.readouterr().err
    assert seen == [np.ndarray] * len(seen) and runs == []
    assert said.count("\n") == 1 and "a debugger is looking: NumPy computes" in said and "compile(True)" in said
    backend.elementwise(watched, x, out=np.empty_like(x))
    assert runs == ["elements"] and capsys.readouterr().err == ""


def test_without_a_compiler_a_debugger_changes_nothing_and_nothing_is_said(monkeypatch, capsys):
    monkeypatch.setenv("MINIVAE_CC", "none")
    for asked in (None, True, False):
        start_anew()
        backend.compile(asked)
        with traced(debug):
            add_one(numbers(N))
    assert capsys.readouterr().err == ""


class Counter:
    """A trace function such as those of coverage.py, objects of classes in C."""

    __module__ = "coverage.tracer"

    def __call__(self, *_):
        pass


@needs_compiler
def test_a_tool_that_counts_lines_is_no_debugger(runs, capsys):
    backend.compile(None)
    exec("def count(*_): pass", started := {"__name__": "__main__", "__spec__": trace.__spec__})  # python -m trace
    for tracer in (Counter(), trace.Trace(count=1, trace=0).globaltrace, started["count"]):
        with traced(tracer):
            add_one(numbers(N))
    assert runs == ["elements"] * 3 and capsys.readouterr().err == ""


def trained(steps=20):
    """The weights of the articles' Bernoulli model with five draws, whose arrays are large enough for loops."""
    backend.manual_seed(0)
    training = Training(models.aevb(samples=5, image=(1, 24, 24)), Batches(rectangles(500), 128))
    for _ in range(steps):
        training.step()
    return training.parameters.tobytes()


@needs_compiler
def test_compile_keeps_the_loops_and_so_every_bit_under_a_debugger(runs, capsys):
    plain = trained()
    loops_run = len(runs)
    with traced(debug):
        assert trained() == plain
    assert loops_run > 20 and len(runs) == 2 * loops_run and capsys.readouterr().err == ""


@needs_compiler
def test_a_trace_uses_what_training_uses(runs):
    model, images = models.aevb(samples=5, image=(1, 24, 24)), rectangles(128).astype(np.float32)
    criterion = model.criterion()
    with backend.seeded(0):  # as `trace` does
        criterion.forward(model.forward(images), images)
    model.zero_grad_parameters()
    model.backward(images, criterion.backward(model.output, images))
    plain = list(runs)
    runs.clear()
    steps = {(step.path, step.verb): step for step in mv.trace(model, images)}
    np.testing.assert_array_equal(steps["encoder.1", "acc_grad_parameters"]["grad_weight"],
                                  model.encoder[1].grad_weight)
    assert runs == plain != []


INNER = r"compiled(\.| import .*\b)(source|compiler|libraries|loops|trial)\b"


def test_nobody_but_these_tests_goes_past_the_door():
    folder = Path(compiled.__file__).parent
    files = [file for file in folder.parent.parent.rglob("*.py") if folder not in file.parents]
    assert len(files) > 100 and [file.name for file in files if re.search(INNER, file.read_text("utf-8"))] == []
    assert re.search(INNER, Path(__file__).read_text("utf-8"))


def test_the_switch(runs):
    x = numbers(N)
    backend.compile(False)
    assert backend.arithmetic()["C compiler"] == "none"
    np.testing.assert_array_equal(add_one(x), x + 1)
    assert runs == []
    backend.compile(True)
    add_one(x)
    assert len(runs) == compiled.work()
    for slip in ("none", 1, np.True_):
        with pytest.raises(OptionError, match="choose True, False"):
            backend.compile(slip)


# ------------------------------------------------------------------------------------------- the compiler

def add_one(x):
    return backend.elementwise(lambda xp, x: x + 1, x, out=np.empty_like(x))


def compiler_script(monkeypatch, folder, script):
    """Make a shell script the compiler, and `folder`/cache the cache folder."""
    file = folder / "compiler"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setenv("MINIVAE_CC", f"{file} -pipe")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    start_anew()
    return file


FAILING = {
    "in silence": ("exit 1", "exit status 1"),
    "with a reason": ("echo 'disk full' >&2; exit 1", "disk full"),
    "without a library": ("true", "No such file"),
    "in another encoding": (r"printf '\351' >&2; exit 1", "�"),
    "with binary and escape sequences": (
        r"printf '\0\001a\033[31mb\033]0;title\007c\033[2J\302\233d\r\be\n'; exit 1", "a b c d e)"),
    "by a signal": ("kill -SEGV $$", f"signal {signal.SIGSEGV:d} ended it"),
    "by hanging": ("sleep 61.5", "stopped after 0.5 seconds"),
    "by hanging with a child that ignores signals": ("trap '' TERM HUP INT; sleep 61.5 & wait", "stopped after"),
    "by flooding": ("exec yes", "stopped after 1000000 bytes"),
    "and leaves a child behind": ("sleep 61.5 & exit 1", "exit status 1"),
    "with no library inside": ('while [ "$1" != -o ]; do shift; done; echo nothing > "$2"', "kernel"),
}


@pytest.mark.parametrize(("script", "reason"), FAILING.values(), ids=FAILING.keys())
def test_a_compiler_that_fails_is_named_once(script, reason, monkeypatch, tmp_path, capsys):
    """It is not tried again, and nothing that it started is left."""
    mine = f"61.{os.getpid()}"  # seconds to sleep, in no other run of the tests
    script = script.replace("61.5", mine)
    broken = compiler_script(monkeypatch, tmp_path, f"echo x >> {tmp_path}/calls; {script}")
    monkeypatch.setattr(c_compiler, "PATIENCE", 0.5)
    x = numbers(N)
    for formula in (lambda xp, x: x + 1, lambda xp, x: 1 + x):
        for _ in range(2):
            np.testing.assert_array_equal(backend.elementwise(formula, x, out=np.empty_like(x)), x + 1)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{broken} -pipe cannot be used (" in said and "MINIVAE_CC" in said
    assert reason in said and said.strip().isprintable()
    assert len((tmp_path / "calls").read_text().split()) <= 2  # with -march=native, and without
    assert not list((tmp_path / "cache" / "minivae" / "kernels").glob("tmp*"))
    end = time.monotonic() + 20  # a killed process goes once it is its turn
    while left := [each for each in Path("/proc").glob("[0-9]*/cmdline") if mine.encode() in read(each)]:
        assert time.monotonic() < end, left
        time.sleep(0.01)
    assert "cannot be used, and NumPy does" in compiled.sentence() and libraries.trouble() in compiled.sentence()


def read(path):
    try:
        return path.read_bytes()
    except OSError:  # a process that has ended
        return b""


def test_no_compiler(monkeypatch, capsys, runs):
    x = numbers(N)
    for name, value in (("MINIVAE_CC", "none"), ("PATH", "")):
        with monkeypatch.context() as patch:
            for each in ("MINIVAE_CC", "CC"):
                patch.delenv(each, raising=False)
            patch.setenv(name, value)
            start_anew()
            assert c_compiler.command() == []
            np.testing.assert_array_equal(add_one(x), x + 1)
    assert capsys.readouterr().err == "" and runs == []


@pytest.mark.parametrize("name", ["nothing-of-this-name", "gcc '"])
def test_a_compiler_that_is_not_there(name, monkeypatch):
    monkeypatch.setenv("MINIVAE_CC", name)
    with pytest.raises(OptionError, match=f"MINIVAE_CC={name}: there is no such command"):
        add_one(numbers(N))


@needs_compiler
@pytest.mark.parametrize("name", ["nothing-of-this-name", "gcc '", " "])
def test_a_cc_that_is_not_there_leaves_the_others(name, monkeypatch, runs):
    monkeypatch.delenv("MINIVAE_CC", raising=False)
    monkeypatch.setenv("CC", name)
    add_one(numbers(N))
    assert runs == ["elements"]


@needs_compiler
@pytest.mark.parametrize("length", [0, 4096, 8200])
def test_a_damaged_library_is_compiled_again(length, monkeypatch, tmp_path, runs):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    add_one(numbers(N))
    made, = (tmp_path / "minivae" / "kernels").iterdir()
    content = made.read_bytes()
    made.unlink()  # so that the copy in memory stays whole
    made.write_bytes(content[:length])
    start_anew()
    add_one(numbers(N))
    assert runs == ["elements"] * 2 and made.read_bytes() == content


# ---------------------------------------------------------------------------- where libraries are kept

def keep_in(monkeypatch, folder):
    """Libraries are kept in a new folder; returns a function that adds one to numbers and says what is kept."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))

    def kept():
        start_anew()
        np.testing.assert_array_equal(add_one(np.zeros(N, np.float32)), np.ones(N, np.float32))
        return sorted((folder / "minivae" / "kernels").glob("*"))
    return kept


@needs_compiler
@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o777])
def test_libraries_are_this_users_alone_whatever_the_umask(umask, monkeypatch, tmp_path, runs, capsys):
    before = os.umask(umask)
    try:
        path, = keep_in(monkeypatch, tmp_path / "new" / "cache")()
        again, = keep_in(monkeypatch, tmp_path / "new" / "cache")()
    finally:
        os.umask(before)
    made = [path, *path.parents[:4]]
    assert made[-1] == tmp_path / "new" and again == path and runs == ["elements"] * 2
    assert [each.stat().st_mode & 0o777 for each in made] == [0o700] * 5
    assert capsys.readouterr().err == ""


@needs_compiler
@pytest.mark.parametrize(("place", "mode", "safe"), [
    ("cache/minivae/kernels", 0o770, False), ("cache/minivae/kernels", 0o702, False), ("cache", 0o777, False),
    ("cache/minivae/kernels", 0o1777, False), ("cache", 0o1777, True), ("cache/minivae", 0o755, True),
    ("cache/minivae/kernels", 0o755, True)])
def test_a_folder_that_others_may_write_to_is_not_used(place, mode, safe, monkeypatch, tmp_path, runs, capsys):
    """Nor one below it, unless it is sticky as /tmp; loops are compiled in a private folder, which is said once."""
    kept = keep_in(monkeypatch, tmp_path / "cache")
    path, = kept()
    (tmp_path / place).chmod(mode)
    monkeypatch.setattr(libraries, "_found", pytest.fail if not safe else libraries._found)
    assert kept() == [path] and runs == ["elements"] * 2
    said = capsys.readouterr().err
    if safe:
        return
    assert said.count("\n") == 1 and f"others may write to {tmp_path / place}" in said
    assert f"cannot be kept: others may write to {tmp_path / place}" in compiled.sentence()


@needs_compiler
def test_a_file_that_others_may_write_to_is_compiled_anew(monkeypatch, tmp_path, runs):
    kept = keep_in(monkeypatch, tmp_path)
    path, = kept()
    for spoil in (lambda: path.chmod(0o666), lambda: (path.rename(tmp_path / "away"), path.symlink_to("../../away"))):
        spoil()
        assert kept() == [path] and not path.is_symlink() and path.stat().st_mode & 0o777 == 0o700
    assert runs == ["elements"] * 3


def test_what_is_another_users_is_not_trusted(monkeypatch, tmp_path):
    file = tmp_path / "file"
    file.touch(0o700)
    assert not libraries.distrust(file) and not libraries.distrust(tmp_path)
    user = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert libraries.distrust(file) == f"{file} belongs to another user"
    found = os.lstat(file)
    monkeypatch.setattr(os, "lstat", lambda path: found if path == file else os.stat(path))
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "stat", lambda path: os.stat_result((0o40755, 0, 0, 0, user + 1, 0, 0, 0, 0, 0)))
    assert libraries.distrust(file) == f"{tmp_path} belongs to another user"


def no_home(monkeypatch, home):
    def nowhere():
        raise RuntimeError("Could not determine home directory.")
    monkeypatch.setattr(Path, "home", nowhere)


def read_only(monkeypatch, home):
    (home / ".cache").mkdir(mode=0o700)
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith(str(home)))


def a_file(monkeypatch, home):
    (home / ".cache").write_text("")


@needs_compiler
@pytest.mark.parametrize(("trouble", "reason"), [
    (no_home, "Could not determine home directory"), (read_only, ".cache/minivae/kernels cannot be written to"),
    (a_file, "Not a directory"), (lambda monkeypatch, home: monkeypatch.setenv("HOME", "."), "")],
    ids=["no home", "read-only", "a file", "relative"])
def test_without_a_cache_folder_each_start_compiles(trouble, reason, monkeypatch, tmp_path, capsys, runs):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    trouble(monkeypatch, tmp_path)
    start_anew()
    x = numbers(N)
    np.testing.assert_array_equal(add_one(x), x + 1)
    if reason:
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "compiled loops are not kept (" in said and reason in said
        assert "compiles loops for large arrays, at each start" in compiled.sentence() and reason in compiled.sentence()
    assert runs == ["elements"]


@needs_compiler
def test_without_any_private_folder_numpy_computes(monkeypatch, tmp_path, capsys, runs):
    open_to_all = tmp_path / "temporary"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(open_to_all))
    monkeypatch.setenv("XDG_CACHE_HOME", str(open_to_all))
    start_anew()
    add_one(numbers(N))
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"others may write to {open_to_all}" in said and runs == []
    assert f"cannot be used, and NumPy does the element-wise work of large arrays, more slowly: others may write to " \
           f"{open_to_all}" in compiled.sentence()


CRASH = "#include <stdlib.h>\ndouble kernel(void) { abort(); }"
OTHER = "double another(void) { return 0; }"


def exchange(path, source):
    """A library of another source in place of a kept one, under the name that it should have."""
    made = path.with_name("made.so")
    subprocess.run([*c_compiler.command(), *c_compiler.FLAGS, "-x", "c", "-", "-o", str(made)], input=source.encode(),
                   check=True)
    made.chmod(0o700)
    made.rename(path.with_name(f"{path.name.split('-')[0]}-{libraries._digest(made.read_bytes())}.so"))
    path.unlink()


@needs_compiler
def test_a_library_without_the_function_is_compiled_anew(monkeypatch, tmp_path, runs, capsys):
    kept = keep_in(monkeypatch, tmp_path)
    path, = kept()
    exchange(path, OTHER)
    assert path in kept() and runs == ["elements"] * 2 and capsys.readouterr().err == ""


CODE = f"import numpy as np; from minivae import backend; x = np.zeros({N}, np.float32); " \
       "print(backend.elementwise(lambda xp, x: xp.exp(x), x, out=x).sum())"


@needs_compiler
def test_a_kept_library_that_crashes_does_so_once(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kernels, call = tmp_path / "minivae" / "kernels", [sys.executable, "-c", CODE]
    subprocess.run(call, check=True, capture_output=True)
    path, = kernels.iterdir()
    exchange(path, CRASH)
    assert subprocess.run(call, capture_output=True).returncode == -signal.SIGABRT
    for _ in range(2):
        done = subprocess.run(call, check=True, capture_output=True, text=True)
        assert done.stdout == f"{N}.0\n" and done.stderr == ""
        assert list(kernels.iterdir()) == [path]  # the one that crashes is gone, in whatever order they were found


@needs_compiler
@pytest.mark.parametrize("keeps", [True, False])
def test_a_compiler_whose_libraries_crash_is_given_up(keeps, monkeypatch, tmp_path):
    """At once where none are kept, else by the next process."""
    (tmp_path / "crash.c").write_text(CRASH)
    real = c_compiler.command()[0]
    compiler_script(monkeypatch, tmp_path, f'while [ "$1" != -o ]; do shift; done\n'
                                           f'exec {real} -shared -fPIC {tmp_path}/crash.c -o "$2"')
    (tmp_path / "cache").mkdir(0o700)
    if not keeps:
        (tmp_path / "cache").chmod(0o777)
    ends = [subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True) for _ in range(3)]
    assert [each.returncode for each in ends] == [-signal.SIGABRT if keeps else 0, 0, 0]
    for each in ends[1:]:
        assert each.stdout == f"{N}.0\n" and each.stderr.count("\n") == 1
        assert "cannot be used (what it compiles crashes)" in each.stderr


@needs_compiler
def test_a_library_is_compiled_once_for_all_processes(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("MINIVAE_CC", raising=False)
    code = f"import numpy as np; from minivae import backend; x = np.ones({N}, np.float32); " \
           "backend.elementwise(lambda xp, x: xp.exp(x), x, out=x); print(x[0])"
    together = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert {process.communicate()[0].strip() for process in together} == {"2.7182817"}
    made, = (tmp_path / "minivae" / "kernels").iterdir()
    before = made.stat().st_mtime_ns, time.time_ns()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert made.stat().st_mtime_ns == before[0] < before[1]


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_compilers_agree(name, monkeypatch, runs):
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    monkeypatch.setenv("MINIVAE_CC", name)
    x, y = numbers(N), numbers(N, seed=1)
    out = backend.elementwise(formula, x, y, 0.5, out=np.empty_like(x))
    np.testing.assert_allclose(out, formula(np, x, y, 0.5), rtol=3e-6, atol=1e-6)
    assert runs == ["elements"]


@pytest.mark.skipif(not shutil.which("gcc"), reason="gcc, which reports what it vectorizes, is not installed")
@pytest.mark.slow
def test_every_loop_is_vectorized(tmp_path):
    """A formula of which the compiler makes no vector instructions is slower than NumPy, and nothing else shows it."""
    for (each, outs), operands in collect().items():
        kinds = [1 if isinstance(a, np.ndarray) else "number" for a in operands]
        for purpose in ["elements"] if outs >= 0 else ["total", "rows"]:
            rows = purpose == "rows"
            text, _ = source(each, purpose, max(outs, int(rows)), [0] * rows + kinds)
            (tmp_path / "kernel.c").write_text(text)
            flags = [*c_compiler.FLAGS, *c_compiler.NATIVE, "-fopt-info-vec-optimized"]
            done = subprocess.run(["gcc", *flags, "kernel.c", "-o", os.devnull], cwd=tmp_path, stderr=subprocess.PIPE,
                                  text=True)
            lines = {line.split(":")[1] for line in done.stderr.splitlines() if "loop vectorized" in line}
            assert len(lines) >= (1 if outs >= 0 else 2), f"{each.__module__}.{each.__name__}"
