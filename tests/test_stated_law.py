"""Draws beside those of a law that is stated as a function: right ones pass, others are told apart and described."""

from functools import partial

import numpy as np
import pytest

from minivae import backend, nn
from minivae.debug import check_noise
from minivae.errors import OptionError, ShapeError


class Drawn(nn.Module):
    """What a function makes of the input, u and ε."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def update_output(self, input):
        if not self.train:
            return input
        u = self.draw(backend.uniform, input.shape)
        return self.make(input, u, backend.host_generator().standard_normal(u.shape))


LAWS = {  # name: (the law, a right layer's formula, a wrong one's, what is said of it)
    "dropout": (lambda x, g: x * (g.random(x.shape) < 0.8) / 0.8, lambda x, u, e: x * (u < 0.8) / 0.8,
                lambda x, u, e: x * (u < 0.7) / 0.7, "by the law"),
    "Laplace": (lambda x, g: x + g.laplace(0, 0.5, x.shape),
                lambda x, u, e: x - 0.5 * np.sign(u - 0.5) * np.log(1 - 2 * np.abs(u - 0.5)),
                lambda x, u, e: x - np.sign(u - 0.5) * np.log(1 - 2 * np.abs(u - 0.5)),
                "the draws have the shape of the law, and about 2 times its spread"),
    "Cauchy": (lambda x, g: x + g.standard_cauchy(x.shape), lambda x, u, e: x + np.tan(np.pi * (u - 0.5)),
               lambda x, u, e: x + np.tan(np.pi * (u - 0.5)) / 2, "by the law"),
    "moved": (lambda x, g: x + g.standard_normal(x.shape), lambda x, u, e: x + e, lambda x, u, e: x + e + 0.3,
              "the draws have the shape of the law, and means moved by about 0.3"),
    "another shape": (lambda x, g: x + g.logistic(0, 1, x.shape), lambda x, u, e: x + np.log(u / (1 - u)),
                      lambda x, u, e: x + np.pi / np.sqrt(3) * e, "the draws look normal, and the law logistic"),
    "one for a row": (lambda x, g: x * (1 + g.standard_normal((len(x), 1))), lambda x, u, e: x * (1 + e[:, :1]),
                      lambda x, u, e: x * (1 + e),
                      "by the law the units 0, 1, 2, 3 of a row share one draw, and here they do not"),
    "one for each": (lambda x, g: x * (1 + g.standard_normal(x.shape)), lambda x, u, e: x * (1 + e),
                     lambda x, u, e: x * (1 + e[:, [0, 1, 2, 1]]),
                     "here the units 1, 3 of a row share one draw, and by the law they do not"),
    "a square of another": (lambda x, g: x + g.standard_normal(x.shape), lambda x, u, e: x + e,
                            lambda x, u, e: x + np.concatenate([e[:, :1] * np.sign(u), e[:, 1:]], axis=1)[:, :4],
                            "product of squares"),
    "a whole number": (lambda x, g: x + g.poisson(2, x.shape), lambda x, u, e: x + backend.host_generator().poisson(
        2, x.shape), lambda x, u, e: x + np.round(2 + np.sqrt(2) * e), "by the law"),
}


@pytest.mark.parametrize("name", LAWS)
def test_a_law(name):
    law, right, wrong, said = LAWS[name]
    assert check_noise(Drawn(right), law).ok
    report = check_noise(Drawn(wrong), law, changes=False)
    assert not report.ok and said in " ".join([*report.findings, *(each.name for each in report.wrong())]), report


def test_the_false_alarm_rate_is_what_it_says():
    """At a rate of 0.3 for all statistics together right layers fail in at most 30 % of 200 checks, and in some."""
    failed = sum(not check_noise(Drawn(right), law, draws=4000, seed=seed, false_alarm=0.3, changes=False).ok
                 for law, right, _, _ in list(LAWS.values())[:4] for seed in range(50))
    assert 4 < failed < 200 * 0.3 + 5 * np.sqrt(200 * 0.3 * 0.7)


def test_a_table_with_planes_and_a_constant():
    input = np.ones((2, 3, 2, 2)), np.array([[0.5, 2.0], [1.0, 1.0]])

    class Both(nn.Module):
        def update_output(self, input):
            planes, rows = input
            return planes * self.draw(backend.standard_normal, (*planes.shape[:2], 1, 1)), rows

    def law(table, generator, factor=1):
        return table[0] * generator.standard_normal((len(table[0]), 3, 1, 1)), factor * table[1]

    assert check_noise(Both(), law, input=input, draws=20_000).ok
    report = check_noise(Both(), partial(law, factor=2), input=input, draws=20_000, changes=False)
    assert report.findings == ["the mean of unit 13 is 2, and by the law 4"], report


def test_bad_laws_are_told():
    with pytest.raises(ShapeError, match="its output has 4 numbers, and a row of the law 2: both must be equal"):
        check_noise(nn.GaussianNoise(1), lambda x, generator: x[:, :2])
    with pytest.raises(OptionError, match="or a function"):
        check_noise(nn.GaussianNoise(1), "dropout")


class MeanSlope(nn.Module):
    """x times a slope that is drawn between 0 and ½, in evaluation its mean; with `noisy` it goes on to be drawn."""

    noisy = False

    def update_output(self, input):
        slope = self.draw(backend.uniform, input.shape) / 2 if self.train or self.noisy else 0.25
        return input * slope


class SlopeThatIsDrawnAlways(MeanSlope):
    noisy = True


def test_what_evaluation_gives_where_the_law_has_another_mean():
    def law(x, generator):
        return x * generator.random(x.shape) / 2

    assert check_noise(MeanSlope(), law).ok
    assert "in evaluation mode two calls differ" in str(check_noise(SlopeThatIsDrawnAlways(), law, changes=False))
