"""Random command lines and environments: each ends in an exit status, never in a traceback."""

import io
import os
import random
import shlex
import shutil
import sys
import warnings

import pytest
from small import sized

from minivae import backend
from minivae.backend import compiled, workers
from minivae.cli import doctor, main, parser, pictures, step, training_run

NUMBERS = ["0", "1", "2", "3", "-1", "1.5", "1e-3", "1e400", "nan", "inf", "-inf", "9" * 400, "9" * 5000, "1_0", "0x10",
           "٣", "½", "", " ", "1,2", "1,", "none", str(2**63), str(2**64), "1e308"]
TEXTS = ["", "~", "~/x", "~nobody-is-called-so", "a" * 300, "\0", "\udcff", "λ/x", ".", "/", "-", "--", "%s", "{}",
         "@run", "run", "run/checkpoint.npz", "run/config.json", "loop", "file", "file/x", "none", "vae", "auto",
         "numpy", "cupy", "rectangles", "mnist", "fixed", "gaussian", "jang", "a\nb", "../x", os.devnull,
         "file.py:f", "json:dumps", "file:f"]
SMALL = {"--images": ["16", "20"], "--epochs": ["1", "2"], "--hidden": ["2", "3"], "--batch-size": ["8"],
         "--steps": ["1"], "--planes": ["2", "2,2"], "--samples": ["1", "2"], "--code": ["2", "3"],
         "--categories": ["2"]}
ALWAYS = {"train": ["--images", "16", "--epochs", "1", "--batch-size", "8"], "evaluate": ["--images", "2"],
          "profile": ["--steps", "1", "--batch-size", "4"], "step": ["--images", "1"]}
ENVIRONMENT = {"MINIVAE_BACKEND": ["", "numpy", "auto", "jax", "a" * 300, os.fsdecode("λ".encode())],
               "MINIVAE_THREADS": ["1", "0", "-1", "abc", os.fsdecode("½".encode())],
               "MINIVAE_DATA": ["", "~", "loop", "file", "a" * 300, "nowhere"], "HOME": ["", "nowhere", "loop"],
               "XDG_CACHE_HOME": ["", "~", "loop", "file", "a" * 300], "COLUMNS": ["0", "-1", "1", "abc", "9" * 50],
               "PMI_SIZE": ["", "0", "1", "-3", "abc", "9" * 5000, "2"], "OMPI_COMM_WORLD_SIZE": ["", "1", "x", "4"],
               "MPLCONFIGDIR": ["loop", "file"], "TMPDIR": ["nowhere"]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "vae", "--images", "16", "--hidden", "2", "--epochs", "1", "--batch-size", "8", "--out",
                 str(out)]) == 0
    return out


def verbs():
    """{verb and model: its options, each with whether it takes a value}, as the parser has them."""
    found = {}

    def walk(one, words):
        if one.prepare:
            one.prepare([])
        inner = [action for action in one._actions if isinstance(action.choices, dict)]
        found[words] = {name: action.nargs != 0 for action in one._actions for name in action.option_strings}
        for action in inner:
            for name, below in action.choices.items():
                walk(below, (*words, name))
    walk(parser(), ())
    return found


def value(option, dice):
    """Half of the values of an option are good ones, which let the verb begin."""
    if option in SMALL and dice.random() < 0.6:
        return dice.choice(SMALL[option])
    if option in SMALL:  # no number that would be awaited
        return dice.choice([each for each in NUMBERS + TEXTS if not each.strip().isdecimal()] + ["0", "9" * 400])
    return dice.choice(dice.choice([NUMBERS, TEXTS]))


def command(dice, known):
    words = dice.choice([words for words in known if words])
    arguments = list(words)
    if words[0] in ("evaluate", "sample", "explore", "step", "profile"):
        arguments.append("run" if dice.random() < 0.7 else dice.choice(TEXTS))
    if words[0] == "train" and len(words) == 1:
        arguments += ["--resume", "run"] if dice.random() < 0.7 else []
    elif words[0] in ALWAYS:
        arguments += ALWAYS[words[0]]
        if words[0] == "train":
            for name, size in sized(words[1], planes="2", hidden="2").items():
                arguments += [f"--{name}", size]
            arguments += ["--data", "rectangles"] + ["--out", "new"] * (dice.random() < 0.5)
    for option in dice.sample(sorted(known[words]), min(len(known[words]), dice.randint(0, 3))):
        arguments.append(option)
        if known[words][option] and dice.random() < 0.95:
            arguments.append(value(option, dice))
    if dice.random() < 0.05:
        arguments.insert(dice.randint(0, len(arguments)), dice.choice(TEXTS + NUMBERS))
    return arguments


@pytest.mark.skipif(os.name != "posix", reason="Windows has other rules for names")
@pytest.mark.parametrize("count", [100, pytest.param(8000, marks=pytest.mark.slow)])
def test_no_command_line_ends_in_a_traceback(tmp_path, monkeypatch, trained, count):
    seed = int(os.environ.get("MINIVAE_FUZZ_SEED") or 0)
    print(f"MINIVAE_FUZZ_SEED={seed}")
    dice, known, ended = random.Random(seed), verbs(), dict.fromkeys((0, 1, 2, 130), 0)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pictures, "draw", lambda *_: [])  # most of the time
    monkeypatch.setattr(step, "nudges", lambda *_: [])
    monkeypatch.setattr(training_run, "memory", lambda name: 2**26)
    monkeypatch.setattr(doctor, "SIZE", 16)
    monkeypatch.setattr(compiled, "sentence", lambda: "none")
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    for _ in range(count):
        for name in os.listdir("."):
            shutil.rmtree(name) if os.path.isdir(name) and not os.path.islink(name) else os.unlink(name)
        shutil.copytree(trained, "run")
        os.symlink("loop", "loop")
        with open("file", "w"):
            pass
        arguments = command(dice, known)
        changed = {name: dice.choice(values) for name, values in ENVIRONMENT.items() if dice.random() < 0.05}
        with monkeypatch.context() as patch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, text in changed.items():
                patch.setenv(name, text)
            patch.setitem(backend.use.__globals__["_settings"], "backend", None)
            patch.setattr(workers, "_count", None)
            for name in ("stdin", "stdout", "stderr"):
                patch.setattr(sys, name, io.StringIO("n\nprint\n" if name == "stdin" else ""))
            line = " ".join([*(f"{name}={shlex.quote(text)}" for name, text in changed.items()), "minivae",
                             shlex.join(arguments)]).encode(errors="backslashreplace").decode()
            try:
                status = main(arguments)
            except SystemExit as stop:
                status = stop.code
            except BaseException as error:
                raise AssertionError(f"seed {seed}: {line}") from error
        assert status in ended, f"seed {seed}: {status} from {line}"
        ended[status] += 1
    assert min(ended[each] for each in (0, 1, 2)) > count / 20, f"these show nothing: {ended}"
