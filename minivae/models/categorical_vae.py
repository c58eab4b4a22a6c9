"""A VAE with categorical codes."""

from math import prod

from minivae import nn
from minivae.kinds import Count, Positive, Rate, Shape, Whole
from minivae.models.bernoulli_vae import JANG
from minivae.models.record import Record, noted
from minivae.models.vae import VAE, hidden_layers, mlp_decoder


@noted
def categorical_vae(image: Shape = (1, 24, 24), hidden: Count = 1152, code: Whole = 20, categories: Whole = 10,
                    samples: Whole = 1, beta: Rate = 1, temperature: Positive = 1, straight_through: bool = False,
                    learn_prior: bool = False) -> VAE:
    """Codes of `code` variables, each one of `categories`: 576-1152-1152-(20×10), (20×10)-1152-1152-576.

        categories   of each variable of the code

    What `bernoulli_vae` is for bits, of which it is the case of two categories: relaxed while it trains, one-hot with
    `straight_through` and in evaluation.  The codes are those of Jang et al. 2016, section 4.2, whose coders we read as
    linear, hidden=0, and who learn the prior, which is uniform here without `learn_prior`.
    """
    code *= categories
    encoder = nn.Sequential(nn.View(prod(image)))
    encoder.add(nn.Linear(hidden_layers(encoder, prod(image), hidden), code))
    encoder.add(nn.View(code // categories, categories))
    sampler = nn.Sequential(nn.GumbelSoftmaxSampler(temperature, samples), nn.HardOneHot(categories, straight_through))
    decoder = mlp_decoder(image, hidden, code)
    kl = (nn.LearnedCategoricalKL(code // categories, categories, beta) if learn_prior else
          nn.CategoricalKL(beta, categories))
    return VAE(encoder, kl, sampler, decoder, code)


CATEGORICAL = Record("categorical", categorical_vae, "the categorical VAE, code of 20 variables of 10 categories",
                    schedule={"learning_rate_decay": 5e-7},
                    presets={"jang": JANG._replace(settings=JANG.settings | {"code": 20, "categories": 10})})
