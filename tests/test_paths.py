"""Folders and files that cannot be: no verb ends in a traceback, whatever its options name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from few import few

import minivae as mv
from minivae import files
from minivae.cli import doctor, main, pictures, step
from minivae.data import mnist
from minivae.errors import OptionError
from minivae.files import atomic

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has other rules for names, links and permissions")
TRAIN = ["train", "vae", "--images", "32", "--hidden", "4", "--epochs", "1"]
OPTIONS = [
    [*TRAIN, "--out"], ["train", "--resume"], ["train", "--resume", "run", "--root"], ["train", "aevb", "--root"],
    ["evaluate"], ["evaluate", "run", "--root"], ["evaluate", "run", "--images", "2", "--out"], ["sample"],
    ["sample", "run", "--out"], ["explore"], ["explore", "run", "-o"], ["explore", "run", "--root"], ["encode"],
    ["encode", "run", "--root"], ["encode", "run", "-o"], ["runs"], ["compare", "run"], ["step"],
    ["step", "run", "--html"], ["profile"]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    assert main([*TRAIN, "--out", str(out)]) == 0
    return out


@pytest.fixture
def folder(tmp_path, monkeypatch, trained):
    shutil.copytree(trained, tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    monkeypatch.setattr(doctor, "SIZE", 64)
    return tmp_path


def status(arguments):
    try:
        return main(arguments)
    except SystemExit as stop:
        return stop.code


HOSTILE = ["", "/", "a" * 300, "a/" * 3000, "loop", "loop/x", "dangling", "file/below", "~nobody-has-this-name/x",
           "\0", "a\0b", "\udcff", "\n", "-", "/dev/null", "/dev/full/x", "file", "[a]*?", "run/checkpoint.npz/x",
           "./.././.", "/proc/self/mem"]


@posix
@pytest.mark.parametrize("arguments", few(8, OPTIONS), ids=" ".join)
def test_paths_that_cannot_be(folder, capsys, monkeypatch, arguments):
    monkeypatch.setattr(pictures, "draw", lambda *_: [])  # most of the time
    monkeypatch.setattr(step, "nudges", lambda *_: [])
    Path("loop").symlink_to("loop")
    Path("dangling").symlink_to("nowhere")
    Path("file").write_text("")
    for path in HOSTILE:
        if path in ("/", "./.././.") and arguments[-1] == "--out" and arguments[0] == "sample":
            continue  # may well be written to
        assert status([*arguments, path]) in (0, 1, 2), path
        said = capsys.readouterr().err
        assert "Traceback" not in said
        if path in ("", "a" * 300, "loop", "loop/x", "~nobody-has-this-name/x", "\0"):
            assert "error: argument " in said
    assert not Path("/dev/null").is_file() and Path("/dev/null").exists()


def test_a_file_takes_no_name_of_a_device_or_a_folder(folder):
    for path in ("run", ".", "/", os.devnull):
        with pytest.raises(OptionError, match="cannot write"):
            with atomic(path) as file:
                file.write(b"x")
    assert not Path(os.devnull).is_file()


@pytest.mark.parametrize(("arguments", "file", "work"), [
    (["evaluate", "run", "--out", "made"], "made/evaluation.json", "evaluation.elbo"),
    (["evaluate", "run", "--json"], "run/evaluation.json", "evaluation.elbo"),
    (["sample", "run", "--out", "made"], "made/interpolations.png", "figures.prior_samples"),
    (["sample", "run"], "run/interpolations.png", "figures.prior_samples"),
    (["encode", "run", "-o", "none/codes.npz"], "none/codes.npz", "evaluation.encode"),
    (["encode", "run"], "run/codes.npz", "evaluation.encode"),
    (["explore", "run", "-o", "none/a.html"], "none/a.html", "cli.explore.explorer"),
    (["explore", "run"], "run/latent.html", "cli.explore.explorer"),
    (["step", "run", "--html", "none/a.html"], "none/a.html", "cli.step.trace"),
    (["compare", "run", "run", "-o", "none/a.png"], "none/a.png", "figures.comparison"),
    (["compare", "run", "run"], "compare.png", "figures.comparison")], ids=str)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(folder, capsys, monkeypatch, arguments, file, work):
    monkeypatch.setattr(f"minivae.{work}", lambda *_, **__: pytest.fail("it began to work"))
    if not file.startswith("none"):
        Path(file).unlink(missing_ok=True)
        Path(file).mkdir(parents=True)
    assert main(arguments) == 1
    assert f"minivae: cannot write {Path(file)}: " in capsys.readouterr().err
    assert not [path for path in folder.rglob(".*") if path.is_file()]


@pytest.mark.parametrize(("arguments", "endings"), [
    (["explore", "run", "-o"], ".html or .htm"), (["step", "run", "--html"], ".html or .htm"),
    (["encode", "run", "-o"], ".npz"), (["compare", "run", "run", "-o"], ".png")], ids=str)
def test_a_file_ends_as_what_is_written(folder, capsys, arguments, endings):
    for name in ("a.csv", "a.png.x", "b.c/a.jpg"):
        assert status([*arguments, name]) == 2
        assert f"'{name}' ends in {Path(name).suffix}, and its format would not be that one; let it end in {endings}" \
            in capsys.readouterr().err
    for name in ("a", f"a{endings.split()[0].upper()}"):
        assert main([*arguments, name]) == 0 and Path(name).is_file()


@pytest.mark.parametrize("name", ["a" * 250, os.fsdecode(("é" * 120).encode()), "[a].html"])
def test_a_name_may_be_as_long_as_the_system_takes(folder, name):
    with pytest.raises(ZeroDivisionError):
        with atomic(name) as file:
            left = files.strays(name)
            file.write(b"x")
            raise ZeroDivisionError
    assert len(left) == 1 and not files.strays(name) and not Path(name).exists()
    with atomic(name) as file:
        file.write(b"x")
    assert Path(name).read_bytes() == b"x"


@pytest.fixture
def homeless(folder, monkeypatch):
    """A user without an entry in the list of users, HOME or anything else that says where to keep things."""
    pwd = pytest.importorskip("pwd")
    for name in ("HOME", "XDG_CACHE_HOME", "MINIVAE_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: (_ for _ in ()).throw(KeyError(uid)))


def test_no_home(homeless, capsys, monkeypatch):
    assert main(["train", "aevb"]) == 1
    assert "no such home folder" in (said := capsys.readouterr().err) and "--root" in said
    for arguments in OPTIONS:
        assert status([*arguments, "~"]) == 2 and status([*arguments, "~/x"]) == 2
        assert "no such home folder" in capsys.readouterr().err
    monkeypatch.setenv("MINIVAE_DATA", "~/x")
    assert main(["train", "aevb"]) == 1 and "MINIVAE_DATA" in capsys.readouterr().err
    for arguments in (TRAIN, ["evaluate", "run"], ["explore", "run"], ["step", "run", "--table"], ["doctor"]):
        assert main(arguments) == 0


def test_a_tilde_is_the_home_folder_for_every_option(folder, capsys, monkeypatch, small_mnist):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    short = ["--images", "4"]
    for arguments in ([*TRAIN, "--out", "~/mine"], ["train", "--resume", "~/mine", "--epochs", "2"],
                      ["evaluate", "~/mine", *short], ["evaluate", "~/mine", *short, "--out", "~/found"],
                      ["sample", "~/mine", "--out", "~/drawn"], ["explore", "~/mine", "-o", "~/page.html"],
                      ["encode", "~/mine", "-o", "~/codes.npz"], ["runs", "~/mine"], ["compare", "~/mine", "~/mine"],
                      ["step", "~/mine", "--html", "~/step.html"], ["profile", "~/mine", "--steps", "1"]):
        assert main(arguments) == 0, arguments
    for name in ("mine/checkpoint.npz", "found/evaluation.json", "drawn/interpolations.png", "page.html", "step.html"):
        assert (folder / name).is_file()
    assert main(["train", "aevb", "--root", "~/files", "--images", "20", "--hidden", "4", "--epochs", "1",
                 "--batch-size", "10"]) == 0
    monkeypatch.setenv("MINIVAE_DATA", "~/files")
    assert len(mnist("test")[0]) == 50
    assert not (folder / "~").exists()


def test_hints_can_be_pasted(folder, capsys):
    assert main([*TRAIN, "--out", "my run"]) == 0
    assert "minivae train --resume 'my run' --epochs 2 continues" in capsys.readouterr().out
    assert main([*TRAIN, "--out", "my run"]) == 1
    assert "minivae train --resume 'my run' continues" in capsys.readouterr().err


@posix
def test_names_that_are_no_text(folder):
    """Bytes that are no UTF-8 in the name of a run, which every verb prints and a page shows."""
    run = os.fsdecode(b"run\xff")
    shutil.copytree("run", run)
    for arguments in (["evaluate", run, "--images", "2"], ["sample", run],
                      ["step", run, "--html", "a.html"], ["train", "--resume", run, "--epochs", "2"],
                      ["profile", run, "--steps", "1"], ["explore", run]):
        assert main(arguments) == 0
    assert "latent explorer" in Path(run, "latent.html").read_text(encoding="utf-8")


# -- permissions --------------------------------------------------------------------------------------

DENIED = """
import os, shutil, sys
from minivae.cli import doctor, main
from minivae.data import mnist
import urllib.request
def refuse(*arguments, **options): raise OSError("no network")
urllib.request.urlopen = refuse
def status(arguments):
    try:
        return main(arguments)
    except SystemExit as stop:
        return stop.code
train = ["train", "vae", "--images", "32", "--hidden", "4", "--epochs", "1"]
os.makedirs("shut/x"); os.makedirs("readonly"); os.makedirs("unlisted")
shutil.copytree("run", "shut/run"); shutil.copytree("run", "fixed"); shutil.copytree("run", "secret")
open("unlisted/thesis", "w").close()
os.chmod("shut", 0); os.chmod("readonly", 0o555); os.chmod("fixed", 0o555); os.chmod("secret/checkpoint.npz", 0)
os.chmod("unlisted", 0o333)
for verb in (["evaluate"], ["sample"], ["explore"], ["step"], ["profile"], ["train", "--resume"]):
    for run in ("shut/run", "shut", "secret"):
        assert status([*verb, run]) in (1, 2), (verb, run)
os.makedirs("mixed/open"); os.makedirs("mixed/closed"); os.makedirs("mixed/sealed")
for place in ("open", "closed", "sealed"):
    shutil.copyfile("run/checkpoint.npz", f"mixed/{place}/checkpoint.npz")
os.chmod("mixed/closed", 0); os.chmod("mixed/sealed/checkpoint.npz", 0)
assert status(["runs", "mixed"]) == 0 and status(["runs", "mixed/closed", "mixed/open"]) == 0
assert status(["compare", "mixed", "run"]) == 0 and status(["compare", "mixed"]) == 1
for run in ("fixed", "readonly", "shut", "unlisted"):
    assert status([*train, "--out", run, "--force"]) in (1, 2), run
    assert status([*train, "--out", run + "/new"]) in ((0, 1) if run == "unlisted" else (1, 2)), run
    assert status(["sample", "run", "--out", run]) in ((0, 1) if run == "unlisted" else (1, 2)), run
    assert status(["train", "aevb", "--root", run]) in (1, 2), run
assert status(["train", "--resume", "fixed", "--epochs", "2"]) == 1
assert status(["evaluate", "fixed", "--images", "2"]) == 1
assert status(["evaluate", "fixed", "--images", "2", "--out", "here"]) == 0
assert status(["explore", "fixed"]) == 1 and status(["explore", "fixed", "-o", "here.html"]) == 0
os.environ["MINIVAE_DATA"] = "shut"
assert status(["train", "aevb"]) == 1
os.environ["HOME"] = os.path.abspath("readonly"); del os.environ["MINIVAE_DATA"]; os.environ.pop("XDG_CACHE_HOME", 0)
assert status(["train", "aevb"]) == 1
os.umask(0o777)
assert status([*train, "--out", "nobody/reads/this"]) == 1
assert status([*train, "--out", "nobodys"]) == 1
os.umask(0o022)
os.makedirs("gone"); os.chdir("gone"); os.rmdir("../gone")
assert status(train) == 1 and status([*train, "--out", "x"]) == 1 and status(["explore", "."]) == 1
os.chdir("/")
"""


@posix
def test_permissions(folder, without_rights):
    """Folders that may not be searched, read or written, by a process that has no more rights than anybody."""
    command = [*without_rights, sys.executable, "-W", "error", "-c", DENIED]
    done = subprocess.run(command, capture_output=True, text=True)
    for path in ("shut", "readonly", "fixed", "unlisted", "nobody", "nobodys", "mixed/closed"):
        if os.path.exists(path):
            os.chmod(path, 0o755)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("\nmixed/open ") == 3
    for place, times in (("closed", 4), ("sealed", 3)):
        assert done.stdout.count(f"left out: mixed/{place}/checkpoint.npz may not be read") == times


@pytest.mark.parametrize("path", [None, 3, b"x", ["x"]], ids=repr)
@pytest.mark.parametrize("use", [
    mv.load, lambda path: mv.save(mv.models.vae(image=(2, 2), hidden=2), path), mv.data.image_folder,
    mv.data.array_file, mv.data.idx_folder, mv.data.own_data.read])
def test_what_is_no_path(use, path):
    with pytest.raises(OptionError, match=r"^path=.*: a path is a text or a pathlib\.Path$"):
        use(path)


def test_a_tilde_is_the_home_folder_in_python(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    mv.save(mv.models.vae(image=(2, 2), hidden=2), "~/vae.npz")
    assert mv.load("~/vae.npz").code == 2 and os.listdir(tmp_path) == ["vae.npz"]
    np.save("images.npy", np.zeros((3, 4, 4), np.uint8))
    assert len(mv.data.array_file("~/images.npy")[0]) == 3
