"""Layers, criterions, optimisers and models against figures measured on Torch7 itself, in float64.

`data/torch7.json` was written by Torch7 (torch, nn and optim, built from their sources, on a CPU).  Each case is built
anew here and must agree on every number.  Where minivae differs on purpose, the case has a test of its own that says
why, and that nothing else differs.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from minivae import models, nn, optim
from minivae.errors import OptionError, ShapeError

CASES = json.loads((Path(__file__).parent / "data" / "torch7.json").read_text(encoding="utf-8"))
KEYS = {"learningRate": "learning_rate", "learningRateDecay": "learning_rate_decay", "weightDecay": "weight_decay"}
DIFFERENT = {  # (layer, note): why, and the test below that shows it
    ("View", "batch of 1"): "drops the batch axis of a batch of one where it fits",
    ("BatchNormalization", "training batch of 1"): "uses the running statistics, silently",
    ("BatchNormalization", "training batch of 1 image"): "uses the running statistics, silently",
    ("BCECriterion", None): "adds 1e-12 in both logarithms, and to the denominator of the derivative",
    ("BCECriterion default", None): "averages over the elements",
    ("optim.sgd", "dampening left out"): "takes the momentum for it",
    ("optim.adam", "the articles: momentum = 0"): "takes unknown keys without a word",
}


def why_different(case):
    return DIFFERENT.get((case["layer"], case.get("note"))) or DIFFERENT.get((case["layer"], None))


def cases(*layers, note=None, different=False):
    chosen = [(k, case) for k, case in enumerate(CASES) if (case["layer"] in layers or not layers)
              and bool(why_different(case)) == different and note in (None, case.get("note"))]
    return [pytest.param(case, id=f"{k} {case['layer']} {case.get('note', '')}".strip()) for k, case in chosen]


def array(value):
    return np.array(value, np.float64)


def assert_equal(mine, theirs, near=1e-12):
    if isinstance(mine, tuple):
        assert_all_equal(mine, theirs, near)
        return
    mine, theirs = np.asarray(mine, np.float64), np.asarray(theirs, np.float64)
    assert mine.shape == theirs.shape
    assert np.linalg.norm(mine - theirs) <= near * max(np.linalg.norm(theirs), 1e-12)


def assert_all_equal(mine, theirs, near=1e-12):
    for one, other in zip(mine, theirs, strict=True):
        assert_equal(one, other, near)


def built(case):
    """The layer of a case, in float64, with its parameters."""
    if "spec" in case["args"]:
        parts = re.sub(r"\w*[A-Za-z]\w*(?!\w|\()", r"\g<0>()", case["args"]["spec"])
        layer = getattr(nn, case["layer"])(*eval(f"[{parts}]", vars(nn)))
    elif case["layer"] == "View":
        layer = nn.View(*case["args"]["sizes"])
    else:
        layer = getattr(nn, case["layer"])(**case["args"])
    layer.double()
    for array, values in zip(layer.parameters()[0], case["parameters"], strict=True):
        array[...] = values
    return layer


LAYERS = sorted({case["layer"] for case in CASES} - {"BatchNormalization", "BCECriterion", "BCECriterion default"}
                - {each["layer"] for each in CASES if each["layer"].startswith(("optim.", "model."))})


@pytest.mark.parametrize("case", cases(*LAYERS))
def test_a_layer(case):
    layer = built(case)
    ends = (layer[0], layer[-1]) if isinstance(layer, nn.Sequential) else (layer, layer)
    x, g = (tuple(map(array, case[name])) if isinstance(end, nn.ParallelTable) else array(case[name])
            for name, end in zip(("input", "grad_output"), ends))
    output = layer.forward(x)
    layer.zero_grad_parameters()
    grad_input = layer.backward(x, g)
    assert_equal(output, case["output"])
    assert_equal(grad_input, case["grad_input"])
    assert_all_equal(layer.parameters()[1], case["grad_parameters"])
    if "grad_parameters_after_scale_minus_0_3" in case:
        layer.acc_grad_parameters(x, g, -0.3)
        assert_all_equal(layer.parameters()[1], case["grad_parameters_after_scale_minus_0_3"])
    if "parameters_after_update_0_1" in case:
        layer.update_parameters(0.1)
        assert_all_equal(layer.parameters()[0], case["parameters_after_update_0_1"])


def run_batch(layer, batch):
    """Forward and backward of one of the batches of a normalization, which must agree; gradients accumulate."""
    x, g = array(batch["input"]), array(batch["grad_output"])
    assert_equal(layer.forward(x), batch["output"])
    assert_equal(layer.backward(x, g), batch["grad_input"])
    assert_all_equal(layer.parameters()[1], batch["grad_parameters"])
    layer.acc_grad_parameters(x, g, 0.5)
    assert_all_equal(layer.parameters()[1], batch["grad_parameters_after_scale_0_5"])
    assert_equal(layer.running_mean, batch["running_mean"])
    assert_equal(layer.running_var, batch["running_var"])


@pytest.mark.parametrize("case", cases("BatchNormalization"))
def test_batch_normalization(case):
    layer = built(case)
    layer.zero_grad_parameters()
    for batch in case["batches"]:
        getattr(layer, {"train": "training", "evaluate": "evaluate"}[batch["mode"]])()
        run_batch(layer, batch)


def objective(case):
    a, c = array(case["a"]), array(case["c"])
    return lambda x: (float((a / 2 * (x - c) ** 2 + np.sin(3 * x)).sum()), a * (x - c) + 3 * np.cos(3 * x))


def steps_of(case, **changed):
    """(x after each of the steps that the case holds, the losses)."""
    optimiser, every = getattr(optim, case["layer"].removeprefix("optim.")), 20 if "200" in case.get("note", "") else 1
    state = {KEYS.get(key, key): value for key, value in case["args"].items()} | changed
    state = {key: value for key, value in state.items() if value is not None}
    x, xs, fs = array(case["x0"]), [], []
    for _ in case["xs"]:
        for _ in range(every):
            _, loss = optimiser(objective(case), x, state)
        xs.append(x.copy())
        fs.append(loss)
    return xs, fs


@pytest.mark.parametrize("case", cases("optim.adam", "optim.sgd"))
def test_an_optimiser(case):
    xs, fs = steps_of(case)
    assert_equal(xs, case["xs"])
    assert_equal(fs, case["fs"])


def entropy(p, x, epsilon):
    """Torch7's binary cross entropy, and its derivative, with its ε."""
    value = -(x * np.log(p + epsilon) + (1 - x) * np.log(1 - p + epsilon)).sum()
    return value, -(x - p) / ((1 - p + epsilon) * (p + epsilon))


class Torch7Entropy:
    """Torch7's sigmoid and BCECriterion, for logits."""

    def forward(self, a, x):
        self.p = 1 / (1 + np.exp(-a))
        return entropy(self.p, x, 1e-12)[0]

    def backward(self, a, x):
        return entropy(self.p, x, 1e-12)[1] * self.p * (1 - self.p)


@pytest.mark.parametrize(("theirs", "near"), [(True, 1e-12), (False, 1e-10)], ids=["with its epsilon", "without"])
@pytest.mark.parametrize("case", cases("model.vae", "model.bvae"))
def test_a_model(case, theirs, near):
    """Twelve steps of the article's training, from its own weights and with its own noise."""
    args, bits = case["args"], case["layer"] == "model.bvae"
    build = (lambda **sizes: models.bernoulli_vae(temperature=args["temperature"], **sizes)) if bits else models.vae
    model = build(image=(1, args["height"], args["width"]), hidden=args["hidden"], code=args["code"]).double()
    criterion, (parameters, grads) = Torch7Entropy() if theirs else model.criterion(), model.get_parameters()
    parameters[...] = case["x0"]
    state = {name: args[name] for name in ("learning_rate", "learning_rate_decay")}
    model.hold_noise()
    sampler, = model.find_modules(nn.Sampler)

    def feval(_, x):
        model.zero_grad_parameters()
        prediction = model.forward(x)
        reconstructions.append(criterion.forward(prediction, x))
        divergences.append(model.kl.divergence)
        model.backward(x, criterion.backward(prediction, x))
        first.append((1 / (1 + np.exp(-prediction)), grads.copy()))
        return reconstructions[-1], grads

    reconstructions, divergences, first, xs = [], [], [], []
    for x, noise in zip(map(array, case["inputs"]), case["noises"]):
        sampler.noise = array(noise)
        optim.adam(lambda parameters, x=x: feval(parameters, x), parameters, state)
        xs.append(parameters.copy())
    assert_equal(first[0][0], case["outputs"][0], near)
    assert_equal(first[0][1], case["gs"][0], near)
    assert_equal(reconstructions, case["reconstructions"], near)
    assert_equal(divergences, case["divergences"], near)
    assert_all_equal((xs[0], xs[-1]), case["xs"], near)


# -- what differs on purpose ------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases("View", different=True))
def test_a_view_of_a_batch_of_one_keeps_the_batch_axis(case):
    """A row of a batch is what it is in any other batch."""
    x, layer = array(case["input"]), built(case)
    sizes = tuple(case["args"]["sizes"])
    wanted = array(case["output"]).reshape(1, *sizes)
    assert layer.forward(x).shape == (1, *sizes)
    assert_equal(layer.output, wanted)
    assert_equal(layer.backward(x, array(case["grad_output"]).reshape(wanted.shape)), case["grad_input"])


@pytest.mark.parametrize("case", cases("BatchNormalization", different=True))
def test_torch7_normalizes_a_batch_of_one_by_the_running_statistics(case):
    """minivae refuses one row, whose numbers have no variance, and takes the H · W numbers of one image, as PyTorch."""
    batch = case["batches"][0]
    x, layer = array(batch["input"]), built(case)
    if x.ndim == 2:
        with pytest.raises(ShapeError, match="one number of a feature has no variance; train with batches of 2"):
            layer.forward(x)
    else:
        layer.forward(x)
        wide = layer.weight[:, None, None], layer.bias[:, None, None]
        wanted = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + layer.epsilon)
        assert_equal(layer.output, wide[0] * wanted + wide[1])
    layer = built(case).evaluate()
    layer.zero_grad_parameters()
    for batch in case["batches"]:
        run_batch(layer, batch)


@pytest.mark.parametrize("case", cases("BCECriterion", different=True))
def test_torch7s_bce_has_an_epsilon_and_nothing_else_differs(case):
    """A mistake of which the model is certain costs 27.6 nats there and 100 here; p = 1e-6 has 5e-8 of its loss off."""
    p, x, criterion = array(case["input"]), array(case["target"]), nn.BCECriterion(**case["args"]).double()
    share = 1 / x.size if case["args"]["size_average"] else 1
    value, slope = entropy(p, x, 1e-12)
    assert_equal(share * value, case["output"])
    assert_equal(share * slope, case["grad_input"])
    mine, grad = criterion.forward(p, x), criterion.backward(p, x)
    if case["note"] == "certain, right and wrong":
        assert mine == 200 * share and np.isfinite(grad).all() and np.sign(grad).tolist() == [[1, -1, -1, 1]]
        return
    assert_equal(mine, share * entropy(p, x, 0)[0])
    assert_equal(grad, share * entropy(p, x, 0)[1], 1e-10)  # (1 − x) / (1 − p) − x / p, two terms that may cancel
    assert_equal(mine, case["output"], 1e-7)


def test_torch7s_criterions_average_and_minivaes_sum():
    """A sum over the elements: a mean would weigh it wrongly against the divergence."""
    case, = (each for each in CASES if each["layer"] == "BCECriterion default")
    assert case["size_average"] is True and nn.BCECriterion().size_average is False


@pytest.mark.parametrize("case", cases("optim.sgd", different=True))
def test_torch7s_sgd_dampens_by_the_momentum_unless_told_otherwise(case):
    xs, fs = steps_of(case, dampening=case["args"]["momentum"])
    assert_equal(xs, case["xs"])
    assert_equal(fs, case["fs"])
    assert np.abs(np.array(steps_of(case)[0]) - array(case["xs"])).max() > 0.01


@pytest.mark.parametrize("case", cases("optim.adam", different=True))
def test_torch7s_adam_takes_the_articles_momentum_and_does_nothing_with_it(case):
    with pytest.raises(OptionError, match="unknown key momentum"):
        steps_of(case)
    xs, fs = steps_of(case, momentum=None)
    assert_equal(xs, case["xs"])
    assert_equal(fs, case["fs"])


def test_torch7s_soft_plus_is_linear_above_20():
    """There log(1 + e^x) = x above 20, off by 2e-9, and its derivative at −40 is 0; here both are exact."""
    layer, x = nn.SoftPlus().double(), np.array([[20.5, 30, -40, 40]])
    assert (layer.forward(x) > np.where(x > 20, x, 0))[:, :3].all()
    assert_equal(layer.output, np.log1p(np.exp(x)))
    assert_equal(layer.backward(x, np.ones_like(x)), 1 / (1 + np.exp(-x)))


def test_padding_left_out_is_as_in_torch7():
    """A convolution's height is padded as its width, a pooling's is not; the documentation says 0 for both."""
    assert nn.SpatialConvolution(1, 1, 3, 5, padw=2).pad == (2, 2) and nn.SpatialConvolution(1, 1, 3, 3).pad == (0, 0)
    assert nn.SpatialConvolution(1, 1, 3, 3, padw=1, padh=0).pad == (0, 1)
    assert nn.SpatialMaxPooling(3, 3, padw=1).pad == (0, 1)


def test_every_difference_is_shown_and_every_case_run():
    found = [(case["layer"], case.get("note")) for case in CASES]
    assert all(any(layer == each and note in (None, its) for each, its in found) for layer, note in DIFFERENT)
    kinds = {"BatchNormalization", "BCECriterion", "BCECriterion default", "optim.adam", "optim.sgd", "model.vae",
             "model.bvae", *LAYERS}
    assert {layer for layer, _ in found} == kinds
