"""Every formula of the layers and criterions over the whole range of float32, beside its value in decimals.

A result is right where it is near the value, or infinite where that is beyond float32; it is never NaN.
"""

import itertools
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext

import numpy as np
import pytest
from formulas import collect

from minivae import backend, nn
from minivae.backend import compiled

LARGEST = 3.4028235e38
PRECISE = Context(prec=100, Emax=10**15, Emin=-(10**15), traps=[])
SIZES = (0, 1e-45, 1e-38, 1e-20, 1e-10, 1e-7, 1e-5, 1e-4, 1e-3, 0.0299, 0.0301, 0.3, 0.999, 1, 1.001, 3, 10, 17, 30, 63,
         65, 86, 88, 89, 104, 176, 180, 300, 350, 1e4, 1e10, 1e30, LARGEST)
NUMBERS = sorted({sign * size for size in SIZES for sign in (1, -1)})
FEW = (0.0, 1e-30, -1e-10, 0.5, -3.0, 90.0, 1e19, -LARGEST)
PROBABILITIES = (0, 1e-45, 1e-38, 1e-30, 1e-10, 1e-4, 0.3, 0.5, 0.9, 1 - 2**-12, 1 - 2**-24, 1)
UNIFORM = (0, 2**-25, 1e-3, 0.5, 0.9, 1 - 2**-24, 1)
ONE = Decimal(1)


def exp(v):
    return max(Decimal(-(10**6)), min(Decimal(10**6), v)).exp()


def sigma(a):
    return ONE / (1 + exp(-a))


def log_sigma(a):
    """ln σ(a)"""
    return min(a, Decimal(0)) - (1 + exp(-abs(a))).ln()


def inside(u):
    return min(max(u, Decimal(2.0**-25)), Decimal(1 - 2.0**-24))


def cut(p):
    return max(p.ln(), Decimal(-100)) if p else Decimal(-100)


def coins(a, prior):
    """KL(Ber(σ(a)) ‖ Ber(prior))"""
    return sigma(a) * (log_sigma(a) - prior.ln()) + sigma(-a) * (log_sigma(-a) - (1 - prior).ln())


def continuous(a, x):
    """A(a) − a x of a continuous Bernoulli, in two terms"""
    t = abs(a)
    return t * abs(x - (a > 0)), ((1 - exp(-t)) / t).ln() if t else Decimal(0)


@dataclass
class Row:
    """A formula, the numbers or lists of them that it is called with, and what it is: the terms of each result."""

    formula: object
    grids: tuple
    terms: object  # (*numbers) -> a term, or a tuple of terms, or for several results a list of these
    near: float = 2e-6  # off by how much of the terms together
    off: float = 1e-44  # and by how much in any case


TENTH, TINY = Decimal("0.1"), Decimal("1.2e-38")
PRIOR = tuple(map(float, nn.bernoulli_kl.BernoulliKL(prior=0.1).log_prior_odds))
HALF = tuple(map(float, nn.bernoulli_kl.BernoulliKL().log_prior_odds))
LEAST = backend.least_normal(np.float32)
ROWS = {
    "sigmoid": Row(nn.sigmoid.sigmoid, (NUMBERS,), sigma),
    "Sigmoid": Row(nn.sigmoid._output, (NUMBERS, LEAST), lambda x, _: sigma(x), off=LEAST),
    "sigmoid's slope": Row(nn.sigmoid._derivative, (PROBABILITIES, NUMBERS, LEAST), lambda y, g, _: g * y * (1 - y),
                           off=LEAST),
    "tanh": Row(nn.tanh._tanh, (NUMBERS,), lambda x: (1 - 2 * sigma(-2 * x)) if abs(x) > 1e-9 else x),
    "tanh's slope": Row(nn.tanh._derivative, (PROBABILITIES, NUMBERS), lambda y, g: g * (1 - y * y)),
    "SoftPlus": Row(nn.soft_plus.soft_plus, (NUMBERS,), lambda x: -log_sigma(-x)),
    "SoftPlus's slope": Row(nn.soft_plus._derivative, (NUMBERS, FEW[:-1]), lambda x, g: g * sigma(x), off=1e-25),
    "BCE": Row(nn.bce_criterion._loss, (PROBABILITIES, PROBABILITIES),
               lambda p, x: (-x * cut(p), -(1 - x) * cut(1 - p))),
    "BCE's slope": Row(nn.bce_criterion._derivative, (PROBABILITIES, PROBABILITIES, 1.0),
                       lambda p, x, _: ((1 - x) / max(1 - p, TINY), -x / max(p, TINY))),
    "squared error": Row(nn.mse_criterion._loss, (NUMBERS, FEW), lambda y, x: (y - x) ** 2),
    "absolute error": Row(nn.abs_criterion._loss, (NUMBERS, FEW), lambda y, x: abs(y - x)),
    "its sign": Row(nn.abs_criterion._derivative, (NUMBERS, FEW, 0.5, -0.5),
                    lambda y, x, *_: Decimal(0) if y == x else Decimal("0.5").copy_sign(y - x)),
    "BCE of logits": Row(nn.bce_with_logits_criterion._loss, (NUMBERS, PROBABILITIES),
                         lambda a, x: -x * log_sigma(a) - (1 - x) * log_sigma(-a), off=2e-28),
    "its slope": Row(nn.bce_with_logits_criterion._derivative, (NUMBERS, PROBABILITIES, 1.0, 0.5),
                     lambda a, x, *_: sigma(a) - x, off=1e-7),
    "continuous Bernoulli": Row(nn.continuous_bernoulli_criterion._loss, (NUMBERS, PROBABILITIES), continuous,
                                off=2e-7),
    "slope of it": Row(nn.continuous_bernoulli_criterion._derivative, (NUMBERS, PROBABILITIES, 1.0),
                       lambda a, x, _: ((1 / (1 - exp(-a)) - 1 / a if a else ONE / 2), -x), off=2e-7),
    "squares": Row(nn.gaussian_nll_criterion._squares, (NUMBERS, FEW), lambda mean, x: (x - mean) ** 2),
    "weighted squares": Row(nn.gaussian_nll_criterion.weighted_squares, (FEW, NUMBERS, (0.0, 1e-30, 0.5, -90.0)),
                            lambda mean, v, x: (v, (x - mean) ** 2 * exp(-v))),
    "their slopes": Row(nn.gaussian_nll_criterion._derivative, (FEW, NUMBERS, (0.0, 1e-30, 0.5, -90.0), 1.0, 0.5),
                        lambda mean, v, x, *_: [(mean - x) * exp(-v),
                                                (Decimal("0.5"), -(x - mean) ** 2 * exp(-v) / 2)]),
    "log-density": Row(nn.gaussian_latent._log_density, (FEW, NUMBERS, (0.0, 1e-30, 0.5, -90.0)),
                       lambda mean, v, z: (-Decimal("0.918938533204673"), -v / 2, -(z - mean) ** 2 * exp(-v) / 2)),
    "log-probability": Row(nn.bernoulli_latent._log_probability, (NUMBERS, (0.0, 1.0)),
                           lambda a, z: log_sigma(a) if z else log_sigma(-a)),
    "Gaussian KL": Row(nn.gaussian_kl._divergence, (FEW, NUMBERS), lambda mean, v: (mean**2 + exp(v) - 1 - v) / 2,
                       near=5e-6),
    "its slopes": Row(nn.gaussian_kl._derivative, (FEW, NUMBERS, 0.0, 0.0, 0.5, 0.25),
                      lambda mean, v, *_: [mean / 2, (exp(v) - 1) / 4]),
    "its slopes without weight": Row(nn.gaussian_kl._derivative, (FEW, NUMBERS, 0.0, 0.0, 0.0, 0.0),
                                     lambda mean, v, *_: [Decimal(0), Decimal(0)]),
    "KL of bits": Row(nn.bernoulli_kl._divergence, (NUMBERS, *HALF), lambda a, *_: coins(a, Decimal("0.5")), 2e-5),
    "KL of rare bits": Row(nn.bernoulli_kl._divergence, (NUMBERS, *PRIOR), lambda a, *_: coins(a, TENTH), 2e-5, 1e-8),
    "its slope ": Row(nn.bernoulli_kl._derivative, (NUMBERS, 0.0, PRIOR[0], 1.0),
                      lambda a, *_: sigma(a) * sigma(-a) * (a - (TENTH / (1 - TENTH)).ln()), off=1e-7),
    "draws": Row(nn.gaussian_sampler._sample, (FEW, NUMBERS, (0.0, 1e-7, -0.5, 5.0)),
                 lambda mean, v, noise: (mean, noise * exp(v / 2))),
    "their slope": Row(nn.gaussian_sampler._times_half_std, (FEW, NUMBERS), lambda g, v: g * exp(v / 2) / 2, 3e-6),
    "relaxed bits": Row(nn.bernoulli_sampler._relax, (NUMBERS, UNIFORM, 0.5),
                        lambda a, u, _: (2 * a, 2 * inside(u).ln(), -2 * (1 - inside(u)).ln())),
    "Gumbel noise": Row(nn.gumbel_softmax_sampler._perturb, (NUMBERS, UNIFORM),
                        lambda a, u: (a, -(-(inside(u).ln())).ln()), off=1e-6),
    "log-probabilities": Row(nn.exponentials.log_probabilities, (NUMBERS,),
                             lambda a: [log_sigma(a), log_sigma(-a)]),
    "those of categories": Row(nn.enumerated_sampler._log_softmax,
                               ([-each for each in SIZES[:-2]], 0.0, (1.0, 1.5, 9.0)),
                               lambda a, _, total: (a, -total.ln())),
    "probabilities": Row(nn.enumerated_sampler._exp, ([-each for each in SIZES], LEAST), lambda x, _: exp(x),
                         off=LEAST),
    "costs of a pixel": Row(nn.bce_with_logits_criterion._costs, (NUMBERS,), lambda a: [-log_sigma(a), -log_sigma(-a)],
                            off=2e-28),
    "slope of many costs": Row(nn.bce_with_logits_criterion._mixed_derivative, (NUMBERS, PROBABILITIES, 1.0),
                               lambda a, x, _: sigma(a) - x, off=1e-7),
    "relative exponentials": Row(nn.exponentials._relative, ([-each for each in SIZES], 0.0, 0.5),
                                 lambda a, *_: exp(2 * a)),
    "statistics of a batch": Row(nn.batch_normalization._inverse_std, (SIZES, 1e-5),
                                 lambda v, _: 1 / (v + Decimal("1e-5")).sqrt()),
}
OTHERS = {  # formulas that select, add or multiply, and those of several logits, which have tests of their own
    "relu._derivative", "module._descend", "clamp._clamp", "clamp._derivative", "spatial_max_pooling._claim",
    "batch_normalization._follow", "batch_normalization._affine", "batch_normalization._through_statistics",
    "bernoulli_noise._flip", "bernoulli_noise._flip_sign", "gaussian_noise._add", "hard_one_hot._equal",
    "hard_bits._harden", "gaussian_nll_criterion._identity_derivative", "categorical_kl._same",
    "categorical_kl._log_mean", "categorical_kl._divergence", "categorical_kl._derivative",
    "exponentials.share", "gumbel_softmax_sampler._derivative",
    "bce_criterion._weighted_loss", "bce_criterion._weighted_derivative", "mse_criterion._derivative",
    "rmsprop._rmsprop", "adam.decay", "adam._adam", "adam._flush", "sgd._descend", "sgd._carry_on", "batches._bits",
    "divergence._at_least",
    "finite_watch._not_finite", "relu._rectified", "enumerated_sampler._centred", "expected_criterion._product",
    "learned_bernoulli_kl._residual", "learned_categorical_kl._prior", "learned_categorical_kl._residual",
    "learned_prior._weighted_residual", "learned_prior._add", "elementwise._sum",
    "score_function_criterion._share", "score_function_criterion._advantage",
    "likelihood_criterion._log_joint", "likelihood_criterion._loss",
    "likelihood_criterion._product", "importance_weighted_criterion._log_weight",
    "importance_weighted_criterion._loss",
    "importance_weighted_criterion._product", "importance_weighted_criterion._weigh",
}


def name_of(formula):
    return f"{formula.__module__.rsplit('.', 1)[-1]}.{formula.__name__}"


def test_every_formula_has_a_row_or_is_listed():
    rows = {name_of(row.formula) for row in ROWS.values()}
    found = {name_of(formula) for formula, _ in collect()}
    assert found <= rows | OTHERS, "give the new formula a row"
    assert OTHERS <= found


@pytest.fixture(params=["numpy", "compiled"])
def way(request, monkeypatch):
    if request.param == "compiled" and not compiled.work():
        pytest.skip("there is no C compiler that works (cc, gcc or clang)")
    backend.compile(request.param == "compiled")
    monkeypatch.setattr(compiled, "SMALL", 0)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
@np.errstate(all="ignore")
def test_a_formula_over_the_whole_range(row, way):
    grids = [grid if isinstance(grid, float) else [float(np.float32(each)) for each in grid] for grid in row.grids]
    points = list(itertools.product(*(grid for grid in grids if not isinstance(grid, float))))
    columns = iter(np.float32(points).T)
    arguments = [grid if isinstance(grid, float) else np.ascontiguousarray(next(columns)) for grid in grids]
    with localcontext(PRECISE):
        wanted = [exact(row, grids, point) for point in points]
    found = tuple(np.empty(len(points), np.float32) for _ in wanted[0])
    backend.elementwise(row.formula, *arguments, out=found if len(found) > 1 else found[0])
    for point, results, values in zip(points, zip(*map(np.ndarray.tolist, found)), wanted, strict=True):
        for result, (value, size) in zip(results, values, strict=True):
            if abs(value) > LARGEST / 4:  # its terms may be larger
                right = abs(result) >= 0.99 * abs(value) and (result > 0) == (value > 0)
            else:
                right = abs(result - value) <= row.near * size + row.off
            assert right, f"at {point} it is {result:.6g}, {value:.6g} is right"


def exact(row, grids, point):
    """[(value, size of its terms together)] of each result, at one point of the grids."""
    numbers = iter(point)
    terms = row.terms(*(grid if isinstance(grid, float) else Decimal(next(numbers)) for grid in grids))
    results = terms if isinstance(terms, list) else [terms]
    results = [each if isinstance(each, tuple) else (each,) for each in results]
    return [(float(sum(each)), float(sum(map(abs, each)))) for each in results]


# -- formulas of several logits ---------------------------------------------------------------------

LOGITS = {
    "equal": lambda random: np.full((1, 20, 13), 0.3), "huge and equal": lambda random: np.full((1, 2, 5), -1e30),
    "nearly equal": lambda random: 1e-4 * random.standard_normal((1, 20, 13)),
    "hardly different": lambda random: 7 + 1e-6 * random.standard_normal((3, 20, 13)),
    "ordinary": lambda random: 3 * random.standard_normal((3, 20, 13)),
    "many": lambda random: 3 * random.standard_normal((1, 1, 500)),
    "certain": lambda random: 100 * random.standard_normal((3, 20, 13)),
    "large": lambda random: 1e9 + 1e4 * random.standard_normal((3, 20, 13)),
    "of any size": lambda random: random.choice(NUMBERS, (40, 5, 6)),
    "at the ends": lambda random: LARGEST * random.choice([-1.0, 1.0], (3, 20, 3)),
}
each_logits = pytest.mark.parametrize("logits", LOGITS.values(), ids=LOGITS.keys())


def softmax(a):
    """(p, ln C p) of one variable, exact."""
    a = [Decimal(float(each)) for each in a]
    u = [exp(each - max(a)) for each in a]
    return [each / sum(u) for each in u], [each - max(a) - (sum(u) / len(a)).ln() for each in a]


@each_logits
@np.errstate(all="ignore")
def test_the_divergence_of_categories(logits, way):
    """Value, derivative and probabilities, of a variable at a time."""
    a = logits(np.random.default_rng(0)).astype(np.float32)
    layer = nn.CategoricalKL(categories=a.shape[2])
    layer.forward(a)
    found, slope = layer.units(a), layer.backward(a, np.zeros_like(a))
    p = layer.latent.expected(a).reshape(a.shape)
    with localcontext(PRECISE):
        total = 0
        for place in np.ndindex(a.shape[:2]):
            exact_p, ratios = softmax(a[place])
            kl = sum(each * ratio for each, ratio in zip(exact_p, ratios))
            total += kl
            assert found[place] >= 0 and abs(found[place].item() - float(kl)) <= 2e-5 * float(kl) + 4e-14
            slopes = np.array([float(each * (ratio - kl)) for each, ratio in zip(exact_p, ratios)])
            np.testing.assert_allclose(slope[place], slopes, rtol=1e-5, atol=5e-7)
            np.testing.assert_allclose(p[place], np.array(exact_p, float), rtol=3e-5, atol=1e-44)
    assert layer.divergence == pytest.approx(float(total), rel=2e-5, abs=1e-12)


@each_logits
@pytest.mark.parametrize("temperature", [1, 0.01, 1e-6])
@np.errstate(all="ignore")
def test_relaxed_categories_add_up_to_one(logits, temperature, way):
    a = logits(np.random.default_rng(0)).astype(np.float32)
    layer = nn.GumbelSoftmaxSampler(temperature)
    y = layer.forward(a).reshape(a.shape)
    np.testing.assert_allclose(y.sum(axis=2), 1, rtol=1e-5)
    assert np.isfinite(layer.backward(a, np.ones((len(a), a[0].size), np.float32))).all()


@each_logits
@np.errstate(all="ignore")
def test_probabilities_of_all_codes_add_up_to_one(logits, way):
    a = logits(np.random.default_rng(0)).astype(np.float32)[:, :2]
    for given in (a[:, :, :5].copy(), a[:, 0, :5].copy()):  # of categories, of bits
        z, q = nn.EnumeratedSampler().forward(given)
        np.testing.assert_allclose(q.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_allclose(q @ z, nn.CategoricalKL(5).latent.expected(given) if given.ndim == 3 else
                                   nn.sigmoid.sigmoid(np, given), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("prior", [0.5, 0.1, 1e-6, 1 - 1e-6, 1e-30])
def test_divergences_are_never_negative_and_small_where_q_is_nearly_the_prior(prior, way):
    layer = nn.BernoulliKL(prior=prior)
    at = float(np.float32(layer.log_prior_odds[0]))
    for step in (0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 1):
        a = np.full((64, 50), at + step, np.float32)
        layer.forward(a)
        with localcontext(PRECISE):
            wanted = float(coins(Decimal(a[0, 0].item()), Decimal(prior)))
        assert (layer.units(a) >= 0).all() and layer.divergence >= 0
        rounded = 2e-5 + 3e-7 * abs(at) / max(step, 1e-7)  # a float32 holds no more digits of the prior's logit
        assert layer.divergence == pytest.approx(a.size * wanted, rel=rounded, abs=1e-12)


def test_a_weight_of_nothing_times_an_infinite_divergence_is_nothing():
    layer, log_var = nn.GaussianKL(beta=0), np.full((2, 3), 300, np.float32)
    with np.errstate(over="ignore"):
        layer.forward((log_var, log_var))
    assert layer.divergence == np.inf and layer.loss == nn.side_loss(layer) == 0
    assert not any(each.any() for each in layer.backward((log_var, log_var), (0 * log_var, 0 * log_var)))
