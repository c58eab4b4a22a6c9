"""Standard streams of every kind: encodings, closed ends, full disks, and the signals of a terminal that goes."""

import io
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from few import few

from minivae import checkpoint, models
from minivae.cli import doctor, main, streams
from minivae.data import Batches, rectangles
from minivae.stop_signals import stop_signals
from minivae.training import Training, train

ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "cp850", "cp1251", "koi8-r", "gbk", "cp932", "big5", "euc-kr",
             "utf-16"]
RUN = [sys.executable, "-W", "error", "-m", "minivae"]
TRAIN = ["train", "bernoulli", "--images", "32", "--hidden", "4", "--code", "3", "--epochs", "1"]
VERBS = [TRAIN, ["evaluate", "runs/bernoulli", "--samples", "2", "--images", "4"], ["sample", "runs/bernoulli"],
         ["explore", "runs/bernoulli"], ["encode", "runs/bernoulli"], ["runs"], ["runs", "--json"],
         ["compare", "runs/bernoulli", "runs/bernoulli"],
         ["step", "runs/bernoulli", "--table"], ["step", "runs/bernoulli"],
         ["profile", "runs/bernoulli", "--steps", "1"], ["doctor"],
         *([verb, "--help"] for verb in ("train", "evaluate", "sample", "explore", "step", "profile", "doctor")),
         ["train", "aevb", "--help"], ["train", "λ"], ["evaluate", "λ\udcff"]]
posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX has these streams and signals")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "SIZE", 64)
    return tmp_path


def status(arguments):
    try:
        return main(arguments)
    except SystemExit as stop:
        return stop.code


def test_every_verb_prints_in_every_encoding(folder, monkeypatch):
    """What a verb prints is kept, and written again to a stream of each encoding."""
    said = []
    for verb in VERBS:
        monkeypatch.setattr(sys, "stdin", io.StringIO("n\nlist\nprint output\n"))
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            assert status(verb) in ((1, 2) if "λ" in verb[1:2] or "\udcff" in verb[-1] else (0,)), err.getvalue()
        said.append(out.getvalue() + err.getvalue())
    assert sum(any(ord(each) > 127 for each in text) for text in said) > 8, "these show nothing"
    for encoding in ENCODINGS:
        for text in said:
            kept = io.BytesIO()
            plain = io.TextIOWrapper(kept, encoding=encoding, newline="")
            stream = streams.Stream(plain)
            stream.write(text)
            stream.flush()
            assert stream.failure is None
            assert len(kept.getvalue().decode(encoding)) == len(text)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_an_evaluation_is_written_whatever_the_terminal_can_show(folder, encoding):
    assert main(TRAIN) == 0
    evaluate = [*RUN, "evaluate", "runs/bernoulli", "--samples", "2", "--images", "4"]
    done = subprocess.run(evaluate, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True)
    assert done.returncode == 0 and b"log p(x) ?, 2 samples" in done.stdout and not done.stderr.count(b"Traceback")
    assert (folder / "runs" / "bernoulli" / "evaluation.json").exists()


@posix
@pytest.mark.parametrize(("verb", "ends", "status", "said"), few(4, [
    ("train", "| head -1", 0, ""), ("train", "> /dev/full", 1, "No space left"), ("train", "2> /dev/full", 0, ""),
    ("train", "<&- >&- 2>&-", 0, ""), ("step", ">&-", 0, ""), ("step", "2>&-", 0, ""), ("step", "<&-", 0, ""),
    ("table", "| head -1", 0, "")]))
def test_a_stream_that_is_closed_or_full_stops_nothing(folder, no_curves, verb, ends, status, said):
    if "/dev/full" in ends and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    command = {"train": [*TRAIN[:-1], "2"], "step": ["step", "vae"], "table": ["step", "vae", "--table"]}[verb]
    done = subprocess.run(["bash", "-c", f'set -o pipefail; "$@" {ends}', "bash", *RUN, *command], text=True,
                          capture_output=True)
    assert done.returncode == status, done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    if verb == "train":
        assert checkpoint.read("runs/bernoulli")[0]["steps"] == 4
        assert (folder / "runs" / "bernoulli" / "samples.png").exists()


@posix
@pytest.mark.parametrize("arguments", [["--help"], ["doctor", "--help"]])
def test_help_that_is_lost_is_an_error(arguments):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "w") as full:
        done = subprocess.run([*RUN, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr == "minivae: the output is lost: No space left on device\n"


def test_a_stream_that_fails_is_left_alone():
    class Broken(io.StringIO):
        writes = 0

        def write(self, text):
            self.writes += 1
            raise OSError(5, "Input/output error")

    broken = Broken()
    stream = streams.Stream(broken)
    assert stream.write("a") == 1 and stream.write("bc") == 2 and broken.writes == 1 and stream.failure.errno == 5
    closed = io.StringIO()
    closed.close()
    for nothing in (None, closed):
        stream = streams.Stream(nothing)
        assert stream.write("a") == 1 and stream.readline() == "" and not stream.isatty()
        with pytest.raises(OSError):
            streams.Stream(None).fileno()


def test_main_gives_the_streams_back(folder, monkeypatch):
    before = sys.stdin, sys.stdout, sys.stderr
    assert status(["doctor"]) == 0 and status(["gan"]) == 2
    assert (sys.stdin, sys.stdout, sys.stderr) == before
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    assert status(TRAIN) == 0 and status(["step", "vae"]) == 0 and status(["gan"]) == 2
    assert sys.stdout is None


def test_a_library_without_a_standard_error_trains_in_every_thread(monkeypatch):
    """As under pythonw: a progress bar that cannot be shown is none, and holds no lock."""
    monkeypatch.setattr(sys, "stderr", None)
    losses = []

    def learn():
        model = models.vae(image=(1, 4, 4), hidden=4)
        losses.append(train(model, Batches(rectangles(16, 4, 4, sides=(2, 2)), 8))["total"])

    learn()
    thread = threading.Thread(target=learn, daemon=True)
    thread.start()
    thread.join(30)
    assert not thread.is_alive() and len(losses) == 2 and np.isfinite(losses).all()


# -- signals ------------------------------------------------------------------------------------------

SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if os.name == "posix" else [])]


@pytest.mark.parametrize("number", SIGNALS)
def test_signals_stop_and_are_given_back(number):
    before = [signal.getsignal(each) for each in SIGNALS]
    with stop_signals() as stop:
        with stop_signals() as inner:
            assert inner is stop and not stop.is_set()
            signal.raise_signal(number)
            assert stop.is_set()
        if number != signal.SIGINT:
            signal.raise_signal(number)  # again: a closed terminal sends two
        else:
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
    assert [signal.getsignal(each) for each in SIGNALS] == before


@posix
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_is_ignored_stays_ignored(number):
    """nohup ignores SIGHUP, and a shell SIGINT for what it runs in the background."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with stop_signals() as stop:
            signal.raise_signal(number)
            assert not stop.is_set()
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


@posix
@pytest.mark.parametrize("moment", ["in a step", "before the first step", "in a checkpoint"])
def test_a_closed_terminal_keeps_what_was_learned(folder, monkeypatch, moment):
    """SIGHUP twice, and the streams gone with it."""
    class Gone(io.StringIO):
        def write(self, text):
            if hung:
                raise OSError(5, "Input/output error")
            return len(text)

    hung = []

    def hang_up(plain):
        def wrapped(*arguments, **options):
            if len(hung) < 2:
                hung.append(signal.raise_signal(signal.SIGHUP))
            return plain(*arguments, **options)
        return wrapped

    owner, name = {"in a step": (Training, "step"), "before the first step": (Training, "run"),
                   "in a checkpoint": (checkpoint, "save")}[moment]
    monkeypatch.setattr(owner, name, hang_up(getattr(owner, name)))
    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(sys, "stderr", Gone())
    assert main([*TRAIN[:-1], "50", "--batch-size", "8"]) == 0
    assert 1 <= checkpoint.read("runs/bernoulli")[0]["steps"] < 12
    assert (folder / "runs" / "bernoulli" / "samples.png").exists()
