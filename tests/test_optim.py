"""Adam and SGD against steps worked by hand, and how they treat x, their state and mistakes in it.

The formulas are written a second time here, for plain numbers: Adam as in Kingma and Ba's algorithm 1 with Torch7's ε,
SGD as in Torch7.  The loss is ¼ Σ c x⁴, whose gradient c x³ changes from step to step.
"""

from math import sqrt

import numpy as np
import pytest
from pytest import approx

from minivae import nn
from minivae.errors import MinivaeError, OptionError
from minivae.optim import adam, rmsprop, sgd, stochastic_gradient

START = (1.0, -2.0, 0.5)
CURVATURE = (1.0, 0.3, 4.0)


def feval(x):
    return float((CURVATURE * x**4).sum() / 4), CURVATURE * x**3


def run(optimiser, steps, options, start=START):
    """(x after the steps, the optimiser's state)."""
    x, state = np.array(start), dict(options)
    for _ in range(steps):
        optimiser(feval, x, state)
    return x, state


def adam_by_hand(x, c, steps, learning_rate=1e-3, learning_rate_decay=0, beta1=0.9, beta2=0.999, epsilon=1e-8,
                 weight_decay=0):
    m = v = 0
    for t in range(1, steps + 1):
        g = c * x**3 + weight_decay * x
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        rate = learning_rate / (1 + (t - 1) * learning_rate_decay)
        x = x - rate * sqrt(1 - beta2**t) / (1 - beta1**t) * m / (sqrt(v) + epsilon)
    return x, m, v


def sgd_by_hand(x, c, steps, learning_rate=1e-3, learning_rate_decay=0, weight_decay=0, momentum=0, dampening=0,
                nesterov=False):
    v = None
    for t in range(1, steps + 1):
        g = c * x**3 + weight_decay * x
        v = g if v is None else momentum * v + (1 - dampening) * g
        d = g + momentum * v if nesterov else v if momentum else g
        x = x - learning_rate / (1 + (t - 1) * learning_rate_decay) * d
    return x, v


@pytest.mark.parametrize("options", [
    {}, {"learning_rate": 0.1}, {"learning_rate": 0.1, "learning_rate_decay": 0.5},
    {"learning_rate": 0.1, "weight_decay": 0.3}, {"learning_rate": 0.1, "beta1": 0.5, "beta2": 0.7},
    {"learning_rate": 0.1, "epsilon": 0.2}], ids=str)
def test_adam_is_the_papers(options):
    x, state = run(adam, 4, options)
    by_hand = [adam_by_hand(x, c, 4, **options) for x, c in zip(START, CURVATURE)]
    assert x == approx([each[0] for each in by_hand], rel=1e-13)
    assert state["m"] == approx([each[1] for each in by_hand], rel=1e-12)
    assert state["v"] == approx([each[2] for each in by_hand], rel=1e-12)
    assert state["t"] == 4


@pytest.mark.parametrize("options", [
    {}, {"learning_rate": 0.1}, {"learning_rate": 0.1, "learning_rate_decay": 0.5},
    {"learning_rate": 0.1, "weight_decay": 0.3}, {"learning_rate": 0.1, "momentum": 0.9},
    {"learning_rate": 0.1, "momentum": 0.9, "dampening": 0.4}, {"learning_rate": 0.1, "dampening": 0.4},
    {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
    {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.3, "learning_rate_decay": 0.5},
], ids=str)
def test_sgd_is_torch7s(options):
    x, state = run(sgd, 4, options)
    by_hand = [sgd_by_hand(x, c, 4, **options) for x, c in zip(START, CURVATURE)]
    assert x == approx([each[0] for each in by_hand], rel=1e-13)
    assert state["t"] == 4
    if "momentum" in options:
        assert state["velocity"] == approx([each[1] for each in by_hand], rel=1e-13)


def test_adams_first_step_is_the_learning_rate_against_the_sign():
    x, _ = run(adam, 1, {"learning_rate": 0.25})
    assert x == approx([0.75, -1.75, 0.25], rel=1e-6)


def test_rmsprop_in_numbers():
    """g = 2, m = 0.99 · 4 + 0.01 · 4 = 4 and then again: each step is the learning rate against the sign."""
    x, state = np.zeros(1), {"learning_rate": 0.5, "initial_mean": 4, "epsilon": 0}
    for step in (1, 2):
        rmsprop(lambda x: (0.0, np.full(1, 2.0)), x, state)
        assert x.item() == approx(-0.5 * step) and state["m"].item() == approx(4) and state["t"] == step
    with pytest.raises(OptionError, match=r"rmsprop: alpha is 1; choose .* to just below 1, such as 0\.99"):
        rmsprop(feval, np.array(START), {"alpha": 1})


def test_sgd_with_momentum_in_numbers():
    """Gradient 1 at every step: v = 1, 1.5, 1.75, and with dampening ½ 1, 1, 1."""
    for dampening, wanted in ((0, -4.25), (0.5, -3)):
        x, state = np.zeros(1), {"learning_rate": 1, "momentum": 0.5, "dampening": dampening}
        for _ in range(3):
            sgd(lambda x: (0.0, np.ones(1)), x, state)
        assert x.tolist() == [wanted]


def test_adam_keeps_its_moments_out_of_the_denormal_numbers():
    """A weight whose gradient stops leaves moments that halve every few steps; float32 is slow below 1.2e-38."""
    x, state, grad = np.zeros(2, np.float32), {}, np.ones(2, np.float32)
    for step in range(3000):
        adam(lambda x: (0.0, grad), x, state)
        assert not ((state["m"] != 0) & (np.abs(state["m"]) < 1e-37)).any(), step
        grad[0] = 0
    assert state["m"][0] == 0 and state["m"][1] > 0.9


@pytest.mark.parametrize("slope", [1e-14, 1e-15, 1e-17])
def test_no_step_of_adam_is_longer_for_what_it_takes_for_nothing(slope):
    x, state = np.ones(3), {"epsilon": 1e-20}
    for step in range(200):
        before = x.copy()
        adam(lambda x: (0.0, slope * x), x, state)
        assert np.abs(x - before).max() < 1.01e-3, step


@pytest.mark.parametrize("optimiser", [adam, sgd, rmsprop])
@pytest.mark.parametrize(("grad", "said"), [
    (np.ones(1), r"gradient of feval is of shape \(1,\) and dtype float64, x of \(3,\)"),
    (np.ones((3, 1)), r"shape \(3, 1\)"),
    (np.ones(()), r"shape \(\)"), (np.ones(4), r"shape \(4,\)"), (np.ones(3, np.float32), "dtype float32"),
    (np.ones(3, int), "dtype int64"), (2.0, "is of type float, x of ndarray"), ([1.0] * 3, "is of type list"),
    (np.ones((1, 3)).view(np.matrix), "is of type matrix"), (None, "is of type NoneType")], ids=repr)
def test_a_gradient_that_is_not_like_x_is_refused(optimiser, grad, said):
    x, state = np.array(START), {"momentum": 0.9} if optimiser is sgd else {}
    for _ in range(2):
        with pytest.raises(MinivaeError, match=f"^{optimiser.__name__}: .*{said}.*loss, gradient"):
            optimiser(lambda x: (0.0, grad), x, state)
    assert x.tolist() == list(START) and "t" not in state


@pytest.mark.parametrize("optimiser", [adam, sgd, rmsprop])
def test_what_is_no_vector_and_no_feval_is_refused(optimiser):
    for result in (0.0, None, np.ones(3), (1, 2, 3)):
        with pytest.raises(MinivaeError, match=r"feval\(x\) returns \(loss, gradient\), not"):
            optimiser(lambda x, result=result: result, np.array(START), {})
    for x, said in (([1.0], "got list"), (np.ones(3, int), "dtype int64, expected float32"), (None, "got NoneType"),
                    (np.ones(3, np.float16), "dtype float16, expected float32 or float64")):
        with pytest.raises(MinivaeError, match=said):
            optimiser(feval, x, {})


@pytest.mark.parametrize(("optimiser", "options"), [
    (adam, {"weight_decay": 0.1}), (rmsprop, {"weight_decay": 0.1}), (sgd, {"weight_decay": 0.1}),
    (sgd, {"momentum": 0.9, "nesterov": True})])
def test_a_gradient_that_is_x_itself_is_not_written_to(optimiser, options):
    found = []
    for feval in (lambda x: (0.0, x), lambda x: (0.0, x.copy())):
        x, state = np.array(START), {"learning_rate": 0.1} | options
        for _ in range(3):
            optimiser(feval, x, state)
        found.append(x.tolist())
    assert found[0] == found[1]


@pytest.mark.parametrize("optimiser", [adam, sgd])
@pytest.mark.parametrize(("state", "said"), [
    ({"t": "a"}, "t is a whole number from 0"), ({"t": -3}, "t is a whole number"), ({1: 1, "lr": 2}, "keys 1, lr")])
def test_what_cannot_be_a_state_is_refused(optimiser, state, said):
    with pytest.raises(OptionError, match=said):
        optimiser(feval, np.array(START), dict(state))


@pytest.mark.parametrize(("optimiser", "name"), [
    *((rmsprop, name) for name in ("learning_rate", "epsilon", "weight_decay", "initial_mean")),
    *((adam, name) for name in ("learning_rate", "learning_rate_decay", "epsilon", "weight_decay")),
    *((sgd, name) for name in ("learning_rate", "learning_rate_decay", "weight_decay", "momentum", "dampening"))])
def test_options_are_numbers_from_0_of_any_kind(optimiser, name):
    for value in (-1, float("nan"), float("inf"), "0.1", None, True, np.ones(3)):
        x = np.array(START)
        with pytest.raises(OptionError, match=f"^{optimiser.__name__}: {name} is .*choose a number from 0$"):
            optimiser(feval, x, {name: value})
        assert x.tolist() == list(START)
    found = []
    for kind in (float, np.float64, np.float32, np.array):
        x = np.array(START, np.float32)
        optimiser(lambda x: (0.0, x**3), x, {name: kind(0.25)})
        found.append(x.tolist())
        assert x.dtype == np.float32
    assert found == found[:1] * 4


@pytest.mark.parametrize("option", ["beta1", "beta2"])
@pytest.mark.parametrize("value", [-0.1, 1, 1.5, float("nan")])
def test_adam_refuses_betas_that_forget_nothing(option, value):
    x = np.array(START)
    with pytest.raises(OptionError, match=f"adam: {option}"):
        adam(feval, x, {option: value})
    assert x.tolist() == list(START)


def test_decay_divides_the_first_step_by_one():
    """η = 1, 1/2, 1/3: with gradient 1, x = −1, −3/2, −11/6."""
    x, state, path = np.zeros(1), {"learning_rate": 1, "learning_rate_decay": 1}, []
    for _ in range(3):
        sgd(lambda x: (0.0, np.ones(1)), x, state)
        path.append(x.item())
    assert path == approx([-1, -3 / 2, -11 / 6])


def test_adam_has_torch7s_epsilon_and_not_pytorchs():
    """g = 2, t = 1: m = 0.2, v = 0.004.  With ε = 1 the conventions are a factor of 11 apart."""
    x, _ = adam(lambda x: (0.0, np.array([2.0])), np.zeros(1), {"learning_rate": 1, "epsilon": 1})
    torch7 = sqrt(0.001) / 0.1 * 0.2 / (sqrt(0.004) + 1)
    pytorch = 1 / 0.1 * 0.2 / (sqrt(0.004 / 0.001) + 1)
    assert (torch7, pytorch) == approx((0.059483, 0.666667), abs=1e-6)
    assert x.item() == approx(-torch7, rel=1e-12)


@pytest.mark.parametrize("optimiser", [adam, sgd, rmsprop])
def test_x_changes_in_place_and_comes_with_the_loss_before_the_step(optimiser):
    x = np.array(START)
    before, _ = feval(x)
    returned, loss = optimiser(feval, x, {"learning_rate": 0.1})
    assert returned is x
    assert loss == before
    assert feval(x)[0] < before


@pytest.mark.parametrize("optimiser", [adam, sgd, rmsprop])
def test_feval_is_asked_once_a_step_at_x(optimiser):
    asked = []
    x = np.array(START)
    optimiser(lambda x: asked.append(x) or feval(x), x, {})
    assert len(asked) == 1
    assert asked[0] is x


@pytest.mark.parametrize(("optimiser", "options", "kept"), [
    (adam, {}, {"t", "m", "v"}), (rmsprop, {}, {"t", "m"}), (sgd, {}, {"t"}),
    (sgd, {"momentum": 0.9}, {"t", "velocity"})])
def test_state_keeps_its_options_and_what_the_next_step_needs(optimiser, options, kept):
    _, state = run(optimiser, 3, options)
    assert set(state) == kept | set(options)
    assert state["t"] == 3
    assert all(state[each].shape == (3,) for each in kept - {"t"})


@pytest.mark.parametrize(("optimiser", "options"), [
    (adam, {"learning_rate_decay": 0.1}), (sgd, {"momentum": 0.9, "learning_rate_decay": 0.1})])
def test_a_copied_state_continues_exactly(optimiser, options):
    whole, _ = run(optimiser, 5, options)
    half, state = run(optimiser, 2, options)
    state = {key: np.array(each) if isinstance(each, np.ndarray) else each for key, each in state.items()}
    for _ in range(3):
        optimiser(feval, half, state)
    assert half.tolist() == whole.tolist()


def test_options_may_change_between_steps():
    x, state = run(sgd, 1, {"learning_rate": 0.1})
    before = x.copy()
    sgd(feval, x, state | {"learning_rate": 0})
    assert x.tolist() == before.tolist()


@pytest.mark.parametrize("optimiser", [adam, sgd, rmsprop])
def test_float32_stays_float32(optimiser):
    x, state = np.array(START, dtype=np.float32), {"momentum": 0.9} if optimiser is sgd else {}
    for _ in range(2):
        optimiser(lambda x: (0.0, x**3), x, state)
    arrays = [each for each in state.values() if isinstance(each, np.ndarray)]
    assert {each.dtype.name for each in (x, *arrays)} == {"float32"}


def test_momentum_in_adams_state_raises_and_lists_what_adam_knows():
    x = np.array(START)
    with pytest.raises(OptionError) as caught:
        adam(feval, x, {"momentum": 0})
    for each in ("adam", "unknown key momentum", "learning_rate", "learning_rate_decay", "beta1", "beta2", "epsilon",
                 "weight_decay", "t, m, v"):
        assert each in str(caught.value)
    assert x.tolist() == list(START)


def test_unknown_keys_in_sgds_state_raise_all_at_once():
    with pytest.raises(OptionError) as caught:
        sgd(feval, np.array(START), {"learningRate": 0.1, "beta1": 0.9, "momentum": 0.9})
    for each in ("sgd", "unknown keys beta1, learningRate in", "learning_rate", "momentum", "dampening", "nesterov"):
        assert each in str(caught.value)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum_without_dampening(options):
    state = {"nesterov": True, **options}
    with pytest.raises(OptionError, match="nesterov needs a momentum above 0 and dampening 0"):
        sgd(lambda x: pytest.fail("it is refused before anything is computed"), np.array(START), state)


@pytest.mark.parametrize("optimiser", [adam, sgd, rmsprop])
def test_a_flat_vector_that_the_model_has_left_raises(optimiser):
    model = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    flat, flat_grad = model.get_parameters()
    optimiser(lambda x: (0.0, flat_grad), flat, {})
    model.double()
    with pytest.raises(MinivaeError, match=r"no longer the model's.*get_parameters\(\) again"):
        optimiser(lambda x: (0.0, flat_grad), flat, {})
    flat, flat_grad = model.get_parameters()
    flat_grad.fill(1)
    before = model[0].weight.copy()
    optimiser(lambda x: (0.0, flat_grad), flat, {"learning_rate": 0.1})
    assert (model[0].weight < before).all()


def test_stochastic_gradient_is_sgd_on_one_pair_after_another():
    random = np.random.default_rng(0)
    pairs = [(random.standard_normal((4, 3)), random.standard_normal((4, 2))) for _ in range(5)]
    model = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 2)).double()
    twin, criterion = model.clone(), nn.MSECriterion(size_average=True).double()
    losses = stochastic_gradient(model, criterion, pairs, 0.1, learning_rate_decay=0.5, epochs=3, shuffle=False)
    (x, grads), wanted = twin.get_parameters(), []
    for epoch in range(3):
        for input, target in pairs:
            def feval(_, input=input, target=target):
                twin.zero_grad_parameters()
                loss = criterion.forward(twin.forward(input), target)
                twin.backward(input, criterion.backward(twin.output, target))
                return loss, grads
            wanted.append(sgd(feval, x, {"learning_rate": 0.1 / (1 + 0.5 * epoch)})[1])
    assert losses == approx(np.reshape(wanted, (3, 5)).mean(axis=1), rel=1e-12) and losses[2] < losses[0]
    for mine, its in zip(model.parameters()[0], twin.parameters()[0], strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-12)


def test_stochastic_gradient_shuffles_and_refuses_what_leads_nowhere():
    model, criterion, seen = nn.Linear(1, 1), nn.MSECriterion(), []
    pairs = [(np.full((1, 1), k, np.float32), np.zeros((1, 1), np.float32)) for k in range(20)]
    model.forward = lambda input: seen.append(input.item()) or nn.Linear.forward(model, input)
    stochastic_gradient(model, criterion, zip(*zip(*pairs)), learning_rate=0, epochs=2)
    assert sorted(seen[:20]) == sorted(seen[20:]) == list(range(20)) and seen[:20] != seen[20:]
    for options in ({"learning_rate": -1}, {"learning_rate_decay": float("nan")}, {"epochs": 1.5}, {"pairs": []},
                    {"pairs": 5}):
        with pytest.raises(OptionError, match="stochastic_gradient"):
            stochastic_gradient(model, criterion, **{"pairs": pairs} | options)
