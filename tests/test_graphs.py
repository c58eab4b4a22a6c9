"""A step that is recorded and replayed is the step that is launched: on the stand-in, and on a GPU if there is one."""

import copy
import importlib
import sys
from itertools import pairwise

import numpy as np
import pytest
import strict_cupy
from few import few
from test_cupy import each_model, host, launched, training

from minivae import backend, checkpoint, models, nn
from minivae.backend import notices
from minivae.data import Batches, Redrawn, rectangles
from minivae.schedules import Annealing, LearningRate, WarmUp
from minivae.training import Training

graphs = importlib.import_module("minivae.backend.replayed")


@pytest.fixture(autouse=True)
def on_host(device):
    backend.use("numpy")
    notices.say_once.cache_clear()


def recorded(run):
    return run._step._recording is not None and run._step._recording.graph is not None


def small(name="vae", batch_size=16, momentum=None, by_epoch=False, redrawn=False, annealing=None, beta=None,
          learning_rate=1e-3, objective="elbo", estimator=None, code=4, free_bits=0,
          **options):
    backend.use("cupy")
    backend.manual_seed(1)
    model = models.build(name, image=(1, 6, 6), code=code, hidden=8, **options)
    images = rectangles(40, 6, 6, sides=(3, 3))
    images = Redrawn(images * np.uint8(200)) if redrawn else images
    model.kl.free_bits = free_bits
    batches = Batches(images, batch_size, by_epoch=by_epoch)
    decay = 0 if callable(learning_rate) else 0.01
    return Training(model, batches, learning_rate, decay, momentum, annealing, beta=beta, objective=objective,
                    estimator=estimator)


def expect_equal(one, other):
    assert np.array_equal(host(one.parameters), host(other.parameters))
    assert one.protocol.array().tolist() == other.protocol.array().tolist()
    assert one.state.keys() == other.state.keys() and one.state["t"] == other.state["t"]
    assert all(np.array_equal(host(one.state[key]), host(other.state[key])) for key in ("m", "v", "velocity")
               if key in one.state)
    assert one.batches.position == other.batches.position


def expect_replayed_as_launched(make, steps=50, between=lambda run: None):
    runs = []
    for prepare in (lambda run: run, launched):
        run = prepare(make())
        for _ in range(steps):
            between(run)
            run.step()
        runs.append((run, backend.get_random_state()))
    (one, state), (other, other_state) = runs
    assert not recorded(other) and state == other_state
    expect_equal(one, other)
    return one


@each_model
def test_fifty_steps_replayed_are_fifty_launched(name):
    assert recorded(expect_replayed_as_launched(lambda: training(name, "cupy", batch_size=16)))


def cyclic(t):
    """A weight of the divergence that is 0 again and again."""
    return float(t % 7 > 3)


@pytest.mark.parametrize("options", few(8, [
    {"momentum": 0.9}, {"redrawn": True}, {"samples": 3}, {"by_epoch": True, "batch_size": 7},
    {"by_epoch": True, "batch_size": 20},
    {"name": "bernoulli", "annealing": Annealing(every=1, rate=0.01)}, {"name": "bernoulli", "straight_through": True},
    {"name": "categorical", "categories": 2, "annealing": Annealing(every=3, rate=0.05)},
    *({"name": name, "beta": WarmUp(9), "free_bits": 0.02} for name in ("vae", "bernoulli", "categorical")),
    *({"name": name, "beta": WarmUp(20), "learning_rate": LearningRate(0.01, steps=28, warm_up=9)} for name in (
        "vae", "bernoulli", "categorical")),
    {"name": "bernoulli", "estimator": "exact", "beta": WarmUp(20)}, {"samples": 3, "objective": "iwae"},
    {"name": "categorical", "categories": 3, "code": 2, "objective": "exact_likelihood"},
    {"name": "bernoulli", "estimator": "score_function", "samples": 2}, {"samples": 3, "objective": "dreg"},
    {"beta": cyclic, "momentum": 0.0}]), ids=lambda options: f"{options}".partition(" at ")[0])
def test_whatever_changes_from_step_to_step(options):
    assert recorded(expect_replayed_as_launched(lambda: small(**options), steps=30))


@pytest.mark.parametrize("samples", [1, 2])
def test_labels_come_with_each_batch(samples):
    def labelled():
        backend.use("cupy")
        backend.manual_seed(1)
        model = models.build("conditional", image=(1, 6, 6), code=4, hidden=8, labels=3, samples=samples)
        images = rectangles(40, 6, 6, sides=(3, 3)).reshape(40, -1)
        return Training(model, Batches(np.concatenate([images, np.eye(3, dtype=np.uint8)[np.arange(40) % 3]], 1), 16))

    assert recorded(expect_replayed_as_launched(labelled, steps=30))


CHANGES = {
    "learning rate": lambda run: run.state.update(learning_rate=0.1),
    "an option that was not there": lambda run: run.state.update(weight_decay=0.1),
    "beta": lambda run: setattr(run.model.kl, "beta", 0.5),
    "a probability": lambda run: setattr(run.model.find_modules(nn.BernoulliNoise)[0], "p", 0.4),
    "evaluation mode": lambda run: run.model.evaluate(),
    "a larger batch in between": lambda run: run.model.forward(backend.from_numpy(
        np.ones((99, 1, 6, 6), np.float32), like="cupy")),
    "another batch size": lambda run: setattr(run.batches, "batch_size", 9),
    "another model": lambda run: run.model.load_state_dict({path: 0 * each for path, each in
                                                            run.model.state_dict().items()}),
    "a seed": lambda run: backend.manual_seed(5),
    "a state": lambda run: backend.set_random_state({"host": np.random.default_rng(9).bit_generator.state,
                                                     "device": [3, 4]}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_recording_takes_for_granted_may_change(change):
    def between(run):
        if run.steps == 12:
            CHANGES[change](run)

    assert recorded(expect_replayed_as_launched(lambda: small("denoising"), steps=24, between=between))


def test_each_replay_draws_other_noise_and_another_batch():
    run, seen = small("denoising"), []
    for _ in range(12):
        run.step()
        noise = [host(each.noise) for each in run.model.list_modules() if each.noise is not None]
        seen.append([*noise, host(run.batch)])
    assert recorded(run)
    assert all(not np.array_equal(a, b) for one, other in pairwise(seen) for a, b in zip(one, other))


def test_a_run_that_is_resumed_goes_on_exactly(tmp_path):
    config = {"model": "vae", "options": {"image": [1, 6, 6], "hidden": 8, "code": 4}}
    whole = small()
    whole.run(75, progress=False)
    first = small()
    first.run(33, progress=False)
    checkpoint.save(tmp_path / "one.npz", first, config)
    second = small()
    checkpoint.restore(tmp_path / "one.npz", second)
    second.run(42, progress=False)
    assert recorded(second)
    expect_equal(whole, second)
    checkpoint.restore(tmp_path / "one.npz", whole)  # into a training that has recorded
    whole.run(42, progress=False)
    expect_equal(whole, second)


def test_a_copy_has_no_recording():
    run = small()
    for _ in range(8):
        run.step()
    assert recorded(run) and copy.deepcopy(run)._step._recording is None


def test_budget_of_a_replayed_step(device):
    if device == "cupy":
        pytest.skip("only the stand-in counts")
    run = small("denoising")
    for _ in range(8):
        run.step()
    run.protocol.flush()
    strict_cupy.counts.clear()
    for _ in range(50):
        run.step()
    assert dict(strict_cupy.counts) == {"launches": 50, "host_to_device": 50}
    run.protocol.flush()
    assert strict_cupy.counts["device_to_host"] == 1


def test_no_number_that_changes_is_baked_in(device):
    """Two recordings at different steps hold the same numbers, also where each of them has others by its schedules."""
    if device == "cupy":
        pytest.skip("only the stand-in shows what it has recorded")
    for name in models.BY_NAME:
        run, found = training(name, "cupy", batch_size=16), []
        run.schedules = {"learning_rate": LearningRate(1e-3, steps=500), "beta": WarmUp(500),
                         "temperature": Annealing(every=1, rate=1e-3)}
        for _ in range(2):
            while not recorded(run):
                run.step()
            found.append(run._step._recording.graph.numbers)
            run._step._recording, run._step._alike = None, 0
            run.run(20, progress=False)
        assert found[0] == found[1], name


class Counting(nn.ReLU):
    """A layer with a number of its own that changes."""

    calls = 0

    def update_output(self, input):
        type(self).calls += 1
        return self.xp.multiply(super().update_output(input), float(self.calls), out=self.output)


class Reads(nn.ReLU):
    def update_output(self, input):
        return super().update_output(input) if float(input.sum()) else None


class Waits(nn.ReLU):
    def update_output(self, input):
        self.xp.cuda.get_current_stream().synchronize()
        return super().update_output(input)


class Sends(nn.ReLU):
    def update_output(self, input):
        self.xp.asarray(np.ones(4, np.float32))
        return super().update_output(input)


class Multiplies(nn.ReLU):
    def update_output(self, input):
        self.xp.matmul(input, self.xp.ones((8, 8), self.dtype), out=self.buffer("product", input.shape))
        return super().update_output(input)


class Allocates(nn.ReLU):
    def update_output(self, input):
        return super().update_output(input + 1)


def with_layer(kind):
    """A training whose decoder has such a layer."""
    run = small()
    run.model.decoder[1].__class__ = kind
    return run


def test_a_number_that_is_baked_in_is_seen(device):
    if device == "cupy":
        pytest.skip("only the stand-in shows what it has recorded")
    run, found = with_layer(Counting), []
    for _ in range(2):
        run._step._recording, run._step._alike = None, 0
        while not recorded(run):
            run.step()
        found.append(run._step._recording.graph.numbers)
    assert found[0] != found[1]


@pytest.mark.parametrize("layer", [Reads, Waits, Multiplies, Sends])
def test_what_cannot_be_recorded_is_launched_and_the_reason_is_said_once(layer, capsys):
    run = expect_replayed_as_launched(lambda: with_layer(layer), steps=20)
    assert not recorded(run) and run._step._recording.failed
    said = capsys.readouterr().err
    assert said.count("minivae: training launches kernel by kernel, because recording failed") == 1, said


def test_what_a_layer_allocates_lies_in_a_pool_that_is_kept():
    assert recorded(expect_replayed_as_launched(lambda: with_layer(Allocates), steps=20))


def test_memory_of_no_pool_is_refused_while_a_stream_records(device):
    if device == "cupy":
        pytest.skip("CuPy permits it; what the memory is used for next is the trouble")
    stream = strict_cupy.Stream(non_blocking=True)
    with stream:
        stream.begin_capture(1)
        try:
            with pytest.raises(strict_cupy.Refused, match="no pool keeps"):
                strict_cupy.empty((3,), np.float32)
        finally:
            stream.end_capture()


def test_reasons_to_launch_kernel_by_kernel(monkeypatch, capsys):
    held = small()
    held.model.hold_noise()
    shared = small()
    shared.ranks.size = 2
    for run, reason in ((held, "noise is held"), (shared, "several ranks")):
        for _ in range(9):
            run._step._look()
            assert reason in run._step.obstacle()
    shared.ranks.size = 1
    for _ in range(9):
        held.step()
    assert not recorded(held)
    monkeypatch.setenv("MINIVAE_GRAPHS", "none")
    run = small()
    for _ in range(9):
        run.step()
    assert not recorded(run)
    monkeypatch.delenv("MINIVAE_GRAPHS")
    run, trace = small(), sys.gettrace()
    for _ in range(8):
        run.step()
    assert recorded(run)
    replays = run._step._recording.turn
    sys.settrace(lambda *_: None)
    try:
        run.step()
    finally:
        sys.settrace(trace)
    assert run._step._recording.turn == replays, "a debugger sees each layer"
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(set(said)) == 3, said


def test_steps_that_are_looked_at_are_launched_and_the_others_replayed():
    run = small()
    run.run(200, progress=False)
    assert recorded(run) and len(run.protocol) == 200
    run.watch.closely, before = True, run._step._recording.turn
    run.step()
    assert run._step._recording.turn == before
