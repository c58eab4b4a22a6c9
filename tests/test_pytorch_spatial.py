"""Convolution, pooling, upsampling and batch normalization against PyTorch in float64."""

import numpy as np
import pytest

from minivae import nn
from minivae.nn import spatial_convolution

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0 runs this comparison")
from test_pytorch import disagreements, normal, tensor  # noqa: E402

F = torch.nn.functional
CONVOLUTIONS = [  # planes in and out, kw, kh, dw, dh, padw, padh, then the image's height and width
    (1, 1, 1, 1, 1, 1, 0, 0, 1, 1), (1, 8, 3, 3, 1, 1, 1, 1, 24, 24), (3, 2, 3, 3, 1, 1, 1, 1, 5, 4),
    (2, 3, 2, 5, 1, 1, 0, 0, 7, 6), (2, 3, 5, 2, 1, 1, 4, 1, 3, 9), (3, 2, 3, 3, 2, 2, 0, 0, 8, 8),
    (2, 4, 4, 3, 3, 2, 1, 2, 10, 11), (1, 2, 2, 2, 5, 3, 0, 0, 9, 12), (2, 2, 1, 2, 2, 1, 3, 3, 4, 5)]
POOLINGS = [  # kw, kh, dw, dh, padw, padh, height, width
    (2, 2, 2, 2, 0, 0, 6, 8), (2, 2, 2, 2, 0, 0, 7, 5), (3, 2, 3, 2, 0, 0, 9, 10), (3, 3, 2, 2, 1, 1, 8, 7),
    (3, 3, 1, 1, 1, 1, 5, 6), (2, 4, 3, 1, 1, 2, 5, 6), (1, 1, 2, 2, 0, 0, 5, 5)]


def compare(layer, theirs, x, parameters=()):
    """{name: error} of what disagrees: output, gradient by the input, and by each parameter, twice accumulated."""
    mine, inputs = layer.double(), tensor(x, requires_grad=True)
    weights = [tensor(getattr(mine, name), requires_grad=True) for name in parameters]
    mine.zero_grad_parameters()
    for scale in (1, 0.5):
        output = mine.forward(x)
        grad_output = normal(9, *output.shape)
        grad_input = mine.backward(x, grad_output, scale)
    result = theirs(inputs, *weights)
    result.backward(tensor(grad_output))
    pairs = {"output": (output, result), "gradient by the input": (grad_input, inputs.grad)}
    pairs |= {name: (getattr(mine, f"grad_{name}"), 1.5 * weight.grad) for name, weight in zip(parameters, weights)}
    return disagreements(pairs)


@pytest.mark.parametrize(("kept", "part"), [(2**19, 0), (0, 200), (0, 0)], ids=["at once", "in parts", "row by row"])
@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_convolution(case, kept, part, monkeypatch):
    monkeypatch.setattr(spatial_convolution, "KEPT", {"numpy": kept})
    monkeypatch.setattr(spatial_convolution, "PART", {"numpy": part})
    *options, height, width = case
    planes_in, _, _, _, dw, dh, padw, padh = options
    x = normal(1, 5, planes_in, height, width)
    assert compare(nn.SpatialConvolution(*options), lambda x, w, b: F.conv2d(x, w, b, (dh, dw), (padh, padw)), x,
                   ("weight", "bias")) == {}


@pytest.mark.parametrize("values", ["distinct", "ties", "all equal"])
@pytest.mark.parametrize("case", POOLINGS, ids=str)
def test_max_pooling(case, values):
    kw, kh, dw, dh, padw, padh, height, width = case
    x = normal(1, 4, 3, height, width)
    x = {"distinct": x, "ties": np.round(x), "all equal": 0 * x - 1}[values]
    layer = nn.SpatialMaxPooling(kw, kh, dw, dh, padw, padh)
    assert compare(layer, lambda x: F.max_pool2d(x, (kh, kw), (dh, dw), (padh, padw)), x) == {}


@pytest.mark.parametrize("case", POOLINGS, ids=str)
def test_max_pooling_of_nothing_but_minus_infinity(case):
    """The gradient goes to the first place of the image, and never to the frame around it, which is −∞ too."""
    kw, kh, dw, dh, padw, padh, height, width = case
    x = np.full((2, 3, height, width), -np.inf)
    x[1, 1, height // 2] = 0
    layer = nn.SpatialMaxPooling(kw, kh, dw, dh, padw, padh).double()
    grad_output = normal(9, *layer.forward(x).shape)
    grad_input = layer.backward(x, grad_output)
    inputs = tensor(x, requires_grad=True)
    F.max_pool2d(inputs, (kh, kw), (dh, dw), (padh, padw)).backward(tensor(grad_output))
    np.testing.assert_allclose(grad_input, inputs.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(grad_input.sum((2, 3)), grad_output.sum((2, 3)), rtol=1e-12)


CEILED = [*POOLINGS, (1, 1, 2, 2, 0, 0, 4, 6), (3, 2, 3, 3, 1, 1, 7, 8), (5, 4, 4, 3, 2, 2, 3, 9)]


@pytest.mark.parametrize("case", CEILED, ids=str)
def test_max_pooling_with_the_windows_that_reach_beyond(case):
    kw, kh, dw, dh, padw, padh, height, width = case
    layer = nn.SpatialMaxPooling(kw, kh, dw, dh, padw, padh, ceil_mode=True)
    assert compare(layer, lambda x: F.max_pool2d(x, (kh, kw), (dh, dw), (padh, padw), ceil_mode=True),
                   normal(1, 4, 3, height, width)) == {}


@pytest.mark.parametrize("options", [{}, {"ceil_mode": True}, {"count_include_pad": False},
                                     {"ceil_mode": True, "count_include_pad": False}], ids=str)
@pytest.mark.parametrize("case", CEILED, ids=str)
def test_average_pooling(case, options):
    kw, kh, dw, dh, padw, padh, height, width = case
    layer = nn.SpatialAveragePooling(kw, kh, dw, dh, padw, padh, **options)
    assert compare(layer, lambda x: F.avg_pool2d(x, (kh, kw), (dh, dw), (padh, padw), **options),
                   normal(1, 4, 3, height, width)) == {}


@pytest.mark.parametrize("case", [
    (1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 3, 4), (2, 3, 3, 3, 1, 1, 1, 1, 0, 0, 5, 4), (3, 2, 4, 4, 2, 2, 1, 1, 0, 0, 3, 3),
    (2, 3, 3, 2, 2, 3, 1, 0, 1, 2, 4, 5), (2, 1, 2, 5, 3, 2, 0, 2, 2, 1, 2, 6)], ids=str)
def test_full_convolution(case):
    *options, height, width = case
    planes_in, _, _, _, dw, dh, padw, padh, adjw, adjh = options
    assert compare(nn.SpatialFullConvolution(*options),
                   lambda x, w, b: F.conv_transpose2d(x, w, b, (dh, dw), (padh, padw), (adjh, adjw)),
                   normal(1, 5, planes_in, height, width), ("weight", "bias")) == {}


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_up_sampling(scale):
    x = normal(1, 4, 3, 2, 5)
    assert compare(nn.SpatialUpSamplingNearest(scale), lambda x: F.interpolate(x, scale_factor=scale), x) == {}


@pytest.mark.parametrize("affine", [True, False], ids=["affine", "plain"])
@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 3, 5), (2, 4), (1, 4, 2, 1)], ids=str)
def test_batch_normalization_and_its_statistics(shape, affine):
    kind = torch.nn.BatchNorm2d if len(shape) == 4 else torch.nn.BatchNorm1d
    layer, module = nn.BatchNormalization(4, affine=affine).double(), kind(4, affine=affine).double()
    names = ("weight", "bias") if affine else ()
    for name in names:
        getattr(layer, name)[...] = normal(len(name), 4)
        getattr(module, name).data = tensor(getattr(layer, name))
    for step in range(5):  # the statistics follow three batches, then are used
        layer.train = step < 3
        module.train(layer.train)
        x, grad_output = 3 + 2 * normal(step, *shape), normal(10 + step, *shape)
        inputs = tensor(x, requires_grad=True)
        layer.zero_grad_parameters()
        module.zero_grad()
        pairs = {"output": (layer.forward(x), module(inputs))}
        pairs["output"][1].backward(tensor(grad_output))
        pairs["gradient by the input"] = layer.backward(x, grad_output), inputs.grad
        pairs |= {name: (getattr(layer, name), getattr(module, name)) for name in ("running_mean", "running_var")}
        pairs |= {name: (getattr(layer, f"grad_{name}"), getattr(module, name).grad) for name in names}
        assert disagreements(pairs) == {}, step
