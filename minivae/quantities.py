"""Names of what is measured: a number is called a bound of log p(x) only where it is one."""

from dataclasses import dataclass

from minivae.nn import BernoulliNoise, GaussianNoise, HardCode
from minivae.schedules import relaxed_samplers

GREY = ("not a likelihood: pixels are grey, and a Bernoulli of a grey value does not integrate to 1; --binarize fixed "
        "makes it one")


@dataclass(frozen=True)
class Quantities:
    """The names of a model's numbers on its data.

        loss       reconstruction + divergence of a training batch
        test       the same on test images, whose codes are hard and whose pixels no noise has touched
        elbo       its negative         weighted   the importance-weighted bound
        exact      the sum over every code         note       why they are no bounds of log p(x), or ""
    """

    loss: str
    test: str = "−ELBO"
    elbo: str = "ELBO"
    weighted: str = "log p(x) ≥"
    exact: str = "log p(x), exact"
    note: str = ""


def quantities(model, grey, objective=None):
    """The names for a model on images that are `grey`, between 0 and 1, or bits; of losses, those of its objective."""
    label = ", given the label" * bool(model.labels)
    names, weighted = {"test": "−ELBO" + label, "elbo": "ELBO" + label}, "−IWAE bound"  # Burda et al. 2015
    if label:
        names["weighted"] = "log p(x|label) ≥"
    if model.likelihood == "bernoulli" and grey:
        names, weighted = {"test": "cross-entropy + KL", "elbo": "cross-entropy bound", "note": GREY,
                           "weighted": "weighted cross-entropy bound", "exact": "cross-entropy over all codes"
                           }, "−weighted cross-entropy bound"
    loss = names["test"]
    if objective is not None and objective.name == "exact_likelihood":
        names["test"] = names.get("exact", "−log p(x)")
        return Quantities(names["test"], **names)
    if objective is not None and objective.whole:
        loss = f"{weighted} of {model.samples} draws{label}" if model.samples > 1 else f"{weighted} of 1 draw, an ELBO"
    elif (relaxed_samplers(model) and not any(each.straight_through for each in model.find_modules(HardCode))
          and (objective is None or objective.estimator != "exact")):
        return Quantities("surrogate, of relaxed codes", **names)  # Maddison et al. 2016, appendix C.2
    if model.find_modules(BernoulliNoise) or model.find_modules(GaussianNoise):
        loss += " of noisy images"
    return Quantities(loss, **names)
