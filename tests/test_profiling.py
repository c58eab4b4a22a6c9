"""The profile of a training step: its parts, their sizes, and nothing left behind."""

import pytest

from minivae import models, nn
from minivae.cli import main
from minivae.cli import profile as cli_profile
from minivae.data import Batches, rectangles
from minivae.debug.profiling import profile
from minivae.errors import OptionError
from minivae.training import Training


def test_every_part_of_a_step_is_in_it():
    model = models.vae(hidden=32)
    training = Training(model, Batches(rectangles(100), 16))
    found = profile(training, steps=10)
    parts = {part.title: part for part in found.parts}
    leaves = [module for module in model.list_modules() if not module.children()]
    assert [part.title for part in found.parts[1:1 + len(leaves)]] == [module.title for module in leaves]
    linear = parts["encoder.3 Linear(32 -> 32)"]
    assert linear.forward > 0 < linear.backward and linear.parameters == 2 * 4 * (32 * 32 + 32)
    assert linear.buffers >= 2 * 4 * 16 * 32
    assert linear.products == 3 * 16 * 32 * 32, "y, ∂L/∂x and ∂L/∂W"
    assert parts["encoder.1 Linear(576 -> 32)"].products == 2 * 16 * 576 * 32, "nobody wants ∂L/∂x"
    assert parts["encoder.2 ReLU"].products == 0
    adam = parts["Adam, and the protocol"]
    assert adam.backward > 0 and adam.buffers == 2 * training.parameters.nbytes
    assert sum(part.forward + part.backward for part in found.parts) == pytest.approx(found.total)
    text = str(found)
    assert "Mean of 10 steps" in text and "100%" in text and "slower than another of its size" in text


def test_bytes_are_counted_and_compared_with_the_least():
    model = models.vae(hidden=32)
    found = profile(Training(model, Batches(rectangles(100), 16)), steps=1)
    parts, size = {part.title: part for part in found.parts}, 4 * sum(each.size for each in model.parameters()[0])
    relu = parts["encoder.2 ReLU"]
    assert relu.moved == relu.least == 4 * 5 * 16 * 32, "x to y; y or x, and ∂L/∂y, to ∂L/∂x"
    linear = parts["encoder.1 Linear(576 -> 32)"]
    weight, bias, x, y = 4 * 32 * 576, 4 * 32, 4 * 16 * 576, 4 * 16 * 32
    forward, backward = x + weight + bias + y, (y + x + 2 * weight) + (y + 2 * bias)
    assert linear.moved == forward + backward and linear.least == linear.moved - y, "y is read for both, W and b"
    assert parts["zero gradients"].moved == size
    assert parts["Adam, and the protocol"].moved >= 7 * size, "x, m and v are read and written, the gradient is read"
    assert parts["encoder.0 View(576)"].moved == 0
    whole = found.traffic()
    assert f"{sum(part.moved for part in found.parts) / 1e6:.2f}" in whole and "least MB" in whole


def test_nothing_is_left_behind():
    training = Training(models.vae(hidden=4), Batches(rectangles(100), 16))
    profile(training, steps=2)
    for owner in (*training.model.list_modules(), training.criterion, training.batches):
        assert not {"update_output", "update_grad_input", "acc_grad_parameters", "zero_grad_parameters", "next"} & set(
            vars(owner))


def test_a_failing_step_leaves_nothing_behind_either():
    training = Training(models.vae(hidden=4), Batches(rectangles(100), 16))

    class Broken(nn.ReLU):
        def update_grad_input(self, input, grad_output):
            if len(training.protocol) > 6:
                raise ValueError("broken")
            return super().update_grad_input(input, grad_output)

    training.model.decoder.modules[1].__class__ = Broken
    with pytest.raises(ValueError, match="broken"):
        profile(training, steps=5)
    assert "update_grad_input" not in vars(training.model.decoder[1])


def test_profile_of_a_model(capsys):
    assert main(["profile", "vae", "--steps", "2", "--batch-size", "4"]) == 0
    out = capsys.readouterr().out
    assert "decoder.4 Linear(1152 -> 576)" in out and "forward ms" in out and "a step" in out
    assert "moved MB" not in out
    assert main(["profile", "vae", "--steps", "2", "--batch-size", "4", "--bytes"]) == 0
    assert "moved MB" in capsys.readouterr().out
    assert main(["profile", "gan"]) == 1


@pytest.mark.parametrize(("how", "name", "moments"), [([], "Adam", 2), (["--momentum", "0.9"], "SGD", 1)])
def test_a_run_is_profiled_with_its_optimiser(tmp_path, monkeypatch, capsys, how, name, moments):
    found = []
    monkeypatch.setattr(cli_profile, "profile", lambda *what: found.append((what[0], profile(*what))))
    run = str(tmp_path / "run")
    assert main(["train", "vae", "--images", "32", "--hidden", "8", "--epochs", "1", "--out", run, *how]) == 0
    assert main(["profile", run, "--steps", "1"]) == 0
    (training, table), = found
    assert table.parts[-1].title == f"{name}, and the protocol"
    assert table.parts[-1].buffers == moments * training.parameters.nbytes


@pytest.mark.parametrize(("what", "steps", "said"), [(models.vae, 10, "training is an instance of Training"),
                                                     (None, 0, "steps is a whole number from 1")])
def test_what_has_no_steps_is_refused(what, steps, said):
    training = Training(models.vae(image=(1, 4, 4), hidden=4), Batches(rectangles(20, 4, 4, sides=(2, 2)), 5))
    with pytest.raises(OptionError, match=said):
        profile(what or training, steps=steps)
