"""The record of a model: all that the command line, runs and tests know of it."""

import functools
import inspect
import re
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

from minivae import by_name, kinds
from minivae.configuration import TRAINING
from minivae.errors import OptionError

if TYPE_CHECKING:
    from minivae.models.vae import VAE

Made = TypeVar("Made", bound=Callable[..., "VAE"])
SCHEDULE = {"epochs": 10, "batch_size": 16, "learning_rate": 1e-3, "learning_rate_decay": 0.0}
DATA = "data", "images", "binarize"
OF_DATA = "image", "labels"  # parameters that nobody types
SHARED = {  # words for what most models have, where a docstring has none
    "code": "size of the latent code: numbers, bits or categorical variables",
    "hidden": "units of each hidden layer; 0 makes linear coders",
    "samples": "draws of the code for each image",
    "beta": "weight of the KL divergence in what is minimised",
    "temperature": "of the relaxed codes, at the first step",
    "learn_prior": "learn the probabilities of the prior; without it all codes are equally likely",
    "straight_through": "hard codes in training too; the gradient is an estimate"}


class Parameter(NamedTuple):
    """A parameter of a model's function.  `kind` is None where nobody can type a value: it keeps its default."""

    name: str
    flag: str  # the name of its option
    kind: kinds.Kind | None
    default: Any  # inspect.Parameter.empty: it must be given
    help: str

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty


class Preset(NamedTuple):
    """Settings of training, data and the model, by the names of their options, that a paper or an experiment found."""

    help: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """Record of a model.

        name       how one calls it: minivae train NAME
        function   makes a VAE; its parameters are the options, with types from their annotations or defaults, and help
                   from its docstring.  One called `image` is given the shape of the data's images, one called `labels`
                   how many labels these have, and then each image comes with its label: `DataSet.labelled`
        help       a line on it
        schedule   what training takes unless told otherwise, beside SCHEDULE; parameters of the function are among it
        data       the images that it learns
        presets    {name: Preset}
        flags      {parameter: name of its option}, where that is another
    """

    name: str
    function: Callable[..., "VAE"]
    help: str = ""
    schedule: dict[str, Any] = field(default_factory=dict)
    data: str = "rectangles"
    presets: dict[str, Preset] = field(default_factory=dict)
    flags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {*TRAINING, *DATA, *self.parameters}
        settings = {"schedule": self.schedule} | {name: each.settings for name, each in self.presets.items()}
        for what, given in settings.items():
            if unknown := sorted(set(given) - known):
                raise OptionError(f"model {self.name!r}: {', '.join(unknown)} of its {what} is neither an option of "
                                  f"training or data ({', '.join((*TRAINING, *DATA))}) nor a parameter of its function")
        object.__setattr__(self, "schedule", SCHEDULE | self.schedule)

    @property
    def parameters(self) -> dict[str, Parameter]:
        """{name: Parameter} of the function."""
        return parameters(self.function, self.flags)

    @property
    def title(self) -> str:
        """The name without a file."""
        return self.name.rpartition(":")[2]

    @property
    def origin(self) -> dict[str, Any]:
        """What a run's configuration keeps of it beside its name."""
        return {}

    def defaults(self, data: Any) -> dict[str, Any]:
        """The options without which the function cannot be called, and those that fit it to a data set."""
        known = {"image": list(data.image), "labels": len(data.names)} | self.schedule
        return {name: known[name] for name, each in self.parameters.items()
                if name in OF_DATA or (each.required and name in known)}

    def fitted(self, data: Any) -> Any:
        """The data set as this model takes it: with labels, if it has a parameter for them."""
        return data.labelled() if "labels" in self.parameters else data

    def build(self, /, **options: Any) -> "VAE":
        """The model with these options, which are checked one by one."""
        from minivae.models.vae import VAE  # here, because that file has a record too

        options = taken(self.function, options, f"model {self.name!r}")
        model = by_name.make("model", {self.name: self.function}, self.name, options)
        if not isinstance(model, VAE):
            raise OptionError(f"{self.name} returned {reprlib.repr(model)}; a model's function returns a "
                              "minivae.models.VAE(encoder, kl, sampler, decoder, code)")
        return model if model.made else model.made_by(self.function, options)


def noted(function: Made) -> Made:
    """A model's function that first checks its options, as `taken`, and whose model is `made_by` it."""
    @functools.wraps(function)
    def build(*values: Any, **named: Any) -> "VAE":
        options = taken(function, inspect.getcallargs(function, *values, **named))
        return function(**options).made_by(build, options)

    return cast(Made, build)


def taken(function: Callable, options: dict[str, Any], title: str = "") -> dict[str, Any]:
    """The options of a model's function as their kinds take them; raises for one that is none of its kind."""
    known, title, found = parameters(function, {}), title or function.__name__, dict(options)
    for name, value in options.items():
        if name in known and (kind := known[name].kind) is not None:
            try:
                found[name] = kind.take(value)
            except ValueError:
                if name == "image":
                    by_name.expect_image(title, value)
                raise OptionError(f"{title}: {name}={reprlib.repr(value)} is not {kind.words}") from None
    return found


def parameters(function: Callable, flags: dict[str, str]) -> dict[str, Parameter]:
    """{name: Parameter} of a function: those that can be given by name."""
    name, found = getattr(function, "__name__", "the function"), {}
    try:
        signature = inspect.signature(function, eval_str=True)
    except Exception as error:  # an annotation can be any expression
        raise OptionError(f"{name}: its parameters cannot be read: {str(error)[:300]}") from error
    words = described(function, signature.parameters)
    for each in signature.parameters.values():
        if each.kind not in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY):
            continue
        kind = kinds.of_value(each.default) if each.annotation is each.empty else kinds.of(each.annotation)
        found[each.name] = Parameter(each.name, flags.get(each.name, each.name), kind, each.default,
                                     words.get(each.name, SHARED.get(each.name, "")))
    return found


MENTION = re.compile(  # "code   size", "code: size", "code (int): size", ":param code: size", "code : int" and below it
    r"(?P<indent>\s*)(?::param\s+(?:[^:]*\s)?)?(?P<name>\w+)(?:\s*\([^)]*\))?(?P<gap>\s*:(?:\s+|$)|\s{2,})(?P<text>.*)")


def described(function: Callable, names: Any) -> dict[str, str]:
    """{parameter: what the docstring of a function says of it}, in any of the usual styles."""
    lines, found = inspect.cleandoc(function.__doc__ or "").splitlines(), {}
    for number, line in enumerate(lines):
        match = MENTION.fullmatch(line)
        if match and match["name"] in names:
            depth, more = len(match["indent"]), []
            for below in lines[number + 1:]:
                if not below.strip() or len(below) - len(below.lstrip()) <= depth:
                    break
                more.append(below.strip())
            typed = match["gap"].startswith(" ") and ":" in match["gap"] and more  # NumPy's style
            found.setdefault(match["name"], " ".join(more if typed else [match["text"], *more]).strip())
    return found
