"""minivae: a from-scratch engine for variational auto-encoders, on NumPy and CuPy."""

from minivae import backend, data, models, nn, optim
from minivae.backend import manual_seed
from minivae.checkpoint import load_model as load
from minivae.checkpoint import save_model as save
from minivae.debug.gradient_check import gradcheck, gradcheck_criterion
from minivae.debug.tracing import trace
from minivae.nn import side_loss

__version__ = "0.1.0"
