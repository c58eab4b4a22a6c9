"""The path through update_output that backward leaves out, found by holding one expression of it at a time.

Where a gradient is the derivative of update_output with an expression, or one use of a name, held constant, nothing
comes back through that.
"""

import ast
from collections import defaultdict

import numpy as np

from minivae.debug.diagnosis.elsewhere import Elsewhere, along
from minivae.debug.diagnosis.finding import Finding
from minivae.debug.source_edits.edited_code import EditedGradients, line_of, quietly
from minivae.debug.source_edits.edits import expressions, get, put
from minivae.debug.tables import same

ORDINALS = "first", "second", "third", "fourth"
SHORT = 16  # letters, too few to find a place by


def missing_path(twin, given, grad_output, checks, step, tolerance):
    """[Finding] on what backward takes for a constant, if that explains gradients that are wrong."""
    wrong = {check.name: check.analytic for check in checks if not check.ok}
    found = {}  # {names of the arrays: where and what}
    with quietly():
        for said in _Held(twin, given, grad_output, checks, step, tolerance).by_method(wrong):
            found = {**said, **found}
    names = max(found, key=len, default=())
    only = f", for {' and '.join(names)}" if len(names) < len(wrong) else ""
    return [Finding("missing path", f"backward takes {found[names]} for a constant: what comes back through it is "
                    f"missing{only}", "likely")] if names else []


class _Held(EditedGradients):
    """Classes whose update_output holds one of its expressions at what it was before the last backward."""

    def by_method(self, wrong):
        """For each method {names of those of {name: gradient} that are then right: what is held}, the last that is."""
        for method in self.alone + self.shared:
            function = self.methods[method].function
            tree, said, inside = self.methods[method].tree(), {}, set()
            above = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
            for place in list(expressions(tree)):
                node = get(place)
                if isinstance(node, ast.Constant) or node in inside:
                    continue
                held = ast.parse("_held(lambda: 0)", mode="eval").body
                held.args[0].body = node
                with put([place], ast.fix_missing_locations(ast.copy_location(held, node))):
                    names = self._explained(method, tree, wrong)
                if names:
                    inside |= set(ast.walk(node))  # which says less
                    around = node
                    while len(ast.unparse(around)) < SHORT or isinstance(around, ast.Attribute | ast.keyword):
                        around = above[around]
                    within = f" in `{ast.unparse(around)}`" if around is not node else ""
                    alike = [each for each in ast.walk(around) if ast.unparse(each) == ast.unparse(node)]
                    alike = sorted(filter(lambda each: isinstance(each, ast.expr), alike), key=lambda each: (
                        each.lineno, each.col_offset))
                    which = f"the {ORDINALS[alike.index(node)]} " if 1 < len(alike) <= len(ORDINALS) else ""
                    said[names] = f"{which}`{ast.unparse(node)}`{within}, {line_of(function, node)} of {method},"
            yield said

    def _explained(self, name, tree, wrong):
        memory = _Memory()
        made = self.made(name, tree, _held=memory.held)
        if made is None:
            return ()
        try:
            self.twin.__class__ = memory.watching(self.cls)
            with self.put(name, made):
                arrays, gradients = self.run()
                names = tuple(each for each, analytic in wrong.items() if same(gradients[each], analytic)  # as it was
                          and along(arrays[each], gradients[each], self.objective))
                if names and memory.used and Elsewhere(
                        self.twin, self.given, self.step, self.tolerance).agrees(names):
                    return names
        except Exception:  # whatever a layer may raise
            pass
        finally:
            self.twin.__class__ = self.cls
            self.restore()
        return ()


class _Memory:
    """What an expression was, call by call, in the last update_output before a backward, for each copy of a module."""

    def __init__(self):
        self.values, self.closed = defaultdict(list), set()
        self.who, self.call, self.used = None, 0, False

    def held(self, expression):
        self.call += 1
        values = self.values[self.who]
        if self.who in self.closed and self.call <= len(values):
            self.used = True
            value = values[self.call - 1]
        else:
            value = expression()
            if self.who not in self.closed:
                values.append(value if not isinstance(value, np.ndarray) else np.array(value))
        return np.array(value) if isinstance(value, np.ndarray) else value

    def watching(self, cls):
        """A subclass that says which copy runs, and when backward has seen the last update_output."""
        memory = self

        class Watched(cls):
            def update_output(self, *arguments):
                memory.who, memory.call = self, 0
                if self not in memory.closed:
                    memory.values[self] = []
                return super().update_output(*arguments)

            def backward(self, *arguments, **options):
                memory.closed.add(self)
                return super().backward(*arguments, **options)

        Watched.__name__ = cls.__name__
        return Watched
