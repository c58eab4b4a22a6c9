# %% [markdown]
# # 17 Share weights
# **A square is a square wherever it stands. How can a network know that, without having
# seen it everywhere?**
#
# Needs: 09 and 16. About 80 minutes. You find edges with nine numbers, derive the way
# back, and let a layer learn its nine numbers. Then you train two VAEs on half of the
# places where a square can stand, and test them on the other half. The last section, on
# normalized batches, can wait until you need it.

# %%
import numpy as np
from lesson import FAST, beside, boxes, claim, plot, show

import minivae as mv
from minivae import evaluation, figures, nn
from minivae.data import Batches, rectangles
from minivae.training import Training

mv.manual_seed(0)
random = np.random.default_rng(0)
different = np.unique(rectangles(4000), axis=0)  # all 256 squares, sorted
square = different[60:61].astype("float32")

# %% [markdown]
# ## A small window
# In a `Linear` layer each output has a weight of its own for every pixel. In a
# **convolution** each output sees only a small **window** of the image, and all outputs
# use the same few weights, the **kernel** W. The outputs stand where their windows do,
# so together they make an image again, which is called a **plane**.

# %%
show(
    boxes(
        "image x → [a 3×3 window of x] → 9 pixels "
        "→ [times W, summed, plus b] → one number of y"
    ),
    "one output of a convolution",
)

# %% [markdown]
# With a kernel of kh rows and kw columns:
#
#     y[u, v] = b + Σ W[i, j] x[u + i − p, v + j − p]        over i < kh and j < kw
#
# Here p is the **padding**: the image is framed by p rows and columns of zeros, so x is
# 0 beyond its border. Without a frame, p = 0, the plane is smaller than the image.
#
# A layer may make several planes. It has a kernel for each pair of an input plane and
# an output plane, and an output plane is the sum over the input planes. Here is one
# kernel for one plane, which we set by hand: +1 on the left, 0 in the middle, −1 on the
# right. `padw` and `padh` are p, for columns and rows. With p = 1 the plane of a 3×3
# kernel is as large as the image.

# %%
edges = nn.SpatialConvolution(1, 1, 3, 3, padw=1, padh=1)  # planes in, out; kernel
edges.weight[0, 0] = [[1, 0, -1]] * 3
edges.bias[0] = 0


def numbers(title, values):
    """A small matrix as a picture, with its numbers."""
    largest = np.abs(values).max() or 1

    def draw(axes):
        axes.imshow(values, cmap="PuOr", vmin=-1.6 * largest, vmax=1.6 * largest)
        for (i, j), value in np.ndenumerate(values):
            text = round(float(value), 2) + 0  # + 0 makes 0 of −0
            axes.text(j, i, f"{text:g}", ha="center", va="center")
        axes.set(xticks=range(values.shape[1]), yticks=range(values.shape[0]))
        axes.grid(visible=False)

    return plot(title, "column j", "row i", draw, size=(3.2, 3.2))


show(numbers("The kernel", edges.weight[0, 0]), "a kernel")

# %% [markdown]
# **Predict:** we apply it to a white square (1) on black (0). Where is y positive,
# where negative, where 0?

# %%
y = edges.forward(square).copy()


def plane_picture(title, values):
    def draw(axes):
        shown_as = axes.imshow(values, cmap="PuOr", vmin=-3, vmax=3)
        axes.figure.colorbar(shown_as)
        axes.grid(visible=False)

    return plot(title, "column", "row", draw, size=(4.6, 3.8))


show(
    beside(
        plane_picture("The square x", square[0, 0]),
        plane_picture("The plane y", y[0, 0]),
    ),
    "a square and its edges",
)
print("least", y.min(), "greatest", y.max(), "not 0:", np.count_nonzero(y), "of", y.size)

# %% [markdown]
# Inside the square the left and the right column of the window cancel, so y is 0, as it
# is outside. At the left edge only the window's right column is white, so y is −3. At
# the right edge y is +3. Each edge is two pixels wide: a window sees it from just
# outside and from just inside.
#
# We compute it once more, with a loop over all windows.

# %%
framed = np.pad(square[0, 0], 1)
by_hand = np.zeros((24, 24))
for u in range(24):
    for v in range(24):
        window = framed[u : u + 3, v : v + 3]
        by_hand[u, v] = (edges.weight[0, 0] * window).sum()

# %%
claim("the layer computes the sum over each window", np.array_equal(y[0, 0], by_hand))
claim("y is between −3 and 3", (y.min(), y.max()) == (-3, 3))
claim("most of y is 0", np.count_nonzero(y) < 0.1 * y.size)

# %% [markdown]
# ## What sharing means
# **Predict:** we shift the square by two pixels to the right. What happens to y?

# %%
shifted = np.roll(square, 2, axis=3)
y_of_shifted = edges.forward(shifted).copy()
difference = np.abs(y_of_shifted - np.roll(y, 2, axis=3)).max()
print("y of the shifted square differs from the shifted y by", difference)

# %% [markdown]
# It shifts along. One says that a convolution is **equivariant** to shifts. (At the
# border of the image this ends: what is shifted out is lost.)

# %%
claim("the square's plane shifts with the square", difference == 0)

# %% [markdown]
# A convolution is linear, so a `Linear(576, 576)` could do the same with the right
# matrix. **Predict:** how does this matrix look? How many of its 576 · 576 numbers are
# not 0?
#
# We find it by asking. Column k of a matrix is what it makes of an image that is 1 at
# pixel k and 0 elsewhere.

# %%
units = np.eye(576, dtype="float32").reshape(576, 1, 24, 24)
matrix = edges.forward(units).reshape(576, 576).T.copy()


def draw_matrix(axes):
    axes.imshow(matrix[:72, :72], cmap="PuOr", vmin=-1.6, vmax=1.6)
    axes.grid(visible=False)


show(
    plot("The matrix, first 72 rows", "pixel of x", "pixel of y", draw_matrix, (5.2, 5)),
    "the matrix of a convolution",
)
print(f"{matrix.size} numbers, {(matrix != 0).mean():.1%} of them not 0")
print("values:", np.unique(matrix))

# %% [markdown]
# Of 331,776 numbers 1 % are not 0, and they are those of the kernel, again and again,
# one step further in each row. A convolution saves in two ways: most weights are 0, and
# the others are *shared*. Nine numbers remain, and what they learn at one place they
# know at all.

# %%
by_matrix = matrix @ square.ravel()
claim("the matrix does what the layer does", np.array_equal(by_matrix, y.ravel()))
claim("it is nearly empty", (matrix != 0).mean() < 0.011)
claim("it holds the kernel's numbers only", set(np.unique(matrix)) == {-1, 0, 1})

# %% [markdown]
# ## The way back
# Let G = ∂L/∂y. First the gradient for the image, ∂L/∂x[r, s] for one pixel:
#
# 1. Which outputs saw the pixel? y[u, v] sees x[u + i − p, v + j − p]. That is our
#    pixel if u = r + p − i and v = s + p − j. So there is one such output for each (i,
#    j), unless it would lie outside of the plane y.
# 2. In that output the pixel has the weight W[i, j].
# 3. Where a value goes several ways, its gradients add up (03). G is 0 outside of the
#    plane, where there is no output:
#
#        ∂L/∂x[r, s] = Σ W[i, j] G[r + p − i, s + p − j]        over i, j
#
# 4. It looks like a convolution of G, except for the signs of i and j. While i goes
#    down in W, r + p − i goes up in G. To make both go down, turn the kernel by **half
#    a turn**: last row first, and last column first. With i′ = kh − 1 − i, the row of G
#    is r + i′ − (kh − 1 − p).
#
# So the way back is a convolution of G with the turned kernel and the padding kh − 1 −
# p. For our 3×3 kernel with p = 1 that is 1 again.
#
# **Predict:** how does our kernel look after half a turn? Is it the same?
#
# **Step in here:** set a breakpoint in
# `minivae.nn.spatial_convolution.SpatialConvolution.update_grad_input` and look at
# `turned`.

# %%
G = random.standard_normal((1, 1, 24, 24)).astype("float32")
edges.forward(square)
grad_input = edges.backward(square, G).copy()

turned = edges.clone()
turned.weight[...] = edges.weight[:, :, ::-1, ::-1]
show(numbers("After half a turn", turned.weight[0, 0]), "the turned kernel")
of_turned = turned.forward(G)
print("largest difference:", np.abs(grad_input - of_turned).max())

# %%
claim(
    "backward is a convolution of G with the turned kernel",
    np.allclose(grad_input, of_turned, atol=1e-5),
)

# %% [markdown]
# Now the gradient for the kernel. W[i, j] is used in every output y[u, v], and there it
# multiplies x[u + i − p, v + j − p]. All these ways add up:
#
#     ∂L/∂W[i, j] += Σ G[u, v] x[u + i − p, v + j − p]        over u, v
#
# So a kernel of nine numbers gets its gradient from all 576 places, and from all
# images. That is why it learns from few images.
#
# ## A kernel and its gradient
# Can the layer find the edge kernel by itself? We give it images of noise and, for
# each, the plane that the edge kernel makes of it. Its own kernel begins at 0. The loss
# is half the mean of (y − target)², so G is y − target, divided by the number of
# outputs. **Predict:** how will the gradient of the kernel look at the first step?

# %%
noise = random.standard_normal((8, 1, 24, 24)).astype("float32")
target = edges.forward(noise).copy()
learner = nn.SpatialConvolution(1, 1, 3, 3, padw=1, padh=1)
learner.weight[...] = 0
learner.bias[...] = 0
pictures = []
for step in range(31):
    learner.zero_grad_parameters()
    away = learner.forward(noise) - target
    learner.backward(noise, away / away.size)
    if step in (0, 2):
        pictures.append(numbers(f"Kernel, step {step}", learner.weight[0, 0]))
        pictures.append(numbers(f"Gradient, step {step}", learner.grad_weight[0, 0]))
    if step == 0:
        first_gradient = learner.grad_weight[0, 0].copy()
    learner.update_parameters(0.5)
pictures.append(numbers("Kernel at the end", learner.weight[0, 0]))
show(beside(*pictures), "a kernel and its gradient")

# %% [markdown]
# The gradient looks like the wanted kernel with its signs changed, because the layer
# walks against it. Here is why: the pixels of noise are independent, so what remains on
# average of the sum above are the products of a pixel with itself: our kernel minus the
# edge kernel. After 31 steps the kernel is there.

# %%
wanted = edges.weight[0, 0]
claim(
    "the first gradient is the wanted kernel with its signs changed, nearly",
    np.abs(first_gradient + wanted).max() < 0.3,
)
claim("it ends as the edge kernel", np.allclose(learner.weight[0, 0], wanted, atol=1e-3))

# %% [markdown]
# ## A deliberate mistake: not turned
# What if one forgets to turn the kernel on the way back? We turn it beforehand, so that
# the layer turns it back.


# %%
class NotTurned(nn.SpatialConvolution):
    def update_grad_input(self, input, grad_output):
        kept = self.weight.copy()
        self.weight[...] = kept[:, :, ::-1, ::-1]
        super().update_grad_input(input, grad_output)
        self.weight[...] = kept
        return self.grad_input


kernels = {
    "edges": [[1, 0, -1], [1, 0, -1], [1, 0, -1]],
    "the same upside down": [[1, 2, 3], [4, 5, 6], [1, 2, 3]],
    "the same in a mirror": [[1, 2, 1], [3, 4, 3], [5, 6, 5]],
    "the same after half a turn": [[1, 2, 3], [4, 5, 4], [3, 2, 1]],
}
show(
    beside(*(numbers(name, np.array(kernel)) for name, kernel in kernels.items())),
    "four kernels",
)

# %% [markdown]
# **Predict:** with which of these four kernels do the differences of the gradient check
# show the mistake?

# %%
small = random.standard_normal((1, 1, 5, 4)).astype("float32")
reports = {}
for name, kernel in kernels.items():
    layer = NotTurned(1, 1, 3, 3, padw=1, padh=1)
    layer.weight[0, 0] = kernel
    reports[name] = mv.gradcheck(layer, small)
    print(name, "- gradient of the input is right:", reports[name].checks[0].ok)
print(reports["the same after half a turn"])

# %% [markdown]
# All but the last. If half a turn leaves the kernel as it is, it does not matter
# whether one turns it. Other symmetries hide nothing. But look at the last report:
# `gradcheck` finds the mistake all the same. Where everything agrees, it takes a second
# look with other weights. A check is as good as the numbers that it is given, so give
# it random ones.

# %%
for name in ("edges", "the same upside down", "the same in a mirror"):
    claim(f"{name}: the differences show it", not reports[name].checks[0].ok)
last = reports["the same after half a turn"]
claim("the same after half a turn: they do not", last.checks[0].ok)
claim("the second look finds it there too", not last.ok)
claim("the layer without the mistake passes", mv.gradcheck(edges.clone(), small).ok)

# %% [markdown]
# ## Halving and doubling
# To see more than a small window, a network makes its planes smaller on the way.
# `SpatialMaxPooling(2, 2)` keeps the largest of each 2×2 numbers. It tells whether
# there is an edge *about* here. Backward, the gradient goes to the number that was
# kept. Of equal ones it is the first.
#
# A decoder goes the other way. `SpatialUpSamplingNearest(2)` repeats each number in a
# square of 2×2. Backward, it adds the four gradients (03).
#
# **Predict:** a plane of 4×4 ones is pooled, and L is the sum of the outputs. Where is
# the gradient?

# %%
pooling = nn.SpatialMaxPooling(2, 2)
flat = np.ones((1, 1, 4, 4), "float32")
pooled = pooling.forward(flat)
gradient = pooling.backward(flat, np.ones_like(pooled))
print(gradient[0, 0])

# %%
doubling = nn.SpatialUpSamplingNearest(2)
few = np.array([[[[1, 2], [3, 4]]]], "float32")
many = doubling.forward(few).copy()
back = doubling.backward(few, np.ones_like(many))
print(many[0, 0], back[0, 0], sep="\n")

# %%
first_of_four = np.zeros((4, 4))
first_of_four[::2, ::2] = 1
claim("the first of each four gets it all", np.array_equal(gradient[0, 0], first_of_four))
claim("doubling adds four gradients", (back == 4).all())

# %% [markdown]
# ## Squares at places that were never shown
# `conv_vae` is the VAE of 09 with convolutions in place of its hidden layers. Its
# encoder has three blocks of convolution, ReLU and pooling, which take an image of
# 24×24 to 32 planes of 3×3. The decoder goes back.

# %%
picture = boxes("""
24×24 → [block] → 8 planes 12×12 → [block] → 16 planes 6×6 \
→ [block] → 32 planes 3×3 → [Linear] → code
24×24 ← [block] ← 8 planes 12×12 ← [block] ← 16 planes 6×6 \
← [block] ← 32 planes 3×3 ← [Linear] ← code
""")
show(picture, "encoder and decoder of conv_vae")

# %% [markdown]
# In the VAE of 09 each pixel has weights of its own, and nobody tells it that
# neighbouring pixels are neighbours. So let us hide half of the 256 squares, chosen at
# random, from both models. **Predict:** which does better on squares that it has never
# seen? Which has more weights?
#
# (The two trainings take about 25 s and 8 s. Fast mode takes 250 of the 4,000 steps.)

# %%
places = random.permutation(256)
shown = different[places[:128]]
hidden = different[places[128:]]
steps = 250 if FAST else 4000


def trained(model):
    Training(model, Batches(shown, 8), 5e-3, 1e-4).run(steps, progress=not FAST)
    return model


mv.manual_seed(0)
convolutional = trained(mv.models.conv_vae())
mv.manual_seed(0)
linear = trained(mv.models.vae(hidden=128))

# %% [markdown]
# We count the pixels that each gets wrong when it encodes a square and decodes it
# again, and take the loss, −ELBO, on the squares that were shown and on the hidden
# ones.


# %%
def wrong_pixels(model, squares):
    """Pixels of an image on the wrong side of ½ in its reconstruction, on average."""
    again = model.reconstruct(squares.astype("float32"))
    return ((again > 0.5) != squares).sum(axis=(1, 2, 3)).mean()


def loss(model, squares):
    return -evaluation.elbo(model, squares.astype("float32"), samples=5).value


table = {}
for name, model in (("convolutional", convolutional), ("linear", linear)):
    weights = model.get_parameters()[0].size
    wrong = wrong_pixels(model, shown), wrong_pixels(model, hidden)
    losses = loss(model, shown), loss(model, hidden)
    table[name] = weights, wrong, losses
    print(f"{name}: {weights} weights")
    print(f"    wrong pixels: {wrong[0]:.1f} shown, {wrong[1]:.1f} hidden")
    print(f"    −ELBO:        {losses[0]:.1f} shown, {losses[1]:.1f} hidden")

# %%
few_weights, few_wrong, few_losses = table["convolutional"]
many_weights, many_wrong, many_losses = table["linear"]
claim(
    "the convolutional one has a thirteenth of the weights",
    13 * few_weights < many_weights,
)
claim(
    "hidden squares cost it fewer additional wrong pixels",
    few_wrong[1] - few_wrong[0] < many_wrong[1] - many_wrong[0],
)
claim(
    "it loses fewer nats on the way from shown squares to hidden ones",
    few_losses[1] - few_losses[0] < many_losses[1] - many_losses[0],
)

# %% [markdown]
# The picture shows squares at hidden places, and what each VAE makes of them.

# %%
some = hidden[::13].astype("float32")
rows = np.concatenate([some, convolutional.reconstruct(some), linear.reconstruct(some)])
grid = figures.grid(rows, columns=10, gap=1, background=0.25)
names = [(39, "hidden"), (114, "convolutional"), (189, "linear")]
framed_sheet = figures.style.framed(figures.picture(grid, scale=3), "", rows=names)
show(framed_sheet, "squares at hidden places")

# %% [markdown]
# With a thirteenth of the weights it does better where nothing was shown: of the 576
# pixels of a hidden square it gets 2 to 4 wrong, the other 13 to 23, by seed and
# machine [about 25 and 35; fast mode ends before either is good, and which has fewer
# wrong pixels then depends on the seed]. It has learned what an edge is, while the
# other has learned what pixel 217 is. A step takes longer, though: there are few
# weights, but each is used at every place.
#
# ## What it has learned to see
# These are the eight kernels of its first layer, and below each its gradient for one
# batch of squares. Gradients of different kernels may differ in size by a factor of a
# hundred. So each is drawn in its own scale, and its largest number stands above it.

# %%
first_layer = convolutional.find_modules(nn.SpatialConvolution)[0]
batch = shown[:64].astype("float32")
criterion = nn.BCEWithLogitsCriterion()
convolutional.training()
convolutional.zero_grad_parameters()
logits = convolutional.forward(batch)
convolutional.backward(batch, criterion.backward(logits, batch))


# %%
def draw_kernels(axes):
    page = np.full((9, 31), np.nan)
    for top, kernels in ((1, first_layer.weight), (6, first_layer.grad_weight)):
        for k in range(8):
            left = 4 * k
            largest = np.abs(kernels[k]).max()
            shades = kernels[k, 0] / (largest or 1)  # a dead kernel's gradient is 0
            page[top : top + 3, left : left + 3] = shades
            scale = f"±{largest:.2f}" if largest < 10 else f"±{largest:.0f}"
            axes.text(left + 1, top - 1, scale, ha="center", va="center")
    axes.imshow(page, cmap="PuOr", vmin=-1, vmax=1)
    axes.set(xticks=range(1, 31, 4), xticklabels=range(8))
    axes.set_yticks((2, 7), ("kernel", "gradient"))
    axes.grid(visible=False)


show(
    plot("The first layer's kernels", "number of the kernel", "", draw_kernels, (9, 3.4)),
    "kernels and their gradients",
)

# %% [markdown]
# Few of them are as clean as our edge kernel. A kernel need not please the eye: it only
# has to be useful to the next layer.

# %%
claim(
    "the kernels have both signs",
    first_layer.weight.min() < 0 < first_layer.weight.max(),
)
claim(
    "each kernel has a gradient of its own shape",
    first_layer.grad_weight.shape == (8, 1, 3, 3),
)

# %% [markdown]
# ## For later: normalized batches
# `BatchNormalization` often stands behind a convolution (Ioffe and Szegedy 2015). It
# subtracts from each plane its mean over the batch and divides by its standard
# deviation. Then it scales and shifts the result with two weights of its own. So an
# output depends on *the other images in the batch*.
#
# In evaluation there may be one image only. So the layer keeps running averages of the
# mean and variance in training, and uses these in evaluation. `state_dict` holds them
# as it holds weights, but Adam never touches them.
#
# **Predict:** here a layer has seen numbers around 4, with a standard deviation of 1.
# Now it gets two images around 9, first in training mode, then once more in evaluation.
# What are the two means of its output? (Each pass in training mode moves the running
# averages by a tenth of the way to the batch's own.)

# %%
layer = nn.BatchNormalization(1)
for _ in range(30):
    layer.forward(4 + random.standard_normal((8, 1, 4, 4)).astype("float32"))
before = layer.running_mean.copy()

gradual = np.linspace(-1, 1, 16, dtype="float32").reshape(4, 4)
bright = np.full((2, 1, 4, 4), 9, "float32") + gradual

# %%
in_training = layer.forward(bright).mean()  # the mistake: evaluate() was forgotten
after = layer.running_mean.copy()
layer.evaluate()
in_evaluation = layer.forward(bright).mean()
print(
    f"mean of the output: {in_training:.2f} in training, "
    f"{in_evaluation:.2f} in evaluation"
)
print("running mean", before, "then", after)

# %% [markdown]
# In training mode it is 0. The two bright images are alone in their batch, so they are
# as bright as its average, and nobody can tell that they are bright. And the running
# mean has moved towards them, from near 4 to 4.4, only because we looked. So in
# evaluation the mean is below the 5 that it was before. That is the mistake to make
# with this layer: to forget `evaluate()`. `encode`, `decode`, `reconstruct` and
# `evaluation.elbo` switch the modes themselves.

# %%
claim("in training mode the mean is 0", abs(in_training) < 0.01)
claim("in evaluation the images are bright", in_evaluation > 2)
claim("the running mean was near 4", 3.5 < before < 4.5)
claim("looking in training mode has moved it", after > before + 0.3)

# %% [markdown]
# ## In three sentences
# A convolution slides one small kernel over an image, so that what it learns at one
# place it knows at every place. Backward, the gradient of the image is a convolution
# with the kernel turned by half a turn, and the gradient of the kernel is a sum over
# all places. With a thirteenth of the weights, a convolutional VAE does better on
# squares at places that were never shown.
#
# ## Test yourself
# 1. How many weights has a layer of 3×3 kernels from 8 planes to 16? Does it depend on
#    the size of the image?
# 2. A kernel is the same in a mirror, and also upside down. Would the differences
#    notice that it was not turned?
# 3. The pooling of a square's plane hardly changes when the square moves by one pixel.
#    What is gained by this, and what must the decoder learn from elsewhere?
#
# The answers are in [ANSWERS.md](ANSWERS.md#17-share-weights).
#
# # Next: 18 Choose categories
# A code may also be a choice of one out of many.
