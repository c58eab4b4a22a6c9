"""Long lists of cases: a few of them in every run, all of them with the slow tests."""

import pytest


def few(n, cases):
    """The cases, of which all but n, the first and others evenly spread, are marked slow."""
    cases = list(cases)
    chosen = {k * len(cases) // n for k in range(n)}
    return [case if k in chosen else _slow(case) for k, case in enumerate(cases)]


def _slow(case):
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
