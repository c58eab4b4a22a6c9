"""The matrix of all derivatives, by backward passes and by finite differences (torch/nn Jacobian)."""

import numpy as np

from minivae.nn import Module


def jacobian_backward(module: Module, input: np.ndarray) -> np.ndarray:
    """∂output/∂input as `update_grad_input` has it: (input size, output size) (torch/nn Jacobian.backward)."""
    output = np.array(module.forward(input))
    jacobian = np.zeros((input.size, output.size))
    for k in range(output.size):
        grad_output = np.zeros(output.size, output.dtype)
        grad_output[k] = 1
        jacobian[:, k] = module.update_grad_input(input, grad_output.reshape(output.shape)).reshape(-1)
    return jacobian


def jacobian_forward(module: Module, input: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """∂output/∂input by central differences: (input size, output size) (torch/nn Jacobian.forward).

    Use a module in double precision, and hold its noise; both Jacobians are of one input and output array.
    """
    moved = np.array(input)
    jacobian = np.zeros((input.size, np.array(module.forward(moved)).size))
    for row, index in zip(jacobian, np.ndindex(moved.shape)):
        kept = moved[index]
        moved[index] = kept + step
        above = np.array(module.forward(moved)).reshape(-1)
        moved[index] = kept - step
        below = np.array(module.forward(moved)).reshape(-1)
        moved[index] = kept
        row[:] = (above - below) / (2 * step)
    return jacobian
