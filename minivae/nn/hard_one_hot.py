"""Categories instead of relaxed ones."""

from minivae import backend
from minivae.errors import ShapeError, whole_number
from minivae.nn.module import Module


class HardOneHot(Module):
    """z -> 1 for the largest of each C numbers, else 0: in evaluation, and with `straight_through` in training too.

        z  input  (N, K·C), the K relaxed one-hot vectors of a GumbelSoftmaxSampler      output  (N, K·C)

    Backwards  ∂L/∂z = ∂L/∂output, an estimator and not the derivative, which is zero almost everywhere (Jang et al.
    2016, section 2.2, "straight-through Gumbel-softmax").  In training without `straight_through` it passes z
    through: the categories stay relaxed.  What HardBits is for bits.
    """

    def __init__(self, categories, straight_through=False):
        super().__init__()
        self.categories = whole_number("HardOneHot", "categories", categories)
        self.straight_through = straight_through

    def update_output(self, input):
        self.expect("input", input, ("N", "K·C"))
        n, width = input.shape
        if width % self.categories:
            raise ShapeError(f"{self.title}: input has shape {input.shape}, expected (N, K·{self.categories}); the "
                             f"sampler before it has another number of categories")
        if self.train and not self.straight_through:
            self.output = input
            return self.output
        self.output = self.buffer("output", input.shape)
        vectors = n, width // self.categories, self.categories
        one_hot(self.xp, input.reshape(vectors), out=self.output.reshape(vectors))
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        self.grad_input = grad_output
        return self.grad_input

    def extra_repr(self):
        return f"{self.categories}" + (", straight_through" if self.straight_through else "")


def one_hot(xp, a, out):
    """out = 1 where a is the largest of its row, the first of them if several are, else 0."""
    largest = xp.argmax(a, axis=-1)[..., None]
    return backend.elementwise(_equal, xp.arange(a.shape[-1]), largest, out=out)


def _equal(xp, category, largest):
    return xp.where(category == largest, 1, 0)
