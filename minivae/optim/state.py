"""What the optimisers have in common: checks of the state that the caller gives."""

from minivae.errors import MinivaeError, OptionError


def known_keys(optimiser, state, options, memory):
    """Raise if `state` has a key that the optimiser does not know: a slip would otherwise do nothing."""
    unknown = sorted(set(state) - set(options) - set(memory))
    if unknown:
        raise OptionError(f"{optimiser}: unknown {'key' if len(unknown) == 1 else 'keys'} {', '.join(unknown)} in "
                          f"state; options are {', '.join(options)} (and {', '.join(memory)}, kept between steps)")


def expect_same_kind(optimiser, name, memory, x):
    """Raise if what is kept in the state belongs to another vector than x."""
    if type(memory) is not type(x) or memory.shape != x.shape or memory.dtype != x.dtype:
        raise MinivaeError(f"{optimiser}: state[{name!r}] is of shape {memory.shape} and dtype {memory.dtype}, x of "
                           f"{x.shape} and {x.dtype}; start a new state for another vector")
