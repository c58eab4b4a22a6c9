# %% [markdown]
# # 19 Share batches
# **What must many processes tell each other to train one model, as if they were one?**
#
# Needs: 10, whose model it trains, and 04 for the step of Adam. About 45 minutes. Only
# the last section wants MPI, the usual way to pass messages between processes (`pip
# install -e ".[mpi]"`). Without it, that section says so and the rest runs.
#
# One computer is slow, but there are others. In **data parallelism** each process,
# which is called a **rank**, has a copy of the model and takes some rows of every
# batch. After the step all copies must be equal again. They should also be equal to
# what a single process would have. We find out what that takes, with two ranks in one
# program.

# %%
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from lesson import FAST, boxes, claim, plot, show

import minivae as mv
from minivae import backend, checkpoint
from minivae.data import Batches, rectangles
from minivae.distributed import Ranks
from minivae.optim import adam

# %%
picture = boxes("""
[rows 0 to 9 | rows 10 to 15] → [rank 0 | rank 1] → [gradient 0 | gradient 1] \
→ [sum] → [step | the same step]
""")
show(picture, "one step on two ranks")

# %% [markdown]
# The model draws noise in two places, which will matter: a denoising VAE (10) flips
# pixels of its input, and it draws three codes for each image. We need its gradient for
# some rows, and a number that says how far apart two vectors are.

# %%
pixels = rectangles(64, height=12, width=12, sides=(5, 5))
x = pixels[:16].astype("float32")


def new_model():
    mv.manual_seed(0)
    return mv.models.denoising_vae(image=(1, 12, 12), hidden=64, code=2, samples=3)


def gradient(model, rows):
    """The gradient of reconstruction + KL of some rows, as a new vector."""
    model.zero_grad_parameters()
    prediction = model.forward(rows)
    by_prediction = model.criterion().backward(prediction, rows)
    model.backward(rows, by_prediction, need_grad_input=False)
    return model.get_parameters()[1].copy()


def apart(a, b):
    """How far a is from b, relative to the length of b."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


# %% [markdown]
# ## A sum may be cut anywhere
# The loss of a batch is a sum over its rows. So its gradient is a sum over rows too.
# The first rank takes 10 rows of 16, the second takes 6. **Predict:** is the gradient
# of all rows the sum of their two gradients?

# %%
model = new_model()
mv.manual_seed(1)
whole = gradient(model, x)
mv.manual_seed(1)
first = gradient(model, x[:10])
second = gradient(model, x[10:])
print(f"apart by {apart(first + second, whole):.3f}")

# %% [markdown]
# Far from it, though the seed is the same. The reason is the noise. For 16 rows the
# noise layer draws 16 rows, and the sampler's draws begin after these. For 10 rows they
# begin earlier. So nearly every row gets another code than it had in the whole batch.
#
# Two real ranks have it worse. If both begin with one seed, the second draws for its 6
# rows the very numbers that the first has drawn for its own.

# %%
claim("other noise makes another gradient", apart(first + second, whole) > 0.01)

# %% [markdown]
# ## Draw for all, keep your own
# **Predict:** what should a rank draw, to have for its rows exactly the noise that a
# single process has for them?

# %%


def share(model, start, stop, batch, seed=1):
    """The gradient of a rank that has the rows from start to stop."""
    mv.manual_seed(seed)
    with backend.rows_of_batch(start, stop, len(batch)):
        return gradient(model, batch[start:stop])


first = share(model, 0, 10, x)
after_first = backend.get_random_state()
second = share(model, 10, 16, x)
after_second = backend.get_random_state()
print(f"apart by {apart(first + second, whole):.1e}")

# %% [markdown]
# Each rank draws for the whole batch and keeps the part of its own rows. Inside the
# block of `rows_of_batch` every layer does so. This costs a little time, and no message
# at all.
#
# The ranks' random generators stay equal as well, for they have drawn equally much. So
# a checkpoint of two ranks can be continued by one rank, or by five.
#
# **Step in here:** `minivae.backend.random.uniform`, in the second call of `share`.

# %%
claim("now the sum of the parts is the whole", apart(first + second, whole) < 1e-5)
claim("both generators stand at the same place", after_first == after_second)

# %% [markdown]
# ## A deliberate mistake: the mean of means
# Many libraries take a mean over the rows of each rank, and then the mean over ranks.
# **Predict:** is that the mean over 16 rows, if one rank has 10 of them and the other
# 6?

# %%
mean_of_means = (first / 10 + second / 6) / 2
mean = whole / 16
print(f"10 and 6 rows: apart by {apart(mean_of_means, mean):.3f}")
halves = share(model, 0, 8, x) / 8, share(model, 8, 16, x) / 8
print(f"8 and 8 rows: apart by {apart((halves[0] + halves[1]) / 2, mean):.1e}")

# %% [markdown]
# It is not: each row of the smaller share weighs 1/12, and each row of the larger 1/20.
# The mistake hides as long as all shares are equal, and shows in the last, shorter
# batch of an epoch. What detects it is the comparison above: one batch, cut unequally,
# against a single process. A sum has no such trap, which is one reason why minivae
# sums.

# %%
claim("with unequal shares the mean of means is wrong", apart(mean_of_means, mean) > 1e-3)
claim("with equal shares it is right", apart((halves[0] + halves[1]) / 2, mean) < 1e-5)

# %% [markdown]
# ## Twenty steps on two ranks
# Now two copies of the model, each with an Adam of its own. After `backward` both get
# the sum of the two gradients. This is called the **all-reduce**, and it is the only
# message of a step. Beside them we train a third model alone.


# %%
def step(model, state, gradient):
    """One step of Adam with a gradient that is known."""
    adam(lambda parameters: (0.0, gradient), model.get_parameters()[0], state)


copies = [new_model(), new_model()]
states = [{}, {}]
alone = new_model()
alone_state = {}
batches = Batches(pixels, batch_size=16)

# %% [markdown]
# **Predict:** after twenty steps, how far apart are the two copies? How far are they
# from the model that was trained alone?

# %%
for k in range(20):
    batch = batches.next()
    first = share(copies[0], 0, 8, batch, seed=k)
    second = share(copies[1], 8, 16, batch, seed=k)
    total = first + second  # the all-reduce
    for model, state in zip(copies, states):
        step(model, state, total)
    step(alone, alone_state, share(alone, 0, 16, batch, seed=k))

weights = [model.get_parameters()[0] for model in copies]
equal = np.array_equal(weights[0], weights[1])
off = apart(weights[0], alone.get_parameters()[0])
print(f"copies equal: {equal}, apart from the one alone by {off:.0e}")

# %% [markdown]
# The copies are equal in every bit: they began equal, and took equal steps. They differ
# from the one alone by what float32 loses when a sum is added in another order.
#
# `minivae.distributed.Ranks` is what we have just written: its `share` gives a rank its
# rows and the noise for them, and its `add` is the all-reduce. `Training` uses it in
# every step; a single process is a `Ranks` of one.

# %%
claim("the copies are equal in every bit", equal)
claim("the model alone differs by rounding", off < 1e-3)
claim("a process alone is the first of one rank", Ranks().first and Ranks().size == 1)

# %% [markdown]
# ## When does it pay?
# On R ranks the work of a step takes 1/R of its time. To this comes the message. How
# long is it? In a good all-reduce the ranks stand in a ring, and each cuts its gradient
# of P numbers of 4 bytes into R pieces:
#
# 1. Each rank sends one piece to its neighbour, who adds its own numbers and passes the
#    sum on. After R − 1 such rounds each rank has one piece of the total.
# 2. Then the finished pieces travel around the ring, again R − 1 rounds.
# 3. In each round a rank sends one piece, 4 P/R bytes. Together that is 2 (R − 1)/R · 4
#    P bytes.
#
# Take a network that sends 1 GB in a second, and two models:
#
# - 784-400-20 in batches of 128: 652,824 numbers, 6 ms a step;
# - 576-1152-1152-2 in batches of 16: 3,993,412 numbers, 16 ms a step.
#
# **Predict:** which of them gains from a second rank?

# %%
MODELS = {"784-400-20": (652_824, 6e-3), "576-1152-1152-2": (3_993_412, 16e-3)}
BYTES_A_SECOND = 1e9


def seconds(name, ranks):
    numbers, alone = MODELS[name]
    message = 2 * (ranks - 1) / ranks * 4 * numbers / BYTES_A_SECOND
    return alone / ranks + message


for name in MODELS:
    print(f"{name}: {1e3 * seconds(name, 1):.0f} ms alone", end=", ")
    print(f"{1e3 * seconds(name, 2):.1f} ms on two ranks")

# %%
claim("the small model gains", seconds("784-400-20", 2) < seconds("784-400-20", 1))
claim(
    "the large one loses",
    seconds("576-1152-1152-2", 2) > seconds("576-1152-1152-2", 1),
)

# %% [markdown]
# The first gains a little. The second loses, because its message is six times as long
# and its work is not. More rows a step would help: more work, with the same message.


# %%
def draw_speed(axes):
    ranks = range(1, 9)
    for name, style in zip(MODELS, ("o-", "^--")):
        gains = [seconds(name, 1) / seconds(name, each) for each in ranks]
        axes.plot(ranks, gains, style, label=name)
    axes.axhline(1, color="0.5", lw=1)
    axes.legend(frameon=False)


show(
    plot("Gain by more ranks", "ranks", "times as fast as one", draw_speed),
    "gain by ranks",
)

# %% [markdown]
# More ranks hardly help either model: the message does not shrink, and for many ranks
# it is all that is left. On one machine the message is a copy in memory and faster than
# this. In a measurement on two cores, the first model took 6.0 ms alone and 4.8 on two
# ranks. The second took 18.5 ms alone, on that day and machine, and 23.1 on two ranks:
# each rank takes the whole step of Adam, and both wait for the same memory
# (`tests/benchmarks/RESULTS.md`, Ranks).
#
# ## Real ranks
# `mpiexec -n 2` starts two processes. `python -m mpi4py` ends all ranks when one fails;
# without it the others would wait for ever. We train the same small VAE on one rank and
# on two, in about 10 seconds (fast mode: 3). Without MPI there is nothing to run here.

# %%
beside_python = str(Path(sys.executable).parent)
mpiexec = shutil.which(
    "mpiexec", path=os.pathsep.join([beside_python, os.environ.get("PATH", "")])
)
ready = mpiexec is not None and importlib.util.find_spec("mpi4py") is not None
epochs = "1" if FAST else "5"
options = ["--images", "64", "--hidden", "8", "--epochs", epochs]


def train(folder, start=(), module=()):
    """The weights of a VAE that another process, or two, have trained."""
    verb = [*start, sys.executable, *module, "-m", "minivae", "train", "vae"]
    subprocess.run([*verb, *options, "--out", folder], check=True, capture_output=True)
    return checkpoint.load_model(folder).get_parameters()[0]


# %%
if ready:
    with tempfile.TemporaryDirectory() as folder:
        one = train(f"{folder}/one")
        two = train(f"{folder}/two", [mpiexec, "-n", "2"], ["-m", "mpi4py"])
    print(f"one rank and two: {apart(two, one):.0e} apart")
    claim("two ranks train the model of one, but for rounding", apart(two, one) < 1e-3)
else:
    print('MPI is not here: pip install -e ".[mpi]" brings it')

# %% [markdown]
# ## In three sentences
# A gradient is a sum over rows, so each rank computes a part of it, and one all-reduce
# a step gives the whole to all. Noise is drawn for the whole batch by every rank, which
# keeps its own rows, so that any number of ranks trains the same model, unless a layer
# takes a mean over rows, as free bits do. It pays when the work of a step takes longer
# than the message, whose length is that of the gradient.
#
# ## Test yourself
# 1. Why must all ranks begin with the same weights, and why do they stay equal for
#    ever?
# 2. A model has a `BatchNormalization`, which takes means over rows. Do two ranks still
#    train the same model as one?
# 3. A colleague doubles the number of ranks and the number of rows in a batch. What
#    happens to the time of a step, and what to the number of steps in an epoch?
#
# The answers are in [ANSWERS.md](ANSWERS.md#19-share-batches).
#
# # Next: 20 Judge estimators
# The gradients of 11 and 12 stand beside the exact one.
