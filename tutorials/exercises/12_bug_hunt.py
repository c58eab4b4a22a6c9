"""Exercise 12: five mistakes.  After tutorial 09.

Here are the parts of a small VAE: a layer, a divergence, a sampler, a criterion, and the function
that Adam asks for the loss and its gradient.  Each of the five holds one mistake, which may stand
in more than one of its lines: a wrong forward pass can have a backward pass that fits it.
Everything runs.  Find and repair them; the check says only how many are left, and trains the model
once all are repaired.  The docstrings are right, for any logits that a float32 can hold.

Check it: python tutorials/exercises/12_bug_hunt.py      A hint: add --hint 1, 2 or 3
"""

import numpy as np
from checks import check, draws_right, expect, gradients, normal, same

import minivae as mv
from minivae import backend, nn, optim
from minivae.data import Batches, rectangles
from minivae.debug import check_sampler


class Linear(nn.Linear):
    """y = x Wᵀ + b;  ∂L/∂W += scale Gᵀ x,  ∂L/∂b += scale Σₙ Gₙ"""

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight[...] = scale * (grad_output.T @ input)
        self.grad_bias[...] = scale * grad_output.sum(axis=0)


class GaussianKL(nn.GaussianKL):
    """KL = ½ Σ (mean² + e^log_var − 1 − log_var);  its gradient is added on the way back."""

    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        self.grad_input = (grad_output[0] + self.beta * mean,
                           grad_output[1] + self.beta * (0.5 * self.xp.exp(log_var) - 1))
        return self.grad_input


class GaussianSampler(nn.Sampler):
    """z = mean + σ ε, ε from N(0, 1), of variance σ² = e^log_var;  one draw a row"""

    def update_output(self, input):
        mean, log_var = input
        self.output = mean + self.xp.exp(log_var) * self.draw(backend.standard_normal, mean.shape)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.copy(), grad_output * self.noise * self.xp.exp(input[1])
        return self.grad_input


class BCEWithLogitsCriterion(nn.Criterion):
    """L = −Σ [x ln σ(a) + (1 − x) ln(1 − σ(a))];  ∂L/∂a = σ(a) − x"""

    def update_output(self, input, target):
        p = 1 / (1 + self.xp.exp(-input))
        self.output = -float((target * self.xp.log(p) + (1 - target) * self.xp.log(1 - p)).sum())
        return self.output

    def update_grad_input(self, input, target):
        self.grad_input = 0.5 + 0.5 * self.xp.tanh(0.5 * input) - target
        return self.grad_input


def feval(model, criterion, x):
    """(loss of the batch x, its gradient by the flat parameters).

    The loss is reconstruction + divergence, in nats.
    """
    _, grads = model.get_parameters()
    prediction = model.forward(x)
    loss = criterion.forward(prediction, x) + mv.side_loss(model)
    model.backward(x, criterion.backward(prediction, x), need_grad_input=False)
    return loss, grads


def conditions(test):
    test.quiet = True
    table = normal(4, 3), normal(4, 3, seed=2)

    def sampler():
        gradients(GaussianSampler(), table)
        draws_right(check_sampler(GaussianSampler(), "gaussian", changes=False))

    def criterion():
        a = normal(4, 6)
        x = np.random.default_rng(0).random((4, 6)).astype(np.float32)
        report = mv.gradcheck_criterion(BCEWithLogitsCriterion(), a, x, changes=False)
        expect(report.ok, "gradients")
        far = np.array([[-1, -1, 1, 1]], dtype=np.float32)
        ends = np.array([[0, 1, 0, 1]], dtype=np.float32)
        for size in (100, 1e30):
            loss = BCEWithLogitsCriterion().forward(size * far, ends)
            same("the loss", loss / size, 2)

    def asked_twice():  # with minivae's own parts, so that each of the five counts once
        model = mv.models.vae(image=(1, 4, 4), hidden=5)
        x = rectangles(6, 4, 4, sides=(2, 2)).astype(np.float32)
        model.get_parameters()[1].fill(0.1)  # what an earlier step may have left
        loss, grads = feval(model, model.criterion(), x)
        loss, grads = float(loss), np.array(grads)
        model.hold_noise()  # of that call
        first = [np.array(each) for each in feval(model, model.criterion(), x)]
        second = feval(model, model.criterion(), x)
        same("the loss", first[0], loss)
        same("the gradient", first[1], grads)
        same("the loss", second[0], first[0])
        reconstruction = model.criterion().forward(model.forward(x), x)
        same("the loss", first[0], reconstruction + mv.side_loss(model))
        same("the gradient", second[1], first[1])

    def trains():
        heads = nn.ConcatTable(Linear(64, 4), Linear(64, 4))
        encoder = nn.Sequential(nn.View(64), Linear(64, 64), nn.Tanh(), heads)
        decoder = nn.Sequential(Linear(4, 64), nn.Tanh(), Linear(64, 64), nn.View(1, 8, 8))
        model = nn.Sequential(encoder, GaussianKL(), GaussianSampler(), decoder)
        criterion = BCEWithLogitsCriterion()
        batches = Batches(rectangles(1000, 8, 8, sides=(3, 3)), 32)
        state = {"learning_rate": 0.005}
        losses = []
        x, _ = model.get_parameters()
        for _ in range(600):
            batch = batches.next()
            _, loss = optim.adam(lambda _, batch=batch: feval(model, criterion, batch), x, state)
            losses.append(loss / len(batch))
        expect(np.mean(losses[-50:]) < 0.5 * np.mean(losses[:10]), "it does not learn")

    test.that("Linear", lambda: gradients(Linear(4, 3), normal(5, 4)))
    test.that("GaussianKL", lambda: [gradients(GaussianKL(beta), table) for beta in (1, 0.5)])
    test.that("GaussianSampler", sampler)
    test.that("BCEWithLogitsCriterion", criterion)
    test.that("feval", asked_twice)
    if test.passed == test.count:
        test.quiet = False
        test.that("the repaired VAE learns", trains)


if __name__ == "__main__":
    check(conditions)
