"""The decoder of the page, in JavaScript, beside the layers in NumPy: run by Node."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from minivae import models, nn
from minivae.errors import OptionError
from minivae.figures.decoder_layers import LAYERS, described
from minivae.figures.page import WEB, packed

DRIVER = """
const state = { label: 1 };
const read = JSON.parse(require("fs").readFileSync(0, "utf8"));
const plain = (value) => Array.isArray(value) ? value.map(plain) : { shape: value.shape, data: Array.from(value.data) };
const x = (value) => Array.isArray(value) ? value.map(x) : unpacked(value);
const outputs = read.map(({ layer, rows }) => rows.map((row) => plain(forward(prepared(layer), x(row)))));
console.log(JSON.stringify({ layers: Object.keys(LAYERS), outputs }));
"""
TABLE = ((3,), (3,))

ROWS = {  # class name: (module, shape of one row, or of a table)
    "Sequential": (lambda: nn.Sequential(nn.Linear(3, 9), nn.ReLU(), nn.Linear(9, 4)), (3,)),
    "ConcatTable": (lambda: nn.ConcatTable(nn.Linear(3, 4), nn.Tanh()), (3,)),
    "ParallelTable": (lambda: nn.ParallelTable(nn.Linear(3, 4), nn.Sigmoid()), TABLE),
    "Identity": (nn.Identity, (3,)),
    "BernoulliNoise": (lambda: nn.BernoulliNoise(0.4), (3,)),
    "GaussianNoise": (lambda: nn.GaussianNoise(0.4), (3,)),
    "ReLU": (nn.ReLU, (2, 3)),
    "Sigmoid": (nn.Sigmoid, (2, 3)),
    "Tanh": (nn.Tanh, (2, 3)),
    "SoftPlus": (nn.SoftPlus, (2, 3)),
    "AppendLabel": (lambda: appending(), (4,)),
    "View": (lambda: nn.View(3, 2), (6,)),
    "Clamp": (lambda: nn.Clamp(-0.5, 0.7), (6,)),
    "Clamp above": (lambda: nn.Clamp(None, 0.7), (6,)),
    "Linear": (lambda: nn.Linear(7, 5), (7,)),
    "Linear without bias": (lambda: nn.Linear(6, 5, bias=False), (6,)),
    "SpatialConvolution": (lambda: nn.SpatialConvolution(2, 3, 3, 3, padw=1, padh=1), (2, 6, 5)),
    "SpatialConvolution with steps": (lambda: nn.SpatialConvolution(2, 3, 2, 4, 3, 2, 2, 1), (2, 8, 7)),
    "SpatialMaxPooling": (lambda: nn.SpatialMaxPooling(2, 2), (2, 6, 5)),
    "SpatialMaxPooling with steps": (lambda: nn.SpatialMaxPooling(3, 2, 2, 1, 1, 1), (2, 6, 5)),
    "SpatialMaxPooling ceil": (lambda: nn.SpatialMaxPooling(2, 3, 3, 2, 1, 0, ceil_mode=True), (2, 6, 5)),
    "SpatialAveragePooling": (lambda: nn.SpatialAveragePooling(3, 2, 2, 2, 1, 1), (2, 6, 5)),
    "SpatialAveragePooling ceil": (lambda: nn.SpatialAveragePooling(3, 2, 3, 2, 1, 0, ceil_mode=True), (2, 7, 6)),
    "SpatialAveragePooling without padding": (
        lambda: nn.SpatialAveragePooling(3, 2, 3, 2, 1, 1, ceil_mode=True, count_include_pad=False), (2, 6, 6)),
    "SpatialFullConvolution": (lambda: nn.SpatialFullConvolution(2, 3, 3, 2, 2, 3, 1, 0, 1, 2), (2, 4, 5)),
    "SpatialUpSamplingNearest": (lambda: nn.SpatialUpSamplingNearest(3), (2, 2, 3)),
    "BatchNormalization": (lambda: trained_normalization((5,)), (5,)),
    "BatchNormalization without weight": (lambda: trained_normalization((5,), affine=False), (5,)),
    "BatchNormalization of planes": (lambda: trained_normalization((5, 3, 2)), (5, 3, 2)),
    "convolutional decoder": (lambda: models.conv_vae(batch_normalization=True).decoder, (2,)),
    "VAE decoder": (lambda: models.vae(hidden=64).decoder, (2,)),
    "Gaussian decoder": (lambda: models.aevb("gaussian", hidden=32, code=5).decoder, (5,)),
}


def appending():
    label = nn.Label(3)
    label.rows = np.float32([[0, 1, 0]])  # as the driver's state has it
    return nn.AppendLabel(label)


def trained_normalization(shape, affine=True):
    layer, random = nn.BatchNormalization(shape[0], affine=affine), np.random.default_rng(1)
    if affine:
        layer.weight[...], layer.bias[...] = random.normal(1, 0.3, shape[0]), random.normal(0, 1, shape[0])
    layer.forward(random.normal(1, 2, (8, *shape)).astype(np.float32))
    return layer


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    """A function: [(description, rows)] -> what Node prints for them."""
    program = shutil.which("node") or shutil.which("nodejs")
    if program is None:
        pytest.skip("Node.js is not installed (apt-get install nodejs): the page's decoder is not run")
    file = tmp_path_factory.mktemp("node") / "decoder.js"
    file.write_text("\n".join((WEB / name).read_text(encoding="utf-8") for name in ("shared.js", "layers.js")) + DRIVER,
                    encoding="utf-8")

    def run(cases):
        given = json.dumps([{"layer": layer, "rows": rows} for layer, rows in cases])
        done = subprocess.run([program, str(file)], input=given, capture_output=True, text=True, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def rows_of(shape, n=4):
    """(input (n, ...) as the module takes it, [row as the page takes it])."""
    random = np.random.default_rng(0)
    def one(each):
        x = random.normal(0, 2, (n, *each)).astype(np.float32)
        x[0].flat[::2] = 0  # what Linear skips
        return x
    if isinstance(shape[0], tuple):
        table = tuple(one(each) for each in shape)
        return table, [[packed(x[k], "float32") for x in table] for k in range(n)]
    x = one(shape)
    return x, [packed(row, "float32") for row in x]


def compared(output, found, name):
    """Assert that the rows that Node found are the module's output; returns how many numbers were compared."""
    if isinstance(output, tuple):
        return sum(compared(each, [row[k] for row in found], name) for k, each in enumerate(output))
    for row, mine in zip(found, output, strict=True):
        assert row["shape"] == list(mine.shape), name
        assert np.abs(np.reshape(row["data"], mine.shape) - mine).max() <= 1e-5, name
    return output.size


def test_every_layer_decodes_as_in_numpy(node):
    modules, given = {name: make().evaluate() for name, (make, _) in ROWS.items()}, {}
    for name, (_, shape) in ROWS.items():
        given[name] = rows_of(shape)
    found = node([(described(modules[name], "float32"), given[name][1]) for name in ROWS])
    for (name, module), rows in zip(modules.items(), found["outputs"], strict=True):
        assert compared(module.forward(given[name][0]), rows, name) > 0
    names = {layer.__name__ for layer in LAYERS}
    assert set(found["layers"]) == names, "layers.js and decoder_layers.py run the same classes"
    assert set(LAYERS) <= {type(module) for module in modules.values()}, "a row for each class"


def test_half_precision_is_numpys(node):
    """Every finite float16, and rounding in a layer."""
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    found = node([({"type": "Identity"}, [packed(every, "float16")])])["outputs"][0][0]["data"]
    assert np.array_equal(np.array(found), every.astype(np.float64))


@pytest.mark.parametrize(("layer", "message"), [
    (nn.HardBits(), r"decoder\.1 HardBits: the page knows no HardBits of .*; add it to LAYERS in .*decoder_layers\.py"),
    (type("Mine", (nn.Tanh,), {})(), r"decoder\.1 Mine: the page knows no Mine"),
    (type("Tanh", (nn.Module,), {})(), r"decoder\.1 Tanh: the page knows no Tanh of test_decoder_layers")])
def test_an_unknown_layer_is_named(layer, message):
    model = models.vae(hidden=4)
    model.decoder.insert(layer, 1)
    layer.path = "decoder.1"
    with pytest.raises(OptionError, match=message):
        described(model.decoder, "float32")
