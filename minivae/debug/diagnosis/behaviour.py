"""Checks that the verbs of a module keep to their contract."""

import itertools

import numpy as np

from minivae import backend
from minivae.debug.diagnosis.finding import Finding
from minivae.debug.diagnosis.floating_point import where_it_arose
from minivae.debug.diagnosis.memory import never_written, remembered
from minivae.debug.tables import arrays, copied, mapped, named, put_back, same
from minivae.nn import Module, side_loss

OVERWRITTEN = "backward has changed self.output: write to a buffer of your own, self.buffer(...)"
SHORTER = np.float16, np.float32
LARGE = 100  # of an input whose exponential may overflow


def observe(twin, input, grad_output, kept):
    """(input gradient, [(path, array, gradient)], findings) of one backward pass, and of what else it did.

    `twin` is in float64 and holds its noise; each verb is called again, on its own, with another scale.
    `kept` is the input as it was before `twin` first saw it.
    """
    watch = _Watch(twin, input, grad_output, kept)
    watch.unchanged("forward", input=input)
    output, loss, before = copied(twin.forward(input)), float(side_loss(twin)), random_state()
    watch.unchanged("forward", input=input)
    again = copied(twin.forward(input))
    watch.unchanged("forward", input=input)
    if not all(map(same, arrays(output), arrays(again))):
        watch.add("noise not held", "two forward passes with held noise differ: "
                  + ("draw noise with self.draw(...), which keeps it while hold_noise() is on"
                     if random_state() != before else remembered(twin, input) or
                     "with no draw from minivae's generator or from np.random's global one, so the output depends on "
                     "the calls before, on a counter or a buffer, or on a generator of the layer's own, which "
                     "self.draw(...) must replace"))
    elif not watch.findings and not same(loss, float(side_loss(twin))):
        second = float(side_loss(twin))
        twin.forward(input)
        grows = same(float(side_loss(twin)) - second, second - loss)
        watch.add("loss changes", "two forward passes with the same input have other side losses, beta · divergence: "
                  + ("it grows by the same at each call, as where the divergence is added to that of the calls before: "
                     "set it anew in each call" if grows else
                     "beta, or what else the divergence is made of, changes from call to call; count steps elsewhere"))
    weights, output = [np.array(array) for _, array, _ in watch.parameters], copied(twin.output)
    statistics = _statistics(twin)
    grad, grads = watch.backward()
    moved = [name for name, now in _statistics(twin).items() if not np.array_equal(now, statistics[name])]
    if moved:
        watch.add("statistics modified", f"backward has changed {' and '.join(moved)}, which only forward may: it "
                  "moves them itself, or runs a module forward again whose output it has to read")
    if not all(map(same, arrays(output), arrays(copied(twin.output)))):
        watch.add("output modified", OVERWRITTEN)
    for path, (_, array, _), before in zip(watch.paths, watch.parameters, weights):
        if not np.array_equal(array, before, equal_nan=True):
            watch.add("parameter modified", "backward has changed this parameter; only the optimiser may", path)
            array[...] = before
    for path, old, new in zip(watch.paths, watch.parameters, twin.named_parameters()):
        if new[2] is not old[2]:
            watch.add("rebound", "the gradient has become a new array, of which the flat vector of get_parameters "
                      "knows nothing: add in place, grad += ..., not grad = grad + ...", path)
    if not watch.findings:
        _expect_any_layout(watch)
    pairs = [(path, array, each) for (path, array, _), each in zip(watch.parameters, grads)]
    finite = all(np.isfinite(each).all() for each in (*arrays(grad), *grads))
    if watch.findings or not finite or _expect_apart(watch, grads):  # what follows would only repeat what was found
        return grad, pairs, watch.findings
    _, anew = watch.backward()
    _, doubled = watch.backward(zero=False)
    for path, first, again, both in zip(watch.paths, grads, anew, doubled):
        if np.any(first) and same(first, both):
            watch.add("overwritten", "a second backward leaves the gradient as it was: acc_grad_parameters overwrites "
                      "where it must add (+=), or a layer used twice loses a part", path)
        elif not same(2 * first, both) and not same(first, again):
            watch.add("backward changes", "a second backward gives something else than the first: it reads an array "
                      "that backward itself changes, of its own, which is to be set anew in each pass, or of "
                      "update_output's, which is to be left as it is", path)
        elif not same(2 * first, both):
            watch.add("reads gradients", "a second backward adds something else than the first: acc_grad_parameters "
                      "reads a gradient, of this parameter or another, which holds what earlier passes have added, "
                      "where it needs that of this pass alone", path)
    _, more = watch.backward(zero=False, scale=0.5)
    _expect_scaled(watch, grad, grads)
    for path, first, after in zip(watch.paths, grads, more):
        if path not in {finding.name for finding in watch.findings} and not same(2.5 * first, after):
            watch.add("scale", "what earlier passes have added is multiplied by scale too: only what is added now may "
                      "be", path)
    _expect_alone(watch, grads)
    return grad, pairs, watch.findings


def _statistics(twin):
    return {f"{path}.{name}".removeprefix("."): np.array(getattr(module, name))
            for path, module in twin.named_modules() for name in module.statistic_names}


class _Watch:
    """One twin and its arguments, what was found, and copies to compare with."""

    def __init__(self, twin, input, grad_output, kept):
        self.twin, self.input, self.grad_output = twin, input, grad_output
        self.parameters = list(twin.named_parameters())
        self.paths = [path for path, _, _ in self.parameters]
        self.kept = {"input": kept, "grad_output": copied(grad_output)}
        self.findings = []

    def add(self, kind, text, name=""):
        if (kind, name) not in {(finding.kind, finding.name) for finding in self.findings}:
            self.findings.append(Finding(kind, text, "certain", name))

    def grads(self):
        """Copies of what the gradients are now: backward may have made new arrays."""
        return [np.array(grad) for _, _, grad in self.twin.named_parameters()]

    def backward(self, zero=True, scale=1):
        """(input gradient, gradients of the parameters), copies; the arguments are given anew, as they were."""
        if zero:
            self.twin.zero_grad_parameters()
        grad = copied(self.twin.backward(self.input, self.grad_output, scale))
        self.unchanged("backward" if scale == 1 else f"backward with scale {scale}", input=self.input,
                       grad_output=self.grad_output)
        return grad, self.grads()

    def unchanged(self, verb, **values):
        """Report arguments that a verb has changed, and put them back."""
        for name, value in values.items():
            for (path, array), (_, kept) in zip(named(name, value), named(name, self.kept[name])):
                if not np.array_equal(array, kept, equal_nan=True):
                    self.add(f"{name} modified", f"{verb} has changed its {path}, which is another module's: write "
                             "to a buffer of your own, self.buffer(...)" if array.shape == kept.shape else
                             f"{verb} has changed the shape of its {path}, which is another module's: reshape(...) "
                             "gives a view, and leaves it as it is")
                    put_back(array, kept)


def not_finite(twin, input, output, side_loss):
    """[Finding] on an output or a side loss of `twin` with infinities or NaN, which it makes again."""
    for name, array in (*named("output", output), ("side loss", side_loss)):
        if not np.isfinite(array).all():
            if said := never_written(twin, input):
                return [Finding("not finite", said, "certain")]
            where = np.argwhere(~np.isfinite(array))[0]
            large = max((np.abs(each).max(initial=0.0) for each in arrays(input)), default=0)
            text = f"the {name} is not finite" + (f", first at [{', '.join(map(str, where))}]" if where.size else "")
            if large > LARGE:
                text += f", for inputs of up to {large:.1g}, which may be too large"
            return [Finding("not finite", f"{text}: {where_it_arose(lambda: twin.forward(copied(input)))}",
                            "possible" if large > LARGE else "certain")]
    return []


def not_double(name, value, kind="dtype"):
    """[Finding] on an array of less precision in a float64 copy; of a container, ask each layer inside."""
    short = [(path, f"is {array.dtype}") for path, array in named(name, value) if getattr(array, "dtype", 0) in SHORTER]
    short += [(path, "has the digits of float32 only") for path, array in named(name, value) if _few_digits(array)]
    return [Finding(kind, f"the {path} {what} in a module of float64: digits are lost; compute with the dtype of the "
                    "input, without a cast, in arrays made as self.buffer(...) makes them", "certain")
            for path, what in short[:1]]


def _few_digits(array):
    """Whether all numbers of an array are float32 ones, and not because they are short."""
    if getattr(array, "dtype", None) != np.float64 or not np.isfinite(array).all() or not np.any(array):
        return False
    mantissas = np.frexp(array[array != 0])[0]
    return bool((mantissas == mantissas.astype(np.float32)).all() and (mantissas * 2**12 % 1 != 0).any())


def grouped_otherwise(samples, given, result, words):
    """[Finding] on L draws for each row of `given` that are not side by side in `result(given)`, in both passes alike.

    words   names of what has L rows for each row, and of what is given
    """
    rows, place = len(arrays(given)[0]), np.arange(samples * len(arrays(given)[0]))
    if samples < 2 or rows < 2:
        return []
    before, after = (arrays(copied(result(each))) for each in (given, mapped(_with_equal_rows, given)))
    changed = np.any([(one != other).reshape(len(place), -1).any(axis=1) for one, other in zip(before, after)
                      if one.ndim and len(one) == len(place)] or [place < 0], axis=0)
    if not changed[place // samples != 1].any() or changed[place % rows != 1].any():
        return []
    draws, of = words
    return [Finding("draws", f"row k of the {draws} belongs to row k mod N of the {of}, as numpy.tile orders them; the "
                    f"L draws for a row belong side by side, as numpy.repeat orders them: to row k // {samples}",
                    "certain")]


def _with_equal_rows(array):
    """The array with its second row as the first."""
    return np.concatenate([array[:1], array[:1], array[2:]])


def unrepeatable(first, second, drawn, overwritten):
    """[Finding] on two backward passes after one forward, while noise was not held, that do not agree, or draw.

    first, second   the gradients by the input, and those by the parameters, which were zero before
    drawn           whether the second has drawn random numbers
    overwritten     whether the first has changed the output
    """
    for a, b in zip(itertools.chain(*first), itertools.chain(*second)):
        grown = float((a * b).sum() / (a * a).sum()) if np.any(a) and any(a is each for each in first[0]) else 0
        if np.isfinite(a).all() and not same(a, b):
            kind, text = (
                ("output modified", OVERWRITTEN) if overwritten else
                ("grad_input accumulates", "the input gradient grows with every backward: update_grad_input must "
                 "overwrite its buffer, not add to it") if grown > 1.01 and same(grown * a, b) else
                ("stale noise", "two backward passes after one forward differ: noise is drawn anew in backward; use "
                 "what forward drew and kept, self.noise") if drawn else
                ("backward changes", "two backward passes after one forward differ, and no random numbers were drawn "
                 "from minivae's generator or from np.random's global one: backward changes an array or a counter "
                 "that it reads"))
            return [Finding(kind, text, "certain")]
    return [Finding("draws in backward", "backward draws random numbers, of which its gradients show nothing: it runs "
                    "a module forward again, or draws what nobody needs; only forward may, self.draw(...)", "certain")
            ] if drawn else []


def random_state():
    """What changes when a layer draws, from minivae's generator or from numpy's."""
    return str(backend.get_random_state()), str(np.random.get_state()[2:])  # noqa: NPY002, a student's may be it


def _expect_scaled(watch, grad, grads):
    """Gradients of parameters are proportional to scale, the input gradient does not depend on it."""
    halved_grad, halved = watch.backward(scale=0.5)
    for path, full, half in zip(watch.paths, grads, halved):
        if np.any(full) and not same(0.5 * full, half):
            ignores = "acc_grad_parameters ignores scale: multiply what is added by it"
            if watch.twin.children() and path not in watch.twin.parameter_names:
                ignores = "backward does not hand on scale to the modules inside"
            what = (ignores if same(full, half) else
                    "acc_grad_parameters uses scale twice" if same(0.25 * full, half) else
                    "with scale ½ the gradient is not half of what it is with 1: one of its terms is not multiplied by "
                    "scale, or more than once")
            watch.add("scale ignored" if same(full, half) else "scale", what, path)
    for a, b in zip(arrays(grad), arrays(halved_grad)):
        if same(0.5 * a, b) and np.any(a):
            watch.add("scale", "scale has been applied to the input gradient too; it belongs to the parameters only")


def _expect_any_layout(watch):
    """The same numbers give the same, however they lie in memory."""
    def run(input, grad_output):
        output = copied(watch.twin.forward(input))
        watch.twin.zero_grad_parameters()
        return arrays(output), arrays((copied(watch.twin.backward(input, grad_output)), *watch.grads()))

    given = watch.input, watch.grad_output
    laid = mapped(lambda array: np.array(array, order="F" if array.flags.c_contiguous else "C"), given)
    try:
        before, other, after = (run(*map(copied, each)) for each in (given, laid, given))
    except Exception:  # it does not take that
        return
    for verb, one, changed, again in zip(("update_output", "backward"), before, other, after):
        if all(map(same, one, again)) and not all(map(same, one, changed)):
            watch.add("memory order", f"{verb} gives something else for the same numbers in another order in memory, "
                      "as images behind a convolution have, whose batch lies last: reshape and ravel in the order of "
                      "the axes, order='C', not 'K', 'A' or 'F'")
            return


def _expect_alone(watch, grads):
    """The gradients of the parameters do not need that of the input, for which a first module is not asked."""
    if not watch.paths or watch.findings:
        return
    twin = watch.twin
    try:
        twin.backward(watch.input, mapped(lambda g: -2 * g, watch.grad_output))  # which leaves something else behind
        twin.forward(watch.input)
        twin.zero_grad_parameters()
        twin.backward(watch.input, copied(watch.grad_output), need_grad_input=False)
    except Exception:  # a backward of its own that does not take it
        return
    for path, alone, both in zip(watch.paths, watch.grads(), grads):
        if not same(alone, both):
            watch.add("needs grad_input", "the gradient is another with need_grad_input=False, as for the first module "
                      "of a model: " + ("backward treats the modules inside otherwise then" if twin.children() else
                                        "acc_grad_parameters uses what update_grad_input has left, and has to compute "
                                        "it itself, of its grad_output"), path)


def _expect_apart(watch, grads):
    """update_grad_input leaves the gradients of the parameters alone; whether it did not."""
    if not watch.paths or type(watch.twin).update_grad_input is Module.update_grad_input:  # it has `backward` alone
        return False
    watch.twin.zero_grad_parameters()
    watch.twin.update_grad_input(watch.input, copied(watch.grad_output))
    for path, alone, both in zip(watch.paths, watch.grads(), grads):
        if np.any(alone):
            twice = same(2 * alone, both)
            watch.add("accumulated twice" if twice else "accumulates in update_grad_input",
                      "update_grad_input adds to this gradient"
                      + (", and acc_grad_parameters adds to it again" if twice else "")
                      + ": only acc_grad_parameters may", path)
    return bool(watch.findings)


def random_like(output):
    """Weights G of the outputs, random: with ones, mistakes that cancel in the sum would not show."""
    return mapped(lambda y: backend.host_generator().standard_normal(y.shape), output)
