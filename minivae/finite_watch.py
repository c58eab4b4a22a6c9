"""A watch over the numbers of a training, for those that are not finite."""

from math import isfinite

import numpy as np

from minivae import backend
from minivae.errors import NonFiniteError


def unwarned():
    """Of what overflows inside the block the watch tells, and not NumPy's warnings; where np.seterr raises, it does."""
    return np.errstate(**{kind: "ignore" for kind, answer in np.geterr().items() if answer == "warn"})


class FiniteWatch:
    """Raises a NonFiniteError that names the first module and verb to blame.

    A loss that is not finite raises before it changes a parameter, in the step that made it.  On a device, where every
    look waits for what is still being computed, it raises in the next step that is looked at closely.  `closely` is set
    for the steps before a log line, a checkpoint and the end.  In these the gradient must be finite too, and what the
    optimiser makes of it.  In between, a gradient that is not finite spoils the parameters, and they the next loss.
    """

    def __init__(self, training):
        self.training = training
        self.closely = False

    def expect_finite_so_far(self) -> None:
        """Raise if a loss read from a device since the last look is not finite."""
        if self.training.protocol.nonfinite is not None:
            raise self._error("the loss")

    def expect_finite(self, loss) -> None:
        """Raise if the loss is known not to be finite; closely, also if the gradient is not."""
        if self.closely:
            self.training.protocol.flush()
        self.expect_finite_so_far()
        if (self.closely or isinstance(loss, float)) and not isfinite(loss):
            raise self._error("the loss")
        if self.closely and backend.total(_not_finite, self.training.grads):
            raise self._error("the gradient")

    def expect_finite_memory(self) -> None:
        """Raise if the step just taken has spoiled what the next one starts from, which a checkpoint would keep."""
        if backend.total(_not_finite, self.training.parameters):
            raise self._error("a parameter")
        if "v" in self.training.state and backend.total(_not_finite, self.training.state["v"]):
            raise self._error("a squared gradient")  # g² of a finite g: that weight would never move again

    def _error(self, what):
        from minivae.debug.nonfinite import origin  # here, because it is seldom needed and loads the checkers

        protocol = self.training.protocol
        protocol.flush()
        step, reconstruction, divergence, *_ = protocol.nonfinite or protocol.rows[-1]
        protocol.nonfinite = None  # once is enough: a training that has been mended may go on
        first = step == 1 and what != "a parameter"  # no step has changed a parameter yet
        with self.training.ranks.share(self.training.batch) as x:
            cause = origin(self.training.objective.network, x, self.training.criterion, self.training.model.target(x),
                           first)
        if what == "a squared gradient":
            cure = "the loss is too steep: lower its weights, such as beta, or the learning rate"
        elif first:
            cure = ("check the data, the first parameters and options such as beta for values that are not finite, or "
                    "are huge")
        else:
            cure = "lower the learning rate, or check the data for values that are not finite"
        return NonFiniteError(f"{what} is not finite since step {step:.0f}: reconstruction {reconstruction:g}, KL "
                              f"{divergence:g} nats per image; {cause}; {cure}")


def _not_finite(xp, x):
    return xp.logical_not(xp.isfinite(x))
