"""Right layers written in unusual ways: the gradient check and the distribution check say nothing against them."""

import numpy as np
import pytest

import minivae as mv
from minivae import backend, nn
from minivae.debug import check_noise, check_sampler


def x(*shape, seed=1, low=None, dtype=np.float32):
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) if low is None else random.uniform(low, 1 - low, shape)).astype(dtype)


def sigma(a):
    return 1 / (1 + np.exp(-a))


class Formula(nn.Module):
    """New arrays at each call, from forward(x) and back(x, y, G)."""

    def __init__(self, forward, back):
        super().__init__()
        self.formulas = forward, back

    def update_output(self, input):
        self.output = self.formulas[0](input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return self.formulas[1](input, self.output, grad_output)


def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def normalized(a):
    return (a - a.mean(axis=1, keepdims=True)) / np.sqrt(a.var(axis=1, keepdims=True) + 1e-3)


def back_normalized(a, y, g):
    return (g - g.mean(axis=1, keepdims=True) - y * (g * y).mean(axis=1, keepdims=True)) / np.sqrt(
        a.var(axis=1, keepdims=True) + 1e-3)


# Elementwise functions and others, each in a form that is equal to the usual one and not the same.
FORMULAS = {
    "tanh as 2σ(2x) − 1": (lambda a: 2 * sigma(2 * a) - 1, lambda a, y, g: g / np.cosh(a)**2),
    "sigmoid as a tanh": (lambda a: 0.5 * np.tanh(a / 2) + 0.5, lambda a, y, g: g * np.exp(-a) / (1 + np.exp(-a))**2),
    "rectifier as a mean": (lambda a: (a + np.abs(a)) / 2, lambda a, y, g: g * (1 + np.sign(a)) / 2),
    "rectifier by an index": (lambda a: a * (a > 0), lambda a, y, g: np.where(y > 0, g, 0)),
    "leaky by maximum": (lambda a: np.maximum(a, 0.1 * a), lambda a, y, g: g * np.where(y > 0, 1, 0.1)),
    "elu by its output": (lambda a: np.where(a > 0, a, 1.5 * np.expm1(np.minimum(a, 0))),
                          lambda a, y, g: g * np.where(a > 0, 1, y + 1.5)),
    "soft plus by logaddexp": (lambda a: np.logaddexp(0, a), lambda a, y, g: g * -np.expm1(-y)),
    "swish": (lambda a: a * sigma(a), lambda a, y, g: g * (y + sigma(a) * (1 - y))),
    "absolute value": (np.abs, lambda a, y, g: g * np.sign(a)),
    "square root of 1 + x²": (lambda a: np.hypot(1, a), lambda a, y, g: g * a / y),
    "a clamp by two maxima": (lambda a: np.minimum(np.maximum(a, -0.5), 0.5), lambda a, y, g: g * (np.abs(a) < 0.5)),
    "hands on a view": (lambda a: a, lambda a, y, g: g),
    "gives back a view, reversed": (lambda a: a[:, ::-1], lambda a, y, g: g[:, ::-1]),
    "in another memory order": (lambda a: np.asfortranarray(np.sin(a)),
                                lambda a, y, g: np.asfortranarray(g * np.cos(a))),
    "softmax": (softmax, lambda a, y, g: y * g - y * (g * y).sum(axis=1, keepdims=True)),
    "log softmax by a logarithm": (lambda a: np.log(softmax(a)), lambda a, y, g: g - softmax(a) * g.sum(1)[:, None]),
    "softmax by its Jacobian": (softmax, lambda a, y, g: np.einsum("nij,nj->ni", y[:, :, None] * (
        np.eye(y.shape[1]) - y[:, None]), g)),
    "running sums": (lambda a: np.cumsum(a, axis=1), lambda a, y, g: np.cumsum(g[:, ::-1], axis=1)[:, ::-1]),
    "differences": (lambda a: np.diff(a, axis=1), lambda a, y, g: -np.diff(np.pad(g, ((0, 0), (1, 1))), axis=1)),
    "rows rolled": (lambda a: np.roll(a, 1, axis=0), lambda a, y, g: np.roll(g, -1, axis=0)),
    "centred rows": (lambda a: a - a.mean(axis=1, keepdims=True), lambda a, y, g: g - g.mean(axis=1, keepdims=True)),
    "centred batch": (lambda a: a - a.mean(axis=0), lambda a, y, g: g - g.mean(axis=0)),
    "layer normalization": (normalized, back_normalized),
    "rows of length 1": (lambda a: a / np.linalg.norm(a, axis=1, keepdims=True), lambda a, y, g: (
        g - y * (g * y).sum(axis=1, keepdims=True)) / np.linalg.norm(a, axis=1, keepdims=True)),
    "sums of rows": (lambda a: a.sum(axis=1, keepdims=True), lambda a, y, g: g + np.zeros_like(a)),
    "mean by a product": (lambda a: a @ np.full((a.shape[1], 1), 1 / a.shape[1]), lambda a, y, g: np.broadcast_to(
        g / a.shape[1], a.shape)),
    "largest of each row": (lambda a: a.max(axis=1, keepdims=True), lambda a, y, g: g * (a == y)),
    "pairs, the larger": (lambda a: a[:, :4].reshape(-1, 2, 2).max(axis=2), lambda a, y, g: np.pad(
        (np.repeat(g, 2, 1) * (a[:, :4] == np.repeat(y, 2, 1))), ((0, 0), (0, a.shape[1] - 4)))),
    "columns in front": (lambda a: np.stack(list(a.T), axis=1) ** 3, lambda a, y, g: 3 * g * np.square(a)),
    "log of a sum of exponentials": (lambda a: np.logaddexp.reduce(a, axis=1)[:, None],
                                     lambda a, y, g: g * np.exp(a - y)),
}


class Dense(nn.Module):
    """x W + b with W (I, O), written with einsum; no bias if told so; gradients added by np.add."""

    def __init__(self, n_in, n_out, bias=True):
        super().__init__()
        self.parameter_names = ("w", "b") if bias else ("w",)
        self.new_parameter("w", (n_in, n_out))
        self.w[...] = x(n_in, n_out, seed=8)
        if bias:
            self.new_parameter("b", (1, n_out))
            self.b[...] = x(1, n_out, seed=9)

    def update_output(self, input):
        self.output = np.einsum("ni,io->no", input, self.w) + (self.b if len(self.parameter_names) > 1 else 0)
        return self.output

    def update_grad_input(self, input, grad_output):
        return (self.w @ grad_output.T).T

    def acc_grad_parameters(self, input, grad_output, scale=1):
        np.add(self.grad_w, np.tensordot(input, scale * grad_output, axes=(0, 0)), out=self.grad_w)
        if len(self.parameter_names) > 1:
            np.add(self.grad_b, scale * np.ones((1, len(input))) @ grad_output, out=self.grad_b)


class OneByOne(nn.Linear):
    """Row by row, in loops."""

    def update_output(self, input):
        self.output = np.stack([self.weight @ row + self.bias for row in input])
        return self.output

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for row, g in zip(input, grad_output):
            self.grad_weight += scale * np.outer(g, row)
            self.grad_bias += scale * g


class AllInBackward(nn.Linear):
    """One verb for both gradients; forward keeps a copy of its input, renewed each time."""

    def update_output(self, input):
        self.kept = np.array(input)
        return super().update_output(input)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        super().acc_grad_parameters(self.kept, grad_output, scale)


class Gain(nn.Module):
    parameter_names = ("gain",)

    def __init__(self):
        super().__init__()
        self.new_parameter("gain", (1,))
        self.gain[...] = 1.7

    def update_output(self, input):
        self.output = input * self.gain
        return self.output

    def update_grad_input(self, input, grad_output):
        return self.gain * grad_output

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_gain += scale * np.vdot(grad_output, input)


class InPlaceTanh(nn.Module):
    """Its output's buffer is overwritten by its own next call only."""

    def update_output(self, input):
        self.output = self.buffer("output", input.shape)
        np.copyto(self.output, input)
        np.tanh(self.output, out=self.output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = self.buffer("grad_input", input.shape)
        np.multiply(self.output, self.output, out=self.grad_input)
        np.subtract(1, self.grad_input, out=self.grad_input)
        self.grad_input *= grad_output
        return self.grad_input


class Residual(nn.Sequential):
    def update_output(self, input):
        self.output = input + super().update_output(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output + super().update_grad_input(input, grad_output)

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        return grad_output + super().backward(input, grad_output, scale)


class KLByMoments(nn.GaussianKL):
    def update_output(self, input):
        mean, log_var = input
        self.output = input
        self.divergence = float(-0.5 * (1 + log_var - mean**2 - np.exp(log_var)).sum())
        return self.output

    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        return grad_output[0] + self.beta * mean, grad_output[1] - 0.5 * self.beta * (1 - np.exp(log_var))


class SamplerByStd(nn.GaussianSampler):
    def update_output(self, input):
        mean, log_var = input
        self.std = np.sqrt(np.exp(log_var))
        noise = self.draw(backend.standard_normal, (len(mean) * self.samples, mean.shape[1]))
        self.output = np.concatenate([m + s * e for m, s, e in zip(mean, self.std, self.grouped(noise))])
        return self.output

    def update_grad_input(self, input, grad_output):
        by_row = grad_output.reshape(len(input[0]), self.samples, -1)
        z = self.output.reshape(by_row.shape) - input[0][:, None]
        return by_row.sum(axis=1), (by_row * z).sum(axis=1) / 2


class LogisticByDifference(nn.BernoulliSampler):
    """The difference of two Gumbel variables, by inversion of one uniform number; its sign turned."""

    def update_output(self, input):
        u = self.draw(backend.uniform, (len(input) * self.samples, input.shape[1])).clip(1e-12, 1 - 1e-12)
        self.output = (np.repeat(input, self.samples, axis=0) + np.log1p(-u) - np.log(u)) / self.temperature
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.add.reduce(grad_output.reshape(len(input), self.samples, -1), axis=1) / self.temperature


class FlipByXor(nn.BernoulliNoise):
    def update_output(self, input):
        flip = self.draw(backend.uniform, input.shape) < self.p if self.train else np.zeros(input.shape, bool)
        self.sign = np.where(flip, -1, 1)
        self.output = flip + self.sign * input
        return self.output

    def update_grad_input(self, input, grad_output):
        return self.sign * grad_output


LAYERS = {
    **{name: (lambda pair=pair: Formula(*pair), x(4, 6)) for name, pair in FORMULAS.items()},
    "einsum": (lambda: Dense(4, 3), x(5, 4)), "no bias": (lambda: Dense(4, 4, bias=False), x(4, 4)),
    "nn.Linear without bias": (lambda: nn.Linear(4, 3, bias=False), x(5, 4)),
    "row by row": (lambda: OneByOne(4, 4), x(4, 4)), "a batch of one": (lambda: OneByOne(3, 2), x(1, 3)),
    "its input kept": (lambda: AllInBackward(4, 3), x(5, 4)), "one gain": (Gain, x(3, 2, 2, 2)),
    "in place in its own buffer": (InPlaceTanh, x(4, 5)),
    "residual": (lambda: Residual(nn.Linear(4, 4), nn.Tanh()), x(3, 4)),
    "a container in a container": (lambda: nn.Sequential(Residual(Dense(4, 4), nn.ReLU()), nn.ConcatTable(
        Dense(4, 2), nn.Tanh())), x(3, 4)),
    "divergence by moments": (lambda: KLByMoments(beta=0.3), (x(3, 4), x(3, 4, seed=2))),
    "σ = √σ²": (lambda: SamplerByStd(samples=3), (x(3, 4), x(3, 4, seed=2))),
    "logistic with its sign turned": (lambda: LogisticByDifference(0.7, samples=2), x(3, 4)),
    "flips by arithmetic": (lambda: FlipByXor(0.3), x(4, 5, low=0.01)),
    "noise, evaluated": (lambda: FlipByXor(0.3).evaluate(), x(4, 5, low=0.01)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LAYERS)
def test_the_gradient_check_says_nothing_against_it(name, dtype):
    make, input = LAYERS[name]
    module = make().double() if dtype == np.float64 else make()
    input = tuple(each.astype(dtype) for each in input) if isinstance(input, tuple) else input.astype(dtype)
    for seed in range(3):
        report = mv.gradcheck(module, input, seed=seed)
        assert report.ok and not report.diagnoses(), str(report)


class SquaredByHand(nn.MSECriterion):
    def update_output(self, input, target):
        wide = np.repeat(target.reshape(len(target), -1), self.samples, axis=0)
        self.output = float(np.vdot(input - wide, input - wide)) / self.samples
        return self.output

    def update_grad_input(self, input, target):
        return (2 / self.samples) * input - np.repeat(2 * target / self.samples, self.samples, axis=0)


class LogitsByLogaddexp(nn.BCEWithLogitsCriterion):
    def update_output(self, input, target):
        self.output = float((np.logaddexp(0, input) - target * input).sum())
        return self.output

    def update_grad_input(self, input, target):
        return (1 - target) * sigma(input) - target * sigma(-input)


class AbsBySqrt(nn.AbsCriterion):
    def update_output(self, input, target):
        self.output = float(np.sqrt((input - target)**2).sum())
        return self.output

    def update_grad_input(self, input, target):
        return (input > target) * 1.0 - (input < target)


@pytest.mark.parametrize(("make", "prediction", "target"), [
    (lambda: SquaredByHand(samples=3), x(6, 4), x(2, 4, seed=3)), (SquaredByHand, x(4, 4), x(4, 4, seed=3)),
    (LogitsByLogaddexp, x(4, 3), x(4, 3, seed=3, low=0.01)), (AbsBySqrt, x(4, 5), x(4, 5, seed=3))])
def test_the_check_of_criterions_says_nothing_against_it(make, prediction, target):
    for seed in range(3):
        report = mv.gradcheck_criterion(make(), prediction, target, seed=seed)
        assert report.ok and not report.diagnoses(), str(report)


def test_the_distribution_checks_say_nothing_against_them():
    for check, make in ((check_sampler, lambda: SamplerByStd(samples=3)), (check_noise, lambda: FlipByXor(0.3)),
                        (check_sampler, lambda: LogisticByDifference(0.7, samples=2))):
        report = check(make())
        assert report.ok and not report.findings, str(report)


def test_noise_of_a_generator_of_its_own():
    class Shaken(nn.Module):
        def __init__(self):
            super().__init__()
            self.random = np.random.default_rng(7)

        def fill(self, noise):
            noise[...] = self.random.standard_normal(noise.shape)
            return noise

        def update_output(self, input):
            self.output = input * self.draw(self.fill, input.shape)
            return self.output

        def update_grad_input(self, input, grad_output):
            return grad_output * self.noise

    for layer in (Shaken(), Shaken().double().hold_noise()):
        report = mv.gradcheck(layer, x(4, 3))
        assert report.ok and not report.diagnoses(), str(report)


def test_there_are_forty():
    assert len(LAYERS) >= 40
