"""Schedules of a training: each is used, written down, and resumed exactly."""

from fractions import Fraction
from math import cos, exp, inf, pi

import numpy as np
import pytest

from minivae import backend, checkpoint, models, nn
from minivae.data import Batches, rectangles
from minivae.errors import OptionError
from minivae.schedules import Annealing, LearningRate, WarmUp
from minivae.training import Training


def training(name, **options):
    backend.manual_seed(0)
    model = models.build(name, image=(1, 6, 6), hidden=8, code=4)
    return Training(model, Batches(rectangles(80, 6, 6, sides=(3, 3)), 16), **options)


def test_it_falls_in_stairs_to_its_floor():
    schedule = Annealing(start=2.0, rate=0.01, floor=0.5, every=50)
    assert [schedule(t) for t in (0, 49, 50, 99)] == [2, 2, 2 * exp(-0.5), 2 * exp(-0.5)]
    assert schedule(139) == 2 * exp(-1) and schedule(150) == 0.5 == schedule(10**9)
    assert Annealing(rate=0)(10**6) == 1
    jang = Annealing()
    assert (jang.start, jang.floor, jang.every) == (1, 0.5, 1000)


def test_the_learning_rate_decays_or_follows_a_cosine_after_its_warm_up():
    assert [LearningRate(2.0, 0.5)(t) for t in range(4)] == [2 / (1 + 0.5 * t) for t in range(4)]
    cosine = LearningRate(2.0, steps=10)
    assert [cosine(t) for t in (0, 5, 10, 11, 10**9)] == pytest.approx([2, 1, 0, 0, 0], abs=1e-15)
    assert cosine(3) == 1 + cos(0.3 * pi)
    warm = LearningRate(2.0, steps=14, warm_up=4)
    assert [warm(t) for t in range(4)] == [0.5, 1, 1.5, 2] and warm(4) == 2
    assert [warm(t + 4) for t in range(11)] == [cosine(t) for t in range(11)]
    assert [LearningRate(2.0, 1.0, warm_up=2)(t) for t in range(4)] == [1, 1, 2 / 3, 2 / 4]


def test_the_weight_of_the_divergence_rises_on_a_line():
    assert [WarmUp(4)(t) for t in (0, 1, 2, 4, 5, 10**9)] == [0, 0.25, 0.5, 1, 1, 1]
    assert WarmUp(4, 0.5)(2) == 0.25
    assert [WarmUp(4, 1.0, 9.0)(t) for t in (0, 1, 2, 4, 5)] == [9, 7, 5, 1, 1]  # or falls


@pytest.mark.parametrize(("kind", "options", "said"), [
    (Annealing, {"floor": 0}, "floor is a temperature above 0, up to start=1"),
    (Annealing, {"start": 0.4}, "floor is a temperature above 0, up to start=0.4"),
    (Annealing, {"rate": -1}, "rate is a number from 0"), (Annealing, {"every": 0}, "every is a whole number from 1"),
    (LearningRate, {"peak": -1}, "peak is a number from 0"), (LearningRate, {"peak": inf}, "peak is a number from 0"),
    (LearningRate, {"decay": -1}, "decay is a number from 0"),
    (LearningRate, {"warm_up": -1}, "warm_up is a whole number from 0"),
    (LearningRate, {"steps": 5, "warm_up": 5}, "more steps than those of the warm-up"),
    (WarmUp, {"steps": 0}, "steps is a whole number from 1"), (WarmUp, {"steps": 1, "full": -1}, "full is a weight"),
    (WarmUp, {"steps": 1, "start": -1}, "start is a weight from 0")])
def test_schedules_that_cannot_be_are_refused(kind, options, said):
    with pytest.raises(OptionError, match=said):
        kind(**options)


@pytest.mark.parametrize("kind", [np.array, np.float32, np.float64, int, Fraction])
@pytest.mark.parametrize("name", ["learning_rate", "beta", "annealing"])
def test_a_schedule_may_return_any_kind_of_number(name, kind):
    run, plain = (training("bernoulli", **{name: lambda t, of=of: of(1 + t)}) for of in (kind, float))
    for each in (run, plain):
        backend.manual_seed(0)
        each.run(3, progress=False)
    assert np.array_equal(run.parameters, plain.parameters)
    assert run.protocol.array().tolist() == plain.protocol.array().tolist()


def test_a_value_that_no_step_can_take_is_refused():
    for name, given, range in (("vae", {"beta": lambda t: -1.0}, "from 0"),
                               ("vae", {"learning_rate": lambda t: float("nan")}, "from 0"),
                               ("categorical", {"annealing": lambda t: 0}, "above 0")):
        with pytest.raises(OptionError, match=f"is a number {range}"):
            training(name, **given).step()


def test_a_rate_that_is_a_function_is_not_divided_again():
    with pytest.raises(OptionError, match=r"learning_rate_decay=0.5.*a function for learning_rate.*LearningRate"):
        training("vae", learning_rate=LearningRate(0.1), learning_rate_decay=0.5)


@pytest.mark.parametrize(("name", "attribute", "value", "said"), [
    ("bernoulli", "temperature", 0, "above 0"), ("categorical", "temperature", -1, "above 0"),
    *((name, attribute, -1, "from 0") for name in ("vae", "bernoulli", "categorical")
      for attribute in ("beta", "free_bits"))])
def test_what_is_set_between_steps_is_looked_at_in_the_next(name, attribute, value, said):
    run = training(name)
    layer = run.model.find_modules(nn.Sampler)[0] if attribute == "temperature" else run.model.kl
    setattr(layer, attribute, value)
    with pytest.raises(OptionError, match=rf"{type(layer).__name__}\({attribute}={value}\).*{said}"):
        run.step()


def test_a_number_in_the_place_of_a_function_is_refused():
    for given in ({"beta": 2.0}, {"annealing": 0.5}, {"callbacks": [3]}, {"callbacks": [None]}, {"callbacks": print}):
        with pytest.raises(OptionError, match=r"wanted a (list of )?function"):
            training("vae", **given)


SCHEDULES = {"learning_rate": LearningRate(1e-2, steps=25, warm_up=4), "beta": WarmUp(12, 0.5)}


@pytest.mark.parametrize("momentum", [None, 0.9, 0.0])
@pytest.mark.parametrize("name", ["vae", "bernoulli", "categorical"])
def test_a_step_is_one_with_the_numbers_of_its_schedules(name, momentum):
    run, by_hand = training(name, momentum=momentum, **SCHEDULES), training(name, momentum=momentum)
    for t in range(20):
        backend.manual_seed(t)
        run.step()
        by_hand.state["learning_rate"], by_hand.model.kl.beta = SCHEDULES["learning_rate"](t), SCHEDULES["beta"](t)
        backend.manual_seed(t)
        by_hand.step()
        assert np.array_equal(run.parameters, by_hand.parameters)
    for column, schedule in SCHEDULES.items():
        assert run.protocol[column].tolist() == [schedule(t) for t in range(20)]


@pytest.mark.parametrize("name", ["vae", "categorical"])
def test_a_run_that_continues_has_the_numbers_of_one_that_never_stopped(name, tmp_path):
    config = {"model": name, "options": {}}
    whole = training(name, **SCHEDULES)
    whole.run(20, progress=False)
    first = training(name, **SCHEDULES)
    first.run(7, progress=False)
    checkpoint.save(tmp_path / "one.npz", first, config)
    second = training(name, **SCHEDULES)
    checkpoint.restore(tmp_path / "one.npz", second)
    second.run(13, progress=False)
    assert np.array_equal(whole.parameters, second.parameters)
    assert whole.protocol.array().tolist() == second.protocol.array().tolist()


@pytest.mark.parametrize("name", ["bernoulli", "categorical"])
def test_training_uses_it_and_writes_it_down(name):
    run = training(name, annealing=Annealing(1.0, 0.1, 0.5, 3))
    seen = []
    plain = run.model.sampler[0].update_output
    run.model.sampler[0].update_output = lambda a: (seen.append(run.model.sampler[0].temperature), plain(a))[1]
    protocol = run.run(10, progress=False)
    wanted = [run.schedules["temperature"](t) for t in range(10)]
    assert seen == wanted and protocol["temperature"].tolist() == wanted and len(set(wanted)) == 4
    plain = training(name)
    assert "temperature" not in plain.run(10, progress=False).columns
    assert not np.array_equal(plain.parameters, run.parameters)


def test_momentum_takes_gradient_descent():
    run = training("categorical", learning_rate=1e-3, momentum=0.9)
    first = run.parameters.copy()
    run.run(1, progress=False)
    np.testing.assert_allclose(first - run.parameters, 1e-3 * run.state["velocity"], rtol=1e-3, atol=1e-7)
    run.run(1, progress=False)
    assert set(run.state) == {"learning_rate", "learning_rate_decay", "momentum", "t", "velocity"}
