"""Importance-weighted bound of the log-likelihood."""

from math import prod

from minivae import backend
from minivae.nn.exponentials import negligible, relative_exponentials, share
from minivae.nn.wrapping_criterion import WrappingCriterion


class ImportanceWeightedCriterion(WrappingCriterion):
    """−Σₙ ln (1/K) Σₖ w_nk,  w = p(x|z) p(z) / q(z|x), with −ln p(x|z) the loss of another criterion, samples=K.

        prediction   (what the decoder makes of the draws (N·K, ...), ln p(z) (N·K,), ln q(z|x) (N·K,))
        target       (N, ...)

        w̃_nk = w_nk / Σₖ w_nk, a softmax of ln w

        ∂/∂prediction = w̃ ∂loss/∂prediction        ∂/∂ln p = −w̃        ∂/∂ln q = w̃

    Behind LogDensities and a decoder.  Burda et al. 2015, equations 8 and 14.  The largest of an image's own ln w is
    taken out before it is exponentiated.

    >>> loss = nn.ImportanceWeightedCriterion(nn.BCEWithLogitsCriterion(samples=2))
    >>> a, log_p, log_q, x = np.float32([[0], [99]]), *np.zeros((2, 2), np.float32), np.float32([[1]])
    >>> round(float(np.exp(-loss((a, log_p, log_q), x))), 3)  # ½ (½ + 1)
    0.75
    """

    state_names = (*WrappingCriterion.state_names, "weights")
    weights = None

    def update_output(self, input, target):
        prediction, log_p, log_q = self.expect_prediction(input, 3)
        losses = self.criterion.rows(prediction, target)
        log_w = self._by_rows("log_w", (len(target), self.samples))
        backend.elementwise(_log_weight, log_p, log_q, losses, out=log_w.reshape(-1))
        peak, u, total = relative_exponentials(self.xp, log_w, self._by_rows)
        self.weights = backend.elementwise(share, u, total, negligible(u.dtype), out=u).reshape(-1)  # w̃
        self.output = backend.total(_loss, peak, total, 1 / self.samples)
        self.reconstruction = backend.total(_product, self.weights, losses)
        return self.output

    def update_grad_input(self, input, target):
        prediction, _, _ = self.expect_prediction(input, 3)
        grads = self.criterion.backward(prediction, target)
        for grad in grads if isinstance(grads, tuple) else (grads,):
            rows = grad.reshape(len(grad), prod(grad.shape[1:]))
            backend.elementwise(_weigh, rows, self.weights[:, None], float(self.samples))
        by_log_p = self.buffer("by_log_p", self.weights.shape)
        self.grad_input = grads, self.xp.multiply(self.weights, -1, out=by_log_p), self.weights
        return self.grad_input

    def _by_rows(self, name, shape):
        """A buffer whose draws lie one after the other, as in the prediction."""
        return self.buffer(name, shape, batch=False)


def _log_weight(xp, log_p, log_q, loss):
    return log_p - log_q - loss


def _loss(xp, peak, total, share):
    return -(peak + xp.log(share * total))


def _product(xp, weight, loss):
    return weight * loss


def _weigh(xp, grad, weight, samples):
    grad *= samples * weight  # the other criterion has divided by them
