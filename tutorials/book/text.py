"""Docstrings as reStructuredText.

Paragraphs flow, what is indented stays as it is, and no sign is markup.
"""

import re

CODE = re.compile(r"(`[^`]+`)")
GAP = re.compile(r" {4,}")


def restructured(text):
    """The text in lines of reStructuredText."""
    return [line for block in blocks(text) for line in (*rendered(block), "")]


def blocks(text):
    """Paragraphs, lists, examples and indented blocks, as lists of lines."""
    found = [[]]
    for line in text.expandtabs().rstrip().splitlines():
        block = found[-1]
        if line.strip():
            if block and ends(block, line):
                found.append([])
            found[-1].append(line)
        elif block and kind(block[-1]) in ("indented", "example"):
            block.append("")  # these may have empty lines
        elif block:
            found.append([])
    return [block for block in found if block]


def ends(block, line):
    """Whether a block ends before this line."""
    begins, now = kind(block[0]), kind(line)
    if begins == "example":
        return not block[-1] and now != "example"
    if begins == "item":
        return now == "example"
    return now != begins


def kind(line):
    if line.startswith(" "):
        return "indented"
    if line.startswith(">>>"):
        return "example"
    return "item" if line.startswith("- ") else "text"


def rendered(block):
    while not block[-1].strip():
        block = block[:-1]
    if kind(block[0]) == "example":
        return [".. code-block:: pycon", "", *("   " + line for line in block)]
    if kind(block[0]) == "item":
        return [escaped(line) for line in block]
    if kind(block[0]) == "indented":
        least = min(len(line) - len(line.lstrip()) for line in block if line.strip())
        return [".. code-block:: none", "", *("   " + line[least:] for line in block)]
    if any(GAP.search(line) for line in block):  # columns: one below the other
        return [f"| {escaped(part)}" for line in block for part in GAP.split(line)]
    return [escaped(line) for line in block]


def escaped(line):
    """The line, in which only `code` has a meaning."""
    parts = CODE.split(line)
    return "".join(
        f"``{part[1:-1]}``" if CODE.fullmatch(part) else re.sub(r"([\\*|_`])", r"\\\1", part)
        for part in parts
    )
