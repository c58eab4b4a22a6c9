"""The article's denoising VAE."""

from minivae import nn
from minivae.kinds import Count, Probability, Rate, Shape, Whole
from minivae.models.record import Record, noted
from minivae.models.vae import VAE, gaussian_encoder, mlp_decoder


@noted
def denoising_vae(image: Shape = (1, 24, 24), hidden: Count = 1152, code: Whole = 2, samples: Whole = 1,
                  beta: Rate = 1, p: Probability = 0.1) -> VAE:
    """`vae` with a corrupted input: the encoder sees each pixel flipped with probability p, the loss does not.

        p   probability that a pixel is flipped

    −E KL(q(z|x′) ‖ p(z)) + E log p(x|z), x′ from p(x′|x), is a lower bound of log p(x) (Im et al. 2017).
    """
    return VAE(gaussian_encoder(image, hidden, code, nn.BernoulliNoise(p)), nn.GaussianKL(beta),
               nn.GaussianSampler(samples), mlp_decoder(image, hidden, code), code)


# The public listings train VAE and DVAE at different decays, which confounds them: here both have the VAE's.
DENOISING = Record("denoising", denoising_vae, "the denoising VAE: pixels of its input are flipped",
                  schedule={"learning_rate_decay": 1e-4}, flags={"p": "noise"})
