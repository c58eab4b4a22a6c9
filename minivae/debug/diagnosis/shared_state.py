"""State that all objects of a class share: kept in the class, in a default argument or in its file."""

import copy
from functools import partial

import numpy as np

from minivae import backend
from minivae.debug.diagnosis.elsewhere import along, pairs, shuffled, terms
from minivae.debug.diagnosis.finding import Finding
from minivae.debug.diagnosis.memory import copying, overlapping
from minivae.debug.tables import arrays, copied, mapped, same
from minivae.nn import Criterion

SHARED = ("after update_output of another object of the class backward gives something else: what they keep is one for "
          "all objects, in the class, a default argument or the module's file; make one for each in __init__")


def kept_on_class(twin, input, grad_output, derivatives):
    """The sentence on what classes hold for all their objects, if one for each object makes backward right; or None."""
    fresh, names = twin.clone(), []
    for each in {id(each): each for module in fresh.list_modules() for each in (module, *vars(module).values())
                 if hasattr(each, "__dict__") and not isinstance(each, type)}.values():
        for cls in type(each).__mro__ if not type(each).__module__.startswith("minivae.") else ():
            for name, value in vars(cls).items():
                if isinstance(value, dict | list | set | np.ndarray) and name[:2] != "__" and name not in vars(each):
                    vars(each)[name] = copy.deepcopy(value)
                    names.append(f"{cls.__name__}.{name}")
    if not names:
        return None
    return None if not _is_derivative(fresh, input, grad_output, derivatives) else (
        f"{' and '.join(dict.fromkeys(names))} is one for all objects of the class, and what one of them writes there "
        "another reads: make one for each in __init__")


def one_array_in_the_output(twin, input, grad_output, derivatives):
    """The sentence on entries of the output that are in the same memory, if copies make backward right; or None."""
    shared = overlapping("output", twin.output)
    fresh = twin.clone()
    for layer in fresh.list_modules() if shared else ():
        layer.buffer = copying(layer.buffer)
    return None if not shared or not _is_derivative(fresh, input, grad_output, derivatives) else (
        f"{shared[0][0]} and {shared[0][1]} are one array in memory, so what is written for one stands in both: each "
        "needs a buffer of its own, with a name of its own")


def _is_derivative(twin, input, grad_output, derivatives):
    """Whether the gradients of those names are those of what this module gives."""
    input = copied(input)
    twin.zero_grad_parameters()
    twin.forward(input)
    gradients = [*pairs("input", input, copied(twin.backward(input, copied(grad_output)))), *twin.named_parameters()]
    return all(along(array, np.array(gradient), partial(terms, twin, input, grad_output))
               for name, array, gradient in gradients if name in derivatives)


def shared_by_objects(unused, given):
    """[Finding] on gradients that change where another object of the class runs between forward and backward."""
    criterion, found = isinstance(unused, Criterion), []
    other = (mapped(shuffled, given[0]), given[1]) if criterion else mapped(shuffled, given)

    def arguments(batch):
        return copied(batch) if criterion else (copied(batch),)

    for between in ((), (other,)):
        try:
            each = copy.deepcopy(unused)
            with backend.seeded(1):
                each.forward(*arguments(given))
                for batch in between:
                    copy.deepcopy(unused).forward(*arguments(batch))
            ones = () if criterion else (mapped(np.ones_like, copied(each.output)),)
            found.append(arrays(copied(each.backward(*arguments(given), *ones))))
        except Exception:  # it does not take that input
            return []
    return [] if all(map(same, *found)) else [Finding("shared by objects", SHARED, "certain")]
