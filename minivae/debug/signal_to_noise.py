"""Signal and noise of the encoder's gradient in importance-weighted bounds, as the draws become more."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np

from minivae import backend, objectives
from minivae.debug.estimator_report import gradient
from minivae.debug.gradient_moments import Moments, moments
from minivae.debug.tables import columns, float64
from minivae.errors import several, whole_number
from minivae.nn import Sampler


@dataclass
class SignalToNoise:
    """{(objective, K): Moments of the encoder's gradient about 0}; print it for a table."""

    rows: dict[tuple[str, int], Moments]
    draws: int

    def ratio(self, objective: str, samples: int) -> float:
        """|E g| / √E|g − E g|²."""
        each = self.rows[objective, samples]
        return sqrt(max(each.bias, 0) / each.variance)

    def error(self, objective: str, samples: int) -> float:
        """Its standard error, where the signal is seen at all."""
        each, ratio = self.rows[objective, samples], self.ratio(objective, samples)
        return sqrt(each.bias_error**2 / (4 * each.variance * max(each.bias, each.bias_error, 1e-300))
                    + (ratio * each.variance_error / (2 * each.variance)) ** 2)

    def __str__(self):
        table = [["objective", "draws K", "signal / noise", "±"]]
        table += [[name, str(k), f"{self.ratio(name, k):.3f}", f"{self.error(name, k):.3f}"] for name, k in self.rows]
        return "\n".join([*columns(table), f"of the encoder's gradient, over {self.draws} gradients"])

    __repr__ = __str__


def signal_to_noise(model: Any, x: Any, draws: int = 200, samples: tuple = (1, 4, 16, 64), seed: int = 0
                    ) -> SignalToNoise:
    """|E g| / std of the encoder's gradient of objectives iwae and dreg for each number of draws of the code.

    That of iwae falls as 1/√K, for the better the bound, the less the encoder matters to it (Rainforth et al. 2018);
    that of dreg grows as √K (Tucker et al. 2018).  `model` is a VAE with a Gaussian code; all runs on copies.
    """
    draws = whole_number("signal_to_noise", "draws", draws, least=3)
    samples = tuple(whole_number("signal_to_noise", "samples", k)
                    for k in several("signal_to_noise", "samples", samples, "are numbers of draws"))
    rows = {}
    with backend.seeded(seed):
        for name in ("iwae", "dreg"):
            for k in samples:
                twin = model.clone().cpu().double().training()
                twin.find_modules(Sampler)[0].samples = k
                flat = twin.get_parameters()[1]
                encoder = slice(0, sum(array.size for array in twin.encoder.parameters()[0]))
                draw = gradient(objectives.build(twin, name), twin, float64(x), flat)
                found = moments(lambda draw=draw, part=encoder: draw()[part], draws, np.zeros(encoder.stop),
                                {"encoder": slice(None)})
                rows[name, k] = found["encoder"]
    return SignalToNoise(rows, draws)
