"""minivae profile: where the time of a training step goes."""

import argparse
from typing import Any

from minivae.cli import parsing
from minivae.cli.data import add_root
from minivae.cli.subjects import add_run, subject
from minivae.data import Batches
from minivae.debug.profiling import profile
from minivae.training import Training


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser(
        "profile", help="where the time of a training step goes", formatter_class=parsing.Help,
        description="Take training steps of a run, or of a new model, and print for each module the milliseconds of "
        "its forward and backward pass, their share of the step, and the memory that it holds.  Nothing is written.")
    add_run(verb, new=True)
    add_root(verb)
    verb.add_argument("--steps", type=parsing.whole, metavar="N", default=100, help="to take the mean of")
    verb.add_argument("--bytes", action="store_true", help="show the megabytes that each part reads and writes as well")
    verb.add_argument("--batch-size", type=parsing.whole, metavar="N", default=None,
                      help="images a step; by default the run's, or the model's own")
    verb.set_defaults(run=run, less="a smaller --batch-size takes less")


def run(args: argparse.Namespace) -> int:
    model, data, schedule = subject(args)
    batches = Batches(data.train, args.batch_size or schedule["batch_size"], data.scale, data.by_epoch)
    training = Training(model, batches, schedule["learning_rate"], momentum=schedule.get("momentum"),
                        objective=schedule.get("objective", "elbo"), estimator=schedule.get("estimator"))
    found = profile(training, args.steps)
    print(found)
    if args.bytes:
        print(f"\n{found.traffic()}")
    return 0
