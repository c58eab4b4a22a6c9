"""The models of the articles with their sizes, and two more, of categories and convolutions: a function each."""

from minivae import by_name
from minivae.models.vae import SCHEDULE as VAE_SCHEDULE
from minivae.models.vae import CRITERIONS, VAE, vae
from minivae.models.denoising_vae import denoising_vae
from minivae.models.bernoulli_vae import SCHEDULE as BERNOULLI_SCHEDULE
from minivae.models.bernoulli_vae import bernoulli_vae
from minivae.models.categorical_vae import SCHEDULE as CATEGORICAL_SCHEDULE
from minivae.models.categorical_vae import categorical_vae
from minivae.models.aevb import SCHEDULE as AEVB_SCHEDULE
from minivae.models.aevb import aevb
from minivae.models.conv_vae import SCHEDULE as CONV_SCHEDULE
from minivae.models.conv_vae import conv_vae

BY_NAME = {"vae": vae, "denoising": denoising_vae, "bernoulli": bernoulli_vae, "categorical": categorical_vae,
           "aevb": aevb, "conv": conv_vae}
# The public listings train VAE and DVAE at different decays, which confounds them: here both have the VAE's.
SCHEDULES = {"vae": VAE_SCHEDULE, "denoising": VAE_SCHEDULE, "bernoulli": BERNOULLI_SCHEDULE,
             "categorical": CATEGORICAL_SCHEDULE, "aevb": AEVB_SCHEDULE, "conv": CONV_SCHEDULE}


# Jang et al. 2016, section 4: 200 bits or 20 × 10 categories, batches of 100, momentum 0.9 and an annealed temperature.
# We read their coders as linear.  Theirs learn the prior too; the learning rate and the epochs are our choice.
JANG = {"hidden": 0, "temperature": 1, "batch_size": 100, "momentum": 0.9, "learning_rate": 1e-4, "anneal_rate": 1e-4,
        "anneal_floor": 0.5, "anneal_every": 1000, "learning_rate_decay": 0.0, "epochs": 300, "data": "mnist",
        "binarize": "fixed"}
PRESETS = {"bernoulli": {"jang": JANG | {"code": 200}},
           "categorical": {"jang": JANG | {"code": 20, "categories": 10}}}


def build(name, /, **options):
    """The model of that name, as the command line calls it: build("denoising", code=2)."""
    return by_name.make("model", BY_NAME, name, options)
