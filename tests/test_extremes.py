"""Numbers, batches and arrays at the edge of what is allowed: every layer, every criterion, every model's step."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layers import ROWS, TABLE, arrays, copies, random_like
from rounding import same, terms
from small import built

from minivae import backend, models, nn
from minivae.data import Batches, rectangles
from minivae.debug.tables import mapped
from minivae.errors import DTypeError, OptionError
from minivae.training import Training

each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
MODELS = [("vae", {}), ("denoising", {}), ("bernoulli", {}), ("bernoulli", {"temperature": 0.1, "samples": 3}),
          ("categorical", {"temperature": 0.1, "samples": 3}), ("categorical", {"straight_through": True}),
          *(("aevb", {"likelihood": likelihood, "samples": 2}) for likelihood in models.CRITERIONS),
          ("conv", {"planes": (2,)}), ("conv", {"planes": (2, 3), "batch_normalization": True})]
each_model = pytest.mark.parametrize(("name", "options"), MODELS, ids=str)
CRITERIONS = {"MSE": nn.MSECriterion, "Abs": nn.AbsCriterion, "BCE": nn.BCECriterion,
              "logits": nn.BCEWithLogitsCriterion, "continuous": nn.ContinuousBernoulliCriterion,
              "mean": nn.GaussianNLLCriterion,
              "gaussian": nn.GaussianNLLCriterion}
each_criterion = pytest.mark.parametrize("kind", CRITERIONS)
examples = settings(max_examples=15, deadline=None, database=None,
                    suppress_health_check=[HealthCheck.function_scoped_fixture])
LOGITS = (-1e4, -104, -88, -17, -1e-30, -0.0, 0, 1e-45, 17, 88, 104, 1e4)
LOG_VARS = (-80, -44, -1e-30, 0, 1e-45, 44, 80)
logits = st.sampled_from(LOGITS) | st.floats(-1e4, 1e4, width=32)
log_vars = st.sampled_from(LOG_VARS) | st.floats(-80, 80, width=32)
near = st.floats(-10, 10, width=32)
probabilities = st.sampled_from((0, 1, 1e-45, 1.2e-38, 0.5, 1 - 2.0**-24)) | st.floats(0, 1, width=32)


def drawn(data, numbers, *shape):
    size = int(np.prod(shape))
    return np.array(data.draw(st.lists(numbers, min_size=size, max_size=size)), np.float32).reshape(shape)


def finite(value):
    return all(np.isfinite(each).all() for each in arrays(value))


def row_input(row, data, rows):
    if row.shape[0] == TABLE:  # a Gaussian's mean and log-variance, and a draw whose density float32 holds
        return (drawn(data, near, rows, 4), drawn(data, log_vars, rows, 4)), drawn(data, near, rows, 4)
    if isinstance(row.shape[0], tuple):
        return tuple(drawn(data, numbers, rows, *shape) for numbers, shape in zip((logits, log_vars), row.shape))
    return drawn(data, probabilities if row.low >= 0 else logits, rows, *row.shape)


SHARES = {
    "Sigmoid": (lambda: nn.Sigmoid(), (900,)),
    "relaxed bits": (lambda: nn.Sequential(nn.BernoulliSampler(0.2), nn.Sigmoid()), (900,)),
    "relaxed categories": (lambda: nn.GumbelSoftmaxSampler(0.2), (90, 10)),
    "all codes": (lambda: nn.EnumeratedSampler(), (9,)),
    "weights": (lambda: nn.ImportanceWeightedCriterion(nn.BCEWithLogitsCriterion(samples=9)), 10),
    "posterior": (lambda: nn.LikelihoodCriterion(nn.BCEWithLogitsCriterion()), 5),
}


@pytest.mark.parametrize(("make", "shape"), SHARES.values(), ids=SHARES)
def test_no_probability_and_no_gradient_of_it_is_subnormal(make, shape):
    """Products with subnormal numbers take many times as long."""
    random, layer = np.random.default_rng(0), make()
    if isinstance(shape, tuple):
        output = copies(layer.forward(np.float32(random.uniform(-110, 110, (40, *shape)))))
        found = [*arrays(output), *arrays(copies(layer.backward(layer.input, random_like(output))))]
    else:
        a, log_p = np.float32(random.standard_normal((90, 3))), np.float32(random.uniform(-120, 0, 90))
        prediction = (a, log_p, 0 * log_p)[:2 + (layer.samples > 1)]
        target = np.float32(random.random((shape, 3)))
        layer.forward(prediction, target)
        found = arrays(layer.backward(prediction, target))
    least = np.finfo(np.float32).tiny
    assert not any(((each != 0) & (np.abs(each) < least)).any() for each in found)


@each_row
@examples
@given(st.data())
def test_every_layer_is_finite_over_the_range(row, data):
    module, input = row.make(), row_input(row, data, 2)
    output = copies(module.forward(input))
    assert finite(output) and finite(module.backward(input, random_like(output)))
    assert finite(tuple(module.parameters()[1]))
    if isinstance(module, nn.Divergence):
        assert np.isfinite(module.divergence) and module.divergence >= 0
        assert finite(module.units(input)) and finite(module.rows(input))
        assert all(np.isfinite(total) and count > 0 for total, count in module.latent.statistics(input).values())


def prediction(kind, data, rows):
    if kind == "gaussian":
        return drawn(data, st.floats(-10, 10, width=32), rows, 3), drawn(data, log_vars, rows, 3)
    return drawn(data, probabilities if kind == "BCE" else logits, rows, 3)


@each_criterion
@examples
@given(st.data())
def test_every_criterion_is_finite_over_the_range(kind, data):
    criterion, given_to_it, x = CRITERIONS[kind](samples=2), prediction(kind, data, 4), drawn(data, probabilities, 2, 3)
    value = criterion.forward(given_to_it, x)
    assert np.isfinite(value) and finite(criterion.backward(given_to_it, x)) and finite(criterion.rows(given_to_it, x))
    if kind in ("BCE", "logits"):
        assert value >= 0


@each_criterion
@pytest.mark.parametrize("rows", [0, 1])
def test_criterions_take_no_row_and_one_that_is_read_only_or_strided(kind, rows):
    def hard(array, change):
        array = change(array)
        array.flags.writeable = False
        return array

    criterion, random = CRITERIONS[kind](), np.random.default_rng(0)
    one, x = (random.uniform(0.1, 0.9, (rows, 4)).astype(np.float32) for _ in range(2))
    table = (one, -one) if kind == "gaussian" else one
    value, grad = criterion.forward(table, x), copies(criterion.backward(table, x))
    for change in (np.array, np.asfortranarray, lambda array: np.repeat(array, 2, axis=1)[:, ::2]):
        again = tuple(hard(each, change) for each in table) if kind == "gaussian" else hard(one, change)
        assert criterion.forward(again, hard(x, change)) == pytest.approx(value, rel=1e-6)
        for a, b in zip(arrays(grad), arrays(criterion.backward(again, hard(x, change))), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)


@each_row
@pytest.mark.parametrize("rows", [0, 1, 3])
def test_layers_take_read_only_arrays_of_any_size(row, rows):
    if rows == 1 and "one row" in row.excused:
        pytest.skip(f"{row.name} is excused from one row: {row.excused['one row']}")
    module, input = row.make().hold_noise(), row.input(rows=rows)
    wanted = copies(module.forward(input))
    grad_output = random_like(wanted)
    grad_wanted = copies(module.backward(input, copies(grad_output)))
    for array in arrays(input) + arrays(grad_output):
        array.flags.writeable = False
    output = copies(module.forward(input))
    grad_input = module.backward(input, grad_output)
    assert same((output, grad_input), (wanted, grad_wanted), terms(module, rows))


@each_row
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, bool])
def test_layers_refuse_integers_and_say_how_to_convert_them(row, dtype):
    if row.name == "Identity":
        pytest.skip("Identity hands on anything")
    whole = mapped(lambda array: array.astype(dtype), row.input())
    with pytest.raises(DTypeError, match=r"has dtype (uint8|int64|bool), expected float32; .*astype\('float32'\)"):
        row.make().forward(whole)


# -- models -------------------------------------------------------------------------------------------


def training(name, options, images=None, **batches):
    backend.manual_seed(0)
    images = rectangles(19, 4, 4, sides=(2, 2)) if images is None else images
    model = built(name, options, image=(1, 4, 4), code=2, hidden=5)
    return Training(model, Batches(images, **{"batch_size": 8, "by_epoch": True} | batches))


@each_model
@settings(examples, max_examples=20)
@given(data=st.data())
def test_every_model_has_a_finite_loss_and_gradient_with_extreme_heads(name, options, data):
    """Heads at the ends: log-variances to ±80 and logits to ±1e4.

    Where both q and p are Gaussian, to ±30: e^80 times the e^80 that such a q draws is no float32.
    """
    trained, twice = training(name, options), "gaussian" in options.get("likelihood", "")
    head = max(path for path, _, _ in trained.model.named_parameters() if path.startswith("encoder"))
    assert head.endswith("weight")
    ends = st.floats(-30, 30, width=32)
    for path, numbers in (
            (head, logits if name in ("bernoulli", "categorical") else ends if twice else log_vars),
            ("decoder", ends if twice else logits)):
        for each, bias, _ in trained.model.named_parameters():
            if each.endswith("bias") and each.startswith(path.removesuffix("weight")):
                bias[...] = drawn(data, numbers, *bias.shape)
    trained.batch = trained.batches.next()
    loss, grads = trained.feval(trained.parameters)
    assert np.isfinite(loss) and finite(grads)


@each_model
def test_every_model_learns_from_short_and_single_batches(name, options):
    for size, steps in ((8, 3), (1, 4), (19, 2)):
        trained = training(name, options, batch_size=size)
        assert np.isfinite(trained.run(steps, progress=False)["total"]).all() and finite(trained.parameters)


@each_model
def test_every_model_takes_an_empty_batch(name, options):
    trained = training(name, options)
    x = np.zeros((0, 1, 4, 4), np.float32)
    trained.batch = x
    loss, grads = trained.feval(trained.parameters)
    assert loss == 0 and not grads.any()
    assert trained.model.reconstruct(x).shape == (0, 1, 4, 4) and trained.model.sample(0).shape == (0, 1, 4, 4)
    with pytest.raises(OptionError, match="no images in an array"):
        training(name, options, images=np.zeros((0, 1, 4, 4), np.uint8))


@each_model
@pytest.mark.parametrize("change", [
    np.asfortranarray, lambda a: np.repeat(a, 2, axis=3)[..., ::2], lambda a: a[::-1][::-1],
    lambda a: a.astype(np.int64), lambda a: a.astype(bool), lambda a: a.astype(np.float64)],
    ids=["fortran", "strided", "reversed", "int64", "bool", "float64"])
def test_batches_of_any_layout_and_dtype_are_one(name, options, change):
    """Batches convert whatever holds pixels; what is trained is the same, bit for bit."""
    images = rectangles(19, 4, 4, sides=(2, 2))
    changed = change(images)
    changed.flags.writeable = False
    first, second = training(name, options, images), training(name, options, changed)
    results = []
    for each in (first, second):
        backend.manual_seed(3)
        each.run(4, progress=False)
        results.append(each.parameters)
    assert np.array_equal(*results)


@each_model
def test_integer_images_given_to_a_model_are_refused(name, options):
    model = training(name, options).model
    for verb in (model.forward, model.encode, model.reconstruct):
        with pytest.raises(DTypeError, match=r"has dtype uint8, expected float32; scale pixels first: x\.astype"):
            verb(rectangles(3, 4, 4, sides=(2, 2)))
