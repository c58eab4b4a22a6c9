"""Long lists of cases: a few of them in every run, all of them with the slow tests."""

import pytest


def few(n, cases):
    """The cases, of which all but the first n are marked slow."""
    return [case if k < n else pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
            for k, case in enumerate(cases)]
