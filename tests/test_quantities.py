"""Numbers are called what they are: no likelihood of grey pixels, no bound from relaxed codes, one orientation."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from small import built

from minivae import checkpoint, figures, models, objectives
from minivae.cli import main
from minivae.figures import codes, curves
from minivae.protocol import Protocol
from minivae.quantities import quantities

BOUND = re.compile(r"ELBO|log p|log-likelihood", re.IGNORECASE)


def made(name, **options):
    return built(name, options, image=(1, 8, 8), hidden=4, code=2, categories=3, planes=(2,))


@pytest.mark.parametrize("name", models.BY_NAME)
def test_grey_pixels_under_a_bernoulli_have_no_bound(name):
    names = quantities(made(name), grey=True)
    assert not any(BOUND.search(each) for each in (names.loss, names.test, names.elbo, names.weighted, names.exact))
    assert "not a likelihood" in names.note and "--binarize fixed" in names.note


@pytest.mark.parametrize(("name", "loss"), [
    ("vae", "−ELBO"), ("conv", "−ELBO"), ("aevb", "−ELBO"), ("denoising", "−ELBO of noisy images"),
    ("bernoulli", "surrogate, of relaxed codes"), ("categorical", "surrogate, of relaxed codes")])
def test_bits_have_a_bound_and_relaxed_codes_a_surrogate(name, loss):
    names = quantities(made(name), grey=False)
    assert (names.loss, names.test, names.elbo, names.note) == (loss, "−ELBO", "ELBO", "")


def test_what_is_given_the_label_says_so():
    model = models.conditional_vae(image=(2, 2), hidden=3, labels=2, samples=3)
    names = quantities(model, grey=False)
    assert (names.elbo, names.weighted) == ("ELBO, given the label", "log p(x|label) ≥")
    assert names.loss == names.test == "−ELBO, given the label"
    weighted = quantities(model, grey=False, objective=objectives.build(model, "iwae"))
    assert (weighted.loss, weighted.test) == ("−IWAE bound of 3 draws, given the label", names.test)
    assert quantities(models.conditional_vae(image=(2, 2), hidden=3), grey=False).elbo == "ELBO"


def test_hard_codes_are_no_surrogate_and_densities_are_likelihoods_of_grey():
    assert quantities(made("bernoulli", straight_through=True), grey=False).loss == "−ELBO"
    for likelihood in ("gaussian", "identity_gaussian", "continuous_bernoulli"):
        assert quantities(made("aevb", likelihood=likelihood), grey=True).elbo == "ELBO"


@pytest.fixture
def letters(monkeypatch):
    """Every text of every curve that is drawn."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: curves are not drawn")
    found = []

    def rendered(figure):
        axes, = figure.axes
        found.extend([axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel(),
                      *(each.get_text() for each in axes.texts)])
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(curves, "rendered", rendered)
    return found


def test_no_verb_of_a_grey_run_speaks_of_a_likelihood(small_mnist, tmp_path, capsys, letters):
    """Training, evaluation, their files, and the curve."""
    run = tmp_path / "run"
    assert main(["train", "aevb", "--hidden", "5", "--code", "2", "--images", "128", "--epochs", "2",
                 "--root", str(small_mnist), "--out", str(run)]) == 0
    assert main(["evaluate", str(run), "--samples", "3"]) == 0
    said = capsys.readouterr().out
    assert said.count("not a likelihood: pixels are grey") == 2 and "cross-entropy bound" in said
    assert letters and any("cross-entropy + KL" in each for each in letters)
    files = "".join(each.read_text(encoding="utf-8") for each in (*run.glob("*.json"), run / "protocol.csv"))
    assert not BOUND.search(said + files + " ".join(letters))
    found = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    elbo, weighted, _ = found["metrics"]
    assert weighted["value"] >= elbo["value"] - 5 and not found["likelihood"]
    assert (elbo["name"], weighted["name"]) == ("cross-entropy bound", "weighted cross-entropy bound, 3 samples")


def test_bits_of_mnist_are_evaluated_as_a_likelihood(small_mnist, tmp_path, capsys, letters):
    assert main(["train", "aevb", "--hidden", "5", "--code", "2", "--images", "128", "--epochs", "1",
                 "--binarize", "fixed", "--root", str(small_mnist), "--out", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    assert "−ELBO" in said and "not a likelihood" not in said and any("−ELBO" in each for each in letters)


def test_a_relaxed_total_is_never_called_elbo(tmp_path, capsys, letters):
    for name in ("bernoulli", "categorical"):
        options = ["--code", "3", "--hidden", "8", "--images", "100", "--epochs", "1", "--out", str(tmp_path / name)]
        assert main(["train", name, *options]) == 0
        line, = re.findall(r"training, (.*?): [\d.]+ = .*test, (.*?): ", capsys.readouterr().out)
        assert line == ("surrogate, of relaxed codes", "−ELBO")
        total, = [each for each in letters if each.startswith(("surrogate", "−ELBO"))]
        assert total.startswith("surrogate, of relaxed codes")
        letters.clear()


def test_the_curve_has_the_test_bound_and_a_resumed_run_keeps_it(tmp_path, letters, capsys):
    run = tmp_path / "run"
    assert main(["train", "vae", "--hidden", "4", "--images", "64", "--epochs", "2", "--out", str(run)]) == 0
    first = checkpoint.read(run)[1]["tests"]
    assert first.shape == (2, 3) and first[:, 0].tolist() == [4, 8]
    assert main(["train", "--resume", str(run), "--epochs", "3"]) == 0
    tests = checkpoint.read(run)[1]["tests"]
    assert np.array_equal(tests[:2], first) and tests[2, 0] == 12
    assert any(each.startswith("test, −ELBO") and f"{tests[2, 1:].sum():.2f}" in each for each in letters)


def test_names_beside_a_curve_do_not_overlap():
    protocol = Protocol(())
    for step in range(1, 30):
        protocol.add(lambda step=step: step, 1, 5.5, 0.04, {})
    protocol.tests.append((29.0, 5.5, 0.05))
    assert figures.curve(protocol, 5.545) is None or figures.style.apart([0.5, 0.5, 0.51, 0.1], 0.06).tolist() == \
        pytest.approx([0.44333, 0.50333, 0.56333, 0.1], abs=1e-4)


def test_names_of_runs_and_labels_are_drawn_as_they_are(monkeypatch):
    text = pytest.importorskip("matplotlib.text", reason="matplotlib is not installed: nothing is drawn")
    drawn, names = [], ["_zero", "$x_1$", r"$\frac$", "a_b $5", "字", "no text \udcff"]
    for module in (codes, curves):
        monkeypatch.setattr(module, "rendered", lambda figure: drawn.append(figure) or figures.style.rendered(figure))
    figures.scatter(np.random.default_rng(0).random((8, 2)), np.arange(8) % 6, names)
    figures.comparison([(name, np.ones((4, 4)), []) for name in names])
    legend, lines = drawn[0].axes[0].get_legend().get_texts(), drawn[1].axes[0].texts
    names[-1] = "no text ?"
    assert [each.get_text() for each in legend] == names
    assert [each.get_text().split("  ")[0] for each in lines] == names
    assert not any(each.get_parse_math() for figure in drawn for each in figure.findobj(text.Text) if "$" in str(each))


def test_the_numbers_of_a_logarithmic_axis_are_powers():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing is drawn")
    axes = figures.style.axes_of(figures.style.new_figure(8, 3), "title", "x", "y")
    axes.loglog([1e-6, 1, 1e4], [1e-8, 1, 1e5])
    figures.style.rendered(axes.figure)
    ticks = [each for axis in (axes.xaxis, axes.yaxis) for each in axis.get_ticklabels() if each.get_text()]
    assert ticks and all(each.get_parse_math() and "$" in each.get_text() for each in ticks)


@pytest.mark.parametrize(("names", "shown"), [
    (["runs/a", "runs/b"], ["runs/a", "runs/b"]), (["runs/" + 30 * "a"] * 2, [28 * "a"] * 2),
    ([f"runs/{k}" + 30 * "a" for k in range(2)], ["0" + 27 * "a", "1" + 27 * "a"]),
    (["/home/somebody/runs/first_of_all", "/home/somebody/runs/second"],
     ["e/somebody/runs/first_of_all", "e/somebody/runs/second"]),
    (["b", *(30 * "a" + end for end in "xy")], ["1. b", "2. " + 28 * "a", "3. " + 28 * "a"])])
def test_names_that_are_shortened_stay_distinct(names, shown):
    assert figures.style.shortened(names, 28) == shown


def test_lines_of_many_runs_can_be_told_apart(monkeypatch):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: nothing is drawn")
    drawn = []
    monkeypatch.setattr(curves, "rendered", drawn.append)
    for count in 10, curves.MOST:
        figures.comparison([(f"run {k}", np.ones((4, 4)), np.ones((1, 3))) for k in range(count)])
        axes, = drawn.pop().axes
        lines = [each for each in axes.lines if each.get_linestyle() != "None" and len(each.get_xdata())]
        assert len({(each.get_color(), each.get_linestyle()) for each in lines}) == count
        texts = axes.texts if count == 10 else axes.get_legend().get_texts()
        assert [each.get_text() for each in texts] == [f"run {k}  2.00" for k in range(count)]


def test_the_plane_grows_to_the_right_and_upwards():
    """A decoder whose first pixel is z₀ and whose second is z₁."""
    model = models.vae(image=(1, 1, 2), hidden=0)
    linear, _ = model.decoder.modules
    linear.weight[...], linear.bias[...] = np.eye(2), 0
    tiles = figures.plane(model, size=5, span=2).reshape(5, 5, 2)
    assert (np.diff(tiles[:, :, 0], axis=1) > 0).all() and (np.diff(tiles[:, :, 0], axis=0) == 0).all()
    assert (np.diff(tiles[:, :, 1], axis=0) < 0).all() and (np.diff(tiles[:, :, 1], axis=1) == 0).all()
    article = figures.plane(model, size=5, span=2, article=True).reshape(5, 5, 2)
    assert (np.diff(article[:, :, 0], axis=0) > 0).all() and (np.diff(article[:, :, 1], axis=1) > 0).all()


def test_black_and_white_tiles_keep_their_lines():
    images = np.full((4, 3, 3), 0.6, np.float32)
    picture = np.asarray(figures.samples_picture(images, columns=2, threshold=True, scale=1).convert("L"))
    values = set(np.unique(picture).tolist())
    assert 255 in values and round(0.25 * 255) in values


def test_a_span_without_a_plane_is_an_error(tmp_path, capsys):
    run = tmp_path / "run"
    assert main(["train", "bernoulli", "--code", "3", "--hidden", "4", "--images", "32", "--epochs", "1", "--out",
                 str(run)]) == 0
    for option in (["--span", "2"], ["--article"]):
        assert main(["sample", str(run), *option]) == 1
        assert f"{option[0]} is of the plane of a code of two numbers" in capsys.readouterr().err
