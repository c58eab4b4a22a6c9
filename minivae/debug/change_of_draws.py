"""The one change in a random layer's own source by which its draws are right, found by trying."""

import ast
import time

from minivae.debug.edited_class import EditedClass, in_words, quietly, tree_of

FEW = 2_000  # draws that show whether an edit may do
SECONDS = 10  # of processor time, at most


def change_of_draws(layer, count, draws, general=True):
    """[The sentence on the slightest edit of update_output by which count(layer, draws) is ok], or [].

    `general`: it must be so with other numbers of the layer's, too.
    """
    found = []
    with quietly():
        found += _Search(layer, count, draws, general).first()
    return found


class _Search(EditedClass):
    """Edits of a class, and whether it then draws as it should."""

    def __init__(self, layer, count, draws, general):
        super().__init__(layer)
        self.count, self.draws, self.general = count, draws, general
        self.end = time.process_time() + SECONDS

    def first(self):
        """[The sentence on the slightest edit that makes the draws right], or []."""
        trees = {name: tree_of(self.methods[name][1]) for name in self.forward}
        for _, name, old, new, elsewhere in self.edits(trees):
            if time.process_time() > self.end:
                break
            if isinstance(new, ast.Pass) or _is_length(new, trees[name]):
                continue
            changed = self.made(name, trees[name])
            if changed and self._is_right(changed) and all(self._is_right(changed, other) for other in self._others()):
                place, before, after = in_words(old, new, elsewhere, trees[name], self.methods[name][1])
                return [f"one change makes the draws right: in {place} of {name}, `{before}` → `{after}`"]
        return []

    def _others(self):
        """Copies with other numbers of their own, with which the layer can be run."""
        for other in self.with_other_numbers() if self.general else ():
            try:
                self.count(other, FEW)
                yield other
            except Exception:  # it does not take that number
                continue

    def _is_right(self, cls, layer=None):
        """Whether a few draws of that class are right, and then many."""
        layer = layer or self.twin
        try:
            layer.__class__ = cls
            return self.count(layer, FEW).ok and self.count(layer, self.draws).ok
        except Exception:  # whatever an edited layer may raise
            return False
        finally:
            layer.__class__ = self.cls
            self.restore()


def _is_length(new, tree):
    """Whether what is new gives a shape a number of the layer's that is checked, such as 2 variables."""
    numbers = any(isinstance(each, ast.Constant) and each.value not in (0, 1) for each in ast.walk(new))
    shapes = (each for each in ast.walk(tree) if isinstance(each, ast.Tuple))
    return numbers and any(each is new for shape in shapes for each in ast.walk(shape))
