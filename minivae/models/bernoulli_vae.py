"""The article's VAE with binary codes."""

from math import prod

from minivae import nn
from minivae.models.vae import VAE, hidden_layers, mlp_decoder

SCHEDULE = {"epochs": 10, "batch_size": 16, "learning_rate": 1e-3, "learning_rate_decay": 5e-7}


def bernoulli_vae(image=(1, 24, 24), hidden=1152, code=50, samples=1, beta=1, temperature=1,
                  straight_through=False):
    """Codes of `code` bits, relaxed while training (binary Concrete): 576-1152-1152-50, 50-1152-1152-576.

    With hidden=0 encoder and decoder are linear, as in the sigmoid belief networks of the literature.
    While it trains, reconstruction + KL is a surrogate: the KL of bits beside a reconstruction from relaxed bits
    (Maddison et al. 2016, appendix C.2).  Evaluation uses hard bits, and then it is a bound.  With `straight_through`
    the bits are hard in training too, and the gradient is an estimate.
    """
    encoder = nn.Sequential(nn.View(prod(image)))
    encoder.add(nn.Linear(hidden_layers(encoder, prod(image), hidden), code))
    sampler = nn.Sequential(nn.BernoulliSampler(temperature, samples), nn.Sigmoid(),
                            nn.HardBits(straight_through))
    return VAE(encoder, nn.BernoulliKL(beta), sampler, mlp_decoder(image, hidden, code), code)
