"""Runs that are killed outright, and disks that fill up: real processes, real signals, real file systems."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from few import few

from minivae import checkpoint
from minivae.cli import main, pictures

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
PYTHON = [sys.executable, "-W", "error"]
TRAIN = [*PYTHON, "-m", "minivae", "train"]
SMALL = ["--images", "64", "--hidden", "8", "--batch-size", "32"]  # two steps an epoch: half of the time it writes
HALF_A_CHECKPOINT = "half written", """
import numpy, os, signal
whole = numpy.savez
def savez(file, **arrays):
    file.write(b"PK" * 999)
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
BEFORE_THE_RENAME = "not yet renamed", """
import numpy, os, signal
whole = numpy.savez
def savez(file, **arrays):
    whole(file, **arrays)
    os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch, no_curves):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_pictures(monkeypatch):
    """They take most of the time of a short run, and no test here that ends before them needs them."""
    monkeypatch.setattr(pictures, "draw", lambda *arguments: [])


def finish(*arguments):
    """Do as `minivae train ...` does, to its end."""
    assert main(["train", *arguments]) == 0


def contents(run):
    """The files of a run, but for the curve, which processes do not draw here."""
    return {path.name: path.read_bytes() for path in Path(run).iterdir() if path.name != "curve.png"}


def steps(run):
    """Steps in a run's checkpoint, 0 without one; every file that is there has to be whole."""
    run = Path(run)
    if (run / "config.json").exists():
        json.loads((run / "config.json").read_text())
    if not (run / checkpoint.NAME).exists():
        return 0
    header, arrays = checkpoint.read(run)
    assert len(arrays["protocol"]) == header["steps"]
    return header["steps"]


def killed(command, wait_for_it, seconds):
    """Start it, kill it after so many seconds, counted from its first line or from the start; whether it was killed."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        if wait_for_it:
            process.stdout.readline()
        try:
            process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), "it ended by itself, with an error"
    return process.returncode != 0


@pytest.mark.parametrize(("kills", "epochs"), [(3, 60), pytest.param(200, 400, marks=pytest.mark.slow)])
def test_a_run_survives_being_killed_at_any_moment(folder, kills, epochs):
    """A run is killed and continued until it ends, then another one, until there were so many kills."""
    start, dice = ["bernoulli", *SMALL, "--keep-best", "--epochs", str(epochs), "--out"], random.Random(kills)
    finish(*start, "whole")
    whole, done, finished, half_written, reached = contents("whole"), 0, 0, 0, 0
    while done < kills:
        begun = Path("killed/config.json").exists()
        from_the_start = dice.random() < 0.2
        seconds = dice.uniform(0, 1.0 if from_the_start else 0.3)
        if killed([*TRAIN, *(["--resume", "killed"] if begun else [*start, "killed"])], not from_the_start, seconds):
            done += 1
            half_written += any(name.startswith(".") for name in os.listdir("killed")) if Path("killed").exists() else 0
            assert steps("killed") >= reached, "a checkpoint was lost"
            reached = steps("killed")
        else:
            assert contents("killed") == whole
            shutil.rmtree("killed")
            finished, reached = finished + 1, 0
    print(f"{done} kills, {half_written} of them in the middle of a file; {finished} runs ended in between, the last "
          f"was continued from step {reached} of {2 * epochs}")
    if Path("killed/config.json").exists():
        finish("--resume", "killed")
        assert contents("killed") == whole


@pytest.mark.parametrize(("moment", "code"), [HALF_A_CHECKPOINT, BEFORE_THE_RENAME])
@pytest.mark.parametrize("epoch", few(1, [3, 1]))
def test_a_kill_inside_of_a_write_leaves_the_checkpoint_before(folder, no_pictures, moment, code, epoch):
    arguments = ["train", "vae", *SMALL, "--epochs", "4", "--out"]
    finish(*arguments[1:], "whole")
    code += f"""
import sys
from minivae import checkpoint
from minivae.cli import main
save, saved = checkpoint.save, []
def counted(*arguments):
    saved.append(1)
    if len(saved) == {epoch}:
        numpy.savez = savez
    save(*arguments)
checkpoint.save = counted
main({[*arguments, "killed"]})
"""
    process = subprocess.run([*PYTHON, "-c", code], capture_output=True)
    assert process.returncode == -signal.SIGKILL
    assert [name[:-9] for name in os.listdir("killed") if name.startswith(".")] == [".checkpoint.npz"], moment
    assert steps("killed") == 2 * (epoch - 1)
    finish("--resume", "killed")
    assert contents("killed") == contents("whole")


def test_a_file_that_may_not_grow_is_explained_and_the_checkpoint_before_kept(folder, no_pictures):
    import resource

    finish("vae", *SMALL, "--epochs", "3", "--out", "whole")
    finish("vae", *SMALL, "--epochs", "1", "--out", "mine")
    before, size = contents("mine"), os.path.getsize("mine/checkpoint.npz")
    process = subprocess.run([*TRAIN, "--resume", "mine", "--epochs", "3"], capture_output=True, text=True,
                             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2)))
    assert process.returncode == 1 and process.stderr.splitlines()[-1] == (
        "minivae: cannot write mine/checkpoint.npz: File too large; what was there before is untouched")
    assert "Traceback" not in process.stderr and contents("mine") == before
    finish("--resume", "mine", "--epochs", "3")
    assert contents("mine") == contents("whole")


FILLED = """
mount -t tmpfs -o size=$1 tmpfs disk && cd disk && shift
"$@" --out mine 1>&2; echo $?
cp -r mine ../kept
dd if=/dev/zero of=rest bs=1k 2>/dev/null
"$@" --out other 1>&2; echo $?; ls -A
"""


def test_a_full_disk_is_explained_and_the_checkpoint_before_kept(folder, no_pictures):
    """A file system of one and a half checkpoints, mounted where only this test's process sees it."""
    own = ["unshare", "--user", "--map-root-user", "--mount"]
    os.mkdir("disk")
    if not shutil.which("unshare") or subprocess.run([*own, "mount", "-t", "tmpfs", "tmpfs", "disk"],
                                                     capture_output=True).returncode:
        pytest.skip("this machine lets no one mount a file system of a limited size")
    options = ["vae", "--images", "64", "--hidden", "128", "--batch-size", "32"]
    train = [*own, *TRAIN]  # with a C compiler or without, as the run that is stopped
    subprocess.run([*train, *options, "--epochs", "3", "--out", "whole"], check=True)
    size = os.path.getsize("whole/checkpoint.npz") * 3 // 2
    done = subprocess.run([*own, "sh", "-c", FILLED, "sh", str(size), *TRAIN, *options, "--epochs", "3"],
                          capture_output=True, text=True)
    assert done.stdout.split() == ["1", "1", "mine", "rest"], done.stderr
    assert "minivae: cannot write mine/checkpoint.npz: No space left on device; what was there before is untouched" \
        in done.stderr and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert "minivae: cannot write other/config.json: No space left on device" in done.stderr
    assert set(os.listdir("kept")) == {"checkpoint.npz", "config.json"} and steps("kept") == 2
    subprocess.run([*train, "--resume", "kept"], check=True)
    assert contents("kept") == contents("whole")
