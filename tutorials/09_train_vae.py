# %% [markdown]
# # 09 Train a VAE
# **What does a variational auto-encoder learn from 256 squares, and how good can it get?**  Needs: 05 to 07.  45 min.
#
# Four parts become one model: the encoder gives q(z|x), the code's distribution once the image is known; the KL layer
# measures its divergence from the prior p(z); the sampler draws z; the decoder gives p(x|z), a probability a pixel.
# Real images shall be probable, so we would maximise ln p(x); but p(x) = ∫ p(x|z) p(z) dz is out of reach.  Write it as
# E_q[p(x|z) p(z) / q(z|x)], a mean over codes that the encoder draws.  The logarithm of a mean is at least the mean of
# the logarithms: the *evidence lower bound*, ELBO, whose gap is KL(q(z|x) ‖ p(z|x)).
#
#     ln p(x)  ≥  ELBO = E_q[ln p(x|z)] − KL(q(z|x) ‖ p(z))        we minimise its negative, reconstruction + KL

# %%
import os
from math import erf, log, sqrt

import numpy as np

import minivae as mv
from minivae import evaluation, figures, nn
from minivae.data import Batches, entropy, is_full_square, rectangles
from minivae.training import Training

FAST = os.environ.get("MINIVAE_FAST") == "1"
mv.manual_seed(0)
images = rectangles(4000)  # 24×24 pixels of 0 and 1
model = mv.models.vae(hidden=128)  # the article has hidden=1152, some ten times slower
training = Training(model, Batches(images, batch_size=16), learning_rate=1e-3, learning_rate_decay=1e-4)
print(model)
figures.picture(figures.grid(images[:20], columns=10, gap=1, background=0.25), scale=2)

# %% [markdown]
# ## Rectangles of random size (ERRATA 11)
# Why did 05 count only 256?  The listing's `torch.random(8, 8)` is a whole number from 8 to 8, and `sub(a, a + 8)`
# takes the rows from a to a + 8, both included.

# %%
distinct, optimum = np.unique(images, axis=0), entropy()
p = mv.backend.host_generator().dirichlet(np.ones(256))  # some other probabilities of the 256 images
print(len(distinct), "images, optimum", optimum, "nats per image, with other probabilities", -np.log(p).mean())

# %% [markdown]
# 256 squares of 9×9, equally likely.  A gift: we know the best that any model can reach, −ln p(x) = ln 256 = 5.545
# nats.  Other probabilities cost more on average, and the bound can only add to it.
#
# ## The printed loss (ERRATA 12, ERRATA 13)
# **Predict:** an untrained decoder says about ½ for each of the 576 pixels.  What does the loss of a batch of 16 read?

# %%
x = images[:16].astype("float32")
printed = model.criterion().forward(model.forward(x), x)
print(printed, "in the batch,", printed / 16, "per image; beside it KL", model.kl.divergence / 16)

# %% [markdown]
# About 16 · 576 · ln 2 = 6388: the articles print the sum over the batch (13); minivae reports 399 nats per image.
# And it is the reconstruction alone (12): the divergence enters on the way back, in the KL layer.  Only the encoder's
# weights change it; so move those along their gradient, in a direction d of length 1.  **Predict:** the slope is the
# length of the gradient; of which loss, the reconstruction or reconstruction + KL?

# %%
twin, target = model.clone().double().hold_noise(), x.astype("float64")
twin.get_parameters()
weights, gradient = twin.encoder.get_parameters()  # the encoder's part of them
weights *= 3  # larger weights, and so a divergence that matters
bce = nn.BCEWithLogitsCriterion().double()
twin.backward(target, bce.backward(twin.forward(target), target))
length, losses = np.linalg.norm(gradient), []
direction = gradient / length
for step in (-1e-6, 2e-6):
    weights += step * direction
    losses.append(bce.forward(twin.forward(target), target) + np.array([0, mv.side_loss(twin)]))
slopes = (losses[1] - losses[0]) / 2e-6
print("length of the gradient", length, " slopes of the two losses", slopes)

# %% [markdown]
# Of the sum: it is what training minimises, and the only number to compare with 5.545.  **Step in here:** set a
# breakpoint in `minivae.training.Training.feval`, and watch `reconstruction` and `model.kl.divergence`.
# ## Probabilities or logits
# The article's decoder ends in a sigmoid, with `BCECriterion` for probabilities; ours ends in *logits*
# a = ln p − ln(1−p), and the criterion holds the sigmoid.  **Predict:** with the same weights, what differs?

# %%
codes, values, grads = mv.backend.host_generator().standard_normal((16, 2)), [], []
article = nn.Sequential(twin.decoder.clone(), nn.Sigmoid()).double()
for decoder, loss in ((article, nn.BCECriterion().double()), (twin.decoder, bce)):
    decoder.zero_grad_parameters()
    values.append(loss.forward(decoder.forward(codes), target))
    decoder.backward(codes, loss.backward(decoder.output, target))
    grads.append(np.concatenate([grad.ravel() for grad in decoder.parameters()[1]]))
print(values, np.abs(grads[0] - grads[1]).max())

# %% [markdown]
# Neither value nor gradient (13 shows where the former fail).  Now train.  **Predict:** reconstruction falls; and KL?

# %%
protocol = training.run(600 if FAST else 6000, progress=False)
elbo = evaluation.elbo(model, distinct, samples=20)
better = evaluation.log_likelihood(model, distinct, samples=100)  # a tighter bound of ln p(x), from 100 codes an image
print("ELBO", elbo, "\nln p(x) is at least", better, "\noptimum", -optimum)
figures.curve(protocol, floor=optimum)

# %% [markdown]
# It rises, from nothing to about 8 nats: codes must differ where images do.  The KL is what the code says about the
# image (at most ln 256), plus the divergence of all codes together from the prior.  (±: the mean's standard error.)
#
# ## The plane of codes (ERRATA 22)
# The article's caption says codes in [0, 1]² in steps of 0.05; its listing draws −0.95 … 0.95 in steps of 0.1.
# **Predict:** which share of the prior's codes lies in there?  (Right in the picture: −2.2 … 2.2.)

# %%
def places(plane):
    """At how many different places, to a pixel, the centres of a plane's squares stand."""
    mass, pixel = plane.sum(axis=(1, 2, 3)), np.arange(24)
    centres = [plane[:, 0].sum(axis=axis) @ pixel / mass for axis in (1, 2)]
    return len(np.unique(np.round(centres), axis=1).T)

inside, planes = erf(0.95 / sqrt(2)) ** 2, (figures.plane(model), figures.plane(model, span=2.2))
reach = [places(each) for each in planes]
print(f"{inside:.0%} of the prior; places in the two pictures, of 256:", reach)
figures.picture(np.concatenate([figures.grid(each, 20, gap=1, background=0.25) for each in planes], axis=1))

# %% [markdown]
# 43 %.  The square moves as the code does, but on the listing's grid it comes to far fewer places.
# ## A "std" that is none (ERRATA 23)
# The listing's "std" is the standard deviation of the log-variances.  **Predict:** is that the codes' spread σ?

# %%
_, log_var = model.encode(distinct.astype("float32"))
print("mean σ", std := np.exp(log_var / 2).mean(), " the listing's", listed := log_var.std())

# %% [markdown]
# No: σ is below 0.2, a small patch of the plane; the other number says how the certainty varies between squares.
# ## A mean for a sum: the deliberate mistake
# Torch7's criterions take a mean by default.  The reconstruction then weighs 16 · 576 times less.  **Predict:** the KL?

# %%
averaged = mv.models.vae(hidden=128)
averaged.criterion().size_average = True  # the mistake
Training(averaged, Batches(images, 16)).run(200, progress=False)
collapsed = evaluation.elbo(averaged, distinct)
active = [evaluation.active_units(each, distinct).count for each in (averaged, model)]
print(collapsed, " active units: averaged", active[0], " summed", active[1])

# %% [markdown]
# No KL, and no unit of the code is *active*: its mean hardly varies.  The ELBO, beside the optimum, catches it.

# %%  What we claimed
assert len(distinct) == 256 and is_full_square(distinct, side=9).all() and abs(optimum - log(256)) < 1e-12
assert -np.log(p).mean() > optimum and abs(printed - 16 * 576 * log(2)) < 150 and abs(576 * log(2) - 399) < 1
assert abs(slopes[1] / length - 1) < 1e-5 and slopes[0] < 0.9 * length
assert np.isclose(*values, rtol=1e-12) and np.abs(grads[0] - grads[1]).max() < 1e-10 * np.abs(grads[1]).max()
assert elbo.reconstruction < 100 and 6 < elbo.divergence < 11 and protocol["divergence"][0] < 0.1
assert elbo.value < better.value < -optimum and abs(inside - 0.43) < 0.005 and reach[0] < 0.8 * reach[1]
assert std < 0.2 and listed > 1.5 * std and collapsed.divergence < 0.01 and -collapsed.value > 80 and active == [0, 2]

# %% [markdown]
# Next: 10 spoils the input before the encoder sees it.
