"""Binary cross entropy of probabilities (torch/nn BCECriterion)."""

from minivae import backend
from minivae.errors import ShapeError
from minivae.nn.criterion import Criterion


class BCECriterion(Criterion):
    """−log Ber(x; p) = −[x ln p + (1 − x) ln(1 − p)], summed.

        p  prediction  (N·L, ...), probabilities      x  target  (N, ...), in [0, 1]      w  weights, or none

    With `weights`, one for each element of a row, each term is multiplied by its w, and so is its derivative.

        ∂/∂p = (1/L) [(1 − x) / (1 − p) − x / p]

    Each logarithm is at least −100, as in PyTorch, so a certain mistake costs 100 nats and not infinity, and a division
    by 0 is one by 1.2e-38: at p = 0 the derivative is −x / 1.2e-38, at p = 1 it is (1 − x) / 1.2e-38, both finite.
    Torch7 adds ε = 1e-12 to p and to 1 − p in its logarithms instead, and a certain mistake costs 27.6 nats.
    BCEWithLogitsCriterion is exact for every logit, and faster: prefer it.

    >>> round(nn.BCECriterion()(np.float32([[0.5, 1]]), np.float32([[1, 1]])), 3)  # −ln ½ − ln 1
    0.693
    """

    def __init__(self, size_average: bool = False, samples: int = 1, weights: backend.Array | None = None):
        super().__init__(size_average, samples)
        self.weights = weights

    @property
    def weights(self) -> backend.Array | None:
        """w, a row of them on the host that only an assignment changes; or None."""
        row = vars(self)["weights"]
        if row is not None:
            row.setflags(write=False)  # the buffer would not see a change inside it
        return row

    @weights.setter
    def weights(self, weights: backend.Array | None) -> None:
        vars(self)["weights"] = None if weights is None else backend.to_numpy(weights).reshape(-1).copy()
        self.buffers.pop("weights", None)

    def update_output(self, input, target):
        p, x = self.grouped("prediction", input, target)
        self._expect_both(input, target)
        self.output = backend.total(*self._formula(_loss, _weighted_loss, p, x)) * self.weight(target)
        return self.output

    def update_grad_input(self, input, target):
        p, x = self.grouped("prediction", input, target)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.elementwise(*self._formula(_derivative, _weighted_derivative, p, x), self.weight(target),
                            out=self.grad_input.reshape(p.shape))
        return self.grad_input

    def rows(self, input, target):
        p, x = self.grouped("prediction", input, target)
        self._expect_both(input, target)
        return backend.row_totals(*self._formula(_loss, _weighted_loss, p, x)).reshape(-1)

    def options(self):
        return super().options() + ["weights"] * (self.weights is not None)

    def _formula(self, plain, weighted, p, x):
        """A formula and its arrays, without weights or with them."""
        if self.weights is None or p.size == 0:
            return plain, p, x
        if self.weights.size != p.shape[2]:
            raise ShapeError(f"{self.title}: {self.weights.size} weights for rows of {p.shape[2]} elements; give one "
                             "for each element of a row")
        if "weights" not in self.buffers:
            self.buffers["weights"] = backend.from_numpy(self.weights.astype(self.dtype), like=self.backend)
        return weighted, p, x, self.buffers["weights"].reshape(1, 1, -1)

    def _expect_both(self, input, target):
        self.expect_probabilities("target", target)
        self.expect_probabilities("prediction", input, "logits go into BCEWithLogitsCriterion")


def _loss(xp, p, x):
    # 1e-44 stands for 0, whose logarithm is −∞: its own, −101, is cut off at −100 all the same
    log_p = xp.maximum(xp.log(xp.maximum(p, 1e-44)), -100)
    log_q = xp.where(p < 1, xp.log1p(-p * (p < 1)), -100)  # of 1 − p, which rounds small p to nothing
    return -(x * log_p + (1 - x) * log_q)


def _weighted_loss(xp, p, x, w):
    return w * _loss(xp, p, x)


def _weighted_derivative(xp, p, x, w, weight):
    return w * _derivative(xp, p, x, weight)


def _derivative(xp, p, x, weight):
    # float32's smallest normal number stands for 0, so that the quotients stay finite
    return weight * ((1 - x) / xp.maximum(1 - p, 1.2e-38) - x / xp.maximum(p, 1.2e-38))
