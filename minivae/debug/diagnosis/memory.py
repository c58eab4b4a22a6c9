"""Memory of a module: what it keeps from call to call, and arrays that are one."""

from functools import partial
from itertools import combinations

import numpy as np

from minivae.debug.diagnosis.fitting import TOLERANCE
from minivae.debug.tables import arrays, copied, named, same
from minivae.nn import Criterion, side_loss

WRITERS = {"output": "update_output leaves in its array", "grad_input": "update_grad_input leaves in its array"}
OF_A_CALL = {"input", "output", "grad_output", "grad_input", "noise"}


def remembered(twin, input):
    """The sentence on what update_output changes and depends on, or None if nothing that can be put back does it."""
    before, output = _state(twin), copied(twin.forward(input))
    after = _state(twin)
    changed = {key: value for key, value in before.items() if key in after and not _equal(value, after[key])}

    def repeats(names):
        _put(twin, {**after, **{key: before[key] for key in names}})
        return all(map(same, arrays(output), arrays(copied(twin.forward(input)))))

    if not changed or not repeats(changed):
        return None
    needed = _needed(changed, repeats)  # what has settled repeats whatever is put back
    names = " and ".join(_name(*key) for key in needed)
    statistics = {key[2] for key in needed} <= {name for module in twin.list_modules()
                                                for name in module.statistic_names}
    if {key[2] for key in needed} <= {"noise"}:
        return (f"update_output changes {names} after it was drawn, and makes something else of it at the next call: "
                "write what is made of the noise to another array")
    return (f"update_output changes {names}, and its output depends on what the call before has left there: "
            + ("in evaluation mode statistics must stay as they are" if statistics and not twin.train else
               "clear it, or compute it anew, in each call"))


def overlapping(name, table):
    """[(name, name)] of the entries of a table that are in the same memory."""
    return [(one, other) for (one, a), (other, b) in combinations(named(name, table), 2) if np.shares_memory(a, b)]


def kept_as_one(twin, input, grad_output, derivatives):
    """The sentence on a list in which one array stands several times, if copies make backward right; or None.

    derivatives   {name: derivative} of the arrays whose gradients are wrong
    """
    lists = [name for name, value in vars(twin).items() if name not in OF_A_CALL and isinstance(value, list | tuple)
             and any(one is other for one, other in combinations(value, 2) if isinstance(one, np.ndarray))]
    if not lists:
        return None
    fresh = twin.clone()
    for layer in fresh.list_modules():
        layer.buffer = copying(layer.buffer)
        if layer is not fresh:
            layer.update_output = copying(layer.update_output)
    return None if not _is_right(fresh, input, grad_output, derivatives) else (
        f"self.{lists[0]} holds one array in several places, as a module inside, or self.buffer, gives the same one at "
        "each call: what the later calls write stands in all of them; keep copies")


def overwritten_inside(twin, input, grad_output, derivatives):
    """The sentence on a module inside whose output is written to after it has run, if that explains all; or None."""
    if any(getattr(layer, "inplace", False) for layer in twin.list_modules()):  # which may be meant
        return None
    for number, (name, _) in enumerate(twin.children()):
        fresh, runs = twin.clone(), []
        inside = fresh.children()[number][1]
        inside.run = copying(inside.run, runs.append)
        if _is_right(fresh, input, grad_output, derivatives):
            return (f"module ({name}) runs {len(runs)} times and each run writes to the same array, while what an "
                    "earlier one gave is still read: keep a copy" if len(runs) > 1 else
                    f"the output of module ({name}) is changed after it has run, and its own backward reads it: write "
                    "what is made of it to another array")
    return None


def not_cleared(twin, input, grad_output, derivatives):
    """The sentence on an array from which an earlier call can be read, if it is right where that is cleared; or None.
    """
    twin = twin.clone()
    _is_right(twin, input, grad_output, derivatives)  # which gives the copy its arrays
    return next((said for said, fill in leftovers(twin) if _is_right(fill(0), input, grad_output, derivatives)
                 and not all(_is_right(fill(value), input, grad_output, derivatives) for value in (1, -1))), None)


def never_written(twin, input):
    """The sentence on an array whose NaN from before it was written reach the output, or None."""
    twin = twin.clone()
    try:
        twin.forward(copied(input))  # which gives the copy its arrays
        return next((said for said, fill in leftovers(twin) if all(np.isfinite(each).all() for each in (
            *arrays(fill(0).forward(copied(input))), side_loss(twin)))), None)
    except Exception:  # whatever a layer may raise
        return None


def leftovers(twin):
    """[(sentence, a function that fills the array and returns `twin`)] for each array that a module keeps."""
    found = {}
    for path, module in [("", twin)] if isinstance(twin, Criterion) else twin.named_modules():
        for name, value in {**module.buffers, "grad_input": getattr(module, "grad_input", None)}.items():
            if name != "noise":
                said = WRITERS.get(name, f"the buffer {name!r} is read where it holds")
                of = f" of {path}" if path else ""
                found[path, name] = (f"{said}{of} what was there before this call: set all of it to 0 first, or write "
                                     "every entry"), value
    return [(said, partial(_filled, twin, value)) for said, value in found.values()]


def _filled(twin, value, number):
    for array in arrays(value):
        if isinstance(array, np.ndarray):
            array[...] = number
    return twin


def overwritten(twin, input, grad_output, derivatives):
    """The sentence on arrays that update_grad_input overwrites and acc_grad_parameters reads, if that explains all."""
    twin = twin.clone()
    twin.forward(copied(input))
    before = _state(twin)
    twin.update_grad_input(copied(input), copied(grad_output))
    after = _state(twin)
    changed = {key: value for key, value in before.items() if key in after and not _equal(value, after[key])}

    def is_right(names):
        _put(twin, {**after, **{key: before[key] for key in names}})
        twin.zero_grad_parameters()
        twin.acc_grad_parameters(copied(input), copied(grad_output), 1)
        grads = {path: grad for path, _, grad in twin.named_parameters()}
        return all(name in grads and same(grads[name], each, TOLERANCE) for name, each in derivatives.items())

    if not changed or not is_right(changed):
        return None
    names = " and ".join(_name(*key) for key in _needed(changed, is_right))
    return (f"update_grad_input overwrites {names}, which update_output has set and acc_grad_parameters still reads: "
            "write to an array of your own")


def written_twice(twin, input, grad_output, derivatives):
    """The sentence on a buffer that both passes ask for, if all is right where backward gets one of its own; or None.
    """
    for number, (path, module) in enumerate(twin.named_modules()):
        for name in [each for each in module.buffers if each not in ("output", "grad_input")]:
            fresh = twin.clone()
            layer = fresh.list_modules()[number]
            shared, own = layer.buffer, {}

            def buffer(asked, shape, *options, name=name, shared=shared, own=own):
                return shared(asked, shape, *options) if asked != name else own.setdefault(
                    shape, np.full(shape, np.nan))

            if _is_right(fresh, input, grad_output, derivatives, partial(setattr, layer, "buffer", buffer)):
                of = f" of {path}" if path else ""
                return (f"backward writes to the buffer {name!r}{of}, in which update_output has left what backward "
                        "still reads: give it another name")
    return None


def _needed(names, suffice):
    """As few of the names as suffice, others rather than outputs, of which they may be views."""
    needed = list(names)
    for name in sorted(names, key=lambda name: name[2] not in OF_A_CALL):
        rest = [each for each in needed if each != name]
        if rest and suffice(rest):
            needed = rest
    return needed


def _is_right(twin, input, grad_output, derivatives, between=lambda: None):
    twin.zero_grad_parameters()
    twin.forward(copied(input))
    between()
    grads = dict(named("input", twin.backward(copied(input), copied(grad_output))))
    grads |= {path: grad for path, _, grad in twin.named_parameters()}
    return all(same(grads[name], derivative, TOLERANCE) for name, derivative in derivatives.items())


def copying(verb, seen=lambda result: None):
    def call(*arguments, **options):
        seen(result := verb(*arguments, **options))
        return copied(result)
    return call


def _state(twin):
    """{(path, whether it is a buffer, name): copy} of the arrays and numbers of a module and of those inside."""
    return {(path, kind, name): np.array(value) for path, module in twin.named_modules()
            for kind, named in (("", vars(module)), ("buffer", module.buffers)) for name, value in named.items()
            if name not in OF_A_CALL - set(module.buffers) and isinstance(value, np.ndarray | int | float)}


def _put(twin, state):
    modules = dict(twin.named_modules())
    for (path, kind, name), value in sorted(state.items(), key=lambda item: item[0][1] != "buffer"):  # then their views
        owner = modules[path].buffers if kind else vars(modules[path])
        if isinstance(now := owner[name], np.ndarray) and now.shape == value.shape:
            now[...] = value
        else:
            owner[name] = np.array(value) if isinstance(now, np.ndarray) else type(now)(value)


def _equal(one, other):
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=True)


def _name(path, kind, name):
    return (f"the buffer {name!r}" if kind else f"self.{name}") + (f" of {path}" if path else "")
