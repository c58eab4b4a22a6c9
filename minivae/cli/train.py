"""minivae train: build a model, train it, and leave a folder with what it learned."""

import argparse
import contextlib
import inspect

from minivae import backend, distributed, models
from minivae.cli import options, runs
from minivae.cli.subjects import DATA
from minivae.data import data_set
from minivae.errors import MinivaeError, OptionError

WRITES = """Writes to runs/MODEL (the next free name): checkpoint.npz, config.json, protocol.csv (a row a step),
reconstructions.png, interpolations.png (the plane of latent codes) or samples.png (draws from the prior), and, where
matplotlib is installed, curve.png and for MNIST codes.png (codes of test images, coloured by digit).
Ctrl-C, or SIGTERM, stops early and keeps what was learned; `minivae train --resume RUN` continues."""

MODELS = {
    "vae": "the vanilla VAE, code of 2 numbers",
    "denoising": "the denoising VAE: pixels of its input are flipped",
    "bernoulli": "the Bernoulli VAE, code of 50 bits",
    "categorical": "the categorical VAE, code of 20 variables of 10 categories",
    "aevb": "the VAE of PyTorch's example, with one of four likelihoods",
    "conv": "a VAE of convolutions, code of 2 numbers",
}
MODEL_OPTIONS = {  # parameter of the model's function: (option, type, metavar, help)
    "likelihood": ("--likelihood", options.one_of(*models.CRITERIONS), "NAME",
                   f"of the pixels: one of {', '.join(models.CRITERIONS)}"),
    "log_var_floor": ("--log-var-floor", options.number_or_none, "X",
                      "least log-variance of a pixel, for --likelihood gaussian; none: no least, as in the article"),
    "code": ("--code", options.whole, "N", "size of the latent code: numbers, bits or categorical variables"),
    "categories": ("--categories", options.whole, "C", "of each variable of the code"),
    "hidden": ("--hidden", options.count, "N", "units of each hidden layer; 0 makes linear coders, not for aevb"),
    "planes": ("--planes", options.wholes, "A,B,...", "planes that each convolution of the encoder makes; a pooling "
               "after it halves the image, and the decoder does all that in reverse"),
    "batch_normalization": ("--batch-normalization", bool, None, "normalize what comes out of a convolution"),
    "samples": ("--samples", options.whole, "L", "draws of the code for each image"),
    "beta": ("--beta", options.rate, "BETA", "weight of the KL divergence in what is minimised"),
    "p": ("--noise", options.probability, "P", "probability that a pixel is flipped"),
    "temperature": ("--temperature", options.positive, "T", "of the relaxed codes, at the first step"),
    "straight_through": ("--straight-through", bool, None, "hard codes in training too; the gradient is an estimate"),
}

THREADS = ("that compute; the results are the same for any number.  By default MINIVAE_THREADS, what the run "
           "began with, or as many as this machine grants")
TRAINING = ("epochs", "batch_size", "learning_rate", "learning_rate_decay", "momentum", "anneal_rate", "anneal_floor",
            "anneal_every")


def add_to(verbs):
    verb = verbs.add_parser("train", help="train a model and draw what it learned",
                            description="Train a model, or continue a run.  `minivae train MODEL "
                            f"--help` lists the options of that model.  {WRITES}",
                            formatter_class=options.Help,
                            usage="minivae train [-h] MODEL ...\n       minivae train --resume RUN [--epochs N] "
                            "[--root FOLDER] [--threads N]")
    verb.add_argument("--resume", type=options.path, metavar="RUN", default=None,
                      help="continue the run of this folder from its last checkpoint, with its model, data and options "
                      "as if it had never stopped")
    verb.add_argument("--epochs", type=options.whole, metavar="N", default=None, dest="total",
                      help="with --resume: so many epochs in all, in place of those the run was started for")
    verb.add_argument("--root", type=options.path, metavar="FOLDER", default=None, dest="moved",
                      help="with --resume: where MNIST's files are, if they have moved")
    verb.add_argument("--threads", type=options.threads, metavar="N", default=None, help=THREADS)
    verb.set_defaults(run=run, less="a smaller --batch-size, --hidden, --samples or --images takes less")
    kinds = verb.add_subparsers(dest="model", metavar="MODEL", prog="minivae train")
    for name, text in MODELS.items():
        kind = kinds.add_parser(name, help=text, description=f"Train {text}.  {WRITES}", formatter_class=options.Help)
        _add_options(kind, name)
        kind.add_argument("--resume", type=options.path, default=argparse.SUPPRESS,
                          help=argparse.SUPPRESS)  # refused by run


def _add_options(kind, name):
    schedule, known = models.SCHEDULES[name], inspect.signature(models.BY_NAME[name]).parameters

    def add(option, type, metavar, default, help, **more):
        default = ",".join(map(str, default)) if isinstance(default, tuple) else default  # as one types it
        kind.add_argument(option, type=type, metavar=metavar, default=default, help=help, **more)

    for parameter, (option, type, metavar, help) in MODEL_OPTIONS.items():
        if parameter in known and type is bool:
            kind.add_argument(option, action="store_true", help=help)
        elif parameter in known:
            add(option, type, metavar, schedule.get(parameter, known[parameter].default), help, dest=parameter)
    add("--epochs", options.whole, "N", schedule["epochs"], "each of as many images as there are")
    add("--batch-size", options.whole, "N", schedule["batch_size"], "images a step")
    add("--learning-rate", options.positive, "RATE", schedule["learning_rate"], "of the optimiser, at the first step")
    add("--learning-rate-decay", options.rate, "RATE", schedule["learning_rate_decay"],
        "at step t the learning rate is divided by 1 + (t − 1) · RATE")
    add("--momentum", options.below_one, "M", None, "descend along the gradient with this momentum, 0 for none; by "
        "default Adam")
    if "temperature" in known:
        _add_annealing(kind, add, name)
    add("--data", options.one_of(*data_set.BY_NAME), "NAME", DATA[name], f"one of {', '.join(data_set.BY_NAME)}")
    add("--images", options.whole, "N", None, "train on so many images; by default 50000 rectangles, all of MNIST")
    add("--binarize", options.one_of("threshold", "fixed", "each_epoch"), "HOW", None,
        "make bits of MNIST's grey pixels, of which a Bernoulli is no likelihood: threshold, white above ½; fixed, "
        "drawn once with the grey as probability; each_epoch, drawn anew")
    add("--root", options.path, "FOLDER", None, "where MNIST's files are; by default $MINIVAE_DATA, or a cache that is "
        "downloaded to")
    add("--seed", options.seed, "N", 0, "of the weights, the batches and the noise")
    kind.add_argument("--backend", choices=("auto", *backend.NAMES), default=None,
                      help="array library; by default MINIVAE_BACKEND, or numpy")
    kind.add_argument("--threads", type=options.threads, metavar="N", default=argparse.SUPPRESS, help=THREADS)
    kind.add_argument("--out", type=options.path, default=None, metavar="FOLDER",
                      help="where to write; by default runs/MODEL, runs/MODEL-2, ...")
    kind.add_argument("--force", action="store_true", help="let --out overwrite an earlier run")


def _add_annealing(kind, add, name):
    add("--anneal-rate", options.rate, "R", 0.0,
        "let the temperature fall with the steps t taken, max(FLOOR, T · e^(−R t)); 0 keeps it")
    add("--anneal-floor", options.positive, "FLOOR", 0.5, "where it stops")
    add("--anneal-every", options.whole, "N", 1000, "steps from one temperature to the next")
    kind.add_argument("--preset", action=Preset, choices=tuple(models.PRESETS[name]), settings=models.PRESETS[name],
                      help="settings after a paper, which options after it may change: jang, after table 1 of Jang et "
                      "al. 2016 on MNIST, with a fixed prior and a learning rate and epochs of our own")


class Preset(argparse.Action):
    """Sets the options of a preset, as if each had been given in its place."""

    def __init__(self, *arguments, settings, **options):
        super().__init__(*arguments, default=argparse.SUPPRESS, **options)
        self.settings = settings

    def __call__(self, parser, namespace, name, option=None):
        settings = self.settings[name]
        if given := [option for option in settings if getattr(namespace, option) != parser.get_default(option)]:
            first = ", ".join(f"--{option.replace('_', '-')}" for option in given)
            raise argparse.ArgumentError(self, f"stands before the options that change it; here {first} came first")
        vars(namespace).update(settings)


def run(args):
    if args.model is None and args.resume is None:
        raise OptionError(f"nothing to train; give a model, one of {', '.join(MODELS)}, or --resume RUN")
    ranks = distributed.world()
    try:
        with contextlib.nullcontext() if ranks.first else contextlib.redirect_stdout(None):
            return _resume_or_start(args, ranks)
    except MinivaeError as error:
        if ranks.size == 1:
            raise
        raise MinivaeError(f"rank {ranks.rank} of {ranks.size}: {error}") from error


def _resume_or_start(args, ranks):
    if args.model is None:
        return runs.resume(args.resume, ranks, args.total, args.moved, args.threads)
    if args.resume is not None or args.total is not None or args.moved is not None:
        raise OptionError(f"--resume continues the model and the options of its run, so `{args.model}` does not go "
                          f"with it; options of a new run stand after the model: minivae train {args.model} --epochs 1")
    if args.backend is not None:
        backend.use(args.backend)
    threads = runs.use_threads(args.threads)
    chosen = {name: getattr(args, name) for name in MODEL_OPTIONS if hasattr(args, name)}
    config = {"model": args.model, "options": chosen, "seed": args.seed, "backend": backend.current(),
              "threads": threads, "data": _data_options(args),
              "training": {name: getattr(args, name) for name in TRAINING if getattr(args, name, None) is not None}}
    return runs.start(config, args.out, args.force, ranks)


def _data_options(args):
    """What builds the data set again: {"name": ..., and the options that were given}."""
    if args.binarize is not None and args.data != "mnist":
        raise OptionError(f"--binarize {args.binarize} makes bits of grey pixels, and {args.data} are bits already; it "
                          "goes with --data mnist, as in --preset jang")
    given = {"images": args.images, "binarize": args.binarize, "root": args.root and str(args.root.resolve())}
    return {"name": args.data} | {name: value for name, value in given.items() if value is not None}
