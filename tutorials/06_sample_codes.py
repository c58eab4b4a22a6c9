# %% [markdown]
# # 06 Sample codes
# **How can a gradient pass through a random draw?**
#
# Needs: 02 and 05. About 55 minutes. We study one layer, the **sampler**, which stands
# in the middle of a variational auto-encoder (VAE).
#
# The auto-encoder of 05 gives each image one code. What lies between the codes decodes
# badly, because the decoder has never seen it. A VAE gives each image a *distribution*
# of codes and draws one of them, each time anew. So the decoder must work all around a
# code. But the draw stands in the middle of the network, and backpropagation needs a
# derivative of everything that it passes.

# %%
from math import erfc, log, sqrt

import numpy as np
from lesson import boxes, claim, plot, show

import minivae as mv
from minivae import nn

show(
    boxes("image → [encoder] → mean | log_var → [sampler] → z → [decoder] → image"),
    "where the sampler stands",
)

# %% [markdown]
# ## Two numbers for each number of the code
# From here on the encoder gives two numbers for each number of the code: the **mean**
# and the **log-variance** ln σ² of a Gaussian. The code z is drawn from N(mean, σ²),
# the normal distribution with this mean and the standard deviation σ. We also call σ
# the **spread**.
#
# Why ln σ² and not σ? A linear layer may give any number, but a spread must be
# positive. e^log_var is positive for every log_var.
#
# Here is one such Gaussian, 50,000 times: mean 1.5 and variance 0.25, so the spread is
# 0.5. The layer is `GaussianSampler`; its input is the pair (mean, log_var).

# %%
mv.manual_seed(0)
N = 50_000
mean = np.full((N, 1), 1.5)
log_var = np.full((N, 1), log(0.25))

sampler = nn.GaussianSampler().double()
z = sampler.forward((mean, log_var)).copy()
print("the first three draws", z[:3, 0])
print("mean", z.mean(), "spread", z.std())

# %%
claim("the draws have the mean 1.5", abs(z.mean() - 1.5) < 0.02)
claim("and the spread 0.5", abs(z.std() - 0.5) < 0.02)

# %% [markdown]
# ## What would the loss be, if the mean were a little larger?
# A derivative answers this question. Take a simple loss, f(z) = z². It is random, as z
# is, so we ask for its **expectation** E[z²], the mean over all possible draws. For
# this loss we can work it out:
#
# 1. Write a draw as z = mean + σ ε, where ε is drawn from N(0, 1). Then z has the mean
#    and the spread that we want.
# 2. Square it: z² = mean² + 2 · mean · σ ε + σ² ε².
# 3. Take the mean of each term. That of ε is 0 and that of ε² is 1. So E[z²] = mean² +
#    σ².
# 4. Its derivative by the mean is 2 · mean, here 3. Its derivative by log_var is that
#    of σ² = e^log_var, which is e^log_var itself, here 0.25.
#
# Now let us find the 3 from draws alone, as tutorial 02 would: move the mean by h to
# each side, and divide the difference of the losses by 2h. The first step above says
# how: draw ε once, and use *the same noise* on both sides. (`host_generator()` below is
# the generator that `manual_seed` seeds, from which minivae's layers draw, too.)
# **Predict:** we have 50,000 such quotients. What is their mean, and how far is a
# single one from it?

# %%
random = mv.backend.host_generator()
noise = random.standard_normal(N)
h = 0.001
to_the_right = (1.5 + h) + 0.5 * noise
to_the_left = (1.5 - h) + 0.5 * noise
same_noise = (to_the_right**2 - to_the_left**2) / (2 * h)
print("mean", same_noise.mean(), "spread", same_noise.std())

# %%
claim("with the same noise the mean quotient is 3", abs(same_noise.mean() - 3) < 0.03)
claim("and the spread of one quotient is 1", abs(same_noise.std() - 1) < 0.03)

# %% [markdown]
# The question has an answer even for one draw: when the mean moves by h, *this* z moves
# by h too. The quotient is the slope of z² there, 2z. z differs from draw to draw with
# the spread 0.5, so 2z has the spread 2 · 0.5 = 1: a quotient is off by about 1.
#
# **Predict:** now draw anew on each side, without the same noise. What changes? And
# what if h is ten times smaller?


# %%
def fresh_quotients(h):
    """Difference quotients whose two sides are drawn separately."""
    to_the_right = random.normal(1.5 + h, 0.5, N)
    to_the_left = random.normal(1.5 - h, 0.5, N)
    return (to_the_right**2 - to_the_left**2) / (2 * h)


fresh = fresh_quotients(0.001)
finer = fresh_quotients(0.0001)
print("one quotient", fresh[0], "spread", fresh.std())
print("with a finer step, spread", finer.std())

# %%
standard_error = fresh.std() / sqrt(N)
claim("fresh noise: one quotient is off by about 1,000", 900 < fresh.std() < 1300)
claim("ten times more with a finer step", abs(finer.std() / fresh.std() - 10) < 0.5)
claim("the mean is still right", abs(fresh.mean() - 3) < 6 * standard_error)

# %% [markdown]
# Two separate draws differ by about 0.7 and their squares by about 2, for no reason
# that has to do with the mean. Then we divide by 0.002. The mean of all quotients is
# right, but one of them says nothing.
#
# The picture shows ten draws for a mean of 1, and for a mean of 1.6. With the same
# noise each draw moves by 0.6. With fresh noise anything happens.

# %%
ten = random.standard_normal((2, 10))
before = 1 + 0.5 * ten[0]
after_same = 1.6 + 0.5 * ten[0]
after_fresh = 1.6 + 0.5 * ten[1]


def draw(axes):
    axes.plot([0, 1], [before, after_same], "o-", color="#1b4965")
    axes.plot([2, 3], [before, after_fresh], "s-", color="#c8553d")
    axes.set_xticks(
        [0, 1, 2, 3],
        ["mean 1", "mean 1.6\nthe same noise", "mean 1", "mean 1.6\nfresh noise"],
    )


show(plot("Ten draws, before and after", "", "z", draw), "the same noise and fresh noise")
claim("with the same noise each z moves by 0.6", np.allclose(after_same - before, 0.6))

# %% [markdown]
# ## The reparameterization
# This is the whole idea. Draw something that does not depend on the parameters, and
# *compute* z from it:
#
#     z = mean + σ ε        ε from N(0, 1)        σ = e^(½ log_var)
#
# z has the same distribution as before. But once ε is drawn, z is an ordinary function
# of mean and log_var, and has derivatives:
#
# 1. ∂z/∂mean = 1.
# 2. ∂σ/∂log_var = ½ e^(½ log_var) = ½ σ, so ∂z/∂log_var = ½ σ ε.
# 3. By the chain rule, with G = ∂L/∂z from the layers behind: ∂L/∂mean = G and
#    ∂L/∂log_var = ½ σ ε G.
#
# The noise has become an input that needs no gradient.

# %%
show(
    boxes(
        "mean | log_var | noise ε → [mean + σ ε] → z\n"
        "∂L/∂mean = G | ∂L/∂log_var = ½ σ ε G ← [mean + σ ε] ← G = ∂L/∂z"
    ),
    "forward and backward",
)

# %% [markdown]
# `GaussianSampler` computes just that. It keeps the ε of its last forward pass as
# `noise`. The loss is z², so G = 2z. **Predict:** what do 50,000 backward passes give
# on average for the mean and for log_var, and with which spread for the mean?
#
# **Step in here:** set a breakpoint in
# `minivae.nn.gaussian_sampler.GaussianSampler.update_grad_input` and watch
# `self.noise`. The backward pass needs the very ε of the forward pass.

# %%
by_hand = mean + np.exp(0.5 * log_var) * sampler.noise
grad_mean, grad_log_var = sampler.backward((mean, log_var), 2 * z)
print("by the mean", grad_mean.mean(), "spread", grad_mean.std())
print("by log_var", grad_log_var.mean())

# %%
claim("the layer computes mean + σ ε", np.allclose(z, by_hand, rtol=1e-14))
claim("the gradient by the mean averages 3", abs(grad_mean.mean() - 3) < 0.03)
claim("with spread 1, as the same noise had", abs(grad_mean.std() - 1) < 0.03)
claim("the one by log_var averages 0.25", abs(grad_log_var.mean() - 0.25) < 0.03)

# %% [markdown]
# The backward pass *is* the difference quotient with the same noise, for an h that
# shrinks to 0.
#
# ## Another way, and why we do not take it
# The same derivative can be had without moving z at all. Instead, ask how much more
# *likely* each z becomes. Call the density of the draws q(z).
#
# 1. E[f(z)] = ∫ q(z) f(z) dz.
# 2. Only q depends on the mean: the derivative is ∫ (∂q/∂mean) f(z) dz.
# 3. ∂q/∂mean = q · ∂ln q/∂mean, since the derivative of ln q is that of q divided by q.
# 4. So the derivative is again an expectation: E[f(z) · ∂ln q/∂mean]. For a Gaussian,
#    ∂ln q/∂mean = (z − mean)/σ².
#
# ∂ln q/∂mean is called the **score function**. **Predict:** does its average give 3 as
# well? And is the spread of a single one smaller or larger than 1?

# %%
score = (z - 1.5) / 0.25
by_score = z**2 * score
print("by the score function", by_score.mean(), "spread", by_score.std())

# %%
claim("the score function gives 3 too", abs(by_score.mean() - 3) < 6 * 7.5 / sqrt(N))
claim("with a spread of about 7.5", abs(by_score.std() - 7.5) < 0.5)

# %% [markdown]
# It is right, but it scatters 7.5 times as much. To be as exact it needs 7.5² = 56
# times as many draws. It uses only the *values* of f, never its derivative: in effect
# it tries codes and keeps what went well. In return it works for draws that are no
# smooth function of their noise, such as a coin. For a loss that is smooth, such as
# ours, the reparameterization is the better way, where there is one. For a loss that
# swings up and down fast it need not be: the derivative of sin(20 z) is 20 cos(20 z),
# which scatters ten times as much as the score function does.

# %%
slope_of_wave = 20 * np.cos(20 * z)
wave_by_score = np.sin(20 * z) * score
print("sin(20 z): by slope", slope_of_wave.std(), "by the score", wave_by_score.std())
claim(
    "for sin(20 z) the score function scatters ten times less",
    9 < slope_of_wave.std() / wave_by_score.std() < 11,
)

# %% [markdown]
# ## Holding the noise
# A gradient check (02) calls the forward pass again and again, with the input moved a
# little. **Predict:** give the layer the same input twice. Are the outputs equal? How
# can a gradient check of a sampler ever pass?

# %%
small_mean = np.array([[0.3, -1.0], [2.0, 0.5]])
small_log_var = np.array([[0.0, -2.0], [1.0, 0.4]])
few = small_mean, small_log_var

layer = nn.GaussianSampler().double()
free_first = layer.forward(few).copy()
free_second = layer.forward(few).copy()

layer.hold_noise()
held_first = layer.forward(few).copy()
held_second = layer.forward(few).copy()
print("free: they differ by", np.abs(free_first - free_second).max())
print("held: they differ by", np.abs(held_first - held_second).max())

# %%
report = mv.gradcheck(layer, few)
print(report)
claim("free draws differ", (free_first != free_second).all())
claim("held ones are equal", np.array_equal(held_first, held_second))
claim("the gradient check passes", report.ok)

# %% [markdown]
# `hold_noise()` makes the layer use its last ε again. Then it is a function like any
# other, and a finite difference makes sense: the same noise on both sides, as at the
# beginning of this lesson. (`mv.gradcheck` holds the noise by itself, in a copy of the
# layer. You need not do it.)
#
# ## Several draws for each image
# `GaussianSampler(samples=L)` draws L codes for each row of its input. All draws of one
# row stand together: row n·L + l of the output is draw l for row n. On the way back,
# the gradients of the L draws are added.

# %%
two_rows = np.array([[0.0], [100.0]]), np.zeros((2, 1))
three_each = nn.GaussianSampler(samples=3).double().forward(two_rows)
print("means 0 and 100, three draws each:", three_each[:, 0])

# %%
claim("the first three rows belong to the mean 0", (three_each[:3] < 50).all())
claim("the last three to the mean 100", (three_each[3:] > 50).all())

# %% [markdown]
# **Predict:** take the mean loss of L = 16 draws. How does the spread of the gradient
# change?

# %%
sixteen = nn.GaussianSampler(samples=16).double()
z16 = sixteen.forward((mean, log_var))
grad16, _ = sixteen.backward((mean, log_var), 2 * z16 / 16)  # of (1/16) Σ z²
print("one draw", grad_mean.std(), "sixteen draws", grad16.std())

# %%
ratio = grad16.std() / grad_mean.std()
claim("a quarter: the spread of a mean of L falls as 1/√L", abs(ratio - 1 / 4) < 0.02)

# %% [markdown]
# Four times more exact costs sixteen times the decoder's work. A VAE is trained in
# small steps on batches of images, and each step draws anew. In this course it draws
# one code for each image in each step, as the articles do.
#
# ## A deliberate mistake: a variance for a standard deviation (ERRATA 7)
# The denoising article's text has z = mean + ε σ², its code has σ ε. Here is the layer
# that the text describes, with the derivative that belongs to it: ∂z/∂log_var = σ² ε.


# %%
class VarianceSampler(nn.GaussianSampler):
    def update_output(self, input):
        mean, log_var = input
        noise = self.draw(mv.backend.standard_normal, mean.shape)
        self.output = mean + np.exp(log_var) * noise  # σ² where σ belongs
        return self.output

    def update_grad_input(self, input, grad_output):
        _, log_var = input
        grad_log_var = grad_output * np.exp(log_var) * self.noise
        self.grad_input = grad_output, grad_log_var
        return self.grad_input


# %% [markdown]
# **Predict:** what does the gradient check say of it?

# %%
blind = mv.gradcheck(VarianceSampler(), few)
print(blind)
claim("the gradient check finds nothing wrong", blind.ok)

# %% [markdown]
# It passes, and rightly so. A gradient check asks whether the backward pass is the
# derivative of the forward pass. It is: of the wrong forward pass. What is wrong is the
# *distribution* of the draws. So test the distribution.
#
# Draw n times, and compare the mean and the variance of the draws with what they should
# be. Both estimates have an error of their own. Its spread is called the **standard
# error**. For the mean of n draws it is σ/√n, as seen above with L = 16. For the
# variance of n draws of a Gaussian it is σ² √(2/n); take this from statistics on trust.
# (It is again the spread of one term divided by √n: (z − mean)² has the spread √2 σ².)
# Chance takes an estimate beyond 5 standard errors less than once in a million tests.
# **Predict:** by how many standard errors is the wrong layer's mean off, and its
# variance, at log_var = 1?

# %%
draws = 20_000


def errors(layer, log_variance):
    """How far mean and variance of the draws are off, in standard errors."""
    means = np.full((draws, 1), 0.7)
    log_vars = np.full((draws, 1), log_variance)
    z = layer.double().forward((means, log_vars))
    variance = np.exp(log_variance)
    of_mean = (z.mean() - 0.7) / sqrt(variance / draws)
    of_variance = (z.var() - variance) / (variance * sqrt(2 / draws))
    return of_mean, of_variance


right = errors(nn.GaussianSampler(), 1.0)
wrong = errors(VarianceSampler(), 1.0)
print(f"right layer: mean {right[0]:.1f}, variance {right[1]:.1f} standard errors")
print(f"wrong layer: mean {wrong[0]:.1f}, variance {wrong[1]:.1f} standard errors")

# %%
claim("5 standard errors are rarer than one in a million", erfc(5 / sqrt(2)) < 1e-6)
claim("the right layer's mean is within them", abs(right[0]) < 5)
claim("and its variance", abs(right[1]) < 5)
claim("the wrong variance is off by more than 100", wrong[1] > 100)

# %% [markdown]
# The wrong layer's *mean* is right: its noise has the mean 0, whatever multiplies it.
# Only the variance shows the mistake.

# %%
claim("the wrong layer's mean is right, for its spread", abs(wrong[0]) < 5 * sqrt(np.e))

# %% [markdown]
# ## Test where it matters
# **Predict:** repeat the test at log_var = 0. Does it still catch the wrong layer?

# %%
wrong_at_zero = errors(VarianceSampler(), 0.0)
print(f"at log_var = 0: mean {wrong_at_zero[0]:.1f}, variance {wrong_at_zero[1]:.1f}")

# %%
claim("at log_var = 0 the wrong layer's mean passes", abs(wrong_at_zero[0]) < 5)
claim("and its variance passes as well", abs(wrong_at_zero[1]) < 5)

# %% [markdown]
# There σ = σ² = 1, so the draws of both layers have the same distribution. The
# *gradients* differ even there: E[z²] grows by e^log_var = 1 for each unit of log_var,
# if z is drawn with σ. **Predict:** what does the wrong layer's backward pass average?

# %%
zeros = np.zeros((draws, 1)), np.zeros((draws, 1))


def mean_gradient(layer):
    """The average of ∂z²/∂log_var at mean 0 and log_var 0."""
    z = layer.double().forward(zeros)
    _, grad_log_var = layer.backward(zeros, 2 * z)
    return grad_log_var.mean()


right_gradient = mean_gradient(nn.GaussianSampler())
wrong_gradient = mean_gradient(VarianceSampler())
print("right layer", right_gradient, "wrong layer", wrong_gradient)

# %%
claim("the right layer's gradient averages 1", abs(right_gradient - 1) < 0.1)
claim("the wrong layer's averages 2", abs(wrong_gradient - 2) < 0.2)

# %% [markdown]
# 2. The wrong layer draws z with the spread e^log_var, so its E[z²] is the square of
#    it, e^(2 log_var). The derivative of that is 2 e^(2 log_var), which is 2 at log_var
#    = 0.
#
# `mv.debug.check_sampler` does all this for you. It tests several log-variances, names
# what it finds, and guesses the cause. Besides mean and variance it counts the share of
# draws below some limits. The line that begins with "KL" compares a mean over draws
# with a formula that the next lesson derives; leave it until then.

# %%
seeing = mv.debug.check_sampler(VarianceSampler())
print(seeing)
claim("the distribution check catches the wrong layer", not seeing.ok)
passes = mv.debug.check_sampler(nn.GaussianSampler()).ok
claim("and lets the right one pass", passes)

# %% [markdown]
# The picture shows 2,000 draws of a code of two numbers, at log_var = −2. There σ =
# 0.37 and σ² = 0.14. The wrong layer's cloud is much smaller, as if the encoder were
# far surer than it says.

# %%
unsure = np.zeros((2000, 2)), np.full((2000, 2), -2.0)
right_cloud = nn.GaussianSampler().double().forward(unsure)
wrong_cloud = VarianceSampler().double().forward(unsure)


def draw(axes):
    axes.scatter(*right_cloud.T, s=6, color="#1b4965", label="σ ε, right")
    axes.scatter(*wrong_cloud.T, s=6, color="#f4a259", label="σ² ε, wrong")
    axes.set(aspect="equal")
    axes.legend(frameon=False, markerscale=3)


show(
    plot("Draws at log_var = −2", "first number", "second number", draw, size=(6, 5)),
    "right and wrong cloud",
)

# %%
claim("the right spread is 0.37", abs(right_cloud.std() - 0.37) < 0.03)
claim("the wrong one 0.14", abs(wrong_cloud.std() - 0.14) < 0.02)

# %% [markdown]
# ## In three sentences
# A draw z = mean + σ ε is an ordinary function of mean and log_var once ε is held, and
# its derivatives are 1 and ½ σ ε. That is the difference quotient with the same noise
# on both sides; with fresh noise a single quotient says nothing, and the score function
# is right but scatters more where the loss is smooth. A gradient check cannot see a
# wrong distribution: count the draws.
#
# ## Test yourself
# 1. The loss is f(z) = 5z. What is the spread of its gradient by the mean, with the
#    reparameterization?
# 2. Why must the layer keep ε, and not draw a new one in the backward pass?
# 3. You test a sampler at mean 0 and log_var 0 only, and it passes. Name a mistake that
#    you have not seen.
#
# The answers are in [ANSWERS.md](ANSWERS.md#06-sample-codes).
#
# # Next: 07 Measure the divergence
# How far is such a distribution from the one that we draw from when there is no image?
