"""The tutorials: each runs, in fast mode here and in full with -m slow, keeps to its form, and shows its errata."""

import ast
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from few import few
from PIL import Image

from minivae.figures import style

FOLDER = Path(__file__).parent.parent / "tutorials"
SWEEP = Path(__file__).parent / "benchmarks" / "seeds.py"
TUTORIALS = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
MNIST = ("13_", "14_")  # the ones that need its files
each = pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)


@pytest.fixture
def needed(path):
    if path.name.startswith(MNIST) and not os.environ.get("MINIVAE_DATA"):
        pytest.skip("MNIST is not here: set MINIVAE_DATA to the folder of its four files")


def test_they_are_numbered_in_order():
    assert [path.name[:2] for path in TUTORIALS] == [f"{k:02}" for k in range(1, len(TUTORIALS) + 1)]
    assert len(TUTORIALS) >= 19


@each
def test_it_runs_fast(path, needed, tmp_path, monkeypatch):
    """In this process, which has imported most of what a lesson imports; plots are filled, and not rendered."""
    for name, value in (("MINIVAE_FAST", "1"), ("MINIVAE_PICTURES", str(tmp_path / "pictures"))):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "lesson", raising=False)  # it reads MINIVAE_FAST once
    monkeypatch.setattr(style, "rendered", lambda figure: Image.new("RGB", (9, 5)))
    try:
        runpy.run_path(str(path), run_name="__main__")
    finally:
        sys.modules.pop("lesson", None)
        if hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # Python's own
    assert {each.name for each in tmp_path.iterdir()} <= {"pictures"}, "a tutorial writes nothing else"


@pytest.mark.skipif(os.name != "posix", reason="Windows has no SIGPIPE")
def test_a_reader_that_has_read_enough_ends_it(tmp_path):
    environment = os.environ | {"MINIVAE_FAST": "1", "MINIVAE_PICTURES": str(tmp_path)}
    done = subprocess.run(["bash", "-c", '"$@" | head -1', "bash", sys.executable, "-u", str(TUTORIALS[0])],
                          env=environment, capture_output=True, text=True)
    assert done.stdout and not done.stderr


@pytest.mark.slow
@each
def test_it_runs_in_full(path, needed, tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "MINIVAE_FAST"}
    environment |= {"PYTHONIOENCODING": "utf-8", "MINIVAE_PICTURES": str(tmp_path / "pictures")}  # a pipe knows none
    done = subprocess.run([sys.executable, "-W", "error", str(path)], cwd=tmp_path, env=environment,
                          capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert {each.name for each in tmp_path.iterdir()} <= {"pictures"}, "a tutorial writes nothing else"


@pytest.mark.parametrize("path", few(1, TUTORIALS), ids=lambda path: path.stem)
def test_it_runs_where_it_cannot_write(path, needed, tmp_path):
    """No folder for its pictures, and an output without ✓ and equations."""
    (tmp_path / "file").touch()
    environment = os.environ | {"MINIVAE_FAST": "1", "PYTHONIOENCODING": "ascii",
                                "MINIVAE_PICTURES": str(tmp_path / "file" / "pictures")}
    done = subprocess.run([sys.executable, "-W", "error", str(path)], cwd=tmp_path, env=environment,
                          capture_output=True, encoding="ascii")
    assert done.returncode == 0 and not done.stderr, done.stderr
    shown = re.search(r"^\(no picture of .*; (MINIVAE_PICTURES names another folder|it needs matplotlib, .*)\)$",
                      done.stdout, re.MULTILINE)
    assert "\n? " in done.stdout and (shown or "show(" not in path.read_text(encoding="utf-8"))


@each
def test_its_form(path):
    """A title and cells; claims, none of which depends on the mode; the name of the next one."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.startswith("# %% [markdown]\n# # " + path.name[:2])
    assert any(is_claim(node) for node in ast.walk(tree))
    if path != TUTORIALS[-1]:
        following = TUTORIALS[TUTORIALS.index(path) + 1].read_text(encoding="utf-8").splitlines()[1]
        assert "\n" + following.replace("# # ", "# # Next: ") + "\n" in text
    for node in ast.walk(tree):
        inside = [*ast.walk(node)]
        if isinstance(node, ast.If | ast.IfExp) and "FAST" in ast.dump(node.test):
            assert not any(map(is_claim, inside)), "a claim depends on FAST"
        if is_claim(node):
            assert "FAST" not in ast.dump(node), "a claim depends on FAST"


@each
def test_it_asks_three_questions_that_are_answered(path):
    title, lesson = path.read_text(encoding="utf-8")[len("# %% [markdown]\n# # "):].split("\n", 1)
    asked = lesson.partition("\n# ## Test yourself\n")[2]
    answers = (FOLDER / "ANSWERS.md").read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert re.findall(r"^# (\d)\. ", asked, re.MULTILINE) == re.findall(r"^(\d)\. ", answers, re.MULTILINE) == [*"123"]
    assert all(len(answer) > 20 for answer in re.split(r"^\d\. ", answers, flags=re.MULTILINE)[1:])
    assert f"[ANSWERS.md](ANSWERS.md#{title.lower().replace(' ', '-')})" in asked


@each
def test_a_claim_says_in_words_what_it_checks(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if is_claim(node) and isinstance(node, ast.Call):
            sentence, holds = node.args
            assert isinstance(sentence, ast.Constant | ast.JoinedStr), f"line {node.lineno}: a sentence comes first"
            assert not isinstance(holds, ast.Constant), f"line {node.lineno} checks nothing"


def test_every_erratum_is_linked_to_the_section_that_shows_it():
    """A link is [NN, Heading](NN_name.py): that section names it, and what it computes is claimed."""
    text = (FOLDER / "ERRATA.md").read_text(encoding="utf-8")
    entries = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in entries] == list(range(1, 27))
    for number, entry in entries:
        links = re.findall(r"\[(\d\d), ([^\]]+)\]\((\d\d_\w+\.py)\)", " ".join(entry.split()))
        assert links, f"erratum {number} has no link to a tutorial"
        for lesson, title, name in links:
            lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
            found = [k for k, line in enumerate(lines) if line.startswith(f"# ## {title} (ERRATA")]
            assert name.startswith(lesson) and len(found) == 1, f"erratum {number}: {name} has no section {title!r}"
            assert number in re.findall(r"\d+", lines[found[0]].partition("(ERRATA")[2]), (number, name, title)
            end = next((k for k in range(found[0] + 1, len(lines)) if lines[k].startswith("# ## ")), len(lines))
            computed = {node.id for node in ast.walk(ast.parse("\n".join(lines[found[0]:end])))
                        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
            held = {node.id for check in ast.walk(ast.parse("\n".join(lines))) if is_claim(check)
                    for node in ast.walk(check) if isinstance(node, ast.Name)}
            assert computed & held, f"{name}, {title}: nothing that it computes is claimed"


def is_claim(node):
    return isinstance(node, ast.Assert) or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
                                            and node.func.id == "claim")


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.py")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_what_students_read_fits_their_editor(path):
    """Lines of at most 100 characters; of 90 in a lesson, which is a narrow column of a notebook or a page."""
    width = 90 if path in TUTORIALS else 100
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > width] == []


def test_the_syllabus_lists_every_tutorial_and_exercise():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for path in (*TUTORIALS, *(FOLDER / "exercises").glob("[0-9][0-9]_*.py")):
        assert path.name in text, path.name


def sweep(*arguments):
    """The exit status of the sweep over seeds, its table as {claim: [the row's other cells]}, and its last line."""
    done = subprocess.run([sys.executable, str(SWEEP), *map(str, arguments)], capture_output=True, text=True,
                          encoding="utf-8")
    assert not done.stderr, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    table = {claim.strip("`"): [where, *numbers] for where, claim, *numbers in rows}
    return done.returncode, table, done.stdout.splitlines()[-1]


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
    status, rows, last = sweep(lesson, "--seeds", 3)
    assert status == 1
    failed = {claim for claim, cells in rows.items() if cells[1].strip() == "3"}
    assert {"x > 2", "0 == 1 or x < 0"} < failed and any(claim.startswith("nobody: NameError") for claim in failed)
    assert len(failed) == 3 and re.search(r"smallest margin -\d\.\d+, of le:\d", last)
    for claim in ("x < 10 * y + 10", "each < 1 + k"):
        assert 0 < float(rows[claim][2]) < float(rows[claim][3]) < 1, "the seeds have not changed it"


def test_the_sweep_over_seeds_takes_a_claim_as_an_assertion(tmp_path):
    """By either name, in a loop, with its words named; the lesson's folder has the module that it comes from."""
    lesson = tmp_path / "lesson.py"
    (tmp_path / "told.py").write_text("def claim(sentence, holds):\n    assert holds, sentence\n")
    lesson.write_text("""
import numpy as np
import told
from told import claim
x = np.random.default_rng(0).random()
for k in (1, 2):
    claim(f"{x} is below {k}", x < k and -1 <= x)
told.claim("no number is above 2", x > 2)
claim("a mean is no more than its largest number", holds=np.mean([x, 1]) <= 1)
""")
    status, rows, _ = sweep(lesson, "--seeds", 3)
    assert status == 1 and [claim for claim, cells in rows.items() if cells[1].strip() == "3"] == ["x > 2"]
    assert rows.keys() >= {"x < k", "-1 <= x", "np.mean([x, 1]) <= 1"}


@pytest.mark.slow
def test_a_small_sweep_over_seeds_finds_every_claim_held():
    status, rows, _ = sweep("01", "02", "04", "06", "07", "--seeds", 2)
    assert status == 0 and len(rows) > 10


def test_the_syllabus_sends_a_lesson_after_those_that_it_needs():
    rows = re.findall(r"^\| (\d\d) \| \[[^|]*\]\(\d\d_\w+\.py\) \|[^|]*\| \d+ \|([^|]*)\|",
                      (FOLDER / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    after = {lesson: set(re.findall(r"\d\d", named)) for lesson, named in rows}
    known = {}
    for lesson in sorted(after):
        known[lesson] = after[lesson].union(*(known[each] for each in after[lesson]))
        text = next(FOLDER.glob(f"{lesson}_*.py")).read_text(encoding="utf-8").replace("\n# ", " ")
        needs = re.search(r"Needs: (.*?)[.;]", text)[1]
        named = set(re.findall(r"\b\d\d\b", needs))
        for first, last in re.findall(r"\b(\d\d) to (\d\d)\b", needs):
            named |= {f"{k:02d}" for k in range(int(first), int(last))}
        assert after[lesson] <= named <= known[lesson], (lesson, after[lesson], named)
