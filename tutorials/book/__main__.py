"""Build the book: all lessons as they run, the exercises, the errata and the reference.

It is one site, which needs no network.

    pip install -e ".[book]"               what it needs
    python tutorials/book                  full lessons, about 8 minutes at first
    python tutorials/book --fast           with MINIVAE_FAST=1, about 2 minutes at first
    python tutorials/book --out FOLDER     by default book; open FOLDER/index.html

What a lesson showed is kept in .book and taken from there until the lesson or minivae changes.  A
lesson that fails ends the build and names its cell; so does any warning.
"""

import argparse
import contextlib
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
    parser = argparse.ArgumentParser(
        prog="tutorials/book",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--fast", action="store_true", help="take few steps, as MINIVAE_FAST=1 does"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("book"), metavar="FOLDER", help="where to write"
    )
    args = parser.parse_args()
    with explained(args.out):  # before minutes of work
        if not may_replace(args.out):
            sys.exit(f"{args.out} is there and is no book; name another folder by --out")
        args.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=args.out).close()
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
        strict = ["-q", "-W", "--keep-going"]
        places = ["-d", f"{folder}/doctrees", "-c", str(HERE), str(pages), str(site)]
        if build_main([*strict, *places]):
            sys.exit(1)
        with explained(args.out):
            replace(args.out, site)
    size = sum(file.stat().st_size for file in args.out.rglob("*") if file.is_file()) / 1e6
    print(f"{args.out / 'index.html'}: {size:.0f} MB, {time.perf_counter() - start:.0f} s")


@contextlib.contextmanager
def explained(out):
    """End with a line where the block cannot read or write the folder of the book."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        sys.exit(f"cannot write {out} ({why}); name another folder by --out")


def may_replace(folder):
    """Whether a folder is free, empty, or a book."""
    if not folder.exists():
        return True
    return folder.is_dir() and (not any(folder.iterdir()) or (folder / BOOK).is_file())


def replace(folder, site):
    """Move what `site` holds into the folder, in place of all there; a link to it stays one."""
    for old in folder.iterdir():
        if old.is_dir() and not old.is_symlink():
            shutil.rmtree(old)
        else:
            old.unlink()
    for new in site.iterdir():
        shutil.move(new, folder / new.name)


if __name__ == "__main__":
    main()
