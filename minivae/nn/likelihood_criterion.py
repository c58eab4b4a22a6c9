"""Exact negative log-likelihood, by the sum over every code."""

from minivae import backend
from minivae.nn.exponentials import negligible, relative_exponentials, share
from minivae.nn.wrapping_criterion import WrappingCriterion


class LikelihoodCriterion(WrappingCriterion):
    """−ln p(x) = −Σₙ ln Σ_s p(z_s) p(xₙ|z_s), with −ln p(x|z) the loss of another criterion.

        prediction   (what the decoder makes of every code (S, ...), ln p(z) (S,))        target  (N, ...)

        r_ns = p(z_s|xₙ), the posterior:  ∝ p(z_s) e^−loss_ns

        ∂/∂prediction_s = Σₙ r_ns ∂loss_ns/∂prediction_s        ∂/∂ln p(z_s) = −Σₙ r_ns

    Behind an EnumeratedPrior and a decoder.  output = reconstruction + KL(p(z|x) ‖ p(z)), reconstruction = Σ r loss.

    >>> loss = nn.LikelihoodCriterion(nn.BCEWithLogitsCriterion())
    >>> a, log_p, x = np.float32([[0], [99]]), np.log(np.float32([0.5, 0.5])), np.float32([[1]])
    >>> round(float(np.exp(-loss((a, log_p), x))), 3)  # ½ · ½ + ½ · 1
    0.75
    """

    state_names = (*WrappingCriterion.state_names, "posterior")
    posterior = None

    def update_output(self, input, target):
        prediction, log_prior = self.expect_prediction(input, 2)
        losses = self.criterion.pairs(prediction, target)
        joint = self.buffer("joint", losses.shape)
        backend.elementwise(_log_joint, log_prior[None], losses, out=joint)
        peak, u, total = relative_exponentials(self.xp, joint, self.buffer)
        self.posterior = backend.elementwise(share, u, total, negligible(u.dtype), out=u)
        self.output = backend.total(_loss, peak, total)
        self.reconstruction = backend.total(_product, self.posterior, losses)
        return self.output

    def update_grad_input(self, input, target):
        prediction, log_prior = self.expect_prediction(input, 2)
        by_prior = self.buffer("by_prior", log_prior.shape)
        self.xp.sum(self.posterior, axis=0, out=by_prior)  # Σₙ r
        self.grad_input = (self.criterion.pairs_backward(prediction, target, self.posterior),
                           self.xp.multiply(by_prior, -1, out=by_prior))
        return self.grad_input


def _log_joint(xp, log_prior, loss):
    return log_prior - loss


def _loss(xp, peak, total):
    return -(peak + xp.log(total))


def _product(xp, r, loss):
    return r * loss
