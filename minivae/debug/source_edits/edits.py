"""Small edits of a function's source, one at a time: what its author may have meant."""

import ast
import contextlib
import copy
import itertools
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import filterfalse

from minivae.debug.source_edits import alternatives
from minivae.debug.source_edits.alternatives import parsed

LONGEST = 60  # letters of what is taken from elsewhere
RUNS = re.compile(r"\.(run|forward|backward|update_output)\(")  # it changes what modules keep
SUMS = "sum", "mean", "cumsum"  # of which the terms may lack something
FEW = 4  # expressions that are edited alike
EVERYWHERE, IN_THE_LINE = ", and wherever else it stands,", ", wherever it stands there,"
LIKEWISE = ", and likewise where it stands with other names or numbers,"


def edits(function: ast.FunctionDef, known: list[str], others_of: dict[str, list[str]], methods: Iterable[str] = (),
          modes: bool = True, tuples: Iterable[str] = ()) -> Iterator[Iterator[tuple[ast.AST, ast.AST, str]]]:
    """Of each kind of edit, the slightest first: an iterator over (what stood in `function`, what does until the next
    is asked for, where else).

    known      names and attributes that may be meant in place of others, or be forgotten as factors
    others_of  {text: the expressions around it elsewhere}, as `surroundings` finds them
    methods    names of those of the class that take one argument
    modes      whether a mode may be asked for
    tuples     the object's tuples of numbers
    """
    made = list(dict.fromkeys(itertools.chain(*others_of.values())))
    calls = [text for text in made if text[-1] == ")"]
    calls += [text.replace(*axes) for text in calls for axes in (("axis=1", "axis=0"), ("axis=0", "axis=1"))]

    nodes = {text: parsed(text) for text in made}
    indices = [text[len(ast.unparse(node.value)) + 1:-1] for text, node in nodes.items()
               if isinstance(node, ast.Subscript)]
    conditions = [text for text, node in nodes.items() if isinstance(node, ast.Compare)]
    calls_beside = [ast.unparse(node.right) for node in nodes.values() if isinstance(node, ast.BinOp)
                    and isinstance(node.op, ast.Mult | ast.Div) and isinstance(node.right, ast.Call)]
    signs = [f"np.sign({ast.unparse(node.args[0])})" for node in nodes.values()
             if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("abs") and node.args]
    slices = list(dict.fromkeys(each for each in indices if ":" in each))

    def as_elsewhere(node):
        places = others_of.get(f"{ast.unparse(node.value)}[]", ()) if isinstance(node, ast.Subscript) else ()
        return map(parsed, [*places, *others_of.get(ast.unparse(node), ())])

    def other_calls(node):
        return map(parsed, calls) if isinstance(node, ast.Call | ast.BinOp) or getattr(node, "attr", "") == "T" else ()

    def calls_elsewhere(node):
        return map(parsed, calls) if isinstance(node, ast.Name | ast.Call) else ()

    def by(make, names, least=1, terms=False):
        return _everywhere(function, lambda node: make(node, names), least, terms)

    yield by(alternatives.with_factor, signs if "sign(" not in ast.unparse(function) else [], terms=True)
    yield _slightly(function)
    yield by(partial(alternatives.others, tuples=tuples), known)
    yield _everywhere(function, as_elsewhere, 1)
    yield _alike(function)
    yield _exchanged(function)
    yield by(alternatives.with_term, _unread(function), terms=True)
    yield _everywhere(function, alternatives.of_it, 1)
    # update_output gets none of what follows, but for a backward pass that has too much: one_change.OF_FORWARD
    yield by(alternatives.with_factor, known, terms=True)
    yield by(alternatives.by_own, methods)
    yield by(alternatives.sliced, slices)
    instead_of = ["1", "0", *(each.arg for each in function.args.args if "grad" in each.arg),
                  *(name for name in known if name.startswith("self."))]
    yield by(alternatives.in_training, instead_of if modes else [], terms=True)
    yield by(alternatives.with_factor, list(dict.fromkeys(calls_beside)), terms=True)
    yield by(alternatives.with_term, [f"np.exp({text})" for text in made if "log" in text], terms=True)
    yield by(alternatives.under, conditions, terms=True)
    yield by(alternatives.named_before, known)
    yield by(alternatives.moved_back, calls)
    yield _everywhere(function, other_calls, 1)
    yield _everywhere(function, alternatives.slight, 2)
    yield _everywhere(function, alternatives.of_it, 2)
    yield _everywhere(function, alternatives.other_operators, 1)
    yield by(alternatives.others, known, 2)
    yield _everywhere(function, calls_elsewhere, 2, each_line=True)
    yield by(alternatives.products, known)
    yield by(alternatives.sums_of_others, known)
    yield by(alternatives.distributed, known)
    paths = [f"{name} @ {weight}" for name, weight in itertools.product(known, known)
             if weight.startswith("self.") and not name.startswith("self.")]
    for k, form in enumerate(alternatives.FACTORS):
        yield by(alternatives.with_factor, [form.format(name) for name in known], terms=True)
        if k == 0:
            yield by(alternatives.with_term, [
                *known, *(f"({name} ** 2).sum(-1)" for name in known), *paths, *(f"{path}.T" for path in paths)],
                terms=True)
            yield by(alternatives.name_with_term, known)
            yield by(alternatives.with_term, made, terms=True)
            yield by(alternatives.without_share, known, terms=True)


def surroundings(functions: Sequence[ast.FunctionDef], function: ast.FunctionDef) -> dict[str, list[str]]:
    """{name, attribute or place: the short expressions that it is part of, or made of, in any of the functions}, and
    {name[]: the places in it}; with what other functions have given names to in full, where `function` has not.
    """
    found = defaultdict(dict)
    for home in functions:
        made_of = _definitions(home) if home is not function else {}
        strange = set(made_of) - _names_of(function)

        def here(node, made_of=made_of, strange=strange):
            return ast.unparse(_Spelled(made_of, strange).visit(copy.deepcopy(node)) if strange else node)

        for name, parts in _assigned(home):
            for part in map(here, parts):
                found[name][part] = None
        for outer in ast.walk(home):
            if isinstance(outer, ast.Subscript):
                found[f"{here(outer.value)}[]"][here(outer)] = None
            whole = isinstance(outer, ast.BinOp | ast.Call | ast.Compare | ast.UnaryOp | ast.Subscript)
            if whole and len(ast.unparse(outer)) < LONGEST:
                for inner in ast.walk(outer):
                    if isinstance(inner, ast.Name | ast.Attribute | ast.Subscript) and inner is not outer:
                        found[ast.unparse(inner)][here(outer)] = None
    return {text: sorted(filterfalse(RUNS.search, around), key=len) for text, around in found.items()
            if text not in alternatives.MODULES}


def _pairs(function):
    """(target, value) of each assignment, of several at once each by itself."""
    for node in ast.walk(function):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from zip(target.elts, node.value.elts)
            elif isinstance(target, ast.Tuple):
                for k, each in enumerate(target.elts):
                    part = ast.Slice(ast.Constant(k)) if isinstance(each, ast.Starred) else ast.Constant(k)
                    yield getattr(each, "value", each), ast.Subscript(node.value, part, ast.Load())
            else:
                yield target, node.value


def _definitions(function):
    """{local name: what it was set to, once}; a buffer by the name that other methods know."""
    found = defaultdict(list)
    for target, value in _pairs(function):
        if isinstance(target, ast.Name):
            buffer = ast.unparse(value).startswith("self.buffer(")
            found[target.id].append(parsed(f"self.buffers[{ast.unparse(value.args[0])}]") if buffer else value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _names_of(function):
    return {each.arg for each in function.args.args} | {
        node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


class _Spelled(ast.NodeTransformer):
    """What stands for names that are strange elsewhere, in their places."""

    def __init__(self, made_of, strange, depth=3):
        self.made_of, self.strange, self.depth = made_of, strange, depth

    def visit_Name(self, node):
        if node.id not in self.strange or not self.depth:
            return node
        return _Spelled(self.made_of, self.strange, self.depth - 1).visit(copy.deepcopy(self.made_of[node.id]))


def _assigned(function):
    """(Attribute or place in it, the parts of what is assigned to it)."""
    for target, value in _pairs(function):
        name = ast.unparse(target).removesuffix("[...]")
        if name.startswith("self."):
            yield name, [part for part in ast.walk(value) if isinstance(part, ast.BinOp | ast.Call | ast.Subscript)
                         and len(ast.unparse(part)) < LONGEST]


def _slightly(function):
    yield from _everywhere(function, alternatives.slight, 1)
    yield from _statements(function)


def _everywhere(function, replaced, least, terms=False, each_line=False):
    """Edit one expression, or with least = 2 all those that read alike, in the function or in a line."""
    groups = defaultdict(list)
    for place in list(_terms(function) if terms else expressions(function)):
        node = get(place)
        groups[(ast.unparse(node), each_line and node.lineno) if least > 1 else len(groups)].append(place)
    for places in groups.values():
        node = get(places[0])
        parents = [parent for parent, _, _ in places if not alternatives.is_idle(parent)]
        for other in replaced(node) if len(places) >= least else ():
            if ast.dump(other) != ast.dump(node):
                with put(places, _located(other, node)):
                    if not any(map(alternatives.is_idle, parents)):
                        yield node, other, "" if len(places) == 1 else IN_THE_LINE if each_line else EVERYWHERE


def _alike(function):
    """The same edit of all expressions that differ in names and numbers only, as for rows and for columns."""
    groups = defaultdict(list)
    for place in list(expressions(function)):
        if isinstance(get(place), ast.BinOp | ast.Call | ast.Subscript | ast.Compare):
            groups[re.sub(r"[A-Za-z_][\w.]*|[\d.]+", "_", ast.unparse(get(place)))].append(place)
    for places in groups.values():
        nodes = list(map(get, places))
        if 1 < len(set(map(ast.unparse, nodes))) == len(nodes) <= FEW:
            for others in zip(*map(alternatives.slight, nodes)):
                if any(ast.dump(node) == ast.dump(other) for node, other in zip(nodes, others)):
                    continue
                with contextlib.ExitStack() as stack:
                    for place, other in zip(places, others):
                        stack.enter_context(put([place], _located(other, get(place))))
                    yield nodes[0], others[0], LIKEWISE


def _exchanged(function):
    """Two names or attributes in each other's place, in a statement."""
    simple = ast.Assign | ast.AugAssign | ast.Return | ast.Expr
    for statement in [node for node in ast.walk(function) if isinstance(node, simple)]:
        places = [place for place in expressions(ast.Module([statement], []))
                  if isinstance(get(place), ast.Name | ast.Attribute)]
        for one, other in itertools.combinations(places, 2):
            a, b = get(one), get(other)
            if ast.dump(a) != ast.dump(b):
                before = copy.deepcopy(statement)
                with put([one], b), put([other], a):
                    yield before, statement, ""
        texts = [ast.unparse(get(place)) for place in places]
        for one, other in itertools.combinations(dict.fromkeys(texts), 2):  # wherever they stand
            ones, others = ([place for place, text in zip(places, texts) if text == each] for each in (one, other))
            if len(ones) > 1 and len(others) > 1:
                before = copy.deepcopy(statement)
                with put(ones, parsed(other)), put(others, parsed(one)):
                    yield before, ast.fix_missing_locations(statement), ""


def _located(other, node):
    """That node, with what is new in it in the line of the one in whose place it stands."""
    for each in ast.walk(other):
        if getattr(each, "lineno", 1) == 1 and "lineno" in each._attributes:
            ast.copy_location(each, node)
    return other


def _unread(function):
    """Products with names that the function sets and never reads, as of a path that was forgotten."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    local = list(dict.fromkeys(node.id for node in names if isinstance(node.ctx, ast.Store)))
    return [form.format(other, name) for name in local if name not in read and name != "_" for other in local
            for form in ("{} @ {}", "{} @ {}.T", "{} * {}", "{1} @ {0}.T", "{1} @ (1 - {0}).T")]


def expressions(function):
    """(parent, field, index or None) of each expression that is read, the outer before the inner."""
    def below(parent):
        for field, value in ast.iter_fields(parent):
            for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if not isinstance(node, ast.AST) or (field in ("decorator_list", "annotation", "returns", "args"
                                                              ) and not isinstance(parent, ast.Call)):
                    continue
                if isinstance(node, ast.expr) and _is_value(parent, field, node):
                    yield parent, field, index
                if not isinstance(node, ast.JoinedStr):
                    yield from below(node)

    for statement in function.body:
        yield from below(statement)


def _is_value(parent, field, node):
    """Whether it is an expression of its own, not a module, a function's name, or what is assigned to."""
    if (isinstance(node, ast.Name) and node.id in alternatives.MODULES) or isinstance(node, ast.Slice | ast.Starred):
        return False
    if isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
        text = isinstance(node.value, str) and (node.value in alternatives.MODES or "->" in node.value)
        return text or (isinstance(parent, ast.keyword) and node.value is None)
    stored = isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
    target = field == "value" and isinstance(getattr(parent, "ctx", None), ast.Store | ast.Del)
    return not (stored or target or (isinstance(parent, ast.Call) and field == "func") or
                (isinstance(parent, ast.Expr) and not isinstance(node, ast.Call)))


def _terms(function):
    """The places of what may lack a factor or a term: values, arguments, and what is added up."""
    for place in expressions(function):
        parent, _, _ = place
        inside = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult | ast.Div | ast.MatMult)
        if not (inside or alternatives.is_shape(get(place)) or isinstance(get(place), ast.Constant | ast.Tuple)
                or isinstance(parent, ast.keyword | ast.Subscript | ast.Tuple | ast.UnaryOp)
                or (isinstance(parent, ast.Attribute) and parent.attr not in SUMS)):
            yield place


def get(place):
    parent, field, index = place
    return getattr(parent, field) if index is None else getattr(parent, field)[index]


@contextlib.contextmanager
def put(places, node):
    kept = [get(place) for place in places]
    try:
        for place in places:
            _set(place, node)
        yield
    finally:
        for place, before in zip(places, kept):
            _set(place, before)


def _set(place, node):
    parent, field, index = place
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


@contextlib.contextmanager
def instead(parent, node, other):
    """Have `other` stand below that parent in place of `node`."""
    for field, value in ast.iter_fields(parent):
        values = value if isinstance(value, list) else [value]
        if any(each is node for each in values):
            index = next(k for k, each in enumerate(values) if each is node)
            with put([(parent, field, index if isinstance(value, list) else None)], other):
                yield
            return


def _statements(function):
    """Another kind of assignment, a condition turned, or a statement left out."""
    for parent in list(ast.walk(function)):
        for field in ("body", "orelse"):
            block = getattr(parent, field, None)
            for index, node in enumerate(block if isinstance(block, list) else ()):
                for other in alternatives.other_statements(node):
                    if ast.dump(other) == ast.dump(node):
                        continue
                    with put([(parent, field, index)], ast.fix_missing_locations(other)):
                        yield node, other, ""
