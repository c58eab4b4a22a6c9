"""Solution 12: the five pieces, repaired."""

import minivae as mv
from minivae import backend, nn


class Linear(nn.Linear):

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * (grad_output.T @ input)
        self.grad_bias += scale * grad_output.sum(axis=0)


class GaussianKL(nn.GaussianKL):

    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        self.grad_input = (grad_output[0] + self.beta * mean,
                           grad_output[1] + self.beta * 0.5 * (self.xp.exp(log_var) - 1))
        return self.grad_input


class GaussianSampler(nn.Sampler):

    def update_output(self, input):
        mean, log_var = input
        self.output = mean + self.xp.exp(0.5 * log_var) * self.draw(backend.standard_normal, mean.shape)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.copy(), grad_output * self.noise * 0.5 * self.xp.exp(0.5 * input[1])
        return self.grad_input


class BCEWithLogitsCriterion(nn.Criterion):

    def update_output(self, input, target):
        xp = self.xp
        self.output = float((xp.maximum(input, 0) - input * target + xp.log1p(xp.exp(-xp.abs(input)))).sum())
        return self.output

    def update_grad_input(self, input, target):
        self.grad_input = 0.5 + 0.5 * self.xp.tanh(0.5 * input) - target
        return self.grad_input


def feval(model, criterion, x):
    _, grads = model.get_parameters()
    model.zero_grad_parameters()
    prediction = model.forward(x)
    loss = criterion.forward(prediction, x) + mv.side_loss(model)
    model.backward(x, criterion.backward(prediction, x), need_grad_input=False)
    return loss, grads
