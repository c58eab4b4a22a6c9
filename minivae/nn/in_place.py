"""Base of the activations that may overwrite their input."""

from minivae import backend
from minivae.errors import truth
from minivae.nn.module import Module


class InPlace(Module):
    """With `inplace=True` y overwrites x where no other layer needs x: a buffer less.  `in_place_rule` has the rule."""

    overwrites = None  # the layer whose output it may overwrite

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = truth(type(self).__name__, "inplace", inplace)

    def output_like(self, input: backend.Array) -> backend.Array:
        """The array for an output of the input's shape: a buffer, or the input itself, where it may be overwritten."""
        before = self.overwrites
        return input if before is not None and input is before.output else self.buffer_like("output", input)

    def extra_repr(self):
        return "inplace" if self.inplace else ""

    def __getstate__(self):
        return super().__getstate__() | {"overwrites": None}
