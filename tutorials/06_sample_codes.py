# %% [markdown]
# # 06 Sample codes
#
# A variational auto-encoder gives each image not a code but a *distribution* of codes, and draws one.  **How can a
# gradient pass through a draw?**  Needs: 01 to 05, above all the gradient check and the auto-encoder.  30 minutes.
#
# In 05 the encoder gave the code z itself.  From here on it gives two numbers for each number of the code: the *mean*
# and the *log-variance* ln σ² of a Gaussian, and z is drawn from N(mean, σ²), the normal distribution with that mean
# and standard deviation σ.  Why ln σ²?  A linear layer gives any real number, and e^log_var is positive for all.

# %%
from math import erfc, sqrt

import numpy as np

import minivae as mv
from minivae import figures, nn

mv.manual_seed(0)
mean, log_var = np.full((50_000, 1), 1.5), np.full((50_000, 1), np.log(0.25))  # 50,000 times one Gaussian: σ = 0.5

sampler = nn.GaussianSampler().double()
z = sampler((mean, log_var))  # the same as sampler.forward(...)
print(z[:3, 0], "mean", z.mean(), "standard deviation", z.std())

# %% [markdown]
# ## Drawing has no derivative
# Take the loss f(z) = z².  Its *expectation*, the mean over all draws, is E[z²] = mean² + σ², so its derivative by the
# mean is 2 · mean = 3.  **Predict:** a difference quotient with step h = 0.001 that draws anew on each side has the
# right average.  How far off is one of them?

# %%
draw, n = mv.backend.host_generator().normal, 50_000
fresh, finer = ((draw(1.5 + h, 0.5, n) ** 2 - draw(1.5 - h, 0.5, n) ** 2) / (2 * h) for h in (1e-3, 1e-4))
print("one quotient is", fresh[0], "their spread", fresh.std(), "and with a finer step", finer.std())

# %% [markdown]
# By about a thousand, where the answer is 3.  Two draws differ for no reason that has to do with the mean, and we
# divide that difference by 0.002; a tenth of the step makes it ten times worse.
# **Predict:** and if both sides are drawn with the *same* noise, one as far to the right of its mean as the other?

# %%
noise = draw(0, 1, n)
above, below = (mean_moved + 0.5 * noise for mean_moved in (1.501, 1.499))
same_noise = (above**2 - below**2) / 0.002
print("with the same noise on both sides", same_noise.mean(), "spread", same_noise.std())

# %% [markdown]
# 3, and one quotient is off by 1 and not by 1,000.  "What if the mean had been a little larger?" has an answer once the
# noise is held.
# ## The reparameterization
# So draw something that does not depend on the parameters, and compute z from it:
#
#     z = mean + σ ε        ε from N(0, 1)        σ = e^(½ log_var)
#
# z has the same distribution as before, and for a fixed ε it is a plain function:  ∂z/∂mean = 1  and
# ∂z/∂log_var = ½ σ ε.  The randomness has become an input that needs no gradient.  (There are other ways, for draws
# that have no such form; they scatter more.)  **Predict:** E[z²] has the
# derivatives 2 · mean = 3 and e^log_var = 0.25.  What do 50,000 backward passes give on average, with what spread?

# %%
by_hand = mean + np.exp(0.5 * log_var) * sampler.noise
grad_mean, grad_log_var = sampler.backward((mean, log_var), 2 * z)  # ∂z²/∂z = 2 z
print("by mean", grad_mean.mean(), "spread", grad_mean.std(), " by log_var", grad_log_var.mean())

# %% [markdown]
# 3 and 0.25, and the spread of the first is 1 again.  In training such errors average out, over the images of a batch
# and over the steps: there one draw an image will do.
#
# **Step in here:** set a breakpoint in `minivae.nn.gaussian_sampler.GaussianSampler.update_grad_input` and watch
# `self.noise`: the backward pass needs the very ε of the forward pass, which is why the layer keeps it.
#
# ## Holding the noise
# **Predict:** two forward passes of one input; are they equal?  And how can a gradient check, which calls forward
# again and again with the input moved a little, ever pass?

# %%
few, layer = (np.array([[0.3, -1.0], [2.0, 0.5]]), np.array([[0.0, -2.0], [1.0, 0.4]])), nn.GaussianSampler().double()
first, second = layer(few).copy(), layer(few).copy()
layer.hold_noise()
held_first, held_second = layer(few).copy(), layer(few).copy()
report = mv.gradcheck(layer, few)
print("free", np.abs(first - second).max(), " held", np.abs(held_first - held_second).max())
print(report)

# %% [markdown]
# The draws differ, until `hold_noise()` makes the layer use its ε again: then it is one function, and a finite
# difference makes sense.  (`mv.gradcheck` holds the noise by itself, in a copy of the layer.)
#
# ## Several draws for each image
# `GaussianSampler(samples=L)` draws L codes for each row; row n·L + l is draw l for row n.  Going back, the gradients
# of the L rows are added.  **Predict:** over L = 16 draws, how does the spread of the gradient of the mean loss change?

# %%
three = nn.GaussianSampler(samples=3).double()((np.array([[0.0], [100.0]]), np.zeros((2, 1))))
many = nn.GaussianSampler(samples=16).double()
grad16, _ = many.backward((mean, log_var), 2 * many.forward((mean, log_var)) / 16)  # (1/16) Σ z²
print("means 0 and 100, three draws each:", three[:, 0])
print("spread of the gradient:", grad16.std(), "instead of", grad_mean.std())

# %% [markdown]
# A quarter: the spread of a mean of L draws falls with √L.  It costs L times the decoder's work.
#
# ## A variance for a standard deviation (ERRATA 7)
# The articles' text has z = mean + ε σ², their code σ ε.  Here is the text's layer, with its own, matching derivative.
# **Predict:** what does the gradient check say?

# %%
class VarianceSampler(nn.GaussianSampler):
    def update_output(self, input):
        mean, log_var = input
        self.output = mean + np.exp(log_var) * self.draw(mv.backend.standard_normal, mean.shape)  # σ² for σ
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output, grad_output * np.exp(input[1]) * self.noise
        return self.grad_input

def off(layer, log_variance, n=20_000):
    """By how many standard errors mean and variance of n draws from N(0.7, e^log_variance) are off, as floats."""
    z, variance = layer.double()((np.full((n, 1), 0.7), np.full((n, 1), log_variance))), np.exp(log_variance)
    return float((z.mean() - 0.7) / sqrt(variance / n)), float((z.var() / variance - 1) / sqrt(2 / n))

blind = mv.gradcheck(VarianceSampler(), few)
right, wrong, at_one = off(nn.GaussianSampler(), 1.0), off(VarianceSampler(), 1.0), off(VarianceSampler(), 0.0)
print(f"{blind}\nright {right}\nwrong {wrong}\nwrong, at log_var = 0 {at_one}")
print(seeing := mv.debug.check_sampler(VarianceSampler()))

# %% [markdown]
# It passes.  A gradient check asks whether the backward pass is the derivative of the forward pass, and it is: of the
# wrong forward pass.  What is wrong is the distribution, so test that, by its *moments*: the mean of n draws has the
# standard error (the spread of an estimate) σ/√n, their variance σ²√(2/n).  Chance goes beyond 5 standard errors less
# than once in a million tests; the wrong layer's variance is off by more than 100.  Its mean is right.  One more trap:
# at log_var = 0, where σ = σ² = 1, the *draws* of the two are alike, and the moments are right.  Test where it matters,
# as `mv.debug.check_sampler` does.  **Predict:** and the gradient, at log_var = 0?  E[z²] grows by e^log_var = 1.

# %%
one_column = np.zeros((20_000, 1)), np.zeros((20_000, 1))
gradients = []
for layer in (nn.GaussianSampler().double(), VarianceSampler().double()):
    drawn_z = layer(one_column)
    gradients.append(layer.backward(one_column, 2 * drawn_z)[1].mean())
print("average of ∂z²/∂log_var: right", gradients[0], " wrong", gradients[1])

# %% [markdown]
# 1 and 2: the gradient can tell them apart even there.
#
# The picture: 100,000 draws of a code of two numbers at log_var = −2, where σ = 0.37 and σ² = 0.14.  Left the right
# layer, right the wrong one: a much smaller cloud, as if the encoder were far surer than it says.

# %%
unsure = np.zeros((100_000, 2)), np.full((100_000, 2), -2.0)
drawn = [each.double()(unsure) for each in (nn.GaussianSampler(), VarianceSampler())]
clouds = [np.histogram2d(*each.T, bins=100, range=[(-1.5, 1.5)] * 2)[0] for each in drawn]
figures.picture(figures.grid([cloud / cloud.max() for cloud in clouds], 2, gap=4, background=0.5), scale=2)

# %%  What we claimed
assert abs(z.mean() - 1.5) < 0.02 and abs(z.std() - 0.5) < 0.02 and np.allclose(z, by_hand, rtol=1e-14)
assert 500 < fresh.std() < 1500 and abs(fresh.mean() - 3) < 5 * fresh.std() / sqrt(len(fresh))
assert abs(finer.std() / fresh.std() - 10) < 0.5 and abs(same_noise.mean() - 3) < 0.03 > abs(same_noise.std() - 1)
assert abs(grad_mean.mean() - 3) < 0.03 and abs(grad_mean.std() - 1) < 0.03 and abs(grad_log_var.mean() - 0.25) < 0.03
assert (first != second).all() and np.array_equal(held_first, held_second) and report.ok
assert (three[:3] < 50).all() and (three[3:] > 50).all() and abs(grad16.std() / grad_mean.std() - 1 / 4) < 0.02
assert blind.ok and not seeing.ok and mv.debug.check_sampler(nn.GaussianSampler()).ok
assert max(map(abs, right)) < 5 and abs(wrong[0]) < 5 * sqrt(np.e) and wrong[1] > 100 and erfc(5 / sqrt(2)) < 1e-6
assert max(map(abs, at_one)) < 5 and np.allclose(gradients, [1, 2], atol=0.15)  # at σ = 1 only the gradient differs
assert all(abs(each.std() - std) < 0.01 for each, std in zip(drawn, (0.37, 0.14)))

# %% [markdown]
# Next: 07 measures how far such a distribution is from the one that we draw from when there is no image.
