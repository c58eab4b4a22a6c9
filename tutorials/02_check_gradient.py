# %% [markdown]
# # 02 Check a gradient
# **A backward pass is written by hand. How do we know that it is the derivative of the forward pass?** Needs: 01
# (grad_output, grad_input, accumulation). About 25 minutes.
#
# A **gradient check** asks the function itself: move one number a little, see how the result moves, compare. The
# layer here is `Tanh`, which applies y = tanh(x) to each number; its derivative is 1 − tanh²(x) = 1 − y².

# %%
import numpy as np

import minivae as mv
from minivae import nn

mv.manual_seed(0)
random = np.random.default_rng(0)
points = random.standard_normal(1000)
exact = 1 - np.tanh(points) ** 2
h = 1e-5
numeric = (np.tanh(points + h) - np.tanh(points - h)) / (2 * h)
print(first_error := np.linalg.norm(numeric - exact) / np.linalg.norm(exact))

# %% [markdown]
# The two agree to ten digits. (f(x + h) − f(x − h)) / 2h is a **central difference**, and the number printed is the
# **relative error**: the length of the difference of two vectors, divided by the length of the right one.
#
# ## How small a step?
# By Taylor's formula the central difference is off by about h²/6 · f‴; the **one-sided** (f(x + h) − f(x)) / h by
# h/2 · f″. So a smaller h is better? But a computer's f is rounded: off by about 10⁻¹⁶ in **float64** (numbers of 16
# digits), by 10⁻⁷ in **float32** (7 digits), and that is divided by h. **Predict:** which h is best in each column?

# %%
def error(h, dtype, central):
    x, h = points.astype(dtype), np.dtype(dtype).type(h)
    below, width = (x - h, 2 * h) if central else (x, h)
    slopes = (np.tanh(x + h) - np.tanh(below)) / width
    return np.linalg.norm(slopes - exact) / np.linalg.norm(exact)

steps = [10.0**-k for k in range(1, 11)]
columns = ("float64", True), ("float64", False), ("float32", True)
table = np.array([[error(h, *column) for column in columns] for h in steps])
print("h       central   one-sided  float32 central")
for h, row in zip(steps, table):
    print(f"{h:.0e}", *(f"{each:10.0e}" for each in row))

# %% [markdown]
# Down the first column the error falls by 100 each time h falls by 10 (that is h²), is smallest near 10⁻⁵, and rises
# again when rounding wins. One-sided it falls by 10 only, and its best is some hundreds of times worse. In float32 no
# step comes below 10⁻⁵. Hence float64, central, h = 10⁻⁵. A relative error of 10⁻⁶ is then a fair limit: far above the
# noise and far below a mistake.
#
# ## From one number to a layer
# A layer has many outputs, a derivative wants one number. Take any weights G of the output's shape and the number
# L = Σ G · y. Then ∂L/∂y = G, so `backward(x, G)` must return ∂L/∂x; and that we can measure, entry by entry.
# **Step in here:** `minivae.nn.tanh.Tanh.update_grad_input`, set before you run the cell. Watch `self.output` and
# `input`: the derivative is made of the output, which `forward` has left there.

# %%
def disagreement(layer, x, G, h=1e-5):
    """The relative error of backward(x, G) against central differences of Σ G · layer(x)."""
    slopes = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + h
        slopes[index] = (G * layer.forward(x)).sum() / (2 * h)
        x[index] = kept - h
        slopes[index] -= (G * layer.forward(x)).sum() / (2 * h)
        x[index] = kept
    layer.forward(x)
    return np.linalg.norm(layer.backward(x, G) - slopes) / np.linalg.norm(slopes)

x, G, ones = random.standard_normal((3, 4)), random.standard_normal((3, 4)), np.ones((3, 4))
print(tanh_error := disagreement(nn.Tanh().double(), x, G))  # double(): the layer in float64

# %% [markdown]
# ## Deliberate mistakes, and a weak check
# G = 1 everywhere looks simpler. Here are three layers: one forgets grad_output, one takes its rows in the wrong order,
# one loses a factor. **Predict:** which of them does a check with ones catch, and which one with random numbers?

# %%
class ForgetsGradOutput(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return 1 - self.output**2  # · grad_output is missing

class TurnsRows(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return grad_output[::-1] * (1 - self.output**2)

class LosesFactor(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return 0.5 * grad_output * (1 - self.output**2)

found = {}
for mistake in (ForgetsGradOutput, TurnsRows, LosesFactor):
    found[mistake] = [disagreement(mistake().double(), x, weights) for weights in (ones, G)]
    print(f"{mistake.__name__:17} ones {found[mistake][0]:.0e}, random {found[mistake][1]:.1f}")

# %% [markdown]
# Ones see the lost factor, but pass the other two: with G = 1, a backward pass that ignores G or mixes up its entries
# gives the right answer by accident. A random G has no such symmetry, and catches all three.
#
# ## The check that minivae brings
# `mv.gradcheck` does what `disagreement` does: for the input *and* each parameter, on a float64 copy, with a random G.

# %%
print(right_report := mv.gradcheck(nn.Linear(4, 3), x))

# %% [markdown]
# One line for each array: its shape and relative error. Now a mistake that people make: the derivative 1 − x², where
# it should be 1 − y². **Predict:** which entries of x will be furthest off, the small or the large?

# %%
class TakesInputForOutput(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - input**2)

print(wrong_report := mv.gradcheck(TakesInputForOutput(), x))
near, far = np.array([[0.01, -0.02]]), np.array([[2.0, -3.0]])
near_error, far_error = (disagreement(TakesInputForOutput().double(), each, G[:1, :2]) for each in (near, far))
print("x", x, f"relative error for x near 0: {near_error:.0e}, far from 0: {far_error:.0f}", sep="\n")

# %% [markdown]
# The report counts the entries that differ and shows the worst: position, **analytic** (what backward says),
# **numeric** (what was measured), and their ratio. Read the ratio first: ½ or −1 everywhere is a lost factor or sign;
# here it changes from entry to entry, so the formula is another function. It is worst where |x| is large: near 0,
# tanh(x) ≈ x, and both formulas nearly agree (a relative error below 10⁻⁵ there). A check needs inputs of usual size.
# Below the numbers stands a diagnosis, where one fits: here that 1 − v² of the *input* has been taken.
# ## What a gradient check cannot see
# It compares backward with forward. **Predict:** does it pass (a) a "Tanh" whose forward *and* backward are those of
# another function; (b) a **ReLU**, y = max(x, 0), that forgets to stop the gradient where x < 0, if all x are positive?

# %%
class NotTanh(nn.Sigmoid):  # 1 / (1 + e^−x), with its own, right derivative
    pass

class NeverStops(nn.ReLU):
    def update_grad_input(self, input, grad_output):
        return grad_output

not_tanh, positive, mixed = (mv.gradcheck(*each) for each in
                             ((NotTanh(), x), (NeverStops(), np.abs(x) + 0.1), (NeverStops(), x)))
at_zero = NotTanh().forward(np.zeros((1, 1), "float32")).item()
print(not_tanh, positive, mixed, at_zero, sep="\n")

# %% [markdown]
# It passes both. (a) is a right gradient of a wrong function: one known value, tanh(0) = 0, finds it, for it gives ½.
# (b) is caught once the inputs have both signs. So test values too, and give the check inputs that reach every case.

# %% What we claimed
central, one_sided, single = table.T
assert first_error < 1e-10 and tanh_error < 1e-9
assert all(80 < central[k] / central[k + 1] < 125 for k in range(3)) and steps[central.argmin()] in (1e-5, 1e-6)
assert all(8 < one_sided[k] / one_sided[k + 1] < 12 for k in range(1, 6)) and one_sided.min() > 100 * central.min()
assert single.min() > 1e-5 and central[-1] > 1e3 * central.min()
assert found[ForgetsGradOutput][0] < 1e-9 and found[TurnsRows][0] < 1e-9 and np.isclose(found[LosesFactor][0], 0.5)
assert all(with_random > 0.1 for _, with_random in found.values())
assert right_report.ok and [check.name for check in right_report.checks] == ["input", "weight", "bias"]
assert not wrong_report.ok and near_error < 1e-5 < 1 < far_error and "1 − v²" in str(wrong_report)
assert not_tanh.ok and at_zero == 0.5 and positive.ok and not mixed.ok
# %% [markdown]
# Next: 03 Stack layers, where many layers become one, with one backward pass and one gradient.
