"""Objectives: what a step of training minimises, as a network made of a model's parts and a criterion.

A step is forward, criterion, backward for any of them.  An objective is one of

    elbo               −ELBO, reconstruction + beta · KL(q(z|x) ‖ p(z))
    iwae               the importance-weighted bound of L draws (Burda et al. 2015), of Gaussian codes
    dreg               the same, with the doubly reparameterized gradient (Tucker et al. 2018)
    exact_likelihood   −ln p(x), summed over every code; the encoder has no part in it

and of bits and categories the gradient of the ELBO is that of an estimator

    relaxed            codes between the discrete ones, at a temperature
    straight_through   discrete codes, with the gradient of the relaxed ones
    score_function     discrete codes, whose gradient comes through their probabilities, with the mean of an image's
                       other draws as its baseline
    exact              every code with its probability: no draws, and no estimate
"""

from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, get_args

from minivae import evaluation, nn
from minivae.errors import OptionError
from minivae.schedules import Schedule, relaxed_samplers

Name = Literal["elbo", "iwae", "dreg", "exact_likelihood"]
Estimator = Literal["relaxed", "straight_through", "score_function", "exact"]
IDLE = {  # options of a model that play no part in a gradient of that estimator
    "relaxed": ("straight_through",), "score_function": ("straight_through", "temperature"),
    "exact": ("straight_through", "temperature", "samples")}
PLAIN = {"straight_through": False, "temperature": 1, "samples": 1}  # what asks for nothing


@dataclass
class Objective:
    """What a step minimises.

        network, criterion   of what: criterion(network(x), x), and the loss of the network's divergence layers
        kl                   the divergence layer of the network that has seen a batch; None: none has
        whole                whether the criterion's loss is all there is: reconstruction and a divergence in one
        estimator            of its gradient, where the code is discrete
        divergence           the name of what is added to the reconstruction
        hard                 whether codes are hard in training; None: as the model has them
    """

    name: str
    network: nn.Module
    criterion: nn.Criterion
    kl: nn.Divergence | None
    estimator: str | None = None
    whole: bool = False
    divergence: str = "KL"
    hard: bool | None = None

    def begin(self, model: Any) -> "Objective":
        """Let a model's codes be hard in training, or relaxed, as the objective takes them; nothing else changes it."""
        for layer in model.find_modules(nn.HardCode) if self.hard is not None else ():
            layer.straight_through = self.hard
        return self

    def terms(self, value: Any) -> tuple[Any, Any, Any]:
        """(loss, reconstruction, divergence) of the batch just seen, from the criterion's value, summed over images."""
        if isinstance(self.criterion, nn.WrappingCriterion) and self.whole:
            return value, self.criterion.reconstruction, value - self.criterion.reconstruction
        assert self.kl is not None
        return value + nn.side_loss(self.network), value, self.kl.divergence

    def statistics(self) -> dict[str, tuple]:
        """Columns of a protocol: see `Latent.statistics`."""
        return {} if self.kl is None or self.kl.latent_class is None else self.kl.latent.statistics(self.kl.output)

    def measure(self, model: Any, images: Any, scale: float = 1) -> evaluation.Estimate:
        """What the objective minimises, on images that it does not learn: log p(x) if it is that, else the ELBO."""
        measured = evaluation.exact_log_likelihood if self.name == "exact_likelihood" else evaluation.elbo
        return measured(model, images, scale)

    def expect_parts(self, model: Any, beta: Schedule | None, annealing: Schedule | None) -> None:
        """Raise if an option that the model was made with, or a schedule of its training, plays no part."""
        what = f"objective {self.name}" if self.name != "elbo" else f"estimator {self.estimator}"
        if self.whole and (beta is not None or model.kl.free_bits > 0):
            raise OptionError(f"{what} has no KL divergence whose weight could change, or some of which could be free; "
                              "leave beta out, and free_bits")
        idle, given = IDLE.get(self.estimator or "", ()), model.made[1] if model.made else {}
        for option in idle:
            if given.get(option, PLAIN[option]) != PLAIN[option]:
                raise OptionError(f"{option}={given[option]} plays no part in {what}; it shall be {PLAIN[option]}")
        if annealing is not None and ("temperature" in idle or not relaxed_samplers(model)):
            raise OptionError("annealing lets the temperature of relaxed codes fall, and "
                              + (f"{what} has none" if idle else "this model has none")
                              + "; leave it out, or --anneal-rate at 0")

    def owners(self) -> list[Any]:
        """The modules and criterions that take part in a step."""
        inner = [self.criterion.criterion] if isinstance(self.criterion, nn.WrappingCriterion) else []
        return [*self.network.list_modules(), self.criterion, *inner]


def build(model: Any, name: str = "elbo", estimator: str | None = None) -> Objective:
    """The objective of that name for a model; without an `estimator` its gradient is as the model's layers make it."""
    return plan(model, name, estimator).begin(model)


def plan(model: Any, name: str = "elbo", estimator: str | None = None) -> Objective:
    """As `build`, but the model stays as it is until the objective begins."""
    for what, value, known in (("objective", name, get_args(Name)), ("estimator", estimator, get_args(Estimator))):
        if value not in known and (what, value) != ("estimator", None):
            raise OptionError(f"unknown {what} {value!r}; choose one of {', '.join(known)}")
    if estimator is not None:
        _expect_discrete(model, f"estimator {estimator}")
        if name != "elbo" and (name, estimator) != ("exact_likelihood", "exact"):
            raise OptionError(f"objective {name} has no estimator {estimator}; leave one of them out")
    if name == "exact_likelihood":
        return _exact_likelihood(model)
    if name in ("iwae", "dreg"):
        return _importance_weighted(model, name)
    if estimator == "score_function":
        return score_function(model)
    if estimator == "exact":
        return _exact(model)
    hard = None if estimator is None else estimator == "straight_through"
    if hard is not None:
        _expect_hard_code(model)
    return Objective(name, model, model.criterion(), model.kl, estimator, hard=hard)


def score_function(model: Any, baseline: bool = True) -> Objective:
    """The ELBO with the gradient of the score function, of `plan`; or with the one that has no baseline."""
    if baseline and model.samples < 2:
        raise OptionError("estimator score_function takes 2 samples or more: the baseline of a draw is the mean of an "
                          "image's others")
    _expect_hard_code(model)
    _expect_rows_apart(model, "estimator score_function", "estimator straight_through")
    network = _network(model, encoder=model.encoder, kl=model.kl, sampler=nn.ConcatTable(nn.Identity(), model.sampler),
                       densities=nn.ScoreFunction(model.kl), heads=_heads(model, 2))
    criterion = nn.ScoreFunctionCriterion(model.criterion().clone(), baseline)
    return Objective("elbo", network, criterion, model.kl, "score_function", hard=True)


def _exact(model):
    _expect_enumerable(model, "estimator exact")
    network = _network(model, encoder=model.encoder, kl=model.kl, sampler=nn.EnumeratedSampler(),
                       heads=_heads(model, 1))
    return Objective("elbo", network, nn.ExpectedCriterion(_one_draw(model)), model.kl, "exact")


def _exact_likelihood(model):
    _expect_enumerable(model, "objective exact_likelihood")
    _expect_unweighed(model, "exact_likelihood", "log p(x) itself")
    network = _network(model, prior=nn.EnumeratedPrior(model.kl, model.code), heads=_heads(model, 1))
    return Objective("exact_likelihood", network, nn.LikelihoodCriterion(_one_draw(model)), None, "exact", True,
                     "KL of p(z|x)")


def _importance_weighted(model, name):
    if not isinstance(model.kl.latent, nn.GaussianLatent):
        raise OptionError(f"objective {name} takes a Gaussian code, which the gradient passes through; that of this "
                          f"model is one of {type(model.kl).__name__}: objective exact_likelihood sums over it")
    _expect_unweighed(model, name, "a bound of log p(x)")
    if name == "dreg":
        _expect_rows_apart(model, "objective dreg", "objective iwae")
    kl = model.kl.clone()  # which adds no gradient: the densities of the draws have it
    kl.beta = 0
    densities = (nn.LogDensities if name == "iwae" else nn.DoublyReparameterized)(kl)
    network = _network(model, encoder=model.encoder, kl=kl, sampler=nn.ConcatTable(nn.Identity(), model.sampler),
                       densities=densities, heads=_heads(model, 2))
    return Objective(name, network, nn.ImportanceWeightedCriterion(model.criterion().clone()), kl, None, True,
                     "weighted KL")


def _network(model, **parts):
    network = nn.Sequential()
    for name, part in parts.items():
        network.add(part, name)
    for module in network.list_modules():  # new ones compute as the model's do
        module.backend, module.dtype = model.backend, model.dtype
    return network


def _heads(model, more):
    """The decoder, beside so many numbers that are handed on."""
    heads = nn.ParallelTable().add(model.decoder, "decoder")
    for _ in range(more):
        heads.add(nn.Identity())
    return heads


def _one_draw(model):
    criterion = model.criterion().clone()
    criterion.samples = 1
    return criterion


def _expect_hard_code(model):
    if not model.find_modules(nn.HardCode):
        raise OptionError("the estimators harden codes, or do not, by a layer such as HardBits or HardOneHot "
                          "behind the sampler; this model has none")


def _expect_rows_apart(model, what, other):
    if model.decoder.find_modules(nn.BatchNormalization):
        raise OptionError(f"{what} takes a decoder whose rows do not depend on each other, as they do in a "
                          f"BatchNormalization; {other} takes any")


def _expect_discrete(model, what):
    if not isfinite(model.kl.latent.support_size(1)):
        raise OptionError(f"{what} is of bits and categories; the code of this model is that of "
                          f"{type(model.kl).__name__}, whose gradient needs no estimator")


def _expect_unweighed(model, name, which):
    if model.kl.beta != 1:
        raise OptionError(f"objective {name} is {which} and has no KL to weigh; beta={model.kl.beta:g} shall be 1")


def _expect_enumerable(model, what):
    _expect_discrete(model, what)
    if not isinstance(model.kl.latent, nn.BernoulliLatent | nn.CategoricalLatent):
        raise OptionError(f"{what} takes the logits of bits or categories, not the code of {type(model.kl).__name__}")
    if model.labels:
        raise OptionError(f"{what} decodes each code once, for all images; the decoder of this model sees their labels")
    if model.kl.latent.support_size(model.code) > nn.MOST_CODES:
        raise OptionError(f"{what} sums over every code: at most {nn.MOST_CODES} of them, such as 12 bits or 3 "
                          f"variables of 16 categories; the code of this model is {model.code} wide and has more: "
                          "choose a smaller --code")
