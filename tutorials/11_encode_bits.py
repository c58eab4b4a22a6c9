# %% [markdown]
# # 11 Encode bits
#
# A code of bits can be stored, counted and read.  But a bit jumps, and a jump has no gradient: **how can an encoder
# learn to set bits?**  Needs: 06 to 09 (reparameterization, KL, VAE).  About 30 minutes.
#
# Each bit has a probability θ of being 1, where the *prior* says ½: before it sees an image, the decoder expects tosses
# of a coin.  A linear layer gives any real number, so the encoder gives the *logit* a = ln θ − ln(1 − θ), and θ = σ(a)
# is its sigmoid.  To be quick we take hidden layers of 128 units for the article's 1,152, and 2,500 of its 31,250
# steps, at four times its rate (the temperature is explained below).  Losses are in *nats*, units of the natural log.

# %%
import os

import numpy as np

import minivae as mv
from minivae import evaluation, figures, nn
from minivae.data import Batches, is_full_square, rectangles
from minivae.training import Training

FAST = os.environ.get("MINIVAE_FAST") == "1"
images, bounds, samples = rectangles(50_000), {}, {}
for code in (2, 25, 50):
    mv.manual_seed(0)
    model = mv.models.bernoulli_vae(hidden=128, code=code, temperature=0.5)
    Training(model, Batches(images, batch_size=16), learning_rate=4e-3).run(500 if FAST else 2500, progress=False)
    bounds[code], samples[code] = evaluation.elbo(model, images[:300]), figures.prior_samples(model, 40)
    print(f"{code:2} bits: ELBO {bounds[code]}")
figures.picture(figures.grid(np.concatenate(list(samples.values())), columns=20, gap=1, background=0.25), scale=2)

# %% [markdown]
# Two rows for 2 bits, two for 25, two for 50, decoded from random bits.  With 2 bits there are four pictures, all
# blurred, however many you ask for: a divergence of at most 2 ln 2 = 1.39 nats cannot tell 256 places apart.  With more
# bits the ELBO is higher by far, yet hardly one shape is exactly a square: most have bits that no image of the data
# has. 50 bits need not beat 25: 8 could name all 256 places.  A bit beyond has nothing left to say, costs something as
# long as it is not a fair coin, and its draws disturb what the others learn.
#
# ## The divergence without its weights (ERRATA 21)
# Equation (2) of the article reads Σₖ ln θᵏ(1 − θ)¹⁻ᵏ − ln ½ᵏ½¹⁻ᵏ, k in {0, 1}: it adds two logarithms and forgets to
# weigh them by θ and 1 − θ.  **Predict:** what does that give for θ = 0.9, and can it be a divergence?

# %%
def logit(p):
    return np.log(p / (1 - p))

theta, at = 0.9, np.array([[logit(0.9)]])
printed, right = np.log(2 * theta) + np.log(2 * (1 - theta)), nn.BernoulliKL().double().rows(at)[0]
print(f"as printed {printed:.3f}, weighted {right:.3f}")

# %% [markdown]
# −1.02, and no divergence is negative.  Right is θ ln 2θ + (1 − θ) ln 2(1 − θ) = 0.368, as in the article's listing.
# ## The draw, and a listing that draws something else (ERRATA 1)
# As in 06 the randomness becomes an input, u uniform in (0, 1).  Equation (1) adds *logistic noise* to the logit:
#
#     y = (a + ln u − ln(1 − u)) / T        z = σ(y)        T is the temperature
#
# (`BernoulliSampler` returns y; a `Sigmoid` follows it.)  z > ½ where u > 1 − θ: with probability θ.  z is a *relaxed
# bit*, its distribution is the *binary Concrete*.  The
# listing has y = (ln p − ln(−ln u)) / T, with p = θ.  **Predict:** how often is z > ½ there, when p is almost 1?

# %%
u, p = np.random.default_rng(0).random(400_000), np.array([0.05, 0.3, 0.95, 1 - 1e-9])
drawn = np.array([(logit(each) + logit(u) > 0).mean() for each in p])
listed = np.array([(np.log(each) - np.log(-np.log(u)) > 0).mean() for each in p])
print("p", p, " equation", drawn.round(3), " listing", listed.round(3), " 1 − e⁻ᵖ", (1 - np.exp(-p)).round(3))

# %% [markdown]
# In 0.632 of the draws, for −ln u < p has the probability 1 − e⁻ᵖ: a certain bit is wrong in more than a third of them.
# ## A deliberate mistake that the gradient check passes (ERRATA 2)
# Here is the listing as a layer, with its derivative 1/(pT).  **Predict:** what does the gradient check say?

# %%
class ListedSampler(nn.BernoulliSampler):  # takes probabilities
    def update_output(self, input):
        gumbel = -np.log(-np.log(self.draw(mv.backend.uniform, input.shape)))
        return (np.log(input) + gumbel) / self.temperature

    def update_grad_input(self, input, grad_output):
        return grad_output / (input * self.temperature)

print(mv.gradcheck(ListedSampler(0.5), np.linspace(0.1, 0.9, 12).reshape(3, 4)).raise_if_failed())
sampler, h = nn.BernoulliSampler(temperature=0.5).double(), 1e-6
sampler.forward(at)
by_logit = sampler.backward(at, np.ones((1, 1)))[0, 0]
by_p = by_logit * (logit(theta + h) - logit(theta - h)) / (2 * h)
print(f"equation (1): ∂y/∂a = {by_logit:.2f}, ∂y/∂p = {by_p:.2f}; the listing: {1 / (theta * 0.5):.2f}")

# %% [markdown]
# It passes: forward and backward agree on the wrong draw, which only counting finds.  The article calls 1/(pT) the
# derivative of equation (1), but that is 1/(p(1 − p)T), ten times as much at p = 0.9; by the logit it is 1/T.
# **Step in here:** `minivae.nn.bernoulli_sampler.BernoulliSampler.update_grad_input`.  Does it read the noise?  No.
#
# ## What we claimed
# Next: 12 trains bits, and finds what the loss of relaxed bits is.

# %%
few = samples[2].reshape(40, -1)
assert sum(not np.isclose(image, few[:k], atol=1e-4).all(axis=1).any() for k, image in enumerate(few)) == 4
assert bounds[2].divergence < 2 * np.log(2) + 1e-3
assert bounds[2].value + 15 < min(bounds[25].value, bounds[50].value)
assert all(is_full_square(pixels).mean() < 0.1 for pixels in samples.values())
assert abs(printed + 1.02) < 0.01 and abs(right - 0.368) < 0.001
assert np.allclose(drawn, p, atol=0.004) and np.allclose(listed, 1 - np.exp(-p), atol=0.004)
assert np.isclose(by_logit, 1 / 0.5) and np.isclose(by_p, 1 / (theta * (1 - theta) * 0.5), rtol=1e-6)
