# %% [markdown]
# # 10 Remove noise
# **What is gained by spoiling the input?**
#
# Needs: 09. About 65 minutes. We build a noise layer, put it before the encoder of a
# VAE, and compare the model with the plain one. Then we ask what such a model's loss
# bounds, with tables so small that all sums can be done exactly.
#
# The **denoising** VAE flips some pixels of an image y before the encoder sees it. The
# spoiled image is called y′, drawn from p(y′∣y). The rest is as in 09, and the loss
# asks for the *clean* y.

# %%
import numpy as np
from lesson import FAST, beside, boxes, claim, plot, show

import minivae as mv
from minivae import evaluation, figures, nn
from minivae.data import Batches, rectangles
from minivae.figures.style import framed
from minivae.training import Training

show(
    boxes(
        "y → [noise] → y′ → [encoder] → mean | log_var → [GaussianKL] → mean | log_var → "
        "[sampler] → z → [decoder] → y?"
    ),
    "a denoising VAE",
)

# %% [markdown]
# ## A layer that flips pixels
# `BernoulliNoise(p)` draws a uniform number u in [0, 1) for each pixel. Where u < p it
# flips the pixel: y′ = 1 − y. The images are those of 09: squares in 24×24 pixels, or,
# in the fast mode, in 16×16. **Predict:** for p = 0.2, how many of the 576 [256] pixels
# of an image are wrong?

# %%
mv.manual_seed(0)
SIZE = 16 if FAST else 24
images = rectangles(4000, SIZE, SIZE)
clean = np.unique(images, axis=0).astype("float32")  # each square once
noise = nn.BernoulliNoise(0.2)
noisy = noise.forward(clean).copy()

flipped = noisy != clean
print("share of flipped pixels", flipped.mean())
print("in an image", flipped.sum() / len(clean))

ten = slice(0, 10 * (len(clean) // 10), len(clean) // 10)  # ten of the images


def sheet(title, named):
    """A picture of {name: ten images}, a row for each name."""
    tiles = figures.grid(np.concatenate([*named.values()]), 10, gap=1, background=0.25)
    height = 3 * (SIZE + 1)
    places = [(2 + height * k + height // 2, name) for k, name in enumerate(named)]
    return framed(figures.picture(tiles, scale=3), title, rows=places)


rows = {"clean": clean[ten], "spoiled": noisy[ten]}
show(sheet("Flipped pixels", rows), "flipped pixels")

# %%
claim("the share of flipped pixels is p", abs(flipped.mean() - 0.2) < 0.02)
wrong_before = 0.2 * SIZE**2  # 115 of 576 [51 of 256]
claim(
    "in an image a fifth is wrong",
    abs(flipped.sum() / len(clean) / wrong_before - 1) < 0.1,
)

# %% [markdown]
# Noise belongs to training. A layer can be told that it is not being trained, by
# `evaluate()`; then this one hands on its input.
#
# **Predict:** what is the derivative of y′ by y, where the pixel flips, and where it
# does not? **Step in here:**
# `minivae.nn.bernoulli_noise.BernoulliNoise.update_grad_input`, and watch `self.noise`.
# The first line of the next cell calls it. (Training never does: no layer before the
# noise has anything to learn.)

# %%
signs = noise.backward(clean, np.ones_like(clean)).copy()
print("derivatives that occur:", np.unique(signs))

# %%
claim("it is −1 where a pixel flips, else 1", np.array_equal(signs, 1 - 2.0 * flipped))
claim("in evaluation the input passes", noise.evaluate().forward(clean) is clean)

# %% [markdown]
# ## A deliberate mistake: a noise layer that flips everything (ERRATA 6)
# The public listing of the denoising article draws `rand` in [0, 1), sets what is above
# p to 0, then what is below p to 1, and flips where it reads 1. Its backward pass hands
# the gradient on as it is. Here it is, line by line. **Predict:** which share of the
# pixels flips for p = 0.1?


# %%
class PublicNoise(nn.BernoulliNoise):
    def update_output(self, input):
        rand = self.draw(mv.backend.uniform, input.shape).copy()
        rand[rand > self.p] = 0
        rand[rand < self.p] = 1
        self.output = np.abs(input - rand) if self.train else input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.copy()
        return self.grad_input


public_share = (PublicNoise(0.1).forward(clean) != clean).mean()
print("share of flipped pixels", public_share)

# %%
claim("all pixels flip", public_share == 1)

# %% [markdown]
# The first comparison has written zeros, and a zero is below p as well. The second one
# catches them all. The result is no noise but a negative. **Predict:** what does the
# gradient check say? And `mv.debug.check_noise`, which counts flips?

# %%
slope_report = mv.gradcheck(PublicNoise(0.1), clean[:1, 0, :3, :3])
count_report = mv.debug.check_noise(PublicNoise(0.1))
print(slope_report)
print(count_report)

# %%
claim("the gradient check finds the sign", not slope_report.ok)
claim("and says so", "sign" in str(slope_report))
claim("counting finds the share", not count_report.ok)

# %% [markdown]
# The gradient check sees the missing −1 alone: with the sign put right, it would pass a
# layer that flips everything. Counting sees both mistakes. It counts the flips, and it
# also asks whether the derivative is −1 where a pixel has flipped.
#
# ## Train both, with one schedule (ERRATA 10)
# The articles compare a VAE with a denoising VAE. But their listings let the learning
# rate sink differently. At step t it is η / (1 + (t − 1) d), with d = 1e-4 in one
# listing, 1e-2 in another and 5e-7 in a third (04 shows how far apart they end). Then
# nobody can say whether the noise or the schedule made the difference.
#
# So we train both with one schedule, and a third model, a plain VAE with d = 1e-2, to
# see what the schedule alone does. The noise is 0.2, twice the article's, and η is
# 0.003, so that few steps show something. `Training` is minivae's own loop: it does
# what `learn` does in 09. (About 15 s.)

# %%
STEPS = 500 if FAST else 3000


def trained(model, decay):
    """Train the model on the squares; returns the ELBO of the clean images."""
    training = Training(model, Batches(images, 16), 0.003, decay)
    training.run(STEPS, progress=not FAST)
    return evaluation.elbo(model, clean, samples=20)


mv.manual_seed(0)
vae = mv.models.vae((1, SIZE, SIZE), hidden=64)
untrained_elbo = evaluation.elbo(vae, clean)
vae_elbo = trained(vae, 1e-4)

mv.manual_seed(0)
denoiser = mv.models.denoising_vae((1, SIZE, SIZE), hidden=64, p=0.2)
denoiser_elbo = trained(denoiser, 1e-4)

mv.manual_seed(0)
slow_elbo = trained(mv.models.vae((1, SIZE, SIZE), hidden=64), 1e-2)

# %% [markdown]
# All three are judged in one way: by the ELBO of the *clean* images, with the noise
# off. **Predict:** put them in order.

# %%
print("VAE               ", vae_elbo)
print("denoising VAE     ", denoiser_elbo)
print("VAE, d = 1e-2     ", slow_elbo)

# %%
claim("the plain VAE has the best bound", vae_elbo.value > denoiser_elbo.value)
claim("d = 1e-2 alone costs more than a nat", vae_elbo.value > slow_elbo.value + 1)

# %% [markdown]
# The plain VAE is better on clean images, for that is what it was trained on: its ELBO
# is −15 to −18 nats per image, by seed and machine [−16], that of the denoising one −47
# to −51 [−34]. But the other schedule alone costs more than 20 nats [17]. In the fast
# mode these two are as good as equal: noise costs what the schedule costs. Who compares
# a denoising VAE at one schedule with a VAE at the other measures the schedule as well.
# (None is near the optimum of −5.5 [−4.2]: 09 took more steps, larger batches and a
# larger network.)
#
# ## What the noise is good for
# Now give both the spoiled images of the first cell, and ask for the clean ones.
# **Predict:** of 115 [51] wrong pixels, how many are still wrong?


# %%
def still_wrong(model):
    """Wrong pixels in an image, after the model has seen the spoiled one."""
    restored = model.reconstruct(noisy) > 0.5
    return (restored != clean).sum() / len(clean)


vae_wrong = still_wrong(vae)
denoiser_wrong = still_wrong(denoiser)
print(f"of {wrong_before:.0f}: VAE {vae_wrong:.0f}, denoising VAE {denoiser_wrong:.0f}")

# %%
claim("the denoising VAE restores more", denoiser_wrong < vae_wrong)
claim("and more than half of the wrong pixels", denoiser_wrong < wrong_before / 2)

# %%
rows["VAE"] = vae.reconstruct(noisy[ten])
rows["denoising VAE"] = denoiser.reconstruct(noisy[ten])
show(sheet("Spoiled and restored", rows), "spoiled and restored")

# %% [markdown]
# The VAE leaves some 49 pixels wrong [22], the denoising VAE 12 [8]. The VAE's encoder
# has never seen a spoiled image, and puts the square some pixels from its place:
# compare its row with the clean one. The denoising one has learned what to overlook. So
# noise in training buys an encoder that works on spoiled images, and pays for it on
# clean ones.
#
# Both planes of codes are maps of the square's place, VAE left.

# %%
show(
    beside(
        figures.plane_picture(figures.plane(vae, span=2.2), 2.2, scale=1),
        figures.plane_picture(figures.plane(denoiser, span=2.2), 2.2, scale=1),
    ),
    "two planes",
)

# %% [markdown]
# ## What is bounded (ERRATA 9)
# A VAE maximises a lower bound of ln p(y) (08). What does a denoising VAE maximise? Its
# ELBO has a q(z∣y′) that belongs to another image, and then the mean over the noise is
# taken:
#
#     D(y) = Σ p(y′∣y) B(q(z∣y′))        with B(q) = Σ q(z) ln [p(y, z) / q(z)]
#
# The sums are over all y′, and over all codes z. B(q) is the ELBO of y for a
# distribution q of codes; 08 has shown that it holds for *any* q, and that ln p(y) −
# B(q) is KL(q ‖ p(z∣y)). So it holds for each y′, and
#
#     ln p(y) − D(y) = Σ p(y′∣y) KL(q(z∣y′) ‖ p(z∣y))  ≥  0
#
# D is a bound. But is it a tight one? There is a rival. Noise and encoder together draw
# the code from a mixture, q̃(z∣y) = Σ p(y′∣y) q(z∣y′), and B(q̃) is a bound too. Which
# is larger?
#
# 1. Both contain the mean of ln p(y, z) over the same codes. It cancels in B(q̃) − D.
# 2. What is left: B(q̃) − D = Σ p(y′∣y) Σ q(z∣y′) [ln q(z∣y′) − ln q̃(z∣y)].
# 3. That is the mean of KL(q(z∣y′) ‖ q̃(z∣y)), never negative: the mutual information
#    of code and noise (09), I(z; y′).
#
# So ln p(y) ≥ B(q̃) ≥ D. (An article by Im and others, on which the denoising article
# rests, claims D ≥ B(q̃).) Let us see it in numbers. An image has two pixels, so there
# are four. The code is one bit, and the decoder a table.

# %%
pixels = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
white = np.array([[0.1, 0.2], [0.9, 0.7]])  # p(pixel = 1∣z): a row for each z

p_pixels = np.where(pixels[:, None] == 1, white, 1 - white)  # (image, z, pixel)
joint = 0.5 * p_pixels.prod(axis=2)  # p(y, z): a row for each image
evidence = np.log(joint.sum(axis=1))  # ln p(y)
posterior = joint / joint.sum(axis=1, keepdims=True)  # p(z∣y), by Bayes' rule

kept = np.where(pixels[:, None] == pixels, 0.9, 0.1)  # a pixel flips with 0.1
spoil = kept.prod(axis=2)  # p(y′∣y): a row for each y
print("ln p(y)", evidence)
print("p(y′∣y)", spoil, sep="\n")

# %%
claim("the probabilities of all images sum to 1", abs(joint.sum() - 1) < 1e-12)
claim("and those of all spoiled ones", np.allclose(spoil.sum(axis=1), 1))

# %% [markdown]
# Now an encoder: a table q(z∣y), which knows the posterior of three images, and is
# badly wrong about the fourth. **Predict:** for which image does the plain bound B(q)
# beat the denoising bound D, and for which is it the other way round?

# %%
misled = posterior.copy()
misled[3] = 0.99, 0.01  # for the image (1, 1), whose code is almost surely 1


def bound(q):
    """B(q) of each image, for a table of q with a row for each image."""
    return (q * np.log(joint / q)).sum(axis=1)


def denoising_bound(q):
    """D of each image: the mean over y′ of B(q(z∣y′))."""
    each = (q * np.log(joint[:, None] / q)).sum(axis=2)  # (y, y′)
    return (spoil * each).sum(axis=1)


mixture = spoil @ misled  # q̃(z∣y)
print("image     ", *map(str, pixels))
print("ln p(y)   ", evidence.round(2))
print("B(q)      ", bound(misled).round(2))
print("B(q̃)      ", bound(mixture).round(2))
print("D         ", denoising_bound(misled).round(2))

# %%
plain_bound, mixed, denoising = bound(misled), bound(mixture), denoising_bound(misled)
claim("ln p(y) is above B(q̃)", (evidence >= mixed).all())
claim("B(q̃) is above D", (mixed >= denoising).all())
claim("where q is right the plain bound is better", (plain_bound > denoising)[:3].all())
claim("where q is wrong the denoising one is", denoising[3] > plain_bound[3])


# %%
def draw(axes):
    place = np.arange(4)
    axes.hlines(evidence, place - 0.3, place + 0.3, color="0.1", label="ln p(y)")
    axes.plot(place - 0.15, plain_bound, "o", color="#1b4965", label="B(q)")
    axes.plot(place, mixed, "s", color="#2a7f9e", label="B(q̃)")
    axes.plot(place + 0.15, denoising, "^", color="#c8553d", label="D")
    axes.set_xticks(place, [f"({a}, {b})" for a, b in pixels])
    axes.legend(frameon=False, loc="lower left")


show(plot("Bounds of ln p(y), q wrong about (1, 1)", "image y", "nats", draw), "bounds")

# %% [markdown]
# On (1, 1) the encoder is wrong; noise asks it about the neighbours too, and they know
# better. Everywhere else noise only makes q worse. The two gaps are what the derivation
# says:

# %%
log_ratio = np.log(misled / mixture[:, None])  # (y, y′, z)
information = (spoil * (misled * log_ratio).sum(axis=2)).sum(axis=1)
log_ratio = np.log(misled / posterior[:, None])
gap = (spoil * (misled * log_ratio).sum(axis=2)).sum(axis=1)
print("I(z; y′)  ", information.round(2))
print("gap       ", gap.round(2))

# %%
claim("B(q̃) − D is the information", np.allclose(mixed - denoising, information))
claim("ln p(y) − D is the mean divergence", np.allclose(evidence - denoising, gap))

# %% [markdown]
# **Predict:** and an encoder that is right about all four images?

# %%
claim("B(q) is then ln p(y) itself", np.allclose(bound(posterior), evidence))
claim("and D is below it everywhere", (denoising_bound(posterior) < evidence).all())

# %% [markdown]
# Neither model's bound is always the better one. So evaluate both on clean images, as
# we did.
#
# ## The sign of the objective (ERRATA 8)
# The article says: minimise
#
#     (1/L) Σ_l [KL + Σ_l′ ln p(y∣z)]
#
# over L noisy copies y′ of an image, numbered l, and L′ codes drawn for each, numbered
# l′. **Predict:** does this fall while the VAE learns?

# %%
printed_before = untrained_elbo.divergence - untrained_elbo.reconstruction
printed_after = vae_elbo.divergence - vae_elbo.reconstruction
print("as printed: before", printed_before, "after", printed_after)
print("negative ELBO: before", -untrained_elbo.value, "after", -vae_elbo.value)

# %%
claim(
    "the printed objective rises by more than 100 nats",
    printed_after > printed_before + 100,
)
claim(
    "the right one falls by more than 100 nats",
    -vae_elbo.value < -untrained_elbo.value - 100,
)

# %% [markdown]
# Minimising it makes the model worse. ln p needs a minus sign, for we want it large.
#
# The inner sum lacks a factor too. **Predict:** for L′ = 10, how large is a sum of ten
# draws of −ln p beside the reconstruction of the ELBO?

# %%
codes = nn.GaussianSampler(samples=10).forward(vae.encode(clean))
logits = vae.decoder.forward(codes)
losses = nn.BCEWithLogitsCriterion(samples=10).rows(logits, clean).reshape(-1, 10)
of_sum, of_mean = losses.sum(axis=1).mean(), losses.mean()
print(
    f"sum {of_sum:.1f}, mean {of_mean:.1f}, reconstruction {vae_elbo.reconstruction:.1f}"
)

# %%
claim("the sum is ten times the mean", np.isclose(of_sum, 10 * of_mean))
claim(
    "the mean is the reconstruction",
    abs(of_mean - vae_elbo.reconstruction) < 0.2 * vae_elbo.reconstruction,
)

# %% [markdown]
# Without 1/L′ the likelihood weighs L′ times as much beside the KL. The right objective
# is
#
#     (1/L) Σ_l [KL(q(z∣y′) ‖ p(z)) − (1/L′) Σ_l′ ln p(y∣z)]        y′ from p(y′∣y)
#
# The articles' code has L = L′ = 1 and the right sign. Their text also draws y′ from a
# q(y′∣y), though the noise is no part of what is learned, and writes σ²(z) for a
# variance that depends on y.
#
# ## In three sentences
# A denoising VAE spoils the input of its encoder and asks for the clean image. Its
# encoder works on spoiled images, where a plain VAE misplaces the square; on clean ones
# the plain VAE does better when it has had the same training. What it maximises is a
# lower bound of ln p(y), but a looser one than that of the mixture, by the information
# that the code holds about the noise.
#
# ## Test yourself
# 1. With p = ½, what does y′ tell about y? Where will the KL go?
# 2. Two papers compare models trained with different schedules. What would you ask them
#    to run?
# 3. The noise layer's derivative is wrong, yet training goes as before. Why?
#
# The answers are in [ANSWERS.md](ANSWERS.md#10-remove-noise).
#
# # Next: 11 Encode bits
# What if the code shall consist of bits, which have no gradient?
