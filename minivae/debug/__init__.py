"""Tools to look into a model: gradient and distribution checks, traces, profiles."""

from minivae.debug.gradient_check import gradcheck, gradcheck_criterion
from minivae.debug.noise_check import check_noise
from minivae.debug.sampler_check import check_sampler
from minivae.debug.tracing import trace
from minivae.debug.estimator_report import estimator_report
from minivae.debug.signal_to_noise import signal_to_noise
from minivae.debug.jacobian import jacobian_backward, jacobian_forward
