"""Features scaled to mean 0 and variance 1 (torch/nn BatchNormalization and SpatialBatchNormalization)."""

from minivae import backend
from minivae.errors import ShapeError, real_number, truth, whole_number
from minivae.nn.module import Module


class BatchNormalization(Module):
    """Each feature, less its mean and divided by its standard deviation over the batch, then scaled and shifted anew.

        x̂ = (x − μ) / √(σ² + ε)        y = w x̂ + b

        x  input  (N, F) or (N, F, H, W)     μ, σ², w (weight), b (bias)  (F,)     y  output  as x

    While it trains, μ and σ² are the mean and the variance of the M = N or M = N·H·W numbers of a feature, and
    running_mean and running_var follow them:  r ← (1 − momentum) r + momentum · (μ or M / (M − 1) σ²).  In evaluation
    mode μ and σ² are these, and constants.  With G = ∂L/∂y, and means and sums over the M numbers of a feature:

        ∂L/∂w += scale Σ G x̂        ∂L/∂b += scale Σ G
        ∂L/∂x = w / √(σ² + ε) · (G − mean G − x̂ mean(G x̂))        in evaluation mode  w / √(σ² + ε) · G

    With `affine=False` there are no w and b, and y = x̂.

    One class serves both of Torch7's: a feature is a column, or a plane.  w starts at 1, as in PyTorch; in Torch7 it is
    drawn from [0, 1).  ε keeps a feature that is constant in a batch finite.  A batch of one row raises, and of one
    image the H·W numbers are taken, as in PyTorch; Torch7 takes the running statistics for both without a word.

    Ioffe and Szegedy 2015, algorithms 1 and 2.

    >>> nn.BatchNormalization(1)(np.float32([[1], [3]])).round(3).tolist()
    [[-1.0], [1.0]]
    """

    parameter_names = ("weight", "bias")
    statistic_names = ("running_mean", "running_var")
    spare_output = True

    def __init__(self, features: int, epsilon: float = 1e-5, momentum: float = 0.1, affine: bool = True):
        super().__init__()
        self.features = whole_number("BatchNormalization", "features", features)
        self.epsilon = real_number("BatchNormalization", "epsilon", epsilon,
                                   "is a small number above 0, such as 1e-5", above=0)
        self.momentum = real_number("BatchNormalization", "momentum", momentum,
                                    "is a share from 0 to 1, such as 0.1", least=0, most=1)
        affine = truth("BatchNormalization", "affine", affine)
        self.count = 0  # M of the last forward; 0 where μ and σ² were constants
        for name in self.parameter_names:
            setattr(self, name, None)
            if affine:
                self.new_parameter(name, (self.features,))
        for name in self.statistic_names:
            setattr(self, name, backend.empty((self.features,), self.dtype, self.backend))
        self.reset()

    def reset(self):
        for array, value in ((self.weight, 1), (self.bias, 0), (self.running_mean, 0), (self.running_var, 1)):
            if array is not None:
                array.fill(value)

    def update_output(self, input):
        spatial = getattr(input, "ndim", 2) > 2
        self.expect("input", input, ("N", self.features, "H", "W") if spatial else ("N", self.features))
        self.count = input.size // self.features if self.train else 0
        if self.count == 1:
            raise ShapeError(f"{self.title}: input has shape {input.shape}, and one number of a feature has no "
                             "variance; train with batches of 2 or more, as Batches(drop_last=True), or evaluate()")
        mean, var = self.running_mean, self.running_var
        normalized = self.buffer("normalized", input.shape)
        if self.count:
            mean = self._mean("mean", input)
        self.xp.subtract(input, self._wide(mean), out=normalized)  # x − μ
        if self.count:
            var = self._mean("var", self._product(normalized, normalized))
            self._follow(mean, var)
        inverse = backend.elementwise(_inverse_std, var, self.epsilon, out=self.buffer("inverse", var.shape))
        normalized *= self._wide(inverse)  # x̂
        self.output = self.buffer("output", input.shape)
        if self.weight is None:
            self.output[...] = normalized
        else:
            backend.elementwise(_affine, normalized, self._wide(self.weight), self._wide(self.bias), out=self.output)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_grad_output(grad_output)
        normalized, inverse = self.buffers["normalized"], self.buffers["inverse"]
        self.grad_input = self.buffer("grad_input", input.shape)
        slope = inverse
        if self.weight is not None:
            slope = self.buffer("slope", self.weight.shape)
            self.xp.multiply(self.weight, inverse, out=slope)  # w / √(σ² + ε)
        if not self.count:
            self.xp.multiply(grad_output, self._wide(slope), out=self.grad_input)
            return self.grad_input
        mean = self._mean("mean of G", grad_output)
        along = self._mean("mean of G x̂", self._product(grad_output, normalized))
        backend.elementwise(_through_statistics, grad_output, normalized, self._wide(mean), self._wide(along),
                            self._wide(slope), out=self.grad_input)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.expect_grad_output(grad_output)
        if self.weight is None:
            return
        for grad, terms in ((self.grad_weight, self._product(grad_output, self.buffers["normalized"])),
                            (self.grad_bias, grad_output)):
            row = self._sum("row", terms)  # Σ G x̂, Σ G
            row *= scale
            grad += row

    def _wide(self, vector):
        """A number of each feature, in a shape that broadcasts to the input's."""
        return vector.reshape((-1,) + (1,) * (self.buffers["normalized"].ndim - 2))

    def _product(self, a, b):
        return self.xp.multiply(a, b, out=self.buffer("product", a.shape))

    def _sum(self, name, array):
        """Over all axes but the feature's."""
        return self.xp.sum(array, axis=(0, *range(2, array.ndim)), out=self.buffer(name, (self.features,)))

    def _mean(self, name, array):
        total = self._sum(name, array)
        total /= self.count
        return total

    def _follow(self, mean, var):
        share, unbiased = self.momentum, self.count / (self.count - 1)
        backend.elementwise(_follow, self.running_mean, mean, 1 - share, share)
        backend.elementwise(_follow, self.running_var, var, 1 - share, share * unbiased)

    def extra_repr(self):
        return f"{self.features}" + (", affine=False" if self.weight is None else "")


def _inverse_std(xp, var, epsilon):
    return 1 / xp.sqrt(var + epsilon)


def _affine(xp, normalized, weight, bias):
    return weight * normalized + bias


def _through_statistics(xp, grad, normalized, mean, along, slope):
    return slope * (grad - mean - normalized * along)


def _follow(xp, running, new, keep, share):
    running *= keep
    running += share * new
