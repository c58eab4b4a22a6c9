"""A page of HTML in one file: its program, its style and its numbers are in it, and it asks nobody for anything."""

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import Any

import numpy as np

from minivae.errors import OptionError

WEB = files("minivae.figures") / "web"
TYPES = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "uint8": "<u1", "uint32": "<u4"}  # shared.js reads them

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; script-src '{script_hash}'; \
style-src '{style_hash}'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
{body}
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def page(title: str, body: str, scripts: tuple[str, ...], styles: tuple[str, ...], data: dict[str, Any]) -> str:
    """The text of the page: its files are taken from web/, in that order, and `data` is what JSON can hold.

    Its content security policy allows that script and that style, by their hashes, and nothing else: no network, no
    eval, and no script that a name in the data could smuggle in.
    """
    script = "\n".join(_text(name) for name in ("shared.js", *scripts))
    style = "\n".join(_text(name) for name in ("shared.css", *styles))
    heading = html.escape(title.encode(errors="replace").decode())  # the name of a folder may be no text
    return PAGE.format(title=heading, body=_text(body).replace("{{title}}", heading), script=script, style=style,
                       data=_json(data), script_hash=_hash(script), style_hash=_hash(style))


def packed(array: Any, dtype: str) -> dict[str, Any]:
    """An array as JSON holds it: its shape, its type and its bytes in base64, which `unpacked` of shared.js reads."""
    array = np.asarray(array)
    content = np.ascontiguousarray(array, dtype=TYPES[dtype]).tobytes()
    return {"shape": list(array.shape), "type": dtype, "bytes": base64.b64encode(content).decode("ascii")}


def _json(data):
    """JSON that cannot end the script element it stands in, whatever the names in it are."""
    try:
        text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise OptionError("a page holds finite numbers, and here some are NaN or infinite: this model's codes or what "
                          "they decode to; `minivae step RUN` finds out where, by its command nonfinite") from error
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _text(name):
    return (WEB / name).read_text(encoding="utf-8")
