"""PyTorch's example of a VAE on MNIST, with the article's three decoders and one more."""

from math import prod

from minivae import nn
from minivae.kinds import Rate, Shape, Whole
from minivae.models.likelihoods import Likelihood
from minivae.models.record import Record, noted
from minivae.models.vae import VAE


@noted
def aevb(likelihood: Likelihood = "bernoulli", samples: Whole = 1, hidden: Whole = 400, code: Whole = 20,
         image: Shape = (28, 28), log_var_floor: float | None = -6, beta: Rate = 1) -> VAE:
    """784-400-(20, 20), 20-400-784 with ReLU: the article's CoderNetworks, and PyTorch's example at samples=1.

        likelihood      of the pixels: one of bernoulli, continuous_bernoulli, gaussian, identity_gaussian
        log_var_floor   least log-variance of a pixel, for the likelihood gaussian; none: no least, as in the article
        hidden          units of the hidden layer

        "bernoulli"              the decoder gives logits; a cross-entropy where pixels are grey
        "continuous_bernoulli"   the decoder gives logits; a density of grey pixels
        "gaussian"               mean and log-variance of every pixel
        "identity_gaussian"      the mean; the variance is 1

    Kingma and Welling 2013 used 500 tanh units, and on MNIST a Bernoulli decoder.

    With log_var_floor=None "gaussian" is the article's model, whose likelihood has no upper bound: where a pixel is the
    same in every image the variance falls towards 0, and one pixel that is not then costs millions of nats.
    """
    d = prod(image)
    encoder = nn.Sequential(
        nn.View(d), nn.Linear(d, hidden), nn.ReLU(inplace=True),
        nn.ConcatTable(nn.Linear(hidden, code), nn.Linear(hidden, code)))
    mean = nn.Sequential(nn.Linear(hidden, d), nn.View(*image))
    head: nn.Module = mean
    if likelihood == "gaussian":
        log_var = nn.Sequential(nn.Linear(hidden, d), nn.View(*image))
        if log_var_floor is not None:
            log_var.add(nn.Clamp(log_var_floor, None))
        head = nn.ConcatTable(mean, log_var)
    decoder = nn.Sequential(nn.Linear(code, hidden), nn.ReLU(inplace=True), head)
    return VAE(encoder, nn.GaussianKL(beta), nn.GaussianSampler(samples), decoder, code, likelihood)


AEVB = Record("aevb", aevb, "the VAE of PyTorch's example, with one of four likelihoods", data="mnist",
             schedule={"epochs": 3, "batch_size": 128, "learning_rate": 0.01, "samples": 5})
