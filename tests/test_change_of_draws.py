"""The one change of a random layer's source by which its draws are right, quoted."""

import ast
import inspect

import numpy as np
import pytest

from minivae import backend, nn
from minivae.debug import check_noise, check_sampler
from minivae.debug.source_edits import change_of_draws, edited_code
from minivae.debug.source_edits import edits as edit_module


@pytest.fixture(autouse=True)
def no_end(monkeypatch):
    """A slow processor finds the same as a fast one."""
    monkeypatch.setattr(change_of_draws, "SECONDS", float("inf"))


class Codes(nn.Sampler):
    """mean + e^(log_var / 2) ε, whose gradient is not looked at."""

    def update_output(self, input):
        mean, log_var = (np.repeat(each, self.samples, axis=0) for each in input)
        noise = self.draw(backend.standard_normal, mean.shape)
        return mean + np.exp(log_var / 2) * noise


class VarianceForStd(Codes):
    def update_output(self, input):
        mean, log_var = (np.repeat(each, self.samples, axis=0) for each in input)
        noise = self.draw(backend.standard_normal, mean.shape)
        return mean + np.exp(log_var) * noise


class NoiseOfOneRow(Codes):
    def update_output(self, input):
        mean, log_var = (np.repeat(each, self.samples, axis=0) for each in input)
        noise = self.draw(backend.standard_normal, (1, mean.shape[1]))
        return mean + np.exp(log_var / 2) * noise


class Tiled(Codes):
    def update_output(self, input):
        mean, log_var = (np.tile(each, (self.samples, 1)) for each in input)
        noise = self.draw(backend.standard_normal, mean.shape)
        return mean + np.exp(log_var / 2) * noise


class InAMethod(Codes):
    def update_output(self, input):
        mean, log_var = (np.repeat(each, self.samples, axis=0) for each in input)
        return mean + self.spread(log_var) * self.draw(backend.standard_normal, mean.shape)

    def spread(self, log_var):
        return np.exp(log_var * 2)


class Bits(nn.Sampler):
    """(a + ln u − ln(1 − u)) / T."""

    temperature = 0.5

    def update_output(self, input):
        a = np.repeat(input, self.samples, axis=0)
        u = self.draw(backend.uniform, a.shape)
        return a / self.temperature + np.log(u) - np.log(1 - u)


@pytest.mark.parametrize("make, kind, said", [
    (VarianceForStd, "gaussian", "`np.exp(log_var)` → `np.exp(log_var / 2)`"),
    (NoiseOfOneRow, "gaussian", " → `self.draw(backend.standard_normal, (len(mean), mean.shape[1]))`"),
    (lambda: Tiled(3), "gaussian", "`np.tile(each, (self.samples, 1))` → `np.repeat(each, self.samples, axis=0)`"),
    (InAMethod, "gaussian", "of spread, `np.exp(log_var * 2)` → `np.exp(log_var / 2)`"),
    (lambda: Bits(2), "bernoulli", " → `(a + np.log(u) - np.log(1 - u)) / self.temperature`"),
])
def test_a_change_makes_the_draws_right(make, kind, said):
    assert check_sampler(Codes(3), "gaussian", draws=20_000).findings == []
    *_, last = check_sampler(make(), kind, draws=20_000).findings
    method = getattr(type(make()), last.split(" of ")[1].split(",")[0])
    lines, first = inspect.getsourcelines(method)
    quoted = int(last.split("line ")[1].split()[0])
    assert last.startswith("one change makes the draws right: in line ") and said in last, last
    assert first < quoted < first + len(lines), "it names a line of that method"


def test_what_holds_by_chance_is_not_said(monkeypatch):
    """Of two draws a row, log_var / self.samples would do; the layer is tried with other numbers of its own, too."""
    by_draws = ast.parse("log_var / self.samples", mode="eval").body
    monkeypatch.setattr(edited_code, "edits", lambda tree, *_: [edit_module._everywhere(
        tree, lambda node: [by_draws] if ast.unparse(node) == "log_var" else [], 1)])
    for samples in (1, 2):
        said = check_sampler(VarianceForStd(samples), "gaussian", draws=20_000).findings
        assert len(said) == 1 and "σ² stands where σ belongs" in said[0]
    monkeypatch.setattr(edited_code.EditedCode, "with_other_numbers", lambda self: ())
    assert "`log_var / self.samples`" in check_sampler(
        VarianceForStd(2), "gaussian", draws=20_000).findings[-1]


@pytest.mark.parametrize("near, named", [("log_var / 1.98", False), ("log_var / 2", True)])
def test_what_is_right_by_luck_is_not_named(monkeypatch, near, named):
    """A variance that is off by 1 % shows in ten times as many draws alone."""
    edit = ast.parse(near, mode="eval").body
    monkeypatch.setattr(edited_code, "edits", lambda tree, *_: [edit_module._everywhere(
        tree, lambda node: [edit] if ast.unparse(node) == "log_var" else [], 1)])
    said = check_sampler(VarianceForStd(), "gaussian", draws=20_000).findings
    assert (f"`np.exp({near})`" in said[-1]) == named, said


class Dropout(nn.Module):
    def __init__(self, p):
        super().__init__()
        self.p = p

    def update_output(self, input):
        if not self.train:
            return input
        kept = self.draw(backend.uniform, input.shape) > self.p
        return input * kept / self.p


def test_a_law_that_is_stated(monkeypatch):
    def law(x, generator):
        return x * (generator.random(x.shape) >= 0.2) / 0.8

    report = check_noise(Dropout(0.2), law)
    assert "→ `input * kept / (1 - self.p)`" in report.findings[-1], report
    assert not any("one change" in text for text in check_noise(Dropout(0.2), law, changes=False).findings)
    monkeypatch.setattr(change_of_draws, "SECONDS", 0)
    assert not any("one change" in text for text in check_noise(Dropout(0.2), law).findings)


def test_where_no_change_may_be_looked_for():
    """Of a layer of minivae's the source is right; and what it should draw is not known of kind "other"."""
    class OneForAll(nn.Module):
        def update_output(self, input):
            return input + self.draw(backend.standard_normal, input.shape[1:])

    for report in (check_noise(OneForAll(), draws=20_000), check_noise(
            nn.GaussianNoise(0.5), lambda x, generator: x, draws=20_000)):
        assert not report.ok and not any("one change" in text for text in report.findings), report


def test_the_layer_is_left_as_it_was():
    layer = VarianceForStd(2)
    before = dict(vars(layer))
    check_sampler(layer, "gaussian", draws=20_000)
    assert type(layer) is VarianceForStd and vars(layer) == before


class DropsPixels(nn.Module):
    """Drops pixels with probability ½, where whole planes are to be dropped."""

    def update_output(self, input):
        return 2 * input * (self.draw(backend.uniform, input.shape) < 0.5) if self.train else input


def test_one_number_for_a_plane():
    def law(x, generator):
        return 2 * x * (generator.random((*x.shape[:2], 1, 1)) < 0.5)

    report = check_noise(DropsPixels(), law, input=np.ones((1, 2, 2, 2)), draws=8000)
    assert "`input.shape[:2] + (1,) * (input.ndim - 2)`" in str(report), report
    assert "the units 0, 1, 2, 3 of a row share one draw, and here they do not" in str(report)
