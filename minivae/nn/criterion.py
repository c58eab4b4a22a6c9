"""The contract of every criterion (torch/nn Criterion)."""

import copy
from typing import Any, Self

from minivae import backend
from minivae.errors import ROUNDING, ShapeError, TargetError, missing, truth, whole_number
from minivae.nn import checks
from minivae.nn.array_owner import ArrayOwner, Value


class Criterion(ArrayOwner):
    """A loss: a number from a prediction and a target, and its derivative by the prediction.

        prediction  (N·L, ...), row n·L + l is draw l for row n        target  (N, ...)

        output = (1/L) Σₙ Σₗ Σ_d loss(prediction[n·L + l, d], target[n, d])        in nats

    A sum over elements and batch, because a mean would weigh it wrongly against the divergence of a VAE
    (Torch7's default is the mean: `size_average=True`, which divides by the number of target elements).
    The trailing axes of prediction and target may differ as long as a row has the same number of elements.
    """

    def __init__(self, size_average: bool = False, samples: int = 1):
        super().__init__()
        self.size_average = truth(type(self).__name__, "size_average", size_average)
        self.samples = whole_number(type(self).__name__, "samples", samples)

    @property
    def title(self) -> str:
        """The name in errors."""
        return type(self).__name__

    def __call__(self, input: Value, target: backend.Array) -> Any:
        return self.forward(input, target)

    def forward(self, input: Value, target: backend.Array) -> Any:
        """The loss in nats: a float on NumPy, an array without axes on CuPy, which float() reads."""
        checks.expect_initialized(self)
        return checks.expect_number(self, "its loss", self.update_output(input, target))

    def backward(self, input: Value, target: backend.Array) -> Value:
        """∂output/∂input."""
        checks.expect_initialized(self)
        return self.update_grad_input(input, target)

    def update_output(self, input: Value, target: backend.Array) -> Any:
        raise missing(self, "update_output")

    def update_grad_input(self, input: Value, target: backend.Array) -> Value:
        raise missing(self, "update_grad_input")

    def rows(self, input: Value, target: backend.Array) -> backend.Array:
        """The loss of every row of the prediction, −log p in nats, not averaged over draws: a new array (N·L,)."""
        raise missing(self, "rows")

    def pairs(self, input: Value, target: backend.Array) -> backend.Array:
        """The loss of every row of the prediction (S, ...) for every row of the target (N, ...): (N, S)."""
        return self.xp.stack([self.rows(input, each) for each in self._spread(input, target)])

    def pairs_backward(self, input: Value, target: backend.Array, weights: backend.Array) -> Value:
        """∂/∂input of Σₙ Σ_s weights_ns pairs_ns."""
        sums: Any = None
        for each, row in zip(self._spread(input, target), weights):
            grads = self.backward(input, each)
            grads = [(grad.reshape(len(grad), -1) * row[:, None]).reshape(grad.shape)
                     for grad in (grads if isinstance(grads, tuple) else (grads,))]
            sums = grads if sums is None else [a + b for a, b in zip(sums, grads)]
        return tuple(sums) if isinstance(input, tuple) else sums[0]

    def _spread(self, input, target):
        """Each row of the target, as often as the prediction has rows."""
        length = len(input[0] if isinstance(input, tuple) else input)
        return (self.xp.broadcast_to(row, (length, *row.shape)) for row in target)

    # -- what criterions use ----------------------------------------------------------------------

    def weight(self, target: backend.Array) -> float:
        """The factor of the sum: 1/L, and with `size_average` also 1/(number of target elements)."""
        return 1 / (self.samples * (max(1, target.size) if self.size_average else 1))

    def grouped(self, what: str, prediction: backend.Array, target: backend.Array) -> tuple:
        """Prediction seen as (N, L, D), target as (N, 1, D), after their shapes have been checked."""
        checks.expect_array(self, what, prediction, None)
        checks.expect_array(self, "target", target, None)
        n, per_row = len(target), target.size // max(1, len(target))
        if len(prediction) != n * self.samples or prediction.size != n * self.samples * per_row:
            raise ShapeError(f"{self.title}: {what} has shape {prediction.shape} and the target {target.shape}; with "
                             f"samples={self.samples} expected {n} · {self.samples} rows of {per_row} elements")
        return prediction.reshape(n, self.samples, per_row), target.reshape(n, 1, per_row)

    def expect_probabilities(self, what: str, array: backend.Array, hint: str | None = None) -> None:
        """Raise unless the array lies in [0, 1], where a Bernoulli likelihood is defined; the hint is for numbers."""
        problem = backend.outside(array, 0, 1)
        if problem:
            rounded = backend.outside(array, -ROUNDING, 1 + ROUNDING) is None
            cure = "numpy.isnan finds where" if "NaN" in problem else (
                "numpy.clip(x, 0, 1) takes away what rounding added" if rounded else hint) or (
                "divide by 255 if these are pixels" if "maximum" in problem else "(x + 1) / 2 brings [−1, 1] there")
            raise TargetError(f"{self.title}: the {what} of a Bernoulli must lie in [0, 1], but {problem}; {cure}")

    def clone(self) -> Self:
        """A deep copy."""
        checks.expect_initialized(self)
        return copy.deepcopy(self)

    def options(self) -> list[str]:
        """The options that are not the default, as `repr` shows them."""
        return [f"samples={self.samples}"] * (self.samples != 1) + ["size_average"] * bool(self.size_average)

    def __repr__(self):
        return f"{self.class_name}" + (f"({', '.join(self.options())})" if self.options() else "")
