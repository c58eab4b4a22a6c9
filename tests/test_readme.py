"""The README's example and commands do what it says."""

import csv
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / ".github").glob("*.md")), *sorted((ROOT / "tutorials").glob("*.md")),
         *sorted((ROOT / "tests").rglob("*.md"))]
BLOCKS = dict.fromkeys(("sh", "python", "powershell"))
BLOCKS = {language: re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL) for language in BLOCKS}


def test_the_example_is_ten_lines_and_runs(tmp_path):
    code, = BLOCKS["python"]
    lines = [line for line in code.splitlines() if line.strip() and not re.match("import |from ", line)]
    assert len(lines) <= 10
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    start, end = re.search(r"(\d+) nats per image at the start, (\d+) at the end", done.stdout).groups()
    assert int(end) < 0.7 * int(start) and "gradients agree" in done.stdout and "nn.VAE {" in done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_and_files_exist(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    for target in targets:
        assert (page.parent / target).exists(), target
    for name in re.findall(r"`((?:minivae|tests|tutorials)/[\w/]+\.\w+)`", text):
        assert (ROOT / name).exists(), name


def test_the_readme_is_a_page():
    assert len(TEXT.splitlines()) <= 150


def test_every_layer_in_the_table_of_torch7_exists():
    from minivae import nn

    text = (ROOT / "tutorials" / "TORCH7.md").read_text(encoding="utf-8")
    listings, _, _ = text.partition("\n## Measured")
    for name in re.findall(r"`nn\.(\w+)`", listings):
        assert hasattr(nn, name) or name in ("KullbackLeiblerDivergence", "ReparameterizationSampler"), name


def test_what_torch7_calls_the_same_is_the_same():
    """A verb that the tables call the same exists in snake case; a call that they write down is one that is taken."""
    from minivae import nn

    text = (ROOT / "tutorials" / "TORCH7.md").read_text(encoding="utf-8")
    same = [line for line in text.splitlines() if "the same in snake case" in line]
    for name in re.findall(r"`(\w+)[^`]*`", " ".join(same)):
        verb = re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)
        assert callable(getattr(nn.Container, verb)), name
    calls = re.findall(r"^\| `\w+\('.*\| `((?:clone|find_modules)\(.*\))` \|$", text, re.MULTILINE)
    assert len(calls) == 2, "Torch7 gives these other arguments"
    for call in calls:
        assert eval(f"layer.{call}", {"layer": nn.Linear(2, 2), "nn": nn}), call


def test_errata_are_numbered_from_1_to_26():
    numbers = re.findall(r"^(\d+)\. ", (ROOT / "tutorials" / "ERRATA.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(1, 27))


def test_both_commands_install_and_run_on_their_own():
    train, test = (block.strip() for block in BLOCKS["sh"])
    assert train.startswith("python3 -m venv .venv && .venv/bin/pip install -e ") and train.endswith("--epochs 1")
    assert test == 'python3 -m venv .venv && .venv/bin/pip install -e ".[test]" && .venv/bin/pytest'


@pytest.mark.slow
def test_the_first_command_reaches_the_articles_loss(tmp_path):
    """One epoch at the article's sizes: PyTorch comes to 12.5 + 8.5 nats per image over the last 125 steps."""
    words = shlex.split(BLOCKS["sh"][0].split("&&")[-1])
    done = subprocess.run([sys.executable, "-m", "minivae", *words[1:]], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    rows = list(csv.DictReader((tmp_path / "runs" / "denoising" / "protocol.csv").read_text().splitlines()))
    assert len(rows) == 3125
    assert np.mean([float(row["total"]) for row in rows[-125:]]) < 1.1 * 21.0


def test_no_file_begins_with_a_riddle():
    """A docstring's first line names the thing; "What ...", "Whether ..." leaves the reader to guess it."""
    for folder in ("minivae", "tests", "tutorials"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            first = path.read_text(encoding="utf-8")[:20]
            assert not re.match('"""(What|Whether|Where|How|Which|Who|Why|When) ', first), path
