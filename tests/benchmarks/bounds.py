"""The importance-weighted bound of log p(x), as each peer would compute it: K draws of each image's code, in batches.

Each function returns (bound, version); `bound()` takes the images through a 784-400-20 VAE, and returns the mean.
"""

import os
from math import log

import numpy as np

PIXELS, HIDDEN, CODE = 784, 400, 20
IMAGES, DRAWS = 1000, 100
TOGETHER = 100  # images of a batch, for the peers; minivae chooses its own


def images():
    return (np.random.default_rng(0).random((IMAGES, PIXELS)) < 0.2).astype(np.float32)


def minivae():
    import minivae as mv
    from minivae import evaluation

    mv.manual_seed(0)
    model, x = mv.models.aevb(image=(PIXELS,), hidden=HIDDEN, code=CODE), images()
    return lambda: evaluation.log_likelihood(model, x, samples=DRAWS).value, mv.__version__


def plain():
    """Without the C compiler: NumPy's own loops."""
    os.environ["MINIVAE_CC"] = "none"
    return minivae()


def eager(mode=None):
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits

    torch.manual_seed(0)
    hidden, mean, log_var = nn.Linear(PIXELS, HIDDEN), nn.Linear(HIDDEN, CODE), nn.Linear(HIDDEN, CODE)
    inner, outer = nn.Linear(CODE, HIDDEN), nn.Linear(HIDDEN, PIXELS)

    def log_weights(x):
        h = hidden(x).relu()
        m, v = mean(h).repeat_interleave(DRAWS, 0), log_var(h).repeat_interleave(DRAWS, 0)
        noise = torch.randn_like(m)
        z = m + torch.exp(0.5 * v) * noise
        logits, target = outer(inner(z).relu()), x.repeat_interleave(DRAWS, 0)
        likelihood = -binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1)
        ratio = 0.5 * (v + noise * noise - z * z).sum(1)
        return torch.logsumexp((likelihood + ratio).view(-1, DRAWS), 1) - log(DRAWS)

    batches, compute = torch.from_numpy(images()).split(TOGETHER), log_weights
    if mode:
        compute = torch.compile(log_weights, mode=mode)

    def bound():
        with torch.inference_mode():
            return torch.cat([compute(x) for x in batches]).mean().item()

    return bound, torch.__version__


def compile():
    return eager("default")


def jax():
    import jax
    import jax.numpy as jnp

    random = np.random.default_rng(0)

    def linear(n_in, n_out):
        limit = n_in**-0.5
        return tuple(jnp.asarray(random.uniform(-limit, limit, shape), jnp.float32) for shape in
                     ((n_in, n_out), (n_out,)))

    hidden, mean, log_var = linear(PIXELS, HIDDEN), linear(HIDDEN, CODE), linear(HIDDEN, CODE)
    inner, outer = linear(CODE, HIDDEN), linear(HIDDEN, PIXELS)

    def apply(layer, x):
        return x @ layer[0] + layer[1]

    @jax.jit
    def log_weights(x, key):
        h = jax.nn.relu(apply(hidden, x))
        m, v = (jnp.repeat(apply(layer, h), DRAWS, 0) for layer in (mean, log_var))
        noise = jax.random.normal(key, m.shape)
        z = m + jnp.exp(0.5 * v) * noise
        logits, target = apply(outer, jax.nn.relu(apply(inner, z))), jnp.repeat(x, DRAWS, 0)
        likelihood = (logits * target - jax.nn.softplus(logits)).sum(1)
        ratio = 0.5 * (v + noise * noise - z * z).sum(1)
        return jax.nn.logsumexp((likelihood + ratio).reshape(-1, DRAWS), axis=1) - log(DRAWS)

    batches = jnp.split(jnp.asarray(images()), IMAGES // TOGETHER)
    held = {"key": jax.random.PRNGKey(0)}

    def bound():
        held["key"], *keys = jax.random.split(held["key"], len(batches) + 1)
        return float(jnp.concatenate([log_weights(x, key) for x, key in zip(batches, keys)]).mean())

    return bound, jax.__version__
