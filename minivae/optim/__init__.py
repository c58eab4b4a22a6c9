"""Optimisers in Torch7's form: x, loss = adam(feval, x, state), on the flat vector, in place."""

from minivae.optim.adam import adam
from minivae.optim.rmsprop import rmsprop
from minivae.optim.sgd import sgd
from minivae.optim.stochastic_gradient import stochastic_gradient
