"""The gradient checker's diagnosis: planted mistakes are found and named, and right layers are left alone."""

import numpy as np
import pytest
from layers import ROWS
from planted import PLANTED

import minivae as mv
from minivae import backend

NAMED_AT_LEAST = 0.85


def check(make, input, target):
    return mv.gradcheck(make(), input) if target is None else mv.gradcheck_criterion(make(), input, target)


@pytest.mark.parametrize(("make", "input", "target"), [each[1:4] for each in PLANTED],
                         ids=[each[0] for each in PLANTED])
def test_every_planted_mistake_is_found_and_explained(make, input, target):
    report = check(make, input, target)
    assert not report.ok and report.diagnoses()
    errors = [each.error for each in report.checks if not each.ok]
    assert report.findings or not errors or not max(errors) < 1000 * 1e-6 or report.inside  # a margin over the tolerance
    text = str(report)
    assert all(str(finding) in text for finding in report.diagnoses()[:1]) and "FAIL" in text


def test_planted_mistakes_are_named():
    """By the first of the findings, the surest.  The set is at least 40, and the share of rightly named 85 %."""
    wrong = {}
    for name, make, input, target, kinds in PLANTED:
        first = check(make, input, target).diagnoses()[0]
        if first.kind not in kinds:
            wrong[name] = f"{first.kind} ({first}), not {' or '.join(kinds)}"
    assert len(PLANTED) >= 40
    assert len(wrong) <= (1 - NAMED_AT_LEAST) * len(PLANTED), "\n".join(map(": ".join, wrong.items()))


@pytest.mark.parametrize("row", [row for row in ROWS.values() if "gradient" not in row.excused],
                         ids=lambda row: row.name)
def test_no_false_alarm(row):
    """Float32 and float64 modules, 20 seeds each."""
    for dtype in ("float32", "float64"):
        for seed in range(20):
            backend.manual_seed(seed)
            module = row.make()
            module = module.double() if dtype == "float64" else module
            report = mv.gradcheck(module, row.input(seed=seed, dtype=np.dtype(dtype)), seed=seed)
            assert report.ok, f"{dtype}, seed {seed}\n{report}"
