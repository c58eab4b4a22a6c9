"""The article's denoising VAE."""

from minivae import nn
from minivae.models.vae import VAE, gaussian_encoder, mlp_decoder


def denoising_vae(image=(1, 24, 24), hidden=1152, code=2, samples=1, beta=1, p=0.1):
    """`vae` with a corrupted input: the encoder sees each pixel flipped with probability p, the loss does not.

    −E KL(q(z|x′) ‖ p(z)) + E log p(x|z), x′ from p(x′|x), is a lower bound of log p(x) (Im et al. 2017).
    """
    return VAE(gaussian_encoder(image, hidden, code, nn.BernoulliNoise(p)), nn.GaussianKL(beta),
               nn.GaussianSampler(samples), mlp_decoder(image, hidden, code), code)
