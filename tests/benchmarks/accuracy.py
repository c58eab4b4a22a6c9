"""The articles' numbers on MNIST, and the papers' they can be compared with: prints a Markdown table for each.

    python tests/benchmarks/accuracy.py [example] [decoders] [bits] [jang] [jang-fixed] [burda] [--seeds 3]

MNIST is taken from $MINIVAE_DATA, or downloaded.  Everything is in nats per image.
"""

import argparse
import datetime
import platform
import time
from functools import partial
from math import prod

import numpy as np

import minivae as mv
from minivae import evaluation, models, nn
from minivae.data import Batches, data_set
from minivae.errors import NonFiniteError
from minivae.schedules import Annealing, LearningRate
from minivae.training import Training


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"of {', '.join(TABLES)}; by default all")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    for name in args.what or TABLES:
        if name not in TABLES:
            parser.error(f"{name!r} is not one of {', '.join(TABLES)}")
        started = time.perf_counter()
        TABLES[name](args.seeds)
        print(f"\n{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, NumPy "
              f"{np.__version__}, {args.seeds} seeds, {time.perf_counter() - started:.0f} s\n", flush=True)


def example(seeds):
    """PyTorch's example: grey pixels, one draw, 10 epochs; test cross-entropy + KL, and seed 0's weighted bound."""
    data, losses = data_set.build("mnist"), []
    for seed in range(seeds):
        training = started(seed, models.aevb, data, learning_rate=1e-3, batch_size=128)
        losses.append([])
        for _ in range(10):
            training.run(len(training.batches), progress=False)
            losses[-1].append(-evaluation.elbo(training.model, data.test, data.scale).value)
        if seed == 0:
            clock = time.perf_counter()
            bound = evaluation.log_likelihood(training.model, data.test, data.scale, samples=1000)
            seconds = time.perf_counter() - clock
    losses = np.array(losses)
    print("| epoch | cross-entropy + KL of the 10,000 test images |\n|---|---|")
    for epoch in (1, 2, 5, 10):
        print(f"| {epoch} | {spread(losses[:, epoch - 1])} |")
    print(f"\nweighted cross-entropy bound {bound}, K = 1,000 on 10,000 images, {seconds:.0f} s")


def decoders(seeds):
    """The article's three decoders: L = 5, Adam 0.01, 3 epochs; training loss averaged over each epoch."""
    data = data_set.build("mnist")
    print("| decoder | epoch 1 | epoch 2 | epoch 3 | largest batch after step 20, each seed |\n|---|---|---|---|---|")
    for likelihood, options in (("bernoulli", {}), ("identity_gaussian", {}), ("gaussian", {}),
                                ("gaussian", {"log_var_floor": None})):
        epochs, worst = [], []
        for seed in range(seeds):
            training = started(seed, models.aevb, data, learning_rate=0.01, batch_size=128, likelihood=likelihood,
                               samples=5, **options)
            try:
                with np.errstate(over="ignore", invalid="ignore"):
                    totals = training.run(3 * len(training.batches), progress=False)["total"]
            except NonFiniteError:  # an objective without a lower limit: what comes after is lost, as in any engine
                totals = training.protocol["total"]
            totals = np.resize(np.append(totals, [np.inf] * (1407 - len(totals))), 1407)
            epochs.append(totals.reshape(3, -1).mean(axis=1))
            worst.append(totals[20:].max())
        name = f"{likelihood}{', no floor' if options else ', floor −6' if likelihood == 'gaussian' else ''}"
        print(f"| {name} | {' | '.join(spread(column) for column in np.transpose(epochs))} | "
              f"{', '.join(f'{value:.4g}' for value in worst)} |", flush=True)


def bits(seeds, epochs=100):
    """784-200-784, linear, on MNIST binarized once: 200 bits, evaluated hard."""
    data = data_set.build("mnist", binarize="fixed")
    print("| minivae: 784-200-784 linear, fixed prior ½, binarized once, Adam 1e-3, "
          f"{epochs} epochs, temperature ½ | value |\n|---|---|")
    found = []
    for seed in range(seeds):
        training = started(seed, models.bernoulli_vae, data, learning_rate=1e-3, batch_size=100, hidden=0, code=200,
                           temperature=0.5)
        training.run(epochs * len(training.batches), progress=False)
        bounds = [evaluation.elbo(training.model, data.test)]
        bounds += [evaluation.log_likelihood(training.model, data.test, samples=k) for k in (100, 1000)]
        found.append([-bound.value for bound in bounds])
    for name, column in zip(("−ELBO", "−log p(x) ≤, K = 100", "−log p(x) ≤, K = 1,000"), np.transpose(found)):
        print(f"| {name} | {spread(column)} |")


def jang(seeds, fixed=False):
    """Jang et al. 2016, table 1: bits and categories, by momentum and with an annealed temperature, evaluated hard.

    As `minivae train MODEL --preset jang`.  `jang-fixed`: all codes are equally likely, the learning rate stays 1e-4.
    """
    data = data_set.build("mnist", binarize="fixed")
    print("| code | −ELBO | −log p(x) ≤, K = 1,000 |\n|---|---|---|")
    for name, record in models.BY_NAME.items():
        if "jang" not in record.presets:
            continue
        found, preset = [], record.presets["jang"].settings
        options = {key: value for key, value in preset.items() if key in record.parameters}
        options["learn_prior"] = not fixed
        schedule = Annealing(preset["temperature"], preset["anneal_rate"], preset["anneal_floor"],
                             preset["anneal_every"])
        steps = preset["epochs"] * (len(data.train) // preset["batch_size"])
        rate = 1e-4 if fixed else LearningRate(preset["learning_rate"], steps=steps)
        for seed in range(seeds):
            training = started(seed, record.build, data, rate, preset["batch_size"],
                               {"momentum": preset["momentum"], "annealing": schedule}, **options)
            training.run(steps, progress=False)
            found.append([-evaluation.elbo(training.model, data.test).value,
                          -evaluation.log_likelihood(training.model, data.test, samples=1000).value])
        print(f"| {name} | {' | '.join(spread(column) for column in np.transpose(found))} |", flush=True)


def burda(seeds, epochs=300, samples=5):
    """Burda et al. 2015, table 1, one stochastic layer: the ELBO of 5 draws and the importance-weighted bound.

    Images binarized anew each epoch, 784-200-200-50 and back with tanh; batches of 100 (20 in the paper), the learning
    rate falls from 1e-3 to 0 along a cosine (there from 1e-3 to 1e-4 in steps), in `epochs` (3,280).
    """
    data = data_set.build("mnist", binarize="each_epoch")
    print(f"| objective, {samples} draws, {epochs} epochs | −ELBO | −log p(x) ≤, K = 5,000 | active units | hours |\n"
          "|---|---|---|---|---|")
    for objective in ("elbo", "iwae"):
        for seed in range(seeds):
            clock = time.perf_counter()
            steps = epochs * (len(data.train) // 100)
            training = started(seed, tanh_vae, data, LearningRate(1e-3, steps=steps), 100, {"objective": objective},
                               samples=samples)
            training.run(steps, progress=False)
            hours = (time.perf_counter() - clock) / 3600
            print(f"| {objective}, seed {seed} | {-evaluation.elbo(training.model, data.test).value:.2f} | "
                  f"{-evaluation.log_likelihood(training.model, data.test, samples=5000).value:.2f} | "
                  f"{evaluation.active_units(training.model, data.test).count} | {hours:.2f} |", flush=True)


def tanh_vae(image, samples, hidden=200, code=50):
    """784-200-200-(50, 50), 50-200-200-784 with tanh, and a Bernoulli for each pixel."""
    d = prod(image)
    encoder = nn.Sequential(nn.View(d), nn.Linear(d, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(),
                            nn.ConcatTable(nn.Linear(hidden, code), nn.Linear(hidden, code)))
    decoder = nn.Sequential(nn.Linear(code, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(),
                            nn.Linear(hidden, d), nn.View(*image))
    return models.VAE(encoder, nn.GaussianKL(), nn.GaussianSampler(samples), decoder, code)


def started(seed, make, data, learning_rate, batch_size, how={}, **options):  # noqa: B006
    """A training about to begin; `how` are options of the Training, the others the model's."""
    mv.manual_seed(seed)
    model = make(image=data.image, **options)
    return Training(model, Batches(data.train, batch_size, data.scale, by_epoch=True), learning_rate, **how)


def spread(values):
    return f"{np.mean(values):.5g} [{np.min(values):.5g}, {np.max(values):.5g}]"


TABLES = {"example": example, "decoders": decoders, "bits": bits, "jang": jang,
          "jang-fixed": partial(jang, fixed=True), "burda": burda}

if __name__ == "__main__":
    main()
