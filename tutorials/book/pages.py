"""The sources of the book's pages, with links from one to another."""

import ast
import os
import re
import shutil
import struct
from base64 import b64decode
from pathlib import Path

import nbformat
import numpy
from myst_parser.slugs import github_slugify
from reference import reference
from text import restructured

import minivae

TUTORIALS = Path(__file__).resolve().parent.parent
ROOT = TUTORIALS.parent
TEXTS = {  # in the order of the table of contents
    "tutorials/README.md": "index",
    "README.md": "start",
    "tutorials/STEP.md": "step",
    "tutorials/TORCH7.md": "torch7",
    "tutorials/ANSWERS.md": "answers",
    "tutorials/ERRATA.md": "errata",
    "tests/benchmarks/RESULTS.md": "results",
    "tests/README.md": "tests",
    ".github/CONTRIBUTING.md": "contributing",
    ".github/CHANGELOG.md": "changelog",
}
SHORT = {"start": "Install and use <start>", "errata": "Errata <errata>"}  # for long titles
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
HINT = re.compile(r"^(\d)\. (.*?)(?=^\d\. |\Z)", flags=re.MULTILINE | re.DOTALL)
CONTENTS = """
```{{toctree}}
:hidden:
:caption: {caption}

{entries}
```
"""
RAN = "\n## This book\n\nIts lessons ran in {}, with minivae {} and NumPy {}.\n"
MODE = {True: "fast mode, which takes few steps", False: "full"}
SHUT = ".. raw:: html\n\n   <details><summary>{}</summary>\n", ".. raw:: html\n\n   </details>\n"


def write_pages(folder, lessons, fast):
    """Write the pages of {path of a lesson: its executed notebook}, and all others, to a folder."""
    exercises = sorted((TUTORIALS / "exercises").glob("[0-9][0-9]_*.py"))
    api, shown = reference()
    links = Links(folder, lessons, exercises, api, shown)
    for path, notebook in lessons.items():
        for k, cell in enumerate(notebook.cells):
            finish(cell, links, first=k == 0)
        write(folder / f"{path.stem}.ipynb", nbformat.writes(notebook))
    for source, name in TEXTS.items():
        text = links.follow((ROOT / source).read_text(encoding="utf-8"), source, name)
        if name == "index":
            text += RAN.format(MODE[fast], minivae.__version__, numpy.__version__)
            text += contents(lessons, exercises, api)
        write(folder / f"{name}.md", text)
    hints = (TUTORIALS / "exercises" / "hints.md").read_text(encoding="utf-8")
    for path in exercises:
        write(folder / "exercises" / f"{path.stem}.rst", "\n".join(exercise(path, hints)))
    for name, lines in api.items():
        write(folder / "api" / f"{name}.rst", "\n".join(lines))


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def contents(lessons, exercises, api):
    """The book's tables of contents."""
    stems = [path.stem for path in exercises]
    titles = {"minivae": "minivae", "modules": "minivae.*"}
    parts = {
        "Lessons": [path.stem for path in lessons],
        "Exercises": [f"{stem[:2]} {stem[3:]} <exercises/{stem}>" for stem in stems],
        "Beside them": [SHORT.get(name, name) for name in TEXTS.values() if name != "index"],
        "Reference": [f"{titles.get(name, f'minivae.{name}')} <api/{name}>" for name in api],
    }
    return "".join(
        CONTENTS.format(caption=caption, entries="\n".join(entries))
        for caption, entries in parts.items()
    )


def finish(cell, links, first):
    """Make a cell fit for a page.

    Links lead to pages of the book, only the first cell holds a title, cells of claims have a tag
    for the style, and pictures have a description, and no other text.
    """
    if cell.cell_type == "markdown":
        text = links.follow(cell.source, "tutorials/", "")
        text = re.sub(r"^# (Next: )(\d\d)(.*)$", links.next_lesson, text, flags=re.MULTILINE)
        cell.source = text if first else re.sub(r"^# ", "## ", text, flags=re.MULTILINE)
        return
    said = [output for output in cell.outputs if output.output_type == "stream"]
    if said and all(line.startswith("✓") for output in said for line in output.text.splitlines()):
        cell.metadata["tags"] = ["claims"]
    for output in cell.outputs:
        if "name" in output.get("metadata", {}):
            image = {"alt": output.metadata["name"]} | shape(output.data["image/png"])
            cell.metadata["mystnb"] = {"image": image}
            output.data.pop("text/plain", None)  # which the search would quote


def shape(png):
    """How a picture is shown: a long one, such as a row of boxes, keeps its letters legible."""
    width, height = struct.unpack(">II", b64decode(png[:64])[16:24])
    return {"classes": "long", "width": f"{0.7 * width:.0f}px"} if width > 3 * height else {}


def exercise(path, hints):
    """An exercise: what is asked and to be written, and, shut, the hints and what is checked."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    first, _, asked = ast.get_docstring(tree).partition("\n")
    title, _, after = first.partition(".  ")
    yield from (title, "=" * len(title), "", after, "")
    yield from restructured(asked)
    lines = text.splitlines()
    first = tree.body[0].end_lineno
    checks = next(
        node.lineno for node in tree.body if getattr(node, "name", None) == "conditions"
    )
    yield from code(lines[first:checks - 1])
    section = hints.partition(f"\n## {path.stem}\n")[2].partition("\n## ")[0]
    for number, hint in HINT.findall(section):
        yield SHUT[0].format(f"Hint {number}")
        yield from restructured(" ".join(hint.split()))
        yield SHUT[1]
    yield SHUT[0].format("What is checked")
    yield from code(lines[checks - 1:])
    yield SHUT[1]


def code(lines):
    lines = "\n".join(lines).strip().splitlines()
    return [".. code-block:: python", "", *("   " + line for line in lines), ""]


class Links:
    """Where a link from one file of the project to another leads in the book."""

    def __init__(self, folder, lessons, exercises, api, shown):
        self.folder, self.shown = folder, shown
        self.pages = dict(TEXTS)
        self.pages |= {f"tutorials/{path.name}": path.stem for path in lessons}
        for path in exercises:
            self.pages[f"tutorials/exercises/{path.name}"] = f"exercises/{path.stem}"
        self.pages |= {f"minivae/{name}": f"api/{name}" for name in api}
        self.titles = {path.stem[:2]: path.stem for path in lessons}
        self.headings = {path.stem: headings(notebook) for path, notebook in lessons.items()}

    def follow(self, text, source, name):
        """The text of a file of the project, with its links as the page of that name has them."""
        folder = os.path.dirname(source)

        def followed(match):
            picture, words, target, anchor = match.groups(default="")
            target = os.path.normpath(os.path.join(folder, target)).replace(os.sep, "/")
            if picture:
                name = os.path.basename(target)
                images = self.folder / "images"
                images.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / target, images / name)
                return f"![{words}](images/{name})"
            if target in self.pages:
                page = self.pages[target]
                place = anchor or self.section(page, words)
                return f"[{words}](project:/{page}{self.suffix(page)}{place})"
            module = target.removesuffix(".py")
            if module.replace("/", ".") in self.shown:
                return f'<a href="_modules/{module}.html">{words}</a>'
            return words

        return LINK.sub(followed, text)

    def suffix(self, page):
        return ".rst" if "/" in page else ".ipynb" if page in self.headings else ".md"

    def section(self, page, words):
        """The anchor of the section that a link to a lesson names: [NN, Heading]."""
        _, _, title = " ".join(words.split()).partition(", ")
        for heading in self.headings.get(page, ()):
            if title and heading.startswith(f"{title} ("):
                return f"#{github_slugify(heading)}"
        return ""

    def next_lesson(self, match):
        before, number, title = match.groups()
        page = self.titles.get(number)
        link = f"[{number}{title}](project:/{page}.ipynb)" if page else number + title
        return f"## {before}{link}"


def headings(notebook):
    """The headings of a lesson's sections."""
    return [
        line.strip("# ")
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for line in cell.source.splitlines()
        if line.startswith("## ")
    ]
