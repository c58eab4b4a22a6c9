"""Copies of modules: to another library or dtype, to a twin, from a saved state."""

import copy
import reprlib

from minivae import backend
from minivae.errors import DTypeError, OptionError, ShapeError
from minivae.nn import checks, flat_parameters


def convert(root, name, dtype):
    """Move the parameters of a module to another library, or dtype, or both; buffers are dropped."""
    checks.expect_initialized(root)
    was_flat = root.flat is not None
    converted = {}  # {id: (old, new)}: a shared parameter stays shared

    def move(array, module):
        if id(array) not in converted:
            host = backend.to_numpy(array).astype(module.dtype)
            converted[id(array)] = array, backend.from_numpy(host, like=module.backend)
        return converted[id(array)][1]

    flat_parameters.retire(root)
    for module in root.list_modules():
        module.backend = name or module.backend
        module.dtype = dtype or module.dtype
        for attribute in (*flat_parameters.attributes(module), *module.statistic_names):
            setattr(module, attribute, move(getattr(module, attribute), module))
    root.clear_state()
    if was_flat:
        root.get_parameters()
    return root


def clone(root, share):
    """A deep copy of a module, but for the parameters named in `share` and their gradients."""
    known = {name for module in root.list_modules() for name in module.parameter_names}
    if set(share) - known or isinstance(share, str):
        raise OptionError(f"{root.title}: clone(share={share!r}); a tuple of parameter names, out of "
                          f"{', '.join(sorted(known)) or 'none'}")
    memo = {}
    for module in root.list_modules():
        for attribute in flat_parameters.attributes(module):
            if attribute.removeprefix("grad_") in share:
                memo[id(getattr(module, attribute))] = getattr(module, attribute)
    twin = copy.deepcopy(root, memo)
    for path, module in twin.named_modules():
        module.path = path
    if root.flat is not None and not share:
        twin.get_parameters()
    return twin


def load(root, state):
    """Copy a state_dict into the parameters of a module, after all of it has been checked."""
    mine = dict(root.named_arrays())
    missing, unknown = sorted(mine.keys() - state.keys()), sorted(state.keys() - mine.keys())
    if missing or unknown:
        raise ShapeError(f"this state is not this model's: missing {_listed(missing)}, unknown "
                         f"{_listed(unknown)}; build the model with the options it was saved with")
    checked = {path: backend.to_numpy(state[path]) for path in mine}
    for path, array in mine.items():
        if checked[path].shape != array.shape:
            raise ShapeError(f"{path}: the state has shape {checked[path].shape}, the model {array.shape}; "
                             "build the model with the options it was saved with")
        if checked[path].dtype.kind != "f":
            raise DTypeError(f"{path}: the state has dtype {checked[path].dtype}, expected floating point numbers")
    for path, array in mine.items():
        array[...] = backend.from_numpy(checked[path].astype(array.dtype), like=array)


def _listed(paths):
    return reprlib.repr(paths) if paths else "nothing"
