"""Sphinx's configuration of the book: nothing in it asks for a network."""

import json
from pathlib import Path

from text import restructured

import minivae

project = "minivae"
version = release = minivae.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
nb_execution_mode = "off"  # lessons.py has run them
nb_merge_streams = True
nb_ipywidgets_js = {}
myst_heading_anchors = 4
highlight_language = "none"  # an indented formula is no Python
smartquotes = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
viewcode_line_numbers = True
html_theme = "furo"
html_title = f"minivae {version}"
html_static_path = ["book.css", "excerpts.js"]
html_css_files = ["book.css"]
html_show_search_summary = False  # which is fetched; excerpts.js does without
html_show_copyright = html_show_sphinx = False
html_copy_source = False
pygments_style, pygments_dark_style = "friendly", "monokai"


def setup(app):
    app.connect("autodoc-process-docstring", as_text)
    app.connect("html-page-context", excerpts_of_search)
    app.connect("build-finished", write_texts)


def as_text(app, what, name, value, options, lines):
    lines[:] = restructured("\n".join(lines))


def excerpts_of_search(app, page, template, context, doctree):
    if page == "search":
        app.add_js_file("texts.js")
        app.add_js_file("excerpts.js")


def write_texts(app, error):
    """The words of all pages, for the search to quote."""
    if error is None:
        texts = {
            name: " ".join(app.env.get_doctree(name).astext().split())
            for name in sorted(app.env.found_docs)
        }
        text = f"const TEXTS = {json.dumps(texts, ensure_ascii=False)};\n"
        Path(app.outdir, "_static", "texts.js").write_text(text, encoding="utf-8")
