# %% [markdown]
# # 03 Stack layers
# **How do many layers become one model, with one backward pass and one gradient?**
#
# Needs: 01 and 02. About 50 minutes.
#
# You put layers one after another and side by side, run the backward pass through them
# by hand, and turn all their parameters into one vector. That is what an optimiser
# wants. The last two sections, on shared weights and on error messages, can wait until
# you need them.

# %%
import numpy as np
from lesson import boxes, claim, plot, show

import minivae as mv
from minivae import nn
from minivae.errors import MinivaeError
from minivae.optim import sgd

mv.manual_seed(0)
random = np.random.default_rng(0)

# %% [markdown]
# ## One after another
# A layer, and anything made of layers, is a **module**: it has `forward` and
# `backward`. A **container** is a module made of modules. The first is `Sequential`:
# what comes out of one module goes into the next.

# %%
show(boxes("x → [Linear] → a → [Tanh] → b → [Linear] → y"), "a Sequential")

# %%
x = random.standard_normal((3, 4)).astype("float32")
first = nn.Linear(4, 5)
bend = nn.Tanh()
last = nn.Linear(5, 2)
net = nn.Sequential(first, bend, last)
y = net.forward(x).copy()
print(y)

# %% [markdown]
# **Predict:** run the three layers by hand, each on the output of the one before. How
# much does the result differ from y?

# %%
a = first.forward(x)
b = bend.forward(a)
by_hand = last.forward(b)
print(by_hand - y)

# %%
claim("a Sequential is its layers, one after another", np.array_equal(by_hand, y))

# %% [markdown]
# A bent function such as tanh between two `Linear`s is called an **activation**. What
# is it for? **Predict:** leave it out, and feed `first` directly into `last`. Can one
# single `Linear(4, 2)` do the same?

# %%
straight = last.forward(first.forward(x)).copy()
one = nn.Linear(4, 2)
one.weight[...] = last.weight @ first.weight
one.bias[...] = last.weight @ first.bias + last.bias
print(np.abs(one.forward(x) - straight).max())

# %% [markdown]
# Yes: (x W₀ᵀ + b₀) W₁ᵀ + b₁ = x (W₁ W₀)ᵀ + (W₁ b₀ + b₁). Without an activation, two
# layers are no more than one.

# %%
claim(
    "two Linears without an activation are one Linear",
    np.allclose(one.forward(x), straight, atol=1e-5),
)

# %% [markdown]
# ## The way back
# Backward, the chain rule runs from the end to the beginning. The `grad_input` of a
# module is the `grad_output` of the module before it.

# %%
picture = boxes("""
x → [first] → a → [bend] → b → [last] → y
∂L/∂x ← [first] ← ∂L/∂a ← [bend] ← ∂L/∂b ← [last] ← G
""")
show(picture, "forward and backward")

# %% [markdown]
# `backward` of each module takes two arguments: the input that this module had on the
# way forward, and the gradient at its output. **Predict:** in which order must you call
# the three `backward`s, with which inputs, and what are the shapes of the three
# results? (G is random here; any ∂L/∂y will do.)
#
# **Step in here:** the loop of `minivae.nn.sequential.Sequential.backward`. Look at
# `module` and at `grad_output.shape` as they change.

# %%
G = random.standard_normal((3, 2)).astype("float32")
net.forward(x)
grad_input = net.backward(x, G).copy()

# %%
grad_b = last.backward(bend.output, G)
grad_a = bend.backward(first.output, grad_b)
grad_x = first.backward(x, grad_a)
print(grad_b.shape, grad_a.shape, grad_x.shape)
print(np.abs(grad_x - grad_input).max())

# %% [markdown]
# The last module comes first. Each needs its input once more, and that is the `output`
# buffer of the module before it. This is why a module keeps its output until its next
# call.

# %%
claim("by hand and by Sequential are the same", np.array_equal(grad_x, grad_input))
claim("∂L/∂b has the shape of b", grad_b.shape == bend.output.shape == (3, 5))

# %% [markdown]
# ## Side by side: tables
# Some modules have several outputs. The encoder of a VAE, for instance, gives a mean
# and a spread (tutorial 06). Several arrays together are a **table**; in Python it is a
# tuple. Two containers deal with tables:
#
# - `ConcatTable` gives *one* input to several modules. Its output is the table of
#   theirs.
# - `ParallelTable` gives *each entry* of a table to a module of its own.
#
# The model below has two outputs of two columns. The second shall be positive, as a
# spread must be. `SoftPlus`, ln(1 + eˣ), sees to that; `Identity` does nothing.

# %%
picture = boxes("""
x → [Linear] → [Tanh] → hidden → [Linear | Linear] \
→ a | b → [Identity | SoftPlus] → mean | spread
""")
show(picture, "a model with two outputs")

# %%
heads = nn.ConcatTable(nn.Linear(5, 2), nn.Linear(5, 2))
ends = nn.ParallelTable(nn.Identity(), nn.SoftPlus())
fork = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), heads, ends)
mean, spread = fork.forward(x)
mean_at_first = mean.copy()
print(mean, spread, sep="\n")

# %%
claim("both outputs have a row for each input", mean.shape == spread.shape == (3, 2))
claim("the spread is positive", spread.min() > 0)

# %% [markdown]
# On the way back, a table of gradients comes in, one for each output. `hidden` went to
# both heads, and each head says how L depends on it. **Predict:** how do the two
# answers become one?

# %%
hidden = fork[1].output  # fork[1] is the Tanh
table = (G, -2 * G)
together = heads.backward(hidden, table).copy()
by_head_0 = heads[0].backward(hidden, table[0])
by_head_1 = heads[1].backward(hidden, table[1])
print(np.abs(together - (by_head_0 + by_head_1)).max())

# %% [markdown]
# They are added. Move an entry of `hidden` by δ: then L moves because of the first
# head, and it moves because of the second head, and the two effects add up.

# %%
claim(
    "where a value goes two ways, its gradients add up",
    np.allclose(together, by_head_0 + by_head_1, atol=1e-6),
)

# %% [markdown]
# ## One module, with names inside
# The whole model is a module, so the gradient check of tutorial 02 takes it as it is.

# %%
report = mv.gradcheck(fork, x)
print(report)

# %% [markdown]
# Each parameter has its **path** as a name: "2.1.weight" is the weight of number 1 in
# number 2. The printed model has the same numbers. They count from 0.

# %%
print(fork)

# %% [markdown]
# `state_dict` gives a copy of all parameters, each under its path. `load_state_dict`
# writes such a copy back.

# %%
state = fork.state_dict()
print(list(state))

# %%
claim("the gradient check passes for the whole model", report.ok)
claim(
    "it checks the input and every parameter by its path",
    [check.name for check in report.checks] == ["input", *state],
)

# %% [markdown]
# ## All parameters in one vector
# To learn, it is best to see the model as one function of one vector. `get_parameters`
# moves all parameters into one array, **flat**. Each weight becomes a **view** of its
# part of flat: it is the same memory, seen in another shape. `flat_grad` holds the
# gradients in the same order. **Predict:** how long is flat?

# %%
flat, flat_grad = fork.get_parameters()
sizes = {path: array.size for path, array in state.items()}
print(len(flat), sizes)


# %%
def draw(axes):
    start = 0
    for k, (path, size) in enumerate(sizes.items()):
        axes.barh(0, size, left=start, height=0.5, color=("#9ecae1", "#fdd0a2")[k % 2])
        turn = 90 if size < 8 else 0
        axes.text(start + size / 2, 0, path, ha="center", va="center", rotation=turn)
        start += size
    axes.set(yticks=[], ylim=(-0.5, 0.5), xlim=(0, len(flat)))
    axes.grid(visible=False)


show(plot("The vector flat", "position in flat", "", draw, size=(9, 2.2)), "flat")

# %% [markdown]
# 4·5 + 5 numbers in the first layer and 5·2 + 2 in each head make 49.

# %%
claim("flat holds all 49 parameters", len(flat) == 4 * 5 + 5 + 2 * (5 * 2 + 2) == 49)
claim(
    "the weights live in flat",
    all(np.shares_memory(flat, array) for array in fork.parameters()[0]),
)
claim(
    "the gradients live in flat_grad",
    all(np.shares_memory(flat_grad, array) for array in fork.parameters()[1]),
)

# %% [markdown]
# **Predict:** write 0 into all of flat. What does the model give then, for any input?

# %%
flat[...] = 0
mean, spread = fork.forward(x)
print(mean, spread, sep="\n")

# %% [markdown]
# The heads give 0 for everything. So the mean is 0. The spread is ln(1 + e⁰), which is
# ln 2 = 0.69. Writing into flat *is* writing into the weights.

# %%
claim("with flat = 0 the mean is 0", (mean == 0).all())
claim("and the spread is ln 2", np.allclose(spread, np.log(2)))

# %%
fork.load_state_dict(state)
restored, _ = fork.forward(x)
claim(
    "load_state_dict brings the outputs back",
    np.allclose(restored, mean_at_first, atol=1e-5),
)
claim(
    "flat has them too",
    np.array_equal(flat[:20].reshape(5, 4), state["0.weight"]),
)

# %% [markdown]
# ## A deliberate mistake: a new array in place of a weight
# All this holds as long as you write *into* a weight. **Predict:** what happens to flat
# if you assign a new array?

# %%
fork[0].weight[...] = 1  # writes into the weight
inside = flat[:20].copy()
fork[0].weight = np.full((5, 4), 2, dtype="float32")  # the mistake
left_behind = flat[:20].copy()
print("after writing into the weight:", inside[:4])
print("after assigning a new array:  ", left_behind[:4])

# %% [markdown]
# flat still holds 1, while the model computes with 2. Whoever learns on flat now
# changes a vector that nobody reads, and NumPy raises no error. Two things find it. You
# can ask whether the two share memory. And minivae's optimisers find it, when you give
# them flat and a function that runs the model. `sgd` is one; tutorial 04 explains it.
# Its third argument is a dict of options, here empty.


# %%
def complaint(action):
    """The message of the error that an action raises."""
    try:
        action()
    except MinivaeError as error:
        return str(error)
    return "no complaint"


def run_model(flat):
    fork.zero_grad_parameters()
    fork.forward(x)
    fork.backward(x, table)
    return 0.0, flat_grad  # the loss does not matter here


out_of_date = complaint(lambda: sgd(run_model, flat, {}))
print(out_of_date)

# %%
claim("writing into a weight changes flat", (inside == 1).all())
claim("assigning a new array does not", (left_behind == 1).all())
claim("the two share no memory", not np.shares_memory(flat, fork[0].weight))
claim("minivae's optimisers refuse such a flat", "no longer the model's" in out_of_date)

# %% [markdown]
# A new `get_parameters` makes things whole, with a new vector.
#
# One more thing about Python: `weight *= 2` looks like an assignment, and is one. But
# first NumPy doubles the numbers where they are, and what is then assigned to `weight`
# is the same array again. So `*=`, `+=` and `-=` write into a weight, as `[...] =`
# does.

# %%
new_flat, _ = fork.get_parameters()
claim("the new flat holds the new weight", (new_flat[:20] == 2).all())
fork[0].weight *= 2
claim("*= writes into the weight", (new_flat[:20] == 4).all())

# %% [markdown]
# ## For later: one weight, used twice
# Two modules can use the same weights. A module cannot stand in a container twice,
# because it has only one output buffer. But a **clone** of it has buffers of its own,
# and may **share** weight and bias with the original.

# %%
layer = nn.Linear(4, 4)
partner = layer.clone(share=("weight", "bias"))
tied = nn.Sequential(layer, nn.Tanh(), partner)

# %% [markdown]
# **Predict:** is flat 20 or 40 numbers long? And is the gradient of the shared weight
# that of the first use, of the second, or something else?

# %%
tied_flat, _ = tied.get_parameters()
G4 = random.standard_normal((3, 4)).astype("float32")
tied.forward(x)
tied.backward(x, G4)
first_use = tied[1].grad_input.T @ x  # Gᵀ x, with this layer's own G and input
second_use = G4.T @ tied[1].output
print(len(tied_flat), list(tied.state_dict()))
print(np.abs(layer.grad_weight - (first_use + second_use)).max())

# %% [markdown]
# 20: what is shared counts once, though `state_dict` lists it at both paths. Its
# gradient is the sum over both uses. Each of the two layers adds its own Gᵀ x to the
# same array, because gradients accumulate (tutorial 01).

# %%
claim("shared parameters count once in flat", len(tied_flat) == 4 * 4 + 4)
claim("state_dict lists them twice", len(tied.state_dict()) == 4)
claim(
    "the gradient is the sum over both uses",
    np.allclose(layer.grad_weight, first_use + second_use, atol=1e-5),
)

# %% [markdown]
# ## For later: errors that name the place
# In a model of many layers, "shapes do not match" helps little. minivae's errors name
# the module by its path, what came and what was wanted. **Predict:** who complains in
# each of these three cases, and of what?

# %%
wrong_width = nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Tanh(), nn.Linear(4, 2)))
no_table = nn.Sequential(nn.Linear(4, 5), nn.ParallelTable(nn.Tanh(), nn.Tanh()))
about_width = complaint(lambda: wrong_width.forward(x))
about_table = complaint(lambda: no_table.forward(x))
about_twice = complaint(lambda: net.add(first))

# %%
print(about_width)
print(about_table)
print(about_twice)

# %%
claim(
    "number 1 in number 1 wanted 4 columns",
    "1.1 Linear(4 -> 2): input has shape (3, 5)" in about_width,
)
claim(
    "number 1 wanted a table and got an array",
    "1 ParallelTable: input is an array" in about_table,
)
claim("a module stands in a container once", "is in it already" in about_twice)

# %% [markdown]
# ## In three sentences
# A container is a module made of modules: `Sequential` chains them, `ConcatTable` gives
# one input to several, `ParallelTable` gives each entry of a table to one. Backward
# runs through them from the end, each module with its own input, and where a value goes
# two ways its gradients are added. `get_parameters` puts all parameters into one vector
# of which the weights are views, so write into weights and never replace them.
#
# ## Test yourself
# 1. Why does `backward` of a `Linear` need the input of the forward pass, while that of
#    a `Tanh` can do with its own output?
# 2. A `ConcatTable` holds the same kind of layer three times, and all three get the
#    same grad_output. Is its grad_input three times that of one of them?
# 3. After `model[0].weight *= 2`, is flat still right? And after `model[0].weight = 2 *
#    model[0].weight`?
#
# The answers are in [ANSWERS.md](ANSWERS.md#03-stack-layers).
#
# # Next: 04 Learn with Adam
# An optimiser walks the one vector downhill.
