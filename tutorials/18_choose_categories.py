# %% [markdown]
# # 18 Choose categories
# **How can a code choose one of C values, and still have a gradient?**
#
# Needs: 11 and 12 (logits, relaxed bits, temperature, surrogate). About 45 minutes.
#
# A digit is one of ten, a word one of thousands. A **categorical** variable takes one
# of C values. As a code it is written **one-hot**: C numbers, a 1 at the value and 0
# elsewhere, so that a decoder can multiply it by a matrix.

# %%
import numpy as np
from lesson import boxes, claim, plot, show

import minivae as mv
from minivae import evaluation, nn
from minivae.data import Batches, rectangles
from minivae.debug import check_sampler
from minivae.figures import grid, picture
from minivae.figures.style import framed
from minivae.schedules import Annealing
from minivae.training import Training

show(
    boxes(
        "image → [encoder] → logits → [CategoricalKL] → [GumbelSoftmaxSampler] "
        "→ one-hot code → [decoder]"
    ),
    "what we build",
)

# %% [markdown]
# ## A probability for each value
# The encoder gives a logit aₖ for each value, any number. The **softmax** makes
# probabilities of them: pₖ = e^aₖ / Σⱼ e^aⱼ. For two values it is the sigmoid of their
# difference. **Predict:** does it matter if 100 is added to every logit?


# %%
def softmax(a):
    e = np.exp(a - a.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


a = np.array([0.0, 1.0, 2.0])
p = softmax(a)
print("p =", p.round(3))

# %%
claim("the probabilities add up to 1", abs(p.sum() - 1) < 1e-12)
claim("a constant added to all logits changes nothing", np.allclose(softmax(a + 100), p))
claim(
    "of two values it is a sigmoid", np.isclose(softmax(a[:2])[1], 1 / (1 + np.exp(-1.0)))
)

# %% [markdown]
# ## A race
# To draw a value, let all of them race. Value k arrives after a time that is
# exponential with the rate pₖ: tₖ = −ln u / pₖ, with u uniform in (0, 1). Whoever is
# first, wins. How often does k win?
#
# 1. Value j has not arrived at the time t with probability e^(−pⱼ t).
# 2. So the density of "k arrives at t and all others are later" is pₖ e^(−pₖ t) times
#    the others' e^(−pⱼ t), which is pₖ e^(−t), as the probabilities add up to 1.
# 3. Its integral over all t is pₖ.
#
# **Predict:** how often does the last value win, out of 200,000 races?

# %%
random = np.random.default_rng(0)
u = random.random((200_000, 3))
times = -np.log(u) / p
first = times.argmin(axis=1)
wins = np.bincount(first, minlength=3) / len(u)
print("wins", wins.round(3), "wanted", p.round(3))

# %%
claim("each value wins as often as p says", np.abs(wins - p).max() < 0.007)

# %% [markdown]
# ## The Gumbel-max trick
# Now move the noise to the logits, as in 11. The logarithm keeps the order of the
# times:
#
# 1. ln tₖ = ln(−ln u) − ln pₖ.
# 2. ln pₖ = aₖ − a constant that is the same for all.
# 3. So the first to arrive is the largest of aₖ + g, with g = −ln(−ln u).
#
# This noise g is **Gumbel** noise. The logits are merely added to it, and it knows
# nothing of the encoder. **Predict:** is it the same winner, race for race?

# %%
gumbel = -np.log(-np.log(u))
largest = (a + gumbel).argmax(axis=1)
print(f"the same winner in {(largest == first).mean():.2%} of the races")

# %%
claim("the largest sum is the first to arrive", (largest == first).mean() > 0.9999)

# %% [markdown]
# ## A deliberate mistake: the wrong noise
# The article on bits adds one Gumbel variable where the difference of two is needed
# (11). Here each value needs one of its own. Somebody remembers "logistic noise" from
# the bits, and adds ln u − ln(1 − u) to each logit. (A layer's logits have the shape
# (rows, variables, values). Below are 2 rows, each with 2 variables of 3 values.)
# **Predict:** what does the gradient check say? How often does the favourite win?


# %%
class LogisticSampler(nn.GumbelSoftmaxSampler):
    def update_output(self, input):
        u = self.draw(mv.backend.uniform, (len(input), input[0].size)).reshape(
            input.shape
        )
        y = softmax((input + np.log(u) - np.log(1 - u)) / self.temperature)
        self.output = y.reshape(len(input), -1)
        return self.output


logits = random.standard_normal((2, 2, 3))
gradients = mv.gradcheck(LogisticSampler(0.5), logits)
logistic = a + np.log(u) - np.log(1 - u)
shares = np.bincount(logistic.argmax(axis=1), minlength=3) / len(u)
print(f"gradient check passes: {gradients.ok}")
print("logistic noise", shares.round(3), "Gumbel noise", wins.round(3))

# %%
# no one change of the source makes it right, so none is looked for
wrong = check_sampler(
    LogisticSampler(0.5), kind="categorical", draws=40_000, changes=False
)
right = check_sampler(nn.GumbelSoftmaxSampler(0.5), draws=40_000)
print(wrong)

# %%
claim("the gradient check passes the wrong noise", gradients.ok)
claim("the favourite wins too seldom", shares[2] < p[2] - 0.01)
claim("counting finds it", not wrong.ok)
claim("counting passes minivae's sampler", right.ok)

# %% [markdown]
# Two logistic variables scatter more than two Gumbel variables, so the favourite is
# beaten more often. Forward and backward agree with each other, and only counting sees
# it.
#
# ## A soft winner
# "The largest" has no gradient. Its soft form has: y = softmax((a + g) / T), the
# *Gumbel-softmax* or *Concrete* distribution (Jang et al. and Maddison et al., both
# 2016). Three numbers that add up to 1 are a point in a triangle, whose corners are the
# one-hot codes. The picture shows 1,000 draws, warm and cold. The number at a corner is
# the value for which it stands. **Predict:** for which T do they lie in the corners?
# Does T change how often each corner is nearest?


# %%
def soft_winner(temperature, noise=gumbel):
    return softmax((a + noise) / temperature)


def draw_triangles(axes):
    for k, (temperature, colour) in enumerate(((5, "C0"), (1, "C1"), (0.1, "C2"))):
        y = soft_winner(temperature)[:1000]
        left = 1.3 * k
        axes.plot([left, left + 1, left + 0.5, left], [0, 0, 0.87, 0], color="0.6")
        axes.scatter(left + y[:, 1] + y[:, 2] / 2, 0.87 * y[:, 2], 6, colour, alpha=0.4)
        for value, (right, up) in enumerate(((-0.06, -0.1), (1.06, -0.1), (0.5, 0.9))):
            axes.text(left + right, up, f"{value}", ha="center")
        axes.text(left + 0.5, -0.2, f"T = {temperature}", ha="center")
    axes.set(aspect="equal", xticks=[], yticks=[], ylim=(-0.3, 1.05))
    axes.grid(False)
    axes.spines[:].set_visible(False)


show(
    plot("Codes of three values, warm to cold", "", "", draw_triangles, (8, 3)),
    "triangles",
)

# %%
temperatures = np.array([0.1, 0.5, 1, 2, 5])
decided, nearest = [], []
for temperature in temperatures:
    y = soft_winner(temperature)
    decided.append((y.max(axis=1) > 0.9).mean())
    nearest.append(np.bincount(y.argmax(axis=1), minlength=3) / len(y))
    print(
        f"T = {temperature}: {decided[-1]:.0%} nearly one-hot, "
        f"nearest corner {nearest[-1].round(3)}"
    )

# %%
claim("the lower T, the more draws are nearly one-hot", (np.diff(decided) < 0).all())
claim("every T keeps the probabilities", np.abs(np.array(nearest) - p).max() < 0.007)

# %% [markdown]
# Dividing by T does not change who is largest. So a code can be made hard whenever we
# like: `HardOneHot` does it, in evaluation always. **Step in here:**
# `minivae.nn.gumbel_softmax_sampler.GumbelSoftmaxSampler.update_grad_input`, and find
# the softmax's derivative y (G − Σ G y).
#
# ## Hard forward, soft backward
# With `straight_through=True` the code is hard in training too. Backwards, the layer
# hands ∂L/∂y on as if it had done nothing. The decoder then never sees a soft code, and
# cannot cheat. But this gradient is an **estimator**: the derivative of a choice is 0.
# **Predict:** will the gradient check accept it?

# %%
soft = nn.GumbelSoftmaxSampler(0.5)
hard = nn.Sequential(
    nn.GumbelSoftmaxSampler(0.5), nn.HardOneHot(3, straight_through=True)
)
codes = hard.forward(np.tile(a, (4, 1, 1)).astype(np.float32)).copy()
soft_ok = mv.gradcheck(soft, logits).ok
hard_ok = mv.gradcheck(hard, logits).ok
print(codes, f"\nsoft: {soft_ok}, straight-through: {hard_ok}")

# %%
claim("each code has a single 1", (codes.sum(axis=1) == 1).all() and codes.max() == 1)
claim("the gradient check accepts the soft code", soft_ok)
claim("and refuses the hard one, as it should", not hard_ok)

# %% [markdown]
# ## What the gradients are worth
# How wrong are they? Take a loss of one choice for which the exact gradient is known:
# L(y) = (f·y − ½)² with f = (2, 1, 0). With a one-hot y it is 2.25, 0.25 or 0.25. The
# mean over choices is Σ pₖ Lₖ, and since ∂pⱼ/∂aₖ = pⱼ (1[j = k] − pₖ), where 1[j = k]
# is 1 for j = k and else 0, its gradient is
#
#     ∂/∂aₖ = pₖ (Lₖ − Σⱼ pⱼ Lⱼ)
#
# **Predict:** which T gives a mean gradient near to the exact one, and which a calm
# one? Is the straight-through gradient exact, as its forward pass is?

# %%
f = np.array([2.0, 1.0, 0.0])
losses = (f - 0.5) ** 2
exact = p * (losses - (p * losses).sum())


def gradient(temperature, straight_through=False):
    """Of each draw, by the logits."""
    y = soft_winner(temperature)
    forward = np.eye(3)[y.argmax(axis=1)] if straight_through else y
    by_y = 2 * (forward @ f - 0.5)[:, None] * f
    return y * (by_y - (by_y * y).sum(axis=1, keepdims=True)) / temperature


print("exact", exact.round(3))
errors, spreads = [], []
for temperature in temperatures:
    each = gradient(temperature)
    errors.append(np.linalg.norm(each.mean(axis=0) - exact))
    spreads.append(np.sqrt(each.var(axis=0).sum()))
    print(
        f"T = {temperature}: mean {each.mean(axis=0).round(3)}, spread {spreads[-1]:.2f}"
    )
through = gradient(0.5, straight_through=True).mean(axis=0)
print("straight-through, T = 0.5:", through.round(3))


def draw_gradients(axes):
    axes.plot(temperatures, errors, "o-", label="error of the mean")
    axes.plot(temperatures, spreads, "s--", label="spread of one draw")
    axes.set(xscale="log", yscale="log")
    axes.legend(frameon=False)


show(
    plot("One soft choice", "temperature T", "gradient ∂/∂a, in nats", draw_gradients),
    "gradients",
)

# %%
claim("the lower T, the smaller the error of the mean", (np.diff(errors) > 0).all())
claim("the lower T, the larger the spread", (np.diff(spreads) < 0).all())
claim(
    "the straight-through gradient is not exact", np.linalg.norm(through - exact) > 0.05
)

# %% [markdown]
# As for bits: warm is calm and wrong, cold is wild and nearly right. Straight-through
# has the right loss, but no right gradient. **Annealing** tries to have both: begin
# warm, and cool down.
#
# ## The price of a choice
# The prior takes each of C values with probability 1/C, and KL(p ‖ 1/C) = Σₖ pₖ ln pₖ +
# ln C. **Predict:** what does a sure choice among 4 cost? Two of them name one of 16
# places: can a code do with less?

# %%
kl = nn.CategoricalKL(categories=4)
sure = kl.rows(np.array([[[99, 0, 0, 0]]], dtype=np.float32))[0]
undecided = kl.rows(np.zeros((1, 1, 4), dtype=np.float32))[0]
print(f"sure {sure:.3f}, ln 4 = {np.log(4):.3f}; undecided {undecided:.3f}")

# %%
claim("a sure choice costs ln C", abs(sure - np.log(4)) < 1e-5)
claim("no choice costs nothing", abs(undecided) < 1e-6)
claim(
    "two choices of 4 cost what 16 places need", abs(2 * np.log(4) - np.log(16)) < 1e-12
)

# %% [markdown]
# ## Warm and annealed
# Now a network: the 16 places of lesson 12, a code of 2 variables with 4 values,
# exactly as many codes as places. So ln p(x) is a sum of 16 terms. Train it twice, for
# 400 steps. Once warm, at T = 3. Once annealed, T = max(0.3, e^(−rt)) after t steps,
# which goes from 1 to 0.3 and is set anew every 20 steps. **Predict:** whose loss is
# lower? Whose −ELBO with hard codes? (2 seconds)

# %%
images = rectangles(5000, height=8, width=8, sides=(5, 5))
places = np.unique(images.reshape(len(images), 64), axis=0).reshape(16, 1, 8, 8)
steps = 400


def trained(start, annealing=None):
    mv.manual_seed(0)
    model = mv.models.categorical_vae(
        image=(1, 8, 8), hidden=128, code=2, categories=4, temperature=start
    )
    batches = Batches(images, batch_size=32)
    training = Training(model, batches, learning_rate=5e-3, annealing=annealing)
    loss = training.run(steps, progress=False)["total"][-50:].mean()
    exact = -evaluation.exact_log_likelihood(model, places).value
    bound = -evaluation.elbo(model, places, samples=20).value
    print(f"loss {loss:5.1f}   −ln p(x) {exact:5.1f}   −ELBO, hard codes {bound:5.1f}")
    return model, loss, exact, bound


print("warm, then annealed (no model can be below 2.8):")
warm, warm_loss, warm_exact, warm_bound = trained(start=3)
cooling = Annealing(start=1, rate=2 / steps, floor=0.3, every=20)
cooled, cool_loss, cool_exact, cool_bound = trained(start=1, annealing=cooling)

# %%
claim("the warm loss lies below −ln p(x): it is no bound", warm_loss < warm_exact - 2)
claim("the warm loss is lower than the annealed one", warm_loss < cool_loss)
claim("with hard codes the annealed model is better", cool_bound < warm_bound - 2)
claim(
    "the annealed loss is nearer to its −ELBO",
    abs(cool_bound - cool_loss) < 0.5 * (warm_bound - warm_loss),
)

# %% [markdown]
# The warm loss comes near the optimum, and with some seeds below it, where no model can
# be. No hard code keeps this promise: a warm code is a soft mixture, from which the
# decoder reads far more than a choice. The annealed loss is worse, and means what it
# says. The picture shows what all 16 hard codes decode to.

# %%
pictures = []
for model in (warm, cooled):
    pictures.append(model.decode(model.kl.latent.support(model.code)))
sheet = picture(
    grid(np.concatenate(pictures), columns=16, gap=1, background=0.25), scale=5
)
names = [(22, "warm"), (67, "annealed")]
show(framed(sheet, "All 16 codes, decoded", rows=names), "all codes")

# %% [markdown]
# Even the annealed model is far from 2.8: two choices of four are easily stuck. Some
# codes mean the same place, and some places share a code. As in 12, more variables than
# needed learn better: 4 variables of 4 values come to a −ELBO between 5.5 and 8.0 with
# eight seeds, where 2 come to between 7.4 and 14. `minivae train categorical` has 20
# variables of 10 values, and `--anneal-rate`.
#
# ## In three sentences
# A choice among C values is the largest of logit plus Gumbel noise, so the randomness
# is an input again. A softmax with a temperature in place of "the largest" has a
# gradient, calm and wrong when warm, wild and nearly right when cold. The loss of soft
# codes is a surrogate, which annealing brings close to the bound with hard codes.
#
# ## Test yourself
# 1. For C = 2, which noise does the difference of the two Gumbel variables make, and in
#    which lesson was it?
# 2. Why does the straight-through code never give a loss below −ln p(x) by cheating,
#    and why is its gradient still not exact?
# 3. A code has 3 variables of 10 values. What is the most that it can cost in nats, and
#    how many images can it tell apart?
#
# The answers are in [ANSWERS.md](ANSWERS.md#18-choose-categories).
#
# # Next: 19 Share batches
# Many processes train one model.
