"""Exercise 10: Adam.  After tutorial 04.

One step of the optimiser, in Torch7's form: a function of a function.

    feval(x) -> (L, g)   the loss and its gradient at x        x, g, m, v   vectors of the same length
    state                a dict with "learning_rate" η, "beta1" β₁, "beta2" β₂, "epsilon" ε; keep t, m and v in it

    t ← t + 1                        (t, m and v begin at 0)
    m ← β₁ m + (1 − β₁) g            the mean of the last gradients
    v ← β₂ v + (1 − β₂) g²           and of their squares
    x ← x − η · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)

The factor √(1 − β₂ᵗ) / (1 − β₁ᵗ) makes up for the start at zero.  ε stands beside the uncorrected √v, as in Torch7.

Hints
- x is changed in place: `x -= ...`.  The weights of a model are views of x; `x = x - ...` would make a new vector that
  no model looks at.
- Call feval once.  It may hand out the same array g each time, so do not keep g itself.
- state.get("t", 0) is 0 the first time.

Check it: python tutorials/exercises/10_adam.py
"""

import numpy as np
from checks import check, expect, normal, same

from minivae import optim


def adam(feval, x, state):
    """Take one step on x, in place.  Returns (x, L) with L the loss before the step."""
    raise NotImplementedError


def conditions(test):
    options = {"learning_rate": 0.1, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}
    scales = np.array([1, 10, 0.1, 3, 0], dtype=np.float32)

    def problem():
        grad = np.zeros(5, np.float32)

        def feval(x):
            feval.calls += 1
            grad[:] = scales * (x - 1)
            return float((scales * (x - 1) ** 2).sum() / 2), grad

        feval.calls = 0
        return feval

    def steps(n):
        x, wanted, mine, theirs = normal(5), normal(5), dict(options), dict(options)
        feval = problem()
        for t in range(1, n + 1):
            _, loss = adam(feval, x, mine)
            _, its_loss = optim.adam(problem(), wanted, theirs)
            same(f"x after step {t}", x, wanted)
            same(f"the loss returned by step {t}", loss, its_loss)
            expect(feval.calls == t, f"feval was called {feval.calls} times in {t} steps")

    def in_place():
        storage = normal(5)
        x, _ = adam(problem(), storage, dict(options))
        expect(x is storage and not np.array_equal(storage, normal(5)), "x is not changed in place")

    def learns():
        x, state, feval = normal(5), dict(options), problem()
        for _ in range(300):
            adam(feval, x, state)
        same("the four entries of x that the loss depends on, after 300 steps", x[:4], np.ones(4), 0.05)

    test.that("the first step", lambda: steps(1))
    test.that("twenty steps", lambda: steps(20))
    test.that("x is changed in place", in_place)
    test.that("it finds the minimum of a bowl", learns)


if __name__ == "__main__":
    check(conditions)
