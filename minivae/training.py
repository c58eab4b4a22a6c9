"""The articles' training loop, with a progress bar, a protocol and a way to stop."""

from math import isfinite

from minivae import backend
from minivae.distributed import Ranks
from minivae.errors import NonFiniteError, OptionError, real_number
from minivae.nn import side_loss
from minivae.optim import adam, sgd
from minivae.progress import progress_bar
from minivae.protocol import Protocol
from minivae.stopping import stop_signals

LOG_EVERY = 50  # steps, as the articles' lossIterations


class Training:
    """A model, its data, and how far it has got.

        model      a VAE                        batches   a data.Batches, whose images are both input and target
        momentum   None: Adam; a number: gradient descent with that momentum
        annealing  an Annealing of the temperature of relaxed codes, or None
        ranks      the distributed.Ranks that share each batch; by default this process alone
        state      the optimiser's: its options, then its moments     protocol  a row a step

    `feval` and `step` are the loop of Torch7; `run` repeats them.

    A loss that is not finite raises NonFiniteError before it changes a parameter, in the step that made it: on a
    device, where to look would make every step wait, in the next of the steps that are looked at.  These are the ones
    of a log line, a checkpoint and the end; in them the gradient must be finite too, and what Adam makes of it.  A
    gradient that is not in between makes parameters that are not, and so the next loss.  The error names the first
    module and verb to blame.
    """

    def __init__(self, model, batches, learning_rate=1e-3, learning_rate_decay=0.0, momentum=None, annealing=None,
                 ranks=None):
        self.model, self.batches, self.annealing, self.ranks = model, batches, annealing, ranks or Ranks()
        self.optimiser = adam if momentum is None else sgd
        self.criterion = model.criterion()
        self.parameters, self.grads = model.get_parameters()
        self.state = {"learning_rate": learning_rate, "learning_rate_decay": learning_rate_decay}
        if momentum is not None:
            self.state["momentum"] = momentum
        for name, value in self.state.items():
            self.state[name] = real_number("Training", name, value, "is a number from 0", least=0)
        self.protocol = Protocol(())
        self.steps = 0
        self.stopped = False
        self.looking = False  # whether this step's gradient is looked at
        self._step = backend.Replayed(self._take, self._owners, self._constants, self._obstacle)

    def feval(self, parameters):
        """(loss of the batch in nats, its gradient by the flat parameters): what the optimiser asks for."""
        model, criterion = self.model, self.criterion
        model.zero_grad_parameters()
        with self.ranks.share(self.batch) as x:
            prediction = model.forward(x)
            reconstruction = criterion.forward(prediction, x)
            model.backward(x, criterion.backward(prediction, x), need_grad_input=False)
        loss = self._record(reconstruction, reconstruction + side_loss(model))
        self._expect_finite(loss)
        return loss, self.grads

    def step(self):
        """Draw a batch and take one step of the optimiser; returns the loss before it, in nats, summed over images."""
        if self.annealing is not None:
            self.annealing.apply(self.model, self.steps)
        self.steps += 1
        if self.protocol.nonfinite is not None:
            raise self._blame("the loss")
        return self._step(self.model.backend, call=self.looking)

    def _take(self):
        """The step, which a device may have recorded and does again at once: see `backend.Replayed`."""
        self.batch = self.batches.next()
        _, loss = self.optimiser(self.feval, self.parameters, self.state)
        return loss

    def _owners(self):
        return [*self.model.list_modules(), self.criterion, self.batches]

    def _constants(self):
        options = (value for key, value in self.state.items() if key != "t")
        return self.parameters, self.protocol, *options

    def _obstacle(self):
        if self.ranks.size > 1:
            return "several ranks share each batch"
        if any(module.holding_noise for module in self.model.list_modules()):
            return "noise is held"
        return None

    def run(self, steps, progress=True, floor=None, checkpoint=None, every=None):
        """Take so many steps; returns the protocol.  Ctrl-C ends it after the step it is in, `stopped` says so.

        floor        shown beside the loss: the least that the data allow, in nats per image
        checkpoint   called without arguments after each step whose number `every` divides, but not after the last
        """
        if steps < 1:
            raise OptionError(f"{steps} steps of training; choose 1 or more")
        self.model.training()
        beside = "" if floor is None else f" (optimum {floor:.3f})"
        with stop_signals() as stop, progress_bar(steps, "step", progress) as bar:
            logged = 0
            for done in range(1, steps + 1):
                logs = done % LOG_EVERY == 0 or done == steps
                keeps = checkpoint is not None and every and self.steps % every == every - 1 and done < steps
                self.looking = logs or keeps
                self.step()
                self.stopped = self.ranks.any(stop.is_set())
                if self.looking or self.stopped:
                    self._expect_finite_memory()
                if logs or self.stopped:
                    mean = self.protocol.mean(LOG_EVERY)
                    bar.set_postfix_str(f"{mean['reconstruction']:.2f} reconstruction + {mean['divergence']:.2f} KL "
                                        f"= {mean['total']:.2f} nats per image{beside}", refresh=False)
                    bar.update(done - logged)
                    logged = done
                if self.stopped:
                    break
                if keeps:
                    checkpoint()
            self.looking = False
        return self.protocol

    def _record(self, reconstruction, loss):
        """Add up what the ranks have found and write the row of this step; returns the loss of the whole batch."""
        n, kl = len(self.batch), self.model.kl
        if n == 0:
            return loss  # of no images there is no mean
        statistics = {} if kl.latent_class is None else kl.latent.statistics(kl.output)
        totals, counts = [total for total, _ in statistics.values()], [count for _, count in statistics.values()]
        reconstruction, divergence, loss, *sums = self.ranks.add(
            self.grads, (reconstruction, kl.divergence, loss, *totals, *counts))
        statistics = dict(zip(statistics, zip(sums[:len(totals)], sums[len(totals):])))
        if self.annealing is not None:
            temperature = backend.varying(lambda: self.annealing.temperature(self.steps - 1), reconstruction)
            statistics["temperature"] = temperature, 1
        if not len(self.protocol):
            self.protocol = Protocol(tuple(statistics))
        self.protocol.add(lambda: self.steps, n, reconstruction, divergence, statistics)
        return loss

    def _expect_finite(self, loss):
        """Raise if the loss is known not to be finite, or the gradient in a step that is looked at."""
        if self.looking:
            self.protocol.flush()
        if ((self.looking or isinstance(loss, float)) and not isfinite(loss)) or self.protocol.nonfinite is not None:
            raise self._blame("the loss")
        if self.looking and backend.total(_not_finite, self.grads):
            raise self._blame("the gradient")

    def _expect_finite_memory(self):
        """Raise if the step just taken has spoiled what the next one starts from, which a checkpoint would keep."""
        if backend.total(_not_finite, self.parameters):
            raise self._blame("a parameter")
        if "v" in self.state and backend.total(_not_finite, self.state["v"]):
            raise self._blame("a squared gradient")  # g² of a finite g: that weight would never move again

    def _blame(self, what):
        from minivae.debug.nonfinite import origin  # here, because it is seldom needed and loads the checkers

        self.protocol.flush()
        step, reconstruction, divergence, *_ = self.protocol.nonfinite or self.protocol.rows[-1]
        with self.ranks.share(self.batch) as x:
            cause = origin(self.model, x)
        return NonFiniteError(f"{what} is not finite since step {step:.0f}: reconstruction {reconstruction:g}, KL "
                              f"{divergence:g} nats per image; {cause}; lower the learning "
                              "rate, or check the data for values that are not finite")


def _not_finite(xp, x):
    return xp.logical_not(xp.isfinite(x))


def train(model, batches, epochs=1, learning_rate=1e-3, learning_rate_decay=0.0, progress=True):
    """Train a model for so many epochs of `batches` by Adam; returns the Protocol.

    Ctrl-C ends it early and keeps what was learned.
    """
    training = Training(model, batches, learning_rate, learning_rate_decay)
    return training.run(epochs * len(batches), progress)
