"""Objects made by their name and options, as a configuration or the command line gives them."""

import inspect
import reprlib

from minivae.errors import MinivaeError, OptionError


def make(kind, functions, name, options):
    """functions[name](**options), with what is wrong about them explained; `kind` is what it makes, such as "model"."""
    if not isinstance(name, str) or name not in functions:
        raise OptionError(f"unknown {kind} {reprlib.repr(name)}; choose one of {', '.join(functions)}")
    known = inspect.signature(functions[name]).parameters
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise OptionError(f"unknown option {', '.join(unknown)[:300]} of {kind} {name!r}; it has {', '.join(known)}")
    expect_image(f"{kind} {name!r}", options.get("image", (1,)))
    try:
        return functions[name](**options)
    except MinivaeError:
        raise
    except (TypeError, ValueError, OverflowError, MemoryError) as error:  # options of another type, or far too large
        raise OptionError(f"{kind} {name!r} cannot be made with {reprlib.repr(options)}: {str(error)[:300]}") from error


def expect_image(title, image):
    """Raise unless this is the shape of an image."""
    if not isinstance(image, list | tuple) or len(image) > 8 or not all(type(size) is int for size in image):
        raise OptionError(f"{title}: image={reprlib.repr(image)}; the shape of an image is a list of up to 8 whole "
                          "numbers, such as [1, 24, 24]")
