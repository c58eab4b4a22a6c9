"""A decoder as data: its layers by class, which web/layers.js runs under the class's name."""

from collections.abc import Callable
from typing import Any

from minivae import backend, nn
from minivae.errors import OptionError
from minivae.figures.page import packed

# What the evaluation of each class needs, by the names that web/layers.js reads; a class of one's own may share a name.
LAYERS: dict[type, Callable[[Any], dict[str, Any]]] = {
    nn.Sequential: lambda layer: {},
    nn.ConcatTable: lambda layer: {},
    nn.ParallelTable: lambda layer: {},
    nn.Identity: lambda layer: {},
    nn.BernoulliNoise: lambda layer: {},
    nn.GaussianNoise: lambda layer: {},
    nn.ReLU: lambda layer: {},
    nn.Sigmoid: lambda layer: {},
    nn.Tanh: lambda layer: {},
    nn.SoftPlus: lambda layer: {},
    nn.AppendLabel: lambda layer: {"classes": layer.label.classes},
    nn.View: lambda layer: {"sizes": list(layer.sizes)},
    nn.Clamp: lambda layer: {"low": layer.low, "high": layer.high},
    nn.Linear: lambda layer: {"weight": layer.weight.T, "bias": layer.bias},  # (I, O): the page skips inputs of zero
    nn.SpatialConvolution: lambda layer: {"weight": layer.weight, "bias": layer.bias, "step": list(layer.step),
                                          "pad": list(layer.pad)},
    nn.SpatialFullConvolution: lambda layer: {"weight": layer.weight, "bias": layer.bias, "step": list(layer.step),
                                              "pad": list(layer.pad), "more": list(layer.more)},
    nn.SpatialMaxPooling: lambda layer: windows_of(layer),
    nn.SpatialAveragePooling: lambda layer: windows_of(layer) | {"padding": layer.count_include_pad},
    nn.SpatialUpSamplingNearest: lambda layer: {"scale": layer.scale},
    nn.BatchNormalization: lambda layer: {"weight": layer.weight, "bias": layer.bias, "mean": layer.running_mean,
                                          "variance": layer.running_var, "epsilon": layer.epsilon},
}


def windows_of(layer):
    return {"kernel": list(layer.kernel), "step": list(layer.step), "pad": list(layer.pad), "ceil": layer.ceil_mode}


def described(module: Any, precision: str) -> dict[str, Any]:
    """The module as JSON holds it, its matrices and kernels in that precision and its vectors in float32.

    A class that the page cannot run raises, and is named.
    """
    kind = type(module)
    if kind not in LAYERS:
        raise OptionError(f"{module.title}: the page knows no {kind.__name__} of {kind.__module__}; add it to LAYERS "
                          "in minivae/figures/decoder_layers.py and in minivae/figures/web/layers.js")
    found: dict[str, Any] = {"type": kind.__name__}
    for name, value in LAYERS[kind](module).items():
        if hasattr(value, "shape"):
            value = packed(backend.to_numpy(value), precision if value.ndim > 1 else "float32")
        found[name] = value
    if module.children():
        found["modules"] = [described(child, precision) for _, child in module.children()]
    return found
