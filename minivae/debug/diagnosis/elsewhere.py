"""A module or criterion at other points: what is said of its gradient is tried there too, before it is certain."""

import copy

import numpy as np

from minivae import backend
from minivae.debug.diagnosis.behaviour import random_like
from minivae.debug.diagnosis.facts import Facts
from minivae.debug.differences import compare
from minivae.debug.tables import arrays, copied, mapped, named, norm, same
from minivae.nn import Criterion, side_loss

CHANGES = ("values", "rows", "columns", "weights")  # of a point, beside the one that was checked
LARGEST = 5_000  # entries of an array whose differences are taken again
SMALL = 1_000  # of one for which that is done many times


class Elsewhere:
    """Points beside the one that was checked, each computed when it is asked for.

        values    other values of the input, as large as they were
        rows      one row more of them, and others with `rows again`      columns   one more along the last axis
        wider     values three times as large, but for what lies between 0 and 1
        weights   other weights too, and where there are any, another temperature, weight beta or number of draws
    """

    def __init__(self, twin, given, step, tolerance, unused=None):
        self.twin, self.given, self.step, self.tolerance = twin, given, step, tolerance
        self.unused = unused  # a copy from before the module was first run
        self._points, self._held = {}, {}

    def checks(self, name, changes=CHANGES):
        """[(change, ArrayCheck, Facts)] of that array, at the points where the module can be run."""
        found = []
        for change in changes:
            point = self.at(change)
            array, grad = point.gradients.get(name, (None, None)) if point else (None, None)
            if array is not None and array.size <= LARGEST:
                try:
                    check = compare(name, array, grad, point.objective, self.step, self.tolerance)
                except Exception:  # whatever a layer may raise
                    continue
                if np.isfinite(check.numeric).all() and check.analytic.shape == check.numeric.shape:
                    point.run()  # what the module keeps is of this point again
                    found.append((change, check, point.facts.about(name)))
        return found

    def agrees(self, names):
        """Whether the gradients of those arrays are right along a random direction, at each point that there is."""
        points = [point for point in map(self.at, (*CHANGES, "wider")) if point]
        return bool(points) and all(along(*point.gradients[name], point.objective)
                                    for point in points for name in names)

    def ignored(self, name):
        """Which of "the input" and "the weights" the derivative of that array depends on, and its gradient does not."""
        found = []
        criterion = isinstance(self.twin, Criterion)
        weights = ("the weights" if criterion or any(True for _ in self.twin.named_parameters()) else
                   "the temperature or beta")
        for what, given, change in (("the input", mapped(_resampled, self.given), None),
                                    (weights, self.given, _change)):
            try:
                points = [Point(self.twin, *each, held=True) for each in ((self.given, None), (given, change))]
                one, other = (point.gradients[name][1] for point in points)
                if np.any(one) and same(one, other):
                    before, after = (self._numeric(name, point) for point in points)
                    if norm(after - before) > 1e-4 * norm(one):  # and not by rounding
                        found.append(what)
            except Exception:  # whatever a layer may raise
                continue
        return found

    def depends(self, name, on, axis=None):
        """(Whether the gradient of that array depends on `on`, array or number, whether its derivative does), or None.

        With an axis: at all places along it but the first, on the first, or at all but the last, on the last.
        """
        try:
            ends = [self._changed(name, on, axis, end) for end in ((False, True) if axis is not None else (False,))]
            return tuple(map(any, zip(*ends)))
        except Exception:  # whatever a layer may raise
            return None

    def is_unwritten(self, name):
        """Whether what is not finite in that gradient are marks of what has never been written, see backend.marked."""
        try:
            with backend.marked(on=False):
                return bool(np.isfinite(Point(self.twin.clone(), self.given, held=True).gradients[name][1]).all())
        except Exception:  # whatever a layer may raise
            return False

    def _changed(self, name, on, axis, last):
        """[Whether the gradient of that array changes with `on`, or one place of it, whether its derivative does]."""
        point = Point(self.twin, self.given, held=True)
        if name not in self._held:
            again = Point(self.twin, self.given, held=True)
            self._held[name] = point.gradients[name][1], self._numeric(name, point)
            if not same(again.gradients[name][1], self._held[name][0]):
                raise ValueError("it is another each time: nobody can tell what it depends on")
        one = slice(None) if axis is None else slice(-1, None) if last else slice(1)
        place = (slice(None),) * (axis or 0) + (one,)
        if on in point.arrays:
            point.arrays[on][place] = _resampled(point.arrays[on])[place]
        else:
            vars(point.twin)[on] *= 1.3
        point.look()
        both = [self._held[name], (point.gradients[name][1], self._numeric(name, point))]
        if axis is not None:  # all draws of a row together
            draws = max(self._held[name][0].shape[axis] // point.arrays[on].shape[axis], 1)
            of_it = slice(-draws, None) if last else slice(draws)
            both = [[np.delete(each, of_it, axis) for each in pair] for pair in both]
        return [not same(*pair, 1e-5) for pair in zip(*both)]

    def numbers(self):
        """The names of the module's own numbers."""
        return [name for name, value in vars(self.twin).items() if isinstance(value, float)]

    def names(self):
        """Of all arrays that the module has been given or has learned."""
        return list(Point(self.twin, self.given, held=True).arrays)

    def with_other_noise(self, name):
        """(Whether the derivative by that array then differs, and whether the gradient does not).

        The module with other noise has not run before.
        """
        try:
            points = [Point(self.twin, self.given, held=True),
                      Point(self.unused, self.given, lambda twin: twin.hold_noise(False), held=True)]
            one, other = (self._numeric(name, point) for point in points)
            acts = norm(one - other) > 1e-4 * norm(one)
            return acts, acts and same(*(point.gradients[name][1] for point in points))
        except Exception:  # whatever a layer may raise
            return True, False

    def in_training(self, name):
        """(Whether that array is wrong in evaluation mode alone, whether its gradient is the same in both modes)."""
        if isinstance(self.twin, Criterion) or self.twin.train:
            return False, False
        try:
            here, there = (Point(self.twin, self.given, change, held=True)
                           for change in (None, lambda twin: twin.training()))
            array, grad = there.gradients[name]
            check = compare(name, array, grad, there.objective, self.step, self.tolerance)
            return check.ok, same(here.gradients[name][1], grad)
        except Exception:  # whatever a layer may raise
            return False, False

    def once(self, backward):
        """A function that runs forward once more, or backward after it."""
        twin, given = copy_of(self.twin), copied(self.given)
        given = given if isinstance(twin, Criterion) else (given,)
        if not backward:
            return lambda: twin.forward(*given)
        output = twin.forward(*given)
        return lambda: twin.backward(*given, *(() if isinstance(twin, Criterion) else (random_like(output),)))

    def asking(self):
        """The verbs among "update_output" and "backward" that ask self.train."""
        found, twin = set(), copy_of(self.twin)

        class Asked(type(twin)):
            def __getattribute__(self, name):
                if name == "train":
                    found.add(verb)
                return super().__getattribute__(name)

        try:
            Asked.__name__, twin.__class__ = type(twin).__name__, Asked
            for verb in ("update_output", "backward"):
                twin.forward(copied(self.given)) if verb == "update_output" else twin.backward(
                    copied(self.given), random_like(twin.output))
        except Exception:  # whatever a layer may raise
            return set()
        return found

    def _numeric(self, name, point):
        return compare(name, *point.gradients[name], point.objective, self.step, self.tolerance).numeric

    def at(self, change):
        """The Point with that change, or None where the module cannot be run."""
        if change not in self._points:
            n, rows, columns = min(map(len, arrays(self.given))), change[:4] == "rows", change == "columns"
            try:
                given = mapped(lambda array: _resampled(array, rows * len(array) // n, columns), self.given)
                if change == "wider":
                    given = mapped(lambda array: array if np.all((array >= 0) & (array <= 1)) else 3 * array, given)
                if isinstance(self.twin, Criterion) and (target := _like_labels(self.given[1], given[1])) is not None:
                    given = given[0], target
                point = Point(self.twin, given, _change if change == "weights" else None)
                finite = all(np.isfinite(grad).all() for _, grad in point.gradients.values())
                self._points[change] = point if finite or change != "wider" else None
            except Exception:  # it does not take that
                self._points[change] = None
        return self._points[change]


class Point:
    """A copy of a module or criterion, run at what it is given; `gradients` holds {name: (array, its gradient)}.

    arrays    {name: array} of what it is given, and of its parameters
    change    a function that gives the copy other weights, or None
    held      whether noise and grad_output are as at any other such point, so that gradients can be compared
    """

    def __init__(self, twin, given, change=None, held=False):
        self.twin, self.given, self.grad_output = copy_of(twin), copied(given), None
        self.criterion = isinstance(twin, Criterion)
        if self.criterion:
            prediction, target = self.given
            self.arrays = dict(named("prediction", prediction) + named("the target", target))
            self.look()
            ones = mapped(np.ones_like, prediction)
            self.facts = Facts(self.twin, (*arrays(prediction), *arrays(target)), prediction, ones)
            return
        if not held:
            self.twin.hold_noise(False)
        if change:
            change(self.twin)
        output = copied(self.twin.forward(copied(self.given)))
        self.twin.hold_noise()
        if held:
            with backend.seeded(1):
                self.grad_output = random_like(output)
        else:
            self.grad_output = random_like(output)
        weights = {path: array for path, array, _ in self.twin.named_parameters()}
        self.arrays = dict(named("input", self.given)) | weights
        self.look()
        self.facts = Facts(self.twin, self.given, output, self.grad_output)

    def look(self):
        """Set the gradients by all that there is now."""
        inputs = ("prediction", self.given[0]) if self.criterion else ("input", self.given)
        found = pairs(*inputs, self.run())
        self.gradients = _by_name(found if self.criterion else [*found, *self.twin.named_parameters()])

    def run(self):
        """The gradients by the input, copied."""
        if self.criterion:
            self.twin.forward(*self.given)
            return copied(self.twin.backward(*self.given))
        self.twin.zero_grad_parameters()
        self.twin.forward(self.given)
        return copied(self.twin.backward(self.given, copied(self.grad_output)))

    def objective(self):
        """The terms of the number that is differentiated."""
        if self.criterion:
            return np.array([float(self.twin.forward(*copied(self.given)))])
        return terms(self.twin, self.given, self.grad_output)


def along(array, gradient, objective):
    """Whether the objective grows along a random direction as the gradient says; the array is put back."""
    with backend.seeded(1):
        way = random_like(array)
    kept, products = np.array(array), gradient * way
    size = np.abs(products).sum()
    for step in (1e-5, 1e-6) if size < np.inf else ():  # the second where it bends much
        values = []
        for move in (step, -step):
            array[...] = kept + move * way
            values.append(objective().sum())
        array[...] = kept
        if abs((values[0] - values[1]) / (2 * step) - products.sum()) <= 1e-7 * size:
            return True
    return False


def _by_name(triples):
    return {name: (array, np.array(grad)) for name, array, grad in triples}


def terms(twin, input, grad_output):
    """⟨G, output⟩ and the side losses, term by term."""
    products = [(g * y).reshape(-1) for g, y in zip(arrays(grad_output), arrays(twin.forward(copied(input))))]
    return np.concatenate([*products, [float(side_loss(twin))]])


def pairs(name, value, grads):
    """[(name, array, its gradient)] of an array or a table; a gradient that is no such table is one of wrong shape."""
    flat, grads = named(name, value), arrays(grads)
    grads += [np.zeros(0)] * (len(flat) - len(grads))
    return [(name, array, grad) for (name, array), grad in zip(flat, grads)]


def shuffled(array):
    """The same values in other places, so that what is allowed stays allowed."""
    return backend.host_generator().permutation(array.reshape(-1)).reshape(array.shape)


def near_by(array):
    """A random point near an array: a hundredth of the way to another one within the same bounds."""
    random, low, high = backend.host_generator().random(array.shape), array.min(), array.max()
    return array + 0.01 * ((low + (high - low) * random - array) if low < high else (2 * random - 1) * (abs(low) or 1))


def nudge(twin):
    """Give a module other weights, a little beside its own."""
    for _, array, _ in twin.named_parameters():
        array[...] = near_by(array)


def copy_of(twin):
    return copy.deepcopy(twin) if isinstance(twin, Criterion) else twin.clone()


def _resampled(array, rows=0, columns=0):
    """Values as those of the array, in other places, with so many rows and columns more."""
    columns = columns and array.ndim > 0 and array.shape[-1] != 1  # one number for all columns stays so
    shape = np.add(array.shape, [rows, *[0] * (array.ndim - 2), columns][:array.ndim])
    return near_by(shuffled(np.resize(shuffled(array), shape)))


def _like_labels(target, other):
    """A target of whole numbers, such as labels, one-hot rows or a mask: rows of it, as large as `other`; else None."""
    if isinstance(target, tuple) or not np.array_equal(target, np.round(target)) or not np.any(target):
        return None
    rows = target[backend.host_generator().permutation(len(other)) % len(target)]
    return np.pad(rows, [(0, to - now) for now, to in zip(rows.shape, other.shape)])


def _change(twin):
    """Other weights, of the same sizes, and another temperature, weight beta and number of draws."""
    for _, array, _ in twin.named_parameters():
        array[...] = near_by(shuffled(array))
    for module in twin.list_modules():
        for name in ("temperature", "beta"):
            if isinstance(value := getattr(module, name, None), int | float):
                setattr(module, name, 1.3 * value)
        if isinstance(samples := getattr(module, "samples", None), int) and samples > 1:
            module.samples = samples + 1
