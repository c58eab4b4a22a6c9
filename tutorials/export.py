"""Make notebooks and web pages, with their outputs, of the tutorials.

    python tutorials/export.py [--out FOLDER] [NN_name.py ...]        needs pip install -e ".[plots,dev]"

Runs each tutorial and writes FOLDER/NN_name.ipynb and FOLDER/NN_name.html, which holds everything it shows.
"""

import argparse
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tutorials", nargs="*", type=Path, help="by default all")
    parser.add_argument("--out", type=Path, default=Path("tutorials-html"), metavar="FOLDER", help="where to write")
    args = parser.parse_args()
    try:
        import jupytext
        import nbformat
        from nbconvert import HTMLExporter
        from nbconvert.preprocessors import ExecutePreprocessor
    except ImportError as error:
        sys.exit(f"{error}: pip install -e \".[plots,dev]\" installs what exporting needs")
    args.out.mkdir(parents=True, exist_ok=True)
    # nothing from the network: no scripts that a page would load
    exporter = HTMLExporter(template_name="classic", mathjax_url="", require_js_url="", jquery_url="",
                            widget_renderer_url="", mermaid_js_url="", embed_images=True)
    for path in args.tutorials or sorted(HERE.glob("[0-9][0-9]_*.py")):
        notebook = jupytext.read(path)
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        ExecutePreprocessor(timeout=600).preprocess(notebook, {"metadata": {"path": str(HERE.resolve())}})
        nbformat.write(notebook, args.out / f"{path.stem}.ipynb")
        page, _ = exporter.from_notebook_node(notebook)
        page = re.sub(r"<script[^>]*></script>|<link[^>]*>", "", page)
        (args.out / f"{path.stem}.html").write_text(page, encoding="utf-8")
        print(args.out / f"{path.stem}.html")


if __name__ == "__main__":
    main()
