"""The temperature of relaxed codes falls as it should, with either discrete model, and ends up in the protocol."""

from math import exp

import numpy as np
import pytest

from minivae import backend, models
from minivae.annealing import Annealing
from minivae.data import Batches, rectangles
from minivae.errors import OptionError
from minivae.training import Training


def training(name, **options):
    backend.manual_seed(0)
    model = models.build(name, image=(1, 6, 6), hidden=8, code=4)
    return Training(model, Batches(rectangles(80, 6, 6, sides=(3, 3)), 16), **options)


def test_it_falls_in_stairs_to_its_floor():
    schedule = Annealing(start=2.0, rate=0.01, floor=0.5, every=50)
    assert [schedule.temperature(t) for t in (0, 49, 50, 99)] == [2, 2, 2 * exp(-0.5), 2 * exp(-0.5)]
    assert schedule.temperature(139) == 2 * exp(-1) and schedule.temperature(150) == 0.5 == schedule.temperature(10**9)
    assert Annealing(rate=0).temperature(10**6) == 1
    jang = Annealing()
    assert (jang.start, jang.floor, jang.every) == (1, 0.5, 1000)


@pytest.mark.parametrize("options", [{"floor": 0}, {"start": 0.4}, {"rate": -1}, {"every": 0}])
def test_schedules_that_cannot_be_are_refused(options):
    with pytest.raises(OptionError, match="0 < floor ≤ start, a rate from 0 and every from 1"):
        Annealing(**options)


@pytest.mark.parametrize("name", ["bernoulli", "categorical"])
def test_training_uses_it_and_writes_it_down(name):
    run = training(name, annealing=Annealing(1.0, 0.1, 0.5, 3))
    seen = []
    plain = run.model.sampler[0].update_output
    run.model.sampler[0].update_output = lambda a: (seen.append(run.model.sampler[0].temperature), plain(a))[1]
    protocol = run.run(10, progress=False)
    wanted = [run.annealing.temperature(t) for t in range(10)]
    assert seen == wanted and protocol["temperature"].tolist() == wanted and len(set(wanted)) == 4
    plain = training(name)
    assert "temperature" not in plain.run(10, progress=False).columns
    assert not np.array_equal(plain.parameters, run.parameters)


def test_a_model_without_a_temperature_is_left_alone():
    run = training("vae", annealing=Annealing())
    run.run(2, progress=False)
    assert run.model.sampler.temperature is None


def test_momentum_takes_gradient_descent():
    run = training("categorical", learning_rate=1e-3, momentum=0.9)
    first = run.parameters.copy()
    run.run(1, progress=False)
    np.testing.assert_allclose(first - run.parameters, 1e-3 * run.state["velocity"], rtol=1e-3, atol=1e-7)
    run.run(1, progress=False)
    assert set(run.state) == {"learning_rate", "learning_rate_decay", "momentum", "t", "velocity"}
