"""Grade the exercises of many students.

    python tutorials/exercises/grade.py FOLDER [--csv FILE] [--timeout SECONDS]
                                               [--memory MB] [--jobs N]

FOLDER holds a folder for each student, with files named as the exercises:
FOLDER/ada/07_bernoulli_sampler.py. Each file is judged by the conditions of the original
exercise, in a process of its own with limits of time and memory, and gets credit for each
condition that it meets.  A table with a line a student is printed.  --csv writes the columns
student, exercise, passed, conditions, with a row for each exercise of each student.  Ctrl-C stops
it, with exit status 130: then these hold what has been graded so far.

What counts is what a student's file defines: the classes and functions of the exercise, with
the verbs to be written in them.  Of the rest of the file only imports, other functions and
classes, and what sets the variables that all these use are run, and so of the files beside it
that it imports.  A file gets 0, and a note says why, when what it defines is minivae's own under
another name, has minivae's own do the work, changes minivae, NumPy or the checks, reads minivae's
sources or its tests, writes files, starts programs, ends the process, or is a link.

What this does not protect against: it runs the students' code, as you, on your machine.  The
rules are kept by Python inside that process, so somebody who sets out to break them can.
Grade strangers' files in a container or on a machine that holds nothing of value, and read
what scores oddly.
"""

import argparse
import contextlib
import csv
import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXERCISES = [path.stem for path in sorted(HERE.glob("[0-9][0-9]_*.py"))]
RUNNING = set()  # processes


def main(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="holds a folder for each student"
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write student, exercise, passed, conditions"
    )
    parser.add_argument(
        "--timeout",
        type=positive,
        default=60,
        metavar="SECONDS",
        help="for each file; by default 60",
    )
    parser.add_argument(
        "--memory", type=positive, default=2048, metavar="MB", help="for each file; by default 2048"
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="files judged at the same time; by default one for each core",
    )
    args = parser.parse_args(arguments)
    if not os.path.isdir(args.folder):
        parser.error(
            f"there is no folder {args.folder}; give the one that holds a folder for each student"
        )
    try:
        students = sorted(
            path for path in args.folder.iterdir() if path.is_dir() and handed_in(path.name)
        )
    except OSError as error:
        parser.error(f"cannot read {args.folder}: {error.strerror}")
    if not students:
        parser.error(
            f"{args.folder} holds no folders; it needs one for each student, with files such as "
            f"{EXERCISES[0]}.py"
        )
    if args.csv is not None:
        there = os.path.exists(args.csv)
        try:
            args.csv.open("a").close()
            if not there:  # yet: it is written at the end
                args.csv.unlink()
        except OSError as error:
            parser.error(f"cannot write {args.csv}: {error.strerror}")
    tasks = [(student, exercise) for student in students for exercise in EXERCISES]
    totals, found = {}, {}
    counted = results(lambda exercise: judge(exercise, None, args), EXERCISES, args.jobs)
    for exercise, original in counted.items():
        if "conditions" not in original:
            parser.error(
                f"the original {exercise}.py {original['note']}: --timeout {args.timeout} or "
                f"--memory {args.memory} is too little"
            )
        totals[exercise] = original["conditions"]
    if len(totals) == len(EXERCISES):
        found = results(lambda task: grade(*task, args), tasks, args.jobs)
    if found:
        print(table(students, found, totals))
    if loose := sorted(path.name for path in args.folder.glob("*.py") if handed_in(path.name)):
        print(plain(f"not graded, as it is in no student's folder: {', '.join(loose)}"))
    if args.csv is not None and found:
        write(args.csv, found, totals)
    if len(found) < len(tasks):
        print(f"stopped: {len(found)} of {len(tasks)} files are graded")
        return 130
    return 0


def results(function, tasks, jobs):
    """{task: function(task)}; after Ctrl-C, of the tasks that are done."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = {task: pool.submit(function, task) for task in tasks}
        with contextlib.suppress(KeyboardInterrupt):
            wait(futures.values())
        found = {task: each.result() for task, each in futures.items() if each.done()}
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(RUNNING):
            end(process)
    return found


def positive(text):
    value = int(text) if text.isascii() and text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; a whole number from 1")
    return value


def grade(student, exercise, args):
    """{"passed": conditions met, "note": why not all, in a line} of one file."""
    path = student / f"{exercise}.py"  # os.path finds nothing in a folder that may not be entered
    there = os.path.exists(path)
    if os.path.islink(path) or (student.is_symlink() and there):  # it may lead to a solution
        return {"passed": 0, "note": "is a link; hand in the file itself"}
    if not os.path.isfile(path):
        return {"passed": 0, "note": "is no file" if there else "", "missing": not there}
    return judge(exercise, path, args)


def not_graded(student):
    """What a student's folder holds beside the exercises, or why nobody can say."""
    try:
        with os.scandir(student) as entries:  # stat: one may list a folder that one may not enter
            names = [each.name for each in entries if each.stat(follow_symlinks=False)]
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    names = sorted(name for name in names if handed_in(name) and not (HERE / name).exists())
    return f"not graded: {', '.join(names)}; a name must be such as 01_relu.py" if names else ""


def handed_in(name):
    """Whether a student has made a file or folder, and not a system: .DS_Store, __MACOSX."""
    return not name.startswith((".", "__"))


def judge(exercise, path, args):
    """What judge.py says of a file; of None, how many conditions the exercise has."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.txt"
        command = [
            sys.executable,
            "-W",
            "ignore",
            str(HERE / "judge.py"),
            exercise,
            str(path and path.resolve()),
            str(result),
            str(args.timeout),
            str(args.memory),
        ]
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=environment(),
        )
        RUNNING.add(process)
        note = "ended the process before it was judged"
        try:
            process.wait(args.timeout)
        except subprocess.TimeoutExpired:
            note = f"was stopped after {args.timeout} seconds"
        finally:
            RUNNING.discard(process)
            end(process)
        try:
            passed, conditions, note = result.read_text(encoding="utf-8").split(" ", 2)
            return {"passed": int(passed), "conditions": int(conditions), "note": note}
        except (OSError, ValueError):
            return {"passed": 0, "note": note}


def environment():
    """One thread and no compiled loops: as many files as there are cores are judged at once."""
    return os.environ | {
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MINIVAE_THREADS": "1",
        "MINIVAE_CC": "none",
        "MINIVAE_BACKEND": "numpy",
        "PYTHONUTF8": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def end(process):
    """End a process and what it has started."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
    else:
        process.kill()
    process.wait()


def table(students, found, totals):
    """A line a student: the exercises, conditions met of each, and all of them; then the notes."""
    widths = [
        max(len(exercise[:2]) + 1, len(f"{total}/{total}")) for exercise, total in totals.items()
    ]
    name = max(len("student"), *(len(plain(student.name)) for student in students))
    head = [exercise[:2].rjust(width) for exercise, width in zip(totals, widths)]
    lines = ["  ".join(["student".ljust(name), *head, "all"])]
    for student in students:
        its_own = [found.get((student, exercise)) for exercise in totals]
        cells = [
            ("?" if each is None else "–" if each.get("missing") else f"{each['passed']}/{total}")
            for each, total in zip(its_own, totals.values())
        ]
        cells = [cell.rjust(width) for cell, width in zip(cells, widths)]
        share = "?"
        if None not in its_own:
            shares = [each["passed"] / total for each, total in zip(its_own, totals.values())]
            share = f"{sum(shares) / len(shares):.0%}"
        lines.append("  ".join([plain(student.name).ljust(name), *cells, share]))
    notes = [
        plain(f"{student.name}/{exercise}.py: {each['note']}")
        for (student, exercise), each in found.items()
        if each["note"]
    ]
    for student in students:
        missing = any(found.get((student, each), {}).get("missing") for each in totals)
        if missing and (left := not_graded(student)):
            notes.append(plain(f"{student.name}: {left}"))
    legend = (
        "–: not handed in.  ?: stopped before.  "
        "all: mean share of the conditions met, each exercise alike."
    )
    return "\n".join([*lines, "", legend, *notes])


def plain(text):
    """Text on one line, which any terminal and file can hold."""
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(each if each.isprintable() else "?" for each in text)


def write(path, found, totals):
    with open(path, "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["student", "exercise", "passed", "conditions"])
        rows.writerows(
            [plain(student.name), exercise, each["passed"], totals[exercise]]
            for (student, exercise), each in found.items()
        )


if __name__ == "__main__":
    sys.exit(main())
