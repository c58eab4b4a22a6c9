"""The command line, run as a user runs it."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from few import few
from PIL import Image
from rounding import same
from small import sized

from minivae import backend, checkpoint, configuration, evaluation, figures, models, nn, progress
from minivae.backend import blas
from minivae.cli import doctor, main, parser, pictures, training_run
from minivae.data import rectangles

CURVES = {"curve.png"} if find_spec("matplotlib") else set()
CODES = {"codes.png"} if CURVES else set()
TINY = ["--images", "64", "--hidden", "8", "--epochs", "2"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("model", few(3, [each.name for each in models.ALL if "labels" not in each.parameters]))
def test_train_writes_a_run_and_sample_draws_from_it(folder, capsys, rendering, model):
    size = [word for name, value in sized(model, hidden="8", planes="2,3").items() for word in (f"--{name}", value)]
    assert main(["train", model, "--images", "64", "--epochs", "2", "--batch-size", "16", "--data", "rectangles",
                 *size]) == 0
    picture = "interpolations.png" if pictures.has_plane(checkpoint.load_model(f"runs/{model}")) else "samples.png"
    run = folder / "runs" / model
    names = {"checkpoint.npz", "config.json", "protocol.csv", "reconstructions.png", picture}
    assert {path.name for path in run.iterdir()} == names | CURVES
    assert all(pixels(run / name).shape[:2] == (576, 1080) for name in CURVES)
    tiles = 2 * (20 * 25 + 1)  # 20 rows and columns of them, two pixels each, in a frame
    assert all(tiles < side < 1.1 * tiles for side in pixels(run / picture).shape[:2])
    rows = list(csv.DictReader((run / "protocol.csv").read_text().splitlines()))
    assert len(rows) == 8 and float(rows[0]["total"]) == pytest.approx(576 * np.log(2), rel=0.1)
    assert json.loads((run / "config.json").read_text())["training"]["epochs"] == 2
    out = capsys.readouterr().out
    assert "optimum 5.545" in out and "nats per image" in out and "400 prior samples" in out
    before = (run / picture).read_bytes()
    assert main(["sample", str(run), "--threshold", *(["--span", "2"] if picture == "interpolations.png" else [])]) == 0
    assert before != (run / picture).read_bytes()


def test_evaluate_says_how_good_a_run_is(folder, capsys):
    assert main(["train", "bernoulli", *TINY, "--code", "3"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "runs/bernoulli", "--samples", "50", "--images", "40"]) == 0
    out = capsys.readouterr().out
    for words in ("40 test images of rectangles", "ELBO", "log p(x) ≥, 50 samples", "log p(x), exact", "-5.545"):
        assert words in out
    found = json.loads((folder / "runs" / "bernoulli" / "evaluation.json").read_text())
    metrics = {each["metric"]: each for each in found["metrics"]}
    assert metrics["iwae"]["samples"] == 50 and found["likelihood"] and "active_units" in metrics
    exact = metrics["exact"]["value"]
    model = checkpoint.load_model("runs/bernoulli")
    assert exact == pytest.approx(evaluation.exact_log_likelihood(model, rectangles(2048, seed=1)[:40]).value)
    assert metrics["elbo"]["value"] < metrics["iwae"]["value"] < exact + 0.1
    run = folder / "runs" / "bernoulli"
    (run / "evaluation.json").unlink()
    run.chmod(0o555)
    try:
        assert main(["evaluate", "runs/bernoulli", "--images", "40", "--out", "new/place", "--json"]) == 0
    finally:
        run.chmod(0o755)
    again = json.loads((folder / "new" / "place" / "evaluation.json").read_text())
    assert again["metrics"][0] == metrics["elbo"] and json.loads(capsys.readouterr().out) == again
    assert not (run / "evaluation.json").exists()


def test_a_small_code_of_categories_is_summed_exactly(folder, capsys):
    assert main(["train", "categorical", *TINY, "--code", "2", "--categories", "5"]) == 0
    assert main(["evaluate", "runs/categorical", "--images", "20"]) == 0
    out = capsys.readouterr().out
    assert "log p(x), exact" in out and "of 2\n" in out
    found = json.loads((folder / "runs" / "categorical" / "evaluation.json").read_text())
    elbo, exact, active = found["metrics"]
    assert elbo["value"] < exact["value"] and len(active["variance"]) == 2


@pytest.fixture
def begun(folder, monkeypatch):
    """A function of the arguments of `minivae train`: what a run would begin with, {option: value}."""
    configs = []
    monkeypatch.setattr(training_run, "start", lambda config, *rest: configs.append(config))

    def begun(*arguments):
        assert main(["train", *arguments]) == 0
        config = configs.pop()
        return config["options"] | config["training"] | config["data"] | {"data": config["data"]["name"]}
    return begun


@pytest.mark.parametrize("typed", [  # other values than the preset's, some of them those without it
    {"--hidden": 4, "--code": 50, "--batch-size": 16, "--learning-rate": 0.5, "--data": "rectangles"},
    {"--hidden": 1152, "--learning-rate-decay": 5e-7, "--epochs": 10, "--kl-start": 0.0, "--kl-warm-up": 3}])
def test_what_is_typed_wins_over_a_preset_wherever_it_stands(begun, typed):
    words = [str(word) for pair in typed.items() for word in pair]
    settings = models.BERNOULLI.presets["optimum"].settings
    wanted = settings | {option[2:].replace("-", "_"): value for option, value in typed.items()}
    for arguments in ([*words, "--preset", "optimum"], ["--preset=optimum", *words]):
        found = begun("bernoulli", *arguments)
        assert {name: found[name] for name in wanted} == wanted


@pytest.mark.parametrize(("model", "preset"), [(each.name, preset) for each in models.ALL for preset in each.presets])
def test_each_setting_of_a_preset_can_be_taken_back(begun, model, preset):
    plain = begun(model)
    words = [word for setting, value in models.find(model).presets[preset].settings.items()
             if value != plain.get(setting) for word in typed(setting, plain.get(setting))]
    assert begun(model, "--preset", preset) != plain == begun(model, "--preset", preset, *words)


def test_whatever_a_run_may_lack_can_be_taken_back(begun):
    lacking = {name: typed(name, False if name == "keep_best" else None) for name in configuration.OPTIONAL}
    found = begun("vae", *(word for words in lacking.values() for word in words))
    assert not any(found.get(name) for name in lacking)


def typed(name, value):
    """The words of an option."""
    option = name.replace("_", "-")
    return [f"--{'' if value else 'no-'}{option}"] if isinstance(value, bool) else [f"--{option}", f"{value}".lower()]


def test_a_preset_sets_what_its_options_do_not(folder, small_mnist):
    for model, code in (("bernoulli", 200), ("categorical", 7)):
        more = ["--code", "7"] if model == "categorical" else []
        assert main(["train", model, "--preset", "jang", "--epochs", "1", "--root", str(small_mnist), "--images", "120",
                     "--anneal-every", "1", "--anneal-rate", "0.1", *more]) == 0
        config = json.loads((folder / "runs" / model / "config.json").read_text())
        assert config["options"]["hidden"] == 0 and config["options"]["code"] == code
        assert config["data"]["binarize"] == "fixed" and config["training"]["momentum"] == 0.9
        assert config["training"] | {"epochs": 1, "anneal_rate": 0.1, "anneal_floor": 0.5} == config["training"]
        header, arrays = checkpoint.read(f"runs/{model}")
        assert header["optimiser"]["momentum"] == 0.9 and "optimiser/velocity" in arrays


def test_mnist_from_training_to_evaluation(folder, capsys, small_mnist, request):
    """The whole way on 200 images, in MNIST's files."""
    train = ["train", "aevb", "--root", str(small_mnist), "--images", "150", "--hidden", "16", "--batch-size", "20"]
    names = {"checkpoint.npz", "config.json", "protocol.csv", "reconstructions.png", "samples.png"} | CURVES | CODES
    for likelihood in ("bernoulli", "gaussian", "identity_gaussian"):
        assert main([*train, "--likelihood", likelihood, "--out", likelihood]) == 0
        assert set(os.listdir(likelihood)) == names
        out = capsys.readouterr().out
        assert "3 epochs of 8 steps" in out and "epoch 3: training" in out and "square" not in out
    request.getfixturevalue("rendering")
    assert main([*train, "--binarize", "each_epoch", "--code", "2", "--out", "bits", "--epochs", "1"]) == 0
    assert set(os.listdir("bits")) == names - {"samples.png"} | {"interpolations.png"}
    assert all(min(pixels(f"bits/{name}").shape[:2]) > 500 for name in CODES)
    assert main(["evaluate", "bits"]) == 0
    assert "50 test images of MNIST, binarized (each_epoch)" in capsys.readouterr().out
    assert main(["sample", "bits"]) == 0
    assert "square" not in capsys.readouterr().out
    config = json.loads((folder / "gaussian" / "config.json").read_text())
    assert config["options"]["log_var_floor"] == -6 and config["options"]["samples"] == 5
    assert main([*train, "--likelihood", "gaussian", "--log-var-floor", "none", "--epochs", "1", "--out", "free"]) == 0
    assert not checkpoint.load_model("free").find_modules(nn.Clamp)


def test_runs_take_the_next_free_name(folder):
    for _ in range(2):
        assert main(["train", "vae", *TINY]) == 0
    assert sorted(os.listdir("runs")) == ["vae", "vae-2"]
    first, second = (checkpoint.load_model(f"runs/{name}").state_dict() for name in ("vae", "vae-2"))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_out_needs_force_to_overwrite_and_only_runs_are(folder, capsys):
    assert main(["train", "vae", *TINY, "--out", "mine"]) == 0
    assert main(["train", "vae", *TINY, "--out", "mine"]) == 1
    assert "holds a run already; --force overwrites it" in capsys.readouterr().err
    assert main(["train", "vae", *TINY, "--out", "mine", "--force"]) == 0
    (folder / "thesis").mkdir()
    (folder / "thesis" / "chapter1.tex").write_text("precious")
    assert main(["train", "vae", *TINY, "--out", "thesis", "--force"]) == 1
    assert os.listdir("thesis") == ["chapter1.tex"]
    assert "is not a run" in capsys.readouterr().err
    assert main(["train", "vae", *TINY, "--force"]) == 1 and not (folder / "runs").exists()
    assert "--force lets --out overwrite an earlier run; give --out FOLDER too" in capsys.readouterr().err


def test_force_leaves_nothing_of_the_earlier_run_and_nothing_else_is_touched(folder):
    assert main(["train", "vae", *TINY, "--out", "mine"]) == 0
    (folder / "mine" / "notes.txt").write_text("precious")
    assert main(["explore", "mine"]) == 0 and (folder / "mine" / "latent.html").exists()
    assert main(["train", "vae", *TINY, "--out", "mine", "--code", "3", "--force"]) == 0
    assert "samples.png" in os.listdir("mine") and not {"interpolations.png", "latent.html"} & set(os.listdir("mine"))
    assert (folder / "mine" / "notes.txt").read_text() == "precious"


def full_disk(*arguments):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("more", "said"), [
    (["--learning-rate", "1e30"], "not finite since step 2: .* lower the learning rate"),
    (["--beta", "1e30"], "a squared gradient is not finite .* lower its weights, such as beta"),
    (["--code", "3"], "No space left")])
def test_force_leaves_the_earlier_run_to_one_that_fails(more, said, folder, capsys, monkeypatch):
    train = ["train", "vae", *TINY, "--keep-best", "--out", "mine"]
    assert main(train) == 0 and main(["evaluate", "mine"]) == 0
    before = {path.name: path.read_bytes() for path in (folder / "mine").iterdir()}
    assert {"checkpoint.npz", "best.npz", "config.json", "protocol.csv", "evaluation.json"} <= set(before)
    with monkeypatch.context() as patch:
        if "--code" in more:
            patch.setattr(checkpoint, "save", full_disk)
        assert main([*train, "--force", *more]) == 1
    assert re.search(said, capsys.readouterr().err)
    assert {path.name: path.read_bytes() for path in (folder / "mine").iterdir()} == before
    assert main(["train", "--resume", "mine", "--epochs", "2"]) == 0


@pytest.mark.parametrize("images", [5, 15, 40])
def test_reconstructions_stand_below_their_images(images):
    model = models.vae(image=(1, 6, 6), hidden=4)
    x = rectangles(images, 6, 6, sides=(3, 3))
    again = model.reconstruct(x.astype(np.float32))  # in another batch: a sum of 36 terms, and of 4
    sheet = figures.reconstructions(model, x, columns=10)
    for k in (0, 4, images - 1):
        top, left = 2 + k // 10 * (2 * 10 + 4), 2 + k % 10 * 8
        assert np.array_equal(sheet[top:top + 6, left:left + 6], x[k, 0])
        assert same(sheet[top + 10:top + 16, left:left + 6], again[k, 0], terms=40)


def test_runs_that_cannot_be_written_is_an_error(folder, capsys):
    (folder / "runs").write_text("a file where the folder should be")
    assert main(["train", "vae", *TINY]) == 1
    error = capsys.readouterr().err
    assert "cannot make the folder runs" in error and "--out" in error and "Traceback" not in error


def test_a_run_that_fails_leaves_nothing_behind(folder, capsys):
    assert main(["train", "vae", *TINY, "--learning-rate", "1e30"]) == 1
    assert "not finite" in capsys.readouterr().err and os.listdir("runs") == []


def test_a_run_that_fails_keeps_its_last_checkpoint_and_says_one_thing(folder, capsys, monkeypatch):
    plain = nn.BCEWithLogitsCriterion.update_output

    def overflow(criterion, input, target):
        value = plain(criterion, input, target)
        overflow.steps += criterion is overflow.training
        return np.inf if overflow.steps > 5 else value

    def watched(model):
        overflow.training, overflow.steps = model.criterion(), 0
        return model

    build = models.Record.build
    monkeypatch.setattr(models.Record, "build", lambda record, **options: watched(build(record, **options)))
    monkeypatch.setattr(nn.BCEWithLogitsCriterion, "update_output", overflow)
    assert main(["train", "vae", *TINY, "--epochs", "3"]) == 1
    error = capsys.readouterr().err
    assert error.count("minivae: ") == 1 and "not finite since step 6" in error and "Traceback" not in error
    monkeypatch.undo()
    model = checkpoint.load_model(folder / "runs" / "vae")
    assert all(np.isfinite(array).all() for array in model.state_dict().values())


@pytest.mark.parametrize(("arguments", "message"), [
    (["train", "gan"], "invalid choice: 'gan'"),
    (["train", "vae", "--epochs", "0"], "not a whole number from 1"),
    (["train", "vae", "--learning-rate", "fast"], "not a number above 0"),
    (["train", "denoising", "--noise", "2"], "not a probability"),
    (["train", "vae", "--seed", "-1"], "not a whole number from 0"),
    (["train", "vae", "--backend", "jax"], "invalid choice: 'jax'"),
    (["sample", "runs/none"], "there is no checkpoint"),
    (["train", "vae", "--images", "8"], "batch size 16; choose from 1 to 8"),
    (["train", "aevb", "--likelihood", "poisson"], "'poisson' is not one of bernoulli, continuous_bernoulli"),
    (["train", "aevb", "--log-var-floor", "low"], "'low' is not a number or none"),
    (["train", "vae", "--likelihood", "gaussian"], "minivae train vae: error: unrecognized arguments: --likelihood"),
    (["train", "vae", "--root", "."], "--root does not go with --data rectangles; it is an option of MNIST"),
    (["train", "vae", "--binarize", "fixed"], "rectangles are bits already; it goes with --data mnist"),
    (["train", "bernoulli", "--preset", "jang", "--data", "rectangles"], "rectangles are bits already"),
    (["train", "vae", *TINY, "--schedule", "cosine", "--learning-rate-decay", "1e-4"], "the place of --learning-rate-"),
    (["train", "aevb", *TINY, "--data", "squares", "--log-var-floor", "-6"], "which the likelihood bernoulli has not"),
    (["step", "vae", "--tabel"], "minivae step: error: unrecognized arguments: --tabel; minivae step --help lists"),
    (["train", "bernoulli", "--momentum", "1"], "not a number from 0 to below 1"),
    (["train", "bernoulli", "--anneal-rate", "1e-4", "--anneal-floor", "2"], "is a temperature above 0, up to start=1"),
    (["train", "vae", "--anneal-rate", "1e-4"], "unrecognized arguments: --anneal-rate"),
    (["train", "categorical", "--preset", "maddison"], "invalid choice: 'maddison'"),
    *((["train", *resume, *option], f"unrecognized arguments: {option[0]}; options of a MODEL stand after its name, "
       "and a run that is resumed keeps those that it began with; minivae train --help lists")
      for option in (["--hidden", "4"], ["--batch-size=32"], ["--learning-rate", "0.01"], ["--code", "2", "vae"])
      for resume in ([], ["--resume", "run"], ["--resume=run"], ["--threads", "1", "--quiet"])),
    (["--epochs", "2", "train", "vae"], "arguments: --epochs; options of a VERB stand after its name; minivae"),
    (["evaluate", "runs/none"], "there is no checkpoint"),
    (["explore", "runs/none"], "there is no checkpoint"),
])
def test_bad_arguments_are_explained(folder, capsys, arguments, message):
    try:
        status = main(arguments)
    except SystemExit as error:
        status = error.code
    assert status != 0 and message in capsys.readouterr().err
    assert not (folder / "runs").exists()


def test_cupy_without_a_device_is_an_error_and_auto_a_line(folder, capsys, monkeypatch):
    monkeypatch.setitem(backend.require.__globals__, "available",
                        lambda name: (name == "numpy", "" if name == "numpy" else "no CUDA device was found"))
    assert main(["train", "vae", *TINY, "--backend", "cupy"]) == 1
    assert "no CUDA device was found" in capsys.readouterr().err
    assert main(["train", "vae", *TINY, "--backend", "auto"]) == 0
    assert "running on NumPy, because no CUDA device was found" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT to send to one process")
def test_control_c_keeps_what_was_learned(folder, no_curves):
    process = subprocess.Popen([sys.executable, "-m", "minivae", "train", "vae", *TINY, "--epochs", "5000"],
                               stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)  # of two pipes one may fill
    seen = ""
    while "reconstruction" not in seen:
        character = process.stdout.read(1)
        assert character, f"it ended by itself: {seen}"
        seen += character
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and "stopped early after" in out
    assert {"checkpoint.npz", "protocol.csv", "interpolations.png"} <= set(os.listdir("runs/vae"))


def test_doctor_says_what_runs_here(capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in ("minivae", "numpy", "cupy", "BLAS", "GFLOP/s", "float32 differs from float64", "as it should"):
        assert word in out


def test_the_doctor_says_it_in_json(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "SIZE", 64)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["minivae", "python", "platform", "packages", "backends", "environment", "backend", "dtype",
                           "threads", "compiler", "blas", "products", "agreement", "sound"]
    assert found["sound"] is True and found["backends"]["numpy"] == {"works": True, "reason": ""}
    assert found["environment"] is None and set(found["products"]) == {"float32", "float64"}
    with pytest.raises(SystemExit):
        main(["doctor", "--help"])
    words = capsys.readouterr().out
    assert all(key in words for key in found)
    monkeypatch.setenv("MINIVAE_THREADS", "many")
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "MINIVAE_THREADS=many" in found["environment"] and found["threads"] is None
    monkeypatch.setattr(doctor, "_product", lambda dtype: (np.full((2, 2), np.nan), 1.0, 1.0))
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
    assert found["agreement"] is None and found["sound"] is False


def test_without_a_verb_they_are_listed(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    names = next(action.choices for action in parser()._actions if isinstance(action.choices, dict))
    for name, line in ((name, next(line for line in out.splitlines() if line.split()[:1] == [name])) for name in names):
        assert len(line.split()) > 3, f"{name} has no line"


def test_quiet_says_where_the_run_is_and_no_more(folder, capsys):
    tiny = ["train", "vae", *TINY, "--epochs", "1"]
    for number, arguments in enumerate(([*tiny, "--quiet"], ["train", "--quiet", *tiny[1:]])):
        assert main(arguments) == 0
        said = capsys.readouterr()
        assert said.out == f"runs{os.sep}vae{'-2' * number}\n" and not said.err
    assert main(["train", "--resume", "runs/vae", "--quiet", "--epochs", "2"]) == 0
    assert capsys.readouterr().out == f"runs{os.sep}vae\n"
    assert main(["train", "vae", "--quiet", "--images", "2", "--batch-size", "3"]) == 1
    said = capsys.readouterr()
    assert not said.out and said.err.startswith("minivae: batch size 3")
    with Terminal() as shown:
        assert main(["evaluate", "runs/vae", "--images", "20", "--samples", "2"]) == 0 and "image/s" in shown.text
    with Terminal() as shown:
        assert main(["evaluate", "runs/vae", "--images", "20", "--samples", "2", "--quiet"]) == 0 and not shown.text


class Terminal(io.StringIO):
    """Standard error, which seems to be a terminal."""

    def __enter__(self):
        self.kept, sys.stderr = sys.stderr, self
        return self

    def __exit__(self, *error):
        sys.stderr = self.kept

    def isatty(self):
        return True

    @property
    def text(self):
        return self.getvalue()


def test_a_log_file_gets_a_line_in_some_seconds_at_most(capsys, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    with progress.progress_bar(40, "step") as bar:
        for _ in range(20):
            bar.set_postfix_str("3 nats")
            bar.update(2)
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 4 and lines[0].startswith("10 of 40 in 00:05") and lines[-1].endswith("3 nats")
    assert "\r" not in said.err and not said.out
    with progress.hidden(), progress.progress_bar(40, "step") as bar:
        bar.update(40)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(("columns", "said"), [
    (200, "395.67 nats per image, optimum 5.545, 395.59 reconstruction + 0.08 KL"),
    (90, "395.67 nats per image, optimum 5.545"), (80, "395.67 nats per image"), (40, "")])
def test_a_narrow_terminal_cuts_no_number(columns, said):
    with Terminal() as terminal:
        with progress.progress_bar(18000, "step", ncols=columns) as bar:
            bar.set_postfix_str("395.67 nats per image, optimum 5.545, 395.59 reconstruction + 0.08 KL", refresh=False)
            bar.update(9000)
    line = terminal.text.rstrip().rpartition("\r")[2]
    assert len(line) <= columns and line.partition("step/s")[2].strip(", ]") == said


@pytest.mark.parametrize("found", [True, False])
def test_doctor_says_whether_a_product_can_add(found, capsys, monkeypatch):
    monkeypatch.setattr(doctor, "SIZE", 64)
    monkeypatch.setattr(blas, "_gemm", lambda dtype: found or None)
    assert main(["doctor"]) == 0
    line, = (line for line in capsys.readouterr().out.splitlines() if line.startswith("add_product "))
    assert ("adds to a gradient while it multiplies" in line) == found != ("in a second pass" in line)


@pytest.mark.parametrize("wrong", [{"MINIVAE_BACKEND": "jax"}, {"MINIVAE_THREADS": "many"}, {"MINIVAE_CC": "none-such"},
                                   {"MINIVAE_BACKEND": "jax", "MINIVAE_THREADS": "-1", "MINIVAE_CC": "'"}], ids=str)
def test_a_wrong_environment_does_not_keep_the_doctor_away(folder, wrong):
    environment = {**os.environ, **wrong}
    run = [sys.executable, "-m", "minivae"]
    done = subprocess.run([*run, "doctor"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr and "as it should" in done.stdout
    lines = [line for line in done.stdout.splitlines() if line.startswith("environment")]
    assert len(lines) == len(wrong) and all(value in line for value, line in zip(wrong.values(), lines))
    assert ("\nthreads " in done.stdout) == ("MINIVAE_THREADS" not in wrong)
    train = subprocess.run([*run, "train", "vae", *TINY], env=environment, capture_output=True, text=True)
    assert train.returncode == 1 and train.stderr.startswith("minivae: ") and "Traceback" not in train.stderr


def test_help_of_every_verb(capsys):
    names = next(action.choices for action in parser()._actions if isinstance(action.choices, dict))
    for verb in ([], *([name] for name in names), *(["train", name] for name in models.BY_NAME)):
        with pytest.raises(SystemExit) as stop:
            main([*verb, "--help"])
        assert stop.value.code == 0
    said = re.findall(r"\(default:\s+([^)]*)\)", capsys.readouterr().out)
    assert said and not [each for each in said if each == "None" or set(each) & set("[({<'")], "not as one types it"
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("minivae ")
