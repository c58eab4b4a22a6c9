"""Sphinx's configuration of the book: nothing in it asks for a network."""

from text import restructured

import minivae

project = "minivae"
version = release = minivae.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
nb_execution_mode = "off"  # lessons.py has run them
nb_ipywidgets_js = {}
myst_heading_anchors = 4
highlight_language = "none"  # an indented formula is no Python
smartquotes = False
autodoc_typehints = "none"
autodoc_member_order = "bysource"
viewcode_line_numbers = True
html_theme = "furo"
html_title = f"minivae {version}"
html_static_path = ["book.css"]
html_css_files = ["book.css"]
html_show_search_summary = False  # which is fetched, and a page that is a file may not fetch
html_show_copyright = html_show_sphinx = False
html_copy_source = False
pygments_style, pygments_dark_style = "friendly", "monokai"


def setup(app):
    app.connect("autodoc-process-docstring", as_text)


def as_text(app, what, name, value, options, lines):
    lines[:] = restructured("\n".join(lines))
