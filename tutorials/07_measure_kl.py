# %% [markdown]
# # 07 Measure the divergence
#
# The encoder of 06 gives each image x a distribution q(z|x) of codes.  **How far is it from p(z), the one distribution
# from which codes are drawn when there is no image, and how does a layer pull it there?**  Needs: 06.  30 minutes.
#
# p(z) is called the *prior*; here it is N(0, I), a Gaussian with mean 0 and variance 1 for each number of the code.
# The *Kullback-Leibler divergence* is an expectation, the mean over codes drawn from q:
#
#     KL(q ‖ p) = E_q[ln q(z) − ln p(z)]
#
# How much more likely is a code of q under q than under p, as a logarithm?  With the natural one the unit is the *nat*;
# one *bit*, the answer to a fair yes-or-no question, is ln 2 = 0.693 nats.  Here there is a closed form: as
# ln q − ln p = ½ (z² − (z − mean)² / σ² − ln σ²), and these squares are mean² + σ² and 1 on average,
#
#     KL = ½ Σ (mean² + e^log_var − 1 − log_var)        with e^log_var = σ², summed over the numbers of the code

# %%
import numpy as np

import minivae as mv
from minivae import figures, nn

mv.manual_seed(0)
kl = nn.GaussianKL().double()
mean, log_var = np.array([[1.0, 0.0, 0.0], [2.0, -1.0, 0.0]]), np.array([[0.0, -4.0, 0.0], [-2.0, 0.5, -1.0]])
kl((mean, log_var))
closed, units = kl.rows((mean, log_var)), kl.units((mean, log_var))
print("nats for the batch", kl.divergence, "per row", closed, "per number of the code", units, sep="\n")

# %% [markdown]
# The first row: a mean that is off by one standard deviation costs ½ nat; a spread of e^−2 = 0.14 in place of 1 costs
# 1.51 nats; the last number has mean 0 and σ = 1, it *is* the prior, and costs nothing.  KL = 0 means q(z|x) = p(z) for
# *this* image.  If it is 0 for every image, all are coded alike, and the code says nothing.  **Predict:** one image has
# q = N(0, 1), KL 0, another q = N(6, 0.1²).  Does the code tell the two apart?

# %%
two_images = np.array([[0.0], [6.0]]), np.log([[1.0], [0.1**2]])
its_codes = nn.GaussianSampler(samples=10_000).double()(two_images).reshape(2, 10_000)
beyond_5 = (its_codes > 5).mean(axis=1)
print("KL", kl.rows(two_images), " share of codes above 5", beyond_5)

# %% [markdown]
# Practically every time; the second image pays for it.
#
# ## Does the closed form tell the truth?
# The definition is a mean over draws, and 06 can draw.  **Predict:** with 100,000 draws of each row, how close is the
# average of ln q(z) − ln p(z)?  And with the wrong layer of 06, which multiplies ε by σ² in place of σ?
# (`log_posterior` is ln q(z|x), `log_prior` is ln p(z).)

# %%
sampler = nn.GaussianSampler(samples=100_000).double()

def estimate(z):
    """(average of ln q(z) − ln p(z) for each row, its standard error)."""
    terms = (kl.latent.log_posterior((mean, log_var), z) - kl.latent.log_prior(z)).reshape(2, -1)
    return terms.mean(axis=1), terms.std(axis=1) / np.sqrt(terms.shape[1])


drawn, error = estimate(sampler((mean, log_var)))
wrong_z = mean.repeat(100_000, axis=0) + np.exp(log_var).repeat(100_000, axis=0) * sampler.noise  # σ² for σ
wrong, wrong_error = estimate(wrong_z)
print("closed form", closed, "\ndrawn      ", drawn, "±", error, "\nwith σ²    ", wrong)

# %% [markdown]
# They agree to three hundredths of a nat.  An average over draws is called a *Monte Carlo* estimate; it is a good check
# of a formula.  With σ² it is off by far: those codes are not from the q that the layer measures.  We keep the closed
# form, which has no noise.
#
# KL has a direction: for q = N(0, 0.14²), KL(q ‖ p) is 1.51 nats but KL(p ‖ q) is 24.8, because p often draws codes
# that q thinks impossible.  Our loss averages over codes drawn from q (08 derives it), so it is the first.
#
# ## A layer that passes everything on
# `GaussianKL` stands between encoder and sampler.  Forwards it hands on what it gets.  On the way back it *adds* the
# gradient of its own loss to the gradient G that comes back from the later layers:
#
#     ∂L/∂mean = G₁ + β · mean          ∂L/∂log_var = G₂ + β · ½ (e^log_var − 1)
#
# No criterion sees the divergence; it enters only here.  β (`beta`) weighs it: `divergence` is the KL that is measured,
# `loss` = β · divergence what is minimised, and `mv.side_loss(model)` adds up the losses of all such layers in a model.
# **Predict:** with β = 0.5 and G = 0, what is the gradient by the mean?

# %%
half = nn.GaussianKL(beta=0.5).double()
model = nn.Sequential(nn.GaussianKL(), half).double()
passed_on = model((mean, log_var))
nothing = np.zeros_like(mean), np.zeros_like(mean)
pull_mean, pull_log_var = (each.copy() for each in half.backward((mean, log_var), nothing))
report = mv.gradcheck(half, (mean, log_var))
print(pull_mean, pull_log_var, report, sep="\n")
print(f"divergence {half.divergence:.2f}, loss {half.loss:.2f}; side loss {mv.side_loss(model):.2f}",
      "= 5.34 (β = 1) + 2.67 (β = ½)")

# %% [markdown]
# Half the mean: minimising moves each mean towards 0, and each log-variance towards 0, where e^0 − 1 = 0.
#
# **Step in here:** set a breakpoint in `minivae.nn.gaussian_kl.GaussianKL.update_grad_input` and compare `grad_output`
# with `self.grad_input`: what differs is the pull towards the prior.
#
# ## A valley with one lowest point
# **Predict:** follow that gradient alone from mean = 3, log_var = −4, as if there were no image.  Where does it end?

# %%
point = [np.array([[3.0]]), np.array([[-4.0]])]
path = []
for _ in range(500):
    path.append((point[0].item(), point[1].item(), kl.rows(kl(tuple(point))).item()))
    for value, grad in zip(point, kl.backward(tuple(point), (np.zeros((1, 1)), np.zeros((1, 1))))):
        value -= 0.1 * grad
print(path[0], path[-1])
rows, columns = np.meshgrid(np.linspace(-6, 3, 90), np.linspace(-3, 3, 120), indexing="ij")
height = kl.rows((columns.reshape(-1, 1), rows.reshape(-1, 1))).reshape(90, 120)
slope = np.gradient(height[:, 60], rows[:, 0])  # along log_var
bands = np.where(height % 1 < 0.5, 1, 0.6) * np.exp(-height / 3)
figures.picture(bands, scale=4)

# %% [markdown]
# At the prior: mean 0, log-variance 0, no divergence left.  The picture is the valley: the mean from −3 to 3 to the
# right, the log-variance from −6 down to 3, brighter is lower, each band half a nat.  Downwards it is steep (at
# log_var = 3 the slope is 9.5), upwards gentle (never more than ½): certainty is cheap.  In a VAE the reconstruction
# loss (the cross-entropy of 05) pulls away from here, towards codes that tell images apart: the tug of war of 09.
#
# ## Two mistakes
# The layer has two things to add.  Forget one: a layer that returns only its own gradient, and one that only passes G
# on.  **Predict:** which of them would a check with G = 0 catch?  And a check that leaves out the side loss?  Without
# it the layer only passes on, so what such a check measures is G itself.

# %%
class Forgets(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        self.grad_input = self.beta * input[0], self.beta / 2 * np.expm1(input[1])  # no G
        return self.grad_input

class Silent(nn.GaussianKL):
    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output  # no gradient of its own
        return self.grad_input

forgets, silent = mv.gradcheck(Forgets(), (mean, log_var)), mv.gradcheck(Silent(), (mean, log_var))
print(forgets, silent, sep="\n")
random_G = tuple(mv.backend.host_generator().standard_normal((2, *mean.shape)))

def off(make, G, measured):
    """How far what a layer hands back is from what a check has measured."""
    layer = make().double()
    layer((mean, log_var))
    return float(np.abs(np.subtract(layer.backward((mean, log_var), G), measured)).max())

layers = nn.GaussianKL, Forgets, Silent
zero_G = [off(make, nothing, (2 * pull_mean, 2 * pull_log_var)) for make in layers]
no_side_loss = [off(make, random_G, random_G) for make in layers]
print("right, Forgets, Silent:  G = 0", zero_G, " without the side loss", no_side_loss)

# %% [markdown]
# With G = 0 only `Silent` is caught; but under `Forgets` the encoder would never hear of the reconstruction.  A check
# without the side loss is not weak but wrong: it refuses the *right* layer, which adds its own gradient to G, and
# praises `Silent`, under which nothing pulls towards the prior.  The gradient check takes a random G *and* counts the
# side losses: it catches both, and its report names what is missing.

# %%  What we claimed
one, two = kl.units((np.array([[0.0]]), np.array([[-4.0]])))[0, 0], 0.5 * (np.exp(4) - 1 - 4)  # two: KL(p ‖ q)
assert np.allclose(units[0], [0.5, 1.51, 0], atol=5e-3) and abs(np.log(2) - 0.693) < 1e-3
assert (np.abs(drawn - closed) < np.minimum(0.03, 6 * error)).all() and (wrong - closed > 50 * wrong_error).all()
assert abs(one - 1.51) < 0.01 and abs(two - 24.8) < 0.05
assert passed_on[0] is mean and passed_on[1] is log_var
assert np.allclose(pull_mean, mean / 2) and np.allclose(pull_log_var, 0.25 * (np.exp(log_var) - 1)) and report.ok
assert half.loss == 0.5 * half.divergence and np.isclose(mv.side_loss(model), 5.335 + 2.668, atol=2e-3)
assert path[0][2] > 6 and path[-1][2] < 1e-3 and np.unravel_index(height.argmin(), height.shape)[0] in (59, 60)
assert abs(slope[-1] - 9.5) < 0.5 and abs(slope[0] + 0.5) < 0.01
assert not forgets.ok and not silent.ok and "grad_output" in str(forgets) and "divergence" in str(silent)
assert max(zero_G[:2]) < 1e-12 < 0.5 < zero_G[2] and no_side_loss[2] == 0 and min(no_side_loss[:2]) > 0.5
assert beyond_5[0] < 1e-2 and beyond_5[1] > 0.99 and kl.rows(two_images)[0] == 0

# %% [markdown]
# Next: 08 puts reconstruction and divergence together: the bound that a VAE is trained on.
