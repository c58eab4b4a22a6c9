"""Verbs on several runs and on their codes: runs, compare, encode."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_hostile import members, npy, packed, with_header

from minivae import checkpoint, evaluation, models
from minivae.callbacks import Bound
from minivae.cli import compare, main
from minivae.data import Batches, rectangles, squares
from minivae.training import Training

TINY = ["--images", "64", "--hidden", "8", "--batch-size", "32"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with three runs, one of bits and one of grey images."""
    folder = tmp_path_factory.mktemp("home")
    np.savez(folder / "grey.npz", images=np.random.default_rng(0).random((60, 6, 6)), labels=["a", "b"] * 30)
    runs = folder / "runs"
    assert main(["train", "vae", *TINY, "--epochs", "3", "--out", str(runs / "vae")]) == 0
    assert main(["train", "bernoulli", *TINY, "--code", "4", "--epochs", "1", "--out", str(runs / "bits")]) == 0
    assert main(["train", "aevb", "--hidden", "8", "--data", str(folder / "grey.npz"), "--batch-size", "9", "--epochs",
                 "2", "--out", str(runs / "grey")]) == 0
    return folder


@pytest.fixture(autouse=True)
def there(home, monkeypatch):
    monkeypatch.chdir(home)


def test_runs_are_listed_as_a_table_and_as_json(capsys):
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and [line.split()[0] for line in lines[1:]] == ["runs/bits", "runs/grey", "runs/vae"]
    assert "cross-entropy + KL" in lines[2] and "−ELBO" in lines[3] and "grey.npz" in lines[2]
    assert main(["runs", "runs/vae", "--json"]) == 0
    row, = json.loads(capsys.readouterr().out)
    header, arrays = checkpoint.read("runs/vae")
    assert (row["steps"], row["epochs"], row["model"], row["data"]) == (6, 3, "vae", "rectangles")
    assert [row["reconstruction"], row["divergence"]] == arrays["tests"][-1, 1:].tolist()
    assert row["test"] == pytest.approx(arrays["tests"][-1, 1:].sum()) and header["steps"] == 6


def test_an_epoch_is_what_the_run_counts_as_one(tmp_path, capsys):
    """Of squares it shows each image a hundred times; a run may also end within one."""
    batches = Batches(squares(), 256, by_epoch=True, rounds=100)
    training = Training(models.vae(hidden=4), batches, callbacks=[Bound(squares())])
    for steps in (30, 70, 50):
        training.run(steps, progress=False)
        folder = tmp_path / str(training.steps)
        folder.mkdir()
        checkpoint.save(folder / checkpoint.NAME, training, {"model": "vae", "options": {"hidden": 4}})
    assert main(["runs", str(tmp_path), "--json"]) == 0
    assert [(row["steps"], row["epochs"]) for row in json.loads(capsys.readouterr().out)] == [
        (100, 1), (150, 1.5), (30, None)]


def test_the_keys_of_its_json_stay(capsys):
    assert main(["runs", "--json"]) == 0
    for row in json.loads(capsys.readouterr().out):
        assert list(row) == ["run", "model", "data", "steps", "epochs", "quantity", "reconstruction", "divergence",
                             "test", "train", "date"]
    with pytest.raises(SystemExit):
        main(["runs", "--help"])
    words = capsys.readouterr().out
    assert all(key in words for key in row)


def test_json_is_json_also_of_broken_runs_and_of_numbers_that_are_none(tmp_path, capsys):
    content = with_header(Path("runs/vae/checkpoint.npz").read_bytes(), lambda header: None)
    parts = members(content)
    parts["tests.npy"] = npy(np.array([[2, np.inf, np.nan]]))
    for name, data in (("endless", packed(parts)), ("broken", b"nothing")):
        (tmp_path / name).mkdir()
        (tmp_path / name / checkpoint.NAME).write_bytes(data)
    assert main(["runs", str(tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    row, = json.loads(said.out, parse_constant=lambda name: pytest.fail(name))
    assert row["test"] is row["reconstruction"] is row["divergence"] is None and "broken" in said.err


def test_what_is_no_run_is_said(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 0 and "there are no runs in" in capsys.readouterr().out
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / checkpoint.NAME).write_bytes(b"nothing")
    for verb in "runs", "compare":
        assert main([verb, "runs", str(tmp_path)]) == 0
        said = capsys.readouterr().out
        assert "runs/vae" in said and "left out: " in said and "broken" in said
    assert main(["runs", "missing"]) == 1 and "there is no folder missing" in capsys.readouterr().err


def test_runs_are_compared_in_one_picture(tmp_path, capsys, rendering):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: no curves are compared")
    out = tmp_path / "both.png"
    assert main(["compare", "runs/vae", "runs/bits", "-o", str(out)]) == 0
    said = capsys.readouterr().out
    assert "runs/vae" in said and "runs/bits" in said and "different kinds" not in said
    with Image.open(out) as picture:
        assert picture.size[0] > 800
    assert main(["compare", "runs", "-o", str(out)]) == 0 and "different kinds" in capsys.readouterr().out
    assert main(["compare", "runs/vae"]) == 1 and "give two or more" in capsys.readouterr().err
    assert main(["compare", *["runs/vae"] * 41]) == 1 and "41 runs to compare" in capsys.readouterr().err
    unlearned = Training(models.vae(hidden=4), Batches(rectangles(20), 8))
    checkpoint.save(tmp_path / checkpoint.NAME, unlearned, {"model": "vae", "options": {"hidden": 4}})
    assert main(["runs", str(tmp_path)]) == 0 and "vae" in capsys.readouterr().out
    assert main(["compare", "runs/vae", str(tmp_path)]) == 1 and "1 run to compare" in capsys.readouterr().err


@pytest.mark.parametrize(("other", "said"), [
    ({"data": {"name": "own", "path": "/b/images", "digest": "b"}}, "data"),  # another folder of the same name
    ({"data": {"name": "own", "path": "/b/pictures", "digest": "a"}}, None),  # the same images, which have moved
    ({"data": {"name": "own", "path": "/a/images", "digest": "a", "binarize": "fixed"}, "quantity": "−ELBO"},
     "data, quantity"),
    ({"training": {"objective": "iwae"}}, "objective"), ({"training": {"objective": "elbo", "epochs": 2}}, None),
    ({"options": {"hidden": 4, "likelihood": "gaussian"}}, "likelihood"), ({"labels": ["a", "b"]}, "quantity")])
def test_runs_that_are_unlike_are_said_to_be(tmp_path, capsys, other, said):
    training = Training(models.vae(hidden=4), Batches(rectangles(20), 8))
    training.run(1, progress=False)
    config = {"model": "vae", "options": {"hidden": 4}, "training": {}, "quantity": "cross-entropy + KL",
              "data": {"name": "own", "path": "/a/images", "digest": "a"}}
    for name, given in ("one", config), ("other", config | other):
        (tmp_path / name).mkdir()
        checkpoint.save(tmp_path / name / checkpoint.NAME, training, given)
    assert main(["compare", str(tmp_path), "-o", str(tmp_path / "both.png")]) == 0
    found = re.findall("^these are losses of different kinds: the runs differ in their (.*); compare",
                       capsys.readouterr().out, re.MULTILINE)
    assert found == ([said] if said else [])


@pytest.mark.parametrize(("one", "other", "alike"), [
    (("iwae", 3), ("dreg", 3), True), (("iwae", 3), ("iwae", 9), False)])
def test_weighted_bounds_are_alike_with_as_many_draws(one, other, alike):
    kinds = [compare._kind({"training": {"objective": name}, "options": {"samples": samples}})
             for name, samples in (one, other)]
    assert (kinds[0] == kinds[1]) == alike


@pytest.mark.parametrize(("run", "names"), [("vae", {"mean", "log_var"}), ("bits", {"logits"}),
                                            ("grey", {"mean", "log_var", "labels", "names"})])
def test_codes_are_those_of_the_model(tmp_path, run, names):
    out = tmp_path / "codes.npz"
    assert main(["encode", f"runs/{run}", "-o", str(out), "--images", "5"]) == 0
    with np.load(out) as found:
        arrays = dict(found)
    assert set(arrays) == {"codes", *names} and all(len(arrays[name]) == 5 for name in set(arrays) - {"names"})
    if run != "grey":
        model = checkpoint.load_model(f"runs/{run}")
        parameters, codes = evaluation.encode(model, rectangles(2048, seed=1)[:5])
        assert np.array_equal(arrays["codes"], codes)
        assert np.array_equal(arrays[min(names)], dict(zip(model.kl.latent.names, parameters))[min(names)])


def test_codes_of_the_images_that_it_learned_from(home):
    assert main(["encode", "runs/grey", "--train"]) == 0
    with np.load("runs/grey/codes.npz") as found:
        assert len(found["codes"]) == len(found["labels"]) == 54 and found["names"].tolist() == ["a", "b"]
