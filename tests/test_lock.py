"""Two trainings at once in one folder: the second is refused, and neither loses anything."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from minivae import checkpoint
from minivae.cli import lock, main
from minivae.errors import OptionError

TRAIN = ["train", "vae", "--images", "64", "--hidden", "8", "--batch-size", "32"]
posix = pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals and links, and removes no open file")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(run):
    return {path.name: path.read_bytes() for path in Path(run).iterdir()}


@pytest.fixture
def running(folder, no_curves):
    """A process that trains in the folder `mine`, past its first checkpoint."""
    command = [sys.executable, "-m", "minivae", *TRAIN, "--epochs", "100000", "--out", "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            while "epoch 1:" not in process.stdout.readline():
                assert process.poll() is None
            yield process
        finally:
            process.kill()


@posix
def test_a_second_training_is_refused_and_neither_loses_anything(running, capsys):
    names = set(os.listdir("mine"))
    for second in ([*TRAIN, "--out", "mine"], [*TRAIN, "--out", "mine", "--force"], ["train", "--resume", "mine"],
                   ["train", "--resume", "mine/checkpoint.npz", "--epochs", "200000"]):
        assert main(second) == 1
        assert f"mine is being trained by process {running.pid} on " in capsys.readouterr().err
    assert main(["evaluate", "mine", "--images", "4", "--out", "there"]) == 0  # reading is nobody's harm
    assert {name for name in names if not name.startswith(".")} <= set(os.listdir("mine"))
    running.send_signal(signal.SIGINT)
    assert "stopped early" in running.communicate(timeout=60)[0] and running.returncode == 0
    assert "train.lock" not in os.listdir("mine")
    steps = checkpoint.read("mine")[0]["steps"]
    assert main(["train", "--resume", "mine", "--epochs", str(steps // 2 + 2)]) == 0


@posix
def test_a_lock_that_was_left_behind_is_in_nobodys_way(running):
    running.kill()
    running.wait()
    assert "train.lock" in os.listdir("mine")
    epochs = checkpoint.read("mine")[0]["steps"] // 2 + 1
    assert main(["train", "--resume", "mine", "--epochs", str(epochs)]) == 0
    assert "train.lock" not in os.listdir("mine")
    assert main([*TRAIN, "--epochs", str(epochs), "--out", "whole"]) == 0
    assert contents("mine") == contents("whole")


def test_a_folder_with_nothing_but_a_lock_is_free(folder, capsys):
    Path("mine").mkdir()
    Path("mine", lock.NAME).write_text("process 1 on elsewhere\n")
    assert main([*TRAIN, "--epochs", "1", "--out", "mine"]) == 0
    assert lock.NAME not in os.listdir("mine")
    Path("thesis").mkdir()
    Path("thesis", "chapter1.tex").write_text("precious")
    Path("thesis", lock.NAME).write_text("")
    assert main([*TRAIN, "--epochs", "1", "--out", "thesis", "--force"]) == 1
    assert "is not a run" in capsys.readouterr().err and "chapter1.tex" in os.listdir("thesis")


@posix
def test_a_lock_that_leads_elsewhere_is_not_written_through(folder, capsys):
    Path("mine").mkdir()
    Path("precious").write_text("precious")
    Path("mine", lock.NAME).symlink_to(Path("precious").resolve())
    assert main([*TRAIN, "--out", "mine"]) == 1
    assert "cannot write mine" in capsys.readouterr().err and Path("precious").read_text() == "precious"


def test_only_one_holds_a_folder(folder):
    """Eight threads that take the lock, leave it behind at times, and remove it at others."""
    holders, most, refused, got = [], [], [], []
    place = folder / "mine"
    place.mkdir()

    def work():
        for _ in range(40):
            try:
                with lock.held(place):
                    holders.append(1)
                    most.append(len(holders))
                    got.append(1)
                    holders.pop()
            except OptionError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1 and len(got) + len(refused) == 320 and got
    assert not list(place.iterdir())
    with lock.held(place), pytest.raises(OptionError, match=f"process {os.getpid()} on"):
        with lock.held(place):
            pass


@posix
def test_a_folder_that_is_removed_while_it_trains_is_an_error_of_one_line(folder, capsys, monkeypatch):
    save = checkpoint.save

    def remove(*arguments):
        shutil.rmtree("mine")
        save(*arguments)

    monkeypatch.setattr(checkpoint, "save", remove)
    assert main([*TRAIN, "--out", "mine"]) == 1
    said = capsys.readouterr().err
    assert "minivae: cannot write mine/checkpoint.npz: No such file" in said.replace(os.sep, "/")
