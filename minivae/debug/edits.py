"""Small edits of a function's source, one at a time: what its author may have meant."""

import ast
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

MODULES = {"np", "numpy", "math", "xp", "nn", "mv", "minivae", "self", "cls"}
OTHERS = ("sum mean", "max min", "max sum", "maximum minimum", "argmax argmin", "var std", "sin cos",
          "sinh cosh", "tile repeat", "triu tril", "log log1p", "log log2", "log log10", "exp expm1", "cumsum sum",
          "zeros_like ones_like", "floor ceil", "all any")
FUNCTIONS = ("({}).copy()", "1 - {}", "1 + {}", "1 - {} ** 2", "1 / {}", "np.sqrt({})", "np.exp({})", "np.exp(-{})",
             "np.log({})", "np.tanh({})", "np.abs({})", "1 / (1 + np.exp(-{}))", "({}).T",
             "({}).mean()", "({}).sum(-1, keepdims=True)", "({}).sum(0)", "({}).mean(0)", "np.roll({}, 1, -1)",
             "np.swapaxes({}, -1, -2)", "np.log({0} / (1 - {0}))")
FACTORS = ("{}", "(1 - {})", "(1 + {})", "(1 - {} ** 2)", "{} ** 2", "np.sqrt({})", "np.exp({})", "np.exp({} / 2)",
           "np.sign({})", "({} > 0)", "({}).sum(-1, keepdims=True)", "({}).T", "len({})", "({}).size",
           "({}).shape[-1]", "np.sqrt(({}).shape[-1])")
SHARES = ("{0} - {1} * ({0} * {1}).sum({2}, keepdims=True)", "{0} - {1} * ({0} * {1}).mean({2}, keepdims=True)",
          "{0} - {1} * ({0} * {1}).sum({2}, keepdims=True) / ({1} ** 2).sum({2}, keepdims=True)",
          "{0} - ({0} * {1}).sum({2}, keepdims=True)")
LENGTHS = "({}).shape[-1]", "len({})"
PRODUCTS = "({}).T @ {}", "{} @ {}", "{} @ ({}).T"
OPERATORS = ast.Add, ast.Sub, ast.Mult, ast.Div
LONGEST = 60  # letters of what is taken from elsewhere
COMPARISONS = ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq


def edits(function: ast.FunctionDef, known: list[str], others_of: dict[str, list[str]]
          ) -> Iterator[Iterator[tuple[ast.AST, ast.AST, int]]]:
    """Of each kind of edit, the slightest first: an iterator over (what stood in `function`, what does until the next
    is asked for, in how many places).

    known      names and attributes that may be meant in place of others, or be forgotten as factors
    others_of  {expression: what stands around it elsewhere}, as `surroundings` finds
    """
    unread = _unread(function)
    calls = list(dict.fromkeys(text for around in others_of.values() for text in around if text[-1] == ")"))

    def others(node):
        number = isinstance(node, ast.Constant) and not isinstance(node.value, bool | None | str)
        if number or isinstance(node, ast.Name | ast.Attribute):
            yield from map(_parsed, known)
            yield from (_parsed(form.format(name)) for form in LENGTHS for name in known if number)
        elif isinstance(node, ast.Subscript):
            yield from _strided(node, known)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            yield from _distributed(node, known)

    def as_elsewhere(node):
        yield from map(_parsed, others_of.get(ast.unparse(node), ()))
        if isinstance(node, ast.Call | ast.BinOp):
            yield from map(_parsed, calls)

    def calls_elsewhere(node):
        return map(_parsed, calls) if isinstance(node, ast.Name | ast.Call) else ()

    yield _slightly(function)
    yield _everywhere(function, others, 1)
    yield _everywhere(function, _of_it, 1)
    yield _everywhere(function, lambda node: _with_term(node, unread), 1, terms=True)
    yield _everywhere(function, as_elsewhere, 1)
    yield _everywhere(function, _slight, 2)
    yield _everywhere(function, others, 2)
    yield _everywhere(function, calls_elsewhere, 2, each_line=True)
    yield _everywhere(function, lambda node: _products(node, known), 1)
    paths = [f"{name} @ {weight}" for name, weight in itertools.product(known, known)
             if weight.startswith("self.") and not name.startswith("self.")]
    terms = [*known, *paths, *(f"{path}.T" for path in paths)]
    for k, form in enumerate(FACTORS):
        factors = [form.format(name) for name in known]
        yield _everywhere(function, lambda node, factors=factors: _with_factor(node, factors), 1, terms=True)
        if k == 1:
            yield _everywhere(function, lambda node: _with_term(node, terms), 1, terms=True)
            yield _everywhere(function, lambda node: _with_term(node, known, of_a_name=True), 1)
            yield _everywhere(function, lambda node: _without_share(node, known), 1, terms=True)


def surroundings(functions: Iterable[ast.FunctionDef]) -> dict[str, list[str]]:
    """{expression: what is made of it, in one or two steps, in any of the functions}."""
    found = defaultdict(dict)
    for outer in (node for function in functions for node in ast.walk(function)):
        if isinstance(outer, ast.BinOp | ast.Call | ast.UnaryOp) and len(ast.unparse(outer)) < LONGEST:
            for inner in ast.walk(outer):
                if isinstance(inner, ast.Name | ast.Attribute | ast.Subscript) and inner is not outer:
                    found[ast.unparse(inner)][ast.unparse(outer)] = None
    return {text: sorted(around, key=len) for text, around in found.items() if text not in MODULES}


def _slightly(function):
    yield from _everywhere(function, _slight, 1)
    yield from _statements(function)


def _everywhere(function, replaced, least, terms=False, each_line=False):
    """Edit one expression, or with least = 2 all those that read alike, in the function or in a line."""
    groups = defaultdict(list)
    for place in list(_terms(function) if terms else _places(function)):
        node = _get(place)
        groups[(ast.unparse(node), each_line and node.lineno) if least > 1 else len(groups)].append(place)
    for places in groups.values():
        node = _get(places[0])
        for other in replaced(node) if len(places) >= least else ():
            if ast.dump(other) != ast.dump(node):
                with _put(places, ast.fix_missing_locations(other)):
                    if not any(_constant(parent) for parent, _, _ in places):
                        yield node, other, len(places)


def _constant(node):
    """Whether it is x − x or x / x."""
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div) and (
        ast.dump(node.left) == ast.dump(node.right))


def _unread(function):
    """Products with names that the function sets and never reads, as of a path that was forgotten."""
    names = [node for node in ast.walk(function) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    local = list(dict.fromkeys(node.id for node in names if isinstance(node.ctx, ast.Store)))
    return [form.format(other, name) for name in local if name not in read and name != "_" for other in local
            for form in ("{} @ {}", "{} @ {}.T", "{} * {}")]


def _places(function):
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
    if (isinstance(node, ast.Name) and node.id in MODULES) or isinstance(node, ast.Slice | ast.Starred):
        return False
    if isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
        return isinstance(parent, ast.keyword) and node.value is None
    stored = isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)
    target = field == "value" and isinstance(getattr(parent, "ctx", None), ast.Store | ast.Del)
    return not (stored or target or (isinstance(parent, ast.Call) and field == "func") or
                isinstance(parent, ast.Expr))


def _terms(function):
    """The places of what may lack a factor or a term: values, arguments, and what is added up."""
    for place in _places(function):
        parent, _, _ = place
        inside = isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Mult | ast.Div | ast.MatMult)
        if not (inside or isinstance(_get(place), ast.Constant | ast.Tuple)
                or isinstance(parent, ast.keyword | ast.Subscript | ast.Tuple | ast.Attribute | ast.UnaryOp)):
            yield place


def _get(place):
    parent, field, index = place
    return getattr(parent, field) if index is None else getattr(parent, field)[index]


@contextmanager
def _put(places, node):
    kept = [_get(place) for place in places]
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


@contextmanager
def instead(parent, node, other):
    """Have `other` stand below that parent in place of `node`."""
    for field, value in ast.iter_fields(parent):
        values = value if isinstance(value, list) else [value]
        if any(each is node for each in values):
            index = next(k for k, each in enumerate(values) if each is node)
            with _put([(parent, field, index if isinstance(value, list) else None)], other):
                yield
            return


def _parsed(text):
    return ast.parse(text, mode="eval").body


def _text(node):
    bare = ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant | ast.Tuple | ast.List
    return ast.unparse(node) if isinstance(node, bare) else f"({ast.unparse(node)})"


def _slight(node):
    """Another operator, number, axis, function, bound or order of what stands there; or a part of it alone."""
    text = _text(node)
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif node.value is None:
            yield from map(_parsed, ("0", "1", "-1"))
        else:
            c = node.value
            yield from map(_parsed, map(str, (c + 1, c - 1, -c, 0, 1, 2, -1, -2, c * 2, c / 2, 0.5, None)))
            yield from [_parsed(str(1 / c))] if c else []
        return
    if isinstance(node, ast.BinOp):
        left, right = _text(node.left), _text(node.right)
        yield from (other for op in OPERATORS if isinstance(node.op, OPERATORS) and not _constant(
            other := ast.BinOp(node.left, op(), node.right)))
        if isinstance(node.op, OPERATORS) and left != right:
            yield from map(_parsed, (f"{right} / {left}", f"-{left} / {right}", f"-{right} / {left}"))
        yield from _regrouped(node)
        yield from _of_softmax(node)
        yield from (node.left, node.right, ast.BinOp(node.right, node.op, node.left))
        if isinstance(node.op, ast.MatMult):
            yield from map(_parsed, (f"{left}.T @ {right}", f"{left} @ {right}.T", f"{right}.T @ {left}",
                                     f"{left}.T @ {right}.T", f"{right} @ {left}.T"))
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Compare):
        yield from (ast.Compare(node.left, [op()], node.comparators) for op in COMPARISONS)
        yield _parsed(f"~({text})" if isinstance(node.ops[0], COMPARISONS) else "True")
        yield _parsed(f"np.abs({ast.unparse(node.left)}) {ast.unparse(node)[len(ast.unparse(node.left)):]}")
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value
    elif isinstance(node, ast.Subscript):
        yield node.value
        yield from _other_slices(node)
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        yield ast.Tuple(node.elts[::-1], ast.Load())
        yield from node.elts  # one axis of several
    if not isinstance(node, ast.Tuple):
        forms = "-{}", "{} / 2", "{} * 2", "{} ** 2", "{} * 3", "{} / 3"
        yield from (_parsed(form.format(text)) for form in forms)


def _regrouped(node):
    """(a + b) c for a + b c, f(a) + b for f(a + b), and the other way round."""
    for side, other in ((node.left, node.right), (node.right, node.left)):
        if isinstance(side, ast.BinOp) and isinstance(side.op, OPERATORS):
            yield ast.BinOp(ast.BinOp(side.left, node.op, other), side.op, side.right)
            yield ast.BinOp(side.left, side.op, ast.BinOp(side.right, node.op, other))
        if isinstance(side, ast.Call) and len(side.args) == 1:
            yield ast.Call(side.func, [ast.BinOp(side.args[0], node.op, other)], side.keywords)


def _distributed(node, known):
    """a b − c d for a (b − c): each term has a factor of its own."""
    names = list(map(_parsed, known))
    for one, other in ((node.left, node.right), (node.right, node.left)):
        negative = False
        while isinstance(one, ast.UnaryOp) or (isinstance(one, ast.BinOp) and isinstance(one.op, ast.Mult)):
            one, negative = (one.left, negative) if isinstance(one, ast.BinOp) else (one.operand, not negative)
        if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Add | ast.Sub):
            factors = itertools.chain(*(((name, other), (other, name)) for name in names),
                                      itertools.permutations(names, 2))
            for first, second in factors:
                terms = ast.BinOp(ast.BinOp(one.left, ast.Mult(), first), one.op,
                                  ast.BinOp(one.right, ast.Mult(), second))
                yield ast.UnaryOp(ast.USub(), terms) if negative else terms


def _products(node, known):
    """The sum over the batch of products, and the like, for another product."""
    name = getattr(node, "func", node)
    if isinstance(getattr(node, "op", None), ast.MatMult) or getattr(name, "attr", "") in (
            "outer", "dot", "matmul", "einsum", "tensordot"):
        yield from (_parsed(form.format(*pair)) for form in PRODUCTS for pair in itertools.permutations(known, 2))


def _of_softmax(node):
    """a − p Σ a for a (1 − p), the derivative of a softmax for that of a logistic function."""
    if isinstance(node.op, ast.Mult):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Sub) and ast.unparse(one.left) == "1":
                for axis in (-1, 0):
                    yield _parsed(f"{_text(other)} - {_text(one.right)} * {_text(other)}.sum({axis}, keepdims=True)")


def _other_calls(node):
    arguments = [*node.args]
    method = isinstance(node.func, ast.Attribute) and not (
        isinstance(node.func.value, ast.Name) and node.func.value.id in MODULES)
    if method:
        yield node.func.value
    elif len(arguments) and not isinstance(arguments[0], ast.Starred):
        yield arguments[0]
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    for pair in map(str.split, OTHERS):
        if name in pair:
            other = pair[1 - pair.index(name)]
            func = ast.Attribute(node.func.value, other, ast.Load()) if isinstance(node.func, ast.Attribute) else (
                ast.Name(other, ast.Load()))
            yield ast.Call(func, node.args, node.keywords)
    if len(arguments) == 1 and isinstance(arguments[0], ast.BinOp):
        inner = arguments[0]
        for one, other in ((inner.left, inner.right), (inner.right, inner.left)):
            yield ast.BinOp(ast.Call(node.func, [one], node.keywords), inner.op, other)
    for keyword in node.keywords:
        yield ast.Call(node.func, node.args, [each for each in node.keywords if each is not keyword])
    if name in ("sum", "mean", "max", "min", "var", "std", "cumsum", "softmax", "prod", "argmax"):
        has = {keyword.arg for keyword in node.keywords}
        if "axis" not in has and len(arguments) < (1 if method else 2):
            for axis in (0, 1, -1):
                along = [*node.keywords, ast.keyword("axis", _parsed(str(axis)))]
                yield ast.Call(node.func, node.args, along)
                yield ast.Call(node.func, node.args, [*along, ast.keyword("keepdims", ast.Constant(True))])
        for argument, value in (("keepdims", True), ("ddof", 1)):
            if argument not in has:
                yield ast.Call(node.func, node.args, [*node.keywords, ast.keyword(argument, ast.Constant(value))])
    if name == "tile" and len(arguments) == 2 and isinstance(arguments[1], ast.Tuple):
        yield _parsed(f"np.repeat({ast.unparse(arguments[0])}, {ast.unparse(arguments[1].elts[0])}, axis=0)")
    if name == "repeat" and len(arguments) == 2:
        yield from (_parsed(f"np.tile({ast.unparse(arguments[0])}, ({ast.unparse(arguments[1])}{', 1' * ones}))")
                    for ones in (1, 2, 3))
    if name == "cumsum":  # from the last on
        along = next((ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "axis"), "-1")
        what, *rest = [node.func.value, *arguments] if method else arguments
        turned = _parsed(f"np.flip({ast.unparse(what)}, {along})")
        sums = ast.Call(_parsed("np.cumsum"), [turned, *rest], node.keywords)
        yield _parsed(f"np.flip({ast.unparse(sums)}, {along})")
    if len(arguments) > 1:
        yield ast.Call(node.func, [arguments[1], arguments[0], *arguments[2:]], node.keywords)


def _other_slices(node):
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for k, part in enumerate(parts):
        others = []
        if isinstance(part, ast.Slice):
            low, high = part.lower, part.upper
            bounds = (high, low), (low, None), (None, high), (_parsed("1"), None), (None, _parsed("-1"))
            others = [ast.Slice(*pair, part.step) for pair in bounds]
            others += [ast.Slice(low, high, step) for step in (_parsed("-1"), None)]
            others += [ast.Slice(*(_parsed(f"{ast.unparse(each)} {by}") if each and at == k else each
                                   for k, each in enumerate((low, high))), part.step)
                       for at in (0, 1) for by in ("- 1", "+ 1")]
        elif isinstance(part, ast.Name):
            others = [*map(_parsed, (f"{part.id} - 1", f"{part.id} + 1", f"-1 - {part.id}"))]
            before = [*parts[:k], others[0], *parts[k + 1:]]  # of what there was nothing at first
            yield ast.BinOp(_indexed(node, before), ast.Mult(), _parsed(f"({part.id} > 0)"))
        for other in others:
            yield _indexed(node, [*parts[:k], other, *parts[k + 1:]])


def _strided(node, known):
    """x[k:k + (n − 1) s + 1:s] for x[k:k + n]: n places, s apart."""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for k, part in enumerate(parts):
        end = getattr(part, "upper", None)
        if isinstance(end, ast.BinOp) and part.lower and ast.dump(end.left) == ast.dump(part.lower):
            for step in known:
                last = _parsed(f"{ast.unparse(end.left)} + ({ast.unparse(end.right)} - 1) * {step} + 1")
                yield _indexed(node, [*parts[:k], ast.Slice(part.lower, last, _parsed(step)), *parts[k + 1:]])


def _indexed(node, parts):
    return ast.Subscript(node.value, ast.Tuple(parts, ast.Load()) if len(parts) > 1 else parts[0], node.ctx)


def _of_it(node):
    """A function of what stands there."""
    if not isinstance(node, ast.Constant | ast.Tuple):
        yield from (_parsed(each.format(_text(node))) for each in FUNCTIONS)


def _with_factor(node, factors):
    text = _text(node)
    for factor in factors:
        yield _parsed(f"{text} * {factor}")
        yield _parsed(f"{text} / {factor}")


def _with_term(node, terms, of_a_name=False):
    text = _text(node)
    for term in terms if of_a_name == (text in terms) else ():
        yield _parsed(f"({text} + {term})")
        yield _parsed(f"({text} - {term})")


def _without_share(node, known):
    """Less its mean, or its part along another array, as what comes back through a sum, a norm or a softmax."""
    text = _text(node)
    for axis in (-1, 0):
        yield _parsed(f"{text} - {text}.mean({axis}, keepdims=True)")
        for form, name in itertools.product(SHARES, known):
            yield _parsed(form.format(text, name, axis))


def _statements(function):
    """Another kind of assignment, a condition turned, or a statement left out."""
    for parent in list(ast.walk(function)):
        for field in ("body", "orelse"):
            block = getattr(parent, field, None)
            for index, node in enumerate(block if isinstance(block, list) else ()):
                for other in _other_statements(node):
                    with _put([(parent, field, index)], ast.fix_missing_locations(other)):
                        yield node, other, 1


def _other_statements(node):
    if isinstance(node, ast.AugAssign):
        for op in OPERATORS:
            if not isinstance(node.op, op):
                yield ast.AugAssign(node.target, op(), node.value)
        yield ast.Assign([node.target], node.value)
        if isinstance(node.target, ast.Subscript) and isinstance(node.op, ast.Add):
            index = ast.Subscript(_parsed("np.s_"), node.target.slice, ast.Load())
            yield ast.Expr(ast.Call(_parsed("np.add.at"), [node.target.value, index, node.value], []))
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and not isinstance(node.targets[0], ast.Tuple):
        yield ast.AugAssign(node.targets[0], ast.Add(), node.value)
    elif isinstance(node, ast.If):
        yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.If) or (
            isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)):
        yield ast.Pass()
