"""The models of the articles with their sizes, and three more: a file and a record each."""

import reprlib

from minivae.errors import OptionError
from minivae.models.record import Record, Parameter, Preset
from minivae.models.likelihoods import CRITERIONS
from minivae.models.vae import VAE, VANILLA, vae
from minivae.models.denoising_vae import DENOISING, denoising_vae
from minivae.models.bernoulli_vae import BERNOULLI, bernoulli_vae
from minivae.models.categorical_vae import CATEGORICAL, categorical_vae
from minivae.models.aevb import AEVB, aevb
from minivae.models.conv_vae import CONV, conv_vae
from minivae.models.conditional_vae import CONDITIONAL, ConditionalVAE, conditional_vae

ALL = (VANILLA, DENOISING, BERNOULLI, CATEGORICAL, AEVB, CONV, CONDITIONAL)
BY_NAME = {model.name: model for model in ALL}


def find(name: str) -> Record:
    """The record of the model of that name."""
    if not isinstance(name, str) or name not in BY_NAME:
        raise OptionError(f"unknown model {reprlib.repr(name)}; choose one of {', '.join(BY_NAME)}")
    return BY_NAME[name]


def build(name: str, /, **options) -> VAE:
    """The model of that name, as the command line calls it: build("denoising", code=2)."""
    return find(name).build(**options)
