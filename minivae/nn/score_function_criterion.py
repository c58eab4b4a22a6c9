"""Loss of drawn codes, and an estimate of its gradient by their probabilities."""

from minivae import backend
from minivae.errors import truth
from minivae.nn.criterion import Criterion
from minivae.nn.wrapping_criterion import WrappingCriterion


class ScoreFunctionCriterion(WrappingCriterion):
    """(1/L) Σₙ Σₗ f_nl, with f = −log p(x|z) the loss of another criterion, samples=L.

        prediction   (what the decoder makes of the draws (N·L, ...), ln p(z) (N·L,), ln q(z|x) (N·L,))
        target       (N, ...)

        ∂/∂prediction = (1/L) ∂f/∂prediction        ∂/∂ln p = 0        ∂/∂ln q = (1/L) (f − b)

    The last is an estimator, and not the derivative: see ScoreFunction.  b, the `baseline`, is the mean f of the other
    draws of the same image, which know nothing of this one, so the estimator's mean stays as it is; its variance is
    that of the difference.  Of one draw there are no others, and b = 0.  Mnih and Rezende 2016, section 2.3.

    >>> loss = nn.ScoreFunctionCriterion(nn.MSECriterion(samples=2))
    >>> (y, zero), x = (np.float32([[3], [1]]), np.zeros(2, np.float32)), np.float32([[0]])
    >>> loss((y, zero, zero), x), loss.backward((y, zero, zero), x)[2].tolist()  # ½ (9 + 1), and ½ (9 − 1), ½ (1 − 9)
    (5.0, [4.0, -4.0])
    """

    state_names = (*WrappingCriterion.state_names, "losses")
    losses = None

    def __init__(self, criterion: Criterion, baseline: bool = True):
        super().__init__(criterion)
        self.baseline = truth("ScoreFunctionCriterion", "baseline", baseline)

    def update_output(self, input, target):
        prediction, _, _ = self.expect_prediction(input, 3)
        self.losses = self.criterion.rows(prediction, target)
        self.output = self.reconstruction = backend.total(_share, self.losses, 1 / self.samples)
        return self.output

    def update_grad_input(self, input, target):
        prediction, log_p, log_q = self.expect_prediction(input, 3)
        zero, by_log_q = self.buffer("zero", log_p.shape), self.buffer("by_log_q", log_q.shape)
        zero.fill(0)
        f, spread = (each.reshape(len(target), self.samples) for each in (self.losses, by_log_q))
        if self.baseline and self.samples > 1:
            total = self.buffer("total", (len(target), 1))
            self.xp.sum(f, axis=1, keepdims=True, out=total)
            # f less the mean of the others is L / (L − 1) times f less the mean of all
            backend.elementwise(_advantage, f, total, 1 / self.samples, 1 / (self.samples - 1), out=spread)
        else:
            backend.elementwise(_share, f, 1 / self.samples, out=spread)
        self.grad_input = self.criterion.backward(prediction, target), zero, by_log_q
        return self.grad_input

    def options(self):
        return super().options() + ["no baseline"] * (not self.baseline)


def _share(xp, f, share):
    return share * f


def _advantage(xp, f, total, share, share_of_others):
    return share_of_others * (f - share * total)
