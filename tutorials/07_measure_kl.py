# %% [markdown]
# # 07 Measure the divergence
# **How far is a code's distribution from the prior, and what pulls it there?**
#
# Needs: 06. About 55 minutes. We build the layer between encoder and sampler, which
# measures a distance between distributions and makes it smaller.
#
# The encoder of 06 gives each image x a distribution of codes, written q(z∣x). Suppose
# we want to make up an image, with no x to start from. From which distribution should
# the code be drawn? In 05 nobody knew. So we decide it beforehand: codes are drawn from
# the **prior** p(z) = N(0, I), a Gaussian with mean 0 and variance 1 for each number of
# the code. Then q(z∣x) must not stray far from the prior: the codes of all images
# together should fill the place from which we draw.
#
# This lesson measures how far q is away. Tutorial 08 derives why just this measure
# belongs into the loss.

# %%
from math import log

import numpy as np
from lesson import boxes, claim, plot, show

import minivae as mv
from minivae import nn

show(
    boxes(
        "image → [encoder] → mean | log_var → [GaussianKL] → mean | log_var → "
        "[sampler] → z → [decoder] → image"
    ),
    "where the layer stands",
)

# %% [markdown]
# ## Four distributions
# The picture shows the prior of a code of one number, and three q's. **Predict:** which
# of the three is farthest from the prior?

# %%
qs = {  # name: (mean, log-variance)
    "shifted": (1.0, 0.0),
    "narrow": (0.0, -4.0),
    "narrow and shifted": (2.0, -2.0),
}
line = np.linspace(-4, 4, 801)


def density(z, mean, log_var):
    """The density of N(mean, e^log_var) at z."""
    std = np.exp(0.5 * log_var)
    return np.exp(-0.5 * ((z - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


def draw(axes):
    axes.fill_between(line, density(line, 0, 0), color="0.8", label="prior N(0, 1)")
    for (name, q), style in zip(qs.items(), ("-", "--", "-.")):
        axes.plot(line, density(line, *q), style, label=name)
    axes.legend(frameon=False)


show(plot("The prior and three q's", "z", "density", draw), "prior and three q")

# %% [markdown]
# ## The definition
# The **Kullback-Leibler divergence** is an expectation, the mean over codes drawn from
# q:
#
#     KL(q ‖ p) = E_q[ln q(z) − ln p(z)]
#
# In words: draw a code from q. How much more likely is it under q than under p, as a
# logarithm? Take the mean. If q and p are equal, every term is 0.
#
# With the natural logarithm the unit is the **nat**, as in 05. With the logarithm to
# base 2 it is the **bit**, the answer to one fair yes-or-no question. One bit is ln 2 =
# 0.693 nats.
#
# ## A formula for Gaussians
# For q = N(mean, σ²) and p = N(0, 1) the expectation can be worked out. Take one number
# of the code.
#
# 1. ln p(z) = −½ ln 2π − ½ z².
# 2. ln q(z) = −½ ln 2π − ½ ln σ² − ½ (z − mean)²/σ².
# 3. The difference: ln q − ln p = ½ [z² − (z − mean)²/σ² − ln σ²].
# 4. Its mean over q: E[z²] = mean² + σ² (06), and E[(z − mean)²/σ²] = 1, as σ² is the
#    mean of (z − mean)². So
#
#        KL = ½ (mean² + σ² − 1 − ln σ²)        with σ² = e^log_var
#
# A code of several numbers is drawn number by number, so their divergences are added.
#
# The formula has two terms, one for each number that the encoder gives: ½ mean² is the
# price of standing apart, and ½ (e^log_var − 1 − log_var) is the price of a spread that
# is not 1.


# %%
def price_of_mean(mean):
    return 0.5 * mean**2


def price_of_spread(log_var):
    return 0.5 * (np.exp(log_var) - 1 - log_var)


def draw(axes):
    axes.plot(line, price_of_mean(line), label="½ mean², against the mean")
    axes.plot(
        line, price_of_spread(line), "--", label="½ (e^v − 1 − v), against v = log_var"
    )
    axes.set(ylim=(0, 8))
    axes.legend(frameon=False)


show(plot("Two prices", "mean, or log_var", "nats", draw), "the two terms")

# %% [markdown]
# Both curves have their lowest point at 0, where q is the prior. The second is steep
# for a large spread and gentle for a small one.
#
# `GaussianKL` computes the formula. `units` gives the nats of each number of the code,
# `rows` those of each image, and `divergence` those of the whole batch. **Predict:**
# what do the three q's of the picture cost?

# %%
kl = nn.GaussianKL().double()
mean = np.array([[q[0] for q in qs.values()]])  # one image, a code of three numbers
log_var = np.array([[q[1] for q in qs.values()]])
kl.forward((mean, log_var))
units = kl.units((mean, log_var))
print("units", units, " row", kl.rows((mean, log_var)), " batch", kl.divergence)

# %%
by_hand = price_of_mean(mean) + price_of_spread(log_var)
claim("the layer computes the two prices", np.allclose(units, by_hand))
claim("a mean that is off by one spread costs half a nat", abs(units[0, 0] - 0.5) < 1e-9)
claim("a spread of 0.14 costs 1.51 nats", abs(units[0, 1] - 1.51) < 0.005)
claim("narrow and shifted costs 2.57 nats", abs(units[0, 2] - 2.57) < 0.005)
claim("one bit is 0.693 nats", abs(log(2) - 0.693) < 0.001)

# %% [markdown]
# ## What a divergence of zero means
# KL = 0 for one image means that *this* image's codes are drawn from the prior itself.
# **Predict:** one image has q = N(0, 1), so its KL is 0. Another has q = N(6, 0.1²).
# Can you tell from a code which of the two images it came from?

# %%
mv.manual_seed(0)
two_images = np.array([[0.0], [6.0]]), np.log([[1.0], [0.1**2]])
codes = nn.GaussianSampler(samples=10_000).double().forward(two_images)
beyond_5 = (codes.reshape(2, 10_000) > 5).mean(axis=1)
print("KL", kl.rows(two_images), " share of codes above 5", beyond_5)

# %%
claim("the first image has a KL of 0", kl.rows(two_images)[0] == 0)
claim("hardly any of its codes is above 5", beyond_5[0] < 0.01)
claim("all codes of the second are", beyond_5[1] > 0.99)

# %% [markdown]
# You can, practically every time. The code says something although one KL is 0; the
# second image pays for both. If KL is 0 for *every* image, all codes come from one
# distribution, the prior, and then a code says nothing about its image. Look at the
# mean over images, not at one.
#
# ## Does the formula tell the truth?
# The definition is a mean over draws, and 06 can draw. An average over random draws is
# called a **Monte Carlo** estimate. It is a good check of a formula. `kl.latent` knows
# both densities: `log_posterior` is ln q(z∣x), `log_prior` is ln p(z). **Predict:** how
# close to the formula is the average of 100,000 terms?

# %%
DRAWS = 100_000
sampler = nn.GaussianSampler(samples=DRAWS).double()


def drawn_divergence(z):
    """The average of ln q(z) − ln p(z), and its standard error (06)."""
    terms = kl.latent.log_posterior((mean, log_var), z) - kl.latent.log_prior(z)
    return terms.mean(), terms.std() / np.sqrt(len(terms))


formula = kl.rows((mean, log_var))[0]
drawn, error = drawn_divergence(sampler.forward((mean, log_var)))
print(f"formula {formula:.4f}, drawn {drawn:.4f} ± {error:.4f}")

# %%
claim("the draws agree with the formula to 0.05 nats", abs(drawn - formula) < 0.05)
claim("that is, within six standard errors", abs(drawn - formula) < 6 * error)

# %% [markdown]
# We train with the formula, which has no noise.
#
# **Predict:** the wrong sampler of 06 multiplies the noise by σ² where σ belongs. Its
# draws are not from the q that the layer measures. What does the average say?

# %%
wrong_z = mean + np.exp(log_var) * sampler.noise  # σ² where σ belongs
wrong, wrong_error = drawn_divergence(wrong_z)
print(f"with σ² {wrong:.4f} ± {wrong_error:.4f}, formula {formula:.4f}")

# %%
claim("the draws of the wrong sampler disagree", abs(wrong - formula) > 50 * wrong_error)

# %% [markdown]
# So the two layers check each other. `mv.debug.check_sampler` makes this comparison
# too: in 06 it was the line "KL(q ‖ p)".
#
# ## A divergence has a direction
# A distance is the same both ways. **Predict:** is this one? Take the narrow q = N(0,
# 0.14²) of the picture. KL(q ‖ p) is 1.51 nats. What about KL(p ‖ q)?

# %%
narrow = -4.0  # the log-variance
z = mv.backend.host_generator().standard_normal(DRAWS)  # drawn from p, not from q
to_q = (np.log(density(z, 0, 0)) - np.log(density(z, 0, narrow))).mean()
print(f"KL(q ‖ p) = {price_of_spread(narrow):.2f}, KL(p ‖ q) = {to_q:.1f}")

# %%
claim("KL(q ‖ p) is 1.51 nats", abs(price_of_spread(narrow) - 1.51) < 0.005)
claim("KL(p ‖ q) is about 25 nats", abs(to_q - 24.8) < 1)

# %% [markdown]
# It is not. The prior often draws codes that the narrow q thinks impossible, and each
# of them counts heavily. The narrow q draws only codes that the prior finds likely. Our
# loss takes the mean over codes drawn from q (08 derives it), so it is KL(q ‖ p).
#
# ## A layer that passes everything on
# `GaussianKL` stands between encoder and sampler. Forwards it hands on what it gets,
# and keeps the divergence. On the way back it *adds* the gradient of its own loss to
# what comes back from the later layers. The derivatives of the two prices are mean and
# ½ (e^log_var − 1), so
#
#     ∂L/∂mean = G₁ + β · mean          ∂L/∂log_var = G₂ + β · ½ (e^log_var − 1)
#
# No criterion sees the divergence. It enters the training here, and only here. Such a
# loss inside the network is called a **side loss**. β (`beta`) weighs it: `divergence`
# is the KL that is measured, and `loss` = β · divergence is what is minimised.

# %%
show(
    boxes(
        "mean | log_var → [GaussianKL] → mean | log_var\n"
        "G₁ + β mean | G₂ + β ½ (e^log_var − 1) ← [GaussianKL] ← G₁ | G₂"
    ),
    "what it adds",
)

# %% [markdown]
# **Predict:** with β = 0.5, and G = 0 from the later layers, what is the gradient by
# the mean?
#
# **Step in here:** set a breakpoint in
# `minivae.nn.gaussian_kl.GaussianKL.update_grad_input`, and step until it returns. Then
# compare `grad_output` with `self.grad_input`. (Before its last line is done,
# `self.grad_input` is a new array that nobody has filled: its numbers mean nothing.)

# %%
half = nn.GaussianKL(beta=0.5).double()
passed_on = half.forward((mean, log_var))
no_gradient = np.zeros_like(mean), np.zeros_like(log_var)
grad_mean, grad_log_var = half.backward((mean, log_var), no_gradient)
print("means", mean, " gradient", grad_mean)
print("log-variances", log_var, " gradient", grad_log_var)

# %%
claim("forwards it hands on the very same mean", passed_on[0] is mean)
claim("and the same log_var", passed_on[1] is log_var)
claim("the gradient is half the mean", np.allclose(grad_mean, mean / 2))
growth = 0.25 * (np.exp(log_var) - 1)
claim("and a quarter of e^log_var − 1", np.allclose(grad_log_var, growth))

# %% [markdown]
# A step against this gradient moves each mean towards 0, and each log-variance too.
#
# A model may have several such layers. `mv.side_loss(model)` adds up their losses.
# **Predict:** what is it for this model, if the divergence is D?

# %%
model = nn.Sequential(nn.GaussianKL(), nn.GaussianKL(beta=0.5)).double()
model.forward((mean, log_var))
print("side loss", mv.side_loss(model), " divergence", model[0].divergence)

# %%
claim("β = 1 and β = ½: one and a half D", np.isclose(mv.side_loss(model), 1.5 * formula))
report = mv.gradcheck(half, (mean, log_var))
print(report)
claim("the gradient check counts the side loss, and passes", report.ok)

# %% [markdown]
# ## A valley with one lowest point
# Let us follow this gradient alone, as if there were no image. **Predict:** we start at
# mean 3 and log_var −4. Where does the walk end, and which of the two numbers arrives
# first?

# %%
walk_mean, walk_log_var = np.array([[3.0]]), np.array([[-4.0]])
path = []
for _ in range(500):
    point = walk_mean, walk_log_var
    kl.forward(point)
    path.append((walk_mean.item(), walk_log_var.item(), kl.divergence))
    pull_mean, pull_log_var = kl.backward(point, (0 * walk_mean, 0 * walk_log_var))
    walk_mean = walk_mean - 0.1 * pull_mean
    walk_log_var = walk_log_var - 0.1 * pull_log_var

path = np.array(path)
print("start: mean, log_var, KL", path[0])
print("after 50 steps", path[50])
print("end", path[-1])

# %%
claim("the walk begins at 6 nats", abs(path[0, 2] - 6.01) < 0.01)
claim("after 50 steps the mean is nearly 0", abs(path[50, 0]) < 0.02)
claim("and log_var still below −1", path[50, 1] < -1)
claim("it ends at the prior", np.abs(path[-1, :2]).max() < 0.01)
claim("where the divergence is 0", path[-1, 2] < 1e-4)

# %% [markdown]
# It ends at the prior. The picture shows the valley from above, with a line for each
# half nat, and the walk with a dot for every tenth step.

# %%
means, log_vars = np.meshgrid(np.linspace(-3.2, 3.2, 129), np.linspace(-6, 3, 181))
height = price_of_mean(means) + price_of_spread(log_vars)


def draw(axes):
    axes.contour(means, log_vars, height, np.arange(0.5, 10, 0.5), cmap="viridis")
    axes.plot(path[:, 0], path[:, 1], color="#c8553d")
    axes.plot(path[::10, 0], path[::10, 1], "o", color="#c8553d", label="the walk")
    axes.plot(0, 0, "*", color="0.1", markersize=14, label="the prior")
    axes.legend(loc="lower left")


show(
    plot("The divergence, in nats", "mean", "log_var", draw, size=(8, 5.5)), "the valley"
)

# %%
lowest = np.unravel_index(height.argmin(), height.shape)
claim("the lowest point has mean 0", abs(means[lowest]) < 1e-9)
claim("and log_var 0", abs(log_vars[lowest]) < 1e-9)

# %% [markdown]
# The mean comes home fast. The log-variance takes its time: its slope is never more
# than ½ on this side, since e^log_var − 1 is above −1. On the other side, at log_var =
# 3, the slope is 9.5. So the divergence asks little of an encoder that is sure, and
# hardly lets it be less sure than the prior.

# %%
steep = 0.5 * (np.exp(3) - 1)
gentle = 0.5 * (np.exp(-6) - 1)
claim("the slope at log_var = 3 is 9.5", abs(steep - 9.5) < 0.05)
claim("at log_var = −6 it is −0.5", abs(gentle + 0.5) < 0.01)

# %% [markdown]
# In a VAE the reconstruction (the cross-entropy of 05) pulls codes away from here, to
# places where they can be told apart. 08 shows this tug of war in one number, and 09 in
# images.
#
# ## A deliberate mistake, made twice
# The layer has two things to add, G and its own gradient. So one can forget either.
# `Forgets` leaves out G; `Silent` leaves out its own.


# %%
class Forgets(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        mean, log_var = input
        growth = np.expm1(log_var)  # e^log_var − 1
        self.grad_input = self.beta * mean, self.beta / 2 * growth
        return self.grad_input


class Silent(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output
        return self.grad_input


# %% [markdown]
# **Predict:** what does minivae's gradient check say of each?

# %%
forgets = mv.gradcheck(Forgets(), (mean, log_var))
silent = mv.gradcheck(Silent(), (mean, log_var))
print(forgets)
print(silent)

# %%
claim("the check refuses Forgets", not forgets.ok)
claim("and names what it left out: grad_output", "grad_output" in str(forgets))
claim("it refuses Silent", not silent.ok)
claim("and names what it left out: the divergence", "divergence" in str(silent))

# %% [markdown]
# A model with `Forgets` would never tell its encoder about the reconstruction. In one
# with `Silent` nothing would pull the codes towards the prior.
#
# ## Two checks that are not good enough
# The check above takes a random G, and counts the side loss. Are both needed? Let us
# try without. What a layer hands back is compared with the measured derivative, and the
# measured one depends on the check:
#
# - With G = 0 the total loss is the divergence alone. Measured is its own gradient,
#   mean and ½ (e^log_var − 1).
# - Without the side loss the total is Σ G · output. The output is the input, so
#   measured is G itself.
#
# **Predict:** which of the three layers, the right one, `Forgets` and `Silent`, passes
# each check?

# %%
own_gradient = mean, 0.5 * (np.exp(log_var) - 1)
generator = mv.backend.host_generator()
random_g = generator.standard_normal(mean.shape), generator.standard_normal(mean.shape)


def differs(layer, g, measured):
    """How far what a layer hands back is from what was measured."""
    layer.double().forward((mean, log_var))
    handed_back = layer.backward((mean, log_var), g)
    return max(np.abs(a - b).max() for a, b in zip(handed_back, measured))


print("layer     with G = 0     without the side loss")
for make in (nn.GaussianKL, Forgets, Silent):
    with_zero = differs(make(), no_gradient, own_gradient)
    without_loss = differs(make(), random_g, random_g)
    print(f"{make.__name__:10}{with_zero:10.3f}{without_loss:18.3f}")

# %%
right_zero = differs(nn.GaussianKL(), no_gradient, own_gradient)
forgets_zero = differs(Forgets(), no_gradient, own_gradient)
silent_zero = differs(Silent(), no_gradient, own_gradient)
claim("with G = 0 the right layer passes", right_zero < 1e-12)
claim("and so does Forgets, which is wrong", forgets_zero < 1e-12)
claim("only Silent is caught", silent_zero > 0.5)

# %%
right_alone = differs(nn.GaussianKL(), random_g, random_g)
silent_alone = differs(Silent(), random_g, random_g)
claim("without the side loss the right layer is refused", right_alone > 0.5)
claim("and Silent, which is wrong, passes", silent_alone == 0)

# %% [markdown]
# With G = 0 the check is too weak: it cannot see whether G is handed on. Without the
# side loss it is wrong: it refuses the right layer and praises a wrong one. A check
# must measure the whole loss that is trained, and with a random G.
#
# ## In three sentences
# The divergence KL(q ‖ p) is the mean of ln q − ln p over codes drawn from q; for a
# Gaussian it is the price of a mean that is not 0 plus the price of a spread that is
# not 1. It is 0 for q = p only, and a code says nothing about its image if it is 0 for
# every image. `GaussianKL` hands everything on, and on the way back adds a pull towards
# the prior to the gradient that passes through.
#
# ## Test yourself
# 1. An encoder gives every image the same q = N(3, 0.1²). Its KL is large. What does a
#    code say about its image?
# 2. What does the layer hand back for β = 0? Towards which model of 05 does training
#    then lead?
# 3. Why is the divergence of a code of two numbers the sum of the two divergences?
#
# The answers are in [ANSWERS.md](ANSWERS.md#07-measure-the-divergence).
#
# # Next: 08 Bound the likelihood
# Why does the sum of reconstruction and divergence train a model that makes images?
