"""The loop: it learns, it repeats bit for bit, it stops when asked and when the numbers are no numbers."""

import copy
import io
import os
import signal
import threading
import tracemalloc

import numpy as np
import pytest
from few import few
from small import built

import minivae as mv
from minivae import backend, checkpoint, models
from minivae.backend import compiled, workers
from minivae.callbacks import Patience
from minivae.data import Batches, rectangles
from minivae.errors import NonFiniteError, OptionError, TargetError
from minivae.protocol import Protocol
from minivae.schedules import Annealing, LearningRate, WarmUp
from minivae.training import Training, train

everywhere = pytest.mark.usefixtures("library")


def small(name="vae", **options):
    backend.manual_seed(0)
    return built(name, options, image=(1, 6, 6), planes=(8,), hidden=16)


def squares(images=256):
    return rectangles(images, 6, 6, sides=(3, 3))


LEARNERS = [("vae", {"code": 2}, 3e-3), ("denoising", {"code": 2, "p": 0.02}, 3e-3), ("bernoulli", {"code": 8}, 1e-2),
            ("categorical", {"code": 8, "categories": 4}, 1e-2), ("conv", {"batch_normalization": True}, 3e-3)]


@pytest.mark.parametrize(("name", "options", "learning_rate"), few(3, LEARNERS))
def test_every_model_learns_squares(name, options, learning_rate):
    """16 squares of 3×3 in 6×6 pixels: 36 ln 2 = 25 nats at the start, 19 for the best without a code, ln 16 = 2.8.

    Over 16 seeds the last losses were at most 14.6 and the divergences at least 0.78.
    """
    model = small(name, **options)
    protocol = train(model, Batches(squares(), 16), epochs=40, learning_rate=learning_rate, progress=False)
    first, last = protocol["total"][:5].mean(), protocol["total"][-100:].mean()
    assert first > 21 and last < 18, (first, last)
    assert protocol["divergence"][-100:].mean() > 0.3, "the code holds nothing"


@pytest.mark.parametrize(("name", "options", "learning_rate"), few(1, LEARNERS))
def test_every_model_learns_squares_on_a_device(device, name, options, learning_rate):
    """Fifty steps of each are compared with NumPy's in test_cupy."""
    backend.use("cupy")
    test_every_model_learns_squares(name, options, learning_rate)


@everywhere
@pytest.mark.parametrize("name", models.BY_NAME)
@pytest.mark.parametrize("samples", [1, 3])
def test_loss_is_the_objective_whose_gradient_is_followed(name, samples):
    """feval's pair against central differences of its own first half, in float64 and with held noise."""
    backend.set_default_dtype("float64")
    model = small(name, samples=samples).hold_noise()
    training = Training(model, Batches(squares(), 4))
    training.batch = training.batches.next()
    flat, grad = training.parameters, None
    grad = training.feval(flat)[1].copy()
    picked = np.random.default_rng(0).choice(flat.size, 12, replace=False)
    for i in picked:
        i, kept = int(i), float(flat[int(i)])
        flat[i] = kept + 1e-6
        above = float(training.feval(flat)[0])
        flat[i] = kept - 1e-6
        below = float(training.feval(flat)[0])
        flat[i] = kept
        assert (above - below) / 2e-6 == pytest.approx(float(grad[i]), rel=1e-5, abs=1e-6)


def run(steps, seed=3):
    backend.manual_seed(seed)
    training = Training(models.build("denoising", image=(1, 6, 6), hidden=16), Batches(squares(), 16))
    training.run(steps, progress=False)
    return training


@everywhere
@pytest.mark.parametrize("name", ["learning_rate", "learning_rate_decay", "momentum"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), "fast"])
def test_rates_that_lead_nowhere_are_refused_before_the_first_step(name, value):
    model, batches = models.vae(image=(4, 4), hidden=3), Batches(rectangles(8, 4, 4, sides=(2, 2)), 4)
    with pytest.raises(OptionError, match=rf"Training\({name}=.*\): {name} is a number from 0"):
        Training(model, batches, **{name: value})
    if name != "momentum":
        with pytest.raises(OptionError, match=name):
            train(model, batches, progress=False, **{name: value})


@pytest.mark.parametrize(("given", "message"), [
    ({"momentum": 1.5}, r"\(momentum=1.5\): momentum is a number from 0 to below 1$"), ({"momentum": 1}, "below 1$"),
    ({"callbacks": None}, r"\(callbacks=None\): wanted a list of functions"),
    ({"callbacks": print}, r"wanted a list of functions; \[...\] makes one of one alone$"),
    ({"callbacks": Patience}, r"wanted a list of functions; \[...\] makes one of one alone$"),
    ({"callbacks": [None]}, "wanted a function"), ({"callbacks": [Patience]}, r"Patience\(\.\.\.\), not Patience$"),
    ({"learning_rate": LearningRate}, r"\(learning_rate=<class .* write LearningRate\(\), not LearningRate$"),
    ({"beta": WarmUp}, r"write WarmUp\(\.\.\.\), not WarmUp$"), ({"beta": 2}, "numbers that do not change are options"),
    ({"annealing": Annealing}, r"write Annealing\(\), not Annealing$"),
    ({"ranks": 3}, r"\(ranks=3\): ranks is an instance of Ranks$"), ({"ranks": 0}, "instance of Ranks$")], ids=str)
def test_options_of_another_kind_are_refused(given, message):
    with pytest.raises(OptionError, match=message):
        Training(models.vae(image=(4, 4), hidden=3), Batches(rectangles(8, 4, 4, sides=(2, 2)), 4), **given)


def test_same_seed_same_run_bit_for_bit():
    first, second, other = run(30), run(30), run(30, seed=4)
    assert same(first.parameters, second.parameters)
    assert first.protocol.rows == second.protocol.rows
    assert not same(first.parameters, other.parameters)


@pytest.mark.parametrize("name", ["denoising", "bernoulli"])
def test_a_model_in_evaluation_mode_learns_as_it_would_in_training_mode(name):
    ends = []
    for mode in (models.VAE.training, models.VAE.evaluate):
        training = Training(mode(small(name)), Batches(squares(), 16))
        training.step()
        ends.append(training.parameters)
    assert same(*ends)


@everywhere
def test_a_copy_of_a_training_goes_its_own_way():
    training = run(3)
    with pytest.raises(mv.errors.MinivaeError, match=r"copy\.deepcopy gives the copy its own"):
        copy.copy(training)
    twin, before, state = copy.deepcopy(training), training.parameters.copy(), backend.get_random_state()
    twin.step()
    assert same(training.parameters, before) and (training.steps, twin.steps, training.state["t"]) == (3, 4, 3)
    backend.set_random_state(state)
    training.step()
    assert same(training.parameters, twin.parameters)


def same(a, b):
    return np.array_equal(backend.to_numpy(a), backend.to_numpy(b))


@everywhere
def test_two_threads_train_as_if_alone():
    alone = [run(30, seed).parameters.copy() for seed in (3, 4)]
    results = {}
    threads = [threading.Thread(target=lambda seed=seed: results.update({seed: run(30, seed).parameters}))
               for seed in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(results[3], alone[0]) and same(results[4], alone[1])


@pytest.mark.parametrize(("name", "options", "batch_size"), [
    ("vae", {}, 16), ("denoising", {}, 16), ("bernoulli", {"samples": 3}, 16), ("categorical", {}, 16),
    ("aevb", {"samples": 5}, 128), ("aevb", {"samples": 5, "likelihood": "gaussian"}, 128),
    ("aevb", {"samples": 5, "likelihood": "identity_gaussian"}, 128), ("conv", {"planes": (64, 128)}, 4),
    ("conv", {"planes": (64, 128), "batch_normalization": True}, 4)])
@pytest.mark.parametrize(("loops", "most"), [
    pytest.param(True, 1e6, id="compiled"),
    pytest.param(False, 2e6, id="NumPy", marks=pytest.mark.slow)])  # one array of a block for each of two threads
def test_a_step_allocates_nothing_that_grows_with_the_model(name, options, batch_size, loops, most, monkeypatch):
    """At the articles' sizes, by NumPy's own account of its memory at any time of three steps."""
    backend.manual_seed(0)
    if loops and not compiled.work():
        pytest.skip("there is no C compiler that works (cc, gcc or clang)")
    backend.compile(loops)
    monkeypatch.setattr(workers, "_count", 2)
    training = Training(models.build(name, image=(1, 24, 24), **options), Batches(rectangles(200), batch_size))
    training.run(3, progress=False)
    held = sum(array.nbytes for module in training.model.list_modules() for array in module.buffers.values())
    tracemalloc.start()
    training.run(3, progress=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held + training.parameters.nbytes > 2.5e6
    assert peak < most, f"{peak} bytes were allocated in three steps"


@everywhere
def test_protocol_is_per_image_and_adds_up(tmp_path):
    protocol = run(7).protocol
    assert protocol.columns == ("step", "reconstruction", "divergence", "total", "mean", "std", "log_var")
    assert protocol["step"].tolist() == list(range(1, 8))
    assert protocol["total"] == pytest.approx(protocol["reconstruction"] + protocol["divergence"])
    assert 20 < protocol["reconstruction"][0] < 30  # 36 ln 2 = 25 nats an image, not 16 times that
    text = io.StringIO()
    protocol.write_csv(text)
    lines = text.getvalue().splitlines()
    assert lines[0] == ",".join((*protocol.columns, "test")) and len(lines) == 8 and lines[1].startswith("1,")
    protocol.write_csv(tmp_path / "protocol.csv")
    assert (tmp_path / "protocol.csv").read_text() == text.getvalue()
    with pytest.raises(OptionError, match="path=3: a path is a text"):
        protocol.write_csv(3)


def test_protocol_is_a_table_of_columns():
    protocol = run(7).protocol
    assert "total" in protocol and 0 not in protocol and tuple(protocol) == protocol.columns and len(protocol) == 7
    assert dict(protocol).keys() == set(protocol.columns) and np.array_equal(dict(protocol)["std"], protocol["std"])
    assert protocol.mean(2)["step"] == 6.5 and protocol.mean(100)["step"] == 4
    with pytest.raises(OptionError, match=r"mean\(last=0\): last is a whole number from 1"):
        protocol.mean(0)
    with pytest.raises(OptionError, match="a protocol without rows has no mean; take a step"):
        Protocol(()).mean(5)


@everywhere
def test_short_batch_and_batch_of_one():
    for size in (1, 100):
        batches = Batches(squares(130), size, by_epoch=True)
        protocol = train(small(), batches, epochs=1, progress=False)
        assert len(protocol) == len(batches) and np.isfinite(protocol["total"]).all()


@everywhere
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_signal_ends_it_after_a_whole_step(number):
    training = Training(small(), Batches(squares(), 16))
    step = training.step

    def stop_in_the_eighth_step():
        if training.steps == 7:
            os.kill(os.getpid(), number)
        return step()

    training.step = stop_in_the_eighth_step
    handler = signal.getsignal(number)
    protocol = training.run(100, progress=False)
    assert training.stopped and training.steps == len(protocol) == training.state["t"] == 8
    assert signal.getsignal(number) is handler


@everywhere
def test_a_loss_that_is_not_finite_stops_the_training_and_names_the_step():
    training = Training(small(), Batches(squares(), 16))
    step = training.step

    def poison():
        if training.steps == 4:
            training.model.decoder[4].bias.fill(np.nan)
        return step()

    training.step = poison
    with pytest.raises(NonFiniteError, match=r"not finite since step 5: reconstruction nan, KL .* learning rate"):
        training.run(100, progress=False)


def test_an_error_that_was_asked_for_is_raised_in_a_step():
    training = Training(small(), Batches(squares(), 16))
    training.model.encoder[1].weight.fill(3e38)
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        training.step()


@everywhere
@pytest.mark.parametrize("after_the_loss", [False, True])
@pytest.mark.parametrize("error", [TargetError, KeyboardInterrupt])
def test_a_step_that_fails_is_not_counted(tmp_path, monkeypatch, error, after_the_loss):
    training = Training(small(), Batches(squares(), 16), beta=mv.schedules.WarmUp(10))
    training.run(3, progress=False)

    def fails(feval, x, state):
        if after_the_loss:
            feval(x)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(training, "optimiser", fails)
        for _ in range(2):
            with pytest.raises(error):
                training.step()
            assert training.steps == len(training.protocol) == 3
    training.run(2, progress=False)
    assert training.protocol["step"].tolist() == [1, 2, 3, 4, 5]
    assert training.protocol["beta"].tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    checkpoint.save(tmp_path / "one.npz", training, {"model": "vae", "options": {}})
    assert checkpoint.read(tmp_path / "one.npz")[0]["steps"] == training.state["t"] == 5


@everywhere
def test_a_training_that_has_been_mended_goes_on():
    training = Training(small(), Batches(squares(), 16))
    training.run(3, progress=False)
    sound = training.model.state_dict()
    training.model.decoder[4].bias.fill(np.nan)
    for _ in range(2):
        with pytest.raises(NonFiniteError, match="the loss is not finite since step"):
            training.run(3, progress=False)
    training.model.load_state_dict(sound)
    for moment in "mv":  # which a device spoils before it looks
        training.state[moment].fill(0)
    training.run(3, progress=False)
    assert np.isfinite(training.protocol["total"][-3:]).all()


def test_the_first_module_to_overflow_is_named_and_no_parameter_is_touched():
    training = Training(small(), Batches(squares(), 16))
    training.run(3, progress=False)
    training.model.encoder[1].weight.fill(3e38)
    before = training.parameters.copy()
    with pytest.raises(
            NonFiniteError, match=r"loss is not finite since step 4.* arose in encoder\.1 Linear.*\.update_output;"):
        training.run(100, progress=False)
    assert np.array_equal(training.parameters, before)


def overflow_on_the_way_back(training, at):
    """In step `at` the gradient that leaves the decoder's first layer becomes infinite; the loss stays as it was."""
    layer = training.model.decoder[0]
    plain = layer.update_grad_input

    def spoiled(input, grad_output):
        grad = plain(input, grad_output)
        if training.steps >= at:
            grad[0, 0] = np.inf
        return grad

    layer.update_grad_input = spoiled


@pytest.mark.parametrize(("at", "options", "message"), [
    (10, {}, r"the gradient is not finite since step 10: .* arose in decoder\.0 Linear\(2 -> 16\)\.update_grad_input;"),
    (7, {"images": 7 * 16}, r"the gradient is not finite since step 7: .* decoder\.0 .*update_grad_input;"),
    (5, {}, r"the loss is not finite since step 6: .*encoder\.5\.1\.bias holds values that are not finite, from the")])
def test_a_gradient_that_is_not_finite_is_noticed(at, options, message):
    training, kept = Training(small(), Batches(squares(**options), 16)), []
    training.callbacks.append(kept.append)
    overflow_on_the_way_back(training, at)
    with pytest.raises(NonFiniteError, match=message):
        training.run(10, progress=False)
    assert not kept, "a checkpoint could be of parameters that are lost"


@everywhere
@pytest.mark.parametrize(("spoil", "message"), [
    (lambda training: training.state.update(learning_rate=1e40), "a parameter is not finite since step 1:"),
    (lambda training: training.model.decoder[4].weight.fill(1e18), "a squared gradient is not finite since step 1:")])
def test_what_adam_makes_is_finite_in_a_checkpoint(spoil, message):
    training = Training(small(), Batches(squares(16), 16), callbacks=[lambda training: pytest.fail("kept")])
    spoil(training)
    with pytest.raises(NonFiniteError, match=message):
        training.run(2, progress=False)


@pytest.mark.parametrize(("spoil", "message"), [
    (lambda model: model.encoder[1].weight.fill(np.nan), r"encoder.1.weight .* from before the first step; check"),
    (lambda model: model.encoder[1].weight.fill(1e30), "arose in .*; check the data, the first parameters"),
    (lambda model: setattr(model.kl, "beta", 1e30), "; the loss is too steep: lower its weights, such as beta")])
def test_no_learning_rate_is_blamed_for_what_was_there_before_it(spoil, message):
    training = Training(small(), Batches(squares(), 16))
    training.run(1, progress=False)
    spoil(training.model)
    with pytest.raises(NonFiniteError, match="lower"):
        training.run(1, progress=False)
    training = Training(small(), Batches(squares(), 16))
    spoil(training.model)
    with pytest.raises(NonFiniteError, match=message):
        training.run(1, progress=False)


@everywhere
def test_a_stop_after_a_bad_gradient_keeps_nothing():
    training = Training(small(), Batches(squares(), 16))
    overflow_on_the_way_back(training, 5)
    step = training.step
    training.step = lambda: (training.steps == 4 and os.kill(os.getpid(), signal.SIGINT), step())
    with pytest.raises(NonFiniteError, match="a parameter is not finite since step 5"):
        training.run(100, progress=False)


@everywhere
def test_a_batch_that_is_not_finite_is_named():
    images = squares().astype(np.float32)
    images[:, 0, 0, 0] = np.inf
    model = models.build("aevb", image=(1, 6, 6), hidden=4, code=2, likelihood="gaussian")
    with pytest.raises(NonFiniteError, match="the batch holds values that are not finite"):
        train(model, Batches(images, 16), progress=False)


def test_images_that_were_not_scaled_are_refused():
    with pytest.raises(mv.errors.MinivaeError, match="maximum is 255; divide by 255"):
        train(small(), Batches(squares() * 255, 16), progress=False)


def test_no_steps_is_refused():
    with pytest.raises(OptionError, match=r"train\(epochs=0\): epochs is a whole number from 1"):
        train(small(), Batches(squares(), 16), epochs=0, progress=False)
