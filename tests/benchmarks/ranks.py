"""Time of a training step on several ranks, and the share of it that summing gradients takes.

    mpiexec -n 2 -bind-to core python -m mpi4py tests/benchmarks/ranks.py [--steps 150]

With -n 1 it is one process on one core, without mpiexec one process on all of them.  Milliseconds, medians; the
batches are those of the articles, and eight times as large.
"""

import argparse
import time

import numpy as np

import minivae as mv
from minivae import distributed
from minivae.backend import workers
from minivae.data import Batches, rectangles
from minivae.training import Training

MODELS = {"mnist: 784-400-20": ("aevb", (28, 28), 128), "dvae: 576-1152-1152-2": ("denoising", (1, 24, 24), 16)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150)
    steps = parser.parse_args().steps
    ranks = distributed.world()
    if ranks.first:
        print(f"ranks: {ranks.size}, threads of each for element-wise work: {workers.count()}\n\n| model | batch | "
              "step | of that the all-reduce | megabytes |\n|---|---|---|---|---|", flush=True)
    for title, (name, image, batch_size) in MODELS.items():
        for size in (batch_size, 8 * batch_size):
            step, message, numbers = timed(ranks, name, image, size, max(10, steps * batch_size // size))
            if ranks.first:
                print(f"| {title} | {size} | {step:.1f} | {message:.2f} | {4e-6 * numbers:.1f} |", flush=True)


def timed(ranks, name, image, batch_size, steps):
    """(ms of a step, ms of the all-reduce of its gradient alone, how many numbers that is)."""
    mv.manual_seed(0)
    images = rectangles(4096, *image[-2:], sides=(9, 9)).reshape(4096, *image)
    training = Training(mv.models.build(name, image=image), Batches(images, batch_size), ranks=ranks)
    training.run(3, progress=False)
    step = median(training.step, steps)
    message = median(lambda: ranks.add(training.grads, ()), steps)
    return step, message, training.grads.size


def median(work, times):
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return 1e3 * np.median(found)


if __name__ == "__main__":
    main()
