"""What the exercises share: it runs their checks and says what passed, what is wrong, what is still to write."""

import sys
import traceback
import warnings
from pathlib import Path

import numpy as np

import minivae as mv
from minivae import backend, nn


class Wrong(Exception):
    """An answer that is not right; the message says what came and what was wanted."""


class Checks:
    """Runs checks, each from the same seed; counts them and keeps a line about each in `lines`.

    A quiet one keeps to itself what is wrong: in a bug hunt, finding it is the exercise.
    """

    def __init__(self):
        self.count, self.passed, self.lines, self.quiet = 0, 0, [], False

    def that(self, what, function):
        """One check: `function` raises unless all is well."""
        self.count += 1
        backend.use("numpy")
        mv.manual_seed(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # an overflow or a NaN is a mistake too
                function()
        except NotImplementedError as error:
            self._say(f"to write  {_place(error)}", aloud=True)
        except Wrong as error:
            self._say(f"WRONG     not so: {what}", str(error))
        except Warning as error:
            self._say(f"WRONG     not so: {what}", f"{error}\nin {_place(error)}")
        except Exception as error:  # the student's code may do anything
            self._say(f"WRONG     {_place(error)}", f"{type(error).__name__}: {error}", aloud=True)
        else:
            self.passed += 1
            self._say(f"passed    {what}")

    def layer(self, make, like, input, passes_through=False):
        """The checks of every layer: make() is the student's, like() minivae's own."""
        self.that("the output is right", lambda: _same_output(make(), like(), _copy(input)))
        self.that("the backward passes agree with finite differences", lambda: gradients(make(), input))
        self.that("it writes into buffers of its own", lambda: _owns_buffers(make(), _copy(input), passes_through))

    def _say(self, line, more="", aloud=False):
        """Keep a line, once, with `more` lines indented under it; a quiet one says what is `aloud` only."""
        line = "\n            ".join([line, *more.splitlines()])
        if line not in self.lines and (aloud or not self.quiet):
            self.lines.append(line)


def run(conditions):
    """Run an exercise's `conditions` and print what came of it.  Returns the Checks."""
    test = Checks()
    conditions(test)
    print(Path(conditions.__code__.co_filename).stem)
    for line in test.lines:
        print("  " + line)
    missing = test.count - test.passed
    print(f"  {missing} of {test.count} mistakes are still there" if test.quiet else
          f"  {test.passed} of {test.count} checks passed")
    return test


def check(conditions):
    """`run`, and the end of the program: exit status 0 if every check passed, else 1."""
    test = run(conditions)
    sys.exit(0 if test.passed == test.count else 1)


def expect(truth, message):
    if not truth:
        raise Wrong(message)


def same(what, mine, wanted, tolerance=1e-5):
    """Raise unless the two arrays, tables or numbers are equal but for rounding."""
    if isinstance(wanted, tuple):
        expect(isinstance(mine, tuple) and len(mine) == len(wanted),
               f"{what}: expected a tuple of {len(wanted)}, got {type(mine).__name__}")
        for k, (a, b) in enumerate(zip(mine, wanted)):
            same(f"{what}[{k}]", a, b, tolerance)
        return
    expect(mine is not None, f"{what} is None: is a return missing?")
    mine, wanted = np.asarray(mine), np.asarray(wanted)
    expect(mine.shape == wanted.shape, f"{what} has shape {mine.shape}, expected {wanted.shape}")
    off = ~np.isclose(mine, wanted, rtol=tolerance, atol=tolerance)
    if off.any():
        index = tuple(int(i) for i in np.argwhere(off)[0])
        where = f": {off.sum()} of {off.size} entries differ; entry [{', '.join(map(str, index))}]" if index else ""
        raise Wrong(f"{what}{where} is {mine[index]:.6g}, expected {wanted[index]:.6g}")


def gradients(module, input):
    """Raise with the gradient checker's report and diagnosis unless the backward passes are right."""
    both_passes(module, _copy(input))
    report = mv.gradcheck(module, input)
    expect(report.ok, str(report))


def draws_right(report):
    """Raise with the report of check_sampler or check_noise unless the layer draws from what it names."""
    expect(report.ok, str(report))


def both_passes(module, input):
    """(output, grad_input, the ∂L/∂y used); raises if a verb returns nothing."""
    output = module.forward(input)
    expect(output is not None, "update_output returns None: is a return missing?")
    grad_output = like(output)
    grad_input = module.backward(input, grad_output)
    expect(grad_input is not None, "update_grad_input returns None: is a return missing?")
    return output, grad_input, grad_output


def mean_is(what, draws, wanted):
    """Raise if the mean of independent draws is off by 5 standard errors: a false alarm once in two million seeds."""
    draws = np.asarray(draws, dtype=np.float64)
    expect(np.isfinite(draws).all(), f"{what}: some draws are infinite or not a number")
    error = draws.std() / np.sqrt(draws.size)
    expect(abs(draws.mean() - wanted) <= 5 * error + 1e-9,
           f"{what} is {draws.mean():.4f} over {draws.size} draws (± {error:.4f}), expected {wanted:.4f}")


def normal(*shape, seed=1):
    """An input: numbers from N(0, 1), float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def column(value, n=20000):
    """A batch of n equal rows of one number."""
    return np.full((n, 1), value, dtype=np.float32)


def like(value, seed=2):
    """Random numbers in the shape, or table of shapes, of `value`: a ∂L/∂y."""
    if isinstance(value, tuple):
        return tuple(like(each, seed + k) for k, each in enumerate(value))
    return np.random.default_rng(seed).standard_normal(value.shape).astype(value.dtype)


def _same_output(mine, other, input):
    kept = _copy(input)
    output = mine.forward(input)
    if isinstance(other, nn.RandomLayer):
        expect(mine.noise is not None, "there is no self.noise: draw with self.draw(...), which keeps it")
        other.hold_noise().noise = mine.noise
    same("output", output, other.forward(kept))


def _owns_buffers(module, input, passes_through):
    output, grad_input, grad_output = both_passes(module.hold_noise(), input)
    shared = [np.shares_memory(a, b) for a in _arrays(output) for b in _arrays(input)]
    expect(passes_through or not any(shared), "the output is the input's memory: forward writes over what it was given")
    before = [a.ctypes.data for value in (output, grad_input) for a in _arrays(value)]
    again = module.forward(input), module.backward(input, grad_output)
    expect(before == [a.ctypes.data for value in again for a in _arrays(value)],
           "each call makes a new array: write into self.buffer(name, shape), which keeps its storage")


def _copy(value):
    return tuple(map(_copy, value)) if isinstance(value, tuple) else value.copy()


def _arrays(value):
    return [array for each in value for array in _arrays(each)] if isinstance(value, tuple) else [value]


def _place(error):
    """Where it happened, in the student's words: "ReLU.update_output (01_relu.py, line 30)"."""
    frames = list(traceback.walk_tb(error.__traceback__))
    written = [each for each in frames if Path(each[0].f_code.co_filename).name[:2].isdigit()
               and each[0].f_code.co_name not in ("conditions", "<lambda>")]
    frame, line = frames[-1] if isinstance(error, NotImplementedError) or not written else written[-1]
    owner = frame.f_locals.get("self")
    name = (f"{type(owner).__name__}." if owner is not None else "") + frame.f_code.co_name
    return f"{name} ({Path(frame.f_code.co_filename).name}, line {line})"
