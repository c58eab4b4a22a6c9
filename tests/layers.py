"""The table of every layer: a row says how to make it, what goes in, and what it is excused from."""

from dataclasses import dataclass, field

import numpy as np

from minivae import backend, nn


@dataclass
class Row:
    """One layer under one set of options, with an input of a batch of `rows` and the contracts it is excused from."""

    make: object  # () -> module
    shape: tuple  # of one input row, or a tuple of such shapes for a table
    wrong: tuple  # the shape of an input, batch included, that must be refused
    low: float = -2.0
    high: float = 2.0
    excused: dict = field(default_factory=dict)  # contract -> reason
    name: str = ""

    def input(self, rows=3, seed=1, dtype=np.float32):
        """A new input in the current library, an array or a table, uniform in low … high."""
        random = np.random.default_rng(seed)
        def one(shape):
            if isinstance(shape[0], tuple):
                return tuple(map(one, shape))
            return backend.from_numpy(random.uniform(self.low, self.high, (rows, *shape)).astype(dtype))
        return one(self.shape)


TABLE = ((4,), (4,))
ESTIMATOR = {"gradient": "a straight-through estimator, not the derivative of a step"}

ALL_CODES = {"batch": "its codes are the same for every row"}
ONE_ROW = {"one row": "one number has no variance, which is refused"}


def _mlp():
    return nn.Sequential(nn.View(6), nn.Linear(6, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))


def _tied(bias=True):
    first = nn.Linear(4, 3)
    return nn.Sequential(first, nn.Tanh(), nn.Linear.tied(first, bias))


def _densities(cls, kl):
    return nn.Sequential(nn.ParallelTable(kl, nn.Identity()), cls(kl))


def _appending():
    label = nn.Label(2)
    return nn.Sequential(nn.KeepLabel(label), nn.Linear(5, 3), nn.AppendLabel(label))


def _told(kl):
    """A prior that has learned something."""
    kl.prior_logits[...] = backend.from_numpy(np.random.default_rng(4).normal(size=kl.prior_logits.shape))
    return kl


def _evaluated(module):
    return module.evaluate()


ROWS = {
    "Sequential": Row(_mlp, (2, 3), (3, 7)),
    "ConcatTable": Row(lambda: nn.ConcatTable(nn.Linear(4, 3), nn.Tanh()), (4,), (3, 5)),
    "ConcatTable of tables": Row(lambda: nn.ConcatTable(nn.GaussianKL(), nn.Identity()), TABLE, (3, 4)),
    "ParallelTable": Row(lambda: nn.ParallelTable(nn.Linear(4, 3), nn.Sigmoid()), TABLE, (3, 4)),
    "Identity": Row(nn.Identity, (4,), (), excused={"wrong shape": "hands on anything"}),
    "View": Row(lambda: nn.View(2, 3), (6,), (3, 7)),
    "KeepLabel": Row(lambda: nn.KeepLabel(nn.Label(2)), (5,), (3, 2)),
    "AppendLabel": Row(_appending, (5,), (3, 2)),
    "Linear": Row(lambda: nn.Linear(4, 3), (4,), (3, 5)),
    "Linear without bias": Row(lambda: nn.Linear(4, 3, bias=False), (4,), (4,)),
    "TiedLinear": Row(_tied, (4,), (3, 5)),
    "TiedLinear without bias": Row(lambda: _tied(bias=False), (4,), (3, 5)),
    "ReLU": Row(nn.ReLU, (2, 3), ()),
    "Sigmoid": Row(nn.Sigmoid, (2, 3), ()),
    "ReLU inplace": Row(lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)), (4,), (3, 5)),
    "Sigmoid inplace": Row(lambda: nn.Sequential(nn.Linear(4, 4), nn.Sigmoid(inplace=True)), (4,), (3, 5)),
    "ReLU inplace, alone": Row(lambda: nn.ReLU(inplace=True), (4,), ()),
    "Tanh": Row(nn.Tanh, (4,), ()),
    "SoftPlus": Row(nn.SoftPlus, (4,), ()),
    "Clamp": Row(lambda: nn.Clamp(-1, 0.5), (4,), ()),
    "Clamp below": Row(lambda: nn.Clamp(low=-1), (4,), ()),
    "SpatialConvolution": Row(lambda: nn.SpatialConvolution(2, 3, 3, 3, padw=1, padh=1), (2, 5, 4), (3, 1, 5, 4)),
    "SpatialConvolution of strides": Row(lambda: nn.SpatialConvolution(1, 2, 3, 2, 2, 3, 2, 1), (1, 6, 7), (3, 6, 7)),
    "SpatialMaxPooling": Row(lambda: nn.SpatialMaxPooling(2, 2), (2, 5, 4), (3, 2, 1, 4)),
    "SpatialMaxPooling overlapping": Row(lambda: nn.SpatialMaxPooling(3, 2, 2, 1, 1, 1), (2, 4, 5), (3, 8)),
    "SpatialMaxPooling ceil": Row(lambda: nn.SpatialMaxPooling(2, 3, ceil_mode=True), (2, 5, 5), (3, 8)),
    "SpatialAveragePooling": Row(lambda: nn.SpatialAveragePooling(2, 2), (2, 5, 4), (3, 2, 1, 4)),
    "SpatialAveragePooling ceil": Row(lambda: nn.SpatialAveragePooling(3, 2, 2, 2, 1, 1, ceil_mode=True), (2, 4, 5),
                                      (3, 8)),
    "SpatialAveragePooling without padding": Row(
        lambda: nn.SpatialAveragePooling(3, 3, 2, 2, 1, 1, count_include_pad=False), (1, 5, 4), (3, 8)),
    "SpatialFullConvolution": Row(lambda: nn.SpatialFullConvolution(2, 3, 3, 2, 2, 1, 1, 0, 1, 0), (2, 3, 4),
                                  (3, 1, 3, 4)),
    "SpatialUpSamplingNearest": Row(lambda: nn.SpatialUpSamplingNearest(2), (2, 3, 2), (3, 12)),
    "BatchNormalization": Row(lambda: nn.BatchNormalization(4), (4,), (3, 5), excused=ONE_ROW),
    "BatchNormalization without weight": Row(lambda: nn.BatchNormalization(4, affine=False), (4,), (3, 5),
                                             excused=ONE_ROW),
    "BatchNormalization of planes": Row(lambda: nn.BatchNormalization(2), (2, 3, 4), (3, 3, 4)),
    "BatchNormalization in evaluation": Row(lambda: _evaluated(nn.BatchNormalization(4)), (4,), (3, 4, 5)),
    "BernoulliNoise": Row(lambda: nn.BernoulliNoise(0.4), (2, 3), (), low=0, high=1),
    "BernoulliNoise in evaluation": Row(lambda: _evaluated(nn.BernoulliNoise(0.4)), (4,), (), low=0, high=1),
    "GaussianNoise": Row(lambda: nn.GaussianNoise(0.5), (4,), ()),
    "GaussianKL": Row(lambda: nn.GaussianKL(), TABLE, (3, 4)),
    "GaussianKL beta": Row(lambda: nn.GaussianKL(beta=0.25), TABLE, (3, 4)),
    "GaussianKL free bits": Row(lambda: nn.GaussianKL(beta=0.5, free_bits=1.0), TABLE, (3, 4)),
    "BernoulliKL free bits": Row(lambda: nn.BernoulliKL(prior=0.3, free_bits=0.2), (4,), (3, 4, 1)),
    "CategoricalKL free bits": Row(lambda: nn.CategoricalKL(2, 3, free_bits=0.1), (2, 3), (3, 2, 4)),
    "BernoulliKL": Row(lambda: nn.BernoulliKL(), (4,), ()),
    "BernoulliKL prior": Row(lambda: nn.BernoulliKL(beta=2, prior=0.2), (4,), ()),
    "CategoricalKL": Row(lambda: nn.CategoricalKL(), (2, 3), (3, 6)),
    "CategoricalKL beta": Row(lambda: nn.CategoricalKL(beta=0.25, categories=3), (2, 3), (3, 2, 4)),
    "LearnedBernoulliKL": Row(lambda: _told(nn.LearnedBernoulliKL(4, beta=0.5)), (4,), (3, 5)),
    "LearnedCategoricalKL": Row(lambda: _told(nn.LearnedCategoricalKL(2, 3, beta=0.5)), (2, 3), (3, 2, 4)),
    "LearnedBernoulliKL free bits": Row(lambda: _told(nn.LearnedBernoulliKL(4, free_bits=0.3)), (4,), (3, 5)),
    "LearnedCategoricalKL free bits": Row(lambda: _told(nn.LearnedCategoricalKL(2, 3, free_bits=0.8)), (2, 3),
                                          (3, 2, 4)),
    "EnumeratedPrior that is learned": Row(lambda: nn.EnumeratedPrior(_told(nn.LearnedCategoricalKL(2, 3)), 6), (4,),
                                           (), excused={"wrong shape": "takes anything", **ALL_CODES}),
    "LogDensities that are learned": Row(lambda: _densities(nn.LogDensities, _told(nn.LearnedBernoulliKL(4))),
                                         ((4,), (4,)), (3, 4)),
    "LogDensities of categories that are learned": Row(
        lambda: _densities(nn.LogDensities, _told(nn.LearnedCategoricalKL(2, 3))), ((2, 3), (6,)), (3, 4)),
    "GaussianSampler": Row(lambda: nn.GaussianSampler(), TABLE, (3, 4)),
    "GaussianSampler L": Row(lambda: nn.GaussianSampler(samples=3), TABLE, (3, 4)),
    "BernoulliSampler": Row(lambda: nn.BernoulliSampler(0.7), (4,), (3, 4, 1)),
    "BernoulliSampler L": Row(lambda: nn.BernoulliSampler(2, samples=3), (4,), (3,)),
    "GumbelSoftmaxSampler": Row(lambda: nn.GumbelSoftmaxSampler(0.7), (2, 3), (3, 6)),
    "GumbelSoftmaxSampler L": Row(lambda: nn.GumbelSoftmaxSampler(2, samples=3), (2, 3), (3, 2)),
    "HardOneHot": Row(lambda: nn.HardOneHot(2), (4,), (3, 5)),
    "HardOneHot in evaluation": Row(lambda: _evaluated(nn.HardOneHot(2)), (4,), (3, 5), excused=ESTIMATOR),
    "HardOneHot straight through": Row(lambda: nn.HardOneHot(2, straight_through=True), (4,), (3, 2, 2),
                                       excused=ESTIMATOR),
    "HardBits": Row(nn.HardBits, (4,), (), low=0.1, high=0.9),
    "HardBits in evaluation": Row(lambda: _evaluated(nn.HardBits()), (4,), (), low=0.1, high=0.9, excused=ESTIMATOR),
    "HardBits straight through": Row(lambda: nn.HardBits(straight_through=True), (4,), (), low=0.1, high=0.9,
                                     excused=ESTIMATOR),
    "EnumeratedSampler": Row(nn.EnumeratedSampler, (3,), (3,), excused=ALL_CODES),
    "EnumeratedSampler of categories": Row(nn.EnumeratedSampler, (2, 3), (3, 2, 3, 1), excused=ALL_CODES),
    "EnumeratedPrior": Row(lambda: nn.EnumeratedPrior(nn.BernoulliKL(prior=0.2), 3), (4,), (), excused={
        "wrong shape": "takes anything", **ALL_CODES}),
    "LogDensities": Row(lambda: _densities(nn.LogDensities, nn.GaussianKL()), (TABLE, (4,)), (3, 4)),
    "LogDensities of bits": Row(lambda: _densities(nn.LogDensities, nn.BernoulliKL(prior=0.2)), ((4,), (4,)), (3, 4)),
    "ScoreFunction": Row(lambda: _densities(nn.ScoreFunction, nn.BernoulliKL()), ((4,), (4,)), (3, 4),
                         excused={"gradient": "z is drawn, and not a function of what comes in"}),
    "ScoreFunction of categories": Row(lambda: _densities(nn.ScoreFunction, nn.CategoricalKL(categories=3)),
                                       ((2, 3), (6,)), (3, 4), excused={"gradient": "as above"}),
    "LogDensities of categories": Row(lambda: _densities(nn.LogDensities, nn.CategoricalKL(categories=3)),
                                      ((2, 3), (6,)), (3, 4)),
    "DoublyReparameterized": Row(lambda: _densities(nn.DoublyReparameterized, nn.BernoulliKL()), ((4,), (4,)), (3, 4),
                                 excused={"gradient": "an estimator, which leaves a part out whose mean is nothing"}),
}
for _name, _row in ROWS.items():
    _row.name = _name

ABSTRACT = {"Module", "Container", "Sampler", "HardCode", "Divergence"}  # bases


def arrays(value):
    """The arrays of an array or a nested table, in order."""
    return [each for part in value for each in arrays(part)] if isinstance(value, tuple) else [value]


def copies(value):
    """Copies of all arrays, on the host."""
    return tuple(copies(part) for part in value) if isinstance(value, tuple) else np.array(backend.to_numpy(value))


def random_like(value, seed=2):
    """Random numbers in the current library, in the shape, or the table of shapes, of `value`."""
    random = np.random.default_rng(seed)
    def draw(part):
        if isinstance(part, tuple):
            return tuple(draw(each) for each in part)
        return backend.from_numpy(random.standard_normal(part.shape).astype(part.dtype))
    return draw(value)
