# %% [markdown]
# # 21 Reach the optimum
# **How near can a model come to the best that its data allow, and what keeps it away?**
#
# Needs: 11 and 12. About 60 minutes. Lesson 09 stops two nats above the optimum of the
# rectangles. Here a code of bits reaches it, first on squares so small that a run takes
# a second, then on those of the articles.

# %%
from math import log

import numpy as np
from lesson import FAST, boxes, claim, plot, show

import minivae as mv
from minivae import evaluation, models
from minivae.data import Batches, is_full_square, squares
from minivae.figures import grid, picture
from minivae.schedules import WarmUp
from minivae.training import Training

# %% [markdown]
# ## A code without a value to spare
# A 5×5 square stands at one of 16 places in 8×8 pixels. All are equally likely, so no
# model has a −ELBO below ln 16 nats (09). A code of 4 bits has 16 values: the optimum
# gives each square a value of its own, and the decoder draws it without a doubt.

# %%
images = squares(8, 8, side=5)
n = len(images)
optimum = log(n)
print(f"{n} squares, optimum {optimum:.3f} nats")
show(boxes("x → [encoder] → θ → [4 bits] → z → [decoder] → p(x∣z)"), "model")
sheet = grid(images.astype(float), columns=8, gap=1, background=0.25)
show(picture(sheet, scale=6), "squares")

# %%
claim("4 bits have as many values as there are squares", 2**4 == n)

# %% [markdown]
# **Predict:** two neighbours share one value of the code, and another value is left
# unused. What does that cost these two images?

# %%
differing = np.count_nonzero(images[0] != images[1])
print(f"{differing} pixels differ, each is uncertain: {differing * log(2):.2f} nats")

# %%
claim("neighbours differ in 10 pixels", differing == 10)

# %% [markdown]
# The decoder can only say ½ where its two images differ: 10 ln 2 nats. The mean over 16
# images rises by an eighth of that, 0.87 nats, for one single error.
#
# ## Without noise in the gradient
# Lessons 11 and 12 drew relaxed bits, whose gradient is an estimate. With 16 values no
# draw is needed. The mean over the code is a sum:
#
#     E_q[−ln p(x∣z)] = Σ_z q(z∣x) · (−ln p(x∣z))
#
# The decoder computes all 16 values of z once, for all images; `estimator="exact"` does
# that. And each batch holds every square once, so nothing at all is left to chance but
# the first weights.
#
# **Step in here:** `minivae.nn.expected_criterion.ExpectedCriterion.update_output`.


# %%
def learn(seed, steps, start, fall):
    """(model, training); the KL's weight goes from `start` to 1 in `fall` steps."""
    mv.manual_seed(seed)
    model = models.bernoulli_vae(image=(1, 8, 8), hidden=64, code=4)
    batches = Batches(images, n, by_epoch=True)
    weight = WarmUp(fall, 1.0, start)
    training = Training(model, batches, 3e-3, beta=weight, estimator="exact")
    training.run(steps, progress=False)
    return model, training


def found(model):
    """(−ELBO, how many different full squares the 16 codes decode to)."""
    drawn = model.decode(model.kl.latent.support(4))
    full = drawn[is_full_square(drawn, side=5)] > 0.5
    different = len(np.unique(full.reshape(-1, 8 * 8), axis=0))
    return -evaluation.elbo(model, images, samples=50).value, different


def decoded(model):
    """What each of the 16 codes decodes to."""
    drawn = model.decode(model.kl.latent.support(4))
    return picture(grid(drawn, columns=8, gap=1, background=0.25), scale=6)


# %% [markdown]
# **Predict:** the gradient is exact, the batch is the whole distribution, and the model
# has thousands of weights for 16 images. Does it find them all? (1,200 steps; in the fast
# mode 300)

# %%
plain, _ = learn(seed=0, steps=300 if FAST else 1200, start=1.0, fall=1)
plain_bound, plain_squares = found(plain)
print(f"−ELBO {plain_bound:.2f}, {plain_squares} of {n} squares")
show(decoded(plain), "what the codes draw")

# %%
claim("it stays more than a nat above the optimum", plain_bound > optimum + 1)
claim("some squares have no code", plain_squares < n)

# %% [markdown]
# So it was not the noise. (With the seeds 0 to 4 it finds 5 to 10 squares.) In the
# first steps each bit takes some split of the images, and hardens: a bit that is sure
# of itself has a vanishing gradient. Some values of the code have several squares, some
# have none, and to exchange them a bit would have to be wrong for a while. That is a
# local optimum.
#
# ## What a bit is worth
# One idea mends it: make bits expensive at first. With the weight β, a bit costs β ln 2
# nats. It pays where it saves more than that in the reconstruction. Let bits halve the
# squares in turn: across, down, across, down. Where a value of the code stands for a
# block of squares, the best decoder gives each pixel its mean over the block.


# %%
def entropy(p):
    p = np.clip(p, 1e-12, 1 - 1e-12)
    return -(p * np.log(p) + (1 - p) * np.log(1 - p))


def reconstruction(width, height):
    """Nats per image where a code knows the block of width × height places."""
    blocks = images.reshape(4 // height, height, 4 // width, width, 8, 8)
    return entropy(blocks.mean(axis=(1, 3))).sum(axis=(-1, -2)).mean()


halves = [(4, 4), (2, 4), (2, 2), (1, 2), (1, 1)]
nats = np.array([reconstruction(*each) for each in halves])
worth = (nats[:-1] - nats[1:]) / log(2)  # the weight at which the bit pays for itself
for bit, weight in enumerate(worth, 1):
    print(f"bit {bit} pays below β = {weight:.1f}")

# %%
claim("each halving across pays sooner than the next one", worth[0] > worth[2])
claim("each halving down pays sooner than the next one", worth[1] > worth[3])
claim("the last bit pays below β = 10", abs(worth[3] - 10) < 1e-6)

# %% [markdown]
# At β = 10 the coarse bits pay, and the fine ones are about to. But no bit has a reason
# to be sure of itself: a split that is slightly wrong is still cheap to change. As the
# weight falls, the bits harden around what they have found. Metal that cools slowly
# becomes ordered in the same way; hence the name, **deterministic annealing** (Rose
# 1998).
#
# **Predict:** the same model, the same seed, as many steps, but the weight falls from
# 10 to 1. How many squares?

# %%
model, training = learn(seed=0, steps=1200, start=10.0, fall=1020)
bound, different = found(model)
print(f"−ELBO {bound:.3f}, optimum {optimum:.3f}, {different} of {n} squares")
show(decoded(model), "all squares")

# %%
claim("all squares are found", different == n)
claim("the −ELBO is within 0.1 nats of the optimum", bound < optimum + 0.1)
exact = -evaluation.exact_log_likelihood(model, images).value
claim("the exact −ln p(x) is not below the optimum", exact > optimum - 1e-3)

# %%
steps = training.protocol["step"]


def draw(axes):
    axes.plot(steps, training.protocol["reconstruction"], label="reconstruction")
    axes.plot(steps, training.protocol["divergence"], "--", label="KL")
    axes.plot(steps, training.protocol["beta"], ":", label="weight β of the KL")
    axes.axhline(optimum, color="0.5", linewidth=1, label="ln 16")
    axes.set(ylim=(0, 20))
    axes.legend(frameon=False)


show(plot("The bits decide as they become cheap", "step", "nats", draw), "annealing")

# %% [markdown]
# Look at the KL: it climbs a staircase, whose steps are ln 2 = 0.69 nats high. The bits
# decide one after the other.
#
# ## A deliberate mistake: too dear
# If falling from 10 is good, is falling from 40 better? A code that says nothing is at
# rest: the decoder ignores it, so the encoder has no reason to use it. Is that rest
# stable? Let one bit lean slightly, by ε lₙ for image n, where the mean of l over the
# images is 0. Its cost and its gain both grow with ε²:
#
# 1. Image n sets the bit with probability θ = ½ + ε lₙ. Its KL is 2 (θ − ½)² = 2 ε²
#    lₙ², for small ε. So the bit costs β · 2 ε² · mean of lₙ².
# 2. Let pixel k be white in a share mₖ of the images. Among the images with bit 1 its
#    share is mₖ + 2 ε cₖ, and with bit 0 it is mₖ − 2 ε cₖ, with cₖ the mean of lₙ
#    times (pixel − mₖ).
# 3. A decoder that knows this gains the divergence of such a coin from the coin mₖ. For
#    small ε that is (2 ε cₖ)² / (2 mₖ (1 − mₖ)) = 2 ε² cₖ² / (mₖ (1 − mₖ)).
# 4. mₖ (1 − mₖ) is the pixel's variance. With pixels sₖ that are scaled to mean 0 and
#    variance 1, the gain over all pixels is 2 ε² Σₖ (mean of lₙ sₖ)².
# 5. So the gain wins where β < Σₖ (mean of lₙ sₖ)² / (mean of lₙ²). The best l makes
#    the right side the largest eigenvalue of the matrix of the pixels' correlations.
#
# Below that β the code wakes up, slowly.

# %%
pixels = images.reshape(n, -1).astype(float)
pixels = pixels[:, pixels.std(axis=0) > 0]
standard = (pixels - pixels.mean(axis=0)) / pixels.std(axis=0)
eigenvalues = np.linalg.eigvalsh(standard.T @ standard / n)
largest = eigenvalues[-1]
print(f"largest eigenvalue {largest:.1f}")

# %% [markdown]
# **Predict:** what is the KL after 150 steps at β = 40?

# %%
_, silent = learn(seed=0, steps=150, start=40.0, fall=10**9)
kl = silent.protocol["divergence"][-1]
print(f"KL at β = 40: {kl:.4f} nats")

# %%
claim("40 is above the eigenvalue, 10 is below", 10 < largest < 40)
claim("at 40 the code says nothing", kl < 0.1)

# %% [markdown]
# When the weight falls later, the decoder has long learned to look away, and it takes
# many steps until it notices the code again. By then all bits are cheap at once, and
# decide in a hurry. Falling from 40 to 1, also in 1,020 of 1,200 steps, two of five seeds
# find only 8 and 12 of the 16 squares. Falling from 20, all five find all of them. From
# 40 the KL is 0.00 up to step 880, and there β has come down to 6.
#
# Now three numbers can be put together. Below β = 16.3 a slight lean pays. Below 15.0
# and 12.9 the first two bits pay even if they are certain. But a lean that pays still
# has to grow, from first logits near 0, and the growth is slow where β is near the
# limit. So in our good run, which began at 10, the KL was 0.00 up to step 120, and the
# first bit decided around step 200, at β = 8.
#
# The detector is the KL. It may lie at zero for a while, but then it must rise bit by
# bit, by 0.69 each. If it jumps by several bits at once, the start was too dear.
#
# ## The articles' squares
# The 256 squares of 9×9 pixels in 24×24, with 8 bits, are the same problem. The optimum
# is ln 256 = 5.545 nats, and the largest eigenvalue is 76. The recipe is `minivae train
# bernoulli --preset optimum`: the weight falls from 50 to 1 in 3,500 of 4,000 steps. It
# takes a few minutes. `tests/benchmarks/RESULTS.md` says how near it comes, and what is
# lost when a part of the recipe is left out.
#
# ## In three sentences
# Where the optimum is known, one can tell a local optimum from a model that is too
# small or a gradient that is too noisy. A code without a value to spare gets stuck, for
# bits that are sure of themselves no longer learn. If bits are expensive at first and
# become cheap slowly, they settle in order, and the optimum is reached.
#
# ## Test yourself
# 1. The code has 6 bits in place of 4. Is a local optimum more or less likely, and what
#    does the divergence become at the optimum?
# 2. Why must the batch hold every square equally often, when bits are without a value
#    to spare?
# 3. At which weight does the last bit pay if squares are 9×9, and why does it not
#    matter how large the image is?
#
# The answers are in [ANSWERS.md](ANSWERS.md#21-reach-the-optimum).
