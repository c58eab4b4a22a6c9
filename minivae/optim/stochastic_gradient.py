"""Plain gradient descent on pairs of inputs and targets (torch/nn StochasticGradient)."""

from collections.abc import Sequence
from typing import Any

from minivae import backend
from minivae.errors import OptionError, instance, real_number, several, truth, whole_number
from minivae.nn.criterion import Criterion
from minivae.nn.module import Module


def stochastic_gradient(model: Module, criterion: Criterion, pairs: Sequence[tuple[Any, Any]],
                        learning_rate: float = 0.01, learning_rate_decay: float = 0.0, epochs: int = 25,
                        shuffle: bool = True) -> list[float]:
    """Train a model on batches in place; returns the mean loss of each epoch.

        pairs    [(input, target), ...], of one batch each, taken in a new order in each epoch if `shuffle`

    With η = learning_rate / (1 + (epoch − 1) · decay), after each batch:

        w ← w − η ∂L/∂w

    The shortest loop there is, for a model with a criterion and nothing beside it: what a divergence adds to the
    gradient is in it, and is not in the loss that is returned.  `training.train` is the one for a VAE.
    """
    instance("stochastic_gradient", "model", model, Module)
    instance("stochastic_gradient", "criterion", criterion, Criterion)
    rate = real_number("stochastic_gradient", "learning_rate", learning_rate, "is a number from 0", least=0)
    decay = real_number("stochastic_gradient", "learning_rate_decay", learning_rate_decay, "is a number from 0",
                        least=0)
    shuffle = truth("stochastic_gradient", "shuffle", shuffle)
    if not (hasattr(pairs, "__len__") and hasattr(pairs, "__getitem__")):  # a data set may make each when it is asked
        pairs = several("stochastic_gradient", "pairs", pairs, "is a list of (input, target)")
    if len(pairs) == 0:
        raise OptionError("stochastic_gradient: there are no pairs of inputs and targets")
    model.training()
    losses = []
    for epoch in range(whole_number("stochastic_gradient", "epochs", epochs, least=0)):
        order = backend.host_generator().permutation(len(pairs)).tolist() if shuffle else range(len(pairs))
        total = 0.0
        for number in order:
            input, target = pairs[number]
            model.zero_grad_parameters()
            prediction = model.forward(input)
            total += float(criterion.forward(prediction, target))
            model.backward(input, criterion.backward(prediction, target), need_grad_input=False)
            model.update_parameters(rate / (1 + epoch * decay))
        losses.append(total / len(pairs))
    return losses
