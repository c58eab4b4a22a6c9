"""A VAE whose encoder and decoder also see the label of an image."""

from collections.abc import Sequence
from math import prod

import numpy as np

from minivae import backend, nn
from minivae.backend import Array
from minivae.errors import OptionError, whole_number
from minivae.kinds import Count, Rate, Shape, Whole
from minivae.models.record import Record, noted
from minivae.models.vae import VAE, hidden_layers


class ConditionalVAE(VAE):
    """encoder -> kl -> sampler -> decoder, where the encoder and the decoder are given a label y beside x and z.

        x  input  (N, D + C)     rows of an image's D numbers and its label, one-hot: `DataSet.labelled` makes them
        output    (N·L, ...)     of the image alone

    Maximises  E_q log p(x|z, y) − KL(q(z|x, y) ‖ p(z)) ≤ log p(x|y).  Sohn et al. 2015, equation 4, with their input
    in the role of our label, their output in that of our image, and a prior that does not depend on the label.
    """

    def __init__(self, encoder, kl, sampler, decoder, code, likelihood="bernoulli", label=None):
        super().__init__(encoder, kl, sampler, decoder, code, likelihood)
        self.label, self.labels = label, 0 if label is None else label.classes

    def target(self, x: Array) -> Array:
        return x[:, :-self.labels] if self.labels else x

    def condition(self, label: int | Sequence[int]) -> "ConditionalVAE":
        """Decode under this label from now on, or under one for each code, until images are encoded again."""
        numbers = np.atleast_1d(np.asarray(label))
        if self.labels == 0 or numbers.dtype.kind not in "iu" or numbers.ndim != 1 or not len(numbers) or not (
                0 <= numbers.min() <= numbers.max() < self.labels):
            raise OptionError(f"condition({label!r:.100}): this model has {self.labels} labels"
                              + (f", numbered from 0 to {self.labels - 1}; give a whole number, or one for each code"
                                 if self.labels else ""))
        self.label.rows = backend.from_numpy((numbers[:, None] == np.arange(self.labels)).astype(self.dtype),
                                             like=self.backend)
        return self

    def sample(self, n: int, label: int | Sequence[int] | None = None) -> Array:
        """The mean of p(x|z, y) for n codes from the prior, under this label; by default under each for as many."""
        rows = max(1, whole_number("sample", "n", n, least=0))
        if self.labels or label is not None:
            self.condition(np.arange(rows) * self.labels // rows if label is None else label)
        return super().sample(n)


@noted
def conditional_vae(image: Shape = (28, 28), labels: Count = 0, hidden: Count = 400, code: Whole = 20,
                    samples: Whole = 1, beta: Rate = 1) -> ConditionalVAE:
    """(784 + C)-400-400-(20, 20), (20 + C)-400-400-784, ReLU between, Bernoulli pixels; C is `labels`.

        labels   how many the data have, 10 of MNIST's digits; 0: a VAE like any other
    """
    label, d = nn.Label(labels) if labels else None, prod(image)
    encoder, decoder = nn.Sequential(nn.View(d + labels)), nn.Sequential()
    if label is not None:
        encoder.add(nn.KeepLabel(label))
        decoder.add(nn.AppendLabel(label))
    width = hidden_layers(encoder, d + labels, hidden)
    encoder.add(nn.ConcatTable(nn.Linear(width, code), nn.Linear(width, code)))
    decoder.add(nn.Linear(hidden_layers(decoder, code + labels, hidden), d)).add(nn.View(*image))
    return ConditionalVAE(encoder, nn.GaussianKL(beta), nn.GaussianSampler(samples), decoder, code, label=label)


CONDITIONAL = Record("conditional", conditional_vae, "a VAE that is told the label, and draws images of any",
                     data="mnist", schedule={"batch_size": 64, "epochs": 5})
