"""Grading gives each file what it deserves: a solution full credit, a part a part, and a way around the work none."""

import ast
import csv
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from student_answers import CHEATS, KL, SOLUTIONS

TESTS = Path(__file__).parent
FOLDER = TESTS.parent / "tutorials" / "exercises"


def graded(folder, *options, before=(), program=(str(FOLDER / "grade.py"),)):
    """({(student, exercise): (passed, conditions)}, what was printed) of a folder of students."""
    command = [*before, sys.executable, *program, str(folder), "--csv", str(folder / "marks.csv"), *options]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8",
                          env=os.environ | {"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0, done.stderr
    with open(folder / "marks.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["student", "exercise", "passed", "conditions"]
    marks = {(row["student"], row["exercise"]): (int(row["passed"]), int(row["conditions"])) for row in rows}
    return marks, done.stdout


def handed_in(folder, files):
    """Write {(student, exercise): text} as grade.py expects it."""
    for (student, exercise), text in files.items():
        (folder / student).mkdir(exist_ok=True)
        (folder / student / f"{exercise}.py").write_text(text, encoding="utf-8")
    return folder


SETS = ("K: float = 2", "K = np.float32(2)", "K = lambda x: x", "K, J = 1, 2", "J = 1\nK = J + 1", "K = 1\nK += 1",
        "K = []\nK.append(2)", "K = {}\nfor k in range(3):\n    K[k] = k", "(K := 2)", "if True:\n    K = 2",
        "if True:\n    def K():\n        return 2", "try:\n    import math as K\nexcept ImportError:\n    pass",
        "with np.errstate(over='ignore'):\n    K = np.exp(2)")
USES = ("def f():\n    return K", "def f():\n    return [K for _ in '1']", "def f():\n    return lambda: K",
        "def f(x=K):\n    pass", "def f():\n\n    class C:\n        x = K", "class C:\n    x = K",
        "class C:\n\n    def f(self):\n        return K")
EXPERIMENTS = ("check(conditions)", "x = f()", "print(f())", "K = f()", "for x in range(3):\n    x = f()", "assert f()",
               "np.x = 3", "while f():\n    x = 1", "if __name__ == '__main__':\n    f()", "f.x = 3")
# a right solution with much about it that is right too: it passes by itself
HONEST = SOLUTIONS["02_sigmoid"].replace("class Sigmoid", """import importlib.util
from pathlib import Path
import numpy as np
import a_library
def mine(exercise, name):
    spec = importlib.util.spec_from_file_location(exercise, Path(__file__).with_name(f"{exercise}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)
ONE: float = np.float32(1)
own = nn.Sigmoid()
class Sigmoid""", 1).replace("    def update_", "    @np.errstate(over='ignore')\n    def update_").replace(
    "e = self", "mine('01_relu', 'ReLU')\n        e = ONE * self") + """
open("table.txt", "w")
y = own.forward(np.ones((2, 3), "float32"))
"""


@pytest.fixture(scope="module")
def judge():
    spec = importlib.util.spec_from_file_location("judge", FOLDER / "judge.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("statement", SETS)
def test_what_sets_a_variable_that_is_used_is_run(judge, statement):
    for use in USES:
        tree = ast.parse(f"import numpy as np\n{statement}\n{use}")
        whole = ast.unparse(tree)
        judge.leave_out_experiments(tree.body)
        assert ast.unparse(tree) == whole


@pytest.mark.parametrize("statement", EXPERIMENTS)
def test_an_experiment_is_left_out(judge, statement):
    tree = ast.parse(f"import numpy as np\ndef f(x=0):\n    K = 1\n    return x + K\n{statement}")
    judge.leave_out_experiments(tree.body)
    assert [type(node) for node in tree.body] == [ast.Import, ast.FunctionDef]


def test_a_solution_a_part_of_one_a_stub_and_a_cheat(tmp_path, tmp_path_factory, monkeypatch):
    library = tmp_path_factory.mktemp("library")
    (library / "a_library.py").write_text(
        f"import os, subprocess, sys\nfolder = {str(library)!r} + f'/{{os.getpid()}}'\nos.mkdir(folder)\n"
        "open(folder + '/settings', 'w').close()\nsubprocess.run([sys.executable, '-c', ''])")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(library), str(TESTS), os.environ.get("PYTHONPATH", "")]))
    begun = KL.replace("self.beta * mean", "mean").replace("self.beta * 0.5", "0.5")
    stub = (FOLDER / "05_gaussian_kl.py").read_text(encoding="utf-8")
    handed_in(tmp_path, {
        ("ada", "05_gaussian_kl"): KL, ("ben", "05_gaussian_kl"): begun, ("cy", "05_gaussian_kl"): stub,
        ("di", "05_gaussian_kl"): CHEATS["minivae's own inside"][1], ("hal", "02_sigmoid"): HONEST,
        ("hal", "01_relu"): f"import a_library\n{SOLUTIONS['01_relu']}",
        ("ida", "05_gaussian_kl"): KL.replace("mean, log_var = input", "import student_answers; mean, log_var = input"),
        ("ida", "01_relu (1)"): "", ("__MACOSX", "01_relu"): "", ("jo", "02_sigmoid"): "",
        ("ben", "12_bug_hunt"): (FOLDER / "12_bug_hunt.py").read_text(encoding="utf-8"),
        ("cy", "02_sigmoid"): "class Sigmoid:\n    exit()\n"})
    (tmp_path / "jo" / "02_sigmoid.py").write_bytes(b"# caf\xe9\n" + SOLUTIONS["02_sigmoid"].encode())
    (tmp_path / "03_linear_backward.py").write_text("lies in no folder")
    (tmp_path / "ed").symlink_to(tmp_path / "ada")
    (tmp_path / "flo").mkdir()
    (tmp_path / "flo" / "05_gaussian_kl.py").symlink_to(tmp_path / "ada" / "05_gaussian_kl.py")
    found, said = graded(tmp_path)
    marks = [found[student, "05_gaussian_kl"][0] for student in ("ada", "ben", "cy", "di")]
    total = found["ada", "05_gaussian_kl"][1]
    assert marks[0] == total > marks[1] > marks[2] == marks[3] == 0
    assert "ada/" not in said and "cy/05_gaussian_kl.py: to write" in said and "do the work" in said
    assert found["ada", "11_importance_weighting"][0] == 0  # not handed in
    for exercise in ("01_relu", "02_sigmoid"):
        assert found["hal", exercise][0] == found["hal", exercise][1] > 1, said
    assert found["ida", "05_gaussian_kl"][0] == 0 and "ida/05_gaussian_kl.py: it reads student_answers." in said
    assert "ida: not graded: 01_relu (1).py;" in said and "MACOSX" not in said and said.count("not graded") == 2
    assert "not graded, as it is in no student's folder: 03_linear_backward.py" in said
    assert found["jo", "02_sigmoid"][0] == 0 and "jo/02_sigmoid.py: SyntaxError" in said
    assert found["ben", "12_bug_hunt"][0] == 0 and "ben/12_bug_hunt.py: WRONG     must hold: Linear: " in said
    assert found["cy", "02_sigmoid"][0] == 0 and "cy/02_sigmoid.py: SystemExit: None (line 2)" in said
    assert found["ed", "05_gaussian_kl"][0] == found["flo", "05_gaussian_kl"][0] == 0 and said.count("is a link") == 2


@pytest.mark.slow
def test_every_solution_gets_full_credit(tmp_path):
    found, said = graded(handed_in(tmp_path, {("ada", name): text for name, text in SOLUTIONS.items()}))
    assert all(found["ada", name][0] == found["ada", name][1] > 1 for name in SOLUTIONS), said
    assert re.search(r"^ada .* 100%$", said, re.MULTILINE) and "ada/" not in said


@pytest.mark.slow
def test_ways_around_the_work_score_what_they_deserve(tmp_path):
    files = {(name, exercise): text for name, (exercise, text, _) in CHEATS.items()}
    found, said = graded(handed_in(tmp_path, files))
    for name, (exercise, _, words) in CHEATS.items():
        passed, conditions = found[name, exercise]
        note, = [line for line in said.splitlines() if line.startswith(f"{name}/")]
        assert re.search(words, note), note
        assert passed < conditions if "WRONG" in words else passed == 0, note


def test_what_is_not_there_is_explained(tmp_path):
    for arguments, words in (([str(tmp_path / "none")], "no folder"), ([str(tmp_path)], "holds no folders"),
                             ([str(tmp_path), "--timeout", "0"], "whole number"),
                             ([str(TESTS), "--csv", str(tmp_path)], f"cannot write {tmp_path}: "),
                             ([str(TESTS), "--csv", str(tmp_path / "none" / "marks.csv")], "cannot write")):
        done = subprocess.run([sys.executable, str(FOLDER / "grade.py"), *arguments], capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr


# a file that the solution uses, in each of the ways to use one, and in which are variables and experiments
BESIDE = """import numpy as np
FLOOR = ZERO = 0
loops = 0
def zero(x):
    return FLOOR * x
np.x = 3
while True:
    loops += 1
"""
LOADED = """import importlib.util
from pathlib import Path
spec = importlib.util.spec_from_file_location("beside", Path(__file__).with_name("beside.py"))
beside = importlib.util.module_from_spec(spec)
spec.loader.exec_module(beside)
ZERO, zero = getattr(beside, "ZERO"), beside.zero
"""


# grade.py, as if there were one exercise
ONE = ("-c", f"import sys\nsys.path.insert(0, {str(FOLDER)!r})\n"
       "import grade\ngrade.EXERCISES = ['01_relu']\nsys.exit(grade.main())")


@pytest.mark.parametrize("taken", [LOADED, "from beside import ZERO, zero\n", "from beside import *\n",
                                   "import beside as b\nZERO, zero = b.ZERO, b.zero\n"])
def test_experiments_of_a_file_beside_it_are_left_out(tmp_path, taken):
    solution = taken + SOLUTIONS["01_relu"].replace("maximum(input, 0,", "maximum(input, ZERO + zero(input),")
    handed_in(tmp_path, {("ada", "01_relu"): solution, ("ada", "beside"): BESIDE})
    marks, said = graded(tmp_path, "--timeout", "20", program=ONE)
    assert marks["ada", "01_relu"][0] == marks["ada", "01_relu"][1], said


@pytest.mark.parametrize(("helper", "said"), [
    ("import os\nV = os.system('echo > started')\ndef work(x, out): V or np.maximum(x, 0, out=out)", "uses os.system"),
    ("W = open('written', 'w').write('x')\ndef work(x, out): W and np.maximum(x, 0, out=out)", "it writes written"),
    ("from minivae import nn\nR = nn.ReLU()\ndef work(x, out): out[...] = R.forward(x)", "minivae's own ReLU")])
def test_a_file_beside_it_is_watched_as_it_is_itself(tmp_path, helper, said):
    solution = SOLUTIONS["01_relu"].replace("self.xp.maximum(input, 0, out=self.output)", "work(input, self.output)")
    handed_in(tmp_path, {("ada", "01_relu"): "from helper import work\n" + solution,
                         ("ada", "helper"): f"import numpy as np\n{helper}\n"})
    marks, text = graded(tmp_path, "--timeout", "20", program=ONE)
    assert marks["ada", "01_relu"][0] == 0 and said in text, text
    assert not list(tmp_path.rglob("started")) and not list(tmp_path.rglob("written"))


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signal to one process")
def test_marks_that_were_given_before_ctrl_c_are_kept(tmp_path):
    stops = "import os, signal, time\nos.kill(os.getppid(), signal.SIGINT)\ntime.sleep(600)"
    (tmp_path / "library").mkdir()
    (tmp_path / "library" / "stops.py").write_text(stops)
    folder = tmp_path / "class"
    folder.mkdir()
    solution = SOLUTIONS["01_relu"]
    handed_in(folder, {("ada", "01_relu"): solution, ("ben", "01_relu"): "import stops\n" + solution,
                       ("cy", "01_relu"): solution})
    command = [sys.executable, *ONE, str(folder), "--csv", "marks.csv", "--jobs", "1", "--timeout", "500"]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path, timeout=100,
                          env=os.environ | {"PYTHONPATH": str(tmp_path / "library"), "PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 130 and not done.stderr, done
    assert re.search(r"^ada +(\d)/\1 +100%\nben +\? +\?\ncy +\? +\?\n", done.stdout, re.MULTILINE), done.stdout
    assert done.stdout.endswith("stopped: 1 of 3 files are graded\n")
    marks = (tmp_path / "marks.csv").read_text()
    assert re.fullmatch(r"student,exercise,passed,conditions\s+ada,01_relu,(\d),\1\s+", marks)


def test_a_limit_that_the_original_exceeds_is_named():
    pytest.importorskip("resource", reason="Windows limits no memory")
    done = subprocess.run([sys.executable, *ONE, str(TESTS), "--memory", "64"], capture_output=True, text=True)
    assert done.returncode == 2 and "--timeout 60 or --memory 64 is too little" in done.stderr
    assert "the original 01_relu.py ended the process" in done.stderr and "Traceback" not in done.stderr


def test_a_folder_that_may_not_be_read_has_a_note(tmp_path, without_rights):
    handed_in(tmp_path, {(student, "01_relu"): SOLUTIONS["01_relu"] for student in ("ada", "listed", "shut")})
    (tmp_path / "shut").chmod(0)
    (tmp_path / "listed").chmod(0o444)
    try:
        marks, said = graded(tmp_path, before=without_rights, program=ONE)
        tmp_path.chmod(0)
        done = subprocess.run([*without_rights, sys.executable, *ONE, str(tmp_path)], capture_output=True, text=True)
    finally:
        for path in (tmp_path, tmp_path / "shut", tmp_path / "listed"):
            path.chmod(0o755)
    assert [passed > 0 for passed, _ in marks.values()] == [True, False, False]
    assert "shut: cannot be read: " in said and "listed: cannot be read: " in said and "ada: " not in said
    assert done.returncode == 2 and "cannot read" in done.stderr and "Traceback" not in done.stderr
