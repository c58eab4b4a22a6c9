"""The CuPy half of the engine beside NumPy: on a stand-in as strict as CuPy, and on a GPU where there is one.

The same numbers but for rounding: a batch lies row by row there and may lie column by column here, and a BLAS promises
the same bits for neither.  What needs no comparison runs in every library where it is tested: fixture `library`.
"""

import numpy as np
import pytest
import strict_cublas
import strict_cupy
from conftest import GPU, REASON
from few import few
from layers import ROWS, arrays, random_like
from rounding import same, terms
from small import built

import minivae as mv
from minivae import backend, checkpoint, models, nn
from minivae.backend import memory
from minivae.data import Batches, rectangles
from minivae.evaluation import active_units, elbo, exact_log_likelihood, log_likelihood
from minivae.training import Training


@pytest.mark.gpu
def test_a_gpu():
    if not GPU:
        pytest.skip(f"no test runs on a GPU here: {REASON}")
    assert backend.use("auto") == "cupy"
    backend.use("numpy")


@pytest.fixture(autouse=True)
def on_host(device, monkeypatch):
    backend.use("numpy")
    monkeypatch.setattr(memory, "COLUMNS", 64)  # so many rows lie alike on both, and then sums have the same bits


@pytest.fixture
def counts():
    """What the stand-in counts."""
    strict_cupy.counts.clear()
    return strict_cupy.counts


@pytest.fixture
def expect_same(device):
    """Of sums of so many terms: 0 asks the stand-in for the same bits.  A GPU has exp, log and tanh of its own."""
    def expect(a, b, terms):
        if device == "strict":
            assert same(a, b, terms)
        else:
            for one, other in zip(arrays(host(a)), arrays(host(b)), strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    return expect


def on_device(value):
    return tuple(map(on_device, value)) if isinstance(value, tuple) else backend.from_numpy(value, like="cupy")


def host(value):
    return tuple(map(host, value)) if isinstance(value, tuple) else np.array(backend.to_numpy(value))


def give_noise(module, other):
    """Let `other` hold the noise that `module` has drawn."""
    for mine, its in zip(module.list_modules(), other.list_modules()):
        its.noise = None if mine.noise is None else on_device(np.ascontiguousarray(mine.noise))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_every_layer_gives_the_same(row, expect_same):
    module, input = row.make().hold_noise(), row.input(rows=64)
    output = host(module.forward(input))
    module.zero_grad_parameters()
    grad_input = host(module.backward(input, random_like(output)))

    other = module.clone().cuda().hold_noise()
    give_noise(module, other)
    other.zero_grad_parameters()
    n = terms(module, 64)
    expect_same(other.forward(on_device(input)), output, n)
    expect_same(other.backward(on_device(input), on_device(random_like(output))), grad_input, n)
    expect_same(tuple(other.parameters()[1]), tuple(module.parameters()[1]), n)
    assert float(mv.side_loss(other)) == pytest.approx(mv.side_loss(module), rel=1e-6)


@pytest.mark.parametrize(("make", "table"), [
    (nn.BCECriterion, False), (nn.BCEWithLogitsCriterion, False), (nn.ContinuousBernoulliCriterion, False),
    (nn.GaussianNLLCriterion, False),
    (nn.GaussianNLLCriterion, True)])
def test_every_criterion_gives_the_same(make, table, expect_same):
    random = np.random.default_rng(0)
    p, x = random.random((128, 5)).astype(np.float32), random.random((64, 5)).astype(np.float32)
    prediction = (p, p[::-1].copy()) if table else p
    criterion = make(samples=2)
    value, grad = criterion.forward(prediction, x), host(criterion.backward(prediction, x))
    criterion.cuda()
    loss = criterion.forward(on_device(prediction), on_device(x))
    assert backend.name_of(loss) == "cupy" and float(loss) == pytest.approx(value, rel=1e-6)
    expect_same(criterion.backward(on_device(prediction), on_device(x)), grad, 0)


def training(name, kind, batch_size=64):
    backend.use(kind)
    backend.manual_seed(1)
    options = {"likelihood": name.split()[1]} if " " in name else {}
    model = built(name.split()[0], options, image=(1, 6, 6), code=4, hidden=8, planes=(3,), batch_normalization=True)
    return Training(model, Batches(rectangles(80, 6, 6, sides=(3, 3)), batch_size))


def launched(run):
    """The same training, whose every step is launched kernel by kernel."""
    run._step._alike = -10**9
    run._step._look = lambda: None
    return run


MODELS = [*models.BY_NAME, "aevb gaussian", "aevb identity_gaussian"]
each_model = pytest.mark.parametrize("name", MODELS)


@pytest.mark.parametrize("name", few(5, MODELS))
def test_fifty_steps_of_every_model(name, device):
    """From the same weights, with the same batches and noise: the same gradients and loss at each step, nearly.

    In float64, where rounding takes no unit across the kink of a ReLU.  Weights are made equal before each step: of a
    gradient that is 0 but for rounding Adam makes a step as long as any.
    """
    backend.set_default_dtype("float64")
    cpu, gpu = training(name, "numpy"), training(name, "cupy")
    for _ in range(50):
        gpu.parameters[...] = on_device(cpu.parameters)
        backend.manual_seed(cpu.steps)
        backend.use("numpy")
        cpu.model.hold_noise(False)
        loss = cpu.step()
        gpu.model.hold_noise()
        give_noise(cpu.model, gpu.model)
        backend.manual_seed(gpu.steps)
        assert float(gpu.step()) == pytest.approx(loss, rel=1e-12)
        assert same(gpu.grads, cpu.grads, 4 * terms(cpu.model, 64))
    assert same((gpu.state["m"], gpu.state["v"]), (cpu.state["m"], cpu.state["v"]), 8 * terms(cpu.model, 64))


# Launches of a step that is not replayed: batch, forward, loss, backward, Adam and the row of the protocol.  Five of
# them are those of each Linear.  One more needs a reason.
LAUNCHES = {"vae": 64, "denoising": 66, "bernoulli": 58, "categorical": 68, "aevb": 50, "aevb gaussian": 60,
            "aevb identity_gaussian": 52, "conv": 99,
            "conditional": 64}  # a softmax, with its maxima and sums, takes more than a sigmoid


@each_model
def test_budget_of_a_step(name, device, counts):
    """Between log lines no synchronisation, one copy (the indices of the batch), and no layer's array made anew.

    What is allocated are the sums that go into the protocol, a number each.
    """
    if device == "cupy":
        pytest.skip("only the stand-in counts")
    run = launched(training(name, "cupy", batch_size=16))
    run.run(3, progress=False)
    counts.clear()
    for _ in range(10):
        run.step()
    assert counts["device_to_host"] == 0
    assert counts["host_to_device"] == 10
    assert 10 < counts["launches"] <= 10 * LAUNCHES[name]
    assert counts["allocations"] <= 10 * 7
    counts.clear()
    run.protocol.flush()
    assert counts["device_to_host"] == 1, "the rows since the last log line come to the host in one copy"


@each_model
def test_what_a_model_gives_is_the_same(name, expect_same):
    model, x = training(name, "numpy").model, rectangles(5, 6, 6, sides=(3, 3)).astype(np.float32)
    model.forward(x)
    other, n = model.clone().cuda(), terms(model, 5)
    expect_same(other.encode(on_device(x)), model.encode(x), n)
    expect_same(other.reconstruct(on_device(x)), model.reconstruct(x), n)
    z = np.random.default_rng(0).integers(0, 2, (5, model.code)).astype(np.float32)
    expect_same(other.decode(on_device(z)), model.decode(z), n)
    faces = host(other.sample(7))
    assert faces.shape == (7, 1, 6, 6) and np.isfinite(faces).all()


def to_tensor_cores(x):
    """Eleven bits, to which a GPU rounds what it multiplies unless it is told not to."""
    scale = np.exp2(np.floor(np.log2(np.maximum(abs(x), 1e-30))) - 10)
    return np.rint(x / scale) * scale


@pytest.mark.parametrize("mistake", [
    lambda a, b: to_tensor_cores(a) @ to_tensor_cores(b), lambda a, b: a[..., 1:] @ b[..., 1:, :],
    lambda a, b: (a @ b)[..., ::-1], lambda a, b: a @ b + 1e-3], ids=["eleven bits", "a term less", "order", "offset"])
def test_what_is_allowed_for_rounding_hides_no_mistake(mistake, device, expect_same, monkeypatch):
    if device == "cupy":
        pytest.skip("only the stand-in multiplies wrongly on demand")
    monkeypatch.setattr(strict_cublas.StrictCublas, "matmul", staticmethod(planted(mistake)))
    for check, case in ((test_every_layer_gives_the_same, ROWS["Linear"]),
                        (test_every_layer_gives_the_same, ROWS["SpatialConvolution"]),
                        (test_every_layer_gives_the_same, ROWS["SpatialFullConvolution"]),
                        (test_what_a_model_gives_is_the_same, "aevb"), (test_what_a_model_gives_is_the_same, "conv")):
        with pytest.raises(AssertionError):
            check(case, expect_same)
    for name in ("vae", "conv"):
        with pytest.raises(AssertionError):
            test_fifty_steps_of_every_model(name, device)


def planted(mistake):
    def matmul(a, b, out=None):
        if out is None:
            return mistake(a, b)
        out[...] = mistake(a, b)
        return out
    return matmul


def test_evaluation_on_the_device_is_that_of_the_host():
    images = rectangles(12, 6, 6, sides=(3, 3))
    for name, evaluate, tolerance in (("vae", elbo, 0.02), ("vae", log_likelihood, 0.02),
                                      ("bernoulli", log_likelihood, 0.02), ("categorical", log_likelihood, 0.02),
                                      ("bernoulli", exact_log_likelihood, 1e-6)):
        model = training(name, "numpy").model
        options = {} if evaluate is exact_log_likelihood else {"samples": 200}
        mine, its = evaluate(model, images, **options), evaluate(model.clone().cuda(), images, **options)
        assert its.value == pytest.approx(mine.value, rel=tolerance), name
    active, other = active_units(model, images), active_units(model.clone().cuda(), images)
    np.testing.assert_allclose(active.variance, other.variance, rtol=1e-4)


def test_a_run_on_the_device_and_its_checkpoint_on_the_host(tmp_path):
    config = {"model": "vae", "options": {"image": [1, 6, 6], "hidden": 8, "code": 4}}
    run = training("vae", "cupy", batch_size=16)
    protocol = run.run(60, progress=False)
    assert len(protocol) == 60 and np.isfinite(protocol["total"]).all()
    checkpoint.save(tmp_path / "one.npz", run, config)
    backend.use("numpy")
    model = checkpoint.load_model(tmp_path / "one.npz")
    x = rectangles(4, 6, 6, sides=(3, 3)).astype(np.float32)
    np.testing.assert_allclose(model.reconstruct(x), host(run.model.reconstruct(on_device(x))), rtol=1e-5)


def test_to_and_fro():
    model = models.vae(image=(1, 3, 3), hidden=4)
    weights = model.state_dict()
    flat, _ = model.get_parameters()
    assert backend.name_of(model.cuda().get_parameters()[0]) == "cupy"
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


@pytest.mark.parametrize(("layer", "message"), [(TakesHost, "Unsupported type"),
                                                (UnknownKeyword, "no keyword|Wrong arguments")])
def test_what_cupy_refuses_is_refused(layer, message):
    with pytest.raises(TypeError, match=message):
        layer().cuda().forward(on_device(np.ones((2, 4), np.float32)))


def test_a_synchronisation_in_a_layer_is_counted(device, counts):
    if device == "cupy":
        pytest.skip("only the stand-in counts")
    layer, input = Synchronises().cuda(), on_device(np.ones((2, 4), np.float32))
    counts.clear()
    layer.forward(input)
    assert counts["device_to_host"] == 1


def test_host_input_is_refused_with_advice():
    with pytest.raises(mv.errors.DTypeError, match="it is on numpy: move it with"):
        nn.Tanh().cuda().forward(np.ones((2, 4), np.float32))
