"""The models of the articles, each a function that builds it with the article's sizes."""

from minivae.models.vae import VAE, vae
from minivae.models.denoising_vae import denoising_vae
from minivae.models.bernoulli_vae import bernoulli_vae
