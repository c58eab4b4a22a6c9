"""minivae step: walk through one forward and one backward pass, in the terminal or on a page."""

import argparse
from typing import Any

from minivae import backend, objectives
from minivae.cli import pages, parsing
from minivae.cli.data import add_root
from minivae.cli.subjects import add_run, subject
from minivae.cli.walk import Walk
from minivae.data import Redrawn
from minivae.debug.nudging import nudges
from minivae.debug.tracing import trace
from minivae.errors import OptionError
from minivae.figures.step_page import step_page
from minivae.files import expect_writable


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser(
        "step", help="walk through a forward and a backward pass", formatter_class=parsing.Help,
        description="Run one forward and one backward pass of a trained run, or of a new model, on a few images, and "
        "walk through it verb by verb: next, back, into, print, watch, list, nonfinite, quit; help explains them.  "
        "--html writes the pass of one image as a page instead, for a browser, where weights can be nudged too.")
    add_run(verb, new=True)
    add_root(verb)
    verb.add_argument("--images", type=parsing.whole, metavar="N", default=None,
                      help="images in the batch: by default 2, and 1 on a page")
    verb.add_argument("--table", action="store_true", help="print the whole table and end")
    verb.add_argument("--html", type=parsing.file(".html", ".htm"), metavar="FILE", default=None,
                      help="write the page to this file, and end")
    verb.add_argument("--seed", type=parsing.seed, metavar="N", default=0,
                      help="of the noise, and of a new model's weights")
    verb.set_defaults(run=run, memory=2**27, less="a smaller --images takes less")


def run(args: argparse.Namespace) -> int:
    if args.html is not None and args.images not in (None, 1):
        raise OptionError(f"--html shows the pass of one image, not of {args.images}; leave out --images")
    model, data, schedule = subject(args, args.seed, images=1)
    if args.html is not None:
        expect_writable(args.html)
    objective = objectives.build(model, schedule.get("objective", "elbo"), schedule.get("estimator"))
    images = data.test.draw(0) if isinstance(data.test, Redrawn) else data.test
    images = images[:args.images or (2 if args.html is None else 1)].astype(model.dtype)
    x = backend.from_numpy(images * model.dtype.type(data.scale), like=model.backend)
    network, target = objective.network.training(), model.target(x)
    recorded = trace(network, x, objective.criterion, target, seed=args.seed)
    if args.html is not None:
        name = (args.folder.parent if args.folder.is_file() else args.folder).resolve().name
        moved = nudges(network, x, recorded, objective.criterion, target)
        pages.write(args.html, step_page(recorded, name, moved, objective))
    elif args.table:
        print(recorded)
    else:
        Walk(recorded).cmdloop()
    return 0
