"""The networks that are timed: their layers, their data and how they are drawn from."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Workload:
    """An encoder with two heads (or one, of logits), a code, a decoder with one head or two, and a batch."""

    title: str
    encoder: tuple  # widths, from the pixels to the last hidden layer
    code: int
    decoder: tuple  # widths, from the first hidden layer to the last
    batch: int
    likelihood: str = "bernoulli"
    samples: int = 1
    flip: float = 0.0  # probability that a pixel of the input is flipped
    binary: bool = False  # code of relaxed bits
    grey: bool = True  # bytes from 0 to 255, of 60,000 images; else 0 and 1, of 5,000
    planes: tuple = ()  # of a square image's 3×3 convolutions, from the image's own, in place of the hidden layers

    @property
    def pixels(self):
        return self.encoder[0]

    def products(self):
        """(rows, width in, width out, is it the first) of every product; a convolution has a row for each pixel."""
        if self.planes:
            return self._convolutional_products()
        pairs = list(zip(self.encoder, self.encoder[1:]))
        layers = [(self.batch, i, o, k == 0) for k, (i, o) in enumerate(pairs)]
        layers += [(self.batch, self.encoder[-1], self.code, False)] * (1 if self.binary else 2)
        rows, widths = self.batch * self.samples, (self.code, *self.decoder)
        layers += [(rows, i, o, False) for i, o in pairwise(widths)]
        return layers + [(rows, widths[-1], self.pixels, False)] * (2 if self.likelihood == "gaussian" else 1)

    @property
    def side(self):
        return round(self.pixels**0.5)

    def _convolutional_products(self):
        inner, steps = self.decoder[0], list(enumerate(pairwise(self.planes)))

        def rows(k):
            return self.batch * (self.side >> k) ** 2

        encoder = [(rows(k), 9 * i, o, k == 0) for k, (i, o) in steps]
        decoder = [(rows(k), 9 * o, i, False) for k, (i, o) in steps]
        return [*encoder, *decoder, *[(self.batch, inner, self.code, False)] * 2, (self.batch, self.code, inner, False)]


def _aevb(title, **options):
    return Workload(title, (784, 400), 20, (400,), 128, **options)


WORKLOADS = {
    "dvae": Workload("dvae: 576-1152-1152-2", (576, 1152, 1152), 2, (1152, 1152), 16, flip=0.1, grey=False),
    "bvae": Workload("bvae: 576-1152-1152-50", (576, 1152, 1152), 50, (1152, 1152), 16, binary=True,
                     grey=False),
    "mnist": _aevb("mnist: 784-400-20"),
    "aevb": _aevb("aevb Bernoulli, L = 5", samples=5),
    "identity": _aevb("aevb identity Gaussian, L = 5", samples=5, likelihood="identity_gaussian"),
    "gaussian": _aevb("aevb Gaussian, L = 5", samples=5, likelihood="gaussian"),
    "conv": Workload("conv: planes 1-8-16-32, code 2", (576, 288), 2, (288,), 8, grey=False,
                     planes=(1, 8, 16, 32)),
}
