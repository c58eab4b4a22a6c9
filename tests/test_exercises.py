"""The exercises: a stub passes nothing and says what to write, a solution passes, and typical mistakes are refused."""

import importlib.util
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minivae as mv

TESTS = Path(__file__).parent
FOLDER = TESTS.parent / "tutorials" / "exercises"
EXERCISES = sorted(FOLDER.glob("[0-9][0-9]_*.py"))
NAMES = [path.stem for path in EXERCISES]
HUNT = "12_bug_hunt"

# exercise -> {mistake: (what stands in the solution, what a student may have written, what the check then says)}
MISTAKES = {
    "01_relu": {
        "no mask": ("input > 0", "1", "GRADIENTS DIFFER"),
        "mask of the gradient": ("input > 0", "grad_output > 0", "GRADIENTS DIFFER"),
        "overwrites its input": ("out=self.output", "out=input", "output"),
        "nothing returned": ("        return self.grad_input\n", "", "is a return missing"),
        "a new array each time": ("self.xp.maximum(input, 0, out=self.output)", "self.output = input * (input > 0)",
                                  "self.buffer"),
    },
    "02_sigmoid": {
        "overflows": ("self.xp.where(input >= 0, 1, e) / (1 + e)", "1 / (1 + self.xp.exp(-input))", "overflow"),
        "grad_output left out": ("grad_output * self.output", "self.output", "GRADIENTS DIFFER"),
        "derivative of the input": ("(1 - self.output)", "(1 - input)", "GRADIENTS DIFFER"),
        "branches exchanged": ("input >= 0, 1, e", "input >= 0, e, 1", "entries differ"),
    },
    "03_linear_backward": {
        "overwrites": ("self.grad_weight +=", "self.grad_weight[...] =", "FAIL"),
        "ignores scale": ("self.grad_bias += scale *", "self.grad_bias += 1 *", "FAIL"),
        "weight transposed": ("grad_output, self.weight,", "grad_output, self.weight.T,", "WRONG"),
        "gradient transposed": ("grad_output.T, input", "input.T, grad_output", "WRONG"),
        "mean over the batch": ("sum(axis=0)", "mean(axis=0)", "GRADIENTS DIFFER"),
    },
    "04_concat_table_backward": {
        "the last head only": ("self.grad_input += module", "self.grad_input[...] = module", "GRADIENTS DIFFER"),
        "adds into another's array": (
            "self.grad_input.fill(0)\n        for module, grad in zip(self.modules, grad_output):",
            "self.grad_input = self.modules[0].update_grad_input(input, grad_output[0])\n"
            "        for module, grad in zip(self.modules[1:], grad_output[1:]):", "grad_output"),
        "forgets scale": ("(input, grad, scale)", "(input, grad)", "FAIL"),
    },
    "05_gaussian_kl": {
        "forgets ½": ("0.5 * float(", "float(", "divergence"),
        "no gradient of its own": (" + self.beta * mean", "", "GRADIENTS DIFFER"),
        "drops grad_output": ("grad_output[1] + ", "", "GRADIENTS DIFFER"),
        "beta in the divergence": ("0.5 * float(", "self.beta * 0.5 * float(", "beta"),
        "takes the standard deviation": ("self.xp.expm1(log_var) - log_var", "self.xp.expm1(2 * log_var) - 2 * log_var",
                                         "divergence"),
    },
    "06_gaussian_sampler": {
        "σ² for σ, forward and backward": (
            ("0.5 * self.xp.exp(0.5 * log_var)", "exp(0.5 * log_var)"), ("self.xp.exp(log_var)", "exp(log_var)"),
            r"passed    the backward passes[^$]*WRONG     not so: the moments[^$]*variance"),
        "gradient without ½": ("0.5 * self.xp.exp", "self.xp.exp", "GRADIENTS DIFFER"),
        "noise of its own": ("self.draw(backend.standard_normal, (n * self.samples, q))",
                             "self.noise = backend.standard_normal(self.buffer('e', (n * self.samples, q)))", "hold"),
        "ε left out backwards": ("grad_output * self.noise", "grad_output", "GRADIENTS DIFFER"),
        "noise that is not centred": ("self.draw(backend.standard_normal,", "self.draw(backend.uniform,",
                                      "FAIL  mean of"),
    },
    "07_bernoulli_sampler": {
        "one Gumbel, as the listing": ("self.xp.log(u) - self.xp.log(1 - u)", "-self.xp.log(-self.xp.log(u))",
                                       "one Gumbel, .*is added to the logit"),
        "gradient without T": (".sum(axis=1) / self.temperature", ".sum(axis=1)", "GRADIENTS DIFFER"),
        "T beside the noise only": ("(input[:, None] + noise) / self.temperature",
                                    "input[:, None] + noise / self.temperature", "GRADIENTS DIFFER"),
        "ln 0": ("self.xp.minimum(self.xp.maximum(u, SMALLEST), LARGEST)", "u", "divide by zero"),
    },
    "08_bernoulli_noise": {
        "+1 where flipped": ("-grad_output, grad_output", "grad_output, grad_output", "GRADIENTS DIFFER"),
        "flips every pixel, as the listing": ("u < self.p, 1 - input, input", "u < 2, 1 - input, input", "share"),
        "flips in evaluation": ("if not self.train", "if False", "evaluation"),
        "sets where it should flip": ("1 - input, input", "1, input", "share"),
    },
    "09_bce_from_logits": {
        "by way of probabilities": (
            "self.output = float((xp.maximum(input, 0) - input * target + xp.log1p(xp.exp(-xp.abs(input)))).sum())",
            "p = 1 / (1 + xp.exp(-input))\n"
            "        self.output = -float((target * xp.log(p) + (1 - target) * xp.log(1 - p)).sum())", "overflow"),
        "a mean": (").sum())", ").mean())", "loss"),
        "logits taken for probabilities": ("self.xp.where(input >= 0, 1, e) / (1 + e) - target", "input - target",
                                           "DIFFER"),
    },
    "10_adam": {
        "no correction": (" * sqrt(1 - beta2**t) / (1 - beta1**t)", "", "first step|step 1"),
        "a new vector": ("x -= step", "x = x - step", "in place"),
        "ε inside the root": ("v**0.5 + state[\"epsilon\"]", "(v + state[\"epsilon\"])**0.5", "step 1"),
        "asks twice": ("loss, grad = feval(x)", "loss = feval(x)[0]\n    grad = feval(x)[1]", "feval was called"),
        "counts from 0": ("state.get(\"t\", 0) + 1", "state.get(\"t\", -1) + 1", "ZeroDivisionError"),
    },
    "11_importance_weighting": {
        "mean of the logarithms": ("peak + np.log(np.exp(log_weight - peak[:, None]).mean(axis=1))",
                                   "log_weight.mean(axis=1)", "grows"),
        "underflows": ("peak = log_weight.max(axis=1)", "peak = 0 * log_weight[:, 0]", "divide by zero"),
        "a sum for a mean": (".mean(axis=1)", ".sum(axis=1)", "the bound"),
        "q multiplied": ("- log_posterior", "+ log_posterior", "the bound"),
    },
    HUNT: {
        "still σ²": (("0.5 * log_var", "0.5 * self.xp.exp(0.5 * input"), ("log_var", "self.xp.exp(input"),
                      "1 of 5 mistakes"),
        "still without zeroing": ("    model.zero_grad_parameters()\n", "", "1 of 5 mistakes"),
        "still overwrites": ("self.grad_weight +=", "self.grad_weight[...] =", "1 of 5 mistakes"),
    },
}


@pytest.fixture(autouse=True)
def exercises_path(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
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
    solution = {"__name__": "solution"}
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
    assert all(len(mistakes) >= 2 for mistakes in MISTAKES.values())


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
    assert said.endswith(f"{test.count} of {test.count} checks passed\n")


@pytest.mark.parametrize(("name", "mistake"), [(name, mistake) for name in MISTAKES for mistake in MISTAKES[name]])
def test_a_typical_mistake_is_refused_and_explained(name, mistake, capsys):
    right, written, symptom = MISTAKES[name][mistake]
    test = checked(name, [(right, written)] if isinstance(right, str) else zip(right, written))
    said = capsys.readouterr().out
    assert test.passed < test.count
    assert re.search(symptom, said), said


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
    assert re.findall(r"\]\(exercises/(\w+)\.py\)", text) == NAMES
    assert len(tutorials) == len(list(FOLDER.parent.glob("[0-9][0-9]_*.py")))
    assert f"({sum(map(int, tutorials))} minutes)" in text
    assert f"({sum(map(int, exercises))}\n  minutes)" in text
