"""Solution 13."""

import importlib.util
from pathlib import Path

import minivae as mv
from minivae import nn


def mine(exercise, name):
    path = Path(__file__).with_name(f"{exercise}.py")
    spec = importlib.util.spec_from_file_location(exercise, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def build(pixels, hidden, code, p=0):
    Linear, ReLU = mine("03_linear_backward", "Linear"), mine("01_relu", "ReLU")
    noise = [mine("08_bernoulli_noise", "BernoulliNoise")(p)] if p else []
    return nn.Sequential(
        *noise, Linear(pixels, hidden), ReLU(), nn.ConcatTable(Linear(hidden, code), Linear(hidden, code)),
        mine("05_gaussian_kl", "GaussianKL")(), mine("06_gaussian_sampler", "GaussianSampler")(),
        Linear(code, hidden), ReLU(), Linear(hidden, pixels))


def criterion():
    return mine("09_bce_from_logits", "BCEWithLogitsCriterion")()


def train_step(model, loss, x, parameters, grads, state):
    def feval(_):
        model.zero_grad_parameters()
        prediction = model.forward(x)
        value = loss.forward(prediction, x) + mv.side_loss(model)
        model.backward(x, loss.backward(prediction, x), need_grad_input=False)
        return value / len(x), grads

    return mine("10_adam", "adam")(feval, parameters, state)[1]
