# %% [markdown]
# # 10 Remove noise
# **What changes when the encoder sees a spoiled image and the loss asks for the clean one?**  Needs: 09.  45 minutes.
#
# The *denoising* VAE flips some pixels of the image y before the encoder sees it: y′ is drawn from p(y′|y).  The rest
# is as in 09: a code from q(z|y′), and the decoder is asked for the clean y.

# %%
import os

import numpy as np

import minivae as mv
from minivae import evaluation, figures, nn
from minivae.data import Batches, rectangles
from minivae.training import Training

FAST = os.environ.get("MINIVAE_FAST") == "1"
mv.manual_seed(0)
images = rectangles(4000)
clean, noise = np.unique(images, axis=0).astype("float32"), nn.BernoulliNoise(0.2)
noisy = noise(clean).copy()
print("share of the pixels that flipped:", (noisy != clean).mean())
figures.picture(figures.grid([*clean[::26], *noisy[::26]], columns=10, gap=1, background=0.25), scale=2)

# %% [markdown]
# A fifth: y′ = 1 − y there.  A layer can be told that it is not being trained, with `evaluate()`; then this one passes
# its input on.
#
# ## A noise layer that flips everything (ERRATA 6)
# The public listing draws `rand` in [0, 1), sets what is above p to 0, then what is below p to 1, and flips where it
# reads 1.  Its backward pass hands the gradient on.  **Predict:** how many pixels flip?  What will the two checks say?


# %%
class PublicNoise(nn.BernoulliNoise):
    def update_output(self, input):
        rand = self.draw(mv.backend.uniform, input.shape).copy()
        rand[rand > self.p] = 0
        rand[rand < self.p] = 1  # the zeros of the line above are below p as well
        self.output = np.abs(input - rand) if self.train else input
        return self.output

    def update_grad_input(self, input, grad_output):
        self.grad_input = grad_output.copy()  # where y′ = 1 − y, the derivative is −1
        return self.grad_input


flipped = (PublicNoise(0.1)(clean) != clean).mean()
slope, counts = mv.gradcheck(PublicNoise(0.1), clean[:1, 0, :3, :3]), mv.debug.check_noise(PublicNoise(0.1))
print(flipped, slope, counts, sep="\n")

# %% [markdown]
# All of them: no noise but a negative.  The gradient check sees only the sign; the counting sees the share.  **Step in
# here:** set a breakpoint in `minivae.nn.bernoulli_noise.BernoulliNoise.update_grad_input` and watch `self.noise`.  The
# first line of the next cell calls it; training never does, as nothing is learned before the noise.
#
# ## One schedule (ERRATA 10)
# The listings' learning rates, η / (1 + (t − 1) d) with d = 1e-4, 1e-2 or 5e-7, end far apart (04): after ten *epochs*,
# passes over all images.  So here: VAE and denoising VAE with one schedule (from 0.003, so that fewer steps do), and
# the VAE once more with 1e-2, all judged by the ELBO of *clean* images.  The noise is 0.2, twice the article's, to see
# what it does after fewer steps.  **Predict:** which is best?

# %%
signs = noise.backward(clean, np.ones_like(clean)).copy()  # step in here
trained = []
for p, decay in ((0, 1e-4), (0.2, 1e-4), (0, 1e-2)):
    mv.manual_seed(0)
    model = mv.models.denoising_vae(hidden=64, p=p) if p else mv.models.vae(hidden=64)
    untrained = evaluation.elbo(model, clean)
    Training(model, Batches(images, 16), 3e-3, decay).run(1000 if FAST else 3000, progress=False)
    trained += [model, evaluation.elbo(model, clean, samples=20)]
vae, vae_elbo, dvae, dvae_elbo, _, slow_elbo = trained
wrong = [float(((model.reconstruct(noisy) > 0.5) != clean).sum() / 256) for model in (vae, dvae)]
print(vae_elbo, dvae_elbo, slow_elbo, f"wrong pixels, of 115 in the noisy image: {wrong}", sep="\n")
planes = [figures.grid(figures.plane(model, span=2.2), 20, gap=1, background=0.25) for model in (vae, dvae)]
figures.picture(np.concatenate(planes, axis=1))

# %% [markdown]
# The plain VAE: it was trained on clean images, and after so few steps that counts.  But of spoiled ones the denoising
# VAE restores more than half of the wrong pixels, and more than the plain one.  The decay of 1e-2 alone costs many
# nats. The planes (−2.2 to 2.2, VAE left) are both maps of the square's place.
#
# ## The sign of the objective (ERRATA 8)
# The article: minimise (1/L) Σ_l [KL + Σ_l′ ln p(y|z)], for L noisy copies y′ of an image (number l) and L′ codes drawn
# for each (number l′).  **Predict:** does that fall while the VAE learns?

# %%
printed, right = zip(*((e.divergence - e.reconstruction, -e.value) for e in (untrained, vae_elbo)))
codes = nn.GaussianSampler(samples=10)(vae.encode(clean))
draws = nn.BCEWithLogitsCriterion(samples=10).rows(vae.decoder(codes), clean).reshape(256, 10)
print("printed", printed, " right", right, " −ln p for L′ = 10: sum", draws.sum(axis=1).mean(), "mean", draws.mean())

# %% [markdown]
# It rises, by hundreds of nats: who minimises it unlearns.  The right one has a minus before ln p, and 1/L′ before its
# sum, without which the likelihood weighs L′ times as much.  (And y′ is drawn from p(y′|y), not from a q.)
#
# ## What is bounded (ERRATA 9)
# Noise in the encoder makes the code's distribution a mixture, q̃(z|y) = Σ p(y′|y) q(z|y′).  Is what we maximise still
# a bound of ln p(y), and a better one?  With 2 pixels, a code of one bit and tables for p and q all can be summed
# exactly, even the *posterior* p(z|y), which Bayes' rule gives.  Let B(q) = Σ_z q ln (p(y, z) / q), the ELBO.
# **Predict:** what is the order of ln p(y), B(q̃) and the denoising VAE's Σ p(y′|y) B(q(z|y′))?

# %%
pixels, theta = np.array([(0, 0), (0, 1), (1, 0), (1, 1)]), np.array([[0.1, 0.2], [0.9, 0.7]])  # θ = p(pixel = 1 | z)
joint = 0.5 * np.where(pixels[:, None] == 1, theta, 1 - theta).prod(axis=2)  # p(y, z), (y, z)
spoil = np.where(pixels[:, None] == pixels, 0.9, 0.1).prod(axis=2)  # p(y′|y), (y, y′)
evidence, posterior = np.log(joint.sum(axis=1)), joint / joint.sum(axis=1, keepdims=True)  # ln p(y), p(z|y)

def bounds(q):
    """For every y: B(q(z|y)), B(q̃), the denoising bound, I(z; y′), and Σ p(y′|y) KL(q(z|y′) ‖ p(z|y))."""
    mixture = spoil @ q
    ratios = joint[:, None] / q, q / mixture[:, None], q / posterior[:, None]
    return ((q * np.log(joint / q)).sum(axis=1), (mixture * np.log(joint / mixture)).sum(axis=1),
            *((spoil * (q * np.log(ratio)).sum(axis=2)).sum(axis=1) for ratio in ratios))

best, misled = bounds(posterior), bounds(np.array([*posterior[:3], (0.99, 0.01)]))  # misled: the wrong code for (1, 1)
print("misled, a column for each of the four images y:")
for name, row in zip(("ln p(y)", "B(q)", "B(q̃)", "denoising", "I(z; y′)", "gap"), (evidence, *misled)):
    print(name, row.round(2), sep="\t")

# %% [markdown]
# ln p(y) ≥ B(q̃) ≥ denoising.  The second step is I(z; y′), the information that the code holds about the noise; the
# "gap" is the way from ln p(y) to denoising, the mean divergence of q(z|y′) from the posterior p(z|y).  So
# the denoising bound is a bound, but not the tighter one.  Against a plain VAE either may win: the plain one where q is
# exact, the denoising one on (1, 1) where q is wrong, as it asks the neighbours too.  So evaluate both on clean images.

# %%  What we claimed
assert abs((noisy != clean).mean() - 0.2) < 0.006 and abs((noisy != clean).sum() / 256 - 115) < 4
assert noise.evaluate()(clean) is clean and flipped == 1 and not slope.ok and not counts.ok and "sign" in str(slope)
assert np.array_equal(signs, np.where(noisy != clean, -1, 1))
assert vae_elbo.value > dvae_elbo.value and wrong[1] < wrong[0] and wrong[1] < 115 / 2
assert vae_elbo.value > slow_elbo.value + 5 and printed[1] > printed[0] + 200 and right[1] < right[0] - 200
assert np.isclose(draws.sum(axis=1).mean(), 10 * draws.mean()) and abs(draws.mean() / vae_elbo.reconstruction - 1) < 0.2
for plain, mixture, denoising, information, gap in (best, misled):
    assert (evidence >= mixture).all() and (mixture >= denoising).all() and (evidence >= plain - 1e-12).all()
    assert np.allclose(mixture - denoising, information) and np.allclose(evidence - denoising, gap)
assert np.allclose(best[0], evidence) and (best[2] < best[0]).all() and misled[2][3] > misled[0][3]

# %% [markdown]
# Next: 11 replaces the Gaussian code by bits.
