"""PyTorch's example of a VAE on MNIST, with the article's three decoders and one more."""

import reprlib
from math import prod

from minivae import nn
from minivae.errors import OptionError
from minivae.models.vae import CRITERIONS, VAE

SCHEDULE = {"epochs": 3, "batch_size": 128, "learning_rate": 0.01, "learning_rate_decay": 0.0,
            "samples": 5}


def aevb(likelihood="bernoulli", samples=1, hidden=400, code=20, image=(28, 28), log_var_floor=-6, beta=1):
    """784-400-(20, 20), 20-400-784 with ReLU: the article's CoderNetworks, and PyTorch's example at samples=1.

        likelihood   "bernoulli"              the decoder gives logits; a cross-entropy where pixels are grey
                     "continuous_bernoulli"   the decoder gives logits; a density of grey pixels
                     "gaussian"               mean and log-variance of every pixel
                     "identity_gaussian"      the mean; the variance is 1

    Kingma and Welling 2013 used 500 tanh units, and on MNIST a Bernoulli decoder.

    `log_var_floor` keeps the log-variance of "gaussian" from falling below it.  With None it is the article's model,
    whose likelihood has no upper bound: where a pixel is the same in every image the variance falls towards 0, and
    one pixel that is not then costs millions of nats.
    """
    if likelihood not in CRITERIONS:
        raise OptionError(f"unknown likelihood {reprlib.repr(likelihood)}; choose one of {', '.join(CRITERIONS)}")
    d = prod(image)
    encoder = nn.Sequential(
        nn.View(d), nn.Linear(d, hidden), nn.ReLU(inplace=True),
        nn.ConcatTable(nn.Linear(hidden, code), nn.Linear(hidden, code)))
    mean = nn.Sequential(nn.Linear(hidden, d), nn.View(*image))
    head = mean
    if likelihood == "gaussian":
        log_var = nn.Sequential(nn.Linear(hidden, d), nn.View(*image))
        if log_var_floor is not None:
            log_var.add(nn.Clamp(log_var_floor, None))
        head = nn.ConcatTable(mean, log_var)
    decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(inplace=True), head)
    return VAE(encoder, nn.GaussianKL(beta), nn.GaussianSampler(samples), decoder, code, likelihood)
