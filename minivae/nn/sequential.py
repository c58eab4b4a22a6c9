"""One module after another (torch/nn Sequential)."""

from minivae.nn.container import Container


class Sequential(Container):
    """y = fₖ(… f₁(f₀(x)));  backwards, each module's ∂L/∂x is the ∂L/∂y of the one before.

    >>> model = nn.Sequential(nn.View(2), nn.ReLU(), nn.Clamp(high=3))
    >>> model(np.float32([[[-1], [5]]])).tolist()
    [[0.0, 3.0]]
    >>> model
    nn.Sequential {
      [input -> (0) -> (1) -> (2) -> output]
      (0): nn.View(2)
      (1): nn.ReLU
      (2): nn.Clamp(None, 3)
    }
    """

    is_chain = True

    def update_output(self, input):
        for module in self._modules:
            input = module.run(input)
        self.output = input
        return self.output

    def update_grad_input(self, input, grad_output):
        for module, its_input in self._backwards(input):
            module.grad_output = grad_output
            grad_output = module.update_grad_input(its_input, grad_output)
        self.grad_input = grad_output
        return self.grad_input

    def acc_grad_parameters(self, input, grad_output, scale=1):
        """With the ∂L/∂y that the last backward pass gave to each module."""
        for module, its_input in self._backwards(input, self._first_with_parameters()):
            module.acc_grad_parameters(its_input, module.grad_output, scale)

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        """As `Module.backward`; without need of ∂L/∂input it ends at the first module with parameters."""
        self.expect_same_input(input)
        first = 0 if need_grad_input else self._first_with_parameters()
        for module, its_input in self._backwards(input, first):
            needed = need_grad_input or module is not self._modules[first]
            module.grad_output = grad_output
            grad_output = module.backward(its_input, grad_output, scale, needed)
        self.grad_input = grad_output if need_grad_input else None
        return self.grad_input

    def _backwards(self, input, first=0):
        """(module, its input) from the last module to number `first`."""
        for k in range(len(self._modules) - 1, first - 1, -1):
            yield self._modules[k], self._modules[k - 1].output if k > 0 else input

    def _first_with_parameters(self):
        for k, module in enumerate(self._modules):
            if any(True for _ in module.named_parameters()):
                return k
        return len(self._modules)

    def __repr__(self):
        flow = " -> ".join(["input", *(f"({name})" for name in self.names), "output"])
        return self.tree(f"[{flow}]", "}")
