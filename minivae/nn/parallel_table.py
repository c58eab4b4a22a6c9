"""One module to each entry of a table (torch/nn ParallelTable)."""

from minivae.nn.concat_table import ConcatTable
from minivae.nn.container import Container


class ParallelTable(Container):
    """(y₀, y₁, …) = (f₀(x₀), f₁(x₁), …);  backwards entry by entry too.

    >>> x = np.float32([[-1, 2]])
    >>> [each.tolist() for each in nn.ParallelTable(nn.Identity(), nn.ReLU())((x, x))]
    [[[-1.0, 2.0]], [[0.0, 2.0]]]
    """

    def update_output(self, input):
        self._expect_one_each("input", input)
        self.output = tuple(module.run(each) for module, each in zip(self._modules, input))
        return self.output

    def update_grad_input(self, input, grad_output):
        self._expect_one_each("grad_output", grad_output)
        self.grad_input = tuple(module.update_grad_input(each, grad)
                                for module, each, grad in zip(self._modules, input, grad_output))
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for module, each, grad in zip(self._modules, input, grad_output):
            module.acc_grad_parameters(each, grad, scale)

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        self.expect_same_input(input)
        self._expect_one_each("grad_output", grad_output)
        grads = tuple(module.backward(each, grad, scale, need_grad_input)
                      for module, each, grad in zip(self._modules, input, grad_output))
        self.grad_input = grads if need_grad_input else None
        return self.grad_input

    def _expect_one_each(self, what, table):
        self.expect_table(what, table, len(self._modules))

    __repr__ = ConcatTable.__repr__
