"""Objectives: what they compute against sums by hand and PyTorch's autograd, and runs that have them."""

import json
from itertools import product
from math import log
from typing import get_args

import numpy as np
import pytest
from few import few
from small import built

import minivae as mv
from minivae import backend, evaluation, models, nn, objectives
from minivae.cli import main
from minivae.data import Batches, rectangles
from minivae.errors import OptionError, ShapeError
from minivae.models.likelihoods import Likelihood
from minivae.quantities import quantities
from minivae.training import Training

TOLERANCE = 1e-10
X = (np.random.default_rng(0).uniform(size=(4, 1, 3, 3)) > 0.5).astype(np.float64)
CASES = {"bits": ("bernoulli", {"code": 3}), "categories": ("categorical", {"code": 2, "categories": 3}),
         "draws": ("categorical", {"code": 2, "categories": 3, "samples": 4}),
         "gaussian": ("vae", {"samples": 3}), "mean and log_var": ("aevb", {"samples": 3, "likelihood": "gaussian"})}
CASES |= {f"learned {case}": (name, options | {"learn_prior": True}) for case, (name, options) in
          list(CASES.items())[:2]}
DISCRETE = [(case, name, estimator) for case in ("bits", "categories", "learned bits", "learned categories")
            for name, estimator in (("elbo", "exact"), ("exact_likelihood", None))]
WEIGHTED = [(case, name, None) for case in ("gaussian", "mean and log_var") for name in ("iwae", "dreg")]
each_case = pytest.mark.parametrize(("case", "name", "estimator"), [*DISCRETE, *WEIGHTED])


def made(case, **options):
    name, given = CASES[case]
    model = built(name, given | options, image=(1, 3, 3), hidden=7).double()
    for array in model.kl.parameters()[0]:
        learned = np.random.default_rng(7).normal(size=array.shape)
        array[...] = backend.from_numpy(learned, like=array)
    model.get_parameters()
    return model


def passed(model, name, estimator, x=X):
    """The objective, and its terms, after one pass forward and backward with noise that is held."""
    objective = objectives.build(model, name, estimator)
    objective.network.hold_noise()
    model.zero_grad_parameters()
    prediction = objective.network.forward(x)
    value = objective.criterion.forward(prediction, x)
    objective.network.backward(x, objective.criterion.backward(prediction, x), need_grad_input=False)
    return objective, objective.terms(value)


# -- values ---------------------------------------------------------------------------------------


def by_hand(model, x):
    """ln q(z|x), ln p(z) and −ln p(x|z) of all codes (N, S), by a loop over them."""
    a = model.encode(x)
    bits = isinstance(model.kl, nn.BernoulliKL)
    rows = []
    for code in product(range(2 if bits else a.shape[2]), repeat=a.shape[1]):
        z = np.array([code], float) if bits else np.eye(a.shape[2])[list(code)].reshape(1, -1)
        p = np.clip(model.decode(z).reshape(1, -1), 1e-300, 1)
        image = x.reshape(len(x), -1)
        loss = -(image * np.log(p) + (1 - image) * np.log(1 - p)).sum(axis=1)
        log_q = (a * z - np.log1p(np.exp(a))).sum(axis=1) if bits else sum(
            a[:, k, c] - np.log(np.exp(a[:, k]).sum(axis=1)) for k, c in enumerate(code))
        rows.append((log_q, np.full(len(x), -log(2 if bits else a.shape[2]) * a.shape[1]), loss))
    return np.array(rows).transpose(1, 2, 0)


@pytest.mark.parametrize("case", ["bits", "categories"])
def test_sums_over_all_codes_are_those_by_hand(case):
    model = made(case)
    log_q, log_p, losses = by_hand(model, X)
    _, (loss, reconstruction, divergence) = passed(model, "elbo", "exact")
    q = np.exp(log_q)
    assert reconstruction == pytest.approx((q * losses).sum(), rel=1e-12)
    assert divergence == pytest.approx((q * (log_q - log_p)).sum(), rel=1e-9)
    assert loss == pytest.approx(reconstruction + divergence)
    _, (loss, reconstruction, divergence) = passed(model, "exact_likelihood", None)
    total = np.logaddexp.reduce(log_p - losses, axis=1)
    posterior = np.exp(log_p - losses - total[:, None])
    assert loss == pytest.approx(-total.sum(), rel=1e-12)
    assert reconstruction == pytest.approx((posterior * losses).sum(), rel=1e-12)
    assert divergence == pytest.approx((posterior * (np.log(posterior) - log_p)).sum(), rel=1e-9)
    measured = evaluation.exact_log_likelihood(model, X)
    assert (measured.value, measured.reconstruction, measured.divergence) == pytest.approx(
        (-loss / 4, reconstruction / 4, divergence / 4))


def test_beta_weighs_the_divergence_of_the_exact_elbo():
    model = made("bits", beta=0.3)
    _, (loss, reconstruction, divergence) = passed(model, "elbo", "exact")
    assert loss == pytest.approx(reconstruction + 0.3 * divergence)


def test_one_draw_is_an_elbo_and_more_draws_bound_more_tightly():
    """With one draw, reconstruction + ln q − ln p; the bounds of many draws come near log p(x)."""
    model = made("gaussian", samples=1)
    objective, terms = passed(model, "iwae", None)
    _, log_p, log_q = objective.network.output
    assert terms[0] == pytest.approx(terms[1] + (log_q - log_p).sum())
    with backend.seeded(0):
        means = []
        for samples in (1, 10, 1000):
            model = made("gaussian", samples=samples)
            for layer in model.find_modules(nn.Linear):
                layer.weight[:] = np.random.default_rng(layer.weight.size).normal(size=layer.weight.shape) / 3
                layer.bias[:] = 0
            objective = objectives.build(model, "iwae")
            means.append(np.mean([objective.criterion.forward(objective.network.forward(X), X) for _ in range(100)]))
    assert means[0] > means[1] + 0.05 > means[1] > means[2]


def test_weights_that_exp_cannot_hold():
    """Log-weights of −2000 and −1000: each image's own largest is taken out."""
    criterion = nn.ImportanceWeightedCriterion(nn.BCEWithLogitsCriterion(samples=2).double())
    a, zero, x = np.array([[2000.0], [1000]]), np.zeros(2), np.zeros((1, 1))
    assert criterion.forward((a, zero, zero), x) == pytest.approx(1000 + log(2))
    assert criterion.backward((a, zero, zero), x)[0].tolist() == [[0], [1]]
    likelihood = nn.LikelihoodCriterion(nn.BCEWithLogitsCriterion().double())
    assert likelihood.forward((a, np.log([0.5, 0.5])), x) == pytest.approx(1000 + log(2))


# -- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "name", "estimator"), [*DISCRETE, *(each for each in WEIGHTED if each[1] != "dreg")])
def test_gradients_are_those_of_differences(case, name, estimator):  # dreg is an estimator: see PyTorch's, below
    objective, _ = passed(made(case), name, estimator)
    rng = np.random.default_rng(1)
    for path, array, grad in objective.network.named_parameters():
        for index in rng.integers(0, array.shape, (3, array.ndim)):
            index, losses = tuple(index), []
            kept, analytic = array[index], grad[index]
            for step in (1e-5, -1e-5):
                array[index] = kept + step
                losses.append(objective.terms(objective.criterion.forward(objective.network.forward(X), X))[0])
            array[index] = kept
            assert analytic == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-6, abs=1e-6), path


def criterions():
    rng = np.random.default_rng(2)
    a, q, log_p = rng.normal(size=(5, 9)), rng.dirichlet(np.ones(5), 4), np.log(rng.dirichlet(np.ones(5)))
    draws, table = rng.normal(size=(12, 9)), (rng.normal(size=(5, 9)), rng.normal(size=(5, 9)))
    many = tuple(rng.normal(size=(12, 9)) for _ in range(2))
    numbers = rng.normal(size=12), rng.normal(size=12)
    for inner in (nn.BCEWithLogitsCriterion, nn.ContinuousBernoulliCriterion, nn.GaussianNLLCriterion, nn.MSECriterion):
        yield nn.ExpectedCriterion(inner()), (a, q)
        yield nn.LikelihoodCriterion(inner()), (a, log_p)
        yield nn.ImportanceWeightedCriterion(inner(samples=3)), (draws, *numbers)
    yield nn.ExpectedCriterion(nn.GaussianNLLCriterion()), (table, q)
    yield nn.ImportanceWeightedCriterion(nn.GaussianNLLCriterion(samples=3)), (many, *numbers)


@pytest.mark.parametrize(("criterion", "prediction"), list(criterions()), ids=str)
def test_criterions_have_the_gradient_of_their_value(criterion, prediction):
    mv.gradcheck_criterion(criterion, prediction, X).raise_if_failed()
    assert repr(criterion.criterion) in repr(criterion)


@pytest.mark.parametrize("shape", [(5, 9), (100, 9)], ids=["by columns", "by rows"])
def test_pairs_of_pixels_are_those_of_the_slow_way(shape):
    rng, criterion = np.random.default_rng(3), nn.BCEWithLogitsCriterion().double()
    a, weights = 20 * rng.normal(size=shape), rng.normal(size=(4, shape[0]))
    slow = nn.Criterion.pairs(criterion, a, X), nn.Criterion.pairs_backward(criterion, a, X, weights)
    assert criterion.pairs(a, X) == pytest.approx(slow[0], rel=1e-12)
    assert criterion.pairs_backward(a, X, weights) == pytest.approx(slow[1], abs=1e-12)


def test_sure_logits_lose_no_digit_in_float32():
    a = np.float32([[3000, -3000] * 50, [3000.5, -3000] * 50])
    x = np.float32([[1, 0] * 50, [0, 0] * 50])
    losses = nn.BCEWithLogitsCriterion().pairs(a, x)
    assert losses == pytest.approx(np.array([[0, 0], [150000, 150025]]))


def gradients(case, name, repeats, samples):
    """Flat gradients of fresh draws (repeats, P), of one model."""
    model = made(case, samples=samples)
    for k, array in enumerate(model.parameters()[0]):
        array[...] = np.random.default_rng(k).normal(size=array.shape)
    objective, found = objectives.build(model, name), []
    with backend.seeded(3):
        for _ in range(repeats):
            model.zero_grad_parameters()
            prediction = objective.network.forward(X)
            objective.criterion.forward(prediction, X)
            objective.network.backward(X, objective.criterion.backward(prediction, X))
            found.append(model.get_parameters()[1].copy())
    return np.array(found)


def test_the_doubly_reparameterized_gradient_has_the_same_mean():
    """The mean of 800 gradients, of each parameter: 5 standard errors apart in one of 1.7 million, of 200."""
    plain, double = (gradients("gaussian", name, 800, 4) for name in ("iwae", "dreg"))
    difference = plain.mean(axis=0) - double.mean(axis=0)
    error = np.sqrt((plain.var(axis=0) + double.var(axis=0)) / 800)
    assert (np.abs(difference) < 5 * error + 1e-12).all()
    encoder = slice(0, 7 * 9 + 7)
    assert double.var(axis=0)[encoder].sum() < plain.var(axis=0)[encoder].sum()


# -- PyTorch --------------------------------------------------------------------------------------


def torch_loss(torch, case, name, weights, noise, decoder):
    """The objective written with PyTorch's operations."""
    x = torch.tensor(X.reshape(4, -1))

    def mlp(h, weights):
        for k in range(0, len(weights), 2):
            h = torch.nn.functional.linear(torch.relu(h) if k else h, weights[k], weights[k + 1])
        return h

    def losses(out, x):
        if case == "mean and log_var":
            h = torch.relu(torch.nn.functional.linear(out, *decoder[:2]))
            mean = torch.nn.functional.linear(h, *decoder[2:4])
            log_var = torch.clamp(torch.nn.functional.linear(h, *decoder[4:]), min=-6)
            return -torch.distributions.Normal(mean, torch.exp(log_var / 2)).log_prob(x).sum(-1)
        return torch.nn.functional.binary_cross_entropy_with_logits(mlp(out, decoder), x, reduction="none").sum(-1)

    encoder = weights[:len(weights) - len(decoder)]
    if name == "exact_likelihood" or name == "elbo":
        prior = encoder.pop() if case.startswith("learned") else torch.zeros(3 if "bits" in case else (2, 3))
        case = case.removeprefix("learned ")
        sizes = [2] * 3 if case == "bits" else [3] * 2
        codes = list(product(*map(range, sizes)))
        z = torch.tensor(np.array([np.ravel(code if case == "bits" else np.eye(3)[list(code)]) for code in codes],
                                  float))
        logits = mlp(x, encoder)
        if case == "bits":
            log_q = torch.distributions.Bernoulli(logits=logits[:, None]).log_prob(z[None]).sum(-1)
            log_p = torch.distributions.Bernoulli(logits=prior.double()).log_prob(z).sum(-1)
        else:
            log_p = (torch.log_softmax(prior.double(), -1).reshape(6) * z).sum(-1)
            log_q = (torch.log_softmax(logits.reshape(4, 2, 3), -1).reshape(4, 1, 6) * z).sum(-1)
        nll = torch.stack([losses(z, each.expand(len(z), -1)) for each in x])
        if name == "exact_likelihood":
            return -torch.logsumexp(log_p - nll, 1).sum() + 0 * logits.sum()
        return (torch.exp(log_q) * (log_q - log_p + nll)).sum()
    h = torch.relu(mlp(x, encoder[:-4])) if case == "gaussian" else torch.relu(mlp(x, encoder[:2]))
    mean, log_var = (torch.nn.functional.linear(h, *each) for each in (encoder[-4:-2], encoder[-2:]))
    mean, std = mean.repeat_interleave(3, 0), torch.exp(log_var / 2).repeat_interleave(3, 0)
    z = mean + std * torch.tensor(noise)
    q = torch.distributions.Normal(mean.detach(), std.detach()) if name == "dreg" else torch.distributions.Normal(
        mean, std)
    prior = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0)

    def log_w(z):
        return (prior.log_prob(z).sum(-1) - q.log_prob(z).sum(-1) - losses(z, x.repeat_interleave(3, 0))).reshape(4, 3)

    if name == "iwae":
        return -(torch.logsumexp(log_w(z), 1) - log(3)).sum()
    weight = torch.softmax(log_w(z), 1).detach()
    # Tucker et al.: the decoder's gradient has weights w̃, that through the codes w̃²; each without the other's
    by_codes = (weight**2 * log_w(z)).sum()
    encoder_grads = torch.autograd.grad(-by_codes, encoder, retain_graph=True)
    decoder_grads = torch.autograd.grad(-(weight * log_w(z.detach())).sum(), decoder)
    return [*encoder_grads, *decoder_grads]


@each_case
def test_every_gradient_is_that_of_pytorch(case, name, estimator):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0 runs this "
                                "comparison")
    model = made(case)
    _, terms = passed(model, name, estimator)
    weights = [torch.tensor(array.copy(), requires_grad=True) for array in model.parameters()[0]]
    decoder = weights[len(weights) - len(model.decoder.parameters()[0]):]
    noise = model.find_modules(nn.Sampler)[0].noise
    found = torch_loss(torch, case, name, weights, noise, decoder)
    if name != "dreg":
        assert terms[0] == pytest.approx(found.item(), rel=TOLERANCE)
        found = torch.autograd.grad(found, weights)
    for mine, theirs in zip(model.parameters()[1], found, strict=True):
        theirs = theirs.numpy()
        assert np.linalg.norm(mine - theirs) <= TOLERANCE * np.linalg.norm(theirs)


def test_the_score_functions_gradient_is_that_of_pytorchs_surrogate():
    """Mean over draws of f, and (f − the mean of the others) ln q, with f and the draws held: by autograd."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0 runs this "
                                "comparison")
    model = made("draws")
    objective, (loss, reconstruction, _) = passed(model, "elbo", "score_function")
    weights = [torch.tensor(array.copy(), requires_grad=True) for array in model.parameters()[0]]
    x, z = torch.tensor(X.reshape(4, -1)), torch.tensor(objective.network.get("densities").output[0])

    def mlp(h, weights):
        for k in range(0, len(weights), 2):
            h = torch.nn.functional.linear(torch.relu(h) if k else h, weights[k], weights[k + 1])
        return h

    log_p = torch.log_softmax(mlp(x, weights[:6]).reshape(4, 2, 3), -1)
    f = torch.nn.functional.binary_cross_entropy_with_logits(mlp(z, weights[6:]), x.repeat_interleave(4, 0),
                                                             reduction="none").sum(-1).reshape(4, 4)
    log_q = (log_p.reshape(4, 1, 6) * z.reshape(4, 4, 6)).sum(-1)
    kl = (log_p.exp() * (log_p + log(3))).sum()
    others = (f.sum(1, keepdim=True) - f) / 3
    assert loss == pytest.approx((f.mean(1).sum() + kl).item(), rel=TOLERANCE)
    assert reconstruction == pytest.approx(f.mean(1).sum().item(), rel=TOLERANCE)
    surrogate = f.mean(1).sum() + ((f - others).detach() * log_q).mean(1).sum() + kl
    for mine, theirs in zip(model.parameters()[1], torch.autograd.grad(surrogate, weights), strict=True):
        assert np.linalg.norm(mine - theirs.numpy()) <= TOLERANCE * np.linalg.norm(theirs.numpy())


# -- training -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("case", "name", "estimator"), [
    *DISCRETE, *WEIGHTED[:2], ("bits", "elbo", "straight_through"), ("categories", "elbo", "relaxed"),
    ("draws", "elbo", "score_function")])
def test_a_training_learns(case, name, estimator):
    model = built(CASES[case][0], CASES[case][1], image=(1, 6, 6), hidden=16)
    training = Training(model, Batches(rectangles(80, 6, 6, sides=(3, 3)), 16), objective=name, estimator=estimator)
    training.run(150, progress=False)
    total = training.protocol["total"]
    assert total[-20:].mean() < total[:20].mean() - 1
    assert training.protocol["total"] == pytest.approx(
        training.protocol["reconstruction"] + training.protocol["divergence"])


@pytest.mark.parametrize(("case", "name", "estimator"), [*DISCRETE, *WEIGHTED, ("draws", "elbo", "score_function")])
def test_a_device_has_the_same_gradient(case, name, estimator, device):
    model = made(case).cpu()
    _, (loss, reconstruction, _) = passed(model, name, estimator)
    twin = model.clone().to("cupy")
    for mine, other in zip(model.find_modules(nn.Sampler), twin.find_modules(nn.Sampler)):
        other.noise = None if mine.noise is None else backend.from_numpy(mine.noise.copy(), like="cupy")
    _, found = passed(twin, name, estimator, backend.from_numpy(X, like="cupy"))
    assert [float(each) for each in found[:2]] == pytest.approx([float(loss), float(reconstruction)])
    for a, b in zip(model.parameters()[1], twin.parameters()[1], strict=True):
        assert backend.to_numpy(b) == pytest.approx(a, rel=1e-6, abs=1e-9)


def test_an_encoder_without_a_part_keeps_its_weights():
    model = built("bernoulli", {"code": 3}, image=(1, 6, 6), hidden=16)
    before = {path: array.copy() for path, array in model.state_dict().items()}
    batches = Batches(rectangles(80, 6, 6, sides=(3, 3)), 16)
    Training(model, batches, objective="exact_likelihood").run(5, progress=False)
    changed = {path for path, array in model.state_dict().items() if not np.array_equal(array, before[path])}
    assert changed and all(path.startswith("decoder") for path in changed)


@pytest.mark.parametrize(("name", "options", "given", "message"), [
    ("bernoulli", {}, {"estimator": "exact"}, "at most 4096 of them, such as 12 bits.* 50 wide"),
    ("categorical", {}, {"objective": "exact_likelihood"}, "at most 4096 of them"),
    ("vae", {}, {"estimator": "exact"}, "of bits and categories.*GaussianKL"),
    ("vae", {}, {"estimator": "straight_through"}, "of bits and categories"),
    ("vae", {}, {"objective": "exact_likelihood"}, "of bits and categories"),
    ("bernoulli", {}, {"objective": "iwae"}, "takes a Gaussian code.*BernoulliKL"),
    ("vae", {}, {"objective": "iwae", "estimator": "relaxed"}, "estimator relaxed is of bits"),
    ("bernoulli", {"code": 3}, {"objective": "exact_likelihood", "estimator": "relaxed"}, "has no estimator relaxed"),
    ("vae", {"beta": 2}, {"objective": "dreg"}, "beta=2 shall be 1"),
    ("bernoulli", {"code": 3, "beta": 2}, {"objective": "exact_likelihood"}, "beta=2 shall be 1"),
    ("bernoulli", {"code": 3, "samples": 9}, {"estimator": "exact"},
     "samples=9 plays no part in estimator exact; it shall be 1"),
    ("bernoulli", {"code": 3, "temperature": 3}, {"objective": "exact_likelihood"},
     "temperature=3.0 plays no part in objective exact_likelihood"),
    ("vae", {}, {"annealing": lambda t: 0.5}, "temperature of relaxed codes fall, and this model has none"),
    ("bernoulli", {"samples": 2}, {"estimator": "score_function", "annealing": lambda t: 0.5},
     "estimator score_function has none; leave it out"),
    ("bernoulli", {}, {"estimator": "score_function"}, "takes 2 samples or more"),
    ("bernoulli", {"samples": 2}, {"estimator": "score_function", "after": nn.BatchNormalization(36)},
     "estimator score_function takes a decoder whose rows do not depend on each other.*straight_through takes any"),
    ("vae", {}, {"objective": "dreg", "after": nn.BatchNormalization(36)}, "objective iwae takes any"),
    ("vae", {}, {"objective": "bound"}, "unknown objective 'bound'; choose one of elbo, iwae"),
    ("bernoulli", {}, {"estimator": "true"}, "unknown estimator 'true'; choose one of relaxed"),
    ("vae", {}, {"objective": "iwae", "beta": lambda t: 1.0}, "leave beta out")])
def test_what_does_not_fit_is_refused(name, options, given, message):
    model = built(name, options, hidden=4)
    if "after" in given:
        model.decoder.add(given["after"])
    with pytest.raises(OptionError, match=message):
        Training(model, Batches(rectangles(20), 4), **{key: given[key] for key in given if key != "after"})


@pytest.mark.parametrize(("hard", "given"), [
    (True, {"estimator": "relaxed"}), (True, {"estimator": "relaxed", "learning_rate": -1}),
    (False, {"estimator": "score_function"}), (False, {"estimator": "straight_through", "learning_rate": -1})], ids=str)
def test_a_training_that_is_refused_leaves_the_model_as_it_was(hard, given):
    model = built("bernoulli", {"temperature": 0.5, "samples": 2, "straight_through": hard}, hidden=4)
    with pytest.raises(OptionError):
        Training(model, Batches(rectangles(20), 4), **given)
    assert model.find_modules(nn.HardBits)[0].straight_through == hard


def test_trainings_of_one_model_keep_their_estimators():
    model = built("bernoulli", {"temperature": 0.5}, hidden=4)
    one, other = (Training(model, Batches(rectangles(20), 4), estimator=name)
                  for name in ("relaxed", "straight_through"))
    for each, hard in ((one, False), (other, True), (one, False)):
        each.step()
        assert model.find_modules(nn.HardBits)[0].straight_through == hard


def test_a_prediction_that_is_no_table_is_refused():
    with pytest.raises(ShapeError, match="prediction is a table of 3"):
        nn.ImportanceWeightedCriterion(nn.BCEWithLogitsCriterion()).forward(X, X)


BCE = nn.BCEWithLogitsCriterion
ROWS, ONES = np.zeros((4, 3), np.float32), np.ones(4, np.float32)


@pytest.mark.parametrize(("make", "prediction", "message"), [
    (lambda: nn.ExpectedCriterion(BCE()), (ROWS, ROWS), r"prediction\[1\] has shape \(4, 3\), expected \(4, 4\)"),
    (lambda: nn.LikelihoodCriterion(BCE()), (ROWS, ROWS), r"prediction\[1\] has shape \(4, 3\), expected \(4,\)"),
    (lambda: nn.ScoreFunctionCriterion(BCE()), (ROWS, ONES, ONES[:2]), r"prediction\[2\] .* expected \(4,\)"),
    (lambda: nn.ImportanceWeightedCriterion(BCE()), (ROWS, ONES[:2], ONES), r"prediction\[1\] .* expected \(4,\)"),
    (lambda: nn.LogDensities(nn.BernoulliKL()), (ROWS, ROWS[:3]), "3 codes for 4 rows of parameters"),
    (lambda: nn.LogDensities(nn.BernoulliKL()), (ROWS, ROWS[:, :2]), r"z has shape \(4, 2\), expected \(N·L, 3\)")])
def test_tables_that_do_not_fit_are_refused(make, prediction, message):
    with pytest.raises(ShapeError, match=message):
        make().forward(prediction, *[ROWS] * isinstance(make(), nn.Criterion))


@pytest.mark.parametrize("cls", [nn.ExpectedCriterion, nn.LikelihoodCriterion, nn.ImportanceWeightedCriterion,
                                 nn.ScoreFunctionCriterion])
def test_what_cannot_be_weighed_is_refused(cls):
    for wrong in (3, BCE, BCE(size_average=True), nn.BernoulliKL()):
        with pytest.raises(OptionError, match="wanted a criterion, without size_average"):
            cls(wrong)
    with pytest.raises(ShapeError, match="backward before forward"):
        cls(BCE()).backward((ROWS, ONES, ONES), ROWS)


def test_numbers_have_their_right_names():
    names = {}
    for case, name, estimator in [*DISCRETE, *WEIGHTED, ("bits", "elbo", None)]:
        model = made(case)
        objective = objectives.build(model, name, estimator)
        names[case, name] = [quantities(model, grey, objective) for grey in (False, True)]
    assert [each.loss for each in names["gaussian", "iwae"]] == [
        "−IWAE bound of 3 draws", "−weighted cross-entropy bound of 3 draws"]
    model = models.vae(hidden=4)
    for name in ("iwae", "dreg"):
        assert "of 1 draw, an ELBO" in quantities(model, False, objectives.build(model, name)).loss
    assert [each.test for each in names["gaussian", "dreg"]] == ["−ELBO", "cross-entropy + KL"]
    assert [each.loss for each in names["categories", "exact_likelihood"]] == [
        "−log p(x)", "cross-entropy over all codes"]
    assert names["bits", "exact_likelihood"][0].test == "−log p(x)"
    assert names["categories", "elbo"][0].loss == "−ELBO"
    assert names["bits", "elbo"][0].loss == "surrogate, of relaxed codes"


# -- options that play no part ----------------------------------------------------------------------


OF_MODELS = {  # another value of each option
    "hidden": 5, "code": 4, "samples": 4, "beta": 0.5, "p": 0.4, "temperature": 0.3, "straight_through": True,
    "learn_prior": True, "categories": 4, "planes": (3,), "batch_normalization": True, "likelihood": "bernoulli",
    "log_var_floor": 5}
OF_TRAININGS = {"learning_rate": 0.01, "learning_rate_decay": 0.1, "momentum": 0.5, "free_bits": 9.0,
                "annealing": lambda t: 1 / (2 + t), "beta": lambda t: 0.1 * t}
COLUMNS = {"annealing": {"temperature"}, "beta": {"beta"}}
WAYS = [*((name, None) for name in get_args(objectives.Name)),
        *(("elbo", estimator) for estimator in get_args(objectives.Estimator))]


def three_steps(name, objective, estimator, options=None, free_bits=0, **given):
    """What a training has made of a model."""
    backend.manual_seed(0)
    sizes = {"image": (1, 6, 6), "hidden": 8, "code": 3, "categories": 2, "planes": (2,),
             "samples": 2 if estimator == "score_function" else 1}
    model = built(name, ({"likelihood": "gaussian"} if name == "aevb" else {}) | (options or {}), **sizes)
    model.kl.free_bits = free_bits
    training = Training(model, Batches(rectangles(40, 6, 6, sides=(3, 3)), 8), objective=objective,
                        estimator=estimator, **given)
    training.run(3, progress=False)
    return training


@pytest.mark.parametrize(("objective", "estimator"), WAYS)
@pytest.mark.parametrize("name", models.BY_NAME)
def test_an_option_plays_a_part_or_is_refused(name, objective, estimator):
    """And a number has a column of the protocol only if it plays one."""
    try:
        plain = three_steps(name, objective, estimator)
    except OptionError as error:
        assert "of bits and categories" in str(error) or "takes a Gaussian code" in str(error)
        return
    own = set(models.find(name).parameters) - {"image", "labels"}
    for option, given in [*((each, {"options": {each: OF_MODELS[each]}}) for each in own),
                          *((each, {each: value}) for each, value in OF_TRAININGS.items())]:
        try:
            found = three_steps(name, objective, estimator, **given)
        except OptionError as error:
            assert option in str(error)
            continue
        if (option, estimator) != ("straight_through", "straight_through"):  # which say the same
            assert not np.array_equal(plain.parameters, found.parameters), f"{option} changes nothing"
        columns = COLUMNS.get(option, set()) if option in given else set()
        assert set(found.protocol.columns) - set(plain.protocol.columns) == columns


@pytest.mark.parametrize("likelihood", [each for each in get_args(Likelihood) if each != "gaussian"])
def test_a_floor_is_of_a_log_variance(likelihood, tmp_path, monkeypatch, capsys):
    """A new run refuses it; what was learned with one is there as before."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "aevb", "--likelihood", likelihood, "--log-var-floor", "-2", "--images", "16"]) == 1
    assert f"which the likelihood {likelihood} has not" in capsys.readouterr().err and not list(tmp_path.iterdir())
    mv.save(models.aevb(likelihood, log_var_floor=-2, image=(4, 4), hidden=6), "old.npz")
    assert mv.load("old.npz").made[1]["log_var_floor"] == -2


@pytest.mark.parametrize(("option", "value"), [("--anneal-floor", "0.5"), ("--anneal-every", "1000")])  # the defaults
def test_stairs_without_a_fall_are_refused(option, value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "bernoulli", option, value, "--images", "16"]) == 1
    assert f"{option} is of a temperature that falls; give --anneal-rate R too" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# -- priors that are learned -----------------------------------------------------------------------


def test_a_learned_prior_is_what_is_drawn_and_weighed():
    """Its probabilities of all codes add up to 1, and 4,000 draws have them to 5 standard errors."""
    for case in ("learned bits", "learned categories"):
        model = made(case)
        z = model.kl.latent.support(model.code)
        p = np.exp(model.kl.latent.log_prior(z))
        assert p.sum() == pytest.approx(1, rel=1e-12) and p.std() > 0.02
        with backend.seeded(0):
            drawn = model.kl.latent.sample_prior(4000, model.code)
        share = (drawn[:, None] == z).all(axis=2).mean(axis=0)
        assert (np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / 4000)).all()
        log_q, _, losses = by_hand(model, X)
        sizes = (2,) * 3 if case == "learned bits" else (3,) * 2
        p = p.reshape(sizes).transpose().ravel()  # by hand, the last digit runs fastest; in `support`, the first
        total = np.logaddexp.reduce(np.log(p) - losses, axis=1)
        assert evaluation.exact_log_likelihood(model, X).per_image == pytest.approx(total)
        assert model.kl.rows(model.encode(X)) == pytest.approx((np.exp(log_q) * (log_q - np.log(p))).sum(axis=1))


@pytest.mark.parametrize("estimator", [None, "exact"])
def test_a_prior_learns_the_mean_of_the_codes(estimator):
    """Where nothing else moves, the best prior is E_x[q(z|x)], bit by bit."""
    model = made("learned bits").float()
    training = Training(model, Batches(np.uint8(X), 4, by_epoch=True), 0.05, estimator=estimator)
    others = [array for path, array, _ in model.named_parameters() if not path.startswith("kl")]
    kept = [array.copy() for array in others]
    for _ in range(400):
        training.step()
        for array, value in zip(others, kept):
            array[...] = value
    wanted = model.kl.latent.expected(model.encode(np.float32(X))).mean(axis=0)
    assert model.kl.prior_probability == pytest.approx(wanted, abs=0.01)


def test_without_a_learned_prior_there_is_nothing_new_in_a_model():
    for case in ("bits", "categories"):
        assert not [path for path in made(case).state_dict() if path.startswith("kl")]
        assert "kl.prior_logits" in made(f"learned {case}").state_dict()


# -- the command line -----------------------------------------------------------------------------


RUNS = {"exact": ("bernoulli", "--code", "3", "--estimator", "exact"),
        "likelihood": ("categorical", "--learn-prior", "--code", "2", "--categories", "3", "--objective",
                       "exact_likelihood"),
        "iwae": ("vae", "--samples", "3", "--objective", "iwae")}


@pytest.mark.parametrize("name", few(1, RUNS))
def test_every_verb_works_on_such_a_run(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *RUNS[name], "--hidden", "8", "--images", "64", "--epochs", "2", "--out", "run"]) == 0
    said = capsys.readouterr().out
    assert {"exact": "training, −ELBO", "likelihood": "training, −log p(x)", "iwae": "training, −IWAE bound of 3 draws"
            }[name] in said and "nats per image" in said
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert config["quantity"] == ("−log p(x)" if name == "likelihood" else "−ELBO")
    for verb in (["evaluate"], ["sample"], ["explore"], ["encode"], ["step", "--table"], ["step", "--html", "s.html"],
                 ["profile", "--steps", "2"]):
        assert main([verb[0], "run", *verb[1:]]) == 0, verb
    said = capsys.readouterr().out
    assert {"exact": "EnumeratedSampler", "likelihood": "EnumeratedPrior", "iwae": "LogDensities"}[name] in said
    assert name == "iwae" or "log p(x), exact" in said


def test_a_model_of_ones_own_has_objectives(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "from minivae import nn\nfrom minivae.models import VAE\n\n\ndef tiny(code: int = 2):\n"
        "    return VAE(nn.Sequential(nn.View(576), nn.Linear(576, code)), nn.BernoulliKL(), nn.Sequential("
        "nn.BernoulliSampler(), nn.Sigmoid(), nn.HardBits()), nn.Sequential(nn.Linear(code, 576), nn.View(1, 24, 24)), "
        "code)\n", encoding="utf-8")
    words = ["train", "mine.py:tiny", "--images", "32", "--epochs", "1", "--out"]
    assert main([*words, "run", "--estimator", "exact"]) == 0
    assert main(["evaluate", "run", "--model", "mine.py:tiny"]) == 0
    capsys.readouterr()
    assert main([*words, "other", "--estimator", "exact", "--code", "13"]) == 1
    assert "at most 4096" in capsys.readouterr().err and not (tmp_path / "other").exists()
    assert models.bernoulli_vae(code=3).kl.latent.support_size(3) == 8
