"""A model of one's own, in one file: every verb works on its runs, and no file is executed that nobody named."""

import hashlib
import json
import re
import shutil
import sys
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from conftest import forget_files
from few import few
from test_hostile import with_header
from test_resume import contents, said_to_continue

import minivae as mv
from minivae import checkpoint, kinds, models, nn
from minivae.cli import main, pictures
from minivae.errors import OptionError
from minivae.models import own_model
from minivae.models.record import described, parameters

TINY = '''"""A VAE of one's own."""

import pathlib
from typing import Literal

from minivae import nn
from minivae.models import VAE, Record


def tiny(image, width: int, code: int = 2, squash: Literal["tanh", "relu"] = "tanh", planes: tuple[int, ...] = (1, 2),
         bias: bool = True, name: str | None = None, layer=nn.Tanh, slow=False):
    """A VAE with one small hidden layer.

    Args:
        code: numbers of the code, 100% free
        width (int): units of the hidden layer,
            of which there is one
    """
    pathlib.Path("executed").touch()
    d = image[0] * image[1] * image[2]
    squashed = layer if squash == "tanh" else nn.ReLU
    encoder = nn.Sequential(nn.View(d), nn.Linear(d, width, bias), squashed(),
                            nn.ConcatTable(nn.Linear(width, code), nn.Linear(width, code)))
    decoder = nn.Sequential(nn.Linear(code, width), squashed(), nn.Linear(width, d), nn.View(*image))
    return VAE(encoder, nn.GaussianKL(), nn.GaussianSampler(), decoder, code)


RECORD = Record("tiny", tiny, "one of your own", schedule={"epochs": 2, "batch_size": 8, "width": 5})
'''
RUN = ["--images", "40", "--out", "run"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_vae.py").write_text(TINY)
    return tmp_path


@pytest.fixture
def run(folder):
    """A run of two epochs, and no trace of its file having been executed."""
    assert main(["train", "my_vae.py:tiny", *RUN]) == 0
    Path("executed").unlink()
    return folder / "run"


def test_the_file_is_short():
    assert len(TINY.splitlines()) <= 40


def test_its_parameters_are_the_options(folder, capsys):
    with pytest.raises(SystemExit):
        main(["train", "my_vae.py:tiny", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for words in ("my_vae.py:tiny: one of your own.", "--width N units of the hidden layer, of which there is one (def",
                  "--code N numbers of the code, 100% free (default: 2)", "--planes A,B,...", "--bias, --no-bias",
                  "--epochs N each of as many images as there are (default: 2)", "--slow, --no-slow "):
        assert words in text, words
    assert "--layer" not in text and "--image " not in text
    assert main(["train", "my_vae.py:tiny", *RUN, "--code", "3", "--squash", "relu", "--no-bias", "--planes", "4,5",
                 "--name", "none"]) == 0
    config = json.loads(Path("run/config.json").read_text())
    assert config["options"] == {"code": 3, "width": 5, "squash": "relu", "planes": [4, 5], "bias": False, "name": None,
                                 "slow": False, "image": [1, 24, 24]}
    assert config["training"]["batch_size"] == 8
    assert config["model"] == f"{folder / 'my_vae.py'}:tiny"
    assert config["digest"] == hashlib.sha256(TINY.encode()).hexdigest()


@pytest.mark.parametrize("how", few(2, [["--model", "my_vae.py:tiny"], ["--trust"], ["--model", "my_vae.py:RECORD"],
                                       ["--model", "my_vae:tiny"]]))
def test_every_verb_works_on_its_runs(run, capsys, how):
    for verb in (["evaluate", "run", "--images", "8"], ["sample", "run"], ["explore", "run"],
                 ["encode", "run", "--images", "8"], ["step", "run", "--table"],
                 ["step", "run", "--html", "step.html"], ["profile", "run", "--steps", "1"],
                 ["train", "--resume", "run", "--epochs", "3"]):
        assert main([*verb, *how]) == 0, verb
    assert capsys.readouterr().err.count("minivae: ") == 0
    for verb in (["step", "my_vae.py:RECORD", "--table"], ["profile", "my_vae:RECORD", "--steps", "1"]):
        assert main(verb) == 0, verb


@pytest.mark.parametrize("name", ["my_vae.py:tiny", "my_vae:RECORD"])
def test_the_command_that_is_said_to_continue_names_its_file(folder, capsys, name):
    assert main(["train", name, "--images", "40", "--out", "run"]) == 0
    assert said_to_continue(capsys.readouterr().out)[2:4] == ["run", "--model"]
    assert main(["train", name, "--images", "40", "--out", "run"]) == 1
    said, = re.findall("minivae (train --resume run) continues it, with (--trust) if", capsys.readouterr().err)
    assert main(" ".join(said).split()) == 0


def test_what_a_test_imported_is_forgotten(folder):
    """Or another, whose file of that name holds other lines, would be given it."""
    path, modules = sys.path[:], set(sys.modules)
    assert own_model.find("my_vae:tiny").file == str(folder / "my_vae.py")
    forget_files(folder, path, modules)
    assert "my_vae" not in sys.modules and str(folder) not in sys.path


def test_no_file_is_executed_that_nobody_named(run, capsys):
    for verb in (["evaluate", "run"], ["sample", "run"], ["explore", "run"], ["encode", "run"],
                 ["step", "run", "--table"], ["profile", "run"], ["train", "--resume", "run", "--epochs", "3"]):
        assert main(verb) == 1
        error = capsys.readouterr().err
        assert "is not executed unasked" in error and "--model FILE.py:FUNCTION, or pass --trust" in error
    assert main(["runs", "run"]) == 0 == main(["compare", "run", "run"]) and "tiny" in capsys.readouterr().out
    with pytest.raises(OptionError, match=r"load\(path, build=FUNCTION\)"):
        mv.load("run")
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", ["os:abort", "/x.py:f", "a" * 5000 + ":f", "os.path:join", "x.py:\n", "vae:vae"])
def test_what_a_strangers_file_names_is_not_executed_either(run, capsys, monkeypatch, name):
    monkeypatch.setattr(own_model, "find", lambda text: pytest.fail(f"{text} was about to be executed"))
    path = run / checkpoint.NAME
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(arrays["header"].tobytes())
    header["config"]["model"] = name
    arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)
    for verb in (["evaluate", "run"], ["step", "run", "--table"], ["train", "--resume", "run"]):
        assert main(verb) == 1
        assert len(capsys.readouterr().err) < 1000
    with pytest.raises(OptionError):
        mv.load(path)


@pytest.mark.parametrize("stop", [1, 2])
def test_a_run_that_stops_and_continues_is_the_run_that_never_stopped(folder, monkeypatch, stop):
    monkeypatch.setattr(pictures, "draw", lambda *_: [])  # most of the time
    train = ["train", "my_vae.py:tiny", "--images", "40", "--epochs"]
    assert main([*train, "4", "--out", "whole"]) == 0
    assert main([*train, str(stop), "--out", "parts"]) == 0
    assert main(["train", "--resume", "parts", "--epochs", "3", "--trust"]) == 0
    assert contents("parts") != contents("whole")
    assert main(["train", "--resume", "parts", "--epochs", "4", "--model", "my_vae.py:tiny"]) == 0
    assert contents("parts") == contents("whole")


def test_a_layer_that_the_page_cannot_run_is_named_in_a_line(folder, capsys):
    text = TINY.replace("layer=nn.Tanh", "layer=None").replace("layer if", "Soft if")
    text = text.replace("def tiny(", """class Soft(nn.Tanh):
    update_output = lambda self, input: nn.Tanh.update_output(self, input)


def tiny(""", 1)
    Path("my_vae.py").write_text(text)
    assert main(["train", "my_vae.py:tiny", *RUN]) == 0
    capsys.readouterr()
    assert main(["explore", "run", "--trust"]) == 1
    error = capsys.readouterr().err
    assert "decoder.1 Soft: the page knows no Soft" in error and error.count("\n") == 1
    assert main(["step", "run", "--html", "step.html", "--trust"]) == 0


def test_a_file_that_has_moved_is_named_anew(run, capsys):
    Path("elsewhere").mkdir()
    shutil.move("my_vae.py", "elsewhere/mine.py")
    assert main(["sample", "run", "--trust"]) == 1
    assert "my_vae.py cannot be read" in capsys.readouterr().err
    assert main(["train", "--resume", "run", "--epochs", "3", "--model", "elsewhere/mine.py:tiny"]) == 0
    assert capsys.readouterr().err.count("minivae: ") == 0
    assert main(["sample", "run", "--trust"]) == 0


def test_a_file_that_has_changed_is_said_and_refused_where_it_no_longer_fits(run, capsys):
    Path("my_vae.py").write_text(TINY + "\n# one line more\n")
    assert main(["train", "--resume", "run", "--epochs", "3", "--trust"]) == 0
    assert "my_vae.py is not as it was when run began" in capsys.readouterr().err
    Path("my_vae.py").write_text(TINY.replace("nn.Linear(code, width)", "nn.Linear(code, 9), nn.Linear(9, width)"))
    before = contents("run")
    assert main(["train", "--resume", "run", "--epochs", "4", "--trust"]) == 1
    error = capsys.readouterr().err
    assert "is not as it was" in error and "decoder.3" in error and contents("run") == before


@pytest.mark.parametrize(("text", "named", "message"), [
    (None, "absent.py:tiny", "absent.py cannot be read: No such file or directory; name a file of Python"),
    (None, "absent:tiny", "the module absent cannot be imported: ModuleNotFoundError"),
    (None, "my_vae:tiny.x", "invalid choice: 'my_vae:tiny.x'"),
    (None, "my_vae.py:small", "has no function small; it has tiny"),
    (None, "my_vae.py:nn", "has no function nn; it has tiny"),
    ("def tiny(:\n", "x.py:tiny", "x.py is not Python, line 1: invalid syntax: def tiny(:"),
    ("a = 1\nb = a / 0\n", "x.py:tiny", "x.py cannot be executed: ZeroDivisionError: division by zero, line 2"),
    ("raise SystemExit(3)\n", "x.py:tiny", "x.py cannot be executed: SystemExit: 3, line 1"),
    ("\0", "x.py:tiny", "x.py is not Python"), ("", "x.py:tiny", "has no function tiny; it has none"),
    ("def tiny(): return 3\n", "x.py:tiny", "x.py:tiny returned 3; a model's function returns a minivae.models.VAE"),
    ("def tiny():\n    return none\n", "x.py:tiny", "x.py:tiny failed: NameError: name 'none' is not defined, line 2"),
    ("def tiny():\n    exit(0)\n", "x.py:tiny", "x.py:tiny failed: SystemExit: 0, line 2"),
    ("def tiny(code): return 3\n", "x.py:tiny", "its parameter code has no annotation that says how it is typed"),
    ("def tiny(code: object): return 3\n", "x.py:tiny", "its parameter code has no annotation that says how it is"),
    ("def tiny(code: 'Code'): return 3\n", "x.py:tiny", "tiny: its parameters cannot be read: name 'Code' is not"),
    ("def tiny(x: bool = False, no_x: bool = False): return 3\n", "x.py:tiny", "its parameter no_x has the name of an"),
    ("def tiny(seed: int): return 3\n", "x.py:tiny", "its parameter seed has the name of an option of `minivae train`"),
    ("def tiny(resume: int): return 3\n", "x.py:tiny", "its parameter resume has the name of an option"),
    ("def tiny(help: int): return 3\n", "x.py:tiny", "its parameter help has the name of an option"),
    ("def tiny(code: int): return 3\n", "x.py:tiny", "the following arguments are required: --code"),
    ("from minivae.models import Record\ntiny = Record('t', lambda: 3, schedule={'epoch': 3})\n", "x.py:tiny",
     "model 't': epoch of its schedule is neither an option of training or data (epochs, batch_size"),
    ("import minivae.models as m\ndef tiny(): return m.vae(image=(5, 5))\n", "x.py:tiny", "View(25): input has shape")])
def test_what_cannot_be_used_is_explained(folder, capsys, text, named, message):
    if text is not None:
        Path("x.py").write_text(text)
    try:
        status = main(["train", named, "--images", "40"])
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status in (1, 2) and message in " ".join(error.split()) and "Traceback" not in error
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


@pytest.mark.parametrize("name", ["folder", "record", "run", "memory", "less", "total", "own", "trust", "model"])
def test_a_parameter_may_have_any_other_name(folder, name):
    preset = f', presets={{"small": Preset("", {{"{name}": 3}})}})'
    text = TINY.replace("code", name).replace("VAE, Record", "VAE, Preset, Record")
    Path("x.py").write_text(text.removesuffix(")\n") + preset)
    for number, (given, value) in enumerate([([], 2), ([f"--{name}", "4"], 4), (["--preset", "small"], 3)]):
        assert main(["train", "x.py:tiny", *RUN[:2], *given, "--out", str(number)]) == 0
        assert json.loads(Path(f"{number}/config.json").read_text())["options"][name] == value


def test_a_part_that_is_asked_for_after_training_is_missed_before(folder, capsys):
    Path("x.py").write_text("""from minivae import models, nn
class Half(nn.GaussianLatent):
    sample_prior = nn.Latent.sample_prior
class KL(nn.GaussianKL):
    latent_class = Half
def tiny():
    made = models.vae(hidden=3)
    return models.VAE(made.encoder, KL(), made.sampler, made.decoder, 2)
""")
    assert main(["train", "x.py:tiny", *RUN]) == 1 and not Path("run").exists()
    assert "Half has no sample_prior" in capsys.readouterr().err


def test_options_of_a_built_in_run_have_no_file(folder, capsys):
    assert main(["train", "vae", "--images", "40", "--hidden", "4", "--epochs", "1", "--out", "run"]) == 0
    assert main(["sample", "run", "--model", "my_vae.py:tiny"]) == 1
    assert "leave out --model" in capsys.readouterr().err and not Path("executed").exists()
    assert main(["train", "--trust", "vae"]) == 1


# -- in Python ----------------------------------------------------------------------------------------

OPTIONS = {"image": (1, 8, 8), "hidden": 3, "code": 3, "beta": 0.5, "samples": 2, "planes": (2, 3), "p": 0.25,
           "temperature": 0.7, "straight_through": True, "learn_prior": True, "categories": 4, "likelihood": "gaussian",
           "log_var_floor": None, "batch_normalization": True, "labels": 3}


@pytest.mark.parametrize("record", models.ALL, ids=lambda record: record.name)
def test_what_is_saved_comes_back(folder, record):
    assert set(record.parameters) <= set(OPTIONS)
    options = {name: OPTIONS[name] for name in record.parameters}
    model = record.function(**options).double()
    mv.save(model, "vae.npz")
    again = mv.load("vae.npz")
    assert not again.train and again.dtype == np.float64 and repr(again) == repr(model)
    assert all(np.array_equal(a, b) for a, b in zip(again.state_dict().values(), model.state_dict().values()))
    assert again.kl.beta == 0.5 and again.samples == 2 and again.made == (record.function, model.made[1])
    mv.save(again, "again.npz")
    assert Path("again.npz").read_bytes() == Path("vae.npz").read_bytes()


@pytest.mark.parametrize(("function", "options", "plain"), [
    (models.vae, {"image": np.array([28, 28], np.uint8), "hidden": np.int8(100), "code": np.int64(2)},
     {"image": (28, 28), "hidden": 100, "code": 2}),
    (models.vae, {"image": tuple(np.array([1, 6, 6])), "beta": np.float32(0.5)}, {"image": (1, 6, 6), "beta": 0.5}),
    (models.vae, {"image": (np.prod((2, 3)),), "beta": Fraction(1, 2)}, {"image": (6,), "beta": 0.5}),
    (models.conv_vae, {"planes": np.array([4, 80], np.uint8), "batch_normalization": np.True_},
     {"planes": (4, 80), "batch_normalization": True}),
    (models.bernoulli_vae, {"image": (6, 6), "straight_through": np.bool_(True), "temperature": np.array(0.5)},
     {"image": (6, 6), "straight_through": True, "temperature": 0.5}),
    (models.categorical_vae, {"image": [6, 6], "code": np.int8(100), "categories": np.int8(10)},
     {"image": (6, 6), "code": 100, "categories": 10})])
def test_numbers_of_numpy_are_taken_as_pythons(folder, function, options, plain):
    """A file keeps these; and small ones would wrap around: 28 · 28 of uint8 is 16."""
    model = function(**options)
    mv.save(model, "vae.npz")
    assert repr(mv.load("vae.npz")) == repr(model) == repr(function(**plain))
    assert repr(model.made[1]) == repr(function(**plain).made[1])


def own_vae(width=4, code=2):
    return models.VAE(mv.nn.Sequential(mv.nn.View(9), mv.nn.ConcatTable(mv.nn.Linear(9, code), mv.nn.Linear(9, code))),
                      mv.nn.GaussianKL(), mv.nn.GaussianSampler(), mv.nn.Sequential(mv.nn.Linear(code, width),
                      mv.nn.Linear(width, 9)), code)


def test_one_of_ones_own_takes_the_function_that_made_it(folder):
    model = own_vae(width=5)
    mv.save(model, "own.npz", width=5)
    again = mv.load("own.npz", build=own_vae)
    assert np.array_equal(again.decoder[0].weight, model.decoder[0].weight)
    mv.save(own_vae(), "plain.npz")
    assert mv.load("plain.npz", build=own_vae).code == 2
    with pytest.raises(OptionError, match=r"load\(path, build=FUNCTION\) takes the function that made it"):
        mv.load("own.npz")
    with pytest.raises(OptionError, match="returned None; a model's function returns"):
        mv.load("own.npz", build=lambda width: None)
    with pytest.raises(mv.errors.MinivaeError, match=r"saved with decoder\.0 Linear\(2 -> 4\)"):
        mv.load("plain.npz", build=lambda: own_vae(width=5))


def tanh(model):
    model.replace(lambda layer: mv.nn.Tanh() if isinstance(layer, mv.nn.ReLU) else layer)
    return model


def tiny(code=2):
    return tanh(models.vae(image=(3, 3), hidden=4, code=code))


CHANGES = {
    "was saved with encoder.2 Tanh, and 'vae' makes encoder.2 ReLU; load": tanh,
    "was saved with encoder.1 Tanh, and 'vae' makes encoder.1 Linear": lambda model: model.encoder.insert(
        mv.nn.Tanh(), 1),
    "was saved with decoder.6 Clamp.None, 1., and 'vae' makes nothing more": lambda model: model.decoder.add(
        mv.nn.Clamp(high=1))}


@pytest.mark.parametrize("message", CHANGES)
def test_a_model_that_was_changed_is_not_brought_back_as_another(folder, message):
    model = models.vae(image=(3, 3), hidden=4)
    CHANGES[message](model)
    mv.save(model, "vae.npz")
    with pytest.raises(OptionError, match=message):
        mv.load("vae.npz")


def test_a_function_may_change_one_of_ours(folder):
    model = tiny(code=3)
    mv.save(model, "tiny.npz")
    again = mv.load("tiny.npz", build=tiny)
    assert repr(again) == repr(model) and np.array_equal(again.decoder[0].weight, model.decoder[0].weight)
    with pytest.raises(OptionError, match=r"'build' makes encoder\.2 ReLU"):
        mv.load("tiny.npz", build=lambda code: models.vae(image=(3, 3), hidden=4, code=code))


def test_what_training_sets_in_layers_comes_back(folder):
    model = models.bernoulli_vae(image=(3, 3), hidden=4, code=2)
    model.kl.beta, model.kl.free_bits, model.sampler[0].samples = np.float32(0.25), 0.5, 3
    model.sampler[0].temperature, model.sampler[2].straight_through = 0.7, True
    mv.save(model, "vae.npz")
    again = mv.load("vae.npz")
    assert repr(again) == repr(model) and again.kl.free_bits == 0.5 and again.samples == 3
    model.kl.beta = -1
    with pytest.raises(OptionError, match=r"kl\.beta=-1 is not a number from 0"):
        mv.save(model, "no.npz")
    assert not Path("no.npz").exists()


@pytest.mark.parametrize("options", [{"code": 7}, {"foo": 7}, {"code": "x"}])
def test_options_that_made_another_model_are_not_saved(folder, options):
    model = models.vae(image=(3, 3), hidden=4, code=2)
    with pytest.raises(OptionError, match=next(iter(options))):
        mv.save(model, "vae.npz", **options)
    mv.save(model, "vae.npz", image=[3, 3], code=np.int64(2))
    assert mv.load("vae.npz").made[1]["code"] == 2


@pytest.mark.parametrize(("entry", "said"), [
    ({"layers": 3}, "made in its header is not one"), ({"layers": [["x" * 9999]]}, r"was saved with \['xxx"),
    ({"set": []}, "made in its header is not one"), ({"set": {"kl.beta": "x"}}, "kl.beta='x' is not a number from 0"),
    ({"set": {"sampler.samples": 0}}, "sampler.samples=0 is not a whole number from 1")])
def test_layers_of_a_strangers_file_are_checked(folder, entry, said):
    model = models.vae(image=(3, 3), hidden=4)
    mv.save(model, "vae.npz")
    content = with_header(Path("vae.npz").read_bytes(), lambda header: header["made"].update(entry))
    Path("vae.npz").write_bytes(content)
    with pytest.raises(OptionError, match=said) as error:
        mv.load("vae.npz")
    assert len(str(error.value)) < 500
    checkpoint.save_alone("vae.npz", model, {"model": "vae", "options": model.made[1]})  # of an earlier version
    mv.load("vae.npz")


class Seen(nn.Identity):
    """A layer that shows what it has seen."""

    seen = 0

    def update_output(self, input):
        self.seen += 1
        return super().update_output(input)

    def extra_repr(self):
        return f"{self.seen} batches"


def watched():
    model = models.vae(image=(3, 3), hidden=4)
    model.decoder.add(Seen())
    return model.made_by(watched, {})


def test_what_a_layer_of_ones_own_shows_is_no_part_of_a_model(folder):
    model = watched()
    model.forward(np.zeros((2, 3, 3), np.float32))
    mv.save(model, "vae.npz")
    assert "0 batches" in repr(mv.load("vae.npz", build=watched))
    with pytest.raises(OptionError, match=r"saved with decoder.6 Seen, and 'build' makes nothing more"):
        mv.load("vae.npz", build=lambda: models.vae(image=(3, 3), hidden=4))


def test_a_run_is_loaded_as_a_file_is(run):
    model = mv.load(run, build=own_model.find("my_vae.py:tiny").function)
    assert isinstance(model, models.VAE)
    assert main(["train", "vae", "--images", "40", "--hidden", "4", "--epochs", "1", "--out", "builtin"]) == 0
    assert mv.load("builtin").decoder[0].n_out == 4
    mv.save(mv.load("builtin"), "alone.npz")
    assert main(["sample", "alone.npz"]) == 0
    assert main(["evaluate", "alone.npz"]) == 1 and main(["train", "--resume", "alone.npz"]) == 1


def test_a_model_alone_is_no_training(folder, capsys):
    Path("alone").mkdir()
    mv.save(models.vae(image=(1, 24, 24), hidden=4), "alone/checkpoint.npz")
    assert main(["train", "--resume", "alone"]) == 1
    assert "has no usable seed, backend, data, training" in capsys.readouterr().err
    with pytest.raises(OptionError, match="no training that could be continued"):
        checkpoint.restore("alone", mv.training.Training(models.vae(hidden=4), mv.data.Batches(
            mv.data.rectangles(20), 8)))


# -- annotations and docstrings -----------------------------------------------------------------------


@pytest.mark.parametrize(("annotation", "good", "bad"), [
    (int, {"3": 3, "-2": -2}, ["1.5", "x", "", "9" * 30]), (float, {"3": 3.0, "1e-3": 1e-3}, ["nan", "x"]),
    (bool, {"true": True, "No": False}, ["maybe"]), (str, {"a b": "a b", "": ""}, []),
    (Literal["a", 2], {"a": "a", "2": 2}, ["b"]), (int | None, {"3": 3, "none": None}, ["x"]),
    (str | None, {"x": "x", "None": None}, []), (tuple[int, ...], {"1,2": (1, 2), "3": (3,)}, ["1,", "1,x", ""]),
    (tuple[int, float], {"1,2.5": (1, 2.5)}, ["1", "1,2,3"]), (list[str], {"a,b": ("a", "b")}, []),
    (Annotated[int, "words"], {"3": 3}, ["x"]), (kinds.Probability, {"0.5": 0.5}, ["2", "nan"]),
    (kinds.Whole | None, {"1": 1, "none": None}, ["0"])])
def test_kinds_of_annotations(annotation, good, bad):
    kind = kinds.of(annotation)
    for text, value in good.items():
        assert kind.read(text) == value and type(kind.read(text)) is type(value)
        assert kind.take(json.loads(json.dumps(value))) == value
    for text in bad:
        with pytest.raises(ValueError):
            kind.read(text)
    with pytest.raises(ValueError):
        kind.take({})


def test_annotations_that_nobody_can_type():
    for annotation in (object, dict[str, int], tuple[object, ...], tuple, int | dict, Annotated[dict, 3], mv.nn.Linear):
        assert kinds.of(annotation) is None


def test_types_come_from_defaults_too():
    found = parameters(lambda a=1, b=1.5, c="x", d=(1, 2), e=False, f=None, *, g=3, **more: None, {})
    assert {name: each.kind and each.kind.metavar for name, each in found.items()} == {
        "a": "N", "b": "X", "c": "TEXT", "d": "A,B,...", "e": "TRUTH", "f": None, "g": "N"}


@pytest.mark.parametrize("text", [
    "Words.\n\n    Args:\n        code: size of it\n        width (int, optional): units,\n            of one layer\n",
    "Words.\n\n    :param code: size of it\n    :param int width: units,\n        of one layer\n    :returns: a VAE\n",
    "Words.\n\n    Parameters\n    ----------\n    code : int\n        size of it\n    width : int, optional\n"
    "        units,\n        of one layer\n\n    Returns\n    -------\n    VAE\n",
    "Words.\n\n        code    size of it       \n        width   units,\n                of one layer\n\n"
    "    width  of another line"])
def test_docstrings_of_all_styles(text):
    def function(code, width, other):
        pass

    function.__doc__ = text
    assert described(function, ("code", "width", "other")) == {"code": "size of it", "width": "units, of one layer"}
