"""Callbacks of a training: functions of it that are called after each epoch.

    Training(model, batches, callbacks=[Bound(test, 1 / 255), Patience(5), lambda training: print(training.steps)])

A callback is given the Training, may measure its model and write into its protocol, and returns True to end it, or
None.  Those of a list are called in their order, all of them.

`minivae.evaluation`, `trace` and `gradcheck` draw from a stream of their own, so a training that they look at takes the
steps of one that is not.  model.sample, reconstruct(sample=True) and forward draw from the training's, and so change
its next steps, unless they are called inside `with minivae.backend.seeded(0):`.
"""

from typing import Any

from minivae import evaluation
from minivae.errors import OptionError, whole_number


class Bound:
    """Measures the model on test images, and keeps that in `protocol.tests`."""

    def __init__(self, images: Any, scale: float = 1):
        self.images, self.scale = evaluation.expect_images(images, scale)

    def __repr__(self):
        return f"Bound({tuple(self.images.shape)}, scale={self.scale:.4g})"

    def __call__(self, training: Any) -> None:
        test = training.objective.measure(training.model, self.images, self.scale)
        training.protocol.tests.append((float(training.steps), test.reconstruction, test.divergence))


class Patience:
    """Ends a training when `epochs` looks at test images in a row were no better than the best before.

    It asks `protocol.tests` alone, which a Bound before it writes and a checkpoint has, so a training that continues
    ends where one would that never stopped.
    """

    def __init__(self, epochs: int):
        self.epochs = whole_number("Patience", "epochs", epochs)

    def __repr__(self):
        return f"Patience({self.epochs})"

    def __call__(self, training: Any) -> bool:
        best = training.protocol.best()
        if best is None:
            if training.steps <= (self.epochs + 1) * len(training.batches):  # a look may come yet
                return False
            raise OptionError("Patience has no look at test images to go by; put a Bound(images, scale) before it in "
                              "the callbacks")
        return len(training.protocol.tests) - 1 - best >= self.epochs
