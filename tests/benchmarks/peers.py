"""A training step of a workload, as each peer would write it, on "cpu" or "gpu".

Each function returns (step, finish, version): `finish` waits until what the steps have started is done.
"""

import os
from itertools import pairwise

import numpy as np


def pixels(work):
    """The data set, bytes (n, D): mostly black, as digits and squares are."""
    random = np.random.default_rng(0)
    data = np.empty((60000 if work.grey else 5000, work.pixels), np.uint8)
    for rows in np.split(data, 50):  # a little at a time, for the peak memory is measured
        white = random.integers(0, 5, rows.shape, np.uint8) == 0
        rows[...] = white * random.integers(1, 256 if work.grey else 2, rows.shape, np.uint8)
    return data


# -- minivae ------------------------------------------------------------------------------------------


def done():
    """On the CPU a step is done when it returns."""


def minivae(work, device):
    import minivae as mv
    from minivae import backend, models
    from minivae.data import Batches
    from minivae.training import Training

    backend.use("cupy" if device == "gpu" else "numpy")
    mv.manual_seed(0)
    options = {"image": (work.pixels,), "hidden": work.encoder[-1], "code": work.code, "samples": work.samples}
    if work.planes:
        model = models.conv_vae((1, work.side, work.side), work.planes[1:], work.code)
    elif work.likelihood != "bernoulli" or len(work.encoder) == 2:
        model = models.aevb(work.likelihood, **options)
    elif work.binary:
        model = models.bernoulli_vae(**options)
    else:
        model = models.denoising_vae(p=work.flip, **options)
    batches = Batches(pixels(work), work.batch, 1 / 255 if work.grey else 1)
    finish = backend.array_library("cupy").cuda.get_current_stream().synchronize if device == "gpu" else done
    return Training(model, batches).step, finish, mv.__version__


def plain(work, device):
    """Without the C compiler: NumPy's own loops."""
    if device == "gpu":
        raise ModuleNotFoundError("a GPU has nothing to do with the C compiler")
    os.environ["MINIVAE_CC"] = "none"
    return minivae(work, device)


def floor(work, device):
    """Only the matrix products, each in the orientation that its layer has them in."""
    xp, finish = np, done
    if device == "gpu":
        import cupy as xp

        finish = xp.cuda.get_current_stream().synchronize

    products = [(xp.asarray(a), xp.asarray(b), xp.empty((len(a), b.shape[1]), np.float32)) for a, b in factors(work)]

    def step():
        for a, b, out in products:
            xp.matmul(a, b, out=out)

    return step, finish, xp.__version__


def factors(work):
    """The two factors of every matrix product of a step; those that are turned are views of another array."""
    random = np.random.default_rng(0)
    for rows, n_in, n_out, first in work.products():
        x, w, g = (random.standard_normal(shape, np.float32) for shape in ((rows, n_in), (n_out, n_in), (rows, n_out)))
        yield from [(x, w.T), (g.T, x)] + ([] if first else [(g, w)])


# -- PyTorch ------------------------------------------------------------------------------------------


def eager(work, device):
    return _pytorch(work, device)


def fused(work, device):
    return _pytorch(work, device, fused=True)


def compile(work, device):
    return _pytorch(work, device, fused=True, mode="default")


def graphs(work, device):
    """Compiled, and replayed as a CUDA graph: no launch has a cost of its own."""
    return _pytorch(work, device, fused=True, mode="reduce-overhead")


def torch_floor(work, device):
    """The same products as `floor`, on the CPU."""
    import torch

    products = [(*map(torch.from_numpy, pair), torch.empty(len(pair[0]), pair[1].shape[1])) for pair in factors(work)]

    def step():
        for a, b, out in products:
            torch.mm(a, b, out=out)

    return step, done, torch.__version__


def _pytorch(work, device, fused=False, mode=None):
    """`mode`: that of torch.compile, or None for eager."""
    import torch
    from torch import nn
    from torch.nn.functional import binary_cross_entropy_with_logits

    torch.manual_seed(0)

    def mlp(widths):
        return nn.Sequential(*(layer for i, o in pairwise(widths) for layer in (nn.Linear(i, o), nn.ReLU())))

    def convolution(i, o):
        return nn.Conv2d(i, o, 3, padding=1)

    def convolutional_encoder():
        layers = [layer for i, o in pairwise(work.planes)
                  for layer in (convolution(i, o), nn.ReLU(), nn.MaxPool2d(2))]
        return nn.Sequential(nn.Unflatten(1, (1, work.side, work.side)), *layers, nn.Flatten())

    def convolutional_decoder():
        inner = work.side >> len(work.planes) - 1
        layers = [layer for i, o in pairwise(work.planes[::-1])
                  for layer in (nn.Upsample(scale_factor=2), convolution(i, o), nn.ReLU())]
        return nn.Sequential(*mlp((work.code, *work.decoder)), nn.Unflatten(1, (work.planes[-1], inner, inner)),
                             *layers[:-1], nn.Flatten())

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = convolutional_encoder() if work.planes else mlp(work.encoder)
            self.decoder = convolutional_decoder() if work.planes else mlp((work.code, *work.decoder))
            self.first = nn.Linear(work.encoder[-1], work.code)
            self.second = None if work.binary else nn.Linear(work.encoder[-1], work.code)
            self.pixel_mean = nn.Identity() if work.planes else nn.Linear(work.decoder[-1], work.pixels)
            gaussian = work.likelihood == "gaussian"
            self.pixel_log_var = nn.Linear(work.decoder[-1], work.pixels) if gaussian else None

        def forward(self, x):
            noisy = torch.where(torch.rand_like(x) < work.flip, 1 - x, x) if work.flip else x
            h = self.encoder(noisy)
            if work.binary:
                a = self.first(h)
                u = torch.rand_like(a).clamp(1e-7, 1 - 1e-7)
                z, p = torch.sigmoid(a + torch.log(u) - torch.log1p(-u)), torch.sigmoid(a)
                kl = (p * a - nn.functional.softplus(a) + 0.6931472).sum()
            else:
                mean, log_var = self.first(h), self.second(h)
                kl = 0.5 * (mean * mean + log_var.exp() - 1 - log_var).sum()
                mean, std = (each.repeat_interleave(work.samples, 0) for each in (mean, torch.exp(0.5 * log_var)))
                z = mean + std * torch.randn_like(mean)
            h, target = self.decoder(z), x.repeat_interleave(work.samples, 0)
            y = self.pixel_mean(h)
            if work.likelihood == "bernoulli":
                loss = binary_cross_entropy_with_logits(y, target, reduction="sum")
            elif work.likelihood == "gaussian":
                log_var = self.pixel_log_var(h).clamp(min=-6)
                loss = 0.5 * (1.837877 + log_var + (target - y) ** 2 * torch.exp(-log_var)).sum()
            else:
                loss = 0.5 * (1.837877 + (target - y) ** 2).sum()
            return loss / work.samples + kl

    place = "cuda" if device == "gpu" else "cpu"
    model, data = Model().to(place), torch.from_numpy(pixels(work)).to(place)
    loss_of = torch.compile(model, mode=mode) if mode else model
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True if fused else None)
    scale = 1 / 255 if work.grey else 1.0

    def step():
        x = data[torch.randint(len(data), (work.batch,), device=place)].float() * scale
        optimizer.zero_grad()
        loss_of(x).backward()
        optimizer.step()

    return step, torch.cuda.synchronize if device == "gpu" else done, torch.__version__


# -- JAX ----------------------------------------------------------------------------------------------


def jax(work, device):
    import jax
    import jax.numpy as jnp

    if device == "gpu" and jax.default_backend() != "gpu":
        raise ModuleNotFoundError("JAX is not installed for the GPU")

    random = np.random.default_rng(0)

    def linear(n_in, n_out):
        bound = n_in**-0.5
        return tuple(jnp.asarray(random.uniform(-bound, bound, shape).astype(np.float32)) for shape in
                     ((n_in, n_out), (n_out,)))

    def mlp(widths):
        return [linear(i, o) for i, o in pairwise(widths)]

    def kernels(planes):
        def kernel(i, o):
            bound = (9 * i) ** -0.5
            return tuple(jnp.asarray(random.uniform(-bound, bound, shape).astype(np.float32))
                         for shape in ((o, i, 3, 3), (o, 1, 1)))
        return [kernel(i, o) for i, o in pairwise(planes)]

    heads = 1 if work.binary else 2
    parameters = {"encoder": kernels(work.planes) if work.planes else mlp(work.encoder),
                  "decoder": mlp((work.code, *work.decoder)), "kernels": kernels(work.planes[::-1]),
                  "code": [linear(work.encoder[-1], work.code) for _ in range(heads)],
                  "pixels": [linear(work.decoder[-1], work.pixels)
                             for _ in range(2 if work.likelihood == "gaussian" else 1)] * (not work.planes)}

    def apply(layers, x):
        for w, b in layers:
            x = jax.nn.relu(x @ w + b)
        return x

    def convolve(x, kernel, bias):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME") + bias

    def encode(layers, x):
        if not work.planes:
            return apply(layers, x)
        x = x.reshape(-1, 1, work.side, work.side)
        for layer in layers:
            x = jax.nn.relu(convolve(x, *layer))
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
        return x.reshape(len(x), -1)

    def draw(layers, h):
        """The decoder's convolutions, if it has any."""
        inner = work.side >> len(layers)
        x = h.reshape(-1, work.planes[-1], inner, inner)
        for k, layer in enumerate(layers):
            x = convolve(x.repeat(2, axis=2).repeat(2, axis=3), *layer)
            x = x if k + 1 == len(layers) else jax.nn.relu(x)
        return x.reshape(len(x), -1)

    def loss_of(parameters, x, key):
        flip_key, noise_key = jax.random.split(key)
        noisy = jnp.where(jax.random.uniform(flip_key, x.shape) < work.flip, 1 - x, x) if work.flip else x
        h = encode(parameters["encoder"], noisy)
        code = [h @ w + b for w, b in parameters["code"]]
        if work.binary:
            a, = code
            u = jax.random.uniform(noise_key, a.shape, minval=1e-7, maxval=1 - 1e-7)
            z, p = jax.nn.sigmoid(a + jnp.log(u) - jnp.log1p(-u)), jax.nn.sigmoid(a)
            kl = (p * a - jax.nn.softplus(a) + 0.6931472).sum()
        else:
            mean, log_var = code
            kl = 0.5 * (mean * mean + jnp.exp(log_var) - 1 - log_var).sum()
            mean, std = (jnp.repeat(each, work.samples, 0) for each in (mean, jnp.exp(0.5 * log_var)))
            z = mean + std * jax.random.normal(noise_key, mean.shape)
        h, target = apply(parameters["decoder"], z), jnp.repeat(x, work.samples, 0)
        y, *rest = [draw(parameters["kernels"], h)] if work.planes else [h @ w + b for w, b in parameters["pixels"]]
        if work.likelihood == "bernoulli":
            loss = (jnp.maximum(y, 0) - y * target + jnp.log1p(jnp.exp(-jnp.abs(y)))).sum()
        else:
            log_var = jnp.maximum(rest[0], -6) if rest else 0.0
            loss = 0.5 * (1.837877 + log_var + (target - y) ** 2 * jnp.exp(-log_var)).sum()
        return loss / work.samples + kl

    scale = 1 / 255 if work.grey else 1.0
    data = jnp.asarray(pixels(work))

    def update(state, key):
        parameters, m, v, t = state
        index_key, key = jax.random.split(key)
        x = data[jax.random.randint(index_key, (work.batch,), 0, len(data))].astype(jnp.float32) * scale
        grads = jax.grad(loss_of)(parameters, x, key)
        tree = jax.tree_util.tree_map
        m, v = tree(lambda m, g: 0.9 * m + 0.1 * g, m, grads), tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
        size = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        return tree(lambda p, m, v: p - size * m / (jnp.sqrt(v) + 1e-8), parameters, m, v), m, v, t + 1

    m, v = (jax.tree_util.tree_map(jnp.zeros_like, parameters) for _ in range(2))
    held = {"state": (parameters, m, v, 1.0), "key": jax.random.PRNGKey(0)}
    compiled = jax.jit(update, donate_argnums=0)

    def step():
        held["key"], key = jax.random.split(held["key"])
        held["state"] = compiled(held["state"], key)

    return step, lambda: jax.block_until_ready(held["state"]), jax.__version__


def jax_floor(work, device):
    """The same products as `floor`, on the CPU; JAX gives each result a new array."""
    import jax

    pairs = list(factors(work))
    turned = [[each.base is not None for each in pair] for pair in pairs]
    given = [[jax.numpy.asarray(each if each.base is None else each.base) for each in pair] for pair in pairs]
    held = {}

    @jax.jit
    def multiply(given):
        return [jax.numpy.matmul(*(each.T if turn else each for each, turn in zip(*both)))
                for both in zip(given, turned)]

    def step():
        held["products"] = multiply(given)

    return step, lambda: jax.block_until_ready(held["products"]), jax.__version__
