"""minivae explore: a page in which the reader moves the code and sees what is decoded."""

import argparse
from typing import Any

from minivae.cli import pages, parsing
from minivae.cli.data import add_root
from minivae.cli.subjects import add_run, expect_unchanged, tested
from minivae.figures.explorer import explorer
from minivae.files import expect_writable


def add_to(verbs: Any) -> None:
    verb = verbs.add_parser(
        "explore", help="write a page that decodes codes as you move them", formatter_class=parsing.Help,
        description="Write one HTML file that holds the decoder of a trained run and runs it in the browser, without a "
        "network: drag over the plane of a code of 2 numbers, move a slider for each of more, switch bits, and see "
        "what is decoded, beside the codes of test images.")
    add_run(verb)
    verb.add_argument("-o", "--out", type=parsing.file(".html", ".htm"), default=None, metavar="FILE",
                      help="the file to write; by default latent.html in the run")
    verb.add_argument("--float32", action="store_true", help="keep every bit of the weights; by default they are "
                      "float16, which halves the file, and the page says what that changes")
    add_root(verb)
    verb.set_defaults(run=run, less="a smaller model takes less")


def run(args: argparse.Namespace) -> int:
    model, _, data = tested(args, args.root)
    folder = args.folder if args.folder.is_dir() else args.folder.parent
    path = args.out or folder / "latent.html"
    expect_writable(path)
    text = explorer(model, data, folder.resolve().name, "float32" if args.float32 else "float16")
    expect_unchanged(args, model)
    pages.write(path, text)
    return 0
