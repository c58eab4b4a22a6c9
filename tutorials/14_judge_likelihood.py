# %% [markdown]
# # 14 Judge likelihood
#
# A model's loss on MNIST is 100 nats here and 85 there.  **When may two such numbers be compared?**  Needs: 09 (the
# ELBO), 11 (bits), 13 (decoders, MNIST).  About 35 minutes.
#
# MNIST's pixels are grey, from 0 to 1, and a Bernoulli speaks of bits.  *Binarization* makes bits of a grey g in one of
# three ways: `"threshold"`: 1 where g > ½;  `"fixed"`: a coin that shows 1 with probability g, tossed once for all;
# `"each_epoch"`: tossed anew whenever an image is used.  The last is for training only: a test needs bits that stay.
# To be quick: 10,000 images to learn from, 128 hidden units, 200 test images.

# %%
import os

import numpy as np

import minivae as mv
from minivae import evaluation, figures, nn
from minivae.data import Batches, Redrawn, mnist
from minivae.training import Training

FAST = os.environ.get("MINIVAE_FAST") == "1"
train = Redrawn(mnist("train")[0][:10_000])  # the first of the images that binarize="each_epoch" gives
tests = {kind or "grey": mnist("test", binarize=kind)[0][:200] for kind in (None, "threshold", "fixed")}
fixed, grey = tests["fixed"], (tests["grey"] / 255).astype(np.float32)

def trained(make, **options):
    mv.manual_seed(0)
    training = Training(make(image=(28, 28), **options), Batches(train, 100, by_epoch=True), learning_rate=2e-3)
    training.run(250 if FAST else 1000, progress=False)
    return training.model

model = trained(mv.models.aevb, hidden=128)
bounds = {kind: evaluation.elbo(model, images, 1 / 255 if kind == "grey" else 1) for kind, images in tests.items()}
print(*(f"{kind:9} {bound}" for kind, bound in bounds.items()), sep="\n")
again = [Redrawn(tests["grey"]).draw(seed) for seed in range(20)]
rows = np.concatenate([each[:20] for each in (grey, tests["threshold"], fixed, again[1])])
figures.picture(figures.grid(rows, columns=20, gap=1, background=0.25), scale=2)

# %% [markdown]
# Grey, threshold, fixed, and another toss: the last two are frayed where grey was undecided.  One model, one set of
# digits, three numbers: thresholded digits are smoother and easier to predict.  (The images are the same each time, so
# the difference is surer than the ± of each number says.)  So a number needs its binarization
# beside it.  And the one on grey images is worse than incomparable.
# ## Grey pixels have no likelihood under a coin (ERRATA 18)
# A distribution sums to 1 over everything that can happen.  **Predict:** for μ = 0.5, 0.9, 0.999, what is the sum of
# μˣ(1 − μ)¹⁻ˣ over x = 0 and 1?  Over 256 greys?  And its integral from 0 to 1?

# %%
mu, x = np.array([[0.5], [0.9], [0.999]]), np.linspace(0, 1, 256)
value = mu**x * (1 - mu) ** (1 - x)
bit_sum, grey_sum, integral = value[:, 0] + value[:, -1], value.sum(axis=1), np.trapezoid(value, x, axis=1)
print("bits", bit_sum, " greys", grey_sum.round(1), " integral", integral.round(3))
criterion, logits = nn.BCEWithLogitsCriterion(), model.decoder(model.encode(grey)[0])
on_grey = criterion.rows(logits, grey).mean()
on_bits = np.mean([criterion.rows(logits, bits.astype(np.float32)).mean() for bits in again])
inner = np.clip(grey.astype(np.float64), 1e-12, 1 - 1e-12)
best = -(inner * np.log(inner) + (1 - inner) * np.log(1 - inner)).sum(axis=(1, 2)).mean()
print(f"cross-entropy of greys {on_grey:.2f}, mean over 20 tosses {on_bits:.2f}; perfect reconstruction {best:.1f}")

# %% [markdown]
# 1 over bits; 128, 93 and 37 over greys; 0.5, 0.36 and 0.14 as an integral.  Nothing divides by these: on grey pixels
# the loss is a *cross-entropy*, no likelihood of an image.  Given a code it is what tosses cost on average, as it is
# linear in x, so it looks like their number.  But a perfect reconstruction of greys costs 44 nats, of bits 0.
# ## Which way round? (ERRATA 20)
# A note on PyTorch's example calls p(z|x) the decoder.  **Predict:** 4 pixels, 2 bits, all probabilities that the
# decoder gives in a table: a row for each code z, a column for each image x.  Do rows or columns sum to 1?

# %%
def all_bits(n):
    return np.indices((2,) * n).reshape(n, -1).T.astype(np.float32)

mv.manual_seed(0)
tiny = mv.models.bernoulli_vae(image=(2, 2), hidden=4, code=2)
table = np.exp([-criterion.rows(np.repeat(tiny.decoder(z[None]), 16, axis=0), all_bits(4)) for z in all_bits(2)])
posterior = table / table.sum(axis=0)  # Bayes: the prior ¼ cancels
print("rows", table.sum(axis=1), "\ncolumns", table.sum(axis=0).round(2))

# %% [markdown]
# Rows: the decoder is p(x|z).  p(z|x) is the *posterior*, which takes Bayes' rule; its columns sum to 1, and the
# encoder's q(z|x) approximates it.  Likewise the note's "Bernoulli or Gaussian" is said of the decoder's likelihood.
# ## How near is the bound?
# The ELBO lies below ln p(x).  The *importance-weighted* bound averages K draws inside of the logarithm:
# ln (1/K) Σₖ p(x|zₖ) p(zₖ) / q(zₖ|x).  That mean is p(x) on average, and the logarithm of a mean is at least the mean
# of the logarithms: a bound, which grows as the mean of more draws scatters less.  K = 1 is the ELBO with its KL drawn
# too.  **Predict:** what do K = 10 and 100 do to it, and to the standard error?  **Step in here:**
# `minivae.evaluation.log_likelihood`, in its inner loop, before you run; watch `weight`, `peak` and `total`.

# %%
weighted = {K: evaluation.log_likelihood(model, fixed, samples=K) for K in (1, 10, 100)}
print("ELBO", bounds["fixed"], *(f"\nK = {K:3}: {bound}" for K, bound in weighted.items()))
half = evaluation.elbo(model, fixed[:50]).standard_error / bounds["fixed"].standard_error
print(f"standard error of 50 images: {half:.2f} times that of 200")

# %% [markdown]
# It grows by nats, with the same weights: never compare an ELBO with K = 5,000 from a paper.  The ± is the spread over
# test images; K does not help, four times the images about halve it.
# ## The exact value, and a deliberate mistake
# With 8 bits there are 256 codes: ln p(x) = ln Σ_z p(x|z)/256.  **Predict:** what goes wrong in the line `naive`?

# %%
bits = trained(mv.models.bernoulli_vae, hidden=64, code=8, temperature=0.5)
lower, ten = evaluation.elbo(bits, fixed, samples=50), evaluation.log_likelihood(bits, fixed, samples=10)
exact, pixels = evaluation.exact_log_likelihood(bits, fixed), bits.decoder(all_bits(8))
log_p = -np.array([criterion.rows(pixels, np.repeat(image[None], 256, axis=0)) for image in np.float32(fixed[:20])])
with np.errstate(divide="ignore"):
    naive = np.log(np.exp(log_p).mean(axis=1))
peak = log_p.max(axis=1, keepdims=True)
careful = peak[:, 0] + np.log(np.exp(log_p - peak).mean(axis=1))
print(f"ELBO {lower.value:.1f}, K = 10 {ten.value:.1f}, exact {exact.value:.1f}; naive", naive[:6])

# %% [markdown]
# Below e^−104 float32 knows only 0, whose logarithm is −∞.  *Log-sum-exp* takes the largest term out first.
# ## Active units, and other scales
# A unit of the code is *active* if its mean varies over the images, by a variance above 0.01.  **Predict:** how many of
# our 20 are?  After we cut one off from the image?  And by how much does a Gaussian's log-density of an image change
# when its pixels go from 0 to 255 instead, with mean and σ?

# %%
active = evaluation.active_units(model, fixed)
for head in model.encoder[3]:  # mean and log-variance
    head.weight[0] = head.bias[0] = 0
silent, pixel = evaluation.active_units(model, fixed), grey[:1].astype(np.float64)
unit, bytes_ = (nn.GaussianNLLCriterion().double().rows((0 * pixel, 0 * pixel + 2 * np.log(s)), s * pixel)[0]
                for s in (1, 255))
print(f"{active.count}, then {silent.count}; −ln p of one image {unit:.1f} in units, {bytes_:.1f} in bytes")

# %% [markdown]
# 20, then 19: the silent unit costs nothing and says nothing.  The scale shifts a density by 784 ln 255 = 4344 nats.
# So what may stand beside what?
# - Grey pixels under a Bernoulli, as in PyTorch's example: a cross-entropy, beside another cross-entropy only.
# - Bits: beside the same binarization, and the same bits.  The set that papers call *fixed* is Larochelle's (2011);
#   ours is tossed alike, with other bits.  Burda et al. (2015) report the bound with K = 5,000.
# - An ELBO beside an ELBO, a bound beside one with the same K, a density beside one of the same scale of pixels.
# ## What we claimed
# Next: 15 Move to the GPU: what changes when the numbers live on a graphics card.

# %%
assert bounds["threshold"].value > bounds["fixed"].value + 1 and bounds["threshold"].value > bounds["grey"].value + 1
assert np.allclose(bit_sum, 1) and np.allclose(grey_sum, [128, 93.3, 37.3], atol=0.1)
assert np.allclose(integral, [0.5, 0.364, 0.145], atol=0.001) and np.isclose(on_grey, on_bits, rtol=0.005)
assert 43 < best < 45 and criterion.rows(np.float32([[200], [-200]]), np.float32([[1], [0]])).max() < 1e-20
assert np.allclose(table.sum(axis=1), 1) and table.sum(axis=0).max() < 0.9 and np.allclose(posterior.sum(axis=0), 1)
assert bounds["fixed"].value + 2 < weighted[10].value < weighted[100].value - 1 and 1.4 < half < 2.8
paired = bounds["threshold"].per_image - bounds["fixed"].per_image  # the spread of the difference of each image
assert paired.std() < 0.7 * bounds["fixed"].per_image.std()
assert max(lower.value, ten.value) < exact.value and np.isneginf(naive).any()
assert np.allclose(careful, exact.per_image[:20], rtol=1e-5)
assert (active.count, silent.count) == (20, 19) and silent.divergence[0] == 0 < active.divergence[0]
assert np.isclose(bytes_ - unit, 784 * np.log(255)) and np.isclose(784 * np.log(255), 4344.3, atol=0.1)
