# %% [markdown]
# # 05 Compress rectangles
# **Can a network learn to describe an image with two numbers, and can we then make up images from two numbers?** Needs:
# 01, 03 and 04. About 30 minutes.
#
# An **auto-encoder** is two networks. The **encoder** makes a few numbers of an image, its **code**; the **decoder**
# makes an image of a code. They learn together, from one wish: what comes out shall be what went in.
# ## The images (ERRATA 11)
# The articles call them "rectangles of random size". Here are 40 of 4096. **Predict:** how many *different* ones are
# there? (The pictures appear where you run this as a notebook.)

# %%
import os

import numpy as np

import minivae as mv
from minivae import figures, nn
from minivae.data import Batches, is_full_square, rectangles
from minivae.optim import adam

FAST = os.environ.get("MINIVAE_FAST") == "1"
images = rectangles(4096)  # uint8 of 0 and 1, (4096, 1, 24, 24)
different = np.unique(images, axis=0).astype("float32")
print(images.shape, different.shape, is_full_square(different).all())
figures.picture(figures.grid(images[:40], columns=20, gap=1, background=0.25), scale=2)

# %% [markdown]
# 256: each is a full square of 9×9, at one of 16·16 places. Two numbers, the row and the column, say all there is to
# say. Nobody tells the network so; it sees 576 pixels.
# ## The loss of a picture
# A **criterion** is a loss as a module: `forward(prediction, target)` gives the sum over the batch, `backward` its
# gradient. Here the decoder gives each pixel a probability p to be white, by a **logit** a, any real number, with
# p = σ(a) = 1 / (1 + e⁻ᵃ): 0 is "could be either", +5 is "white, surely". The loss is −ln of the probability that it
# gave to the true image x, summed over pixels. That is the **binary cross entropy**, BCE, and its unit, that of the
# natural logarithm, is the **nat**: −ln p = ln(1 + eᵃ) − a x for each pixel. Its derivative by a is σ(a) − x.
#
# Between the layers we use **ReLU**, max(x, 0). **Predict:** what does the untrained network, its logits near 0, lose?

# %%
def autoencoder(hidden=128, *last):
    encoder = nn.Linear(576, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 2)
    decoder = nn.Linear(2, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 576), *last
    # View(576) makes a row of 576 numbers of each image, View(1, 24, 24) an image of each row
    return nn.Sequential(nn.Sequential(nn.View(576), *encoder), nn.Sequential(*decoder, nn.View(1, 24, 24)))

criterion = nn.BCEWithLogitsCriterion()
mv.manual_seed(0)
model = autoencoder()
untrained = criterion.forward(model.forward(different), different) / 256
print(untrained, 576 * np.log(2))

# %% [markdown]
# A coin for each pixel: 576 ln 2 = 399 nats per image.
# ## Learn
# One step looks at a **minibatch**: a few images, drawn at random, because the gradient of 64 is nearly that of all
# and far cheaper. `Batches` draws them, as float32, into a buffer. The rest is the `feval` of tutorial 04. **Predict:**
# what is the loss at the end? **Step in here:**
# `minivae.nn.bce_with_logits_criterion.BCEWithLogitsCriterion.update_grad_input`. Watch
# `self.grad_input`: it is σ(a) − x, between −1 and 1, and nearly 0 where the network is right and sure.

# %%
def learn(model, steps):
    batches, state = Batches(images, 64), {}
    flat, flat_grad = model.get_parameters()

    def feval(flat):
        model.zero_grad_parameters()
        logits = model.forward(x)
        loss = criterion.forward(logits, x)
        model.backward(x, criterion.backward(logits, x), need_grad_input=False)
        return loss, flat_grad
    losses = []
    for step in range(steps):
        x = batches.next()
        state["learning_rate"] = 5e-3 * (1 - (step / steps) ** 2)  # shorter towards the end, to settle
        losses.append(adam(feval, flat, state)[1] / len(x))  # nats per image
    return losses

losses = learn(model, 1000 if FAST else 2000)
at_the_end = np.mean(losses[-20:])
print(losses[0], losses[100], at_the_end)

# %% [markdown]
# From 399 to a few nats, or less. A model that gives each image a probability cannot average below 5.545: the 256
# probabilities sum to at most 1, so their mean is at most 1/256; and −ln is convex, so the mean of −ln p is at least
# −ln of that mean, ln 256 = 5.545. Our loss is no such probability: the decoder was told in two numbers, free of
# charge, which square it is. Now eleven of the 256 squares, and below what two numbers keep of each.

# %%
encoder, decoder = model[0], model[1]

def probabilities(codes):
    return nn.Sigmoid().forward(decoder.forward(codes.astype("float32")))

codes = encoder.forward(different).copy()
again = probabilities(codes)
wrong_pixels = ((again > 0.5) != (different > 0.5)).sum(axis=(1, 2, 3)).mean()
print(wrong_pixels, is_full_square(again).mean())
figures.picture(figures.grid(np.concatenate([different[5::25], again[5::25]]), 11, gap=1, background=0.25), scale=3)

# %% [markdown]
# Few pixels of 576 are wrong, or none, and most of the 256 come back as a full square (many, after the short run of the
# fast mode). Two numbers are enough.
# ## Make up images
# The decoder turns any two numbers into an image. So let us invent some: draw codes at random and decode them. We do
# not know where codes lie, so we try twice: from the standard normal distribution N(0, 1), and, to be generous, from a
# normal distribution with the mean and the spread of the real codes. **Predict:** which share will be full squares?

# %%
random = np.random.default_rng(0)
draws = random.standard_normal((2000, 2))
invented = {"N(0, 1)": probabilities(draws), "like the codes": probabilities(codes.mean(0) + codes.std(0) * draws)}
shares = {name: is_full_square(each).mean().item() for name, each in invented.items()}
kinds = len(np.unique(invented["N(0, 1)"][is_full_square(invented["N(0, 1)"])] > 0.5, axis=0))
print(f"share of full squares {shares}, with N(0, 1) of {kinds} kinds; spread of the codes", codes.std(0))
figures.picture(figures.grid(np.concatenate([each[:40] for each in invented.values()]), 20, 1, 0.25), scale=2)

# %% [markdown]
# The upper two rows are from N(0, 1): all in about the same place, many crumbled, because the codes spread over many
# times its width. The lower two rows reach everywhere, but many squares are ragged, torn in two or lost. Of the real
# codes most gave a full square, the invented ones do so less than half as often.
# Nothing went wrong in learning. The loss asks only that 256 *points* of the plane decode well. Where the encoder puts
# them is its own affair, as is what lies between them; so we know neither where to draw nor what to expect there.
# A **variational** auto-encoder asks for both: codes that together fill a distribution known beforehand, the **prior**,
# and a decoder that works all around each code, because the code is drawn at random. It also pays for codes, in nats.
# ## A deliberate mistake
# "Probabilities come from a Sigmoid", so let us end the decoder in one, and keep the criterion, which wants logits.
# **Predict:** which loss can "logits" between 0 and 1 reach at best, for 81 white and 495 black pixels?

# %%
mv.manual_seed(0)
squashed = learn(mistaken := autoencoder(128, nn.Sigmoid()), 100)
best = 81 * np.log(1 + np.exp(-1)) + 495 * np.log(2)
print(squashed[0], squashed[-1], best, "largest output", mistaken.output.max())

# %% [markdown]
# No error, and the loss falls, as it should. But it cannot fall below 368: for black pixels the "logit" 0 is the least,
# and that is a coin. It halts even at 399, a coin for all: Adam has pushed the numbers before the sigmoid so far down
# that every output is exactly 0 in float32. There p (1 − p), the derivative of the sigmoid, is 0 too: no gradient leads
# back. A bound worked out by hand catches it; no gradient check can.

# %% What we claimed
assert len(different) == 256 and is_full_square(different).all() and abs(untrained - 576 * np.log(2)) < 8
assert abs(losses[0] - 399) < 8 and at_the_end < np.log(256) and abs(np.log(256) - 5.545) < 1e-3
assert wrong_pixels < 2 and is_full_square(again).mean() > 1 / 3 and np.abs(criterion.grad_input).max() <= 1
assert 2 * max(shares.values()) < is_full_square(again).mean() and kinds < 64 and codes.std(0).min() > 5
assert abs(best - 368) < 1 and min(squashed) > best and abs(squashed[-1] - 399) < 2 < squashed[0] - squashed[-1]
assert not mistaken.output.any() and not mistaken.get_parameters()[1].any()
# %% [markdown]
# Next: 06 Sample codes, the random draw in the middle of a variational auto-encoder.
