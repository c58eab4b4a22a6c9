"""minivae train: build a model, train it, and leave a folder with what it learned."""

import argparse
import contextlib
from typing import Any

from minivae import backend, distributed, kinds, models
from minivae.cli import data, parsing, training_run
from minivae.cli.subjects import NAMES, add_trust
from minivae.configuration import OPTIONAL, TRAINING
from minivae.errors import MinivaeError, OptionError
from minivae.models import own_model
from minivae.models.record import OF_DATA

WRITES = """Writes to runs/MODEL (the next free name): checkpoint.npz, config.json, protocol.csv (a row a step),
reconstructions.png, interpolations.png (the plane of latent codes) or samples.png (draws from the prior), and, where
matplotlib is installed, curve.png and, where images have labels, codes.png (codes of test images by label).
Ctrl-C, or SIGTERM, stops early and keeps what was learned; `minivae train --resume RUN` continues."""

THREADS = ("that compute; the results are the same for any number.  By default MINIVAE_THREADS, what the run "
           "began with, or as many as this machine grants")
QUIET = "print nothing but the folder that the run is in, at the end"
ANNEAL = {"anneal_floor": 0.5, "anneal_every": 1000}
OF_MODEL = "model."  # before a parameter's name among the arguments: no attribute of theirs has a dot
OWN = ("MODEL can also be a function of your own that makes a VAE: FILE.py:FUNCTION or MODULE:FUNCTION, such as "
       "my_vae.py:tiny.  Its parameters are the options.")


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser("train", help="train a model and draw what it learned",
                            description="Train a model, or continue a run.  `minivae train MODEL "
                            f"--help` lists the options of that model.  {OWN}  {WRITES}",
                            formatter_class=parsing.Help,
                            usage="minivae train [-h] MODEL ...\n       minivae train --resume RUN [--epochs N] "
                            "[--patience N] [--root FOLDER] [--threads N] [--model FILE.py:FUNCTION | --trust]")
    verb.add_argument("--resume", type=parsing.path, metavar="RUN", default=None,
                      help="continue the run of this folder from its last checkpoint, with its model, data and options "
                      "as if it had never stopped")
    verb.add_argument("--epochs", type=parsing.whole, metavar="N", default=None, dest="total",
                      help="with --resume: so many epochs in all, in place of those the run was started for")
    verb.add_argument("--patience", type=parsing.whole, metavar="N", default=None, dest="longer",
                      help="with --resume: another patience, in place of the one the run was started with")
    verb.add_argument("--root", type=parsing.path, metavar="FOLDER", default=None, dest="moved",
                      help=f"with --resume: {data.MOVED}")
    verb.add_argument("--threads", type=parsing.threads, metavar="N", default=None, help=THREADS)
    add_trust(verb)
    parsing.add_quiet(verb, QUIET)
    verb.set_defaults(run=run, less="a smaller --batch-size, --hidden, --samples or --images takes less")
    names = verb.add_subparsers(dest="model", metavar="MODEL", prog="minivae train")
    for record in models.ALL:
        _add_model(names, record.name, record)

    def prepare(args: list[str]) -> None:
        """Add the model of one's own that is named, before the arguments are parsed."""
        name = verb.first(args)
        if name is not None and name not in names.choices and own_model.is_own(name):
            try:
                record = own_model.find(name)
                _expect_options(record)
                _add_model(names, name, record)
            except OptionError as error:
                verb.error(str(error))

    verb.prepare = prepare
    verb.hint = ", and a run that is resumed keeps those that it began with"


def _add_model(names: Any, name: str, record: models.Record) -> None:
    """A parser of the options of a new run of this model, which is called so; it gets them when it is to parse."""
    kind = names.add_parser(name, help=record.help, description=f"{name}: {record.help}.  {WRITES}",
                            formatter_class=parsing.Help)
    kind.set_defaults(record=record)

    def prepare(args: list[str]) -> None:
        kind.prepare = None
        group = kind.add_argument_group("the model")
        for parameter in record.parameters.values():
            if parameter.kind is not None and parameter.name not in OF_DATA:
                _add_parameter(group, record, parameter, parameter.kind)
        _add_training(kind.add_argument_group("its training"), record)
        kind.set_defaults(typed=kind.typed(args))

    kind.prepare = prepare


def _expect_options(record: models.Record) -> None:
    """Raise unless each parameter of one's own function can be an option of its own."""
    scratch = parsing.Parser()
    _add_training(scratch, record)
    for parameter in record.parameters.values():
        try:
            if parameter.kind is not None and parameter.name not in OF_DATA:
                _add_parameter(scratch, record, parameter, parameter.kind)
        except argparse.ArgumentError as error:
            raise OptionError(f"{record.name}: its parameter {parameter.name} has the name of an option of `minivae "
                              "train`, or of another parameter; call it otherwise") from error
        if parameter.kind is None and parameter.required and parameter.name not in OF_DATA:
            raise OptionError(f"{record.name}: its parameter {parameter.name} has no annotation that says how it is "
                              "typed; annotate it as int, float, bool, str, Literal, a tuple of these or X | None, or "
                              "give it a default")


def _add_parameter(group: Any, record: models.Record, parameter: models.Parameter, kind: kinds.Kind) -> None:
    """The option of a parameter of a model's function."""
    option, name = _option(parameter.flag), parameter.name
    default = record.schedule.get(name, None if parameter.required else parameter.default)
    how = {"dest": OF_MODEL + name, "help": parameter.help.replace("%", "%%") or " ",
           "required": parameter.required and name not in record.schedule}
    if kind.metavar == "TRUTH":
        group.add_argument(option, **how, action=argparse.BooleanOptionalAction, default=default)
    else:
        default = ",".join(map(str, default)) if isinstance(default, tuple | list) else default  # as one types it
        group.add_argument(option, **how, type=parsing.of_kind(kind), metavar=kind.metavar, default=default)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _add_training(kind: Any, record: models.Record) -> None:
    """The options that every model has."""
    schedule = record.schedule

    def add(option: str, type: Any, metavar: str, default: Any, help: str) -> None:
        name = option[2:].replace("-", "_")
        known = TRAINING.get(name)
        kind.add_argument(option, type=type or parsing.typed(known | None if name in OPTIONAL else known),
                          metavar=metavar, default=schedule.get(name, default), help=help)

    add("--epochs", None, "N", None, "each of as many images as there are")
    add("--batch-size", None, "N", None, "images a step")
    add("--learning-rate", None, "RATE", None, "of the optimiser, at the first step")
    add("--learning-rate-decay", None, "RATE", None,
        "at step t the learning rate is divided by 1 + (t − 1) · RATE")
    add("--schedule", None, "NAME", None, "of the learning rate: decay, the default, is as above; cosine falls to "
        "0 along half a cosine instead")
    add("--schedule-steps", None, "N", None, "the step at which the cosine comes to 0, by default the last one of "
        "--epochs; a run that is to be continued by more epochs gives more")
    add("--warm-up", None, "STEPS", None, "so many steps the learning rate rises from near 0, on a line")
    add("--kl-warm-up", None, "STEPS", None, "so many steps the weight of the KL divergence goes from --kl-start to "
        "--beta, on a line; 0 for none")
    add("--kl-start", None, "WEIGHT", None, "where it begins, by default at 0; above --beta, the code learns what "
        "matters most first")
    add("--momentum", None, "M", None, "step against the gradient with this momentum, 0 without it; by default, or at "
        "none, Adam")
    add("--free-bits", None, "NATS", None, "each unit of the code is not charged for its first so many nats of KL, on "
        "the mean over a batch, so that it has no reason to close")
    add("--patience", None, "N", None, "end when the bound on test images was no better in N epochs")
    kind.add_argument("--keep-best", action=argparse.BooleanOptionalAction, default=None, help="keep the model of the "
                      "epoch with the best bound on test images too, as best.npz; chosen by these images, it flatters "
                      "on them")
    add("--objective", None, "NAME", None, "what a step minimises: elbo, the default; iwae, the importance-weighted "
        "bound of the draws of a Gaussian code, or dreg, the same with a gradient of less noise; exact_likelihood, "
        "−log p(x) by the sum over all codes, at most 4,096, without an encoder")
    add("--estimator", None, "NAME", None, "of the ELBO's gradient where the code is of bits or categories: relaxed "
        "codes, the default; straight_through, hard ones with that gradient; score_function, hard ones "
        "with that of their probabilities, and --samples 2 or more; exact, the sum over all codes, at most 4,096")
    if "temperature" in record.parameters:
        add("--anneal-rate", None, "R", 0.0,
            "let the temperature fall with the steps t taken, max(FLOOR, T · e^(−R t)); 0 keeps it")
        add("--anneal-floor", None, "FLOOR", ANNEAL["anneal_floor"], "where it stops")
        add("--anneal-every", None, "N", ANNEAL["anneal_every"], "steps from one temperature to the next")
    if record.presets:
        words = "; ".join(f"{name}, {preset.help}" for name, preset in record.presets.items())
        kind.add_argument("--preset", choices=tuple(record.presets), help="settings together; each gives way to its "
                          f"own option, before it or after it, as in --momentum none, which takes it back: {words}")
    data.add_to(kind, record.data)
    add("--seed", parsing.seed, "N", 0, "of the weights, the batches and the noise")
    kind.add_argument("--backend", choices=("auto", *backend.NAMES), default=None,
                      help="array library; by default MINIVAE_BACKEND, or numpy")
    kind.add_argument("--threads", type=parsing.threads, metavar="N", default=argparse.SUPPRESS, help=THREADS)
    kind.add_argument("--out", type=parsing.path, default=None, metavar="FOLDER",
                      help="where to write; by default runs/MODEL, runs/MODEL-2, ...")
    parsing.add_quiet(kind, QUIET, default=argparse.SUPPRESS)
    kind.add_argument("--resume", default=argparse.SUPPRESS, help=argparse.SUPPRESS)  # refused by run
    kind.add_argument("--force", action="store_true", help="let --out overwrite an earlier run, which "
                      "stays until the new one has a checkpoint")


def run(args: argparse.Namespace) -> int:
    if args.model is None and args.resume is None:
        raise OptionError(f"nothing to train; give a model, one of {NAMES}, or --resume RUN")
    ranks = distributed.world()
    try:
        with contextlib.redirect_stdout(None) if args.quiet or not ranks.first else contextlib.nullcontext():
            folder = _resume_or_start(args, ranks)
        if args.quiet and ranks.first:
            print(folder)
        return 0
    except MinivaeError as error:
        if ranks.size == 1:
            raise
        raise MinivaeError(f"rank {ranks.rank} of {ranks.size}: {error}") from error


def _resume_or_start(args, ranks):
    if args.model is None:
        return training_run.resume(args, ranks)
    if any((args.resume, args.total, args.longer, args.moved, args.own, args.trust)):
        raise OptionError(f"--resume continues the model and the options of its run, so `{args.model}` does not go "
                          f"with it; options of a new run stand after the model: minivae train {args.model} --epochs 1")
    if args.force and args.out is None:
        raise OptionError("--force lets --out overwrite an earlier run; give --out FOLDER too, or leave both out, and "
                          "a new folder is made")
    if args.backend is not None:
        backend.use(args.backend)
    threads = training_run.use_threads(args.threads)
    record = args.record
    if preset := record.presets.get(getattr(args, "preset", None)):
        settings = {OF_MODEL * (name in record.parameters) + name: value for name, value in preset.settings.items()}
        vars(args).update({name: value for name, value in settings.items() if name not in args.typed})
    if "kl_start" in args.typed and args.kl_start is not None and not args.kl_warm_up:
        raise OptionError("--kl-start is where the weight of the KL divergence begins; give --kl-warm-up STEPS too, or "
                          "--kl-start none")
    if args.schedule == "cosine" and "learning_rate_decay" in args.typed and args.learning_rate_decay != 0:
        raise OptionError("--schedule cosine stands in the place of --learning-rate-decay; give one of them, or "
                          "--schedule decay, which takes a preset's cosine back")
    stairs = [name for name in ANNEAL if name in args.typed]
    if stairs and not args.anneal_rate:
        raise OptionError(f"{_option(stairs[0])} is of a temperature that falls; give --anneal-rate R too")
    chosen = {name: getattr(args, OF_MODEL + name) for name in record.parameters if hasattr(args, OF_MODEL + name)}
    if OF_MODEL + "log_var_floor" in args.typed and chosen.get("likelihood", "gaussian") != "gaussian":
        raise OptionError(f"--log-var-floor is of a log-variance, which the likelihood {chosen['likelihood']} has not; "
                          "leave it out, or take --likelihood gaussian")
    config = {"model": record.name, "options": chosen, "seed": args.seed, "backend": backend.current(),
              "threads": threads, "data": data.chosen(args),
              "training": {name: getattr(args, name) for name in TRAINING if getattr(args, name, None) is not None}}
    return training_run.start(config | record.origin, record, args.out, args.force, ranks)
