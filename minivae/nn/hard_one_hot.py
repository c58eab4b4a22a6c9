"""Categories instead of relaxed ones."""

from minivae import backend
from minivae.errors import ShapeError, whole_number
from minivae.nn.hard_code import HardCode


class HardOneHot(HardCode):
    """z -> 1 for the largest of each C numbers, else 0: in evaluation, and with `straight_through` in training too.

        z  input  (N, K·C), the K relaxed one-hot vectors of a GumbelSoftmaxSampler      output  (N, K·C)

    Backwards  ∂L/∂z = ∂L/∂output, an estimator and not the derivative (Jang et al. 2016, section 2.2); see HardCode.

    >>> nn.HardOneHot(3).evaluate()(np.float32([[0.25, 0.5, 0.25, 1, 0, 0]])).tolist()
    [[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]]
    """

    def __init__(self, categories: int, straight_through: bool = False):
        super().__init__(straight_through)
        self.categories = whole_number("HardOneHot", "categories", categories)

    def expect_code(self, input):
        self.expect("input", input, ("N", "K·C"))
        if input.shape[1] % self.categories:
            raise ShapeError(f"{self.title}: input has shape {input.shape}, expected (N, K·{self.categories}); the "
                             f"sampler before it has another number of categories")

    def harden(self, input, out):
        vectors = len(input), input.shape[1] // self.categories, self.categories
        one_hot(self.xp, input.reshape(vectors), out=out.reshape(vectors))

    def extra_repr(self):
        return ", ".join(filter(None, (str(self.categories), super().extra_repr())))


def one_hot(xp, a, out):
    """out = 1 where a is the largest of its row, the first of them if several are, else 0."""
    largest = xp.argmax(a, axis=-1)[..., None]
    return backend.elementwise(_equal, xp.arange(a.shape[-1]), largest, out=out)


def _equal(xp, category, largest):
    return xp.where(category == largest, 1, 0)
