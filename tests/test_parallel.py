"""Threads and processes change no number and never wait for each other for ever."""

import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from few import few
from small import built

from minivae import backend
from minivae.backend import blocks, compiled, products, workers
from minivae.backend.compiled import loops, pool
from minivae.data import Batches, rectangles
from minivae.training import Training

MODELS = [("vae", {}), ("denoising", {}), ("bernoulli", {"samples": 2}), ("aevb", {}),
          ("aevb", {"likelihood": "gaussian"}), ("aevb", {"likelihood": "identity_gaussian"}),
          ("conv", {"planes": (4, 2), "batch_normalization": True}), ("categorical", {"samples": 2})]
TOO_LONG = 120  # seconds: whoever waits so long waits for ever
STEPS = 4
BATCH, HIDDEN = 440, 560  # 440 rows of 560 units, of 576 pixels, and 576·560 weights: all are shared out

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on Windows")
warned = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def trained(name, options, seed=3, steps=STEPS):
    """A digest of all that a training of large layers ends with."""
    backend.manual_seed(seed)
    model = built(name, options, image=(1, 24, 24), hidden=HIDDEN)
    training = Training(model, Batches(rectangles(1000), BATCH))
    training.run(steps, progress=False)
    assert np.isfinite(training.parameters).all()
    kept = [training.parameters, training.state["m"], training.state["v"], training.protocol.array()]
    return hashlib.sha256(b"".join(array.tobytes() for array in kept)).hexdigest()


@pytest.fixture(params=["NumPy", "compiled"])
def shared(monkeypatch, request):
    """Three worker threads, which are started, and a list of how many blocks they shared at each call."""
    if request.param == "compiled" and not compiled.work():
        pytest.skip("there is no C compiler that works (cc, gcc or clang)")
    monkeypatch.setattr(blocks, "PARALLEL", 240_000)  # so that layers share as well as Adam
    monkeypatch.setattr(blocks, "SHARED_BLOCK", blocks.BLOCK)
    monkeypatch.setattr(products, "PART", 5e5)
    monkeypatch.setattr(products, "MOST", 8)  # as on a machine of eight cores
    products._cuts.cache_clear()
    backend.compile(request.param == "compiled")
    loops._loop.cache_clear()  # a loop keeps how it is shared out
    kept, run, function, calls = workers.count(), workers.run, pool.function, []
    workers.set_count(4)

    def counted(compute):
        def counting(*arguments):
            calls.extend([1] * (workers.count() > 1))
            return compute(*arguments)
        return counting

    monkeypatch.setattr(workers, "run", lambda task, parts: counted(run)(task, parts) if parts > 1 else task(0))
    monkeypatch.setattr(pool, "function", lambda name: counted(function(name)))
    x = np.ones(2 * blocks.PARALLEL, np.float32)
    backend.elementwise(lambda xp, x: x + 1, x, out=x)
    yield calls
    for cached in (loops._loop, products._cuts):
        cached.cache_clear()
    workers.set_count(kept)


@pytest.mark.parametrize(("name", "options"), few(2, MODELS[1:] + MODELS[:1]))
def test_the_number_of_worker_threads_changes_no_bit(shared, name, options):
    digests, calls = set(), []
    for threads in (1, 2, 4):
        workers.set_count(threads)
        before = len(shared)
        digests.add(trained(name, options))
        calls.append(len(shared) - before)
    assert len(digests) == 1
    assert calls[0] == 0 and calls[1] == calls[2] >= 5 * STEPS, f"{calls} calls were shared out: too small a test"


@pytest.mark.parametrize("name", few(1, ["denoising", "bernoulli"]))
def test_minivae_threads_changes_no_bit_of_a_run(tmp_path, no_curves, name):
    found = set()
    for threads in ("1", "4"):
        done = subprocess.run([sys.executable, "-m", "minivae", "train", name, "--images", "1000", "--batch-size",
                               str(BATCH), "--hidden", str(HIDDEN), "--epochs", "2", "--out", threads], cwd=tmp_path,
                              env={**os.environ, "MINIVAE_THREADS": threads}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with np.load(tmp_path / threads / "checkpoint.npz") as file:
            header = json.loads(file["header"].tobytes())
            kept = tuple((name, file[name].tobytes()) for name in file.files if name != "header")
        assert header["config"].pop("threads") == int(threads)
        found.add((json.dumps(header), kept, (tmp_path / threads / "protocol.csv").read_bytes()))
    assert len(found) == 1


@pytest.mark.parametrize("pair", [(0, 1), *(pytest.param(pair, marks=pytest.mark.slow) for pair in ((2, 4), (3, 3)))])
def test_two_threads_train_large_models_as_if_alone(shared, pair):
    jobs = [(*MODELS[index], seed) for seed, index in enumerate(pair)]
    alone, together = [trained(*job) for job in jobs], {}
    threads = [threading.Thread(target=lambda job=job: together.update({job[2]: trained(*job)}), daemon=True)
               for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TOO_LONG)
    assert [together.get(seed) for seed in (0, 1)] == alone
    assert len(shared) > 100


def answer(channel, job):
    channel.send(trained(*job))
    channel.close()


def forked(jobs):
    """What `trained` gives in forked processes that run side by side; None for one that never answers."""
    context, children = multiprocessing.get_context("fork"), []
    for job in jobs:
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=answer, args=(there, job))
        child.start()
        there.close()
        children.append((child, here))
    try:
        found = [here.recv() if here.poll(TOO_LONG) else None for _, here in children]
        for child, _ in children:
            child.join(TOO_LONG)
        assert [child.exitcode for child, _ in children] == [0] * len(jobs), "a child does not end"
        return found
    finally:
        for child, here in children:
            child.kill()
            child.join()
            here.close()


@forks
@warned
@pytest.mark.parametrize("pair", [(0, 1), *(pytest.param(pair, marks=pytest.mark.slow) for pair in ((2, 4), (3, 3)))])
def test_two_forked_processes_train_as_if_alone(shared, pair):
    jobs = [(*MODELS[index], seed) for seed, index in enumerate(pair)]
    assert forked(jobs) == [trained(*job) for job in jobs]


def fork_while_threads_train(times):
    """The fork comes while two threads hold whatever they hold, and a child has neither them nor the workers."""
    workers.set_count(4)
    job, stop, found = (*MODELS[1], 7), threading.Event(), []
    alone = trained(*job)

    def keep_busy():
        while not stop.is_set():
            found.append(trained(*job))

    threads = [threading.Thread(target=keep_busy, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(times):
        assert forked([job, job]) == [alone, alone]
    stop.set()
    for thread in threads:
        thread.join(TOO_LONG)
    assert not any(thread.is_alive() for thread in threads) and set(found) == {alone}


@forks
@pytest.mark.parametrize("times", few(1, [2, 8]))
def test_processes_forked_while_threads_train(times):
    """With one thread in OpenBLAS: its own fork handler may wait for ever for its threads while others multiply."""
    code = f"import sys; sys.path.insert(0, {os.path.dirname(__file__)!r}); import test_parallel as here; " \
           f"here.fork_while_threads_train({times})"
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
                          capture_output=True, text=True, timeout=3 * TOO_LONG)
    assert done.returncode == 0, done.stderr


@forks
def test_a_forked_child_that_ends_as_python_does_ends():
    """os.fork without multiprocessing: the child leaves by way of the threading module's clean-up."""
    code = f"""if True:
        import os, sys, numpy as np
        from minivae import backend
        from minivae.backend import workers
        workers.set_count(4)
        x = np.ones({2 * blocks.PARALLEL})
        backend.elementwise(lambda xp, x: x + 1, x, out=x)
        child = os.fork()
        backend.elementwise(lambda xp, x: x + 1, x, out=x)
        if child == 0:
            sys.exit(int(x.sum() == 3 * x.size))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1, "the child's sum is wrong"
        """
    subprocess.run([sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", code], check=True,
                   timeout=TOO_LONG)
