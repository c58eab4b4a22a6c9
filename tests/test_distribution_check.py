"""The checks of random layers: right ones pass at many seeds, planted ones do not."""

from functools import cache, partial
from math import erf, sqrt

import numpy as np
import pytest
from few import few

import minivae as mv
from minivae import backend, debug, nn
from minivae.errors import MinivaeError, OptionError

# What one change of the source does is tried in test_change_of_draws.py.
check_noise, check_sampler = (partial(each, changes=False) for each in (debug.check_noise, debug.check_sampler))

RIGHT = {
    "GaussianSampler": (check_sampler, nn.GaussianSampler), "L = 3": (check_sampler, lambda: nn.GaussianSampler(3)),
    "BernoulliSampler": (check_sampler, nn.BernoulliSampler),
    "cold, L = 4": (check_sampler, lambda: nn.BernoulliSampler(0.2, 4)),
    "GumbelSoftmaxSampler": (check_sampler, nn.GumbelSoftmaxSampler),
    "cold categories, L = 3": (check_sampler, lambda: nn.GumbelSoftmaxSampler(0.2, 3)),
    "frozen categories": (check_sampler, lambda: nn.GumbelSoftmaxSampler(0.01)),
    "categories and a layer": (partial(check_sampler, kind="categorical"), lambda: nn.Sequential(
        nn.GumbelSoftmaxSampler(0.5), nn.HardOneHot(3))),
    "bits and a layer": (partial(check_sampler, kind="relaxed"), lambda: nn.Sequential(
        nn.BernoulliSampler(0.5), nn.Sigmoid())),
    "BernoulliNoise": (check_noise, lambda: nn.BernoulliNoise(0.1)),
    "half": (check_noise, lambda: nn.BernoulliNoise(0.5)),
    "GaussianNoise": (check_noise, lambda: nn.GaussianNoise(0.3)),
}


@pytest.mark.parametrize("seeds", few(1, [5, 20]))
@pytest.mark.parametrize(("check", "make"), RIGHT.values(), ids=RIGHT)
def test_right_layers_pass(check, make, seeds):
    """At a false-alarm rate of 1e-6 and 20 seeds each: a failure in 7,000 runs of this file."""
    for seed in range(seeds):
        report = check(make(), draws=20000, seed=seed)
        assert report.ok, report
    assert "once in 1,000,000 checks" in str(report) and "ok" in str(report)


def test_the_false_alarm_rate_is_what_it_says():
    """At a rate of 0.3 for all statistics together a right layer fails in at most 30 % of 200 checks, and in some."""
    failed = sum(not check_sampler(nn.GaussianSampler(), draws=2000, seed=seed, false_alarm=0.3).ok
                 for seed in range(200))
    assert 10 < failed < 200 * 0.3 + 5 * np.sqrt(200 * 0.3 * 0.7)


class VarianceForStd(nn.GaussianSampler):
    def update_output(self, input):
        return super().update_output((input[0], 2 * input[1]))

    def update_grad_input(self, input, grad_output):
        mean, log_var = super().update_grad_input((input[0], 2 * input[1]), grad_output)
        return mean, 2 * log_var


class HalfStd(nn.GaussianSampler):
    def update_output(self, input):
        return super().update_output((input[0], 0.99 * input[1]))


class OneNoiseForAllUnits(nn.GaussianSampler):
    def draw(self, fill, shape):
        noise = super().draw(fill, shape)
        noise[...] = noise[:, :1]
        return noise


class MixesDraws(nn.GaussianSampler):
    def grouped(self, array):
        return array.reshape(self.samples, len(array) // self.samples, -1).transpose(1, 0, 2)


class Noise(nn.GaussianSampler):
    """Noise of mean 0 and variance 1, and yet another distribution than N(0, 1)."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def draw(self, fill, shape):
        noise = super().draw(fill, shape)
        noise[...] = self.change(noise)
        return noise


def uniform(noise):
    return backend.uniform(noise) * 12**0.5 - 3**0.5


def antithetic(noise):
    return np.concatenate([noise[:len(noise) // 2], -noise[:len(noise) // 2]])


def one_size(noise):
    return np.abs(noise[:, :1]) * np.sign(noise)


def moving_average(noise):
    return (noise + np.roll(noise, 1, axis=0)) / 2**0.5


class OneDraw(nn.GaussianSampler):
    def draw(self, fill, shape):
        noise = super().draw(fill, shape)
        noise[...] = noise[::self.samples].repeat(self.samples, axis=0)
        return noise


class LogVarForStd(nn.GaussianSampler):
    """One of the units that are checked has log_var = 0, and so no noise."""

    def update_output(self, input):
        mean, log_var = input
        return mean + log_var * self.draw(backend.standard_normal, mean.shape)


class Probit(nn.BernoulliSampler):
    def update_output(self, input):
        self.output = (input + np.pi / 3**0.5 * self.draw(backend.standard_normal, input.shape)) / self.temperature
        return self.output


class TiledBits(nn.BernoulliSampler):
    def grouped(self, array):
        return array.reshape(self.samples, len(array) // self.samples, -1).transpose(1, 0, 2)


class OneGumbel(nn.BernoulliSampler):
    """The article's listing: ln p − ln(−ln u)."""

    def update_output(self, input):
        u = self.draw(backend.uniform, input.shape)
        self.output = (-np.log1p(np.exp(-input)) - np.log(-np.log(u))) / self.temperature
        return self.output


class LogisticForGumbel(nn.GumbelSoftmaxSampler):
    """The noise of a relaxed bit on each logit."""

    def draw(self, fill, shape):
        u = super().draw(fill, shape)
        return np.exp(-(1 - u) / u)  # −ln(−ln of it) = ln u − ln(1 − u)


class TwoLogistics(nn.GumbelSoftmaxSampler):
    """The same, to the ends of its tails."""

    def update_output(self, input):
        u = self.draw(mv.backend.uniform, (len(input), 6)).reshape(input.shape)
        e = np.exp(input + np.log(u) - np.log(1 - u))
        return (e / e.sum(axis=-1, keepdims=True)).reshape(len(input), 6)


class OneGumbelForAllVariables(nn.GumbelSoftmaxSampler):
    def draw(self, fill, shape):
        noise = super().draw(fill, shape)
        noise.reshape(len(noise), 2, 3)[:, 1] = noise.reshape(len(noise), 2, 3)[:, 0]
        return noise


class MixesCategories(nn.GumbelSoftmaxSampler):
    def _vectors(self, array, input):
        n, k, c = input.shape
        return array.reshape(self.samples, n, k, c).transpose(1, 0, 2, 3)


class FlipsTooMany(nn.BernoulliNoise):
    def __init__(self):
        super().__init__(0.1)

    def update_output(self, input):
        self.p = 0.12
        output = super().update_output(input)
        self.p = 0.1
        return output


class ASigmoid(nn.BernoulliSampler):
    def update_output(self, input):
        return 1 / (1 + np.exp(-super().update_output(input)))


class WarmLogits(nn.BernoulliSampler):
    """T beside the logit alone."""

    def __init__(self):
        super().__init__(0.5)

    def update_output(self, input):
        noise = self.temperature * super().update_output(input) - input
        return input / self.temperature + noise


class WarmNoise(WarmLogits):
    """T beside the noise alone."""

    def update_output(self, input):
        return input + nn.BernoulliSampler.update_output(self, input) - input / self.temperature


class Flips(nn.BernoulliNoise):
    """flip(u, x) makes y, and -1 is the derivative where y differs from x."""

    def __init__(self, p, flip):
        super().__init__(p)
        self.flip = flip

    def update_output(self, input):
        self.output = self.flip(self.draw(mv.backend.uniform, input.shape), input) if self.train else input
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.where(np.abs(self.output - input) > 1e-9, -grad_output, grad_output)


class NoSign(nn.BernoulliNoise):
    def __init__(self):
        super().__init__(0.1)

    def update_grad_input(self, input, grad_output):
        return grad_output


class OfUniform(nn.BernoulliSampler):
    """Its noise is a function of a uniform number."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def update_output(self, input):
        self.output = (input + self.function(self.draw(backend.uniform, input.shape))) / self.temperature
        return self.output


class NoisyInEvaluation(nn.GaussianNoise):
    def __init__(self):
        super().__init__(0.3)

    def evaluate(self):
        return self


@cache
def reported(check, make):
    return check(make())


@pytest.mark.parametrize(("check", "make", "named"), [
    (check_sampler, VarianceForStd, "variance"), (check_sampler, HalfStd, "variance"),
    (check_sampler, OneNoiseForAllUnits, "correlation of neighbouring units"),
    (check_sampler, lambda: MixesDraws(3), "variance"), (check_sampler, OneGumbel, "share of y > 0"),
    (check_sampler, lambda: Noise(uniform), "share below -1"),
    (check_sampler, lambda: Noise(antithetic), "first half of the rows"),
    (check_sampler, lambda: Noise(one_size), "squares, of neighbouring units"),
    (check_sampler, LogisticForGumbel, "share of category"),
    (check_sampler, OneGumbelForAllVariables, "both variables"),
    (check_sampler, lambda: MixesCategories(samples=3), "share of category"),
    (check_noise, FlipsTooMany, "share flipped"), (check_noise, NoSign, "derivative is −1"),
    (check_noise, NoisyInEvaluation, "evaluation mode")])
def test_wrong_layers_fail_and_the_report_names_what_is_off(check, make, named):
    report = reported(check, make)
    assert not report.ok and any(named in each.name for each in report.wrong())
    assert "DRAWS FROM ANOTHER DISTRIBUTION" in str(report) and "FAIL" in str(report)


@pytest.mark.parametrize(("check", "make", "sentence"), few(9, [
    (check_sampler, VarianceForStd, "σ² stands where σ belongs"), (check_sampler, lambda: MixesDraws(3), "are mixed"),
    (check_sampler, lambda: TiledBits(samples=3), "are mixed"),
    (check_sampler, OneGumbel, "one Gumbel is added to ln θ"),
    (check_sampler, HalfStd, "the noise is normal, with mean 0."), (check_sampler, HalfStd, "by unit; it should be"),
    (check_sampler, LogVarForStd, "the noise is normal, with mean"),
    (check_sampler, lambda: Noise(uniform), "the noise is uniform, with mean"),
    (check_sampler, lambda: Noise(antithetic), "the noise with its sign turned"),
    (check_sampler, lambda: Noise(one_size), "all units of a row have the same noise but for its sign"),
    (check_sampler, lambda: Noise(moving_average), "several depend on each other"),
    (check_sampler, lambda: OneDraw(3), "all draws for a row have the same noise"),
    (check_sampler, lambda: OfUniform(lambda u: np.log(u) + np.log(1 - u)), "is ln u + ln(1 − u), with one sign wrong"),
    (check_sampler, lambda: OfUniform(np.log), "is exponential with its sign turned, ln u, with mean"),
    (check_sampler, Probit, "the noise is normal, with mean"), (check_sampler, Probit, "it should be logistic"),
    (check_sampler, LogisticForGumbel, "the noise is "), (check_sampler, TwoLogistics, "it needs one Gumbel variable"),
    (check_sampler, ASigmoid, "y lies between 0 and 1"),
    (check_sampler, WarmLogits, "the logit is divided by the temperature"),
    (check_sampler, WarmNoise, "the noise is divided by the temperature"),
    (check_noise, lambda: Flips(0.1, lambda u, x: np.where(u < 0.1, 1 - np.round(x), x)), "neither x nor 1 − x"),
    (check_noise, lambda: Flips(0.1, lambda u, x: 1 - x), "every pixel flips"),
    (check_noise, lambda: Flips(0.0, lambda u, x: np.where(u > 0, 1 - x, x)), "with p = 0 none may"),
    (check_noise, lambda: Flips(0.1, lambda u, x: np.where(u > 0.1, 1 - x, x)), "1 − p stands where p belongs"),
    (check_sampler, OneGumbelForAllVariables, "all variables"),
    (check_noise, NoSign, "derivative is −1")]))
def test_a_report_says_what_the_draws_look_like(check, make, sentence):
    finding, = reported(check, make).findings
    assert sentence in finding


@pytest.mark.parametrize("every", few(1, [7, 3, 40]))
@pytest.mark.parametrize("cls", [nn.GaussianSampler, nn.BernoulliSampler, nn.GumbelSoftmaxSampler, nn.GaussianNoise])
def test_noise_that_comes_again_is_no_new_noise(cls, every):
    """Each so many-th row has the noise of a row far away, and every statistic of rows side by side is right."""
    class Again(cls):
        def draw(self, fill, shape):
            noise = super().draw(fill, shape)
            again = noise[::every]
            again[len(again) // 2:] = again[:len(again) - len(again) // 2]
            return noise

    report = (check_noise if cls is nn.GaussianNoise else check_sampler)(Again())
    assert not report.ok and "again in another row" in str(report)
    assert "is that of another row" in report.findings[0]


class OneForTheWholeCode(nn.HardOneHot):
    def harden(self, input, out):
        out[...] = np.arange(input.shape[1]) == input.argmax(axis=1)[:, None]


class SoftmaxOfTheWholeCode(nn.GumbelSoftmaxSampler):
    def update_output(self, input):
        relaxed = super().update_output(input)
        self.output = relaxed**2 / (relaxed**2).sum(axis=1, keepdims=True)
        return self.output


@pytest.mark.parametrize("samples", [1, 2])
def test_a_sampler_may_be_a_sequence_of_layers(samples):
    def sequence(cls):
        sampler = nn.GumbelSoftmaxSampler(temperature=0.5, samples=samples)
        return nn.Sequential(sampler, cls(3, straight_through=True))

    report = check_sampler(sequence(nn.HardOneHot), "categorical", draws=20_000)
    assert report.ok and not report.findings, str(report)
    for wrong in (sequence(OneForTheWholeCode), SoftmaxOfTheWholeCode(samples=samples)):
        report = check_sampler(wrong, "categorical", draws=20_000)
        assert not report.ok and "each of the K variables needs a softmax, or a largest" in report.findings[0]


def test_rows_that_share_the_noise_of_each_draw_are_named():
    class OfAllRows(nn.GaussianSampler):
        def draw(self, fill, shape):
            noise = super().draw(fill, shape)
            noise[...] = np.tile(noise[:self.samples], (len(noise) // self.samples, 1))
            return noise

    for samples in (1, 2, 3):
        report = check_sampler(OfAllRows(samples), draws=6_000)
        said, = report.findings
        assert not report.ok and said == "all rows of the batch have the same noise: draw a number for each entry"


def test_a_right_distribution_gets_no_sentence():
    assert check_sampler(nn.GaussianSampler()).findings == []


def test_the_gradient_check_cannot_see_a_wrong_distribution():
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    assert mv.gradcheck(VarianceForStd(), (x[0], x[1])).ok


def test_unknown_layers_and_the_stream():
    state = backend.get_random_state()
    check_sampler(nn.GaussianSampler(), draws=100)
    assert backend.get_random_state() == state
    with pytest.raises(OptionError, match="does not know what Tanh draws"):
        check_sampler(nn.Tanh())
    with pytest.raises(OptionError, match="kind is 'poisson', expected one of bernoulli, gaussian, other, laplace"):
        check_noise(nn.GaussianNoise(0.1), "poisson")
    with pytest.raises(OptionError, match="Tanh has no std, the amount of gaussian noise"):
        check_noise(nn.Tanh(), "gaussian")


class Multiplied(nn.Module):
    """Noise of no kind that check_noise knows: x (1 + drawn(x.shape) / 2)."""

    def __init__(self, drawn):
        super().__init__()
        self.drawn = drawn

    def update_output(self, input):
        self.output = input * (1 + self.drawn(input.shape) / 2) if self.train else input
        return self.output


def normal(shape):
    return backend.standard_normal(np.empty(shape))


KEPT = np.random.default_rng(0).standard_normal((100_000, 4))


@pytest.mark.parametrize(("drawn", "said"), [
    (normal, None),
    (lambda shape: 2.0 * (normal((shape[0], 1)) > 1), None),  # whole rows are dropped
    (lambda shape: normal((1, shape[1])), "all rows of the batch have the same noise"),
    (lambda shape: KEPT[:shape[0]], "all calls have the same noise"),
    (lambda shape: np.tile(normal((shape[0] // 2, shape[1])), (2, 1)), "first half of the rows"),
    (lambda shape: np.cumsum(normal(shape), axis=0) / 100, "one row with the next"),
    (lambda shape: 0, "no noise is added"),
], ids=["each entry", "each row", "shared by rows", "kept", "halves", "sums", "none"])
def test_noise_of_another_kind(drawn, said):
    report = check_noise(Multiplied(drawn))
    assert report.ok == (said is None) and (said or "draws as it should") in str(report)


@pytest.mark.parametrize(("base", "change", "said"), [
    (nn.GaussianNoise, lambda x, y, layer: x + (y - x) / layer.std**0.5, "√std stands where std belongs"),
    (nn.GaussianNoise, lambda x, y, layer: x + (y - x) * layer.std, "std² stands where std belongs"),
    (nn.GaussianNoise, lambda x, y, layer: y + 1, "the noise is normal, with mean 5 "),
    (nn.GaussianNoise, lambda x, y, layer: x + (y - x)[:1], "all rows of the batch have the same noise"),
    (nn.GaussianNoise, lambda x, y, layer: x + 0.1, "the same is added each time, 0.5 standard deviations"),
    (nn.BernoulliNoise, lambda x, y, layer: 1 - y, "1 − p stands where p belongs"),
])
def test_wrong_noise_is_named(base, change, said):
    class Wrong(base):
        def update_output(self, input):
            output = super().update_output(input)
            return change(input, output, self) if self.train else output

    report = check_noise(Wrong(0.2), draws=20_000)
    assert not report.ok and said in str(report)
    off = [each.name for each in report.wrong()]
    assert "same" in said or "1 − p" in said or not any("correlation" in name for name in off), off


def test_noise_that_is_cut_off_is_named():
    class Clipped(nn.GaussianSampler):
        def update_output(self, input):
            mean, log_var = input
            noise = np.clip(self.draw(backend.standard_normal, mean.shape), -1.5, 1.5)
            return mean + np.exp(0.5 * log_var) * noise

    assert "% of the noise is cut off at -1.5 and 1.5" in str(check_sampler(Clipped(), draws=100_000))


@pytest.mark.parametrize(("warm", "noise", "said"), [
    (2, 1, "the logits are divided by the temperature and the noise is not"),
    (1, 2, "the noise is divided by the temperature and the logits are not")])
def test_a_temperature_of_a_part_is_named(warm, noise, said):
    class Partly(nn.GumbelSoftmaxSampler):
        def update_output(self, input):
            u = self.draw(backend.uniform, input.shape)
            powers = np.exp(warm * input - noise * np.log(-np.log(u)))
            return (powers / powers.sum(axis=2, keepdims=True)).reshape(len(input), -1)

    assert said in str(check_sampler(Partly(0.5), draws=20_000))


@pytest.mark.parametrize(("power", "said"), [
    (0, "is not divided by the temperature"), (1, "is multiplied by the temperature"),
    (-2, "is divided by the temperature twice")])
@pytest.mark.parametrize("temperature", [0.1, 0.5, 2])
def test_a_wrong_temperature_of_categories_is_named(power, said, temperature):
    class OfAPower(nn.GumbelSoftmaxSampler):
        def update_output(self, input):
            u = self.draw(backend.uniform, input.shape)
            scaled = (input - np.log(-np.log(u))) * self.temperature**power
            powers = np.exp(scaled - scaled.max(axis=2, keepdims=True))
            return (powers / powers.sum(axis=2, keepdims=True)).reshape(len(input), -1)

    report = check_sampler(OfAPower(temperature), draws=20_000)
    finding, = report.findings
    assert not report.ok and said in finding, report


def test_a_gumbel_of_wrong_sign_is_named():
    class Negative(nn.GumbelSoftmaxSampler):
        def update_output(self, input):
            super().update_output(input)
            noise = np.log(-np.log(np.clip(self.noise, 1e-300, 1 - 1e-16))).reshape(input.shape)
            relaxed = np.exp(input + noise)
            self.output = (relaxed / relaxed.sum(axis=2, keepdims=True)).reshape(len(input), -1)
            return self.output

    assert "wrong sign" in str(check_sampler(Negative(1.0), draws=20_000))


def test_noise_of_images_is_checked():
    class PlaneNoise(nn.Module):
        def update_output(self, input):
            self.expect("input", input, ("N", "C", "H", "W"))
            self.noise = self.draw(backend.uniform, (*input.shape[:2], 1, 1))
            return input * (self.noise > 0.3) / 0.7 if self.train else input

    class Alike(PlaneNoise):
        def update_output(self, input):
            self.expect("input", input, ("N", "C", "H", "W"))
            self.noise = self.draw(backend.uniform, (1, *input.shape[1:2], 1, 1))
            return input * (self.noise > 0.3) if self.train else input

    assert check_noise(PlaneNoise(), draws=20_000).ok
    report = check_noise(Alike(), draws=20_000)
    assert not report.ok and "all rows of the batch have the same noise" in str(report)


class StepDropout(nn.Module):
    """Sequences (N, T, D) of which a row loses the same entries in all steps."""

    rows = slice(None)

    def update_output(self, input):
        self.expect("input", input, ("N", "T", "D"))
        kept = self.draw(backend.uniform, (len(input[self.rows]), 1, input.shape[2])) > 0.3
        return input * kept / 0.7 if self.train else input


class OneForAll(StepDropout):
    rows = slice(1)


def test_noise_of_any_input_is_checked():
    input = np.ones((2, 3, 4))
    assert check_noise(StepDropout(), input=input, draws=20_000).ok
    report = check_noise(OneForAll(), input=input, draws=20_000)
    assert not report.ok and "all rows of the batch have the same noise" in str(report)


class LaplaceDraws(nn.Module):
    """location + scale · Laplace noise, from a table of both."""

    width = 2

    def update_output(self, input):
        location, scale = input
        u = self.draw(backend.uniform, location.shape) - 0.5
        return location - scale * np.sign(u) * np.log(1 - self.width * np.abs(u))


class HalfTheWidth(LaplaceDraws):
    width = 1


def test_a_family_of_distributions_is_checked():
    table = np.ones((2, 3)), np.full((2, 3), 0.5)
    assert check_noise(LaplaceDraws(), "laplace", input=table).ok
    for cls, kind, name in ((HalfTheWidth, "laplace", "Laplace"), (LaplaceDraws, "logistic", "logistic")):
        report = check_noise(cls(), kind, input=table)
        assert not report.ok and f"the draws are not {name}: one unit " in str(report)


class SkippedBranch(nn.Container):
    """x + the branch, which some rows skip in training."""

    always = False

    def update_output(self, input):
        share = self.draw(backend.uniform, (len(input), 1)) > 0.5 if self.train or self.always else 0.5
        return input + share * self[0].forward(input)


class AlwaysSkips(SkippedBranch):
    always = True


def test_a_container_must_be_without_noise_in_evaluation_mode():
    input = np.ones((2, 4))
    assert check_noise(SkippedBranch(nn.Linear(4, 4)), input=input, draws=20_000).ok
    report = check_noise(AlwaysSkips(nn.Linear(4, 4)), input=input, draws=20_000)
    assert "in evaluation mode two calls differ" in str(report)


class KeepsWhatItShouldDrop(nn.Module):
    """Dropout that keeps a share p and multiplies by 1 / (1 − p)."""

    p = 0.3

    def update_output(self, input):
        kept = self.draw(backend.uniform, input.shape) < self.p
        return input * kept / (1 - self.p) if self.train else input


def test_a_dropout_keeps_the_mean():
    report = check_noise(KeepsWhatItShouldDrop(), draws=20_000)
    assert not report.ok and "so the mean is 0.4" in str(report) and "keep 0.7 of them" in str(report)


def test_variables_that_share_their_noise_are_named():
    class OneForAllVariables(nn.GumbelSoftmaxSampler):
        def update_output(self, input):
            u = self.draw(backend.uniform, (len(input), 1, input.shape[2]))
            powers = np.exp((input - np.log(-np.log(u))) / self.temperature)
            return (powers / powers.sum(axis=2, keepdims=True)).reshape(len(input), -1)

    assert "all variables of a row have the same noise" in str(check_sampler(OneForAllVariables(0.5), draws=20_000))


@pytest.mark.parametrize("pairs", [2, 4])
def test_antithetic_draws_are_called_so(pairs):
    class Antithetic(nn.GaussianSampler):
        def update_output(self, input):
            mean, log_var = input
            noise = self.draw(backend.standard_normal, (len(mean) // pairs, pairs // 2, mean.shape[1]))
            both = np.concatenate([noise, -noise], axis=1)
            return mean + np.exp(0.5 * log_var) * both.reshape(mean.shape)

    assert "unless antithetic draws are meant" in str(check_sampler(Antithetic(), draws=20_000))


def test_exponential_noise_for_a_gumbel_is_named():
    class Exponential(nn.GumbelSoftmaxSampler):
        def update_output(self, input):
            powers = np.exp((input - np.log(self.draw(backend.uniform, input.shape))) / self.temperature)
            return (powers / powers.sum(axis=2, keepdims=True)).reshape(len(input), -1)

    assert "it needs a Gumbel variable, −ln(−ln u)" in str(check_sampler(Exponential(0.7), draws=20_000))


class Relaxed(nn.BernoulliSampler):
    """σ((a + noise) / T), or with `warm` only a / T."""

    warm = False

    def update_output(self, input):
        u = self.draw(backend.uniform, (len(input) * self.samples, input.shape[1]))
        rows = np.repeat(input, self.samples, axis=0)
        noise = (np.log(u) - np.log1p(-u)) * (self.temperature if self.warm else 1)
        return 1 / (1 + np.exp(-(rows + noise) / self.temperature))


class Warm(Relaxed):
    warm = True


class Bits(nn.BernoulliSampler):
    """0 or 1, by a number of each entry, or of fewer."""

    shape = slice(None), slice(None)

    def update_output(self, input):
        rows = np.repeat(input, self.samples, axis=0)
        of = rows[self.shape]
        return 1.0 * (self.draw(backend.uniform, of.shape) < 1 / (1 + np.exp(-rows)))


class OneForARow(Bits):
    shape = slice(None), slice(1)


class OneForAUnit(Bits):
    shape = slice(1), slice(None)


class Steep(Bits):
    def update_output(self, input):
        return super().update_output(2 * input)


@pytest.mark.parametrize(("kind", "right", "wrong"), [
    ("relaxed", Relaxed, {Warm: "the logit is divided by the temperature and the noise is not"}),
    ("bits", Bits, {OneForARow: "numbers of one row depend on each other, so draw one for each entry",
                    OneForAUnit: "all rows of the batch have the same noise",
                    Steep: "share of y > 0 for logit", Relaxed: "largest distance of a bit from 0 and 1"})])
@pytest.mark.parametrize("samples", [1, 3])
def test_samplers_of_relaxed_and_of_hard_bits(kind, right, wrong, samples):
    assert check_sampler(right(0.5, samples=samples), kind, draws=30_000).ok
    for cls, said in wrong.items():
        report = check_sampler(cls(0.5, samples=samples), kind, draws=30_000)
        assert not report.ok and said in str(report), report


def last_unit_is_first(noise):
    return np.concatenate([noise[:, :-1], noise[:, :1]], axis=1)


def halves(noise):
    return np.tile(noise[:, :noise.shape[1] // 2], (1, 2))


def last_draw_is_first(noise):
    return last_unit_is_first(noise.reshape(-1, 3, 4).transpose(0, 2, 1).reshape(-1, 3)).reshape(
        -1, 4, 3).transpose(0, 2, 1).reshape(-1, 4)


@pytest.mark.parametrize(("check", "cls", "arguments", "change", "named"), [
    (check_sampler, nn.GaussianSampler, (), last_unit_is_first, "noise above its median in both unit 0 and unit 3"),
    (check_sampler, nn.GaussianSampler, (), lambda noise: np.concatenate(
        [noise[:, :3], np.abs(noise[:, :1]) * np.sign(noise[:, 3:])], axis=1), "median size in both unit 0 and unit 3"),
    (check_sampler, nn.GaussianSampler, (3,), last_draw_is_first, "of draw 0 and unit"),
    (check_sampler, nn.BernoulliSampler, (), halves, "noise above its median in both unit"),
    (partial(check_sampler, kind="bits"), Bits, (1, 1), last_unit_is_first, "y > 0 in both unit 0 and unit 3"),
    (partial(check_sampler, kind="bits"), Bits, (1, 1), halves, "y > 0 in both unit 1 and unit 3"),
    (partial(check_sampler, kind="bits"), Bits, (1, 3), last_draw_is_first, "unit 2 of draw 0 and unit 2 of draw 2"),
    (partial(check_sampler, kind="bits"), Bits, (1, 300), lambda noise: np.repeat(noise[::2], 2, axis=0), "of draw"),
    (check_noise, nn.GaussianNoise, (0.3,), last_unit_is_first, "noise above its median in both unit 0 and unit 3"),
    (check_noise, nn.BernoulliNoise, (0.1,), last_unit_is_first, "flips in both unit 0 and unit 63"),
    (check_noise, nn.BernoulliNoise, (0.01,), halves, "flips in both unit")])
def test_two_numbers_of_a_row_that_share_a_draw_are_named(check, cls, arguments, change, named):
    class Sharing(cls):
        def draw(self, fill, shape):
            noise = super().draw(fill, shape)
            noise[...] = change(noise)
            return noise

    off = check(Sharing(*arguments)).wrong()
    assert any(named in each.name for each in off), off


BITS = {
    "the noise seems to be normal": np.vectorize(lambda a: (1 + erf(a / sqrt(2))) / 2),
    "one Gumbel, −ln(−ln u), is added to the logit": lambda a: -np.expm1(-np.exp(a)),
    "one Gumbel of the wrong sign": lambda a: np.exp(-np.exp(-a)),
    "with probability 1 − σ(a), where σ(a) belongs": lambda a: 1 / (1 + np.exp(a)),
    "the logit is taken for the probability": lambda a: a,
    "the bits do not depend on the logits": lambda a: 0 * a + 0.5}


@pytest.mark.parametrize("said", BITS)
def test_bits_of_another_probability_are_named(said):
    class OfThat(nn.Sampler):
        def update_output(self, input):
            u = self.draw(backend.uniform, (len(input) * self.samples, input.shape[1]))
            return 1.0 * (u < np.repeat(BITS[said](input), self.samples, axis=0))

    report = check_sampler(OfThat(samples=2), "bits", changes=False)
    assert not report.ok and said in str(report.findings), report


@pytest.mark.parametrize(("input", "said"), [
    ([1.0, 2.0], "a table, which is a tuple|makes one"), (np.zeros((0, 3)), r"has \(0, 3\), expected at least one row"),
    ((np.ones((2, 3)), np.float32(1)), "array|expected at least one row"), ("x", "array")])
def test_an_input_that_is_none_is_refused(input, said):
    with pytest.raises(MinivaeError, match=said):
        check_noise(KeepsWhatItShouldDrop(), input=input)


class CentredCodes(nn.GaussianSampler):
    def draw(self, fill, shape):
        noise = super().draw(fill, shape)
        return noise - noise.mean(axis=0)


class DropsHalfOfTheBatch(nn.Module):
    """Exactly half of the rows, not each with probability ½."""

    def update_output(self, input):
        order = np.argsort(self.draw(backend.uniform, (len(input),)))
        return input * (order < len(input) / 2)[:, None] * 2 if self.train else input


@pytest.mark.parametrize("check", [
    lambda: check_sampler(CentredCodes()), lambda: check_noise(DropsHalfOfTheBatch()),
    lambda: check_noise(CentredCodes(), input=(np.ones((1, 3)), np.zeros((1, 3))))])
def test_rows_of_a_small_batch_that_depend_on_each_other(check):
    report = check()
    assert not report.ok and "the rows of a small batch depend on each other" in str(report), report


@pytest.mark.parametrize(("check", "layer", "options", "said"), [
    (check_noise, nn.GaussianNoise, {}, "write GaussianNoise"),
    (check_sampler, nn.GaussianSampler, {}, "write GaussianSampler"),
    (check_noise, nn.GaussianNoise(0.3), {"draws": 0}, "draws is a whole number from 2"),
    (check_noise, nn.GaussianNoise(0.3), {"draws": 1e5}, "draws is a whole number"),
    (check_sampler, nn.GaussianSampler(), {"false_alarm": 2}, "false_alarm is a probability")])
def test_what_cannot_be_counted_is_refused(check, layer, options, said):
    with pytest.raises(OptionError, match=said):
        check(layer, **options)
