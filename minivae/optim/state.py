"""What the optimisers have in common: a check of the state that the caller gives."""

from minivae.errors import OptionError


def known_keys(optimiser, state, options, memory):
    """Raise if `state` has a key that the optimiser does not know: a slip would otherwise do nothing."""
    unknown = sorted(set(state) - set(options) - set(memory))
    if unknown:
        raise OptionError(f"{optimiser}: unknown {'key' if len(unknown) == 1 else 'keys'} {', '.join(unknown)} in "
                          f"state; options are {', '.join(options)} (and {', '.join(memory)}, kept between steps)")
