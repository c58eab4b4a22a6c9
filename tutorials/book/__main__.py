"""Build the book: every lesson as it runs, the exercises, the errata and the reference, as one site without a network.

    python tutorials/book                  full lessons, about 8 minutes at first; needs pip install -e ".[book]"
    python tutorials/book --fast           with MINIVAE_FAST=1, about 2 minutes at first
    python tutorials/book --out FOLDER     by default book; open FOLDER/index.html

What a lesson showed is kept in .book and taken from there until the lesson or minivae changes.  A lesson that fails
ends the build and names its cell; so does any warning.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
KEPT = ROOT / ".book"
BOOK = "searchindex.js"  # by which one knows a book


def main():
    parser = argparse.ArgumentParser(prog="tutorials/book", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="take few steps, as MINIVAE_FAST=1 does")
    parser.add_argument("--out", type=Path, default=Path("book"), metavar="FOLDER", help="where to write")
    args = parser.parse_args()
    if args.out.is_file() or (args.out.is_dir() and any(args.out.iterdir()) and not (args.out / BOOK).is_file()):
        sys.exit(f"{args.out} is there and is no book; name another folder by --out")
    try:
        import myst_nb  # noqa: F401
        from lessons import Failed, executed
        from pages import write_pages
        from sphinx.cmd.build import build_main
    except ImportError as error:
        sys.exit(f"{error}: pip install -e \".[book]\" installs what the book needs")
    start = time.perf_counter()
    try:
        lessons = executed(sorted(HERE.parent.glob("[0-9][0-9]_*.py")), KEPT, args.fast)
    except Failed as error:
        sys.exit(str(error))
    print("writing the pages", flush=True)
    with tempfile.TemporaryDirectory(dir=KEPT) as folder:
        pages, site = Path(folder, "pages"), Path(folder, "site")
        write_pages(pages, lessons, args.fast)
        if build_main(["-q", "-W", "--keep-going", "-d", f"{folder}/doctrees", "-c", str(HERE), str(pages), str(site)]):
            sys.exit(1)
        shutil.rmtree(args.out, ignore_errors=True)
        shutil.move(site, args.out)
    size = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file()) / 1e6
    print(f"{args.out / 'index.html'}: {size:.0f} MB, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
