# %% [markdown]
# # 15 Move to the GPU
# **What changes in a model when its numbers live on a graphics card?**
#
# Needs: 01 to 04; one cell borrows a sampler of 06. About 50 minutes. No graphics card
# is needed: without one, all of it runs on NumPy and says so.
#
# A **GPU** is the processor of a graphics card: thousands of small arithmetic units
# with a memory of their own. Together they are called the **device**. The computer
# around it, where Python and NumPy live, is the **host**. **CuPy** is a library with
# NumPy's functions for the GPUs of NVIDIA. minivae calls either library a **backend**.

# %%
import time

import numpy as np
from lesson import boxes, claim, plot, show

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


# %% [markdown]
# ## Which one can work here?
# `backend.available` finds out by doing: it imports CuPy, counts devices, multiplies
# two matrices and draws a number. **Predict:** what will it answer on your machine?

# %%
works, reason = backend.available("cupy")
print("CuPy works here" if works else f"CuPy does not work here: {reason}")
device = backend.use("auto")  # CuPy where it works, else NumPy
print("this lesson runs on", device)

# %% [markdown]
# `use` sets the backend of the modules and data that are made from now on, and
# `backend.current()` tells which one it is. With "auto" minivae may choose. If you ask
# for "cupy" by name, you get CuPy or an error that gives the reason. You never get a
# slow run on NumPy that you take for a fast one.

# %%
refused = complaint(lambda: backend.use("cupy"))
print(refused or "cupy is in use")

# %%
claim("CuPy is refused only where it does not work", bool(refused) == (not works))
claim("a refusal gives the reason", (reason or "") in refused)
claim("the backend in use is the one that was chosen", backend.current() == device)

# %% [markdown]
# ## Two doors
# The host cannot see the device's memory, and numbers do not move by themselves. They
# are carried through one of two doors.

# %%
doors = boxes("""
host: NumPy → [from_numpy] → device: CuPy
host: NumPy ← [to_numpy] ← device: CuPy
""")
show(doors, "two doors between two memories")

# %% [markdown]
# **Predict:** is `there` a copy of `host`, or the same array?

# %%
host = np.arange(6, dtype="float32").reshape(2, 3)
there = backend.from_numpy(host)
back = backend.to_numpy(there)
print(type(there))
print("the same array:", there is host)

# %% [markdown]
# On a GPU it is a copy in another memory. On NumPy both doors lead from the host to the
# host, and nothing is copied. So the same program is right on either backend, and on
# NumPy the doors cost nothing.

# %%
claim("through both doors a number comes back as it was", np.array_equal(back, host))
claim("only a GPU makes a copy", (there is host) == (device == "numpy"))

# %% [markdown]
# ## Move a model
# `model.cuda()` moves the parameters to CuPy, `model.cpu()` moves them to NumPy, and
# `model.to(name)` moves them wherever you say.
#
# Recall from 04 that Adam works on the flat vector that `get_parameters` returns. We
# take that vector, and then move the model. **Predict:** will Adam still train the
# model through the vector that we have?

# %%
mv.manual_seed(0)
model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
flat, _ = model.get_parameters()
before = model.state_dict()  # copies on the host, wherever the model is
model.to(device)
stale = complaint(lambda: optim.adam(lambda x: (0.0, x), flat, {}))
print(stale)

# %% [markdown]
# The weights are the same to the last bit, but they stand in new memory. That is so
# even from NumPy to NumPy: a door hands on the array that it gets, but `to` always
# copies. Nobody reads the old vector any more, so Adam refuses it: a step on it would
# change nothing. First move, then call `get_parameters`.
#
# **Step in here:** `minivae.nn.copying.convert`, and watch `moved` fill.

# %%
after = model.state_dict()
same = all(np.array_equal(before[name], after[name]) for name in before)
claim("to move changes no bit of a weight", same)
claim("Adam refuses the old vector", "no longer the model's" in stale)

# %% [markdown]
# ## A layer asks for its library
# How can one layer run on both? Its code never says `np`. Its formula takes the library
# as an argument, `xp`. Its results go into arrays from `self.buffer`, which are made
# where the layer lives. Here is **softsign**:
#
#     y = x / (1 + |x|)          ∂L/∂x = ∂L/∂y / (1 + |x|)²


# %%
def softsign(xp, x):
    return x / (1 + xp.abs(x))


def derivative(xp, x, grad):
    below = 1 + xp.abs(x)
    return grad / (below * below)


# %%
class Softsign(nn.Module):
    def update_output(self, input):
        self.output = self.buffer("output", input.shape)
        return backend.elementwise(softsign, input, out=self.output)

    def update_grad_input(self, input, grad_output):
        self.grad_input = self.buffer("grad_input", input.shape)
        return backend.elementwise(derivative, input, grad_output, out=self.grad_input)


layer = Softsign()
y = backend.to_numpy(layer.forward(there))
print(y)
print("its library:", layer.xp.__name__)

# %%
claim("the layer took its library from the backend", layer.xp.__name__.endswith(device))
claim("it computes softsign", np.allclose(y, host / (1 + np.abs(host))))
away_from_the_corner = host + 1  # of |x| at 0
report = mv.gradcheck(Softsign(), away_from_the_corner)
claim("its backward pass is right", report.ok)

# %% [markdown]
# ## From a formula to a kernel
# A program that the device runs on all elements at once is called a **kernel**. Written
# as above, softsign would be three kernels: one for |x|, one for 1 + that, one for the
# quotient. Each reads an array and writes another. `backend.elementwise` makes one
# kernel of them, which reads x and writes y.
#
# To do so, it must know what the formula does. It calls the formula with stand-ins for
# x and for the library, which note what is done to them. We can do the same.


# %%
class Noted:
    """Stands for an array and notes what is done to it; as a library, it has `abs`."""

    def __init__(self, text):
        self.text = text

    def __radd__(self, number):
        return Noted(f"({number} + {self.text})")

    def __truediv__(self, other):
        return Noted(f"{self.text} / {other.text}")

    abs = staticmethod(lambda x: Noted(f"|{x.text}|"))


note = softsign(Noted, Noted("x")).text
print(note)

# %% [markdown]
# From such a note minivae writes C for the processor, and CuPy writes a kernel for the
# GPU. Without a C compiler NumPy computes the formula in blocks that fit the
# processor's cache. The equation is written once.

# %%
claim("the stand-ins note the whole formula", note == "x / (1 + |x|)")
long = np.random.default_rng(0).standard_normal(300_000)
plain = softsign(np, long)
compiled = backend.elementwise(softsign, long, out=np.empty_like(long))
claim("compiled, or in blocks, it is the same function", np.allclose(compiled, plain))

# %% [markdown]
# ## A deliberate mistake: np for xp
# Someone writes `np.abs` in place of `xp.abs`. **Predict:** what happens on NumPy? And
# what could notice the mistake on a machine without a GPU?


# %%
def careless(xp, x):
    return x / (1 + np.abs(x))


forgiven = np.array_equal(careless(np, host), softsign(np, host))
caught = complaint(lambda: careless(Noted, Noted("x")))
print("the same numbers on NumPy:", forgiven)
print("with a stand-in:", caught)

# %% [markdown]
# On NumPy nothing is wrong. A strict stand-in, which is no NumPy array, notices it at
# once. minivae's tests run all layers on such a stand-in for CuPy.
#
# The other mistake of this kind is an array that has not gone through the door. The
# first line of most layers, `self.expect("input", input)`, refuses it.

# %%
not_through_the_door = host if device == "cupy" else host.tolist()
turned_away = complaint(lambda: nn.Tanh().forward(not_through_the_door))
print(turned_away)

# %%
claim("NumPy forgives the mistake", forgiven)
claim("a strict stand-in does not", bool(caught))
claim("what is no array of the backend is turned away", bool(turned_away))

# %% [markdown]
# ## What is drawn where
# Weights are drawn on the host, always. **Predict:** does a seed then give the same
# weights on both backends?

# %%
drawn = []
for name in ("numpy", device):
    backend.use(name)
    mv.manual_seed(7)
    drawn.append(nn.Linear(3, 2).state_dict()["weight"])
print(drawn[1])

# %% [markdown]
# It does. Noise, of which every step needs much, is drawn where the arrays are, so that
# it need not travel. Its numbers differ from one backend to the other. `Batches`
# carries all images through the door once, at the start. A loss on a device is an array
# there, and `float(loss)` waits until it has been computed: do not ask for it in every
# step.

# %%
sampler = nn.GaussianSampler()
z = sampler.forward((there, there))
batches = data.Batches(data.rectangles(10), batch_size=4)
x = batches.next()

# %%
claim("a seed gives the same weights on both", np.array_equal(*drawn))
where = {backend.name_of(array) for array in (z, sampler.noise, x)}
claim("codes, noise and batches are where the backend is", where == {device})

# %% [markdown]
# ## A call has a price of its own
# How long does it take to add two arrays? **Predict:** arrays of 1,000 numbers against
# arrays of one number: how many times as long? We measure it on your machine.

# %%
sizes = [10**k for k in range(7)]
microseconds = []
for size in sizes:
    a = np.ones(size, dtype="float32")
    out = np.empty_like(a)
    taken = []
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(5):
            np.add(a, a, out=out)
        taken.append((time.perf_counter() - start) / 5)
    microseconds.append(1e6 * min(taken))
    print(f"{size:9,} numbers {microseconds[-1]:9.2f} µs")


# %%
def draw_calls(axes):
    axes.loglog(sizes, microseconds, "o-")


show(plot("Time of one addition", "numbers", "µs", draw_calls), "price of a call")

# %% [markdown]
# At the left the curve is flat. There the time is that of the call itself, whatever it
# computes. It grows only where the numbers take longer than the call.
#
# On a GPU the flat part is higher and much longer. To start a kernel, a **launch**,
# takes Python 10 to 40 µs. Meanwhile the device could add millions of numbers. While it
# computes, Python prepares the next launch, so the slower of the two decides how long a
# step takes.
#
# A training step of 784-400-20 in batches of 128 launches about 60 kernels. The picture
# shows the first of them, with 34 µs a launch and 3 µs a kernel.

# %%
LAUNCH, KERNEL = 34, 3  # µs


def draw_timeline(axes):
    launches = [(LAUNCH * k, LAUNCH - 3) for k in range(6)]
    kernels = [(LAUNCH * (k + 1), KERNEL) for k in range(6)]
    axes.broken_barh(launches, (1.1, 0.6), color="#1b4965")
    axes.broken_barh(kernels, (0.1, 0.6), color="#b8860b")
    axes.set(yticks=[0.4, 1.4], yticklabels=["device", "host"], ylim=(-0.1, 1.9))


show(
    plot("Six kernels, launched one by one", "µs", "", draw_timeline, (8, 2.5)),
    "the device waits",
)

# %% [markdown]
# The device waits nine tenths of the time. That was a sketch; here is what was measured
# on an H200, in milliseconds a step, launched kernel by kernel and as one launch (the
# next section), with 128 and 4,096 images a batch. **Predict:** with 32 times as many
# images, how many times as long does each take?

# %%
ROWS = (128, 4096)
ONE_BY_ONE = (2.07, 2.45)  # ms: tests/benchmarks/RESULTS.md, GPU, 784-400-20
ONE_LAUNCH = (0.19, 0.74)
for rows, slow, fast in zip(ROWS, ONE_BY_ONE, ONE_LAUNCH):
    print(f"{rows:5} images: {slow} ms one by one, {fast} ms as one launch")
print(f"longer by ×{ONE_BY_ONE[1] / ONE_BY_ONE[0]:.1f}", end=" ")
print(f"and ×{ONE_LAUNCH[1] / ONE_LAUNCH[0]:.1f}")

# %% [markdown]
# Launched one by one, 32 times the work takes hardly longer: at 128 images the time
# goes to launches, not to mathematics. As one launch it takes four times as long, not
# 32 times, because a larger product uses more of the device's arithmetic units at once.

# %%
share = 1 - ONE_LAUNCH[0] / ONE_BY_ONE[0]
claim("at 128 images more than nine tenths of a step were launches", share > 0.9)

# %% [markdown]
# ## One launch for a whole step
# A training step does the same things again and again. CUDA, NVIDIA's system for
# programming its GPUs, can write a step down as a **graph**: its kernels in order, each
# with the arrays and numbers that it was given. From then on one launch runs all of
# them.

# %%
picture = boxes("""
one step → [60 launches] → 60 kernels, and a graph
every later step → [one launch] → the same 60 kernels
""")
show(picture, "record once and replay")

# %% [markdown]
# We build a small one. Our "kernels" are Python functions, and a graph is a list of
# them with what they were given.


# %%
class Graph:
    """What a step has done: (kernel, what it was given)."""

    def __init__(self):
        self.calls = []

    def launch(self, kernel, *given):
        """Launch a kernel, and note it."""
        self.calls.append((kernel, given))
        kernel(*given)

    def replay(self):
        for kernel, given in self.calls:
            kernel(*given)


def add_to(total, number):
    """A kernel: adds a number, or the number that an array holds."""
    total += number


# %% [markdown]
# ## A deliberate mistake: the number of the first step
# Our step number t adds 1/t to a total. So after three steps it is 1 + 1/2 + 1/3. We
# record the first step and replay it twice. **Predict:** what is the total?

# %%
total = np.zeros(1)
graph = Graph()
t = 1
graph.launch(add_to, total, 1 / t)
t = 2
graph.replay()
t = 3
graph.replay()
wrong = total[0]
print(f"{wrong:.4f} by replays, {1 + 1 / 2 + 1 / 3:.4f} wanted")

# %% [markdown]
# It is 3. The graph holds the number 1, which it was given, and knows nothing of t.
# Adam's step size is such a number (04), and so are the places of the images that a
# batch takes.
#
# The remedy is an array. The graph is given the array, and before each replay we write
# the step's number into it.

# %%
total = np.zeros(1)
graph = Graph()
size = np.ones(1)
graph.launch(add_to, total, size)
for t in (2, 3):
    size[0] = 1 / t
    graph.replay()
right = total[0]
print(f"{right:.4f}")

# %% [markdown]
# In minivae such a number goes through `backend.varying(function, like)`. When a step
# is recorded, it returns an array on the device in place of the number. Before each
# replay it calls the function again and writes what it gives into the array. One copy
# fills all of them.
#
# What detects a number that somebody forgot? The comparison that we have just made:
# `tests/benchmarks/gpu_check.py` replays 50 steps of every model, launches 50 others
# kernel by kernel, and wants the same bits.

# %%
claim("a replay repeats the number of the first step", wrong == 3)
claim("from an array it takes the number of its own", abs(right - 11 / 6) < 1e-12)

# %% [markdown]
# ## The other trap: another array
# **Predict:** what does the replay do here, after `total` has become another array?

# %%
first = np.zeros(1)
total = first
graph = Graph()
graph.launch(add_to, total, 1.0)
total = np.zeros(1)  # another array under the same name
graph.replay()
print("the new array:", total[0])
print("the old array:", first[0])

# %% [markdown]
# A graph knows arrays, not names. It has added to the old one. So a recording is good
# only as long as every layer keeps its buffers, its sizes and its mode. `Training`
# looks before each step whether something has become another. Then it takes a step
# kernel by kernel, and records anew once nothing changes any more.
#
# **Step in here:** `minivae.backend.cuda_graph.Recording` (without a GPU: read it), and
# `varying` in `minivae.optim.adam`.

# %%
claim("the new array has got nothing", total[0] == 0)
claim("the old one has got both steps", first[0] == 2)

# %% [markdown]
# ## In three sentences
# The host and the device have memories of their own, numbers pass through two doors,
# and a layer runs on both because it asks for its library. A kernel is cheap and a
# launch is dear, so a step of a small network takes ten times as long as its
# mathematics. Recorded as a graph it is one launch, which repeats the arrays and
# numbers that it was given: what changes from step to step must go through an array.
#
# ## Test yourself
# 1. Why does Adam refuse the vector that you took before `model.cuda()`?
# 2. A step with 4,096 images takes hardly longer than one with 128. What does that tell
#    you about the step with 128?
# 3. You change the learning rate after a thousand steps that were replayed. What must
#    happen so that the next step uses it?
#
# The answers are in [ANSWERS.md](ANSWERS.md#15-move-to-the-gpu).
#
# # Next: 16 Write a layer
# You now know where a layer's arrays live. Next you write one of your own, with all
# that a layer must do.
