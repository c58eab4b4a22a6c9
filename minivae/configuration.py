"""The configuration of a run, which decides everything, and the one place that checks it.

It is plain JSON, in the run's config.json and in its checkpoint:

    model, options      the model's name, or FILE.py:FUNCTION of one's own, and what its function is given
    digest              of that file
    seed, backend       of the first weights, the batches and the noise; the array library
    threads             that compute, which changes no number
    data                its name and options
    training            of TRAINING, what is not left out: without a momentum it is Adam, without a rate no annealing,
                        without a schedule of the learning rate it decays
"""

from typing import Annotated, Any, Literal

from minivae import kinds, objectives
from minivae.backend import threads
from minivae.errors import OptionError
from minivae.kinds import BelowOne, Count, Positive, Range, Rate, Whole

Seed = Annotated[int, Range("a whole number from 0 to 2^128 − 1", least=0, most=2**128 - 1)]  # as secrets draws them
Threads = Annotated[int, Range(f"a whole number from 1 to {threads.LARGEST}", least=1, most=threads.LARGEST)]
PARTS = {"model": str, "options": dict, "seed": int, "backend": str, "data": dict, "training": dict}
TRAINING: dict[str, Any] = {
    "epochs": Whole, "batch_size": Whole, "learning_rate": Positive, "learning_rate_decay": Rate, "momentum": BelowOne,
    "anneal_rate": Rate, "anneal_floor": Positive, "anneal_every": Whole, "schedule": Literal["decay", "cosine"],
    "schedule_steps": Whole, "warm_up": Count, "kl_warm_up": Count, "kl_start": Rate, "free_bits": Rate,
    "keep_best": bool, "patience": Whole, "objective": objectives.Name, "estimator": objectives.Estimator}
ANNEALING = "anneal_rate", "anneal_floor", "anneal_every"
OPTIONAL = ("momentum", "schedule", "schedule_steps", "warm_up", "kl_warm_up", "kl_start", "free_bits", "keep_best",
            "patience", "objective", "estimator")


def expect(config: Any, needed: tuple[str, ...], where: Any) -> dict[str, Any]:
    """The configuration; raise unless these parts are there and sound, and any other is of its kind."""
    if lacks := _unusable(config if isinstance(config, dict) else {}, needed):
        raise OptionError(f"{where}: its configuration has no usable {', '.join(lacks)}; `minivae train` writes runs "
                          "that have")
    return config


def _unusable(config: dict[str, Any], needed: tuple[str, ...]) -> list[str]:
    """The names of what is missing, or is none of its kind."""
    lacks = [name for name, kind in PARTS.items() if (name in needed or name in config)
             and type(config.get(name)) is not kind]
    if lacks:
        return lacks
    if "data" in needed and not isinstance(config["data"].get("name"), str):
        lacks.append("name of its data")
    if "training" in needed:
        given = config["training"]
        absent = set(OPTIONAL) - given.keys() | (set() if "anneal_rate" in given else set(ANNEALING))
        lacks += [name for name in TRAINING if name not in absent and not _is(TRAINING[name], given.get(name))]
    if not _is(Threads, config.get("threads", 1)):
        lacks.append("threads")
    if not isinstance(config.get("digest", ""), str):
        lacks.append("digest")
    return lacks


def _is(annotation: Any, value: Any) -> bool:
    kind = kinds.of(annotation)
    assert kind is not None, annotation
    try:
        kind.take(value)
    except ValueError:
        return False
    return True
