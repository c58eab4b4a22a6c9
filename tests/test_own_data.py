"""Images of one's own on the command line: from a folder, an array or IDX files to every verb, and back again."""

import json
import shutil
from importlib.util import find_spec

import numpy as np
import pytest
from few import few
from test_own_images import idx_set, photograph

from minivae import checkpoint
from minivae.cli import main

TRAIN = ["--epochs", "1", "--batch-size", "8", "--out", "run"]


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def photographs(folder, n=24):
    """Photographs in mixed sizes and modes, in two folders, and a file that is none."""
    for k in range(n):
        path = folder / "photos" / ("cat", "dog")[k % 2] / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photograph(20 + k, 40 - k, ("RGB", "L", "P", "RGBA", "1")[k % 5]).save(path)
    (folder / "photos" / "cat" / "broken.png").write_bytes(b"broken")


def array(folder):
    np.save(folder / "a.npy", np.random.default_rng(0).random((40, 16, 16, 3)))


def fashion(folder):
    (folder / "fashion").mkdir()
    idx_set(folder / "fashion", pack=True, n=30, shape=(16, 16))


@pytest.mark.parametrize(("make", "options", "image"), few(2, [
    (photographs, ["vae", "--hidden", "8", "--data", "photos", "--size", "16"], [3, 16, 16]),
    (array, ["conv", "--planes", "4,4", "--data", "a.npy", "--test-share", "0.3"], [3, 16, 16]),
    (fashion, ["denoising", "--hidden", "8", "--data", "fashion"], [1, 16, 16]),
    (photographs, ["conv", "--planes", "4,4", "--data", "photos", "--size", "16,20", "--grey"], [1, 16, 20]),
    (photographs, ["aevb", "--hidden", "8", "--data", "photos", "--size", "12", "--binarize", "fixed"], [3, 12, 12]),
    (array, ["aevb", "--hidden", "8", "--data", "a.npy", "--likelihood", "gaussian"], [3, 16, 16]),
    (array, ["bernoulli", "--hidden", "8", "--code", "4", "--data", "a.npy", "--binarize", "each_epoch"], [3, 16, 16]),
    (fashion, ["categorical", "--hidden", "8", "--code", "2", "--categories", "4", "--data",
               "fashion/train-images-idx3-ubyte.gz"], [1, 16, 16])]))
def test_from_ones_own_images_to_every_verb(folder, make, options, image, capsys):
    make(folder)
    assert main(["train", *options, *TRAIN]) == 0
    said = capsys.readouterr().out
    assert ("skipped" in said and "broken.png: no image that Pillow can read" in said) == (make is photographs)
    for verb in (["evaluate", "run", "--samples", "3"], ["sample", "run"], ["explore", "run"],
                 ["step", "run", "--table"], ["step", "run", "--html", "step.html"], ["profile", "run", "--steps", "1"],
                 ["train", "--resume", "run", "--epochs", "2"]):
        assert main(verb) == 0, capsys.readouterr().err
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["options"]["image"] == image and len(config["data"]["digest"]) == 64
    assert (folder / "run" / "codes.png").exists() == bool(make is not array and find_spec("matplotlib"))
    title = options[options.index("--data") + 1].split("/")[-1]
    assert f"test images of {title}" in capsys.readouterr().out


@pytest.mark.parametrize("model", ["vae", "aevb", "bernoulli", "denoising"])
def test_two_images_will_do(folder, model):
    np.savez("a.npz", images=np.random.default_rng(0).random((2, 5, 7)), labels=[4, 9])
    assert main(["train", model, "--hidden", "4", "--data", "a.npz", "--epochs", "2", "--batch-size", "1",
                 "--out", "run"]) == 0
    for verb in (["evaluate", "run", "--samples", "3"], ["sample", "run"], ["explore", "run"]):
        assert main(verb) == 0


def test_a_run_goes_on_as_if_it_had_not_stopped(folder):
    photographs(folder)
    train = ["train", "vae", "--hidden", "8", "--data", "photos", "--size", "8", "--batch-size", "8"]
    assert main([*train, "--epochs", "3", "--out", "whole"]) == 0
    assert main([*train, "--epochs", "1", "--out", "part"]) == 0
    assert main(["train", "--resume", "part", "--epochs", "3"]) == 0
    for name in (checkpoint.NAME, "config.json", "protocol.csv", "reconstructions.png"):
        assert (folder / "whole" / name).read_bytes() == (folder / "part" / name).read_bytes(), name


def test_images_that_moved_or_changed_are_said(folder, capsys):
    photographs(folder)
    assert main(["train", "vae", "--hidden", "8", "--data", "photos", "--size", "8", *TRAIN]) == 0
    shutil.move("photos", "elsewhere")
    for verb in (["evaluate", "run"], ["explore", "run"], ["encode", "run"], ["step", "run", "--table"],
                 ["profile", "run", "--steps", "1"], ["train", "--resume", "run", "--epochs", "2"]):
        assert main(verb) == 1
        said = capsys.readouterr().err
        assert "there is no file or folder" in said and "--root FOLDER says where they are" in said
        assert main([*verb, "--root", "elsewhere"]) == 0
    photograph(9, 9).save("elsewhere/cat/0.png")
    for verb in (["evaluate", "run", "--root", "elsewhere"], ["train", "--resume", "run", "--epochs", "3"]):
        assert main(verb) == 1 and "have changed since the run began" in capsys.readouterr().err


@pytest.mark.parametrize(("options", "says"), [
    (["--data", "missing"], "neither one of rectangles, squares, mnist nor a file or folder that is there"),
    (["--data", "photos"], "--size 28"), (["--data", "a.npy", "--size", "8"], "this is an array"),
    (["--data", "a.npy", "--strict"], "this is an array"),
    (["--data", "rectangles", "--size", "8"], "--size does not go with --data rectangles"),
    (["--data", "mnist", "--test-share", "0.1"], "--test-share does not go with --data mnist"),
    (["--data", "a.npy", "--root", "."], "--root does not go with --data a.npy"),
    (["--data", "photos", "--size", "8", "--strict"], "broken.png: no image that Pillow can read; remove it"),
    (["--data", "a.npy", "--test-share", "1"], "'1' is not a share, above 0 and below 1"),
    (["--data", "a.npy", "--images", "99"], "has 36 images to learn from, not 99"),
    (["--data", "photos", "--size", "0"], "is not a whole number from 1")])
def test_what_does_not_fit_is_one_clear_line(folder, options, says, capsys):
    photographs(folder)
    array(folder)
    try:
        status = main(["train", "vae", *options, *TRAIN])
    except SystemExit as stop:
        status = stop.code
    assert status and says in capsys.readouterr().err and not (folder / "run").exists()


def test_an_image_that_a_model_cannot_halve_is_said_before_training(folder, capsys):
    np.save("a.npy", np.zeros((40, 15, 15), np.uint8))
    assert main(["train", "conv", "--data", "a.npy", *TRAIN]) == 1
    assert "an image of 15×15 cannot be halved 3 times" in capsys.readouterr().err
