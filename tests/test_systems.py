"""Differences of other systems than Linux, simulated."""

import ast
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import minivae
from minivae.backend.compiled import compiler as c_compiler

SOURCES = sorted(Path(minivae.__file__).parent.rglob("*.py"))
NOT_ON_WINDOWS = {"os": ("fork", "killpg", "geteuid", "getuid", "sched_getaffinity", "register_at_fork", "O_DIRECTORY",
                         "O_NOFOLLOW", "setsid", "fchmod", "getpgid", "sysconf"),
                  "signal": ("SIGHUP", "SIGKILL", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGPIPE")}
ON_WINDOWS = f"""
import os, pathlib, signal, subprocess, sys, tempfile, threading, multiprocessing
import numpy, PIL.Image, tqdm  # these know on what system they are
for module, names in {NOT_ON_WINDOWS!r}.items():
    for name in names:
        vars(sys.modules[module]).pop(name, None)
real = os.open
def no_folder(path, *rest, **more):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", path)  # Windows opens no folder
    return real(path, *rest, **more)
os.open = no_folder
import warnings
warnings.filterwarnings("error", category=EncodingWarning, module="minivae")
from minivae.cli import main
sys.exit(sum(main(line.split()) for line in sys.argv[1:]))
"""


def calls_without_encoding(source):
    """The lines on which text is read or written in whatever encoding the system prefers."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        binary = any(isinstance(each, ast.Constant) and isinstance(each.value, str) and "b" in each.value
                     for each in node.args[1:2])
        opens = name == "open" and owner not in ("os", "Image", "archive") and not binary
        text = (name in ("read_text", "write_text") or opens
                or any(each.arg == "text" for each in node.keywords))
        if text and not {"encoding", "errors", None} & {each.arg for each in node.keywords}:
            yield node.lineno


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_text_has_an_encoding(path):
    assert list(calls_without_encoding(path.read_text(encoding="utf-8"))) == []


def test_a_call_without_encoding_is_found():
    source = "open('a')\nopen('a', 'rb')\npath.write_text('a')\nsubprocess.run([], text=True)\nopen('a', encoding='b')"
    assert list(calls_without_encoding(source)) == [1, 3, 4]


def test_what_windows_lacks_is_not_needed(tmp_path, no_curves):
    """Nor any encoding but the one it has, and names of files that it allows."""
    environment = os.environ | {"PYTHONIOENCODING": "cp1252", "MINIVAE_CC": "none", "PYTHONUTF8": "0"}
    lines = ("train vae --images 64 --hidden 8 --epochs 1", "train --resume runs/vae --epochs 2",
             "evaluate runs/vae --samples 2 --images 64", "sample runs/vae", "explore runs/vae", "doctor")
    done = subprocess.run([sys.executable, "-X", "warn_default_encoding", "-c", ON_WINDOWS, *lines], cwd=tmp_path,
                          env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode("cp1252", "replace")
    for path in tmp_path.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9_-]+(\.[a-z0-9]+)?", path.name), f"Windows may refuse {path.name}"


@pytest.fixture
def mac(monkeypatch):
    """A Mac where `present` are commands, and the status with which xcode-select answers; lists what is run."""
    def pretend(present, status):
        ran = []
        monkeypatch.setattr(sys, "platform", "darwin")
        monkeypatch.setattr(shutil, "which", lambda program: present.get(program))
        monkeypatch.setattr(subprocess, "run", lambda words, **options: (
            ran.append(words[0]), types.SimpleNamespace(returncode=status))[1])
        return ran
    for variable in ("MINIVAE_CC", "CC"):
        monkeypatch.delenv(variable, raising=False)
    c_compiler.command.cache_clear()
    yield pretend
    c_compiler.command.cache_clear()


@pytest.mark.parametrize(("present", "status", "wanted"), [
    ({name: f"/usr/bin/{name}" for name in c_compiler.NAMES}, 2, []),
    ({name: f"/usr/bin/{name}" for name in c_compiler.NAMES}, 0, ["/usr/bin/cc"]),
    ({"cc": "/usr/bin/cc", "gcc": "/opt/homebrew/bin/gcc"}, 2, ["/opt/homebrew/bin/gcc"])])
def test_a_command_that_only_opens_a_dialog_is_never_called(mac, present, status, wanted):
    ran = mac(present, status)
    assert c_compiler.command() == wanted
    assert set(ran) == {"/usr/bin/xcode-select"}


def test_elsewhere_nobody_is_asked(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    assert not c_compiler._opens_a_dialog("/usr/bin/cc")
