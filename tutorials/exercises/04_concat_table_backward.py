"""Exercise 04: the backward pass of a container.  After tutorial 03.

A ConcatTable gives one input to several modules, and its output is the table (the tuple) of theirs.  Between an
encoder and a Gaussian code it makes the two heads, mean and log-variance.  The forward pass is given; write the other
two verbs.

    x  input  (N, ...)      y = (f₀(x), f₁(x), …)  output      Gₖ = ∂L/∂yₖ      grad_output = (G₀, G₁, …)

    backward    ∂L/∂x = Σₖ (∂L/∂x of fₖ, from Gₖ)

and each fₖ adds to the gradients of its own parameters.

Hints
- self.modules is the list of the fₖ.  Call the verbs of the same name on each of them.
- Why a sum?  x moves all outputs, and each moves L: the chain rule for several paths.
- What a module returns from update_grad_input is that module's own buffer, or even (an Identity hands it on) the
  caller's grad_output.  Do not add into it: add into self.buffer("grad_input", input.shape).

Check it: python tutorials/exercises/04_concat_table_backward.py
"""

from checks import check, gradients, like, normal, same

from minivae import nn


class ConcatTable(nn.Container):

    def update_output(self, input):
        self.output = tuple(module.forward(input) for module in self.modules)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_table("grad_output", grad_output, len(self.modules))
        raise NotImplementedError

    def acc_grad_parameters(self, input, grad_output, scale=1):
        raise NotImplementedError


def conditions(test):
    def two_heads():
        return ConcatTable(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 3))

    def hands_on():
        x, module = normal(3, 4), ConcatTable(nn.Identity(), nn.Identity(), nn.Identity())
        grad_output = like(module.forward(x))
        kept = tuple(each.copy() for each in grad_output)
        same("grad_input of three Identities", module.backward(x, grad_output), kept[0] + kept[1] + kept[2])
        same("the caller's grad_output after backward", grad_output, kept)

    test.that("two heads: gradients agree with finite differences and add up, times scale",
              lambda: gradients(two_heads(), normal(5, 4)))
    test.that("three heads that hand on their arrays: nobody else's array is written to", hands_on)


if __name__ == "__main__":
    check(conditions)
