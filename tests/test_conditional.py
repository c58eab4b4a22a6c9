"""A model that is given labels: its gradient, its numbers, its draws, and every verb on images that have labels."""

import os

import numpy as np
import pytest
from PIL import Image
from test_resume import contents

import minivae as mv
from minivae import backend, checkpoint, evaluation, nn
from minivae.cli import main, pictures
from minivae.data import Batches, Redrawn, data_set
from minivae.errors import OptionError, ShapeError
from minivae.models import conditional_vae
from minivae.models.own_model import find
from minivae.training import Training

everywhere = pytest.mark.usefixtures("library")
SHAPES = "bar", "pole", "square"
CLASSES, SIDE = len(SHAPES), 8


def drawn(n=90, seed=0):
    """(images (n, 8, 8) of bars, poles and squares, their labels)."""
    random = np.random.default_rng(seed)
    labels, images = random.integers(0, CLASSES, n), np.zeros((n, SIDE, SIDE), np.uint8)
    for image, label in zip(images, labels):
        row, column = random.integers(0, 4, 2)
        image[(slice(row, row + 2), slice(None), slice(row, row + 5))[label],
              (slice(None), slice(column, column + 2), slice(column, column + 5))[label]] = 255
    return images, labels


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """shapes.npz, and a folder `files` whose folders inside are the labels."""
    monkeypatch.chdir(tmp_path)
    images, labels = drawn()
    np.savez("shapes.npz", images=images, labels=np.array(SHAPES)[labels])
    for k, (image, label) in enumerate(zip(images, labels)):
        os.makedirs(f"files/{SHAPES[label]}", exist_ok=True)
        Image.fromarray(image).save(f"files/{SHAPES[label]}/{k}.png")
    return tmp_path


def small(**options):
    backend.manual_seed(0)
    return conditional_vae(image=(1, SIDE, SIDE), labels=CLASSES, **{"hidden": 16, "code": 2} | options)


def rows(n=6):
    images, labels = drawn(n)
    return np.concatenate([images.reshape(n, -1) / 255, np.eye(CLASSES)[labels]], axis=1).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 3])
def test_gradients_of_weights_images_and_labels(samples):
    report = mv.gradcheck(small(samples=samples, hidden=5), rows(4))
    assert report.ok, report


@pytest.mark.parametrize("samples", [1, 2])
def test_it_is_what_pytorch_derives(samples):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install torch==2.13.0 runs this")
    model, x = small(samples=samples, beta=0.7).double(), rows(5).astype(np.float64)
    model.hold_noise()
    criterion, logits = model.criterion(), model.forward(x)
    loss = criterion.forward(logits, model.target(x)) + mv.side_loss(model)
    model.zero_grad_parameters()
    grad_input = model.backward(x, criterion.backward(logits, model.target(x)))

    theirs = torch.tensor(x, requires_grad=True)
    weights = [torch.tensor(each, requires_grad=True) for each in model.parameters()[0]]
    linear = torch.nn.functional.linear
    h = torch.relu(linear(torch.relu(linear(theirs, *weights[:2])), *weights[2:4]))
    mean, log_var = linear(h, *weights[4:6]), linear(h, *weights[6:8])
    noise = torch.tensor(model.sampler.noise.reshape(5, samples, -1))
    z = (mean[:, None] + torch.exp(log_var / 2)[:, None] * noise).reshape(5 * samples, -1)
    h = torch.cat([z, theirs[:, -CLASSES:].repeat_interleave(samples, dim=0)], dim=1)
    output = linear(torch.relu(linear(torch.relu(linear(h, *weights[8:10])), *weights[10:12])), *weights[12:])
    image = theirs[:, :-CLASSES].detach().repeat_interleave(samples, dim=0)  # which the criterion is no function of
    total = torch.nn.functional.binary_cross_entropy_with_logits(output, image, reduction="sum") / samples
    total = total + 0.7 * 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
    total.backward()
    assert float(loss) == pytest.approx(total.item(), rel=1e-12)
    for mine, other in zip([*model.parameters()[1], grad_input], [*weights, theirs], strict=True):
        np.testing.assert_allclose(mine, other.grad.numpy(), rtol=1e-9, atol=1e-12)


@everywhere
def test_codes_are_decoded_under_the_labels_that_are_asked_for():
    model = small().evaluate()
    z = backend.from_numpy(np.random.default_rng(0).normal(0, 1, (6, 2)).astype(np.float32))
    each = [backend.to_numpy(model.condition(label).decode(z)) for label in range(CLASSES)]
    assert len({array.tobytes() for array in each}) == CLASSES
    mixed = backend.to_numpy(model.condition([0, 0, 1, 1, 2, 2]).decode(z))
    np.testing.assert_allclose(mixed, np.concatenate([each[k // 2][k:k + 1] for k in range(6)]), rtol=1e-5, atol=1e-7)
    draws = []
    for label in (None, 2, [0, 0, 0, 1, 1, 1, 2, 2, 2]):
        backend.manual_seed(3)
        draws.append(backend.to_numpy(model.sample(9, label)))
    assert np.array_equal(draws[0], draws[2])
    np.testing.assert_allclose(draws[0][6:], draws[1][6:], rtol=1e-5, atol=1e-7)


def test_labels_that_cannot_be_are_refused():
    model = small()
    with pytest.raises(OptionError, match=r"decoder\.0 AppendLabel\(3\): under which label\?"):
        model.decode(np.zeros((1, 2), np.float32))
    for wrong in (3, -1, 0.5, 1.0, True, "pole", [], [[0]], None):
        with pytest.raises(OptionError, match="numbered from 0 to 2; give a whole number"):
            model.condition(wrong)
    assert len(model.sample(0)) == len(model.sample(0, 2)) == 0
    for n in (0, 3):
        with pytest.raises(OptionError, match="numbered from 0 to 2"):
            model.sample(n, 3)
        with pytest.raises(OptionError, match="this model has 0 labels"):
            conditional_vae(image=(2, 2), hidden=3).sample(n, label=2)
    with pytest.raises(ShapeError, match="5 codes for 2 labels"):
        model.condition([0, 1]).decode(np.zeros((5, 2), np.float32))
    with pytest.raises(ShapeError, match="67"):
        model.forward(rows()[:, :-1])


def test_copies_have_a_label_of_their_own():
    model = small()
    twin = model.clone()
    twin.condition(1)
    assert model.label.rows is None and twin.label is twin.encoder[1].label is twin.decoder[0].label


@everywhere
def test_training_finds_what_the_code_need_not_say():
    """The label says which of the three shapes: with no code at all the images of each have a mean of their own."""
    images, labels = drawn(300)
    data = data_set.DataSet(images, images[:60], labels[:60], 1 / 255, None, True, True, "shapes", SHAPES,
                            train_labels=labels).labelled()
    model = small(hidden=32)
    training = Training(model, Batches(data.train, 20, data.scale, by_epoch=True), learning_rate=5e-3)
    training.run(300, progress=False)
    bound = evaluation.elbo(model, data.test, data.scale).value
    other = data.test.copy()
    other[:, -CLASSES:] = np.roll(other[:, -CLASSES:], 1, axis=1)
    assert bound > evaluation.elbo(model, other, data.scale).value + 5, "the label makes no difference"
    assert evaluation.log_likelihood(model, data.test, data.scale, samples=20).value > bound


@pytest.mark.parametrize("how", [None, "threshold", "each_epoch"])
def test_a_data_set_gives_labels_with_its_images(folder, how):
    plain = data_set.build("own", path="shapes.npz", binarize=how)
    data = plain.labelled()
    assert data.image == plain.image == (1, SIDE, SIDE) and data.names == SHAPES
    for source, known, labels in ((data.train, plain.train, plain.train_labels), (data.test, plain.test, plain.labels)):
        batch = Batches(source, len(source), data.scale, by_epoch=True)
        x, order = batch.next(), batch.order
        assert np.array_equal(x[:, -CLASSES:], np.eye(CLASSES)[labels[order]])
        grey = known.grey if isinstance(known, Redrawn) else known
        scale = 1 / 255 if isinstance(known, Redrawn) else plain.scale
        if how != "each_epoch" or not isinstance(known, Redrawn):
            np.testing.assert_allclose(x[:, :-CLASSES], grey[order].reshape(len(x), -1) * scale, rtol=1e-6)
    with pytest.raises(OptionError, match=r"rectangles: its images have no labels.*--data mnist"):
        data_set.build("rectangles", images=20).labelled()


TRAIN = ["train", "conditional", "--hidden", "8", "--code", "3", "--batch-size", "16"]


@pytest.mark.parametrize("data", ["shapes.npz", "files"])
def test_every_verb_works_on_its_runs(folder, capsys, data):
    assert main([*TRAIN, "--data", data, "--epochs", "1", "--out", "run"]) == 0
    assert "a label a row" in capsys.readouterr().out
    for verb in (["evaluate", "run", "--samples", "2"], ["sample", "run", "--label", "pole"], ["explore", "run"],
                 ["sample", "run", "--label", "2"], ["encode", "run"], ["encode", "run", "--train"], ["runs", "run"],
                 ["step", "run", "--table"], ["step", "run", "--html", "step.html"], ["profile", "run", "--steps", "1"],
                 ["compare", "run", "run"]):
        assert main(verb) == 0, (verb, capsys.readouterr().err)
    said = capsys.readouterr().out
    assert "under label pole" in said and "under label square" in said and "\nELBO, given the label" in said
    with np.load("run/codes.npz") as codes:
        assert codes["names"].tolist() == list(SHAPES) and len(codes["codes"]) == len(codes["labels"]) == 81
    assert checkpoint.read("run")[0]["config"]["labels"] == list(SHAPES)
    for wrong in ("circle", "3", "-1", "0000000002", ""):
        assert main(["sample", "run", f"--label={wrong}"]) == 1
        assert "bar, pole, square" in capsys.readouterr().err
    model = mv.load("run")
    assert model.labels == CLASSES and model.condition(1).sample(2, 1).shape == (2, 1, SIDE, SIDE)


def test_a_code_of_two_has_a_plane_for_each_label(folder, capsys):
    assert main([*TRAIN, "--code", "2", "--data", "shapes.npz", "--epochs", "1", "--out", "run"]) == 0
    assert "under label bar" in capsys.readouterr().out
    sheets = []
    for label in SHAPES:
        assert main(["sample", "run", "--label", label]) == 0
        with Image.open("run/interpolations.png") as sheet:
            sheets.append(np.asarray(sheet).tobytes())
    assert len(set(sheets)) == CLASSES


def test_each_row_of_samples_is_of_its_label(tmp_path, monkeypatch):
    labels, seen = pictures.ROWS + 10, []
    model = conditional_vae(image=(2, 2), labels=labels, hidden=4, code=3)
    condition = model.condition
    monkeypatch.setattr(model, "condition", lambda label: condition(seen.append(list(label)) or label))
    pictures.latent_picture(model, tmp_path, names=[str(k) for k in range(labels)])
    assert seen[0] == [k for k in range(pictures.ROWS) for _ in range(20)]


def test_images_without_labels_and_models_that_take_none_are_explained(folder, capsys):
    assert main([*TRAIN, "--data", "rectangles", "--images", "32"]) == 1
    assert "rectangles: its images have no labels" in capsys.readouterr().err and not os.path.exists("runs/conditional")
    assert main(["train", "vae", "--data", "shapes.npz", "--hidden", "4", "--epochs", "1", "--out", "run"]) == 0
    assert main(["sample", "run", "--label", "pole"]) == 1
    assert "the model of run is given no labels" in capsys.readouterr().err


@pytest.mark.parametrize("how", [[], ["--binarize", "each_epoch"]])
def test_it_resumes_as_if_it_had_never_stopped(folder, monkeypatch, how):
    monkeypatch.setattr(pictures, "draw", lambda *_: [])
    for name, epochs in (("whole", "3"), ("parts", "1")):
        assert main([*TRAIN, "--data", "shapes.npz", "--keep-best", "--epochs", epochs, "--out", name, *how]) == 0
    assert main(["train", "--resume", "parts", "--epochs", "3"]) == 0
    assert contents("parts") == contents("whole")


OWN = '''from minivae import nn
from minivae.models import ConditionalVAE


def mine(image, labels, width: int = 6):
    """One of one's own, which is given labels."""
    label, d = nn.Label(labels), image[0] * image[1] * image[2]
    encoder = nn.Sequential(nn.KeepLabel(label), nn.Linear(d + labels, width), nn.Tanh(),
                            nn.ConcatTable(nn.Linear(width, 3), nn.Linear(width, 3)))
    decoder = nn.Sequential(nn.AppendLabel(label), nn.Linear(3 + labels, d), nn.View(*image))
    return ConditionalVAE(encoder, nn.GaussianKL(), nn.GaussianSampler(), decoder, 3, label=label)
'''


def test_a_function_of_ones_own_with_labels_is_given_them(folder):
    (folder / "my.py").write_text(OWN)
    assert main(["train", "my.py:mine", "--data", "files", "--epochs", "1", "--out", "run"]) == 0
    for verb in (["evaluate", "run"], ["sample", "run", "--label", "bar"], ["explore", "run"]):
        assert main([*verb, "--model", "my.py:mine"]) == 0
    config = checkpoint.read("run")[0]["config"]
    assert config["options"]["labels"] == CLASSES and config["labels"] == list(SHAPES)


def test_codes_that_labels_are_read_beside_are_not_summed_over(folder, capsys):
    bits = OWN.replace("nn.ConcatTable(nn.Linear(width, 3), nn.Linear(width, 3))", "nn.Linear(width, 3)")
    bits = bits.replace("nn.GaussianKL(), nn.GaussianSampler()", "nn.BernoulliKL(), nn.Sequential("
                        "nn.BernoulliSampler(), nn.Sigmoid(), nn.HardBits())")
    (folder / "my.py").write_text(bits)
    assert main(["train", "my.py:mine", "--data", "files", "--epochs", "1", "--out", "run"]) == 0
    assert main(["evaluate", "run", "--trust", "--samples", "9"]) == 0
    assert "over all codes" not in capsys.readouterr().out
    model = mv.load("run", build=find(str(folder / "my.py") + ":mine").function)
    with pytest.raises(OptionError, match="sees their labels; log_likelihood estimates it"):
        evaluation.exact_log_likelihood(model, np.zeros((2, SIDE * SIDE + CLASSES), np.uint8))


def test_it_has_layers_of_its_own_only_where_there_are_labels():
    plain = conditional_vae(image=(2, 2), hidden=3)
    assert not plain.find_modules(nn.KeepLabel) and plain.target(1) == 1
    assert plain.reconstruct(np.zeros((2, 4), np.float32)).shape == (2, 2, 2)
