"""Every formula that any layer, criterion, optimiser or the data run, with what it is called with."""

import importlib

import numpy as np
import pytest
from layers import ROWS, copies, random_like

from minivae import backend, nn, optim
from minivae.data import Batches, Redrawn
from minivae.finite_watch import _not_finite

adam = importlib.import_module("minivae.optim.adam")  # the functions of these names hide the modules
elementwise = importlib.import_module("minivae.backend.elementwise")


def collect():
    """{(formula, outs): operands}, the outs first; outs = −1 for a formula that is summed."""
    seen = {}
    plain_elementwise, plain_total = elementwise.elementwise, elementwise.total

    def watched_elementwise(formula, *arguments, out=None):
        outs = out if isinstance(out, tuple) else () if out is None else (out,)
        seen[formula, len(outs)] = (*outs, *arguments)
        return plain_elementwise(formula, *arguments, out=out)

    def watched_total(formula, *arguments):
        seen[formula, -1] = arguments
        return plain_total(formula, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, "elementwise", watched_elementwise)
        patch.setattr(elementwise, "elementwise", watched_elementwise)  # which add_up calls
        patch.setattr(backend, "total", watched_total)
        _use_everything()
    assert (adam._flush, 0) in seen and (elementwise._sum, 1) in seen and len(seen) > 40
    return seen


def _use_everything():
    for row in ROWS.values():
        module = row.make()
        output = copies(module.forward(row.input()))
        module.zero_grad_parameters()
        module.backward(row.input(), random_like(output))
        module.update_parameters(0.1)
    x = np.full((4, 3), 0.5, np.float32)
    for criterion, prediction in ((nn.BCECriterion(), x), (nn.BCECriterion(weights=x[0]), x), (nn.MSECriterion(), x),
                                  (nn.AbsCriterion(), x), (nn.BCEWithLogitsCriterion(), x),
                                  (nn.ContinuousBernoulliCriterion(), x),
                                  (nn.GaussianNLLCriterion(), x), (nn.GaussianNLLCriterion(), (x, x))):
        criterion.forward(prediction, x)
        criterion.backward(prediction, x)
    many, weights, logs = np.full((2, 3), 0.5, np.float32), np.full((4, 2), 0.5, np.float32), x[:, 0].copy()
    for criterion, prediction in ((nn.ExpectedCriterion(nn.BCEWithLogitsCriterion()), (many, weights)),
                                  (nn.LikelihoodCriterion(nn.BCEWithLogitsCriterion()), (many, logs[:2])),
                                  (nn.ScoreFunctionCriterion(nn.BCEWithLogitsCriterion(samples=2)),
                                   (np.repeat(x, 2, axis=0), *[np.repeat(logs, 2)] * 2)),
                                  (nn.ImportanceWeightedCriterion(nn.BCEWithLogitsCriterion()), (x, logs, logs))):
        criterion.forward(prediction, x)
        criterion.backward(prediction, x)
    vector, state = np.ones(5, np.float32), {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}
    optim.adam(lambda x: (0.0, x.copy()), vector, {"weight_decay": 0.1, "t": adam.FLUSH_EVERY - 1})
    optim.rmsprop(lambda x: (0.0, x.copy()), vector, {})
    for _ in range(2):
        optim.sgd(lambda x: (0.0, x.copy()), vector, state)
    Batches(Redrawn(np.full((4, 3), 100, np.uint8)), 2).next()
    backend.total(_not_finite, vector)
