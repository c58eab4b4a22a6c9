"""Fetching a file from the first mirror that has it."""

import http.client
import urllib.error
import urllib.request

from minivae.errors import OptionError
from minivae.files import atomic
from minivae.progress import progress_bar

TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 16


def download(mirrors, name, path, check, largest, progress=True):
    """Fetch mirror + name from the first of the mirrors that gives the right content; `path` appears whole or not.

    check     called with the content, raises OptionError if it is not the right one
    largest   bytes: no mirror is read further
    """
    reasons = []
    for mirror in mirrors:
        try:
            content = _fetch(mirror + name, name, largest, progress)
            check(content)
        except (OSError, http.client.HTTPException, OptionError) as error:  # URLError is an OSError
            reasons.append(f"{mirror}: {error}")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)  # not before there is something to put there
        with atomic(path) as file:
            file.write(content)
        return content
    raise OptionError("; ".join(reasons))


def _fetch(url, name, largest, progress):
    parts, size = [], 0
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        length = response.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else None
        with progress_bar(total, "B", progress, unit_scale=True, desc=name) as bar:
            while part := response.read(CHUNK):
                parts.append(part)
                size += len(part)
                bar.update(len(part))
                if size > largest:
                    raise OptionError(f"more than the {largest} bytes that {name} may have")
    if total is not None and size != total:
        raise OptionError(f"the connection ended after {size} of {total} bytes")
    return b"".join(parts)
