# %% [markdown]
# # 19 Share batches
#
# One computer is slow; there are others. **What must many processes tell each other to train one model, as if they were
# one?** Needs: 09 (VAE), and 04 for the step of Adam. About 30 minutes. Only the last cell wants MPI, the usual way to
# pass messages between processes (`pip install -e ".[mpi]"`); without it, it says so and the rest runs.
# We want *data parallelism*: each process, a *rank*, has a copy of the model and takes some rows of every batch. After
# the step all copies must be equal again, and equal to what a single process would have.
# %%
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import minivae as mv
from minivae import backend, checkpoint
from minivae.data import Batches, rectangles
from minivae.distributed import Ranks
from minivae.optim import adam

FAST = os.environ.get("MINIVAE_FAST") == "1"
pixels = rectangles(64, height=12, width=12, sides=(5, 5))
x = pixels[:16].astype("float32")
def new_model():
    mv.manual_seed(0)
    return mv.models.denoising_vae(image=(1, 12, 12), hidden=64, code=2, samples=3)
def gradient(model, rows):
    """The gradient of reconstruction + KL of some rows: a new vector."""
    model.zero_grad_parameters()
    prediction = model.forward(rows)
    model.backward(rows, model.criterion().backward(prediction, rows), need_grad_input=False)
    return model.get_parameters()[1].copy()
def apart(a, b):
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))

# %% [markdown]
# ## A sum may be cut anywhere
# The loss of a batch is a sum over its rows, so its gradient is one too. The first rank takes 10 rows of 16, the second
# 6. **Predict:** is the gradient of all rows the sum of the two? The model draws noise for its input and its code.

# %%
model = new_model()
whole = gradient(model, x)
mv.manual_seed(1)
parts = gradient(model, x[:10]) + gradient(model, x[10:])
print(f"apart by {apart(parts, whole):.3f}")

# %% [markdown]
# Far from it: each call drew other noise. Fixing one seed does not help: the second rank, with 6 rows, would draw for
# them what the first has drawn for its own. **Predict:** what should a rank draw, to have for its rows exactly what a
# single process has?

# %%
def share(model, start, stop, batch, seed=1):
    mv.manual_seed(seed)
    with backend.rows_of_batch(start, stop, len(batch)):  # draws for all rows, keeps those of this rank
        return gradient(model, batch[start:stop])

mv.manual_seed(1)
whole, after = gradient(model, x), backend.get_random_state()
parts = share(model, 0, 10, x) + share(model, 10, 16, x)
same_stream = backend.get_random_state() == after
print(f"apart by {apart(parts, whole):.1e}, and the random state is the same: {same_stream}")

# %% [markdown]
# Everything: each rank draws for the whole batch and keeps its part. It costs a little time and no message, and all
# random states stay equal for ever, so that a checkpoint of two ranks can be continued by one, or by five.
#
# ## Means must not be averaged
# Many libraries take the mean over a rank's rows and then the mean over ranks. **Predict:** is that the mean over 16
# rows, when one rank has 10 of them and the other 6?

# %%
averaged, right = (share(model, 0, 10, x) / 10 + share(model, 10, 16, x) / 6) / 2, whole / 16
print(f"apart by {apart(averaged, right):.3f}")

# %% [markdown]
# No: the rows of the smaller share weigh more. Sums have no such trap, one reason why minivae sums.
#
# ## Twenty steps on two ranks, by hand
# Two copies of the model, each with its own Adam. After `backward` both get the sum of their gradients: this is the
# *all-reduce*, the only message of a step. **Predict:** how far apart are the copies after twenty steps? And from a
# model that was trained alone?

# %%
copies, states = [new_model(), new_model()], [{}, {}]
alone, alone_state = new_model(), {}
batches = Batches(pixels, batch_size=16)
for step in range(20):
    batch = batches.next()
    total = share(copies[0], 0, 8, batch, step) + share(copies[1], 8, 16, batch, step)
    for model, its_state in zip(copies, states):
        adam(lambda x, total=total: (0.0, total), model.get_parameters()[0], its_state)
    adam(lambda x, batch=batch, step=step: (0.0, share(alone, 0, 16, batch, step)), alone.get_parameters()[0],
         alone_state)
vectors = [each.get_parameters()[0] for each in (*copies, alone)]
equal, off = np.array_equal(vectors[0], vectors[1]), apart(vectors[0], vectors[2])
print(f"copies equal: {equal}, apart from the one alone by {off:.0e}")

# %% [markdown]
# The copies are equal in every bit, and differ from the one alone by what float32 loses when a sum is added in another
# order. `minivae.distributed.Ranks` is this in 60 lines: `share` for the rows and the noise, `add` for the sums.
#
# ## When does it pay?
# On R ranks the work of a step takes a share 1/R of its time, and a good all-reduce of P numbers of 4 bytes sends
# 2 (R − 1)/R · 4 P bytes from each rank. **Predict:** with R = 2 and a network of 1 GB/s, which model gains: 784-400-20
# with batches of 128 (P = 652,824, 6 ms a step), or 576-1152-1152-2 with batches of 16 (P = 4.0 million, 16 ms)?

# %%
seconds = {}
for name, numbers, one in (("784-400-20", 652_824, 6e-3), ("576-1152-1152-2", 3_994_180, 16e-3)):
    seconds[name] = one, one / 2 + 4 * numbers / 1e9
    print(f"{name}: {1e3 * one:.0f} ms alone, {1e3 * seconds[name][1]:.1f} ms on two ranks")

# %% [markdown]
# The first a little, the second loses: its message is larger and its work is not. More rows a step are more work with
# the same message. On one machine the message is a copy in memory, and much faster.
#
# ## Real ranks
# `python -m mpi4py` ends all ranks when one fails; without it the others would wait for ever.

# %%
mpiexec = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
ready = mpiexec is not None and importlib.util.find_spec("mpi4py") is not None
options = ["train", "vae", "--images", "64", "--hidden", "8", "--epochs", "1" if FAST else "5"]
trained = []
with tempfile.TemporaryDirectory() as folder:
    for out, start in (("one", []), ("two", [mpiexec, "-n", "2"]) if ready else ("one more", [])):
        module = ["-m", "mpi4py"] if start else []
        command = [*start, sys.executable, *module, "-m", "minivae", *options, "--out", f"{folder}/{out}"]
        subprocess.run(command, check=True, capture_output=True)
        trained.append(checkpoint.load_model(f"{folder}/{out}").get_parameters()[0])
print("two ranks" if ready else "mpi4py is not installed: one process twice", f"{apart(*trained):.0e} apart")

# %% [markdown]
# ## What we claimed
# This was the last tutorial. Next: the exercises, from 01_relu to the bug hunt, or a training on machines of your own.

# %%
assert apart(share(model, 0, 16, x), gradient(model, x)) > 0.01, "other noise, another gradient"
assert apart(parts, whole) < 1e-6 and same_stream and apart(averaged, right) > 1e-3
assert equal and off < 1e-6
assert [two < one for one, two in seconds.values()] == [True, False] and apart(*trained) < 1e-6
assert Ranks().first and Ranks().size == 1 and not Ranks().any(False)
