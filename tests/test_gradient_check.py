"""The gradient checker: it must find planted mistakes, excuse kinks only, and touch nothing."""

import numpy as np
import pytest

import minivae as mv
from minivae import backend, nn
from minivae.debug import jacobian_backward, jacobian_forward
from minivae.debug.gradient_check import GradientError


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


def test_more_than_two_percent_of_kinks_fail():
    report = mv.gradcheck(nn.ReLU(), np.zeros((2, 5), np.float32))
    assert not report.ok and report.checks[0].kinks == 1


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
