"""Reports on estimators: what is biased is seen, what is not is not, and noise is as large as it is."""

import numpy as np
import pytest

from minivae import backend, models, nn, objectives
from minivae.debug import estimator_report, signal_to_noise
from minivae.debug.gradient_moments import moments
from minivae.errors import OptionError

X = (np.random.default_rng(0).uniform(size=(4, 1, 3, 3)) > 0.5).astype(np.float32)
MODELS = {"bits": models.bernoulli_vae(image=(1, 3, 3), hidden=6, code=3),
          "categories": models.categorical_vae(image=(1, 3, 3), hidden=6, code=2, categories=3)}


class Planted(nn.ExpectedCriterion):
    """Its gradient by q is a fifth too large."""

    def update_grad_input(self, input, target):
        by_prediction, by_q = super().update_grad_input(input, target)
        return by_prediction, 1.2 * by_q


def planted(model):
    objective = objectives.build(model, "elbo", "exact")
    objective.criterion = Planted(objective.criterion.criterion)
    return objective


def drawn(model, spread=1.0):
    """A copy whose weights are large enough for its codes to matter."""
    model = model.clone()
    for k, array in enumerate(model.parameters()[0]):
        array[...] = np.random.default_rng(k).normal(scale=spread, size=array.shape)
    return model


@pytest.fixture(scope="module", params=MODELS)
def report(request):
    """Of some 60 numbers that are looked at, one is 4 standard errors off by chance in 30,000 / 60 reports, and the
    draws are always the same."""
    return estimator_report(drawn(MODELS[request.param]), X, draws=256, temperatures=(1,), others={"planted": planted})


def layers(report):
    return [layer for name, layer in report.rows if name == "exact"]


def test_the_exact_gradient_has_neither_bias_nor_noise(report):
    for layer in layers(report):
        assert report["exact", layer].relative_bias < 1e-12 and report["exact", layer].noise < 1e-6
        assert not report.biased("exact", layer)


@pytest.mark.parametrize("name", ["score function", "score function, baseline"])
def test_the_score_function_has_no_bias_that_is_seen(report, name):
    assert all(abs(report[name, layer].z) < 4 and report[name, layer].noise > 0.01 for layer in layers(report))


def test_the_baseline_takes_noise_away_from_the_encoder(report):
    for layer in layers(report):
        if layer.startswith("encoder"):
            assert report["score function, baseline", layer].noise < 0.7 * report["score function", layer].noise


def test_straight_through_and_relaxed_gradients_are_biased(report):
    encoder = [layer for layer in layers(report) if layer.startswith("encoder")]
    assert all(report.biased("relaxed, T = 1", layer) for layer in encoder)
    assert any(report.biased("straight-through, T = 1", layer) for layer in encoder)
    assert not any(report.biased("straight-through, T = 1", layer) for layer in layers(report) if "decoder" in layer)


def test_a_planted_bias_is_seen_where_it_is(report):
    for layer in layers(report)[:-1]:
        assert report.biased("planted", layer) == layer.startswith("encoder"), layer
    assert "planted" in str(report) and "biased" in str(report)


def test_it_leaves_the_model_and_the_stream_alone():
    model, state = MODELS["bits"], backend.get_random_state()
    before = model.state_dict()
    estimator_report(model, X, draws=3, temperatures=())
    assert backend.get_random_state() == state and model.dtype == np.float32
    assert model.samples == 1 and not model.find_modules(nn.HardBits)[0].straight_through
    assert all(np.array_equal(array, before[path]) for path, array in model.state_dict().items())


def test_what_it_cannot_compare_with_an_exact_gradient_is_refused():
    with pytest.raises(OptionError, match="at most 4096"):
        estimator_report(models.bernoulli_vae(image=(1, 3, 3), hidden=6), X)
    with pytest.raises(OptionError, match="of bits and categories"):
        estimator_report(models.vae(image=(1, 3, 3), hidden=6), X)


def test_moments_of_a_known_gradient():
    """Normal draws of a known mean and covariance, bias of one part alone; 4 standard errors around each."""
    random, right = np.random.default_rng(5), np.array([3.0, 0, 4, 1])
    found = moments(lambda: right + [0, 0, 0.5, 0] + random.normal(size=4) * [1, 2, 3, 0], 2000, right,
                    {"first": slice(0, 2), "second": slice(2, 4)})
    assert found["first"].size == 9 and abs(found["first"].z) < 4
    assert abs(found["first"].variance - 5) < 4 * found["first"].variance_error < 1
    assert found["second"].bias == pytest.approx(0.25, abs=4 * found["second"].bias_error)
    assert found["second"].z > 4 and abs(found["second"].variance - 9) < 4 * found["second"].variance_error


def test_errors_are_as_large_as_they_say():
    """Of 300 estimates without bias, the z have mean 0 and standard deviation 1, to 4 standard errors and a tenth."""
    random, zero = np.random.default_rng(6), np.zeros(5)
    z = np.array([moments(lambda: random.normal(size=5), 64, zero, {"all": slice(None)})["all"].z for _ in range(300)])
    assert abs(z.mean()) < 4 / np.sqrt(300) + 0.1 and 0.6 < z.std() < 1.3


def test_signal_falls_with_the_draws_of_iwae_and_grows_with_those_of_dreg():
    model = drawn(models.vae(image=(1, 3, 3), hidden=6), 0.3)
    found = signal_to_noise(model, X, draws=400, samples=(1, 32))
    for name, grows in (("iwae", False), ("dreg", True)):
        few, many = found.ratio(name, 1), found.ratio(name, 32)
        error = np.hypot(found.error(name, 1), found.error(name, 32))
        assert (many - few if grows else few - many) > 2 * error, str(found)
    assert "signal / noise" in str(found)


def test_signal_to_noise_takes_a_model_that_is_given_labels():
    model = drawn(models.conditional_vae(image=(1, 3, 3), labels=2, hidden=6, code=2), 0.3)
    rows = np.concatenate([X.reshape(len(X), -1), np.eye(2)[np.arange(len(X)) % 2]], axis=1)
    found = signal_to_noise(model, rows, draws=9, samples=(1, 2)).rows
    assert len(found) == 4 and all(each.variance > 0 for each in found.values())
