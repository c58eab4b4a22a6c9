# %% [markdown]
# # 13 Compare decoders
# **Which distribution should a decoder give a grey pixel?**
#
# Needs: 07 and 09 (divergence, VAE), 11 (logits), and MNIST: `minivae.data.mnist` looks
# for its files in `$MINIVAE_DATA`, else it downloads them. About 50 minutes.
#
# MNIST's images have 28×28 grey pixels x, from 0 to 1. The decoder must give each pixel
# a distribution p(x∣z). An article on Kingma and Welling's *Auto-Encoding Variational
# Bayes* has three answers:
#
# 1. A **Bernoulli**: a coin that shows 1 with probability μ.
# 2. An **identity Gaussian**: N(μ, 1).
# 3. A **diagonal Gaussian**: N(μ, σ²), with a mean and a log-variance ln σ² for each
#    pixel.
#
# We add a fourth: the diagonal Gaussian with a **floor**, ln σ² ≥ −6.

# %%
import numpy as np
from lesson import FAST, boxes, claim, plot, show

import minivae as mv
from minivae import evaluation, nn
from minivae.data import Batches, mnist
from minivae.figures import grid, picture
from minivae.figures.style import framed
from minivae.training import Training

show(
    boxes("x → [encoder] → code z → [decoder] → [Linear: mean | Linear: log_var]"),
    "a decoder with two heads",
)

# %% [markdown]
# The model is `aevb`. It has the size of PyTorch's example of a VAE, 784-400-20 with
# ReLU, and the article's three decoders. (Kingma and Welling themselves had 500 tanh
# units, and on MNIST a Bernoulli decoder.) To be quick we take 128 hidden units and
# 10,000 images.

# %%
train = mnist("train")[0][:10_000]
test = mnist("test")[0][:200]
x = (test / 255).astype(np.float32)


def trained(steps, kind=Training, **options):
    mv.manual_seed(0)
    model = mv.models.aevb(hidden=128, **options)
    batches = Batches(train, batch_size=50, scale=1 / 255, by_epoch=True)
    training = kind(model, batches, learning_rate=4e-3)
    losses = training.run(steps, progress=not FAST)["total"]
    return model, losses


# %% [markdown]
# Train all four. (20 seconds.) **Predict:** which has the highest ELBO? Which makes the
# pictures that are nearest to the images?

# %%
KINDS = {
    "Bernoulli": {},
    "identity": {"likelihood": "identity_gaussian"},
    "floor": {"likelihood": "gaussian"},
    "no floor": {"likelihood": "gaussian", "log_var_floor": None},
}
models, bounds, errors = {}, {}, {}
for name, options in KINDS.items():
    models[name], _ = trained(150 if FAST else 1500, **options)
    bounds[name] = evaluation.elbo(models[name], test, scale=1 / 255)
    errors[name] = ((models[name].reconstruct(x) - x) ** 2).sum() / len(x)
    print(f"{name:9} squared error {errors[name]:.1f}  ELBO {bounds[name]}")

# %%
claim(
    "the Gaussian without floor has by far the higher ELBO than the Bernoulli",
    bounds["no floor"].value > bounds["Bernoulli"].value + 300,
)
claim(
    "yet its pictures are further from the images",
    errors["no floor"] > errors["Bernoulli"] + 2,
)

# %% [markdown]
# The first three have ELBOs of −115, −741 and about +1,020 nats (fast mode: −155, −744,
# +800), and squared errors of 13, 28 and 23 (30, 41, 31). The decoder without a floor
# has no number of its own. Its loss jumps up and down to the end, and the last digits
# of a machine's arithmetic decide where it stops: on two machines its ELBO came to +790
# and +1,210 (fast mode: +700 to +800), and its squared error to 46 and 40 (37 to 40).
# The next sections say why.
#
# One thing holds everywhere: the ELBO of the Bernoulli is by hundreds of nats below
# those of the two diagonal Gaussians, and yet its pictures are nearer to the images.

# %%
shown = [x[:12]]
for model in models.values():
    shown.append(model.reconstruct(x[:12]))
sheet = picture(grid(np.concatenate(shown), columns=12, gap=1, background=0.25), scale=2)
rows = [(30 + 58 * k, name) for k, name in enumerate(("image", *KINDS))]
show(
    framed(sheet, "Test images, and what each decoder makes of them", rows=rows),
    "four decoders",
)

# %% [markdown]
# ## Why the numbers have no common scale
# The Bernoulli gives *probabilities*. None is above 1, so no logarithm is above 0. A
# Gaussian gives a **density**: a probability for each unit of x. A narrow one is high.
# **Predict:** what is the highest value of the density of N(0.5, 0.01²)?

# %%
highest = 1 / (0.01 * np.sqrt(2 * np.pi))
print(f"density {highest:.1f}, its logarithm {np.log(highest):.2f}")


def draw_densities(axes):
    at = np.linspace(-0.2, 1.2, 1401)
    for std, style in ((1, ":"), (0.2, "--"), (0.05, "-")):
        density = np.exp(-0.5 * ((at - 0.5) / std) ** 2) / (std * np.sqrt(2 * np.pi))
        axes.plot(at, density, style, label=f"σ = {std}")
    axes.axhline(1, color="0.6")
    axes.legend(frameon=False)


show(
    plot("The narrower, the higher", "grey x", "density at x", draw_densities),
    "densities",
)

# %%
claim("a density may be far above 1", highest > 39)

# %% [markdown]
# So the ELBO of a Gaussian may be positive, and says nothing beside that of a
# Bernoulli. Each pixel that is predicted narrowly adds nats.
#
# ## Unbounded, but where? (ERRATA 17 and 24)
# The diagonal Gaussian has no best value at all. The article gives two reasons, which
# are half wrong: the true mean with *arbitrary* variance, and *huge* variances with
# arbitrary means. **Predict:** what is the log-density of one pixel in each case, for σ
# from 0.0001 to 10,000?

# %%
std = 10.0 ** np.array([[-4], [-2], [0], [2], [4]])
log_var = 2 * np.log(std)
pixel = np.zeros_like(log_var)
criterion = nn.GaussianNLLCriterion().double()
right = -criterion.rows((pixel, log_var), pixel)
wrong = -criterion.rows((pixel + 0.5, log_var), pixel)
for k in range(5):
    print(
        f"σ = {std[k, 0]:7g}: at the true mean {right[k]:6.1f}, "
        f"at a wrong one {wrong[k]:.1f}"
    )

# %%
claim(
    "at the true mean each power of ten adds ln 10",
    np.allclose(np.diff(right), -2 * np.log(10)),
)
claim("a tiny σ at a wrong mean is a disaster", wrong[0] < -1e7)
claim("a huge σ goes to −∞, whatever the mean", max(right[-1], wrong[-1]) < -10)

# %% [markdown]
# Only σ → 0 *at the true mean* goes to +∞. And a true mean is easily had: many pixels
# at MNIST's border are 0 in every training image. **Predict:** what is ln σ² of these
# pixels in both models? What does a test image cost that is white at one of them?

# %%
constant = (train == 0).all(axis=0)
lowest, price = {}, {}
for name in ("floor", "no floor"):
    code, _ = models[name].encode(x)
    mean, log_var = models[name].decoder.forward(code)
    lowest[name] = log_var[:, constant].min()
    squares = (1 - mean[:, constant]) ** 2
    price[name] = (0.5 * squares * np.exp(-log_var[:, constant])).max()
    print(
        f"{name:8}: smallest ln σ² {lowest[name]:.1f}, "
        f"a white pixel costs {price[name]:.0f} nats"
    )
print(f"{constant.sum()} pixels are black in every training image")

# %%
claim("some pixels never change", constant.sum() > 60)
claim("the floor holds", lowest["floor"] == -6)
claim("without it the variance goes on falling", lowest["no floor"] < -6.5)
claim(
    "at the floor a white pixel costs about ½ e⁶ = 202 nats", 150 < price["floor"] < 300
)
claim("without it, more than twice as much", price["no floor"] > 2 * price["floor"])

# %% [markdown]
# Without a floor the price is thousands of nats, and it has no end: nothing but the
# number of steps keeps ln σ² where it is. How far it fell differs from machine to
# machine (here from 8,000 to 92,000 nats). **Step in here:** set a breakpoint in
# `minivae.nn.gaussian_nll_criterion.GaussianNLLCriterion.update_grad_input`, run again
# from the top, and watch `grad_log_var`. Where μ = x the derivative by ln σ² is ½
# whatever σ is: each step lowers ln σ², without end. `minivae.nn.clamp.Clamp`, the
# floor, makes it 0.
#
# ## A Bernoulli for grey pixels
# The Bernoulli's formula is μˣ (1 − μ)¹⁻ˣ, a probability for x = 0 and x = 1. We feed
# it grey values between. Read as a density of x in [0, 1], its area should be 1.
# **Predict:** how large is it at μ = ½?

# %%
grey = np.linspace(0, 1, 10_001)[:, None]  # one pixel, from black to white
logits = (-3.0, 0.0, 3.0)


def areas(criterion):
    found = []
    for logit in logits:
        density = np.exp(-criterion.rows(np.full_like(grey, logit), grey))
        found.append(np.trapezoid(density, grey[:, 0]))
    return np.array(found)


bernoulli = areas(nn.BCEWithLogitsCriterion().double())
continuous = areas(nn.ContinuousBernoulliCriterion().double())
print(
    "the Bernoulli's formula",
    bernoulli.round(3),
    "divided by its area",
    continuous.round(3),
)

# %%
claim("at μ = ½ the area is ½", abs(bernoulli[1] - 0.5) < 1e-3)
claim("elsewhere it is smaller", max(bernoulli[0], bernoulli[2]) < 0.31)
claim("the continuous Bernoulli has the area 1", np.abs(continuous - 1).max() < 1e-5)

# %% [markdown]
# So the loss of grey pixels under a Bernoulli is a **cross-entropy**. It trains well,
# but e^−loss is no density, and minivae does not call a bound of such a number a bound
# of ln p(x). Divide by the area, and it is a density: the *continuous Bernoulli* of
# Loaiza-Ganem and Cunningham (2019), `aevb("continuous_bernoulli")`. Its mean is not
# σ(a) for a logit a:
#
# 1. With μ = σ(a), μˣ (1 − μ)¹⁻ˣ is (1 − μ) e^(a x). Divided by its area it is e^(a x)
#    / A, with A the area of e^(a x) from 0 to 1, which is (e^a − 1)/a.
# 2. The mean of x is the area of x e^(a x), divided by A. And x e^(a x) is the
#    derivative of e^(a x) by a. So the mean is (dA/da) / A, the derivative of ln A =
#    ln(e^a − 1) − ln a.
# 3. That is e^a/(e^a − 1) − 1/a = 1/(1 − e^−a) − 1/a. For a = 0 the formula is of no
#    use: there the density is 1 everywhere, and the mean is ½.
#
# **Predict:** for a = 3, σ(a) is 0.95. What is the mean?

# %%
density = np.exp(-nn.ContinuousBernoulliCriterion().double().rows(0 * grey + 3, grey))
mean = np.trapezoid(density * grey[:, 0], grey[:, 0])
print(f"mean of x {mean:.4f}, by the formula {1 / (1 - np.exp(-3)) - 1 / 3:.4f}")

# %%
claim("the formula is the mean", abs(mean - (1 / (1 - np.exp(-3)) - 1 / 3)) < 1e-6)

# %% [markdown]
# Which decoder, then? For bits the Bernoulli is right: lesson 14. For a *likelihood* of
# grey pixels take the continuous Bernoulli, or a Gaussian with a floor that you can
# defend. And where only the pictures matter, the Bernoulli's cross-entropy serves: of
# our four models it has the smallest squared error.
#
# ## A deliberate mistake that the sum hides (ERRATA 14)
# The rest of this lesson is about slips of the article. For L draws an image its
# listing does `x.repeat(L, 1).view(N, L, -1)`, which is NumPy's tile and reshape.
# **Predict:** whose rows come first for N = 4 and L = 2? What notices: the loss of the
# batch, or that of each image?

# %%
tiled = np.tile(np.arange(4)[:, None], (2, 1))
rows_of = tiled.reshape(4, 2)
coin = models["Bernoulli"]
code, _ = coin.encode(x[:4])
per_image = coin.criterion().rows(coin.decoder.forward(code), x[:4])
mixed = per_image[rows_of].mean(axis=1)
print("rows of each image:", rows_of.tolist())
print(f"right {per_image.round(1)}, sum {per_image.sum():.2f}")
print(f"mixed {mixed.round(1)}, sum {mixed.sum():.2f}")

# %%
claim("the third image gets rows of the first two", rows_of[2].tolist() == [0, 1])
claim("the sum does not notice", np.isclose(mixed.sum(), per_image.sum()))
claim("the losses of single images do", np.abs(mixed / per_image - 1).max() > 0.1)

# %% [markdown]
# The listing repeats q's mean and variance in the same way, so each row still meets its
# own image, and sum and training are right. Only the grouping by image is wrong. In
# minivae row n · L + l is draw l of image n: see `minivae.nn.sampler.Sampler.grouped`.
#
# ## 720 nats that are always there (ERRATA 15)
# A Gaussian's log-density of D = 784 pixels has the constant −D/2 · ln 2π, which the
# listing drops. **Predict:** of the more than 740 nats that the identity Gaussian
# loses, how many has a reconstruction without any error?

# %%
perfect = nn.GaussianNLLCriterion().forward(x[:1], x[:1])
print(f"without error {perfect:.2f}, 784/2 · ln 2π = {392 * np.log(2 * np.pi):.2f}")

# %%
claim("a perfect reconstruction costs 720.45 nats", abs(perfect - 720.45) < 0.01)
claim("the model has hardly more", 10 < -bounds["identity"].value - perfect < 40)

# %% [markdown]
# The listing prints some 20. A constant has no gradient: the training is the same, the
# number is not.
#
# ## A logarithm of a rounded number (ERRATA 16)
# The listing takes ln μ and ln(1 − μ) after a sigmoid. **Predict:** what is x ln μ + (1
# − x) ln(1 − μ) in float32 for the logit 20? Of a white pixel, which is all but
# certain, and of a black one, which costs 20 nats?

# %%
logit = np.array([[20], [20]], dtype=np.float32)
bits = np.array([[1], [0]], dtype=np.float32)
with np.errstate(divide="ignore", invalid="ignore"):
    mu = 1 / (1 + np.exp(-logit))
    listed = (bits * np.log(mu) + (1 - bits) * np.log(1 - mu))[:, 0]
stable = -nn.BCEWithLogitsCriterion().rows(logit, bits)
print("listing", listed, "from logits", stable)

# %%
claim("the white pixel is not a number", np.isnan(listed[0]))
claim("the black one is infinite", np.isinf(listed[1]))
claim("from logits both are right", np.allclose(stable, [0, -20], atol=1e-6))

# %% [markdown]
# μ is rounded to 1, and 0 · ln 0 is not a number: one such pixel, and the loss is gone.
#
# ## N/M is only a scale (ERRATA 19)
# Kingma and Welling multiply the loss of M images by N/M, for N images in all. In the
# article that is 60,000 / 128 = 469. Its listing does not. **Predict:** what does that
# do to Adam, which divides the gradient by its own root mean square?


# %%
class Scaled(Training):
    def feval(self, parameters):
        loss, grad = super().feval(parameters)
        grad *= 60_000 / 128
        return loss, grad


_, plain = trained(20)
_, scaled = trained(20, Scaled)
difference = np.abs(plain / scaled - 1).max()
print(
    f"last losses {plain[-1]:.3f} and {scaled[-1]:.3f}; "
    f"they differ by at most {difference:.3%}"
)

# %%
claim("Adam hardly notices: the losses differ by less than 1 %", difference < 0.01)

# %% [markdown]
# Only ε = 10⁻⁸ beside that root tells them apart.
#
# ## The most probable image, and σ²I (ERRATA 25 and 26)
# "Highest probability, i.e. the mean" is true of Gaussians. **Predict:** which image of
# bits is the most probable one for the Bernoulli? Is it the mean? And look at q's
# variances: are they σ²I, the same for all numbers of the code?

# %%
mean = coin.reconstruct(x[:1]).astype(np.float64)
mean = np.clip(mean, 1e-12, 1 - 1e-12)
candidates = {
    "mean": mean,
    "thresholded": mean > 0.5,
    "drawn": np.random.default_rng(0).random(mean.shape) < mean,
}
log_p = {}
for name, image in candidates.items():
    log_p[name] = (image * np.log(mean) + (1 - image) * np.log(1 - mean)).sum()
    print(f"{name:12} {log_p[name]:.1f} nats")
_, log_var = coin.encode(x)
variance = np.exp(log_var.astype(np.float64))
print(f"variances from {variance.min():.3f} to {variance.max():.2f}")

# %%
claim(
    "the thresholded mean is the most probable",
    log_p["thresholded"] > max(log_p["mean"], log_p["drawn"]) + 10,
)
claim("the mean is grey, so it is no image of bits", (mean * (1 - mean)).max() > 0.01)
claim("the variances differ by more than ten times", variance.max() > 10 * variance.min())

# %% [markdown]
# So σ²I with a vector σ² should read diag(σ²).
#
# ## In three sentences
# A Bernoulli gives probabilities and a Gaussian gives densities, so their ELBOs have no
# common scale, and a higher one need not mean better pictures. A Gaussian that may
# choose its variance has no best value, since σ → 0 at a pixel that never changes earns
# nats without end: give it a floor. A Bernoulli's formula for grey pixels is a
# cross-entropy and not a density, which the continuous Bernoulli is.
#
# ## Test yourself
# 1. A Gaussian decoder has an ELBO of +900 nats. Somebody changes the pixels' scale
#    from [0, 1] to [0, 255]. Up or down, and by how much?
# 2. Why does the floor not hurt pixels that change from image to image?
# 3. The batch loss is right, and the losses of the single images are wrong. What would
#    you look at first?
#
# The answers are in [ANSWERS.md](ANSWERS.md#13-compare-decoders).
#
# # Next: 14 Judge a likelihood
# The pixels become bits, and the bound becomes a number that one can trust.
