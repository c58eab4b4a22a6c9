"""The articles' training loop, with a progress bar, a protocol and a way to stop."""

import reprlib
from collections.abc import Callable, Sequence
from itertools import chain
from math import inf
from typing import Any

import numpy as np

from minivae import backend, objectives
from minivae.data import Batches
from minivae.distributed import Ranks
from minivae.errors import MinivaeError, OptionError, call_cure, instance, real_number, whole_number
from minivae.finite_watch import FiniteWatch, unwarned
from minivae.models import VAE
from minivae.optim import adam, sgd
from minivae.progress import progress_bar
from minivae.protocol import Protocol
from minivae.schedules import Schedule, apply
from minivae.stop_signals import stop_signals

LOG_EVERY = 50  # steps, as the articles' lossIterations


class Training:
    """A model, its data, and how far it has got.

        model      a VAE                        batches   a data.Batches, whose images are both input and target
        momentum   None: Adam; a number: gradient descent with that momentum
        learning_rate, beta, annealing     the learning rate, the weight of the KL divergence and the temperature of
                   relaxed codes may be functions of the steps taken, as in `schedules`; the protocol then has them
        callbacks  functions of this training, called after each epoch of it, one of which may end it: see `callbacks`
        objective, estimator     names, of what a step minimises and how its gradient is estimated: see `objectives`
        ranks      the distributed.Ranks that share each batch; by default this process alone
        state      the optimiser's: its options, then its moments     protocol  a row a step

    `feval` and `step` are the loop of Torch7, and `run` repeats them.  A Training puts its model into training mode
    when it is made, and in `run`.  A FiniteWatch ends it at a number that is not finite.  The model keeps the last
    `beta` and temperature, and codes as hard as the estimator made them: another Training of it without these
    options goes on with them.
    """

    def __init__(self, model: Any, batches: Batches, learning_rate: float | Schedule = 1e-3,
                 learning_rate_decay: float = 0.0, momentum: float | None = None, annealing: Schedule | None = None,
                 ranks: Ranks | None = None, beta: Schedule | None = None,
                 callbacks: Sequence[Callable[["Training"], bool | None]] = (), objective: objectives.Name = "elbo",
                 estimator: objectives.Estimator | None = None):
        instance("Training", "model", model, VAE)
        instance("Training", "batches", batches, Batches, "; Batches(images, batch_size=16) makes them of images")
        self.model, self.batches = model, batches
        self.ranks = Ranks() if ranks is None else instance("Training", "ranks", ranks, Ranks)
        if not isinstance(callbacks, Sequence):
            shown = reprlib.repr(callbacks)
            raise OptionError(f"Training(callbacks={shown}): wanted a list of functions; [...] makes one of one alone")
        self.callbacks = list(callbacks)
        functions: list[tuple[str, Any]] = [
            (name, each) for name, each in (("beta", beta), ("annealing", annealing)) if each is not None]
        functions += [("learning_rate", learning_rate)] * callable(learning_rate)
        for what, each in [*functions, *(("callbacks", each) for each in self.callbacks)]:
            if not callable(each) or isinstance(each, type):
                cure = call_cure(each, object) or (
                    "; numbers that do not change are options of the model" * (what != "callbacks"))
                raise OptionError(f"Training({what}={reprlib.repr(each)}): wanted a function{cure}")
        schedules = {"learning_rate": learning_rate, "beta": beta, "temperature": annealing}
        self.schedules = {name: each for name, each in schedules.items() if callable(each)}
        if "learning_rate" in self.schedules and learning_rate_decay != 0:
            raise OptionError(f"Training(learning_rate_decay={reprlib.repr(learning_rate_decay)}): a function for "
                              "learning_rate stands in its place; give one of them, or LearningRate(peak, decay)")
        self.optimiser: Callable = adam if momentum is None else sgd
        rate = learning_rate(0) if callable(learning_rate) else learning_rate
        self.state: dict = {"learning_rate": rate, "learning_rate_decay": learning_rate_decay}
        if momentum is not None:
            self.state["momentum"] = momentum
        for name, value in self.state.items():
            most, below = (1, " to below 1") if name == "momentum" else (inf, "")
            self.state[name] = real_number("Training", name, value, "is a number from 0" + below, least=0, below=most)
        self.objective = objectives.plan(model, objective, estimator)
        self.objective.expect_parts(model, beta, annealing)
        self.criterion = self.objective.criterion
        self.parameters, self.grads = model.get_parameters()
        self.objective.begin(model.training())  # after all that may be refused
        self.protocol = Protocol(())
        self.watch = FiniteWatch(self)
        self.steps = 0
        self.stopped = self.ended = False  # by a signal; by a callback
        self._step = backend.Replayed(self._take, self._owners, self._constants, self._obstacle)

    def __repr__(self):
        return f"Training({type(self.model).__name__}, {self.batches}, steps={self.steps})"

    def __copy__(self):
        raise MinivaeError("copy.copy of a Training would share the model and the moments of its optimiser, and both "
                           "would go wrong; copy.deepcopy gives the copy its own")

    def feval(self, parameters: backend.Array) -> tuple:
        """(loss of the batch in nats, its gradient by the flat parameters): what the optimiser asks for."""
        network, criterion = self.objective.network, self.criterion
        self.model.zero_grad_parameters()
        with self.ranks.share(self.batch) as x:
            prediction = network.forward(x)
            target = self.model.target(x)
            value = criterion.forward(prediction, target)
            network.backward(x, criterion.backward(prediction, target), need_grad_input=False)
        statistics = self.objective.statistics()
        loss, reconstruction, divergence, *sums = self.ranks.add(self.grads, [
            *self.objective.terms(value), *chain(*statistics.values())])
        self._record(reconstruction, divergence, dict(zip(statistics, zip(sums[::2], sums[1::2]))))
        self.watch.expect_finite(loss)
        return loss, self.grads

    def step(self) -> Any:
        """Draw a batch and take one step of the optimiser; returns the loss before it, in nats, summed over images."""
        self.objective.begin(self.model)  # another training of it may have had other codes
        apply({name: schedule(self.steps) for name, schedule in self.schedules.items()}, self.model, self.state)
        self.watch.expect_finite_so_far()
        self.steps, rows = self.steps + 1, len(self.protocol)
        try:
            with unwarned():
                return self._step(self.model.backend, call=self.watch.closely)
        except BaseException:  # who goes on takes this step, with the next batch
            self.steps -= 1
            self.protocol.cut(rows)
            raise

    def run(self, steps: int, progress: bool = True, floor: float | None = None) -> Protocol:
        """Take so many steps; returns the protocol.

        Ctrl-C ends it after the step it is in, `stopped` says so; a callback after an epoch, then `ended` does.
        `floor` is shown beside the loss: the least that the data allow, in nats per image.
        """
        steps = whole_number("run", "steps", steps)
        beside = "" if floor is None else (
            f", optimum {real_number('run', 'floor', floor, 'is a number of nats per image, or None'):.3f}")
        self.model.training()
        self.ended = False
        with stop_signals() as stop, progress_bar(steps, "step", progress) as bar:
            logged = 0
            for done in range(1, steps + 1):
                logs = done % LOG_EVERY == 0 or done == steps
                looked_at = len(self.callbacks) > 0 and (self.steps + 1) % len(self.batches) == 0
                self.watch.closely = logs or looked_at
                self.step()
                self.stopped = self.ranks.any(stop.is_set())
                if logs or looked_at or self.stopped:
                    self.watch.expect_finite_memory()
                if logs or self.stopped:
                    mean = self.protocol.mean(LOG_EVERY)
                    bar.set_postfix_str(f"{mean['total']:.2f} nats per image{beside}, {mean['reconstruction']:.2f} "
                                        f"reconstruction + {mean['divergence']:.2f} {self.objective.divergence}",
                                        refresh=False)
                    bar.update(done - logged)
                    logged = done
                if looked_at:
                    self.ended = self.ranks.any(self._call_back())
                if self.stopped or self.ended:
                    break
            self.watch.closely = False
        return self.protocol

    def _call_back(self):
        """Call the callbacks; returns whether one of them ends the training."""
        ends = False
        for callback in self.callbacks:
            answer = callback(self)
            if not isinstance(answer, bool | np.bool_ | None):
                raise OptionError(f"the callback {reprlib.repr(callback)} returned {reprlib.repr(answer)}; return True "
                                  "to end the training, or nothing")
            ends |= bool(answer)
        self.model.training()
        return ends

    def _record(self, reconstruction, divergence, statistics):
        """Write the row of this step; of no images there is none, for they have no mean."""
        if len(self.batch) == 0:
            return
        for name, schedule in self.schedules.items():
            statistics[name] = backend.varying(lambda f=schedule: float(f(self.steps - 1)), reconstruction), 1
        if not len(self.protocol):
            self.protocol = Protocol(tuple(statistics))
        self.protocol.add(lambda: self.steps, len(self.batch), reconstruction, divergence, statistics)

    # -- the step as a device may record it, to take it again as one launch: see `backend.Replayed` ------------------

    def _take(self):
        self.batch = self.batches.next()
        _, loss = self.optimiser(self.feval, self.parameters, self.state)
        return loss

    def _owners(self):
        return [*self.objective.owners(), self.batches]

    def _constants(self):
        options = (value for key, value in self.state.items() if key not in ("t", "learning_rate"))
        return self.parameters, self.protocol, self.state, *options

    def _obstacle(self):
        if self.ranks.size > 1:
            return "several ranks share each batch"
        if any(module.holding_noise for module in self.objective.network.list_modules()):
            return "noise is held"
        return None


def train(model: Any, batches: Batches, epochs: int = 1, learning_rate: float = 1e-3, learning_rate_decay: float = 0.0,
          progress: bool = True) -> Protocol:
    """Train a model for so many epochs of `batches` by Adam; returns the Protocol.

    Ctrl-C ends it early and keeps what was learned.
    """
    training = Training(model, batches, learning_rate, learning_rate_decay)
    return training.run(whole_number("train", "epochs", epochs) * len(batches), progress)
