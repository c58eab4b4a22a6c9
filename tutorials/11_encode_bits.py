# %% [markdown]
# # 11 Encode bits
# **How can an encoder learn to set bits, when a bit jumps and a jump has no gradient?**
#
# Needs: 06 to 08 (reparameterization, divergence, bound). About 60 minutes. No network
# in this lesson: one bit, whose best value is known exactly. Lesson 12 trains many.
#
# A code of bits can be stored, counted and read. The encoder looks at an image and
# gives each bit a probability; a draw makes a bit of it; the decoder paints from the
# bits.

# %%
import numpy as np
from lesson import boxes, claim, plot, show

import minivae as mv
from minivae import nn
from minivae.debug import check_sampler

random = np.random.default_rng(0)
show(
    boxes("image → [encoder] → logits a → [draw] → bits z → [decoder] → image"),
    "what we build",
)

# %% [markdown]
# ## A probability, and its logit
# Let θ be the probability that a bit is 1. It lies between 0 and 1, but a linear layer
# gives any number. So the encoder gives the **logit**, the logarithm of the odds:
#
#     a = ln θ − ln(1 − θ)          θ = σ(a) = 1 / (1 + e^−a)
#
# The sigmoid σ turns it back. **Predict:** which logits have the probabilities ½ and
# 0.9? What is the probability of the logit −ln 9?


# %%
def logit(p):
    return np.log(p) - np.log(1 - p)


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


print(f"logit of 0.5: {logit(0.5):.2f}, of 0.9: {logit(0.9):.2f}")
print(f"probability of the logit −ln 9: {sigmoid(-np.log(9)):.2f}")

# %%
claim("odds of 9 to 1 are the probability 0.9", abs(sigmoid(np.log(9)) - 0.9) < 1e-12)
claim("turning the sign swaps 0 and 1", abs(sigmoid(-np.log(9)) - 0.1) < 1e-12)

# %% [markdown]
# ## A bit jumps
# To draw a bit, draw u uniformly from (0, 1) and set the bit where u > 1 − θ. That has
# the probability θ. As in 06 the randomness is an input, so we may ask: the same u, a
# little more of a, what happens to the bit? **Predict:** how many of ten thousand bits
# change when a grows by a billionth?


# %%
def hard_bit(a, u):
    return (u > 1 - sigmoid(a)).astype(float)


u = random.random(10_000)
step = 1e-9
changed = hard_bit(1 + step, u) != hard_bit(1 - step, u)
print(f"{changed.sum()} of {len(u)} bits changed")

# %%
claim("no bit has changed: its derivative is 0", changed.sum() == 0)

# %% [markdown]
# A bit stays as it is, or jumps. Its derivative by a is 0 wherever it exists, so no
# gradient reaches the encoder, and the encoder learns nothing. We need another way.
#
# ## Noise on the logit
# First we move the randomness to where a is. Three steps:
#
# 1. The bit is 1 where u > 1 − θ.
# 2. The logit is an increasing function. So that is where logit(u) > logit(1 − θ), and
#    logit(1 − θ) = −a.
# 3. So the bit is 1 where a + ln u − ln(1 − u) > 0.
#
# The encoder's logit is merely added to noise that knows nothing of the encoder. This
# noise, ln u − ln(1 − u), has the **logistic distribution**. **Predict:** is it still
# the same bit, draw for draw?

# %%
draws = random.random(400_000)
wanted = np.array([0.05, 0.3, 0.95])
by_noise = np.array([(logit(p) + logit(draws) > 0).mean() for p in wanted])
same = (hard_bit(1.0, u) == (1 + logit(u) > 0)).mean()
print(
    f"the same bit in {same:.2%} of the draws; "
    f"shares {by_noise.round(3)}, wanted {wanted}"
)

# %%
claim("it is the same bit in every draw", same == 1)
claim("each bit is 1 as often as θ says", np.abs(by_noise - wanted).max() < 0.005)

# %% [markdown]
# ## Soften the jump
# Now only the last step jumps: "> 0". Put a sigmoid in its place, and divide by a
# number T, the **temperature**:
#
#     y = (a + ln u − ln(1 − u)) / T        z = σ(y)
#
# This z is a **relaxed bit**; its distribution is called *binary Concrete* (Maddison et
# al. 2016). It lies between 0 and 1, and it has a derivative by a. The picture shows
# one draw, u = 0.3, as a moves. **Predict:** which T gives the steepest curve?


# %%
def relaxed_bit(a, u, temperature):
    return sigmoid((a + logit(u)) / temperature)


a_axis = np.linspace(-4, 6, 401)


def draw_curves(axes):
    for temperature, style in ((2, ":"), (0.5, "--"), (0.1, "-")):
        z = relaxed_bit(a_axis, 0.3, temperature)
        axes.plot(a_axis, z, style, label=f"T = {temperature}")
    axes.plot(a_axis, hard_bit(a_axis, 0.3), color="0.6", label="hard bit")
    axes.legend(frameon=False)


show(plot("One draw, as the logit moves", "logit a", "bit z", draw_curves), "soft steps")

# %% [markdown]
# The lower T, the steeper the curve and the nearer z is to a real bit. All curves cross
# ½ at the same place. **Predict:** how often is z > ½ for T = 0.1, and for T = 2?

# %%
above_half = []
for temperature in (0.1, 0.5, 2):
    z = relaxed_bit(logit(0.3), draws, temperature)
    above_half.append((z > 0.5).mean())
print("share above ½, wanted 0.3:", np.round(above_half, 3))

# %%
claim(
    "z > ½ with probability θ, whatever T is",
    np.abs(np.array(above_half) - 0.3).max() < 0.005,
)
claim("it is the same draws each time", above_half[0] == above_half[1] == above_half[2])

# %% [markdown]
# Dividing by T does not change a sign. So the relaxed bit can be rounded to a true one
# whenever we like, and the true one has the right probability.
#
# ## Warm and cold codes
# Here are codes of 40 bits, all with θ = ½ and all with the same noise, a bit a square:
# black is 0, white is 1. From top to bottom they get colder.

# %%
noise = random.random(40)
temperatures = (5, 2, 0.5, 0.1)
codes = [relaxed_bit(0.0, noise, temperature) for temperature in temperatures]
codes.append(hard_bit(0.0, noise))
names = [f"T = {temperature}" for temperature in temperatures] + ["bits"]


def draw_codes(axes):
    axes.imshow(codes, cmap="gray", vmin=0, vmax=1)
    axes.set_yticks(range(len(names)), names)
    axes.grid(False)


show(
    plot("One draw of 40 bits, warm to cold", "bit", "", draw_codes, (9, 2.2)),
    "warm and cold codes",
)

# %%
distances = [np.abs(code - codes[-1]).mean() for code in codes]
claim("the colder a code, the nearer it is to bits", distances == sorted(distances)[::-1])

# %% [markdown]
# Warm codes are grey: they lie between 0 and 1, and hold more than a bit can. Cold ones
# are nearly black and white.
#
# ## The layer
# `BernoulliSampler` draws y; a `Sigmoid` follows it. **Predict:** what does its
# backward pass multiply the gradient by? Must it remember the noise, as the sampler of
# 06 did? **Step in here:**
# `minivae.nn.bernoulli_sampler.BernoulliSampler.update_grad_input`.

# %%
sampler = nn.BernoulliSampler(temperature=0.5).double()
a = np.array([[logit(0.9)]])
sampler.forward(a)
gradient = sampler.backward(a, np.ones((1, 1)))
print(f"∂y/∂a = {gradient[0, 0]:.2f}")

# %%
claim("∂y/∂a is 1/T, whatever the noise was", abs(gradient[0, 0] - 1 / 0.5) < 1e-12)

# %% [markdown]
# The noise is added, so it leaves no trace in the derivative. The price of a low
# temperature is in plain sight: the gradient is multiplied by 1/T.
#
# ## What a bit costs
# As in 07 the code pays for its distance from a prior. Here the prior is a fair coin,
# and the divergence of one bit from it is
#
#     KL = θ ln(θ / ½) + (1 − θ) ln((1 − θ) / ½)
#
# **Predict:** what does a bit cost that is always 1? And one that is a fair coin?

# %%
kl = nn.BernoulliKL().double()
cost = kl.rows(np.array([[0.0], [logit(0.9)], [40.0]]))
print(f"θ = ½: {cost[0]:.3f}; θ = 0.9: {cost[1]:.3f}; certain: {cost[2]:.3f} nats")


def draw_cost(axes):
    theta = np.linspace(0.001, 0.999, 499)
    axes.plot(theta, kl.rows(logit(theta)[:, None]))
    axes.axhline(np.log(2), color="0.5", linestyle=":", label="ln 2 = 0.693")
    axes.legend(frameon=False)


show(
    plot("The divergence of one bit", "probability θ", "nats", draw_cost), "cost of a bit"
)

# %%
claim("a fair coin costs nothing", abs(cost[0]) < 1e-12)
claim("a certain bit costs ln 2: one bit of information", abs(cost[2] - np.log(2)) < 1e-9)

# %% [markdown]
# So eight certain bits cost 8 ln 2 = ln 256 = 5.545 nats, which is the least that 256
# equally likely squares need (05). Eight bits can name them all.
#
# ## A bit that learns
# Now the whole path, in miniature. The image is one white pixel. The decoder is fixed:
# it gives the pixel the logit +4 for z = 1 and −4 for z = 0. The encoder has one number
# to learn, the logit a, and begins at a = 0, where the bit is a fair coin.

# %%
show(
    boxes("a → [BernoulliKL] → [BernoulliSampler] → [Sigmoid] → z → [Linear] → pixel"),
    "one bit",
)
path = nn.Sequential(
    nn.BernoulliKL(), nn.BernoulliSampler(temperature=0.5), nn.Sigmoid(), nn.Linear(1, 1)
)
path[3].weight[:] = 8  # from −4 at z = 0 to +4 at z = 1
path[3].bias[:] = -4

# %% [markdown]
# What is the best a? The bound is largest where q is the posterior (08). By Bayes' rule
# with the prior ½, the odds of the bit are p(x∣1) / p(x∣0) = σ(4) / σ(−4) = e⁴. So the
# best logit is exactly a = 4. **Predict:** can plain gradient descent find it?

# %%
mv.manual_seed(0)
criterion = nn.BCEWithLogitsCriterion()
white = np.ones((256, 1), dtype=np.float32)  # 256 draws for each step
logit_now = 0.0
for _ in range(200):
    a = np.full((256, 1), logit_now, dtype=np.float32)
    pixel = path.forward(a)
    criterion.forward(pixel, white)
    gradient = path.backward(a, criterion.backward(pixel, white))
    logit_now = logit_now - 0.5 * gradient.mean()
print(f"a = {logit_now:.2f}, so θ = {sigmoid(logit_now):.3f}; best: a = 4, θ = 0.982")

# %%
claim("the bit has learned to be 1, nearly always", sigmoid(logit_now) > 0.9)
claim("yet it has stopped short of the best logit", logit_now < 3.7)

# %% [markdown]
# The bit has learned: a gradient has passed through a draw of bits. But it stops near
# 2.7, though 4 is best. The loss was computed with *relaxed* bits, and its minimum is
# elsewhere. Lesson 12 asks how far off that is, and what the temperature has to do with
# it.
#
# ## A deliberate mistake that the gradient check passes (ERRATA 1, 2)
# The article that we follow has the right equation, but its listing computes something
# else, from the probability p = θ instead of the logit:
#
#     y = (ln p − ln(−ln u)) / T
#
# The noise g = −ln(−ln u) is a **Gumbel** variable. The right equation, which is number
# (1) in the article and the y of "Soften the jump" above, needs logistic noise. That is
# the difference of *two* Gumbel variables:
#
# 1. E = −ln u is exponential: P(E > s) = P(u < e^−s) = e^−s. And g = −ln E.
# 2. g₁ − g₂ < x means ln E₂ − ln E₁ < x, or E₂ < c E₁ with c = e^x.
# 3. If E₁ = s, this has the probability 1 − e^(−c s). The mean over s, which has the
#    density e^−s, is 1 − 1/(1 + c) = c/(1 + c) = σ(x).
# 4. ln u − ln(1 − u) < x means u < σ(x), which has the same probability.
#
# The listing has one. Here is its layer, with its derivative 1/(pT). **Predict:** what
# does the gradient check say?


# %%
class ListedSampler(nn.BernoulliSampler):
    """The article's listing. It takes probabilities."""

    def update_output(self, input):
        u = self.draw(mv.backend.uniform, input.shape)
        return (np.log(input) - np.log(-np.log(u))) / self.temperature

    def update_grad_input(self, input, grad_output):
        return grad_output / (input * self.temperature)


probabilities = np.linspace(0.1, 0.9, 12).reshape(3, 4)
check = mv.gradcheck(ListedSampler(0.5), probabilities)
print(check)

# %%
claim("the gradient check passes", check.ok)

# %% [markdown]
# It passes, since forward and backward agree with each other: they agree on the wrong
# draw. **Predict:** how often does the listing set a bit of p = 0.95?

# %%
p = np.array([0.05, 0.3, 0.95, 1 - 1e-9])
listed = np.array([(np.log(each) - np.log(-np.log(draws)) > 0).mean() for each in p])
print(f"wanted {p}\nlisting {listed.round(3)}\n1 − e⁻ᵖ {(1 - np.exp(-p)).round(3)}")

# %%
claim(
    "the listing sets a bit with probability 1 − e⁻ᵖ",
    np.abs(listed - 1 + np.exp(-p)).max() < 0.005,
)
claim("a bit that must be 1 is 0 in more than a third of the draws", listed[3] < 2 / 3)

# %% [markdown]
# The bit is set where −ln u < p, and that has the probability 1 − e⁻ᵖ, at most 0.632.
# Only counting finds this. `check_sampler` counts, and it knows this mistake by name.
# It hands logits to a layer, so we turn them into probabilities first. In its report u
# is σ(noise), which is uniform on (0, 1) if the noise is logistic.


# %%
class FromLogits(ListedSampler):
    def update_output(self, input):
        return super().update_output(sigmoid(input))


count = check_sampler(FromLogits(0.5), kind="bernoulli", draws=20_000)
right = check_sampler(nn.BernoulliSampler(0.5), draws=20_000)
print(count)

# %%
claim("counting finds the wrong draw", not count.ok)
claim("counting passes minivae's sampler", right.ok)

# %% [markdown]
# The article also calls 1/(pT) the derivative of its equation (1). By the chain rule
# that one is 1/T times da/dp = 1/(p(1 − p)). **Predict:** by which factor do they
# differ at p = 0.9?

# %%
h = 1e-6
slope_of_logit = (logit(0.9 + h) - logit(0.9 - h)) / (2 * h)
by_p = slope_of_logit / 0.5
by_listing = 1 / (0.9 * 0.5)
print(f"equation (1): ∂y/∂p = {by_p:.2f}; the listing: {by_listing:.2f}")

# %%
claim(
    "equation (1) has the derivative 1/(p(1 − p)T)",
    abs(by_p * 0.9 * 0.1 * 0.5 - 1) < 1e-6,
)
claim(
    "the listing's is ten times too small at p = 0.9", abs(by_p / by_listing - 10) < 1e-4
)

# %% [markdown]
# ## The divergence without its weights (ERRATA 21)
# Equation (2) of the article reads Σₖ ln θᵏ(1 − θ)¹⁻ᵏ − ln ½ᵏ½¹⁻ᵏ for k in {0, 1}. It
# adds two logarithms, and forgets to weigh them by θ and 1 − θ. **Predict:** what does
# that give for θ = 0.9, and can it be a divergence?

# %%
printed = np.log(2 * 0.9) + np.log(2 * 0.1)
weighted = 0.9 * np.log(2 * 0.9) + 0.1 * np.log(2 * 0.1)
print(f"as printed {printed:.3f}, weighted {weighted:.3f}, BernoulliKL {cost[1]:.3f}")

# %%
claim("as printed it is negative, and no divergence is", printed < -1)
claim(
    "minivae's layer has the weights, as the listing does", abs(cost[1] - weighted) < 1e-9
)

# %% [markdown]
# ## A divergence that changes its sign (ERRATA 3)
# The article's listing takes the derivative of the divergence by p, which is the logit
# a. It divides by 1 − p, and adds 10⁻²⁰ so that nothing is 0. **Predict:** what does it
# give in float32 for a = 16, and for a = 17?


# %%
def listed_gradient(a):
    """The listing's formula, in float32."""
    guard, ln2, one = np.float32(1e-20), np.float32(np.log(2)), np.float32(1)
    p = one / (one + np.exp(-np.float32(a)))
    rest = one - p + guard
    return np.log(p + guard) + one + ln2 - one / rest - np.log(rest) + p / rest - ln2


high = np.array([[16, 17]], dtype=np.float32)
by_probability = [listed_gradient(each) for each in high[0]]
kl_float = nn.BernoulliKL()
kl_float.forward(high)
by_logits = kl_float.backward(high, np.zeros_like(high))[0]
print("listing, by p (wanted 16, 17):", np.round(by_probability, 2))
print("minivae, by the logit:", by_logits)

# %%
claim("at a = 16 the listing is nearly right", abs(by_probability[0] - 15.8) < 0.1)
claim("at a = 17 it has the wrong sign", by_probability[1] < 0)

# %% [markdown]
# What should `BernoulliKL` give, which takes the derivative by the logit?
#
# 1. KL = θ ln 2θ + (1 − θ) ln 2(1 − θ). Its derivative by θ is ln θ − ln(1 − θ), since
#    the other terms, θ/θ and −(1 − θ)/(1 − θ), cancel. And that is a.
# 2. dθ/da = θ(1 − θ). So ∂KL/∂a = θ(1 − θ) a.
# 3. θ = 1/(1 + e^−a) and 1 − θ = 1/(1 + e^a). Their product is 1/(2 + e^a + e^−a) =
#    1/(2 + 2 cosh a), a form without a difference that could be rounded to 0.

# %%
exact = high[0] / (2 + 2 * np.cosh(high[0]))
claim(
    "by the logit it is θ(1 − θ) a, right at both",
    np.allclose(by_logits, exact, rtol=1e-4),
)

# %% [markdown]
# At 17, p is rounded to 1, and all that remains of 1 − p is the guard, 10⁻²⁰. So 1/rest
# and p/rest are both 10²⁰. float32 keeps 8 digits of such a number, and adding −ln rest
# = 46 to it changes none of them. Then the two cancel each other, the 46 is lost, and
# the last term is left: −ln 2 = −0.69. `BernoulliKL` takes logits, and needs no guard.
#
# ## In three sentences
# A bit has no gradient, but it can be written as a logit plus logistic noise, of which
# only the sign is kept. A sigmoid of a temperature T in place of the sign makes a
# relaxed bit, which has a gradient, and which can be rounded to a true bit of the right
# probability. Whether a draw is the right one is found by counting, not by a gradient
# check.
#
# ## Test yourself
# 1. Why may the temperature change during training without changing the probability
#    that a rounded bit is 1?
# 2. A code has 10 bits; 4 are certain and 6 are fair coins. What does it cost in nats?
# 3. Somebody uses Gaussian noise in place of logistic noise, and a correct backward
#    pass. Which check passes, and which one fails?
#
# The answers are in [ANSWERS.md](ANSWERS.md#11-encode-bits).
#
# # Next: 12 Train bits
# What is the loss of relaxed bits worth?
