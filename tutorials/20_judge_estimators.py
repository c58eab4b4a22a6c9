# %% [markdown]
# # 20 Judge estimators
# **Bits have no gradient, and there are three ways to estimate one. Which is how
# wrong?**
#
# Needs: 11 and 12 (bits, relaxed bits, temperature), 08 (the bound). About 50 minutes.
#
# A code of few bits has few values. Then every mean over codes is a short sum, and its
# gradient can be computed exactly. So we need not trust an estimator: we can measure
# it.

# %%
import numpy as np
from lesson import FAST, boxes, claim, plot, show

import minivae as mv
from minivae import models
from minivae.data import Batches, rectangles
from minivae.debug import estimator_report
from minivae.training import Training

show(
    boxes("logit a → [draw] → bit z → [loss f] → f(z)"),
    "one bit",
)

# %% [markdown]
# ## One bit, by hand
# A bit z is 1 with probability θ = σ(a). We want to lower the mean of a loss f(z).
# There are two values, so the mean is E = θ f(1) + (1 − θ) f(0). Its derivative by the
# logit is
#
#     ∂E/∂a = θ (1 − θ) (f(1) − f(0))
#
# We take f(z) = (z − 0.4)² and a = 1.


# %%
def f(z):
    return (z - 0.4) ** 2


def slope(z):
    return 2 * (z - 0.4)


a = 1.0
theta = 1 / (1 + np.exp(-a))
exact = theta * (1 - theta) * (f(1) - f(0))
print(f"the exact derivative is {exact:.4f}")
claim("the exact derivative is positive: fewer ones are better", exact > 0)

# %% [markdown]
# ## Three estimators
# Each draws, and returns a number whose mean should be ∂E/∂a.
#
# 1. **Relaxed.** z = σ((a + noise) / T) lies between 0 and 1, and has a derivative:
#    f′(z) · z (1 − z) / T.
# 2. **Straight-through.** The loss sees the hard bit b, and backwards we use the
#    derivative of the relaxed one: f′(b) · z (1 − z) / T.
# 3. **Score function** (REINFORCE). The draw has no derivative, but its probability
#    has: f(b) · ∂ ln q(b)/∂a = f(b) · (b − θ).
#
# **Predict:** which of the three has the right mean?

# %%
random = np.random.default_rng(0)
draws = 200_000
u = random.uniform(1e-9, 1 - 1e-9, draws)
noise = np.log(u) - np.log(1 - u)
bit = (a + noise > 0).astype(float)


def relaxed(temperature):
    z = 1 / (1 + np.exp(-(a + noise) / temperature))
    return slope(z) * z * (1 - z) / temperature


def straight_through(temperature):
    z = 1 / (1 + np.exp(-(a + noise) / temperature))
    return slope(bit) * z * (1 - z) / temperature


def errors_off(estimates):
    """How many standard errors the mean is from the exact derivative."""
    error = estimates.std() / np.sqrt(len(estimates))
    return abs(estimates.mean() - exact) / error


score = f(bit) * (bit - theta)
for name, each in (
    ("relaxed, T = 1", relaxed(1)),
    ("straight-through, T = 1", straight_through(1)),
    ("score function", score),
):
    print(f"{name:24} mean {each.mean():.4f}, std {each.std():.4f}")

# %%
claim("the score function's mean is right", errors_off(score) < 5)
claim("the relaxed mean is wrong", errors_off(relaxed(1)) > 10)
claim("the straight-through mean is wrong", errors_off(straight_through(1)) > 10)

# %% [markdown]
# The relaxed estimator differentiates another loss, that of codes between 0 and 1. The
# straight-through one is wrong twice:
#
# 1. It asks f for its slopes at 0 and at 1, here −0.8 and 1.2. For this f, a parabola,
#    their plain average 0.2 is the height of the step, f(1) − f(0). But the two do not
#    weigh the same. The bit is 1 in 73 % of the draws, so the slope at 1 counts twice
#    as much here. (For a general f not even the plain average is the height.)
# 2. The mean of z (1 − z) / T is not θ (1 − θ). For T = 1 it is 0.151 in place of
#    0.197.
#
# ## What temperature trades
# **Predict:** what happens to the mean and to the spread as T falls?

# %%
for temperature in (1, 0.3, 0.1, 0.03):
    each = relaxed(temperature)
    print(f"T = {temperature:<5} bias {each.mean() - exact:+.4f}, std {each.std():.4f}")

bias = [abs(relaxed(temperature).mean() - exact) for temperature in (1, 0.03)]
spread = [relaxed(temperature).std() for temperature in (1, 0.03)]
claim("at T = 0.03 the bias is smaller than at T = 1", bias[1] < 0.5 * bias[0])
claim("and the spread is larger", spread[1] > 4 * spread[0])

# %% [markdown]
# A cold bit is nearly hard, so the loss is nearly the right one, and the bias tends to
# 0 as T does. It need not fall all the way: here it is a little larger at T = 0.3 than
# at T = 1. (In 12 each step down was a step nearer. That depends on the loss.) But the
# derivative of a cold bit is a narrow, high peak that few draws hit. So annealing
# starts warm.
#
# ## Why baselines matter
# The score function multiplies (b − θ) by the whole loss, also by the part that is the
# same for both values. Since E[b − θ] = 0, we may subtract any number that does not
# depend on this draw. That number is a **baseline**. Real losses are large: we add 50.

# %%
large = (f(bit) + 50) * (bit - theta)
others = np.roll(f(bit) + 50, 1)  # the loss of another draw of the same bit
better = (f(bit) + 50 - others) * (bit - theta)
print(f"std without a baseline {large.std():.2f}, with it {better.std():.2f}")
claim(
    "the baseline takes nearly all of the spread away", better.std() < 0.05 * large.std()
)
claim("and the mean stays right", errors_off(better) < 5)

# %% [markdown]
# ## The mistake: a baseline that peeks
# Someone takes the mean of both draws as the baseline, this one included. It looks
# better still. **Predict:** what is its mean?

# %%
peeking = (f(bit) + 50 - (f(bit) + 50 + others) / 2) * (bit - theta)
print(f"std {peeking.std():.3f}, mean {peeking.mean():.4f}, exact {exact:.4f}")
claim("its spread is smaller", peeking.std() < 0.6 * better.std())
claim("its mean is wrong", errors_off(peeking) > 10)
claim("it is half of what it should be", abs(peeking.mean() / exact - 0.5) < 0.1)

# %% [markdown]
# A small spread proves nothing. The mean beside an exact one does. Step in here: the
# line of the baseline is in `minivae/nn/score_function_criterion.py`, in
# `update_grad_input`.
#
# ## A whole model
# Four bits have 16 codes. An `EnumeratedSampler` gives the decoder all of them, and an
# `ExpectedCriterion` weighs their losses by q(z|x). That gradient is exact. The report
# draws many gradients of each estimator, and compares, layer by layer.

# %%
mv.manual_seed(0)
squares = rectangles(200, 6, 6, sides=(3, 3))
model = models.bernoulli_vae(image=(1, 6, 6), hidden=16, code=4)
Training(model, Batches(squares, 16)).run(100 if FAST else 300, progress=False)
x = squares[:8].astype(np.float32)
report = estimator_report(model, x, draws=60 if FAST else 600)
print(report)

# %% [markdown]
# **bias** is the distance of the mean from the exact gradient, **noise** the spread of
# one gradient, both in units of the exact gradient's length; ± is a standard error.
# Even an unbiased mean of a few hundred draws lies off by chance. The report takes from
# the square of the distance what chance explains, and writes 0 where nothing is left.
# It says "biased" where the bias is clearly more than that, by four standard errors. So
# 0.0000 ± 0.2471 means: no bias is seen, and one of a quarter would not be seen.
#
# Look at the encoder's layers. A gradient of the decoder needs no derivative of a draw.
# So it is right wherever the decoder sees hard codes: with straight-through, and with
# both score functions. Only relaxed codes bias the decoder too.

# %%
first = "encoder.1"
plain = report["score function", first]
based = report["score function, baseline", first]
claim("the exact gradient has no noise", report["exact", "all"].noise < 1e-6)
claim("relaxed codes are biased", report.biased("relaxed, T = 1"))
claim("the baseline takes most of the noise", based.noise < 0.5 * plain.noise)
warm, cold = report["relaxed, T = 1", first], report["relaxed, T = 0.1", first]
claim("cold codes are noisier than warm ones", cold.noise > warm.noise)

# %%
names = [name for name, layer in report.rows if layer == first and name != "exact"]


def draw(axes):
    for name, marker in zip(names, "osD^v<>P"):
        each = report[name, first]
        error = each.relative_bias_error
        axes.errorbar(each.relative_bias, each.noise, xerr=error, fmt=marker, label=name)
    axes.set(yscale="log", xlim=(-0.1, 2))
    axes.legend(frameon=False, fontsize=8)


show(
    plot("Estimators of the encoder's gradient", "bias / exact", "noise / exact", draw),
    "bias and noise",
)

# %% [markdown]
# No estimator stands at the lower left, with no bias and little noise. The exact
# gradient has neither. It is not in the picture, because a logarithmic axis has no
# place for 0. `minivae train bernoulli --code 8 --estimator exact` asks for it. It
# takes codes of at most 12 bits. For longer ones you choose: a bias, or noise.
#
# ## In three sentences
# Relaxed and straight-through gradients are calm and wrong when warm, and nearly right
# and wild when cold. The score function is right at any time, and needs a baseline,
# which must not know the draw that it is subtracted from. Where codes are few, the sum
# over all of them needs no estimator.
#
# ## Test yourself
# 1. For f(z) = 3 z the slopes tell the height of the step. Is the straight-through mean
#    right at a = 0 and T = 1, where z is uniform between 0 and 1?
# 2. Why may the baseline of an image depend on the image, but not on this draw?
# 3. A code has 20 bits. How many rows would the decoder have to compute for the exact
#    sum?
#
# The answers are in [ANSWERS.md](ANSWERS.md#20-judge-estimators).
#
# # Next: 21 Reach the optimum
# A code of bits comes as near to the best possible model as its data allow.
