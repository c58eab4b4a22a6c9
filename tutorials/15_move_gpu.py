# %% [markdown]
# # 15 Move to the GPU
# **What changes in a model when its numbers live on a graphics card?** Needs: 01 to 04; its last cell borrows two
# layers of 05 and 06. About 30 minutes. No graphics card is needed: without one, all runs on NumPy and says so.
#
# A **GPU** is the processor of a graphics card: thousands of small arithmetic units with a memory of their own, the
# **device**. The computer around it, where Python and NumPy live, is the **host**. **CuPy** is a library with NumPy's
# functions for an NVIDIA GPU. minivae calls either library a **backend**. **Predict:** which one can work here?

# %%
from pathlib import Path

import numpy as np

import minivae as mv
from minivae import backend, data, nn, optim
from minivae.errors import MinivaeError


def complaint(function):
    """The text of the error that a call ends in, or "" if it ends well."""
    try:
        function()
    except (MinivaeError, TypeError) as error:
        return str(error)
    return ""
works, reason = backend.available("cupy")  # finds out by doing: imports, counts devices, multiplies, draws
device = backend.use("auto")  # CuPy where it works, else NumPy, with one line that says why
print(device, reason or "CuPy works here", refused := complaint(lambda: backend.use("cupy")), sep="\n")

# %% [markdown]
# `use` sets the backend of the modules and data made from now on; `current` tells it. Who asks for "cupy" by name gets
# it, or an error with the reason: never a slow run that you take for a fast one.
#
# ## Two doors
# Numbers do not move between host and device by themselves. `from_numpy` carries an array in, `to_numpy` out.
# **Predict:** is `there` a copy of `host`, or the same array?

# %%
host = np.arange(6, dtype="float32").reshape(2, 3)
there = backend.from_numpy(host)
back = backend.to_numpy(there)
print(type(there), there is host)

# %% [markdown]
# On a GPU it is a copy in another memory. On NumPy the doors lead from the host to the host: the very same array.
#
# ## Move a model
# `model.cuda()` moves the parameters to CuPy, `model.cpu()` to NumPy, `model.to(name)` wherever you say.
# **Predict:** we take the flat vector of parameters, then move. Will Adam still train the model through the old vector?

# %%
mv.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
flat, _ = model.get_parameters()
before = model.state_dict()  # copies on the host, wherever the model is
model.to(device)
print(stale := complaint(lambda: optim.adam(lambda x: (0.0, x), flat, {})))

# %% [markdown]
# The weights are the same to the last bit, but in new memory, and the old vector is nobody's: Adam refuses it. Move
# first, then call `get_parameters`. **Step in here:** `minivae.nn.copying.convert`; watch `converted` fill.
#
# ## A layer asks for its library
# How can one layer run on both? It never says `np`. It says `self.xp`, which is NumPy or CuPy, and takes its arrays
# from `self.buffer`. Here is softsign, y = x / (1 + |x|), with ∂L/∂x = ∂L/∂y / (1 + |x|)².

# %%
def softsign(xp, x):
    return x / (1 + xp.abs(x))
def derivative(xp, x, grad):
    return grad / ((1 + xp.abs(x)) * (1 + xp.abs(x)))
class Softsign(nn.Module):
    def update_output(self, input):
        self.output = self.buffer("output", input.shape)
        return backend.elementwise(softsign, input, out=self.output)
    def update_grad_input(self, input, grad_output):
        self.grad_input = self.buffer("grad_input", input.shape)
        return backend.elementwise(derivative, input, grad_output, out=self.grad_input)

layer = Softsign()
y = backend.to_numpy(layer.forward(there))
print(y, layer.xp.__name__, mv.gradcheck(Softsign(), host + 1), sep="\n")  # + 1: away from the corner of |x|

# %% [markdown]
# Each equation is written once, as a function of (library, arrays), and `backend.elementwise` runs it: on NumPy in
# blocks that fit the processor's cache, on CuPy as one **kernel**, a small program for all elements at once. For that,
# CuPy calls the function with stand-ins and notes what is done; so does minivae for a C compiler, and so can we:

# %%
class Noted:
    """Stands for an array, and notes what is done to it; as a library, it has `abs`."""
    def __init__(self, text):
        self.text = text
    def __radd__(self, number):
        return Noted(f"({number} + {self.text})")
    def __truediv__(self, other):
        return Noted(f"{self.text} / {other.text}")
    abs = staticmethod(lambda x: Noted(f"|{x.text}|"))

print(note := softsign(Noted, Noted("x")).text)
long = np.random.default_rng(0).standard_normal(300_000)  # three blocks
in_blocks = backend.elementwise(softsign, long, out=np.empty_like(long))

# %% [markdown]
# ## Two mistakes
# Write `np.abs` for `xp.abs`, and on NumPy nothing changes. What catches it without a GPU? A strict stand-in, such as
# `Noted`. And an array that has not gone through the door, or a list, is refused by the first line of most layers,
# `self.expect("input", input)`, here that of `Tanh`.

# %%
def careless(xp, x):
    return x / (1 + np.abs(x))

forgiven = np.array_equal(careless(np, host), softsign(np, host))
caught = complaint(lambda: careless(Noted, Noted("x")))
turned_away = complaint(lambda: nn.Tanh().forward(host if device == "cupy" else host.tolist()))
print(caught, turned_away, sep="\n")

# %% [markdown]
# ## What runs where
# Weights are drawn on the host: a seed gives the same model on either backend. Noise is drawn where the arrays are.
# `Batches` carries all pixels through the door once. A loss on a device is an array there; `float(loss)` waits for it.

# %%
twins = []
for name in (device, "numpy", device):
    backend.use(name)
    mv.manual_seed(7)
    twins.append(nn.Linear(3, 2).state_dict()["weight"])
sampler, batches = nn.GaussianSampler(), data.Batches(data.rectangles(10), batch_size=4)
loss = nn.BCEWithLogitsCriterion().forward(sampler.forward((there, there)), backend.from_numpy(host * 0))

# %% [markdown]
# ## One launch
# To start a kernel, a **launch**, takes Python 10 to 40 µs, however little it computes. A step of `aevb` in batches of
# 128 is 61 kernels: an H200 computes for 0.17 ms, and the launches take 2.1 ms. CUDA puts a step down as a **graph**,
# its kernels with arrays and numbers, and launches it at once: then a step takes 0.19 ms. `Training` does so by itself.
# **Predict:** a step adds 1/t, t = 1, 2, 3. We put down step 1 and replay it three times. What is the sum?

# %%
def recorded(size):  # a step as a graph: (kernel, what it was given)
    return [(lambda given: np.add(total, given, out=total), size)]
def replay(graph):
    for kernel, given in graph:
        kernel(given)
total, size = np.zeros(()), np.zeros(())
for _ in range(3):
    replay(recorded(1 / 1))
baked_in = float(total)
total[...], graph = 0, recorded(size)  # now it has been given the array, not the number in it
for t in (1, 2, 3):
    size[...] = 1 / t
    replay(graph)
print(baked_in, total)

# %% [markdown]
# 3, where 1 + 1/2 + 1/3 was meant: a graph repeats the numbers that it was given. So what another step has another of,
# such as Adam's step size and the images of the batch, goes through `backend.varying` into an array on the device that
# one copy fills before each replay. When anything else changes, `Training` records anew. **Step in here:**
# `minivae.backend.recording.Recording`, and `varying` in `minivae.optim.adam`.

# %% What we claimed
assert baked_in == 3 and abs(float(total) - 11 / 6) < 1e-15
assert device == backend.current() == ("cupy" if works else "numpy") and bool(reason) == bool(refused) == (not works)
assert reason in refused and np.array_equal(back, host) and (there is host) == (device == "numpy")
assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
assert "no longer the model's" in stale and backend.name_of(model.get_parameters()[0]) == device
assert layer.xp.__name__.endswith(device) and np.allclose(y, host / (1 + np.abs(host)))
assert mv.gradcheck(Softsign(), host + 1).ok
assert not any("\nimport numpy" in file.read_text(encoding="utf-8") for file in Path(nn.__file__).parent.glob("*.py"))
assert note == "x / (1 + |x|)" and np.array_equal(in_blocks, softsign(np, long))
assert forgiven and caught and f"expected an array of {device}" in turned_away
assert np.array_equal(twins[0], twins[1]) and isinstance(loss, float) == (device == "numpy")
assert {backend.name_of(each) for each in (there, sampler.noise, batches.pixels, batches.next())} == {device}
assert all(isinstance(array, np.ndarray) for array in before.values()) and bool(complaint(model.cuda)) == (not works)
assert backend.name_of(model.cpu().get_parameters()[0]) == "numpy"

# %% [markdown]
# Next: 16 Write a layer of your own, with a parameter, that keeps every promise of the others.
