"""The models of the articles, each a function that builds it with the article's sizes."""

from minivae import by_name
from minivae.models.vae import SCHEDULE as VAE_SCHEDULE
from minivae.models.vae import CRITERIONS, VAE, vae
from minivae.models.denoising_vae import denoising_vae
from minivae.models.bernoulli_vae import SCHEDULE as BERNOULLI_SCHEDULE
from minivae.models.bernoulli_vae import bernoulli_vae
from minivae.models.aevb import SCHEDULE as AEVB_SCHEDULE
from minivae.models.aevb import aevb
from minivae.models.conv_vae import SCHEDULE as CONV_SCHEDULE
from minivae.models.conv_vae import conv_vae

BY_NAME = {"vae": vae, "denoising": denoising_vae, "bernoulli": bernoulli_vae, "aevb": aevb, "conv": conv_vae}
# The article trains VAE and DVAE at different decays in places, which confounds them: here both have the VAE's.
SCHEDULES = {"vae": VAE_SCHEDULE, "denoising": VAE_SCHEDULE, "bernoulli": BERNOULLI_SCHEDULE,
             "aevb": AEVB_SCHEDULE, "conv": CONV_SCHEDULE}


def build(name, /, **options):
    """The model of that name, as the command line calls it: build("denoising", code=2)."""
    return by_name.make("model", BY_NAME, name, options)
