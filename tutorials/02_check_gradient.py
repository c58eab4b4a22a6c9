# %% [markdown]
# # 02 Check a gradient
# **A backward pass is written by hand. How do we know that it is the derivative of the
# forward pass?**
#
# Needs: 01 (grad_output, grad_input). About 45 minutes.
#
# We ask the function itself: move one number a little, see how the result moves,
# compare. That is a **gradient check**. You build one here, choose its step size with
# care, catch wrong layers with it, and see what it cannot catch.

# %%
import numpy as np
from lesson import boxes, claim, plot, show

import minivae as mv
from minivae import nn

mv.manual_seed(0)
random = np.random.default_rng(0)

# %% [markdown]
# ## A slope from two points
# Our example is y = tanh(x). It bends every number into the range from −1 to 1. Its
# derivative is 1 − tanh²(x), which is 1 − y². To measure the slope at x, take two
# points of the curve and draw a line through them. There are two ways to choose them:
#
#     central    (f(x + h) − f(x − h)) / 2h
#     one-sided  (f(x + h) − f(x)) / h
#
# The picture shows both at x = 0.8, with a large h = 0.6, beside the true tangent.
# **Predict** from it: which of the two will be nearer to the true slope?

# %%
at, wide = 0.8, 0.6


def draw(axes):
    line = np.linspace(-0.3, 2.2, 100)
    axes.plot(line, np.tanh(line), color="0.6", linewidth=3, label="tanh")
    tangent = np.tanh(at) + (1 - np.tanh(at) ** 2) * (line - at)
    axes.plot(line, tangent, "k:", label="the true tangent")
    both_sides = np.array([at - wide, at + wide])
    axes.plot(both_sides, np.tanh(both_sides), "o-", label="central")
    one_side = np.array([at, at + wide])
    axes.plot(one_side, np.tanh(one_side), "s--", label="one-sided")
    axes.set_ylim(-0.4, 1.3)
    axes.legend(frameon=False)


show(plot("Two ways to measure a slope", "x", "tanh(x)", draw), "two slopes")

# %%
true_slope = 1 - np.tanh(at) ** 2
central_slope = (np.tanh(at + wide) - np.tanh(at - wide)) / (2 * wide)
one_sided_slope = (np.tanh(at + wide) - np.tanh(at)) / wide
print(
    f"true {true_slope:.3f}, central {central_slope:.3f}, one-sided {one_sided_slope:.3f}"
)

# %% [markdown]
# The central one. The bend of the curve moves both its points to the same side of the
# tangent, by nearly the same amount, so it cancels in their difference.

# %%
claim(
    "the central difference is the nearer one",
    abs(central_slope - true_slope) < 0.5 * abs(one_sided_slope - true_slope),
)

# %% [markdown]
# Now at 1000 points and with a small h. To compare two arrays with one number we use
# the **relative error**: the length of their difference, divided by the length of the
# right one.


# %%
def relative_error(found, right):
    return np.linalg.norm(found - right) / np.linalg.norm(right)


points = random.standard_normal(1000)
exact = 1 - np.tanh(points) ** 2
h = 1e-5
numeric = (np.tanh(points + h) - np.tanh(points - h)) / (2 * h)
first_error = relative_error(numeric, exact)
print(f"relative error {first_error:.1e}")

# %%
claim("the two agree to ten digits", first_error < 1e-10)

# %% [markdown]
# ## How small a step?
# Two errors pull in opposite directions.
#
# 1. **The curve bends.** By Taylor's formula f(x ± h) = f ± h f′ + h²/2 f″ ± h³/6 f‴ …
#    Put this into the central difference: f and f″ cancel, and h²/6 f‴ is left beside
#    the slope. In the one-sided difference h/2 f″ is left. So a smaller h is better.
# 2. **The computer rounds.** It knows f only up to a rounding error ε of about 10⁻¹⁶ in
#    **float64** (numbers of 16 digits), and about 6 · 10⁻⁸ in **float32** (7 digits).
#    The difference quotient divides that by h. So a larger h is better.
# 3. **Together**, leaving out factors such as ⅙, the error is h² + ε/h for the central
#    difference, and h + ε/h for the one-sided one. The best h is near the place where
#    both terms are equal: h² = ε/h gives h = ∛ε, and h = ε/h gives h = √ε.
#
# **Predict:** work out ∛ε and √ε for float64, and ∛ε for float32. And how large is the
# error at that h?


# %%
def error(h, dtype, central):
    """The relative error of a difference quotient that is worked out in this dtype."""
    x = points.astype(dtype)
    h = np.dtype(dtype).type(h)
    if central:
        slopes = (np.tanh(x + h) - np.tanh(x - h)) / (2 * h)
    else:
        slopes = (np.tanh(x + h) - np.tanh(x)) / h
    return relative_error(slopes, exact)


steps = 10 ** -np.linspace(1, 10, 37)  # four for each factor of ten
central = np.array([error(h, "float64", central=True) for h in steps])
one_sided = np.array([error(h, "float64", central=False) for h in steps])
single = np.array([error(h, "float32", central=True) for h in steps])

# %%
print("h        central   one-sided   central in float32")
for k in range(0, 37, 4):
    print(f"{steps[k]:.0e}  {central[k]:8.0e}  {one_sided[k]:10.0e}  {single[k]:12.0e}")
for name, errors in (("central", central), ("one-sided", one_sided), ("float32", single)):
    best = errors.argmin()
    print(f"{name}: best h {steps[best]:.0e}, error {errors[best]:.0e}")

# %% [markdown]
# Both axes of the plot are logarithmic, so a power of h is a straight line. Read it
# from right to left, towards smaller steps. First the error falls, as h² or as h. Then
# rounding wins, and it rises as 1/h.


# %%
def draw(axes):
    axes.loglog(steps, one_sided, "s--", markersize=4, label="one-sided, float64")
    axes.loglog(steps, central, "o-", markersize=4, label="central, float64")
    axes.loglog(steps, single, "^:", markersize=4, label="central, float32")
    axes.legend(frameon=False)


show(plot("Error of a measured slope", "step h", "relative error", draw), "error")

# %% [markdown]
# The formulas give h = 5 · 10⁻⁶ for the central difference in float64, 10⁻⁸ for the
# one-sided one, and 4 · 10⁻³ in float32. The measured best steps are 3 · 10⁻⁶, 10⁻⁸ and
# 3 · 10⁻³.
#
# And the error there? Both terms of h² + ε/h are equal at h = ∛ε, and their sum is 2 h²
# = 4 · 10⁻¹¹; h + ε/h is 2 · 10⁻⁸ at √ε, and in float32 the sum is 3 · 10⁻⁵. The
# measured errors, 8 · 10⁻¹², 7 · 10⁻⁹ and 6 · 10⁻⁶, are three to five times smaller:
# the factors that we left out, such as ⅙, are below 1.

# %%
claim(
    "the formulas tell the smallest errors to a factor of ten",
    all(
        0.1 < measured / formula < 10
        for measured, formula in (
            (central.min(), 4e-11),
            (one_sided.min(), 2e-8),
            (single.min(), 3e-5),
        )
    ),
)
claim(
    "ten times smaller, the central error falls a hundredfold",
    all(80 < central[k] / central[k + 4] < 125 for k in (0, 4, 8)),
)
claim(
    "the one-sided error falls tenfold",
    all(8 < one_sided[k] / one_sided[k + 4] < 12 for k in (4, 8, 12, 16)),
)
claim("central is best near ∛ε", 1e-6 < steps[central.argmin()] < 2e-5)
claim("one-sided is best near √ε", 1e-9 < steps[one_sided.argmin()] < 1e-7)
claim("in float32 the best is near its own ∛ε", 1e-3 < steps[single.argmin()] < 2e-2)

# %% [markdown]
# The best one-sided error is some hundreds of times the best central one. In float32 no
# step comes below 10⁻⁶. Hence: float64, central, and h = 10⁻⁵, a little larger than the
# best step, where rounding matters less. A relative error of 10⁻⁶ is then a fair limit
# for a gradient check: far above the noise of 10⁻¹¹, and far below most mistakes, if
# the inputs are of size about 1. (You will meet a mistake that a small input hides.)

# %%
claim("the best one-sided error is far larger", one_sided.min() > 100 * central.min())
claim("float32 never comes below 10⁻⁶", single.min() > 1e-6)

# %% [markdown]
# ## From one number to a layer
# A layer has many outputs, and a derivative belongs to *one* number. So make one number
# of the outputs. Three steps:
#
# 1. Choose any array G of the output's shape, and let L = Σ G · y, the sum of all
#    products of their entries.
# 2. Then ∂L/∂y is G, for every layer.
# 3. So `backward(x, G)` must return ∂L/∂x. And that we can measure: move one entry of x
#    up and down by h, and see how L moves.

# %%
picture = boxes("""
x → [layer] → y → [Σ G · y] → L
∂L/∂x ← [layer] ← G ← [Σ G · y] ← 1
""")
show(picture, "one number from many outputs")


# %%
def measured_gradient(layer, x, G, h=1e-5):
    """Central differences of L = Σ G · layer(x), one entry of x at a time."""
    slopes = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        above = x.copy()
        above[index] += h
        below = x.copy()
        below[index] -= h
        L_above = (G * layer.forward(above)).sum()
        L_below = (G * layer.forward(below)).sum()
        slopes[index] = (L_above - L_below) / (2 * h)
    return slopes


# %% [markdown]
# `disagreement` compares it with `backward`. The layer is minivae's `Tanh`. `double()`
# turns a layer to float64. **Step in here:** `minivae.nn.tanh.Tanh.update_grad_input`,
# with a breakpoint set before you run the cell. Look at `self.output`. The derivative
# is 1 − y², so the layer needs y again, and `forward` has left it there.


# %%
def disagreement(layer, x, G):
    """The relative error of backward(x, G)."""
    measured = measured_gradient(layer, x, G)
    layer.forward(x)  # backward wants the input that forward has seen last
    return relative_error(layer.backward(x, G), measured)


x = random.standard_normal((3, 4))
G = random.standard_normal((3, 4))
tanh_error = disagreement(nn.Tanh().double(), x, G)
print(f"relative error {tanh_error:.1e}")

# %%
claim("Tanh passes the check", tanh_error < 1e-9)

# %% [markdown]
# ## Deliberate mistakes
# Here are four layers with a wrong backward pass. The first forgets grad_output. The
# second takes the rows of grad_output in the wrong order. The third turns the rows of
# its result. The fourth loses a factor.


# %%
class ForgetsGradOutput(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return 1 - self.output**2  # · grad_output is missing


class TurnsGradOutput(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return grad_output[::-1] * (1 - self.output**2)


class TurnsResult(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return (grad_output * (1 - self.output**2))[::-1]


class LosesFactor(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return 0.5 * grad_output * (1 - self.output**2)


# %% [markdown]
# G = 1 everywhere looks simpler than a random G. **Predict:** which of the four does a
# check with ones catch? And one with random numbers?

# %%
ones = np.ones((3, 4))
with_ones = {}
with_random = {}
for mistake in (ForgetsGradOutput, TurnsGradOutput, TurnsResult, LosesFactor):
    with_ones[mistake] = disagreement(mistake().double(), x, ones)
    with_random[mistake] = disagreement(mistake().double(), x, G)
    print(f"{mistake.__name__:17}", end="  ")
    print(f"ones {with_ones[mistake]:.0e}   random {with_random[mistake]:.0e}")

# %% [markdown]
# Ones catch the lost factor and the turned result. They pass the first two: with G = 1,
# a backward pass that ignores G or mixes up its entries gives the right answer by
# accident. A random G catches all four.

# %%
claim("ones catch a lost factor", abs(with_ones[LosesFactor] - 0.5) < 1e-6)
claim("ones catch a turned result", with_ones[TurnsResult] > 0.05)
claim("ones pass a forgotten grad_output", with_ones[ForgetsGradOutput] < 1e-9)
claim("ones pass turned rows of grad_output", with_ones[TurnsGradOutput] < 1e-9)
claim("random numbers catch all four", min(with_random.values()) > 0.05)

# %% [markdown]
# ## The check that minivae brings
# `mv.gradcheck` does what `disagreement` does, for the input *and* for each parameter.
# It works on a copy in float64, with a random G.

# %%
right_report = mv.gradcheck(nn.Linear(4, 3), x)
print(right_report)

# %% [markdown]
# There is one line for each array, with its shape and relative error.

# %%
names = [check.name for check in right_report.checks]
claim("a Linear passes", right_report.ok)
claim("it was checked for input, weight and bias", names == ["input", "weight", "bias"])

# %% [markdown]
# ## Read a report of a failure
# Now a mistake that people make: 1 − x² for the derivative, where 1 − y² is right.
# **Predict:** for which entries of x will it be furthest off, the small ones or the
# large ones?


# %%
class TakesInputForOutput(nn.Tanh):
    def update_grad_input(self, input, grad_output):
        return grad_output * (1 - input**2)


wrong_report = mv.gradcheck(TakesInputForOutput(), x)
print("x is", x, sep="\n")
print(wrong_report)

# %% [markdown]
# The report says how many entries differ and shows the worst. Each has its position,
# the **analytic** value (what `backward` says), the **numeric** value (what was
# measured), and their ratio. Read the ratios first:
#
# - ½ everywhere is a lost factor, −1 everywhere a lost sign.
# - Here the ratio changes from entry to entry, so the formula is another function.
#
# Below the numbers stands a diagnosis, where minivae has one. It begins with how sure
# minivae is. "certain" means that this one explanation reproduces every entry, here and
# at other inputs; "likely" and "possible" are weaker. Here the diagnosis is right: 1 −
# v² of the input has been taken. (In later reports the ratio may be "-": the numeric
# value is 0 there, and nothing can be divided by it.)

# %%
claim("the wrong layer fails", not wrong_report.ok)
claim("the diagnosis names the formula 1 − v²", "1 − v²" in str(wrong_report))

# %%
small_x = np.array([[0.01, -0.02]])
large_x = np.array([[2.0, -3.0]])
G2 = G[:1, :2]
small_error = disagreement(TakesInputForOutput().double(), small_x, G2)
large_error = disagreement(TakesInputForOutput().double(), large_x, G2)
print(f"relative error for small x {small_error:.0e}, for large x {large_error:.0f}")

# %% [markdown]
# The large ones. Near 0, tanh(x) is nearly x, so both formulas nearly agree, and the
# mistake would pass a limit of 10⁻⁶. Give a check inputs of the size that the layer
# meets in use, about 1.

# %%
claim("for small x the mistake would pass", small_error < 1e-6)
claim("for large x it cannot be overlooked", large_error > 1)

# %% [markdown]
# ## Where no diagnosis fits
# minivae knows some dozens of mistakes, and people make others. Where it knows none, it
# edits the source of your class, one small change at a time: a sign, a number, an axis,
# a name, a factor. It runs each, and quotes a change that makes the gradients agree, if
# there is one. This layer is x times its sigmoid.


# %%
class Swish(nn.Module):
    def update_output(self, input):
        self.sigmoid = 1 / (1 + np.exp(-input))
        return input * self.sigmoid

    def update_grad_input(self, input, grad_output):
        slope = self.sigmoid * (1 + input - self.sigmoid)
        return grad_output * slope


bent_report = mv.gradcheck(Swish(), x)
print(bent_report)

# %% [markdown]
# It says where to look, not why. That the derivative of x σ is σ (1 + x − x σ), and that
# x σ is the output, is left to you. (In the exercises the change is not quoted.)

# %%
claim("it says what to write", "`1 + input - self.output`" in str(bent_report))

# %% [markdown]
# ## What a gradient check cannot see
# It compares backward with forward, and nothing else. **Predict:** does it pass
#
# - (a) a "Tanh" whose forward *and* backward are those of another function?
# - (b) a **ReLU**, y = max(x, 0), which forgets to stop the gradient where x < 0, if
#   all x are positive?


# %%
class NotTanh(nn.Sigmoid):
    """1 / (1 + e^−x), with its own, right derivative."""


class NeverStops(nn.ReLU):
    def update_grad_input(self, input, grad_output):
        return grad_output


not_tanh = mv.gradcheck(NotTanh(), x)
positive = mv.gradcheck(NeverStops(), np.abs(x) + 0.1)
print(not_tanh, positive, sep="\n")

# %% [markdown]
# It passes both. What finds them? One known value finds (a): tanh(0) is 0. Inputs of
# both signs find (b).

# %%
at_zero = NotTanh().forward(np.zeros((1, 1), dtype="float32"))[0, 0]
mixed = mv.gradcheck(NeverStops(), x)
print("'tanh'(0) =", at_zero)
print(mixed)

# %%
claim("(a) passes: a right gradient of a wrong function", not_tanh.ok)
claim("but its value at 0 is ½, not 0", at_zero == 0.5)
claim("(b) passes while all x are positive", positive.ok)
claim("and fails once x has both signs", not mixed.ok)

# %% [markdown]
# So test values too, and give the check inputs that reach every case.
#
# ## In three sentences
# A gradient check measures each derivative of L = Σ G · y by a central difference and
# compares it with `backward`. In float64 with h near ∛ε the two agree to ten digits,
# and random G lets no mistake pass that only ignores or mixes up G. The check proves
# that backward fits forward at these inputs; that forward is right needs a test of
# values.
#
# ## Test yourself
# 1. Why is float32 a bad choice for a gradient check, though training uses it?
# 2. A report has the ratio 2 in every entry of "weight", and "input" passes. Where do
#    you look?
# 3. A layer passes with a batch of one row. Which mistake may be left, that a batch of
#    three rows would show?
#
# The answers are in [ANSWERS.md](ANSWERS.md#02-check-a-gradient).
#
# # Next: 03 Stack layers
# Many layers become one, with one backward pass and one gradient.
