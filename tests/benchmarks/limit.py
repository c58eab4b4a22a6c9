"""The least −ELBO of the 256 squares by a code of two Gaussian numbers, whatever the networks.

    python tests/benchmarks/limit.py [--steps 3000] [--draws 24]

The networks are left out: each square has a mean and a log-variance of its own, and the decoder is the best there is
for independent pixels, the share of each pixel among the squares that a code may stand for,

    p(z) = Σ_j w_j(z) x_j,    w_j(z) = q(z|x_j) / Σ_k q(z|x_k),

which is what training would reach with a decoder of any shape.  Adam moves the 4 · 256 numbers, from squares laid out
as on a grid.  The decoder is the best one at each step, so that its own change adds nothing to the gradient.  Prints
the loss, and the share of full squares among draws from the prior.
"""

import argparse
from statistics import NormalDist

import numpy as np

from minivae import backend
from minivae.data import is_full_square, squares
from minivae.optim import adam

SURE = 1e-7  # probabilities stay so far from 0 and 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--draws", type=int, default=24, help="of each square, a step")
    args = parser.parse_args()
    images = squares().reshape(256, -1).astype(np.float64)
    random = backend.host_generator()
    places = [NormalDist().inv_cdf((k + 0.5) / 16) for k in range(16)]
    mean = np.stack(np.meshgrid(places, places, indexing="ij"), -1).reshape(256, 2)
    numbers = np.stack([mean, np.full((256, 2), 2 * np.log(0.05))])
    state = {}
    for step in range(args.steps):
        state["learning_rate"] = 0.01 * np.cos(np.pi / 2 * step / args.steps) ** 2

        def feval(flat):
            reconstruction, divergence, gradient = losses(images, *flat.reshape(2, 256, 2), args.draws, random)
            return reconstruction + divergence, gradient.ravel()

        flat, loss = adam(feval, numbers.ravel(), state)
        numbers = flat.reshape(2, 256, 2)
        if step % 100 == 0:
            print(f"step {step}: {loss:.3f} nats per image", flush=True)
    terms = np.array([losses(images, *numbers, args.draws, random)[:2] for _ in range(20)])
    means, errors = terms.mean(axis=0), terms.sum(axis=1).std() / len(terms) ** 0.5
    print(f"{means.sum():.3f} ± {errors:.3f} = {means[0]:.3f} reconstruction + {means[1]:.3f} KL")
    drawn = decoded(images, *numbers, random.standard_normal((2000, 2)))[0]
    print(f"{is_full_square(drawn.reshape(-1, 1, 24, 24)).mean():.1%} of 2,000 draws from the prior are full squares")


def losses(images, mean, log_var, draws, random):
    """(reconstruction, KL, their gradient by mean and log_var), in nats per image."""
    noise = random.standard_normal((draws, 256, 2))
    std = np.exp(log_var / 2)
    p, w = decoded(images, mean, log_var, (mean + std * noise).reshape(-1, 2))
    x = np.tile(images, (draws, 1))
    p = np.clip(p, SURE, 1 - SURE)
    reconstruction = -np.log(np.where(x > 0, p, 1 - p)).sum() / len(x)
    by_share = (p - x) / (p * (1 - p)) @ images.T  # of each square
    by_log = w * (by_share - (w * by_share).sum(axis=1, keepdims=True))  # of ln q(z|x_j)
    z = (mean + std * noise).reshape(-1, 2)
    by_z = (by_log @ (mean / std**2) - z * (by_log @ std**-2.0)).reshape(draws, 256, 2) / len(x)
    divergence = 0.5 * (mean**2 + std**2 - 1 - log_var).sum() / 256
    by_mean = by_z.sum(axis=0) + mean / 256
    by_log_var = (by_z * noise).sum(axis=0) * std / 2 + 0.5 * (std**2 - 1) / 256
    return reconstruction, divergence, np.stack([by_mean, by_log_var])


def decoded(images, mean, log_var, z):
    """(The pixels' probabilities for codes z, the weights w of the squares)."""
    distance = (z[:, None] - mean) ** 2 / np.exp(log_var) + log_var
    log_w = -0.5 * distance.sum(axis=2)
    w = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    w /= w.sum(axis=1, keepdims=True)
    return w @ images, w


if __name__ == "__main__":
    main()
