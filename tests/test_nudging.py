"""The nudges of a page: real losses, of the very function that the trace went through."""

import numpy as np
import pytest

import minivae as mv
from minivae import models, nn
from minivae.debug.nudging import POINTS, nudges
from minivae.debug.tracing import trace
from minivae.errors import OptionError

MODELS = {
    "vae": lambda: models.vae(image=(1, 4, 4), hidden=5, beta=0.5),
    "denoising": lambda: models.denoising_vae(image=(1, 4, 4), hidden=5),
    "bernoulli": lambda: models.bernoulli_vae(image=(1, 4, 4), hidden=5, code=3),
    "gaussian": lambda: models.aevb("gaussian", image=(4, 4), hidden=5, code=3),
}


def image():
    return np.random.default_rng(0).integers(0, 2, (1, 1, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_differences_are_the_gradients_and_curves_go_through_the_loss(make):
    model, x = make().training(), image()
    recorded = trace(model, x, seed=3)
    found = nudges(model, x, recorded)
    steps = {(step.path, step.verb): step for step in recorded}
    gradients = {(path, name): steps[path, "acc_grad_parameters"][f"grad_{name}"]
                 for path, name in {(each.path, each.parameter) for each in found}}
    assert {f"{path}.{name}" for path, name in gradients} == {path for path, _, _ in model.named_parameters()}
    fit = float(steps["criterion", "update_output"]["output"])
    beta = model.kl.beta
    for each in found:
        scale = np.abs(gradients[each.path, each.parameter]).max() + 1e-3
        assert abs(each.analytic - gradients[each.path, each.parameter][each.index]) <= 1e-4 * scale
        assert abs(each.numeric - each.analytic) <= 1e-6 * scale
        assert len(each.moves) == len(each.losses) == POINTS and each.moves[POINTS // 2] == 0
        assert each.losses[POINTS // 2] == pytest.approx(fit + beta * steps["kl", "update_output"]["divergence"], 1e-5)
        assert np.ptp(each.losses) > 0 or each.analytic == 0


def test_the_model_stays_as_it_was_and_the_largest_gradients_are_there():
    model, x = MODELS["vae"](), image()
    before = model.get_parameters()[0].copy()
    recorded = mv.trace(model, x)
    found = nudges(model, x, recorded)
    assert np.array_equal(model.get_parameters()[0], before)
    gradient = next(step for step in recorded if step.path == "decoder.4" and step.verb == "acc_grad_parameters")
    largest = max(abs(each.analytic) for each in found if (each.path, each.parameter) == ("decoder.4", "weight"))
    assert largest == pytest.approx(np.abs(gradient["grad_weight"]).max(), rel=1e-4)  # several may be as large


def test_a_model_without_a_criterion_is_refused():
    layer, x = nn.Linear(2, 1), np.ones((1, 2), np.float32)
    with pytest.raises(OptionError, match=r"Linear\(2 -> 1\) has none"):
        nudges(layer, x, mv.trace(layer, x))
