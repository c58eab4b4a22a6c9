"""The likelihoods p(x|z) of a decoder: the criterion of each, and the mean that pictures show."""

from typing import Literal

from minivae import nn
from minivae.nn.continuous_bernoulli_criterion import mean as continuous_bernoulli_mean
from minivae.nn.sigmoid import sigmoid

Likelihood = Literal["bernoulli", "continuous_bernoulli", "gaussian", "identity_gaussian"]
CRITERIONS: dict[Likelihood, type[nn.Criterion]] = {
    "bernoulli": nn.BCEWithLogitsCriterion,
    "continuous_bernoulli": nn.ContinuousBernoulliCriterion,
    "gaussian": nn.GaussianNLLCriterion,
    "identity_gaussian": nn.GaussianNLLCriterion,
}
MEANS = {"bernoulli": sigmoid, "continuous_bernoulli": continuous_bernoulli_mean}  # of logits; others give the mean
