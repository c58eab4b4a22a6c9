"""The sources of the book's pages: lessons, texts, exercises and reference, with links from one to another."""

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
TEXTS = {"tutorials/README.md": "index", "README.md": "start", "tutorials/STEP.md": "step",
         "tutorials/TORCH7.md": "torch7", "tutorials/ERRATA.md": "errata", "tests/benchmarks/RESULTS.md": "results",
         "tests/README.md": "tests", ".github/CHANGELOG.md": "changelog", ".github/CONTRIBUTING.md": "contributing"}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")
CONTENTS = """
```{{toctree}}
:hidden:
:caption: {caption}

{entries}
```
"""
RAN = {True: "\n## This book\n\nIts lessons ran in fast mode, which takes few steps, with minivae {} and NumPy {}.\n",
       False: "\n## This book\n\nIts lessons ran in full, with minivae {} and NumPy {}.\n"}
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
            text += RAN[fast].format(minivae.__version__, numpy.__version__) + contents(lessons, exercises, api)
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
    texts = ["README.md", "tutorials/STEP.md", "tutorials/TORCH7.md", "tutorials/ERRATA.md",
             "tests/benchmarks/RESULTS.md", "tests/README.md", ".github/CONTRIBUTING.md", ".github/CHANGELOG.md"]
    parts = {"Lessons": [path.stem for path in lessons],
             "Exercises": [f"{path.stem[:2]} {path.stem[3:]} <exercises/{path.stem}>" for path in exercises],
             "Beside them": [{"README.md": "Install and use <start>", "tutorials/ERRATA.md": "Errata <errata>"}.get(
                 name, TEXTS[name]) for name in texts],
             "Reference": [f"minivae.{name} <api/{name}>" if name not in ("minivae", "modules") else
                           {"minivae": "minivae <api/minivae>", "modules": "minivae.* <api/modules>"}[name]
                           for name in api]}
    return "".join(CONTENTS.format(caption=caption, entries="\n".join(entries)) for caption, entries in parts.items())


def finish(cell, links, first):
    """Links for the book; one title a lesson, its first; pictures with a description; claims that style can tell."""
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
            cell.metadata["mystnb"] = {"image": {"alt": output.metadata["name"]} | shape(output.data["image/png"])}


def shape(png):
    """How a picture is shown: a long one, such as a row of boxes, is not made smaller than its letters allow."""
    width, height = struct.unpack(">II", b64decode(png[:64])[16:24])
    return {"classes": "long", "width": f"{0.7 * width:.0f}px"} if width > 3 * height else {}


def exercise(path, hints):
    """An exercise: what is asked, what is to be written, and, shut, the hints and what is checked."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    first, _, asked = ast.get_docstring(tree).partition("\n")
    title, _, after = first.partition(".  ")
    yield from (title, "=" * len(title), "", after, "")
    yield from restructured(asked)
    lines = text.splitlines()
    first = tree.body[0].end_lineno
    checks = next(node.lineno for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "conditions")
    yield from code(lines[first:checks - 1])
    section = hints.partition(f"\n## {path.stem}\n")[2].partition("\n## ")[0]
    for number, hint in re.findall(r"^(\d)\. (.*?)(?=^\d\. |\Z)", section, flags=re.MULTILINE | re.DOTALL):
        yield SHUT[0].format(f"Hint {number}")
        yield from restructured(" ".join(hint.split()))
        yield SHUT[1]
    yield SHUT[0].format("What is checked")
    yield from code(lines[checks - 1:])
    yield SHUT[1]


def code(lines):
    return [".. code-block:: python", "", *("   " + line for line in "\n".join(lines).strip().splitlines()), ""]


class Links:
    """Where a link from one file of the project to another leads in the book."""

    def __init__(self, folder, lessons, exercises, api, shown):
        self.folder, self.shown = folder, shown
        self.pages = {**TEXTS, **{f"tutorials/{path.name}": path.stem for path in lessons},
                      **{f"tutorials/exercises/{path.name}": f"exercises/{path.stem}" for path in exercises},
                      **{f"minivae/{name}": f"api/{name}" for name in api}}
        self.titles = {path.stem[:2]: path.stem for path in lessons}
        self.headings = {path.stem: [line.strip("# ") for cell in notebook.cells if cell.cell_type == "markdown"
                                     for line in cell.source.splitlines() if line.startswith("## ")]
                         for path, notebook in lessons.items()}

    def follow(self, text, source, name):
        """The text of a file of the project, with its links as the page of that name has them."""
        folder = os.path.dirname(source)

        def followed(match):
            picture, words, target, anchor = match.groups(default="")
            target = os.path.normpath(os.path.join(folder, target)).replace(os.sep, "/")
            if picture:
                shutil.copyfile(ROOT / target, made(self.folder / "images") / os.path.basename(target))
                return f"![{words}](images/{os.path.basename(target)})"
            if target in self.pages:
                page = self.pages[target]
                return f"[{words}](project:/{page}{self.suffix(page)}{anchor or self.section(page, words)})"
            if target.removesuffix(".py").replace("/", ".") in self.shown:
                return f'<a href="_modules/{target.removesuffix(".py")}.html">{words}</a>'
            return words

        return LINK.sub(followed, text)

    def suffix(self, page):
        return ".rst" if "/" in page else ".ipynb" if page in self.headings else ".md"

    def section(self, page, words):
        """The anchor of the section that a link to a lesson names: [NN, Heading]."""
        _, _, title = " ".join(words.split()).partition(", ")
        found = [each for each in self.headings.get(page, ()) if title and each.startswith(f"{title} (")]
        return f"#{github_slugify(found[0])}" if found else ""

    def next_lesson(self, match):
        page = self.titles.get(match[2])
        return f"## {match[1]}" + (f"[{match[2]}{match[3]}](project:/{page}.ipynb)" if page else match[2] + match[3])


def made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder
