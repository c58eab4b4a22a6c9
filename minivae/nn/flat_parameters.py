"""One vector behind all the parameters of a model (torch/nn flattenParameters).

An optimiser that sees a model as one vector is one loop over memory, and one kernel on a GPU.  Each weight
becomes a view of its stretch of the vector, so nothing is ever copied back.
"""

import weakref

from minivae import backend
from minivae.errors import MinivaeError

_retired = []  # weak references to the storage of vectors that no model uses any more


def flatten(root):
    """(flat, flat_grad) of a module, as `Module.get_parameters` promises."""
    parameters, grads = root.parameters()
    if not parameters:
        empty = backend.empty((0,), root.dtype, root.backend)
        return empty, empty
    storage = _common_storage(root)
    if storage is not None:
        views = tuple(_stretch(root, whole, parts) for whole, parts in zip(storage, (parameters, grads)))
        return storage if views[0] is storage[0] else views
    _expect_alike(root, parameters)
    retire(root)
    flat, views = _move(parameters, root)
    flat_grad, grad_views = _move(grads, root)
    moved = {id(old): new for old, new in zip(parameters + grads, views + grad_views)}
    storage = flat, flat_grad
    for module in root.list_modules():
        module.flat = storage
        for attribute in attributes(module):
            setattr(module, attribute, moved[id(getattr(module, attribute))])
    return storage


def attributes(module):
    """The names of a module's own parameters and gradients: weight, grad_weight, bias, grad_bias."""
    return [each for name in module.parameter_names if getattr(module, name) is not None
            for each in (name, "grad_" + name)]


def whole_grad(root):
    """The gradients of a module, as one vector where they fill one exactly: fewer and longer loops."""
    _, grads = root.parameters()
    storage = root.flat
    filled = storage is not None and sum(grad.size for grad in grads) == storage[1].size
    return [storage[1]] if filled and all(grad.base is storage[1].base for grad in grads) else grads


def retire(root):
    """Remember that the vectors behind this module are about to be left."""
    _retired[:] = [ref for ref in _retired if ref() is not None]
    for module in root.list_modules():
        if module.flat is not None:
            if not _is_retired(module.flat[0]):
                _retired.append(weakref.ref(module.flat[0].base))
            module.flat = None


def expect_in_use(flat):
    """Raise if this vector was left behind by `to`, `float`, `double` or a new `get_parameters`."""
    if _is_retired(flat):
        raise MinivaeError("this flat vector is no longer the model's: to(), cuda(), cpu(), float() and double(), "
                           "and get_parameters() of a larger model, make a new one; "
                           "call get_parameters() again and optimise what it returns")


def _is_retired(flat):
    return flat.base is not None and any(ref() is flat.base for ref in _retired)


def _common_storage(root):
    """The one (flat, flat_grad) that holds every parameter of a module, else None."""
    found = [module.flat for module in root.list_modules() if attributes(module)]
    if not found or found[0] is None or any(each is not found[0] for each in found) or _is_retired(found[0][0]):
        return None
    for whole, parts in zip(found[0], root.parameters()):
        start, end = backend.address(whole), backend.address(whole) + whole.nbytes
        if any(not start <= backend.address(part) < end for part in parts):
            return None  # somebody has put another array in a parameter's place
    return found[0]


def _stretch(root, whole, parts):
    """The view of `whole` that covers the parts, which must lie one behind the other."""
    start = position = backend.address(parts[0])
    for part in parts:
        if backend.address(part) != position:
            raise MinivaeError(f"{root.title}: its parameters do not lie side by side, because some are shared with "
                               "another part; take get_parameters() of the whole model")
        position += part.nbytes
    if position - start == whole.nbytes:
        return whole
    first = (start - backend.address(whole)) // whole.itemsize
    return whole[first:first + (position - start) // whole.itemsize]


def _expect_alike(root, parameters):
    kinds = {(backend.name_of(array), array.dtype.name) for array in parameters}
    if len(kinds) > 1:
        raise MinivaeError(f"{root.title}: parameters of several kinds, {sorted(kinds)}; convert the whole model with "
                           ".to(...), .float() or .double()")


def _move(arrays, root):
    """(a vector that holds the arrays one behind the other, their views of it)."""
    flat = backend.empty((sum(array.size for array in arrays),), arrays[0].dtype, backend.name_of(arrays[0]))
    views, start = [], 0
    for array in arrays:
        view = flat[start:start + array.size].reshape(array.shape)
        view[...] = array
        views.append(view)
        start += array.size
    return flat, views
