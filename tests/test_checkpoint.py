"""Files: a checkpoint holds everything, is whole or absent, and what is not one is refused."""

import json
import os
import stat

import numpy as np
import pytest
from rounding import same, terms

from minivae import backend, checkpoint, models, optim
from minivae.data import Batches, rectangles
from minivae.errors import OptionError
from minivae.files import atomic
from minivae.schedules import LearningRate, WarmUp
from minivae.training import Training

CONFIG = {"model": "denoising", "options": {"image": [1, 6, 6], "hidden": 8, "p": 0.1}}


everywhere = pytest.mark.usefixtures("library")


def training(by_epoch=False):
    backend.manual_seed(1)
    model = models.build(CONFIG["model"], **CONFIG["options"])
    return Training(model, Batches(rectangles(70, 6, 6, sides=(3, 3)), 16, by_epoch=by_epoch), learning_rate_decay=0.01)


@pytest.mark.parametrize("by_epoch", [False, True])
def test_continuing_is_the_same_run_bit_for_bit(tmp_path, by_epoch):
    whole = training(by_epoch)
    whole.run(23, progress=False)
    first = training(by_epoch)
    first.run(9, progress=False)
    checkpoint.save(tmp_path / checkpoint.NAME, first, CONFIG)
    second = training(by_epoch)
    backend.manual_seed(99)
    checkpoint.restore(tmp_path, second)
    second.run(14, progress=False)
    assert same(second.parameters, whole.parameters) and second.state["t"] == whole.state["t"]
    assert all(same(second.state[key], whole.state[key]) for key in ("m", "v"))
    assert second.protocol.rows == whole.protocol.rows and second.steps == whole.steps == 23


@everywhere
def test_who_goes_on_after_a_checkpoint_and_who_continues_from_it_are_one(tmp_path):
    first = training()
    first.run(9, progress=False)
    checkpoint.save(tmp_path / checkpoint.NAME, first, CONFIG)
    first.run(14, progress=False)
    second = training()
    backend.manual_seed(99)
    checkpoint.restore(tmp_path, second)
    second.run(14, progress=False)
    assert same(second.parameters, first.parameters) and second.protocol.rows == first.protocol.rows


def rewritten(path, change):
    """Put what `change` makes of the header and the arrays of a checkpoint in its place."""
    with np.load(path) as archive:
        arrays = dict(archive)
    header = json.loads(arrays.pop("header").tobytes())
    change(header, arrays)
    np.savez(path, header=np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays)


@pytest.mark.parametrize("options", [{}, {"beta1": 0.5, "beta2": 0.9}])
def test_a_checkpoint_of_schema_2_goes_on(tmp_path, options):
    """It holds m / (1 − β₁) and v / (1 − β₂)."""
    def older(header, arrays):
        header["schema"] = 2
        arrays["optimiser/m"] /= 1 - options.get("beta1", 0.9)
        arrays["optimiser/v"] /= 1 - options.get("beta2", 0.999)

    whole, second, path = training(), training(), tmp_path / checkpoint.NAME
    whole.state |= options
    whole.run(9, progress=False)
    checkpoint.save(path, whole, CONFIG)
    rewritten(path, older)
    assert checkpoint.restore(path, second) == ["Adam's moments were kept in another scale"]
    for key in ("m", "v"):
        np.testing.assert_allclose(second.state[key], whole.state[key], rtol=3e-7)  # two roundings
    assert second.state["t"] == 9 and np.array_equal(second.parameters, whole.parameters)
    rewritten(path, lambda header, arrays: header["optimiser"].update(beta1=1e308))
    checkpoint.load_model(path)


@everywhere
def test_a_loaded_model_gives_what_the_saved_one_gave(tmp_path):
    trained = training()
    trained.run(5, progress=False)
    checkpoint.save(tmp_path / "one.npz", trained, CONFIG)
    model = checkpoint.load_model(tmp_path / "one.npz")
    x = backend.from_numpy(rectangles(3, 6, 6, sides=(3, 3)).astype(np.float32))
    assert same(model.reconstruct(x), trained.model.reconstruct(x), terms(model, 3))
    assert not model.train and checkpoint.read(tmp_path / "one.npz")[0]["config"] == CONFIG


def test_what_sgd_keeps_comes_back(tmp_path):
    first, second = (Training(models.build(CONFIG["model"], **CONFIG["options"]),
                              Batches(rectangles(70, 6, 6, sides=(3, 3)), 16), momentum=0.9) for _ in range(2))
    first.state |= {"nesterov": True, "weight_decay": 0.1}
    first.run(3, progress=False)
    checkpoint.save(tmp_path / checkpoint.NAME, first, CONFIG)
    checkpoint.restore(tmp_path, second)
    assert second.state["nesterov"] is True and same(second.state["velocity"], first.state["velocity"])
    assert {**second.state, "velocity": 0} == {**first.state, "velocity": 0}


def test_a_float64_model_comes_back_as_one(tmp_path):
    trained = training()
    trained.model.double()
    state = backend.get_random_state()
    checkpoint.save(tmp_path / "one.npz", trained, CONFIG)
    model = checkpoint.load_model(tmp_path / "one.npz")
    assert backend.get_random_state() == state, "loading drew from the training stream"
    assert np.array_equal(model.decoder[0].weight, trained.model.decoder[0].weight)


@pytest.mark.parametrize("default", ["float32", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_comes_back_in_its_dtype_whatever_new_ones_have(tmp_path, dtype, default):
    model = models.build(CONFIG["model"], **CONFIG["options"]).convert(None, dtype)
    checkpoint.save_alone(tmp_path / "one.npz", model, CONFIG)
    backend.set_default_dtype(default)
    again = checkpoint.load_model(tmp_path / "one.npz")
    assert again.dtype == again.decoder[0].weight.dtype == dtype
    assert np.array_equal(again.decoder[0].weight, model.decoder[0].weight)


def test_a_checkpoint_of_other_data_changes_nothing(tmp_path):
    first, other = training(by_epoch=True), training(by_epoch=True)
    first.run(3, progress=False)
    checkpoint.save(tmp_path / "one.npz", first, CONFIG)
    other.batches = Batches(rectangles(50, 6, 6, sides=(3, 3)), 16, by_epoch=True)
    before = other.parameters.copy()
    with pytest.raises(OptionError, match="of 70 images, the data has 50"):
        checkpoint.restore(tmp_path / "one.npz", other)
    assert np.array_equal(other.parameters, before) and "m" not in other.state


WARM = {"beta": WarmUp(10)}


@pytest.mark.parametrize(("one", "other", "said"), [
    ({}, {"momentum": 0.9}, r"optimiser is 'Adam' in .* and 'gradient descent'"),
    ({"momentum": 0.0}, {}, r"optimiser is 'gradient descent' in .* and 'Adam'"),
    ({}, WARM, r"schedules is \[\] in .* and \['beta'\]"),
    (WARM, {}, r"schedules is \['beta'\] in .* and \[\]"),
    ({"learning_rate": LearningRate()}, WARM, r"schedules is \['learning_rate'\] in .* and \['beta'\]"),
    ({}, {"objective": "dreg"}, r"objective is 'elbo' in .* and 'dreg'"),
    ({}, {"n": 50}, r"images is 70 in .* and 50"),
    ({}, {"batch_size": 8}, r"batch_size is 16 in .* and 8"),
    ({}, {"by_epoch": True}, r"by_epoch is False in .* and True"),
    ({}, {"drop_last": True}, r"drop_last is False in .* and True")])
def test_a_training_of_another_make_is_refused_unchanged(tmp_path, one, other, said):
    def made(n=70, batch_size=16, by_epoch=False, drop_last=False, **options):
        batches = Batches(rectangles(n, 6, 6, sides=(3, 3)), batch_size, by_epoch=by_epoch, drop_last=drop_last)
        return Training(models.build("vae", image=(1, 6, 6), hidden=4), batches, **options)

    run, path = made(**one), tmp_path / "one.npz"
    run.run(2, progress=False)
    checkpoint.save(path, run, {"model": "vae", "options": {}})
    target = made(**other)
    weights, state = target.parameters.copy(), dict(target.state)
    with pytest.raises(OptionError, match=said):
        checkpoint.restore(path, target)
    assert np.array_equal(target.parameters, weights) and target.state == state and target.steps == 0
    if said.startswith(("images", "batch_size", "by_epoch", "drop_last", "objective")):
        rewritten(path, lambda header, arrays: header.pop("training"))
        checkpoint.restore(path, target)  # of an earlier version
    target.run(2, progress=False)
    assert target.protocol.array().shape[0] == target.steps


@pytest.mark.parametrize("call", [
    lambda path, run: checkpoint.restore(path, None), lambda path, run: checkpoint.restore(path, run.model),
    lambda path, run: checkpoint.save(run, path, CONFIG)])
def test_what_is_no_training_is_named(tmp_path, call):
    run, path = training(), tmp_path / "one.npz"
    checkpoint.save(path, run, CONFIG)
    with pytest.raises(OptionError, match="training is an instance of Training"):
        call(path, run)


def by_rmsprop(run):
    run.optimiser, run.state = optim.rmsprop, {"learning_rate": 0.01}
    run.step()


@pytest.mark.parametrize(("spoil", "config", "message"), [
    (lambda run: run.protocol.rows.append((4.0, *[np.nan] * 6)), CONFIG, "protocol is none of 3 steps, with losses"),
    (lambda run: run.model.decoder.double(), CONFIG, r"r\.0\.weight has dtype float64, .* converts a whole model"),
    (by_rmsprop, CONFIG, "keeps m, and Adam m, v; a checkpoint is of Adam or gradient descent"),
    (lambda run: run.protocol.tests.append((1.0, 2.0)), CONFIG, r"tests is \[\(1.0, 2.0\)\]; each of its rows is"),
    (lambda run: run.protocol.tests.extend([(1.0, 2.0)] * 3), CONFIG, "each of its rows is"),
    (lambda run: None, {"hello": 1}, "no usable model, options"), (lambda run: None, [], "no usable model, options"),
    (lambda run: None, CONFIG | {"note": 10**50}, "a number of 51 digits")])
def test_what_could_not_be_read_again_is_not_written(tmp_path, spoil, config, message):
    run, path = training(), tmp_path / checkpoint.NAME
    run.run(3, progress=False)
    checkpoint.save(path, run, CONFIG)
    spoil(run)
    with pytest.raises(OptionError, match=f"is not written.*{message}"):
        checkpoint.save(path, run, config)
    assert checkpoint.read(path)[0]["steps"] == 3 and os.listdir(tmp_path) == [checkpoint.NAME]


@pytest.mark.parametrize("spoil", [
    lambda data: b"", lambda data: data[:200], lambda data: b"PK" + data[2:900], lambda data: b"not an archive"])
def test_damaged_files_are_refused(tmp_path, spoil):
    path = tmp_path / checkpoint.NAME
    checkpoint.save(path, training(), CONFIG)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(OptionError, match="is not a minivae checkpoint, or is damaged"):
        checkpoint.load_model(tmp_path)


def test_other_archives_other_schemas_and_pickles_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", header=np.array([{}], dtype=object))
    header = np.frombuffer(json.dumps({"schema": 99}).encode(), np.uint8)
    np.savez(tmp_path / "future.npz", header=header)
    with open(tmp_path / "array.npz", "wb") as file:
        np.save(file, np.zeros(3))
    for name, message in (("array", "is not a minivae"), ("other", "is not a minivae"), ("pickle", "is not a minivae"),
                          ("future", "schema 99"), ("absent", "there is no checkpoint")):
        with pytest.raises(OptionError, match=message):
            checkpoint.load_model(tmp_path / f"{name}.npz")


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    with atomic(path) as file:
        file.write(b"first")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), atomic(path) as file:
        file.write(b"half of the sec")
        raise ZeroDivisionError
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["file"]


def test_a_full_disk_is_an_error_and_the_old_file_stays(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OptionError, match="No space left on device; what was there before is untouched"), \
            atomic(path):
        raise OSError(28, os.strerror(28))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("opens_folders", [True, False])
def test_a_file_and_then_its_name_are_on_the_disk(tmp_path, monkeypatch, opens_folders):
    """After a power cut there is the new file or the old one; Windows opens no folder, and there it is not asked to."""
    done, fsync, replace, open = [], os.fsync, os.replace, os.open

    def watch(descriptor):
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def refuse(path, *rest, **options):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return open(path, *rest, **options)

    monkeypatch.setattr(os, "fsync", watch)
    monkeypatch.setattr(os, "replace", lambda *names: (done.append("name"), replace(*names)))
    if not opens_folders:
        monkeypatch.setattr(os, "open", refuse)
    with atomic(tmp_path / "file", "w") as file:
        file.write("whole")
    assert done == ["file", "name", *["folder"] * (opens_folders and os.name == "posix")]
    assert (tmp_path / "file").read_bytes() == b"whole"


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(OptionError, match=r"cannot write .*choose another folder"), atomic(tmp_path / "no" / "file"):
        pass
