"""Checkpoints that somebody made to harm, through every verb: used, or refused in a line and in little memory."""

import io
import os
import re
import sys
import warnings

import numpy as np
import pytest
from few import few
from test_hostile import VALUES, members, mutant, npy, packed, with_header

from minivae import backend, checkpoint, figures
from minivae.cli import main, pictures, step, training_run
from minivae.training import Training

VERBS = (["evaluate", "x", "--images", "4"], ["explore", "x"], ["step", "x", "--table"],
         ["encode", "x", "--images", "4"], ["runs", "x"], ["runs", "x", "--json"], ["compare", "x", "x"],
         ["step", "x", "--html", "a.html"], ["profile", "x", "--steps", "1"], ["sample", "x"],
         ["train", "--resume", "x"], ["train", "--resume", "x", "--epochs", "3"])
TRAIN = ["train", "--images", "20", "--epochs", "2", "--batch-size", "8", "--out", "x"]
MODELS = {"vae": ["--hidden", "2"], "bernoulli": ["--hidden", "2", "--code", "3", "--anneal-rate", "1e-3"],
          "conv": ["--planes", "2,2"]}
NUMBERS = [np.nan, np.inf, -np.inf, 1e38, -1e38, 1e-40, 0, 1e300]


@pytest.fixture(scope="module")
def reals(tmp_path_factory):
    """The bytes of a checkpoint of each of some models."""
    found = {}
    for name, options in MODELS.items():
        out = tmp_path_factory.mktemp(name) / "run"
        assert main([TRAIN[0], name, *TRAIN[1:-1], str(out), *options]) == 0
        found[name] = (out / checkpoint.NAME).read_bytes()
    return found


@pytest.fixture
def through(tmp_path, monkeypatch):
    """A function that gives a file to a verb; returns the exit status and what was said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pictures, "draw", lambda *_: [])  # most of the time
    monkeypatch.setattr(training_run, "memory", lambda name: 2**26)  # so that none of the largest batches is awaited
    run = Training.run
    monkeypatch.setattr(Training, "run", lambda self, steps, **how: run(self, min(steps, 20), **how))  # of 10⁷ epochs
    monkeypatch.setattr(figures, "comparison", lambda *_: None)  # matplotlib takes a second; its turn comes below
    monkeypatch.setattr(step, "nudges", lambda *_: [])
    os.mkdir("x")

    def through(content, verb):
        for name in os.listdir("x"):
            os.unlink(os.path.join("x", name))
        (tmp_path / "x" / checkpoint.NAME).write_bytes(content)
        backend.use("numpy")
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that overflow
            err = io.StringIO()
            patch.setattr(sys, "stdout", io.StringIO())
            patch.setattr(sys, "stderr", err)
            status = main(verb)
            return status, re.sub(".*\r", "", err.getvalue())  # a bar draws itself over and over
    return through


def with_config(content, change):
    return with_header(content, lambda header: change(header["config"]))


def other_option(content, random):
    """Another value somewhere in the configuration, or one entry less."""
    def change(place):
        while True:
            key = list(place)[random.integers(len(place))]
            if not isinstance(place[key], dict) or not place[key] or random.random() < 0.1:
                break
            place = place[key]
        if random.random() < 0.1:
            del place[key]
        else:
            place[key] = [*VALUES, 10**8, 2 * 10**8, 10**7, 0.5, "cupy", "mnist"][random.integers(len(VALUES) + 6)]
    return with_config(content, change)


def other_numbers(content, random):
    """Other numbers in one of the arrays."""
    parts = members(content)
    name = [name for name in parts if name != "header.npy"][random.integers(len(parts) - 1)]
    array = np.load(io.BytesIO(parts[name])).copy()
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(random.integers(1, 4)):
            if array.size:
                array.flat[random.integers(array.size)] = np.float64(random.choice(NUMBERS)).astype(array.dtype)
    return packed(parts | {name: npy(array)})


@pytest.mark.parametrize("count", [8, pytest.param(400, marks=pytest.mark.slow)])
def test_mutants_through_every_verb(reals, through, count):
    random = np.random.default_rng(count)
    ended = {0: 0, 1: 0}
    for number in range(count):
        content = list(reals.values())[number % len(reals)]
        content = (mutant, other_option, other_numbers)[random.integers(3)](content, random)
        for verb in VERBS:
            status, said = through(content, verb)
            assert status in (0, 1) and len(said) < 3000 and "not enough memory" not in said, (number, verb, said)
            ended[status] += 1
    assert min(ended.values()) > count, f"these show nothing: {ended}"


@pytest.mark.parametrize(("change", "verbs"), [
    (lambda config: config["options"].update(samples=10**8), "step profile train"),
    (lambda config: config["options"].update(samples=2 * 10**18), "step profile train"),
    (lambda config: config["data"].update(images=10**7), "train"),
    (lambda config: config["training"].update(batch_size=10**6), "profile train"),
    (lambda config: config["training"].update(batch_size="8"), "profile train"),
    (lambda config: config["training"].update(learning_rate=float("nan")), "profile train"),
    (lambda config: config["training"].update(epochs=0), "train"),
    (lambda config: config.update(training=[]), "profile train"),
    (lambda config: config.update(data={}), "evaluate explore step profile train"),
    (lambda config: config["data"].pop("name"), "evaluate explore step profile train"),
    (lambda config: config["data"].update(name="mnist", root="/nowhere"), "evaluate explore step profile train"),
    (lambda config: config.update(seed=-1), "train"), (lambda config: config.update(backend="jax"), "train"),
    (lambda config: config["options"].update(image=[1, 10**5, 10**5]), "evaluate explore step profile sample train")])
@pytest.mark.parametrize("name", few(1, MODELS))
def test_what_one_verb_refuses_every_verb_does(reals, through, change, verbs, name):
    """By arithmetic, before it is allocated; a verb that the entry does not concern may work all the same."""
    content = with_config(reals[name], lambda config: change(config) and None)
    for verb in VERBS:
        status, said = through(content, verb)
        if verb[0] in verbs.split() and verb != ["train", "--resume", "x"]:  # which has nothing left to learn
            assert status == 1, (verb, said)
        assert status in (0, 1) and "not enough memory" not in said and len(said) < 3000


@pytest.mark.parametrize("value", NUMBERS[:3])
@pytest.mark.parametrize("array", ["model/decoder.0.weight.npy", "model/encoder.1.bias.npy"])
def test_parameters_that_are_no_numbers_make_no_page(reals, through, value, array):
    parts = members(reals["vae"])
    content = np.load(io.BytesIO(parts[array])).copy()
    content[:] = value
    status, said = through(packed(parts | {array: npy(content)}), ["explore", "x"])
    assert status == 1 and ("NaN or infinite" in said or "cannot hold" in said), said
    assert os.listdir("x") == [checkpoint.NAME]
