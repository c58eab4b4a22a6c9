"""One input to several modules (torch/nn ConcatTable)."""

from minivae import backend
from minivae.errors import MinivaeError
from minivae.nn.container import Container


class ConcatTable(Container):
    """y = (f₀(x), f₁(x), …);  backwards  ∂L/∂x = Σₖ ∂L/∂x of fₖ.

    Between an encoder and a Gaussian it gives the two heads: mean and log-variance.

    >>> y = nn.ConcatTable(nn.Identity(), nn.ReLU())(np.float32([[-1, 2]]))
    >>> [each.tolist() for each in y]
    [[[-1.0, 2.0]], [[0.0, 2.0]]]
    """

    def update_output(self, input):
        self.output = tuple(module.run(input) for module in self._modules)
        return self.output

    def update_grad_input(self, input, grad_output):
        self._expect_one_each(grad_output)
        grads = [module.update_grad_input(input, grad) for module, grad in zip(self._modules, grad_output)]
        self.grad_input = self._sum("grad_input", input, grads)
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        for module, grad in zip(self._modules, grad_output):
            module.acc_grad_parameters(input, grad, scale)

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        self.expect_same_input(input)
        self._expect_one_each(grad_output)
        grads = [module.backward(input, grad, scale, need_grad_input)
                 for module, grad in zip(self._modules, grad_output)]
        self.grad_input = self._sum("grad_input", input, grads) if need_grad_input else None
        return self.grad_input

    def _sum(self, name, input, grads):
        """Σₖ gradsₖ in a buffer of that name; a table is added entry by entry."""
        if isinstance(input, tuple):
            return tuple(self._sum(f"{name}{i}", part, [grad[i] for grad in grads]) for i, part in enumerate(input))
        for module, grad in zip(self.names, grads):
            self.expect(f"grad_input of {module}", grad, input.shape)
        total = self.buffer(name, input.shape)
        return backend.add_up(grads, out=total)  # ∂L/∂x = Σₖ

    def _expect_one_each(self, grad_output):
        if not self._modules:
            raise MinivaeError(f"{self.title}: it has no modules, and so no gradient; add one or more")
        self.expect_table("grad_output", grad_output, len(self._modules))

    def __repr__(self):
        lines = [f"{self.class_name} {{", "  input"]
        for name, module in self.children():
            last = name == self.names[-1]
            bar = "    " if last else "|   "
            lines.append(f"    {'`' if last else '|'}-> ({name}): " + repr(module).replace("\n", f"\n    {bar} "))
        return "\n".join([*lines, "     ... -> output", "}"])
