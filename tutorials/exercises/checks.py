"""The checks of the exercises, which say what passed, what is wrong, and what is still to write."""

import argparse
import ast
import atexit
import contextlib
import os
import sys
import traceback
import warnings
from pathlib import Path
from unittest import mock

import numpy as np

import minivae as mv
from minivae import backend, nn
from minivae.debug.source_edits.own_code import is_own

FILE = getattr(sys.modules["__main__"], "__file__", None)  # of the program, which Python forgets


class Wrong(Exception):
    """An answer that is not right; the message says what came and what was wanted."""


class Checks:
    """Runs checks, each from the same seed; counts them and keeps a line about each in `lines`.

    A quiet one keeps to itself what is wrong: in a bug hunt, finding it is the exercise.
    """

    def __init__(self):
        self.count, self.passed, self.lines, self.notes, self.quiet = 0, 0, [], [], False
        self.stopped = False  # by Ctrl-C

    def that(self, what, function):
        """One check: `function` raises unless all is well."""
        self.count += 1
        backend.use("numpy")
        mv.manual_seed(0)
        try:
            with warnings.catch_warnings(), np.errstate():
                warnings.simplefilter("error")  # an overflow or a NaN is a mistake too
                before = np.geterr()
                function()
                expect(np.geterr() == before, "it calls np.seterr, which silences NumPy everywhere")
        except (Exception, SystemExit) as error:  # the student's code may do anything
            self.explain(what, error)
        else:
            self.passed += 1
            self._say(f"passed    {what}")

    def explain(self, what, error):
        """Keep a line about an error: what is wrong, or still to write."""
        place, said = _place(error), f"{type(error).__name__}: {error}{_explanation(error)}"
        where = f"in {place or 'the check, which calls your code and uses what it returns'}"
        if missing := _missing(error):
            self._say(f"to write  {missing}", aloud=True)
        elif isinstance(error, Wrong):
            self._say(f"WRONG     must hold: {what}", str(error))
        elif self.quiet and place and not isinstance(error, Warning):
            self._say(f"WRONG     {place}", said, aloud=True)
        else:
            self._say(f"WRONG     must hold: {what}", f"{said}\n{where}")

    def layer(self, make, own, *inputs, modes=("training", "evaluate"), name=""):
        """The checks of a layer without noise: make() is the student's, own() minivae's.

        `inputs` are a few batches.  The layer's numbers must be those of minivae's call after call,
        for batches of other sizes, in both dtypes and in each of the `modes`; its gradients must
        be derivatives; and no array of anybody else's may change.  `name` begins each line, where
        an exercise calls this twice.
        """
        self.that(
            name + "the output is right",
            lambda: [_same_calls(make, own, inputs, mode, False) for mode in modes],
        )
        self.that(
            name + "the backward passes agree with finite differences",
            lambda: [gradients(make(), x) for x in inputs],
        )
        self.that(
            name + "both passes are right, call after call, in float32 and float64",
            lambda: [_same_calls(make, own, inputs, mode, True) for mode in modes],
        )
        self.that(
            name + "nobody else's array is written to or kept",
            lambda: [keeps_to_itself(make, x) for x in inputs],
        )
        self._note_buffers(make, inputs[0])

    def noise(self, make, *inputs, modes=("training", "evaluate")):
        """The checks of a layer with noise, for any distribution; make() is the student's."""

        def each(check):
            for mode in modes:
                for x in inputs:
                    check(lambda mode=mode: getattr(make(), mode)(), x)

        self.that(
            "the backward passes agree with finite differences",
            lambda: each(lambda made, x: gradients(made(), x)),
        )
        self.that("new noise each time, unless it is held", lambda: each(_draws_anew))
        self.that("nobody else's array is written to or kept", lambda: each(keeps_to_itself))
        self._note_buffers(make, inputs[0])

    def _note_buffers(self, make, input):
        """A word to a layer that makes new arrays at each call: right, and could be faster."""
        if self.notes or self.passed < self.count:
            return
        if not _reuses_buffers(make(), _copy(input)):
            self.notes.append(
                "note      each call makes new arrays, which is right, and slow in a large model: "
                "self.buffer(name, shape)\n            gives an array that the layer keeps; "
                "fill it with out= or [...] ="
            )

    def _say(self, line, more="", aloud=False):
        """Keep a line, once, with `more` lines under it; a quiet one says what is `aloud` only."""
        if self.quiet and not aloud:
            return
        if more and any(each.endswith(indented(more)) for each in self.lines):
            more = "as above"
        line += indented(more)
        if line not in self.lines:
            self.lines.append(line)


def indented(text):
    return "".join(f"\n            {line}" for line in text.splitlines())


def run(conditions):
    """Run an exercise's `conditions` and print what came of it.  Returns the Checks."""
    atexit.unregister(_unchecked)
    test = Checks()
    try:
        conditions(test)
    except (Exception, SystemExit) as error:  # no check has caught it, as where a class is missing
        test.count += 1
        test.explain("all checks can be made", error)
    except KeyboardInterrupt:
        test.stopped = True
    print(Path(conditions.__code__.co_filename).stem)
    for line in [*test.lines, *test.notes]:
        print("  " + line)
    missing = test.count - test.passed
    if test.stopped:
        print(f"  stopped; checks that had passed: {test.passed}")
        return test
    print(
        f"  {missing} of {test.count} mistakes {'is' if missing == 1 else 'are'} still there"
        if test.quiet
        else f"  {test.passed} of {test.count} checks passed"
    )
    return test


def check(conditions):
    """Run an exercise from the command line.  Exit status 0 if every check passed, else 1.

    After Ctrl-C it is 130.  `--hint N` prints a hint.
    """
    atexit.unregister(_unchecked)
    path = Path(conditions.__code__.co_filename)
    parser = argparse.ArgumentParser(description=f"Check what you have written in {path.name}.")
    parser.add_argument(
        "--hint",
        type=int,
        choices=(1, 2, 3),
        metavar="1|2|3",
        help="print a hint instead: 1 says where to begin, 2 how to go on, 3 nearly everything",
    )
    number = parser.parse_args().hint
    if number is not None:
        text = hint(path.stem, number)
        if not text:
            parser.error(
                f"no hints are for {path.name}: give it the exercise's own name, as 01_relu.py"
            )
        print(text)
        sys.exit(0)
    test = run(conditions)
    sys.exit(130 if test.stopped else 0 if test.passed == test.count else 1)


@atexit.register
def _unchecked():
    """Say of an exercise that has ended without its check that it has; exit status 1."""
    if FILE is None or hasattr(sys, "last_value"):  # none, or it has ended with a traceback
        return
    tree = ast.parse(Path(FILE).read_bytes())
    if "conditions" not in [getattr(node, "name", None) for node in tree.body]:
        return
    lines = [
        str(node.lineno)
        for node in ast.walk(tree)
        if getattr(node, "attr", getattr(node, "id", None)) in ("exit", "quit", "SystemExit")
    ]
    where = f": see the exit in line {' or '.join(lines)}" if lines else ""
    print(f"{Path(FILE).stem}\n  WRONG     the file ends before check(conditions) is called{where}")
    sys.stdout.flush()
    os._exit(1)  # what is raised here would be ignored


def hint(exercise, number):
    """Hint 1, 2 or 3 of an exercise, out of hints.md."""
    text = (Path(__file__).parent / "hints.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {exercise}\n")[2].partition("\n## ")[0]
    return section.partition(f"\n{number}. ")[2].partition(f"\n{number + 1}. ")[0].strip()


def expect(truth, message):
    if not truth:
        raise Wrong(message)


def expect_some(what, value):
    expect(value is not None, f"{what} None: is a return missing, or was it not set?")


def same(what, mine, wanted, tolerance=1e-5):
    """Raise unless the two arrays, tables or numbers are equal but for rounding."""
    if isinstance(wanted, tuple):
        expect(
            isinstance(mine, tuple) and len(mine) == len(wanted),
            f"{what}: expected a tuple of {len(wanted)}, got {type(mine).__name__}",
        )
        for k, (a, b) in enumerate(zip(mine, wanted)):
            same(f"{what}[{k}]", a, b, tolerance)
        return
    expect_some(f"{what} is", mine)
    expect(
        type(mine) is np.ndarray or np.isscalar(mine),
        f"{what} is of type {type(mine).__name__}, expected a NumPy array or a number",
    )
    mine, wanted = np.asarray(mine), np.asarray(wanted)
    expect(mine.shape == wanted.shape, f"{what} has shape {mine.shape}, expected {wanted.shape}")
    off = ~np.isclose(mine, wanted, rtol=tolerance, atol=tolerance)
    if off.any():
        index = tuple(int(i) for i in np.argwhere(off)[0])
        where = (
            f": {off.sum()} of {off.size} entries differ; entry [{', '.join(map(str, index))}]"
            if index
            else ""
        )
        raise Wrong(f"{what}{where} is {mine[index]:.6g}, expected {wanted[index]:.6g}")


def gradients(module, input):
    """Raise with the gradient checker's report unless the backward passes are right."""
    both_passes(module, _copy(input))
    report = mv.gradcheck(module, input, changes=False)  # which would say what to write
    expect(report.ok, str(report))


def draws_right(report):
    """Raise with the report of check_sampler or check_noise unless a layer draws what it names."""
    expect(report.ok, str(report))


def both_passes(module, input):
    """(output, grad_input, the ∂L/∂y used); raises if a verb returns nothing."""
    output = module.forward(input)
    _expect_arrays("update_output", output, input)
    grad_output = like(output)
    grad_input = module.backward(input, grad_output)
    _expect_arrays("update_grad_input", grad_input, input)
    return output, grad_input, grad_output


def _expect_arrays(verb, value, input):
    """Raise unless a verb returned NumPy's arrays, in the dtype of the input."""
    expect_some(f"{verb} returns", value)
    for array in _arrays(value):
        expect(
            type(array) is np.ndarray,
            f"{verb} returns a {type(array).__name__}, expected a NumPy array, or for a "
            "table a tuple of them",
        )
    expect(
        _dtypes(value) == _dtypes(input),
        f"what {verb} returns has dtype {', '.join(_dtypes(value))}, expected that of the input, "
        f"{', '.join(_dtypes(input))}: work in self.buffer(...), and draw noise with "
        "self.draw(...), which have the layer's dtype",
    )


def mean_is(what, number, draws):
    """Raise if a number is off the mean of independent draws by 5 standard errors.

    That is a false alarm once in two million seeds.
    """
    error = draws.std() / np.sqrt(draws.size)
    expect(
        abs(draws.mean() - number) <= 5 * error + 1e-9,
        f"{what} is {number:.4f}, expected the mean over {draws.size} draws, "
        f"{draws.mean():.4f} ± {error:.4f}",
    )


@contextlib.contextmanager
def hidden_warnings():
    """Show the warnings that np.errstate hides: what overflows in it overflows all the same."""
    with mock.patch.object(np, "errstate", lambda **_: contextlib.nullcontext()):
        yield


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


def _same_calls(make, own, inputs, mode, backwards):
    """Raise unless a layer, and its float64 twin, give minivae's numbers input after input."""
    mine, other = make(), own()
    for module in (mine, other):
        getattr(module, mode)()
    where = f" in {mode} mode" if mode == "evaluate" else ""
    mv.manual_seed(7)
    state = backend.get_random_state()
    for given in (*inputs, like(inputs[-1], seed=7), _first_rows(inputs[0], 1)):
        output, wanted = mine.forward(_copy(given)), _copy(other.forward(_copy(given)))
        same("the output" + where, output, wanted)
        expect(
            _dtypes(output) == {"float32"},
            f"the output has dtype {', '.join(_dtypes(output))}, expected float32",
        )
        if backwards:
            grad_output = like(wanted)
            got = mine.backward(_copy(given), _copy(grad_output))
            same("∂L/∂input" + where, got, other.backward(_copy(given), _copy(grad_output)))
    expect(
        backend.get_random_state() == state,
        "the layer draws random numbers or sets a seed; it has no noise",
    )
    if backwards:
        mine, other = mine.double(), other.double()
        given = _as(inputs[0], np.float64)
        output, wanted = mine.forward(_copy(given)), other.forward(_copy(given))
        same("the output in float64", output, wanted, 1e-9)
        expect(
            _dtypes(output) == {"float64"},
            f"after double() the output has dtype {', '.join(_dtypes(output))}, "
            "expected float64: work in self.buffer(...), or keep the input's dtype",
        )
        grad_output = like(wanted)
        got = mine.backward(_copy(given), _copy(grad_output))
        same("∂L/∂input in float64", got, other.backward(_copy(given), grad_output), 1e-9)


def keeps_to_itself(make, input):
    """Raise if a layer changes what it was given, or shares memory with others."""
    module, given = make(), _copy(input)
    output, grad_input, grad_output = both_passes(module, given)
    same("the input after both passes", given, input, 0)
    same("∂L/∂output after backward", grad_output, like(output), 0)
    if not isinstance(module, nn.Divergence):  # which hands on its input
        expect(
            not _shared(output, given),
            "the output is the input's memory: forward writes over what it was given",
        )
        expect(
            not _shared(grad_input, grad_output),
            "∂L/∂input is the memory of ∂L/∂output: the layer behind owns it",
        )
    twin = make()
    others = both_passes(twin, _copy(input))
    expect(
        not _shared((output, grad_input), others[:2]),
        "two layers share an array: keep arrays on self, not on the class or the file",
    )


def _draws_anew(make, x):
    def drawn(layer):
        output = layer.forward(_copy(x))
        _expect_arrays("update_output", output, x)
        return _copy(output)

    layer = make()
    first = drawn(layer)
    second = drawn(layer)
    expect(
        _differ(first, second),
        "two calls gave the same output: each call must draw noise of its own, and the output "
        "must depend on it",
    )
    layer.hold_noise()
    expect(
        layer.noise is not None, "there is no self.noise: draw with self.draw(...), which keeps it"
    )
    expect(
        not _differ(second, drawn(layer)),
        "hold_noise() did not hold: draw with self.draw(...), and leave self.noise as it was drawn",
    )
    mv.manual_seed(0)
    first = drawn(make())
    mv.manual_seed(0)
    expect(
        not _differ(first, drawn(make())),
        "after mv.manual_seed(0) the noise is not the same again: draw with self.draw(...), "
        "not with np.random",
    )


def _reuses_buffers(module, input):
    def results():
        output, grad_input, _ = both_passes(module, input)
        return [*_arrays(output), *_arrays(grad_input)]

    module.hold_noise()
    first = results()  # kept until the comparison: memory that is free is used again
    second = results()
    return all(np.shares_memory(a, b) for a, b in zip(first, second))


def _shared(one, other):
    return any(
        np.shares_memory(a, b) for a in _arrays(one) for b in _arrays(other) if a.size and b.size
    )


def _differ(one, other):
    return any(not np.array_equal(a, b) for a, b in zip(_arrays(one), _arrays(other)))


def _dtypes(value):
    return {str(np.asarray(each).dtype) for each in _arrays(value)}


def _as(value, dtype):
    return (
        tuple(_as(each, dtype) for each in value)
        if isinstance(value, tuple)
        else value.astype(dtype)
    )


def _first_rows(value, n):
    return tuple(_first_rows(each, n) for each in value) if isinstance(value, tuple) else value[:n]


def _copy(value):
    return tuple(map(_copy, value)) if isinstance(value, tuple) else value.copy()


def _arrays(value):
    return (
        [array for each in value for array in _arrays(each)]
        if isinstance(value, tuple)
        else [value]
    )


EXPLANATIONS = {
    "non-broadcastable output operand": "what is added has an axis that the array to the left of "
    "the += does not have: something must take that axis away first",
    "NoneType": "it is None: is a return missing, or was it not set?",
    "positional argument": "the def has other arguments than the call; in a class self is first",
    "overflow encountered in exp": "an exponent is too large, even if where(...) drops the result: "
    "where computes both of its branches for every entry",
}


def _explanation(error):
    """A line about an error, if its own words do not say what to look for."""
    return "".join(f"\n{more}" for words, more in EXPLANATIONS.items() if words in str(error))


def _place(error):
    """Where it happened, in the student's words: "ReLU.update_output (01_relu.py, line 30)".

    None if it happened in a check.
    """
    written = [each for each in traceback.walk_tb(error.__traceback__) if _is_yours(each[0].f_code)]
    if not written:
        return None
    frame, line = written[-1]
    return f"{_name(frame)} ({Path(frame.f_code.co_filename).name}, line {line})"


def _missing(error):
    """What is still to write, where that is the error: a stub, or a name that is not there."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if isinstance(error, NotImplementedError):
        if _is_yours(frame.f_code):
            return _place(error)
        return f"{_name(frame)} (the class has no method of this name)"
    if isinstance(error, NameError) and not _is_yours(frame.f_code):
        return f"{error.name} (the file has no class or function of this name)"
    return None


def _is_yours(code):
    """Whether code is the student's: not a library's, and not of the checks or conditions."""
    path = Path(code.co_filename)
    checks = path.name in ("checks.py", "judge.py") or "conditions" in code.co_qualname.split(".")
    return is_own(path) and path.is_file() and not checks


def _name(frame):
    owner = frame.f_locals.get("self")
    return (f"{type(owner).__name__}." if owner is not None else "") + frame.f_code.co_name
