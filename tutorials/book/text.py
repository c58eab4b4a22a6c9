"""Docstrings as reStructuredText: paragraphs flow, what is indented stays as it is, and no sign is markup."""

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
        before = found[-1][-1] if found[-1] else ""
        if not line.strip():
            if indented(before) or before.startswith(">>>"):
                found[-1].append("")  # an indented block may have empty lines
            elif found[-1]:
                found.append([])
            continue
        block = found[-1]
        begins = next((each for each in block if each), "")
        ends = (indented(begins) and not indented(line)) or (
            bool(block) and not block[-1] and begins.startswith(">>>") and not line.startswith(">>>")) or (
            bool(block) and not indented(begins) and not is_item(begins) and indented(line)) or (
            bool(block) and is_item(line) and not is_item(begins)) or (
            bool(block) and line.startswith(">>>") and not begins.startswith(">>>"))
        if ends and block:
            found.append([])
        found[-1].append(line)
    return [block for block in found if block]


def indented(line):
    return line.startswith(" ")


def is_item(line):
    return line.startswith("- ")


def rendered(block):
    while not block[-1].strip():
        block = block[:-1]
    if block[0].startswith(">>>"):
        return [".. code-block:: pycon", "", *("   " + line for line in block)]
    if is_item(block[0]):
        return [escaped(line) for line in block]
    if indented(block[0]):
        least = min(len(line) - len(line.lstrip()) for line in block if line.strip())
        return [".. code-block:: none", "", *("   " + line[least:] for line in block)]
    if any(GAP.search(line) for line in block):  # columns: one below the other
        return [f"| {escaped(part)}" for line in block for part in GAP.split(line)]
    return [escaped(line) for line in block]


def escaped(line):
    """The line, in which only `code` has a meaning."""
    parts = CODE.split(line)
    return "".join(f"``{part[1:-1]}``" if CODE.fullmatch(part) else re.sub(r"([\\*|_`])", r"\\\1", part)
                   for part in parts)
