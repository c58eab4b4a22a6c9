"""minivae train: build a model, train it, and leave a folder with what it learned."""

import inspect
import json
import time
from pathlib import Path

from tqdm import tqdm

from minivae import backend, checkpoint, evaluation, models
from minivae.cli import options, pictures
from minivae.cli.folders import claim, clear, make_folder
from minivae.data import Batches, data_set
from minivae.files import atomic
from minivae.training import Training

WRITES = """Writes to runs/MODEL (the next free name): checkpoint.npz, config.json, protocol.csv (a row a step),
reconstructions.png, interpolations.png (the plane of latent codes) or samples.png (draws from the prior), and, where
matplotlib is installed, curve.png and for MNIST codes.png (codes of test images, coloured by digit).
Ctrl-C stops early and keeps what was learned."""

MODELS = {  # what it is, the data of its article
    "vae": ("the vanilla VAE, code of 2 numbers", "rectangles"),
    "denoising": ("the denoising VAE: pixels of its input are flipped", "rectangles"),
    "bernoulli": ("the Bernoulli VAE, code of 50 bits", "rectangles"),
    "aevb": ("Kingma and Welling's model with one of three likelihoods", "mnist"),
}
MODEL_OPTIONS = {  # parameter of the model's function: (option, type, metavar, help)
    "likelihood": ("--likelihood", options.one_of(*models.CRITERIONS), "NAME",
                   f"of the pixels: one of {', '.join(models.CRITERIONS)}"),
    "log_var_floor": ("--log-var-floor", options.number_or_none, "X",
                      "least log-variance of a pixel, for --likelihood gaussian; none: no least, as in the article"),
    "code": ("--code", options.whole, "N", "size of the latent code"),
    "hidden": ("--hidden", options.count, "N", "units of each hidden layer"),
    "samples": ("--samples", options.whole, "L", "draws of the code for each image"),
    "beta": ("--beta", options.rate, "BETA", "weight of the KL divergence in what is minimised"),
    "p": ("--noise", options.probability, "P", "probability that a pixel is flipped"),
    "temperature": ("--temperature", options.positive, "T", "of the relaxed bits"),
}


def add_to(verbs):
    verb = verbs.add_parser("train", help="train a model and draw what it learned",
                            description=f"Train a model of the articles.  {WRITES}", formatter_class=options.Help)
    kinds = verb.add_subparsers(dest="model", metavar="MODEL", required=True)
    for name, (text, data) in MODELS.items():
        kind = kinds.add_parser(name, help=text, description=f"Train {text}.  {WRITES}", formatter_class=options.Help)
        _add_options(kind, name, data)
        kind.set_defaults(run=run)


def _add_options(kind, name, data):
    schedule, known = models.SCHEDULES[name], inspect.signature(models.BY_NAME[name]).parameters

    def add(option, type, metavar, default, help, **more):
        kind.add_argument(option, type=type, metavar=metavar, default=default, help=help, **more)

    for parameter, (option, type, metavar, help) in MODEL_OPTIONS.items():
        if parameter in known:
            add(option, type, metavar, schedule.get(parameter, known[parameter].default), help, dest=parameter)
    add("--epochs", options.whole, "N", schedule["epochs"], "each of as many images as there are")
    add("--batch-size", options.whole, "N", schedule["batch_size"], "images a step")
    add("--learning-rate", options.positive, "RATE", schedule["learning_rate"], "of Adam, at the first step")
    add("--learning-rate-decay", options.rate, "RATE", schedule["learning_rate_decay"],
        "at step t the learning rate is divided by 1 + (t − 1) · RATE")
    add("--data", options.one_of(*data_set.BY_NAME), "NAME", data, f"one of {', '.join(data_set.BY_NAME)}")
    add("--images", options.whole, "N", None, "train on so many images; by default 50000 rectangles, all of MNIST")
    add("--binarize", options.one_of("threshold", "fixed", "each_epoch"), "HOW", None,
        "make bits of MNIST's grey pixels: by threshold, or drawn with the grey as probability: fixed once and for "
        "all, or anew in each_epoch")
    add("--root", Path, "FOLDER", None, "where MNIST's files are; by default $MINIVAE_DATA, or a cache that is "
        "downloaded to")
    add("--seed", options.count, "N", 0, "of the weights, the batches and the noise")
    kind.add_argument("--backend", choices=("auto", *backend.NAMES), default=None,
                      help="array library; by default MINIVAE_BACKEND, or numpy")
    kind.add_argument("--out", type=Path, default=None, metavar="FOLDER",
                      help="where to write; by default runs/MODEL, runs/MODEL-2, ...")
    kind.add_argument("--force", action="store_true", help="let --out overwrite an earlier run")


def run(args):
    if args.backend is not None:
        backend.use(args.backend)
    backend.manual_seed(args.seed)
    source = _data_options(args)
    data = data_set.build(**source)
    chosen = {name: getattr(args, name) for name in MODEL_OPTIONS if hasattr(args, name)} | {"image": list(data.image)}
    training = Training(models.build(args.model, **chosen),
                        Batches(data.train, args.batch_size, data.scale, data.by_epoch),
                        args.learning_rate, args.learning_rate_decay)
    config = {"model": args.model, "options": chosen, "seed": args.seed, "backend": backend.current(), "data": source,
              "training": {"epochs": args.epochs, "batch_size": args.batch_size, "learning_rate": args.learning_rate,
                           "learning_rate_decay": args.learning_rate_decay}}
    folder = claim(args.out, args.model, args.force)
    clear(folder)
    make_folder(folder)
    try:
        return train(training, config, folder, data)
    except BaseException:
        if not (folder / checkpoint.NAME).exists():  # nothing learned: nothing half-written stays behind
            clear(folder)
        raise


def _data_options(args):
    """What builds the data set again: {"name": ..., and the options that were given}."""
    given = {"images": args.images, "binarize": args.binarize, "root": args.root and str(args.root.resolve())}
    return {"name": args.data} | {name: value for name, value in given.items() if value is not None}


def train(training, config, folder, data):
    """Run the epochs of a config, with a checkpoint after each, and write the folder."""
    epochs, length = config["training"]["epochs"], len(training.batches)
    print(f"training {config['model']} for {epochs} epoch{'s' * (epochs > 1)} of {length} steps on "
          f"{config['backend']}, into {folder}")
    with atomic(folder / "config.json", "w") as file:
        file.write(json.dumps(config, indent=2) + "\n")

    def keep():
        checkpoint.save(folder / checkpoint.NAME, training, config)
        tqdm.write(_progress(training, data, length))

    started = time.perf_counter()
    training.run(epochs * length, floor=data.floor, every=length, checkpoint=keep)
    seconds = time.perf_counter() - started
    keep()
    with atomic(folder / "protocol.csv", "w") as file:
        training.protocol.write_csv(file)
    print(f"{'stopped early after' if training.stopped else 'finished'} {training.steps} steps in {seconds:.1f} s")
    for line in pictures.draw(training.model.evaluate(), folder, data, training.protocol):
        print(line)
    return 0


def _progress(training, data, length):
    """A line on the last epoch: the loss while it learned, and −ELBO on the test images."""
    last = training.protocol.mean(length)
    test = evaluation.elbo(training.model, data.test, data.scale)
    return (f"epoch {training.steps / length:.4g}: loss {last['total']:.2f} = {last['reconstruction']:.2f} "
            f"reconstruction + {last['divergence']:.2f} KL;  test {-test.value:.2f} = {test.reconstruction:.2f} + "
            f"{test.divergence:.2f} nats per image" + ("" if data.floor is None else f" (optimum {data.floor:.3f})"))
