"""minivae train: build a model, train it, and leave a folder with what it learned."""

import json
import time
from pathlib import Path

from minivae import backend, checkpoint, models
from minivae.cli import options, pictures
from minivae.cli.folders import claim, clear, make_folder
from minivae.data import Batches, entropy, rectangles
from minivae.files import atomic
from minivae.training import Training

IMAGES = 50000  # of the articles

DESCRIPTION = """Train a model of the articles on their rectangles, and write to runs/MODEL (the next free name):
checkpoint.npz, config.json, protocol.csv (a row a step), reconstructions.png, interpolations.png (the plane of
latent codes) or samples.png (draws from the prior), and curve.png where matplotlib is installed.
Ctrl-C stops early and keeps what was learned."""


def add_to(verbs):
    verb = verbs.add_parser("train", help="train a model and draw what it learned", description=DESCRIPTION,
                            formatter_class=options.Help)
    kinds = verb.add_subparsers(dest="model", metavar="MODEL", required=True)
    for name, text in (("vae", "the vanilla VAE, code of 2 numbers"),
                       ("denoising", "the denoising VAE: pixels of its input are flipped"),
                       ("bernoulli", "the Bernoulli VAE, code of 50 bits")):
        kind = kinds.add_parser(name, help=text, description=f"Train {text}.  {DESCRIPTION}",
                                formatter_class=options.Help)
        _add_options(kind, name)
        kind.set_defaults(run=run)


def _add_options(kind, name):
    schedule = models.SCHEDULES[name]

    def add(option, type, metavar, default, help):
        kind.add_argument(option, type=type, metavar=metavar, default=default, help=help)

    add("--epochs", options.whole, "N", schedule["epochs"], "each of as many images as there are, drawn at random")
    add("--batch-size", options.whole, "N", schedule["batch_size"], "images a step")
    add("--learning-rate", options.positive, "RATE", schedule["learning_rate"], "of Adam, at the first step")
    add("--learning-rate-decay", options.rate, "RATE", schedule["learning_rate_decay"],
        "at step t the learning rate is divided by 1 + (t − 1) · RATE")
    add("--code", options.whole, "N", 50 if name == "bernoulli" else 2, "size of the latent code")
    add("--hidden", options.whole, "N", 1152, "units of each hidden layer")
    add("--samples", options.whole, "L", 1, "draws of the code for each image")
    if name == "denoising":
        add("--noise", options.probability, "P", 0.1, "probability that a pixel is flipped")
    if name == "bernoulli":
        add("--temperature", options.positive, "T", 1.0, "of the relaxed bits")
    add("--images", options.whole, "N", IMAGES, "size of the data set")
    add("--seed", options.seed, "N", 0, "of the weights, the batches and the noise")
    kind.add_argument("--backend", choices=("auto", *backend.NAMES), default=None,
                      help="array library; by default MINIVAE_BACKEND, or numpy")
    kind.add_argument("--out", type=Path, default=None, metavar="FOLDER",
                      help="where to write; by default runs/MODEL, runs/MODEL-2, ...")
    kind.add_argument("--force", action="store_true", help="let --out overwrite an earlier run")


def run(args):
    if args.backend is not None:
        backend.use(args.backend)
    backend.manual_seed(args.seed)
    chosen = {"code": args.code, "hidden": args.hidden, "samples": args.samples}
    if args.model == "denoising":
        chosen["p"] = args.noise
    if args.model == "bernoulli":
        chosen["temperature"] = args.temperature
    config = {"model": args.model, "options": chosen, "seed": args.seed, "backend": backend.current(),
              "data": {"name": "rectangles", "n": args.images, "seed": 0},
              "training": {"epochs": args.epochs, "batch_size": args.batch_size, "learning_rate": args.learning_rate,
                           "learning_rate_decay": args.learning_rate_decay}}
    images = rectangles(args.images)
    batches = Batches(images, args.batch_size)
    training = Training(models.build(args.model, **chosen), batches, args.learning_rate, args.learning_rate_decay)
    folder = claim(args.out, args.model, args.force)
    clear(folder)
    make_folder(folder)
    try:
        return train(training, config, folder, images)
    except BaseException:
        if not (folder / checkpoint.NAME).exists():  # nothing learned: nothing half-written stays behind
            clear(folder)
        raise


def train(training, config, folder, images):
    """Run the epochs of a config, with a checkpoint after each, and write the folder."""
    epochs, floor = config["training"]["epochs"], entropy()
    print(f"training {config['model']} for {epochs} epoch{'s' * (epochs > 1)} of {len(training.batches)} steps on "
          f"{config['backend']}, into {folder}")
    with atomic(folder / "config.json", "w") as file:
        file.write(json.dumps(config, indent=2) + "\n")
    started = time.perf_counter()
    training.run(epochs * len(training.batches), floor=floor, every=len(training.batches),
                 checkpoint=lambda: checkpoint.save(folder / checkpoint.NAME, training, config))
    seconds = time.perf_counter() - started
    checkpoint.save(folder / checkpoint.NAME, training, config)
    with atomic(folder / "protocol.csv", "w") as file:
        training.protocol.write_csv(file)
    drawn = pictures.draw(training.model.evaluate(), folder, images, training.protocol, floor)
    last = training.protocol.mean(len(training.batches))
    print(f"{'stopped early after' if training.stopped else 'finished'} {training.steps} steps in {seconds:.1f} s: "
          f"{last['reconstruction']:.2f} reconstruction + {last['divergence']:.2f} KL = {last['total']:.2f} nats per "
          f"image over the last {min(training.steps, len(training.batches))} steps (optimum {floor:.3f})")
    for line in drawn:
        print(line)
    return 0
