"""The tutorials: each runs, in fast mode here and in full with -m slow, keeps to its form, and shows its errata."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "tutorials"
SWEEP = Path(__file__).parent / "benchmarks" / "seeds.py"
TUTORIALS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
MNIST = ("11_", "12_")  # the ones that need its files
each = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


def run(path, tmp_path, fast):
    if path.name.startswith(MNIST) and not os.environ.get("MINIVAE_DATA"):
        pytest.skip("MNIST is not here: set MINIVAE_DATA to the folder of its four files")
    environment = {key: value for key, value in os.environ.items() if key != "MINIVAE_FAST"}
    environment |= {"PYTHONIOENCODING": "utf-8"} | ({"MINIVAE_FAST": "1"} if fast else {})  # a pipe knows no encoding
    done = subprocess.run([sys.executable, "-W", "error", str(path)], cwd=tmp_path, env=environment,
                          capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert not list(tmp_path.iterdir()), "a tutorial writes no files"


def test_they_are_numbered_from_1_to_17():
    assert [path.name[:2] for path in TUTORIALS] == [f"{number:02}" for number in range(1, 18)]


@each
def test_it_runs_fast(path, tmp_path):
    run(path, tmp_path, fast=True)


@pytest.mark.slow
@each
def test_it_runs_in_full(path, tmp_path):
    run(path, tmp_path, fast=False)


@each
def test_its_form(path):
    """A title and cells; it ends in assertions, none of which depends on the mode."""
    text = path.read_text(encoding="utf-8")
    cells = re.split(r"^# %%.*\n", text, flags=re.MULTILINE)
    assert text.startswith("# %% [markdown]\n# # " + path.name[:2])
    code = [cell for cell in cells if any(line and not line.startswith("#") for line in cell.splitlines())]
    assert "assert " in code[-1]
    if path != TUTORIALS[-1]:
        following = next(each.stem for each in TUTORIALS if each.name[:2] == f"{int(path.name[:2]) + 1:02}")
        assert re.search(rf"Next:.*{following}|Next:.*{following[:2]}", text)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.If | ast.IfExp) and "FAST" in ast.dump(node.test):
            assert not any(isinstance(inner, ast.Assert) for inner in ast.walk(node)), "an assertion depends on FAST"
        if isinstance(node, ast.Assert):
            assert "FAST" not in ast.dump(node), "an assertion depends on FAST"


def test_every_erratum_is_linked_to_the_cell_that_shows_it():
    """Links are FILE#Lline of a heading that names the number; what the code below it computes is asserted."""
    text = (FOLDER / "ERRATA.md").read_text(encoding="utf-8")
    entries = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in entries] == list(range(1, 27))
    for number, entry in entries:
        links = re.findall(r"\]\((\d\d_\w+\.py)#L(\d+)\)", entry)
        assert links, f"erratum {number} has no link to a tutorial"
        for name, line in links:
            lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
            heading = lines[int(line) - 1]
            assert heading.startswith("# #") and number in re.findall(r"\d+", heading.partition("ERRATA")[2]), (
                f"erratum {number}: line {line} of {name} is {heading!r}")
            end = next((k for k in range(int(line), len(lines)) if lines[k].startswith("# ## ")), len(lines))
            below = ast.parse("\n".join(each if not each.startswith("#") else "" for each in lines[int(line):end]))
            computed = {node.id for node in ast.walk(below) if isinstance(node, ast.Name)
                        and isinstance(getattr(node, "ctx", None), ast.Store)}
            held = {node.id for check in ast.walk(ast.parse("\n".join(lines))) if isinstance(check, ast.Assert)
                    for node in ast.walk(check) if isinstance(node, ast.Name)}
            assert computed & held, f"{name}, {heading}: nothing below it is asserted"


def test_the_syllabus_lists_every_tutorial_and_exercise():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in (*TUTORIALS, *(FOLDER / "exercises").glob("[0-9][0-9]_*.py")):
        assert path.name in text, path.name


def sweep(*arguments):
    """The exit status of the sweep over seeds, and its table as {claim: [the row's other cells]}."""
    done = subprocess.run([sys.executable, str(SWEEP), *map(str, arguments)], capture_output=True, text=True,
                          encoding="utf-8")
    assert not done.stderr, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    return done.returncode, {claim.strip("`"): [where, *numbers] for where, claim, *numbers in rows}


def test_the_sweep_over_seeds_goes_on_after_a_claim_that_fails(tmp_path):
    lesson = tmp_path / "lesson.py"
    lesson.write_text("""
import numpy as np
import minivae as mv
mv.manual_seed(3)
x, y = mv.backend.host_generator().random(), np.random.default_rng(0).random()
assert x > 2 and x < 10 * y + 10, "x is below 1"
assert all(each < 1 + k for k in (1, 2) for each in (x, y))
assert np.isclose(x, x + 1e-3, atol=1e-2) and not x == y
assert nobody
assert 0 == 1 or x < 0
""")
    status, rows = sweep(lesson, "--seeds", 3)
    assert status == 1
    failed = {claim for claim, cells in rows.items() if cells[1].strip() == "3"}
    assert {"x > 2", "0 == 1 or x < 0"} < failed and any(claim.startswith("nobody: NameError") for claim in failed)
    assert len(failed) == 3
    for claim in ("x < 10 * y + 10", "each < 1 + k"):
        assert 0 < float(rows[claim][2]) < float(rows[claim][3]) < 1, "the seeds have not changed it"


@pytest.mark.slow
def test_a_small_sweep_over_seeds_finds_every_claim_held():
    status, rows = sweep("01", "02", "04", "06", "07", "--seeds", 2)
    assert status == 0 and len(rows) > 10
