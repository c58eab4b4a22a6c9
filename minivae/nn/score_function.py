"""Log-densities of codes that no gradient passes through."""

from minivae.nn.log_densities import LogDensities


class ScoreFunction(LogDensities):
    """(parameters of q(z|x), z) -> (z, ln p(z), ln q(z|x)), as LogDensities, before a ScoreFunctionCriterion.

    With R = ∂L/∂ln q:

        ∂/∂z = 0        ∂/∂parameters = Σₗ R ∂ln q(z|x)/∂parameters

    Drawn bits and categories are steps of the parameters, whose derivative is nothing.  What the loss f tells the
    encoder comes through the probability of what was drawn: ∂ E_q[f]/∂parameters = E_q[f ∂ln q/∂parameters].
    Rows must not depend on each other behind it, as they do in a BatchNormalization: a draw would change the losses of
    other images, which are not weighed with its probability.  Williams 1992 (REINFORCE).

    >>> layer, a, z = nn.ScoreFunction(nn.BernoulliKL()), np.float32([[0]]), np.float32([[1]])
    >>> _, log_p, log_q = layer((a, z))
    >>> by_a, by_z = layer.backward((a, z), (z, log_p, np.float32([2])))  # 2 (z − σ(a))
    >>> by_a.tolist(), by_z.tolist()
    ([[1.0]], [[0.0]])
    """

    def update_grad_input(self, input, grad_output):
        self._expect_gradients(grad_output)
        by_parameters, by_z = self.kl.latent.log_posterior_backward(*input, grad_output[2])
        by_z.fill(0)
        self.grad_input = by_parameters, by_z
        return self.grad_input
