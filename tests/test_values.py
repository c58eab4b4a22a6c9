"""Layers against numbers worked by hand, forward and backward."""

from fractions import Fraction
from math import exp, log, pi

import numpy as np
import pytest
from pytest import approx

from minivae import nn
from minivae.errors import MinivaeError, OptionError, ShapeError


def array(*rows):
    return np.array(rows, dtype=np.float32)


def test_linear():
    linear = nn.Linear(2, 3)
    linear.weight[...] = [[1, 2], [3, 4], [5, 6]]
    linear.bias[...] = [10, 20, 30]
    x, g = array([1, -1], [0, 2]), array([1, 0, 2], [0, 1, -1])
    assert linear.forward(x).tolist() == [[9, 19, 29], [14, 28, 42]]
    assert linear.backward(x, g).tolist() == [[1 + 10, 2 + 12], [3 - 5, 4 - 6]]
    assert linear.grad_weight.tolist() == [[1, -1], [0, 2], [2, -2 - 2]]
    assert linear.grad_bias.tolist() == [1, 1, 1]


def test_linear_starts_uniform_within_one_over_root_n_in():
    weight = nn.Linear(100, 400).weight
    assert abs(weight).max() <= 0.1
    assert weight.std() == approx(0.1 / 3**0.5, rel=0.02)


@pytest.mark.parametrize(("layer", "x", "y", "slope"), [
    (nn.ReLU(), [-2, 0, 3], [0, 0, 3], [0, 0, 1]),
    (nn.Sigmoid(), [0, log(3), -log(3)], [0.5, 0.75, 0.25], [0.25, 0.1875, 0.1875]),
    (nn.Tanh(), [0, log(2), -log(2)], [0, 0.6, -0.6], [1, 0.64, 0.64]),
    (nn.SoftPlus(), [0, log(3), -log(3)], [log(2), log(4), log(4 / 3)], [0.5, 0.75, 0.25]),
    (nn.Clamp(-1, 2), [-5, 1, 7], [-1, 1, 2], [0, 1, 0]),
    (nn.Identity(), [1, 2, 3], [1, 2, 3], [1, 1, 1]),
], ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "")
def test_activation(layer, x, y, slope):
    assert layer.forward(array(x))[0] == approx(y, abs=1e-6)
    wanted = [slope[0], 10 * slope[1], 100 * slope[2]]
    assert layer.backward(array(x), array([1, 10, 100]))[0] == approx(wanted, rel=1e-6)


@pytest.mark.parametrize("layer", [nn.Sigmoid(), nn.Tanh(), nn.SoftPlus(), nn.BernoulliKL()])
def test_activations_hold_at_the_ends_of_float32(layer):
    x = array([-1e4, -88, -17, 17, 88, 1e4])
    assert np.isfinite(layer.forward(x)).all()
    assert np.isfinite(layer.backward(x, np.ones_like(x))).all()


def test_view_takes_any_whole_number():
    view = nn.View(np.prod((2, 3)), np.int8(1))
    assert view.sizes == (6, 1) and str(view) == "nn.View(6, 1)" and type(view.sizes[0]) is int


def test_view_keeps_memory():
    x = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    view = nn.View(6)
    assert view.forward(x).tolist() == [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10, 11]]
    assert np.shares_memory(view.output, x)
    assert view.backward(x, view.output).shape == (2, 2, 3)


def test_bernoulli_noise_flips_and_turns_the_gradient():
    noise = nn.BernoulliNoise(0.3).hold_noise()
    x = array([0, 1, 0, 1])
    noise.forward(x)
    noise.noise[...] = [0.1, 0.2, 0.5, 0.9]
    assert noise.forward(x).tolist() == [[1, 0, 0, 1]]
    assert noise.backward(x, array([1, 2, 3, 4])).tolist() == [[-1, -2, 3, 4]]
    assert noise.evaluate().forward(x) is x


def test_gaussian_noise_adds_std_times_noise():
    noise = nn.GaussianNoise(0.5).hold_noise()
    x = array([1, 2])
    noise.forward(x)
    noise.noise[...] = [2, -4]
    assert noise.forward(x).tolist() == [[2, 0]]


def test_gaussian_kl():
    mean, log_var = array([1, 0], [0, 2]), array([0, log(4)], [0, log(0.25)])
    kl = nn.GaussianKL(beta=2)
    assert kl.forward((mean, log_var))[0] is mean
    wanted = [0.5 * (1 + 4 - 1 - log(4)), 0.5 * (4 + 0.25 - 1 + log(4))]
    assert kl.divergence == approx(sum(wanted), rel=1e-6)
    assert kl.loss == approx(2 * sum(wanted), rel=1e-6)
    assert kl.rows((mean, log_var)) == approx(wanted, rel=1e-6)
    g = np.full((2, 2), 10, dtype=np.float32)
    grad_mean, grad_log_var = kl.backward((mean, log_var), (g, g))
    assert grad_mean.tolist() == [[12, 10], [10, 14]]
    assert grad_log_var[0] == approx([10, 10 + 3]) and grad_log_var[1] == approx([10, 10 - 0.75])


def test_densities_of_gaussian_codes():
    """N(1; 0, 1) and N(3; 1, 4): −½ ln 2π − ½, −½ ln 2π − ½ ln 4 − ½; two draws for one image stand together."""
    kl, c = nn.GaussianKL(), 0.5 * log(2 * pi)
    z = array([1], [3], [0])
    assert kl.latent.log_prior(z) == approx([-c - 0.5, -c - 4.5, -c])
    parameters = array([1]), array([log(4)])
    assert kl.latent.log_posterior(parameters, z) == approx([-c - log(2) - 0, -c - log(2) - 0.5, -c - log(2) - 0.125])
    assert kl.latent.expected(parameters).tolist() == [[1]]
    assert kl.units(parameters)[0] == approx([0.5 * (1 + 4 - 1 - log(4))])


def test_probabilities_of_binary_codes():
    kl = nn.BernoulliKL(prior=0.2)
    z, logits = array([1, 0], [0, 0], [1, 1], [0, 1]), array([log(3), 0], [-200, 200])
    assert kl.latent.log_prior(z) == approx(np.log([0.2 * 0.8, 0.8**2, 0.2**2, 0.8 * 0.2]))
    assert kl.latent.log_posterior(logits, z) == approx([log(0.75 * 0.5), log(0.25 * 0.5), -200, 0])
    assert kl.latent.expected(logits)[0] == approx([0.75, 0.5]) and kl.units(logits)[1] == approx(-np.log([0.8, 0.2]))


def test_gaussian_kl_of_a_large_batch_is_finite_where_its_terms_are():
    """e^80 = 5.5e34 fits into float32, the sum of 16,000 of them does not."""
    kl = nn.GaussianKL()
    kl.forward((np.zeros((800, 20), np.float32), np.full((800, 20), 80, np.float32)))
    assert kl.divergence == approx(16000 * 0.5 * (exp(80) - 81), rel=1e-5)


def test_bernoulli_kl():
    """θ = 0.9 against ½: 0.9 ln 1.8 + 0.1 ln 0.2 = +0.368, where the article's equation (2) has −1.02."""
    logits = array([log(9), 0])
    kl = nn.BernoulliKL()
    kl.forward(logits)
    assert kl.divergence == approx(0.9 * log(1.8) + 0.1 * log(0.2), rel=1e-6)
    assert kl.backward(logits, array([1, 1]))[0] == approx([1 + 0.09 * log(9), 1])
    biased = nn.BernoulliKL(prior=0.2)
    biased.forward(array([0]))
    assert biased.divergence == approx(0.5 * log(0.5 / 0.2) + 0.5 * log(0.5 / 0.8), rel=1e-6)


def test_categorical_kl():
    """p = (.5, .25, .25): ln 3 − 1.5 ln 2 nats; and of a uniform variable beside it none."""
    logits = np.array([[[log(2), 0, 0], [7, 7, 7]]], dtype=np.float32)
    kl = nn.CategoricalKL(beta=2, categories=3)
    assert kl.forward(logits) is logits
    entropy = 1.5 * log(2)
    assert kl.divergence == approx(log(3) - entropy, rel=1e-5) and kl.loss == approx(2 * kl.divergence)
    assert kl.units(logits)[0] == approx([log(3) - entropy, 0], abs=1e-6)
    grad = kl.backward(logits, np.ones_like(logits))[0]
    assert grad[0] == approx([1 + 2 * p * (log(p) + entropy) for p in (0.5, 0.25, 0.25)], rel=1e-5)
    assert grad[1] == approx([1, 1, 1], rel=1e-5)


def test_probabilities_of_categorical_codes():
    kl = nn.CategoricalKL(categories=3)
    logits = np.array([[[log(2), 0, 0], [0, 0, 300]]], dtype=np.float32)
    z = array([1, 0, 0, 0, 0, 1], [0, 0, 1, 1, 0, 0])
    assert kl.latent.log_posterior(logits, z) == approx([log(0.5), log(0.25) - 300])
    assert kl.latent.log_prior(z) == approx([-2 * log(3)] * 2)
    assert kl.latent.expected(logits)[0] == approx([0.5, 0.25, 0.25, 0, 0, 1])
    assert kl.latent.most_likely(logits).tolist() == [[1, 0, 0, 0, 0, 1]]
    kl.forward(logits)
    sums, counts = zip(*kl.latent.statistics(logits).values())
    assert sums == approx((0.5 + 1, 1.5 * log(2), 1)) and counts == (2, 2, 2)
    with pytest.raises(OptionError, match=r"CategoricalKL\(categories=C\)"):
        nn.CategoricalKL().latent.log_prior(z)


def test_every_code_is_in_the_support_once():
    for kl, code, size in ((nn.BernoulliKL(), 3, 8), (nn.CategoricalKL(categories=3), 6, 9),
                           (nn.CategoricalKL(categories=4), 4, 4)):
        z = kl.latent.support(code)
        assert kl.latent.support_size(code) == size and z.shape == (size, code) and z.dtype == np.float32
        assert len(np.unique(z, axis=0)) == size and np.exp(kl.latent.log_prior(z)) == approx([1 / size] * size)
    assert (nn.CategoricalKL(categories=3).latent.support(6).reshape(9, 2, 3).sum(axis=2) == 1).all()
    assert nn.GaussianKL().latent.support_size(2) == float("inf")
    with pytest.raises(NotImplementedError, match="cannot be enumerated"):
        nn.GaussianKL().latent.support(2)


def test_bernoulli_kl_gradient_keeps_its_sign_where_probabilities_round_to_one():
    """In probabilities float32 gives −0.69 at logit 16.7, where 16 gives +15.8; in logits it falls to 0 from above."""
    logits = array([16, 16.7, 20, 1e4])
    kl = nn.BernoulliKL()
    kl.forward(logits)
    grad = kl.backward(logits, np.zeros_like(logits))[0]
    assert grad[:3] == approx([x * exp(-x) / (1 + exp(-x)) ** 2 for x in (16, 16.7, 20)], rel=1e-4)
    assert (grad >= 0).all()


def test_gaussian_sampler_rows_of_one_image_stand_together():
    sampler = nn.GaussianSampler(samples=2).hold_noise()
    mean, log_var = array([1], [100]), array([0], [log(4)])
    sampler.forward((mean, log_var))
    sampler.noise[...] = [[0.5], [-1], [2], [3]]
    assert sampler.forward((mean, log_var))[:, 0] == approx([1.5, 0, 104, 106])
    grad_mean, grad_log_var = sampler.backward((mean, log_var), array([1], [10], [2], [20]))
    assert grad_mean[:, 0] == approx([11, 22])
    assert grad_log_var[:, 0] == approx([0.5 * (0.5 - 10), 0.5 * 2 * (4 + 60)])


def test_bernoulli_sampler_adds_logistic_noise():
    sampler = nn.BernoulliSampler(temperature=0.5, samples=2).hold_noise()
    logits = array([log(3)])
    sampler.forward(logits)
    sampler.noise[...] = [[0.5], [0.75]]
    assert sampler.forward(logits)[:, 0] == approx([2 * log(3), 2 * log(9)])
    assert sampler.backward(logits, array([1], [10])).tolist() == [[22]]


def test_gumbel_softmax_sampler_adds_gumbel_noise():
    """u = e^(−1/w) adds ln w to a logit; at T = ½ the weights are squared, 4 : 1 and 1 : 9."""
    sampler = nn.GumbelSoftmaxSampler(temperature=0.5, samples=2).hold_noise()
    logits = np.zeros((1, 1, 2), np.float32)
    sampler.forward(logits)
    sampler.noise[...] = np.exp([[-1 / 2, -1], [-1, -1 / 3]])
    assert sampler.forward(logits) == approx(np.array([[0.8, 0.2], [0.1, 0.9]]), rel=1e-5)
    grad = sampler.backward(logits, array([1, 0], [0, 10]))[0, 0]
    assert grad[0] == approx(2 * (0.8 * 0.2 - 10 * 0.1 * 0.9), rel=1e-5) and grad.sum() == approx(0, abs=1e-5)


def test_gumbel_softmax_survives_uniforms_of_zero_and_one_and_any_logits():
    sampler = nn.GumbelSoftmaxSampler(0.01).hold_noise()
    logits = np.array([[[0, 0, 1e4, -1e4]]], np.float32)
    sampler.forward(logits)
    sampler.noise[...] = [0, 1, 0, 1]
    assert sampler.forward(logits).tolist() == [[0, 0, 1, 0]]
    assert np.isfinite(sampler.backward(logits, array([1, 2, 3, 4]))).all()


def test_hard_one_hot():
    z = array([0.2, 0.5, 0.3, 0.4, 0.4, 0.2])
    hard = nn.HardOneHot(3)
    assert hard.forward(z) is z
    assert hard.evaluate().forward(z).tolist() == [[0, 1, 0, 1, 0, 0]]
    assert nn.HardOneHot(3, straight_through=True).forward(z).tolist() == [[0, 1, 0, 1, 0, 0]]


def test_bernoulli_sampler_survives_uniforms_of_zero_and_one():
    sampler = nn.BernoulliSampler().hold_noise()
    sampler.forward(array([0, 0]))
    sampler.noise[...] = [0, 1]
    assert np.isfinite(sampler.forward(array([0, 0]))).all()


def test_hard_bits():
    z = array([0.2, 0.5, 0.8])
    bits = nn.HardBits()
    assert bits.forward(z) is z
    assert bits.evaluate().forward(z).tolist() == [[0, 0, 1]]
    assert nn.HardBits(straight_through=True).forward(z).tolist() == [[0, 0, 1]]


def test_tables():
    double, triple = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    double.weight[...], triple.weight[...] = 2, 3
    concat = nn.ConcatTable(double, triple)
    assert [each.tolist() for each in concat.forward(array([5]))] == [[[10]], [[15]]]
    assert concat.backward(array([5]), (array([1]), array([10]))).tolist() == [[2 + 30]]
    parallel = nn.ParallelTable(double.clone(), triple.clone())
    x = array([5]), array([7])
    assert [each.tolist() for each in parallel.forward(x)] == [[[10]], [[21]]]
    assert [each.tolist() for each in parallel.backward(x, (array([1]), array([10])))] == [[[2]], [[30]]]


def test_a_table_without_branches_has_no_gradient():
    table, x = nn.ConcatTable(), array([1])
    assert table.forward(x) == ()
    for verb in (table.backward, table.update_grad_input):
        with pytest.raises(MinivaeError, match="ConcatTable: it has no modules, and so no gradient; add one or more"):
            verb(x, ())


def test_sequential_separate_verbs_equal_backward():
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    x, g = np.ones((2, 3), np.float32), array([1, 2], [3, 4])
    model.forward(x)
    together = np.array(model.backward(x, g))
    grads = [np.array(grad) for grad in model.parameters()[1]]
    model.zero_grad_parameters()
    assert np.array_equal(model.update_grad_input(x, g), together)
    model.acc_grad_parameters(x, g)
    assert all(np.array_equal(a, b) for a, b in zip(model.parameters()[1], grads))


@pytest.mark.parametrize("make", [
    lambda: nn.BernoulliNoise(1.5), lambda: nn.GaussianNoise(-1), lambda: nn.BernoulliKL(prior=1),
    lambda: nn.BernoulliSampler(temperature=0), lambda: nn.GumbelSoftmaxSampler(temperature=0),
    lambda: nn.GaussianSampler(samples=0), lambda: nn.Clamp(), lambda: nn.Clamp(2, 1), lambda: nn.HardOneHot(0),
    lambda: nn.BCECriterion(samples=1.5), lambda: nn.Linear(0, 3), lambda: nn.Linear(3, 2.5),
    lambda: nn.SpatialConvolution(1, 2, 3, 0), lambda: nn.SpatialConvolution(1, 2, 3, 3, padw=-1),
    lambda: nn.SpatialMaxPooling(2, 2, padw=2), lambda: nn.SpatialUpSamplingNearest(1.5),
    lambda: nn.BatchNormalization(0), lambda: nn.BatchNormalization(2, epsilon=0),
    lambda: nn.GaussianNoise(float("nan")), lambda: nn.GaussianKL(beta=-1), lambda: nn.GaussianSampler(samples=True),
    lambda: nn.CategoricalKL(categories=0), lambda: nn.View(True), lambda: nn.View(0, 3), lambda: nn.View(2.0)])
def test_impossible_options_are_refused(make):
    with pytest.raises(OptionError, match=r"\(.*\): "):
        make()


@pytest.mark.parametrize(("made", "wanted", "options"), [
    (nn.Clamp(-1, 1), nn.Clamp(-5, None), ("low", "high")),
    (nn.SpatialAveragePooling(3, 3, 1, 1, 1, 1), nn.SpatialAveragePooling(3, 3, 1, 1, 1, 1, count_include_pad=False),
     ("count_include_pad",)),
    (nn.SpatialAveragePooling(3, 3, 1, 1, 1, 1), nn.SpatialAveragePooling(1, 1), ("kernel", "pad")),
    (nn.EnumeratedPrior(nn.BernoulliKL(), 2), nn.EnumeratedPrior(nn.BernoulliKL(), 3), ("code",))], ids=repr)
def test_an_option_that_changes_between_passes_counts_at_the_next(made, wanted, options):
    image = np.linspace(-9, 9, 9, dtype=np.float32).reshape(1, 1, 3, 3)
    made.forward(image)
    for name in options:
        setattr(made, name, getattr(wanted, name))
    for mine, its in zip(made.forward(image), wanted.forward(image), strict=True):
        assert np.array_equal(mine, its)


NUMBERS = {  # option: how it is made
    "beta": lambda value: nn.GaussianKL(beta=value), "prior": lambda value: nn.BernoulliKL(prior=value),
    "temperature": lambda value: nn.BernoulliSampler(temperature=value), "p": lambda value: nn.BernoulliNoise(p=value),
    "std": lambda value: nn.GaussianNoise(std=value), "epsilon": lambda value: nn.BatchNormalization(2, epsilon=value),
    "momentum": lambda value: nn.BatchNormalization(2, momentum=value), "low": lambda value: nn.Clamp(low=value),
}


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [np.float32(0.5), np.float64(0.5), np.float16(0.5), np.array(0.5), Fraction(1, 2)],
                         ids=lambda value: type(value).__name__)
def test_an_option_takes_any_kind_of_number(name, value):
    layer = NUMBERS[name](value)
    found = layer.bounds[0] if name == "low" else getattr(layer, name)
    assert type(found) is float and found == 0.5
    assert str(layer)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["1", None, True, float("nan"), np.ones(1), 1j, float("inf"), 10**400], ids=repr)
def test_an_option_that_is_no_number_is_refused_by_its_name(name, value):
    if name == "low" and value is not None:
        name = r"Clamp\("
    if value is not None or name != "low":
        with pytest.raises(OptionError, match=name):
            NUMBERS["low" if "Clamp" in name else name](value)


def test_errors_name_the_module_by_its_path_and_the_likely_cause():
    model = nn.Sequential(nn.Identity(), nn.Sequential(nn.Linear(784, 400)))
    with pytest.raises(ShapeError, match=r"^1\.0 Linear\(784 -> 400\): input has shape \(16, 28, 28\), "
                                         r"expected \(N, 784\); put View\(784\) before it$"):
        model.forward(np.zeros((16, 28, 28), np.float32))
    with pytest.raises(ShapeError, match=r"one row still needs a batch axis: x\[None\]"):
        model.forward(np.zeros(784, np.float32))
    with pytest.raises(ShapeError, match=r"has shape \(2, 24, 24\), expected \(N, 1, H, W\); put View\(planes, height, "
                                         r"width\) before it$"):
        nn.SpatialConvolution(1, 8, 3, 3).forward(np.zeros((2, 24, 24), np.float32))
    with pytest.raises(ShapeError, match=r"SpatialConvolution\(1 -> 8, 5×3\): .* smaller than one window of 5×3; take"):
        nn.SpatialConvolution(1, 8, 5, 3).forward(np.zeros((2, 1, 3, 3), np.float32))
    with pytest.raises(MinivaeError, match="scale pixels first"):
        model.forward(np.zeros((16, 784), np.uint8))
