"""Answers to the exercises: wrong ones, right ones of another kind, and ways around the work."""

from pathlib import Path

TESTS = Path(__file__).parent
SOLUTIONS = {path.stem: path.read_text(encoding="utf-8") for path in sorted((TESTS / "solutions").glob("[0-9]*.py"))}
HUNT = "12_bug_hunt"

# exercise -> {mistake: (what stands in the solution, what a student may have written, what the check then says)}, where
# the first two are strings, or each a tuple of several
MISTAKES = {
    "01_relu": {
        "no mask": ("input > 0", "1", "GRADIENTS DIFFER"),
        "mask of the gradient": ("input > 0", "grad_output > 0", "GRADIENTS DIFFER"),
        "overwrites its input": ("out=self.output", "out=input", "output"),
        "nothing returned": ("        return self.grad_input\n", "", "is a return missing"),
        "absolute value": ("self.xp.maximum(input, 0, out", "self.xp.abs(input, out", "the output"),
        "the first row for all": ("self.xp.maximum(input, 0, out=self.output)",
                                  "self.output[...] = self.xp.maximum(input[:1], 0)", "the output"),
        "the first row's mask": ("input > 0", "input[:1] > 0", "WRONG"),
        "half at the kink": ("input > 0", "(input > 0) + 0.5 * (input == 0)", "at x = 0, ∂L/∂x is 0"),
        "passes at the kink": ("input > 0", "input >= 0", "at x = 0, ∂L/∂x is 0"),
        "only while training": ("self.xp.maximum(input, 0, out=self.output)",
                                "self.output[...] = self.xp.maximum(input, 0) if self.train else input", "evaluate mode"),
        "writes into ∂L/∂output": ("self.xp.multiply(grad_output, input > 0, out=self.grad_input)",
                                   "grad_output *= input > 0\n        self.grad_input = grad_output", "WRONG"),
        "an array of the class": ("self.output = self.buffer(\"output\", input.shape)",
                                  "cls = type(self)\n        if getattr(cls, 'kept', None) is None or cls.kept.shape != "
                                  "input.shape:\n            cls.kept = input.copy()\n        self.output = cls.kept", "WRONG"),
        "always float32": ("self.output = self.buffer(\"output\", input.shape)",
                           "self.output = self.xp.empty(input.shape, 'float32')", "WRONG"),
        "all from the first call": ("self.xp.maximum(input, 0, out=self.output)", "if getattr(self, 'mask', input[:0]).shape != input.shape:\n            self.mask = input > 0\n        self.output[...] = input * self.mask", "the output"),
        "∂L/∂x in float64": ("        return self.grad_input\n", "        return self.grad_input.astype('float64')\n", "update_grad_input returns has dtype float64"),
        "a cap": ("self.xp.maximum(input, 0, out=self.output)", "self.xp.clip(input, 0, 4000, out=self.output)", "±1e30"),
        "a threshold": ("self.xp.maximum(input, 0, out=self.output)", "self.output[...] = input * (input > 1e-3)", "±1e-30"),
        "two axes": ("self.xp.maximum(input, 0, out=self.output)", "for n in range(input.shape[0]):\n            for d in range(input.shape[1]):\n                self.output[n, d] = self.xp.maximum(input[n, d], 0)", "IndexError"),
        "silences NumPy": ("self.xp.maximum(", "self.xp.seterr(all='ignore')\n        self.xp.maximum(", "np.seterr"),
        "sets a seed": ("self.xp.maximum(", "__import__('minivae').manual_seed(3)\n        self.xp.maximum(", "sets a seed"),
        "an object of its own": ("return self.output", "return type('A', (), {'__array__': lambda self, *_: 0})()", "is of type A"),
    },
    "02_sigmoid": {
        "overflows": ("self.xp.where(input >= 0, 1, e) / (1 + e)", "1 / (1 + self.xp.exp(-input))", "overflow"),
        "grad_output left out": ("grad_output * self.output", "self.output", "GRADIENTS DIFFER"),
        "derivative of the input": ("(1 - self.output)", "(1 - input)", "GRADIENTS DIFFER"),
        "both branches of a where": ("self.xp.where(input >= 0, 1, e) / (1 + e)",
                                     "self.xp.where(input >= 0, 1 / (1 + self.xp.exp(-input)), "
                                     "self.xp.exp(input) / (1 + self.xp.exp(input)))", "computes both of its branches"),
        "branches exchanged": ("input >= 0, 1, e", "input >= 0, e, 1", "entries differ"),
        "clipped": ("self.xp.where(input >= 0, 1, e) / (1 + e)",
                    "1 / (1 + self.xp.exp(-self.xp.clip(input, -10, 10)))", "WRONG"),
        "symmetric by mistake": ("self.xp.where(input >= 0, 1, e) / (1 + e)", "1 / (1 + e)", "the output"),
        "square of y": ("self.output * (1 - self.output)", "self.output * self.output", "GRADIENTS DIFFER"),
        "derivative of the first row": ("self.output * (1 - self.output)", "self.output[:1] * (1 - self.output[:1])",
                                        "WRONG"),
        "an error function": ("self.xp.where(input >= 0, 1, e) / (1 + e)", "0.5 + 0.5 * self.xp.tanh(input)", "the output"),
        "an overflow that is hidden": ("        e = self", "        with self.xp.errstate(all='ignore'):\n            self.output[...] = 1 / (1 + self.xp.exp(-input))\n            return self.output\n        e = self", "overflow"),
        "the derivative in float32": ("(1 - self.output)", "(1 - self.output.astype('float32'))", "in float64"),
    },
    "03_linear_backward": {
        "overwrites": ("self.grad_weight +=", "self.grad_weight[...] =", "FAIL"),
        "ignores scale": ("self.grad_bias += scale *", "self.grad_bias += 1 *", "FAIL"),
        "weight transposed": ("grad_output, self.weight,", "grad_output, self.weight.T,", "WRONG"),
        "gradient transposed": ("grad_output.T, input", "input.T, grad_output", "WRONG"),
        "mean over the batch": ("sum(axis=0)", "mean(axis=0)", "GRADIENTS DIFFER"),
        "scale squared": ("self.grad_bias += scale *", "self.grad_bias += scale * scale *", "FAIL|after several calls"),
        "no sum over the rows": ("grad_output.sum(axis=0)", "grad_output", "has an axis that the array to the left"),
        "the last row only": ("grad_output.sum(axis=0)", "grad_output[-1]", "GRADIENTS DIFFER"),
        "adds to ∂L/∂x": ("self.xp.matmul(grad_output, self.weight, out=self.grad_input)",
                          "self.grad_input += self.xp.matmul(grad_output, self.weight)", "WRONG"),
        "learns in backward": ("self.grad_bias += scale *", "self.weight -= 1e-3\n        self.grad_bias += scale *", "WRONG"),
        "scales ∂L/∂output": ("self.grad_weight +=", "grad_output *= scale\n        self.grad_weight +=", "FAIL|WRONG"),
        "only while training": ("        self.grad_weight +=", "        if not self.train:\n            return\n        self.grad_weight +=", "after several calls"),
        "float32 inside": ("self.xp.matmul(grad_output, self.weight, out=self.grad_input)", "self.grad_input[...] = grad_output.astype('float32') @ self.weight.astype('float32')", "in float64"),
        "all in update_grad_input": (("self.xp.matmul(grad_output, self.weight, out=self.grad_input)", "self.grad_weight += scale * self.xp.matmul(grad_output.T, input)", "self.grad_bias += scale * grad_output.sum(axis=0)"), ("self.xp.matmul(grad_output, self.weight, out=self.grad_input)\n        self.grad_weight += grad_output.T @ input\n        self.grad_bias += grad_output.sum(axis=0)", "pass", "pass"), "adds to this gradient: only"),
    },
    "04_concat_table_backward": {
        "the last head only": ("self.grad_input += module", "self.grad_input[...] = module", "GRADIENTS DIFFER"),
        "adds into another's array": (
            "self.grad_input.fill(0)\n        for module, grad in zip(self.modules, grad_output):",
            "self.grad_input = self.modules[0].update_grad_input(input, grad_output[0])\n"
            "        for module, grad in zip(self.modules[1:], grad_output[1:]):", "grad_output"),
        "forgets scale": ("(input, grad, scale)", "(input, grad)", "FAIL"),
        "a mean of the heads": ("self.grad_input += module.update_grad_input(input, grad)",
                                "self.grad_input += module.update_grad_input(input, grad) / len(self.modules)",
                                "GRADIENTS DIFFER"),
        "the same gradient for all": ("update_grad_input(input, grad)", "update_grad_input(input, grad_output[0])", "WRONG"),
        "heads in reverse": ("zip(self.modules, grad_output)", "zip(self.modules, grad_output[::-1])", "WRONG"),
        "never cleared": ("        self.grad_input.fill(0)\n", "", "WRONG"),
        "the last head does not learn": ("in zip(self.modules, grad_output):\n            module.acc",
                                         "in zip(self.modules[:-1], grad_output):\n            module.acc",
                                         "GRADIENTS DIFFER"),
        "forward again": ("            self.grad_input += ", "            module.forward(input)\n            self.grad_input += ", "noise layer"),
        "rows of numbers only": ("self.buffer(\"grad_input\", input.shape)", "self.xp.zeros((input.shape[0], input.shape[1]), input.dtype)", "Error"),
        "float64": ("self.buffer(\"grad_input\", input.shape)", "self.xp.zeros(input.shape)", "dtype float64"),
        "three heads at most": ("            self.grad_input += ", "            if module in self.modules[3:]:\n                break\n            self.grad_input += ", "5 Identities"),
        "only while training": ("            module.acc_grad", "            if self.train:\n                module.acc_grad", "after three calls"),
    },
    "05_gaussian_kl": {
        "forgets ½": ("0.5 * float(", "float(", "divergence"),
        "no gradient of its own": (" + self.beta * mean", "", "GRADIENTS DIFFER"),
        "drops grad_output": ("grad_output[1] + ", "", "GRADIENTS DIFFER"),
        "beta in the divergence": ("0.5 * float(", "self.beta * 0.5 * float(", "beta"),
        "beta in the divergence only": (("+ self.beta * mean", "self.beta * 0.5", "0.5 * float("),
                                        ("+ mean", "0.5", "self.beta * 0.5 * float("), "divergence is multiplied by beta"),
        "a sum for each row": ("float((mean * mean + self.xp.expm1(log_var) - log_var).sum())",
                               "(mean * mean + self.xp.expm1(log_var) - log_var).sum(axis=1)",
                               r"shape \(4,\), expected one number for the whole batch"),
        "takes the standard deviation": ("self.xp.expm1(log_var) - log_var", "self.xp.expm1(2 * log_var) - 2 * log_var",
                                         "divergence"),
        "a mean": (").sum())", ").mean())", "divergence"),
        "adds up over batches": ("self.divergence = 0.5", "self.divergence = (self.divergence or 0) + 0.5", "divergence"),
        "the first row only": ("self.xp.expm1(log_var) - log_var)", "self.xp.expm1(log_var) - log_var)[:1]", "divergence"),
        "a sign": ("- log_var).sum", "+ log_var).sum", "WRONG"),
        "without beta": ("grad_output[1] + self.beta * 0.5", "grad_output[1] + 0.5", "WRONG"),
        "half of half": ("grad_output[1] + self.beta * 0.5", "grad_output[1] + self.beta * 0.25", "GRADIENTS DIFFER"),
        "changes its input": ("self.output = input", "mean *= 1.5\n        self.output = input", "WRONG"),
        "divergence of training alone": ("        self.divergence", "        if self.train:\n            self.divergence", "the divergence of one batch after another"),
        "three columns": (" - log_var).sum()", " - log_var)[:, :3].sum()", "the divergence of one batch after another"),
        "beta of the first call": ("        self.grad_input = ", "        self.beta = self.__dict__.setdefault('first', self.beta)\n        self.grad_input = ", "after beta was set to 0.5"),
        "log of the variance again": ("self.xp.expm1(log_var) - log_var", "self.xp.exp(log_var) - 1 - self.xp.log(self.xp.exp(log_var))", "divide by zero"),
    },
    "06_gaussian_sampler": {
        "σ² for σ, forward and backward": (
            ("0.5 * self.xp.exp(0.5 * log_var)", "exp(0.5 * log_var)"), ("self.xp.exp(log_var)", "exp(log_var)"),
            r"passed    the backward passes[^$]*WRONG     must hold: z is distributed[^$]*σ² stands where σ belongs"),
        "gradient without ½": ("0.5 * self.xp.exp", "self.xp.exp", "GRADIENTS DIFFER"),
        "noise of its own": ("self.draw(backend.standard_normal, (n * self.samples, q))",
                             "self.noise = backend.standard_normal(self.buffer('e', (n * self.samples, q)))", "hold"),
        "noise of NumPy's": (
            ("self.draw(backend.standard_normal, (n * self.samples, q))", "        self.output = self.buffer(\"output\", noise.shape)\n",
             "self.grouped(self.output)[...] = mean[:, None] + std[:, None] * self.grouped(noise)"),
            ("self.xp.random.default_rng().standard_normal((n * self.samples, q))", "        self.noise = noise\n",
             "self.output = (mean[:, None] + std[:, None] * self.grouped(noise)).reshape(noise.shape)"),
            "dtype float64, expected that of the input, float32"),
        "ε left out backwards": ("grad_output * self.noise", "grad_output", "GRADIENTS DIFFER"),
        "noise that is not centred": ("self.draw(backend.standard_normal,", "self.draw(backend.uniform,",
                                      "FAIL  mean of|FAIL  share below"),
        "rows of different images mixed": (
            ("self.grouped(self.output)[...] = mean[:, None] + std[:, None] * self.grouped(noise)",
             "self.grouped(grad_output).sum(axis=1)", "self.grouped(grad_output * self.noise).sum(axis=1)"),
            ("self.output[...] = self.xp.tile(mean, (self.samples, 1)) + self.xp.tile(std, (self.samples, 1)) * noise",
             "grad_output.reshape(self.samples, len(mean), -1).sum(axis=0)",
             "(grad_output * self.noise).reshape(self.samples, len(mean), -1).sum(axis=0)"), "are mixed"),
        "one noise for the draws of a row": ("self.grouped(noise)\n", "self.grouped(noise)[:, :1]\n", "WRONG"),
        "one noise for all units": ("std[:, None] * self.grouped(noise)", "std[:, None] * self.grouped(noise)[:, :, :1]",
                                    "WRONG"),
        "mean over the draws": ("self.grouped(grad_output).sum(axis=1)", "self.grouped(grad_output).mean(axis=1)",
                                "GRADIENTS DIFFER"),
        "no draw in evaluation": ("mean[:, None] + std[:, None]", "mean[:, None] + (std if self.train else 0 * std)[:, None]",
                                  "in evaluation too"),
        "uniform noise of variance 1": ("self.grouped(noise)\n", "self.grouped(3**0.5 * self.xp.sign(noise) * "
                                        "self.xp.abs(noise) / (1 + self.xp.abs(noise)))\n", "WRONG"),
        "always float32": ("self.output = self.buffer(\"output\", noise.shape)",
                           "self.output = self.xp.empty(noise.shape, 'float32')", "WRONG"),
        "log_var tiled": ("std[:, None] * self.grouped(noise)", "self.grouped(self.xp.tile(std, (self.samples, 1)) * noise)", "the size of z"),
        "σ of the first row": (("std[:, None] * self", "half_std * self.grouped(grad_output * self.noise).sum(axis=1)"), ("std[0] * self", "0\n        self.grad_input[1][0] = half_std[0] * (grad_output * self.noise).sum(axis=0)"), "the size of z"),
        "one draw in evaluation": ("        n, q = mean.shape", "        n, q = mean.shape\n        if not self.train and self.samples > 1:\n            return mean + self.xp.exp(0.5 * log_var) * self.draw(backend.standard_normal, (n, q))", r"expected \(12, 3\)"),
        "no derivative in evaluation": ("half_std * self", "self.train * half_std * self", "wrong in evaluation mode"),
        "the noise of before in evaluation": ("noise = self.draw(backend.standard_normal, (n * self.samples, q))", "noise = self.noise\n        if self.train or noise is None or len(noise) != n * self.samples:\n            noise = self.draw(backend.standard_normal, (n * self.samples, q))", "two calls gave the same output"),
        "held noise of NumPy's": ("noise = self.draw(backend.standard_normal, (n * self.samples, q))", "import numpy as np\n        if not (self.holding_noise and self.noise is not None):\n            self.noise = np.random.standard_normal((n * self.samples, q)).astype(mean.dtype)\n        noise = self.noise", "not with np.random"),
        "float32 inside": ("half_std = 0.5 * self.xp.exp(0.5 * log_var)", "half_std = 0.5 * self.xp.exp(0.5 * log_var.astype('float32'))", "in float64"),
    },
    "07_bernoulli_sampler": {
        "one Gumbel, as the listing": ("self.xp.log(u) - self.xp.log(1 - u)", "-self.xp.log(-self.xp.log(u))",
                                       "one Gumbel, .*is added to the logit"),
        "gradient without T": (".sum(axis=1) / self.temperature", ".sum(axis=1)", "GRADIENTS DIFFER"),
        "T beside the noise only": ("(input[:, None] + noise) / self.temperature",
                                    "input[:, None] + noise / self.temperature", "GRADIENTS DIFFER"),
        "ln 0": ("self.xp.minimum(self.xp.maximum(u, SMALLEST), LARGEST)", "u", "divide by zero"),
        "rows of different images mixed": (
            ("self.grouped(self.output)[...] = (input[:, None] + noise) / self.temperature",
             "self.grouped(grad_output).sum(axis=1)"),
            ("self.output[...] = (self.xp.tile(input, (self.samples, 1)) + noise.reshape(u.shape)) / self.temperature",
             "grad_output.reshape(self.samples, len(input), -1).sum(axis=0)"), "are mixed"),
        "one noise for the draws of a row": ("+ noise)", "+ noise[:, :1])", "WRONG"),
        "a Sigmoid of its own": ("(input[:, None] + noise) / self.temperature",
                                 "1 / (1 + self.xp.exp(-(input[:, None] + noise) / self.temperature))",
                                 "y lies between 0 and 1"),
        "T beside the logit only, both ways": ("(input[:, None] + noise) / self.temperature",
                                               "input[:, None] / self.temperature + noise", "and the noise is not"),
        "hard bits": ("(input[:, None] + noise) / self.temperature",
                      "20.0 * self.xp.sign(input[:, None] + noise)", "WRONG"),
        "T multiplied": ("noise) / self.temperature\n", "noise) * self.temperature\n", "WRONG"),
        "half of the noise": ("self.xp.log(u) - self.xp.log(1 - u)", "self.xp.log(u)", "WRONG"),
        "mean over the draws": ("self.grouped(grad_output).sum(axis=1)", "self.grouped(grad_output).mean(axis=1)",
                                "GRADIENTS DIFFER"),
        "clipped far inside": ("SMALLEST), LARGEST", "0.001), 0.999", "y for u = 1e-6"),
        "no noise in evaluation": ("(input[:, None] + noise)", "(input[:, None] + self.train * noise)", "two calls gave the same"),
        "T of the first call": ("(input[:, None] + noise) / self.temperature", "(input[:, None] + noise) / self.__dict__.setdefault('T', self.temperature)", "the share of z"),
        "changes the noise": ("u = self.xp.minimum(", "u[...] = u * u\n        u = self.xp.minimum(", "leave self.noise as it was drawn|FAIL"),
        "hands on ∂L/∂y": ("        self.grad_input = self", "        if self.temperature == self.samples == 1:\n            return grad_output\n        self.grad_input = self", "memory of ∂L/∂output"),
    },
    "08_bernoulli_noise": {
        "+1 where flipped": ("-grad_output, grad_output", "grad_output, grad_output", "GRADIENTS DIFFER"),
        "flips every pixel, as the listing": ("u < self.p, 1 - input, input", "u < 2, 1 - input, input", "every pixel flips"),
        "flips in evaluation": ("if not self.train", "if False", "evaluation"),
        "sets where it should flip": ("1 - input, input", "1, input", "share"),
        "flips a rounded pixel": ("u < self.p, 1 - input", "u < self.p, 1 - self.xp.round(input)", "neither x nor 1 − x"),
        "the mode ignored backwards": ("        if not self.train:\n            self.grad_input = grad_output\n",
                                       "        if False:\n            self.grad_input = grad_output\n",
                                       "must hold: evaluation changes nothing"),
        "the other share": ("u < self.p, 1", "u > self.p, 1", "1 − p stands where p belongs"),
        "one mask for all rows": ("u < self.p, 1 - input, input", "u[:1] < self.p, 1 - input, input", "WRONG"),
        "one mask for all pixels": ("u < self.p, 1 - input, input", "u.reshape(len(u), -1)[:, :1].reshape(-1, *[1] * "
                                    "(input.ndim - 1)) < self.p, 1 - input, input", "WRONG"),
        "the sign in evaluation": ("            self.grad_input = grad_output\n", "            self.grad_input = -grad_output\n",
                                   "evaluation"),
        "a new draw backwards": ("self.noise < self.p", "backend.uniform(self.buffer('v', input.shape)) < self.p", "WRONG"),
        "half of p": ("u < self.p, 1", "u < 0.9 * self.p, 1", "share flipped"),
        "evaluates for ever": ("if not self.train:\n            self.output = input",
                               "self.p = self.p if self.train else 0\n        if not self.train:\n            "
                               "self.output = input", "goes on after an evaluation"),
        "at p too": ("u < self.p", "u <= self.p", "the output for p = 0"),
        "the noise of training in evaluation": ("        if not self.train:\n            self.grad_input", "        if self.noise is None:\n            self.grad_input", "grad_input in evaluation"),
        "draws in evaluation": ("        if not self.train:\n            self.output", "        self.draw(backend.uniform, input.shape)\n        if not self.train:\n            self.output", "draws noise in evaluation"),
        "leaves evaluation": ("            self.output = input\n", "            self.output, self.train = input, True\n", "forward sets self.train"),
        "always the same number": (("u < self.p, 1", "self.noise < self.p"), ("self.noise.argsort(axis=None).argsort().reshape(input.shape) < int(self.p * input.size), 1", "self.noise.argsort(axis=None).argsort().reshape(input.shape) < int(self.p * input.size)"), "each of 50 calls flips"),
        "one noise for all channels": (("u < self.p, 1", "self.noise < self.p"), ("(u if u.ndim < 3 else u[:, :1]) < self.p, 1", "(self.noise if self.noise.ndim < 3 else self.noise[:, :1]) < self.p"), "the next channel"),
        "p up to ½": (("u < self.p, 1", "self.noise < self.p"), ("u < (self.p if self.p == 1 else min(self.p, 0.5)), 1", "self.noise < (self.p if self.p == 1 else min(self.p, 0.5))"), "not p = 0.8"),
    },
    "09_bce_from_logits": {
        "by way of probabilities": (
            "self.output = float((xp.maximum(input, 0) - input * target + xp.log1p(xp.exp(-xp.abs(input)))).sum())",
            "p = 1 / (1 + xp.exp(-input))\n"
            "        self.output = -float((target * xp.log(p) + (1 - target) * xp.log(1 - p)).sum())", "overflow"),
        "a mean": (").sum())", ").mean())", "loss"),
        "logits taken for probabilities": ("self.xp.where(input >= 0, 1, e) / (1 + e) - target", "input - target",
                                           "DIFFER"),
        "clipped logits": ("xp = self.xp\n", "xp = self.xp\n        input = xp.clip(input, -30, 30)\n", "WRONG"),
        "target and prediction exchanged": ("- input * target", "- target", "WRONG"),
        "the first row only": (").sum())", ")[:1].sum())", "WRONG"),
        "a sign": ("(1 + e) - target", "(1 + e) + target", "DIFFER"),
        "divided by the batch": ("(1 + e) - target", "(1 + e) / len(input) - target / len(input)", "WRONG"),
        "overwrites the prediction": ("xp = self.xp\n", "xp = self.xp\n        input *= 0.5\n        input *= 2.5\n", "WRONG"),
        "nothing returned": ("        return self.output\n", "", "return"),
        "in float64, up to 700": ("xp.maximum(input, 0) - input * target + xp.log1p(xp.exp(-xp.abs(input)))", "xp.log1p(xp.exp(input.astype('float64'))) - input * target", "overflow"),
        "logits clipped": ("        xp = self.xp\n", "        xp = self.xp\n        input = xp.clip(input, -200, 200)\n", "2e30"),
        "∂L/∂a in float64": ("        return self.grad_input", "        return self.grad_input.astype('float64')", "dtype float64"),
        "∂L/∂a in float32": ("e = self.xp.exp(-self.xp.abs(input))", "e = self.xp.exp(-self.xp.abs(input.astype('float32')))", "in float64"),
        "an array of the class": ("self.grad_input = self.buffer(\"grad_input\", input.shape)", "cls = type(self)\n        if getattr(cls, 'kept', target[:0]).shape != input.shape or cls.kept.dtype != input.dtype:\n            cls.kept = input.copy()\n        self.grad_input = cls.kept", "after another criterion"),
        "a loss for each pixel": ("self.output = float((xp.maximum(input, 0) - input * target + xp.log1p(xp.exp(-xp.abs(input)))).sum())", "self.output = xp.maximum(input, 0) - input * target + xp.log1p(xp.exp(-xp.abs(input)))", "its loss is an array .* with shape"),
    },
    "10_adam": {
        "no correction": (" * sqrt(1 - beta2**t) / (1 - beta1**t)", "", "factor for the start at zero is missing"),
        "a new vector": ("x -= step", "x = x - step", "in place"),
        "the factor upside down": ("sqrt(1 - beta2**t) / (1 - beta1**t)", "(1 - beta1**t) / sqrt(1 - beta2**t)",
                                   "the factor is upside down"),
        "begins at g and g²": (("state.get(\"m\", 0)", "state.get(\"v\", 0)"),
                               ("state.get(\"m\", grad)", "state.get(\"v\", grad * grad)"), "begin at g and g²; they begin at 0"),
        "ε inside the root": ("v**0.5 + state[\"epsilon\"]", "(v + state[\"epsilon\"])**0.5", "inside the root"),
        "asks twice": ("loss, grad = feval(x)", "loss = feval(x)[0]\n    grad = feval(x)[1]", "feval was called"),
        "counts from 0": ("state.get(\"t\", 0) + 1", "state.get(\"t\", -1) + 1", "ZeroDivisionError"),
        "ε as in the paper": ("sqrt(1 - beta2**t) / (1 - beta1**t)\n    x -= step * m / (v**0.5 + state[\"epsilon\"])",
                              "1 / (1 - beta1**t)\n    x -= step * m / ((v / (1 - beta2**t))**0.5 + state[\"epsilon\"])",
                              "Torch7 adds it to √v"),
        "keeps feval's array": ("beta1 * state.get(\"m\", 0) + (1 - beta1) * grad", "grad if t == 1 else "
                                "beta1 * state.get(\"m\", 0) + (1 - beta1) * grad", "WRONG"),
        "aliases the gradient": ("state[\"m\"] = m = beta1 * state.get(\"m\", 0) + (1 - beta1) * grad",
                                 "grad *= 1 - beta1\n    state[\"m\"] = m = grad + beta1 * state.get(\"m\", 0)", "WRONG"),
        "the loss after the step": ("return x, loss", "return x, feval(x)[0]", "WRONG"),
        "no root": ("v**0.5", "v", "root of v is missing|WRONG"),
        "no square": ("(1 - beta2) * grad * grad", "(1 - beta2) * abs(grad)", "WRONG"),
        "up the hill": ("x -= step", "x += step", "goes up the hill"),
        "kept on the function": ("state[\"m\"] = m = beta1 * state.get(\"m\", 0)",
                                 "adam.m = m = beta1 * getattr(adam, \"m\", 0)", "WRONG"),
        "no memory of t": ("state[\"t\"] = t = state.get(\"t\", 0) + 1", "t = 1", "WRONG"),
        "η as it was first": ("state[\"learning_rate\"] *", "state.setdefault('first', state[\"learning_rate\"]) *", "x after step 10"),
        "writes into g": ("loss, grad = feval(x)", "loss, grad = feval(x)\n    kept = grad.copy()\n    grad *= 0\n    grad = kept", "feval's gradient after the step"),
        "feval of a copy": ("feval(x)", "feval(x.copy())", "another array than x"),
        "five entries": ("x -= step * m / (v**0.5 + state[\"epsilon\"])", "x[:5] -= (step * m / (v**0.5 + state[\"epsilon\"]))[:5]", "x of length 40"),
        "float32 inside": ("(1 - beta1) * grad\n", "(1 - beta1) * grad.astype('float32')\n", "in float64, after 60 steps"),
        "no correction after twenty steps": ("sqrt(1 - beta2**t) / (1 - beta1**t)", "(sqrt(1 - beta2**t) / (1 - beta1**t) if t <= 20 else 1)", "after 60 steps"),
    },
    "11_importance_weighting": {
        "mean of the logarithms": ("peak + np.log(np.exp(log_weight - peak[:, None]).mean(axis=1))",
                                   "log_weight.mean(axis=1)", "grows(.|\n)*expected within"),
        "underflows": ("peak = log_weight.max(axis=1)", "peak = 0 * log_weight[:, 0]", "divide by zero"),
        "a sum for a mean": (".mean(axis=1)", ".sum(axis=1)", "the bound"),
        "q multiplied": ("- log_posterior", "+ log_posterior", "the bound"),
        "one maximum for the whole batch": ("peak = log_weight.max(axis=1)",
                                            "peak = log_weight.max() + 0 * log_weight[:, 0]", "very different weights"),
        "the first draw for the largest": ("peak = log_weight.max(axis=1)", "peak = log_weight[:, 0]", "WRONG"),
        "the prior left out": ("log_likelihood + log_prior", "log_likelihood", "WRONG"),
        "the largest weight": ("peak + np.log(np.exp(log_weight - peak[:, None]).mean(axis=1))", "peak", "WRONG"),
        "over the images": ("log_weight.max(axis=1)\n    return peak + np.log(np.exp(log_weight - peak[:, None]).mean(axis=1))",
                            "log_weight.max(axis=0)\n    return peak + np.log(np.exp(log_weight - peak).mean(axis=0))",
                            "WRONG"),
        "writes into its arguments": ("log_weight = log_likelihood + log_prior - log_posterior",
                                      "log_likelihood += log_prior - log_posterior\n    log_weight = log_likelihood",
                                      "WRONG"),
        "the peak left out": ("return peak + ", "return ", "WRONG"),
        "not below −20,000": ("log_prior - log_posterior", "log_prior - log_posterior\n    log_weight = np.maximum(log_weight, -2e4)", "−1e30"),
        "one array for all calls": ("    return ", "    import functools\n    kept = functools.__dict__.setdefault(f'kept{len(peak)}', peak.astype('float64'))\n    kept[...] = peak + np.log(np.exp(log_weight - peak[:, None]).mean(axis=1))\n    return kept\n    return ", "after another call"),
        "a list": ("    return peak + np.log(np.exp(log_weight - peak[:, None]).mean(axis=1))", "    return list(peak + np.log(np.exp(log_weight - peak[:, None]).mean(axis=1)))", "of type list"),
    },
    HUNT: {
        "still σ²": (("0.5 * log_var", "0.5 * self.xp.exp(0.5 * input"), ("log_var", "self.xp.exp(input"),
                      "1 of 6 mistakes|1 of 5 mistakes"),
        "still without zeroing": ("    model.zero_grad_parameters()\n", "", "1 of 5 mistakes"),
        "still overwrites": ("self.grad_weight +=", "self.grad_weight[...] =", "1 of 5 mistakes"),
        "the bias overwritten": ("self.grad_bias +=", "self.grad_bias[...] =", "1 of 5 mistakes"),
        "the bracket": ("0.5 * (self.xp.exp(log_var) - 1)", "0.5 * self.xp.exp(log_var) - 0.5 * 0.9", "1 of 5 mistakes"),
        "zeroed too late": ("    model.zero_grad_parameters()\n    prediction", "    prediction", "1 of 5 mistakes"),
        "without the divergence": (" + mv.side_loss(model)", "", "1 of 5 mistakes"),
        "clipped probabilities": (
            "self.output = float((xp.maximum(input, 0) - input * target + xp.log1p(xp.exp(-xp.abs(input)))).sum())",
            "p = xp.clip(0.5 + 0.5 * xp.tanh(0.5 * input), 1e-7, 1 - 1e-7)\n"
            "        self.output = -float((target * xp.log(p) + (1 - target) * xp.log(1 - p)).sum())", "1 of 5 mistakes"),
        "beta lost": ("+ self.beta * 0.5 * (", "+ 0.5 * (", "1 of 5 mistakes"),
        "logits clipped": ("        xp = self.xp\n", "        xp = self.xp\n        input = xp.clip(input, -100, 100)\n", "1 of 5 mistakes"),
        "zeroed afterwards": (("    model.zero_grad_parameters()\n", "    return loss, grads"), ("", "    kept = grads.copy()\n    grads.fill(0)\n    return loss, kept"), "1 of 5 mistakes"),
        "forward twice": ("criterion.backward(prediction, x)", "criterion.backward(model.forward(x), x)", "1 of 5 mistakes"),
    },
    "13_own_vae": {
        "minivae's own layer": ('mine("03_linear_backward", "Linear")', "nn.Linear", "Linear is minivae's"),
        "minivae's own divergence": ('mine("05_gaussian_kl", "GaussianKL")()', "nn.GaussianKL()", "GaussianKL is minivae's"),
        "minivae's own criterion": ('mine("09_bce_from_logits", "BCEWithLogitsCriterion")()', "nn.BCEWithLogitsCriterion()",
                                    "is minivae's"),
        "no divergence": ('        mine("05_gaussian_kl", "GaussianKL")(), mine', "        mine", "one divergence"),
        "no rectifier": ("Linear(code, hidden), ReLU(), ", "Linear(code, hidden), ", "ReLU, expected 2"),
        "gradients not zeroed": ("        model.zero_grad_parameters()\n", "", "is it zeroed first"),
        "the divergence not counted": (" + mv.side_loss(model)", "", "step 1 returns"),
        "the sum over the batch": ("value / len(x)", "value", "step 1 returns"),
        "noise forgotten": ('[mine("08_bernoulli_noise", "BernoulliNoise")(p)] if p else []', "[]",
                            "the first layer is a Linear"),
        "noise after the first layer": ("*noise, Linear(pixels, hidden),", "Linear(pixels, hidden), *noise,", "WRONG"),
        "no step": ('return mine("10_adam", "adam")(feval, parameters, state)[1]', "return feval(parameters)[0]",
                    "of Adam"),
        "nothing returned": ("return mine(\"10_adam\"", "mine(\"10_adam\"", "step 1 returns None"),
        "minivae's adam": ("mine(\"10_adam\", \"adam\")(", "mv.optim.adam(", "minivae's adam"),
        "steps of one size": ("return mine(\"10_adam\", \"adam\")(feval, parameters, state)[1]", "value, g = feval(None)\n    parameters -= 0.002 * (g > 0) - 0.002 * (g < 0)\n    return value", "of Adam"),
        "a new state at each step": ("parameters, state)", "parameters, dict(state))", "after step 2 of Adam"),
        "half the divergence": ("\"GaussianKL\")()", "\"GaussianKL\")(0.5)", "beta = 0.5"),
        "always 0.4": ("\"BernoulliNoise\")(p)", "\"BernoulliNoise\")(0.4)", "expected 0.1"),
        "another width": ("Linear(code, hidden), ReLU(), Linear(hidden, pixels)", "Linear(code, 2 * hidden), ReLU(), Linear(2 * hidden, pixels)", "of the sizes"),
        "sizes of the first test": ("Linear(pixels, hidden), ReLU(), nn.ConcatTable(Linear(hidden, code), Linear(hidden, code))", "Linear(pixels, 32), ReLU(), nn.ConcatTable(Linear(32, code), Linear(32, code))", "of the sizes"),
    },
}
# the same for solutions that are right in another way: they pass
RIGHT = {
    "01_relu": {"new arrays": (("self.xp.maximum(input, 0, out=self.output)",
                                "self.xp.multiply(grad_output, input > 0, out=self.grad_input)"),
                               ("self.output = input * (input > 0)", "self.grad_input = grad_output * (input > 0)")),
                "from its output": ("input > 0", "self.output > 0")},
    "02_sigmoid": {"tanh in pieces": ("self.xp.where(input >= 0, 1, e) / (1 + e)",
                                      "self.xp.where(input >= 0, 1 / (1 + e), e / (1 + e))"),
                   "one minus the other side": ("self.xp.where(input >= 0, 1, e) / (1 + e)",
                                                "self.xp.where(input >= 0, 1 / (1 + e), 1 - 1 / (1 + e))"),
                   "new arrays": ("self.output[...] = ", "self.output = ")},
    "03_linear_backward": {"einsum": ("self.xp.matmul(grad_output, self.weight, out=self.grad_input)",
                                      "self.grad_input[...] = self.xp.einsum('no,oi->ni', grad_output, self.weight)")},
    "04_concat_table_backward": {"a new sum": ("self.grad_input += module.update_grad_input(input, grad)",
                                               "self.grad_input = self.grad_input + module.update_grad_input(input, grad)")},
    "05_gaussian_kl": {"exp": ("self.xp.expm1(log_var) - log_var", "self.xp.exp(log_var) - 1 - log_var"),
                       "new arrays": (("self.grad_input[0][...] = grad_output[0] + self.beta * mean",
                                       "self.grad_input[1][...] = grad_output[1]"),
                                      ("first = grad_output[0] + self.beta * mean",
                                       "self.grad_input = first, grad_output[1]"))},
    "06_gaussian_sampler": {"the other sign": (("+ std[:, None]", "half_std * self"), ("- std[:, None]", "-half_std * self")),
                            "new arrays": (("        self.output = self.buffer(\"output\", noise.shape)\n",
                                            "self.grouped(self.output)[...] = mean[:, None] + std[:, None] * self.grouped(noise)"),
                                           ("", "self.output = (mean[:, None] + std[:, None] * self.grouped(noise))"
                                            ".reshape(noise.shape)")),
                            "repeat": ("self.grouped(self.output)[...] = mean[:, None] + std[:, None] * self.grouped(noise)",
                                       "self.output[...] = self.xp.repeat(mean, self.samples, 0) + "
                                       "self.xp.repeat(std, self.samples, 0) * noise")},
    "07_bernoulli_sampler": {"the other sign": ("self.xp.log(u) - self.xp.log(1 - u)", "self.xp.log(1 - u) - self.xp.log(u)")},
    "08_bernoulli_noise": {"arithmetic": ("self.xp.where(u < self.p, 1 - input, input)",
                                          "input + (u < self.p) * (1 - 2 * input)"),
                           "from the other end": (("u < self.p, 1 - input, input", "self.noise < self.p, -grad_output, grad"),
                                                  ("u >= 1 - self.p, 1 - input, input",
                                                   "self.noise >= 1 - self.p, -grad_output, grad")),
                           "new arrays": (("self.output[...] = ", "self.grad_input[...] = "),
                                          ("self.output = ", "self.grad_input = "))},
    "09_bce_from_logits": {"logaddexp": ("xp.maximum(input, 0) - input * target + xp.log1p(xp.exp(-xp.abs(input)))",
                                         "xp.logaddexp(0, input) - input * target"),
                           "one plus": ("xp.log1p(xp.exp(-xp.abs(input)))", "xp.log(1 + xp.exp(-xp.abs(input)))"),
                           "a new result": ("self.grad_input[...] = ", "self.grad_input = "),
                           "p of the forward pass": (("        xp = self.xp\n", "self.xp.where(input >= 0, 1, e) / (1 + e)"),
                                                     ("        xp = self.xp\n        self.p = 0.5 + 0.5 * xp.tanh(input / 2)\n", "self.p"))},
    "10_adam": {"factors apart": ("sqrt(1 - beta2**t) / (1 - beta1**t)", "(1 - beta2**t)**0.5 * (1 / (1 - beta1**t))"),
                "by slices": ("x -= step", "x[:] = x - step")},
    "11_importance_weighting": {"logaddexp": ("peak + np.log(np.exp(log_weight - peak[:, None]).mean(axis=1))",
                                              "np.logaddexp.reduce(log_weight, axis=1) - np.log(log_weight.shape[1])")},
    "13_own_vae": {"two parts": ("        Linear(code, hidden), ReLU(), Linear(hidden, pixels))",
                                 "        nn.Sequential(Linear(code, hidden), ReLU(), Linear(hidden, pixels)))")},
}

KL = SOLUTIONS["05_gaussian_kl"]
DELEGATES = """
from minivae import nn
class GaussianKL(nn.Divergence):
    def update_output(self, input):
        {}
        self.inner = nn.GaussianKL(self.beta)
        self.output = self.inner.forward(input)
        self.divergence = self.inner.divergence
        return self.output
    def update_grad_input(self, input, grad_output):
        self.grad_input = self.inner.update_grad_input(input, grad_output)
        return self.grad_input
"""
IN_A_VERB = KL.replace("        mean, log_var = input\n        self.divergence", "        {}\n        mean, log_var = input\n"
                       "        self.divergence").replace("0.5 * float", "0.7 * float")
RELU = """
from minivae import nn
class ReLU(nn.Module{0}):
{1}
    def update_output(self, input):
        {2}
        return input.copy()
    def update_grad_input(self, input, grad_output):
        return grad_output.copy()
"""
OWN = ("    def __init__(self):\n        super().__init__()\n        own = nn.ReLU()\n"
       "        self.forward, self.backward = own.forward, own.backward")
# ways around the work, as they are graded
CHEATS = {  # name: (exercise, file, words of the note)
    "an alias": ("05_gaussian_kl", "from minivae.nn import GaussianKL\n", "does not define GaussianKL"),
    "an alias by assignment": ("05_gaussian_kl", "from minivae import nn\nGaussianKL = nn.GaussianKL\n", "does not define"),
    "a subclass": ("05_gaussian_kl", "from minivae import nn\nclass GaussianKL(nn.GaussianKL):\n    pass\n", "minivae's own"),
    "verbs that are aliases": ("05_gaussian_kl", "from minivae import nn\nclass GaussianKL(nn.Divergence):\n"
                               "    update_output = nn.GaussianKL.update_output\n"
                               "    update_grad_input = nn.GaussianKL.update_grad_input\n", "does not define update_output"),
    "minivae's own inside": ("05_gaussian_kl", DELEGATES.format("pass"), "do the work"),
    "its profiler removed": ("05_gaussian_kl", DELEGATES.format("import sys; sys.setprofile(None)"), "setprofile"),
    "super() does it": ("12_bug_hunt", SOLUTIONS["12_bug_hunt"].replace(
        "self.grad_weight += scale * (grad_output.T @ input)\n        self.grad_bias += scale * grad_output.sum(axis=0)",
        "super().acc_grad_parameters(input, grad_output, scale)"), "do the work"),
    "adam by adam": ("10_adam", "from minivae import optim\ndef adam(feval, x, state):\n"
                     "    return optim.adam(feval, x, state)\n", "do the work"),
    "the bound by evaluation": ("11_importance_weighting", "import minivae.evaluation as e\n"
                                "importance_bound = e.log_likelihood\n", "does not define"),
    "checks patched at the top": ("05_gaussian_kl", "import checks\nchecks.same = checks.gradients = checks.expect = lambda "
                                  "*a, **k: None\n" + IN_A_VERB.format("pass"), "WRONG"),
    "checks patched in a verb": ("05_gaussian_kl", IN_A_VERB.format(
        "import checks; checks.same = lambda *a, **k: None"), "WRONG"),
    "the judge's checks patched": ("05_gaussian_kl", IN_A_VERB.format(
        "import sys; f = sys._getframe(); x = [f := f.f_back for _ in range(4)]; [g.f_globals.__setitem__('same', lambda *a: "
        "None) for g in x if 'same' in g.f_globals]"), "it changes .*same"),
    "the gradient check patched": ("05_gaussian_kl", IN_A_VERB.format(
        "import minivae; minivae.gradcheck = lambda *a, **k: type('R', (), {'ok': True})"), "it changes minivae.gradcheck"),
    "NumPy patched": ("05_gaussian_kl", IN_A_VERB.format(
        "import numpy; numpy.isclose = lambda a, b, **k: numpy.ones(numpy.shape(a), bool)"), "it changes numpy.isclose"),
    "minivae's layer patched": ("05_gaussian_kl", IN_A_VERB.format(
        "from minivae import nn; nn.GaussianKL.update_output = type(self).update_output"), "it changes minivae.nn"),
    "other conditions": ("05_gaussian_kl", IN_A_VERB.format("pass") + "\ndef conditions(test):\n    test.that('all', int)\n",
                         "WRONG"),
    "the end of the process": ("05_gaussian_kl", IN_A_VERB.format("import os; os._exit(0)"), "ended the process"),
    "the end at once": ("05_gaussian_kl", "import os\nos._exit(0)\n" + IN_A_VERB.format("raise SystemExit(0)"), "SystemExit"),
    "words of success": ("05_gaussian_kl", IN_A_VERB.format("print('  12 of 12 checks passed')"), "WRONG"),
    "a result of its own": ("05_gaussian_kl", IN_A_VERB.format(
        "import glob; open(glob.glob('*') and 'x' or 'result.txt', 'w').write('{\"passed\": 12}'); import os; os._exit(0)"),
        "it writes result.txt"),
    "the solution read": ("05_gaussian_kl", IN_A_VERB.format(
        f"exec(open({str(TESTS / 'solutions' / '05_gaussian_kl.py')!r}).read())"), "it reads 05_gaussian_kl.py"),
    "minivae's source read": ("05_gaussian_kl", IN_A_VERB.format(
        "import inspect; from minivae import nn; exec(inspect.getsource(nn.GaussianKL))"), "it reads gaussian_kl.py"),
    "a program": ("05_gaussian_kl", IN_A_VERB.format("import subprocess; subprocess.run(['true'])"), "it uses subprocess"),
    "another process": ("05_gaussian_kl", IN_A_VERB.format("import os; os.fork()"), "it uses os.fork"),
    "for ever": ("05_gaussian_kl", IN_A_VERB.format("\n        while True: pass"), "stopped after|ended the process"),
    "all memory": ("05_gaussian_kl", IN_A_VERB.format("self.x = self.xp.ones(10**11)"), "WRONG.*|MemoryError"),
    "no Python": ("05_gaussian_kl", "class GaussianKL(:\n", "SyntaxError"),
    "no text": ("05_gaussian_kl", "\0\0", "null|SyntaxError"),
    "without end": ("05_gaussian_kl", IN_A_VERB.format("self.update_output(input)"), "without end"),
    "an array that is always right": ("01_relu", """
import numpy as np
from minivae import nn
class Yes(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        return np.float64(0)
class ReLU(nn.Module):
    def update_output(self, input):
        self.output = input.copy().view(Yes)
        return self.output
    def update_grad_input(self, input, grad_output):
        self.grad_input = input.copy().view(Yes)
        return self.grad_input
""", "WRONG"),
    "another class made by __new__": ("01_relu", RELU.format("", "    def __new__(cls):\n        return nn.ReLU()", "pass"),
                                      "in the place of its own"),
    "another class made by a metaclass": ("01_relu", "from minivae import nn\nclass Meta(type):\n    def __call__(cls):\n"
                                          "        return nn.ReLU()\n" + RELU.format(", metaclass=Meta", "", "pass"),
                                          "in the place of its own"),
    "verbs of another object": ("01_relu", RELU.format("", OWN, "pass"), "in the place of its own"),
    "a thread": ("01_relu", RELU.format("", "", "import threading; own = nn.ReLU(); thread = threading.Thread("
                                        "target=own.forward, args=(input,)); thread.start(); thread.join(); return own.output"),
                 "in the place of its own"),
    "a profiler that comes back": ("01_relu", RELU.format("", "", "import sys; old = sys.getprofile(); sys.setprofile(None); y ="
                                   " nn.ReLU().forward(input); sys.setprofile(old); return y"), "it uses sys.setprofile"),
    "a tally of its own": ("01_relu", RELU.format("", "", "import gc; [setattr(each, 'passed', 99) for each in gc.get_objects() "
                           "if type(each).__name__ == 'Judged']"), "the tally"),
    "files patched": ("01_relu", RELU.format("", "", "import pathlib; pathlib.Path.read_text = None"), "it changes .*read_text"),
    "Python patched": ("01_relu", RELU.format("", "", "import builtins; builtins.any = lambda each: False"),
                       "it changes builtins.any"),
    "a decorator": ("01_relu", "def instead(verb):\n    return lambda self, *arrays: nn.ReLU.update_output(self, *arrays)\n" + RELU.format(
        "", "", "pass").replace("    def update_output", "    @instead\n    def update_output"), "do the work"),
    "a decorator of another function": ("01_relu", "import functools\n" + RELU.format("", "", "pass") + "    update_output = functools"
                                        ".wraps(update_output)(nn.ReLU.update_output)\n", "does not define update_output"),
    "adam in a decorator": ("10_adam", "import functools\nimport numpy as np\nfrom minivae import optim\ndef adam(feval, x, state):\n    "
                            "pass\nadam = functools.wraps(adam)(np.errstate()(optim.adam))\n", "not a function of the file"),
    "a folder removed": ("01_relu", RELU.format("", "", "import os; os.rmdir('.')"), "it uses os.rmdir"),
}
