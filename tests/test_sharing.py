"""Parameters that several modules share, the vectors they lie in, and copies of both."""

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from rounding import same, terms

import minivae as mv
from minivae import checkpoint, nn
from minivae.data import Batches, rectangles
from minivae.errors import DTypeError, MinivaeError, OptionError, ShapeError
from minivae.optim import adam
from minivae.training import Training

X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def tied(bias=True):
    """A classic auto-encoder: 3-2-3, the decoder's weights those of the encoder transposed."""
    encoder = nn.Linear(3, 2)
    return nn.Sequential(encoder, nn.Tanh(), nn.Linear.tied(encoder, bias))


def clones():
    first = nn.Linear(3, 3)
    return nn.Sequential(first, nn.Tanh(), first.clone(share=("weight", "bias")))


def feval_of(model, grad, x=X):
    def feval(_):
        model.zero_grad_parameters()
        output = model.forward(x)
        model.backward(x, output - x, need_grad_input=False)
        return float(((output - x) ** 2).sum()) / 2, grad
    return feval


def expect_one_memory(model):
    """The model's vector holds every parameter once: what is written there is what each sharer has."""
    flat, flat_grad = model.get_parameters()
    parameters, grads = model.parameters()
    assert flat.size == flat_grad.size == sum(p.size for p in parameters)
    flat[...], flat_grad[...] = np.arange(flat.size), -np.arange(flat.size)
    assert np.array_equal(np.concatenate([p.reshape(-1) for p in parameters]), flat)
    assert np.array_equal(np.concatenate([g.reshape(-1) for g in grads]), flat_grad)
    assert model[2].weight is model[0].weight and model[2].grad_weight is model[0].grad_weight


def trained_alike(a, b, steps=3):
    losses = []
    for model in (a, b):
        (flat, grad), state = model.get_parameters(), {"learning_rate": 0.1}
        losses.append([adam(feval_of(model, grad, X.astype(model.dtype)), flat, state)[1] for _ in range(steps)])
    np.testing.assert_allclose(*losses, rtol=1e-4)
    assert losses[0][-1] < losses[0][0]


CHANGES = {
    "as built": lambda m: m, "get_parameters": lambda m: m.get_parameters() and m, "double": lambda m: m.double(),
    "float": lambda m: m.double().float(), "to": lambda m: m.to("numpy"), "clone": lambda m: m.clone(),
    "deepcopy": copy.deepcopy, "copy": copy.copy, "pickle": lambda m: pickle.loads(pickle.dumps(m)),
    "state_dict": lambda m: m.load_state_dict(m.state_dict()) or m, "clear_state": lambda m: m.clear_state(),
    "reset": lambda m: m.reset() or m, "part": lambda m: m[2].get_parameters() and m,
    "whole, then part": lambda m: m.get_parameters() and m[2].get_parameters() and m}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("make", [tied, clones])
@pytest.mark.parametrize("flat", [False, True])
def test_a_shared_parameter_stays_one(change, make, flat):
    model = make()
    model.forward(X)
    if flat:
        model.get_parameters()
    changed = change(model)
    assert mv.gradcheck(changed, X).ok
    expect_one_memory(changed)
    changed.reset()
    other = make()
    other.load_state_dict(changed.state_dict())
    trained_alike(changed, other)


def test_tied_weights_count_once_and_add_their_gradients():
    model = tied()
    w, b = (model[0].weight.astype(np.float64), model[2].bias.astype(np.float64))
    assert np.allclose(model.forward(X), np.tanh(X @ w.T + model[0].bias) @ w + b, atol=1e-6)
    assert model.get_parameters()[0].size == 6 + 2 + 3 and repr(model[2]) == "nn.TiedLinear(2 -> 3)"
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert tied(bias=False).get_parameters()[0].size == 6 + 2
    assert mv.gradcheck(tied(bias=False), X).ok
    with pytest.raises(OptionError, match=r"give the nn\.Linear"):
        nn.Linear.tied(model[2])


@pytest.mark.parametrize("make", [tied, clones])
def test_accumulate_and_update_equals_a_direct_update_of_both_sharers(make):
    model = make().double()
    x = X.astype(np.float64)
    g = np.cos(x)
    parts = []
    for only in (0, 2):  # the gradient through one of the two, the other one's taken away
        model.zero_grad_parameters()
        model.forward(x)
        grad = model[2].update_grad_input(model[1].output, g)
        if only == 2:
            model[2].acc_grad_parameters(model[1].output, g)
        else:
            model[0].acc_grad_parameters(x, model[1].backward(model[0].output, grad))
        parts.append(model[0].grad_weight.copy())
    kept, before = model.state_dict(), model[0].weight.copy()
    for scale in (1, 0.5):
        model.zero_grad_parameters()
        model.forward(x)
        model.backward(x, g, scale)
        model.update_parameters(0.1)
        np.testing.assert_allclose(model[2].weight, before - 0.1 * scale * sum(parts), rtol=1e-12)
        model.load_state_dict(kept)


def whole(a, b):
    b.weight, b.grad_weight = a.weight[:], a.grad_weight[:]


def transposed(a, b):
    b.weight, b.grad_weight = a.weight.T, a.grad_weight.T


def reshaped(a, b):
    b.weight, b.grad_weight = a.weight.reshape(9).reshape(3, 3), a.grad_weight.reshape(9).reshape(3, 3)


def partial(a, b):
    both, grads = np.ones(12, np.float32), np.ones(12, np.float32)
    a.weight, a.grad_weight = both[:9].reshape(3, 3), grads[:9].reshape(3, 3)
    b.weight, b.grad_weight = both[3:].reshape(3, 3), grads[3:].reshape(3, 3)


def parameter_only(a, b):
    b.weight = a.weight[:]


def gradient_only(a, b):
    b.grad_weight = a.grad_weight


def part_of_a_gradient(a, b):
    b.grad_bias = a.grad_weight[0]


@pytest.mark.parametrize("share", [whole, transposed, reshaped, partial, parameter_only, gradient_only,
                                   part_of_a_gradient])
@pytest.mark.parametrize("verb", [
    lambda m: m.get_parameters(), lambda m: m.forward(X), lambda m: m.zero_grad_parameters(), lambda m: m.double(),
    lambda m: m.update_parameters(0.1), lambda m: m.clone(), copy.deepcopy, pickle.dumps, lambda m: m.to("numpy")])
@pytest.mark.parametrize("used", [False, True])
def test_memory_shared_in_part_is_refused_by_every_verb(share, verb, used):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    if used:
        model.get_parameters()
        model.forward(X)
    share(model[0], model[1])
    with pytest.raises(MinivaeError, match=r"0\.weight and 1\.(weight|bias), or their gradients, share memory.*tied"):
        verb(model)


def test_columns_of_one_matrix_are_no_shared_memory():
    both, grads = np.ones((3, 6), np.float32), np.zeros((3, 6), np.float32)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    for k, layer in enumerate(model.modules):
        layer.weight, layer.grad_weight = both[:, k::2], grads[:, k::2]
    assert model.get_parameters()[0].size == 24


def test_share_on_an_existing_module():
    a, b = (nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3, bias=False))) for _ in range(2))
    assert b.share(a, "weight") is b
    assert b[0].weight is a[0].weight and b[1][0].grad_weight is a[1][0].grad_weight and b[0].bias is not a[0].bias
    model = nn.Sequential(a, b)
    assert model.get_parameters()[0].size == 9 + 3 + 9 + 3 and mv.gradcheck(model, X).ok
    for names in ((), ("weigth",), "weight"):
        with pytest.raises(OptionError, match="out of bias, weight"):
            b.share(a, *names)
    for other in (nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 2, bias=False)))):
        kept = b[0].weight
        with pytest.raises(ShapeError, match="of the same build"):
            b.share(other, "weight")
        assert b[0].weight is kept


@pytest.mark.parametrize("layer, x", [
    (lambda: nn.Linear(3, 2), X), (lambda: nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)), X)])
def test_bias_removed_restored_and_reset(layer, x):
    module = layer()
    linear = module.find_modules(nn.Linear)[-1]
    size = module.get_parameters()[0].size
    assert linear.no_bias() is linear and linear.bias is None
    module.reset()
    assert mv.gradcheck(module, x).ok and module.get_parameters()[0].size == size - 2
    assert "no bias" in repr(linear) and all("bias" not in path or path == "0.bias" for path in module.state_dict())
    plain = module.forward(x).copy()
    linear.new_parameter("bias", (2,))
    assert np.array_equal(module.forward(x), plain) and module.get_parameters()[0].size == size
    linear.reset()
    assert linear.bias.all() and abs(linear.bias).max() <= linear.n_in**-0.5 and mv.gradcheck(module, x).ok


# -- vectors ------------------------------------------------------------------------------------------


def in_nan(array):
    storage = np.full((*array.shape[:-1], 2 * array.shape[-1] + 3), np.nan, array.dtype)
    view = storage[..., 2:-1:2]
    view[...] = array
    return view


STRANGE = {
    "transposed": lambda a: np.ascontiguousarray(a.T).T, "in NaN": in_nan,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2], "backwards": lambda a: a[::-1].copy()[::-1],
    "expanded": lambda a: np.broadcast_to(a[:1], a.shape), "read from bytes": lambda a: np.frombuffer(
        bytearray(a.tobytes()), a.dtype).reshape(a.shape)}


@pytest.mark.parametrize("layout", STRANGE.values(), ids=STRANGE.keys())
@pytest.mark.parametrize("make", [lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)), tied])
def test_weights_of_any_layout_give_the_numbers_of_plain_ones(layout, make):
    strange, plain = make(), make()
    strange.load_state_dict(plain.state_dict())
    old = strange[0].weight
    new = layout(old)
    grad = in_nan(strange[0].grad_weight)
    for module in strange.modules:
        if getattr(module, "weight", None) is old:
            module.weight, module.grad_weight = new, grad
    plain.load_state_dict(strange.state_dict())
    g = np.cos(X)
    for model in (strange, plain):
        model.zero_grad_parameters()
        model.forward(X)
        model.backward(X, g)
    n = terms(plain, len(X))
    assert same(strange.output, plain.output, n)
    assert same(tuple(strange.parameters()[1]), tuple(plain.parameters()[1]), n)
    kept = strange.state_dict()
    flat, flat_grad = strange.get_parameters()
    assert np.isfinite(flat).all() and np.isfinite(flat_grad).all()
    assert all(np.array_equal(array, kept[path]) for path, array in strange.state_dict().items())
    assert flat.size == plain.get_parameters()[0].size
    trained_alike(strange, plain)


def test_modules_taken_out_of_two_flattened_models():
    one, two = (nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(2))
    vectors = [(model, *model.get_parameters()) for model in (one, two)]
    mixed = nn.Sequential(two[1], nn.Tanh(), one[0])
    flat, _ = mixed.get_parameters()
    assert flat.size == 24
    flat[...] = np.arange(24)
    assert two[1].weight[0, 0] == 0 and one[0].bias[-1] == 23
    for model, old, grad in vectors:
        with pytest.raises(MinivaeError, match="no longer the model's"):
            adam(feval_of(model, grad), old, {})
    trained_alike(mixed, mixed.clone())
    for model, _, _ in vectors:
        trained_alike(model, model.clone())
    backwards = nn.Sequential(one[1], one[0])
    trained_alike(backwards, backwards.clone())
    trained_alike(one, one.clone())


@pytest.mark.parametrize("move", [lambda m: m.get_parameters(), lambda m: m.double()])
@pytest.mark.parametrize("seen", [False, True])
@pytest.mark.parametrize("by_hand", [False, True])
def test_two_models_that_share_stay_together_or_say_what_to_do(move, seen, by_hand):
    a = nn.Linear(3, 3)
    b = nn.Linear(3, 3) if by_hand else a.clone(share=("weight", "bias"))
    for name in ("weight", "grad_weight", "bias", "grad_bias") if by_hand else ():
        setattr(b, name, getattr(a, name))
    one, two = nn.Sequential(a, nn.Linear(3, 3)), nn.Sequential(b, nn.Linear(3, 3))
    for model in (one, two) if seen else ():
        model.forward(X)
    move(one)
    try:
        two.forward(X)
    except MinivaeError as error:
        assert "shared with a module" in str(error) or "convert the whole model" in str(error)
        two.double() if one.dtype == np.float64 else None
        b.share(a, "weight", "bias")
        two.forward(X.astype(two.dtype))
    assert b.weight is a.weight and b.grad_weight is a.grad_weight
    a.weight[...] = 7
    assert (b.weight == 7).all()
    two.get_parameters()
    try:
        one.forward(X.astype(one.dtype))
        assert b.weight is a.weight
    except MinivaeError as error:
        assert "shared with a module" in str(error)
    trained_alike(two, two.clone())


def test_a_vector_of_a_model_that_lost_a_layer_is_refused_and_that_of_another_is_not():
    first, second = nn.Linear(3, 3), nn.Linear(3, 3)
    part = nn.Sequential(first)
    model = nn.Sequential(part, second)
    flat, grad = model.get_parameters()
    inner, inner_grad = part.get_parameters()
    assert np.shares_memory(inner, flat)
    adam(feval_of(part, inner_grad), inner, {})
    adam(feval_of(model, grad), flat, {})
    assert model.get_parameters()[0] is flat and part.get_parameters()[0] is inner


# -- copies of who holds a vector ---------------------------------------------------------------------

COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda held: pickle.loads(pickle.dumps(held))}


class Holder:
    """A trainer of one's own: it holds on to the model and to the vectors, in any order."""

    def __init__(self, model, order):
        flat, grad = model.get_parameters()
        for name in order:
            setattr(self, name, {"model": model, "flat": flat, "grad": grad, "state": {"learning_rate": 0.01}}[name])

    def steps(self, n=5):
        return [adam(feval_of(self.model, self.grad), self.flat, self.state)[1] for _ in range(n)]


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("order", [("model", "flat", "grad", "state"), ("state", "grad", "flat", "model")])
@pytest.mark.parametrize("make", [tied, clones])
def test_a_copy_of_who_holds_a_vector_learns_as_the_original(copied, order, make):
    holder = Holder(make(), order)
    holder.steps()
    twin = copied(copied(holder))
    assert twin.model.get_parameters()[0] is twin.flat
    kept = holder.flat.copy()
    losses = twin.steps()
    assert np.array_equal(holder.flat, kept)
    np.testing.assert_allclose(holder.steps(), losses, rtol=1e-4)
    assert losses[-1] < losses[0]


def later_layer(m):
    m.add(nn.Linear(3, 3))


def other_array(m):
    m[0].bias = np.ones_like(m[0].bias)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES.keys())
@pytest.mark.parametrize("change", [later_layer, other_array])
@pytest.mark.parametrize("seen", [False, True])
def test_a_copy_of_a_vector_left_behind_learns_or_is_refused(copied, change, seen):
    holder = Holder(tied(), ("flat", "grad", "state", "model"))
    change(holder.model)
    if seen:
        holder.model.forward(X)
    twin = copied(holder)
    try:
        losses = twin.steps()
    except MinivaeError as error:
        assert "no longer the model's" in str(error)
    else:
        assert losses[-1] < losses[0] and np.shares_memory(twin.model[0].bias, twin.flat)
    with pytest.raises(MinivaeError, match="no longer the model's"):
        holder.steps()


def training(seed=0):
    mv.manual_seed(seed)
    model = mv.models.vae(image=(1, 12, 12), hidden=16)
    return Training(model, Batches(rectangles(64, 12, 12, sides=(4, 6)), 16))


def mean_loss(trained, steps=60):
    """The loss of the last 20 of so many steps, from one state of the random numbers."""
    mv.manual_seed(5)
    return sum([trained.step() for _ in range(steps)][-20:]) / 320


def test_a_copy_of_a_training_learns_as_the_original():
    original = training()
    for _ in range(10):
        original.step()
    twins = [copied(original) for copied in COPIES.values()]
    before = mean_loss(copy.deepcopy(original), 20)
    losses = [mean_loss(each) for each in (original, *twins)]
    np.testing.assert_allclose(losses[1:], losses[0], rtol=0.02)
    assert losses[0] < 0.9 * before
    for twin in twins:
        assert np.shares_memory(twin.parameters, twin.model.encoder[1].weight)
        assert twin.model.get_parameters()[1] is twin.grads


def test_a_training_in_another_process_learns():
    original = training()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        there = pool.submit(mean_loss, original).result(timeout=100)
    np.testing.assert_allclose(there, mean_loss(original), rtol=0.02)


@pytest.mark.parametrize("change", [
    lambda m: m.decoder.insert(nn.Tanh(), 1).insert(nn.Linear(16, 16), 1), lambda m: other_weight(m.decoder[0]),
    lambda m: m.double()], ids=["layer added", "weight = array", "double"])
def test_a_training_whose_model_has_changed_says_so(change):
    run = training()
    run.step()
    change(run.model)
    with pytest.raises(MinivaeError, match=r"no longer the model's|dtype"):
        run.step()


def other_weight(layer):
    layer.weight = np.ones_like(layer.weight)


def tied_training():
    mv.manual_seed(0)
    wide, mean = nn.Linear(144, 16), nn.Linear(16, 2)
    encoder = nn.Sequential(nn.View(144), wide, nn.Tanh(), nn.ConcatTable(mean, nn.Linear(16, 2)))
    decoder = nn.Sequential(nn.Linear.tied(mean), nn.Tanh(), nn.Linear.tied(wide), nn.View(1, 12, 12))
    model = mv.models.VAE(encoder, nn.GaussianKL(), nn.GaussianSampler(), decoder, 2)
    return Training(model, Batches(rectangles(64, 12, 12, sides=(4, 6)), 16))


def test_tied_weights_survive_a_checkpoint(tmp_path):
    run = tied_training()
    assert run.parameters.size == 144 * 16 + 16 + 2 * (16 * 2 + 2) + 16 + 144
    for _ in range(5):
        run.step()
    checkpoint.save(tmp_path / "tied.npz", run, {"model": "tied", "options": {}})
    again = tied_training()
    checkpoint.restore(tmp_path / "tied.npz", again)
    resumed = [again.step() for _ in range(3)]
    checkpoint.restore(tmp_path / "tied.npz", run)
    np.testing.assert_allclose([run.step() for _ in range(3)], resumed, rtol=1e-5)
    assert again.model.decoder[2].weight is again.model.encoder[1].weight


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("rows", [2, 8, 16, 40])
def test_what_has_been_pickled_takes_batches_of_any_size(protocol, rows):
    layer, x = nn.Linear(30, 30), np.ones((rows, 30), np.float32)
    layer(np.zeros((16, 30), np.float32))
    again = pickle.loads(pickle.dumps(layer, protocol))
    np.testing.assert_allclose(again(x), layer(x), rtol=1e-5)


@pytest.mark.parametrize("make", [lambda: nn.Sequential(nn.Linear(3, 2).double()),
                                  lambda: nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2).double())])
def test_one_vector_is_of_one_dtype(make):
    model = make()
    with pytest.raises(DTypeError, match="convert the whole model"):
        model.get_parameters()
    assert model[-1].weight.dtype == np.float64  # as it was
    assert model.double().get_parameters()[0].dtype == np.float64
