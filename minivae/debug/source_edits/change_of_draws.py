"""The one change in a random layer's own source by which its draws are right, found by trying."""

import ast
import time

from minivae.debug.source_edits.edited_code import EditedCode, in_words, quietly

FEW = 2_000  # draws that show whether an edit may do
MORE = 10  # times as many as asked for, which refute what holds by luck
SEEDS = 1001, 1002, 1003  # for these
SECONDS = 10  # of processor time, at most


def change_of_draws(layer, count, draws, general=True):
    """[The sentence on the slightest edit of update_output by which count(layer, draws) is ok], or [].

    `general`: it must be so with other numbers of the layer's, too.
    """
    found = []
    with quietly():
        found += _Search(layer, count, draws, general).first()
    return found


class _Search(EditedCode):
    """Edits of the code, and whether it then draws as it should."""

    def __init__(self, layer, count, draws, general):
        super().__init__(layer, lambda layer: count(layer, FEW))
        self.count, self.draws = count, draws
        self.layers = [self.twin, *filter(self._runs, self.with_other_numbers() if general else ())]
        self.end = time.process_time() + SECONDS

    def first(self):
        """[The sentence on the slightest edit that makes the draws right], or []."""
        trees = {name: self.methods[name].tree() for name in self.alone}
        for _, name, old, new, elsewhere in self.edits(trees):
            if time.process_time() > self.end:
                break
            if isinstance(new, ast.Pass) or _is_number_of_a_shape(new, trees[name]):
                continue
            made = self.made(name, trees[name])
            if made and self._are_right(name, made):
                place, before, after = in_words(old, new, elsewhere, trees[name], self.methods[name].function)
                return [f"one change makes the draws right: in {place} of {name}, `{before}` → `{after}`"]
        return []

    def _runs(self, other):
        """Whether it does with those numbers."""
        try:
            self.count(other, FEW)
        except Exception:  # whatever a layer may raise
            return False
        return True

    def _are_right(self, name, made):
        """Whether a few draws are right, then many, those with other numbers, and then more from other seeds."""
        tries = [(layer, draws) for layer in self.layers for draws in (FEW, self.draws)]
        tries += [(self.twin, MORE * self.draws, seed) for seed in SEEDS]
        try:
            with self.put(name, made):
                return all(self.count(*each).ok for each in tries)
        except Exception:  # whatever edited code may raise
            return False
        finally:
            self.restore()


def _is_number_of_a_shape(new, tree):
    """Whether what is new gives a shape a number of the layer's that is checked, such as 2 variables."""
    numbers = any(isinstance(each, ast.Constant) and each.value not in (0, 1) for each in ast.walk(new))
    shapes = (each for each in ast.walk(tree) if isinstance(each, ast.Tuple))
    return numbers and any(each is new for shape in shapes for each in ast.walk(shape))
