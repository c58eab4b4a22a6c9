"""The pages as files: whole, small, sealed, and closed to what a name could smuggle in."""

import base64
import hashlib
import html
import json
import re
from itertools import pairwise

import numpy as np
import pytest
from rounding import same, terms

from minivae import checkpoint, models, nn
from minivae.cli import main
from minivae.data import Batches, data_set, rectangles
from minivae.debug.nudging import nudges
from minivae.debug.tracing import trace
from minivae.errors import OptionError
from minivae.figures.equations import equation, source
from minivae.figures.explorer import explorer
from minivae.figures.step_page import BLOCKS, WHOLE, step_page
from minivae.training import Training

HOSTILE = '</script><script>alert(1)</script><img src="https://example.org/x" onerror=alert(2)>&amp;\u2028'


def rectangle_data():
    return data_set.build("rectangles", images=16)


def steps_of(model, title="vae"):
    x = rectangles(1, seed=1).astype(np.float32)
    recorded = trace(model.training(), x)
    return recorded, step_page(recorded, title, nudges(model, x, recorded))


def data_of(text):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)[1])


def unpacked(array):
    kind = np.dtype(array["type"]).newbyteorder("<")
    return np.frombuffer(base64.b64decode(array["bytes"]), kind).reshape(array["shape"])


@pytest.fixture(scope="module")
def pages():
    """Every kind of page, of a run with a hostile name."""
    made = {"plane": models.vae(hidden=8), "bits": models.bernoulli_vae(hidden=8, code=4),
            "numbers": models.aevb("gaussian", hidden=8, code=3, image=(1, 24, 24))}
    texts = {name: explorer(model, rectangle_data(), HOSTILE) for name, model in made.items()}
    return texts | {"step": steps_of(models.vae(hidden=8), HOSTILE)[1]}


def test_nothing_is_fetched_and_no_name_becomes_markup(pages):
    for name, text in pages.items():
        markup = text.replace("http://www.w3.org/2000/svg", "")  # the name of a language, which nobody fetches
        ours = re.sub(r'(?<=id="data">).*?(?=</script>)', "", markup, flags=re.DOTALL).replace(html.escape(HOSTILE), "")
        assert not re.search(r"https?:|//[a-z]+\.|@import|url\((?!#)|<img|onerror", ours), name
        assert [each for each in re.findall(r'(?:src|href)="([^"]*)"', markup)] == ["data:,"], name
        assert markup.count("<script") == 2 and markup.count("</script") == 2, name
        assert "<img" not in markup, name
        assert data_of(text)["title"] == HOSTILE, name


def test_the_policy_allows_this_script_and_this_style_only(pages):
    for text in pages.values():
        policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
        script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
        style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
        script_hash, style_hash = ("sha256-" + base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()
                                   for each in (script, style))
        assert policy == (f"default-src 'none'; img-src data:; script-src '{script_hash}'; style-src '{style_hash}'; "
                          "base-uri 'none'; form-action 'none'")
        assert not re.search(r'\son[a-z]+="|\sstyle="|javascript:|\beval\(|new Function', text)


def test_the_articles_decoder_fits_and_its_rounding_is_told():
    model, data = models.denoising_vae(), rectangle_data()
    text = explorer(model, data, "denoising")
    assert len(text.encode()) <= 8e6
    found = data_of(text)
    rounded = model.clone()
    for layer, number in ((layer, k) for k, layer in enumerate(found["decoder"]["modules"]) if "weight" in layer):
        assert layer["weight"]["type"] == "float16"
        rounded.decoder[number].weight[...] = unpacked(layer["weight"]).T
    codes = model.encode(data.test[:128].astype(np.float32))[0]
    off = np.abs(rounded.decode(codes) - model.decode(codes)).max()
    assert 0 < off <= found["difference"] < 1e-3


def test_float32_keeps_every_bit():
    model = models.vae(hidden=8)
    found = data_of(explorer(model, rectangle_data(), "vae", "float32"))
    assert found["difference"] < 1e-5  # rounding, of two products of 2 and 8 terms and numbers below 1
    assert np.array_equal(unpacked(found["decoder"]["modules"][2]["weight"]).T, model.decoder[2].weight)


def test_codes_labels_and_order_are_the_models():
    model, data = models.vae(hidden=8), rectangle_data()
    found = data_of(explorer(model, data, "vae"))
    x = data.test[:500].astype(np.float32)
    mean, log_var = model.encode(x)
    assert same(tuple(map(unpacked, found["parameters"])), (mean, log_var), terms(model, 500))
    assert np.allclose(found["kl"], model.kl.units((mean, log_var)).mean(axis=0))
    assert np.array_equal(unpacked(found["images"]), 255 * x.reshape(500, -1))
    for image, label in zip(x[:50, 0], found["labels"]):
        row, column = (np.argwhere(image).mean(axis=0) + 0.5) // 8
        assert label == 3 * row + column
    assert found["names"][0] == "top left" and found["names"][4] == "middle"


def test_what_a_page_cannot_show_is_refused():
    model = models.vae(hidden=8)
    model.decoder[0].weight[0, 0] = 1e6
    with pytest.raises(OptionError, match=r"decoder\.0\.weight has entries that float16 cannot hold; --float32"):
        explorer(model, rectangle_data(), "vae")
    assert data_of(explorer(model, rectangle_data(), "vae", "float32"))["precision"] == "float32"
    flat = models.VAE(nn.Sequential(nn.View(576), nn.ConcatTable(nn.Linear(576, 2), nn.Linear(576, 2))),
                      nn.GaussianKL(), nn.GaussianSampler(), nn.Linear(2, 576), 2)
    with pytest.raises(OptionError, match="images of one plane"):
        explorer(flat, rectangle_data(), "flat")


def test_the_step_page_holds_the_trace():
    recorded, text = steps_of(models.vae(hidden=8, image=(1, 24, 24)))
    found, leaves = data_of(text), [step for step in recorded if step.inside == 0]
    assert [(each["path"], each["verb"]) for each in found["steps"]] == [(step.path, step.verb) for step in leaves]
    for shown, step in zip(found["steps"], leaves, strict=True):
        assert [each["name"] for each in shown["records"]] == list(step.arrays)
        for each in shown["records"]:
            array = found["arrays"][each["array"]]
            assert np.array_equal(unpacked(array["values"]), step[each["name"]].ravel())
            assert array["shape"] == list(step[each["name"]].shape)
    assert found["nudges"] and len(found["tree"]) == 1 + sum(step.verb == "update_output" for step in recorded[1:])


def test_a_large_matrix_is_shown_by_the_largest_of_each_block():
    recorded, text = steps_of(models.vae(hidden=300))
    found = data_of(text)
    assert len(text) < 2e6
    matrix = next(step for step in recorded if step.path == "encoder.3")["weight"]
    assert matrix.size > WHOLE
    array = next(each for each in found["arrays"] if each["shape"] == list(matrix.shape))
    values, where = unpacked(array["values"]), unpacked(array["where"])
    assert values.shape == (BLOCKS, BLOCKS) and np.array_equal(matrix.ravel()[where], values)
    assert np.abs(values).max() == np.abs(matrix).max() and len(np.unique(where)) == where.size
    corner = matrix[:3, :3]  # 300 rows in 96 blocks: the first has 3
    assert values[0, 0] == corner.ravel()[np.abs(corner).argmax()]


@pytest.mark.parametrize(("shape", "laid"), [
    ((1, 1, 200, 300), lambda x: x[0, 0]), ((1, 40000), lambda x: x.reshape(200, 200)),
    ((1, 32, 64, 64), lambda x: np.block([[x[0, 8 * row + column] for column in range(8)] for row in range(4)])),
    ((40, 30, 6, 6), lambda x: np.block([[kernel for kernel in row] for row in x])), ((300, 576), lambda x: x)])
def test_a_large_array_is_laid_out_in_blocks(shape, laid):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    layer = nn.Identity()
    found = data_of(step_page(trace(layer, x), "large"))["arrays"][0]
    values, where, matrix = unpacked(found["values"]), unpacked(found["where"]), laid(x)
    assert found["shape"] == list(shape) and np.array_equal(x.ravel()[where], values)
    rows, columns = (np.linspace(0, size, BLOCKS + 1).astype(int) for size in matrix.shape)
    largest = [[np.abs(matrix[r:down, c:right]).max() for c, right in pairwise(columns)] for r, down in pairwise(rows)]
    assert np.array_equal(np.abs(values), largest)


def test_numbers_that_are_not_finite_are_shown():
    model = models.vae(hidden=8)
    model.decoder[2].bias[...] = np.nan
    x = rectangles(1, seed=1).astype(np.float32)
    with np.errstate(all="ignore"):
        found = data_of(step_page(trace(model, x), "broken"))
    assert any(array["nonfinite"] for array in found["arrays"])


LAYERS = [cls for cls in vars(nn).values() if isinstance(cls, type) and issubclass(cls, nn.Module | nn.Criterion)
          and cls.update_output is not nn.Module.update_output and not issubclass(cls, nn.Container)]


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_every_layer_says_what_its_verbs_compute(layer):
    if layer in (nn.Criterion, nn.WrappingCriterion):
        return
    forward, backward = equation(layer, "update_output"), equation(layer, "update_grad_input")
    assert forward and "∂" not in forward.replace("∂L/∂output", ""), "the first paragraph is the forward pass"
    assert "∂" in backward and "+=" not in backward, "formulas with ∂ are the backward pass"
    for name in getattr(layer, "parameter_names", ()):
        assert "+=" in equation(layer, "acc_grad_parameters"), name
    assert source(layer, "update_output").startswith("def update_output(")


def test_equation_and_source_of_a_layer():
    assert equation(nn.Linear, "update_output") == "Affine map of every row: y = x Wᵀ + b"
    assert equation(nn.Linear, "update_grad_input") == "∂L/∂x = G W\nwith G = ∂L/∂y"
    assert equation(nn.Linear, "acc_grad_parameters").startswith("∂L/∂W += scale Gᵀ x\n∂L/∂b += scale Σₙ Gₙ")
    assert "affine(input, self.weight.T, self.bias, out=self.output)  # x Wᵀ + b" in source(nn.Linear, "update_output")
    assert '"""' not in source(nn.Linear, "reset") and equation(type("Bare", (), {}), "update_output") == ""


def test_commands_write_them(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training = Training(models.vae(hidden=4), Batches(rectangles(64), 16))
    checkpoint.save("checkpoint.npz", training, {"model": "vae", "options": {"hidden": 4},
                                                 "data": {"name": "rectangles", "images": 64}})
    assert main(["explore", "."]) == 0 and main(["explore", ".", "-o", "small.html", "--float32"]) == 0
    assert main(["step", ".", "--html", "step.html"]) == 0
    out = capsys.readouterr().out
    assert out.count("opens in a browser without a network") == 3
    assert data_of((tmp_path / "latent.html").read_text(encoding="utf-8"))["precision"] == "float16"
    assert data_of((tmp_path / "small.html").read_text(encoding="utf-8"))["precision"] == "float32"
    shown = data_of((tmp_path / "step.html").read_text(encoding="utf-8"))
    assert shown["arrays"][shown["steps"][0]["records"][0]["array"]]["shape"] == [1, 1, 24, 24]
    assert main(["step", ".", "--html", "two.html", "--images", "2"]) == 1
    assert main(["explore", ".", "-o", "no/where.html"]) == 1
    assert main(["explore", "runs/none"]) == 1
    errors = capsys.readouterr().err
    assert "--html shows the pass of one image, not of 2" in errors and "cannot write" in errors
    assert "there is no checkpoint" in errors and not (tmp_path / "two.html").exists()


def test_step_names_the_parts_of_a_runs_loss(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"image": [1, 24, 24], "hidden": 4, "samples": 2}
    training = Training(models.aevb(**options), Batches(rectangles(64), 16), objective="iwae")
    checkpoint.save("checkpoint.npz", training, {"model": "aevb", "options": options, "training": {
        "objective": "iwae"}, "data": {"name": "rectangles", "images": 64}})
    assert main(["step", ".", "--html", "step.html"]) == 0
    shown = data_of((tmp_path / "step.html").read_text(encoding="utf-8"))
    assert shown["divergence"] == "weighted KL" and shown["whole"]


def test_the_explorer_shows_colour(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 3, 6, 7), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, labels=["cat", "dog"] * 15)
    data = data_set.build("own", path=str(tmp_path / "a.npz"))
    model = models.aevb(image=(3, 6, 7), hidden=8)
    found = data_of(explorer(model, data, "own"))
    assert found["image"] == [3, 6, 7] and found["names"] == ["cat", "dog"]
    assert np.array_equal(unpacked(found["images"]), data.test.reshape(3, -1))
