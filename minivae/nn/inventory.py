"""The parts of a module, and the rules for all of them together, checked again only after a change."""

from minivae import backend
from minivae.errors import DTypeError, MinivaeError, ShapeError
from minivae.nn import flat_parameters
from minivae.nn.checks import describe, expect_initialized
from minivae.nn.in_place_rule import connect


class Inventory:
    """The parts of a module when it was last checked.

        parameters, grads   of the module and of all inside it, a shared parameter once
        whole_grads         the gradients as one vector where they lie side by side: fewer and longer loops

    Making one checks that no module is in two places, that each parameter is an array of its module's kind with a
    gradient of its shape, and that two of them share a whole array or no memory.  `holds` compares what the modules
    have with what they had, by one `is` for each array.  That is quick enough for every forward pass.
    """

    def __init__(self, root):
        self.moves = flat_parameters.moves
        modules = _expect_tree(root)
        _expect_reached(modules)
        for path, module in modules:
            module.path = path
            flat_parameters.catch_up(module)
            _expect_parameters(path, module)
        self.parameters, self.grads = flat_parameters.unique(root)
        connect(root)
        self.own = _kept(root)
        self.inner = [(vars(module), name, value) for _, module in modules[1:] for name, value in _kept(module)]
        whole = backend.side_by_side(self.grads) if self.grads else None
        self.whole_grads = self.grads if whole is None else [whole]
        flat_parameters.look_after([module for _, module in modules])

    def holds(self, root):
        """True if nothing has changed."""
        own = vars(root)
        for name, value in self.own:
            if own.get(name) is not value:
                return False
        for namespace, name, value in self.inner:
            if namespace.get(name) is not value:
                return False
        return self.moves == flat_parameters.moves


def _expect_tree(root):
    """[(path, module), ...] of a module and of all inside it; raises if one is in two places."""
    found, waiting = {}, [(getattr(root, "path", ""), root)]
    while waiting:
        path, module = waiting.pop()
        expect_initialized(module)
        if id(module) in found:
            raise MinivaeError(f"{type(module).__name__} is in this model twice, as {found[id(module)][0]} and {path}, "
                               "and one module has one output buffer; put a clone(share=('weight', 'bias')) in one of "
                               "the places to use its parameters twice")
        found[id(module)] = path, module
        waiting += [(f"{path}.{name}" if path else name, child) for name, child in reversed(module.children())]
    return list(found.values())


def _expect_reached(modules):
    """Raise if a class of one's own keeps a module with parameters that stands in no container, so is none of these."""
    from minivae.nn.module import Module  # here, because that file imports this one

    reached = {id(module) for _, module in modules}
    for _, module in modules:
        for name, value in {} if type(module).__module__.startswith("minivae.") else vars(module).items():
            kept = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
            for each in kept:
                if isinstance(each, Module) and id(each) not in reached and not getattr(each, "path", "") and (
                        any(True for _ in each.named_parameters())):
                    raise MinivaeError(f"{module.title}: self.{name} holds {type(each).__name__}, which stands in no "
                                       "container: get_parameters, double and training do not reach it; extend "
                                       "nn.Container in the place of nn.Module, and self.add(module) each")


def _expect_parameters(path, module):
    """Raise unless each parameter of a module is in use and has a gradient, and all are arrays of its kind.

    So are statistics when a model is made.  A forward pass may put others in their place, so `_kept` leaves them out.
    """
    for name in flat_parameters.statistics(module):
        _expect_kind(f"{path}.{name}" if path else name, getattr(module, name), module)
    for name in flat_parameters.names(module):
        array, grad = getattr(module, name), getattr(module, "grad_" + name)
        title = f"{path}.{name}" if path else name
        for what, each in ((title, array), (f"the gradient of {title}", grad)):
            _expect_kind(what, each, module)
            if flat_parameters.was_moved(each):
                raise MinivaeError(f"{what} was shared with a module whose own has moved to other memory since, as "
                                   "get_parameters, to, float and double do; put both in one model before that, and "
                                   "share anew: share(other, 'weight')")
        if grad.shape != array.shape:
            raise ShapeError(f"{title} has shape {array.shape} and its gradient {grad.shape}; "
                             f"new_parameter({name!r}, shape) makes both")


def _expect_kind(what, thing, module):
    if not isinstance(thing, module.xp.ndarray) or thing.dtype != module.dtype:
        raise DTypeError(f"{what} is {describe(thing)}{_dtype(thing)}, and its module computes with "
                         f"{module.backend} in {module.dtype}; assign an array of that kind, as self.xp.zeros(shape, "
                         "self.dtype) is, or convert the whole model with .to(...), .float() or .double()")


def _dtype(thing):
    return f" and dtype {thing.dtype}" if hasattr(thing, "dtype") else ""


def _kept(module):
    """[(attribute, value), ...]: all of a module that the rules are about."""
    names = [each for name in module.parameter_names for each in (name, "grad_" + name)]
    return [(name, vars(module)[name]) for name in (*names, "_modules", "inplace", "overwrites")
            if name in vars(module)]
