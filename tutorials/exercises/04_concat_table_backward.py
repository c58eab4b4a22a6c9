"""Exercise 04: the backward pass of a container.  After tutorial 03.

A ConcatTable gives one input to several modules, and its output is the table (the tuple) of theirs.
Between an encoder and a Gaussian code it makes the two heads, mean and log-variance.  The forward
pass is given; write the other two verbs.

    x  input  (N, ...)      y = (f₀(x), f₁(x), …)  output
    Gₖ = ∂L/∂yₖ             grad_output = (G₀, G₁, …)

    backward    ∂L/∂x from all Gₖ: x moves every output, and every output moves L.  Derive it.

Each fₖ also adds to the gradients of its own parameters.  self.modules holds the fₖ, in order; call
the verbs of the same name on them.  What a module returns from update_grad_input is that module's
own array, or even the caller's grad_output, which an Identity hands on.  Do not add into it.

Check it: python tutorials/exercises/04_concat_table_backward.py      A hint: add --hint 1, 2 or 3
"""

import numpy as np
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
    def two_heads(table=ConcatTable):
        return table(nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 3))

    def hands_on():
        for x, heads in ((normal(3, 4), 3), (normal(2, 3, 4, 4), 5), (normal(2, 3, 4, 4), 2)):
            module = ConcatTable(*(nn.Identity() for _ in range(heads)))
            grad_output = like(module.forward(x))
            kept = tuple(each.copy() for each in grad_output)
            grad_input = module.backward(x, grad_output)
            same(f"grad_input of {heads} Identities", grad_input, sum(kept))
            same("the caller's grad_output after backward", grad_output, kept)

    def of_one_forward():
        x = normal(3, 4)
        module = ConcatTable(nn.BernoulliNoise(0.5), nn.Identity())
        flipped = (module.forward(x)[0] != x).copy()
        one = np.ones_like(x)
        wanted = np.where(flipped, 0, 2)  # −1 where x was flipped, and 1 of the Identity
        same("grad_input of a noise layer and an Identity", module.backward(x, (one, one)), wanted)

    def scales():
        x = normal(5, 4)
        mine = two_heads()
        own = two_heads(nn.ConcatTable)
        own.load_state_dict(mine.state_dict())
        for scale in (1, 0.5, -2):
            if scale == -2:
                mine.evaluate()  # a gradient is added in either mode
            grad_output = like(own.forward(x))
            mine.forward(x)
            grad_input = mine.backward(x, grad_output, scale)
            same(f"∂L/∂x at scale {scale}", grad_input, own.backward(x, grad_output, scale))
        pairs = zip(mine.named_parameters(), own.named_parameters())
        for (path, _, grad), (_, _, wanted) in pairs:
            same(f"the gradient of {path} after three calls", grad, wanted)

    def one_head():
        x = normal(3, 4)
        module = ConcatTable(nn.Tanh())
        grad_output = like(module.forward(x))
        wanted = grad_output[0] * (1 - np.tanh(x) ** 2)
        same("∂L/∂x of one head", module.update_grad_input(x, grad_output), wanted)

    test.that("one head: ∂L/∂x is right", one_head)
    test.that(
        "two heads: gradients agree with finite differences and add up, times scale",
        lambda: gradients(two_heads(), normal(5, 4)),
    )
    test.that(
        "heads that hand on their arrays: ∂L/∂x is right, and nobody else's array is changed",
        hands_on,
    )
    test.that("the noise that a head drew in forward counts in backward", of_one_forward)
    test.that("scale weighs the gradients of the parameters, and not ∂L/∂x", scales)


if __name__ == "__main__":
    check(conditions)
