"""One vector behind all the parameters of a model (torch/nn flattenParameters).

An optimiser that sees a model as one vector is one loop over memory, and one kernel on a GPU.  Each weight
becomes a view of its stretch of the vector, so nothing is ever copied back.
"""

import weakref

from minivae import backend
from minivae.errors import DTypeError, MinivaeError
from minivae.nn.checks import expect_made, expect_measured

moves = 0  # how often parameters have moved to other memory
_left = []  # memory that is no model's now: (weak reference to its owner, first address, end, whether parameters moved)
_moved = {}  # id of an array left behind: (weak reference to it, the array in its place, the modules that have that)


def flatten(root):
    """(flat, flat_grad) of a module, as `Module.get_parameters` promises."""
    inventory = root.inventory()
    parameters, grads = inventory.parameters, inventory.grads
    if not parameters:
        empty = backend.empty((0,), root.dtype, root.backend)
        return empty, empty
    if root.flat is None or _is_left(root.flat[0]):
        found = backend.side_by_side(parameters), backend.side_by_side(grads)
        if found[0] is None or found[1] is None or _is_left(found[0]):
            _expect_one_kind(root)
            found = tuple(backend.empty((sum(array.size for array in arrays),), root.dtype, root.backend)
                          for arrays in (parameters, grads))
            _move(root, parameters, grads, found)
        root.flat = found
    return root.flat


def _expect_one_kind(root):
    """Raise if a module inside computes with another library, or in another dtype."""
    for path, module in root.named_modules():
        if (module.backend, module.dtype) != (root.backend, root.dtype) and names(module):
            raise DTypeError(f"{path} computes with {module.backend} in {module.dtype}, and the whole with "
                             f"{root.backend} in {root.dtype}; convert the whole model with .to(...), .float() or "
                             ".double(), not parts of it")


def settle(root):
    """Make the parameters of a copy views of its `flat`, which is a copy too, as those of the original are."""
    flat, root.flat = root.flat, None
    if flat is None:
        return
    parameters, grads = root.inventory().parameters, root.inventory().grads
    root.flat = flat
    if sum(array.size for array in parameters) != flat[0].size or flat[0].dtype != root.dtype:
        _leave_vectors(root)
    elif not _fills(root):
        _move(root, parameters, grads, flat)


def look_after(modules):
    """Give up the flat vectors of those modules whose parameters are others now."""
    for module in modules:
        if module.flat is not None and not _is_left(module.flat[0]) and not _fills(module):
            _leave_vectors(module)


def names(module):
    """The names of the parameters that a module itself has: weight, bias; raises if one that it lists was not made."""
    for name in module.parameter_names:
        expect_made(module, name)
    return [name for name in module.parameter_names if getattr(module, name) is not None]


def statistics(module):
    """The names of what a module itself measures: running_mean; raises for one that is neither an array nor None."""
    for name in module.statistic_names:
        expect_measured(module, name)
    return [name for name in module.statistic_names if getattr(module, name) is not None]


def attributes(module):
    """The names of a module's own parameters and gradients: weight, grad_weight, bias, grad_bias."""
    return [each for name in names(module) for each in (name, "grad_" + name)]


def unique(root):
    """(parameters, gradients) of a module, a shared one once; raises where a part of one is shared."""
    for module in root.list_modules():
        catch_up(module)
    found = {}
    for path, array, grad in root.named_parameters():
        if found.setdefault(id(array), (path, array, grad))[2] is not grad:
            raise MinivaeError(f"{path} is shared with another module but its gradient is not; share both, as "
                               "share(other, 'weight') and clone(share=('weight', 'bias')) do")
    paths, arrays, grads = map(list, zip(*found.values())) if found else ([], [], [])
    pair = backend.sharing(arrays) or backend.sharing(grads)
    if pair is not None:
        raise MinivaeError(f"{paths[pair[0]]} and {paths[pair[1]]}, or their gradients, share memory and are not the "
                           "same array; share(other, 'weight') shares a whole parameter and its gradient, "
                           "Linear.tied(other) takes the transpose of one")
    return arrays, grads


def replace(root, moved):
    """Put new arrays in the place of old ones, {id(old): (old, new)}, in a module and all inside it.

    Whoever else holds an old array catches up with it when it is looked at.
    """
    global moves
    modules = root.list_modules()
    for module in modules:
        for attribute in attributes(module):
            setattr(module, attribute, moved[id(getattr(module, attribute))][1])
    done = weakref.WeakSet(modules)
    for key, (old, new) in moved.items():
        _moved[key] = weakref.ref(old, lambda _, key=key: _moved.pop(key, None)), new, done
        _leave(old, moved=True)
    moves += 1


def expect_in_use(flat):
    """Raise if this vector is none that a model uses any more."""
    if _is_left(flat):
        raise MinivaeError("this flat vector is no longer the model's: to(), cuda(), cpu(), float() and double(), "
                           "get_parameters() of a larger model, a layer added or removed, and another array in the "
                           "place of a parameter call for a new one; "
                           "call get_parameters() again and optimise what it returns")


def was_moved(array):
    """True if the parameter that was in this memory is elsewhere now."""
    return _is_left(array, moved=True)


def _move(root, parameters, grads, vectors):
    """Make the parameters of a module, and their gradients, views of two vectors."""
    moved = {}
    for arrays, vector in zip((parameters, grads), vectors):
        start = 0
        for array in arrays:
            view = vector[start:start + array.size].reshape(array.shape)
            view[...] = array
            moved[id(array)] = array, view
            start += array.size
    replace(root, moved)


def catch_up(module):
    """Follow those who shared a parameter with this module and have it elsewhere now."""
    followed = []
    for attribute in attributes(module):
        array = getattr(module, attribute)
        while (move := _moved.get(id(array))) and move[0]() is array and module not in move[2]:
            array = move[1]
            followed.append(move[2])
        setattr(module, attribute, array)
    for done in followed:
        done.add(module)


def _fills(module):
    """True if the parameters of a module fill its flat vector from end to end, and the gradients theirs."""
    for arrays, vector in zip(unique(module), module.flat):
        found = backend.side_by_side(arrays) if arrays else None
        if found is None or backend.bounds(found) != backend.bounds(vector):
            return False
    return True


def _leave_vectors(module):
    for vector in module.flat:
        _leave(vector, moved=False)


def _leave(array, moved):
    _left[:] = [each for each in _left if each[0]() is not None]
    _left.append((weakref.ref(backend.owner(array)), *backend.bounds(array), moved))


def _is_left(array, moved=False):
    first, last = backend.bounds(array)
    return any(first < end and start < last and (parameters_moved or not moved) and owner() is backend.owner(array)
               for owner, start, end, parameters_moved in _left)
