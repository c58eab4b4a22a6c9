"""A VAE with convolutions in place of the hidden layers."""

import reprlib

from minivae import nn
from minivae.errors import OptionError
from minivae.kinds import Rate, Shape, Whole
from minivae.models.record import Record, noted
from minivae.models.vae import VAE


@noted
def conv_vae(image: Shape = (1, 24, 24), planes: tuple[Whole, ...] = (8, 16, 32), code: Whole = 2, samples: Whole = 1,
             beta: Rate = 1, batch_normalization: bool = False) -> VAE:
    """`vae` of far fewer weights: what finds or draws an edge at one place does so at every place.

        encoder   [3×3 convolution, ReLU, 2×2 max pooling] for each number of `planes`, then linear to mean and log_var
        decoder   linear, ReLU, then [each number twice both ways, 3×3 convolution] from the last planes to the image's

        planes                planes that each convolution of the encoder makes; a pooling after it halves the image,
                              and the decoder does all that in reverse
        batch_normalization   normalize what comes out of a convolution

    With ReLU between; 1 -> 8 -> 16 -> 32 planes by default, so that a square of 24×24 pixels becomes 32 planes of 3×3.
    `image` is (height, width) or (planes, height, width).  A BatchNormalization stands behind each convolution but the
    last (Ioffe and Szegedy 2015).
    """
    depth, height, width = _sizes(image, planes)
    inner = planes[-1], height >> len(planes), width >> len(planes)
    units = inner[0] * inner[1] * inner[2]
    encoder = nn.Sequential(nn.View(depth, height, width))
    for n_in, n_out in zip((depth, *planes), planes):
        _convolution(encoder, n_in, n_out, batch_normalization)
        encoder.add(nn.ReLU(inplace=True)).add(nn.SpatialMaxPooling(2, 2))
    encoder.add(nn.View(units)).add(nn.ConcatTable(nn.Linear(units, code), nn.Linear(units, code)))
    decoder = nn.Sequential(nn.Linear(code, units), nn.ReLU(inplace=True), nn.View(*inner))
    for n_in, n_out in zip(planes[:0:-1], planes[-2::-1]):
        _convolution(decoder.add(nn.SpatialUpSamplingNearest(2)), n_in, n_out, batch_normalization)
        decoder.add(nn.ReLU(inplace=True))
    _convolution(decoder.add(nn.SpatialUpSamplingNearest(2)), planes[0], depth, False)
    decoder.add(nn.View(*image))
    return VAE(encoder, nn.GaussianKL(beta), nn.GaussianSampler(samples), decoder, code)


def _convolution(body, n_in, n_out, batch_normalization):
    body.add(nn.SpatialConvolution(n_in, n_out, 3, 3, padw=1, padh=1))
    if batch_normalization:
        body.add(nn.BatchNormalization(n_out))


def _sizes(image, planes):
    """(planes, height, width) of an image that can be halved once for each number of planes."""
    if len(image) not in (2, 3):
        raise OptionError(f"conv_vae: image={reprlib.repr(image)}; give (height, width) or (planes, height, width)")
    depth, height, width = (1, *image)[-3:]
    if not planes or height % 2 ** len(planes) or width % 2 ** len(planes):
        raise OptionError(f"conv_vae: an image of {height}×{width} cannot be halved {len(planes)} times, once for each "
                          f"of planes={reprlib.repr(planes)}; give fewer planes, such as 16 and 32 for 28×28")
    return depth, height, width


CONV = Record("conv", conv_vae, "a VAE of convolutions, code of 2 numbers",
             schedule={"batch_size": 8, "learning_rate_decay": 1e-4})
