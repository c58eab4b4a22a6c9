"""Checks of what is given to a module, with errors that say what came, what was wanted and what to do."""

from minivae import backend
from minivae.errors import DTypeError, MinivaeError, ShapeError


def expect_initialized(module):
    """Raise if a class of one's own does not call the constructor of the class that it extends."""
    if "buffers" not in vars(module):
        raise MinivaeError(f"{type(module).__name__}: its __init__ does not call super().__init__(), which comes first")


def expect_names(module):
    """Raise if one of the class's lists of names is a text: ("weight") is one, and has letters for names."""
    for attribute in ("parameter_names", "statistic_names", "state_names"):
        names = getattr(module, attribute)
        if isinstance(names, str):
            raise MinivaeError(f"{type(module).__name__}: {attribute} is the text {names!r}, expected a tuple; write "
                               f"({names!r},) with a comma")


def expect_listed(module, name):
    """Raise if the class does not list this parameter: nothing would learn it, count it or save it."""
    if name not in module.parameter_names:
        raise MinivaeError(f"{type(module).__name__}: new_parameter({name!r}) makes a parameter that parameter_names "
                           f"does not list; write parameter_names = {(*module.parameter_names, name)!r} in the class")


def expect_made(module, name):
    """Raise if a parameter that the class lists, or its gradient, is not there."""
    for attribute in (name, "grad_" + name):
        if not hasattr(module, attribute):
            raise MinivaeError(f"{module.title}: parameter_names lists {name!r}, and there is no {attribute}; "
                               f"new_parameter({name!r}, shape) in __init__ makes a parameter and its gradient")
        if getattr(module, name) is None:
            break  # it does without this parameter


def expect_measured(module, name):
    """Raise if a statistic that the class lists is no array, which could not be saved and loaded, and not None."""
    value = getattr(module, name, None)
    if value is None and hasattr(module, name):
        return
    try:
        backend.name_of(value)
    except DTypeError:
        raise DTypeError(f"{module.title}: statistic_names lists {name!r}, which is {describe(value)}; "
                         f"self.{name} = self.xp.zeros(shape, self.dtype) in __init__ makes an array") from None


def expect_array(module, what, array, shape):
    if not isinstance(array, module.xp.ndarray) or isinstance(array, backend.OTHERS):
        raise DTypeError(f"{module.title}: {what} is {describe(array)}, expected an array of {module.backend}; "
                         f"{_conversion(array)}")
    if array.dtype != module.dtype:
        raise DTypeError(f"{module.title}: {what} has dtype {array.dtype}, expected {module.dtype}; "
                         f"{_other_dtype(module, array)}")
    if not (array.ndim > 0 if shape is None else _fits(array.shape, shape)):
        raise ShapeError(f"{module.title}: {what} has shape {array.shape}, expected "
                         f"{show_shape(shape or ('N', '...'))}{_likely_cause(what, array, shape)}")


def _fits(sizes, shape):
    for size, wanted in zip(sizes, shape):
        if size != wanted and not isinstance(wanted, str):
            return False
    return len(sizes) == len(shape)


def expect_table(module, what, table, length):
    if not isinstance(table, tuple) or len(table) != length:
        cure = "; tuple(...) makes one" if isinstance(table, list) and len(table) == length else ""
        raise ShapeError(f"{module.title}: {what} is {describe(table)}, expected a table (a tuple) of "
                         f"{length} arrays{cure}")
    for i, array in enumerate(table):
        if not isinstance(array, tuple):
            expect_array(module, f"{what}[{i}]", array, None)


def expect_number(module, what, value):
    """The value as a float, or as a number on a device; raise if it is none."""
    number = backend.number(value)
    if number is None:
        raise ShapeError(f"{module.title}: {what} is {describe(value)}, expected a number"
                         + "; is a return missing?" * (value is None))
    return number


def expect_grad_output(module, grad_output, shape):
    if module.output is None:
        raise ShapeError(f"{module.title}: backward before forward; call forward with the same input first"
                         if module.input is None else f"{module.title}: its update_output returned None; end it with "
                         "return self.output")
    expect_array(module, "grad_output", grad_output, shape or module.output.shape)


def expect_same_input(module, input):
    expect_initialized(module)
    if module.input is None:
        raise ShapeError(f"{module.title}: backward before forward; call forward with the same input first")
    if input is not module.input and _shapes(input) != _shapes(module.input):
        raise ShapeError(f"{module.title}: backward got an input of shape {_shapes(input)}, the forward before it one "
                         f"of {_shapes(module.input)}; give both the same input")


def _shapes(value):
    """The shape of an array, or a table of shapes."""
    return tuple(map(_shapes, value)) if isinstance(value, tuple) else getattr(value, "shape", None)


def describe(thing):
    """A wrong argument in a few words."""
    if thing is None:
        return "None"
    if isinstance(thing, tuple | list):
        return f"a {type(thing).__name__} of {len(thing)}"
    if getattr(thing, "shape", None) == () and not hasattr(thing, "__setitem__"):  # NumPy's numbers look like arrays
        return f"one number, of type {type(thing).__name__}"
    if hasattr(thing, "shape") and hasattr(thing, "dtype") and not isinstance(thing, backend.OTHERS):
        return f"an array of {type(thing).__module__.split('.')[0]} with shape {tuple(thing.shape)}"
    return f"of type {type(thing).__name__}"


def show_shape(shape):
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def _conversion(array):
    if array is None:
        return "a method that ends without return gives None"
    if isinstance(array, tuple | list) and all(hasattr(each, "shape") for each in array):
        table = "tuple(...) makes a table, which" if isinstance(array, list) else "a table"
        return f"{table} goes into the layers that take one (ParallelTable, GaussianKL, GaussianSampler, ...)"
    if not hasattr(array, "__len__"):
        return "an array has a batch axis, also for one number: numpy.full((1, 1), x, dtype='float32')"
    try:
        return (f"it is on {backend.name_of(array)}: move it with minivae.backend.to_numpy or from_numpy, or the "
                "module with .to(...)")
    except DTypeError:
        return backend.array_cure(array, "numpy.asarray(x, dtype='float32') makes one")


def _other_dtype(module, array):
    wanted = module.dtype.name
    if array.dtype.kind in "ui":
        return f"scale pixels first: x.astype({wanted!r}) / 255"
    cure = f"convert it with .astype({wanted!r})"
    if array.dtype.name not in ("float32", "float64") or not array.dtype.isnative:
        return cure
    if wanted == "float32":
        return f"{cure}, or the module with .double()"
    return (f"{cure}, or the module with .float(); new Batches give {wanted} after "
            f"minivae.backend.set_default_dtype({wanted!r})")


def _likely_cause(what, array, shape):
    if what == "grad_output":
        return "; ∂L/∂output has the shape of the output, which is that of the last forward"
    if shape and len(shape) == 4 and array.ndim in (2, 3):
        return "; put View(planes, height, width) before it"
    if shape and len(shape) == 2 and isinstance(shape[1], int):
        if array.ndim > 2 and array.size == len(array) * shape[1]:
            return f"; put View({shape[1]}) before it"
        if array.ndim == 1 and array.size == shape[1]:
            return "; one row still needs a batch axis: x[None]"
    return ""
