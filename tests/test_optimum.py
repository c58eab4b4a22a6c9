"""The recipes that come near to the optimum of the rectangles, and what they need."""

import csv

import numpy as np
import pytest

from minivae import backend, models
from minivae.cli import main
from minivae.data import Batches, data_set, is_full_square, squares
from minivae.errors import OptionError
from minivae.schedules import WarmUp
from minivae.training import Training


def test_there_are_256_squares_and_each_comes_once():
    found = squares()
    assert found.shape == (256, 1, 24, 24) and found.dtype == np.uint8 and is_full_square(found).all()
    assert len({image.tobytes() for image in found}) == 256
    assert squares(5, 4, 3).reshape(6, 20).tolist()[1] == [0, 1, 1, 1] * 3 + [0] * 8
    with pytest.raises(OptionError, match="smallest"):
        squares(side=25)


def test_a_batch_of_all_squares_is_their_distribution():
    data = data_set.build("squares")
    batches = Batches(data.train, 256, data.scale, data.by_epoch, rounds=data.rounds)
    assert len(batches) == data.rounds == 100
    for _ in range(3):
        assert {image.tobytes() for image in batches.next().astype(np.uint8)} == {x.tobytes() for x in squares()}


def test_an_epoch_has_so_many_rounds():
    assert [len(Batches(squares(), 100, by_epoch=True, drop_last=last, rounds=3)) for last in (False, True)] == [9, 6]
    with pytest.raises(OptionError, match="rounds"):
        Batches(squares(), 100, rounds=0)


def test_the_preset_begins_to_learn():
    options = {name: each for name, each in models.BERNOULLI.presets["optimum"].settings.items()
               if name in models.BERNOULLI.parameters}
    assert options["code"] == 8
    backend.manual_seed(0)
    model = models.build("bernoulli", **options | {"hidden": 64})
    training = Training(model, Batches(squares(), 256, by_epoch=True), 1e-3,
                        beta=WarmUp(3500, 1.0, 50.0), estimator="exact")
    training.run(120, progress=False)
    assert training.protocol["beta"][:2].tolist() == pytest.approx([50, 50 - 49 / 3500], rel=1e-5)
    total = training.protocol["reconstruction"]
    assert total[-20:].mean() < 0.7 * total[:5].mean()


def test_the_preset_of_two_numbers_takes_its_settings_and_falls(tmp_path, capsys):
    folder = tmp_path / "run"
    assert main(["train", "vae", "--preset", "optimum", "--hidden", "8", "--epochs", "1", "--images", "16",
                 "--batch-size", "16", "--kl-warm-up", "90", "--out", str(folder)]) == 0
    with (folder / "protocol.csv").open(encoding="utf-8") as file:
        rows = [{name: float(value or "nan") for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows[0]["beta"] == 12 and rows[45]["beta"] == pytest.approx(6.5) and rows[-1]["beta"] == 1
    assert rows[0]["learning_rate"] == pytest.approx(3e-3) and rows[-1]["learning_rate"] < 1e-5


def test_a_run_by_the_preset_is_evaluated_exactly(tmp_path, capsys):
    folder = str(tmp_path / "run")
    assert main(["train", "bernoulli", "--preset", "optimum", "--hidden", "8", "--epochs", "1", "--images", "16",
                 "--batch-size", "16", "--out", folder]) == 0
    assert main(["evaluate", folder, "--images", "256"]) == 0
    assert "log p(x), exact" in capsys.readouterr().out
    assert main(["sample", folder]) == 0
    assert "full 9×9 square" in capsys.readouterr().out


def test_a_start_of_the_divergence_goes_with_its_warm_up(tmp_path, capsys):
    assert main(["train", "vae", "--kl-start", "9", "--out", str(tmp_path / "run")]) != 0
    assert "--kl-warm-up STEPS too, or --kl-start none" in capsys.readouterr().err
    assert main(["train", "vae", "--kl-start", "9", "--kl-warm-up", "0", "--out", str(tmp_path / "run")]) != 0
    assert "--kl-warm-up STEPS too" in capsys.readouterr().err
    assert main(["train", "bernoulli", "--preset", "optimum", "--kl-warm-up", "0", "--hidden", "8", "--epochs", "1",
                 "--images", "16", "--batch-size", "16", "--out", str(tmp_path / "run")]) == 0
    assert "beta" not in (tmp_path / "run" / "protocol.csv").read_text()
