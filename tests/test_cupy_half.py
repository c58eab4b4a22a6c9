"""The CuPy half of the engine, run on a stand-in that behaves as strictly as CuPy does."""

import importlib

import numpy as np
import pytest
import strict_cupy
from layers import ROWS, arrays, random_like

import minivae as mv
from minivae import backend, checkpoint, models, nn
from minivae.data import Batches, rectangles
from minivae.training import Training

library = importlib.import_module("minivae.backend.selection")


@pytest.fixture(autouse=True)
def strict(monkeypatch):
    monkeypatch.setitem(library._libraries, "cupy", strict_cupy)
    yield strict_cupy
    backend.use("numpy")


def device(value):
    return tuple(map(device, value)) if isinstance(value, tuple) else backend.from_numpy(value, like="cupy")


def host(value):
    return tuple(map(host, value)) if isinstance(value, tuple) else np.array(backend.to_numpy(value))


def give_noise(module, other):
    """Let `other` hold the noise that `module` has drawn."""
    for mine, its in zip(module.find_modules(nn.RandomLayer), other.find_modules(nn.RandomLayer)):
        its.noise = None if mine.noise is None else device(np.ascontiguousarray(mine.noise))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_every_layer_gives_the_same_bits(row):
    module, input = row.make().hold_noise(), row.input(rows=64)
    output = host(module.forward(input))
    module.zero_grad_parameters()
    grad_input = host(module.backward(input, random_like(output)))

    other = module.clone().cuda().hold_noise()
    give_noise(module, other)
    other.zero_grad_parameters()
    on_device = other.forward(device(input))
    other_grad_input = other.backward(device(input), device(random_like(output)))
    for a, b in zip(arrays(output) + arrays(grad_input), arrays(host(on_device)) + arrays(host(other_grad_input))):
        assert np.array_equal(a, b)
    for a, b in zip(module.parameters()[1], other.parameters()[1]):
        assert np.array_equal(a, host(b))
    assert float(mv.side_loss(other)) == pytest.approx(mv.side_loss(module), rel=1e-6)


@pytest.mark.parametrize(("make", "table"), [
    (nn.BCECriterion, False), (nn.BCEWithLogitsCriterion, False), (nn.GaussianNLLCriterion, False),
    (nn.GaussianNLLCriterion, True)])
def test_every_criterion_gives_the_same(make, table):
    random = np.random.default_rng(0)
    p, x = random.random((128, 5)).astype(np.float32), random.random((64, 5)).astype(np.float32)
    prediction = (p, p[::-1].copy()) if table else p
    criterion = make(samples=2)
    value, grad = criterion.forward(prediction, x), host(criterion.backward(prediction, x))
    criterion.cuda()
    on_device = criterion.forward(device(prediction), device(x))
    assert isinstance(on_device, strict_cupy.ndarray) and float(on_device) == pytest.approx(value, rel=1e-6)
    for a, b in zip(arrays(grad), arrays(host(criterion.backward(device(prediction), device(x))))):
        assert np.array_equal(a, b)


def training(name, kind, batch_size=64):
    backend.use(kind)
    backend.manual_seed(1)
    size = {"planes": (3,), "batch_normalization": True} if name == "conv" else {"hidden": 8}
    model = models.build(name, image=(1, 6, 6), code=4, **size)
    return Training(model, Batches(rectangles(80, 6, 6, sides=(3, 3)), batch_size))


@pytest.mark.parametrize("name", models.BY_NAME)
def test_twenty_steps_of_every_model(name):
    """Same weights, same batches, same noise: gradients bit for bit, losses to 1e-6."""
    cpu, gpu = training(name, "numpy"), training(name, "cupy")
    for _ in range(20):
        backend.manual_seed(cpu.steps)
        backend.use("numpy")
        cpu.model.hold_noise(False)
        loss = cpu.step()
        gpu.model.hold_noise()
        give_noise(cpu.model, gpu.model)
        backend.manual_seed(gpu.steps)
        assert float(gpu.step()) == pytest.approx(loss, rel=1e-6)
        assert np.array_equal(cpu.grads, host(gpu.grads))
    np.testing.assert_allclose(cpu.parameters, host(gpu.parameters), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", models.BY_NAME)
def test_budget_of_a_step(name, strict):
    """Between log lines no synchronisation, one copy (the indices of the batch), and no layer's array made anew.

    What is allocated are the sums and means that go into the protocol.
    """
    run = training(name, "cupy", batch_size=16)
    run.run(3, progress=False)
    strict.counts.clear()
    for _ in range(10):
        run.step()
    assert strict.counts["device_to_host"] == 0
    assert strict.counts["host_to_device"] == 10
    assert strict.counts["launches"] <= 10 * (125 if name == "conv" else 90)
    assert strict.counts["allocations"] <= 10 * 20


def test_a_run_on_the_device_and_its_checkpoint_on_the_host(tmp_path):
    config = {"model": "vae", "options": {"image": [1, 6, 6], "hidden": 8, "code": 4}}
    run = training("vae", "cupy", batch_size=16)
    protocol = run.run(60, progress=False)
    assert len(protocol) == 60 and np.isfinite(protocol["total"]).all()
    checkpoint.save(tmp_path / "one.npz", run, config)
    backend.use("numpy")
    model, _ = checkpoint.load_model(tmp_path / "one.npz")
    x = rectangles(4, 6, 6, sides=(3, 3)).astype(np.float32)
    np.testing.assert_allclose(model.reconstruct(x), host(run.model.reconstruct(device(x))), rtol=1e-5)


def test_to_and_fro():
    model = models.vae(image=(1, 3, 3), hidden=4)
    weights = model.state_dict()
    flat, _ = model.get_parameters()
    assert isinstance(model.cuda().get_parameters()[0], strict_cupy.ndarray)
    assert all(np.array_equal(a, weights[name]) for name, a in model.cpu().state_dict().items())
    with pytest.raises(mv.errors.MinivaeError, match="no longer the model's"):
        mv.optim.adam(lambda x: (0.0, x), flat, {})


def test_device_seeds_repeat():
    def draw():
        backend.manual_seed(3)
        return host(backend.standard_normal(backend.empty((5,), np.float32, "cupy"))).tolist()
    assert draw() == draw()


class TakesHost(nn.Tanh):
    def update_output(self, input):
        return super().update_output(input) + np.ones(4, np.float32)


class Synchronises(nn.Tanh):
    def update_output(self, input):
        return super().update_output(input) * float(input.sum())


class UnknownKeyword(nn.Tanh):
    def update_output(self, input):
        return self.xp.tanh(input, where=True)


@pytest.mark.parametrize("layer", [TakesHost, UnknownKeyword])
def test_what_cupy_refuses_is_refused(layer):
    with pytest.raises(TypeError, match=r"host value|no keyword"):
        layer().cuda().forward(device(np.ones((2, 4), np.float32)))


def test_a_synchronisation_in_a_layer_is_counted(strict):
    layer, input = Synchronises().cuda(), device(np.ones((2, 4), np.float32))
    strict.counts.clear()
    layer.forward(input)
    assert strict.counts["device_to_host"] == 1


def test_host_input_is_refused_with_advice():
    with pytest.raises(mv.errors.DTypeError, match="it is on numpy: move it with"):
        nn.Tanh().cuda().forward(np.ones((2, 4), np.float32))
