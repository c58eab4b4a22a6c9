# %% [markdown]
# # 01 Build a layer
# **What does a layer of a neural network compute, and what does it hand back when it learns?** Needs: derivatives,
# matrix products and NumPy, and no earlier tutorial. About 20 minutes.
#
# A **layer** is a function with numbers in it that can be changed, its **parameters**. Here we build the most common
# one on numbers so small that you can check each with a pencil. A **batch** is a few inputs worked on at once, one a
# row. Our layer takes N rows of I numbers and gives N rows of O numbers: y = x Wᵀ + b. The parameters are the
# **weight** W of shape (O, I) and the **bias** b of shape (O,), which is added to every row.

# %%
import numpy as np

import minivae as mv
from minivae import nn

mv.manual_seed(0)
x = np.array([[1, 2, -1], [0, 1, 3]], dtype="float32")  # N = 2 rows of I = 3 numbers
W = np.array([[1, 0, 2], [-1, 3, 1]], dtype="float32")  # O = 2 rows of I = 3
b = np.array([1, -2], dtype="float32")
print(y := x @ W.T + b)

# %% [markdown]
# That was the **forward pass**. Check one entry by hand: y[0, 1] = 1·(−1) + 2·3 + (−1)·1 − 2 = 2. **Predict:** what
# does minivae's `Linear(3, 2)` give for the same x, before and after we write our W and b into it?

# %%
layer = nn.Linear(3, 2)
before = layer.forward(x).copy()
layer.weight[...] = W  # [...] writes into the array that the layer has
layer.bias[...] = b
after = layer.forward(x).copy()
print(layer, before, after, sep="\n")

# %% [markdown]
# Before, the numbers are arbitrary: a new layer draws W and b at random between −1/√I and 1/√I. After, they are ours
# to the last digit: float32 keeps about seven digits of a number, and ours are small and whole.
#
# ## Backward: three derivatives
# Say we want y to be some t. The **loss** L is one number for how far off we are; here L = ½ Σ (y − t)². Everything
# that follows starts from G = ∂L/∂y: how fast L grows when an entry of y grows. It has the shape of y, and minivae
# calls it **grad_output**. For this loss, G = y − t. As y[n, o] = Σᵢ x[n, i] W[o, i] + b[o], the chain rule gives
#
#     ∂L/∂x[n, i] = Σₒ G[n, o] W[o, i]      grad_input  = G W      how L depends on what came in
#     ∂L/∂W[o, i] = Σₙ G[n, o] x[n, i]      grad_weight = Gᵀ x     how L depends on the weight
#     ∂L/∂b[o]    = Σₙ G[n, o]              grad_bias   = Σₙ Gₙ    how L depends on the bias
#
# **Predict:** what are the three shapes? (A derivative has the shape of what one derives by.)

# %%
t = np.array([[1, 2], [5, 5]], dtype="float32")
L = 0.5 * ((y - t) ** 2).sum()
G = y - t
by_hand = {"grad_input": G @ W, "grad_weight": G.T @ x, "grad_bias": G.sum(axis=0)}
print(f"L = {L}", G, *by_hand.values(), sep="\n")

# %% [markdown]
# Now minivae's. `forward` calls `update_output`, which computes y. `backward` calls `update_grad_input`, which returns
# G W, and `acc_grad_parameters`, which adds the other two to `layer.grad_weight` and `layer.grad_bias`. **Step in
# here:** `minivae.nn.linear.Linear.update_grad_input`. Set a breakpoint on its `matmul` line, watch `grad_output.shape`
# (2, 2), `self.weight.shape` (2, 3), and, one line later, `self.grad_input`.

# %%
grad_input = layer.backward(x, G).copy()
once = layer.grad_weight.copy()
print(grad_input, layer.grad_weight, layer.grad_bias, sep="\n")

# %% [markdown]
# The same numbers. But are they the *derivative*? Ask L itself: move W[0, 2] up and down by ½, and divide the change
# of L by the distance between the two, which is 1. **Predict:** what comes out? (Look at grad_weight.)

# %%
nudge = np.zeros_like(W)
nudge[0, 2] = 0.5
L_above, L_below = (0.5 * ((x @ moved.T + b - t) ** 2).sum() for moved in (W + nudge, W - nudge))
print(slope := L_above - L_below)

# %% [markdown]
# It is 7, which is grad_weight[0, 2]. (For this loss a step of any size gives the exact slope, because L is a
# parabola in each weight. Tutorial 02 makes a test for every layer out of this.)
# ## What accumulates, and what is overwritten
# **Predict:** what are `grad_weight` and the returned `grad_input` after a second call of `backward` with the same x
# and G? And what is `grad_weight` after the batch has come in two halves, one row each?

# %%
again = layer.backward(x, G).copy()
twice = layer.grad_weight.copy()
layer.zero_grad_parameters()
for row in (slice(0, 1), slice(1, 2)):
    layer.forward(x[row])
    layer.backward(x[row], G[row])
halves = layer.grad_weight.copy()
print(twice, halves, sep="\n")

# %% [markdown]
# `grad_weight` doubled, `grad_input` did not: gradients of parameters **accumulate**; only you set them to zero. The
# halves show what for: L is a sum over rows, so the gradients of two half batches add up to that of the whole.
#
# `output` and `grad_input` are **buffers**: arrays that the layer owns and writes into again and again, so that a long
# training need not ask for new memory. **Predict:** what is in `kept` below? (That is why `.copy()` stood above.)

# %%
kept = layer.forward(x)
layer.forward(10 * x)
print(overwritten := kept.copy())

# %% [markdown]
# The second call wrote the output for 10 x over the first.
# ## One step down, and a deliberate mistake
# L changes by about Σ ∂L/∂w Δw, over all weights w and their changes Δw. With Δw = −η ∂L/∂w that is −η Σ (∂L/∂w)²:
# a step of η = 0.01 lowers L by about 0.62, from 3 to 2.38. We take it; then 60 steps of η = 0.05, once properly and
# once **without** `zero_grad_parameters`. **Predict:** where do they end?

# %%
def learn(rate, steps, zero=True):
    layer.weight[...], layer.bias[...] = W, b
    losses = []
    for step in range(steps):
        if zero or step == 0:
            layer.zero_grad_parameters()
        error = layer.forward(x) - t
        losses.append(0.5 * (error**2).sum())
        layer.backward(x, error)
        right = np.allclose(layer.grad_weight, error.T @ x)
        layer.update_parameters(rate)  # w ← w − η ∂L/∂w
    return losses, right

(_, one_step), _ = learn(0.01, steps=2)
proper, proper_right = learn(0.05, steps=60)
forgotten, forgotten_right = learn(0.05, steps=60, zero=False)
print(one_step, proper[-1], forgotten[-1], proper_right, forgotten_right)
print("forgotten, from step 30 on: between", min(forgotten[30:]), "and", max(forgotten[30:]))

# %% [markdown]
# One step reaches 2.41, not quite 2.38: the slope flattens on the way. Sixty proper steps end at practically 0. The
# mistake raises no error; L goes down and up again, above 3 where it began, and never settles. What catches it is to
# compare `grad_weight` with Gᵀ x of this step alone.

# %% What we claimed
assert np.array_equal(after, y) and y[0, 1] == 2 and not np.array_equal(before, y)
assert L == 3 and by_hand["grad_input"].shape == x.shape and by_hand["grad_weight"].shape == W.shape
assert np.array_equal(grad_input, by_hand["grad_input"]) and np.array_equal(once, by_hand["grad_weight"])
assert slope == once[0, 2] == 7 and np.array_equal(by_hand["grad_bias"], [1, -1])
assert np.array_equal(twice, 2 * once) and np.array_equal(again, grad_input) and np.array_equal(halves, once)
assert np.array_equal(overwritten, 10 * x @ W.T + b) and np.shares_memory(kept, layer.output)
assert np.isclose(0.01 * sum((by_hand[name] ** 2).sum() for name in ("grad_weight", "grad_bias")), 0.62)
assert abs(one_step - 2.41) < 0.005 and proper[-1] < 1e-6 and max(forgotten[30:]) > 3 and min(forgotten[30:]) < 0.2
assert proper_right and not forgotten_right and np.abs(nn.Linear(3, 2).weight).max() <= 1 / np.sqrt(3)
# %% [markdown]
# Next: 02 Check a gradient, which asks of any layer what we asked of one weight.
