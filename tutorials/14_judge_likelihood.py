# %% [markdown]
# # 14 Judge a likelihood
# **A model's loss on MNIST is 100 nats here and 85 there. When may two such numbers be
# compared?**
#
# Needs: 08 and 09 (the bound), 11 (bits), 13 (decoders, and where MNIST comes from).
# About 55 minutes.
#
# MNIST's pixels are grey, and a Bernoulli speaks of bits. **Binarization** makes bits
# of a grey g between 0 and 1, in one of three ways:
#
# - `"threshold"`: the bit is 1 where g > ½.
# - `"fixed"`: a coin that shows 1 with probability g is tossed, once for all.
# - `"each_epoch"`: it is tossed anew whenever the image is used. This one is for
#   training only: a test needs bits that stay.

# %%
import numpy as np
from lesson import FAST, boxes, claim, plot, show

import minivae as mv
from minivae import evaluation, nn
from minivae.data import Batches, Redrawn, mnist
from minivae.figures import grid, picture
from minivae.figures.style import framed
from minivae.training import Training

show(
    boxes("grey image → [binarize] → bits x → [encoder] → z → [decoder] → p(x∣z)"),
    "what we judge",
)

# %% [markdown]
# `Redrawn` holds the grey images and tosses their bits when they are asked for. To be
# quick we learn from 10,000 images and test on 200.

# %%
train = Redrawn(mnist("train")[0][:10_000])
tests = {
    "grey": mnist("test")[0][:200],
    "threshold": mnist("test", binarize="threshold")[0][:200],
    "fixed": mnist("test", binarize="fixed")[0][:200],
}
grey = (tests["grey"] / 255).astype(np.float32)
fixed = tests["fixed"]
tosses = [Redrawn(tests["grey"]).draw(seed) for seed in range(20)]

kinds = {
    "grey": grey,
    "threshold": tests["threshold"],
    "fixed": fixed,
    "tossed again": tosses[1],
}
shown = np.concatenate([each[:16] for each in kinds.values()])
sheet = picture(grid(shown, columns=16, gap=1, background=0.25), scale=2)
rows = [(30 + 58 * k, name) for k, name in enumerate(kinds)]
show(framed(sheet, "Ways to make bits of greys", rows=rows), "binarizations")

# %% [markdown]
# Tossed digits are frayed where the grey was undecided; thresholded ones are smooth.
#
# ## One model, three numbers
# Train the `aevb` model of lesson 13 on tossed bits (10 seconds), and test it on all
# three. **Predict:** which test images give the best number?


# %%
def trained(make, **options):
    mv.manual_seed(0)
    model = make(image=(28, 28), **options)
    training = Training(model, Batches(train, 100, by_epoch=True), learning_rate=2e-3)
    training.run(250 if FAST else 1000, progress=not FAST)
    return model


model = trained(mv.models.aevb, hidden=128)
bounds = {}
for kind, images in tests.items():
    bounds[kind] = evaluation.elbo(model, images, scale=1 / 255 if kind == "grey" else 1)
    print(f"{kind:9} {bounds[kind]}")

# %%
claim(
    "thresholded digits are easier to predict than tossed ones",
    bounds["threshold"].value > bounds["fixed"].value + 1,
)
claim("and easier than grey ones", bounds["threshold"].value > bounds["grey"].value + 1)

# %% [markdown]
# One model, one set of digits, three numbers: −119, −109 and −116 nats (fast mode:
# −151, −146, −150). But each has an error of ±2.3 nats or so: might the difference be
# chance? The images are the same each time, so look at the difference of *each image*.
# **Predict:** does it scatter more or less than the bounds?

# %%
paired = bounds["threshold"].per_image - bounds["fixed"].per_image
alone = bounds["fixed"].per_image.std()
print(
    f"spread over images: of the bound {alone:.1f}, "
    f"of the difference {paired.std():.1f} nats"
)

# %%
claim("the difference of each image scatters less", paired.std() < 0.7 * alone)

# %% [markdown]
# So the comparison is surer than the two ± say. Compare models on the same images, and
# take the spread of the differences.
#
# ## Which bits do the papers use?
# Burda, Grosse and Salakhutdinov (2015) write that the literature is inconsistent about
# binarization, and that the choice changes the numbers considerably (footnote 2). They
# follow Salakhutdinov and Murray (2008), and describe it so: the bits are "sampled with
# expectations equal to the real values in the training set". Their appendix D repeats
# the experiments with a *fixed* set of bits, which it attributes to Larochelle (2011),
# and notices "significantly larger amounts of overfitting": their VAE with one
# stochastic layer goes from 86.76 to 88.71 nats. (There are also fewer images to learn
# from, 50,000.) Our `"fixed"` is tossed in the same manner, but has other bits than
# Larochelle's. So a number needs its binarization beside it, and better still the bits
# themselves.
#
# ## How near is the bound?
# The ELBO lies below ln p(x) (08). The **importance-weighted** bound is nearer. It
# averages K weights *inside* of the logarithm:
#
#     ln (1/K) Σₖ wₖ        wₖ = p(x∣zₖ) p(zₖ) / q(zₖ∣x)
#
# 1. The mean of K weights is p(x) on average, since a single weight is p(x) on average
#    (08).
# 2. The logarithm is concave, so the mean of the logarithm is at most ln p(x): a bound.
# 3. The mean of more weights scatters less, so the bound loses less. It grows with K.
#
# K = 1 is the ELBO, with its divergence drawn too. **Predict:** what do K = 10 and K =
# 100 do to the bound? And to the standard error? **Step in here:**
# `minivae.evaluation.log_likelihood`, in its inner loop; watch `weight` and
# `log_total`.

# %%
weighted = {}
for draws in (1, 10, 100):
    weighted[draws] = evaluation.log_likelihood(model, fixed, samples=draws)
    print(f"K = {draws:3}: {weighted[draws]}")


def draw_bounds(axes):
    values = [weighted[draws].value for draws in (1, 10, 100)]
    axes.plot((1, 10, 100), values, "o-", label="importance-weighted bound")
    axes.axhline(bounds["fixed"].value, color="0.5", linestyle=":", label="ELBO")
    axes.set(xscale="log")
    axes.legend(frameon=False)


show(
    plot("More weights, a nearer bound", "draws K", "nats an image", draw_bounds),
    "bounds",
)

# %%
claim(
    "K = 10 gains more than 2 nats on the ELBO",
    weighted[10].value > bounds["fixed"].value + 2,
)
claim("K = 100 gains again", weighted[100].value > weighted[10].value + 0.5)
quarter = (
    evaluation.elbo(model, fixed[:50]).standard_error / bounds["fixed"].standard_error
)
print(f"the standard error of 50 images is {quarter:.2f} times that of 200")
claim("four times the images halve the standard error, or nearly", 1.4 < quarter < 2.8)

# %% [markdown]
# From −116.7 over −112.9 to −111.2 nats (fast mode: −150.0, −144.4, −142.6). The same
# model and weights, and nats apart: never compare an ELBO with the bound of K = 5,000
# that Burda et al. report. The ± comes from the spread over test images, and more draws
# do not help it.
#
# ## The exact value
# With 8 bits there are 256 codes, and ln p(x) = ln Σ_z p(x∣z)/256 can be added up. (10
# seconds.) **Predict:** in which order do the ELBO, the bound of K = 10 and ln p(x)
# come?

# %%
bits = trained(mv.models.bernoulli_vae, hidden=64, code=8, temperature=0.5)
lower = evaluation.elbo(bits, fixed, samples=50)
ten = evaluation.log_likelihood(bits, fixed, samples=10)
exact = evaluation.exact_log_likelihood(bits, fixed)
print(f"ELBO {lower.value:.1f}, K = 10 {ten.value:.1f}, exact {exact.value:.1f}")

# %%
claim("both bounds lie below ln p(x)", max(lower.value, ten.value) < exact.value)

# %% [markdown]
# −161.2, −157.8 and −154.6 nats (fast mode: −196.6, −196.2, −192.7). On average over
# draws, the bound of K = 10 is never below the ELBO. In the fast mode, whose model has
# learned less, the two are so near to each other that chance may turn them.
#
# ## A deliberate mistake: the logarithm of a sum
# Here is the sum once more, by hand and in float32. **Predict:** what goes wrong in the
# line `naive`?

# %%
criterion = nn.BCEWithLogitsCriterion()
codes = np.indices((2,) * 8).reshape(8, 256).T.astype(np.float32)
predicted = bits.decoder.forward(codes)
log_p = []
for image in fixed[:20].astype(np.float32):
    log_p.append(-criterion.rows(predicted, np.repeat(image[None], 256, axis=0)))
log_p = np.array(log_p)  # (20 images, 256 codes), ln p(x∣z)

with np.errstate(divide="ignore"):
    naive = np.log(np.exp(log_p).mean(axis=1))
peak = log_p.max(axis=1, keepdims=True)
careful = peak[:, 0] + np.log(np.exp(log_p - peak).mean(axis=1))
print("naive", naive[:5])
print("careful", careful[:5].round(1))

# %%
claim("the naive sum finds probability 0 where there is some", np.isneginf(naive).any())
claim(
    "with the peak taken out it is right",
    np.allclose(careful, exact.per_image[:20], rtol=1e-4),
)

# %% [markdown]
# Below e^−104 float32 knows only 0, whose logarithm is −∞. **Log-sum-exp** takes the
# largest term out first, so the largest exponential is 1.
#
# ## Active units
# A unit of the code is **active** if its mean varies from image to image, by a variance
# above 0.01 (Burda et al.). **Predict:** how many of our 20 are active? And after we
# cut one off from the image?

# %%
active = evaluation.active_units(model, fixed)
cut = model.clone()
for head in cut.encoder[3]:  # mean and log-variance
    head.weight[0] = 0
    head.bias[0] = 0
silent = evaluation.active_units(cut, fixed)
print(f"{active.count} active, then {silent.count}")

# %%
claim("cutting an active unit off leaves one less", silent.count == active.count - 1)
claim("the silent unit costs nothing", silent.divergence[0] == 0 < active.divergence[0])

# %% [markdown]
# It says nothing, and pays nothing. Burda et al. removed the inactive units of their
# models, and the test log-likelihood changed by less than 0.06 nats.
#
# ## The scale of the pixels
# A density depends on the unit. **Predict:** by how much does a Gaussian's log-density
# of an image change when pixels, mean and σ are all multiplied by 255?

# %%
gaussian = nn.GaussianNLLCriterion().double()
pixels = grey[:1].astype(np.float64)
zero = np.zeros_like(pixels)
in_units = gaussian.rows((zero, zero), pixels)[0]
in_bytes = gaussian.rows((zero, zero + 2 * np.log(255)), 255 * pixels)[0]
print(f"−ln p of one image: {in_units:.1f} in units, {in_bytes:.1f} in bytes")

# %%
claim(
    "the scale alone is 784 ln 255 = 4,344 nats",
    abs(in_bytes - in_units - 784 * np.log(255)) < 1e-6,
)

# %% [markdown]
# So what may stand beside what?
#
# | number | beside |
# |---|---|
# | grey pixels under a Bernoulli (next section) | another cross-entropy of greys only |
# | bits | the same binarization, and the same bits |
# | an ELBO | another ELBO |
# | an importance-weighted bound | one with the same K |
# | a density | one of the same scale of pixels |
#
# ## Grey pixels have no likelihood under a coin (ERRATA 18)
# A distribution sums to 1 over everything that can happen. **Predict:** for μ = 0.5,
# 0.9 and 0.999, what is the sum of μˣ(1 − μ)¹⁻ˣ over x = 0 and 1? Over 256 greys? And
# its integral from 0 to 1?

# %%
mu = np.array([[0.5], [0.9], [0.999]])
levels = np.linspace(0, 1, 256)
value = mu**levels * (1 - mu) ** (1 - levels)
bit_sum = value[:, 0] + value[:, -1]
grey_sum = value.sum(axis=1)
integral = np.trapezoid(value, levels, axis=1)
print("bits", bit_sum, "greys", grey_sum.round(1), "integral", integral.round(3))

# %%
claim("over bits it sums to 1", np.allclose(bit_sum, 1))
claim("over 256 greys it does not", np.allclose(grey_sum, [128, 93.3, 37.3], atol=0.1))
claim("nor is its integral 1", np.allclose(integral, [0.5, 0.364, 0.145], atol=0.001))

# %% [markdown]
# So on grey pixels the loss is a *cross-entropy*, and no likelihood of an image. It
# looks like one, because for a given code it is what tossed bits cost on average: it is
# linear in x. **Predict:** what does a *perfect* reconstruction of the greys cost?

# %%
code, _ = model.encode(grey)
logits = model.decoder.forward(code)
on_grey = criterion.rows(logits, grey).mean()
on_bits = np.mean(
    [criterion.rows(logits, toss.astype(np.float32)).mean() for toss in tosses]
)
inner = np.clip(grey.astype(np.float64), 1e-12, 1 - 1e-12)
perfect = (
    -(inner * np.log(inner) + (1 - inner) * np.log(1 - inner)).sum(axis=(1, 2)).mean()
)
print(f"cross-entropy of greys {on_grey:.2f}, mean over 20 tosses {on_bits:.2f}")
print(f"perfect reconstruction of greys {perfect:.1f}, of bits 0")

# %%
claim("greys cost what tosses cost on average", abs(on_grey / on_bits - 1) < 0.005)
claim("a perfect reconstruction of these greys costs 44 nats", 43 < perfect < 45)

# %% [markdown]
# ## Which way round? (ERRATA 20)
# A note on PyTorch's example calls p(z∣x) the decoder. **Predict:** take images of 4
# pixels and codes of 2 bits, and write all probabilities that a decoder gives into a
# table: a row for each code z, a column for each image x. Do rows or columns sum to 1?

# %%
mv.manual_seed(0)
tiny = mv.models.bernoulli_vae(image=(2, 2), hidden=4, code=2)
all_images = np.indices((2,) * 4).reshape(4, 16).T.astype(np.float32)
all_codes = np.indices((2,) * 2).reshape(2, 4).T.astype(np.float32)
table = []
for z in all_codes:
    prediction = np.repeat(tiny.decoder.forward(z[None]), 16, axis=0)
    table.append(np.exp(-criterion.rows(prediction, all_images)))
table = np.array(table)
posterior = table / table.sum(axis=0)  # Bayes' rule: the prior ¼ cancels
print("rows", table.sum(axis=1).round(3), "\ncolumns", table.sum(axis=0).round(2))

# %%
claim(
    "rows sum to 1: the decoder is p(x∣z)", np.allclose(table.sum(axis=1), 1, atol=1e-5)
)
claim("columns do not", table.sum(axis=0).max() < 0.9)
claim("the columns of the posterior p(z∣x) do", np.allclose(posterior.sum(axis=0), 1))

# %% [markdown]
# p(z∣x) is the *posterior*, which takes Bayes' rule, and the encoder's q(z∣x)
# approximates it. The note also says that the encoder is "Bernoulli or Gaussian". That
# is true of the decoder: the note's own encoder is Gaussian.
#
# ## In three sentences
# A number in nats needs its binarization, its kind of bound with K, and the scale of
# the pixels beside it. The importance-weighted bound lies between the ELBO and ln p(x)
# and grows with K, and for codes of a few bits ln p(x) is an exact sum, taken by
# log-sum-exp. A Bernoulli's loss on grey pixels is a cross-entropy, which no model
# brings to 0.
#
# ## Test yourself
# 1. Two papers report −86 and −84 nats on binarized MNIST. Which three things do you
#    look up before you believe that the second model is better?
# 2. Why does the bound of K = 100 have about the same standard error as that of K = 1?
# 3. Your ln p(x) is −∞ for some images and a plausible number for others. What
#    happened?
#
# The answers are in [ANSWERS.md](ANSWERS.md#14-judge-a-likelihood).
#
# # Next: 15 Move to the GPU
# What changes when the numbers live on a graphics card?
