"""A run that stops and continues is the run that never stopped, bit for bit."""

import importlib
import json
import os
import re
import shlex
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from few import few
from rounding import placed
from small import sized

from minivae import checkpoint, evaluation, models
from minivae.backend import products
from minivae.cli import main, parser, pictures
from minivae.errors import MinivaeError
from minivae.training import Training

EPOCHS = 3
DRAW = pictures.draw
RUNS = {name: [name] for name in models.BY_NAME} | {  # every model, likelihood, data set and way of drawing
    "denoising code": ["denoising", "--code", "3"],
    "bernoulli samples": ["bernoulli", "--samples", "2"],
    "aevb gaussian": ["aevb", "--likelihood", "gaussian"],
    "aevb identity_gaussian": ["aevb", "--likelihood", "identity_gaussian", "--data", "rectangles"],
    "vae each_epoch": ["vae", "--data", "mnist", "--binarize", "each_epoch", "--beta", "0.5"],
    "categorical straight": ["categorical", "--categories", "3", "--straight-through"],
    "categorical jang": ["categorical", "--preset", "jang", "--schedule-steps", "100", "--anneal-rate", "0.1",
                         "--anneal-every", "3"],
    "bernoulli annealed": ["bernoulli", "--temperature", "2", "--anneal-rate", "0.1", "--anneal-every", "4"],
    "conv normalized": ["conv", "--planes", "3", "--batch-normalization"],
    "vae cosine": ["vae", "--schedule", "cosine", "--schedule-steps", "12", "--warm-up", "3", "--kl-warm-up", "6"],
    "bernoulli warm": ["bernoulli", "--warm-up", "5", "--kl-warm-up", "5", "--beta", "2", "--momentum", "0.9"],
    "vae free": ["vae", "--free-bits", "0.1", "--beta", "2"],
    "vae best": ["vae", "--keep-best", "--patience", "2"],
    "bernoulli exact": ["bernoulli", "--code", "3", "--estimator", "exact"],
    "categorical likelihood": ["categorical", "--code", "2", "--categories", "3", "--objective", "exact_likelihood"],
    "bernoulli score": ["bernoulli", "--samples", "2", "--estimator", "score_function"],
    "categorical learned": ["categorical", "--categories", "3", "--learn-prior"],
    "vae dreg": ["vae", "--samples", "3", "--objective", "dreg"],
    "bernoulli fixed": ["bernoulli", "--data", "mnist", "--binarize", "fixed"],
}


@pytest.fixture
def run(tmp_path, monkeypatch, small_mnist):
    """A function that runs `minivae train` on 70 images in batches of 16, and checks that it says it went well.

    A BLAS may round otherwise what lies elsewhere in memory, so products are only of arrays that the engine has placed.
    """
    monkeypatch.chdir(tmp_path)
    share, astray = products._share, set()

    def watched(out, a, b, **how):
        astray.update(each.shape for each in (out, a, b) if not placed(each))
        share(out, a, b, **how)

    monkeypatch.setattr(products, "_share", watched)
    monkeypatch.setattr(pictures, "draw", lambda *what: [])  # most of the time, and none of it

    def run(name, out, epochs, *more):
        options = ["--images", "70", "--batch-size", "16", "--seed", "5", "--epochs", str(epochs)]
        model = models.find(RUNS[name][0])
        for size, value in sized(model.name, hidden="8", planes="2,3").items():
            options += [] if f"--{size}" in RUNS[name] else [f"--{size}", value]
        mnist = {"mnist", "jang"} & set(RUNS[name]) or (model.data == "mnist" and "rectangles" not in RUNS[name])
        options += ["--root", str(small_mnist)] if mnist else []
        assert main(["train", *RUNS[name], *options, "--out", out, *more]) == 0
        assert not astray
    return run


def contents(folder):
    """Every file of a run, byte by byte: parameters, Adam's state, random state, place in the data, protocol."""
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


@pytest.mark.parametrize("name", few(10, RUNS))
def test_some_epochs_and_then_the_others_are_all_epochs(run, name):
    run(name, "whole", EPOCHS)
    run(name, "parts", 1)
    assert main(["train", "--resume", "parts", "--epochs", "2"]) == 0
    assert contents("parts") != contents("whole")
    assert main(["train", "--resume", "parts", "--epochs", str(EPOCHS)]) == 0
    assert contents("parts") == contents("whole")


def test_a_cosine_ends_with_the_epochs_that_the_run_began_with(run, capsys):
    cosine = "--schedule", "cosine"
    run("vae", "mine", 2, *cosine)
    rates = checkpoint.read("mine")[1]["protocol"][:, -1]
    np.testing.assert_allclose(rates, [5e-4 * (1 + np.cos(np.pi * t / 8)) for t in range(8)], rtol=1e-12)
    assert "continues" not in capsys.readouterr().out
    assert main(["train", "--resume", "mine", "--epochs", "3"]) == 1
    said = capsys.readouterr().err
    assert "comes to 0 at step 8, and --epochs 3 ends at step 12:" in said and "--epochs 2 is as far" in said
    assert "--schedule-steps 12" in said
    assert main(["train", "--resume", "mine"]) == 0
    for wrong, word in (([*cosine, "--learning-rate-decay", "0.5"], "--learning-rate-decay"),
                        (["--schedule-steps", "9"], "--schedule cosine"),
                        ([*cosine, "--epochs", "1", "--schedule-steps", "2"], "nothing; a new run"),
                        ([*cosine, "--schedule-steps", "40", "--warm-up", "40"], "more steps than those of")):
        assert main(["train", "vae", "--images", "70", "--hidden", "8", *wrong]) == 1
        assert word in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--warm-up", "--kl-warm-up"])
@pytest.mark.parametrize("steps", [8, 9])
def test_a_warm_up_that_does_not_end_is_said(run, capsys, option, steps):
    run("vae", "mine", 2, option, str(steps))
    said = f"{option} {steps} does not end in this run, which has 8 steps; give fewer, or more --epochs\n"
    assert (said in capsys.readouterr().out) == (steps > 8)


class Losses:
    """A look at test images that finds these totals, epoch by epoch."""

    def __init__(self, *totals):
        self.totals = totals

    def __call__(self, model, images, scale):
        if len(images) <= 2:  # tried before the training begins
            return None
        at = sum(path.exists() for path in Path().glob("epoch*"))
        Path(f"epoch{at}").touch()
        return evaluation.Estimate(np.array([-self.totals[at]]), 1, self.totals[at], 0.0)


@pytest.mark.parametrize(("totals", "patience", "epochs", "best"), [
    ((5, 4, 4, 6, 3, 2), 2, 4, 2), ((5, 4, 6, 3, 4, 4), 2, 6, 4), ((np.inf, np.nan, 7, 8, 9), 1, 2, 1),
    ((9, 8, 7, 6), 1, 4, 4)])
def test_patience_ends_a_run_and_its_best_model_is_kept(run, monkeypatch, capsys, totals, patience, epochs, best):
    options = "--keep-best", "--patience", str(patience)
    found = {}
    keep = checkpoint.save

    def kept(path, training, config):
        found.setdefault(training.steps, training.model.decoder[0].weight.copy())
        keep(path, training, config)

    monkeypatch.setattr(checkpoint, "save", kept)
    monkeypatch.setattr(evaluation, "elbo", Losses(*totals))
    run("vae", "mine", len(totals), *options)
    assert max(found) == 4 * epochs and checkpoint.read("mine")[0]["steps"] == 4 * epochs
    model = checkpoint.load_model("mine/best.npz")
    assert np.array_equal(model.decoder[0].weight, found[4 * best])
    said = capsys.readouterr().out
    assert f"the model after epoch {best}," in said
    if epochs == len(totals):
        return
    assert f"no better in {patience} epoch" in said and f"--patience {2 * patience} continues" in said
    assert main(["train", "--resume", "mine"]) == 0
    assert checkpoint.read("mine")[0]["steps"] == 4 * epochs and "nothing is left to learn" in capsys.readouterr().out
    assert main(["train", "--resume", "mine", "--patience", "9"]) == 0
    assert checkpoint.read("mine")[0]["steps"] == 4 * len(totals)


@pytest.mark.parametrize(("how", "again", "hint"), [
    ((2, "--schedule", "cosine", "--schedule-steps", "14"), [], "--epochs 3"),
    ((3, "--patience", "2"), [], "--epochs 6 --patience 4"),
    ((9, "--patience", "3"), ["--patience", "1"], "--patience 4"),
    ((1, "--patience", "1"), [], "--epochs 2")])
def test_the_command_that_is_said_to_continue_does(run, monkeypatch, capsys, how, again, hint):
    monkeypatch.setattr(evaluation, "elbo", Losses(*range(9)))
    run("vae", "a run", *how)
    if again:
        assert main(["train", "--resume", "a run", *again]) == 0
    assert said_to_continue(capsys.readouterr().out) == shlex.split(f"train --resume 'a run' {hint}")


def said_to_continue(out):
    """The last command in what was printed, once it has been seen to learn more."""
    words = shlex.split(re.findall("^minivae (train .*) continues$", out, re.MULTILINE)[-1])
    steps = checkpoint.read(words[2])[0]["steps"]
    assert main(words) == 0 and checkpoint.read(words[2])[0]["steps"] > steps
    return words


def test_a_kill_between_the_best_model_and_the_checkpoint_loses_nothing(run, monkeypatch):
    options = "--keep-best", "--patience", "9"
    run("bernoulli", "whole", EPOCHS, *options)
    save, saved = checkpoint.save, []

    def killed(*arguments):
        saved.append(1)
        if len(saved) == 2:
            raise SystemExit("killed")
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save", killed)
    with pytest.raises(SystemExit):
        run("bernoulli", "parts", EPOCHS, *options)
    assert checkpoint.read("parts")[0]["steps"] == 4
    assert main(["train", "--resume", "parts"]) == 0
    assert contents("parts") == contents("whole")


def test_verbs_take_the_best_model(run, capsys):
    run("vae", "mine", 2, "--keep-best")
    for verb in (["evaluate", "mine/best.npz", "--images", "10"], ["sample", "mine/best.npz"],
                 ["explore", "mine/best.npz"], ["encode", "mine/best.npz"], ["step", "mine/best.npz", "--table"],
                 ["profile", "mine/best.npz", "--steps", "1"]):
        assert main(verb) == 0, capsys.readouterr().err
    for verb in ["train", "--resume"], ["compare", "mine"]:
        assert main([*verb, "mine/best.npz"]) == 1
        assert "mine/best.npz holds a model alone" in "".join(capsys.readouterr())
    assert main(["runs", "mine/best.npz", "mine/checkpoint.npz"]) == 0
    said = capsys.readouterr().out
    assert "left out: mine/best.npz holds a model alone" in said and "mine/checkpoint.npz  vae" in said
    assert main(["train", "vae", "--images", "70", "--hidden", "8", "--epochs", "1", "--out", "mine", "--force"]) == 0
    assert "best.npz" not in os.listdir("mine"), "of an earlier run"


@pytest.mark.parametrize(("name", "more"), [("bernoulli exact", []), ("vae dreg", []), ("vae", ["--free-bits", "9"])])
def test_the_best_model_takes_the_step_of_its_run(run, capsys, name, more):
    run(name, "mine", 1, "--keep-best", "--patience", "3", *more)
    capsys.readouterr()
    tables = []
    for path in "mine", "mine/best.npz":
        assert main(["step", path, "--table"]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]


@pytest.mark.parametrize("name", few(5, list(RUNS)))
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_in_the_middle_of_an_epoch_loses_nothing(run, monkeypatch, capsys, name, number):
    run(name, "whole", EPOCHS)
    step = Training.step

    def stopping(training):
        if training.steps in (1, 6):
            os.kill(os.getpid(), number)
        return step(training)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", stopping)
        run(name, "parts", EPOCHS)
        assert checkpoint.read("parts")[0]["steps"] == 2
        assert "stopped early after 2 steps" in capsys.readouterr().out
        assert main(["train", "--resume", "parts"]) == 0
        out = capsys.readouterr().out
        assert "from step 2" in out and "stopped early after 7 steps" in out
        assert "minivae train --resume parts continues" in out
    assert main(["train", "--resume", "parts"]) == 0
    assert contents("parts") == contents("whole")


def test_checkpoints_come_at_the_ends_of_epochs_after_a_stop_in_the_middle_too(run, monkeypatch):
    saved, save, step = [], checkpoint.save, Training.step
    monkeypatch.setattr(checkpoint, "save", lambda path, training, config: (saved.append(training.steps),
                                                                             save(path, training, config)))
    length = 70 // 16

    def stop(training):
        if training.steps == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(training)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "step", stop)
        run("vae", "parts", EPOCHS)
    assert main(["train", "--resume", "parts"]) == 0
    assert saved == [2, 2, length, 2 * length, 3 * length]


def test_a_run_that_has_no_checkpoint_yet_begins_again(run):
    run("denoising", "whole", EPOCHS)
    os.makedirs("killed")
    Path("killed/config.json").write_bytes(Path("whole/config.json").read_bytes())
    assert main(["train", "--resume", "killed"]) == 0
    assert contents("killed") == contents("whole")


def test_a_finished_run_writes_again_what_was_lost_and_changes_nothing(run, capsys, monkeypatch):
    monkeypatch.setattr(pictures, "draw", DRAW)
    run("vae", "mine", 1)
    wanted = contents("mine")
    for name in ("protocol.csv", "interpolations.png", "config.json"):
        os.unlink(f"mine/{name}")
    assert main(["train", "--resume", "mine/checkpoint.npz"]) == 0
    assert "nothing is left to learn of 4 steps" in capsys.readouterr().out
    assert contents("mine") == wanted


def test_what_was_half_written_is_swept_away_and_the_evaluation_of_an_earlier_checkpoint(run):
    run("vae", "mine", 1)
    assert main(["evaluate", "mine", "--images", "10"]) == 0
    half = Path("mine/.checkpoint.npz.0123abcd")
    half.write_bytes(b"PK")
    kept = [Path("mine/.checkpoint.npz.mine"), Path("mine/.notes.0123abcd")]
    for path in kept:
        path.write_text("the user's own")
    assert main(["train", "--resume", "mine"]) == 0
    assert not half.exists() and Path("mine/evaluation.json").exists() and all(path.exists() for path in kept)
    assert main(["train", "--resume", "mine", "--epochs", "2"]) == 0
    assert not Path("mine/evaluation.json").exists() and all(path.exists() for path in kept)


@pytest.mark.parametrize(("verb", "name", "work"), [
    ("evaluate", "evaluation.json", "evaluation.active_units"), ("encode", "codes.npz", "evaluation.encode"),
    ("explore", "latent.html", "cli.explore.explorer")])
def test_nothing_of_an_earlier_model_stands_beside_a_run_that_went_on(run, capsys, monkeypatch, verb, name, work):
    run("vae", "mine", 1)
    owner = importlib.import_module(f"minivae.{work.rpartition('.')[0]}")
    function, epochs = getattr(owner, work.rpartition(".")[2]), [2, 3]

    def meanwhile(*arguments):
        if epochs:
            assert main(["train", "--resume", "mine", "--epochs", str(epochs.pop(0))]) == 0
        return function(*arguments)

    monkeypatch.setattr(f"minivae.{work}", meanwhile)
    assert main([verb, "mine"]) == 1 and not Path("mine", name).exists()
    assert "minivae: mine was trained further meanwhile" in capsys.readouterr().err
    out = "there" if verb == "evaluate" else f"there-{name}"
    assert main([verb, "mine", "--out", out]) == 0 and not Path("mine", name).exists()
    assert main([verb, "mine"]) == 0 and Path("mine", name).exists()
    if verb == "evaluate":
        assert [json.loads(Path(each, name).read_text())["steps"] for each in ("there", "mine")] == [8, 12]


def test_data_that_have_moved_are_found(run, tmp_path, small_mnist):
    run("aevb", "whole", 2)
    run("aevb", "parts", 1)
    small_mnist.rename(tmp_path / "elsewhere")
    assert main(["train", "--resume", "parts", "--epochs", "2", "--root", "elsewhere"]) == 0
    assert contents("parts")["protocol.csv"] == contents("whole")["protocol.csv"]


@pytest.mark.parametrize(("arguments", "message"), [
    (["train"], f"nothing to train; give a model, one of {', '.join(models.BY_NAME)}, or "),
    (["train", "vae", "--resume", "mine"], "so `vae` does not go with it"),
    (["train", "--epochs", "2", "vae"], "options of a new run stand after the model"),
    (["train", "--resume", "absent"], "there is no run absent"),
    (["train", "--resume", "empty"], "there is no checkpoint"),
    (["train", "--resume", "mine", "--epochs", "1"], "has been trained for 2 epochs already, 1 are fewer"),
    (["train", "--resume", "mine", "--epochs", "0"], "not a whole number from 1"),
    (["train", "--resume", "torn"], "config.json cannot be read"),
    (["train", "--resume", "other"], "has no usable model, options, seed, backend, data, training"),
    (["train", "--resume", "library"], "has no usable seed, backend, data, training"),
])
def test_what_cannot_be_continued_is_explained(run, capsys, arguments, message):
    run("vae", "mine", 2)
    for name, text in (("torn", '{"model": "va'), ("other", "[1]"), ("library", '{"model": "vae", "options": {}}')):
        os.makedirs(name)
        Path(name, "config.json").write_text(text)
    os.makedirs("empty")
    before = contents("mine")
    try:
        status = main(arguments)
    except SystemExit as error:
        status = error.code
    error = capsys.readouterr().err
    assert status != 0 and message in error and "Traceback" not in error
    assert contents("mine") == before


def test_an_error_is_not_its_own_cause():
    """Who follows the causes of an error would never come to an end."""
    with pytest.raises(MinivaeError) as caught:
        arguments = parser().parse_args(["train", "--resume", "absent"])
        arguments.run(arguments)
    assert caught.value.__cause__ is None


def test_a_configuration_of_other_sizes_is_refused(run, capsys):
    run("vae", "mine", 1)
    header, arrays = checkpoint.read("mine")
    header["config"]["options"]["hidden"] = 9
    with open("mine/checkpoint.npz", "wb") as file:
        np.savez(file, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)
    before = contents("mine")
    assert main(["train", "--resume", "mine"]) == 1
    assert "shape" in capsys.readouterr().err and contents("mine") == before


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    out = tmp_path_factory.mktemp("real") / "run"
    assert main(["train", "vae", "--images", "64", "--hidden", "8", "--epochs", "1", "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize(("part", "change", "message"), [
    ("data", {"images": 10**12}, "at most 1000000,"), ("data", {"root": "/nowhere"}, "unknown option"),
    ("options", {"hidden": 10**9}, "bytes"), ("options", {"code": "large"}, "is not a whole number from 1"),
    ("training", {"batch_size": 10**9}, "smaller --batch-size"),
    ("training", {"momentum": "0.9", "learning_rate": None}, "no usable learning_rate, momentum"),
    ("training", {"anneal_rate": 0.1, "anneal_every": []}, "no usable anneal_floor, anneal_every"),
    ("training", {"batch_size": 8.0}, "no usable batch_size")])
def test_a_configuration_that_asks_for_too_much_is_refused(real, tmp_path, monkeypatch, capsys, part, change, message):
    """As a file from somebody else may: the header of a real checkpoint, with one thing changed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(real, "run")
    with np.load("run/checkpoint.npz") as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes())
    header["config"][part] |= change
    header["config"]["training"]["epochs"] = 2
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez("run/checkpoint.npz", **arrays)
    capsys.readouterr()
    assert main(["train", "--resume", "run"]) == 1
    assert message in capsys.readouterr().err
