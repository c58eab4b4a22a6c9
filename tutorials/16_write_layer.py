# %% [markdown]
# # 16 Write a layer
# **What must a class of yours do, so that it can stand in any model beside the others?** Needs: 01 to 04 and 15. About
# 40 minutes.
#
# Our layer is **Swish** (Ramachandran et al. 2017), a smooth relative of ReLU with a parameter, the weight w of each
# column. With σ(t) = 1 / (1 + e^−t), the function that squeezes any number into (0, 1), and s = σ(w x):
#
#     y = x s        ∂y/∂x = s + w x s (1 − s)        ∂y/∂w = x² s (1 − s)
#
# **Predict:** what is y for w = 0? And which function does it come near to for a large w?

# %%
import numpy as np

import minivae as mv
from minivae import backend, nn
from minivae.nn.sigmoid import sigmoid


def swish(xp, x, w):
    return x * sigmoid(xp, w * x)

x = np.linspace(-3, 3, 7, dtype="float32")
for w in (0, 1, 50):
    print(f"w = {w:2}:", swish(np, x, np.float32(w)).round(3))

# %% [markdown]
# For w = 0 it is half of x, a straight line; for w = 50 nothing tells it from ReLU at these x. w bends the function.
# ## The class
# Write it in this order, as every layer here. First a formula for each derivative, times the gradient G that comes back
# from the later layers. `spare_output`: `backward` does not read y, so the next layer may overwrite it, as
# ReLU(inplace=True) does. `scale`: a factor for the gradient, 1 as a rule.

# %%
def by_input(xp, x, w, grad):
    s = sigmoid(xp, w * x)
    return grad * (s + w * x * s * (1 - s))

def by_weight(xp, x, w, grad):
    s = sigmoid(xp, w * x)
    return grad * x * x * s * (1 - s)

class Swish(nn.Module):
    """y = x s with s = σ(w x);  ∂L/∂x = G (s + w x s (1 − s)),  ∂L/∂w += scale Σₙ G x² s (1 − s).

        x  input  (N, D)      w  weight  (D,), starts at 1      y  output  (N, D)      G  ∂L/∂y
    """
    parameter_names = ("weight",)  # what get_parameters, state_dict, to() and Adam look for; grad_weight goes with it
    spare_output = True  # the next layer may overwrite y

    def __init__(self, size):
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

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = self.buffer("grad_input", input.shape)
        return backend.elementwise(by_input, input, self.weight, grad_output, out=self.grad_input)

    def acc_grad_parameters(self, input, grad_output, scale=1):
        terms, row = self.buffer("terms", input.shape), self.buffer("row", (self.size,))
        backend.elementwise(by_weight, input, self.weight, grad_output, out=terms)
        self.xp.sum(terms, axis=0, out=row)  # Σₙ
        row *= scale
        self.grad_weight += row

    def extra_repr(self):
        return f"{self.size}"

batch = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
report = mv.gradcheck(Swish(4), batch)
print(Swish(4), report, sep="\n")

# %% [markdown]
# `expect` refuses a wrong shape, dtype or library and names the layer; `buffer` hands out an array that the layer owns
# and keeps. **Step in here:** stop in `acc_grad_parameters`, look at `terms` and `row`, then step into `self.buffer`.
#
# ## Contracts
# Gradients are one promise of a layer. Others are no derivatives; we ask one by one. **Predict:** does Swish keep them?

# %%
def broken(make, x, wrong):
    """The contracts that a layer breaks, by name."""
    layer, found = make(), []
    if not np.shares_memory(layer.forward(x), layer.forward(x[:2])):
        found.append("its output stays in one place")
    if make().double().forward(x.astype("float64")).dtype != np.float64:
        found.append("float64 in, float64 out")
    try:
        nn.Sequential(nn.Identity(), layer).forward(wrong)
    except mv.errors.ShapeError as error:
        return found, str(error)
    return [*found, "a wrong shape is refused"], ""

kept, refused = broken(lambda: Swish(4), batch, batch[:, :3])
print(kept, refused, sep="\n")

# %% [markdown]
# None is broken, and the error names the layer by its place in the model. To make Swish a part of minivae, write a
# file `nn/swish.py`, a line in `nn/__init__.py` and a row in the table of `tests/layers.py`. A row says how to make the
# layer, the shape of one row of input and that of a wrong batch, `"Swish": Row(lambda: nn.Swish(4), (4,), (3, 5))`, and
# every contract in the tests runs on it.
# ## Three mistakes
# Forget a term of the derivative; write = for +=; make a new array at every call. **Predict:** what finds which?

# %%
class ForgetsTerm(Swish):
    def update_grad_input(self, input, grad_output):
        return grad_output * sigmoid(self.xp, self.weight * input)
class Overwrites(Swish):
    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight[...] = scale * by_weight(self.xp, input, self.weight, grad_output).sum(axis=0)
class Allocates(Swish):
    def update_output(self, input):
        self.expect("input", input, ("N", self.size))
        self.output = swish(self.xp, input, self.weight)
        return self.output

reports = [mv.gradcheck(mistake(4), batch) for mistake in (ForgetsTerm, Overwrites, Allocates)]
leaks, _ = broken(lambda: Allocates(4), batch, batch[:, :3])
print(*reports, leaks, sep="\n")

# %% [markdown]
# The first differs from the finite differences, and the report even says what is there instead. The second agrees with
# them, but the check calls `backward` again and sees nothing added: a layer used twice would lose a part of its
# gradient. The third has right gradients; only the contract sees that each call makes a new array.

# %% What we claimed
assert np.array_equal(swish(np, x, 0 * x), x / 2) and np.allclose(swish(np, x, 0 * x + 50), np.maximum(x, 0), atol=1e-7)
assert report.ok and repr(Swish(4)) == "Swish(4)"
assert kept == [] and leaks == ["its output stays in one place"] and refused.startswith("1 Swish(4): input has shape")
assert [each.ok for each in reports] == [False, False, True] and "σ(v) of weight · the input" in str(reports[0])
assert all(check.ok for check in reports[1].checks) and not all(check.ok for check in reports[0].checks)
model = nn.Sequential(Swish(4), nn.ReLU(inplace=True), nn.Linear(4, 2))  # allowed by spare_output
assert mv.gradcheck(model, batch).ok and model.get_parameters()[0].shape == (4 + 8 + 2,)
assert list(model.state_dict()) == ["0.weight", "2.weight", "2.bias"]

# %% [markdown]
# Next: 17 Share weights, what a layer gains by using the same weights everywhere; or a layer of your own.
