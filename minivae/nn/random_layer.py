"""Base of the layers that draw random numbers."""

from minivae.errors import ShapeError
from minivae.nn.module import Module


class RandomLayer(Module):
    """A layer that keeps what it drew in `noise`, and reuses it while `hold_noise()` is on."""

    state_names = (*Module.state_names, "noise")

    def __init__(self):
        super().__init__()
        self.noise = None

    def draw(self, fill, shape):
        """The noise for this call: held, or fill(noise) with fill such as `backend.standard_normal`."""
        if self.holding_noise and self.noise is not None:
            if self.noise.shape != shape:
                raise ShapeError(f"{self.title}: holds noise of shape {self.noise.shape}, this input needs {shape}; "
                                 "hold_noise(False) lets it draw anew")
            return self.noise
        self.noise = self.buffer("noise", shape)
        return fill(self.noise)
