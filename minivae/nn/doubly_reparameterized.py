"""Log-densities whose gradient reaches q through the drawn codes alone."""

from minivae.nn.log_densities import LogDensities


class DoublyReparameterized(LogDensities):
    """(parameters of q(z|x), z) -> (z, ln p(z), ln q(z|x)), as LogDensities, before an ImportanceWeightedCriterion.

    With (G, P, R) = ∂L/∂(z, ln p, ln q), where R = w̃, the normalized weight of the draw:

        ∂/∂z = w̃ (G + P ∂ln p(z)/∂z + R ∂ln q(z|x)/∂z)        ∂/∂parameters = 0

    Of a weight w = p(x|z) p(z) / q(z|x) that is w̃² ∂ln w/∂z, in place of w̃ ∂ln w/∂z and of w̃ ∂ln q/∂parameters.  The
    mean of both over the draws is the same, and here the signal in the encoder's gradient grows with the number of
    draws, where there it falls.  It is an estimator and not the derivative.  Tucker et al. 2018, equation 8.  Rows must
    not depend on each other behind it, as they do in a BatchNormalization.

    >>> layer, q = nn.DoublyReparameterized(nn.GaussianKL()), (np.float32([[0]]), np.float32([[0]]))
    >>> z, log_p, log_q = layer((q, np.float32([[2]])))
    >>> layer.backward((q, z), (z, -log_p / log_p, log_q / log_q))  # q is p: their gradients by z cancel
    ((array([[0.]], dtype=float32), array([[0.]], dtype=float32)), array([[2.]], dtype=float32))
    """

    def update_grad_input(self, input, grad_output):
        (by_parameters, z), through = super().update_grad_input(input, grad_output), grad_output[2]
        for each in by_parameters if isinstance(by_parameters, tuple) else (by_parameters,):
            each.fill(0)
        self.grad_input = by_parameters, z * through[:, None]
        return self.grad_input
