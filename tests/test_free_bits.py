"""Free bits: a unit of the code is not charged for less than so many nats, on the mean over a batch."""

import numpy as np
import pytest

import minivae as mv
from minivae import backend, models, nn
from minivae.cli import main, pictures
from minivae.data import Batches, rectangles
from minivae.errors import MinivaeError, OptionError
from minivae.training import Training

CASES = {
    "gaussian": (nn.GaussianKL, [(7, 5), (7, 5)]),
    "bits": (lambda **options: nn.BernoulliKL(prior=0.3, **options), [(7, 5)]),
    "categories": (nn.CategoricalKL, [(7, 5, 3)]),
    "learned bits": (lambda **options: learned(nn.LearnedBernoulliKL(5, **options)), [(7, 5)]),
    "learned categories": (lambda **options: learned(nn.LearnedCategoricalKL(5, 3, **options)), [(7, 5, 3)])}


def learned(kl):
    kl.prior_logits[:] = np.random.default_rng(4).normal(size=kl.prior_logits.shape)
    return kl


def parameters(shapes, seed=0):
    """Parameters of codes of five units."""
    random = np.random.default_rng(seed)
    found = tuple(random.normal(0, 1, shape) * np.linspace(0.05, 2, 5).reshape(5, *[1] * (len(shape) - 2))
                  for shape in shapes)
    return found if len(found) > 1 else found[0]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("beta", [1, 0.5])
def test_the_loss_is_the_sum_of_what_is_charged(name, beta):
    make, shapes = CASES[name]
    q = parameters(shapes)
    units = make().double().units(q).sum(axis=0)
    free = float(np.sort(units)[2] + np.sort(units)[3]) / 2 / 7  # three of the five units stay below it
    kl = make(beta=beta, free_bits=free).double()
    kl.forward(q)
    assert float(kl.divergence) == pytest.approx(units.sum())
    assert float(kl.loss) == pytest.approx(beta * np.maximum(units, 7 * free).sum())
    zero = tuple(np.zeros_like(each) for each in q) if isinstance(q, tuple) else np.zeros_like(q)
    mine, all_of_it = kl.backward(q, zero), make(beta=beta).double()
    all_of_it.forward(q)
    for each, whole in zip(*(got if isinstance(got, tuple) else (got,) for got in (mine, all_of_it.backward(q, zero)))):
        paid = units > 7 * free
        np.testing.assert_allclose(each[:, paid], whole[:, paid], rtol=1e-12)
        assert paid.sum() == 2 and not each[:, ~paid].any() and whole[:, ~paid].any()
    assert mv.gradcheck(kl, q).ok


@pytest.mark.parametrize("name", CASES)
def test_none_are_free_unless_they_are_asked_for(name):
    make, shapes = CASES[name]
    assert make().free_bits == 0 and "free_bits" not in repr(make()) and "free_bits=0.25" in repr(make(free_bits=0.25))
    for wrong in (-1, float("nan"), "many"):
        with pytest.raises(OptionError, match=r"free_bits .*a number of nats from 0"):
            make(free_bits=wrong)
    plain, free = make().double(), make(free_bits=1e-300).double()
    q = parameters(shapes)
    plain.forward(q)
    free.forward(q)
    assert float(plain.loss) == pytest.approx(float(free.loss), rel=1e-12)


def test_a_layer_of_ones_own_that_does_not_see_to_them_is_told():
    class Own(nn.Divergence):
        def update_output(self, input):
            self.divergence, self.output = 1.0, input
            return input

    layer = Own()
    layer.forward(np.zeros((2, 2), np.float32))
    assert layer.loss == 1
    layer.free_bits = 0.5
    with pytest.raises(MinivaeError, match=r"does not call keep\(divergence, parameters\)"):
        assert layer.loss


def test_an_objective_without_a_divergence_has_none():
    model = models.vae(image=(1, 6, 6), hidden=4, code=2)
    model.kl.free_bits = 0.1
    with pytest.raises(OptionError, match="leave beta out, and free_bits"):
        Training(model, Batches(rectangles(20, 6, 6, sides=(3, 3)), 4), objective="iwae")


def test_units_stay_open_that_would_close():
    """16 squares are ln 16 = 2.8 nats, for which a few units will do; with free bits all sixteen say 0.3 nats or so."""
    open_units = []
    for free in (0.0, 0.3):
        backend.manual_seed(0)
        model = models.vae(image=(1, 6, 6), hidden=16, code=16)
        model.kl.free_bits = free
        images = rectangles(64, 6, 6, sides=(3, 3))
        Training(model, Batches(images, 16), learning_rate=3e-3).run(600, progress=False)
        units = model.kl.units(model.encode(images.astype(np.float32))).mean(axis=0)
        open_units.append(int((units > 0.1).sum()))
    assert open_units[1] == 16 > open_units[0], open_units


def test_the_option_reaches_training_and_the_verbs_that_look_at_a_step(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pictures, "draw", lambda *_: [])
    tiny = ["--images", "64", "--hidden", "8", "--epochs", "2", "--seed", "1"]
    for out, more in (("free", ["--free-bits", "9"]), ("plain", []), ("unweighed", ["--beta", "0"])):
        assert main(["train", "vae", *tiny, *more, "--out", out]) == 0
    weights = {out: mv.load(out).state_dict()["encoder.1.weight"] for out in ("free", "plain", "unweighed")}
    assert np.array_equal(weights["free"], weights["unweighed"]), "nothing is charged below nine nats a unit"
    assert not np.array_equal(weights["free"], weights["plain"])
    assert main(["profile", "free", "--steps", "1"]) == 0 == main(["step", "free", "--table"])
