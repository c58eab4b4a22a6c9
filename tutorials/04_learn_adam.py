# %% [markdown]
# # 04 Learn with Adam
# **The model is one vector, its gradient another. How does one walk downhill?**
#
# Needs: 01 and 03. About 55 minutes.
#
# An **optimiser** takes steps that lower a loss. You watch the simplest one in a
# valley, write Adam in ten lines, see where it gains and where it loses, and then let
# both train a small network.

# %%
import numpy as np
from lesson import FAST, boxes, claim, plot, show

import minivae as mv
from minivae import nn
from minivae.errors import OptionError
from minivae.optim import adam, sgd

# %% [markdown]
# ## The form of an optimiser
# minivae keeps the verbs of Torch7, a library in Lua. There an optimiser is a function
# that takes *one* step:
#
#     x, loss = sgd(feval, x, state)
#
# - `x` is the vector to improve. It is changed in place.
# - `feval(x)` is a function that you write. It returns the loss at x and its gradient.
# - `state` is a dict of options, such as the **learning rate** η, which says how far to
#   step. The optimiser keeps its memory there too.

# %%
show(boxes("x → [feval] → loss | gradient → [optimiser] → x, a step lower"), "one step")

# %% [markdown]
# ## Down a valley
# The simplest optimiser is gradient descent. It steps against the gradient g:
#
#     x ← x − η g
#
# With a gradient from a part of the data it is called stochastic gradient descent,
# **SGD**. Our loss is a valley in two dimensions. Along x₀ it is flat, and across,
# along x₁, a hundred times as steep. We start at (1, 1), where the loss is 50.5. The
# lowest point is (0, 0).

# %%
steepness = np.array([1.0, 100.0])


def valley(x):
    loss = 0.5 * (steepness * x**2).sum()
    gradient = steepness * x
    return loss, gradient


def walk(optimiser, feval, start, steps, **options):
    """The places that an optimiser visits, one a row."""
    x = np.array(start)
    places = [x.copy()]
    for _ in range(steps):
        optimiser(feval, x, options)
        places.append(x.copy())
    return np.array(places)


# %% [markdown]
# **Predict:** which of three learning rates is best, 0.005, 0.019 or 0.021? What do the
# others do?

# %%
by_rate = {}
for rate in (0.005, 0.019, 0.021):
    places = walk(sgd, valley, (1.0, 1.0), 200, learning_rate=rate)
    by_rate[rate] = valley(places[-1])[0]
    print(f"η = {rate}: loss after 200 steps {by_rate[rate]:.3g}")

# %% [markdown]
# The best is just below a limit, and above it all is lost. Why?
#
# 1. Across the valley, g₁ = 100 x₁. So a step multiplies x₁ by 1 − 100 η.
# 2. If η is above 0.02, that factor is below −1. Each step jumps over the valley to a
#    higher place on the other side.
# 3. Along the valley, a step multiplies x₀ by 1 − η. As η must stay below 0.02, x₀
#    shrinks by no more than 2 % a step.
#
# The steep direction limits the rate, and the flat direction has to wait.

# %%
claim("0.019 ends lower than 0.005", by_rate[0.019] < 0.01 * by_rate[0.005])
claim("0.021 flies apart", by_rate[0.021] > 1e15)
claim(
    "at 0.019 the rest of the loss is that of x₀",
    np.isclose(by_rate[0.019], 0.5 * (1 - 0.019) ** 400, rtol=1e-3),
)

# %% [markdown]
# ## Adam in ten lines
# **Adam** gives each number of x a step length of its own. It keeps two running means
# for each number, m of the gradient and v of its square, and steps against m / √v.
# Where the gradient of a number is always large, its step is divided by a large √v.
#
#     m ← β₁ m + (1 − β₁) g        β₁ = 0.9
#     v ← β₂ v + (1 − β₂) g²       β₂ = 0.999
#
# Both start from 0, so both are too small at first. How much? Suppose that g is always
# the same.
#
# 1. After one step m is (1 − β₁) g. Each further step multiplies what is there by β₁
#    and adds (1 − β₁) g. So after t steps m is (1 − β₁)(1 + β₁ + … + β₁ᵗ⁻¹) g.
# 2. The second bracket is a geometric sum, (1 − β₁ᵗ)/(1 − β₁). So m is (1 − β₁ᵗ) g. In
#    the same way v is (1 − β₂ᵗ) g².
# 3. Divide by these factors, and both are right again: m / (1 − β₁ᵗ) and v / (1 − β₂ᵗ).
# 4. The step is the first, divided by the root of the second, which is √v / √(1 − β₂ᵗ).
#    So it is √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / √v.
#
# A small ε keeps the division finite. In the form of Torch7 and of minivae, step number
# t is
#
#     x ← x − η · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + ε)        ε = 10⁻⁸


# %%
def my_adam(feval, x, state):
    loss, g = feval(x)
    t = state.get("t", 0) + 1
    m = 0.9 * state.get("m", 0) + 0.1 * g
    v = 0.999 * state.get("v", 0) + 0.001 * g**2
    state.update(t=t, m=m, v=v)
    correction = np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    x -= state["learning_rate"] * correction * m / (np.sqrt(v) + 1e-8)
    return x, loss


# %% [markdown]
# **Predict:** at (1, 1) the gradient is (1, 100). Where is x after the first step with
# η = 0.1?

# %%
first_step = walk(my_adam, valley, (1.0, 1.0), 1, learning_rate=0.1)[-1]
print("after one step:", first_step)

# %% [markdown]
# The first step is η in *each* direction, whatever the size of the gradient: corrected,
# m is g, and √v is |g|, so their ratio is 1 or −1. For Adam, η is a length.
#
# **Step in here:** `minivae.optim.adam.adam`. Look at `x` before and after the call
# that runs `_adam`, and after it at `state["t"]`. (Before the first call `state` has no
# "t".)

# %%
mine = walk(my_adam, valley, (1.0, 1.0), 200, learning_rate=0.1)
theirs = walk(adam, valley, (1.0, 1.0), 200, learning_rate=0.1)
adam_end = valley(mine[-1])[0]
print(f"largest difference from minivae's: {np.abs(mine - theirs).max():.1e}")
print(f"loss after 200 steps: Adam {adam_end:.1e}, the best SGD {by_rate[0.019]:.1e}")

# %%
claim("the first step is 0.1 in both directions", np.allclose(first_step, 0.9, atol=1e-6))
claim("ours and minivae's walk the same way", np.abs(mine - theirs).max() < 1e-12)
claim("Adam ends a thousand times lower", adam_end < 0.001 * by_rate[0.019])

# %% [markdown]
# ## A deliberate mistake: no correction
# Somebody leaves the correction out: "it is 1 after a while". **Predict:** how long is
# the first step then? (Work out m and √v at t = 1.)


# %%
def uncorrected(feval, x, state):
    loss, g = feval(x)
    m = 0.9 * state.get("m", 0) + 0.1 * g
    v = 0.999 * state.get("v", 0) + 0.001 * g**2
    state.update(m=m, v=v)
    x -= state["learning_rate"] * m / (np.sqrt(v) + 1e-8)
    return x, loss


wrong_step = walk(uncorrected, valley, (1.0, 1.0), 1, learning_rate=0.1)[-1]
wrong_end = valley(walk(uncorrected, valley, (1.0, 1.0), 200, learning_rate=0.1)[-1])[0]
print("after one step:", wrong_step)
print(f"loss after 200 steps: {wrong_end:.1e}")

# %% [markdown]
# m is 0.1 g and √v is √0.001 |g| = 0.032 |g|: the step is 3.2 times too long. The walk
# still finds its way down, so no loss curve shows the mistake. What shows it is one
# step with a known answer: the first step of Adam is η long.

# %%
claim("without correction it comes down too", wrong_end < 0.01)
claim(
    "but its first step is 3.2 η",
    np.allclose(1 - wrong_step, 0.316, atol=1e-3),
)

# %% [markdown]
# ## Two walks
# The picture shows both walks from (1, 1), 60 steps of each. The thin lines connect
# places of equal loss.


# %%
def contours(axes, feval):
    """Lines of equal loss."""
    across = np.linspace(-0.6, 1.8, 73)
    up = np.linspace(-1.4, 1.2, 79)
    losses = [[feval(np.array([x0, x1]))[0] for x0 in across] for x1 in up]
    levels = [0.5, 2, 5, 12, 25, 50, 100]
    axes.contour(across, up, losses, levels, colors="0.75", linewidths=0.8)
    axes.plot(0, 0, "k+", markersize=14, zorder=5, label="lowest point")
    axes.set_aspect("equal")


def draw_walks(axes, feval, by_sgd, by_adam):
    contours(axes, feval)
    axes.plot(*by_sgd[:61].T, "o-", markersize=3, linewidth=1, label="SGD, η = 0.019")
    axes.plot(*by_adam[:61].T, "s--", markersize=3, linewidth=1, label="Adam, η = 0.1")
    axes.set(xlim=(-0.6, 1.8), ylim=(-1.4, 1.2))
    axes.legend(frameon=False, loc="upper right")


sgd_walk = walk(sgd, valley, (1.0, 1.0), 200, learning_rate=0.019)


def draw(axes):
    draw_walks(axes, valley, sgd_walk, mine)


show(
    plot("A valley along an axis", "x₀", "x₁", draw, size=(7, 6.5)), "walks along an axis"
)

# %% [markdown]
# SGD jumps from side to side. Adam takes the diagonal: it is as fast along x₀ as along
# x₁, because it divides each by its own steepness.
#
# ## Turn the valley
# That valley lay along an axis. Here is the same valley, turned by 45°, with the same
# starting point in it. **Predict:** where are SGD and Adam after 200 steps now?

# %%
turn = np.array([[1, -1], [1, 1]]) / np.sqrt(2)


def turned(x):
    loss, gradient = valley(turn @ x)
    return loss, turn.T @ gradient  # the chain rule


start = turn.T @ [1.0, 1.0]
sgd_turned = walk(sgd, turned, start, 200, learning_rate=0.019)
adam_turned = walk(adam, turned, start, 200, learning_rate=0.1)
sgd_turned_end = turned(sgd_turned[-1])[0]
adam_turned_end = turned(adam_turned[-1])[0]
print(f"along the axis: SGD {by_rate[0.019]:.5f}, Adam {adam_end:.5f}")
print(f"turned by 45°:  SGD {sgd_turned_end:.5f}, Adam {adam_turned_end:.5f}")


# %%
def draw(axes):
    draw_walks(axes, turned, sgd_turned, adam_turned)


show(plot("The same, turned by 45°", "x₀", "x₁", draw, size=(7, 6.5)), "walks turned")

# %% [markdown]
# SGD does not notice: it follows the gradient, which turns with the valley. Adam does
# notice, and is now a hundred times *behind* SGD. It rescales *coordinates*, not
# directions, and here each coordinate is a mixture of steep and flat. So Adam gains
# where the coordinates themselves differ in steepness, as the weights of different
# layers often do.

# %%
claim("SGD ends where it did", np.isclose(sgd_turned_end, by_rate[0.019], rtol=1e-6))
claim("Adam ends more than 50 times behind", adam_turned_end > 50 * sgd_turned_end)

# %% [markdown]
# ## Learning a model
# The vector is now `flat`, all the weights of a network (tutorial 03). Its `feval` has
# four lines: zero the gradients, go forward, go backward, return the loss and
# `flat_grad`. It does not look at its argument. It need not: the optimiser changes
# `flat` in place, and the weights of the network *are* `flat`. `need_grad_input=False`
# spares the gradient by the points: nobody needs it, as the first layer has no layer
# before it.
#
# The network fits sin(x) at 32 points.

# %%
points = np.linspace(-3, 3, 32, dtype="float32")[:, None]


def fit(optimiser, rate, steps, seed=0):
    """The losses of a new network, step by step."""
    mv.manual_seed(seed)
    net = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))
    flat, flat_grad = net.get_parameters()

    def feval(flat):
        net.zero_grad_parameters()
        error = net.forward(points) - np.sin(points)
        net.backward(points, error, need_grad_input=False)
        return 0.5 * float((error**2).sum()), flat_grad

    state = {"learning_rate": rate}
    losses = []
    for _ in range(steps):
        flat, loss = optimiser(feval, flat, state)
        losses.append(loss)
    return losses


by_mine = fit(my_adam, 0.01, steps=100)[-1]
by_theirs = fit(adam, 0.01, steps=100)[-1]
print("100 steps at 0.01: minivae's Adam", by_theirs, " ours", by_mine)

# %%
claim(
    "our Adam trains the network as minivae's does", np.isclose(by_mine, by_theirs, 1e-3)
)

# %% [markdown]
# A network starts from random weights, and one start may be lucky. So we try five
# starts at each rate and look at the middle one of the losses, the **median**.
# **Predict:** which optimiser ends lower? (About 4 seconds. In fast mode there are
# fewer steps, and Adam has one rate.)


# %%
def five_starts(optimiser, rate):
    """The losses of five networks, one a row; prints where they end."""
    steps = 250 if FAST else 300
    losses = np.array([fit(optimiser, rate, steps, seed) for seed in range(5)])
    ends = np.sort(losses[:, -1])
    print(f"{optimiser.__name__:4} {rate:<6} {ends.round(4)}  median {ends[2]:.4f}")
    return losses


by_sgd = {rate: five_starts(sgd, rate) for rate in (0.0025, 0.005, 0.01)}
adam_rates = (0.05,) if FAST else (0.01, 0.05, 0.2)
by_adam = {rate: five_starts(adam, rate) for rate in adam_rates}


# %%
def draw(axes):
    axes.semilogy(by_sgd[0.01].T, "C0-", linewidth=1)
    axes.semilogy(by_adam[0.05].T, "C1--", linewidth=1)
    axes.plot([], [], "C0-", label="SGD, η = 0.01")
    axes.plot([], [], "C1--", label="Adam, η = 0.05")
    axes.legend(frameon=False)


show(plot("Fitting a sine, a line for each start", "step", "loss", draw), "fits")

# %% [markdown]
# At 0.05 Adam's median is 0.003. SGD's best median is 0.136, at 0.01: forty-five times
# as high. (In fast mode 0.005 and 0.16.) Look also at the spread. At 0.01 the worst of
# Adam's five runs ends three times as high as the best, and at 0.05 more than ten
# times; at 0.2 one of them ends at about 0.3, above all of SGD's at 0.01. A single run
# proves little. SGD at 0.01 is near its limit: in the picture, runs climb for a while
# before they come down again.

# %%
adam_median = np.median(by_adam[0.05][:, -1])
sgd_medians = [np.median(losses[:, -1]) for losses in by_sgd.values()]
claim(
    "Adam's median at 0.05 is less than a fifth of each of SGD's",
    5 * adam_median < min(sgd_medians),
)
claim(
    "SGD ends lower at 0.005 than at 0.0025, from every start",
    all(by_sgd[0.005][:, -1] < by_sgd[0.0025][:, -1]),
)

# %% [markdown]
# SGD gains when its rate is doubled. **Predict:** why not go on, to 0.02?

# %%
too_fast = fit(sgd, 0.02, steps=24)
print(
    "SGD at 0.02:", [f"{loss:.3g}" for loss in too_fast[::6]], f"then {too_fast[-1]:.3g}"
)

# %% [markdown]
# It flies apart, as in the valley: somewhere the loss of the network is too steep for
# this rate.

# %%
claim("at 0.02 the loss is above a million after 24 steps", too_fast[-1] > 1e6)

# %% [markdown]
# ## Where to add ε
# Torch7 and minivae add ε to √v. Kingma and Ba, who invented Adam, add it to the
# corrected root √(v / (1 − β₂ᵗ)); so does PyTorch. Does it matter? Take a gradient that
# is always g, and put m = (1 − β₁ᵗ) g and v = (1 − β₂ᵗ) g² into both forms:
#
#     Kingma and Ba:  η g / (|g| + ε)
#     Torch7:         η g / (|g| + ε / √(1 − β₂ᵗ))
#
# So Torch7's ε counts 1/√(1 − β₂ᵗ) times. **Predict:** what is that factor at t = 1 and
# at t = 1000? For which g does it matter?


# %%
def kingma_ba(feval, x, state):
    loss, g = feval(x)
    t = state.get("t", 0) + 1
    m = 0.9 * state.get("m", 0) + 0.1 * g
    v = 0.999 * state.get("v", 0) + 0.001 * g**2
    state.update(t=t, m=m, v=v)
    x -= (
        state["learning_rate"] * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    )
    return x, loss


def step_length(optimiser, g, t):
    """The length of step number t with a gradient that is always g, for η = 1."""

    def feval(x):
        return 0.0, np.array([g])

    places = walk(optimiser, feval, (0.0,), t, learning_rate=1.0)
    return (places[-2] - places[-1])[0]


factors = {t: 1 / np.sqrt(1 - 0.999**t) for t in (1, 1000)}
print(f"factors: {factors[1]:.1f} at t = 1, {factors[1000]:.2f} at t = 1000")
lengths = {}
for g in (1.0, 1e-4, 1e-8):
    for t in (1, 1000):
        lengths[g, t] = step_length(my_adam, g, t), step_length(kingma_ba, g, t)
        print(f"g = {g:g}, t = {t}:  Torch7 {lengths[g, t][0]:.4f}", end="  ")
        print(f"Kingma and Ba {lengths[g, t][1]:.4f}")

# %% [markdown]
# The factor is 31.6 at the first step and 1.26 at step 1000. For gradients far above
# 10⁻⁶ nobody sees it. At 10⁻⁸, the size of ε, Torch7's first step is 0.03 η and the
# other one is 0.5 η. Who compares two programs must know which form they use.

# %%
claim(
    "the factors are 31.6 and 1.26", np.allclose([*factors.values()], [31.6, 1.26], 2e-3)
)
for (g, t), (torch7, other) in lengths.items():
    claim(
        f"both formulas hold for g = {g:g}, t = {t}",
        np.isclose(torch7, g / (g + 1e-8 * factors[t]))
        and np.isclose(other, g / (g + 1e-8)),
    )
claim(
    "at g = 10⁻⁸ the first steps are 0.03 and 0.5",
    np.allclose(lengths[1e-8, 1], [0.03, 0.5], atol=2e-3),
)

# %% [markdown]
# ## A key that nobody reads (ERRATA 10)
# Two of the articles that minivae implements print their programs, in several listings.
# All of them set `momentum` among Adam's options. Adam has no such option, and a table
# that nobody checks says nothing. minivae's optimisers do check it. **Predict:** what
# do they say?

# %%
try:
    adam(valley, np.ones(2), {"learning_rate": 1e-3, "momentum": 0})
    message = "nothing"
except OptionError as error:
    message = str(error)
print(message)

# %%
claim("the unknown key is named", "unknown key momentum in state" in message)

# %% [markdown]
# The listings also differ in `learning_rate_decay`. That is the d in η / (1 + (t − 1)
# d), the rate at step t. From listing to listing it is 1e-4, 1e-2 or 5e-7. They take
# 31,250 steps: ten times through 50,000 images, 16 at a time. **Predict:** what does
# each d leave of η = 0.001 at the last step?

# %%
last_step = 10 * 50_000 // 16
left = {}
for decay in (1e-4, 1e-2, 5e-7):
    x = np.zeros(1)
    state = {"learning_rate": 1e-3, "learning_rate_decay": decay, "t": last_step - 1}
    sgd(
        lambda x: (0.0, np.ones(1)), x, state
    )  # one step with gradient 1: its length is η
    left[decay] = -x[0]
    print(f"d = {decay:g}: {left[decay]:.2e}")

# %% [markdown]
# A quarter, a three-hundredth, nearly all. Two models that were trained with different
# decays cannot be compared.

# %%
claim("there are 31,250 steps", last_step == 31_250)
claim(
    "what is left is 2.4e-4, 3.2e-6 and 9.8e-4",
    np.allclose([*left.values()], [2.42e-4, 3.19e-6, 9.85e-4], rtol=2e-3),
)

# %% [markdown]
# ## In three sentences
# An optimiser calls `feval` for the loss and the gradient at x, and changes x in place.
# SGD steps against the gradient, and the steepest direction limits its rate; Adam
# divides each coordinate by the usual size of its gradient, which helps where
# coordinates differ in steepness and not where the valley lies across them. Compare
# optimisers by several starts and several rates, never by one run.
#
# ## Test yourself
# 1. A loss is multiplied by 1000. How must the learning rate of SGD change to give the
#    same walk, and how that of Adam?
# 2. In a valley with steepness 1 and 10,000, what is the largest rate of SGD, and by
#    how much can x₀ shrink in a step?
# 3. Why does minivae's `feval` not need its argument?
#
# The answers are in [ANSWERS.md](ANSWERS.md#04-learn-with-adam).
#
# # Next: 05 Compress rectangles
# Adam teaches a network to describe an image with two numbers.
