# %% [markdown]
# # 01 Build a layer
# **What does a layer of a neural network compute, and what does it hand back when it
# learns?**
#
# Needs: derivatives, matrix products and NumPy; no earlier tutorial. About 40 minutes.
#
# A **layer** is a function with numbers in it that can be changed, its **parameters**.
# You build the most common one here, a fully connected layer. The numbers are so small
# that you can check each with a pencil. Then you compare yours with minivae's, and let
# it learn.
#
# The cells with "Predict" ask for a guess. Write it down before you run the next cell.
# A line that begins with ✓ is a claim of the text that the program has just checked.

# %%
import numpy as np
from lesson import boxes, claim, plot, show

import minivae as mv
from minivae import nn

mv.manual_seed(0)  # random numbers are the same in every run

# %% [markdown]
# ## What a layer computes
# An **input** is a row of I numbers. The layer makes O numbers of it, its **output**:
# each is a weighted sum of all I inputs, plus a constant. We give it N rows at once, a
# **batch**. In one line, with one row for each input of the batch:
#
#     y = x Wᵀ + b
#
#     x   input    (N, I)        W   weight   (O, I)
#     y   output   (N, O)        b   bias     (O,), added to every row
#
# W and b are the parameters. In our example N = 4, I = 3 and O = 2. The picture shows
# the **forward pass** from left to right, and below it the way back, which comes later.

# %%
picture = boxes("""
x (4, 3) → [Linear: W (2, 3), b (2,)] → y (4, 2)
grad_input ← [grad_weight, grad_bias] ← grad_output
""")
show(picture, "a layer forward and backward")

# %%
x = np.array([[1, 2, -1], [0, 1, 3], [2, 0, 1], [-1, 1, 0]], dtype="float32")
W = np.array([[1, 0, 2], [-1, 3, 1]], dtype="float32")
b = np.array([1, -2], dtype="float32")
y = x @ W.T + b
print(y)

# %% [markdown]
# Check one entry by hand. Row 0 of x is (1, 2, −1), row 1 of W is (−1, 3, 1), and b[1]
# is −2. So y[0, 1] = 1·(−1) + 2·3 + (−1)·1 − 2 = 2.

# %%
claim("y[0, 1] is 2", y[0, 1] == 2)
claim("y has N = 4 rows of O = 2 numbers", y.shape == (4, 2))

# %% [markdown]
# ## The same with minivae
# `Linear(3, 2)` is minivae's layer with I = 3 and O = 2. **Predict:** what does it give
# for our x before we write our W and b into it? And after?

# %%
layer = nn.Linear(3, 2)
before = layer.forward(x).copy()
layer.weight[...] = W  # [...] writes into the array that the layer has
layer.bias[...] = b
after = layer.forward(x).copy()
print(layer)
print("before:", before, "after:", after, sep="\n")

# %% [markdown]
# Before, the numbers are arbitrary: a new layer draws W and b at random between −1/√I
# and 1/√I. After, they are ours, to the last digit: numbers of the type float32 have
# about seven digits, and ours are small and whole.

# %%
fresh = nn.Linear(3, 2)
claim("after writing, minivae's output is ours", np.array_equal(after, y))
claim("before, it was another", not np.array_equal(before, y))
claim(
    "new weights are between −1/√3 and 1/√3",
    np.abs(fresh.weight).max() <= 1 / np.sqrt(3),
)

# %% [markdown]
# ## How far off are we?
# Say that we want the layer to give some t, the **target**. The **loss** L is one
# number that says how far off we are. Here it is half the sum of all squared errors:
#
#     L = ½ Σ (y − t)²
#
# All that follows starts from G = ∂L/∂y: for each entry of y, how fast L grows when
# that entry grows. G has the shape of y. minivae calls it **grad_output**, the gradient
# at the output. (A **gradient** is an array of derivatives.) For this loss the
# derivative of ½ (y − t)² is y − t, so G = y − t.

# %%
t = np.array([[1, 2], [5, 5], [5, -2], [-1, 2]], dtype="float32")
L = 0.5 * ((y - t) ** 2).sum()
G = y - t
print("L =", L)
print(G)

# %% [markdown]
# G[1, 0] is 2: output 0 of row 1 is 7 and should be 5. G[0, 1] is 0: that entry is
# right, and a tiny change of it would not matter.

# %%
claim("the loss is 4", L == 4)
claim("G has the shape of y", G.shape == y.shape)

# %% [markdown]
# ## Three derivatives
# To learn, we must know how L depends on W and on b. To let an *earlier* layer learn,
# we must also say how L depends on x, which was the output of that earlier layer. Take
# the weight first. Four steps:
#
# 1. Written out for one entry, the layer is y[n, o] = Σᵢ x[n, i] W[o, i] + b[o].
# 2. Move W[o, i] by a little δ. Then y[n, o] moves by δ · x[n, i], in every row n. No
#    other column of y moves.
# 3. When y[n, o] moves by δ · x[n, i], L moves by G[n, o] times that (the chain rule).
# 4. All rows move at once, and their effects on L add up. So ∂L/∂W[o, i] is Σₙ G[n, o]
#    x[n, i].
#
# The other two go the same way. x[n, i] moves every output of its own row; the one in
# column o moves by δ W[o, i]. So here we add over o. b[o] moves column o by δ in every
# row. As sums, and as matrix products:
#
#     ∂L/∂W[o, i] = Σₙ G[n, o] x[n, i]      grad_weight = Gᵀ x
#     ∂L/∂x[n, i] = Σₒ G[n, o] W[o, i]      grad_input  = G W
#     ∂L/∂b[o]    = Σₙ G[n, o]              grad_bias   = Σₙ Gₙ
#
# **Predict:** what are the three shapes? (All three differ here.)

# %%
grad_weight = G.T @ x
grad_input = G @ W
grad_bias = G.sum(axis=0)
print("grad_weight", grad_weight.shape, grad_weight, sep="\n")
print("grad_input", grad_input.shape, grad_input, sep="\n")
print("grad_bias", grad_bias.shape, grad_bias, sep="\n")

# %% [markdown]
# A gradient has the shape of what we differentiate by: there is one derivative for each
# of its numbers.

# %%
claim("grad_weight has the shape of W", grad_weight.shape == W.shape)
claim("grad_input has the shape of x", grad_input.shape == x.shape)
claim("grad_bias has the shape of b", grad_bias.shape == b.shape)

# %% [markdown]
# ## The backward pass of minivae
# A layer of minivae has these verbs:
#
# - `forward(x)` calls `update_output`, which computes y.
# - `backward(x, G)` calls `update_grad_input`, which computes and returns G W. Then it
#   calls `acc_grad_parameters`, which adds the other two gradients to
#   `layer.grad_weight` and `layer.grad_bias`.
#
# **Step in here:** `minivae.nn.linear.Linear.update_grad_input`. Set a breakpoint on
# its line with `matmul` and run the next cell in the debugger. Look at
# `grad_output.shape`, (4, 2), and at `self.weight.shape`, (2, 3). Go one line further
# and look at `self.grad_input`.

# %%
layer.zero_grad_parameters()
returned = layer.backward(x, G).copy()
once = layer.grad_weight.copy()
print(returned, once, layer.grad_bias, sep="\n")

# %%
claim("backward returns G W", np.array_equal(returned, grad_input))
claim("grad_weight is Gᵀ x", np.array_equal(once, grad_weight))
claim("grad_bias is the sum of G over rows", np.array_equal(layer.grad_bias, grad_bias))

# %% [markdown]
# ## Ask the loss itself
# The numbers agree with our formula. But is the formula the *derivative*? We can ask L:
# move one weight up by ½ and down by ½, and see how much L changes between the two. The
# two places are 1 apart, so this change is the slope. **Predict:** what comes out for
# W[0, 2]? (Look at grad_weight.)


# %%
def loss_with(weight):
    return 0.5 * ((x @ weight.T + b - t) ** 2).sum()


nudge = np.zeros_like(W)
nudge[0, 2] = 0.5
slope = loss_with(W + nudge) - loss_with(W - nudge)
print("slope of L along W[0, 2]:", slope)

# %% [markdown]
# It is 7, which is grad_weight[0, 2]. For this loss a step of any size gives the exact
# slope, because L is a parabola in each weight. Tutorial 02 makes a test for every
# layer out of this idea.

# %%
claim("the slope is grad_weight[0, 2]", slope == grad_weight[0, 2] == 7)

# %% [markdown]
# ## What adds up, and what is overwritten
# **Predict:** we call `backward` a second time, with the same x and G. What is
# `grad_weight` then? And what does `backward` return?

# %%
returned_again = layer.backward(x, G).copy()
twice = layer.grad_weight.copy()
print("grad_weight:", twice, "returned:", returned_again, sep="\n")

# %% [markdown]
# `grad_weight` has doubled; what `backward` returns has not. Gradients of parameters
# **accumulate**: each call adds to them, and only you set them to zero, with
# `zero_grad_parameters()`.

# %%
claim("after two calls grad_weight is twice Gᵀ x", np.array_equal(twice, 2 * grad_weight))
claim("the returned gradient is the same", np.array_equal(returned_again, grad_input))

# %% [markdown]
# What is that good for? **Predict:** set the gradients to zero, and show the layer the
# four rows one after the other. What is `grad_weight` at the end?

# %%
layer.zero_grad_parameters()
for n in range(4):
    row = x[n : n + 1]  # a batch of one row
    layer.forward(row)
    layer.backward(row, G[n : n + 1])
row_by_row = layer.grad_weight.copy()
print(row_by_row)

# %% [markdown]
# It is the gradient of the whole batch. L is a sum over rows, so the gradients of the
# rows add up to the gradient of L. A batch that is too large for the memory can be
# worked on in pieces. A layer that is used twice in a model adds up both uses (tutorial
# 03).

# %%
claim("row by row gives the gradient of the batch", np.array_equal(row_by_row, once))

# %% [markdown]
# `output` and `grad_input` do not accumulate. They are **buffers**: arrays that belong
# to the layer, and that its next call writes over. So a long training does not need new
# memory at each step. **Predict:** what is in `kept` at the end of this cell? (It is
# the reason for `.copy()` above.)

# %%
kept = layer.forward(x)
layer.forward(10 * x)
print(kept)

# %% [markdown]
# The second call has written the output for 10 x over the first one.

# %%
claim("`kept` holds the output for 10 x", np.array_equal(kept, 10 * x @ W.T + b))
claim("`kept` is the buffer of the layer", np.shares_memory(kept, layer.output))

# %% [markdown]
# ## One step down
# The gradient tells how to lower L. Three steps:
#
# 1. If each weight w changes by a small Δw, then L changes by about Σ ∂L/∂w · Δw, the
#    sum over all weights and biases.
# 2. Take Δw = −η ∂L/∂w, with a small number η, the **learning rate**. Then L changes by
#    about −η Σ (∂L/∂w)², which is never positive.
# 3. Here Σ (∂L/∂w)² is 75 over the weights plus 8 over the biases. With η = 0.01, L
#    should fall by about 0.83, from 4 to 3.17.
#
# `update_parameters(η)` takes this step. **Predict:** will L be exactly 3.17?


# %%
def squared_error():
    """Forward and backward with the weights as they are; returns L."""
    error = layer.forward(x) - t
    layer.backward(x, error)
    return 0.5 * (error**2).sum()


layer.weight[...] = W
layer.bias[...] = b
layer.zero_grad_parameters()
at_first = squared_error()
expected_fall = 0.01 * ((layer.grad_weight**2).sum() + (layer.grad_bias**2).sum())
layer.update_parameters(0.01)
one_step = squared_error()
print(
    f"L was {at_first}, should fall by about {expected_fall:.2f}, and is {one_step:.3f}"
)

# %% [markdown]
# L is 3.22, not quite 3.17. The slope flattens on the way down, and step 1 above knows
# only the slope at the start.

# %%
claim("the expected fall is 0.83", abs(expected_fall - 0.83) < 0.001)
claim("one step takes L from 4 to about 3.22", abs(one_step - 3.22) < 0.005)

# %% [markdown]
# ## A deliberate mistake: a gradient that is never set to zero
# Now 60 steps with η = 0.05. Once we do it properly. Once we forget
# `zero_grad_parameters`, so that each step uses the sum of *all* gradients so far.
# **Predict:** where does L go in each case?


# %%
def learn(zero_each_step):
    """60 steps; returns the losses, and whether grad_weight was right at the end."""
    layer.weight[...] = W
    layer.bias[...] = b
    layer.zero_grad_parameters()
    losses = []
    for _ in range(60):
        if zero_each_step:
            layer.zero_grad_parameters()
        losses.append(squared_error())
        error = layer.output - t
        right = np.allclose(layer.grad_weight, error.T @ x, atol=1e-4)
        layer.update_parameters(0.05)  # w ← w − η ∂L/∂w
    return losses, right


proper, proper_is_right = learn(zero_each_step=True)
forgotten, forgotten_is_right = learn(zero_each_step=False)


def draw(axes):
    axes.plot(proper, label="proper")
    axes.plot(forgotten, "--", label="zero_grad_parameters forgotten")
    axes.legend(frameon=False, loc="upper right")
    axes.set_ylim(0, 5.5)


show(plot("Sixty steps down", "step", "loss L", draw), "sixty steps")
print(f"proper: {proper[-1]:.4f}; forgotten, from step 20 on: between", end=" ")
print(f"{min(forgotten[20:]):.2f} and {max(forgotten[20:]):.2f}")

# %% [markdown]
# Sixty proper steps end near 0. The mistake raises no error. L goes down, but then up
# again above 4, where it began, and never settles. The sum of all gradients acts like a
# velocity that nothing slows down: the weights roll through the lowest place and up on
# the other side.

# %%
claim("proper steps end below 0.02", proper[-1] < 0.02)
claim("the mistake is above 4 again after step 20", max(forgotten[20:]) > 4)

# %% [markdown]
# What would have caught it? In each step, compare `layer.grad_weight` with Gᵀ x of this
# step alone. `learn` did so.

# %%
claim("in the proper run grad_weight is Gᵀ x of this step", proper_is_right)
claim("in the other run it is not", not forgotten_is_right)

# %% [markdown]
# ## In three sentences
# A fully connected layer computes y = x Wᵀ + b, one row of y for each row of x. From
# grad_output, G, it computes ∂L/∂x = G W, and adds ∂L/∂W = Gᵀ x and ∂L/∂b = Σₙ Gₙ to
# gradients that only you set to zero. A small step against these gradients lowers the
# loss.
#
# ## Test yourself
# 1. A layer is `Linear(5, 7)` and the batch has 3 rows. What are the shapes of the
#    output, of `grad_input` and of `grad_weight`?
# 2. Why is grad_bias a sum over the rows, while grad_input is not?
# 3. You call `backward` twice with the same arguments and then
#    `update_parameters(0.01)`. Which learning rate does the step really have?
#
# The answers are in [ANSWERS.md](ANSWERS.md#01-build-a-layer).
#
# # Next: 02 Check a gradient
# It asks of any layer what we asked of one weight.
