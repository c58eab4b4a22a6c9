# %% [markdown]
# # 17 Share weights
# **A square is a square wherever it stands. How can a network know that, without having seen it everywhere?** Needs: 09
# and 16. About 45 minutes.
#
# In a `Linear` layer each output has a weight of its own for each pixel. In a **convolution** an output sees only a
# small window of the image, and all outputs see theirs with the same few weights, the **kernel** W (kh, kw):
#
#     y[u, v] = b + Σ W[i, j] x[u + i, v + j]  over i, j
#
# The outputs make an image again, a **plane**. A layer makes several planes, each with a kernel for each plane of its
# input, whose results it adds. Here one kernel, by hand: +1 on the left, −1 on the right. `padw`, `padh` put zeros
# around the image, so that the plane keeps its size. **Predict:** where is y positive, where negative?

# %%
import os

import numpy as np

import minivae as mv
from minivae import evaluation, figures, nn
from minivae.data import Batches, rectangles
from minivae.training import Training

FAST = os.environ.get("MINIVAE_FAST") == "1"
mv.manual_seed(0)
different = np.unique(rectangles(4000), axis=0)  # all 256 squares, sorted
square = different[60:61].astype("float32")
edges = nn.SpatialConvolution(1, 1, 3, 3, padw=1, padh=1)  # planes in and out, then kernel and padding, width first
edges.weight[0, 0] = [[1, 0, -1]] * 3
edges.bias[0] = 0
y = edges(square).copy()
framed = np.pad(square[0, 0], 1)
by_hand = np.array([[(edges.weight[0, 0] * framed[u:u + 3, v:v + 3]).sum() for v in range(24)] for u in range(24)])
print(y.min(), y.max(), (y[0, 0] == by_hand).all())
figures.picture(figures.grid(np.concatenate([square, (y + 3) / 6]), columns=2, gap=1, background=0.25), scale=4)

# %% [markdown]
# −3 just outside the left edge of the square, where it is in the window's right column, and along that edge; +3 along
# the right one. Whoever wants edges needs 9 numbers and not one for each place. **Predict:** we shift the square by two
# pixels. What happens to y? And how does the *matrix* look that would do the same in a `Linear(576, 576)`?

# %%
moved = edges(np.roll(square, 2, axis=3)).copy()
units = np.eye(576, dtype="float32").reshape(576, 1, 24, 24)
matrix = edges(units).reshape(576, 576).T.copy()  # column k is what becomes of an image that is 1 at pixel k alone
same = np.abs(matrix @ square.ravel() - y.ravel()).max()
print(np.array_equal(moved, np.roll(y, 2, axis=3)), matrix.shape, (matrix != 0).mean(), np.unique(matrix), same)

# %% [markdown]
# It shifts along: a convolution is **equivariant** to shifts. The matrix has 331,776 numbers, 1 % of them not zero, and
# only the kernel's among those. The weights are few because the entries are *shared*.
# ## Backwards
# Every window's share goes back to where it was seen. For the pixel x[r, s] these are the windows that it was in:
#
#     ∂L/∂x[r, s] = Σ W[i, j] G[r − i, s − j]        ∂L/∂W[i, j] += Σ G[u, v] x[u + i, v + j]  over u, v
#
# The first is a convolution of G with the kernel turned by half a turn. **Step in here:** set a breakpoint in
# `minivae.nn.spatial_convolution.SpatialConvolution.update_grad_input` and look at `turned`. What if one forgets to
# turn it? **Predict:** will the differences show it, for our kernel? For one that is the same upside down? For one that
# is the same after half a turn?

# %%
class NotTurned(nn.SpatialConvolution):
    def update_grad_input(self, input, grad_output):
        kept = self.weight.copy()
        self.weight[...] = kept[:, :, ::-1, ::-1]
        super().update_grad_input(input, grad_output)
        self.weight[...] = kept
        return self.grad_input

x = np.random.default_rng(0).standard_normal((2, 1, 5, 4)).astype("float32")
def not_turned(kernel):
    layer = NotTurned(1, 1, 3, 3, padw=1, padh=1)
    layer.weight[...] = kernel
    return layer

upside_down, half_turn = [[1, 2, 3], [4, 5, 6], [1, 2, 3]], [[1, 2, 3], [4, 5, 4], [3, 2, 1]]
layers = edges.clone(), not_turned(edges.weight), not_turned(upside_down), not_turned(half_turn)
checks = [mv.gradcheck(layer, x) for layer in layers]
print(*checks, sep="\n")

# %% [markdown]
# They do, unless half a turn leaves the kernel as it is; other symmetries hide nothing. There only a second look finds
# it, at other weights, which `gradcheck` takes where the first one passes. A check is as good as the numbers it is
# given, so give it random ones.
# ## Halving and doubling
# `SpatialMaxPooling(2, 2)` keeps the largest of each 2×2 pixels: whether an edge is *about* here. Backwards the
# gradient goes to that pixel, to the first of equals. `SpatialUpSamplingNearest(2)` repeats each number in a 2×2
# square; backwards it adds the four. **Predict:** where is the gradient of the sum of a pooled plane of equal numbers?

# %%
pooling, flat = nn.SpatialMaxPooling(2, 2), np.ones((1, 1, 4, 4), "float32")
gradient = pooling.backward(flat, np.ones_like(pooling(flat)))
up = nn.SpatialUpSamplingNearest(2)(gradient[:, :, :2, :2])
print(gradient[0, 0], up[0, 0], sep="\n")

# %% [markdown]
# One of four gets it all.
# ## Squares at places that were never shown
# The encoder of `conv_vae` alternates convolution, ReLU and pooling, down to 32 planes of 3×3; the decoder goes back.
# In the VAE of 09 each pixel has weights of its own, and what was learned at one place is of no use at another. So let
# us hide half of the 256 squares, chosen at random, from both. **Predict:** which copes better with them, and how many
# weights has it?

# %%
places = np.random.default_rng(0).permutation(256)
shown, hidden = different[places[:128]], different[places[128:]].astype("float32")
trained, losses = [], []
for factory, options in ((mv.models.conv_vae, {}), (mv.models.vae, {"hidden": 128})):
    mv.manual_seed(0)
    model = factory(**options)
    Training(model, Batches(shown, 8), 3e-3, 1e-4).run(700 if FAST else 4000, progress=False)
    losses.append([-evaluation.elbo(model, each, samples=5).value for each in (shown, hidden)])
    trained.append(model)
    print(f"{model.get_parameters()[0].size:6} weights: −ELBO {losses[-1][0]:.1f} shown, {losses[-1][1]:.1f} hidden")
again = [model.reconstruct(hidden[::13]) for model in trained]
figures.picture(figures.grid(np.concatenate([hidden[::13], *again]), columns=10, gap=1, background=0.25), scale=2)

# %% [markdown]
# In the picture: squares at hidden places, what the convolutional VAE makes of them, and what the other does. A
# thirteenth of the weights, and it is better where nothing was shown, and loses far less on the way there from places
# that were: it has learned what an edge is, not what pixel 217 is. Each step takes longer, though: few weights, but
# each is used at every place.
#
# ## Normalized batches
# `BatchNormalization` behind a convolution takes from each plane its mean over the batch and divides by its standard
# deviation, then scales and shifts with two weights of its own (Ioffe and Szegedy 2015). So an output depends on *the
# other images in the batch*. In evaluation mode it takes running averages of the training's instead: kept in
# `state_dict` and checkpoints as weights are, but never touched by Adam. **Predict:** here it has seen numbers around
# 4, and now two images around 9. What is the mean of what comes out, in either mode?

# %%
layer = nn.BatchNormalization(1)
for seed in range(30):
    layer(4 + np.random.default_rng(seed).standard_normal((8, 1, 4, 4)).astype("float32"))
before = layer.running_mean.copy()
bright = np.full((2, 1, 4, 4), 9, "float32") + np.linspace(-1, 1, 16, dtype="float32").reshape(4, 4)
forgotten, meant = layer(bright).mean(), layer.evaluate()(bright).mean()  # the first forgets to say evaluate()
print(f"running mean {before}, then {layer.running_mean}; {forgotten:.2f} in training mode, {meant:.2f} in evaluation")

# %% [markdown]
# Two bright images, alone in their batch, are as bright as its average: 0 in training mode, where nobody can tell that
# they are bright. And the running mean has moved towards them, just because we looked. That is the mistake to make with
# this layer: to forget `evaluate()`. `encode`, `decode`, `reconstruct` and `evaluation.elbo` switch modes themselves.

# %% What we claimed
assert (y.min(), y.max()) == (-3, 3) and np.array_equal(y[0, 0], by_hand)
assert np.array_equal(moved, np.roll(y, 2, axis=3)) and matrix.shape == (576, 576)
assert set(np.unique(matrix)) == {-1, 0, 1} and same == 0 and (matrix != 0).mean() < 0.011
assert [check.checks[0].ok for check in checks] == [True, False, False, True]  # of the input
assert [check.ok for check in checks] == [True, False, False, False]
assert gradient.sum() == 4 and gradient.max() == 1 and up.sum() == 4 * gradient[0, 0, 0, 0]
sizes = [model.get_parameters()[0].size for model in trained]
lost = [its_hidden - its_shown for its_shown, its_hidden in losses]
assert 13 * sizes[0] < sizes[1] and losses[0][1] < losses[1][1] and lost[0] < 0.8 * lost[1]
assert abs(forgotten) < 0.01 and meant > 2 and 3.5 < before < 4 and layer.running_mean > before + 0.3
# %% [markdown]
# Next: 18 choose categories, codes that take one of many values; or a layer of your own.
