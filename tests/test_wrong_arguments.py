"""Public functions say what is wrong with what they are given, by its name."""

import inspect
from functools import partial

import numpy as np
import pytest

import minivae as mv
from minivae import data, debug, evaluation, models, nn, optim, training
from minivae.errors import MinivaeError

FUNCTIONS = (mv.gradcheck, mv.gradcheck_criterion, mv.trace, mv.side_loss, mv.save,
             optim.adam, optim.sgd, optim.rmsprop, optim.stochastic_gradient, training.train, training.Training,
             evaluation.elbo, evaluation.log_likelihood, evaluation.exact_log_likelihood, evaluation.encode,
             evaluation.active_units, data.Batches, data.rectangles, data.squares, data.entropy,
             data.own_data.split, data.Redrawn.draw)
CHECKED = {"model", "module", "criterion", "batches", "pixels", "batch_size", "feval", "state", "epochs", "samples",
           "n", "height", "width", "side", "sides", "seed"}
JUNK = {"class": nn.Tanh, "module": nn.Tanh(), "criterion": nn.MSECriterion(),
        "array": np.ones((2, 3), np.float32), "float": 1e3, "negative": -1, "text": "4", "list": [1, 2.5], "none": None}


def sound(function):
    """{name: value} of the parameters that a function needs, each of its kind."""
    images, x = data.rectangles(4, 4, 4, sides=(2, 2)), np.ones((2, 16), np.float32)
    given = {"model": models.bernoulli_vae(image=(4, 4), hidden=3, code=2), "module": nn.Tanh(), "input": x,
             "criterion": nn.MSECriterion(), "prediction": x, "target": x, "pairs": [(x, x)], "images": images,
             "batches": data.Batches(images, 2), "pixels": images, "batch_size": 2, "path": "model.npz", "state": {},
             "feval": lambda x: (0.0, x), "x": x[0], "self": data.Redrawn(images), "seed": 0, "share": 0.5}
    return {name: given[name] for name, each in inspect.signature(function).parameters.items()
            if each.default is each.empty and each.kind is not each.VAR_KEYWORD}


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize(("function", "name"), [
    (function, name) for function in FUNCTIONS for name in inspect.signature(function).parameters if name in CHECKED],
    ids=lambda each: getattr(each, "__name__", each))
def test_a_wrong_argument_is_named(function, name, junk, tmp_path, monkeypatch):
    """A function takes what stands in the place of an argument, or names the argument and what came."""
    if name == "feval" and callable(JUNK[junk]):
        return  # a function is as good as what it returns
    monkeypatch.chdir(tmp_path)
    try:
        function(**sound(function) | {name: JUNK[junk]})
    except MinivaeError as error:
        assert name.removesuffix("s") in str(error) or "expected an array, got" in str(error)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda each: each.__name__)
def test_what_is_sound_is_taken(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert function(**sound(function)) is not None or (tmp_path / "model.npz").exists()


@pytest.mark.parametrize("junk", JUNK)
@pytest.mark.parametrize(("function", "name"), [
    (each.function, name) for each in models.ALL for name in each.parameters], ids=lambda each: getattr(
    each, "__name__", each))
def test_a_wrong_option_of_a_model_is_named(function, name, junk):
    """Of a function that is called directly, as of the command line's options."""
    try:
        made = function(**{"image": (8, 8), name: JUNK[junk]})
    except MinivaeError as error:
        assert name in str(error)
    else:
        assert isinstance(made, models.VAE)


@pytest.mark.parametrize("junk", ["no", 0, None, [], np.ones(2)], ids=str)
@pytest.mark.parametrize(("made", "flags"), [
    (partial(data.Batches, data.rectangles(2), 1), ["by_epoch", "drop_last"]), (partial(nn.Linear, 2, 2), ["bias"]),
    (partial(nn.Linear.tied, nn.Linear(2, 2)), ["bias"]), (nn.MSECriterion, ["size_average"]),
    (nn.BCECriterion, ["size_average"]), (partial(nn.ScoreFunctionCriterion, nn.MSECriterion()), ["baseline"]),
    (partial(nn.SpatialMaxPooling, 2, 2), ["ceil_mode"]), (partial(nn.BatchNormalization, 2), ["affine"]),
    (partial(nn.SpatialAveragePooling, 2, 2), ["ceil_mode", "count_include_pad"]), (nn.Tanh().hold_noise, ["on"]),
    (nn.HardBits, ["straight_through"]), (nn.ReLU, ["inplace"]),
    (lambda **flag: optim.sgd(lambda x: (0.0, x), np.ones(2), {"momentum": 0.5} | flag), ["nesterov"]),
    (partial(optim.stochastic_gradient, nn.Tanh(), nn.MSECriterion(), [(np.ones((1, 1), "float32"),) * 2]),
     ["shuffle"])])
def test_a_flag_is_true_or_false(made, flags, junk):
    """A text such as "no" would count as true."""
    for name in flags:
        made(**{name: np.True_})
        with pytest.raises(MinivaeError, match=rf"\({name}=.*: {name} is True or False"):
            made(**{name: junk})


@pytest.mark.parametrize("rate", ["0.1", None, [1], -1, float("nan"), True])
@pytest.mark.parametrize("optimiser", [optim.adam, optim.sgd, optim.rmsprop], ids=lambda each: each.__name__)
def test_a_rate_is_shown_as_it_came(optimiser, rate):
    x = np.ones(3, np.float32)
    with pytest.raises(MinivaeError) as error:
        optimiser(lambda x: (0.0, x), x, {"learning_rate": rate})
    assert f"learning_rate is {rate!r}; choose a number from 0" in str(error.value)


LEARNING = training.Training(models.vae(image=(4, 4), hidden=3), data.Batches(np.zeros((4, 4, 4)), 2))


@pytest.mark.parametrize(("wrong", "message"), [
    (lambda x: mv.gradcheck(nn.Tanh, x), r"\(module=<class.*: module is an instance of Module; write Tanh\(\)"),
    (lambda x: mv.gradcheck(nn.MSECriterion(), x), "gradcheck_criterion.* checks a criterion$"),
    (lambda x: mv.gradcheck_criterion(nn.Tanh(), x, x), r"gradcheck\(module, input\) checks a module$"),
    (lambda x: mv.trace(nn.Linear, x), r"write Linear\(\.\.\.\), not Linear$"),
    (lambda x: training.train(models.VAE, None), r"write VAE\(\.\.\.\), not VAE$"),
    (lambda x: training.train(models.vae, None), r"instance of VAE; write vae\(\), not vae$"),
    (lambda x: training.train(models.find, None), "instance of VAE$"),
    (lambda x: training.train(models.vae(hidden=3), nn.Tanh), r"Batches\(images, batch_size=16\) makes"),
    (lambda x: nn.Sequential(models.vae), r"write vae\(\), not vae$"),
    (lambda x: nn.LogDensities(3), r"LogDensities\(kl=3\): kl is an instance of Divergence$"),
    (lambda x: nn.ScoreFunction(nn.BernoulliKL), r"write BernoulliKL\(\), not BernoulliKL$"),
    (lambda x: nn.EnumeratedPrior(nn.GaussianKL(), 2), r"such a code of GaussianKL has more than 4096 values"),
    (lambda x: mv.save(nn.Sequential(nn.Linear(2, 2)), "m.npz"), r"numpy\.savez\(path, \*\*module\.state_dict\(\)\)"),
    (lambda x: training.train(models.vae(hidden=3), data.rectangles(4)), r"Batches\(images, batch_size=16\) makes"),
    (lambda x: debug.signal_to_noise(models.vae(hidden=3), x, samples=4), r"are numbers of draws; write \(4,\)"),
    (lambda x: debug.signal_to_noise(models.vae(hidden=3), x, samples=(4, 0.5)), "samples is a whole number from 1"),
    *((lambda x, t=t: debug.estimator_report(models.bernoulli_vae(hidden=3), x, temperatures=t), f"={said}.* above 0")
      for t, said in ((0.5, r"0\.5\):"), ((1, 0), r"0\):"), (["x"], r"'x'\):"), (None, r"None\):"))),
    *((lambda x, rate=rate: nn.Linear(2, 2).update_parameters(rate), "learning_rate is a finite number")
      for rate in ("a", None, float("nan"), float("inf"))),
    (lambda x: nn.Linear(2, 2).share(3, "weight"), r"share\(other=3\): other is an instance of Module$"),
    (lambda x: nn.Linear(2, 2).share(nn.Linear, "weight"), r"write Linear\(\.\.\.\), not Linear$"),
    (lambda x: nn.Linear(2, 2).share(nn.Linear(2, 2), ["weight"]), r"names of parameters, out of bias, weight$"),
    (lambda x: nn.Linear(2, 2).clone(3), r"clone\(share=3\): share are names of parameters; write \(3,\)"),
    (lambda x: nn.Linear(2, 2).clone((3,)), r"share=\(3,\); give names of parameters, out of bias, weight$"),
    (lambda x: models.vae(hidden=3).made_by(3, {}), r"made_by\(function=3\): function is a function"),
    (lambda x: models.vae(hidden=3).made_by(models.vae, 4), r"made_by\(options=4\): options is an instance of dict"),
    *((lambda x, floor=floor: LEARNING.run(1, floor=floor), r"run\(floor=.* floor is a number of nats per image")
      for floor in ("a", float("nan"))),
    (lambda x: debug.check_noise(nn.GaussianNoise(0)), r"GaussianNoise\(0\) has std 0.0: there is no noise to count"),
])
def test_the_error_says_what_to_do(wrong, message):
    with pytest.raises(MinivaeError, match=message) as error:
        wrong(np.ones((2, 3), np.float32))
    assert "\n" not in str(error.value) and LEARNING.steps == 0


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (0,)])
@pytest.mark.parametrize("check", [
    lambda x: mv.gradcheck(nn.Tanh(), x), lambda x: mv.gradcheck(nn.GaussianKL(), (x, x)),
    lambda x: mv.gradcheck_criterion(nn.MSECriterion(), x, x),
    lambda x: mv.gradcheck_criterion(nn.GaussianNLLCriterion(), (x, x), x)])
def test_a_check_that_would_compare_nothing_is_refused(check, shape):
    with pytest.raises(MinivaeError, match=r"has shape \(.*no number that could be moved; give it a row or more"):
        check(np.ones(shape, np.float32))
