"""The layers, in the order to read them: the contract, containers, plain layers, random layers, losses.

The examples in this package take for granted `np`, `mv` and `nn`: NumPy, minivae and minivae.nn.
"""

from minivae.nn.module import Module
from minivae.nn.container import Container
from minivae.nn.sequential import Sequential
from minivae.nn.concat_table import ConcatTable
from minivae.nn.parallel_table import ParallelTable

from minivae.nn.identity import Identity
from minivae.nn.view import View
from minivae.nn.linear import Linear
from minivae.nn.tied_linear import TiedLinear
from minivae.nn.relu import ReLU
from minivae.nn.sigmoid import Sigmoid
from minivae.nn.tanh import Tanh
from minivae.nn.soft_plus import SoftPlus
from minivae.nn.clamp import Clamp

from minivae.nn.spatial_convolution import SpatialConvolution
from minivae.nn.spatial_full_convolution import SpatialFullConvolution
from minivae.nn.spatial_max_pooling import SpatialMaxPooling
from minivae.nn.spatial_average_pooling import SpatialAveragePooling
from minivae.nn.spatial_up_sampling_nearest import SpatialUpSamplingNearest
from minivae.nn.batch_normalization import BatchNormalization

from minivae.nn.bernoulli_noise import BernoulliNoise
from minivae.nn.gaussian_noise import GaussianNoise

from minivae.nn.label import Label
from minivae.nn.keep_label import KeepLabel
from minivae.nn.append_label import AppendLabel

from minivae.nn.latent import Latent
from minivae.nn.gaussian_latent import GaussianLatent
from minivae.nn.bernoulli_latent import BernoulliLatent
from minivae.nn.categorical_latent import CategoricalLatent
from minivae.nn.divergence import Divergence, side_loss
from minivae.nn.gaussian_kl import GaussianKL
from minivae.nn.bernoulli_kl import BernoulliKL
from minivae.nn.categorical_kl import CategoricalKL
from minivae.nn.learned_bernoulli_kl import LearnedBernoulliKL
from minivae.nn.learned_categorical_latent import LearnedCategoricalLatent
from minivae.nn.learned_categorical_kl import LearnedCategoricalKL

from minivae.nn.sampler import Sampler
from minivae.nn.gaussian_sampler import GaussianSampler
from minivae.nn.bernoulli_sampler import BernoulliSampler
from minivae.nn.hard_code import HardCode
from minivae.nn.hard_bits import HardBits
from minivae.nn.gumbel_softmax_sampler import GumbelSoftmaxSampler
from minivae.nn.hard_one_hot import HardOneHot
from minivae.nn.enumerated_sampler import MOST_CODES, EnumeratedSampler
from minivae.nn.enumerated_prior import EnumeratedPrior
from minivae.nn.log_densities import LogDensities
from minivae.nn.doubly_reparameterized import DoublyReparameterized
from minivae.nn.score_function import ScoreFunction

from minivae.nn.criterion import Criterion
from minivae.nn.bce_criterion import BCECriterion
from minivae.nn.bce_with_logits_criterion import BCEWithLogitsCriterion
from minivae.nn.continuous_bernoulli_criterion import ContinuousBernoulliCriterion
from minivae.nn.gaussian_nll_criterion import GaussianNLLCriterion
from minivae.nn.mse_criterion import MSECriterion
from minivae.nn.abs_criterion import AbsCriterion
from minivae.nn.wrapping_criterion import WrappingCriterion
from minivae.nn.score_function_criterion import ScoreFunctionCriterion
from minivae.nn.expected_criterion import ExpectedCriterion
from minivae.nn.likelihood_criterion import LikelihoodCriterion
from minivae.nn.importance_weighted_criterion import ImportanceWeightedCriterion
