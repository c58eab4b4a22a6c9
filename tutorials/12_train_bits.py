# %% [markdown]
# # 12 Train bits
#
# **What is the loss of relaxed bits worth, and at which temperature?**  Needs: 11 (bits, logits, relaxed bits).
# About 30 minutes.
#
# ## A divergence that changes its sign (ERRATA 3)
# By p, the derivative of the divergence is the logit a.  The listing's formula, with its guards of 10⁻²⁰, divides by
# 1 − p.  **Predict:** what does it give in float32 for a = 16 and for a = 17?

# %%
import os

import numpy as np

import minivae as mv
from minivae import evaluation, nn
from minivae.data import Batches, rectangles
from minivae.training import Training

FAST = os.environ.get("MINIVAE_FAST") == "1"
u = np.random.default_rng(0).random(400_000)


def logit(p):
    return np.log(p / (1 - p))


def listed_gradient(a, guard=np.float32(1e-20), ln2=np.float32(np.log(2))):  # noqa: B008
    p = 1 / (1 + np.exp(-np.float32(a)))
    q = 1 - p + guard
    return float(np.log(p + guard) + 1 + ln2 - 1 / q - np.log(q) + p / q - ln2)

kl, high = nn.BernoulliKL(), np.array([[16, 17]], dtype=np.float32)
by_logits = (kl(high), kl.backward(high, 0 * high))[1][0]
print("by p, listing:", [*map(listed_gradient, high[0])], " by the logit, θ(1 − θ) a, minivae:", by_logits)

# %% [markdown]
# By p it should be 16 and 17.  The listing gives 15.8, nearly right, and then −0.69, as p is rounded to 1.
# `BernoulliKL` takes logits: by a the derivative is θ(1 − θ) a, and it is right everywhere.
#
# ## The higher the temperature, the closer to true sampling? (ERRATA 4)
# So says the article.  **Predict:** which temperature leaves most relaxed bits undecided, between 0.1 and 0.9?

# %%
undecided = {T: (np.abs((logit(0.3) + logit(u)) / T) < logit(0.9)).mean() for T in (0.1, 0.5, 1, 2, 5)}
print("undecided", {T: f"{share:.1%}" for T, share in undecided.items()})

# %% [markdown]
# The highest.  A lower one is closer to true bits, at the price of a larger factor 1/T in the gradient.
#
# ## A loss that is too good (ERRATA 5)
# The loss adds the divergence of *bits* to the reconstruction from *relaxed* bits.  That is a *surrogate*, no bound: a
# decoder can read a message between 0 and 1.  64 places of a small square need 6 bits, and over 2⁶ codes we can sum, so
# we know ln p(x).  **Predict:** at T = 2, can the loss be below −ln p(x)?

# %%
small, found = rectangles(5000, height=12, width=12, sides=(5, 5)), {}
for T in (0.5, 2):
    mv.manual_seed(0)
    model = mv.models.bernoulli_vae(image=(1, 12, 12), hidden=64, code=6, temperature=T)
    training = Training(model, Batches(small, batch_size=16), learning_rate=4e-3)
    loss = training.run(1500 if FAST else 2500, progress=False)["total"][-100:].mean()
    found[T] = loss, *(-f(model, small[:500]).value for f in (evaluation.exact_log_likelihood, evaluation.elbo))
    print("T = {}: loss {:.1f}   −ln p(x) {:.1f}   −ELBO with hard bits {:.1f}".format(T, *found[T]))

# %% [markdown]
# It can, by nats.  With hard bits (0 or 1) the bound holds, so `minivae.evaluation` makes them hard, always.
#
# ## What we claimed
# Next: 13 compare decoders, where the pixels are grey.

# %%
assert np.allclose([*map(listed_gradient, high[0])], [15.8, -0.69], atol=0.01)
assert np.allclose(by_logits, high / (2 + 2 * np.cosh(high)), rtol=1e-4)  # θ (1 − θ) a
assert list(undecided.values()) == sorted(undecided.values()) and undecided[0.1] < 0.1 < 0.96 < undecided[2]
assert found[2][0] < found[2][1] - 1 and all(bound > exact for _, exact, bound in found.values())
