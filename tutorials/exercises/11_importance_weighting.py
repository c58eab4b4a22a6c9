"""Exercise 11: estimate log p(x) from weighted draws.  After tutorial 14.

For each of N images, K codes z₁ … z_K were drawn from q(z|x).  You get three logarithms of each
draw:

    log_likelihood  ln p(x|zₖ)  (N, K)
    log_prior       ln p(zₖ)    (N, K)
    log_posterior   ln q(zₖ|x)  (N, K)

    result = ln [(1/K) Σₖ wₖ]  with  wₖ = p(x|zₖ) p(zₖ) / q(zₖ|x)    (N,), in nats

With K = 1 it is the evidence lower bound for one draw; it grows with K, on average, and tends to ln
p(x).  ln wₖ is near −100 for a picture of digits, and e^−100 is 0 in float32: find a form that
gives each image its right number however small its weights are, and however different from the next
image's.

Check it: python tutorials/exercises/11_importance_weighting.py      A hint: add --hint 1, 2 or 3
"""

import numpy as np
from checks import check, expect, normal, same

import minivae as mv
from minivae import backend, evaluation
from minivae.data import rectangles


def importance_bound(log_likelihood, log_prior, log_posterior):
    """ln (1/K) Σₖ p(x|zₖ) p(zₖ) / q(zₖ|x) for each image: (N, K) each -> (N,)."""
    raise NotImplementedError


def log_normal(x, mean, variance):
    return -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)


def bound(x, k, mean, variance):
    """importance_bound of a model whose ln p(x) is known: z from N(0, 1), x = z + N(0, 1).

    q(z|x) is N(mean, variance).
    """
    z = np.random.default_rng(0).normal(mean, np.sqrt(variance), (len(x), k))
    log_likelihood = log_normal(x[:, None], z, 1)
    return importance_bound(log_likelihood, log_normal(z, 0, 1), log_normal(z, mean, variance))


def of_weights(log_weights):
    """importance_bound where ln p(x|z) is the whole weight."""
    zeros = np.zeros_like(log_weights)
    return importance_bound(log_weights, zeros, zeros)


def conditions(test):
    x = np.array([-2.0, 0.0, 0.5, 3.0])
    exact = log_normal(x, 0, 2)

    def of_a_model():
        model = mv.models.vae(image=(1, 6, 6), hidden=8)
        images = rectangles(5, 6, 6, sides=(3, 3)).astype(np.float32)
        k = 7
        wanted = evaluation.log_likelihood(model, images, samples=k, seed=3).per_image
        model.evaluate().find_modules(mv.nn.Sampler)[0].samples = k
        with backend.seeded(3):
            parameters = model.encode(images)
            z = model.sampler.forward(parameters)
        terms = (
            -model.criterion().rows(model.decoder.forward(z), images),
            model.kl.latent.log_prior(z),
            model.kl.latent.log_posterior(parameters, z),
        )
        got = importance_bound(*(each.reshape(5, k) for each in terms))
        same("the bound of 5 images under a VAE, K = 7", got, wanted, 1e-4)

    def small():
        far = np.full((2, 3), -1000, np.float32)
        same("the bound when every ln w is −1000", of_weights(far), far[:, 0])

    def unlike():
        rows = np.array(
            [[-50, -51, -60], [-300, -310, -300], [20, 10, 0], [-1e30, -1e30, -2e30]],
            dtype=np.float32,
        )
        wanted = np.logaddexp.reduce(rows.astype(np.float64), axis=1) - np.log(3)
        what = "the bounds of images whose ln w are near −50, −300, 20 and −1e30"
        same(what, of_weights(rows), wanted)

    def impossible():
        rows = np.array([[-np.inf, -5, -np.inf], [-7, -np.inf, -6]], np.float32)
        wanted = np.array([-5, np.logaddexp(-7, -6)]) - np.log(3)
        same("the bounds where some draws have probability 0", of_weights(rows), wanted)

    def untouched():
        terms = [normal(3, 4, seed=k) for k in range(3)]
        kept = [each.copy() for each in terms]
        got = importance_bound(*terms)
        for each, before in zip(terms, kept):
            same("what was given, after the call", each, before, 0)
        weights = (kept[0] + kept[1] - kept[2]).astype(np.float64)
        same("the bound", got, np.log(np.exp(weights).mean(axis=1)))
        first = got.copy()
        importance_bound(*(each + 1 for each in kept))
        same("the bound, after another call,", got, first, 0)
        of_one = importance_bound(*(each[:, :1] for each in kept))
        same("the bound of one draw", of_one, weights[:, 0])

    def grows():
        ones = np.full(4000, 1.0)
        one = bound(ones, 1, 0, 1).mean()
        many = bound(ones, 50, 0, 1).mean()
        truth = log_normal(1, 0, 2)
        expect(
            one < many - 0.1 and abs(many - truth) < 0.02,
            f"drawing from the prior, ln p(x) = {truth:.3f}; "
            f"K = 1 gives {one:.3f}, expected at least 0.1 below K = 50; "
            f"K = 50 gives {many:.3f}, expected within 0.02 of ln p(x)",
        )

    test.that(
        "q = the exact posterior: every draw gives ln p(x)",
        lambda: same("the bound", bound(x, 5, x[:, None] / 2, 0.5), exact),
    )
    test.that("q = the prior: it grows with K and tends to ln p(x)", grows)
    test.that("the bound is right where weights are too small for a float32", small)
    test.that("the bound is right where images have very different weights", unlike)
    test.that("a draw of probability 0 counts as weight 0", impossible)
    test.that("every term counts, and is left as it was", untouched)
    test.that("a VAE has the bound of minivae.evaluation.log_likelihood", of_a_model)


if __name__ == "__main__":
    check(conditions)
