"""Exercise 10: Adam.  After tutorial 04.

One step of the optimiser, in Torch7's form: a function of a function.

    feval(x) -> (L, g)   the loss and its gradient at x
    x, g, m, v           vectors of the same length
    state                a dict with "learning_rate" η, "beta1" β₁, "beta2" β₂, "epsilon" ε;
                         keep t, m and v in it

Adam walks by the ratio of two running means: m of the gradients, v of their squares.

    t counts the steps, from 1          m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²

Both begin at 0, so at first they are too small.  If every gradient were the same g, m would be c₁ g
and v would be c₂ g² after t steps: derive the factors c₁ and c₂, and divide by them, so that the
step is x ← x − η · (m / c₁) / (√(v / c₂) + …). Torch7 puts ε beside the √v that is *not* divided;
move the factors so that this is so:

    x ← x − (η times a factor) · m / (√v + ε)

x changes in place: the weights of a model are views of it.  Call feval once.  It may hand out the
same array g each time.

Check it: python tutorials/exercises/10_adam.py      A hint: add --hint 1, 2 or 3
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

    def problem(own=None):
        """A bowl; with `own`, feval must be given that array, which the weights are views of."""
        grad = np.zeros(5, np.float32)

        def feval(x):
            feval.calls += 1
            expect(
                own is None or x is own,
                "feval is given another array than x, and the weights of a model are views of x",
            )
            grad[:] = feval.gradient = scales * (x - 1)
            return float((scales * (x - 1) ** 2).sum() / 2), grad

        feval.calls, feval.grad = 0, grad
        return feval

    def steps(n):
        x, wanted = normal(5), normal(5)
        mine, theirs = dict(options), dict(options)
        feval = problem(own=x)
        for t in range(1, n + 1):
            if t == n // 2:
                mine["learning_rate"] = theirs["learning_rate"] = 0.03  # a schedule may lower it
            _, loss = adam(feval, x, mine)
            _, its_loss = optim.adam(problem(), wanted, theirs)
            same(f"x after step {t}", x, wanted)
            same(f"the loss returned by step {t}", loss, its_loss)
            same("feval's gradient after the step", feval.grad, feval.gradient, 0)
            expect(feval.calls == t, f"feval was called {feval.calls} times in {t} steps")

    def first_step():
        """The classic mistakes by name, then all that differs from minivae's."""
        grad = scales * (normal(5) - 1)
        m, v, eps = 0.2 * grad, 0.05 * grad**2, 1e-3
        c1, c2 = 0.2, 0.05
        mistakes = {
            "the factor for the start at zero is missing: 1 − β₁ᵗ and 1 − β₂ᵗ": m / (v**0.5 + eps),
            "ε stands beside the corrected √(v / c₂), as in the paper; Torch7 adds it to √v": (
                (m / c1) / ((v / c2) ** 0.5 + eps)
            ),
            "ε stands inside the root": (c2**0.5 / c1) * m / (v + eps) ** 0.5,
            "the root of v is missing": (c2**0.5 / c1) * m / (v + eps),
            "the root of the factor 1 − β₂ᵗ is missing": (c2 / c1) * m / (v**0.5 + eps),
            "the factor is upside down: divide by c₁, multiply by √c₂": (
                (c1 / c2**0.5) * m / (v**0.5 + eps)
            ),
            "m and v begin at g and g²; they begin at 0": (
                (c2**0.5 / c1) * grad / (abs(grad) + eps)
            ),
            "it goes up the hill: subtract the step": -(c2**0.5 / c1) * m / (v**0.5 + eps),
        }
        got, _ = adam(problem(), normal(5), dict(options))
        for sentence, step in mistakes.items():
            wrong = normal(5) - 0.1 * step
            expect(
                not np.allclose(got, wrong, rtol=1e-5, atol=1e-6),
                sentence,
            )
        wanted, _ = optim.adam(problem(), normal(5), dict(options))
        same("the x returned by the first step", got, wanted)

    def keeps_its_own():
        """What is kept must survive that g is overwritten, as a model's gradient is."""
        x, wanted = normal(5), normal(5)
        mine, theirs = dict(options), dict(options)
        grad = np.zeros(5, np.float32)
        for t in range(3):
            def feval(at, t=t):
                grad[:] = scales * (at - 1) + t
                return 0.0, grad
            x, _ = adam(feval, x, mine)
            optim.adam(feval, wanted, theirs)
            grad.fill(np.nan)
        same("x after three steps in which feval's array is overwritten in between", x, wanted)

    def two_at_once():
        """Two optimisers do not share what they keep."""
        one, other = normal(5), 3 * normal(5, seed=4)
        wanted = one.copy()
        states = dict(options), dict(options), dict(options)
        for _ in range(3):
            one, _ = adam(problem(), one, states[0])
            other, _ = adam(problem(), other, states[1])
            optim.adam(problem(), wanted, states[2])
        same("x after three steps, with another optimiser in between", one, wanted)

    def of_any_length():
        for n in (1, 40):
            for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-9)):
                x, wanted = (normal(n, seed=n).astype(dtype) for _ in range(2))
                states = dict(options), dict(options)
                for _ in range(60):
                    x, _ = adam(lambda at: (0.0, at**3), x[:], states[0])
                    optim.adam(lambda at: (0.0, at**3), wanted, states[1])
                same(f"x of length {n} in {x.dtype}, after 60 steps", x, wanted, tolerance)

    def in_place():
        storage = normal(5)
        x, _ = adam(problem(), storage, dict(options))
        changed = not np.array_equal(storage, normal(5))
        expect(x is storage and changed, "x is not changed in place")

    def learns():
        x, state, feval = normal(5), dict(options), problem()
        for _ in range(300):
            x, _ = adam(feval, x, state)
        what = "the four entries of x that the loss depends on, after 300 steps"
        same(what, x[:4], np.ones(4), 0.05)

    test.that("the first step is right", first_step)
    test.that("twenty steps are right, and x and g are handled with care", lambda: steps(20))
    test.that("sixty steps are right, in float32 and float64, for x of any length", of_any_length)
    test.that("x is changed in place", in_place)
    test.that("it keeps m and v, not feval's array", keeps_its_own)
    test.that("what it keeps is in the state", two_at_once)
    test.that("it finds the minimum of a bowl", learns)


if __name__ == "__main__":
    check(conditions)
