"""The article's VAE with binary codes."""

from math import prod

from minivae import nn
from minivae.kinds import Count, Positive, Rate, Shape, Whole
from minivae.models.record import Preset, Record, noted
from minivae.models.vae import VAE, hidden_layers, mlp_decoder


@noted
def bernoulli_vae(image: Shape = (1, 24, 24), hidden: Count = 1152, code: Whole = 50, samples: Whole = 1,
                  beta: Rate = 1, temperature: Positive = 1, straight_through: bool = False,
                  learn_prior: bool = False) -> VAE:
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
    decoder = mlp_decoder(image, hidden, code)
    kl = nn.LearnedBernoulliKL(code, beta) if learn_prior else nn.BernoulliKL(beta)
    return VAE(encoder, kl, sampler, decoder, code)


# Jang et al. 2016, section 4: 200 bits or 20 × 10 categories, batches of 100, momentum 0.9 and an annealed temperature.
# We read their coders as linear.  They learn the prior too; the learning rate and the epochs are our choice.
JANG = Preset("after table 1 of Jang et al. 2016, on MNIST, with a learning rate and epochs of ours",
              {"hidden": 0, "learn_prior": True, "temperature": 1, "batch_size": 100, "momentum": 0.9,
               "learning_rate": 3e-4, "learning_rate_decay": 0.0, "schedule": "cosine", "anneal_rate": 1e-4,
               "anneal_floor": 0.5, "anneal_every": 1000, "epochs": 300, "data": "mnist", "binarize": "fixed"})
# tests/benchmarks/optimum.py leaves out each part in turn.
OPTIMUM = Preset("that comes within 0.1 nats of the optimum of the rectangles, ln 256: exact gradients, batches of "
                 "every square once, a weight of the KL that falls from 50 to 1",
                 {"code": 8, "hidden": 256, "estimator": "exact", "data": "squares", "batch_size": 256,
                  "kl_start": 50.0, "kl_warm_up": 3500, "learning_rate": 1e-3, "learning_rate_decay": 0.0,
                  "epochs": 40})
BERNOULLI = Record("bernoulli", bernoulli_vae, "the Bernoulli VAE, code of 50 bits",
                  schedule={"learning_rate_decay": 5e-7},
                  presets={"jang": JANG._replace(settings=JANG.settings | {"code": 200}), "optimum": OPTIMUM})
