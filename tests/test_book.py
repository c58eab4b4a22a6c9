"""The book of the lessons: one site that opens without a network, whose links lead somewhere."""

import base64
import os
import re
import runpy
import subprocess
import sys
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from minivae import nn

ROOT = Path(__file__).parent.parent
BOOK = ROOT / "tutorials" / "book"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The book in fast mode.  What the lessons showed is kept in .book, for the next time."""
    missing = [name for name in ("sphinx", "myst_nb", "jupytext", "furo", "ipykernel") if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install -e \".[book]\" brings what the book needs")
    if not os.environ.get("MINIVAE_DATA"):
        pytest.skip("MNIST is not here: set MINIVAE_DATA to the folder of its four files")
    folder = tmp_path_factory.mktemp("site") / "book"
    done = subprocess.run([sys.executable, str(BOOK), "--fast", "--out", str(folder)], capture_output=True,
                          encoding="utf-8", env=os.environ | {"PYTHONIOENCODING": "utf-8"})
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder


class References(HTMLParser):
    """All that a page names by href and src, and the places in it that can be named."""

    def __init__(self, page):
        super().__init__()
        self.found, self.places, self.pictures = [], set(), []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.found += [(tag, attributes[name]) for name in ("href", "src") if attributes.get(name)]
        self.places |= {attributes.get("id"), attributes.get("name")}
        if tag == "img":
            self.pictures.append(attributes.get("alt"))


@pytest.mark.slow
def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site):
    pages = {page: References(page) for page in site.rglob("*.html")}
    assert len(pages) > 60
    for page, references in pages.items():
        for tag, address in references.found:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                assert tag == "a" and parts.scheme in ("http", "https", "mailto"), (page.name, tag, address)
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert target.is_file(), (page.name, address)
            if parts.fragment and target in pages and target.name not in ("genindex.html", "search.html"):
                assert unquote(parts.fragment) in pages[target].places, (page.name, address)


@pytest.mark.slow
def test_every_lesson_shows_its_claims_and_its_pictures(site):
    for path in sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py")):
        page = site / f"{path.stem}.html"
        text, source = page.read_text(encoding="utf-8"), path.read_text(encoding="utf-8")
        assert ("✓" in text) == ("claim(" in source) and "Traceback" not in text, path.name
        pictures = References(page).pictures
        assert all(pictures) and len(pictures) >= len(re.findall(r"^show\(", source, re.MULTILINE)), path.name


@pytest.mark.slow
def test_the_reference_has_every_layer(site):
    text = (site / "api" / "nn.html").read_text(encoding="utf-8")
    for name in (name for name in dir(nn) if name[0].isupper() or name == "side_loss"):
        assert f'id="minivae.nn.{name}"' in text, name


@pytest.mark.slow
def test_it_opens_in_a_browser_without_a_network(open_page, site):
    """No page asks for anything but files, complains, or is wider than a telephone; the search finds a word."""
    wide = []
    for width, scheme in ((375, "light"), (1440, "dark")):
        page = open_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        for file in sorted(site.rglob("*.html")):
            page.goto(file.as_uri())
            if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                wide.append(f"{file.name} is wider than {width}")
        page.goto((site / "search.html").as_uri() + "?q=cross-entropy+unbounded")
        found = page.wait_for_selector("#search-results li:has(a[href^='13_compare_decoders']) .excerpt")
        assert page.evaluate("!JSON.stringify(TEXTS).includes('PIL.Image')")
        assert "unbound" in found.inner_text().lower() or "entrop" in found.inner_text().lower()
    assert wide == []


def test_a_picture_has_no_other_text(monkeypatch):
    nbformat = pytest.importorskip("nbformat.v4", reason="nbformat is not installed: pip install -e \".[book]\"")
    pytest.importorskip("myst_parser", reason="myst_parser is not installed: pip install -e \".[book]\"")
    monkeypatch.syspath_prepend(BOOK)
    import pages

    data = {"image/png": base64.b64encode(bytes(24)).decode(), "text/plain": "<PIL.Image.Image>"}
    picture = nbformat.new_output("display_data", data, metadata={"name": "codes"})
    number = nbformat.new_output("execute_result", {"text/plain": "2"})
    pages.finish(nbformat.new_code_cell(outputs=[picture, number]), None, first=True)
    assert list(picture.data) == ["image/png"] and list(number.data) == ["text/plain"]
    for name in "pages", "reference", "text":
        del sys.modules[name]


def test_a_folder_that_is_no_book_or_cannot_be_made_is_refused_at_once(tmp_path):
    file = tmp_path / "file"
    file.write_text("kept", encoding="utf-8")
    for out in (file, tmp_path, file / "book"):
        done = subprocess.run([sys.executable, str(BOOK), "--out", str(out)], capture_output=True, encoding="utf-8",
                              env=os.environ | {"PYTHONIOENCODING": "utf-8"})
        assert done.returncode == 1 and done.stderr.endswith("; name another folder by --out\n"), done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["file"] and file.read_text(encoding="utf-8") == "kept"


def test_a_folder_that_one_may_not_use_is_refused_at_once(tmp_path, without_rights):
    for name in ("shut", "fixed"):
        (tmp_path / name).mkdir()
    (tmp_path / "fixed" / "searchindex.js").touch()
    (tmp_path / "shut").chmod(0)
    (tmp_path / "fixed").chmod(0o555)
    for out in ("shut", "shut/book", "fixed"):
        done = subprocess.run([*without_rights, sys.executable, str(BOOK), "--out", str(tmp_path / out)],
                              capture_output=True, text=True)
        assert done.returncode == 1 and re.match("cannot write .* name another folder by --out\n$", done.stderr), out
    for name in ("shut", "fixed"):
        (tmp_path / name).chmod(0o755)


def test_the_contents_of_a_folder_are_replaced_and_not_the_folder(tmp_path):
    """Its parent may be read-only, and a link to it stays one."""
    for name in ("book/old", "site/new", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "page").touch()
    (tmp_path / "book" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "site" / "index.html").touch()
    before = (tmp_path / "book").stat().st_ino
    runpy.run_path(str(BOOK / "__main__.py"))["replace"](tmp_path / "book", tmp_path / "site")
    assert (tmp_path / "book").stat().st_ino == before and (tmp_path / "elsewhere" / "page").exists()
    assert {each.name for each in (tmp_path / "book").iterdir()} == {"new", "index.html"}


@pytest.fixture
def text(monkeypatch):
    monkeypatch.syspath_prepend(BOOK)
    import text

    yield text
    del sys.modules["text"]


def test_docstrings_are_shown_as_they_stand(text):
    lines = text.restructured("""Map |x| to *y*, see `forward`_.

    y = x Wᵀ

        deeper

And on:
- one
  line
- two
    with columns    in a row

>>> 1 + 1
2
>>> np.eye(2)
array([[1., 0.],
       [0., 1.]])

The end.  "Here"
left    right""")
    assert lines == [r"Map \|x\| to \*y\*, see ``forward``\_.", "",
                     ".. code-block:: none", "", "   y = x Wᵀ", "   ", "       deeper", "",
                     "And on:", "", "- one", "  line", "- two", "    with columns    in a row", "",
                     ".. code-block:: pycon", "", "   >>> 1 + 1", "   2",
                     "   >>> np.eye(2)", "   array([[1., 0.],", "          [0., 1.]])", "",
                     "| The end.  \"Here\"", "| left", "| right", ""]


def test_the_reference_lists_whatever_the_layers_package_offers(text):
    import reference

    named = {name for name, value in vars(nn).items() if not name.startswith("_") and callable(value)}
    assert named == set(reference.public(nn))
    del sys.modules["reference"]
