# %% [markdown]
# # 18 Choose categories
#
# A digit is one of ten, a word one of thousands. **How can a code choose one of C, and still have a gradient?**
# Needs: 11 (bits, temperature, surrogate). About 30 minutes.
#
# A *categorical* variable takes one of C values. Its *logits* a, one for each value, give the probabilities
# p_c = e^a_c / Σⱼ e^a_j: the *softmax* of a, the sigmoid of more than two. As a code it is written *one-hot*: C
# numbers, a 1 at the value and 0 elsewhere, so that a decoder can multiply it by a matrix.

# %%
import os

import numpy as np

import minivae as mv
from minivae import evaluation, figures, nn
from minivae.annealing import Annealing
from minivae.data import Batches, rectangles
from minivae.debug import check_sampler
from minivae.training import Training

FAST = os.environ.get("MINIVAE_FAST") == "1"
random, draws = np.random.default_rng(0), 200_000
a = np.array([0.0, 1.0, 2.0])
p = np.exp(a) / np.exp(a).sum()
print("p =", p.round(3))

# %% [markdown]
# ## A race of exponentials
# Let each value wait for a time that is exponential with rate p_c: −ln u / p_c with u uniform in (0, 1). Whoever is
# first wins. **Predict:** how often is it value 2?

# %%
u = random.random((draws, 3))
first = (-np.log(u) / p).argmin(axis=1)
wins = np.bincount(first, minlength=3) / draws
g = -np.log(-np.log(u))  # the Gumbel distribution
by_sum = (a + g).argmax(axis=1)
print("wins", wins.round(3), " the same winner in", (first == by_sum).mean(), "of all draws")

# %% [markdown]
# As often as p says. The logarithm of a time, its sign turned, is a + g up to a constant, where g = −ln(−ln u) is
# *Gumbel* noise: the largest of a + g is the shortest time. That is the *Gumbel-max trick*. The randomness is an input
# again, as in 06, and the logits are merely added.
#
# The article on bits adds one Gumbel variable where the difference of two is needed (11, erratum 1). For more than two
# values each has its own. **Predict:** with *logistic* noise ln u − ln(1 − u) on each logit, will it be p as well?

# %%
logistic = (a + np.log(u) - np.log(1 - u)).argmax(axis=1)
shares = np.bincount(logistic, minlength=3) / draws
print("logistic noise", shares.round(3), " Gumbel noise", wins.round(3), " wanted", p.round(3))

# %% [markdown]
# No: logistic noise spreads more, and the favourite wins too seldom. A gradient check sees nothing of that;
# `check_sampler` counts.
#
# ## A soft winner
# The largest of three has no gradient. Its soft form is y = softmax((a + g) / T), the *Gumbel-softmax* distribution, or
# *Concrete* (Jang et al. and Maddison et al., both 2016). **Predict:** for which T is y nearly one-hot, and for which T
# does the largest number of y still stand at c with probability p_c?

# %%
logits, temperatures = np.tile(a, (20_000, 1, 1)).astype("float32"), (0.1, 0.5, 1, 2, 10)
decided, kept = {}, {}
for T in temperatures:
    y = nn.GumbelSoftmaxSampler(T).forward(logits)
    decided[T] = float((y.max(axis=1) > 0.9).mean())
    kept[T] = np.bincount(y.argmax(axis=1), minlength=3) / len(y)
    print(f"T = {T:4}: {decided[T]:4.0%} nearly one-hot, the largest at", kept[T].round(2))
report = check_sampler(nn.GumbelSoftmaxSampler(0.5), draws=20_000)
print(str(report).splitlines()[0])

# %% [markdown]
# Low T makes y hard; every T keeps the probabilities, since dividing by T does not change who is largest. So the code
# can be made hard whenever we like: `HardOneHot` does, in evaluation always.
#
# ## Hard forward, soft backward
# With `straight_through=True` it does so in training too, and hands ∂L/∂y back as if it had done nothing: an
# *estimator*, since the derivative of a choice is 0. **Predict:** will the gradient check accept it?

# %%
hard = nn.Sequential(nn.GumbelSoftmaxSampler(0.5), nn.HardOneHot(3, straight_through=True))
codes = np.array(hard.forward(logits[:4]))
soft_ok, hard_ok = (mv.gradcheck(layer, logits[:2]).ok for layer in (nn.GumbelSoftmaxSampler(0.5), hard))
print(codes, "soft agrees:", soft_ok, " hard agrees:", hard_ok)

# %% [markdown]
# It does not, and should not.
#
# ## The price of a choice
# The prior takes each of C values with probability 1/C, and KL(p ‖ 1/C) = Σ_c p_c ln p_c + ln C. **Predict:** what does
# a sure choice among 8 cost, in nats? Two of them name one of 64 places of a square: can the code do with 2 · ln 8?

# %%
kl = nn.CategoricalKL(categories=8)
sure, open_ = (kl.rows(each)[0] for each in (np.float32([[[99, *[0] * 7]]]), np.zeros((1, 1, 8), "float32")))
print(f"sure {sure:.3f} = ln 8 = {np.log(8):.3f}, undecided {open_:.3f}; ln 64 = {np.log(64):.3f}")

# %% [markdown]
# ## Warm and annealed
# 12×12 pixels, a square at one of 64 places, a code of 2 variables with 8 values: exactly as many codes as places, so
# ln p(x) is a sum of 64 terms. At T = 3 a code is a soft mixture, from which the decoder reads far more than a choice;
# the loss is a surrogate (11, erratum 5). *Annealing* begins warm, when gradients are good, and cools down:
# T = max(0.3, e^(−r t)) after t steps. **Predict:** where will the loss be nearest to −ELBO with hard codes?

# %%
small, steps, found = rectangles(5000, height=12, width=12, sides=(5, 5)), 1500 if FAST else 4000, {}
cooling = Annealing(start=1, rate=3 / steps, floor=0.3, every=50)
for name, start, annealing in (("T = 3", 3, None), ("annealed", 1, cooling)):
    mv.manual_seed(0)
    model = mv.models.categorical_vae(image=(1, 12, 12), hidden=64, code=2, categories=8, temperature=start)
    training = Training(model, Batches(small, batch_size=16), learning_rate=5e-3, annealing=annealing)
    loss = training.run(steps, progress=False)["total"][-100:].mean()
    exact, bound = (-f(model, small[:500]).value for f in (evaluation.exact_log_likelihood, evaluation.elbo))
    found[name] = loss, exact, bound
    print(f"{name:8}: loss {loss:5.1f}   −ln p(x) {exact:5.1f}   −ELBO, hard {bound:5.1f}   (best possible 4.2)")
every = model.decode(model.kl.latent.support(model.code))
figures.picture(figures.grid(every, columns=8, gap=1, background=0.25), scale=3)

# %% [markdown]
# The picture shows what all 64 codes of the annealed model decode to. Warm, the loss promises what no hard code keeps:
# at T = 3 it lies nats below −ln p(x), which a bound never does. Annealed, it means what it says: it is near −ELBO, and
# its ELBO is the better of the two. It is far from 4.2: two choices of eight are easily stuck, some codes mean
# the same place and some places share a code. More variables than needed learn better; `minivae train categorical` has
# 20 of 10 values, and `--anneal-rate`.
#
# ## What we claimed
# Next: 19 share batches, where many processes train one model.

# %%
assert np.allclose(wins, p, atol=0.006) and np.array_equal(first, by_sum) and shares[2] < p[2] - 0.01
assert list(decided.values()) == sorted(decided.values(), reverse=True) and decided[0.1] > 0.8 and decided[10] == 0
assert all(np.allclose(kept[T], p, atol=0.02) for T in temperatures) and report.ok
assert set(np.unique(codes)) == {0, 1} and (codes.sum(axis=1) == 1).all() and soft_ok and not hard_ok
assert np.isclose(sure, np.log(8)) and abs(open_) < 1e-6 and every.shape == (64, 1, 12, 12)
assert all(bound > exact - 0.2 for _, exact, bound in found.values())  # the ELBO's draws have some error
warm, annealed = found["T = 3"], found["annealed"]  # each: loss, −ln p(x), −ELBO
assert warm[0] < warm[1] - 2, "the surrogate is below −ln p(x)"
assert 3 * abs(annealed[2] - annealed[0]) < warm[2] - warm[0] and annealed[2] < warm[2]
