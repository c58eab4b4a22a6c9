"""Base of the criterions that weigh the losses of another one."""

from typing import Any

from minivae.errors import ShapeError
from minivae.nn.criterion import Criterion


class WrappingCriterion(Criterion):
    """A loss made of the losses −log p(x|z) of another `criterion`, for several codes z of each row of the target.

        reconstruction   Σ of these losses with the weights that the gradient gives them, which sum to 1 for a row
    """

    state_names: tuple = (*Criterion.state_names, "reconstruction")

    def __init__(self, criterion: Criterion):
        self.criterion = criterion
        super().__init__(samples=criterion.samples)
        self.reconstruction: Any = None
        self.convert(criterion.backend, criterion.dtype)

    @property
    def samples(self) -> int:
        return self.criterion.samples

    @samples.setter
    def samples(self, samples: int) -> None:
        self.criterion.samples = samples

    def convert(self, name, dtype):
        self.criterion.convert(name, dtype)
        return super().convert(name, dtype)

    def clear_state(self):
        self.criterion.clear_state()
        return super().clear_state()

    def expect_prediction(self, input: Any, length: int) -> Any:
        """The prediction, a table of that length; raise unless it is one."""
        if not isinstance(input, tuple) or len(input) != length:
            raise ShapeError(f"{self.title}: the prediction is a table of {length}, as the network before it gives it")
        return input

    def options(self):
        return [repr(self.criterion)]
