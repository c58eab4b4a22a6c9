"""Mean of a loss over every code, with the probability of each."""

from minivae import backend
from minivae.nn.wrapping_criterion import WrappingCriterion


class ExpectedCriterion(WrappingCriterion):
    """E_q[−log p(x|z)] = Σₙ Σ_s q_ns loss(prediction_s, targetₙ): the sum over codes in place of draws.

        prediction   (what the decoder makes of every code (S, ...), q(z|x) (N, S))        target  (N, ...)

        ∂/∂prediction_s = Σₙ q_ns ∂loss_ns/∂prediction_s        ∂/∂q_ns = loss_ns

    Behind an EnumeratedSampler and a decoder.  The decoder works on S rows, not on N·S.

    >>> loss = nn.ExpectedCriterion(nn.BCEWithLogitsCriterion())
    >>> a, q, x = np.float32([[0], [99]]), np.float32([[0.5, 0.5]]), np.float32([[1]])
    >>> round(loss((a, q), x), 3)  # ½ ln 2 + ½ · 0
    0.347
    """

    state_names = (*WrappingCriterion.state_names, "losses")
    losses = None

    def update_output(self, input, target):
        prediction, q = self.expect_prediction(input, 2, len(target))
        self.losses = self.criterion.pairs(prediction, target)
        self.output = self.reconstruction = backend.total(_product, q, self.losses)
        return self.output

    def update_grad_input(self, input, target):
        prediction, q = self.expect_prediction(input, 2, len(target))
        self.grad_input = self.criterion.pairs_backward(prediction, target, q), self.losses
        return self.grad_input


def _product(xp, q, losses):
    return q * losses
