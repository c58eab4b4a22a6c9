"""minivae encode: the codes of images, as arrays for other programs."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from minivae import evaluation
from minivae.cli import parsing
from minivae.cli.data import add_root
from minivae.cli.subjects import MOST, add_run, expect_unchanged, tested
from minivae.data import Redrawn
from minivae.files import atomic, expect_writable


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser(
        "encode", help="write the codes of images to a file", formatter_class=parsing.Help,
        description="Write what a trained encoder makes of the test images of its data to a .npz file: the parameters "
        "of q(z|x) by their names (mean and log_var of a Gaussian code, logits of bits or categories), `codes`, the "
        "means E_q[z], and, where there are labels, `labels` with their `names`.")
    add_run(verb)
    verb.add_argument("-o", "--out", type=parsing.file(".npz"), metavar="FILE", default=None,
                      help="the file to write; by default codes.npz in the run")
    verb.add_argument("--train", action="store_true", help="of the images that it learned from, in place of the others")
    verb.add_argument("--images", type=parsing.whole, metavar="N", default=None, help="the first N only; by default "
                      "all")
    add_root(verb)
    verb.set_defaults(run=run, less="a smaller --images takes less")


def run(args: argparse.Namespace) -> int:
    model, _, data = tested(args, args.root, images=MOST if args.train else 1)
    path = Path(args.out or (args.folder if args.folder.is_dir() else args.folder.parent) / "codes.npz")
    expect_writable(path)
    images, labels = (data.train, data.train_labels) if args.train else (data.test, data.labels)
    images = (images.draw(0) if isinstance(images, Redrawn) else images)[:args.images]
    parameters, codes = evaluation.encode(model, images, data.scale)
    found = dict(zip(model.kl.latent.names, parameters)) | {"codes": codes}
    if labels is not None:
        found |= {"labels": labels[:args.images], "names": np.array(data.names)}
    expect_unchanged(args, model)
    with atomic(path) as file:
        np.savez(file, **found)
    print(f"{path}: {', '.join(f'{name} {array.shape}' for name, array in found.items())} of {len(images)} images of "
          f"{data.title}")
    return 0
