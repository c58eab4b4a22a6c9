"""minivae evaluate: how good a trained model is, on images that it has not seen."""

import argparse
import time
from typing import Any

from minivae import evaluation
from minivae.cli import parsing
from minivae.cli.data import add_root
from minivae.cli.folders import make_folder
from minivae.cli.subjects import add_run, expect_unchanged, tested
from minivae.files import atomic, expect_writable
from minivae.quantities import quantities

CROSS_ENTROPIES = "cross_entropy", "weighted_cross_entropy", "exact_cross_entropy"  # of grey pixels: no likelihoods


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser(
        "evaluate", help="measure a trained model on the test images", formatter_class=parsing.Help,
        description="Evaluate a trained model on the test images of its data set: the ELBO, the importance-weighted "
        "bound with --samples draws, log p(x) itself where there are at most 4,096 codes (12 bits), and the units of "
        "the code that are active.  Discrete codes are hard and noise is off.  Grey pixels under a Bernoulli have no "
        "likelihood: there the numbers are cross-entropy bounds, and are called so.  Writes evaluation.json: under "
        "`metrics` one object each of elbo, iwae, exact and active_units, with its value; of grey pixels they are "
        "cross_entropy, weighted_cross_entropy and exact_cross_entropy.")
    add_run(verb)
    verb.add_argument("--samples", type=parsing.whole, metavar="K", default=None,
                      help="draws of the code for the importance-weighted bound: 1000 and 5000 are usual; without it "
                      "that bound is left out")
    verb.add_argument("--images", type=parsing.whole, metavar="N", default=None,
                      help="the first N test images only; by default all")
    add_root(verb)
    verb.add_argument("--seed", type=parsing.seed, metavar="N", default=0, help="of the draws of the code")
    verb.add_argument("--out", type=parsing.path, default=None, metavar="FOLDER",
                      help="where to write; by default the run")
    verb.add_argument("--json", action="store_true", help="print what evaluation.json holds, and nothing else")
    verb.set_defaults(run=run, less="a smaller --images or --samples takes less")


def run(args: argparse.Namespace) -> int:
    model, config, data = tested(args, args.root)
    folder = args.out or (args.folder if args.folder.is_dir() else args.folder.parent)
    make_folder(folder)
    path = folder / "evaluation.json"
    expect_writable(path)
    source = config["data"]
    images = data.test[:args.images]
    how = f", binarized ({source['binarize']})" if source.get("binarize") else ""
    say = (lambda *words: None) if args.json else print
    say(f"{args.folder}: {config['model']} on {len(images)} test images of {data.title}{how}")
    names = quantities(model, data.grey)
    if names.note:
        say(names.note)
    metrics = []
    for metric, name, estimate in _estimates(model, names, images, data.scale, args):
        started = time.perf_counter()
        value = estimate()
        say(f"{name:32} {value}  ({time.perf_counter() - started:.1f} s)")
        metrics.append({"metric": metric, "name": name, "value": value.value, "standard_error": value.standard_error,
                        "samples": value.samples, "reconstruction": value.reconstruction,
                        "divergence": value.divergence})
    active = evaluation.active_units(model, images, data.scale)
    say(f"{'active units':32} {active.count} of {len(active.variance)}")
    metrics.append({"metric": "active_units", "name": "active units", "value": active.count,
                    "variance": active.variance.tolist(), "divergence": active.divergence.tolist()})
    if data.floor is not None:
        say(f"{'best possible log p(x)':32} {-data.floor:.3f}")
    found = {"run": str(args.folder), "steps": config["steps"], "model": config["model"], "data": source,
             "images": len(images), "seed": args.seed, "likelihood": not names.note, "note": names.note,
             "metrics": metrics}
    if args.json:
        print(parsing.as_json(found))
    expect_unchanged(args, model)
    with atomic(path, "w") as file:
        file.write(parsing.as_json(found) + "\n")
    say(f"written to {path}")
    return 0


def _estimates(model, names, images, scale, args):
    """(metric, its name, function that computes it) of what can be said about this model."""
    kinds = ("elbo", "iwae", "exact") if not names.note else CROSS_ENTROPIES
    yield kinds[0], names.elbo, lambda: evaluation.elbo(model, images, scale, seed=args.seed)
    if args.samples is not None:
        yield (kinds[1], f"{names.weighted}, {args.samples} samples",
               lambda: evaluation.log_likelihood(model, images, scale, args.samples, args.seed, progress=True))
    if model.kl.latent.support_size(model.code) <= evaluation.MOST_CODES and not model.labels:
        yield kinds[2], names.exact, lambda: evaluation.exact_log_likelihood(model, images, scale, progress=True)
