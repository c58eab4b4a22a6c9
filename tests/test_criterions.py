"""Criterions: values worked by hand, closed forms, samples, shapes, gradients, extreme numbers, mistakes."""

from decimal import Decimal, localcontext
from math import e, log, pi, sqrt

import numpy as np
import pytest
from pytest import approx

import minivae as mv
from minivae import models, nn
from minivae.data import Batches, rectangles
from minivae.errors import DTypeError, OptionError, ShapeError, TargetError
from minivae.nn.continuous_bernoulli_criterion import mean as continuous_bernoulli_mean
from minivae.training import Training

KINDS = ("BCE", "BCEWithLogits", "GaussianNLL of a mean", "GaussianNLL of mean and log_var", "ContinuousBernoulli",
         "MSE", "Abs")
CLASSES = {"BCE": nn.BCECriterion, "BCEWithLogits": nn.BCEWithLogitsCriterion, "MSE": nn.MSECriterion,
           "Abs": nn.AbsCriterion, "ContinuousBernoulli": nn.ContinuousBernoulliCriterion}
BERNOULLI = (nn.BCECriterion, nn.BCEWithLogitsCriterion, nn.ContinuousBernoulliCriterion)
LOG_2PI = log(2 * pi)


def array(*rows):
    return np.array(rows, dtype=np.float64)


def make(kind, **options):
    return CLASSES.get(kind, nn.GaussianNLLCriterion)(**options).double()


def predict(kind, *shape):
    """A prediction that the criterion takes."""
    draw = np.random.default_rng(len(kind))
    if kind == "BCE":
        return draw.uniform(0.3, 0.7, shape)
    first = draw.standard_normal(shape)
    return (first, draw.standard_normal(shape)) if kind.endswith("log_var") else first


def target(*shape):
    return np.random.default_rng(3).uniform(0, 1, shape)


def each_array(function, prediction):
    return tuple(map(function, prediction)) if isinstance(prediction, tuple) else function(prediction)


def arrays(value):
    return list(value) if isinstance(value, tuple) else [value]


def assert_close(mine, wanted):
    for a, b in zip(arrays(mine), arrays(wanted), strict=True):
        assert a == approx(b, rel=1e-12, abs=1e-14)


# -- values ---------------------------------------------------------------------------------------


def test_bce():
    bce, p, x = make("BCE"), array([0.5, 0.25], [0.75, 0.25]), array([1, 0], [1, 0.5])
    assert bce.forward(p, x) == approx(log(2) + 2 * log(4 / 3) + 0.5 * log(4) + 0.5 * log(4 / 3))
    assert_close(bce.backward(p, x), array([-2, 4 / 3], [-4 / 3, -4 / 3]))


def test_bce_with_logits():
    bce, a, x = make("BCEWithLogits"), array([0, log(3)], [log(3), -log(3)]), array([1, 0], [1, 0.5])
    assert bce.forward(a, x) == approx(log(2) + log(4) + log(4 / 3) + log(4 / 3) + 0.5 * log(3))
    assert_close(bce.backward(a, x), array([-0.5, 0.75], [-0.25, -0.25]))


def test_squared_and_absolute_error():
    y, x = array([1, -2, 5]), array([3, -2, 1])
    assert make("MSE").forward(y, x) == 4 + 0 + 16 and make("MSE").backward(y, x).tolist() == [[-4, 0, 8]]
    assert make("Abs").forward(y, x) == 2 + 0 + 4 and make("Abs").backward(y, x).tolist() == [[-1, 0, 1]]
    assert make("MSE", size_average=True).forward(y, x) == approx(20 / 3)


def test_bce_with_a_weight_for_each_element():
    """The terms of 0.5, 0.5 and 0.25 are ln 2, ln 2 and ln 4/3; also with draws, rows, another dtype and no rows."""
    p, x, weights = array([0.5, 0.5, 0.25], [0.5, 0.5, 0.25]), array([1, 0, 0]), [1, 0, 3]
    criterion = nn.BCECriterion(weights=np.array(weights), samples=2).double()
    assert criterion.forward(p, x) == approx(log(2) + 3 * log(4 / 3))
    assert criterion.rows(p, x) == approx([log(2) + 3 * log(4 / 3)] * 2)
    assert_close(criterion.backward(p, x), array([-1, 0, 2], [-1, 0, 2]))
    assert repr(criterion) == "nn.BCECriterion(samples=2, weights)"
    single = criterion.clone().float()
    assert single.backward(p.astype(np.float32), x.astype(np.float32)).dtype == np.float32
    assert single.forward(p[:0].astype(np.float32), x[:0].astype(np.float32)) == 0
    criterion.samples = 1
    mv.gradcheck_criterion(criterion, predict("BCE", 2, 3), target(2, 3)).raise_if_failed()
    with pytest.raises(ShapeError, match="3 weights for rows of 2 elements; give one for each element of a row"):
        criterion.forward(p[:, :2].copy(), x[[0, 0], :2].copy())
    criterion.weights = np.array([[10, 0, 0]])
    assert criterion.forward(p[:1], x) == approx(10 * log(2))
    with pytest.raises(ValueError, match="read-only"):
        criterion.weights[0] = 1
    criterion.weights = None
    assert criterion.forward(p[:1], x) == approx(2 * log(2) + log(4 / 3)) and "weights" not in repr(criterion)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_of_a_criterion_is_equal_and_apart(kind):
    criterion, prediction, x = make(kind, size_average=True), predict(kind, 3, 4), target(3, 4)
    criterion.backward(prediction, x)
    kept, twin = criterion.grad_input, criterion.clone()
    assert repr(twin) == repr(criterion) and twin.forward(prediction, x) == criterion.forward(prediction, x)
    assert not any(np.shares_memory(a, b) for a, b in zip(arrays(twin.backward(prediction, x)), arrays(kept)))


def test_gaussian_nll():
    nll, mean, log_var, x = make(KINDS[3]), array([1, 0]), array([log(4), 0]), array([3, 2])
    assert nll.forward((mean, log_var), x) == approx(LOG_2PI + 0.5 * log(4) + 0.5 + 2)
    assert_close(nll.backward((mean, log_var), x), (array([-0.5, -2]), array([0, -1.5])))


def test_gaussian_nll_of_a_mean_alone():
    nll, mean, x = make(KINDS[2]), array([1, 0]), array([3, 1])
    assert nll.forward(mean, x) == approx(LOG_2PI + 2 + 0.5)
    assert_close(nll.backward(mean, x), array([-2, -1]))


def test_mean_alone_is_log_var_zero():
    mean, x = predict(KINDS[2], 3, 4), target(3, 4)
    one, two = make(KINDS[2]), make(KINDS[3])
    assert one.forward(mean, x) == approx(two.forward((mean, np.zeros_like(mean)), x))
    assert_close(one.backward(mean, x), two.backward((mean, np.zeros_like(mean)), x)[0])


def test_gaussian_nll_keeps_its_constant():
    """A perfect mean costs D/2 · log 2π for each image: 720.45 nats at D = 784."""
    x = target(2, 784)
    assert make(KINDS[2]).forward(x.copy(), x) == approx(2 * 784 / 2 * LOG_2PI)
    assert 784 / 2 * LOG_2PI == approx(720.45, abs=0.01)


def test_gaussian_nll_is_minus_the_log_of_a_density():
    """Summed over x in steps of 0.01 the density gives 1."""
    x = np.arange(-20, 20, 0.01)[:, None]
    mean, log_var = np.full_like(x, 0.3), np.full_like(x, log(2))
    assert np.exp(-make(KINDS[3]).rows((mean, log_var), x)).sum() * 0.01 == approx(1, rel=1e-9)


def test_continuous_bernoulli_integrates_to_1_where_a_bernoulli_does_not():
    """Over x in [0, 1], by the trapezoidal rule."""
    x = np.linspace(0, 1, 20001)[:, None]
    for logit in (-30.0, -2.0, -1e-8, 0.0, 0.3, 0.5, 7.0):
        density = np.exp(-make("ContinuousBernoulli").rows(np.full_like(x, logit), x))
        assert np.trapezoid(density, dx=1 / 20000) == approx(1, rel=1e-6)
        mean = np.trapezoid(density * x[:, 0], dx=1 / 20000)
        assert continuous_bernoulli_mean(np, np.array(logit)) == approx(mean, rel=1e-5)
    assert np.trapezoid(np.exp(-make("BCEWithLogits").rows(0 * x, x)), dx=1 / 20000) == approx(0.5)


def test_continuous_bernoulli_by_hand():
    """At logit 0 it is uniform; e^(a x) a / (e^a − 1) at a = ln 3."""
    loss, a, x = make("ContinuousBernoulli"), array([0, log(3)]), array([0.3, 0.5])
    assert loss.forward(a, x) == approx(log(2 / log(3)) - 0.5 * log(3))
    assert_close(loss.backward(a, x), array([0.2, 1.5 - 1 / log(3) - 0.5]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_mean_of_a_continuous_bernoulli_is_smooth_at_every_logit(dtype):
    """Against A′ in 100 digits; near ¼ its formula subtracts numbers near 4, so 16 ε."""
    a = np.concatenate([np.linspace(-1, 1, 4001), np.geomspace(1e-30, 1e4, 2000), -np.geomspace(1e-30, 1e4, 2000)])
    exact = np.array([_exact_mean(Decimal(float(each))) for each in a.astype(dtype)])
    found = continuous_bernoulli_mean(np, a.astype(dtype)).astype(np.float64)
    np.testing.assert_allclose(found, exact, rtol=16 * np.finfo(dtype).eps, atol=0)
    assert (np.diff(found[:4001]) > 0).all() and (found >= 0).all() and (found <= 1).all()


def _exact_mean(a):
    """1/(1 − e^−a) − 1/a in 100 digits."""
    with localcontext() as context:
        context.prec = 100
        return float(1 / (1 - (-a).exp()) - 1 / a) if abs(a) > Decimal("1e-25") else 0.5


@pytest.mark.parametrize("kind", KINDS[:2])
def test_bernoulli_is_minus_the_log_of_a_distribution(kind):
    """Over the 8 images of 3 pixels the probabilities sum to 1."""
    x = array(*np.ndindex(2, 2, 2))
    prediction = np.repeat(predict(kind, 1, 3), 8, axis=0)
    assert np.exp(-make(kind).rows(prediction, x)).sum() == approx(1, rel=1e-12)


def test_a_probability_of_one_half_costs_log_2_for_each_pixel():
    x = target(3, 5)
    assert make("BCE").forward(np.full_like(x, 0.5), x) == approx(15 * log(2))
    assert make("BCEWithLogits").forward(np.zeros_like(x), x) == approx(15 * log(2))


def test_bce_is_least_where_the_probability_is_the_target():
    x = target(3, 5)
    entropy = -(x * np.log(x) + (1 - x) * np.log(1 - x)).sum()
    assert make("BCE").forward(x.copy(), x) == approx(entropy)
    assert_close(make("BCE").backward(x.copy(), x), np.zeros_like(x))


def test_gaussian_nll_is_least_where_the_variance_is_the_squared_error():
    mean, x = array([0, 1]), array([e, 1 + sqrt(e)])
    log_var = array([2, 1])
    assert make(KINDS[3]).forward((mean, log_var), x) == approx(LOG_2PI + 0.5 * (2 + 1) + 1)
    assert_close(make(KINDS[3]).backward((mean, log_var), x)[1], array([0, 0]))


@pytest.mark.parametrize("samples", [1, 2])
def test_bce_with_logits_is_sigmoid_and_bce(samples):
    a, x = 4 * predict("BCEWithLogits", 4, 5), target(4 // samples, 5)
    sigmoid, bce, both = nn.Sigmoid().double(), make("BCE", samples=samples), make("BCEWithLogits", samples=samples)
    p = sigmoid.forward(a)
    assert both.forward(a, x) == approx(bce.forward(p, x), rel=1e-12)
    assert_close(both.backward(a, x), sigmoid.backward(a, bce.backward(p, x)))


# -- samples, shapes, averages --------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_samples_average_over_the_draws(kind):
    """Value and gradient with L = 3 are the mean of three criterions, draw l in rows l, L + l, 2 L + l, …"""
    prediction, x = predict(kind, 2 * 3, 4), target(2, 4)
    criterion, single = make(kind, samples=3), make(kind)
    draws = [each_array(lambda a, k=k: a[k::3], prediction) for k in range(3)]
    assert criterion.forward(prediction, x) == approx(sum(single.forward(draw, x) for draw in draws) / 3)
    grad = criterion.backward(prediction, x)
    for k, draw in enumerate(draws):
        assert_close(each_array(lambda a, k=k: a[k::3], grad), each_array(lambda a: a / 3, single.backward(draw, x)))


def test_the_draws_of_one_image_stand_together():
    x = array([0], [1])
    a = array([-50], [-50], [50], [50])  # right for rows n · L + l, half of them wrong for l · N + n
    assert make("BCEWithLogits", samples=2).forward(a, x) == approx(0, abs=1e-9)
    assert make("BCEWithLogits", samples=2).forward(a[[0, 2, 1, 3]], x) == approx(50)


@pytest.mark.parametrize("kind", KINDS)
def test_the_target_is_not_copied_for_the_draws(kind):
    prediction, x = arrays(predict(kind, 2 * 3, 4))[0], target(2, 2, 2)
    seen = make(kind, samples=3).grouped("prediction", prediction, x)[1]
    assert np.shares_memory(seen, x)
    assert seen.size == x.size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "other"), [((3, 4), (3, 1, 2, 2)), ((3, 1, 2, 2), (3, 4)), ((3, 1), (3,))], ids=str)
def test_trailing_shapes_may_differ(kind, shape, other):
    criterion, prediction, x = make(kind), predict(kind, *shape), target(*other)
    value, grad = criterion.forward(prediction, x), criterion.backward(prediction, x)
    alike = x.reshape(shape)
    assert value == approx(make(kind).forward(prediction, alike))
    assert_close(grad, make(kind).backward(prediction, alike))
    assert all(each.shape == shape for each in arrays(grad))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [1, 3])
def test_size_average_divides_by_the_elements_of_the_target(kind, samples):
    prediction, x = predict(kind, 2 * samples, 5), target(2, 5)
    summed, averaged = make(kind, samples=samples), make(kind, samples=samples, size_average=True)
    assert averaged.forward(prediction, x) == approx(summed.forward(prediction, x) / 10)
    assert_close(averaged.backward(prediction, x), each_array(lambda a: a / 10, summed.backward(prediction, x)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("samples", [1, 3])
def test_rows_are_the_terms_of_the_output(kind, samples):
    prediction, x = predict(kind, 2 * samples, 5), target(2, 5)
    criterion = make(kind, samples=samples)
    rows = criterion.rows(prediction, x)
    assert rows.shape == (2 * samples,)
    assert rows.sum() / samples == approx(criterion.forward(prediction, x))
    last = each_array(lambda a: a[-1:], prediction)
    assert rows[-1] == approx(make(kind).forward(last, x[-1:]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size_average", [False, True])
def test_an_empty_batch_costs_nothing(kind, size_average):
    criterion, prediction, x = make(kind, size_average=size_average), predict(kind, 0, 5), target(0, 5)
    assert criterion.forward(prediction, x) == 0
    assert all(each.shape == (0, 5) for each in arrays(criterion.backward(prediction, x)))
    assert criterion.rows(prediction, x).shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_short_last_batch_is_as_good_as_a_first(kind):
    used, fresh, x = make(kind), make(kind), target(4, 5)
    used.backward(predict(kind, 4, 5), x)
    short = each_array(lambda a: a[:2], predict(kind, 4, 5))
    assert_close(used.backward(short, x[:2]), fresh.backward(short, x[:2]))
    assert all(each.shape == (2, 5) for each in arrays(used.grad_input))


# -- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"samples": 3}, {"samples": 3, "size_average": True}], ids=str)
def test_gradient_is_the_derivative(kind, options):
    criterion = make(kind, **options)
    report = mv.gradcheck_criterion(criterion, predict(kind, 2 * criterion.samples, 3), target(2, 3))
    assert report.ok, str(report)
    assert len(report.checks) == (2 if kind.endswith("log_var") else 1)


@pytest.mark.parametrize("kind", KINDS)
def test_prediction_and_target_are_left_as_they_were(kind):
    criterion, prediction, x = make(kind), predict(kind, 3, 4), target(3, 4)
    criterion.forward(prediction, x)
    criterion.backward(prediction, x)
    assert_close(prediction, predict(kind, 3, 4))
    assert_close(x, target(3, 4))


# -- extreme numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bce_cuts_a_logarithm_off_at_minus_100(dtype):
    p, x = array([0, 1, 0, 1, 0]).astype(dtype), array([1, 0, 0, 1, 0.5]).astype(dtype)
    bce = nn.BCECriterion() if dtype == "float32" else nn.BCECriterion().double()
    assert bce.forward(p, x) == 100 + 100 + 0 + 0 + 50
    assert bce.forward(p[:, :1], x[:, :1]) == bce.forward(p[:, 1:2], x[:, 1:2]) == 100
    grad = bce.backward(p, x)[0]
    assert np.isfinite(grad).all()
    assert np.sign(grad[[0, 1, 4]]).tolist() == [-1, 1, -1]
    assert (abs(grad[[2, 3]]) <= 1).all()  # nothing to correct: not the 1/0 of the others


def test_bce_adds_no_epsilon():
    p = array([1e-30])
    assert make("BCE").forward(p, array([1])) == approx(30 * log(10), rel=1e-14)


def test_bce_with_logits_is_exact_at_1e4_in_float32():
    a, x = np.float32([[1e4, -1e4, 1e4, -1e4]]), np.float32([[0, 1, 1, 0]])
    bce = nn.BCEWithLogitsCriterion()
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        assert bce.forward(a, x) == 2e4
        assert bce.rows(a, x).tolist() == [2e4]
        assert bce.backward(a, x)[0] == approx([1, -1, 0, 0], abs=1e-27)


def test_bce_with_logits_keeps_what_a_sigmoid_in_float32_rounds_off():
    """At logit 20 and target 1 the loss is log(1 + e^−20) = 2e-9, and 1 − σ(20) is zero in float32."""
    a, x = np.float32([[20]]), np.float32([[1]])
    assert nn.BCEWithLogitsCriterion().forward(a, x) == approx(np.log1p(np.exp(-20.0)), rel=1e-6, abs=0)


# -- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", BERNOULLI)
def test_pixels_up_to_255_raise_and_say_what_to_do(cls):
    p, x = np.full((2, 3), 0.5, np.float32), np.float32([[0, 17, 255], [0, 1, 0]])
    for verb in (cls().forward, cls().rows):
        with pytest.raises(TargetError, match=f"{cls.__name__}: .* maximum is 255; divide by 255"):
            verb(p, x)
    assert cls().forward(p, x / 255) > 0


@pytest.mark.parametrize("cls", BERNOULLI)
@pytest.mark.parametrize(("wrong", "said"), [(1.0000001, r"its maximum is 1.0000001; numpy.clip\(x, 0, 1\)"),
                                             (-1e-9, r"its minimum is -1e-09; numpy.clip\(x, 0, 1\)"),
                                             (-0.25, r"its minimum is -0.25; \(x \+ 1\) / 2 brings"),
                                             (np.nan, "it holds NaN; numpy.isnan finds where$")])
def test_a_target_beyond_0_and_1_or_not_a_number_raises(cls, wrong, said):
    with pytest.raises(TargetError, match=said):
        cls().forward(np.full((1, 2), 0.5, np.float32), np.float32([[1, wrong]]))


def test_logits_given_to_bce_raise_and_say_where_they_go():
    for logit in (-0.5, 1.5):
        with pytest.raises(TargetError, match="logits go into BCEWithLogitsCriterion"):
            nn.BCECriterion().forward(np.float32([[0.5, logit]]), np.float32([[1, 0]]))
    with pytest.raises(TargetError, match=r"the prediction .* holds NaN; numpy.isnan finds where$"):
        nn.BCECriterion().forward(np.float32([[0.5, np.nan]]), np.float32([[1, 0]]))


def test_a_gaussian_takes_any_target():
    assert make(KINDS[2]).forward(array([255.0]), array([255.0])) == approx(LOG_2PI / 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("samples", "shape", "other", "wanted"), [
    (1, (2, 4), (2, 5), "expected 2 · 1 rows of 5 elements"), (1, (3, 4), (2, 4), "expected 2 · 1 rows of 4 elements"),
    (1, (2, 6), (4, 3), "expected 4 · 1 rows of 3 elements"), (3, (2, 4), (2, 4), "expected 2 · 3 rows of 4 elements"),
    (3, (6, 4), (6, 4), "expected 6 · 3 rows of 4 elements")])
def test_wrong_shapes_raise_and_say_what_came(kind, samples, shape, other, wanted):
    criterion = make(kind, samples=samples)
    for verb in (criterion.forward, criterion.backward, criterion.rows):
        with pytest.raises(ShapeError) as caught:
            verb(predict(kind, *shape), target(*other))
        for each in (type(criterion).__name__, f"shape {shape}", f"the target {other}", f"samples={samples}", wanted):
            assert each in str(caught.value)


def test_log_var_of_another_shape_raises():
    mean, log_var = predict(KINDS[3], 2, 4)
    with pytest.raises(ShapeError, match=r"log_var has shape \(2, 3\)"):
        make(KINDS[3]).forward((mean, log_var[:, :3].copy()), target(2, 4))


def test_a_table_of_three_raises():
    with pytest.raises(ShapeError, match=r"table of 3, expected \(mean, log_var\) or a mean"):
        make(KINDS[3]).forward((array([1]),) * 3, array([1]))


@pytest.mark.parametrize(("x", "said"), [
    (np.ones((1, 2), np.uint8), r"target has dtype uint8.*astype\('float32'\) / 255"),
    (np.ones((1, 2)), "target has dtype float64, expected float32"), ([[1, 1]], "target is a list of 1")])
def test_a_target_of_another_kind_raises(x, said):
    with pytest.raises(DTypeError, match=said):
        nn.BCECriterion().forward(np.full((1, 2), 0.5, np.float32), x)


@pytest.mark.parametrize("samples", [0, -1, 2.0])
def test_samples_is_a_count(samples):
    with pytest.raises(OptionError, match=f"samples={samples}"):
        nn.BCECriterion(samples=samples)


def test_repr_shows_what_is_not_the_default():
    assert repr(nn.BCECriterion()) == "nn.BCECriterion"
    assert repr(nn.GaussianNLLCriterion(size_average=True, samples=3)) == (
        "nn.GaussianNLLCriterion(samples=3, size_average)")


@pytest.mark.parametrize("kind", [float, np.float32, np.float64, np.array, int])
def test_a_criterion_of_ones_own_may_return_any_kind_of_number(kind):
    class Own(nn.BCEWithLogitsCriterion):
        def update_output(self, input, target):
            return kind(super().update_output(input, target))

    model = models.vae(image=(3, 3), hidden=4)
    model._criterion = Own()
    assert type(model.criterion().forward(np.zeros((2, 9), np.float32), np.ones((2, 9), np.float32))) is float
    run = Training(model, Batches(rectangles(8, 3, 3, sides=(2, 2)), 4)).run(2, progress=False)
    assert np.isfinite(run["total"]).all()


@pytest.mark.parametrize(("wrong", "said"), [
    (None, "its loss is None, expected a number; is a return missing"), (np.ones(3), r"shape \(3,\)"), ("x", "str")])
def test_a_loss_that_is_no_number_is_refused(wrong, said):
    class Own(nn.MSECriterion):
        def update_output(self, input, target):
            return wrong

    with pytest.raises(ShapeError, match=f"Own: .*{said}"):
        Own().forward(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))
