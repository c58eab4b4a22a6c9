"""The number of threads, and that they give way to other programs."""

import json
import os
import subprocess
import sys
import threading
import types
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from minivae import backend, checkpoint
from minivae.backend import blas, products, threads, workers
from minivae.cli import main, pictures
from minivae.errors import OptionError


@pytest.mark.parametrize(("asked", "cores", "quota", "given", "wanted"), [
    (None, 2, None, 2, 2), (None, 1, None, 1, 1), (None, 4, None, None, 4), (None, 64, None, 64, threads.MOST),
    (None, 8, 2.0, 8, 2), (None, 8, 1.5, 8, 2), (None, 8, 0.1, 8, 1), (None, 2, 16.0, 2, 2),  # a container's limit
    (None, 8, None, 1, 1), (None, 8, None, 3, 3), (None, 2, None, 64, 2),  # OPENBLAS_NUM_THREADS
    ("3", 2, 1.0, 1, 3), ("1", 8, None, 8, 1), ("40", 2, None, 2, 40), ("", 2, None, 2, 2)])
def test_choice(asked, cores, quota, given, wanted):
    number, reason = threads.choose(asked, cores, quota, given)
    assert number == wanted and reason


@pytest.mark.parametrize("asked", ["0", "-1", "two", "1.5", " ", "1025", "9" * 5000])
def test_a_number_of_threads_that_is_none(asked):
    with pytest.raises(OptionError, match="whole number from 1"):
        threads.choose(asked, 2, None, 2)


@pytest.mark.parametrize(("groups", "files", "wanted"), [
    ("0::/\n", {"cpu.max": "150000 100000"}, 1.5), ("0::/\n", {"cpu.max": "max 100000"}, None), ("0::/\n", {}, None),
    ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "200000 100000"}, 2.0),  # the limit of one further out
    ("0::/a/b\n", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "200000 100000"}, 0.5),
    ("4:memory:/x\n3:cpu,cpuacct:/x\n", {"cpu,cpuacct/x/cpu.cfs_quota_us": "300000\n",
                                         "cpu,cpuacct/x/cpu.cfs_period_us": "100000\n"}, 3.0),
    ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
    ("", {}, None), (None, {}, None), ("nonsense", {}, None), ("0::/\n", {"cpu.max": "1 0"}, None),
    ("0::/\n", {"cpu.max": "?"}, None)])
def test_quota_of_control_groups(tmp_path, groups, files, wanted):
    proc = tmp_path / "cgroup"
    if groups is not None:
        proc.write_text(groups)
    for name, content in files.items():
        file = tmp_path / "fs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    assert threads.quota(proc, tmp_path / "fs") == wanted


def asked_of(code, **environment):
    """What a new process prints that runs this code, its environment without any word on threads but these."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_THREADS")}
    done = subprocess.run([sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("first", ["numpy", "minivae"])
@pytest.mark.parametrize(("environment", "wanted"), [
    ({}, None), ({"OPENBLAS_NUM_THREADS": "1"}, 1), ({"MINIVAE_THREADS": "3"}, 3),
    ({"OPENBLAS_NUM_THREADS": "1", "MINIVAE_THREADS": "3"}, 3)])
def test_whichever_was_imported_first(first, environment, wanted):
    """BLAS computes on one thread and the workers are as many, and the environment is left alone."""
    if blas.one_thread() is None:
        pytest.skip("the threads of this NumPy's BLAS cannot be set")
    code = f"import os; before = dict(os.environ); import {first}; import minivae, numpy as np; " \
           "from minivae.backend import blas, threads, workers; a = np.ones((200, 200)); " \
           "minivae.backend.matmul(a, a, a.copy()); same = before == dict(os.environ); " \
           "print(workers.count(), threads.chosen()[0], same); blas.one_thread.cache_clear(); print(blas.one_thread())"
    number, chosen, left_alone, in_blas = asked_of(code, **environment)
    assert (number, left_alone, in_blas) == (chosen, "True", "1")
    assert wanted is None or int(number) == wanted


def test_functions_of_a_blas(monkeypatch):
    """Those of the first name that a library has; none: BLAS is left as it is, and no product is cut."""
    def library(*names):
        return types.SimpleNamespace(**{name: (lambda name=name: 7) if "et_num" in name and "_get_" in name else
                                        lambda number, name=name: called.append((name, number)) for name in names})
    called = []
    for found, wanted in (([library("sgemm_")], None),
                          ([library("other"), library("openblas_get_num_threads", "openblas_set_num_threads")], 7)):
        monkeypatch.setattr(blas, "_libraries", lambda found=found: found)
        assert blas.one_thread.__wrapped__() == wanted  # past its memory: it remembers what BLAS had at first
    assert called == [("openblas_set_num_threads", 1)]


@pytest.fixture
def small_parts(monkeypatch):
    if blas.one_thread() is None:
        pytest.skip("the threads of this NumPy's BLAS cannot be set")
    monkeypatch.setattr(products, "PART", 1e4)
    monkeypatch.setattr(products, "MOST", 8)  # as on a machine of eight cores
    products._cuts.cache_clear()
    kept = workers.count()
    yield
    workers.set_count(kept)
    products._cuts.cache_clear()


@pytest.mark.parametrize(("a", "b"), [((300, 70), (70, 200)), ((200, 70), (70, 300)), ((193, 70), (70, 193)),
                                      ((5, 40), (40, 2000)), ((1, 500), (500, 1000)), ((1000, 500), (500, 1)),
                                      ((9, 30, 20), (9, 20, 40)), ((30, 20), (9, 20, 40))])
@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_the_same_for_any_number_of_threads(small_parts, a, b, order, dtype):
    random = np.random.default_rng(0)
    a, b = (np.asarray(random.standard_normal(shape), dtype, order=order) for shape in (a, b))
    exact = np.matmul(a.astype(np.longdouble), b.astype(np.longdouble))
    # |computed − exact| ≤ n ε |a||b| for each element, n products long (Higham 2002, equation 3.5)
    bound = a.shape[-1] * np.finfo(dtype).eps * np.matmul(np.abs(a), np.abs(b))
    assert len(products._cuts(exact.shape, a.shape[-1])) > 1
    found, rows = set(), random.standard_normal((exact.shape[-1], exact.shape[-1])).astype(dtype)
    out, total, beside = (np.empty(exact.shape, dtype, order) for _ in range(3))  # the same memory for each number
    for number in (1, 2, 4):
        workers.set_count(number)
        out[...], total[...] = np.nan, 1
        backend.matmul(a, b, out)
        assert (np.abs(out - exact) <= bound).all()
        if out.ndim == 2:
            backend.add_product(total, a, b)
            assert (np.abs(total - exact - 1) <= bound + np.finfo(dtype).eps * (1 + np.abs(exact))).all()
            for row in (rows[0], rows[:, 0]):  # numbers that lie side by side, and that do not
                backend.matmul(a, b, beside)
                alone = beside.copy()
                backend.affine(a, b, row, beside)
                assert (beside == alone + row).all(), "the row is added to each part once it is there: the same bits"
        found.add((out.tobytes(), total.tobytes()))
    assert len(found) == 1


@pytest.mark.parametrize("inner", [0, 1])
def test_products_of_nothing(small_parts, inner):
    out = np.ones((400, 0)), np.ones((400, 300))
    for each in out:
        backend.matmul(np.ones((400, inner)), np.ones((inner, each.shape[1])), each)
    assert (out[1] == inner).all()


def test_parts():
    """Small products are one part, which wakes no thread; large ones are cut between cache lines."""
    assert products._cuts((16, 128), 576) == [slice(0, 128)]
    for shape in ((128, 400), (640, 784), (1152, 1152), (1152, 16), (7777, 3)):
        cuts = products._cuts(shape, 1000)
        assert [cut.start for cut in cuts] == [0, *(cut.stop for cut in cuts[:-1])] and cuts[-1].stop == max(shape)
        assert all(cut.start % products.MULTIPLE == 0 for cut in cuts) and len(cuts) in (1, 2, 4, 8)
    assert len(products._cuts((640, 784), 400)) == products.MOST


def test_who_calls_waits_for_no_worker_that_sleeps(monkeypatch):
    """Where other programs have the cores, a worker may not come to run for long: then the caller does every part."""
    monkeypatch.setattr(workers, "_start", lambda wanted: None)
    monkeypatch.setattr(workers, "_wake", SimpleQueue())  # no worker waits at this one
    kept, done = workers.count(), []
    workers.set_count(4)
    try:
        for _ in range(3):
            workers.run(lambda part: done.append((part, threading.current_thread())), 8)
        assert workers._wake.qsize() <= 3, "signals for workers that do not wake pile up"
    finally:
        workers.set_count(kept)
    assert done == [(part, threading.current_thread()) for _ in range(3) for part in range(8)] and not workers._open


def test_two_threads_share_two_parts():
    kept, both, names = workers.count(), threading.Barrier(2), set()
    workers.set_count(2)

    def task(part):
        both.wait(30)
        names.add(threading.current_thread().name)

    try:
        workers.run(task, 2)
    finally:
        workers.set_count(kept)
    assert len(names) == 2


TINY = ["--images", "64", "--hidden", "8", "--epochs", "2"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command line; returns what it says of threads, and the number in the configuration of the run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MINIVAE_THREADS", raising=False)
    monkeypatch.setattr(pictures, "draw", lambda *arguments: [])  # most of the time
    kept = workers.count()

    def call(*arguments):
        assert main(list(arguments)) == 0
        said = [line for line in capsys.readouterr().out.splitlines()
                if line.startswith(("computing on", "the last digits"))]
        number = json.loads(Path("run", "config.json").read_text(encoding="utf-8"))["threads"]
        assert number == workers.count() == checkpoint.read("run")[0]["config"]["threads"]
        return number, said
    yield call
    workers.set_count(kept)


def test_the_number_of_a_run(run, monkeypatch):
    """It is asked for, or MINIVAE_THREADS, or the machine's choice; a run keeps the one that it began with."""
    machine = threads.chosen()[0]
    number, (said,) = run("train", "vae", *TINY, "--out", "run")
    assert number == machine and said.startswith(f"computing on {machine} thread")
    assert run("train", "vae", *TINY, "--out", "run", "--force", "--threads", "3")[0] == 3
    assert run("train", "--threads", "5", "vae", *TINY, "--out", "run", "--force")[0] == 5
    assert run("train", "--resume", "run", "--epochs", "3") == (5, [
        "computing on 5 threads (as the run began; --threads or MINIVAE_THREADS changes it)"])
    monkeypatch.setenv("MINIVAE_THREADS", "4")
    assert run("train", "--resume", "run", "--epochs", "4")[0] == 4
    assert run("train", "--resume", "run", "--epochs", "5", "--threads", "2")[0] == 2
    assert run("train", "vae", *TINY, "--out", "run", "--force")[0] == 4


def test_a_run_of_before_there_was_a_number(run):
    run("train", "vae", *TINY, "--out", "run", "--threads", "3")
    path = Path("run", "config.json")
    config = json.loads(path.read_text(encoding="utf-8"))
    del config["threads"]
    path.write_text(json.dumps(config), encoding="utf-8")
    Path("run", "checkpoint.npz").unlink()
    assert run("train", "--resume", "run")[0] == threads.chosen()[0]


@pytest.mark.parametrize("number", [0, -1, "2", 2.0, True, None, 10**9])
def test_a_number_in_a_configuration_that_is_none(run, capsys, number):
    run("train", "vae", *TINY, "--out", "run")
    path = Path("run", "config.json")
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"threads": number}), encoding="utf-8")
    Path("run", "checkpoint.npz").unlink()
    assert main(["train", "--resume", "run"]) == 1
    assert "no usable threads" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["0", "-3", "many", "1025", "1.0"])
def test_an_option_that_is_no_number_of_threads(capsys, asked):
    with pytest.raises(SystemExit):
        main(["train", "vae", "--threads", asked])
    assert "a whole number from 1 to 1024" in capsys.readouterr().err


def test_resuming_on_another_number_has_the_same_bits(run, monkeypatch):
    found = []
    for first, then in (("1", "1"), ("1", "4"), ("4", "1")):
        run("train", "denoising", "--images", "256", "--batch-size", "128", "--hidden", "600", "--epochs", "1",
            "--out", "run", "--force", "--threads", first)
        run("train", "--resume", "run", "--epochs", "2", "--threads", then)
        header, arrays = checkpoint.read("run")
        found.append((header["random"], {name: array.tobytes() for name, array in arrays.items()}))
    assert found[0] == found[1] == found[2]


def test_a_run_that_goes_on_with_another_library_says_so(run, monkeypatch):
    run("train", "vae", *TINY, "--out", "run")
    assert not any(line.startswith("the last") for line in run("train", "--resume", "run", "--epochs", "3")[1])
    known = backend.arithmetic()
    monkeypatch.setattr(backend, "arithmetic", lambda: known | {"BLAS": "another 1.0"})
    _, said = run("train", "--resume", "run", "--epochs", "4")
    assert said[1:] == ["the last digits may differ from those of an unbroken run: BLAS was "
                        f"{known['BLAS']!r}, and is 'another 1.0'"]
    assert len(run("train", "--resume", "run", "--epochs", "5")[1]) == 1


def test_the_threads_of_a_blas_that_keeps_its_own_are_recorded(monkeypatch):
    monkeypatch.setattr(blas, "_libraries", list)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    blas.identity.cache_clear()
    try:
        assert blas.identity().endswith("OPENBLAS_NUM_THREADS=7")
    finally:
        blas.identity.cache_clear()
