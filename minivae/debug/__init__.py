"""What a student looks with."""

from minivae.debug.gradient_check import gradcheck, gradcheck_criterion, jacobian_backward, jacobian_forward
