"""Ranks that share each batch: the training of one process, whatever their number; and real ones, under mpiexec.

The first half takes threads for ranks, and needs no MPI.
"""

import importlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
import strict_cupy
from few import few
from small import built

from minivae import backend, checkpoint, distributed, models
from minivae.cli import pictures, training_run
from minivae.data import Batches, Redrawn, data_set, rectangles
from minivae.distributed import Ranks
from minivae.errors import OptionError
from minivae.training import Training

STEPS = 50
RATE = 2e-3
TOO_LONG = 120  # seconds: whoever waits so long waits for ever
CASES = {
    "vae": ("vae", {}), "denoising, L = 3": ("denoising", {"samples": 3}),
    "bernoulli, L = 2": ("bernoulli", {"samples": 2}),
    "categorical, L = 2": ("categorical", {"samples": 2, "categories": 3}), "aevb redrawn": ("aevb", {"samples": 2}),
    "aevb gaussian": ("aevb", {"likelihood": "gaussian"}),
    "aevb identity": ("aevb", {"likelihood": "identity_gaussian", "samples": 5, "beta": 0.5}),
    "conv, L = 2": ("conv", {"planes": [3], "samples": 2}),
}


class Threads:
    """A communicator whose ranks are threads."""

    def __init__(self, size):
        self.size, self.here = size, threading.local()
        self.barrier, self.slots = threading.Barrier(size, timeout=TOO_LONG), [None] * size

    def Get_rank(self):
        return self.here.rank

    def Get_size(self):
        return self.size

    def Barrier(self):
        self.barrier.wait()

    def Allreduce(self, in_place, array):
        self.slots[self.here.rank] = array.copy()
        self.barrier.wait()
        total = sum(self.slots)
        self.barrier.wait()
        array[...] = total

    def run(self, work):
        """[work(Ranks) of each rank]"""
        found = [None] * self.size

        def start(rank):
            self.here.rank = rank
            try:
                found[rank] = work(Ranks(self))
            except BaseException as error:
                found[rank] = error
                self.barrier.abort()

        threads = [threading.Thread(target=start, args=(rank,), daemon=True) for rank in range(self.size)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TOO_LONG)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return found


def trained(case, batch_size, ranks=None, steps=STEPS):
    """A training of 35 images, whose last batch is short."""
    name, options = CASES[case]
    backend.manual_seed(1)
    images = rectangles(35, 6, 6, sides=(3, 3))
    if "redrawn" in case:
        images = Redrawn((255 * np.random.default_rng(0).random(images.shape)).astype(np.uint8))
    model = built(name, options, image=(1, 6, 6), code=4, hidden=8)
    run = Training(model, Batches(images, batch_size, by_epoch=True), learning_rate=RATE, ranks=ranks)
    run.run(steps, progress=False)
    return run


def same_but_for_rounding(a, b):
    """Adam divides a gradient by its size, so where that is hardly more than rounding, as of a unit that is asleep, a
    parameter may go another way, by less than a step: such are few."""
    off = np.abs(a - b)
    return (off <= 1e-6 * np.abs(b).max()).mean() > 0.9 and off.max() < RATE


@pytest.mark.parametrize("case", few(4, CASES))
def test_any_number_of_ranks_trains_as_one_process(case):
    """Batches of 17, 17 and 1: shares are uneven, and of the last one two of three ranks have nothing."""
    alone = trained(case, 17)
    assert (alone.batch.shape[0]) == 17 and alone.batches.position == 34
    state = backend.get_random_state()
    for size in (2, 3):
        found = Threads(size).run(lambda ranks: (trained(case, 17, ranks), backend.get_random_state()))
        assert [after for _, after in found] == [state] * size
        runs = [run for run, _ in found]
        for run in runs:
            assert same_but_for_rounding(run.parameters, alone.parameters)
            assert np.array_equal(run.parameters, runs[0].parameters)
            np.testing.assert_allclose(run.protocol.array(), alone.protocol.array(), rtol=1e-3, atol=1e-4)


def test_shares_cover_a_batch_and_differ_by_one_row_at_most():
    batch = np.arange(40).reshape(20, 2)
    for size in (1, 2, 3, 7, 20, 30):
        for n in (1, 5, 19, 20):
            seen = []
            for rank in range(size):
                ranks = Ranks()
                ranks.rank, ranks.size = rank, size
                with ranks.share(batch[:n]) as rows:
                    assert len(rows) >= 1
                    if ranks._counts:
                        seen.append(rows)
            assert np.array_equal(np.concatenate(seen), batch[:n])
            assert max(map(len, seen)) - min(map(len, seen)) <= 1


@pytest.mark.parametrize("fill", [backend.uniform, backend.standard_normal])
@pytest.mark.parametrize("n", [6, 200])  # laid out column by column, and row by row
def test_the_noise_of_some_rows_is_that_of_the_whole_batch(fill, n):
    def draw(rows):
        return np.array(fill(backend.resize(None, (rows, 4), np.dtype("float32"), "numpy")))

    backend.manual_seed(3)
    whole, after = draw(2 * n), backend.get_random_state()
    backend.manual_seed(3)
    with backend.rows_of_batch(2, 5, n):
        part = draw(2 * 3)  # L = 2
        with backend.seeded(0):
            assert len(draw(4)) == 4  # another stream, for another purpose
    assert np.array_equal(part, whole[4:10]) and backend.get_random_state() == after


def test_a_stop_on_one_rank_stops_all_at_the_same_step():
    def work(ranks):
        run = trained("vae", 17, ranks, steps=1)
        run.ranks.any = lambda flag: Ranks.any(ranks, flag or (run.steps == 7 and ranks.rank == 1))
        run.run(50, progress=False)
        return run

    assert [(run.steps, run.stopped) for run in Threads(3).run(work)] == [(7, True)] * 3


def test_the_gradient_of_a_device_passes_through_page_locked_memory(monkeypatch):
    library = importlib.import_module("minivae.backend.selection")
    monkeypatch.setitem(library._libraries, "cupy", strict_cupy)
    backend.use("cupy")
    try:
        alone = trained("vae", 17, steps=10)
        runs = Threads(2).run(lambda ranks: trained("vae", 17, ranks, steps=10))
        for run in runs:
            assert isinstance(run.parameters, strict_cupy.ndarray)
            assert same_but_for_rounding(run.parameters.get(), alone.parameters.get())
        host = runs[0].ranks._host
        assert type(host) is np.ndarray and host.shape == alone.grads.shape
        for local in range(3):
            backend.use_device("cupy", local)
        assert strict_cupy.devices[-3:] == [0, 1, 0]
    finally:
        backend.use("numpy")


def test_ranks_on_devices_draw_the_same_after_a_checkpoint(monkeypatch, tmp_path):
    """To save the random state starts a new stream on the device, which only the first rank would have done."""
    library = importlib.import_module("minivae.backend.selection")
    monkeypatch.setitem(library._libraries, "cupy", strict_cupy)
    monkeypatch.setattr(pictures, "draw", lambda *arguments: [])
    monkeypatch.setattr(data_set, "build", lambda **options: data_set.DataSet(
        Redrawn(np.full((35, 1, 6, 6), 99, np.uint8)), rectangles(5, 6, 6, sides=(3, 3)), None, 1, None, True,
        False, "bits"))
    schedule = {"epochs": 3, "batch_size": 17, "learning_rate": 2e-3, "learning_rate_decay": 0.0}

    def start(name, ranks):
        config = {"model": "vae", "options": {"hidden": 8, "code": 4}, "seed": 1, "backend": "cupy",
                  "data": {"name": "mnist"}, "training": schedule}
        training_run.start(config, models.find(config["model"]), tmp_path / name, False, ranks)
        return backend.get_random_state()

    try:
        alone = start("one", Ranks())
        assert Threads(2).run(lambda ranks: start("two", ranks)) == [alone] * 2
    finally:
        backend.use("numpy")
    one, two = (checkpoint.read(tmp_path / name)[1]["protocol"] for name in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=1e-4)


# -- under mpiexec --------------------------------------------------------------------------------

OPTIONS = ["--images", "70", "--hidden", "8", "--batch-size", "16", "--seed", "5"]
CODES = ["categorical", "--categories", "3", "--samples", "2", *OPTIONS]


@pytest.fixture
def mpi(tmp_path, monkeypatch):
    """Starts ranks of `minivae`, or of Python code, in an empty folder: mpi(2, "train", "vae").  `start` waits not."""
    if importlib.util.find_spec("mpi4py") is None:  # imported here, it would make this process a rank
        pytest.skip("mpi4py is not installed: pip install -e '.[mpi]' runs this on real ranks")
    mpiexec = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if mpiexec is None:
        pytest.skip("mpiexec is not installed: pip install -e '.[mpi]' brings one")
    monkeypatch.chdir(tmp_path)

    def start(size, *arguments):
        module = [] if arguments[0] == "-c" else ["-m", "minivae"]
        return subprocess.Popen([mpiexec, "-n", str(size), sys.executable, "-m", "mpi4py", *module, *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(size, *arguments, fails=False):
        process = start(size, *arguments)
        out, error = process.communicate(timeout=TOO_LONG)
        assert (process.returncode != 0) == fails, out + error
        return error if fails else out

    run.start = start
    return run


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def test_two_ranks_train_as_one_stop_together_and_continue_exactly(mpi):
    """The SIGTERM goes to the second rank, which writes nothing."""
    out = mpi(2, "train", *CODES, "--epochs", "3", "--out", "two")
    assert out.count("training categorical") == out.count("epoch 3:") == out.count("finished 12 steps") == 1
    mpi(1, "train", *CODES, "--epochs", "3", "--out", "one")
    one, two = (checkpoint.read(name)[1] for name in ("one", "two"))
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-4, atol=1e-6)
    assert checkpoint.read("one")[0]["random"] == checkpoint.read("two")[0]["random"]
    out = mpi(2, "-c", """if True:
        import os, sys
        from minivae.cli import main
        from minivae.training import Training
        from mpi4py import MPI
        step = Training.step
        def watched(training):
            if training.steps == 5 and MPI.COMM_WORLD.rank == 1:
                os.kill(os.getpid(), 15)
            return step(training)
        Training.step = watched
        sys.exit(main(sys.argv[1:]))
        """, "train", *CODES, "--epochs", "3", "--out", "parts")
    assert "stopped early after 6 steps" in out
    mpi(2, "train", "--resume", "parts")
    assert contents("parts") == contents("two") and set(contents("two")) == set(contents("one"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_control_c_on_mpiexec_keeps_what_was_learned(mpi):
    process = mpi.start(2, "train", *CODES, "--epochs", "100000", "--out", "run")
    deadline = time.monotonic() + TOO_LONG
    while not Path("run", checkpoint.NAME).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=TOO_LONG)
    assert "stopped early after" in out
    steps = checkpoint.read("run")[0]["steps"]
    assert f"after {steps} steps" in out and Path("run/protocol.csv").exists()


def test_a_rank_that_fails_ends_the_job_with_its_error(mpi):
    """Plain python would leave the other one waiting in its Allreduce for ever."""
    error = mpi(2, "-c", """if True:
        import sys
        from minivae import nn
        from minivae.cli import main
        from mpi4py import MPI
        plain = nn.Linear.update_output
        def failing(layer, input):
            if MPI.COMM_WORLD.rank == 1 and len(input) == 8:
                raise MemoryError("no memory is left on this machine")
            return plain(layer, input)
        nn.Linear.update_output = failing
        sys.exit(main(sys.argv[1:]))
        """, "train", *CODES, "--out", "run", fails=True)
    assert "not enough memory: no memory is left on this machine" in error


def test_errors_of_the_user_end_it_too(mpi):
    error = mpi(2, "train", *CODES, "--batch-size", "71", "--out", "run", fails=True)
    assert "of 2: batch size 71; choose from 1 to 70" in error and "Traceback" not in error
    os.mkdir("thesis")
    Path("thesis/chapter1.tex").write_text("precious")
    assert "rank 0 of 2: --out thesis exists and is not a run" in mpi(2, "train", *CODES, "--out", "thesis", fails=True)
    assert os.listdir(".") == ["thesis"] and os.listdir("thesis") == ["chapter1.tex"]


def test_without_mpi4py_several_processes_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "mpi4py")
    assert distributed.world().size == 1
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(OptionError, match="python -m mpi4py -m minivae train"):
        distributed.world()


def test_an_mpiexec_of_another_mpi_is_refused(monkeypatch):
    """Each process would be a world of its own, and train into the same folder as the others."""
    alone = types.SimpleNamespace(Get_size=lambda: 1, Get_rank=lambda: 0, Split_type=lambda kind: alone)
    library = types.SimpleNamespace(COMM_WORLD=alone, COMM_TYPE_SHARED=0, IN_PLACE=None)
    monkeypatch.setitem(sys.modules, "mpi4py", types.SimpleNamespace(MPI=library))
    for each in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(each, raising=False)
    assert distributed.world().size == 1
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(OptionError, match="mpiexec has started 2 processes, of which mpi4py sees 1"):
        distributed.world()
