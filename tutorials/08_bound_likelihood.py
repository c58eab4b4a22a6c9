# %% [markdown]
# # 08 Bound the likelihood
# **How can a model learn to give real images a high probability, when nobody can
# compute that probability?**
#
# Needs: 06 and 07. About 60 minutes. No network in this lesson: one number x, one code
# z, and everything can be checked against the exact answer.

# %%
from math import log, pi

import numpy as np
from lesson import boxes, claim, plot, show

import minivae as mv
from minivae import nn

# %% [markdown]
# ## A model that makes data
# A **generative model** makes an image in two moves. It draws a code z from the
# **prior** p(z), and then an image x from p(x∣z), a distribution that the decoder
# computes. Many codes may lead to the same image. Its probability is the sum over all
# of them, or, as codes are continuous, the integral:
#
#     p(x) = ∫ p(x∣z) p(z) dz
#
# If x can be counted, as an image of black and white pixels can, p(x) is a probability.
# If x is a real number, as in this lesson, p(x) is a **density**: the probability of a
# small interval around x, divided by its length. All that follows holds for both.
#
# We want real images to have a high probability, so we would like to maximise ln p(x).

# %%
show(boxes("prior p(z) → z → [decoder] → p(x∣z) → x"), "how the model makes an image")

# %% [markdown]
# Here is the smallest such model. The code is one number with the prior N(0, 1). The
# decoder multiplies it by 2 and adds noise: p(x∣z) = N(2z, 0.5²). In this model we can
# compute, for once, all that is out of reach in others:
#
# 1. x is 2z plus noise, a sum of two independent Gaussians. Their variances add: p(x) =
#    N(0, 2² + 0.5²).
# 2. The **posterior** p(z∣x) says which codes may have made this x. By Bayes' rule it
#    is p(z) p(x∣z) / p(x). As a function of z, its logarithm is −½ z² − ½ (x −
#    2z)²/0.5² plus a constant.
# 3. That is a quadratic in z: −½ (1 + 2²/0.5²) z² + (2x/0.5²) z plus a constant. A
#    density whose logarithm is such a quadratic is a Gaussian. Its variance is 1 / (1 +
#    2²/0.5²), and its mean is 2x/0.5² times that variance.

# %%
FACTOR = 2.0  # of the decoder
NOISE = 0.5  # its spread


def log_normal(x, mean, std):
    """ln of the density of N(mean, std²) at x."""
    return -0.5 * log(2 * pi) - np.log(std) - 0.5 * ((x - mean) / std) ** 2


x = 1.5
log_p = log_normal(x, 0, np.sqrt(FACTOR**2 + NOISE**2))
posterior_std = (1 + FACTOR**2 / NOISE**2) ** -0.5
posterior_mean = FACTOR * x / NOISE**2 * posterior_std**2
print(f"ln p(x) = {log_p:.4f} nats")
print(f"p(z∣x) = N({posterior_mean:.3f}, {posterior_std:.3f}²)")

# %%
z = 0.6  # Bayes' rule must hold at any z
log_joint = log_normal(z, 0, 1) + log_normal(x, FACTOR * z, NOISE)
log_posterior = log_normal(z, posterior_mean, posterior_std)
claim("Bayes' rule holds", abs(log_joint - log_p - log_posterior) < 1e-12)

# %% [markdown]
# ## Why not just draw codes?
# p(x) is the mean of p(x∣z) over codes z from the prior, and a mean can be estimated:
# draw ten thousand codes, average. **Predict:** how well does that work for one number?
# And for an image of 50 such numbers, with a code of 50 numbers?

# %%
mv.manual_seed(0)
random = mv.backend.host_generator()


def by_prior_draws(dimensions, draws=10_000):
    """An estimate of ln p(x) for each number, where every number of x is 1.5."""
    z = random.standard_normal((draws, dimensions))
    log_likelihood = log_normal(x, FACTOR * z, NOISE).sum(axis=1)
    # The logarithm of a mean of exponentials; the peak is taken out, lest all underflow.
    peak = log_likelihood.max()
    return (peak + np.log(np.exp(log_likelihood - peak).mean())) / dimensions


one = np.array([by_prior_draws(1) for _ in range(20)])
fifty = np.array([by_prior_draws(50) for _ in range(20)])
print(f"exact {log_p:.2f}")
print(f"1 number {one.mean():.2f} ± {one.std():.2f}")
print(f"50 numbers, each {fifty.mean():.2f} ± {fifty.std():.2f}")

# %%
claim(
    "for one number ten thousand draws come within 0.2 nats",
    np.abs(one - log_p).max() < 0.2,
)
claim(
    "for fifty numbers they miss by more than 0.5 nats in each number",
    fifty.max() < log_p - 0.5,
)

# %% [markdown]
# In 50 dimensions none of the ten thousand codes comes near those that could have made
# this x. The estimate is far too low, because the few codes that matter were never
# drawn. An image has hundreds of pixels. We need codes that fit the image.
#
# ## Ask an encoder where to look
# So let an encoder look at x and propose codes: it gives q(z∣x), a Gaussian with a mean
# and a spread of its own (tutorial 06). How can draws from the *wrong* distribution
# tell us about p(x)? By weights. Four steps:
#
# 1. Multiply and divide by q(z∣x): p(x) = ∫ q(z∣x) · [p(x∣z) p(z) / q(z∣x)] dz.
# 2. That is a mean over codes from q, of the **weight** w = p(x∣z) p(z) / q(z∣x). So ln
#    p(x) = ln E_q[w].
# 3. The logarithm is concave: the logarithm of a mean is at least the mean of the
#    logarithms (Jensen's inequality). So ln p(x) ≥ E_q[ln w].
# 4. Write ln w out, and two terms appear that we know: ln w = ln p(x∣z) − [ln q(z∣x) −
#    ln p(z)]. The mean of the bracket over q is the divergence of tutorial 07.
#
#        ln p(x)  ≥  ELBO  =  E_q[ln p(x∣z)]  −  KL(q(z∣x) ‖ p(z))
#
# This is the **evidence lower bound**: p(x) is called the evidence, as it says how well
# the model explains x. Its first term says how well the decoder rebuilds the image from
# the code; its second says what the code costs. Both can be computed, and both have
# gradients.
#
# **Predict:** take the q with mean 0.5 and spread 0.3, which is not the posterior. Is
# the mean of ln w below ln p(x)?

# %%
q_mean, q_std = 0.5, 0.3
z = q_mean + q_std * random.standard_normal(200_000)  # as in 06
log_w = log_normal(x, FACTOR * z, NOISE) + log_normal(z, 0, 1)
log_w = log_w - log_normal(z, q_mean, q_std)
log_of_mean = np.log(np.exp(log_w).mean())
print(f"ln of the mean of w {log_of_mean:.4f}, mean of ln w {log_w.mean():.4f}")

# %%
claim("the mean of w is p(x), though q is wrong", abs(log_of_mean - log_p) < 0.02)
claim("the mean of ln w is lower, a bound", log_w.mean() < log_p - 0.1)

# %% [markdown]
# ## The two terms
# The Gaussian's divergence has a formula (07), and minivae's layer computes it. For the
# first term there is a formula here as well: the mean of (x − 2z)² over q is (x − 2 ·
# mean)² + 2² · spread².

# %%
kl = nn.GaussianKL().double()


def divergence(mean, std):
    """KL(N(mean, std²) ‖ N(0, 1)) in nats, by minivae's layer."""
    kl.forward((np.array([[mean]]), np.array([[2 * np.log(std)]])))
    return kl.divergence


def reconstruction(mean, std):
    """E_q[ln p(x∣z)], in nats."""
    squares = (x - FACTOR * mean) ** 2 + FACTOR**2 * std**2
    return -0.5 * log(2 * pi) - log(NOISE) - squares / (2 * NOISE**2)


def elbo(mean, std):
    return reconstruction(mean, std) - divergence(mean, std)


print(f"reconstruction {reconstruction(q_mean, q_std):.3f}")
print(f"divergence {divergence(q_mean, q_std):.3f}")
print(f"ELBO {elbo(q_mean, q_std):.3f}")

# %%
claim(
    "reconstruction − divergence is the mean of ln w",
    abs(elbo(q_mean, q_std) - log_w.mean()) < 0.03,
)

# %% [markdown]
# ## How large is the gap?
# Bayes' rule says p(x∣z) p(z) = p(z∣x) p(x). Put it into the weight: w = p(x) · p(z∣x)
# / q(z∣x). So
#
#     ELBO = E_q[ln w] = ln p(x) − KL(q(z∣x) ‖ p(z∣x))
#
# The gap is exactly the divergence of q from the true posterior. **Predict:** for which
# q is the bound exact?
#
# Our formula (07) measures the divergence from N(0, 1), not from the posterior. So
# measure z in other units: z′ = (z − mean of the posterior) / its spread. In these the
# posterior is N(0, 1). A divergence does not depend on units, as both densities change
# by the same factor.
#
# **Step in here:** `minivae.nn.gaussian_kl.GaussianKL.update_output`, and watch
# `self.divergence`.

# %%
gap = log_p - elbo(q_mean, q_std)
mean_in_units = (q_mean - posterior_mean) / posterior_std
from_posterior = divergence(mean_in_units, q_std / posterior_std)
best = elbo(posterior_mean, posterior_std)
print(f"gap {gap:.4f}, KL from the posterior {from_posterior:.4f}")
print(f"with q the posterior: ELBO {best:.4f}, ln p(x) {log_p:.4f}")

# %%
claim("the gap is KL(q ‖ posterior)", abs(gap - from_posterior) < 1e-9)
claim("with q the posterior the bound is ln p(x) itself", abs(best - log_p) < 1e-9)

# %% [markdown]
# The picture shows the bound as q's mean moves, for three spreads. No curve crosses the
# line; one touches it, once.

# %%
means = np.linspace(0.2, 1.2, 101)
curves = {
    std: np.array([elbo(mean, std) for mean in means])
    for std in (0.1, posterior_std, 0.5)
}


def draw(axes):
    for (std, values), style in zip(curves.items(), ("--", "-", "-.")):
        axes.plot(means, values, style, label=f"q's spread {std:.2f}")
    axes.axhline(log_p, color="0.3", linestyle=":", label="ln p(x)")
    axes.set(ylim=(-5.5, log_p + 0.6))
    axes.legend(frameon=False)


show(plot("The ELBO never exceeds ln p(x)", "mean of q(z∣x)", "nats", draw), "the bound")
claim(
    "no q does better than ln p(x)",
    max(values.max() for values in curves.values()) <= log_p + 1e-12,
)

# %% [markdown]
# ## A tug of war
# **Predict:** which q makes the reconstruction alone as large as can be, and what does
# it cost?

# %%
sharp = 1e-3  # nearly a point
at = x / FACTOR  # the code that rebuilds x best


def report(name, mean, std):
    print(f"{name}: reconstruction {reconstruction(mean, std):.2f}", end=", ")
    print(f"divergence {divergence(mean, std):.2f}, ELBO {elbo(mean, std):.2f}")


report("a point", at, sharp)
report("the best q", posterior_mean, posterior_std)

# %%
claim(
    "a point rebuilds better than the best q",
    reconstruction(at, sharp) > reconstruction(posterior_mean, posterior_std),
)
claim("and its bound is worse by more than 3 nats", elbo(at, sharp) < best - 3)

# %% [markdown]
# The point rebuilds x better by half a nat, and pays 5.5 nats more for being so sure.
# An auto-encoder (05) is that point: its loss has no second term, so nothing keeps its
# codes where the prior is.
#
# ## A deliberate mistake: a bound without its divergence
# Somebody prints the reconstruction alone and calls it the bound. **Predict:** can that
# be noticed?

# %%
called_bound = reconstruction(at, sharp)
print(f"'bound' {called_bound:.2f} > ln p(x) {log_p:.2f}")

# %%
claim("a 'bound' above ln p(x) is none", called_bound > log_p + 1)

# %% [markdown]
# Where ln p(x) is known, a bound above it shows the mistake at once. For the rectangles
# of 05 we do not know a network's ln p(x), but we know a limit of its mean: each of 256
# images is equally likely, so no model can have a mean ELBO above −ln 256 = −5.545
# nats. Tutorial 09 uses this.
#
# ## In three sentences
# The probability of an image is a mean over codes, and codes drawn from the prior
# hardly ever fit the image. Codes that an encoder proposes do, and the mean of ln w
# over them is a lower bound: reconstruction minus divergence. The gap is the divergence
# of the encoder's q from the true posterior, so maximising the bound trains decoder and
# encoder at once.
#
# ## Test yourself
# 1. Why is E_q[ln w] never above ln p(x), though the mean of w is exactly p(x)?
# 2. The encoder is perfect, and the bound is exact. What is then left to improve, and
#    by what?
# 3. Two models have ELBOs of −100 and −98 nats. Is the second model certainly the
#    better one?
#
# The answers are in [ANSWERS.md](ANSWERS.md#08-bound-the-likelihood).
#
# # Next: 09 Train a VAE
# Encoder, divergence, sampler and decoder are put together, and trained on this bound.
