"""The page on one pixel's way through a step: its tables are the step's, and few files are needed to follow it."""

import inspect
import sys
from pathlib import Path

import numpy as np

import minivae as mv
from minivae.data import Batches, rectangles
from minivae.training import Training

ROOT = Path(mv.__file__).parent
PAGE = (Path(__file__).parents[1] / "tutorials" / "STEP.md").read_text(encoding="utf-8")
VERBS = {"step", "feval", "next", "forward", "backward", "update_output", "update_grad_input", "acc_grad_parameters",
         "side_loss", "adam"}
GIVEN = {"update_output": "input", "update_grad_input": "grad_output", "acc_grad_parameters": "grad_output"}
MADE = {"update_output": "output", "update_grad_input": "grad_input", "acc_grad_parameters": "grad_weight"}
MOST = 20  # files that a reader has to open


def called():
    """{file: names of the functions that a training step calls in it}."""
    training = Training(mv.models.vae(hidden=16), Batches(rectangles(100), 16))
    training.model.training()
    for _ in range(3):
        training.step()
    found, before = {}, sys.getprofile()

    def see(frame, event, argument):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT):
            found.setdefault(path.relative_to(ROOT).as_posix(), set()).add(frame.f_code.co_name)

    sys.setprofile(see)
    try:
        training.step()
    finally:
        sys.setprofile(before)
    return found


def shapes(records, name):
    return " and ".join("(" + ", ".join(map(str, each.array.shape)) + ")" for each in records
                        if each.name.partition("[")[0] == name).replace("()", "a number")


def rows():
    """The lines of the page's table, as a trace of the step has them."""
    found = []
    for step in mv.trace(mv.models.vae(), np.zeros((16, 1, 24, 24), np.float32)):
        if step.inside == 0 and (step.path, step.verb) not in (  # of which no layer wants to know
                ("encoder.0", "update_grad_input"), ("encoder.1", "update_grad_input")):
            file = Path(inspect.getfile(step.layer)).relative_to(ROOT).as_posix()
            given = "prediction" if step.path == "criterion" else GIVEN[step.verb]
            made = MADE[step.verb]
            found.append(f"| {step.title} | `{step.verb}` | `{file}` "
                         f"| {shapes(step.given, given)} | {shapes(step.made, made)} |")
    return found


def test_the_table_is_the_step():
    lines = [line for line in PAGE.splitlines() if "| `update_" in line or "| `acc_" in line]
    assert lines == rows(), "\n".join(rows())


def test_few_files_hold_the_step_and_the_page_names_them():
    found = called()
    needed = {file for file, names in found.items() if names & VERBS and not file.startswith("backend/")}
    assert len(needed) + 1 <= MOST  # models/vae.py put the layers together, before the step
    open_these, _, skip_these = PAGE.partition("## What you may skip")
    assert skip_these and all(f"`{file}`" in open_these for file in (*needed, "models/vae.py"))
    for file in found.keys() - needed:
        folder = file.partition("/")[0]
        assert f"`{file}`" in PAGE or (folder == "backend" and "`backend/`" in skip_these), file
