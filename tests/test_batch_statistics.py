"""Running statistics: kept, copied and saved as parameters are, used in evaluation, and never learned."""

import numpy as np
import pytest
import strict_cupy
from rounding import same, terms

from minivae import backend, checkpoint, models, nn
from minivae.data import Batches, rectangles
from minivae.errors import DTypeError, OptionError, ShapeError
from minivae.training import Training

CONFIG = {"model": "conv", "options": {"image": [1, 8, 8], "planes": [3, 4], "batch_normalization": True}}


def training():
    backend.manual_seed(1)
    model = models.build("conv", **CONFIG["options"])
    return Training(model, Batches(rectangles(70, 8, 8, sides=(3, 3)), 16), learning_rate_decay=0.01)


def statistics(module):
    return {path: array for path, array in module.state_dict().items() if "running" in path}


def layer():
    random, module = np.random.default_rng(0), nn.BatchNormalization(3)
    for _ in range(4):
        module.forward(random.normal(5, 2, (20, 3)).astype(np.float32))
    return module


def test_by_hand():
    """Of 1 and 3: mean 2, variance 1, and 2 where it is estimated for other batches than this."""
    module = nn.BatchNormalization(1, epsilon=3.0)
    assert module.forward(np.array([[1], [3]], np.float32)).ravel().tolist() == [-0.5, 0.5]  # ±1 / √(1 + 3)
    assert module.running_mean == np.float32(0.1 * 2) and module.running_var == pytest.approx(0.9 * 1 + 0.1 * 2)
    assert module.evaluate().forward(np.array([[2.2]], np.float32)) == pytest.approx(2 / np.sqrt(1.1 + 3), rel=1e-6)


def test_evaluation_takes_them_and_leaves_them_alone():
    module = layer().evaluate()
    before, x = statistics(module), np.random.default_rng(1).normal(0, 9, (8, 3)).astype(np.float32)
    wanted = (x - before["running_mean"]) / np.sqrt(before["running_var"] + 1e-5)
    np.testing.assert_allclose(module.forward(x), wanted, rtol=1e-5, atol=1e-6)
    first = module.forward(x[:1]).copy()
    assert np.array_equal(first, module.forward(x)[:1]), "it depends on the rest of the batch"
    module.backward(x, x)
    assert all(np.array_equal(array, before[name]) for name, array in statistics(module).items())
    module.training().forward(x)
    assert not any(np.array_equal(array, before[name]) for name, array in statistics(module).items())


def test_they_are_no_parameters():
    module = layer()
    assert [path for path, _, _ in module.named_parameters()] == ["weight", "bias"]
    assert list(module.state_dict()) == ["weight", "bias", "running_mean", "running_var"]
    flat, _ = module.get_parameters()
    assert flat.size == 6
    assert not any(np.shares_memory(flat, each) for each in (module.running_mean, module.running_var))


@pytest.mark.parametrize("change", [
    lambda m: m.double().float(), lambda m: m.to("numpy"), lambda m: m.clear_state(), lambda m: m.clone(),
    lambda m: nn.Sequential(m).get_parameters() and m], ids=["double", "to", "clear_state", "clone", "get_parameters"])
def test_copies_and_conversions_keep_them(change):
    module = layer()
    before = statistics(module)
    changed = change(module)
    assert {name: each.tolist() for name, each in statistics(changed).items()} == {
        name: each.tolist() for name, each in before.items()}
    assert module.clone().double().running_var.dtype == np.float64
    module.clone().running_mean += 1
    assert np.array_equal(module.running_mean, before["running_mean"]), "a clone shares them"


def test_they_move_to_the_device_and_back(monkeypatch):
    from minivae.backend import selection

    monkeypatch.setitem(selection._libraries, "cupy", strict_cupy)
    module = layer()
    before = statistics(module)
    assert isinstance(module.cuda().running_mean, strict_cupy.ndarray)
    module.forward(backend.from_numpy(np.ones((4, 3), np.float32), like="cupy"))
    assert not np.array_equal(module.cpu().running_mean, before["running_mean"])


def test_a_state_without_them_is_refused():
    module = layer()
    with pytest.raises(ShapeError, match=r"missing \['running_mean', 'running_var'\]"):
        module.load_state_dict({name: module.state_dict()[name] for name in ("weight", "bias")})


def test_reset_forgets_them():
    module = layer()
    module.reset()
    assert {name: each.tolist() for name, each in module.state_dict().items()} == {
        "weight": [1] * 3, "bias": [0] * 3, "running_mean": [0] * 3, "running_var": [1] * 3}


def test_one_number_has_no_variance():
    with pytest.raises(ShapeError, match=r"BatchNormalization\(3\): .* train with batches of 2 or more"):
        nn.BatchNormalization(3).forward(np.ones((1, 3), np.float32))
    with pytest.raises(OptionError, match="momentum is a share from 0 to 1"):
        nn.BatchNormalization(3, momentum=2)


class Centred(nn.Module):
    """Keeps a mean that was made as `make` says, if it was."""

    statistic_names = ("mean",)

    def __init__(self, make):
        super().__init__()
        if make:
            self.mean = make()


NO_ARRAY = r"0 Centred: statistic_names lists 'mean', which is {}; self\.mean = self\.xp\.zeros\(shape, self\.dtype\)"
NO_KIND = "0.mean is an array of numpy .* and dtype {}, and its module computes with numpy in float32; assign an array"


@pytest.mark.parametrize(("make", "said"), [
    (None, NO_ARRAY.format("None")), (lambda: 0.0, NO_ARRAY.format("of type float")),
    (lambda: np.float32(0), NO_ARRAY.format("one number, .*float32")),
    (lambda: np.zeros(3), NO_KIND.format("float64")), (lambda: np.zeros(3, int), NO_KIND.format("int64"))])
def test_one_that_could_not_be_kept_is_named_before_it_is_measured(make, said):
    module = nn.Sequential(Centred(make))
    for verb in nn.Module.get_parameters, nn.Module.state_dict, *([nn.Module.double] if "lists" in said else []):
        with pytest.raises(DTypeError, match=said):
            verb(module)
        assert module.dtype == module[0].dtype == np.float32
    if "lists" not in said:
        assert module.float().state_dict()["0.mean"].dtype == np.float32


def test_a_layer_may_do_without_a_statistic():
    module = nn.Sequential(Centred(lambda: None)).double()
    assert module.state_dict() == {} and module.get_parameters()[0].size == 0


def test_continuing_is_the_same_run_bit_for_bit(tmp_path):
    whole, first, second = training(), training(), training()
    backend.manual_seed(1)
    whole.run(23, progress=False)
    backend.manual_seed(1)
    first.run(9, progress=False)
    checkpoint.save(tmp_path / checkpoint.NAME, first, CONFIG)
    backend.manual_seed(99)
    checkpoint.restore(tmp_path, second)
    second.run(14, progress=False)
    assert len(statistics(whole.model)) == 6
    for path, array in whole.model.state_dict().items():
        assert np.array_equal(array, second.model.state_dict()[path]), path
    assert second.protocol.rows == whole.protocol.rows


def test_a_loaded_model_evaluates_by_them(tmp_path):
    trained = training()
    trained.run(5, progress=False)
    checkpoint.save(tmp_path / "one.npz", trained, CONFIG)
    model = checkpoint.load_model(tmp_path / "one.npz")
    x = rectangles(3, 8, 8, sides=(3, 3)).astype(np.float32)
    assert same(model.reconstruct(x), trained.model.reconstruct(x), terms(trained.model, 3))
    model.load_state_dict(model.state_dict() | {path: 0 * each + 1 for path, each in statistics(model).items()})
    assert not same(model.reconstruct(x), trained.model.reconstruct(x), terms(trained.model, 3))
