"""Every code in place of draws, each with its probability."""

from math import prod

from minivae import backend
from minivae.errors import OptionError
from minivae.nn.bernoulli_latent import bits
from minivae.nn.categorical_latent import one_hots
from minivae.nn.exponentials import log_probabilities, negligible, relative_exponentials, unless
from minivae.nn.module import Module

MOST_CODES = 4096  # to enumerate: 12 bits


class EnumeratedSampler(Module):
    """Logits a -> (z, q): every code there is, and the probability of each for every row.  Nothing is drawn.

        a  input  (N, Q) of bits, or (N, K, C) of categories        q  q(z|x)  (N, S)
        z  codes  (S, Q), or (S, K·C) one-hot, all S = 2^Q or C^K of them, the same for every row

        ln q_s = Σⱼ z_sj ln pⱼ, and of bits also + (1 − z_sj) ln(1 − pⱼ)

    With G = ∂L/∂q, and z constant:

        ∂/∂aⱼ = Σ_s q_s (G_s − Ḡ) z_sj,    Ḡ = Σ_s q_s G_s

    An ExpectedCriterion takes the mean over q of a loss, and then no estimator is needed: the gradient is exact.

    >>> z, q = nn.EnumeratedSampler()(np.float32([[0, 99]]))
    >>> z.tolist(), q.round(3).tolist()
    ([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [[0.0, 0.0, 0.5, 0.5]])
    """

    def update_output(self, input):
        self.expect("input", input, ("N", "K", "C") if getattr(input, "ndim", 0) == 3 else ("N", "Q"))
        n, *code = input.shape
        z, choices = self._codes(tuple(code))
        log_p = self.buffer("log_p", (n, choices.shape[1]))
        if len(code) == 1:
            backend.elementwise(log_probabilities, input, out=(log_p[:, :code[0]], log_p[:, code[0]:]))
        else:
            peak, _, total = relative_exponentials(self.xp, input, self.buffer)
            backend.elementwise(_log_softmax, input, peak, total, out=log_p.reshape(input.shape))
        q = self.buffer("q", (n, len(z)))
        backend.matmul(log_p, choices.T, out=q)  # ln q = Σⱼ z ln p
        self.output = z, backend.elementwise(_exp, q, negligible(q.dtype), out=q)
        return self.output

    def update_grad_input(self, input, grad_output):
        self.expect_table("grad_output", grad_output, 2)
        z, q = self.output
        self.expect_grad_output(grad_output[0], z.shape)
        self.expect_grad_output(grad_output[1], q.shape)
        spare, mean = self.buffer("spare", q.shape), self.buffer("mean", (len(q), 1))
        self.xp.multiply(q, grad_output[1], out=spare)
        self.xp.sum(spare, axis=1, keepdims=True, out=mean)  # Ḡ
        backend.elementwise(_centred, q, grad_output[1], mean, out=spare)
        self.grad_input = self.buffer("grad_input", input.shape)
        backend.matmul(spare, z, out=self.grad_input.reshape(len(q), z.shape[1]))
        return self.grad_input

    def _codes(self, code):
        """(z, what of the log-probabilities each code adds up): made once for each shape of a code."""
        q = prod(code)
        s = code[1] ** code[0] if len(code) == 2 else 2 ** q
        if s > MOST_CODES:
            raise OptionError(f"{self.title}: a code of {' × '.join(map(str, code))} has more than {MOST_CODES} "
                              "values, too many to enumerate; 12 bits have as many")
        z = self.buffers.get("z")
        if z is None or z.shape != (s, q) or self.buffers["choices"].shape[1] != q * (3 - len(code)):
            z = self.buffer("z", (s, q), batch=False)
            z[...] = (one_hots if len(code) == 2 else bits)(self.xp, *code)
            choices = self.buffers["choices"] = z if len(code) == 2 else self.buffer("choices", (s, 2 * q), batch=False)
            if len(code) == 1:
                choices[:, :q], choices[:, q:] = z, 1 - z
        return z, self.buffers["choices"]


def _log_softmax(xp, a, peak, total):
    return xp.maximum(a - peak, -1e30) - xp.log(total)


def _exp(xp, log_q, least):
    return unless(xp, xp.exp(log_q), least)


def _centred(xp, q, grad, mean):
    return q * (grad - mean)
