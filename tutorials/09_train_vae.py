# %% [markdown]
# # 09 Train a VAE
# **What does a variational auto-encoder learn from 256 squares, and how good can it
# get?**
#
# Needs: 05 and 08. About 80 minutes; this is the centre of the course. We put four
# parts together, train them, watch them learn, and judge the result against the best
# that any model can reach. Then we keep the promise of 05: to make up images that are
# better than an auto-encoder's.

# %%
from math import erf, log, sqrt

import numpy as np
from lesson import FAST, beside, boxes, claim, plot, show
from tqdm import tqdm

import minivae as mv
from minivae import evaluation, figures, nn
from minivae.data import Batches, entropy, is_full_square, rectangles
from minivae.optim import adam

show(
    boxes(
        "x → [encoder] → mean | log_var → [GaussianKL] → mean | log_var → "
        "[GaussianSampler] → z → [decoder] → logits"
    ),
    "the four parts",
)

# %% [markdown]
# ## The images
# They are those of 05: a white square of 9×9 pixels somewhere in an image of 24×24. It
# fits at 16·16 = 256 places, and each is equally likely. (The fast mode of this lesson
# takes images of 16×16 with 64 places, and fewer steps. Its numbers stand in brackets.)

# %%
SIZE = 16 if FAST else 24
HIDDEN = 128
STEPS = 1000 if FAST else 6000
PIXELS = SIZE * SIZE

images = rectangles(4000, SIZE, SIZE)  # uint8 of 0 and 1
different = np.unique(images, axis=0).astype("float32")
places = len(different)
print(f"{len(images)} images, {places} different ones")
show(
    figures.picture(figures.grid(images[:40], 20, gap=1, background=0.25), scale=2),
    "forty images",
)

# %%
claim("the images are those of all places", places == (SIZE - 8) ** 2)
claim("each is a full square", is_full_square(different).all())

# %% [markdown]
# ## Four parts
# **1.** The **encoder** makes of an image the mean and the log-variance of q(z∣x). It
# has two layers with ReLU, as in 05, and then two heads: `ConcatTable` gives the same
# input to both (03).

# %%
mv.manual_seed(0)


def hidden_layers(n_in):
    """Two layers, each with a rectifier."""
    return nn.Linear(n_in, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()


def new_encoder():
    heads = nn.ConcatTable(nn.Linear(HIDDEN, 2), nn.Linear(HIDDEN, 2))
    return nn.Sequential(nn.View(PIXELS), *hidden_layers(PIXELS), heads)


# %% [markdown]
# **2.** `GaussianKL` measures the divergence of q(z∣x) from the prior and pulls q
# towards it (07). **3.** `GaussianSampler` draws a code z (06). **4.** The **decoder**
# makes of z a logit for each pixel, as in 05.


# %%
def new_decoder():
    out = nn.Linear(HIDDEN, PIXELS), nn.View(1, SIZE, SIZE)
    return nn.Sequential(*hidden_layers(2), *out)


def new_vae():
    parts = new_encoder(), nn.GaussianKL(), nn.GaussianSampler(), new_decoder()
    return mv.models.VAE(*parts, code=2)


vae = new_vae()
print(vae)

# %% [markdown]
# `VAE` is a `Sequential` whose four parts have names. `mv.models.vae(hidden=128)`
# builds the same model. **Predict:** how many numbers does it learn? (The encoder has
# weights of 576·128, 128·128 and twice 128·2, each with its biases.)

# %%
flat, _ = vae.get_parameters()
of_minivae, _ = mv.models.vae((1, SIZE, SIZE), HIDDEN).get_parameters()
print(len(flat), "parameters")

# %%
encoder_size = (PIXELS + 1) * HIDDEN + (HIDDEN + 1) * HIDDEN + 2 * (HIDDEN + 1) * 2
decoder_size = (2 + 1) * HIDDEN + (HIDDEN + 1) * HIDDEN + (HIDDEN + 1) * PIXELS
claim("we can count them", len(flat) == encoder_size + decoder_size)
claim("minivae's own model has as many", len(of_minivae) == len(flat))

# %% [markdown]
# ## The loss, before anything is learned
# 08 has derived what to maximise: the ELBO, E_q[ln p(x∣z)] − KL. So we minimise its
# negative, which has two parts:
#
#     loss = reconstruction + KL        reconstruction = −ln p(x∣z), with z drawn from q
#
# The reconstruction is the binary cross entropy of 05. The expectation is a mean over
# draws; one draw for each image estimates it. **Predict:** the untrained decoder gives
# each of 576 pixels a probability of about ½. What is the reconstruction, in nats per
# image? And the KL of an untrained encoder, whose outputs are near 0?

# %%
criterion = nn.BCEWithLogitsCriterion()
x = images[:64].astype("float32")
first_reconstruction = criterion.forward(vae.forward(x), x) / 64
first_divergence = vae.kl.divergence / 64
print(f"reconstruction {first_reconstruction:.1f}, KL {first_divergence:.4f}")

# %%
coin = PIXELS * log(2)  # 399.3 nats [177.4]
claim("a coin for each pixel", abs(first_reconstruction - coin) < 0.03 * coin)
claim("an untrained code says nothing", first_divergence < 0.1)

# %% [markdown]
# ## The best that any model can reach
# A gift: here we know it. 05 showed that no model's mean of −ln p(x) is below ln 256 =
# 5.545 nats, since the images are 256 equally likely ones. And 08 showed that the ELBO
# is never above ln p(x). So reconstruction + KL cannot be below 5.545 nats on average.
# minivae calls this number the entropy of the data. **Predict:** what if a model gives
# the 256 images *other* probabilities?

# %%
optimum = entropy(SIZE, SIZE)
random = mv.backend.host_generator()
uneven = random.dirichlet(np.ones(places))  # some probabilities that sum to 1
print(
    f"optimum {optimum:.3f} nats, with uneven probabilities {-np.log(uneven).mean():.3f}"
)

# %%
claim("the optimum is the logarithm of the places", abs(optimum - log(places)) < 1e-12)
claim("uneven probabilities are worse", -np.log(uneven).mean() > optimum)

# %% [markdown]
# ## Learn
# The first function computes a batch's losses and gradient, as in 05. Nothing is new:
# the KL layer adds its gradient by itself, on the way back. `side_loss` is only asked
# for the number.


# %%
def losses_and_gradient(model, x):
    """(reconstruction, divergence) of a batch, in nats; the model keeps the gradient."""
    model.zero_grad_parameters()
    logits = model.forward(x)
    reconstruction = criterion.forward(logits, x)
    model.backward(x, criterion.backward(logits, x), need_grad_input=False)
    return reconstruction, mv.side_loss(model)


# %% [markdown]
# The second is the loop. The learning rate begins at 0.007 and sinks to 0, slowly at
# first, so that the weights settle at the end. (Of twenty runs that began at 0.01, in
# the fast mode, one ended with a number of the code that said nothing.) `watch` is a
# function that may look at the model before each step.


# %%
def learn(model, steps, watch=None):
    """Train the model; returns (reconstruction, KL) per image of each step."""
    batches = Batches(images, 64)
    flat, flat_grad = model.get_parameters()
    history = []

    def feval(flat):
        x = batches.next()
        reconstruction, divergence = losses_and_gradient(model, x)
        history.append((reconstruction / len(x), divergence / len(x)))
        return reconstruction + divergence, flat_grad

    state = {}
    for step in tqdm(range(steps), disable=None):  # no bar where nobody watches
        if watch:
            watch(step)
        state["learning_rate"] = 0.007 * (1 - (step / steps) ** 2)
        flat, _ = adam(feval, flat, state)
    return np.array(history)


# %% [markdown]
# **Step in here:** set a breakpoint in `minivae.nn.sequential.Sequential.backward` and
# go around its loop, looking at `module`. Decoder, sampler, KL layer, encoder: the
# gradient walks through all four, and each hands its own to the one before. (Decoder
# and encoder are Sequentials, too, so the breakpoint stops in their loops as well: step
# over the calls inside, or switch it off for them.)
#
# While it learns we keep what the model makes of eight images. **Predict:** the
# reconstruction falls. What does the KL do? (The cell takes about 15 s of computing.)

# %%
eight = different[:: places // 8][:8]
looks = [0, STEPS // 60, STEPS // 20, STEPS // 6, STEPS - 1]
seen = []


def watch(step):
    if step in looks:
        seen.append(vae.reconstruct(eight))
        vae.training()


history = learn(vae, STEPS, watch)
vae.evaluate()
at_the_end = history[-100:].mean(axis=0)
print(f"first step: reconstruction {history[0, 0]:.1f}, KL {history[0, 1]:.3f}")
print(f"at the end: reconstruction {at_the_end[0]:.2f}, KL {at_the_end[1]:.2f}")

# %%
claim("the reconstruction falls below 2 nats", at_the_end[0] < 2)
claim("the KL rises from nothing to more than the optimum", at_the_end[1] > optimum)
claim("their sum stays above the optimum", at_the_end.sum() > optimum)

# %% [markdown]
# The KL leaps from nothing to 9 [7] nats in the first tenth of the steps, and then
# sinks slowly to 6.9 [5.5]. Codes must differ where images do, and that has its price:
# the tug of war of 08. At first the network pays too much: it throws the codes of
# different images far apart, many of them beyond the places that the prior likes. Later
# it finds places nearer to the prior that tell the images apart as well. "What is the
# KL spent on?" below measures both.
#
# The picture shows both losses, their sum, and the optimum, each point the mean of 60
# [10] steps. The leap takes the first few points only. The peaks are steps that were
# too long: they vanish as the learning rate sinks.

# %%
width = STEPS // 100
means = history.reshape(-1, width, 2).mean(axis=1)
steps = width * np.arange(1, len(means) + 1)


def draw(axes):
    axes.plot(steps, means.sum(axis=1), color="0.1", lw=2, label="reconstruction + KL")
    axes.plot(steps, means[:, 0], "--", color="#c8553d", label="reconstruction")
    axes.plot(steps, means[:, 1], "-.", color="#2a7f9e", label="KL")
    axes.axhline(optimum, color="0.4", linestyle=":", label="optimum")
    axes.set(yscale="log")
    axes.legend(frameon=False)


show(plot("Training", "step", "nats per image", draw), "training")
claim("the KL was higher on the way", means[:, 1].max() > at_the_end[1] + 0.5)

# %% [markdown]
# And what it made of eight images on the way. The upper row shows the images; below,
# what the model makes of them before it has learned, then after about 2, 5 and 17 % of
# the steps, and at the end.

# %%
rows = np.concatenate([eight, *seen])
show(figures.picture(figures.grid(rows, 8, gap=2, background=0.5), 3), "while it learns")
again = vae.reconstruct(different)
whole = is_full_square(again).mean()
print(f"{whole:.0%} of the squares come back whole")

# %%
claim("nearly every square comes back whole", whole > 0.9)

# %% [markdown]
# First it is grey, then there are blobs near the right place, then squares.
#
# ## How good is it?
# `evaluation.elbo` draws 20 codes for each image, and so has less noise than the loss
# of one batch. `evaluation.log_likelihood` gives a tighter bound: the logarithm of the
# mean of 100 weights w (08), where the ELBO has the mean of their logarithms.
# **Predict:** put in order: ELBO, tighter bound, −optimum.

# %%
elbo = evaluation.elbo(vae, different, samples=20)
tighter = evaluation.log_likelihood(vae, different, samples=100)
print("ELBO        ", elbo)
print("ln p(x) is at least", tighter)
print(f"the optimum is {-optimum:.3f}")

# %%
claim("the tighter bound is above the ELBO", elbo.value < tighter.value)
claim("both are below the optimum", tighter.value < -optimum)
claim("the ELBO misses the optimum by less than 4 nats", elbo.value > -optimum - 4)

# %% [markdown]
# The model comes within two nats of the best: ELBO −7.4 [−5.9], tighter bound −7.1
# [−5.7], optimum −5.545 [−4.159]. The number behind ± is the standard error (06) of the
# mean over the images.
#
# ## What is the KL spent on?
# Of a code that says which of 256 squares it is, one would expect ln 256 = 5.545 nats.
# The KL is larger. Where do the other nats go? Three steps:
#
# 1. The mean KL over the images is the mean of ln q(z∣x) − ln p(z), z drawn from
#    q(z∣x).
# 2. Let q(z) be the mean of q(z∣x) over all images: where the codes of all images lie
#    together. Add and subtract ln q(z):
#
#        ln q(z∣x) − ln p(z)  =  [ln q(z∣x) − ln q(z)]  +  [ln q(z) − ln p(z)]
#
# 3. The mean of the first bracket is what the code tells about the image, the **mutual
#    information**. It cannot exceed ln 256: q(z) is a mean of 256 terms, one of which
#    is q(z∣x), so q(z) ≥ q(z∣x)/256. The mean of the second bracket is KL(q(z) ‖ p(z)):
#    how far all codes together are from the prior.

# %%
mean, log_var = vae.encode(different)
z = nn.GaussianSampler(samples=20).forward((mean, log_var))
ln_q_of_own = vae.kl.latent.log_posterior((mean, log_var), z)

std = np.exp(0.5 * log_var)
distance = ((z[:, None] - mean) / std) ** 2  # of every code from every image's mean
ln_q_of_each = -0.5 * distance.sum(axis=2) - np.log(2 * np.pi * std[:, 0] * std[:, 1])
ln_q_of_all = np.logaddexp.reduce(ln_q_of_each, axis=1) - log(places)

information = (ln_q_of_own - ln_q_of_all).mean()
from_prior = (ln_q_of_all - vae.kl.latent.log_prior(z)).mean()
print(f"KL {elbo.divergence:.2f} = {information:.2f} about the image + {from_prior:.2f}")

# %%
claim("the two parts add up", abs(information + from_prior - elbo.divergence) < 0.2)
claim("the code tells nearly all about the image", information > optimum - 0.3)
claim("and no more than there is", information < optimum + 0.01)
claim("all codes together are not quite the prior", from_prior > 0.1)

# %% [markdown]
# So the code holds all there is to tell, and about 1.4 nats are lost because the codes
# together do not fill the prior evenly. The picture will show it.
#
# ## The clouds of codes
# Let us train an auto-encoder beside it: the same layers with one head, the same loop,
# the same steps, no KL layer and no draw. `side_loss` is 0, so its loss is the
# reconstruction alone. **Predict:** how far do its codes spread? (About 15 s.)

# %%
mv.manual_seed(0)
one_head = nn.Sequential(nn.View(PIXELS), *hidden_layers(PIXELS), nn.Linear(HIDDEN, 2))
autoencoder = nn.Sequential(one_head, new_decoder())
learn(autoencoder, STEPS)
ae_codes = one_head.forward(different).copy()
print("spread of the auto-encoder's codes", ae_codes.std(axis=0))
print("spread of the VAE's means", mean.std(axis=0))

# %%
claim("the auto-encoder's codes spread far", ae_codes.std(axis=0).min() > 3)
claim("the VAE's spread more than 0.5", mean.std(axis=0).min() > 0.5)
claim("and less than 2", mean.std(axis=0).max() < 2)

# %%
row = different[:, 0].max(axis=2).argmax(axis=1)  # the first row that holds white


def cloud(title, codes, reach):
    """The codes as dots, coloured by the square's row; a circle for a spread's radius."""

    def draw(axes):
        dots = axes.scatter(*codes.T, c=row, cmap="viridis", s=14)
        turn = np.linspace(0, 2 * np.pi, 100)
        circle = 2 * np.cos(turn), 2 * np.sin(turn)
        axes.plot(*circle, color="#c8553d", label="radius 2: 86 % of N(0, I)")
        axes.set(aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach))
        axes.legend(frameon=False, loc="upper right")
        axes.figure.colorbar(dots, label="row of the square")

    return plot(title, "first number", "second number", draw, size=(6, 5))


farthest = 1.1 * np.abs(ae_codes).max()
show(
    beside(
        cloud("Auto-encoder: the codes", ae_codes, farthest),
        cloud("VAE: the means of q(z∣x)", mean, 4),
    ),
    "two clouds",
)

# %% [markdown]
# Both have made a map: squares with neighbouring rows have neighbouring codes, nearly
# everywhere. (There may be a seam, where the lowest squares meet the highest. It arose
# early, and small steps cannot unfold it.) But look at the scale. The auto-encoder's
# codes lie where they like, and the prior's circle covers a small part of them. The
# VAE's fill it.
#
# ## The plane of codes
# The decoder turns any code into an image. Here it has decoded codes on a grid, from
# −2.2 to 2.2 in both numbers.

# %%
plane = figures.plane(vae, span=2.2)
show(figures.plane_picture(plane, 2.2, scale=1), "plane of codes")

# %% [markdown]
# The square moves as the code does. Between two places it is torn in a narrow zone
# only, and along a seam, if there is one, in a wider one.
#
# ## The promise of 05
# Make up images: draw codes at random, decode, and count full squares. From which
# distribution? For the VAE we know it, the prior N(0, I). For the auto-encoder we do
# not, so it gets two tries: N(0, I), and a normal distribution with the mean and spread
# of its real codes, which we could only find by encoding all images.
#
# A share of full squares can deceive, though. If all draws give *the same* full square,
# the share is 100 % and the generator worthless. A fair generator gives each of the 256
# squares with the same frequency, some 8 times in 2,000 draws. So let us also compute a
# **fair share**: count each square at most so often. **Predict:** order the three by
# their fair share.


# %%
def judge(name, decoder, codes):
    """Shares among what the decoder makes of the codes: full squares, and fair ones."""
    logits = decoder.forward(codes.astype("float32"))
    on = logits > 0  # the probability is above ½
    full = on[is_full_square(on)]
    _, counts = np.unique(full, axis=0, return_counts=True)
    share = len(full) / len(codes)
    fair = np.minimum(counts, len(codes) / places).sum() / len(codes)
    print(f"{name:28} full {share:6.1%}   kinds {len(counts):4}   fair {fair:6.1%}")
    return on[:20], share, fair


draws = random.standard_normal((2000, 2))
like_its_codes = ae_codes.mean(axis=0) + ae_codes.std(axis=0) * draws
decoder = autoencoder[1]
from_n01, n01_share, n01_fair = judge("auto-encoder, N(0, I)", decoder, draws)
from_fit, fit_share, fit_fair = judge("auto-encoder, fitted", decoder, like_its_codes)
from_prior, vae_share, vae_fair = judge("VAE, its prior N(0, I)", vae.decoder, draws)

# %%
claim("the VAE's fair share is the best", vae_fair > max(n01_fair, fit_fair))
claim("it is twice that of the auto-encoder from N(0, I)", vae_fair > 2 * n01_fair)
claim("its plain share beats the fitted auto-encoder's", vae_share > fit_share)

# %%
three_rows = np.concatenate([from_n01, from_fit, from_prior])
sheet = figures.grid(three_rows, 20, gap=1, background=0.25)


def draw(axes):
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=1)
    names = ["auto-encoder, N(0, I)", "auto-encoder, fitted", "VAE, N(0, I)"]
    axes.set_xticks([])
    axes.set_yticks((SIZE + 1) * (np.arange(3) + 0.5), names)
    axes.grid(visible=False)


show(plot("Made up", "", "", draw, size=(11, 2.2)), "made up")

# %% [markdown]
# From top to bottom, one row each: auto-encoder from N(0, I), auto-encoder fitted, VAE.
# The first gives a few squares over and over, because all draws land in one spot of its
# map: 21 % are full, but only 4 % count as fair [11 %, 8 %]. With other seeds the share
# of full squares is anything between, as one spot is better than another. The second
# reaches everywhere, but most squares are torn: 23 % are fair [31 %]. Of the VAE's
# draws 43 % are [46 %], and nearly all of the squares occur. The promise is kept.
#
# What is the most that one can get? Not 100 %. A perfect generator draws at random,
# too: some squares come ten times in 2,000 draws, and only 8 of them count. Its fair
# share is about 86 % [93 %].

# %%
perfect = np.bincount(random.integers(places, size=len(draws)), minlength=places)
ceiling = np.minimum(perfect, len(draws) / places).sum() / len(draws)
print(f"a perfect generator's fair share: {ceiling:.0%}")
claim("a perfect generator stays below 97 %", ceiling < 0.97)
claim("the VAE's fair share is far from that", vae_fair < 0.8 * ceiling)

# %% [markdown]
# So the VAE comes half of the way. A decoder of one smooth map must pass through the
# torn images between two places. 11 gives the code bits instead, which have nothing in
# between.
#
# ## Probabilities or logits
# The article's decoder ends in a sigmoid, followed by a criterion for probabilities,
# `BCECriterion`. Ours ends in logits, and the criterion holds the sigmoid. **Predict:**
# with the same weights, what differs?

# %%
plain = new_decoder().double()
with_sigmoid = nn.Sequential(plain.clone(), nn.Sigmoid()).double()
target = x.astype("float64")
codes = random.standard_normal((64, 2))


def value_and_gradient(decoder, criterion):
    decoder.zero_grad_parameters()
    value = criterion.forward(decoder.forward(codes), target)
    decoder.backward(codes, criterion.backward(decoder.output, target))
    return value, np.concatenate([each.ravel() for each in decoder.parameters()[1]])


value, gradient = value_and_gradient(plain, nn.BCEWithLogitsCriterion().double())
value_p, gradient_p = value_and_gradient(with_sigmoid, nn.BCECriterion().double())
off = np.abs(gradient - gradient_p).max() / np.abs(gradient).max()
print("values", value, value_p, " gradients differ by a share of", off)

# %%
claim("the values agree", np.isclose(value, value_p, rtol=1e-10))
claim("and so do the gradients", off < 1e-10)

# %% [markdown]
# Nothing differs, here in float64 and for moderate logits. 13 shows where probabilities
# fail.
#
# ## A deliberate mistake: a mean for a sum
# Torch7's criterions take the *mean* over all pixels and images of the batch, unless
# told otherwise. For a loss that stands alone this is only a scale. But here the
# reconstruction then weighs 64·576 times less than it should, beside a divergence that
# is a sum. **Predict:** what becomes of the KL, and what of the images? (About 2 s.)

# %%
mv.manual_seed(0)
averaged = new_vae()
criterion.size_average = True  # the mistake
learn(averaged, 200)
criterion.size_average = False
averaged.evaluate()

collapsed = evaluation.elbo(averaged, different)
print("ELBO of the mistake", collapsed)
print("ELBO of the right one", elbo)

# %%
claim("the KL is gone", collapsed.divergence < 0.01)
claim("the ELBO is worse by more than 50 nats", collapsed.value < elbo.value - 50)

# %% [markdown]
# No error is raised, and the loss falls. But the cheapest code is now one that says
# nothing. A unit of the code is called *active* if its mean varies from image to image.
# The ELBO beside the optimum catches the mistake, and so does the count of active
# units.

# %%
dead = evaluation.active_units(averaged, different)
alive = evaluation.active_units(vae, different)
print("active units: mistake", dead.count, "right", alive.count)
claim("with the mistake no unit is active", dead.count == 0)
claim("without it both are", alive.count == 2)

# %% [markdown]
# # What the articles print
# Two of the articles train this model. The sections that follow show where their text
# or their listing goes wrong. You may skip them and come back.
#
# ## Rectangles of random size (ERRATA 11)
# The articles call the images "rectangles of random size". Their listing draws the size
# by `torch.random(8, 8)`, a whole number from 8 to 8. Then `sub(a, a + 8)` takes the
# rows from a to a + 8, both included: nine of them. **Predict:** how many different
# images are there?

# %%
of_article = np.unique(rectangles(4000), axis=0)
print(
    len(of_article),
    "different images, white pixels",
    np.unique(of_article.sum((1, 2, 3))),
)

# %%
claim("there are 256 images", len(of_article) == 256)
claim("all of 9×9 white pixels", (of_article.sum(axis=(1, 2, 3)) == 81).all())

# %% [markdown]
# ## The printed loss (ERRATA 12, ERRATA 13)
# The articles print what their `feval` returns: the criterion's value for a batch of
# 16. **Predict:** what do they print at the first step, where minivae says 399 nats?

# %%
mv.manual_seed(0)
small = new_vae().double().hold_noise()
sixteen = images[:16].astype("float64")
criterion64 = nn.BCEWithLogitsCriterion().double()
printed = criterion64.forward(small.forward(sixteen), sixteen)
print(f"printed {printed:.0f}, per image {printed / 16:.1f}, without the KL")

# %%
claim("it is sixteen times the coin's loss", abs(printed / (16 * coin) - 1) < 0.03)

# %% [markdown]
# They print about 6,390 [2,840], the sum over the batch. minivae reports nats per
# image.
#
# And their number is the reconstruction alone. The divergence enters on the way back,
# in the KL layer. Then what is it that training minimises? Move the encoder's weights a
# little along their gradient. A loss of which this is the gradient rises, for each unit
# of the way, by the gradient's length. **Predict:** does the reconstruction rise so, or
# reconstruction + KL?

# %%
small.get_parameters()
weights, weights_grad = small.encoder.get_parameters()  # the encoder's part of them
weights *= 3  # larger weights, and so a divergence that matters
small.zero_grad_parameters()
logits = small.forward(sixteen)
small.backward(sixteen, criterion64.backward(logits, sixteen))
length = np.linalg.norm(weights_grad)
direction = weights_grad / length


def both_losses():
    """Reconstruction, and reconstruction + KL; the noise is held."""
    reconstruction = criterion64.forward(small.forward(sixteen), sixteen)
    return np.array([reconstruction, reconstruction + mv.side_loss(small)])


weights -= 1e-5 * direction
below = both_losses()
weights += 2e-5 * direction
slopes = (both_losses() - below) / 2e-5
print(f"length {length:.6f}; slopes: reconstruction {slopes[0]:.6f}, sum {slopes[1]:.6f}")

# %%
claim("the sum has the gradient's slope", abs(slopes[1] / length - 1) < 1e-3)
claim("the reconstruction alone has another", abs(slopes[0] / length - 1) > 1e-2)

# %% [markdown]
# It is the sum: the only number that may be compared with 5.545.
#
# ## The codes that were decoded (ERRATA 22)
# The denoising article shows a plane of decoded codes, "in [0, 1]², in steps of 0.05".
# Its listing draws codes from −0.95 to 0.95 in steps of 0.1. **Predict:** which share
# of the prior's codes lies in there?

# %%
inside = erf(0.95 / sqrt(2)) ** 2  # the share of N(0, 1) within ±0.95, for two numbers


def places_in(plane):
    """At how many places, to a pixel, the centres of a plane's squares stand."""
    mass = plane.sum(axis=(1, 2, 3))
    down = plane[:, 0].sum(axis=2) @ np.arange(SIZE) / mass
    right = plane[:, 0].sum(axis=1) @ np.arange(SIZE) / mass
    return len(np.unique(np.round([down, right]), axis=1).T)


listed, wide = places_in(figures.plane(vae)), places_in(plane)
print(f"{inside:.0%} of the prior; places shown: {listed}, with a span of 2.2: {wide}")
show(figures.plane_picture(figures.plane(vae), 0.95, scale=1), "plane of the listing")

# %%
claim("the listing's grid holds 43 % of the prior", abs(inside - 0.43) < 0.005)
claim("it shows fewer places than a span of 2.2", listed < 0.9 * wide)

# %% [markdown]
# ## A "std" that is none (ERRATA 23)
# The listing prints a "std" of the codes: the standard deviation of the
# *log-variances*. **Predict:** is that the spread σ of the codes?

# %%
spread_of_codes = std.mean()
listed_std = log_var.std()
print(f"mean σ {spread_of_codes:.3f}, the listing's number {listed_std:.3f}")

# %%
claim("σ is small: the encoder is sure", spread_of_codes < 0.25)
claim("the listing's number is another", listed_std > 1.3 * spread_of_codes)

# %% [markdown]
# No. σ is about 0.04 [0.09]: each image owns a small patch of the plane. The listing's
# number says how much the certainty varies from image to image.
#
# ## In three sentences
# A VAE is an encoder, a layer that measures and pulls, a draw and a decoder; its loss
# is reconstruction + KL, the negative ELBO. On 256 equally likely squares no model can
# come below 5.545 nats per image, and that number beside the loss shows how good a
# model is, and when something is wrong. Because the codes fill a known prior, draws
# from it decode to all kinds of squares, and more of them whole than an auto-encoder's.
#
# ## Test yourself
# 1. The reconstruction is 0.4 nats and the KL 7.0. A friend wants to improve the model
#    by making the reconstruction better still. What do you say?
# 2. Your loss is 3 nats per image, on these squares. What do you look for?
# 3. Why can the mutual information of code and image not exceed ln 256 nats?
#
# The answers are in [ANSWERS.md](ANSWERS.md#09-train-a-vae).
#
# To go on playing: `minivae train vae` trains this model as a run, and `minivae explore
# runs/vae` writes a page in which you drag its code.
#
# # Next: 10 Remove noise
# What changes when the encoder sees a spoiled image, and the loss asks for the clean
# one?
