# %% [markdown]
# # 03 Stack layers
# **How do many layers become one model, with one backward pass and one gradient?** Needs: 01 and 02. About 25 minutes.
#
# A layer, and anything made of layers, is a **module**: it has `forward` and `backward`. A **container** is a module
# made of modules. The first is `Sequential`: what comes out of one module goes into the next. Between two `Linear`s
# stands a bent function such as tanh, an **activation**; without it, the two would be no more than one `Linear`.

# %%
import numpy as np

import minivae as mv
from minivae import nn
from minivae.errors import MinivaeError
from minivae.optim import sgd

mv.manual_seed(0)
random = np.random.default_rng(0)
x = random.standard_normal((3, 4)).astype("float32")
first, bend, last = nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)
net = nn.Sequential(first, bend, last)
y = net.forward(x).copy()
one_by_one = last.forward(bend.forward(first.forward(x))).copy()
print(y - one_by_one)

# %% [markdown]
# Forward, a Sequential is nothing but f₂(f₁(f₀(x))). Backward, the chain rule runs the other way: the grad_input of a
# module is the grad_output of the one before it. **Predict:** in which order would you call the three `backward`s, and
# with which inputs? (G is random: any ∂L/∂y will do.) **Step in here:** the loop of
# `minivae.nn.sequential.Sequential.backward`. Watch `module` and `grad_output.shape` change.

# %%
G = random.standard_normal((3, 2)).astype("float32")
grad_input = net.backward(x, G).copy()
grad, shapes = G, [G.shape]
for module, its_input in ((last, bend.output), (bend, first.output), (first, x)):
    grad = module.backward(its_input, grad)
    shapes.append(grad.shape)
print(shapes, np.abs(grad - grad_input).max())

# %% [markdown]
# The last module comes first, and each wants the input that it had on the way forward, which is the `output` buffer
# of the one before. That is why a module keeps its output until the next call.
#
# ## Tables
# A module may have several outputs: a **table**, in Python a tuple. `ConcatTable` gives one input to several modules.
# `ParallelTable` gives each entry of a table to a module of its own. Below, one input gives two outputs of two columns,
# the second positive: `SoftPlus` is ln(1 + eˣ), and `Identity` does nothing. **Predict:** which shapes do the outputs
# have, and how do the two grad_inputs become one at the `ConcatTable`?

# %%
heads = nn.ConcatTable(nn.Linear(5, 2), nn.Linear(5, 2))
fork = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), heads, nn.ParallelTable(nn.Identity(), nn.SoftPlus()))
mean, positive = (each.copy() for each in fork.forward(x))
hidden, table = fork[1].output, (G, -2 * G)  # fork[1] is the Tanh
summed = heads.backward(hidden, table)
sum_error = np.abs(summed - sum(heads[k].backward(hidden, table[k]) for k in (0, 1))).max()
print(mean.shape, positive.shape, positive.min(), sum_error)
print(report := mv.gradcheck(fork, x))

# %% [markdown]
# Where a value goes two ways, its derivatives add up: ∂L/∂x = Σₖ ∂L/∂x of fₖ. The gradient check takes the whole model
# as one module, and names every parameter by its **path**: "2.1.weight" is the weight of number 1 in number 2. The
# printed model has the same numbers, counted from 0. `state_dict` is a copy of all parameters, by path;
# `load_state_dict` writes it back.

# %%
print(fork)
print(list(state := fork.state_dict()))

# %% [markdown]
# ## One vector
# To learn, one wants to see the model as one function of one vector. `get_parameters` moves all parameters into one
# array, **flat**, and makes each weight a **view** of its stretch: the same memory, seen in another shape. **Predict:**
# how long is flat, and what does the model give for any input when all of flat is 0?

# %%
flat, flat_grad = fork.get_parameters()
flat[...] = 0
at_zero = np.array(fork.forward(x))
fork.load_state_dict(state)
restored = np.array(fork.forward(x))
grads_too = np.shares_memory(flat_grad, heads[0].grad_bias)
print(len(flat), at_zero[:, 0], restored[:, 0], grads_too)

# %% [markdown]
# 4·5 + 5 + 2 (5·2 + 2) = 49 numbers. All zero, the model says 0 and ln(1 + e⁰) = ln 2 = 0.69 for everything: writing
# into `flat` *is* writing into the weights. `flat_grad` is to the gradients what `flat` is to the weights. This holds
# as long as you write *into* a weight. **Predict:** what happens to `flat` if you assign a new array?

# %%
fork[0].weight[...] = 1
inside = flat[:20].copy()
fork[0].weight = np.full((5, 4), 2, dtype="float32")  # a deliberate mistake
left_behind = flat[:20].copy()
new_flat, _ = fork.get_parameters()
print(inside, left_behind, new_flat[:20], sep="\n")

# %% [markdown]
# The model now has a weight that `flat` knows nothing of: whoever learns on `flat` changes a vector that nobody reads.
# A new `get_parameters` makes things whole, with a new vector; minivae's optimisers (tutorial 04) refuse the old one.
#
# ## Shared parameters
# Two modules can use the same weights. Adding a module twice is an error, because it has one output buffer; a clone
# has buffers of its own and may **share** weight and bias. **Predict:** is flat 20 or 40 long? And is the gradient of a
# shared weight that of the first use, of the second, or something else?

# %%
layer = nn.Linear(4, 4)
tied = nn.Sequential(layer, nn.Tanh(), layer.clone(share=("weight", "bias")))
tied_flat, _ = tied.get_parameters()
G4 = random.standard_normal((3, 4)).astype("float32")
tied.forward(x)
tied.backward(x, G4)
both_uses = tied[1].grad_input.T @ x + G4.T @ tied[1].output  # Gᵀ x of the first use, plus that of the second
shared_error = np.abs(layer.grad_weight - both_uses).max()
print(len(tied_flat), list(tied.state_dict()), shared_error)

# %% [markdown]
# 20: what is shared counts once, though `state_dict` lists it at both paths. Its gradient is the sum over both uses:
# each layer adds its Gᵀ x to the same array, and gradients accumulate.
# ## Errors that name the place
# In a model of many layers, "shapes do not match" helps little. **Predict:** who complains in each line below, and
# of what? (`sgd` is an optimiser, tutorial 04; here it is given a vector that is out of date.)

# %%
messages = []
for mistake in (lambda: nn.Sequential(nn.Linear(4, 5), nn.Sequential(nn.Tanh(), nn.Linear(4, 2))).forward(x),
                lambda: nn.Sequential(nn.Linear(4, 5), nn.ParallelTable(nn.Tanh(), nn.Tanh())).forward(x),
                lambda: net.add(first), lambda: sgd(lambda w: (0.0, flat_grad), flat, {})):
    try:
        mistake()
    except MinivaeError as error:
        messages.append(str(error))
print(*messages, sep="\n")

# %% What we claimed
assert np.array_equal(y, one_by_one) and np.array_equal(grad, grad_input) and shapes == [(3, 2), (3, 5), (3, 5), (3, 4)]
assert mean.shape == positive.shape == (3, 2) and positive.min() > 0 and sum_error < 1e-6 and report.ok
assert [check.name for check in report.checks] == ["input", *state] and "2.1.weight" in state
assert len(flat) == 49 and np.array_equal(restored, (mean, positive)) and grads_too
assert (at_zero[0] == 0).all() and np.allclose(at_zero[1], np.log(2)) and (inside == 1).all()
assert (left_behind == 1).all() and (new_flat[:20] == 2).all()
assert len(tied_flat) == 20 and len(tied.state_dict()) == 4 and shared_error < 1e-6
one = last.weight @ first.weight, last.weight @ first.bias + last.bias  # two Linears without an activation
assert np.allclose(last.forward(first.forward(x)), x @ one[0].T + one[1], atol=1e-6)
parts = "1.1 Linear(4 -> 2): input has shape", "1 ParallelTable: input is an array", "is in it already", "no longer"
assert all(part in message for part, message in zip(parts, messages, strict=True))
# %% [markdown]
# Next: 04 Learn with Adam, which walks the one vector downhill.
