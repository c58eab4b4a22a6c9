"""A run: a configuration, the training it describes, and the folder that holds what was learned."""

import contextlib
import json
import os
import shlex
import time
from math import prod

from minivae import backend, checkpoint, configuration, evaluation, figures, progress
from minivae.backend import threads, workers
from minivae.callbacks import Patience
from minivae.cli import lock, pictures, subjects
from minivae.cli.data import moved
from minivae.cli.folders import BEST, DERIVED, claimed, clear, sweep
from minivae.data import Batches, data_set
from minivae.errors import OptionError
from minivae.files import atomic
from minivae.models import own_model
from minivae.nn import Divergence
from minivae.quantities import quantities
from minivae.schedules import Annealing, LearningRate, WarmUp
from minivae.stop_signals import stop_signals
from minivae.training import Training

LENGTH = "epochs", "patience"  # of a training, which one that continues may change: no part of the model of an epoch


def start(config, record, out, force, ranks):
    """Train a new run in the folder `out`, or in the next free one; returns it."""
    configuration.expect(config, tuple(configuration.PARTS), record.name)
    data = ranks.in_turn(lambda: record.fitted(data_set.build(**config["data"])))
    for note in data.notes:
        print(note)
    if data.digest is not None:
        config["data"]["digest"] = data.digest
    config["options"] = record.defaults(data) | config["options"]
    if "labels" in record.parameters:
        config["labels"] = list(data.names)
    training = build(config, record, data, ranks)
    if not ranks.first:
        return follow(training, config)
    _rehearse(training, data)
    with claimed(out, record.title, force) as folder:
        return train(training, config, folder, data)


def use_threads(asked, began=None):
    """Have so many threads compute: `asked` by the option, or MINIVAE_THREADS, as a run `began`, or what the machine
    grants.  Says how many, and returns it."""
    number, reason = threads.chosen()
    if asked is not None:
        number, reason = asked, f"--threads {asked}"
    elif began is not None and not os.environ.get("MINIVAE_THREADS"):
        number, reason = began, "as the run began"
    workers.set_count(number)
    print(f"computing on {threads.sentence(number, reason)}")
    return number


def resume(args, ranks):
    """Continue a run from its last checkpoint, or from its beginning if it had not come to the first; returns it."""
    folder = args.resume.parent if args.resume.name == checkpoint.NAME else args.resume
    if folder.name == BEST and folder.is_file():
        raise OptionError(f"{folder} holds a model alone; --resume {folder.parent} continues its run")
    if not folder.is_dir():
        raise OptionError(f"there is no run {folder}; give the folder of one, such as runs/denoising")
    with lock.held(folder) if ranks.first else contextlib.nullcontext():
        return _resume(folder, ranks, args)


def _resume(folder, ranks, args):
    config = _read_config(folder)
    record = subjects.record(config, args, folder)
    config["model"] = record.name
    config["threads"] = use_threads(args.threads, config.get("threads"))
    for option, value in (("epochs", args.total), ("patience", args.longer)):
        if value is not None:
            config["training"][option] = value
    config["data"] = moved(config["data"], args.moved)
    path = folder / checkpoint.NAME
    if path.exists():
        checkpoint.rebuilt(*checkpoint.read(path), record)  # refuses a model larger than the file before it is made
    data = ranks.in_turn(lambda: record.fitted(data_set.build(**subjects.undownloaded(config["data"], args.moved))))
    training = build(config, record, data, ranks)
    if path.exists():
        if differences := checkpoint.restore(path, training):
            print(f"the last digits may differ from those of an unbroken run: {'; '.join(differences)}")
        _expect_epochs(training, config, folder)
    if not ranks.first:
        return follow(training, config)
    sweep(folder)
    if path.exists():
        checkpoint.save(path, training, config)  # with the number of epochs that is now wanted
    return train(training, config, folder, data)


def build(config, record, data, ranks):
    """The Training that a configuration describes, before its first step."""
    backend.use(config["backend"])
    backend.use_device(config["backend"], ranks.local)
    backend.manual_seed(config["seed"])
    model, schedule = record.build(**config["options"]), config["training"]
    _expect_room(model, data, config)
    batches = Batches(data.train, schedule["batch_size"], data.scale, data.by_epoch, rounds=data.rounds)
    subjects.set_free_bits(model, schedule)
    annealing = beta = None
    if schedule.get("anneal_rate"):
        annealing = Annealing(config["options"].get("temperature", 1.0), schedule["anneal_rate"],
                              schedule["anneal_floor"], schedule["anneal_every"])
    if schedule.get("kl_warm_up"):
        betas = {layer.beta for layer in model.find_modules(Divergence)}
        if len(betas) > 1:
            raise OptionError(f"--kl-warm-up: the KL layers of {record.name} have several weights, "
                              f"{', '.join(map(str, sorted(betas)))}; from Python, Training(beta=FUNCTION) takes one")
        beta = WarmUp(schedule["kl_warm_up"], *betas, schedule.get("kl_start", 0.0))
    return Training(model, batches, *_learning_rate(schedule, len(batches)), schedule.get("momentum"), annealing, ranks,
                    beta, objective=schedule.get("objective", "elbo"), estimator=schedule.get("estimator"))


def _learning_rate(schedule, length):
    """(learning rate, decay) of a Training; the end of a cosine is noted, so a run of more epochs keeps it."""
    rate, decay, warm_up = schedule["learning_rate"], schedule["learning_rate_decay"], schedule.get("warm_up", 0)
    steps = schedule["epochs"] * length
    if schedule.get("schedule") == "cosine":
        end = schedule.setdefault("schedule_steps", steps)
        if steps > end:
            raise OptionError(f"the learning rate comes to 0 at step {end}, and --epochs {schedule['epochs']} ends at "
                              f"step {steps}: the last steps would learn nothing; "
                              + f"--epochs {end // length} is as far as it goes, and " * (end >= length)
                              + f"a new run may have --schedule-steps {steps}")
        return LearningRate(rate, 0.0, end, warm_up), 0.0
    if "schedule_steps" in schedule:
        raise OptionError("--schedule-steps is the end of a cosine; give --schedule cosine too, or --schedule-steps "
                          "none")
    return (LearningRate(rate, decay, None, warm_up), 0.0) if warm_up else (rate, decay)


def _expect_room(model, data, config):
    """Raise if this machine cannot even hold what the model predicts for a batch, and its gradient."""
    rows, most = config["training"]["batch_size"] * model.samples, memory(config["backend"])
    size = 2 * rows * prod(data.image) * model.dtype.itemsize
    if most is not None and size > most:
        raise OptionError(f"a batch takes {size / 2**30:.1f} GiB at least, for {rows} predictions of "
                          f"{prod(data.image)} pixels, and this machine has {most / 2**30:.1f}; a smaller --batch-size "
                          "or --samples takes less")


def follow(training, config):
    """The steps of `train`, on a rank that leaves the files to the first one.

    Where that one asks for the random state, to save it, this one asks too: a device then starts a new stream, and all
    ranks are to draw the same.
    """
    left = _left(training, config)
    if left > 0:
        training.callbacks.append(lambda training: backend.get_random_state() and None)
        training.run(left, progress=False)


def _left(training, config):
    """The steps that are left of a config's epochs: none where its patience has run out."""
    schedule = config["training"]
    return 0 if _impatient(training, schedule) else schedule["epochs"] * len(training.batches) - training.steps


def _impatient(training, schedule):
    """Whether the patience of a training has run out."""
    return "patience" in schedule and training.protocol.tests and Patience(schedule["patience"])(training)


def _continuing(training, config, folder):
    """The command by which a run learns more; None where its learning rate has come to 0."""
    schedule, length, tests = config["training"], len(training.batches), training.protocol.tests
    words, epochs = ["minivae", "train", "--resume", str(folder)], schedule["epochs"]
    if own_model.is_own(config["model"]):
        words += ["--model", config["model"]]
    if training.steps == epochs * length:
        most = min(2 * epochs, schedule.get("schedule_steps", 2 * training.steps) // length)
        if most == epochs:
            return None
        words += ["--epochs", str(most)]
    if _impatient(training, schedule):  # so long again as it has waited
        words += ["--patience", str(schedule["patience"] + len(tests) - 1 - training.protocol.best())]
    return shlex.join(words)


@stop_signals()  # a closed terminal sends two: the second may come while the checkpoint is written
def train(training, config, folder, data):
    """Run what is left of a config's epochs, with a checkpoint after each, and write the folder, which is returned."""
    schedule, length = config["training"], len(training.batches)
    epochs, left = schedule["epochs"], _left(training, config)
    names = quantities(training.model, data.grey, training.objective)
    config["quantity"] = names.test
    replaces = training.steps == 0 and (folder / checkpoint.NAME).exists()

    def describe():
        with atomic(folder / "config.json", "w") as file:
            file.write(json.dumps(config, indent=2) + "\n")

    if not replaces:
        describe()
    print(f"training {config['model'].rpartition(':')[2]} for {epochs} epoch{'s' * (epochs > 1)} of {length} steps on "
          f"{config['backend']}, into {folder}" + f", from step {training.steps}" * (training.steps > 0), flush=True)

    def keep(training):
        nonlocal replaces
        line = _progress(training, data, names)
        if replaces:  # the earlier run goes when there is a checkpoint in its place
            checkpoint.save(folder / checkpoint.NAME, training, config)
            clear(folder)
            describe()
            replaces = False
        if training.steps % length == 0 and schedule.get("keep_best"):
            _keep_best(folder / BEST, training, config)  # first: what is lost with the checkpoint is learned again
        checkpoint.save(folder / checkpoint.NAME, training, config)
        for name in DERIVED:  # of an earlier checkpoint
            (folder / name).unlink(missing_ok=True)
        progress.say(line)

    if names.note:
        print(f"its loss is a cross-entropy bound, {names.note}", flush=True)
    if training.objective.kl is None:
        print("its objective has no encoder: that one learns nothing, and its codes mean nothing", flush=True)
    for name in ("warm_up", "kl_warm_up"):
        if schedule.get(name, 0) > epochs * length:
            print(f"--{name.replace('_', '-')} {schedule[name]} does not end in this run, which has {epochs * length} "
                  "steps; give fewer, or more --epochs", flush=True)
    if left > 0:
        training.callbacks += [keep, *([Patience(schedule["patience"])] if "patience" in schedule else [])]
        started = time.perf_counter()
        with backend.at_most(memory(config["backend"])):
            training.run(left, floor=data.floor)
        seconds = time.perf_counter() - started
        if training.steps % length:
            keep(training)
        print(f"{'stopped early after' if training.stopped else 'finished'} {training.steps} steps in {seconds:.1f} s")
    else:
        print(f"nothing is left to learn of {training.steps} steps; what it draws is written again")
    if _impatient(training, schedule) and training.steps < epochs * length:
        print(f"the bound on test images was no better in {schedule['patience']} epochs")
    with atomic(folder / "protocol.csv", "w") as file:
        training.protocol.write_csv(file)
    training.model.evaluate()
    for line in pictures.draw(training.model, folder, data, training.protocol, names, training.objective.divergence):
        print(line)
    if (folder / BEST).exists():
        at, *test = training.protocol.tests[training.protocol.best()]
        print(f"{folder / BEST}: the model after epoch {at / length:.4g}, whose test {config['quantity']} was the "
              f"least, {sum(test):.2f}; verbs take it in the place of the run")
    if command := _continuing(training, config, folder):
        print(f"{command} continues")
    return folder


def _rehearse(training, data):
    """Do with two images what is done after training: a model of one's own that lacks a part of it raises now."""
    model, few = training.model, data.test[:2]
    training.objective.measure(model, few, data.scale)
    evaluation.encode(model, few, data.scale)
    figures.reconstructions(model, few * data.scale)
    figures.prior_samples(model, 2)


def _keep_best(path, training, config):
    """Write the model alone, if no epoch before had as good a bound on the test images."""
    best = training.protocol.best()
    if best == len(training.protocol.tests) - 1:
        schedule = {name: value for name, value in config["training"].items() if name not in LENGTH}
        checkpoint.save_alone(path, training.model, config | {"training": schedule,
                                                              "tests": training.protocol.tests[best]})


def memory(name):
    """Bytes of this machine's memory: more would be taken, and then the process ended; None where nobody knows."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if name == "numpy" else None
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None


def _progress(training, data, names):
    """A line on the last epoch: the loss while it learned, and on the test images, which the protocol keeps."""
    length = len(training.batches)
    last = training.protocol.mean(length)
    test = training.objective.measure(training.model, data.test, data.scale)
    if training.steps % length == 0:  # not where a run stops within an epoch: continued, it shall be as if it had not
        training.protocol.tests.append((float(training.steps), test.reconstruction, test.divergence))
    return (f"epoch {training.steps / length:.4g}: training, {names.loss}: {last['total']:.2f} = "
            f"{last['reconstruction']:.2f} reconstruction + {last['divergence']:.2f} "
            f"{training.objective.divergence};  test, {names.test}: "
            f"{-test.value:.2f} = {test.reconstruction:.2f} + {test.divergence:.2f} nats per image"
            + ("" if data.floor is None else f" (optimum {data.floor:.3f})"))


def _read_config(folder):
    """The configuration of a run: its checkpoint's, or config.json's when there is no checkpoint yet."""
    path = folder / "config.json"
    if (folder / checkpoint.NAME).exists() or not path.exists():
        config = checkpoint.read(folder)[0]["config"]
    else:
        try:
            config = checkpoint.parsed(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise OptionError(f"{path} cannot be read: {str(error)[:300]}; start the run again") from error
    return configuration.expect(config, tuple(configuration.PARTS), f"{folder} cannot be resumed")


def _expect_epochs(training, config, folder):
    done, epochs = training.steps / len(training.batches), config["training"]["epochs"]
    if done > epochs:
        raise OptionError(f"{folder} has been trained for {done:.4g} epochs already, {epochs} are fewer; --epochs N "
                          "gives how many it shall have in all")
