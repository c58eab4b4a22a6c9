"""The equation and the code of a verb, taken from its class."""

import ast
import inspect
import re
import textwrap

FORWARD = re.compile(r"(.+?)(?:;|\.)?\s*(?:[Bb]ackwards\b|$)", re.DOTALL)
BACKWARD = re.compile(r"[Bb]ackwards\s+(∂.+?)(?:\.  |\.?$|\n\n)", re.DOTALL)
FORMULA = re.compile(r"=|^\s*∂\S+:")
SYMBOLS = re.compile(r"With (\S.*?)(?: of shape .*)?:$", re.MULTILINE)


def equation(layer: type, verb: str) -> str:
    """The lines of a class's docstring that say what this verb computes; "" where it has none.

    House style makes them easy to find.  The first paragraph is the forward pass, up to "backwards"; a formula with
    a ∂ belongs to the backward pass, to acc_grad_parameters where it adds (+=); formulas stand four spaces apart.
    """
    if not layer.__doc__:
        return ""
    text = inspect.cleandoc(layer.__doc__)
    first, _, rest = text.partition("\n\n")
    formulas = [piece for line in _lines(rest) for piece in re.split(r" {4,}", line) if FORMULA.search(piece)]
    formulas = [" ".join(piece.split()) for piece in formulas]
    if verb == "update_output":
        lines = [" ".join(FORWARD.match(first)[1].split())] + [each for each in formulas if "∂" not in each]
        return "\n".join(lines)
    backward = [" ".join(each.split()) for each in BACKWARD.findall(text)] + [each for each in formulas if "∂" in each]
    lines = [each for each in backward if ("+=" in each) == (verb == "acc_grad_parameters")]
    return "\n".join(lines + [f"with {each}" for each in SYMBOLS.findall(text) if lines])


def _lines(text):
    """The indented lines, each with those that continue it: that have no formula, and no empty line before them."""
    lines, above = [], ""
    for line in text.splitlines():
        if line.startswith("    "):
            if above.startswith("    ") and FORMULA.search(above) and not FORMULA.search(line):
                lines[-1] += " " + line.strip()
            else:
                lines.append(line.strip())
        above = line
    return lines


def source(layer: type, verb: str) -> str:
    """The code of a verb without its docstring, or "" where it cannot be read."""
    try:
        code = textwrap.dedent(inspect.getsource(getattr(layer, verb)))
    except (OSError, TypeError):  # a class typed into a prompt has no file
        return ""
    try:
        node = ast.parse(code).body[0]
    except SyntaxError:  # a lambda stands within an expression
        return code
    body = node.body if isinstance(node, ast.FunctionDef) else [node]
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and len(body) > 1:
        lines = code.splitlines()
        code = "\n".join(lines[:body[0].lineno - 1] + lines[body[0].end_lineno:])
    return code.rstrip()
