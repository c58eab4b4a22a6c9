"""A VAE with categorical codes."""

from math import prod

from minivae import nn
from minivae.errors import whole_number
from minivae.models.vae import VAE, hidden_layers, mlp_decoder

SCHEDULE = {"epochs": 10, "batch_size": 16, "learning_rate": 1e-3, "learning_rate_decay": 5e-7}


def categorical_vae(image=(1, 24, 24), hidden=1152, code=20, categories=10, samples=1, beta=1, temperature=1,
                    straight_through=False):
    """Codes of `code` variables, each one of `categories`: 576-1152-1152-(20×10), (20×10)-1152-1152-576.

    What `bernoulli_vae` is for bits, of which it is the case of two categories: relaxed while it trains, one-hot with
    `straight_through` and in evaluation.  The codes are those of Jang et al. 2016, section 4.2, whose coders we read as
    linear, hidden=0, and who learn the prior, which is uniform here.
    """
    code = whole_number("categorical_vae", "code", code) * whole_number("categorical_vae", "categories", categories)
    encoder = nn.Sequential(nn.View(prod(image)))
    encoder.add(nn.Linear(hidden_layers(encoder, prod(image), hidden), code))
    encoder.add(nn.View(code // categories, categories))
    sampler = nn.Sequential(nn.GumbelSoftmaxSampler(temperature, samples), nn.HardOneHot(categories, straight_through))
    return VAE(encoder, nn.CategoricalKL(beta, categories), sampler, mlp_decoder(image, hidden, code), code)
