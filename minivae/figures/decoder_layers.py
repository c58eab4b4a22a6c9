"""A decoder as data: its layers by class name, which web/layers.js runs."""

from typing import Any

from minivae import backend
from minivae.errors import OptionError
from minivae.figures.page import packed

# What the evaluation of each class needs, by the names that web/layers.js reads.
LAYERS = {
    "Sequential": lambda layer: {},
    "ConcatTable": lambda layer: {},
    "ParallelTable": lambda layer: {},
    "Identity": lambda layer: {},
    "BernoulliNoise": lambda layer: {},
    "GaussianNoise": lambda layer: {},
    "ReLU": lambda layer: {},
    "Sigmoid": lambda layer: {},
    "Tanh": lambda layer: {},
    "SoftPlus": lambda layer: {},
    "AppendLabel": lambda layer: {"classes": layer.label.classes},
    "View": lambda layer: {"sizes": list(layer.sizes)},
    "Clamp": lambda layer: {"low": layer.low, "high": layer.high},
    "Linear": lambda layer: {"weight": layer.weight.T, "bias": layer.bias},  # (I, O): the page skips inputs of zero
    "SpatialConvolution": lambda layer: {"weight": layer.weight, "bias": layer.bias, "step": list(layer.step),
                                         "pad": list(layer.pad)},
    "SpatialFullConvolution": lambda layer: {"weight": layer.weight, "bias": layer.bias, "step": list(layer.step),
                                             "pad": list(layer.pad), "more": list(layer.more)},
    "SpatialMaxPooling": lambda layer: windows_of(layer),
    "SpatialAveragePooling": lambda layer: windows_of(layer) | {"padding": layer.count_include_pad},
    "SpatialUpSamplingNearest": lambda layer: {"scale": layer.scale},
    "BatchNormalization": lambda layer: {"weight": layer.weight, "bias": layer.bias, "mean": layer.running_mean,
                                         "variance": layer.running_var, "epsilon": layer.epsilon},
}


def windows_of(layer):
    return {"kernel": list(layer.kernel), "step": list(layer.step), "pad": list(layer.pad), "ceil": layer.ceil_mode}


def described(module: Any, precision: str) -> dict[str, Any]:
    """The module as JSON holds it, its matrices and kernels in that precision and its vectors in float32.

    A class that the page cannot run raises, and is named.
    """
    kind = type(module).__name__
    if kind not in LAYERS:
        raise OptionError(f"{module.title}: the page knows no {kind}; add it to LAYERS in "
                          "minivae/figures/decoder_layers.py and in minivae/figures/web/layers.js")
    found: dict[str, Any] = {"type": kind}
    for name, value in LAYERS[kind](module).items():
        if hasattr(value, "shape"):
            value = packed(backend.to_numpy(value), precision if value.ndim > 1 else "float32")
        found[name] = value
    if module.children():
        found["modules"] = [described(child, precision) for _, child in module.children()]
    return found
