"""Models, criterions, divergences and optimisers against PyTorch in float64, where its autograd derives the gradients.

Each model is written a second time here with PyTorch's own operations, gets the same weights and the same noise, and
must agree on every number: output, losses, each gradient, and the weights after ten steps of Adam.
"""

from math import sqrt

import numpy as np
import pytest

import minivae as mv
from minivae import nn
from minivae.models import aevb, bernoulli_vae, categorical_vae, conv_vae, denoising_vae, vae
from minivae.optim import adam, rmsprop, sgd

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0 runs this comparison")
F = torch.nn.functional
Normal, Bernoulli, Categorical, ContinuousBernoulli = (
    getattr(torch.distributions, each) for each in ("Normal", "Bernoulli", "Categorical", "ContinuousBernoulli"))

TOLERANCE = 1e-10  # ‖a − b‖ / ‖b‖ of one array
BATCH = 4
SMALL = {"hidden": 16, "image": (1, 6, 5), "samples": 3, "beta": 0.7}

CASES = [
    pytest.param(vae, {}, id="vae"),
    pytest.param(denoising_vae, {}, id="denoising"),
    pytest.param(bernoulli_vae, {}, id="bernoulli"),
    pytest.param(categorical_vae, {}, id="categorical"),
    *(pytest.param(aevb, {"likelihood": each, "samples": 5, "image": (28, 28)}, id=f"aevb-{each}")
      for each in ("bernoulli", "gaussian", "identity_gaussian")),
    pytest.param(aevb, {"likelihood": "gaussian", "log_var_floor": None, "image": (6, 5)}, id="aevb-without-floor"),
    pytest.param(conv_vae, {}, id="conv"),
    pytest.param(conv_vae, {"image": (3, 8, 12), "planes": (4, 5), "samples": 3, "beta": 0.7}, id="conv-3-samples"),
    pytest.param(vae, SMALL, id="vae-3-samples"),
    pytest.param(denoising_vae, {**SMALL, "p": 0.3}, id="denoising-3-samples"),
    pytest.param(bernoulli_vae, {**SMALL, "code": 7, "temperature": 0.5}, id="bernoulli-3-samples"),
    pytest.param(categorical_vae, {**SMALL, "code": 7, "categories": 5, "temperature": 0.5},
                 id="categorical-3-samples"),
]


def tensor(array, requires_grad=False):
    return torch.tensor(np.array(array), requires_grad=requires_grad)  # a copy: no memory in common


def disagreements(pairs):
    """{name: relative error} of the (minivae's, PyTorch's) pairs that differ by more than the tolerance."""
    found = {}
    for name, (mine, theirs) in pairs.items():
        if isinstance(mine, tuple):
            found |= disagreements({f"{name} {i}": pair for i, pair in enumerate(zip(mine, theirs, strict=True))})
            continue
        mine, theirs = np.asarray(mine), theirs.detach().numpy()
        assert mine.shape == theirs.shape, name
        error = np.linalg.norm(mine - theirs) / np.linalg.norm(theirs)
        if not error <= TOLERANCE:  # NaN is a disagreement too
            found[name] = error
    return found


# -- the models, written with PyTorch -------------------------------------------------------------


def mlp(x, weights):
    """Linear layers with ReLU between, from [weight, bias, weight, bias, …]."""
    for k in range(0, len(weights), 2):
        x = F.linear(torch.relu(x) if k else x, weights[k], weights[k + 1])
    return x


def gaussian_code(h, weights, noise, samples):
    """Heads for mean and log-variance, the last four weights -> (code, KL)."""
    h = torch.relu(mlp(h, weights[:-4])) if weights[:-4] else h
    mean, log_var = F.linear(h, *weights[-4:-2]), F.linear(h, *weights[-2:])
    kl = torch.distributions.kl_divergence(Normal(mean, torch.exp(log_var / 2)), Normal(0.0, 1.0)).sum()
    std = torch.exp(log_var / 2)
    return mean.repeat_interleave(samples, 0) + std.repeat_interleave(samples, 0) * noise, kl


def binary_code(h, weights, noise, samples, temperature):
    """Logits -> (relaxed bits, KL from fair coins)."""
    logits = mlp(h, weights)
    p = torch.sigmoid(logits)
    kl = (p * torch.log(2 * p) + (1 - p) * torch.log(2 * (1 - p))).sum()
    return torch.sigmoid((logits.repeat_interleave(samples, 0) + torch.logit(noise)) / temperature), kl


def categorical_code(h, weights, noise, samples, temperature, categories):
    """Logits -> (relaxed one-hot vectors, KL from the uniform distribution)."""
    logits = mlp(h, weights).reshape(len(h), -1, categories)
    uniform = Categorical(logits=torch.zeros_like(logits))
    kl = torch.distributions.kl_divergence(Categorical(logits=logits), uniform).sum()
    gumbel = -torch.log(-torch.log(noise)).reshape(-1, *logits.shape[1:])
    z = torch.softmax((logits.repeat_interleave(samples, 0) + gumbel) / temperature, dim=-1)
    return z.flatten(1), kl


def plain_pytorch(make, options, weights, x, noise):
    """(logits, reconstruction, KL, total): one training step's forward pass, the target held constant."""
    samples, h, depth = options.get("samples", 1), x.flatten(1), len(options.get("planes", (8, 16, 32)))
    if make is aevb:
        return plain_aevb(options, weights, x, noise[0], samples)
    if make is conv_vae:
        h = x
        for k in range(0, 2 * depth, 2):
            h = F.max_pool2d(torch.relu(F.conv2d(h, *weights[k:k + 2], padding=1)), 2)
        z, kl = gaussian_code(h.flatten(1), weights[2 * depth:2 * depth + 4], noise[-1], samples)
        z = torch.relu(F.linear(z, *weights[2 * depth + 4:2 * depth + 6])).reshape(-1, *h.shape[1:])
        for k in range(2 * depth + 6, len(weights), 2):
            z = torch.relu(z) if k > 2 * depth + 6 else z
            z = F.conv2d(F.interpolate(z, scale_factor=2), *weights[k:k + 2], padding=1)
        return losses(z, x, kl, options)
    if make is denoising_vae:
        h = torch.where(noise[0] < options.get("p", 0.1), 1 - h, h)
    if make is bernoulli_vae:
        z, kl = binary_code(h, weights[:6], noise[-1], samples, options.get("temperature", 1))
    elif make is categorical_vae:
        z, kl = categorical_code(h, weights[:6], noise[-1], samples, options.get("temperature", 1),
                                 options.get("categories", 10))
    else:
        z, kl = gaussian_code(h, weights[:8], noise[-1], samples)
    return losses(mlp(z, weights[-6:]).reshape(-1, *x.shape[1:]), x, kl, options)


def losses(logits, x, kl, options):
    samples = options.get("samples", 1)
    target = x.detach().repeat_interleave(samples, 0)
    reconstruction = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / samples
    return logits, reconstruction, kl, reconstruction + options.get("beta", 1) * kl


def plain_aevb(options, weights, x, noise, samples):
    """The article's three decoders; log-densities from PyTorch's distributions."""
    z, kl = gaussian_code(x.flatten(1), weights[:6], noise, samples)
    h = torch.relu(F.linear(z, *weights[6:8]))
    output = mean = F.linear(h, *weights[8:10]).reshape(-1, *x.shape[1:])
    if options["likelihood"] == "bernoulli":
        p = Bernoulli(logits=mean, validate_args=False)
    elif options["likelihood"] == "identity_gaussian":
        p = Normal(mean, torch.ones_like(mean))
    else:
        log_var = F.linear(h, *weights[10:12]).reshape(mean.shape)
        floor = options.get("log_var_floor", -6)
        log_var = log_var if floor is None else torch.clamp(log_var, min=floor)
        p, output = Normal(mean, torch.exp(log_var / 2)), (mean, log_var)
    reconstruction = -p.log_prob(x.detach().repeat_interleave(samples, 0)).sum() / samples
    return output, reconstruction, kl, reconstruction + kl


class Twins:
    """A minivae model with held noise, a batch, and PyTorch's copies of weights, batch and noise."""

    def __init__(self, make, options):
        self.make, self.options = make, options
        self.model = make(**options).double().hold_noise()
        self.flat, self.flat_grad = self.model.get_parameters()
        image = options.get("image", (1, 24, 24))
        # Grey: where patches of bits repeat, maxima of pooled windows are ties, and rounding decides between them.
        self.x = np.random.default_rng(1).random((BATCH, *image))
        self.model.forward(self.x)  # draws the noise that is held from here on
        self.noise = [tensor(layer.noise) for layer in self.model.list_modules() if layer.noise is not None]
        self.weights = [tensor(array, requires_grad=True) for array in self.model.parameters()[0]]
        self.paths = [path for path, _, _ in self.model.named_parameters()]

    def minivae_step(self, need_grad_input=True):
        """(output, reconstruction, KL, total, gradient by the input); the parameters' are left in the model."""
        model, criterion = self.model, self.model.criterion()
        model.zero_grad_parameters()
        output = model.forward(self.x)
        reconstruction = criterion.forward(output, self.x)
        grad_input = model.backward(self.x, criterion.backward(output, self.x), need_grad_input=need_grad_input)
        return output, reconstruction, model.kl.divergence, reconstruction + mv.side_loss(model), grad_input

    def pytorch_step(self, x):
        return plain_pytorch(self.make, self.options, self.weights, x, self.noise)


def test_the_articles_sizes_are_the_ones_compared():
    sizes = [[each.weight.shape for each in make().find_modules(nn.Linear)] for make in (vae, denoising_vae)]
    assert sizes[0] == sizes[1] == [(1152, 576), (1152, 1152), (2, 1152), (2, 1152),
                                    (1152, 2), (1152, 1152), (576, 1152)]
    assert [each.weight.shape for each in bernoulli_vae().find_modules(nn.Linear)] == [
        (1152, 576), (1152, 1152), (50, 1152), (1152, 50), (1152, 1152), (576, 1152)]
    assert [each.weight.shape for each in aevb().find_modules(nn.Linear)] == [
        (400, 784), (20, 400), (20, 400), (400, 20), (784, 400)]


@pytest.mark.parametrize(("make", "options"), CASES)
def test_output_losses_and_every_gradient(make, options):
    twins = Twins(make, options)
    output, reconstruction, kl, total, grad_input = twins.minivae_step()
    x = tensor(twins.x, requires_grad=True)
    theirs = twins.pytorch_step(x)
    theirs[-1].backward()
    pairs = dict(zip(("output", "reconstruction", "KL", "total"), zip((output, reconstruction, kl, total), theirs)))
    pairs["gradient by the input"] = grad_input, x.grad
    grads = twins.model.parameters()[1]
    pairs |= {path: (grad, w.grad) for path, grad, w in zip(twins.paths, grads, twins.weights, strict=True)}
    assert disagreements(pairs) == {}
    assert len(pairs) == 5 + len(twins.weights)


@pytest.mark.parametrize(("make", "options"), CASES)
def test_ten_steps_of_adam(make, options):
    """PyTorch adds ε to the corrected √v; ε / √(1 − β₂ᵗ) there is Torch7's ε."""
    twins = Twins(make, options)
    rate, slower = 1e-3, 0.1
    state = {"learning_rate": rate, "learning_rate_decay": slower}
    theirs = torch.optim.Adam(twins.weights, lr=rate)
    x = tensor(twins.x)

    def feval(flat):
        return twins.minivae_step(need_grad_input=False)[3], twins.flat_grad

    for t in range(1, 11):
        adam(feval, twins.flat, state)
        theirs.param_groups[0]["eps"] = 1e-8 / sqrt(1 - 0.999**t)
        theirs.param_groups[0]["lr"] = rate / (1 + (t - 1) * slower)
        theirs.zero_grad()
        twins.pytorch_step(x)[-1].backward()
        theirs.step()
    mine = twins.model.parameters()[0]
    assert disagreements({path: pair for path, *pair in zip(twins.paths, mine, twins.weights, strict=True)}) == {}
    assert twins.flat.size == sum(w.numel() for w in twins.weights)


# -- the parts ------------------------------------------------------------------------------------


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def unit(seed, *shape):
    return np.random.default_rng(seed).uniform(0.01, 0.99, shape)


def gaussian_nll(mean, log_var, x):
    return -Normal(mean, torch.exp(log_var / 2)).log_prob(x).sum()


WEIGHTS = np.array([0.5, 2, 0, 1, 3])


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(("criterion", "prediction", "theirs"), [
    (nn.BCECriterion, (unit(1, 12, 5),), lambda p, x: F.binary_cross_entropy(p, x, reduction="sum")),
    (nn.BCEWithLogitsCriterion, (5 * normal(1, 12, 5),),
     lambda a, x: F.binary_cross_entropy_with_logits(a, x, reduction="sum")),
    (nn.ContinuousBernoulliCriterion, (5 * normal(1, 12, 5),),
     lambda a, x: -ContinuousBernoulli(logits=a, lims=(0.4999, 0.5001)).log_prob(x).sum()),
    (nn.GaussianNLLCriterion, (normal(1, 12, 5),), lambda mean, x: gaussian_nll(mean, torch.zeros_like(mean), x)),
    (nn.GaussianNLLCriterion, (normal(1, 12, 5), normal(2, 12, 5)), gaussian_nll),
    (lambda samples: nn.BCECriterion(samples=samples, weights=WEIGHTS), (unit(1, 12, 5),),
     lambda p, x: F.binary_cross_entropy(p, x, tensor(WEIGHTS), reduction="sum")),
    (nn.MSECriterion, (normal(1, 12, 5),), lambda y, x: F.mse_loss(y, x, reduction="sum")),
    (nn.AbsCriterion, (normal(1, 12, 5),), lambda y, x: F.l1_loss(y, x, reduction="sum")),
], ids=["BCE", "BCEWithLogits", "ContinuousBernoulli", "GaussianNLL of a mean", "GaussianNLL of mean and log_var",
        "BCE with weights", "MSE", "Abs"])
def test_criterion(criterion, prediction, theirs, samples):
    mine, x = criterion(samples=samples).double(), unit(3, 12 // samples, 5)
    given = prediction if len(prediction) > 1 else prediction[0]
    inputs = [tensor(each, requires_grad=True) for each in prediction]
    loss = theirs(*inputs, tensor(x).repeat_interleave(samples, 0)) / samples
    loss.backward()
    value, grads = mine.forward(given, x), mine.backward(given, x)
    grads = grads if isinstance(grads, tuple) else (grads,)
    assert disagreements({"loss": (value, loss)}) == {}
    assert disagreements({i: (g, each.grad) for i, (g, each) in enumerate(zip(grads, inputs, strict=True))}) == {}


@pytest.mark.parametrize(("layer", "parameters", "q", "p"), [
    (nn.GaussianKL(beta=0.7), (normal(1, 4, 3), normal(2, 4, 3)),
     lambda mean, log_var: Normal(mean, torch.exp(log_var / 2)), Normal(0.0, 1.0)),
    (nn.BernoulliKL(beta=0.7), (4 * normal(1, 4, 3),), lambda a: Bernoulli(logits=a), 0.5),
    (nn.BernoulliKL(beta=0.7, prior=0.2), (4 * normal(1, 4, 3),), lambda a: Bernoulli(logits=a), 0.2),
], ids=["GaussianKL", "BernoulliKL", "BernoulliKL(prior=0.2)"])
def test_divergence(layer, parameters, q, p):
    layer = layer.clone().double()
    given = parameters if len(parameters) > 1 else parameters[0]
    inputs = [tensor(each, requires_grad=True) for each in parameters]
    prior = Bernoulli(torch.tensor(p, dtype=torch.float64)) if isinstance(p, float) else p
    divergence = torch.distributions.kl_divergence(q(*inputs), prior)
    (0.7 * divergence.sum()).backward()
    layer.forward(given)
    zeros = [np.zeros_like(each) for each in parameters]
    grads = layer.backward(given, tuple(zeros) if len(zeros) > 1 else zeros[0])
    grads = grads if isinstance(grads, tuple) else (grads,)
    z = layer.latent.sample_prior(12, 3)
    log_q = q(*(each[:, None] for each in inputs)).log_prob(tensor(z).reshape(4, 3, 3)).sum(-1).reshape(-1)
    assert disagreements({
        "sum": (layer.divergence, divergence.sum()), "loss": (layer.loss, 0.7 * divergence.sum()),
        "rows": (layer.rows(given), divergence.sum(1)), "units": (layer.units(given), divergence),
        "log q": (layer.latent.log_posterior(given, z), log_q),
        "log p": (layer.latent.log_prior(z), prior.log_prob(tensor(z)).sum(1)),
        "mean": (layer.latent.expected(given), q(*inputs).mean)}) == {}
    assert disagreements({i: (g, each.grad) for i, (g, each) in enumerate(zip(grads, inputs, strict=True))}) == {}


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_relaxed_categories(temperature, monkeypatch):
    """RelaxedOneHotCategorical draws the same y from the same u, and its gradient is the same."""
    layer = nn.GumbelSoftmaxSampler(temperature).double().hold_noise()
    logits, g = 2 * normal(1, 6, 4, 5), normal(2, 6, 20)
    y = layer.forward(logits)
    a = tensor(logits, requires_grad=True)
    q = torch.distributions.RelaxedOneHotCategorical(torch.tensor(temperature, dtype=torch.float64), logits=a)
    u = tensor(layer.noise).reshape(6, 4, 5)
    monkeypatch.setattr(torch.distributions.utils, "clamp_probs", lambda probabilities: probabilities)
    monkeypatch.setattr(torch, "rand", lambda shape, **options: u.reshape(shape))
    theirs = q.rsample().flatten(1)
    (theirs * tensor(g)).sum().backward()
    assert disagreements({"y": (y, theirs), "gradient": (layer.backward(logits, g), a.grad)}) == {}


def test_categorical_divergence():
    layer, logits = nn.CategoricalKL(beta=0.7, categories=5).double(), 3 * normal(1, 4, 3, 5)
    a = tensor(logits, requires_grad=True)
    q, prior = Categorical(logits=a), Categorical(logits=torch.zeros(5, dtype=torch.float64))
    divergence = torch.distributions.kl_divergence(q, prior)
    (0.7 * divergence.sum()).backward()
    layer.forward(logits)
    z = layer.latent.sample_prior(12, 15)
    category = tensor(z).reshape(4, 3, 3, 5).argmax(-1)
    one_hot = torch.distributions.OneHotCategorical(logits=a[:, None])
    assert disagreements({
        "sum": (layer.divergence, divergence.sum()), "loss": (layer.loss, 0.7 * divergence.sum()),
        "rows": (layer.rows(logits), divergence.sum(1)), "units": (layer.units(logits), divergence),
        "log q": (layer.latent.log_posterior(logits, z),
                  one_hot.log_prob(tensor(z).reshape(4, 3, 3, 5)).sum(-1).reshape(-1)),
        "log p": (layer.latent.log_prior(z), prior.log_prob(category).sum(-1).reshape(-1)),
        "mean": (layer.latent.expected(logits), q.probs.flatten(1)),
        "gradient": (layer.backward(logits, 0 * logits), a.grad)}) == {}


@pytest.mark.parametrize("options", [
    {}, {"weight_decay": 0.1}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.5, "weight_decay": 0.1},
    {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}], ids=str)
def test_ten_steps_of_sgd(options):
    x, curvature = normal(1, 6), np.arange(1.0, 7.0)
    w = tensor(x, requires_grad=True)
    theirs = torch.optim.SGD([w], lr=0.05, **options)
    state = {"learning_rate": 0.05, **options}
    for _ in range(10):
        sgd(lambda x: (0.0, curvature * x**3), x, state)
        theirs.zero_grad()
        (tensor(curvature) * w**4 / 4).sum().backward()
        theirs.step()
    assert disagreements({"x": (x, w)}) == {}


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1}, {"alpha": 0.8, "epsilon": 0.1}], ids=str)
def test_ten_steps_of_rmsprop(options):
    x, curvature = normal(1, 6), np.arange(1.0, 7.0)
    w = tensor(x, requires_grad=True)
    names = {"epsilon": "eps"}
    theirs = torch.optim.RMSprop([w], lr=0.05, **{names.get(key, key): value for key, value in options.items()})
    state = {"learning_rate": 0.05, **options}
    for _ in range(10):
        rmsprop(lambda x: (0.0, curvature * x**3), x, state)
        theirs.zero_grad()
        (tensor(curvature) * w**4 / 4).sum().backward()
        theirs.step()
    assert disagreements({"x": (x, w), "m": (state["m"], theirs.state[w]["square_avg"])}) == {}
