"""The exercises: a stub passes nothing and says what to write, a solution passes, and typical mistakes are refused."""

import ast
import importlib.util
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from few import few
from student_answers import HUNT, MISTAKES, RIGHT, SOLUTIONS

import minivae as mv

TESTS = Path(__file__).parent
FOLDER = TESTS.parent / "tutorials" / "exercises"
EXERCISES = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
NAMES = [path.stem for path in EXERCISES]

@pytest.fixture(autouse=True)
def exercises_path(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "argv", ["exercise.py"])
    yield
    sys.modules.pop("checks", None)


def loaded(name):
    """The module of an exercise, as the file stands."""
    spec = importlib.util.spec_from_file_location("exercise", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checked(name, mistakes=()):
    """The Checks of an exercise into which the solution has been put, with [(right, written), ...] exchanged."""
    module, path = loaded(name), TESTS / "solutions" / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    for right, written in mistakes:
        assert right in source, f"the solution of {name} has no {right!r}"
        source = source.replace(right, written)
    solution = {"__name__": "solution", "__file__": str(path)}
    exec(compile(source, str(path), "exec"), solution)
    given = re.findall(r"^(?:class|def) (\w+)", source, re.MULTILINE)
    assert given and all(hasattr(module, each) for each in given)
    for each in given:
        setattr(module, each, solution[each])
    return sys.modules["checks"].run(module.conditions)


def test_there_are_twelve_or_more_each_with_a_solution_and_mistakes():
    assert len(EXERCISES) >= 12
    assert [name[:2] for name in NAMES] == [f"{k:02d}" for k in range(1, len(NAMES) + 1)]
    assert [path.stem for path in sorted((TESTS / "solutions").glob("[0-9]*.py"))] == NAMES == list(MISTAKES)
    assert all(len(mistakes) >= 8 for mistakes in MISTAKES.values()) and set(RIGHT) == set(NAMES) - {HUNT}


@pytest.mark.parametrize("name", NAMES)
def test_a_stub_passes_nothing_and_says_what_to_write(name, capsys):
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
    assert end.value.code == 1
    said = capsys.readouterr().out
    assert "Traceback" not in said and "passed    " not in said
    if name == HUNT:
        assert said.splitlines() == [name, "  5 of 5 mistakes are still there"]
    else:
        assert re.search(rf"^  to write  [\w.]+ \({name}\.py, line \d+\)$", said, re.MULTILINE)
        assert "WRONG" not in said and re.search(r"^  0 of \d+ checks passed$", said, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_passes(name, capsys):
    test = checked(name)
    said = capsys.readouterr().out
    assert test.passed == test.count > 1, said
    titles = re.findall(r"^  passed    (.*)", said, re.MULTILINE)
    assert len(set(titles)) == test.count or name == HUNT, "two checks of one name"
    assert said.endswith(f"{test.count} of {test.count} checks passed\n")


@pytest.mark.parametrize(("name", "way"), [(name, way) for name in RIGHT for way in RIGHT[name]])
def test_a_right_solution_of_another_kind_passes(name, way, capsys):
    right, written = RIGHT[name][way]
    test = checked(name, [(right, written)] if isinstance(right, str) else zip(right, written))
    said = capsys.readouterr().out
    assert test.passed == test.count, said
    assert ("note      each call makes new arrays" in said) == ("array" in way), said


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_no_check_says_what_to_write(path):
    """It would quote the solution, and the search for it is no matter of a grade."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    checks = [node for node in calls if re.search(r"(check_sampler|check_noise|gradcheck\w*)$", ast.unparse(node.func))]
    assert all("changes=False" in ast.unparse(node) for node in checks)
    assert checks or path.stem not in ("06_gaussian_sampler", "07_bernoulli_sampler", "08_bernoulli_noise", "checks")


@pytest.mark.parametrize("name", NAMES)
def test_each_exercise_has_three_hints(name, monkeypatch, capsys):
    hint = loaded(name) and sys.modules["checks"].hint
    hints = [hint(name, number) for number in (1, 2, 3)]
    assert all(len(each) > 40 for each in hints) and len(set(hints)) == 3
    monkeypatch.setattr(sys, "argv", [str(FOLDER / f"{name}.py"), "--hint", "2"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(sys.argv[0], run_name="__main__")
    assert not end.value.code and capsys.readouterr().out.strip() == hints[1]


@pytest.mark.parametrize(("name", "mistake"), [
    case for name in MISTAKES for case in few(1, [(name, mistake) for mistake in MISTAKES[name]])])
def test_a_typical_mistake_is_refused_and_explained(name, mistake, capsys):
    right, written, symptom = MISTAKES[name][mistake]
    test = checked(name, [(right, written)] if isinstance(right, str) else zip(right, written))
    said = capsys.readouterr().out
    assert test.passed < test.count
    assert re.search(symptom, said), said


@pytest.mark.parametrize(("name", "right", "written", "said"), [
    ("06_gaussian_sampler", 'self.buffer("mean", mean.shape), self.buffer("log_var", mean.shape)',
     '[self.buffer("mean", mean.shape), self.buffer("log_var", mean.shape)]',
     r"returns a list, expected a NumPy array, or for a table a tuple of them\n(.*\n){1,3}            as above\n"),
    ("06_gaussian_sampler", "return self.output", "return [self.output]", r"unless it is held\n +as above\n"),
    ("05_gaussian_kl", "self.divergence = ", "divergence = ", r"'NoneType' and 'float'\n.*or was it not set\?\n"),
    ("01_relu", "self.output = self.buffer", "output = self.buffer", "'NoneType'|, or was it not set"),
    (HUNT, "grad_output.sum(axis=0)", "grad_output.mean(axis=0)", "  1 of 5 mistakes is still there\n")])
def test_a_message_says_no_more_than_is_known(name, right, written, said, capsys):
    checked(name, [(right, written)])
    assert re.search(said, text := capsys.readouterr().out), text


def test_a_step_that_is_right_but_not_in_place_costs_what_asks_for_that(capsys):
    """A student who writes x = x - ... knows Adam: two of the conditions are about x itself."""
    right, written, _ = MISTAKES["10_adam"]["a new vector"]
    test = checked("10_adam", [(right, written)])
    said = capsys.readouterr().out
    assert test.count - test.passed == 2 and said.count("WRONG") == 2 and "is not changed in place" in said, said


def test_a_line_of_the_checks_is_not_blamed():
    """An error in a check, on what a student's code has returned, comes with the check's name and no line."""
    exercise = loaded("05_gaussian_kl")
    test = sys.modules["checks"].Checks()

    def conditions(test):
        test.that("the divergence is a number", lambda: float(np.zeros(3)))

    conditions.__code__ = conditions.__code__.replace(co_filename=exercise.__file__)
    conditions(test)
    assert test.lines[0].startswith("WRONG     must hold: the divergence is a number\n            TypeError")
    assert test.lines[0].endswith("in the check, which calls your code and uses what it returns")


@pytest.mark.parametrize("name", NAMES)
def test_an_exit_in_the_code_is_a_mistake(name, capsys):
    test = checked(name, [("return ", "exit(0); return ")])
    said = capsys.readouterr().out
    assert test.passed < test.count and "SystemExit: 0" in said and f"({name}.py, line" in said, said


@pytest.mark.parametrize("name", [name for name in NAMES if "(self, " in SOLUTIONS[name] and name != HUNT])
def test_a_forgotten_self_is_named(name, capsys):
    assert checked(name, [("(self, ", "(")]).passed < 2 and "in a class self is first" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_misspelt_is_still_to_write(name, capsys):
    """A verb of another name, or a class or function, is missing in the student's file, and not in minivae's."""
    if name != HUNT and "def update_" in SOLUTIONS[name]:  # those of the hunt inherit every verb
        checked(name, [("def update_", "def updated_")])
        assert re.search(r"^  to write  \w+\.update_\w+ \(the class has no", capsys.readouterr().out, re.MULTILINE)
    module, given = loaded(name), re.findall(r"^(?:class|def) (\w+)", SOLUTIONS[name], re.MULTILINE)
    for each in given:
        delattr(module, each)
    assert sys.modules["checks"].run(module.conditions).passed == 0
    said, names = capsys.readouterr().out, "|".join(given)
    helper = "|is not defined\n +in bound" * (name == "11_importance_weighting")  # which stands between, in the file
    assert re.search(rf"^  to write  ({names}) \(the file has no{helper}", said, re.MULTILINE), said


def test_what_no_check_catches_ends_with_status_1(capsys):
    loaded("01_relu")
    with pytest.raises(SystemExit) as end:
        sys.modules["checks"].check(lambda test: sys.exit(0))
    assert end.value.code == 1 and "0 of 1 checks passed" in capsys.readouterr().out


def ran(path, *options):
    """A file that is run elsewhere."""
    return subprocess.run([sys.executable, str(path), *options], capture_output=True, text=True, encoding="utf-8",
                          env=os.environ | {"PYTHONPATH": str(FOLDER), "PYTHONIOENCODING": "utf-8"})


def test_a_file_of_another_name_is_checked_as_well(tmp_path):
    path = tmp_path / "mine.py"
    path.write_bytes((FOLDER / "01_relu.py").read_bytes())
    checked, hinted = ran(path), ran(path, "--hint", "1")
    assert re.search(r"^  to write  ReLU.update_output \(mine\.py, line \d+\)$", checked.stdout, re.MULTILINE), checked
    assert hinted.returncode == 2 and "no hints are for mine.py: give it the exercise's own name" in hinted.stderr


@pytest.mark.parametrize(("end", "said"), [
    ("exit()", ": see the exit in line 2"), ("import sys; sys.exit(0)", ": see the exit in line 2"),
    ("raise SystemExit", ": see the exit in line 2"), ("check = print", ""), ("1 / 0", None)])
def test_a_file_that_ends_before_its_check_says_so(tmp_path, end, said):
    """Its own error says enough."""
    source = (FOLDER / "01_relu.py").read_text(encoding="utf-8")
    path = tmp_path / "01_relu.py"
    path.write_text(f"import checks\n{end}\n{source}".replace("import check, ", "import "), encoding="utf-8")
    done = ran(path)
    assert done.returncode == 1 and ("Traceback" in done.stderr) == (said is None)
    wanted = f"01_relu\n  WRONG     the file ends before check(conditions) is called{said}\n"
    assert said is None or done.stdout.endswith(wanted), done


def test_what_was_checked_before_ctrl_c_is_said(capsys):
    def conditions(test):
        test.that("one", lambda: None)
        test.that("two", lambda: 1 / 0)
        signal.raise_signal(signal.SIGINT)

    loaded("01_relu")
    with pytest.raises(SystemExit) as end:
        sys.modules["checks"].check(conditions)
    said = capsys.readouterr().out
    assert end.value.code == 130 and "  passed    one\n  WRONG     must hold: two\n" in said
    assert said.endswith("  stopped; checks that had passed: 1\n")


@pytest.mark.parametrize(("name", "status"), [("01_relu", 1), (HUNT, 1)])
def test_it_runs_from_the_command_line(name, status):
    done = subprocess.run([sys.executable, str(FOLDER / f"{name}.py")], capture_output=True, text=True)
    assert done.returncode == status and done.stdout.startswith(name) and not done.stderr


def test_a_solved_exercise_ends_with_status_0(capsys):
    test = checked("01_relu")
    with pytest.raises(SystemExit) as end:
        sys.modules["checks"].check(lambda checks: [checks.that("solved", lambda: None)] * test.passed)
    assert end.value.code == 0


def test_a_gradient_check_finds_two_of_the_five_bugs():
    """As the hints of the hunt say: the other three need other questions."""
    bugs = loaded(HUNT)
    x, table = bugs.normal(5, 4), (bugs.normal(4, 3), bugs.normal(4, 3, seed=2))
    assert not mv.gradcheck(bugs.Linear(4, 3), x).ok
    assert not mv.gradcheck(bugs.GaussianKL(), table).ok
    assert mv.gradcheck(bugs.GaussianSampler(), table).ok
    assert mv.gradcheck_criterion(bugs.BCEWithLogitsCriterion(), x, np.full((5, 4), 0.3)).ok


def test_the_syllabus_links_every_exercise_and_adds_up():
    text = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    tutorials, exercises = (re.findall(row, text, re.MULTILINE) for row in (
        r"^\| \d\d \| \[[^|]*\]\(\d\d_\w+\.py\) \|[^|]*\| (\d+) \|", r"^\| \d\d \| \[\w+\]\(exercises/.*\| (\d+) \|$"))
    links = re.findall(r"\]\(exercises/(\w+)\.py\).*\| (\d\d) \| \d+ \|$", text, re.MULTILINE)
    assert sorted(name for name, _ in links) == NAMES
    assert [lesson for _, lesson in links] == sorted(lesson for _, lesson in links)
    assert len(tutorials) == len(list(FOLDER.parent.glob("[0-9][0-9]_*.py")))
    assert f"({sum(map(int, tutorials))} minutes)" in text
    assert f"({sum(map(int, exercises))}\n  minutes)" in text
