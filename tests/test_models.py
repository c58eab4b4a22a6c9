"""The models: their networks, and encode, decode, reconstruct, sample, criterion."""

import numpy as np
import pytest
from rounding import same, terms
from small import sized

from minivae import backend, models, nn
from minivae.errors import OptionError

SMALL = {"image": (1, 4, 4), "hidden": 6}
SMALL_OF = {name: sized(name, **SMALL, planes=(3, 2)) for name in models.BY_NAME}
each_model = pytest.mark.parametrize("name", models.BY_NAME)


def x(n=5):
    return np.random.default_rng(0).integers(0, 2, (n, 1, 4, 4)).astype(np.float32)


def test_networks_are_the_articles():
    sizes = {name: [(m.n_in, m.n_out) for m in models.build(name).find_modules(nn.Linear)] for name in models.BY_NAME}
    gaussian = [(576, 1152), (1152, 1152), (1152, 2), (1152, 2), (2, 1152), (1152, 1152), (1152, 576)]
    assert sizes["vae"] == sizes["denoising"] == gaussian
    assert sizes["bernoulli"] == [(576, 1152), (1152, 1152), (1152, 50), (50, 1152), (1152, 1152), (1152, 576)]
    assert [type(m).__name__ for m in models.denoising_vae(**SMALL).encoder][:2] == ["View", "BernoulliNoise"]
    sampler = models.bernoulli_vae(**SMALL).sampler
    assert [type(m).__name__ for m in sampler] == ["BernoulliSampler", "Sigmoid", "HardBits"]
    assert sizes["categorical"] == [(576, 1152), (1152, 1152), (1152, 200), (200, 1152), (1152, 1152), (1152, 576)]
    sampler = models.categorical_vae(**SMALL).sampler
    assert [type(m).__name__ for m in sampler] == ["GumbelSoftmaxSampler", "HardOneHot"]
    assert sizes["conv"] == [(288, 2), (288, 2), (2, 288)]
    assert sizes["aevb"] == [(784, 400), (400, 20), (400, 20), (20, 400), (400, 784)]
    assert models.VANILLA.schedule == models.DENOISING.schedule


@each_model
@pytest.mark.parametrize("samples", [1, 3])
def test_shapes_and_matching_criterion(name, samples):
    model = models.build(name, samples=samples, **SMALL_OF[name])
    logits = model.forward(x())
    assert logits.shape == (5 * samples, 1, 4, 4)
    criterion = model.criterion()
    assert isinstance(criterion, nn.BCEWithLogitsCriterion) and criterion.samples == samples
    assert model.criterion() is criterion
    assert criterion.forward(logits, x()) > 0
    assert model.double().criterion().dtype == np.float64


@each_model
def test_flat_images_and_image_rows_are_one(name):
    model = models.build(name, **SMALL_OF[name]).evaluate().hold_noise()
    output = np.array(model.forward(x()))
    assert same(model.forward(x().reshape(5, 16)), output, terms(model, 5))


@each_model
def test_what_is_returned_is_new_and_a_probability(name):
    model = models.build(name, **SMALL_OF[name])
    for give in (lambda: model.reconstruct(x()), lambda: model.sample(5), lambda: model.reconstruct(x(), sample=True)):
        first = give()
        kept = first.copy()
        give()
        assert first.shape == (5, 1, 4, 4) and np.array_equal(first, kept)
        assert ((first > 0) & (first < 1)).all()
    codes = model.encode(x())
    kept = [np.array(each) for each in (codes if isinstance(codes, tuple) else (codes,))]
    model.encode(1 - x())
    assert all(np.array_equal(a, b) for a, b in zip(codes if isinstance(codes, tuple) else (codes,), kept))


def test_reconstruction_decodes_the_mean_or_the_thresholded_bits():
    gaussian, binary = models.vae(**SMALL), models.bernoulli_vae(**SMALL, code=3)
    assert same(gaussian.reconstruct(x()), gaussian.decode(gaussian.encode(x())[0]), terms(gaussian, 5))
    bits = (binary.encode(x()) > 0).astype(np.float32)
    assert same(binary.reconstruct(x()), binary.decode(bits), terms(binary, 5))


def test_reconstruction_decodes_the_most_likely_categories():
    model = models.categorical_vae(**SMALL, code=2, categories=3)
    logits = model.encode(x())
    assert logits.shape == (5, 2, 3) and model.code == 6
    z = (logits == logits.max(axis=2, keepdims=True)).reshape(5, 6).astype(np.float32)
    assert same(model.reconstruct(x()), model.decode(z), terms(model, 5))


def test_reconstruction_is_without_noise_and_leaves_the_mode_alone():
    model = models.denoising_vae(**SMALL, p=0.5)
    assert same(model.reconstruct(x()), model.reconstruct(x()), terms(model, 5))
    assert all(module.train for module in model.list_modules())
    drawn = [model.reconstruct(x(), sample=True) for _ in range(2)]
    assert not same(*drawn, terms(model, 5))


@pytest.mark.parametrize("make", [models.bernoulli_vae, models.categorical_vae])
def test_discrete_codes_are_hard_in_evaluation_only_or_straight_through(make):
    model, straight = make(**SMALL, code=8), make(**SMALL, code=8, straight_through=True)
    assert set(np.unique(straight.training().sampler.forward(straight.encode(x())))) == {0, 1}
    assert len(np.unique(model.training().sampler.forward(model.encode(x())))) > 2
    assert set(np.unique(model.evaluate().sampler.forward(model.encode(x())))) <= {0, 1}


@each_model
def test_samples_come_from_the_prior(name):
    model = models.build(name, **SMALL_OF[name])
    z = model.kl.latent.sample_prior(400, model.code)
    assert z.shape == (400, model.code)
    assert set(np.unique(z)) == {0, 1} if name in ("bernoulli", "categorical") else abs(z.std() - 1) < 0.1
    with backend.seeded(1):
        first = model.sample(4)
    with backend.seeded(1):
        assert same(model.sample(4), first, terms(model, 4))


@pytest.mark.parametrize(("likelihood", "floor", "criterion", "clamps"), [
    ("bernoulli", -6, nn.BCEWithLogitsCriterion, 0),
    ("continuous_bernoulli", -6, nn.ContinuousBernoulliCriterion, 0),
    ("identity_gaussian", -6, nn.GaussianNLLCriterion, 0),
    ("gaussian", -6, nn.GaussianNLLCriterion, 1), ("gaussian", None, nn.GaussianNLLCriterion, 0)])
def test_each_likelihood(likelihood, floor, criterion, clamps):
    model = models.aevb(likelihood, samples=2, image=(4, 4), hidden=6, code=3, log_var_floor=floor)
    output = model.forward(x())
    assert isinstance(model.criterion(), criterion) and len(model.find_modules(nn.Clamp)) == clamps
    means = output[0] if likelihood == "gaussian" else output
    assert means.shape == (10, 4, 4) and model.sample(3).shape == (3, 4, 4)
    assert np.isfinite(model.criterion().forward(output, x()))
    if likelihood.endswith("bernoulli"):
        assert ((model.sample(3) > 0) & (model.sample(3) < 1)).all()
    else:
        z = model.kl.latent.sample_prior(3, 3)
        decoded = model.decoder.forward(z)
        means = np.array(decoded[0] if likelihood == "gaussian" else decoded)
        assert same(model.decode(z), means, terms(model, 3))


def test_the_floor_holds_the_log_variance():
    model = models.aevb("gaussian", image=(4, 4), hidden=6, log_var_floor=-2)
    model.decoder[2][1][0].bias[...] = -50
    assert (model.forward(x())[1] == -2).all()


def test_without_hidden_layers_coders_are_linear():
    model = models.bernoulli_vae(image=(4, 4), hidden=0, code=3)
    assert [(m.n_in, m.n_out) for m in model.find_modules(nn.Linear)] == [(16, 3), (3, 16)]
    assert not model.find_modules(nn.ReLU)


def test_the_convolutional_network():
    model = models.conv_vae()
    encoder, decoder = ([type(m).__name__.removeprefix("Spatial") for m in part]
                        for part in (model.encoder, model.decoder))
    assert encoder == ["View", *["Convolution", "ReLU", "MaxPooling"] * 3, "View", "ConcatTable"]
    assert decoder == ["Linear", "ReLU", "View", *["UpSamplingNearest", "Convolution", "ReLU"] * 2,
                       "UpSamplingNearest", "Convolution", "View"]
    assert [(m.planes_in, m.planes_out) for m in model.find_modules(nn.SpatialConvolution)] == [
        (1, 8), (8, 16), (16, 32), (32, 16), (16, 8), (8, 1)]
    assert model.decoder[2].sizes == (32, 3, 3) and models.CONV.schedule["batch_size"] == 8
    colour = models.conv_vae(image=(3, 8, 4), planes=(5, 4), batch_normalization=True)
    assert colour.forward(np.zeros((2, 3, 8, 4), np.float32)).shape == (2, 3, 8, 4)
    assert [m.features for m in colour.find_modules(nn.BatchNormalization)] == [5, 4, 5]
    assert models.conv_vae(image=(28, 28), planes=(2, 3)).sample(4).shape == (4, 28, 28)
    for image, planes in (((1, 28, 28), (8, 16, 32)), ((1, 8, 8), ()), ((1, 8, 6), (1, 1))):
        with pytest.raises(OptionError, match="cannot be halved"):
            models.conv_vae(image=image, planes=planes)


def test_codes_are_decoded_by_the_running_statistics_and_leave_them_alone():
    model = models.conv_vae(**SMALL_OF["conv"], batch_normalization=True)
    model.forward(x())
    before, z = model.state_dict(), np.random.default_rng(1).standard_normal((4, 2)).astype(np.float32)
    together, alone = model.decode(z), model.decode(z[:1])
    np.testing.assert_allclose(together[:1], alone, rtol=1e-5)
    assert all(np.array_equal(array, before[path]) for path, array in model.state_dict().items())
    assert all(module.train for module in model.list_modules())


@pytest.mark.parametrize(("make", "image", "message"), [
    *((models.conv_vae, image, r"conv_vae: image=\(.*\); give \(height, width\) or \(planes, height, width\)")
      for image in ((16,), (1, 1, 16, 16))),
    *((each.function, (0, 3), r"image=\(0, 3\) is not values .* each a whole number from 1") for each in models.ALL)])
def test_a_shape_that_no_image_has_is_refused(make, image, message):
    with pytest.raises(OptionError, match=message):
        make(image=image)


def test_unknown_names_are_refused():
    with pytest.raises(OptionError, match="unknown model 'gan'; choose one of vae, denoising, bernoulli, categorical"):
        models.build("gan")
    m = models.vae(**SMALL)
    with pytest.raises(OptionError, match="unknown likelihood"):
        models.VAE(m.encoder, m.kl, m.sampler, m.decoder, 2, likelihood="poisson")
    with pytest.raises(OptionError, match="aevb: likelihood='poisson' is not one of bernoulli, continuous"):
        models.aevb("poisson")


@pytest.mark.parametrize(("wrong", "message"), [
    ({"sampler": nn.Identity()}, r"VAE: no module of it draws codes; .* such as GaussianSampler\(\)"),
    ({"kl": nn.Identity()}, r"VAE\(kl=nn.Identity\): kl is an instance of Divergence"),
    ({"encoder": nn.Identity}, r"encoder is an instance of Module; write Identity\(\), not Identity"),
    ({"code": "2"}, r"VAE\(code='2'\): code is a whole number from 1"), ({"code": 2.0}, "code=2.0"),
    ({"likelihood": ["bernoulli"]}, r"unknown likelihood \['bernoulli'\]; choose one of bernoulli")], ids=str)
def test_a_part_that_is_none_is_refused(wrong, message):
    parts = {"encoder": nn.Identity(), "kl": nn.GaussianKL(), "sampler": nn.GaussianSampler(),
             "decoder": nn.Linear(2, 4), "code": 2}
    assert models.VAE(**parts).samples == 1
    with pytest.raises(OptionError, match=message):
        models.VAE(**parts | wrong)
