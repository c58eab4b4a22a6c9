"""Base of the criterions that weigh the losses of another one."""

from typing import Any

from minivae.errors import OptionError, ShapeError
from minivae.nn import checks
from minivae.nn.criterion import Criterion


class WrappingCriterion(Criterion):
    """A loss made of the losses −log p(x|z) of another `criterion`, for several codes z of each row of the target.

        reconstruction   Σ of these losses with the weights that the gradient gives them, which sum to 1 for a row
    """

    state_names: tuple = (*Criterion.state_names, "reconstruction")

    def __init__(self, criterion: Criterion):
        if not isinstance(criterion, Criterion) or criterion.size_average:
            raise OptionError(f"{type(self).__name__}({criterion!r:.100}): wanted a criterion, without size_average, "
                              "such as nn.BCEWithLogitsCriterion()")
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

    def backward(self, input, target):
        if self.reconstruction is None:
            raise ShapeError(f"{self.title}: backward before forward; call forward with the same input first")
        return super().backward(input, target)

    def expect_prediction(self, input: Any, length: int, *shape: int) -> Any:
        """The prediction, a table of that length; raise unless it is one.

        All but the first are arrays of this shape with an axis more, of the rows of the first.
        """
        if not isinstance(input, tuple) or len(input) != length:
            raise ShapeError(f"{self.title}: the prediction is a table of {length}, as the network before it gives it")
        rows = len(input[0][0] if isinstance(input[0], tuple) else input[0])
        for i, array in enumerate(input[1:], 1):
            checks.expect_array(self, f"prediction[{i}]", array, (*shape, rows))
        return input

    def options(self):
        return [repr(self.criterion)]
