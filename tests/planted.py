"""Planted mistakes over all layers, for the gradient checker: each is a class with one thing wrong.

`PLANTED` holds (name, make, input, target or None, kinds): the kinds of finding that name the mistake rightly.
"""

import math

import numpy as np

from minivae import backend, nn


def x(*shape, seed=0, low=-2.0, high=2.0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32)


PAIR = (x(3, 4), x(3, 4, seed=1))
PLANTED = []


def plant(*kinds, input=None, target=None, make=None):
    """Add a class, or what `make` makes of it, with the kinds of finding that are right about it."""
    def add(cls):
        PLANTED.append((cls.__name__, (lambda: make(cls)) if make else cls, x(3, 5) if input is None else input, target,
                        kinds))
        return cls
    return add


def wide(cls):
    return cls(5, 4)


def square(cls):
    return cls(5, 5)


# -- Linear -------------------------------------------------------------------------------------------


@plant("transposed", "wrong product", make=square)
class LinearInputTimesTransposedWeight(nn.Linear):
    def update_grad_input(self, input, grad_output):
        return grad_output @ self.weight.T


@plant("transposed", make=square)
class LinearWeightGradientTransposed(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * (input.T @ grad_output)
        self.grad_bias += scale * grad_output.sum(axis=0)


@plant("factor", make=wide)
class LinearWeightGradientOverBatch(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * (grad_output.T @ input) / len(input)
        self.grad_bias += scale * grad_output.sum(axis=0)


@plant("factor", "wrong product", make=wide)
class LinearBiasGradientMean(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * (grad_output.T @ input)
        self.grad_bias += scale * grad_output.mean(axis=0)


@plant("zero", make=wide)
class LinearWithoutBiasGradient(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * (grad_output.T @ input)


@plant("overwritten", make=wide)
class LinearOverwritesItsGradients(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight[...] = scale * (grad_output.T @ input)
        self.grad_bias[...] = scale * grad_output.sum(axis=0)


@plant("scale ignored", make=wide)
class LinearIgnoresScale(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += grad_output.T @ input
        self.grad_bias += grad_output.sum(axis=0)


@plant("scale", make=wide)
class LinearScalesTwice(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        super().acc_grad_parameters(input, scale * grad_output, scale)


@plant("accumulated twice", "accumulates in update_grad_input", make=wide)
class LinearAccumulatesInBothVerbs(nn.Linear):
    def update_grad_input(self, input, grad_output):
        self.acc_grad_parameters(input, grad_output)
        return super().update_grad_input(input, grad_output)


@plant("accumulated twice", make=wide)
class LinearAccumulatesTwice(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        super().acc_grad_parameters(input, grad_output, scale)
        super().acc_grad_parameters(input, grad_output, scale)


@plant("wrong product", make=wide)
class LinearUsesItsOutput(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        super().acc_grad_parameters(input, self.output, scale)


@plant("grad_output modified", make=wide)
class LinearScalesGradOutputInPlace(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        grad_output *= scale * 0.5
        super().acc_grad_parameters(input, 2 * grad_output)


@plant("wrong shape", make=wide)
class LinearGradInputTransposed(nn.Linear):
    def update_grad_input(self, input, grad_output):
        return super().update_grad_input(input, grad_output).T


@plant("term", make=wide)
class LinearDecaysItsWeight(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        super().acc_grad_parameters(input, grad_output, scale)
        self.grad_weight += scale * self.weight


# -- activations --------------------------------------------------------------------------------------


@plant("derivative missing")
class ReLUWithoutMask(nn.ReLU):
    def update_grad_input(self, input, grad_output):
        return grad_output.copy()


@plant("mask inverted")
class ReLUMaskInverted(nn.ReLU):
    def update_grad_input(self, input, grad_output):
        return grad_output * (input <= 0)


@plant("mask missing")
class ReLULeaks(nn.ReLU):
    def update_grad_input(self, input, grad_output):
        return np.where(input > 0, grad_output, 0.1 * grad_output)


@plant("input modified")
class ReLUChangesItsInput(nn.ReLU):
    def update_output(self, input):
        np.maximum(input, 0, out=input)
        return super().update_output(input)


@plant("grad_input accumulates")
class ReLUAddsToItsBuffer(nn.ReLU):
    def update_grad_input(self, input, grad_output):
        if self.grad_input is None:
            self.grad_input = np.zeros_like(input)
        self.grad_input += grad_output * (input > 0)
        return self.grad_input


@plant("derivative missing")
class SigmoidWithoutDerivative(nn.Sigmoid):
    def update_grad_input(self, input, grad_output):
        return grad_output.copy()


@plant("factor missing", "wrong derivative")
class SigmoidForgetsOneMinusY(nn.Sigmoid):
    def update_grad_input(self, input, grad_output):
        return grad_output * self.output


@plant("wrong derivative")
class SigmoidDerivativeOfInput(nn.Sigmoid):
    def update_grad_input(self, input, grad_output):
        return grad_output * input * (1 - input)


@plant("factor too many")
class SigmoidTwice(nn.Sigmoid):
    def update_grad_input(self, input, grad_output):
        return grad_output * (self.output * (1 - self.output))**2


@plant("factor")
class TanhHalf(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return 0.5 * super().update_grad_input(input, grad_output)


@plant("sign")
class TanhSign(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return grad_output * (self.output**2 - 1)


@plant("factor missing", "wrong derivative")
class TanhWithSigmoidsDerivative(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return grad_output * self.output * (1 - self.output)


@plant("nan")
class TanhDivides(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        with np.errstate(all="ignore"):
            return super().update_grad_input(input, grad_output) * (input * 0) / (input * 0)


@plant("derivative missing", "mask missing")
class ClampWithoutMask(nn.Clamp):
    def __init__(self):
        super().__init__(-1, 1)

    def update_grad_input(self, input, grad_output):
        return grad_output.copy()


@plant("wrong derivative")
class SoftPlusGivesItself(nn.SoftPlus):
    def update_grad_input(self, input, grad_output):
        return grad_output * self.output


# -- noise --------------------------------------------------------------------------------------------


@plant("sign", "derivative missing", input=x(3, 5, low=0, high=1), make=lambda cls: cls(0.4))
class NoiseWithoutItsSign(nn.BernoulliNoise):
    def update_grad_input(self, input, grad_output):
        return grad_output.copy()


@plant("stale noise", input=x(3, 5, low=0, high=1), make=lambda cls: cls(0.4))
class NoiseDrawnAnewInBackward(nn.BernoulliNoise):
    def update_grad_input(self, input, grad_output):
        flip = backend.host_generator().random(input.shape) < self.p
        return np.where(flip, -grad_output, grad_output)


@plant("stale noise", make=lambda cls: cls(5))
class NoiseDrawnAnewForParameters(nn.Module):
    parameter_names = ("log_std",)

    def __init__(self, size):
        super().__init__()
        self.new_parameter("log_std", (size,))

    def update_output(self, input):
        self.output = input + np.exp(self.log_std) * self.draw(backend.standard_normal, input.shape)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output.copy()

    def acc_grad_parameters(self, input, grad_output, scale=1):
        noise = self.draw(backend.standard_normal, input.shape)
        self.grad_log_std += scale * np.exp(self.log_std) * (grad_output * noise).sum(axis=0)


@plant("noise not held", make=lambda cls: cls(0.4))
class NoiseNotHeld(nn.GaussianNoise):
    def update_output(self, input):
        self.output = input + self.std * backend.host_generator().standard_normal(input.shape)
        return self.output


# -- divergences --------------------------------------------------------------------------------------


@plant("own gradient missing", input=PAIR)
class KLWithoutOwnGradient(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        return grad_output


@plant("grad_output not added", input=PAIR)
class KLWithoutGradOutput(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        return self.beta * mean, self.beta * 0.5 * (np.exp(log_var) - 1)


@plant("own gradient's factor", input=PAIR)
class KLForgetsHalf(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        return grad_output[0] + mean, grad_output[1] + np.exp(log_var) - 1


@plant("own gradient's factor", input=PAIR, make=lambda cls: cls(beta=0.3))
class KLIgnoresBeta(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        return grad_output[0] + mean, grad_output[1] + 0.5 * (np.exp(log_var) - 1)


@plant("own gradient's sign", input=PAIR)
class KLSign(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        return grad_output[0] - mean, grad_output[1] - 0.5 * (np.exp(log_var) - 1)


@plant("own gradient missing")
class BernoulliKLWithoutOwnGradient(nn.BernoulliKL):
    def update_grad_input(self, input, grad_output):
        return grad_output


@plant("swapped", input=PAIR)
class KLSwapped(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        return super().update_grad_input(input, grad_output)[::-1]


@plant("term", input=PAIR)
class KLForgetsMinusOne(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        return grad_output[0] + mean, grad_output[1] + 0.5 * np.exp(log_var)


# -- samplers -----------------------------------------------------------------------------------------


@plant("swapped", input=PAIR)
class SamplerSwapped(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        return super().update_grad_input(input, grad_output)[::-1]


@plant("factor", input=PAIR)
class SamplerForgetsHalf(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        mean, log_var = super().update_grad_input(input, grad_output)
        return mean, 2 * log_var


@plant("factor missing", input=PAIR)
class SamplerForgetsStd(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        return grad_output.copy(), 0.5 * grad_output * self.noise


@plant("factor missing", input=PAIR)
class SamplerForgetsNoise(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        return grad_output.copy(), 0.5 * grad_output * np.exp(input[1] / 2)


@plant("factor", input=PAIR, make=lambda cls: cls(samples=3))
class SamplerMeanOverDraws(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        return tuple(each / self.samples for each in super().update_grad_input(input, grad_output))


@plant("draws", input=PAIR, make=lambda cls: cls(samples=2))
class SamplerFirstDrawOnly(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        g, e = self.grouped(grad_output)[:, 0], self.grouped(self.noise)[:, 0]
        return g.copy(), 0.5 * np.exp(input[1] / 2) * g * e


@plant("draws", input=PAIR, make=lambda cls: cls(samples=2))
class SamplerMixesRows(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        shape = self.samples, *input[0].shape
        return (grad_output.reshape(shape).sum(axis=0),
                0.5 * np.exp(input[1] / 2) * (grad_output * self.noise).reshape(shape).sum(axis=0))


@plant("factor", make=lambda cls: cls(temperature=0.6))
class SamplerForgetsTemperature(nn.BernoulliSampler):
    def update_grad_input(self, input, grad_output):
        return grad_output.copy()


@plant("factor", make=lambda cls: cls(temperature=0.6))
class SamplerMultipliesByTemperature(nn.BernoulliSampler):
    def update_grad_input(self, input, grad_output):
        return grad_output * self.temperature


# -- containers ---------------------------------------------------------------------------------------


@plant("branch missing", make=lambda cls: cls(nn.Linear(5, 3), nn.Linear(5, 2)))
class ConcatTableLastBranchOnly(nn.ConcatTable):
    def update_grad_input(self, input, grad_output):
        return [each.update_grad_input(input, g) for each, g in zip(self.modules, grad_output)][-1]

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        self.acc_grad_parameters(input, grad_output, scale)
        return self.update_grad_input(input, grad_output)


@plant("swapped", input=(x(3, 4), x(3, 4, seed=3)), make=lambda cls: cls(nn.Tanh(), nn.Tanh()))
class ParallelTableSwapped(nn.ParallelTable):
    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        return super().backward(input, grad_output, scale, need_grad_input)[::-1]


@plant("sign", make=lambda cls: nn.Sequential(nn.Linear(5, 4), cls(), nn.Linear(4, 3)))
class TanhInsideAModel(TanhSign):
    pass


# -- criterions ---------------------------------------------------------------------------------------

BITS = np.round(x(3, 4, seed=5, low=0, high=1))


@plant("factor", input=x(3, 4), target=BITS)
class LogitsOverBatch(nn.BCEWithLogitsCriterion):
    def update_grad_input(self, input, target):
        return super().update_grad_input(input, target) / len(input)


@plant("sign", input=x(3, 4), target=BITS)
class LogitsSign(nn.BCEWithLogitsCriterion):
    def update_grad_input(self, input, target):
        return -super().update_grad_input(input, target)


@plant("factor", input=x(6, 4), target=BITS, make=lambda cls: cls(samples=2))
class LogitsForgetDraws(nn.BCEWithLogitsCriterion):
    def update_grad_input(self, input, target):
        return super().update_grad_input(input, target) * self.samples


@plant("factor too many", input=x(3, 4, low=0.1, high=0.9), target=BITS)
class BCEWithSigmoidsDerivative(nn.BCECriterion):
    def update_grad_input(self, input, target):
        return super().update_grad_input(input, target) * input * (1 - input)


@plant("swapped", input=PAIR, target=x(3, 4, seed=7))
class GaussianSwapped(nn.GaussianNLLCriterion):
    def update_grad_input(self, input, target):
        return super().update_grad_input(input, target)[::-1]


@plant("factor too many", "factor missing", input=PAIR, target=x(3, 4, seed=7))
class GaussianForgetsPrecision(nn.GaussianNLLCriterion):
    def update_grad_input(self, input, target):
        mean, log_var = super().update_grad_input(input, target)
        return mean * np.exp(input[1]), log_var


# -- written from scratch -----------------------------------------------------------------------------


class Gain(nn.Module):
    """y = x · gain, one gain a unit."""

    parameter_names = ("gain",)

    def __init__(self):
        super().__init__()
        self.new_parameter("gain", (5,))
        self.gain[...] = np.linspace(0.5, 1.5, 5)

    def update_output(self, input):
        self.output = input * self.gain
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * self.gain
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_gain += scale * (grad_output * input).sum(axis=0)


@plant("wrong axis", input=x(5, 5))
class GainSumsOverUnits(Gain):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_gain += scale * (grad_output * input).sum(axis=1)


@plant("parameter modified")
class GainLearnsInBackward(Gain):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        super().acc_grad_parameters(input, grad_output, scale)
        self.gain -= 0.01 * self.grad_gain


@plant("rebound")
class GainMakesNewGradients(Gain):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_gain = self.grad_gain + scale * (grad_output * input).sum(axis=0)


@plant("wrong side")
class LeakyByGradOutput(nn.ReLU):
    def update_output(self, input):
        self.output = np.where(input > 0, input, 0.1 * input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.where(grad_output > 0, grad_output, 0.1 * grad_output)


@plant("factor missing")
class BernoulliKLForgetsChainRule(nn.BernoulliKL):
    def update_grad_input(self, input, grad_output):
        return grad_output + self.beta * input


class FirstNoise(nn.GaussianSampler):
    """Keeps the noise of its first forward for every backward."""

    kept = None

    def update_output(self, input):
        output = super().update_output(input)
        self.kept = self.noise.copy() if self.kept is None else self.kept
        return output


@plant("stale noise", input=PAIR)
class SamplerKeepsFirstNoise(FirstNoise):
    def update_grad_input(self, input, grad_output):
        return grad_output.copy(), 0.5 * np.exp(input[1] / 2) * grad_output * self.kept


@plant("term", input=x(3, 4, low=0.1, high=0.9), target=x(3, 4, seed=5, low=0, high=1))
class BCEForgetsWhite(nn.BCECriterion):
    def update_grad_input(self, input, target):
        return -target / input


@plant("factor missing", "wrong derivative")
class TanhPlusSquare(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return grad_output * (1 + self.output**2)


@plant("grad_output missing")
class TanhDerivativeAlone(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return 1 - self.output**2


@plant("stale noise", input=PAIR)
class SamplerDrawsAgain(nn.GaussianSampler):
    """Held noise hides it: draw gives the same again."""

    def update_grad_input(self, input, grad_output):
        noise = self.draw(backend.standard_normal, grad_output.shape)
        return grad_output.copy(), 0.5 * np.exp(input[1] / 2) * grad_output * noise


# -- what stays from an earlier call -------------------------------------------------------------------


@plant("kept from earlier")
class TanhOfFirstInput(nn.Tanh):
    kept = None

    def update_grad_input(self, input, grad_output):
        self.kept = self.output.copy() if self.kept is None else self.kept
        return grad_output * (1 - self.kept**2)


@plant("kept from earlier", make=wide)
class LinearCopiesWeightAtFirst(nn.Linear):
    def __init__(self, n_in, n_out):
        super().__init__(n_in, n_out)
        self.copy = self.weight.copy()

    def update_grad_input(self, input, grad_output):
        return grad_output @ self.copy


@plant("kept from earlier", target=x(3, 5, seed=5))
class MSEOfFirstTarget(nn.MSECriterion):
    kept = None

    def update_grad_input(self, input, target):
        self.kept = target.copy() if self.kept is None else self.kept
        return 2 * (input - self.kept)


@plant("output modified")
class SigmoidOverwritesOutput(nn.Sigmoid):
    def update_grad_input(self, input, grad_output):
        self.output *= 1 - self.output
        return grad_output * self.output


@plant("noise not held")
class ForwardCounts(nn.Tanh):
    calls = 0

    def update_output(self, input):
        self.calls += 1
        return super().update_output(input) + self.calls


@plant("backward changes")
class BackwardCounts(nn.Tanh):
    calls = 0

    def update_grad_input(self, input, grad_output):
        self.calls += 1
        return self.calls * grad_output * (1 - self.output**2) + (self.calls - 1)


# -- structure: places, axes, which output acts on which input -----------------------------------------


def module(name, forward, backward):
    """A class of its own: forward(x), and backward(x, y, grad_output)."""
    def update_output(self, input):
        self.output = forward(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return backward(input, self.output, grad_output)
    return type(name, (nn.Module,), {"update_output": update_output, "update_grad_input": update_grad_input})


COLUMNS = np.arange(1.0, 6)


def centred(x):
    return x - x.mean(axis=0)


def standard(x):
    return centred(x) / x.std(axis=0)


def sums(x):
    return np.cumsum(x, axis=1)


def pooled(x):
    return x.reshape(len(x), -1, 2).max(axis=2)


def windows(x):
    return x[:, :-1] + 2 * x[:, 1:]


def first_of_windows(x, y, g):
    grad = np.zeros_like(x)
    grad[:, 1:] = 2 * g
    grad[:, :-1] = g  # where it must be added
    return grad


for name, kinds, forward, back in (
    ("SumNotReversed", "direction", sums, lambda x, y, g: sums(g)),
    ("FlattensOtherwise", "places", lambda x: x.T.reshape(x.shape).copy(), lambda x, y, g: g.reshape(5, 3).T[::-1]),
    ("StandardisedMeanOnly", "sum along an axis", standard, lambda x, y, g: centred(g) / x.std(axis=0)),
    ("StandardisedDetached", "taken as constant", standard, lambda x, y, g: g / x.std(axis=0)),
    ("ScaledByColumn", "factor along an axis", lambda x: x * COLUMNS, lambda x, y, g: g * COLUMNS**3),
    ("WindowsAssigned", "assigned", windows, first_of_windows),
    ("PoolSpreads", "spread", lambda x: pooled(x[:, :4]),
     lambda x, y, g: np.pad(np.repeat(g, 2, axis=1) / 2, ((0, 0), (0, 1)))),
    ("MixesRows", "rows mixed", np.tanh, lambda x, y, g: centred(g) * (1 - y * y)),
    ("OneSideWrong", "one side", lambda x: np.where(x > 0, x, np.expm1(x)),
     lambda x, y, g: np.where(x > 0, g, g * np.expm1(x))),
    ("ProductRuleHalf", "wrong derivative", lambda x: x / (1 + np.exp(-x)), lambda x, y, g: g / (1 + np.exp(-x))),
    ("Unmoved", "derivative missing", lambda x: x[:, ::-1].copy(), lambda x, y, g: g.copy()),
):
    plant(kinds)(module(name, forward, back))


@plant("weight used differently", make=lambda cls: cls(2, 2, 3, 3), input=x(2, 2, 4, 4))
class ConvolutionTurned(nn.SpatialConvolution):
    def update_output(self, input):
        weight, self.weight = self.weight, self.weight[..., ::-1, ::-1].copy()
        try:
            return super().update_output(input)
        finally:
            self.weight = weight


@plant("weight used differently", make=square)
class LinearForwardTransposed(nn.Linear):
    def update_output(self, input):
        self.output = input @ self.weight + self.bias
        return self.output


@plant("too many inputs", "factor of outputs", make=wide)
class LinearForgetsItsRectifier(nn.Linear):
    def update_output(self, input):
        self.output = np.maximum(super().update_output(input), 0)
        return self.output


@plant("misfed", make=lambda cls: cls(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)))
class SequentialOwnOutput(nn.Sequential):
    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        for _, child in reversed(list(self.children())):
            grad_output = child.backward(child.output, grad_output, scale)
        return grad_output

    def update_grad_input(self, input, grad_output):
        for _, child in reversed(list(self.children())):
            grad_output = child.update_grad_input(child.output, grad_output)
        return grad_output


@plant("formula", "wrong derivative", target=x(3, 5, seed=5))
class AbsByDifference(nn.AbsCriterion):
    def update_grad_input(self, input, target):
        return input - target


@plant("draws", input=PAIR, make=lambda cls: cls(3))
class SamplerTiles(nn.GaussianSampler):
    def update_output(self, input):
        super().update_output(input)
        mean, log_var = (np.tile(each, (3, 1)) for each in input)
        self.output = mean + np.exp(log_var / 2) * self.noise
        return self.output


# -- at some arguments only ----------------------------------------------------------------------------


@plant("grad_output modified", make=wide)
class LinearScalesInPlaceByScaleAlone(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        grad_output *= scale
        super().acc_grad_parameters(input, grad_output)


class KeepsMask(nn.ReLU):
    mask = None

    def update_output(self, input):
        if self.mask is None or self.mask.shape != input.shape:
            self.mask = input > 0
        return super().update_output(input)

    def update_grad_input(self, input, grad_output):
        return grad_output * self.mask


def used_before(cls):
    module = cls()
    module.forward(x(3, 5, seed=9))
    return module


plant("kept from earlier", make=used_before)(KeepsMask)


@plant("rows", input=x(1, 5), make=wide)
class LinearForgetsTheBiasOfOneRow(nn.Linear):
    def update_output(self, input):
        output = super().update_output(input)
        return output - self.bias if len(input) == 1 else output


@plant("unused", make=wide)
class LinearNeverAddsItsBias(nn.Linear):
    def update_output(self, input):
        self.output = input @ self.weight.T
        return self.output


@plant("wrong elsewhere", make=lambda cls: cls(1, 1, 3, 3), input=x(2, 1, 4, 4))
class ConvolutionTurnedBackOfAHalfTurn(nn.SpatialConvolution):
    """Right for its first weights, which half a turn leaves as they are."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.weight[...] = self.weight + self.weight[..., ::-1, ::-1]

    def update_grad_input(self, input, grad_output):
        kept = self.weight.copy()
        self.weight[...] = kept[..., ::-1, ::-1]
        super().update_grad_input(input, grad_output)
        self.weight[...] = kept
        return self.grad_input


@plant("mask missing")
class SigmoidClips(nn.Sigmoid):
    def update_output(self, input):
        return super().update_output(np.clip(input, -1, 1))


@plant("one side")
class SoftPlusGoesStraight(nn.SoftPlus):
    def update_output(self, input):
        self.output = np.where(input > 1, input, np.log1p(np.exp(input)))
        return self.output


@plant("argument")
class SoftPlusSharp(nn.SoftPlus):
    def update_output(self, input):
        self.output = np.log1p(np.exp(2 * input)) / 2
        return self.output


@plant("term", input=x(3, 4, low=0.1, high=0.9), target=x(3, 4, seed=5, low=0, high=1))
class BCESecondSign(nn.BCECriterion):
    def update_grad_input(self, input, target):
        return -target / input - (1 - target) / (1 - input)


@plant("too many inputs", make=lambda cls: cls(2, 2, 3, 3, 1, 1, 1, 1), input=x(2, 2, 4, 4))
class ConvolutionWeightSeesTheEdge(nn.SpatialConvolution):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        padded = np.pad(input, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        for i, j in np.ndindex(3, 3):
            part = padded[:, :, i:i + 4, j:j + 4]
            self.grad_weight[:, :, i, j] += scale * np.einsum("nouv,ncuv->oc", grad_output, part)
        self.grad_bias += scale * grad_output.sum(axis=(0, 2, 3))


@plant("outputs left out", make=lambda cls: cls(2, 2, 3, 3), input=x(3, 2, 4, 4))
class ConvolutionOfTheLastImage(nn.SpatialConvolution):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        last = np.zeros_like(grad_output)
        last[-1] = grad_output[-1]
        super().acc_grad_parameters(input, last, scale)


@plant("misfed", make=lambda cls: cls(nn.Linear(5, 3), nn.Linear(5, 3)))
class ConcatTableHeadsExchanged(nn.ConcatTable):
    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        return super().backward(input, grad_output[::-1], scale, need_grad_input)

    def update_grad_input(self, input, grad_output):
        return super().update_grad_input(input, grad_output[::-1])


@plant("misfed", make=lambda cls: cls(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)))
class SequentialSkipsOne(nn.Sequential):
    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        grad_output = self[2].backward(self[1].output, grad_output, scale)
        return self[0].backward(input, grad_output, scale)

    def update_grad_input(self, input, grad_output):
        return self[0].update_grad_input(input, self[2].update_grad_input(self[1].output, grad_output))


@plant("misfed", make=lambda cls: nn.Sequential(nn.Tanh(), cls(nn.Linear(5, 3), nn.Linear(5, 3)), nn.ParallelTable(
    nn.Tanh(), nn.Tanh())))
class ConcatTableInsideAModel(ConcatTableHeadsExchanged):
    pass


# -- what a fresh set of sixty taught --------------------------------------------------------------------


@plant("overwritten inside", make=lambda cls: cls(nn.Sequential(nn.Linear(5, 5), nn.Tanh())))
class AddsIntoTheOutputOfItsModule(nn.Container):
    def update_output(self, input):
        self.output = self[0].run(input)
        self.output += 0.5 * input
        return self.output

    def update_grad_input(self, input, grad_output):
        return self[0].update_grad_input(input, grad_output) + 0.5 * grad_output

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self[0].acc_grad_parameters(input, grad_output, scale)


@plant("misfed", make=lambda cls: cls(nn.Sequential(nn.Linear(5, 5), nn.Tanh())))
class RunsTwiceOnOneState(nn.Sequential):
    def update_output(self, input):
        self.first = np.array(self[0].forward(input))
        self.output = np.array(self[0].forward(self.first))
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.array(self[0].update_grad_input(input, self[0].update_grad_input(self.first, grad_output)))

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        grad_output = np.array(self[0].backward(self.first, grad_output, scale))
        self[0].forward(self.first)
        return np.array(self[0].backward(input, grad_output, scale))


@plant("own loss")
class PenaltyOfItsOwn(nn.Identity):
    def update_grad_input(self, input, grad_output):
        return grad_output + 0.1 * input


@plant("pairing", input=x(6, 4), target=x(2, 4, seed=5), make=lambda cls: cls(samples=3))
class MSEPairsAsTile(nn.MSECriterion):
    def update_grad_input(self, input, target):
        return 2 / 3 * (input - np.tile(target, (3, 1)))


@plant("epsilon", input=x(4, 4, low=0.1, high=0.9), target=x(4, 4, seed=5, low=0, high=1))
class BCEWithEpsilon(nn.BCECriterion):
    def update_grad_input(self, input, target):
        return (input - target) / (input * (1 - input) + 1e-3)


@plant("term", input=PAIR, target=x(3, 4, seed=7))
class GaussianWrongBracket(nn.GaussianNLLCriterion):
    def update_grad_input(self, input, target):
        mean, log_var = input
        error = target - mean
        return -error * np.exp(-log_var), 0.5 * (1 - error**2) * np.exp(-log_var)


@plant("term")
class SwishOutputForSigmoid(nn.Module):
    def update_output(self, input):
        self.output = input / (1 + np.exp(-input))
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 / (1 + np.exp(-input)) + self.output * (1 - self.output))


@plant("one side", input=x(5, 6))
class ELUForgetsAlpha(nn.Module):
    def update_output(self, input):
        self.output = np.where(input > 0, input, 1.5 * np.expm1(input))
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.where(input > 0, grad_output, grad_output * (self.output + 1))


def neighbours(step):
    """Three weights over numbers that are two apart; the gradient takes them `step` apart."""
    class Neighbours(nn.Module):
        parameter_names = ("weight",)

        def __init__(self):
            super().__init__()
            self.new_parameter("weight", (3,))
            self.weight[...] = 0.5, -1, 0.7

        def update_output(self, input):
            self.output = sum(self.weight[k] * input[:, 2 * k:2 * k + 5] for k in range(3))
            return self.output

        def update_grad_input(self, input, grad_output):
            grad = np.zeros_like(input)
            for k in range(3):
                grad[:, 2 * k:2 * k + 5] += self.weight[k] * grad_output
            return grad

        def acc_grad_parameters(self, input, grad_output, scale=1):
            for k in range(3):
                self.grad_weight[k] += scale * (grad_output * input[:, step * k:step * k + 5]).sum()
    return Neighbours


plant("shifted", input=x(3, 9))(type("DilationForgotten", (neighbours(1),), {}))


@plant("factor of outputs")
class LastOutputHalved(nn.Identity):
    def update_grad_input(self, input, grad_output):
        grad = grad_output.copy()
        grad[:, -1] *= 0.5
        return grad


@plant("factor", input=x(2, 2, 3, 5))
class MeanOverTheWrongSides(nn.Module):
    def update_output(self, input):
        self.output = input.mean(axis=(2, 3))
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.ones_like(input) * grad_output[:, :, None, None] / input.shape[2]**2


# -- what another fresh set of sixty taught --------------------------------------------------------------


class Level(nn.Module):
    """y = x − b, with one b for all."""

    parameter_names = ("level",)

    def __init__(self):
        super().__init__()
        self.new_parameter("level", (1,))
        self.level[...] = 0.3

    def update_output(self, input):
        self.output = input - self.level
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * 1


@plant("sign")
class LevelWithoutMinus(Level):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_level += scale * grad_output.sum()


@plant("factor missing", "factor too many")
class Reciprocal(nn.Module):
    def update_output(self, input):
        self.output = np.exp(-input) * self.draw(backend.standard_normal, input.shape)
        return self.output

    def update_grad_input(self, input, grad_output):
        return -grad_output * self.noise


@plant("mask missing", make=wide)
class LinearOfDrawnWeights(nn.Linear):
    rate = 0.25

    def update_output(self, input):
        kept = self.draw(backend.uniform, self.weight.shape) > self.rate
        self.thin = self.weight * kept / (1 - self.rate)
        self.output = input @ self.thin.T + self.bias
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output @ self.thin


@plant("factor")
class ScalesByWhatStays(nn.Module):
    drop = 0.35

    def update_output(self, input):
        self.output = input * (1 - self.drop)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * 1


@plant("factor", input=x(4, 5), target=np.float32(np.random.default_rng(9).integers(0, 3, (4, 5))))
class MeanOfTheLabelled(nn.Criterion):
    def update_output(self, input, target):
        self.output = (np.square(input - target) * (target > 0)).sum() / (target > 0).sum()
        return self.output

    def update_grad_input(self, input, target):
        return 2 * (input - target) * (target > 0)


@plant("one side", input=x(5, 4), target=x(5, 4, seed=3))
class BandForgetsItsSlope(nn.Criterion):
    """Zero within a band, and a line of slope 3 beside it, whose gradient is of slope 1."""

    steep = 3.0

    def update_output(self, input, target):
        r = np.abs(input - target)
        self.output = np.where(r > 0.8, self.steep * (r - 0.8) + 0.64, r * r).sum()
        return self.output

    def update_grad_input(self, input, target):
        r = input - target
        return np.where(np.abs(r) > 0.8, np.sign(r), 2 * r)


@plant("one side", input=(x(4, 5), x(4, 5, seed=1)))
class KLNotCapped(nn.GaussianKL):
    def update_output(self, input):
        super().update_output(input)
        self.divergence = float(np.minimum(self.units(input), 0.6).sum())
        return self.output


@plant("one side")
class TwoLines(nn.Module):
    """sin x + κ x below 0, whose gradient lacks κ."""

    kappa = 0.6

    def update_output(self, input):
        self.output = np.where(input > 0, input, np.sin(input) + self.kappa * input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.where(input > 0, grad_output, np.cos(input) * grad_output)


@plant("noise left out")
class NoisyTanh(nn.Module):
    def update_output(self, input):
        self.output = np.tanh(input + 0.5 * self.draw(backend.standard_normal, input.shape))
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - np.tanh(input)**2) / (1 + np.abs(input))


class EverySecond(nn.Module):
    """Sums of two numbers, weighted, two apart; the gradient takes them side by side."""

    parameter_names = ("pair",)

    def __init__(self):
        super().__init__()
        self.new_parameter("pair", (2,))
        self.pair[...] = 0.4, -0.9

    def update_output(self, input):
        self.output = self.pair[0] * input[:, 0:8:2] + self.pair[1] * input[:, 1:8:2]
        return self.output

    def update_grad_input(self, input, grad_output):
        grad = np.zeros_like(input)
        grad[:, 0:8:2], grad[:, 1:8:2] = self.pair[0] * grad_output, self.pair[1] * grad_output
        return grad

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for k in range(2):
            self.grad_pair[k] += scale * (grad_output * input[:, k:k + 4]).sum()


plant("shifted", input=x(3, 8))(EverySecond)


@plant("term")
class CubicInside(nn.Module):
    def update_output(self, input):
        self.output = np.tanh(input + 0.1 * input**3)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - self.output**2) * (1 + 0.1 * input**2)


@plant("term", input=x(4, 3), target=np.eye(3, dtype=np.float32)[[1, 0, 2, 1]])
class HalvesItsTarget(nn.Criterion):
    """½ Σ (y − (0.9 t + 0.03))²"""

    def update_output(self, input, target):
        self.output = 0.5 * np.square(input - 0.9 * target - 0.03).sum()
        return self.output

    def update_grad_input(self, input, target):
        return input - target


@plant("one side", "sum along an axis", input=x(4, 5), target=np.eye(5, dtype=np.float32)[[1, 0, 3, 4]])
class OwnClassCountedOnce(nn.Criterion):
    """Σ over the other classes of e^(y − y of the right class)."""

    def update_output(self, input, target):
        self.ratios = np.exp(input - (input * target).sum(axis=1, keepdims=True)) * (1 - target)
        self.output = self.ratios.sum()
        return self.output

    def update_grad_input(self, input, target):
        return self.ratios - target * self.ratios.max(axis=1, keepdims=True)


@plant("formula", input=PAIR, target=x(3, 1, seed=7))
class WeighsByThePriorAlone(nn.Criterion):
    """−ln Σₖ πₖ e^(−½ (t − mₖ)²): logits of π, and means."""

    def update_output(self, input, target):
        logits, means = input
        terms = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) * np.exp(-0.5 * (target - means)**2)
        self.shares, self.output = terms / terms.sum(axis=1, keepdims=True), -np.log(terms.sum(axis=1)).sum()
        return self.output

    def update_grad_input(self, input, target):
        logits, means = input
        prior = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return prior - self.shares, prior * (means - target)


@plant("loss changes", make=lambda cls: cls(0.1), input=PAIR)
class KLWarmsUpInForward(nn.GaussianKL):
    def update_output(self, input):
        self.beta *= 1.5
        return super().update_output(input)


@plant("misfed", make=lambda cls: cls(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5)))
class ChainOfOneBackward(nn.Container):
    """It has `backward` alone, and no update_grad_input."""

    def update_output(self, input):
        for module in self.modules:
            input = module.forward(input)
        self.output = input
        return self.output

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        for k, module in reversed(list(enumerate(self.modules))):
            given = grad_output
            grad_output = module.update_grad_input(self.modules[k - 1].output if k else input, given)
            module.acc_grad_parameters(input, given, scale)
        self.grad_input = grad_output
        return self.grad_input


@plant("output modified")
class DecayOverwritesOutput(nn.Module):
    """y = e^(−w x); backward multiplies the output by grad_output, and then reads it for w."""

    parameter_names = ("w",)

    def __init__(self):
        super().__init__()
        self.new_parameter("w", (5,))

    def reset(self):
        self.w[...] = np.linspace(0.5, 1.5, 5)

    def update_output(self, input):
        self.output = np.exp(-self.w * input)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.output *= grad_output
        return -self.w * self.output

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_w -= scale * (input * self.output * grad_output).sum(axis=0)


# -- what a layer keeps, shares and asks for ----------------------------------------------------------


@plant("needs grad_input", make=wide)
class LinearWantsItsInputGradientFirst(nn.Linear):
    def update_grad_input(self, input, grad_output):
        self.rows = grad_output.copy()
        return super().update_grad_input(input, grad_output)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        rows = getattr(self, "rows", grad_output)  # of update_grad_input, where it has run
        super().acc_grad_parameters(input, rows, scale)


@plant("noise not held", make=lambda cls: cls(5).evaluate())
class StatisticsFollowInEvaluation(nn.BatchNormalization):
    def update_output(self, input):
        self.running_mean += 0.1 * (input.mean(axis=0) - self.running_mean)
        return super().update_output(input)


@plant("noise not held")
class SumIsNotCleared(nn.Tanh):
    def update_output(self, input):
        if np.shape(self.buffers.get("sum")) != input.shape:
            self.buffer("sum", input.shape).fill(0)
        self.buffers["sum"] += np.tanh(input)
        self.output = self.buffers["sum"].copy()
        return self.output


@plant("input modified")
class TanhOverwritesItsInput(nn.Tanh):
    def update_output(self, input):
        np.tanh(input, out=input)
        self.output = input.copy()
        return self.output


@plant("shared memory", input=PAIR)
class OneBufferForTwoGradients(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        grads = [self.buffer("grad", input[0].shape) for _ in range(2)]
        grads[0][...] = grad_output
        grads[1][...] = 0.5 * grad_output * self.noise * np.exp(0.5 * input[1])
        self.grad_input = tuple(grads)
        return self.grad_input


@plant("mode", make=lambda cls: cls(0.4).evaluate())
class DropsInEvaluation(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def update_output(self, input):
        self.kept = (self.draw(backend.uniform, input.shape) > self.p) / (1 - self.p)
        self.output = input * self.kept if self.train else input
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * self.kept


# -- copies, axes and shares --------------------------------------------------------------------------


class Copies(nn.Module):
    """(N, Q) -> (3·N, Q)"""

    def update_output(self, input):
        self.output = np.repeat(input, 3, axis=0)
        return self.output


@plant("regrouped")
class CopiesGroupedAsByTile(Copies):
    def update_grad_input(self, input, grad_output):
        return grad_output.reshape(3, len(input), -1).sum(axis=0)


@plant("regrouped", input=x(3, 6))
class MeansOfNeighboursGivenBackFarApart(nn.Module):
    """Means of two neighbours: (N, 2·Q) -> (N, Q)"""

    def update_output(self, input):
        self.output = input.reshape(len(input), -1, 2).mean(axis=2)
        return self.output

    def update_grad_input(self, input, grad_output):
        return 0.5 * np.tile(grad_output, (1, 2))


@plant("rows mixed", input=x(3, 2, 4), make=lambda cls: cls(0.7, 2))
class SoftmaxOverTheWholeCode(nn.GumbelSoftmaxSampler):
    def update_grad_input(self, input, grad_output):
        y = self.output
        grads = y * (grad_output - (y * grad_output).sum(axis=1, keepdims=True)) / self.temperature
        return grads.reshape(len(input), self.samples, *input.shape[1:]).sum(axis=1)


@plant("rows mixed", input=x(3, 4))
class SoftmaxOverTheBatch(nn.Module):
    def update_output(self, input):
        self.output = np.exp(input) / np.exp(input).sum(axis=1, keepdims=True)
        return self.output

    def update_grad_input(self, input, grad_output):
        return self.output * (grad_output - (self.output * grad_output).sum(axis=0))


@plant("diagonal only", "wrong derivative", input=x(3, 2, 4), make=lambda cls: cls(0.7, 2))
class SoftmaxOfDrawsByItsDiagonal(nn.GumbelSoftmaxSampler):
    def update_grad_input(self, input, grad_output):
        grads = grad_output * self.output * (1 - self.output) / self.temperature
        return grads.reshape(len(input), self.samples, *input.shape[1:]).sum(axis=1)


@plant("shifted", input=x(2, 2, 4, 5), make=lambda cls: cls(2, 2, 3, 3, 1, 1, 1, 1))
class ConvolutionForgetsItsPadding(nn.SpatialConvolution):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        wide = np.pad(input, ((0, 0), (0, 0), (0, 2), (0, 2)))  # at the corner of the frame
        h, w = grad_output.shape[2:]
        for i in range(3):
            for j in range(3):
                self.grad_weight[:, :, i, j] += scale * np.einsum("nohw,nchw->oc", grad_output,
                                                                  wide[:, :, i:i + h, j:j + w])
        self.grad_bias += scale * grad_output.sum(axis=(0, 2, 3))


@plant("draws", input=PAIR, make=lambda cls: cls(3))
class SamplerTakesTheLastDrawsNoise(nn.GaussianSampler):
    def update_grad_input(self, input, grad_output):
        grads, noise = (each.reshape(len(input[0]), self.samples, -1) for each in (grad_output, self.noise))
        total = grads.sum(axis=1)
        return total, 0.5 * np.exp(0.5 * input[1]) * total * noise[:, -1]


@plant("factor along an axis", input=x(3, 4, low=0.1, high=0.9), target=np.round(x(3, 4, seed=1, low=0, high=1)),
       make=lambda cls: cls(weights=np.float32([0.5, 2, 3, 1.5])))
class BCEForgetsItsWeights(nn.BCECriterion):
    def update_grad_input(self, input, target):
        return (input - target) / (input * (1 - input))


@plant("factor along an axis", input=0.5 * x(6, 4), target=0.5 * x(2, 4, seed=1), make=lambda cls: cls(samples=3))
class DrawsShareAlike(nn.MSECriterion):
    """−ln of the mean of e^−½‖a − x‖² over the draws of a row"""

    def update_output(self, input, target):
        rows = 0.5 * ((input - np.repeat(target, self.samples, axis=0))**2).sum(axis=1).reshape(-1, self.samples)
        return -float(np.log(np.exp(-rows).mean(axis=1)).sum())

    def update_grad_input(self, input, target):
        return (input - np.repeat(target, self.samples, axis=0)) / self.samples


# -- functions, arguments and parts -------------------------------------------------------------------


@plant("cut", input=3 * x(3, 4, seed=2))
class GradientInIntegers(nn.Clamp):
    def __init__(self):
        super().__init__(-4, 4)

    def update_grad_input(self, input, grad_output):
        grad = np.zeros(input.shape, dtype=int)
        grad[...] = super().update_grad_input(input, 3 * grad_output)
        return grad.astype(input.dtype)

    def update_output(self, input):
        return 3 * super().update_output(input)


@plant("cut")
class GradientLimited(nn.Sigmoid):
    def update_grad_input(self, input, grad_output):
        return np.clip(super().update_grad_input(input, grad_output), -0.1, 0.1)


@plant("another mask", make=lambda cls: cls(0.4))
class DropsOthersOnTheWayBack(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def update_output(self, input):
        self.output = input * (self.draw(backend.uniform, input.shape) > self.p) / (1 - self.p)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (self.noise < 1 - self.p) / (1 - self.p)


@plant("mask missing", "one side", input=PAIR)
class FloorOfTheDivergenceHasNoSlope(nn.Divergence):
    """Σ max(½ mean², 0.3) + ½ (e^log_var − 1 − log_var)"""

    def update_output(self, input):
        mean, log_var = input
        self.parts = 0.5 * mean * mean
        self.divergence = float((np.maximum(self.parts, 0.3) + 0.5 * (np.expm1(log_var) - log_var)).sum())
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        self.grad_input = grad_output[0] + self.beta * mean, grad_output[1] + self.beta * 0.5 * np.expm1(log_var)
        return self.grad_input


@plant("wrong derivative", "argument")
class LogCoshOfTwoAndAHalf(nn.Module):
    def update_output(self, input):
        self.output = np.log(np.cosh(2.5 * input)) / 2.5
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * np.tanh(input)


@plant("function for another", input=PAIR)
class ScaleWithoutItsExponential(nn.Module):
    """y = u e^s with noise u, whose gradient by s takes s for e^s"""

    def update_output(self, input):
        self.standard = np.arctanh(1.8 * self.draw(backend.uniform, input[0].shape) - 0.9)
        self.output = input[0] + self.standard * np.exp(input[1])
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output.copy(), grad_output * self.standard * input[1]


@plant("part", input=x(3, 6))
class GateForgetsItsValue(nn.Module):
    """y = v tanh(w), v and w the halves of the input"""

    def update_output(self, input):
        v, w = np.split(input, 2, axis=1)
        self.output = v * np.tanh(w)
        return self.output

    def update_grad_input(self, input, grad_output):
        t = np.tanh(np.split(input, 2, axis=1)[1])
        return np.concatenate([grad_output * t, grad_output * (1 - t * t)], axis=1)


# -- windows, numberings and precision ----------------------------------------------------------------


@plant("shifted", input=x(2, 2, 5, 6), make=lambda cls: cls(3, 3, 2, 2, 1, 1))
class PoolingCropsAtTheCorner(nn.SpatialAveragePooling):
    def update_grad_input(self, input, grad_output):
        n, c, h, w = input.shape
        frame = np.zeros((n, c, h + 2, w + 2), input.dtype)
        for i, j in np.ndindex(grad_output.shape[2:]):
            frame[:, :, 2 * i:2 * i + 3, 2 * j:2 * j + 3] += grad_output[:, :, i:i + 1, j:j + 1] / 9
        return frame[:, :, :h, :w].copy()


@plant("numbered", input=x(2, 2, 4, 6), make=lambda cls: cls(2, 2))
class PoolingNumbersAlongColumns(nn.SpatialMaxPooling):
    def update_grad_input(self, input, grad_output):
        grad = np.zeros_like(input)
        for n, c, i, j in np.ndindex(grad_output.shape):
            column, row = divmod(input[n, c, 2 * i:2 * i + 2, 2 * j:2 * j + 2].argmax(), 2)
            grad[n, c, 2 * i + row, 2 * j + column] = grad_output[n, c, i, j]
        return grad


@plant("numbered", input=x(2, 1, 4, 6), make=lambda cls: cls(2, 2))
class PoolingCountsByTheHeight(nn.SpatialMaxPooling):
    def update_grad_input(self, input, grad_output):
        n, c, h, w = input.shape
        grad = np.zeros((n, c, h * w), input.dtype)
        for at in np.ndindex(grad_output.shape):
            corner = 2 * np.array(at[2:])
            row, column = corner + divmod(input[at[:2]][tuple(map(slice, corner, corner + 2))].argmax(), 2)
            grad[(*at[:2], row * h + column)] += grad_output[at]
        return grad.reshape(n, c, h, w)


class Overlapping(nn.Module):
    """y[t] = x[t] + ½ x[t − 1] + bias, along the last axis"""

    parameter_names = ("bias",)

    def __init__(self):
        super().__init__()
        self.new_parameter("bias", (2,))

    def update_output(self, input):
        self.output = np.pad(input, ((0, 0), (0, 0), (0, 1))) + np.pad(0.5 * input, ((0, 0), (0, 0), (1, 0)))
        self.output += self.bias[:, None]
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output[..., :-1] + 0.5 * grad_output[..., 1:]

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_bias += scale * grad_output.sum(axis=(0, 2))


@plant("added several times", input=x(3, 2, 5))
class BiasInEveryWindow(Overlapping):
    def update_output(self, input):
        super().update_output(input)
        self.output[..., 1:-1] += self.bias[:, None]
        return self.output


@plant("assigned", input=x(3, 2, 5))
class WindowsAreOverwritten(Overlapping):
    def update_output(self, input):
        super().update_output(input)
        self.output[..., 1:] = 0.5 * input + self.bias[:, None]
        return self.output


@plant("mask missing", input=x(4, 3))
class SlopeCountsEveryInput(nn.Module):
    """y = x up to |x| = 1, and slope · x beyond"""

    parameter_names = ("slope",)

    def __init__(self):
        super().__init__()
        self.new_parameter("slope", (3,))
        self.slope[...] = 0.3

    def update_output(self, input):
        self.output = np.where(np.abs(input) < 1, input, self.slope * input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * np.where(np.abs(input) < 1, 1, self.slope)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_slope += scale * (grad_output * input).sum(axis=0)


@plant("mask", input=x(6, 3))
class SlopeLeavesInputsOut(SlopeCountsEveryInput):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_slope += scale * np.where(np.abs(input) < 1.5, 0, grad_output * input).sum(axis=0)


@plant("one weight for all", input=x(3, 4))
class SecondHeadForgetsItsExponential(nn.Module):
    def update_output(self, input):
        self.output = input[:, :2].copy(), np.exp(input[:, 2:])
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.concatenate(grad_output, axis=1)


@plant("branch missing", input=x(3, 4), make=lambda cls: cls(nn.Sequential(nn.Linear(4, 4), nn.Tanh())))
class ForgetsTheDirectWay(nn.Container):
    def update_output(self, input):
        self.output = self[0].forward(input) - 0.5 + input
        return self.output

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        self.grad_input = self[0].backward(input, grad_output, scale)
        return self.grad_input


@plant("outputs left out", input=x(3, 4))
class ForgetsAnOutputOfItsTable(nn.Module):
    def update_output(self, input):
        self.output = np.sin(input), (input * input).sum(axis=1), np.exp(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output[0] * np.cos(input) + grad_output[2] * np.exp(input)


@plant("dtype")
class GradientInHalfTheDigits(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return super().update_grad_input(input, grad_output).astype(np.float32)


@plant("output dtype")
class OutputInHalfTheDigits(nn.Sigmoid):
    def update_output(self, input):
        self.output = (1 / (1 + np.exp(-input))).astype(np.float32)
        return self.output


@plant("draws", input=x(6, 4), target=x(3, 4, seed=1), make=lambda cls: cls(samples=2))
class TargetsTiledInBothPasses(nn.AbsCriterion):
    def update_output(self, input, target):
        return float(np.abs(input - np.tile(target, (2, 1))).sum()) / 2

    def update_grad_input(self, input, target):
        return np.sign(input - np.tile(target, (2, 1))) / 2


@plant("draws", input=x(3, 4))
class DrawsTiledInBothPasses(nn.Module):
    samples = 2

    def update_output(self, input):
        self.output = np.tile(input, (2, 1)) + self.draw(backend.uniform, (2 * len(input), 4))
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output[:len(input)] + grad_output[len(input):]


# -- digits, frames, labels, sums over units, what a gradient depends on --------------------------------------------


@plant("output dtype")
class ComputesInHalfTheDigits(nn.Tanh):
    def update_output(self, input):
        self.output = np.tanh(input.astype(np.float32)).astype(input.dtype)
        return self.output


@plant("dtype", make=wide)
class LearnsInHalfTheDigits(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += (scale * grad_output.T @ input).astype(np.float32)
        self.grad_bias += scale * grad_output.sum(axis=0)


@plant("output dtype", target=x(3, 5, seed=1))
class LossInHalfTheDigits(nn.AbsCriterion):
    def update_output(self, input, target):
        return float(np.abs(input - target).astype(np.float32).sum())


@plant("outputs left out", input=x(2, 3, 4, 5))
class FrameRepeatsTheEdge(nn.Module):
    def update_output(self, input):
        self.output = np.pad(input, ((0, 0), (0, 0), (1, 1), (0, 0)), mode="edge")
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output[:, :, 1:-1].copy()


class LabelToTheFirst(nn.KeepLabel):
    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.copy()
        self.grad_input[:, :self.label.classes] += self.label.grad
        return self.grad_input


@plant("misfed", input=x(4, 5))
class LabelGivesBackInTheWrongColumns(nn.Sequential):
    def __init__(self):
        label = nn.Label(2)
        super().__init__(LabelToTheFirst(label), nn.Linear(5, 3), nn.AppendLabel(label))


@plant("displaced", input=x(3, 6))
class DoublesTheLastTwo(nn.Module):
    def update_output(self, input):
        self.output = input + np.sin(np.pad(input[:, 4:], ((0, 0), (4, 0))))
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.copy()
        self.grad_input[:, :2] += (grad_output * np.cos(input))[:, 4:]
        return self.grad_input


@plant("part of a sum", input=x(3, 4))
class LogSoftmaxOfTheInput(nn.Module):
    def update_output(self, input):
        self.output = input - np.log(np.exp(input).sum(axis=1, keepdims=True))
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output - np.tanh(input) * grad_output.sum(axis=1, keepdims=True)


@plant("part of a sum", input=x(4, 6))
class RowsOfVarianceOverDLessOne(nn.Module):
    def update_output(self, input):
        centred = input - input.mean(axis=1, keepdims=True)
        self.inverse = 1 / np.sqrt((centred**2).sum(axis=1, keepdims=True) / (input.shape[1] - 1))
        self.output = centred * self.inverse
        return self.output

    def update_grad_input(self, input, grad_output):
        mean, along = (each.mean(axis=1, keepdims=True) for each in (grad_output, grad_output * self.output))
        return self.inverse * (grad_output - mean - self.output * along)


@plant("part of a sum", input=x(3, 2, 3, 4), make=lambda cls: cls(2))
class PlanesAveragedByTheirNumber(nn.BatchNormalization):
    def update_grad_input(self, input, grad_output):
        normal, axes = self.buffers["normalized"], (0, 2, 3)
        mean, along = (each.sum(axis=axes, keepdims=True) / len(input) for each in (grad_output, grad_output * normal))
        slope = (self.weight * self.buffers["inverse"]).reshape(1, -1, 1, 1)
        return slope * (grad_output - mean - normal * along)


@plant("part of a sum", input=x(5, 4))
class RootOfMeanSquareTakenForASum(nn.Module):
    def update_output(self, input):
        self.size = np.sqrt((input * input).mean(axis=1, keepdims=True))
        self.output = input / self.size
        return self.output

    def update_grad_input(self, input, grad_output):
        return (grad_output - self.output * (grad_output * self.output).sum(axis=1, keepdims=True)) / self.size


@plant("part of a sum", input=x(3, 4), target=x(3, 4, seed=1, low=0, high=1))
class CountsTakenForShares(nn.Criterion):
    def update_output(self, input, target):
        return (target * (np.log(np.exp(input).sum(axis=1, keepdims=True)) - input)).sum()

    def update_grad_input(self, input, target):
        p = np.exp(input)
        return p / p.sum(axis=1, keepdims=True) - target


@plant("dependence", input=x(3, 2, 4))
class DivergenceOverTheWholeCode(nn.CategoricalKL):
    def update_grad_input(self, input, grad_output):
        p = np.exp(input)
        p /= p.sum(axis=2, keepdims=True)
        ratio = np.log(p * input.shape[2])
        return grad_output + self.beta * p * (ratio - (p * ratio).sum(axis=(1, 2), keepdims=True))


class PriorOfLogits(nn.LearnedCategoricalKL):
    def __init__(self):
        super().__init__(2, categories=3)
        self.prior_logits[...] = x(2, 3, seed=2)


@plant("dependence", input=x(5, 2, 3))
class PriorNormalisedOverTheVariables(PriorOfLogits):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        r, p = np.exp(self.prior_logits), np.exp(input)
        self.grad_prior_logits += scale * self.beta * (r / r.sum(axis=0) - p / p.sum(axis=2, keepdims=True)).sum(axis=0)


@plant("dependence", input=(x(4, 3), x(4, 3, seed=1)), target=x(4, 3, seed=2))
class ScaleForgetsTheResidual(nn.Criterion):
    def update_output(self, input, target):
        return (0.5 * input[1] + np.log1p((input[0] - target)**2 * np.exp(-input[1]))).sum()

    def update_grad_input(self, input, target):
        residual, scale = input[0] - target, np.exp(input[1])
        return 2 * residual / (scale + residual**2), 0.5 - 1 / (1 + scale)


@plant("dependence", input=(x(4, 5), np.log(np.float32([0.1, 0.2, 0.3, 0.4]))), target=x(3, 5, low=0, high=1),
       make=lambda cls: cls(nn.BCEWithLogitsCriterion()))
class PosteriorWithoutItsPrior(nn.LikelihoodCriterion):
    def update_grad_input(self, input, target):
        r = np.exp(-self.criterion.pairs(input[0], target))
        r /= r.sum(axis=1, keepdims=True)
        return self.criterion.pairs_backward(input[0], target, r), -r.sum(axis=0)


@plant("factor too many", input=(x(4, 5), np.float32([[0.1, 0.2, 0.3, 0.4]] * 3) * x(3, 4, seed=2, low=0.5, high=1)),
       target=x(3, 5, seed=1, low=0, high=1), make=lambda cls: cls(nn.BCEWithLogitsCriterion()))
class LossesTimesTheirShares(nn.ExpectedCriterion):
    def update_grad_input(self, input, target):
        grads = super().update_grad_input(input, target)
        return grads[0], grads[1] * input[1]


@plant("turned", input=x(3, 5), target=x(3, 5, seed=1, low=0, high=1))
class LossOfTheWrongConstant(nn.Criterion):
    def update_output(self, input, target):
        return (-np.log(np.sinh(input) / input + 2) - input * target).sum()

    def update_grad_input(self, input, target):
        ratio = np.sinh(input) / input
        return (np.cosh(input) - ratio) / input / (ratio + 2) - target


@plant("one side", input=(x(4, 3), x(4, 3, seed=1)), target=x(4, 3, seed=2))
class LaplaceWithoutItsAbsoluteValue(nn.Criterion):
    def update_output(self, input, target):
        return (input[1] + np.abs(input[0] - target) * np.exp(-input[1])).sum()

    def update_grad_input(self, input, target):
        return np.sign(input[0] - target) * np.exp(-input[1]), 1 - (input[0] - target) * np.exp(-input[1])


@plant("mask", input=(x(5, 3), x(5, 3, seed=1)), make=lambda cls: cls(free_bits=0.6))
class ChargedRowByRow(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        charge = self.beta * (self.units(input) > self.free_bits)
        return grad_output[0] + charge * input[0], grad_output[1] + 0.5 * charge * np.expm1(input[1])


@plant("mask", input=x(4, 5))
class LeakyMaskOnly(nn.Module):
    def update_output(self, input):
        self.output = np.where(input > 0, input, 0.2 * input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (input > 0)


@plant("wrong sum", input=x(4, 3), make=lambda cls: cls())
class TableOfTheBatchesSoftmax(nn.Module):
    parameter_names = ("table",)

    def __init__(self):
        super().__init__()
        self.new_parameter("table", (3, 2))
        backend.fill_uniform(self.table, -1, 1)

    def shares(self, input, axis=1):
        return np.exp(input) / np.exp(input).sum(axis=axis, keepdims=True)

    def update_output(self, input):
        self.output = self.shares(input) @ self.table
        return self.output

    def update_grad_input(self, input, grad_output):
        p, grad = self.shares(input), grad_output @ self.table.T
        return p * (grad - (p * grad).sum(axis=1, keepdims=True))

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_table += scale * self.shares(input, axis=0).T @ grad_output


@plant("rows mixed", input=x(3, 4, 4))
class MeanOverTheOtherAxis(nn.Module):
    def update_output(self, input):
        self.output = input - input.mean(axis=2, keepdims=True)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output - grad_output.mean(axis=1, keepdims=True)


@plant("part of a sum", input=x(5, 4), make=lambda cls: cls(4))
class MeanOfTheBatchTakenForAConstant(nn.BatchNormalization):
    def update_grad_input(self, input, grad_output):
        normal = self.buffers["normalized"]
        return self.weight * self.buffers["inverse"] * (grad_output - normal * (grad_output * normal).mean(axis=0))


@plant("part of a sum", input=x(4, 3), target=x(4, 3, seed=1))
class LossTakesAMeanForAConstant(nn.Criterion):
    def update_output(self, input, target):
        return ((input - input.mean(axis=1, keepdims=True) - target)**2).sum()

    def update_grad_input(self, input, target):
        return 2 * (input - input.mean(axis=1, keepdims=True) - target)


@plant("assigned", input=x(3, 2, 7))
class MaximaAreAssigned(nn.Module):
    """The largest of each three neighbours, whose windows overlap by two."""

    def update_output(self, input):
        self.output = np.stack([input[..., i:i + 3].max(axis=-1) for i in range(5)], axis=-1)
        return self.output

    def update_grad_input(self, input, grad_output):
        grad = np.zeros(input.shape)
        for i in range(5):
            largest = input[..., i:i + 3] == self.output[..., i, None]
            grad[..., i:i + 3] = largest * grad_output[..., i, None]
        return grad


@plant("assigned", input=x(4, 5))
class GatherAssigns(nn.Module):
    """Every column twice, in another order in each row."""

    def places(self, input):
        return np.argsort(np.concatenate([input, np.sin(7 * input)], axis=1), axis=1) % input.shape[1]

    def update_output(self, input):
        self.output = np.take_along_axis(input, self.places(input), axis=1)
        return self.output

    def update_grad_input(self, input, grad_output):
        grad = np.zeros(input.shape)
        np.put_along_axis(grad, self.places(input), grad_output, axis=1)
        return grad


class GatherTakesTheLargest(GatherAssigns):
    def update_grad_input(self, input, grad_output):
        grad = np.full(input.shape, -np.inf)
        np.maximum.at(grad, (np.arange(len(input))[:, None], self.places(input)), grad_output)
        return grad


plant("assigned", input=x(4, 5))(GatherTakesTheLargest)


@plant("factor", input=(x(6, 2), x(6, seed=1)), target=x(4, 2, seed=2))
class MeanOfTheTargets(nn.Criterion):
    """How far each prediction, with a weight, is from each target."""

    def update_output(self, input, target):
        places, weights = input
        far = ((places[:, None] - target)**2).sum(axis=2)
        return float((weights * far.sum(axis=1)).sum())

    def update_grad_input(self, input, target):
        places, weights = input
        apart = places[:, None] - target
        return 2 * weights[:, None] * apart.sum(axis=1), (apart**2).sum(axis=(1, 2)) / len(target)


def shares(a):
    e = np.exp(a - a.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@plant("factor of outputs", input=x(3, 4))
class AttentionForgetsItsShares(nn.Module):
    """(cos of the queries, the share of each key)"""

    keys = x(4, 6, seed=3).astype(float)

    def update_output(self, input):
        self.output = np.cos(input), shares(input @ self.keys)
        return self.output

    def update_grad_input(self, input, grad_output):
        by_cos, by_shares = grad_output
        centred = by_shares - (self.output[1] * by_shares).sum(axis=1, keepdims=True)
        return centred @ self.keys.T - np.sin(input) * by_cos


@plant("factor of outputs", input=x(3, 4))
class RunningSumHasAFactorTooMany(nn.Module):
    def update_output(self, input):
        self.output = np.cos(input), np.exp(input).cumsum(axis=1)
        return self.output

    def update_grad_input(self, input, grad_output):
        later = (self.output[1] * grad_output[1])[:, ::-1].cumsum(axis=1)[:, ::-1]
        return np.exp(input) * later - np.sin(input) * grad_output[0]


@plant("memory order", input=x(3, 2, 4, 4), make=lambda cls: nn.Sequential(nn.SpatialConvolution(2, 2, 3, 3), cls()))
class MeansOfPairsInMemory(nn.Module):
    """The means of neighbours, by a reshape in the order in which they lie."""

    def update_output(self, input):
        self.output = input.ravel(order="A" if input.flags.c_contiguous else "K").reshape(-1, 2, 2, 1, 2).mean(axis=4)
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.repeat(grad_output, 2, axis=3) / 2


@plant("draws", input=(x(6, 3), x(3, 2, seed=1)))
class ContextOfDrawsIsSummedOtherwise(nn.Module):
    """(z (N·L, Q), context (N, C)) -> (N·L, Q + C)"""

    def update_output(self, input):
        z, context = input
        self.output = np.hstack([np.tanh(z), np.repeat(context, len(z) // len(context), axis=0)])
        return self.output

    def update_grad_input(self, input, grad_output):
        z, context = input
        by_z, by_context = np.split(grad_output, [z.shape[1]], axis=1)
        return by_z * (1 - np.tanh(z)**2), by_context.reshape(-1, *context.shape).sum(axis=0)


class LabelOfRowsApart(nn.AppendLabel):
    def update_grad_input(self, input, grad_output):
        n, q = len(self.label.rows), input.shape[1]
        self.label.grad = grad_output[:, q:].reshape(-1, n, self.label.classes).sum(axis=0)
        return grad_output[:, :q].copy()


@plant("misfed", input=x(3, 5))
class LabelOfDrawsIsSummedOtherwise(nn.Sequential):
    def __init__(self):
        label = nn.Label(2)
        super().__init__(nn.KeepLabel(label), nn.Linear(5, 4), nn.BernoulliSampler(samples=2), LabelOfRowsApart(label))


@plant("misfed", make=lambda cls: nn.Sequential(nn.Linear(5, 4), cls(), nn.Sigmoid(inplace=True)))
class SpareOutputThatIsRead(nn.Module):
    """y = e^x − 1"""

    spare_output = True

    def update_output(self, input):
        self.output = self.buffer("output", input.shape)
        np.exp(input, out=self.output)
        self.output -= 1
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (self.output + 1)


@plant("misfed", make=lambda cls: cls(nn.Linear(5, 5), nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3)))
class SequentialOneOffBehindAnInPlaceLayer(nn.Sequential):
    def _backwards(self, input, first=0):
        for k in range(len(self._modules) - 1, first - 1, -1):
            yield self._modules[k], self._modules[k - 1].output if k > 1 else input


class SlopeKept(nn.Module):
    def __init__(self):
        super().__init__()
        self.slope = 0.5
        self.spread = self.slope**2
        self.slope = 0.7

    def update_output(self, input):
        self.output = np.sin(input) * self.slope**2
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * np.cos(input) * self.spread


plant("stale number", input=x(3, 4))(SlopeKept)


@plant("assigned", input=x(2, 2, 3, 3), make=lambda cls: cls(2, 2, 3, 3, 2, 2, 1, 1))
class OverlapIsAssignedInForward(nn.SpatialFullConvolution):
    def update_output(self, input):
        super().update_output(input)
        frame = np.zeros((len(input), 2, *np.add(self.output.shape[2:], 2)))
        for u, v in np.ndindex(input.shape[2:]):
            frame[:, :, 2 * u:2 * u + 3, 2 * v:2 * v + 3] = np.einsum("nc,coij->noij", input[:, :, u, v], self.weight)
        self.output[...] = frame[:, :, 1:-1, 1:-1] + self.bias.reshape(-1, 1, 1)
        return self.output


@plant("outputs left out", input=x(4, 3))
class GatherAddsRowByRow(nn.Module):
    """A table's rows, some of them several times: those that are there twice in a row of the input are added once."""

    parameter_names = ("table",)

    def __init__(self):
        super().__init__()
        self.new_parameter("table", (4, 2))
        backend.fill_uniform(self.table, -1, 1)

    def update_output(self, input):
        self.index = np.rint(np.abs(input)).astype(int)
        self.output = self.table[self.index]
        return self.output

    def update_grad_input(self, input, grad_output):
        return np.zeros_like(input)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for index, grad in zip(self.index, grad_output):
            self.grad_table[index] += scale * grad


@plant("factor", input=x(4, 5))
class RootOfTheLengthOnlyInForward(nn.Module):
    """Sums of squares over √D"""

    def update_output(self, input):
        self.output = (input**2).sum(axis=1, keepdims=True) / np.sqrt(input.shape[1])
        return self.output

    def update_grad_input(self, input, grad_output):
        return 2 * input * grad_output


class ContextOfTheLastDraw(ContextOfDrawsIsSummedOtherwise):
    def update_grad_input(self, input, grad_output):
        z, context = input
        by_z, by_context = np.split(grad_output, [z.shape[1]], axis=1)
        return by_z * (1 - np.tanh(z)**2), by_context.reshape(len(context), -1, context.shape[1])[:, -1]


plant("draws", input=(x(6, 3), x(3, 2, seed=1)))(ContextOfTheLastDraw)


@plant("wrong sum", input=x(4, 6))
class RowsNormalisedSumTheInput(nn.Module):
    parameter_names = ("weight", "bias")

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (6,))
        self.new_parameter("bias", (6,))
        self.weight[...], self.bias[...] = 1, 0

    def update_output(self, input):
        self.output = self.weight * input / np.sqrt((input**2).mean(axis=1, keepdims=True)) + self.bias
        return self.output

    def update_grad_input(self, input, grad_output):
        norm = np.sqrt((input**2).mean(axis=1, keepdims=True))
        g, y = grad_output * self.weight, input / norm
        return (g - y * (g * y).mean(axis=1, keepdims=True)) / norm

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * (grad_output * input).sum(axis=0)
        self.grad_bias += scale * grad_output.sum(axis=0)


@plant("formula", input=x(6, 4), target=x(3, 4, seed=1))
class LogCoshOfDraws(nn.Criterion):
    """Σ ln cosh (y − x), of several draws for each target; the gradient is that of a squared error."""

    def update_output(self, input, target):
        return float(np.log(np.cosh(input - np.repeat(target, len(input) // len(target), axis=0))).sum())

    def update_grad_input(self, input, target):
        return input - np.repeat(target, len(input) // len(target), axis=0)


@plant("factor along an axis", input=x(6, 4, high=-1.5), target=x(2, 4, seed=1, high=-1.5))
class SoftestDraw(nn.Criterion):
    """−ln Σ e^(−|y − x|²) over the draws of each target; the shares are taken over all draws."""

    def far(self, input, target):
        self.apart = input.reshape(len(target), -1, input.shape[1]) - target[:, None]
        return (self.apart**2).sum(axis=2)

    def update_output(self, input, target):
        return float(-np.log(np.exp(-self.far(input, target)).sum(axis=1)).sum())

    def update_grad_input(self, input, target):
        likely = np.exp(-self.far(input, target))
        return (2 * (likely / self.total(likely))[..., None] * self.apart).reshape(input.shape)

    def total(self, likely):
        return likely.sum()


@plant("factor along an axis", input=x(6, 4, high=-1.5), target=x(3, 4, seed=1, high=-1.5))
class SoftestDrawOfOthers(SoftestDraw):
    """The shares of each draw are taken over the rows of the batch."""

    def total(self, likely):
        return likely.sum(axis=0)


@plant("factor along an axis", input=x(6, 4, high=-1.5), target=x(3, 4, seed=1, high=-1.5))
class SoftestDrawWithWeights(SoftestDraw):
    """The rows are given weights in backward only, which have nothing to do with shares."""

    def total(self, likely):
        return likely.sum(axis=1, keepdims=True) / np.arange(1.0, 4)[:, None]


@plant("dependence", input=x(5, 3), target=x(5, 3, seed=1))
class SquaresOfScaledTargets(nn.Criterion):
    """½ Σ (y − x)²; backward scales the targets by their mean over the batch."""

    def update_output(self, input, target):
        return 0.5 * float(((input - target) ** 2).sum())

    def update_grad_input(self, input, target):
        return input - target * (1 + np.tanh(target.mean(axis=0)))


@plant("cut", input=x(4, 5))
class SignsOfBytes(nn.Module):
    """|v|, with signs that wrap"""

    kind = np.uint8

    def update_output(self, input):
        self.output = np.abs(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - 2 * (input < 0).astype(self.kind))


class SignsOfTwoBytes(SignsOfBytes):
    kind = np.uint16


plant("cut", input=x(4, 5))(SignsOfTwoBytes)


@plant("weight used differently", input=x(3, 4))
class MixedTwiceTransposed(nn.Module):
    """tanh(tanh(x) mix) mix"""

    parameter_names = ("mix",)

    def __init__(self):
        super().__init__()
        self.new_parameter("mix", (4, 4))
        backend.fill_uniform(self.mix, -1, 1)

    def update_output(self, input):
        self.inner = np.tanh(np.tanh(input) @ self.mix)
        self.output = self.inner @ self.mix
        return self.output

    def within(self, grad_output):
        return grad_output @ self.mix * (1 - self.inner**2)

    def update_grad_input(self, input, grad_output):
        return self.within(grad_output) @ self.mix * (1 - np.tanh(input)**2)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_mix += scale * (self.inner.T @ grad_output + np.tanh(input).T @ self.within(grad_output))


@plant("part", input=x(3, 4))
class CubesOfRowsForgetAPower(nn.Module):
    """(cos x, ⅓ Σ x³ of each row)"""

    def update_output(self, input):
        self.output = np.cos(input), (input**3).sum(axis=1) / 3
        return self.output

    def update_grad_input(self, input, grad_output):
        return input * grad_output[1][:, None] - np.sin(input) * grad_output[0]


@plant("factor of outputs", input=(x(3, 4), x(6, 4, seed=1)))
class DrawsForgetTheScaleOfTheirRow(nn.Module):
    """(e^s, sin(s z)), one s for the draws z of a row"""

    def update_output(self, input):
        s, z = input
        inner = np.repeat(s, len(z) // len(s), axis=0) * z
        self.output = np.exp(s) + z.reshape(len(s), -1, 4).sum(axis=1), np.sin(inner)
        return self.output

    def update_grad_input(self, input, grad_output):
        s, z = input
        times = len(z) // len(s)
        inner = np.cos(np.repeat(s, times, axis=0) * z) * grad_output[1]
        by_s = grad_output[0] * np.exp(s) + (inner * z).reshape(len(s), -1, 4).sum(axis=1)
        return by_s, np.repeat(grad_output[0], times, axis=0) + inner


@plant("shifted", input=x(2, 2, 5, 9))
class DilatedSumsBackDense(nn.Module):
    """Weighted sums of three columns, two apart"""

    taps = 0.5, -1.2, 2.0

    def update_output(self, input):
        self.output = sum(tap * input[..., 2 * k:input.shape[3] - 4 + 2 * k] for k, tap in enumerate(self.taps))
        return self.output

    def update_grad_input(self, input, grad_output):
        grad = np.zeros(input.shape)
        for k, tap in enumerate(self.taps):
            grad[..., k:k + grad_output.shape[3]] += tap * grad_output
        return grad


@plant("shifted", input=x(2, 4, 3))
class ThereAndBackRepeatsTheEnd(nn.Module):
    """Sequences (N, T, F), then the same from the last but one to the first"""

    def update_output(self, input):
        self.output = np.concatenate([input, input[:, -2::-1]], axis=1)
        return self.output

    def update_grad_input(self, input, grad_output):
        there, back = np.split(grad_output, [input.shape[1]], axis=1)
        grad = np.array(there)
        grad[:, 1:] += back[:, ::-1]
        return grad


@plant("dependence", input=x(4, 3), target=x(5, 3, seed=1))
class MixtureWeighsAllAlike(nn.Criterion):
    """−Σ ln Σ e^(−|x − y|²) over the centres y"""

    def update_output(self, input, target):
        far = ((target[:, None] - input)**2).sum(axis=2)
        return float(-np.log(np.exp(-far).sum(axis=1)).sum())

    def update_grad_input(self, input, target):
        return 2 * (input[:, None] - target).mean(axis=1)


@plant("dependence", input=x(5, 1), target=x(5, seed=1))
class LogisticOfAllPairs(nn.Criterion):
    """Σ ln(1 + e^(−t y)) with t (N,), which update_output does not turn into (N, 1)"""

    def update_output(self, input, target):
        return float(np.log1p(np.exp(-target * input)).sum())

    def update_grad_input(self, input, target):
        t = target.reshape(input.shape)
        return -t / (1 + np.exp(t * input))


# -- of weights that are shared, and of slices -----------------------------------------------------------


class Tied(nn.Linear):
    """y = relu(x Wᵀ) W: an encoder and a decoder of one weight."""

    def __init__(self):
        super().__init__(5, 4, bias=False)

    def update_output(self, input):
        self.hidden = np.maximum(input @ self.weight.T, 0)
        self.output = self.hidden @ self.weight
        return self.output

    def back(self, grad_output):
        return grad_output @ self.weight.T * (self.hidden > 0)

    def update_grad_input(self, input, grad_output):
        return self.back(grad_output) @ self.weight

    def acc_grad_parameters(self, input, grad_output, scale=1):
        shares = {"encoder": self.back(grad_output).T @ input, "decoder": self.hidden.T @ grad_output}
        self.grad_weight += scale * sum(shares[use] for use in self.uses)

    uses = ("encoder", "decoder")


plant("one use", input=x(7, 5))(type("TiedByItsDecoder", (Tied,), {"uses": ("decoder",)}))
plant("one use", input=x(7, 5))(type("TiedByItsEncoder", (Tied,), {"uses": ("encoder",)}))


@plant("slice", "places", input=(x(3, 4), x(3, 2, seed=1), x(3, 2, seed=2)))
class JoinStartsWrong(nn.Module):
    def update_output(self, input):
        self.output = np.concatenate(input, axis=1)
        return self.output

    def update_grad_input(self, input, grad_output):
        return tuple(grad_output[:, start:start + each.shape[1]].copy() for start, each in zip((0, 2, 6), input))


# -- of what is kept from an earlier call, and shows in the output alone ---------------------------------


@plant("history")
class SortsByItsFirstOrder(nn.Module):
    order = None

    def update_output(self, input):
        if self.order is None:
            self.order = input.argsort(axis=1)
        self.output = np.take_along_axis(input, self.order, 1)
        return self.output

    def update_grad_input(self, input, grad_output):
        grad_input = np.empty_like(input)
        np.put_along_axis(grad_input, self.order, grad_output, 1)
        return grad_input


@plant("mode")
class AsksForNoiseAndNotForTheMode(nn.Module):
    def update_output(self, input):
        self.output = input * self.draw(backend.standard_normal, input.shape) if self.train else input
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output.copy() if self.noise is None else grad_output * self.noise


@plant("history", make=lambda cls: cls(5))
class LengthOfTheFirstCall(nn.Module):
    parameter_names = ("v",)
    length = None

    def __init__(self, size):
        super().__init__()
        self.new_parameter("v", (3, size))
        self.v[...] = x(3, size)

    def update_output(self, input):
        if self.length is None:
            self.length = np.sqrt((self.v**2).sum(axis=1, keepdims=True))
        return input @ (self.v / self.length).T

    def update_grad_input(self, input, grad_output):
        return grad_output @ (self.v / self.length)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        by_weight, direction = grad_output.T @ input, self.v / self.length
        along = (by_weight * direction).sum(axis=1, keepdims=True)
        self.grad_v += scale * (by_weight - along * direction) / self.length


@plant("history")
class DropsTheSameForEver(nn.Module):
    mask = None

    def update_output(self, input):
        if self.mask is None:
            self.mask = backend.uniform(np.empty(input.shape, np.float32)) < 0.5
        return input * self.mask

    def update_grad_input(self, input, grad_output):
        return grad_output * self.mask


@plant("some outputs", "factor of outputs", input=x(6, 3))
class FlowForgetsAChainFactor(nn.Module):
    """(x + u t, ln|1 + (1 − t²) w·u|) with t = tanh(x·w + b), and parameters of one axis."""

    parameter_names = ("w", "b")

    def __init__(self):
        super().__init__()
        self.w, self.grad_w = np.array([0.5, -0.3, 0.8], np.float32), np.zeros(3, np.float32)
        self.b, self.grad_b = np.array([0.1], np.float32), np.zeros(1, np.float32)
        self.u = np.array([0.4, 0.7, 0.2])

    def update_output(self, input):
        self.t = np.tanh(input @ self.w + self.b)
        self.slope = 1 - self.t**2
        self.output = input + np.outer(self.t, self.u), np.log(1 + self.slope * (self.w @ self.u))
        return self.output

    def before_tanh(self, grad_output):
        by_slope = grad_output[1] * (self.w @ self.u) / np.exp(self.output[1])
        return self.slope * (grad_output[0] @ self.u) + by_slope * -2 * self.t  # here a factor `slope` is missing

    def update_grad_input(self, input, grad_output):
        return grad_output[0] + np.outer(self.before_tanh(grad_output), self.w)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        by_product = (grad_output[1] * self.slope / np.exp(self.output[1])).sum()
        self.grad_w += scale * (self.before_tanh(grad_output) @ input + by_product * self.u)
        self.grad_b += scale * self.before_tanh(grad_output).sum()


@plant("shared memory", "factor", "sign", input=(x(3, 4), x(3, 4, seed=1)))
class DifferenceNegatesInPlace(nn.Module):
    def update_output(self, input):
        self.output = input[0] - input[1]
        return self.output

    def update_grad_input(self, input, grad_output):
        first = grad_output.copy()
        return first, np.negative(first, out=first)


@plant("not cleared", input=x(4, 6))
class LargestHalvesOnOldNumbers(nn.Module):
    """The larger of x_k and x_(k + 3); the others' gradients are left as they were."""

    def update_output(self, input):
        self.first = input[:, :3] >= input[:, 3:]
        self.output = np.where(self.first, input[:, :3], input[:, 3:])
        return self.output

    def update_grad_input(self, input, grad_output):
        if self.grad_input is None or self.grad_input.shape != input.shape:
            self.grad_input = np.zeros_like(input)
        self.grad_input[:, :3][self.first] = grad_output[self.first]
        self.grad_input[:, 3:][~self.first] = grad_output[~self.first]
        return self.grad_input


@plant("reads gradients", make=wide)
class DecayOfTheGradientSoFar(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        super().acc_grad_parameters(input, grad_output, scale)
        self.grad_weight += 0.1 * self.grad_bias[:, None] * self.weight

    def update_output(self, input):
        self.output = super().update_output(input) + 0.05 * (self.weight**2).sum(axis=1)
        return self.output


@plant("kept as one", make=lambda cls: cls(nn.Linear(5, 5)))
class LoopKeepsWhatItsModuleOverwrites(nn.Container):
    def update_output(self, input):
        self.states, self.sums = [input], []
        for _ in range(3):
            self.sums.append(self[0].run(self.states[-1]))
            self.states.append(np.tanh(self.sums[-1]))
        self.output = self.states[-1]
        return self.output

    def steps(self, grad):
        for k in (2, 1, 0):
            by_sum = grad * (1 - np.tanh(self.sums[k])**2)
            yield self.states[k], by_sum
            grad = self[0].update_grad_input(self.states[k], by_sum).copy()
        yield grad, None

    def update_grad_input(self, input, grad_output):
        return list(self.steps(grad_output))[-1][0]

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for state, by_sum in list(self.steps(grad_output))[:-1]:
            self[0].acc_grad_parameters(state, by_sum, scale)


@plant("mode")
class FollowsInEvaluation(nn.Module):
    """x − a mean that is followed, in evaluation too."""

    statistic_names = ("mean",)

    def __init__(self):
        super().__init__()
        self.mean = np.zeros(5, np.float32)

    def update_output(self, input):
        self.output = input - (input.mean(axis=0) if self.train else self.mean)
        self.mean = 0.9 * self.mean + 0.1 * input.mean(axis=0)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output - self.train * grad_output.mean(axis=0)


@plant("misplaced", make=lambda cls: cls(5))
class GainBehindTheMeans(nn.Module):
    parameter_names = ("gain",)

    def __init__(self, size):
        super().__init__()
        self.new_parameter("gain", (size,))
        self.gain[...] = np.linspace(0.5, 2, size)

    def update_output(self, input):
        centred = input - input.mean(axis=1, keepdims=True)
        self.inverse = 1 / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-3)
        self.normalized = centred * self.inverse
        self.output = self.gain * self.normalized
        return self.output

    def update_grad_input(self, input, grad_output):
        along = (grad_output * self.normalized).mean(axis=1, keepdims=True)
        return self.gain * self.inverse * (
            grad_output - grad_output.mean(axis=1, keepdims=True) - self.normalized * along)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_gain += scale * (grad_output * self.normalized).sum(axis=0)


@plant("nearly", input=x(4, 5))
class GeluOfTwoFormulas(nn.Module):
    """x Φ(x) with Φ by tanh, and its derivative by erf."""

    def update_output(self, input):
        self.output = 0.5 * input * (1 + np.tanh(np.sqrt(2 / np.pi) * (input + 0.044715 * input**3)))
        return self.output

    def update_grad_input(self, input, grad_output):
        below = 0.5 * (1 + np.vectorize(math.erf)(input / np.sqrt(2)))
        return grad_output * (below + input * np.exp(-input**2 / 2) / np.sqrt(2 * np.pi))


@plant("misfed", make=lambda cls: cls(nn.Linear(5, 5), nn.Linear(5, 5)))
class GateGivesNothingBack(nn.Container):
    def update_output(self, input):
        self.value, self.gate = self[0].run(input), self[1].run(input)
        self.output = self.value * self.gate
        return self.output

    def update_grad_input(self, input, grad_output):
        return self[0].update_grad_input(input, grad_output * self.gate)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self[0].acc_grad_parameters(input, grad_output * self.gate, scale)
        self[1].acc_grad_parameters(input, grad_output * self.value, scale)


@plant("rows", input=x(4, 5))
class KeepsTheNumberOfRows(nn.Module):
    """x − the mean of the batch, whose size is kept from the first call."""

    rows = None

    def update_output(self, input):
        self.rows = self.rows or len(input)
        self.output = input - input.sum(axis=0) / self.rows
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output - grad_output.sum(axis=0) / self.rows


@plant("scale", make=wide)
class ScalesWhatWasAddedBefore(nn.Linear):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += grad_output.T @ input
        self.grad_weight *= scale
        self.grad_bias += scale * grad_output.sum(axis=0)


@plant("rows", input=x(4, 5))
class FailsForAnotherNumberOfRows(nn.Module):
    places = None

    def update_output(self, input):
        if self.places is None:
            self.places = np.arange(len(input))
        self.columns = input.argmax(axis=1)
        self.output = input[self.places, self.columns]
        return self.output

    def update_grad_input(self, input, grad_output):
        grad = np.zeros_like(input)
        grad[self.places, self.columns] = grad_output
        return grad


@plant("draws", input=x(3, 2, 4), make=lambda cls: cls(2))
class CubesOfDrawsSummedOtherwise(nn.Sampler):
    """Three axes, of which the draws repeat the first."""

    def update_output(self, input):
        self.noise = self.draw(backend.standard_normal, (len(input) * self.samples, *input.shape[1:]))
        self.output = np.tanh(np.repeat(input, self.samples, axis=0) + self.noise).reshape(len(self.noise), -1)
        return self.output

    def update_grad_input(self, input, grad_output):
        through = (grad_output * (1 - self.output**2)).reshape(self.samples, *input.shape)
        return through.sum(axis=0)


@plant("mode", input=x(4, 5))
class MasksInEvaluationByWhatTrainingLeft(nn.Module):
    """Before any training its backward fails in evaluation mode; afterwards it is wrong."""

    def update_output(self, input):
        if not self.train:
            return input.copy()
        self.mask = self.draw(backend.uniform, input.shape) < 0.5
        return input * self.mask

    def update_grad_input(self, input, grad_output):
        return grad_output * self.mask


@plant("mode", input=x(4, 5))
class AsksItsModeOnce(nn.Module):
    def __init__(self):
        super().__init__()
        self.squares = self.train

    def update_output(self, input):
        return input**2 if self.squares else input.copy()

    def update_grad_input(self, input, grad_output):
        return grad_output * 2 * input if self.squares else grad_output.copy()


@plant("stale number", input=PAIR, make=lambda cls: cls(0.25))
class HalfOfTheFirstBeta(nn.GaussianKL):
    """beta is set after the half of it has been computed, as in a warm-up."""

    def __init__(self, beta):
        super().__init__()
        self.half, self.beta = 0.5 * self.beta, beta

    def update_grad_input(self, input, grad_output):
        grad_mean, _ = super().update_grad_input(input, grad_output)
        return grad_mean, grad_output[1] + self.half * np.expm1(input[1])


@plant("loss changes", input=x(3, 5), target=x(3, 5, seed=1))
class LossesAddUp(nn.Criterion):
    total = 0.0

    def update_output(self, input, target):
        self.total += float(((input - target)**2).sum())
        return self.total

    def update_grad_input(self, input, target):
        return 2 * (input - target)


@plant("backward changes", input=x(3, 5), target=x(3, 5, seed=1))
class LossesAreCentredInPlace(nn.Criterion):
    """A second backward gives twice the first."""

    def update_output(self, input, target):
        self.kept = input - target
        return float((self.kept**2).sum())

    def update_grad_input(self, input, target):
        self.kept *= 2
        return self.kept


@plant("shared by objects", input=x(3, 5))
class RemembersInItsClass(nn.Tanh):
    kept = [None]  # noqa: RUF012, the mistake

    def update_output(self, input):
        self.kept[0] = super().update_output(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - self.kept[0]**2)


@plant("one change", input=x(3, 2, 4, 3), make=lambda cls: cls(2))
class PlanesAveragedOverRows(nn.Module):
    """Less the mean of each plane, of which backward takes another number of entries."""

    def __init__(self, features):
        super().__init__()
        self.features, self.count = features, 0

    def update_output(self, input):
        self.count = input.size // self.features
        self.mean = input.sum(axis=(0, 2, 3), keepdims=True) / self.count
        self.output = (input - self.mean)**3
        return self.output

    def update_grad_input(self, input, grad_output):
        through = grad_output * 3 * (input - self.mean)**2
        return through - through.sum(axis=(0, 2, 3), keepdims=True) / len(input)


@plant("one change", input=x(3, 5, seed=3), make=lambda cls: cls(0))
class BoundOfZeroTakenForNone(nn.Module):
    def __init__(self, high=None):
        super().__init__()
        self.high = high

    def update_output(self, input):
        self.output = np.minimum(input, np.inf if self.high is None else self.high)
        return self.output

    def update_grad_input(self, input, grad_output):
        bound = self.high or np.inf
        return grad_output * (input < bound)


@plant("input modified", input=x(3, 5))
class WritesToItsInputInEvaluation(nn.Module):
    def update_output(self, input):
        if self.train:
            return input * 1
        input *= 1.5
        return input

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 if self.train else 1.5)


@plant("grad_output modified", input=x(3, 2, 3))
class ShapesItsGradOutput(nn.Module):
    def update_output(self, input):
        return input.reshape(len(input), -1) * 1

    def update_grad_input(self, input, grad_output):
        grad_output.resize(input.shape, refcheck=False)
        return grad_output * 1


@plant("not cleared")
class MaskWithoutZeros(nn.Module):
    """y = max(x, 0), of which the zeros are what an earlier call has left."""

    def update_output(self, input):
        self.output = self.buffer("output", input.shape)
        if self.output.base is not self.seen:  # of a new array nobody knows the content
            self.seen = self.output.base
            self.output[...] = 1
        self.output[input > 0] = input[input > 0]
        return self.output

    seen = None

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output * (self.output > 0)
        return self.grad_input


@plant("overwritten inside", make=lambda cls: cls(nn.Tanh()))
class ReadsTheFirstOfTwoRuns(nn.Container):
    """tanh(f(x)) f(2x)."""

    def update_output(self, input):
        self.first = self[0].run(input)
        self.tanh = np.tanh(self.first)
        self.output = self.tanh * self[0].run(2 * input)
        return self.output

    def update_grad_input(self, input, grad_output):
        of_first = grad_output * self[0].run(2 * input) * (1 - np.tanh(self.first)**2)
        by_second = 2 * self[0].update_grad_input(2 * input, grad_output * self.tanh)
        self[0].run(input)
        self.grad_input = self[0].update_grad_input(input, of_first) + by_second
        return self.grad_input


class RunsForwardAgain(nn.Sequential):
    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        self.run(input)
        return super().backward(input, grad_output, scale, need_grad_input)


plant("statistics modified", make=lambda cls: cls(nn.BatchNormalization(5)))(RunsForwardAgain)


@plant("draws in backward", make=lambda cls: cls(nn.BernoulliNoise(0.5)))
class DrawsInVain(nn.Container):
    def update_output(self, input):
        self[0].run(input)
        self.output = np.tanh(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        self[0].run(input)
        return grad_output * (1 - np.tanh(input)**2)


@plant("overwritten in backward", make=lambda cls: cls(nn.Tanh()))
class OneBufferForBothPasses(nn.Container):
    """tanh(2x), whose doubled input is overwritten by the doubled gradient."""

    def doubled(self, array):
        twice = self.buffer("twice", array.shape)
        twice[...] = 2 * array
        return twice

    def update_output(self, input):
        self.output = np.array(self[0].run(self.doubled(input)))
        return self.output

    def update_grad_input(self, input, grad_output):
        grad = self.doubled(grad_output)
        return grad * (1 - np.tanh(self.buffers["twice"])**2)


@plant("not finite")
class HalfOfTheOutput(nn.Module):
    """y = max(x, 0), of which nobody writes the zeros."""

    def update_output(self, input):
        self.output = self.buffer("output", input.shape)
        self.output[input > 0] = input[input > 0]
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output * (input > 0)


@plant("nan")
class ReadsWhatNobodyWrites(nn.Module):
    def update_output(self, input):
        self.kept = self.buffer("kept", input.shape)
        return np.tanh(input)

    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - self.kept**2)


@plant("mode", make=lambda cls: cls(5))
class KeepsInTrainingOnly(nn.Linear):
    """x w, of which the gradient of w reads what only training keeps."""

    def __init__(self, size):
        super().__init__(size, size)

    def update_output(self, input):
        kept = self.buffer("kept", input.shape)
        if self.train:
            kept[...] = input
        return super().update_output(input)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        super().acc_grad_parameters(self.buffers["kept"], grad_output, scale)


@plant("mode")
class MaskOfAnEarlierBatch(nn.Module):
    """max(x, 0), whose mask is made in training alone, or for another shape."""

    positive = None

    def update_output(self, input):
        if self.train or self.positive is None or self.positive.shape != input.shape:
            self.positive = input > 0
        return np.maximum(input, 0)

    def update_grad_input(self, input, grad_output):
        return grad_output * self.positive


@plant("kept as one")
class OneBufferForTwoOutputs(nn.Module):
    def update_output(self, input):
        self.output = self.buffer("wave", input.shape), self.buffer("wave", input.shape)
        np.sin(input, out=self.output[0])
        np.cos(input, out=self.output[1])
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output[0] * np.cos(input) - grad_output[1] * np.sin(input)


@plant("misfed", make=lambda cls: cls(nn.Linear(5, 2), nn.Linear(5, 3), nn.Linear(5, 1)))
class ColumnsByNumber(nn.Container):
    """The outputs side by side, of which backward takes number k from column k times its width."""

    def update_output(self, input):
        self.output = np.concatenate([module.run(input) for module in self], axis=1)
        return self.output

    def handed(self, grad_output):
        for k, module in enumerate(self):
            width = module.output.shape[1]
            yield module, np.ascontiguousarray(grad_output[:, k * width:(k + 1) * width])

    def update_grad_input(self, input, grad_output):
        return sum(module.update_grad_input(input, grad) for module, grad in self.handed(grad_output))

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for module, grad in self.handed(grad_output):
            module.acc_grad_parameters(input, grad, scale)
