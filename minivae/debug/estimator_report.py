"""Estimators of the ELBO's gradient for bits and categories, each beside the exact gradient."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minivae import backend, objectives
from minivae.debug.gradient_moments import Moments, moments
from minivae.debug.tables import columns, float64
from minivae.errors import real_number, several, whole_number
from minivae.nn import Sampler
from minivae.objectives import Objective

ROUNDING = 1e-9  # of the exact gradient
SURE = 4  # standard errors: an unbiased estimator is as far off once in 30,000 parts


@dataclass
class EstimatorReport:
    """{(estimator, layer): Moments}; print it for a table.  Layers are the paths of modules, and "all"."""

    rows: dict[tuple[str, str], Moments]
    images: int
    draws: int
    samples: int

    def __getitem__(self, which: tuple[str, str]) -> Moments:
        return self.rows[which]

    def biased(self, estimator: str, layer: str = "all") -> bool:
        """Whether an estimator's mean is another than the exact gradient, beyond what chance explains."""
        return _is_biased(self[estimator, layer])

    def __str__(self):
        table = [["estimator", "layer", "bias", "±", "noise", "±", ""]]
        for (estimator, layer), each in self.rows.items():
            first = len(table) == 1 or self._last(table) != estimator
            table.append([estimator if first else "", layer, f"{each.relative_bias:.4f}",
                          f"{each.relative_bias_error:.4f}", f"{each.noise:.3f}", f"{each.noise_error:.3f}",
                          "biased" if _is_biased(each) else ""])
        return "\n".join([
            *columns(table, left=(0, 1, 6)),
            f"of {self.images} images: {self.draws} gradients of {self.samples} draws a code each; bias is the length "
            "of mean − exact,", "noise the standard deviation, both divided by the length of the exact gradient"])

    __repr__ = __str__

    def _last(self, table):
        return next((row[0] for row in reversed(table) if row[0]), "")


def estimator_report(model: Any, x: Any, draws: int = 200, samples: int = 4, temperatures: tuple = (1, 0.5, 0.1),
                     seed: int = 0, others: dict[str, Callable[[Any], Objective]] | None = None) -> EstimatorReport:
    """Bias and variance of each estimator of the ELBO's gradient, layer by layer.  Returns an EstimatorReport.

        model         a VAE with a code of at most 4,096 values       x         a few images, its batch
        draws         gradients of each estimator                     samples   draws of the code for each of them
        temperatures  of relaxed codes, and of the straight-through gradient
        others        {name: function of a model that gives an Objective}: estimators of your own

    Compared are relaxed codes, the straight-through gradient and the score function without and with its baseline.
    All runs on copies, in float64, and leaves the random stream alone.
    """
    samples = whole_number("estimator_report", "samples", samples, least=2)
    draws = whole_number("estimator_report", "draws", draws, least=3)
    temperatures = tuple(real_number("estimator_report", "temperatures", t, "are numbers above 0", above=0)
                         for t in several("estimator_report", "temperatures", temperatures, "are numbers above 0"))
    twin, x = model.clone().cpu().double().training(), float64(x)
    twin.find_modules(Sampler)[0].samples = samples
    parts, flat = layers(twin), twin.get_parameters()[1]
    right = gradient(objectives.build(twin, "elbo", "exact"), twin, x, flat)()
    makers = {f"{name}, T = {t:g}": _at(estimator, t) for name, estimator in
              (("relaxed", "relaxed"), ("straight-through", "straight_through")) for t in temperatures}
    makers |= {"score function": lambda twin: objectives.score_function(twin, baseline=False),
               "score function, baseline": lambda twin: objectives.build(twin, "elbo", "score_function"),
               "exact": lambda twin: objectives.build(twin, "elbo", "exact")} | (others or {})
    rows = {}
    with backend.seeded(seed):
        for name, make in makers.items():
            found = moments(gradient(make(twin).begin(twin), twin, x, flat), draws, right, parts)
            rows |= {(name, layer): each for layer, each in found.items()}
    return EstimatorReport(rows, len(x), draws, samples)


def gradient(objective: Objective, model: Any, x: Any, flat: Any) -> Callable[[], Any]:
    """A function without arguments: a new gradient of the objective, by all parameters, the mean over the images."""
    def draw():
        model.zero_grad_parameters()
        prediction = objective.network.forward(x)
        target = model.target(x)
        objective.criterion.forward(prediction, target)
        objective.network.backward(x, objective.criterion.backward(prediction, target), need_grad_input=False)
        return flat / len(x)
    return draw


def layers(model: Any) -> dict[str, slice]:
    """{path of a module, and "all": its stretch of the flat vector}."""
    found: dict[str, slice] = {}
    start, seen = 0, set()
    for path, array, _ in model.named_parameters():
        if id(array) not in seen:
            seen.add(id(array))
            module = path.rpartition(".")[0]
            found[module] = slice(found[module].start if module in found else start, start + array.size)
            start += array.size
    return found | {"all": slice(0, start)}


def _is_biased(each):
    return each.z > SURE and each.relative_bias > ROUNDING


def _at(estimator, temperature):
    def make(twin):
        for sampler in twin.find_modules(Sampler):
            sampler.temperature = temperature
        return objectives.build(twin, "elbo", estimator)
    return make
