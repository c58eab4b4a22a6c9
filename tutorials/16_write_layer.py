# %% [markdown]
# # 16 Write a layer
# **What must a class of yours do, so that it can stand in any model beside the
# others?**
#
# Needs: 01 to 04 and 15. About 75 minutes. Two layers are built: one with a weight, and
# one that draws noise. You write the first verb by verb, have it checked, break it in
# three ways and see what finds each mistake. The second shows what noise adds.

# %%
import numpy as np
from lesson import beside, boxes, claim, plot, show

import minivae as mv
from minivae import backend, nn
from minivae.errors import ShapeError
from minivae.nn.sigmoid import sigmoid

mv.manual_seed(0)
random = np.random.default_rng(0)

# %% [markdown]
# ## The function
# Our layer is **Swish** (Ramachandran et al. 2017), a smooth relative of ReLU. It has
# one weight w for each column of its input. σ(t) = 1 / (1 + e^−t) squeezes any number
# into (0, 1):
#
#     y = x σ(w x)
#
# minivae has σ as `sigmoid(xp, t)`. `xp` is the library that does the work, `numpy` or
# `cupy` (15).


# %%
def swish(xp, x, w):
    return x * sigmoid(xp, w * x)


# %% [markdown]
# **Predict:** what is y for w = 0? And which function does it come near to for a large
# w?

# %%
x = np.linspace(-3, 3, 121)


def draw_swish(axes):
    for w, line in ((0, ":"), (1, "-"), (3, "--"), (50, "-.")):
        axes.plot(x, swish(np, x, w), line, lw=2, label=f"w = {w}")
    axes.legend(frameon=False)


show(plot("Swish", "x", "y = x σ(w x)", draw_swish), "swish")

# %% [markdown]
# For w = 0 it is half of x, a straight line, because σ(0) = ½. For a large w, σ(w x) is
# nearly 0 on the left and nearly 1 on the right, so y is nearly max(x, 0), which is
# ReLU. The weight bends the function, and it is learned.

# %%
claim("with w = 0 it is half of x", np.allclose(swish(np, x, 0), x / 2))
farthest = np.abs(swish(np, x, 50) - np.maximum(x, 0)).max()
claim("with w = 50 it is ReLU to within 0.01", farthest < 0.01)

# %% [markdown]
# ## The derivatives
# A backward pass needs ∂y/∂x and ∂y/∂w. Try them on paper first. You need one fact: the
# derivative of σ(t) is σ(t) (1 − σ(t)). Write s for σ(w x).
#
# 1. y = x s is a product. So ∂y/∂x = s + x ∂s/∂x.
# 2. By the chain rule ∂s/∂x = w s (1 − s). So ∂y/∂x = s + w x s (1 − s).
# 3. By the chain rule ∂s/∂w = x s (1 − s). So ∂y/∂w = x · x s (1 − s) = x² s (1 − s).
#
# The loss L comes after y. Let G = ∂L/∂y be the gradient that comes back from there.
# Each derivative is multiplied by G:


# %%
def by_input(xp, x, w, G):
    s = sigmoid(xp, w * x)
    return G * (s + w * x * s * (1 - s))


def by_weight(xp, x, w, G):
    s = sigmoid(xp, w * x)
    return G * x * x * s * (1 - s)


# %% [markdown]
# Before we build on them, we compare both with a difference quotient, as in 02.

# %%
h = 1e-6
w = 1.5
along_x = (swish(np, x + h, w) - swish(np, x - h, w)) / (2 * h)
along_w = (swish(np, x, w + h) - swish(np, x, w - h)) / (2 * h)
claim("∂y/∂x is right", np.allclose(by_input(np, x, w, 1), along_x, atol=1e-7))
claim("∂y/∂w is right", np.allclose(by_weight(np, x, w, 1), along_w, atol=1e-7))

# %% [markdown]
# ## What a layer is made of
# Forward, a layer makes y of x. Backward, it makes two things of G: the gradient for
# the layer before it, and the gradient for its own weight.

# %%
picture = boxes("""
x → [update_output] → y
∂L/∂x ← [update_grad_input] ← G
grad_weight ← [acc_grad_parameters] ← G
""")
show(picture, "three verbs")

# %% [markdown]
# You write these three methods. `Module` makes `forward` and `backward` of them:
# `forward` calls the first, `backward` the other two. We write one method at a time. In
# a file of your own they would stand in one class; here each cell adds to the class
# before it.
#
# ### The way forward


# %%
class SwishForward(nn.Module):
    parameter_names = ("weight",)

    def __init__(self, size: int):
        super().__init__()
        self.size = size
        self.new_parameter("weight", (size,))
        self.reset()

    def reset(self):
        self.weight.fill(1)

    def update_output(self, input):
        self.expect("input", input, ("N", self.size))
        self.output = self.buffer("output", input.shape)
        return backend.elementwise(swish, input, self.weight, out=self.output)


# %% [markdown]
# - `new_parameter` makes `weight` and `grad_weight`, both filled with zeros.
# - `parameter_names` lists what is learned. `get_parameters`, `state_dict`, `to` and so
#   Adam look there.
# - `reset` gives the weight its first value. Here that is 1.
# - `expect` refuses an input of a wrong shape, dtype or library. "N" stands for any
#   number of rows.
# - `buffer` hands out an array that the layer owns. It keeps it from call to call, so
#   that no call waits for memory.
# - `elementwise` runs a formula on every element and writes the result to `out`. On a
#   GPU it is one kernel (15).
#
# **Predict:** does it run forward? What does `backward` say?

# %%
batch = random.standard_normal((5, 4)).astype("float32")
half_done = SwishForward(4)
y = half_done.forward(batch).copy()
print(y)
try:
    half_done.backward(batch, np.ones_like(y))
    missing = "nothing"
except NotImplementedError as error:
    missing = str(error)
print(missing)

# %%
claim("forward computes x σ(x)", np.allclose(y, batch / (1 + np.exp(-batch)), atol=1e-6))
claim("backward says what is missing", "no update_grad_input" in missing)

# %% [markdown]
# ### The way back to the input


# %%
class SwishToInput(SwishForward):
    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        grad_input = self.buffer("grad_input", input.shape)
        backend.elementwise(by_input, input, self.weight, grad_output, out=grad_input)
        self.grad_input = grad_input
        return grad_input


# %% [markdown]
# `expect_grad_output` refuses a G whose shape is not that of y, and a backward pass
# without a forward pass before it.
#
# **Predict:** this class leaves the third verb out, and the `Module` has one that does
# nothing. What will the gradient check say?

# %%
without_weight = mv.gradcheck(SwishToInput(4), batch)
print(without_weight)

# %%
claim("the check fails", not without_weight.ok)
claim(
    "the gradient of the input is right, that of the weight is not",
    [check.ok for check in without_weight.checks] == [True, False],
)

# %% [markdown]
# ### The gradient of the weight
# All N rows use the same weight, so the gradient is a sum over the rows (01). It is
# *added* to what is there, times `scale`, which is 1 as a rule:
#
#     ∂L/∂w[d] += scale Σₙ G[n, d] x[n, d]² s (1 − s)


# %%
class Swish(SwishToInput):
    """y = x s with s = σ(w x), with a weight for each column.

    x  input  (N, D)      w  weight  (D,), starts at 1      y  output  (N, D)

        ∂L/∂x = G (s + w x s (1 − s))        ∂L/∂w += scale Σₙ G x² s (1 − s)
    """

    spare_output = True

    def acc_grad_parameters(self, input, grad_output, scale=1):
        terms = self.buffer("terms", input.shape)
        row = self.buffer("row", (self.size,))
        backend.elementwise(by_weight, input, self.weight, grad_output, out=terms)
        self.xp.sum(terms, axis=0, out=row)
        row *= scale
        self.grad_weight += row

    def extra_repr(self):
        return f"{self.size}"


# %% [markdown]
# `self.xp` is the library of this layer's arrays. `extra_repr` is what `print` shows in
# brackets. `spare_output` says that our `backward` never reads y. So the layer after it
# may write over y, as `ReLU(inplace=True)` does.
#
# ## Is it right?
# **Step in here:** set a breakpoint in `acc_grad_parameters` above. Look at `terms` and
# `row`, then step into `self.buffer`. At the second call it hands out the same array.

# %%
report = mv.gradcheck(Swish(4), batch)
print(report)

# %%
claim("the gradients agree with finite differences", report.ok)
claim("it prints its size", repr(Swish(4)) == "Swish(4)")

# %% [markdown]
# It can now stand in any model. **Predict:** how many parameters has the one below?
# What are their paths?

# %%
model = nn.Sequential(Swish(4), nn.ReLU(inplace=True), nn.Linear(4, 2))
flat, _ = model.get_parameters()
print(model, len(flat), list(model.state_dict()), sep="\n")

# %%
paths = ["0.weight", "2.weight", "2.bias"]
claim("flat holds the 4 weights of Swish and 10 of Linear", len(flat) == 4 + 8 + 2)
claim("the paths are those of any layer", list(model.state_dict()) == paths)
claim("the ReLU may overwrite y", mv.gradcheck(model, batch).ok)

# %% [markdown]
# ## Promises that are no derivatives
# A gradient is one promise of a layer. There are others, its **contracts**. We ask for
# three, one by one. **Predict:** does Swish keep them?
#
# **Its output stays in one place.** A smaller batch uses the beginning of the same
# memory.


# %%
def output_stays(layer):
    """Whether two calls, the second with fewer rows, write to the same memory."""
    first = layer.forward(batch)
    second = layer.forward(batch[:2])
    return np.shares_memory(first, second)


claim("the output of Swish stays in one place", output_stays(Swish(4)))

# %% [markdown]
# **float64 in, float64 out.** `double()` converts a model, and the check of gradients
# uses it, because float32 is too coarse for differences (02).

# %%
y64 = Swish(4).double().forward(batch.astype("float64"))
claim("a layer in float64 stays in float64", y64.dtype == np.float64)

# %% [markdown]
# **A wrong shape is refused**, with a message that names the layer. We put it second in
# a model and give it three columns.

# %%
inside = nn.Sequential(nn.Identity(), Swish(4))
try:
    inside.forward(batch[:, :3])
    refused = "nothing"
except ShapeError as error:
    refused = str(error)
print(refused)

# %%
claim("the error names the layer by its place", refused.startswith("1 Swish(4): input"))

# %% [markdown]
# ## Three deliberate mistakes
# Here are three mistakes that everyone makes once. **Predict:** what finds which, the
# gradient check or a contract?
#
# The first forgets a term of the derivative.


# %%
class ForgetsTerm(Swish):
    def update_grad_input(self, input, grad_output):
        return grad_output * sigmoid(self.xp, self.weight * input)


# %% [markdown]
# The second writes = where += belongs.


# %%
class Overwrites(Swish):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        terms = by_weight(self.xp, input, self.weight, grad_output)
        self.grad_weight[...] = scale * terms.sum(axis=0)


# %% [markdown]
# The third makes a new array at every call.


# %%
class Allocates(Swish):
    def update_output(self, input):
        self.expect("input", input, ("N", self.size))
        self.output = swish(self.xp, input, self.weight)
        return self.output


# %%
forgets = mv.gradcheck(ForgetsTerm(4), batch)
overwrites = mv.gradcheck(Overwrites(4), batch)
allocates = mv.gradcheck(Allocates(4), batch)
print(forgets, overwrites, allocates, sep="\n\n")
print("the output of Allocates stays in one place:", output_stays(Allocates(4)))

# %% [markdown]
# The first differs from the finite differences, and the report even says what is there
# in place of the derivative: σ of the weight times the input.

# %%
claim("a forgotten term shows in the differences", not forgets.checks[0].ok)
claim("the report names the mistake", "σ(v) of weight · the input" in str(forgets))

# %% [markdown]
# The second agrees with the differences in every number. But the check calls `backward`
# once more and sees that nothing was added. In a model that uses this layer twice, a
# part of its gradient would be lost (03).

# %%
claim("overwriting agrees in every number", all(check.ok for check in overwrites.checks))
claim("and the check still fails", not overwrites.ok)

# %% [markdown]
# The third has right gradients. Only the contract sees it. Its results are right, but
# it asks for new memory at every call. And it breaks a rule on which others may rely.
# In minivae an output is one place, which each call overwrites. Who wants to keep a
# result makes a copy (01). Who holds the place itself finds the newest result there,
# but with `Allocates` an old one.

# %%
claim("a new array at every call has right gradients", allocates.ok)
claim("but its output does not stay in one place", not output_stays(Allocates(4)))

# %% [markdown]
# ## A layer with noise
# Some layers draw random numbers: the samplers of a VAE, and noise that makes a model
# robust (10). We write one that multiplies each number by a random factor near 1.
# (Srivastava et al. 2014 propose it beside dropout.)
#
#     training     y = x (1 + std ε),  ε from N(0, 1)        ∂L/∂x = G (1 + std ε)
#     evaluation   y = x                                     ∂L/∂x = G
#
# Noise adds three rules to those of above.
#
# 1. **Draw with `self.draw`.** It fills the buffer `self.noise` from minivae's own
#    generator, so that `mv.manual_seed` makes a run repeatable. And it can hold the
#    noise: after `hold_noise()` every call gets the same ε. Then y is a fixed function
#    of x, which a gradient check needs.
# 2. **Backward uses the ε that forward drew.** It stands in `self.noise`. Whoever draws
#    anew computes the gradient of another function.
# 3. **`self.train` tells the mode.** `training()` and `evaluate()` set it.

# %%
picture = boxes("""
x → [x (1 + std ε)] → y
ε → [self.noise] → ε
∂L/∂x ← [G (1 + std ε)] ← G
""")
show(picture, "a layer with noise")


# %%
def multiply(xp, values, noise, std):
    return values * (1 + std * noise)


class MultiplyNoise(nn.Module):
    def __init__(self, std=0.5):
        super().__init__()
        self.std = std

    def update_output(self, input):
        self.expect("input", input)
        if not self.train:
            self.output = input
            return self.output
        noise = self.draw(backend.standard_normal, input.shape)
        self.output = self.buffer("output", input.shape)
        return backend.elementwise(multiply, input, noise, self.std, out=self.output)

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        if not self.train:
            self.grad_input = grad_output
            return self.grad_input
        out = self.buffer("grad_input", input.shape)
        self.grad_input = out
        return backend.elementwise(multiply, grad_output, self.noise, self.std, out=out)


# %% [markdown]
# It has no weight, so it needs no `acc_grad_parameters`. **Predict:** are two outputs
# for the same input equal? After `hold_noise()`? After `evaluate()`?

# %%
layer = MultiplyNoise()
anew = np.array_equal(layer.forward(batch).copy(), layer.forward(batch))
layer.hold_noise()
held = np.array_equal(layer.forward(batch).copy(), layer.forward(batch))
layer.hold_noise(False)
layer.evaluate()
same = np.array_equal(layer.forward(batch), batch)
print("equal:", anew, " held:", held, " evaluation hands on its input:", same)

# %%
claim("each call draws anew", not anew)
claim("held noise makes it one function", held)
claim("in evaluation it changes nothing", same)
claim("its gradient is right", mv.gradcheck(MultiplyNoise(), batch).ok)

# %% [markdown]
# ## Three deliberate mistakes with noise
# The first draws anew on the way back. The second has a generator of its own, which
# nobody can hold. The third draws from the uniform distribution on [0, 1) in place of
# N(0, 1). All else is as it was; the second and the third only exchange `self.draw`.
# **Predict:** which of them passes the gradient check?


# %%
class DrawsAgain(MultiplyNoise):
    def update_grad_input(self, input, grad_output):
        if self.train:
            self.noise = backend.standard_normal(np.empty_like(input))
        return super().update_grad_input(input, grad_output)


own_generator = np.random.default_rng(0)


class DrawsByItself(MultiplyNoise):
    def draw(self, fill, shape):
        self.noise = own_generator.standard_normal(shape).astype(self.dtype)
        return self.noise


class WrongNoise(MultiplyNoise):
    def draw(self, fill, shape):
        return super().draw(backend.uniform, shape)


# %%
again = mv.gradcheck(DrawsAgain(), batch)
by_itself = mv.gradcheck(DrawsByItself(), batch)
wrong_noise = mv.gradcheck(WrongNoise(), batch)
print(again, by_itself, wrong_noise, sep="\n\n")

# %%
claim("drawing anew is found", not again.ok)
claim("and named", "noise is drawn anew in backward" in str(again))
claim("a generator of one's own is found", not by_itself.ok)
claim("the wrong distribution passes the gradient check", wrong_noise.ok)

# %% [markdown]
# The third passes: its gradient is right for the noise that it drew. A gradient check
# holds the noise, so it cannot see where the noise comes from. For that one must count.
# We feed ones, take ε = (y − 1) / std, and look at 100,000 of them.


# %%
def noise_of(layer):
    ones = np.ones((1000, 100), dtype="float32")
    return (layer.forward(ones) - 1) / layer.std


def draw_noise(title, epsilon):
    def draw(axes):
        axes.hist(epsilon.ravel(), bins=80, range=(-4, 4), density=True, color="#9ecae1")
        grid = np.linspace(-4, 4, 200)
        bell = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
        axes.plot(grid, bell, "--", color="#c8553d", label="N(0, 1)")
        axes.legend(frameon=False)

    return plot(title, "ε", "density", draw, size=(5, 3.5))


right = noise_of(MultiplyNoise())
wrong = noise_of(WrongNoise())
print(f"right: mean {right.mean():.3f}, spread {right.std():.3f}")
print(f"wrong: mean {wrong.mean():.3f}, spread {wrong.std():.3f}")
show(
    beside(draw_noise("MultiplyNoise", right), draw_noise("WrongNoise", wrong)),
    "the noise that two layers draw",
)

# %%
claim("the right noise has mean 0", abs(right.mean()) < 0.03)
claim("and spread 1", abs(right.std() - 1) < 0.03)
claim("the wrong noise has mean ½", abs(wrong.mean() - 0.5) < 0.03)

# %% [markdown]
# minivae counts in this way for its own layers, with `mv.debug.check_noise` and
# `mv.debug.check_sampler`. It counts for yours as well, if you state the law: a function
# of the input and of one of NumPy's generators, which draws what the layer should give.


# %%
def law(x, generator):
    return x * (1 + 0.5 * generator.standard_normal(x.shape))


counted = mv.debug.check_noise(WrongNoise(), law)
print(counted)

# %%
claim("it finds the wrong noise", not counted.ok)
claim("and passes the right one", mv.debug.check_noise(MultiplyNoise(), law).ok)

# %% [markdown]
# ## Make it a part of minivae
# Four steps:
#
# 1. Write a file `minivae/nn/swish.py` with the three formulas and the class, all verbs
#    in one: `class Swish(Module)`. Its imports are
#
#        from minivae import backend
#        from minivae.nn.module import Module
#        from minivae.nn.sigmoid import sigmoid
#
# Keep `size: int`, which says what the layer takes. The tests ask each argument of
# `__init__` for such an annotation.
# 2. Add a line to `minivae/nn/__init__.py`:
#
#        from minivae.nn.swish import Swish
#
# 3. Add a row to the table in `tests/layers.py`. It says how to make the layer, the
#    shape of one row of its input, and the shape of a batch that it must refuse:
#
#        "Swish": Row(lambda: nn.Swish(4), (4,), (3, 5)),
#
# 4. Run the tests of all layers:
#
#        .venv/bin/python -m pytest tests/test_contract.py tests/test_annotations.py
#
# They ask the layer for every contract, those of above and many more.
#
# ## In three sentences
# A layer is three verbs: `update_output`, `update_grad_input` and
# `acc_grad_parameters`, which adds. A gradient check finds wrong derivatives and
# gradients that overwrite; contracts, such as an output that stays in one place, need
# questions of their own. A layer with noise draws with `self.draw`, uses the same noise
# on the way back, and passes its input on in evaluation; whether its distribution is
# right only counting can tell.
#
# ## Test yourself
# 1. Why does `acc_grad_parameters` of Swish sum over the rows, while
#    `update_grad_input` does not?
# 2. May a layer that sets `spare_output` compute its gradient from its own output?
# 3. You write a layer that draws noise, and its gradient check passes. What have you
#    not checked?
#
# The answers are in [ANSWERS.md](ANSWERS.md#16-write-a-layer).
#
# # Next: 17 Share weights
# A layer gains much by using the same weights at every place.
