"""The distance between a code of 8 bits and the optimum of the 256 squares, and what each part of the recipe buys.

    python tests/benchmarks/optimum.py [--seeds 10] [--parts all "KL weight 1" ...] [--keep FILE] [--write FILE]

Each row leaves one part out of `--preset optimum`.  A code is right where it decodes to a full square, thresholded at
½; 256 different ones are all there are.  `−ELBO` is that of hard codes on every square, drawn 100 times, and the exact
sum beside it is −log p(x).  Seconds are of the processor, evaluation left out.  `--keep` adds each run to a file and
skips those in it; `--write` puts the table between the lines <!-- optimum --> and <!-- end optimum --> of a file.
"""

import argparse
import json
import time
from pathlib import Path
from statistics import mean

import numpy as np

from minivae import backend, evaluation
from minivae.cli.training_run import build
from minivae.configuration import TRAINING
from minivae.data import data_set, is_full_square
from minivae.distributed import Ranks
from minivae.models import BERNOULLI

GOAL = 5.60  # nats
PARTS = {
    "all": {},
    "KL weight 1 from the start": {"kl_start": 1.0},
    "batches of 256 drawn with replacement": {"data": "rectangles"},
    "relaxed bits in place of exact gradients": {"estimator": "relaxed"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="0 … N − 1")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--keep", type=Path, metavar="FILE", help="add each run to this file; skip those in it")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into it")
    args = parser.parse_args()
    rows = [json.loads(line) for line in args.keep.read_text().splitlines()] if args.keep and args.keep.exists() else []
    for part in args.parts:
        for seed in range(args.seeds):
            if any((row["part"], row["seed"]) == (part, seed) for row in rows):
                continue
            rows.append({"part": part, "seed": seed} | run(PARTS[part], seed))
            print(json.dumps(rows[-1]), flush=True)
            if args.keep:
                with args.keep.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    print(table := tabulated(rows))
    if args.write:
        write(args.write, table)


def run(change, seed):
    """Train with the preset, so changed; its figures."""
    settings = BERNOULLI.schedule | BERNOULLI.presets["optimum"].settings | change
    options = {name: value for name, value in settings.items() if name in BERNOULLI.parameters}
    data = data_set.build(settings["data"])
    schedule = {name: value for name, value in settings.items() if name in TRAINING}
    config = {"model": "bernoulli", "options": options, "seed": seed, "backend": backend.current(), "threads": 1,
              "training": schedule}
    training = build(config, BERNOULLI, data, Ranks())
    steps = schedule["epochs"] * 100  # as many as the preset has, whatever an epoch of other data is
    started = time.process_time()
    training.run(steps, progress=False)
    seconds = time.process_time() - started
    model, images = training.model, data_set.build("squares").test
    codes = model.kl.latent.support(model.code)
    drawn = model.decode(codes)
    right = drawn[is_full_square(drawn)] > 0.5
    return {"bound": -evaluation.elbo(model, images, samples=100).value,
            "exact": -evaluation.exact_log_likelihood(model, images).value,
            "squares": len(np.unique(right.reshape(-1, images[0].size), axis=0)), "seconds": seconds}


def tabulated(rows):
    """The rows as a table in Markdown."""
    lines = ["| left out | seeds | −ELBO, hard: mean [range] | −log p(x) | different full squares of 256 | ≤ 5.60 and "
             "256 | CPU seconds |", "|---|---|---|---|---|---|---|"]
    for part in PARTS:
        found = [row for row in rows if row["part"] == part]
        if not found:
            continue
        bounds, squares = [row["bound"] for row in found], [row["squares"] for row in found]
        right = sum(row["bound"] <= GOAL and row["squares"] == 256 for row in found)
        lines.append(f"| {'nothing' if part == 'all' else part} | {len(found)} | {mean(bounds):.3f} "
                     f"[{min(bounds):.3f}, {max(bounds):.3f}] | {mean(row['exact'] for row in found):.3f} | "
                     f"{min(squares)} to {max(squares)} | {right} of {len(found)} | "
                     f"{mean(row['seconds'] for row in found):.0f} |")
    return "\n".join(lines)


def write(path, table):
    """Put the table between its lines of a file."""
    text = path.read_text(encoding="utf-8")
    before, rest = text.split("<!-- optimum -->\n")
    after = rest.split("<!-- end optimum -->")[1]
    path.write_text(f"{before}<!-- optimum -->\n{table}\n<!-- end optimum -->{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
