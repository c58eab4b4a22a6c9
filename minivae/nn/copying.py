"""Copies of modules: to another library or dtype, to a twin, from a saved state."""

import copy
import reprlib
from collections.abc import Mapping
from math import inf

from minivae import backend
from minivae.errors import DTypeError, OptionError, ShapeError, instance, several
from minivae.nn import checks, flat_parameters


def convert(root, name, dtype):
    """Move the parameters of a module to another library, or dtype, or both; buffers are dropped."""
    name, dtype = backend.usable(name, dtype)
    checks.expect_initialized(root)
    flat_parameters.unique(root)  # raises where views share memory, which copies would not
    for module in root.list_modules():
        flat_parameters.statistics(module)  # raises where one could not be copied
    was_flat = root.flat is not None
    moved = {}  # {id: (old, new)}: a shared array stays shared
    for module in root.list_modules():
        module.backend, module.dtype = name or module.backend, dtype or module.dtype
        module.flat = None
        measured = flat_parameters.statistics(module)
        for attribute in (*flat_parameters.attributes(module), *measured):
            old = getattr(module, attribute)
            if id(old) not in moved:
                host = backend.to_numpy(old).astype(module.dtype)
                moved[id(old)] = old, backend.from_numpy(host, like=module.backend)
            if attribute in measured:
                setattr(module, attribute, moved[id(old)][1])
    flat_parameters.replace(root, moved)
    root.clear_state()
    if was_flat:
        root.get_parameters()
    return root


def share(module, other, names):
    """Let a module, and all inside it, use the parameters of another one that have these names."""
    _expect_names(module, names)
    flat_parameters.unique(other)  # catches up with parameters that have moved
    shared, others = [], dict(other.named_modules())
    for path, mine in module.named_modules():
        its = others.get(path)
        for name in set(names).intersection(flat_parameters.attributes(mine)):
            array = getattr(its, name, None)
            if array is None or array.shape != getattr(mine, name).shape:
                raise ShapeError(f"{mine.title}: its {name} of shape {getattr(mine, name).shape} cannot be that of "
                                 f"{other.title}; share the parameters of a module of the same build")
            shared.append((mine, its, name))
    for mine, its, name in shared:
        for attribute in (name, "grad_" + name):
            setattr(mine, attribute, getattr(its, attribute))
    return module


def _expect_names(root, names):
    known = sorted({name for module in root.list_modules() for name in module.parameter_names})
    if not names or not all(name in known for name in names):
        raise OptionError(f"{root.title}: share={names!r}; give names of parameters, out of "
                          f"{', '.join(known) or 'none'}")


def clone(root, share):
    """A deep copy of a module, but for the parameters named in `share` and their gradients."""
    checks.expect_initialized(root)
    share = (share,) if isinstance(share, str) else several("clone", "share", share, "are names of parameters")
    if share:
        _expect_names(root, share)
    memo = {id(root.flat): None}  # the copy gets a vector of its own, which is aligned as this one is
    twin = copy.deepcopy(root, memo)
    for path, module in twin.named_modules():
        module.path = path
    if share:
        return twin.share(root, *share)
    if root.flat is not None:
        twin.get_parameters()
    return twin


def load(root, state):
    """Copy a state_dict into the parameters of a module, after all of it has been checked."""
    root.inventory()
    instance("load_state_dict", "state", state, Mapping, "; state_dict() of another model is one, and so is what "
             "numpy.load(path) reads of a file that numpy.savez wrote")
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
        sizes = abs(checked[path])
        lost = checked[path][(sizes > backend.array_library("numpy").finfo(array.dtype).max) & (sizes < inf)]
        if lost.size:
            raise DTypeError(f"{path}: the state holds {lost[0]:g}, which is beyond {array.dtype}; convert the model "
                             "with .double()")
    for path, array in mine.items():
        array[...] = backend.from_numpy(checked[path].astype(array.dtype), like=array)


def _listed(paths):
    return reprlib.repr(paths) if paths else "nothing"
