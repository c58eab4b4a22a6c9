"""The gradient checker: it must find planted mistakes, excuse kinks only, and touch nothing."""

import re
from math import ceil

import numpy as np
import pytest
from few import few
from layers import ROWS

import minivae as mv
from minivae import backend, nn
from minivae.debug import jacobian_backward, jacobian_forward
from minivae.debug.diagnosis import explain as diagnosis
from minivae.debug.diagnosis.memory import remembered
from minivae.debug.gradient_check import GradientError
from minivae.debug.tables import mapped
from minivae.errors import MinivaeError, OptionError


def x(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


class HalfGradient(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return super().update_grad_input(input, grad_output) * 0.5


class Unmasked(nn.ReLU):
    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.copy()
        return self.grad_input


class NoBiasGradient(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        kept = self.grad_bias.copy()
        super().acc_grad_parameters(input, grad_output, scale)
        self.grad_bias[...] = kept


class TransposedWeightGradient(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += (grad_output.T @ input).T


class ForgetsOwnGradient(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        return grad_output


class Swapped(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        return super().update_grad_input(input, grad_output)[::-1]


class OneWrongEntry(nn.Sigmoid):
    def update_grad_input(self, input, grad_output):
        super().update_grad_input(input, grad_output)[0, 1] *= 1.001
        return self.grad_input


class NotANumber(nn.Sigmoid):
    def update_grad_input(self, input, grad_output):
        super().update_grad_input(input, grad_output)[1, 0] = np.nan
        return self.grad_input


PLANTED = {
    "half": (HalfGradient, x(3, 4), "input"),
    "no mask": (Unmasked, x(3, 4), "input"),
    "bias left out": (lambda: NoBiasGradient(4, 4), x(3, 4), "bias"),
    "weight transposed": (lambda: TransposedWeightGradient(4, 4), x(3, 4), "weight"),
    "divergence's own gradient left out": (ForgetsOwnGradient, (x(3, 4), x(3, 4, seed=1)), "input[0]"),
    "table swapped": (Swapped, (x(3, 4), x(3, 4, seed=1)), "input[1]"),
    "one entry by a thousandth": (OneWrongEntry, x(3, 4), "input"),
    "not a number": (NotANumber, x(3, 4), "input"),
    "inside a model": (lambda: nn.Sequential(nn.Linear(4, 3), HalfGradient()), x(3, 4), "0.weight"),
}


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED.keys())
def test_planted_mistake_is_found_and_named(planted):
    make, input, name = planted
    report = mv.gradcheck(make(), input)
    assert not report.ok
    assert name in [check.name for check in report.checks if not check.ok]
    assert "GRADIENTS DIFFER" in str(report) and "FAIL" in str(report)
    with pytest.raises(GradientError, match="analytic"):
        report.raise_if_failed()


def test_wrong_shape_of_a_gradient_is_named():
    class Wrong(nn.Tanh):
        def update_grad_input(self, input, grad_output):
            return grad_output[:, :2]

    report = mv.gradcheck(Wrong(), x(3, 4))
    assert not report.ok and "the array has shape (3, 4), its gradient (3, 2)" in str(report)


def test_report_of_a_right_layer_names_every_array():
    report = mv.gradcheck(nn.Linear(4, 3), x(5, 4))
    assert report.ok and [check.name for check in report.checks] == ["input", "weight", "bias"]
    assert all(check.error < 1e-9 for check in report.checks)
    assert "gradients agree" in str(report) and report.raise_if_failed() is report


def test_kink_is_excused_only_where_the_analytic_value_lies_between():
    at_kink = x(10, 10)
    at_kink[0, 0] = 0
    assert mv.gradcheck(nn.ReLU(), at_kink).checks[0].kinks == 0.01

    class AboveBoth(nn.ReLU):
        def update_grad_input(self, input, grad_output):
            super().update_grad_input(input, grad_output)
            self.grad_input[0, 0] = 3 * grad_output[0, 0]
            return self.grad_input

    assert mv.gradcheck(nn.ReLU(), at_kink).ok
    assert not mv.gradcheck(AboveBoth(), at_kink).ok


def test_more_than_two_percent_of_kinks_are_looked_at_beside_them():
    class BeyondZero(nn.ReLU):
        """Right at 0 alone."""

        def update_grad_input(self, input, grad_output):
            self.grad_input = grad_output * 0
            return self.grad_input

    zeros = np.zeros((2, 5), np.float32)
    report = mv.gradcheck(nn.ReLU(), zeros)
    assert report.ok and report.checks[0].kinks == 1 and "but right beside the kinks" in str(report)
    assert not mv.gradcheck(Unmasked(), zeros).ok
    report = mv.gradcheck(BeyondZero(), zeros)
    assert not report.ok and report.title == "BeyondZero, beside its kinks"


class Abs(nn.ReLU):
    """|x|, whose slope at 0 is said to be 1."""

    def update_output(self, input):
        self.output = np.abs(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = np.where(input >= 0, grad_output, -grad_output)
        return self.grad_input


def with_entries(*shape, seed, entries):
    value = x(*shape, seed=seed)
    value.reshape(-1)[:len(entries)] = entries
    return value


def photos(n, seed):
    return mv.data.rectangles(n, 8, 8, sides=(3, 6), seed=seed).astype(np.float32)


KINKS = {
    "a tie in max pooling": (lambda: nn.SpatialMaxPooling(2, 2),
                             lambda seed: with_entries(1, 1, 20, 20, seed=seed, entries=[3, 3]), 40),
    "ties in overlapping windows": (lambda: nn.SpatialMaxPooling(3, 3, 1, 1, 1, 1),
                                    lambda seed: np.round(x(1, 1, 6, 6, seed=seed)), 10),
    "|x| at 0": (Abs, lambda seed: with_entries(20, 20, seed=seed, entries=[0]), 40),
    "a rectifier at 0": (nn.ReLU, lambda seed: with_entries(20, 20, seed=seed, entries=[0]), 40),
    "a rectifier at zeros": (nn.ReLU, lambda seed: np.zeros((2, 5), np.float32), 3),
    "a rectifier next to 0": (nn.ReLU, lambda seed: x(4, 5, seed=seed) * 1e-6, 10),
    "clamping at its ends": (lambda: nn.Clamp(-1, 1), lambda seed: np.round(x(4, 5, seed=seed)), 10),
    "pooled rectangles": (lambda: nn.SpatialMaxPooling(2, 2), lambda seed: photos(2, seed), 3),
    "conv_vae on rectangles": (lambda: mv.models.conv_vae(image=(1, 8, 8), planes=(2, 3)),
                               lambda seed: photos(1, seed), 3),
}


@pytest.mark.parametrize("part", [1 / 4, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("make", "input", "seeds"), KINKS.values(), ids=KINKS.keys())
def test_kinks_of_right_layers_are_no_mistakes(make, input, seeds, part):
    for seed in range(ceil(part * seeds)):
        backend.manual_seed(seed)
        report = mv.gradcheck(make(), input(seed), seed=seed)
        assert report.ok and "certain" not in str(report), f"seed {seed}\n{report}"


def scaled(row, seed, factor, offset=0.0):
    return mapped(lambda array: array.astype(np.float64) * factor + offset, row.input(seed=seed))


def expect_no_false_alarm(make, input, seed):
    backend.manual_seed(seed)
    report = mv.gradcheck(make(), input, seed=seed)
    assert report.ok and "certain" not in str(report), str(report)


SMOOTH = [row for row in ROWS.values() if "gradient" not in row.excused]
EXPONENTIAL = {"GaussianKL", "GaussianKL beta", "GaussianKL free bits", "GaussianSampler", "GaussianSampler L",
               "ConcatTable of tables", "LogDensities"}


@pytest.mark.parametrize("seeds", [1, pytest.param(5, marks=pytest.mark.slow)])
@pytest.mark.parametrize("row", few(16, SMOOTH), ids=lambda row: row.name)
def test_no_false_alarm_at_any_scale(row, seeds):
    """Inputs times 1e−6 to 1e6, and moved by up to 1e6; weights times as much."""
    largest = 10 if row.name in EXPONENTIAL else 1e6  # above, they are limited to what float32 holds
    for seed in range(seeds):
        for factor in (1e-6, largest) if seeds == 1 else 10.0**np.arange(-6, 7):
            def heavy(factor=factor):
                module = row.make()
                for _, array, _ in module.named_parameters():
                    array *= factor
                return module
            expect_no_false_alarm(heavy, row.input(seed=seed), seed)
            if factor <= largest:
                expect_no_false_alarm(row.make, scaled(row, seed, factor), seed)
        for offset in (largest,) if seeds == 1 else (10, 1e3, 1e6):
            if row.low and offset <= largest:  # others must lie in [0, 1]
                expect_no_false_alarm(row.make, scaled(row, seed, 1, offset), seed)
        for factor, offset in ((0, 0), (0, 1)):
            expect_no_false_alarm(row.make, scaled(row, seed, factor, offset), seed)


def test_an_infinite_output_of_large_inputs_is_too_large_to_tell():
    report = mv.gradcheck(nn.Sequential(nn.GaussianKL()), (x(3, 4), 1e3 + x(3, 4)))
    assert not report.ok and [finding.kind for finding in report.diagnoses()] == ["not finite"]
    assert "inputs of up to 1e+03, which may be too large: look for" in str(report) and "certain" not in str(report)


@pytest.mark.parametrize("seeds", few(1, [2, 10]))
def test_what_rounding_hides_is_no_mistake_and_is_said(seeds):
    for log_var in (11, 15, 20, 30, 40, 80, 150):
        for seed in range(seeds):
            report = mv.gradcheck(nn.GaussianKL(), (x(3, 4, seed=seed), np.full((3, 4), log_var, np.float32)))
            assert report.ok and "certain" not in str(report)
            if log_var != 30:  # there it hangs on the input
                assert ("too large or too small to tell" in str(report)) == (log_var > 30)
    assert not mv.gradcheck(Swapped(), (x(3, 4), np.full((3, 4), 11, np.float32))).ok


def test_an_infinite_output_is_named_in_the_layer_that_makes_it():
    class Unsafe(nn.Tanh):
        def update_output(self, input):
            self.output = np.log(input)
            return self.output

    report = mv.gradcheck(nn.Sequential(nn.Linear(3, 4), Unsafe(), nn.Tanh()), x(3, 3))
    assert [each.title.split()[-1] for each in report.inside] == ["Unsafe"]
    assert report.diagnoses()[0].certainty == "certain" and "the output is not finite, first at" in str(report)


@pytest.mark.parametrize("distance", [0, 1e-12, 1e-9, 1e-7, 1e-6, 1e-5, 1e-3])
def test_a_criterion_is_checked_up_to_the_end_of_its_domain(distance):
    for seed in range(6):
        random = np.random.default_rng(seed)
        target = random.random((3, 4)) if seed % 2 else np.round(random.random((3, 4)))
        for end in (distance, 1 - distance, np.where(target > 0.5, 1 - distance, distance)):
            prediction = np.where(random.random((3, 4)) < 0.5, end, random.random((3, 4)))
            report = mv.gradcheck_criterion(nn.BCECriterion(), prediction, target)
            assert report.ok and "certain" not in str(report), str(report)


def test_a_wrong_criterion_is_found_at_the_end_of_its_domain():
    class Twice(nn.BCECriterion):
        def update_grad_input(self, input, target):
            return 2 * super().update_grad_input(input, target)

    target = np.random.default_rng(0).integers(0, 2, (3, 4)).astype(float)
    for distance in (1e-7, 1e-5):
        assert not mv.gradcheck_criterion(Twice(), np.abs(target - distance), target).ok


def test_module_input_and_random_stream_stay_as_they_were():
    model, input = mv.models.denoising_vae(image=(1, 2, 2), hidden=3), x(2, 1, 2, 2) * 0
    kept, weights = input.copy(), model.state_dict()
    state = backend.get_random_state()
    mv.gradcheck(model, input)
    assert backend.get_random_state() == state
    assert np.array_equal(input, kept) and model.dtype == np.float32
    assert all(np.array_equal(a, b) for a, b in zip(weights.values(), model.state_dict().values()))
    assert not any(module.holding_noise for module in model.list_modules())


def test_held_noise_makes_a_random_layer_one_function():
    assert mv.gradcheck(nn.GaussianNoise(1.0), x(3, 4)).ok
    assert mv.gradcheck(nn.BernoulliNoise(0.5), x(3, 4)).ok


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Tanh(), nn.SoftPlus()])
def test_jacobians_agree(layer):
    layer, input = layer.double(), x(2, 4, dtype=np.float64)
    forward, backward = jacobian_forward(layer, input), jacobian_backward(layer, input)
    assert backward.shape == (8, layer.forward(input).size)
    np.testing.assert_allclose(forward, backward, atol=1e-8)
    assert abs(backward).max() > 0.1


def test_criterion_mistake_is_found():
    class Mean(nn.BCEWithLogitsCriterion):
        def update_grad_input(self, input, target):
            return super().update_grad_input(input, target) / input.size

    target = np.random.default_rng(1).random((3, 4))
    assert mv.gradcheck_criterion(nn.BCEWithLogitsCriterion(), x(3, 4), target).ok
    assert not mv.gradcheck_criterion(Mean(), x(3, 4), target).ok


@pytest.mark.parametrize("verb", ["update_output", "update_grad_input"])
def test_a_missing_return_of_a_criterion_is_named(verb):
    forgetful = type("Forgetful", (nn.BCECriterion,), {verb: lambda self, *arguments: None})
    with pytest.raises(MinivaeError, match=r"(grad_input returned|loss is) None.* is (its|a) return missing"):
        mv.gradcheck_criterion(forgetful(), np.full((2, 3), 0.5), np.ones((2, 3)))


@pytest.mark.parametrize("verb", ["update_output", "update_grad_input"])
def test_a_missing_return_is_named(verb):
    forgetful = type("Forgetful", (nn.Tanh,), {verb: lambda self, *arguments: None})
    with pytest.raises(GradientError, match=f"{verb} returned None where an array belongs: is its return missing"):
        mv.gradcheck(forgetful(), x(2, 3))


@pytest.mark.parametrize(("divergence", "message"), [
    (None, "update_output has not set self.divergence"),
    (np.zeros(3), r"self.divergence has shape \(3,\), expected one number for the whole batch")])
def test_a_divergence_that_is_no_number_is_named(divergence, message):
    class Wrong(nn.GaussianKL):
        def update_output(self, input):
            super().update_output(input)
            self.divergence = divergence
            return self.output

    with pytest.raises(GradientError, match=message):
        mv.gradcheck(Wrong(), (x(3, 4), x(3, 4)))


@pytest.mark.parametrize("table", [[x(3, 4), x(3, 4)], [(x(3, 4), x(3, 4)), x(3, 4)], (x(3, 4), [x(3, 4)])])
def test_a_list_of_arrays_is_told_to_be_a_tuple(table):
    with pytest.raises(MinivaeError, match=r"a table, which is a tuple: tuple\(\.\.\.\) makes one"):
        mv.gradcheck(nn.GaussianKL(), table)
    with pytest.raises(MinivaeError, match=r"numpy.asarray\(\.\.\., dtype='float32'\) makes one"):
        mv.gradcheck(nn.Tanh(), [[1.0, 2.0]])


class TrainedAlways(nn.BatchNormalization):
    """Backward goes through the statistics of the batch in evaluation mode too, where they are constants."""

    def update_grad_input(self, input, grad_output):
        normalized = (input - input.mean(axis=0)) / np.sqrt(input.var(axis=0) + 1e-5)
        grad = grad_output - grad_output.mean(axis=0) - normalized * (grad_output * normalized).mean(axis=0)
        self.grad_input = self.weight * grad / np.sqrt(input.var(axis=0) + 1e-5)
        return self.grad_input


def test_evaluation_mode_is_looked_at():
    report = mv.gradcheck(TrainedAlways(3), x(6, 3))
    assert [(each.kind, each.name, each.certainty) for each in report.diagnoses()] == [("mode", "input", "certain")]
    assert all(check.ok for check in report.checks)


class Grouped(nn.Module):
    """Its weight and bias have a number for each pair of columns, and repeated places get the last gradient only."""

    parameter_names = ("weight", "bias")

    def __init__(self):
        super().__init__()
        for name in self.parameter_names:
            self.new_parameter(name, (2,))
        self.weight[...], self.bias[...] = (0.7, -1.2), (0.3, 0.4)
        self.place = np.array([0, 1, 0, 1])

    def update_output(self, input):
        self.output = input * self.weight[self.place] + self.bias[self.place]
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * self.weight[self.place]
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight[self.place] += scale * (grad_output * input).sum(axis=0)
        self.grad_bias[self.place] += scale * grad_output.sum(axis=0)


def test_shapes_that_no_rule_expects_leave_the_report():
    report = mv.gradcheck(Grouped(), x(5, 4))
    assert {check.name for check in report.checks if not check.ok} == {"weight", "bias"} and report.diagnoses()


def test_a_rule_that_raises_says_nothing(monkeypatch):
    def raising(*facts):
        raise IndexError

    monkeypatch.setattr(diagnosis, "RULES", ((raising,), *diagnosis.RULES))
    assert "½" in str(mv.gradcheck(HalfGradient(), x(2, 3)))


class Siamese(nn.Container):
    """(x, z) -> (f(x), f(z)), where the second overwrites the first."""

    def update_output(self, input):
        self.output = self[0].run(input[0]), self[0].run(input[1])
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = tuple(self[0].update_grad_input(x, grad).copy() for x, grad in zip(input, grad_output))
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for x, grad in zip(input, grad_output):
            self[0].acc_grad_parameters(x, grad, scale)


@pytest.mark.parametrize(("inner", "said"), [(nn.Linear, False), (lambda n_in, n_out: nn.Tanh(), True)])
def test_a_module_that_needs_no_forward_is_not_told_to_run_again(inner, said):
    twin = Siamese()
    twin.add(inner(3, 3))
    report = mv.gradcheck(twin, (x(4, 3), x(4, 3, seed=1)))
    assert not report.ok and ("run it forward again" in str(report)) == said, report


class Spread(nn.Module):
    """Each number is spread over rows · columns places; back comes their mean, where their sum belongs."""

    def __init__(self, rows, columns):
        super().__init__()
        self.rows, self.columns = rows, columns

    def update_output(self, input):
        self.output = np.repeat(input, self.rows * self.columns, axis=1)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.reshape(*input.shape, -1).mean(axis=2)
        return self.grad_input


def test_a_factor_may_be_the_product_of_two_numbers_of_the_layer():
    finding, = mv.gradcheck(Spread(2, 5), x(4, 10), changes=False).diagnoses()  # and not a row's length, 10 by chance
    assert finding.names == ("1 / (self.rows · self.columns)",) and finding.certainty == "certain"


class Smoothed(nn.Criterion):
    """The cross entropy of distributions; its derivative is right where each target sums to 1."""

    def update_output(self, prediction, target):
        self.shares = np.exp(prediction) / np.exp(prediction).sum(axis=1, keepdims=True)
        return -(target * np.log(self.shares)).sum()

    def update_grad_input(self, prediction, target):
        self.grad_input = self.shares - target
        return self.grad_input


def test_a_target_that_is_a_distribution_stays_one():
    target = np.random.default_rng(0).dirichlet(np.ones(4), size=5)
    assert mv.gradcheck_criterion(Smoothed(), x(5, 4), target).ok
    assert mv.gradcheck_criterion(Smoothed(), x(5, 4), 0.9 * np.eye(5, 4) + 0.025).ok is False  # the last row is none


def test_borders_that_are_cleared_once_are_no_mistake():
    """Nobody else writes to the array, so what no call writes to may stay as it is."""
    class Cropped(nn.Module):
        def update_output(self, input):
            return input[:, 1:-1].copy()

        def update_grad_input(self, input, grad_output):
            if self.grad_input is None or self.grad_input.shape != input.shape:
                self.grad_input = np.zeros_like(input)
            self.grad_input[:, 1:-1] = grad_output
            return self.grad_input

    assert mv.gradcheck(Cropped(), np.random.default_rng(0).standard_normal((3, 5))).ok


def test_noise_that_is_held_already_is_no_memory():
    sampler = nn.GaussianSampler(2)
    sampler.hold_noise()
    assert mv.gradcheck(sampler, (np.zeros((3, 2)), np.zeros((3, 2)))).ok


class EvaluatesWithItsMask(nn.Module):
    """Dropout whose backward pass has the mask of the last training pass in evaluation mode, too."""

    def update_output(self, input):
        if not self.train:
            return input
        self.mask = (self.draw(backend.uniform, input.shape) > 0.4) / 0.6
        return input * self.mask

    def update_grad_input(self, input, grad_output):
        return grad_output * getattr(self, "mask", 1)


class HalvesInEvaluation(nn.Module):
    """2 x in evaluation mode, and backward does not know."""

    def update_output(self, input):
        return np.tanh(input if self.train else 2 * input)

    def update_grad_input(self, input, grad_output):
        factor = 1 if self.train else 0.5
        return grad_output * factor * (1 - np.tanh(input if self.train else 2 * input)**2)


@pytest.mark.parametrize("make", [
    lambda: nn.Sequential(nn.HardBits(), nn.Linear(4, 3)),
    lambda: nn.Sequential(nn.Linear(4, 4), nn.HardBits(), nn.Linear(4, 3)),
    lambda: mv.models.bernoulli_vae(image=(4,), hidden=4, code=2),
    lambda: mv.models.bernoulli_vae(image=(4,), hidden=4, code=2, learn_prior=True),
    lambda: mv.models.categorical_vae(image=(4,), hidden=4, learn_prior=True)])
@pytest.mark.parametrize("seed", range(2))
def test_hard_codes_may_have_the_gradient_of_training_in_evaluation_mode(make, seed):
    mv.manual_seed(seed)
    report = mv.gradcheck(make(), np.random.default_rng(seed).random((3, 4)).astype(np.float32))
    assert report.ok, report


class ForgetsItsWeight(nn.Linear):
    """x in the place of W x + b in evaluation mode."""

    def update_output(self, input):
        super().update_output(input)
        if not self.train:
            self.output[...] = input
        return self.output


def test_a_weight_that_evaluation_mode_leaves_out_is_found():
    report = mv.gradcheck(nn.Sequential(ForgetsItsWeight(3, 3), nn.ReLU()), x(6, 3))
    assert "weight" in {finding.name for finding in report.diagnoses()}, report


@pytest.mark.parametrize(("cls", "said"), [
    (EvaluatesWithItsMask, "there likely: one change makes it right: in line"),
    (HalvesInEvaluation, "`1 if self.train else 0.5` → `1 if self.train else 2`")])
def test_what_is_wrong_in_evaluation_mode_is_said(cls, said):
    finding, = mv.gradcheck(cls(), x(6, 3)).diagnoses()
    assert finding.kind == "mode" and said in str(finding) and "right in training mode" in str(finding)


class Follows(nn.Module):
    """Divides by a running size, which follows in evaluation mode, too, and has a weight."""

    parameter_names, statistic_names = ("weight",), ("size",)

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (3,))
        self.weight.fill(1)
        self.size = np.ones(3)

    def update_output(self, input):
        self.size = 0.9 * self.size + 0.1 * np.abs(input).mean(axis=0)
        self.divided = input if self.train else input / self.size
        return self.weight * self.divided

    def update_grad_input(self, input, grad_output):
        return self.weight * grad_output if self.train else self.weight * grad_output / self.size

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * (grad_output * self.divided).sum(axis=0)


def test_statistics_that_follow_in_evaluation_mode_are_said_first():
    finding, = mv.gradcheck(Follows(), x(5, 3)).diagnoses()
    assert "update_output changes there what it goes on with, such as running statistics" in str(finding)


class Remembers(nn.Module):
    """Begins from the last output, which settles: after some calls none differs from the one before."""

    def update_output(self, input):
        before = 0 if self.output is None or len(self.output) != len(input) else 0.01 * self.output
        output = self.buffer("output", input.shape)
        output[...] = np.tanh(input + before)
        self.output = output
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - self.output**2)


def test_what_is_remembered_has_a_name():
    module, input, said = Remembers().double(), x(3, 2).astype(np.float64), []
    for _ in range(12):
        module.forward(input)
        said.append(remembered(module, input))
    names = "changes self.output, and", "changes the buffer 'output', and"  # which are one array
    assert any(said) and all(each is None or any(name in each for name in names) for each in said), said


class Weighed(nn.Container):
    """alpha f(x): the gradient of its own number lacks scale."""

    parameter_names = ("alpha",)

    def __init__(self, module):
        super().__init__(module)
        self.new_parameter("alpha", (1,))
        self.alpha.fill(0.7)

    def update_output(self, input):
        return self.alpha * self[0].run(input)

    def update_grad_input(self, input, grad_output):
        return self[0].update_grad_input(input, self.alpha * grad_output)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_alpha += (grad_output * self[0].output).sum()
        self[0].acc_grad_parameters(input, self.alpha * grad_output, scale)


def test_a_containers_own_parameter_is_not_a_modules_inside():
    finding, = mv.gradcheck(Weighed(nn.Linear(3, 3)), x(4, 3)).diagnoses()
    assert (finding.name, finding.kind) == ("alpha", "scale ignored") and "acc_grad_parameters ignores" in str(finding)


class GoesOn(nn.Module):
    """Begins with the state that the last call has left."""

    state = 0

    def update_output(self, input):
        states = []
        for step in range(input.shape[1]):
            before = self.state if np.shape(self.state) == input[:, 0].shape else 0
            self.state = np.tanh(input[:, step] + 0.3 * before)
            states.append(self.state)
        self.states = np.stack(states, axis=1)
        return self.states

    def update_grad_input(self, input, grad_output):
        grad, later = np.empty_like(input), 0
        for step in reversed(range(input.shape[1])):
            later = (grad_output[:, step] + 0.3 * later) * (1 - self.states[:, step]**2)
            grad[:, step] = later
        return grad


@pytest.mark.parametrize("steps", [2, 4, 8, 12])
def test_a_state_that_goes_on_is_no_kink(steps):
    """After many steps hardly anything is left of it, and what there is makes differences that look like kinks."""
    report = mv.gradcheck(GoesOn(), x(2, steps, 2))
    text = str(report)
    assert not report.ok and "at a kink" not in text
    assert "has left there" in text or "as an earlier call has left it" in text


class LowRank(nn.Module):
    """x Uᵀ Vᵀ: update_grad_input writes to the array of x Uᵀ, which the gradient of V still needs."""

    parameter_names = ("down", "up")

    def __init__(self):
        super().__init__()
        self.new_parameter("down", (2, 4))
        self.new_parameter("up", (3, 2))

    def update_output(self, input):
        self.hidden = self.buffer("hidden", (len(input), 2))
        self.hidden[...] = input @ self.down.T
        return self.hidden @ self.up.T

    def update_grad_input(self, input, grad_output):
        self.hidden[...] = grad_output @ self.up
        return self.hidden @ self.down

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_up += scale * grad_output.T @ self.hidden
        self.grad_down += scale * (grad_output @ self.up).T @ input


def test_what_update_grad_input_overwrites_is_named():
    layer = LowRank().double()
    layer.down[...], layer.up[...] = x(2, 4), x(3, 2)
    finding, = mv.gradcheck(layer, x(5, 4)).diagnoses()
    assert "update_grad_input overwrites self.hidden, which" in str(finding), finding


class AddsUp(nn.Divergence):
    """The squares of the input, added to those of the calls before."""

    def update_output(self, input):
        self.divergence = (self.divergence or 0.0) + float((input**2).sum())
        return input

    def update_grad_input(self, input, grad_output):
        return grad_output + 2 * self.beta * input


def test_a_divergence_that_adds_up():
    assert "it grows by the same at each call" in str(mv.gradcheck(AddsUp(), x(3, 2)))


class Carries(nn.Module):
    """The gradient of the weight takes what the last backward has left."""

    parameter_names = ("weight",)
    left = 0

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (3,))
        self.weight.fill(0.5)

    def update_output(self, input):
        self.left = 0
        return self.weight * input

    def update_grad_input(self, input, grad_output):
        return self.weight * grad_output

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * ((grad_output * input).sum(axis=0) + self.left)
        self.left = 0.1 * grad_output.sum(axis=0)


def test_what_a_backward_leaves_is_no_gradient():
    assert "reads an array that backward itself changes" in (text := str(mv.gradcheck(Carries(), x(4, 3)))) or (
        "backward changes an array" in text)
    assert "reads a gradient" not in text


class WritesOverItsNoise(nn.Module):
    def update_output(self, input):
        noise = self.draw(backend.uniform, input.shape)
        noise -= 0.5
        return input + noise

    def update_grad_input(self, input, grad_output):
        return grad_output.copy()


def test_noise_that_is_written_over():
    assert "write what is made of the noise to another array" in str(mv.gradcheck(WritesOverItsNoise(), x(4, 3)))


class OverflowsBackwards(nn.Module):
    def update_output(self, input):
        return np.logaddexp(0, input)

    def update_grad_input(self, input, grad_output):
        power = np.exp(input)
        return grad_output * power / (1 + power)


class LogarithmOfZero(nn.Module):
    def update_output(self, input):
        return np.log(np.maximum(input, 0))

    def update_grad_input(self, input, grad_output):
        return grad_output / input


class NoneBackwards(nn.Criterion):
    def update_output(self, input, target):
        return float((input**2).sum())

    def update_grad_input(self, input, target):
        return 2 * input * (input - 1) / (input - 1)


@pytest.mark.parametrize(("make", "said"), [
    (OverflowsBackwards, [r"an overflow in line \d+ of update_grad_input, `power = np.exp\(input\)`, and then 0/0",
                          r"in line \d+ of update_grad_input, `return grad_output \* power / \(1 \+ power\)`"]),
    (LogarithmOfZero, [r"a division by 0, or log 0, in line \d+ of update_output, `return np.log"]),
    (NoneBackwards, [r"0/0, .* in line \d+ of update_grad_input, `return 2 \*"])])
def test_the_line_that_makes_what_is_not_finite_is_named(make, said):
    numbers = np.array([[1.0, -1.0, 900.0]])
    report = mv.gradcheck_criterion(make(), numbers, numbers) if issubclass(make, nn.Criterion) else (
        mv.gradcheck(make(), numbers))
    assert not report.ok and all(re.search(each, str(report)) for each in said), report
    assert "differ: backward changes" not in str(report)


class GoesOnFromAView(nn.Module):
    """A running sum that begins with what it ended with, a view of its output's buffer."""

    last = None

    def update_output(self, input):
        self.output = self.buffer("output", input.shape)
        start = 0 if self.last is None else np.array(self.last)
        self.output[...] = np.cumsum(input, axis=1) + start
        self.last = self.output[:, -1:]
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.cumsum(grad_output[:, ::-1], axis=1)[:, ::-1]


def test_a_state_that_is_a_view_of_a_buffer_is_named_itself():
    report = mv.gradcheck(GoesOnFromAView(), x(3, 4))
    assert not report.ok and "self.last" in str(report) and "'output'" not in str(report), report


@pytest.mark.parametrize("options", [{"tolerance": 1}, {"tolerance": True}, {"tolerance": float("inf")}, {"step": "a"},
                                     {"step": 0}, {"tolerance": None}], ids=repr)
def test_a_tolerance_or_step_that_is_none_is_refused(options):
    (name, _), = options.items()
    for check in (lambda: mv.gradcheck(nn.ReLU(), x(2, 3), **options),
                  lambda: mv.debug.gradcheck_criterion(nn.MSECriterion(), x(2, 3), x(2, 3), **options)):
        with pytest.raises(OptionError, match=f"{name} is a small number above 0 and below 1"):
            check()
