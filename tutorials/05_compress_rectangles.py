# %% [markdown]
# # 05 Compress rectangles
# **Can a network learn to describe an image with two numbers, and can we then make up
# images from two numbers?**
#
# Needs: 01, 03 and 04. About 55 minutes.
#
# You build an **auto-encoder**. It is two networks. The **encoder** makes a few numbers
# of an image, its **code**. The **decoder** makes an image of a code. They learn
# together, from one wish: what comes out shall be what went in.

# %%
import numpy as np
from lesson import FAST, beside, boxes, claim, plot, show

import minivae as mv
from minivae import figures, nn
from minivae.data import Batches, is_full_square, rectangles
from minivae.optim import adam

# %%
picture = boxes(
    "image (576 pixels) → [encoder] → code (2 numbers) → [decoder] → image (576 pixels)"
)
show(picture, "an auto-encoder")

# %% [markdown]
# ## The images (ERRATA 11)
# Two of the articles that minivae implements train on images of one white rectangle on
# black, 24 by 24 pixels. Here are 40 of 4096.

# %%
images = rectangles(4096)  # of 0 and 1, shape (4096, 1, 24, 24)
sheet = figures.grid(images[:40], columns=20, gap=1, background=0.25)
show(figures.picture(sheet, scale=2), "images")

# %% [markdown]
# The articles call them "rectangles of random size". We measure: how many rows, and how
# many columns, hold a white pixel?

# %%
rows = images.any(axis=3).sum(axis=(1, 2))
columns = images.any(axis=2).sum(axis=(1, 2))
print("heights:", np.unique(rows), " widths:", np.unique(columns))

# %% [markdown]
# Every one is a square of 9 by 9: `is_full_square` below asks that of an image. The
# articles' program draws a size "from 8 to 8", and then takes one row and one column
# more. **Predict:** in how many places can a square of 9 by 9 stand in 24 by 24 pixels?
# That is the number of different images.

# %%
different = np.unique(images, axis=0).astype("float32")
print(len(different), "different images")

# %% [markdown]
# Its top row can be any from 0 to 15, and so can its left column: 16 · 16 = 256. Two
# numbers, the row and the column, say all there is to say about such an image. Nobody
# tells the network so. It sees 576 pixels.

# %%
claim("there are 256 different images", len(different) == 16 * 16)
claim("each is one full square of 9 by 9", is_full_square(different).all())

# %% [markdown]
# ## The loss of a picture
# For each pixel the decoder gives one number, a **logit** a. It stands for the
# probability that the pixel is white,
#
#     p = σ(a) = 1 / (1 + e⁻ᵃ)
#
# A logit can be any number: 0 means "either", p = ½; 5 means "white, nearly surely"; −5
# means "black, nearly surely". The loss of a pixel is −ln of the probability that was
# given to its true colour, x = 1 for white and x = 0 for black. Two steps make one
# formula of it:
#
# 1. If x = 1, the loss is −ln σ(a) = ln(1 + e⁻ᵃ) = ln(1 + eᵃ) − a.
# 2. If x = 0, the loss is −ln(1 − σ(a)) = ln(1 + eᵃ). Together: ln(1 + eᵃ) − a x.


# %%
def pixel_loss(a, x):
    return np.log(1 + np.exp(a)) - a * x


def draw(axes):
    a = np.linspace(-6, 6, 100)
    axes.plot(a, pixel_loss(a, 1), label="the pixel is white, x = 1")
    axes.plot(a, pixel_loss(a, 0), "--", label="the pixel is black, x = 0")
    axes.legend(frameon=False, loc="upper center")


show(plot("The loss of one pixel", "logit a", "loss, nats", draw), "loss of a pixel")

# %% [markdown]
# The sum over all pixels is the **binary cross entropy**. Its unit is the **nat**,
# because we use the natural logarithm. Its derivative by a is σ(a) − x: what the
# decoder says, minus what is true.
#
# A loss as a module is called a **criterion**. `forward(logits, images)` gives the sum
# over the batch, `backward(logits, images)` its gradient.

# %%
criterion = nn.BCEWithLogitsCriterion()
logits = np.array([[0, 5, -5]], dtype="float32")
truth = np.array([[1, 1, 1]], dtype="float32")
by_formula = pixel_loss(logits, truth)
gradient = criterion.backward(logits, truth).copy()
print("losses:", by_formula, " minivae's sum:", criterion.forward(logits, truth))
print("gradient:", gradient)

# %%
sigma = 1 / (1 + np.exp(-logits))
claim(
    "minivae's criterion is the sum of the formula",
    np.isclose(criterion.forward(logits, truth), by_formula.sum(), rtol=1e-5),
)
claim("its gradient is σ(a) − x", np.allclose(gradient, sigma - truth, atol=1e-6))

# %% [markdown]
# ## The two networks
# Between the layers stands **ReLU**, max(x, 0). `View(576)` makes a row of 576 numbers
# of each image, and `View(1, 24, 24)` makes an image of each row. `at_the_end` is for a
# mistake at the end of this lesson.


# %%
def autoencoder(*at_the_end):
    encoder = nn.Sequential(
        nn.View(576),
        nn.Linear(576, 128),
        nn.ReLU(),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Linear(128, 2),
    )
    decoder = nn.Sequential(
        nn.Linear(2, 128),
        nn.ReLU(),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Linear(128, 576),
        *at_the_end,
        nn.View(1, 24, 24),
    )
    return nn.Sequential(encoder, decoder)


# %% [markdown]
# **Predict:** the weights of a new network are small, so its logits are near 0. What is
# its loss for an image of 576 pixels?

# %%
mv.manual_seed(0)
model = autoencoder()
logits = model.forward(different)
untrained = criterion.forward(logits, different) / 256
error_at_first = np.abs(criterion.backward(logits, different)).mean()
print(f"loss {untrained:.1f} nats per image; mean |σ(a) − x| {error_at_first:.2f}")

# %% [markdown]
# It is a coin for each pixel: 576 · ln 2 = 399 nats per image. All derivatives σ(a) − x
# are about ½ or −½.

# %%
claim("the untrained network loses about 399 nats", abs(untrained - 576 * np.log(2)) < 8)
claim("σ(a) − x is about ½ in size", abs(error_at_first - 0.5) < 0.02)

# %% [markdown]
# ## Learn
# Each step looks at 64 of the 256 images, a **minibatch**. The loss is a sum, so their
# gradient is an estimate of a quarter of that of all images: a good one at first, a
# poor one later, and four times as cheap. `Batches` draws them at random, each image
# once in four steps, an **epoch**. The rest is the `feval` of tutorial 04. The learning
# rate falls to 0 at the end, so that the network settles.
#
# `feval` below returns the loss *per image*, to be read, beside the gradient of the
# *sum* over 64 images, which is 64 times as large. Adam allows that: it uses the loss
# for nothing, and it divides m by √v, so a constant factor of the gradient cancels.
#
# **Predict:** what will the loss be after 2000 steps? **Step in here:**
# `minivae.nn.bce_with_logits_criterion.BCEWithLogitsCriterion.update_grad_input`. Look
# at `self.grad_input` in the first step and again in a late one. (A breakpoint would
# stop in every step: give it a condition, such as `abs(self.grad_input).mean() < 0.01`,
# at the line that returns, or switch it off for a while.) About 5 seconds; in fast mode
# there are 900 steps.


# %%
def learn(model, steps, peak):
    """Train with Adam; returns the losses of the minibatches, in nats per image."""
    batches = Batches(different, batch_size=64, by_epoch=True)
    flat, flat_grad = model.get_parameters()

    def feval(flat):
        x = batches.next()
        model.zero_grad_parameters()
        logits = model.forward(x)
        loss = criterion.forward(logits, x)
        model.backward(x, criterion.backward(logits, x), need_grad_input=False)
        return loss / len(x), flat_grad

    state = {}
    losses = []
    for step in range(steps):
        state["learning_rate"] = peak * (1 - (step / steps) ** 2)
        flat, loss = adam(feval, flat, state)
        losses.append(loss)
        if step % 500 == 0:
            print(f"step {step}: {loss:.2f}")
    return losses


losses = learn(model, steps=900 if FAST else 2000, peak=7e-3 if FAST else 5e-3)
at_the_end = np.mean(losses[-20:])
print(f"the last 20 steps: {at_the_end:.2f} nats per image")

# %%
logits = model.forward(different)
error_at_end = np.abs(criterion.backward(logits, different)).mean()
print(f"mean |σ(a) − x|: at first {error_at_first:.3f}, now {error_at_end:.4f}")


def draw(axes):
    axes.semilogy(losses, linewidth=1)
    axes.axhline(np.log(256), color="0.3", linestyle=":", label="ln 256 = 5.545")
    axes.legend(frameon=False)


show(plot("Training", "step", "loss, nats per image", draw), "training")

# %% [markdown]
# From about 400 to between 0.2 and 0.5 nats per image, with eight seeds (0.7 to 2.5 in
# fast mode). Where the network is right and sure, σ(a) − x is nearly 0, and so it is for
# most pixels now.

# %%
claim("the loss ends below ln 256 = 5.545", at_the_end < np.log(256))
claim("σ(a) − x is now below 0.02 on average", error_at_end < 0.02)

# %% [markdown]
# ## A limit for models with probabilities
# What is the line at 5.545 in the picture? Take any model that gives each of the 256
# images a probability, and measure its average of −ln p. Four steps:
#
# 1. The 256 probabilities add up to at most 1. So their mean is at most 1/256.
# 2. −ln is a convex function: the mean of −ln p is at least −ln of the mean of p.
# 3. −ln of the mean is at least −ln(1/256) = ln 256 = 5.545.
# 4. So no such model can average below 5.545 nats. It reaches that number if it gives
#    all images the same probability.

# %%
random = np.random.default_rng(0)
equal = np.full(256, 1 / 256)
# three times 256 random numbers that add up to 1
others = random.dirichlet(np.ones(256), size=3)
average_of_equal = -np.log(equal).mean()
average_of_others = -np.log(others).mean(axis=1)
print("equal probabilities:", average_of_equal.round(3))
print("three others:", average_of_others.round(3))

# %%
claim("equal probabilities average ln 256", np.isclose(average_of_equal, np.log(256)))
claim("others average more", average_of_others.min() > np.log(256))

# %% [markdown]
# Our loss is lower. How can that be? It is no such probability: the decoder was told
# which square it is, in two numbers, free of charge. A **variational** auto-encoder
# must pay for what its code says. In tutorial 09 we shall print 5.545 beside each loss,
# as the best that can be reached.
#
# ## What two numbers keep
# **Predict:** send all 256 images through encoder and decoder, and call a pixel white
# if p is above ½. How many of the 576 pixels are wrong?

# %%
encoder = model[0]
decoder = model[1]


def probabilities(codes):
    """What the decoder makes of codes: a probability for each pixel."""
    return nn.Sigmoid().forward(decoder.forward(codes.astype("float32")))


codes = encoder.forward(different).copy()
again = probabilities(codes)
wrong_pixels = ((again > 0.5) != (different > 0.5)).sum(axis=(1, 2, 3)).mean()
come_back = is_full_square(again).mean()
print(f"{wrong_pixels:.2f} wrong pixels an image; full squares: {come_back:.0%}")

# %%
above_below = np.concatenate([different[5::25], again[5::25]])
sheet = figures.grid(above_below, columns=11, gap=1, background=0.25)
show(figures.picture(sheet, scale=3), "images and what comes back")

# %% [markdown]
# Above are eleven images, below what comes back. With eight seeds, 254 to 256 of the 256
# come back as a full square, the others with a pixel wrong. (In fast mode 210 or more.)
# Two numbers are enough.

# %%
claim("on average fewer than 2 of 576 pixels are wrong", wrong_pixels < 2)
claim("more than two thirds come back as full squares", come_back > 2 / 3)

# %% [markdown]
# ## Where the codes are
# The network has chosen the code itself. **Predict:** is it the row and the column?
# Each dot is the code of one image. In the first picture its colour is the top row of
# the square, in the second its left column. The small ring is the circle of radius 2:
# 86 % of the draws from the standard normal distribution N(0, 1) fall inside. On the
# right you see it enlarged.

# %%
top_row = different.any(axis=3).argmax(axis=2).ravel()
left_column = different.any(axis=2).argmax(axis=2).ravel()
angle = np.linspace(0, 2 * np.pi, 100)


def codes_plot(title, place, name, reach):
    def draw(axes):
        dots = axes.scatter(*codes.T, c=place, cmap="viridis", s=25)
        axes.plot(2 * np.cos(angle), 2 * np.sin(angle), "k-", linewidth=2)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.figure.colorbar(dots, label=name)

    return plot(title, "first number", "second number", draw, (6, 5))


def show_codes(place, name, picture):
    """All codes, and beside them those near the ring."""
    everything = codes_plot("Codes", place, name, reach=1.05 * np.abs(codes).max())
    show(beside(everything, codes_plot("Near the ring", place, name, reach=6)), picture)


show_codes(top_row, "top row of the square", "codes by row")
show_codes(left_column, "left column of the square", "codes by column")
print("spread of the codes (standard deviation):", codes.std(axis=0))

# %% [markdown]
# Neighbours have similar colours: images that look alike have codes that lie near each
# other. But the two numbers are not row and column. The sheet is turned and bent, it
# has gaps, and it is many times as wide as the ring.

# %%
claim("the codes spread over more than 5 in both numbers", codes.std(axis=0).min() > 5)

# %% [markdown]
# ## Make up images
# The decoder turns *any* two numbers into an image. So let us invent some: draw codes
# at random and decode them. Where to draw? We try two places:
#
# - the standard normal distribution N(0, 1), the ring of the picture;
# - to be generous, a normal distribution with the mean and the spread of the real
#   codes.
#
# **Predict:** what share of 2000 draws will be full squares? And how many of the 256
# different ones will there be?

# %%
draws = random.standard_normal((2000, 2))
in_the_ring = (np.linalg.norm(draws, axis=1) < 2).mean()
places = {
    "N(0, 1)": draws,
    "like the codes": codes.mean(axis=0) + codes.std(axis=0) * draws,
}
share = {}
kinds = {}
invented = {}
for name, at in places.items():
    invented[name] = probabilities(at)
    full = is_full_square(invented[name])
    share[name] = full.mean()
    kinds[name] = len(np.unique(invented[name][full] > 0.5, axis=0))
    print(f"{name:15} full squares: {share[name]:.1%}, of {kinds[name]} kinds")

# %%
first_forty = np.concatenate([each[:40] for each in invented.values()])
sheet = figures.grid(first_forty, columns=20, gap=1, background=0.25)
show(figures.picture(sheet, scale=2), "invented images")

# %% [markdown]
# The upper two rows are from N(0, 1): all in about the same place, many crumbled. The
# lower two rows reach everywhere, but most squares are ragged, torn in two or lost. With
# eight seeds, 0 to 30 % of the first are full squares, but only of 1 to 22 kinds; of the
# second 18 to 24 %, of 150 to 190 kinds. (In fast mode 5 to 27 % of 12 to 25 kinds, and
# 9 to 22 % of 100 to 180.) Of the real codes nearly all gave a full square.

# %%
claim("86 % of the draws from N(0, 1) are in the ring", abs(in_the_ring - 0.86) < 0.04)
claim(
    "real codes give full squares more than twice as often",
    come_back > 2 * max(share.values()),
)
claim("N(0, 1) gives less than a quarter of the 256 squares", kinds["N(0, 1)"] < 64)
claim(
    "draws like the codes give more kinds", kinds["like the codes"] > 2 * kinds["N(0, 1)"]
)

# %% [markdown]
# Nothing has gone wrong in learning. The loss asks for one thing only: that 256
# *points* of the plane decode well. Where the encoder puts these points is its own
# affair, and so is what lies between them. So we know neither where to draw nor what to
# expect there.
#
# A variational auto-encoder asks for both:
#
# - Its codes together shall fill a distribution that is known beforehand, the
#   **prior**. So we know where to draw.
# - Its codes are drawn at random around where the encoder points, and the decoder must
#   do well with all of them. So the space between the points is used.
#
# Tutorials 06 to 08 build these two pieces. Tutorial 09 trains the whole on these
# squares and counts the full ones among its draws. We shall then compare with the
# numbers above.
#
# ## A deliberate mistake: a sigmoid too many
# "Probabilities come from a Sigmoid", so somebody ends the decoder in one, and keeps
# the criterion, which wants logits. Now all "logits" lie between 0 and 1. **Predict:**
# what is the best loss that they can reach, for an image of 81 white and 495 black
# pixels? (Look at the curves of the loss of one pixel.)

# %%
best_white = pixel_loss(1.0, 1)  # the largest "logit"
best_black = pixel_loss(0.0, 0)  # the smallest
best = 81 * best_white + 495 * best_black
print(f"at best {best:.1f} nats per image")

# %%
mv.manual_seed(0)
mistaken = autoencoder(nn.Sigmoid())
squashed = learn(mistaken, steps=40, peak=5e-3)
print(f"loss at first {squashed[0]:.1f}, at the end {squashed[-1]:.2f}")
print("largest output:", mistaken.output.max())
print("largest derivative:", np.abs(mistaken.get_parameters()[1]).max())

# %% [markdown]
# No error is raised, and the loss falls, as one hopes. But it cannot fall below 368:
# the best that it can say of a black pixel is "either". It stops higher still, at
# 399.25, a coin for all. Adam has pushed the numbers before the sigmoid so far down
# that each output is exactly 0 in float32. There the derivative of the sigmoid, p (1 −
# p), is 0 too. No gradient leads back.
#
# A bound that is worked out by hand catches this mistake. A gradient check cannot: each
# layer is right.

# %%
claim("the bound is about 368 nats", abs(best - 368) < 1)
claim("the loss never comes below it", min(squashed) > best)
claim("it falls at first", squashed[-1] < squashed[0] - 50)
claim("and halts at 576 ln 2", abs(squashed[-1] - 576 * np.log(2)) < 2)
claim("every output is exactly 0", not mistaken.output.any())
claim("and so is every derivative", not mistaken.get_parameters()[1].any())

# %% [markdown]
# ## In three sentences
# An auto-encoder learns a code of two numbers from which its decoder rebuilds each of
# the 256 squares. Its loss, a sum of −ln p over pixels, can fall below ln 256, because
# the code is free. Codes that we invent decode badly, because nothing says where codes
# should lie or what should be between them.
#
# ## Test yourself
# 1. A pixel is black and its logit is 3. What are its loss and its derivative?
# 2. The code gets a third number. Why can the best possible loss not become larger? And
#    does the space between the codes become smaller?
# 3. Someone reports an average of −ln p of 4.9 nats for these 256 images, for a model
#    that gives each image a probability. What do you conclude?
#
# The answers are in [ANSWERS.md](ANSWERS.md#05-compress-rectangles).
#
# # Next: 06 Sample codes
# It is about the random draw in the middle of a variational auto-encoder.
