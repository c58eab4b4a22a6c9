"""The input and the grad_output that a container hands to each module inside, beside those that are due."""

from functools import partial

import numpy as np

from minivae.debug.diagnosis.fitting import TOLERANCE, constant_names, fit
from minivae.debug.diagnosis.places import displaced, drawn
from minivae.debug.differences import compare
from minivae.debug.tables import arrays, copied, mapped, named, same
from minivae.nn import side_loss

LARGEST = 5_000  # entries of an output that is moved


def misfed(facts):
    """The sentence on the first module inside, in the order of backward, that is not given what is due; or None."""
    try:
        said = next(_sentences(facts, facts.module.clone()), None)
        twin = facts.module.clone()
        twin.forward(copied(facts.input))
        for one, other, layer in _in_place(twin) if said else ():
            layer.inplace = False
            if not any(_sentences(facts, twin.clone())):
                return (f"backward needs the output of module ({one}), and module ({other}), with inplace=True, has "
                        f"overwritten it since forward, as `spare_output = True` of ({one}) allows: declare that only "
                        "of a layer whose output nothing reads in backward")
            layer.inplace = True
        return said
    except Exception:  # whatever a layer may raise
        return None


def _in_place(twin):
    """[(name of a module inside, name of the one that overwrites its output, the layer of that which does it)]."""
    home = {id(layer): name for name, child in twin.children() for layer in child.list_modules()}
    return [(home[id(layer.overwrites)], name, layer) for name, child in twin.children()
            for layer in child.list_modules() if id(getattr(layer, "overwrites", None)) in home]


def _sentences(facts, twin):
    watched = {name: _Watched(child) for name, child in twin.children()}
    twin.forward(copied(facts.input))
    allowed = _in_place(twin)
    spared, spoiled = {one for one, _, _ in allowed}, {other for _, other, _ in allowed}  # of output, of input
    for name, child in twin.children():
        if watched[name].runs == 1 and name not in spared and not _alike(child.output, watched[name].output):
            yield (f"the output of module ({name}) is changed after it has run, and its own backward may read it: "
                   "write what is made of it to another array")
    fed = {name: each.input for name, each in watched.items()}
    twin.zero_grad_parameters()
    twin.backward(copied(facts.input), copied(facts.grad_output))

    def objective():
        products = [(g * y).reshape(-1) for g, y in zip(facts.g, arrays(twin.forward(copied(facts.input))))]
        return np.concatenate([*products, [float(side_loss(twin))]])

    called = [(name, each) for name, each in watched.items() if fed[name] is not None]
    for name, each in reversed(called):
        for given, to, last in each.given:
            known = _alike(last, given) or (name in spoiled and _alike(each.output, given))
            if not known and each.stale(given, to, last):
                yield (f"module ({name}) runs {each.runs} times, and is given the input of an earlier run in backward, "
                       "while it holds what the last run has left: run it forward again with that input first, or use "
                       "a clone that shares its parameters" if each.runs > 1 else
                       f"module ({name}) is given another input in backward than it had in forward: "
                       f"{_known(given, called, fed) or 'each needs the input of its own'}")
            if to is not None and each.runs == 1:
                yield from _of_output(name, each, to, called, facts, objective)
                yield from _of_input(name, each, called, objective)
        if not each.given:
            yield f"module ({name}) has run forward, and backward does not call it: its gradients are missing"
        elif each.back is None and any(_alike(fed[name], due) for due in (
                facts.input, *(other.output for _, other in called))):
            yield (f"update_grad_input of module ({name}) is not called: what comes back through it is missing from "
                   "the gradient of its input")


def _of_output(name, each, given, called, facts, objective):
    moved, given = named("grad_output", each.moved), named("grad_output", given)
    if len(moved) != len(given) or any(a.shape != b.shape for (_, a), (_, b) in zip(moved, given)):
        yield f"module ({name}) is given a grad_output that does not have the shape of its output"
        return
    for (path, array), (_, to) in zip(moved, given):
        if array.size > LARGEST:
            continue
        due = compare(path, array, to, objective, 1e-5, 1e-6)
        if due.error <= 1e-6:
            continue
        said = f"module ({name}) is given another {path} than the derivative of the loss by its output"
        others = named("grad_output", facts.grad_output) + [
            (f"the grad_output of module ({other})", g) for other, it in called if other != name
            for _, g, _ in it.given if g is not None] + [(f"the output of module ({other})", it.output)
                                                          for other, it in called]
        c = fit(due.numeric, to, ~due.kink)
        other = next((label for label, g in others if same(g, to, TOLERANCE)), None)
        if not np.any(to):
            said += ": it is zero"
        elif other is not None:
            said += f": it is {other}"
        elif (places := _columns(facts, to, due.numeric)) is not None:
            other = "grad_output"
            said += ": it begins at column {} of grad_output, and should at {}".format(*places)
        elif c is not None:
            names = constant_names(c, facts)
            said += f": it is {c:.4g} times that" + (f", a factor of {' or of '.join(names)}" if names else "")
        yield said + (f", where for one {_example(to, due.numeric)}" if other is None and c is None else "")


def _columns(facts, given, due):
    """Where both begin in the grad_output of the container, if they are columns of it."""
    whole = facts.grad_output
    if not isinstance(whole, np.ndarray) or whole.ndim != 2 or given.ndim != 2:
        return None
    width = given.shape[1]
    starts = [[k for k in range(whole.shape[1] - width + 1) if same(whole[:, k:k + width], each, TOLERANCE)]
              for each in (given, due)]
    return [each[0] for each in starts] if all(starts) else None


def _of_input(name, each, called, objective):
    moved, back = named("input", each.shift), named("input", each.back)
    if [(path, array.shape) for path, array in moved] != [(path, np.shape(g)) for path, g in back]:
        return
    for (path, array), (_, g) in zip(moved, back):
        if array.size > LARGEST:
            continue
        due = compare(path, array, g, objective, 1e-5, 1e-6)
        if due.error > 1e-6:
            said = f"module ({name}) gives back something else than the derivative of the loss by its {path}, "
            others = [(part, f"the grad_output of module ({other})") for other, it in called for _, to, _ in it.given
                      if to is not None for part in arrays(to)]
            how = next(filter(None, (drawn(g, due.numeric, *other) for other in others)), None)
            yield said + (f"as {how}" if how else
                          "which it does not show by itself: look at its update_grad_input, and at what it shares with "
                          "other modules; " + (displaced(g, due.numeric) or f"for one, {_example(g, due.numeric)}"))


def _example(a, n):
    worst = np.unravel_index(np.abs(a - n).argmax(), a.shape)
    return f"[{', '.join(map(str, worst))}] is {a[worst]:.4g} and should be {n[worst]:.4g}"


def _known(given, called, fed):
    """Which array that is."""
    for name, each in called:
        for what, array in (("output", each.output), ("input", fed[name])):
            if _alike(array, given):
                return f"it is the {what} of module ({name})"
    return None


class _Watched:
    """A module whose verbs are noted, and whose output can be moved."""

    def __init__(self, module):
        self.twin = module.clone()
        self.input = self.output = self.moved = self.shift = self.back = None
        self.given = []  # (input, grad_output, input of the last forward) of each call in backward
        self.runs, self.last = 0, None
        self._run = {verb: getattr(module, verb) for verb in (
            "update_output", "update_grad_input", "acc_grad_parameters", "backward")}
        for verb in self._run:
            setattr(module, verb, self._forward if verb == "update_output" else partial(self._back, verb))
        self._inside = False

    def _forward(self, input):
        self.runs, self.last = self.runs + (not self.given), copied(input)
        output = copied(self._run["update_output"](input if self.shift is None else _plus(input, self.shift)))
        if self.moved is None:
            self.shift = mapped(np.zeros_like, copied(input))
            self.input, self.output, self.moved = copied(input), copied(output), mapped(np.zeros_like, output)
        return _plus(output, self.moved)

    def _back(self, verb, input, grad_output, *args, **options):
        if not self._inside:
            self.given.append((copied(input), copied(grad_output), self.last))
        before, self._inside = self._inside, True
        try:
            result = self._run[verb](input, grad_output, *args, **options)
            self.back = self.back if result is None else copied(result)
            return result
        finally:
            self._inside = before

    def stale(self, given, to, last):
        """Whether it gives something else after that last forward than after one of what it is given."""
        if self.runs == 1:
            return True
        results = []
        for before in (given, last):
            twin = self.twin.clone()
            twin.forward(copied(before))
            results.append(twin.update_grad_input(copied(given), copied(to)))
        return not all(map(same, *map(arrays, results)))


def _plus(one, other):
    return tuple(map(_plus, one, other)) if isinstance(one, tuple) else one + other


def _alike(one, other):
    one, other = arrays(one), arrays(other)
    return len(one) == len(other) and all(map(same, one, other))
