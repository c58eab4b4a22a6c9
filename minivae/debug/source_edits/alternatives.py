"""Alternatives to an expression or a statement: small changes of it that its author may have meant."""

import ast
import itertools

MODULES = {"np", "numpy", "math", "xp", "nn", "mv", "minivae", "self", "cls"}
OTHERS = ("sum mean", "max min", "max sum", "maximum minimum", "argmax argmin", "var std", "sin cos",
          "sinh cosh", "tile repeat", "triu tril", "log log1p", "log log2", "log log10", "exp expm1", "cumsum sum",
          "zeros_like ones_like", "floor ceil", "all any", "charge varying_beta")
FUNCTIONS = ("1 - {}", "1 + {}", "1 - {} ** 2", "1 / {}", "np.sqrt({})", "np.exp({})", "np.exp(-{})",
             "np.log({})", "np.tanh({})", "np.abs({})", "1 / (1 + np.exp(-{}))", "({}).T",
             "({}).mean()", "({}).sum(-1, keepdims=True)", "({}).sum(0)", "({}).mean(0)", "np.flip({}, -1)",
             "np.argsort({}, -1)", "np.roll({}, 1, -1)", "np.swapaxes({}, -1, -2)", "{0} + ({0}).T",
             "np.concatenate([np.zeros_like(({0})[:, :1]), ({0})[:, :-1]], axis=1)", "np.log({0} / (1 - {0}))")
FACTORS = ("(1 - {})", "(1 + {})", "(1 - {} ** 2)", "{} ** 2", "np.sqrt({})", "np.exp({})", "np.exp({} / 2)",
           "np.sign({})", "({} > 0)", "({}).sum(-1, keepdims=True)", "({}).T", "len({})", "({}).size",
           "({}).shape[-1]", "np.sqrt(({}).shape[-1])", "({})[0, 0].size")
SHARES = ("{0} - {1} * ({0} * {1}).sum({2}, keepdims=True)", "{0} - {1} * ({0} * {1}).mean({2}, keepdims=True)",
          "{0} - {1} * ({0} * {1}).sum({2}, keepdims=True) / ({1} ** 2).sum({2}, keepdims=True)",
          "{0} - ({0} * {1}).sum({2}, keepdims=True)", "{0} - {1} * ({0}).sum({2}, keepdims=True)")
OTHER_AXES = "0", "1", "2", "-1"  # of a call, so that those of like calls change together
MODES = "reflect", "symmetric", "edge", "wrap", "constant"  # of padding
LENGTHS = "({}).shape[-1]", "len({})"
PRODUCTS = "({}).T @ {}", "{} @ {}", "{} @ ({}).T"
FAMILIES = (ast.Add, ast.Sub), (ast.Mult, ast.Div)
OPERATORS = sum(FAMILIES, ())
COMPARISONS = ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq


def parsed(text):
    return ast.parse(text, mode="eval").body


def _text(node):
    bare = ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Constant | ast.Tuple | ast.List
    return ast.unparse(node) if isinstance(node, bare) else f"({ast.unparse(node)})"


def others(node, known, tuples=()):
    """Another of the names, or a number, that are known; one of the layer's tuples for another or for numbers."""
    if ast.unparse(node) in tuples or (isinstance(node, ast.Tuple) and node.elts and all(
            isinstance(each, ast.Constant) for each in node.elts)):
        yield from map(parsed, tuples)
        return
    number = is_length(node) or (isinstance(node, ast.Constant) and not isinstance(node.value, bool | None | str))
    if number or isinstance(node, ast.Name | ast.Attribute):
        yield from map(parsed, known)
        yield from (parsed(form.format(name)) for form in LENGTHS for name in known if number)
    elif isinstance(node, ast.Subscript):
        yield from _strided(node, known)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for one, other in ((node.left, node.right), (node.right, node.left)):
            if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Mult):  # a place, counted the other way
                for factor in (one.left, one.right):
                    yield from (parsed(f"{_text(other)} * {name} + {_text(factor)}") for name in known)


def named_before(node, known):
    """A name, or what divides by it, for what is computed anew."""
    if isinstance(node, ast.Call):
        yield from (parsed(form.format(name)) for name in known for form in ("{}", "1 / {}"))


def is_length(node):
    return ast.unparse(node).startswith("len(") or getattr(node, "attr", "") == "size" or (
        isinstance(node, ast.Subscript) and is_shape(node.value))


def sums_of_others(node, known):
    """A sum of another name, over the last axis or the batch."""
    if is_length(node) or isinstance(node, ast.Name | ast.Attribute | ast.Constant):
        yield from (parsed(form.format(name)) for name in known
                    for form in ("({}).sum(-1, keepdims=True)", "({}).sum(0)"))


def slight(node):
    """Another operator, number, axis, function, bound or order of what stands there; or a part of it alone."""
    text = _text(node)
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            yield from map(ast.Constant, _other_texts(node.value))
        elif isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif node.value is None:
            yield from map(parsed, ("0", "1", "-1"))
        else:
            c = node.value
            yield from map(parsed, map(str, (c + 1, c - 1, -c, 0, 1, 2, -1, -2, c * 2, c / 2, 0.5, None)))
            yield from map(parsed, map(str, (c * 10, c / 10)))
            yield from [parsed(str(1 / c))] if c else []
        return
    if isinstance(node, ast.BinOp):
        left, right = _text(node.left), _text(node.right)
        yield from (node.left, node.right)
        yield from (ast.BinOp(node.left, op(), node.right) for family in FAMILIES for op in family
                    if isinstance(node.op, family))
        if isinstance(node.op, ast.Sub):
            yield parsed(f"-{right}")
        if isinstance(node.op, ast.FloorDiv):
            yield parsed(f"-(-{left} // {right})")  # rounded up
        if isinstance(node.op, OPERATORS) and left != right and not isinstance(node.right, ast.Constant):
            yield from map(parsed, (f"{right} / {left}", f"-{left} / {right}", f"-{right} / {left}"))
        yield from _regrouped(node)
        yield from _of_softmax(node)
        yield ast.BinOp(node.right, node.op, node.left)
        if isinstance(node.op, ast.MatMult):
            yield from map(parsed, (f"{left}.T @ {right}", f"{left} @ {right}.T", f"{right}.T @ {left}",
                                     f"{left}.T @ {right}.T", f"{right} @ {left}.T"))
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
        if isinstance(node.operand, ast.Call) and len(node.operand.args) == 1:
            yield node.operand.args[0]
    elif isinstance(node, ast.Compare):
        yield from (ast.Compare(node.left, [op()], node.comparators) for op in COMPARISONS)
        yield parsed(f"~({text})" if isinstance(node.ops[0], COMPARISONS) else "True")
        yield parsed(f"np.abs({ast.unparse(node.left)}) {ast.unparse(node)[len(ast.unparse(node.left)):]}")
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
        yield from _laid_out(node)
    elif isinstance(node, ast.Attribute) and node.attr == "T":
        yield node.value
        yield from _laid_out(node)
    elif isinstance(node, ast.Attribute) and node.attr == "shape":  # one number for all of a row, or of a plane
        of = ast.unparse(node.value)
        yield from (parsed(f"{text}[:{k}] + (1,) * ({of}.ndim - {k})") for k in (1, 2))
    elif isinstance(node, ast.Subscript):
        yield node.value
        yield from _other_slices(node)
    elif isinstance(node, ast.BoolOp) and len(node.values) == 2:  # 0 is a number, and None is not
        one, other = map(_text, node.values)
        yield parsed(f"{other} if {one} is None else {one}")
        yield from node.values
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
        yield ast.IfExp(parsed("self.train"), node.body, node.orelse)
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) > 1:
        yield ast.Tuple(node.elts[::-1], ast.Load())
        yield from (ast.Tuple(other, ast.Load()) for other in _exchanged(node.elts))
        yield from node.elts  # one axis of several
        yield from (ast.Tuple([*node.elts[:k], *[ast.Constant(1)] * (len(node.elts) - k)], ast.Load())
                    for k in range(len(node.elts) - 1, 0, -1))
        yield from _other_axes(node)
    if not (isinstance(node, ast.Tuple) or is_shape(node)):
        forms = "({}).copy()", "-{}", "{} / 2", "{} * 2", "{} ** 2", "{} * 3", "{} / 3"
        yield from (parsed(form.format(text)) for form in forms)


def _other_texts(text):
    """Another kind of padding, or the subscripts of an einsum with two letters of one array exchanged."""
    if text in MODES:
        yield from (mode for mode in MODES if mode != text)
    letters = [(i, j) for i, j in itertools.combinations(range(len(text)), 2) if text[i:j + 1].isalpha()]
    for i, j in letters if "->" in text else ():
        yield text[:i] + text[j] + text[i + 1:j] + text[i] + text[j + 1:]


def _regrouped(node):
    """(a + b) c for a + b c, f(a) + b for f(a + b), and the other way round."""
    for side, other in ((node.left, node.right), (node.right, node.left)):
        if isinstance(side, ast.BinOp) and isinstance(side.op, OPERATORS):
            yield ast.BinOp(ast.BinOp(side.left, node.op, other), side.op, side.right)
            yield ast.BinOp(side.left, side.op, ast.BinOp(side.right, node.op, other))
        if isinstance(side, ast.Call) and len(side.args) == 1:
            yield ast.Call(side.func, [ast.BinOp(side.args[0], node.op, other)], side.keywords)
    if isinstance(node.op, ast.Add | ast.Sub):
        yield from (ast.BinOp(terms, op, factor) for terms, op, factor in _taken_out(node))


def _taken_out(node):
    """(The sum without a factor or divisor of one of its terms, * or /, that factor)."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        yield from ((ast.BinOp(left, node.op, node.right), op, factor) for left, op, factor in _taken_out(node.left))
        yield from ((ast.BinOp(node.left, node.op, right), op, factor) for right, op, factor in _taken_out(node.right))
    else:
        yield from _without_one(node)


def _without_one(product):
    """(The rest of a product, * or /, a factor or divisor)."""
    if isinstance(product, ast.BinOp) and isinstance(product.op, ast.Mult | ast.Div):
        yield product.left, product.op, product.right
        if isinstance(product.op, ast.Mult):
            yield product.right, product.op, product.left
        yield from ((ast.BinOp(rest, product.op, product.right), op, factor)
                    for rest, op, factor in _without_one(product.left))


def distributed(node, known):
    """a b − c d for a (b − c): each term has a factor of its own."""
    names, product = list(map(parsed, known)), isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult)
    for one, other in ((node.left, node.right), (node.right, node.left)) if product else ():
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
            if isinstance(one.op, ast.Sub):  # of shares that add up to 1, the gradient of a weighted loss
                yield parsed(f"{_text(one.left)} * ({_text(other)} * {_text(one.right)}).sum(-1, keepdims=True) - "
                             f"{_text(other)} * {_text(one.right)}")


def products(node, known):
    """The sum over the batch of products, and the like, for another product."""
    name = getattr(node, "func", node)
    if isinstance(getattr(node, "op", None), ast.MatMult | ast.Mult) or getattr(name, "attr", "") in (
            "outer", "dot", "matmul", "einsum", "tensordot"):
        yield from (parsed(form.format(*pair)) for form in PRODUCTS for pair in itertools.permutations(known, 2))


def _of_softmax(node):
    """a − p Σ a for a (1 − p), the derivative of a softmax for that of a logistic function."""
    factors = _factors(node)
    for k, factor in enumerate(factors if len(factors) > 1 else ()):
        if isinstance(factor, ast.BinOp) and isinstance(factor.op, ast.Sub) and ast.unparse(factor.left) == "1":
            others = " * ".join(map(_text, factors[:k] + factors[k + 1:]))
            for axis in (-1, 0):
                yield parsed(f"{others} - {_text(factor.right)} * ({others}).sum({axis}, keepdims=True)")


def _factors(node):
    """Of a product, in their order."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors(node.left), *_factors(node.right)]
    return [node]


def _other_calls(node):
    arguments = [*node.args]
    owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else "np"
    method = owner != "self.xp" and owner.split(".")[0] not in MODULES - {"self"}
    if method:
        yield node.func.value
    elif len(arguments) and not isinstance(arguments[0], ast.Starred):
        yield arguments[0]
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if name == "draw":  # a threshold may be none that is drawn
        yield from map(parsed, ("0.5", "0", "1"))
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
    alone = len(arguments) == 1 and not isinstance(arguments[0], ast.Starred)
    if alone and owner == "self":  # as where a window that looks ahead has to look back
        called, inner = ast.unparse(node.func), _text(arguments[0])
        yield from (parsed(f"{called}({inner}[{turned}])[{turned}]") for turned in (":, ::-1", "..., ::-1"))
    for keyword in node.keywords:
        yield ast.Call(node.func, node.args, [each for each in node.keywords if each is not keyword])
        axis = getattr(keyword.value, "value", None) if keyword.arg == "axis" else None
        for axes in [*map(parsed, OTHER_AXES), *_other_axes(keyword.value)] if axis is not None else ():
            yield ast.Call(node.func, node.args, [ast.keyword("axis", axes) if each is keyword else each
                                                  for each in node.keywords])
    if name in ("sum", "mean", "max", "min", "var", "std", "cumsum", "softmax", "prod", "argmax", "norm"):
        has = {keyword.arg for keyword in node.keywords}
        if "axis" not in has and len(arguments) < (1 if method else 2):
            for axis in (0, 1, -1):
                along = [*node.keywords, ast.keyword("axis", parsed(str(axis)))]
                yield ast.Call(node.func, node.args, along)
                yield ast.Call(node.func, node.args, [*along, ast.keyword("keepdims", ast.Constant(True))])
        for argument, value in (("keepdims", True), ("ddof", 1)):
            if argument not in has:
                yield ast.Call(node.func, node.args, [*node.keywords, ast.keyword(argument, ast.Constant(value))])
    if name == "transpose":
        yield from (ast.Call(node.func, other, node.keywords) for other in _exchanged(arguments))
    if name == "range":
        yield from (ast.Call(node.func, [*arguments[:k], parsed(f"{ast.unparse(each)} {by}"), *arguments[k + 1:]], [])
                    for k, each in enumerate(arguments) for by in ("+ 1", "- 1"))
    if name == "tile" and len(arguments) == 2 and isinstance(arguments[1], ast.Tuple):
        yield parsed(f"np.repeat({ast.unparse(arguments[0])}, {ast.unparse(arguments[1].elts[0])}, axis=0)")
    if name == "repeat" and len(arguments) == 2:
        yield from (parsed(f"np.tile({ast.unparse(arguments[0])}, ({ast.unparse(arguments[1])}{', 1' * ones}))")
                    for ones in (1, 2, 3))
    if name == "cumsum":  # from the last on
        along = next((ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "axis"), "-1")
        what, *rest = [node.func.value, *arguments] if method else arguments
        turned = parsed(f"np.flip({ast.unparse(what)}, {along})")
        sums = ast.Call(parsed("np.cumsum"), [turned, *rest], node.keywords)
        yield parsed(f"np.flip({ast.unparse(sums)}, {along})")
    for k in range(len(arguments) - 1 if name != "where" else 0):
        turned = [*arguments[:k], arguments[k + 1], arguments[k], *arguments[k + 2:]]
        yield ast.Call(node.func, turned, node.keywords)


def _laid_out(node):
    """x.reshape(b, a) for x.reshape(a, b).T, which has that shape and other places, and the other way round."""
    owner, order = getattr(node.func, "value", None) if isinstance(node, ast.Call) else node.value, None
    name = node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else "T"
    if name == "reshape":
        lengths = _lengths(node)
        for k in range(len(lengths) - 1):
            shape = ast.Tuple([*lengths[:k], lengths[k + 1], lengths[k], *lengths[k + 2:]], ast.Load())
            yield parsed(f"{_text(owner)}.reshape{ast.unparse(shape)}.swapaxes({k}, {k + 1})")
        return
    if not (isinstance(owner, ast.Call) and getattr(owner.func, "attr", "") == "reshape"):
        return
    lengths = _lengths(owner)
    order = list(range(len(lengths)))
    places = [getattr(each, "value", None) for each in getattr(node, "args", ())]
    if name == "T":
        order.reverse()
    elif name == "swapaxes" and len(places) == 2 and set(places) < set(order):
        one, other = places
        order[one], order[other] = other, one
    elif name == "transpose" and sorted(map(str, places)) == list(map(str, order)):
        order = places
    if order != sorted(order):
        shape = ast.Tuple([lengths[k] for k in order], ast.Load())
        yield parsed(f"{_text(owner.func.value)}.reshape{ast.unparse(shape)}")


def _lengths(node):
    """The lengths that a call of reshape asks for."""
    return node.args[0].elts if len(node.args) == 1 and isinstance(node.args[0], ast.Tuple) else node.args


def _exchanged(places):
    """The list with two of its numbers exchanged, as of an order of axes."""
    pairs = itertools.combinations(range(len(places)), 2)
    for i, j in sorted(pairs, key=lambda pair: pair[1] - pair[0]):  # neighbours first
        if all(isinstance(each, ast.Constant) for each in places):
            yield [places[{i: j, j: i}.get(k, k)] for k in range(len(places))]


def _other_axes(node):
    """One more axis, or one fewer."""
    axes = [getattr(each, "value", None) for each in getattr(node, "elts", [node])]
    if all(type(axis) is int and axis >= 0 for axis in axes):
        more = [sorted([*axes, axis]) for axis in range(5) if axis not in axes]
        fewer = [[other for other in axes if other != axis] for axis in axes if len(axes) > 2]
        yield from (parsed(str(tuple(each))) for each in more + fewer)


def _other_slices(node):
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for k, part in enumerate(parts):
        others = []
        if isinstance(part, ast.Slice):
            low, high = part.lower, part.upper
            bounds = [(high, low), (low, None), (None, high), (parsed("1"), None), (None, parsed("-1"))]
            if isinstance(high, ast.UnaryOp) and isinstance(high.op, ast.USub):  # what is cut off is at the other end
                bounds += [(high.operand, None)]
            elif low is not None and high is None:
                bounds += [(None, ast.UnaryOp(ast.USub(), low))]
            others = [ast.Slice(*pair, part.step) for pair in bounds]
            others += [ast.Slice(low, high, step) for step in (parsed("-1"), None)]
            others += [ast.Slice(*(parsed(f"{ast.unparse(each)} {by}") if each and at == k else each
                                   for k, each in enumerate((low, high))), part.step)
                       for at in (0, 1) for by in ("- 1", "+ 1")]
        elif isinstance(part, ast.Name):
            others = [*map(parsed, (f"{part.id} - 1", f"{part.id} + 1", f"-1 - {part.id}"))]
            before = [*parts[:k], others[0], *parts[k + 1:]]  # of what there was nothing at first
            yield ast.BinOp(_indexed(node, before), ast.Mult(), parsed(f"({part.id} > 0)"))
        for other in others:
            yield _indexed(node, [*parts[:k], other, *parts[k + 1:]])


def _strided(node, known):
    """x[k:k + (n − 1) s + 1:s] for x[k:k + n], n places that are s apart; or x[s k:s k + n], which begin there."""
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    for k, part in enumerate(parts):
        end = getattr(part, "upper", None)
        if isinstance(end, ast.BinOp) and part.lower and ast.dump(end.left) == ast.dump(part.lower):
            for step in known:
                last = parsed(f"{ast.unparse(end.left)} + ({ast.unparse(end.right)} - 1) * {step} + 1")
                yield _indexed(node, [*parts[:k], ast.Slice(part.lower, last, parsed(step)), *parts[k + 1:]])
                start = f"{step} * {_text(part.lower)}"
                apart = ast.Slice(parsed(start), parsed(f"{start} + {_text(end.right)}"), part.step)
                yield _indexed(node, [*parts[:k], apart, *parts[k + 1:]])


def _indexed(node, parts):
    return ast.Subscript(node.value, ast.Tuple(parts, ast.Load()) if len(parts) > 1 else parts[0], node.ctx)


def of_it(node):
    """A function of what stands there."""
    if not isinstance(node, ast.Constant | ast.Tuple):
        yield from (parsed(each.format(_text(node))) for each in FUNCTIONS)


def by_own(node, methods):
    """What a method of the class makes of it, or of the array before it was reshaped or transposed."""
    if not isinstance(node, ast.Constant | ast.Tuple):
        laid_out = getattr(getattr(node, "func", None), "attr", "") in ("reshape", "transpose")
        arrays = [node.func.value, node] if laid_out else [node]
        yield from (parsed(f"self.{name}({ast.unparse(each)})") for name in methods for each in arrays)


def moved_back(node, calls):
    """x.reshape(what transposed gave).transpose(back) for x.reshape(…)."""
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "reshape":
        for text in calls:
            moved = parsed(text)
            transposed = isinstance(moved, ast.Call) and getattr(moved.func, "attr", "") == "transpose"
            order = moved.args if transposed else ()
            places = [getattr(each, "value", None) for each in order]
            if places and sorted(map(str, places)) == [str(k) for k in range(len(places))]:
                back = ", ".join(str(places.index(k)) for k in range(len(places)))
                yield parsed(f"{_text(node.func.value)}.reshape({text}.shape).transpose({back})")


def other_operators(node):
    """A product for a sum, and the like."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, OPERATORS):
        yield from (ast.BinOp(node.left, op(), node.right) for op in OPERATORS)


def with_factor(node, factors):
    text = _text(node)
    for factor in factors:
        yield parsed(f"{text} * {factor}")
        yield parsed(f"{text} / {factor}")


def with_term(node, terms):
    if _text(node) not in terms:
        yield from _plus_or_minus(node, terms)


def name_with_term(node, names):
    if _text(node) in names:
        yield from _plus_or_minus(node, names)


def _plus_or_minus(node, terms):
    for term in terms:
        yield parsed(f"({_text(node)} + {term})")
        yield parsed(f"({_text(node)} - {term})")


def without_share(node, known):
    """Less its mean, or its part along another array, as what comes back through a sum, a norm or a softmax."""
    text = _text(node)
    for axis in (-1, 0):
        yield parsed(f"{text} - {text}.mean({axis}, keepdims=True)")
        for form, name in itertools.product(SHARES, known):
            yield parsed(form.format(text, name, axis))


def other_statements(node):
    if isinstance(node, ast.AugAssign):
        for op in OPERATORS:
            if not isinstance(node.op, op):
                yield ast.AugAssign(node.target, op(), node.value)
        yield ast.Assign([node.target], node.value)
        if isinstance(node.target, ast.Subscript) and isinstance(node.op, ast.Add):
            index = ast.Subscript(parsed("np.s_"), node.target.slice, ast.Load())
            yield ast.Expr(ast.Call(parsed("np.add.at"), [node.target.value, index, node.value], []))
    elif isinstance(node, ast.Assign) and len(node.targets) == 1 and not isinstance(node.targets[0], ast.Tuple):
        yield ast.AugAssign(node.targets[0], ast.Add(), node.value)
        target, value = node.targets[0], node.value
        parts = isinstance(target, ast.Subscript) and isinstance(value, ast.Subscript)
        if parts and ast.dump(target.slice) == ast.dump(value.slice):  # all, where a part is copied
            yield ast.Assign([ast.Subscript(target.value, ast.Constant(...), target.ctx)], value.value)
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        for each in ast.walk(node.targets[0]):  # what is unpacked, in another order
            names = getattr(each, "elts", ())
            for i, j in itertools.combinations(range(len(names) if each is not node.targets[0] or not isinstance(
                    node.value, ast.Tuple) else 0), 2):
                turned = ast.Tuple([names[{i: j, j: i}.get(k, k)] for k in range(len(names))], ast.Store())
                yield ast.Assign([turned if each is node.targets[0] else _with(node.targets[0], each, turned)],
                                 node.value)
    elif isinstance(node, ast.If):
        yield from (ast.If(test, node.body, node.orelse) for test in (
            ast.UnaryOp(ast.Not(), node.test), parsed("self.train"), parsed("not self.train")))
    if isinstance(node, ast.Assign | ast.AugAssign | ast.If) or (
            isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)):
        yield ast.Pass()


def _with(target, old, new):
    """A tuple of targets with another in the place of one."""
    return ast.Tuple([new if each is old else each for each in target.elts], ast.Store())


def sliced(node, slices):
    """What stands there, indexed as another array is elsewhere."""
    if isinstance(node, ast.Name | ast.Attribute | ast.Call):
        yield from (parsed(f"{_text(node)}[{each}]") for each in slices)


def in_training(node, instead):
    """Something else in evaluation mode."""
    for text in instead if not isinstance(node, ast.Constant) else ():
        yield parsed(f"{_text(node)} if self.train else {text}")
        yield parsed(f"{text} if self.train else {_text(node)}")


def under(node, conditions):
    """Only where a condition holds that stands elsewhere, or where it does not."""
    for condition in conditions:
        yield parsed(f"np.where({condition}, {ast.unparse(node)}, 0)")
        yield parsed(f"np.where({condition}, 0, {ast.unparse(node)})")


def is_shape(node):
    """Whether it is a tuple of lengths, which repeated would be those of an array that fills all memory."""
    return ast.unparse(node).endswith("shape")


def is_idle(node):
    """Whether it is x − x, x / x, x⁰, 1 x, x / 1, or x with 0 added."""
    if not isinstance(node, ast.BinOp):
        return False
    if isinstance(node.op, ast.Pow):
        return getattr(node.right, "value", None) in (0, 1)
    if isinstance(node.op, ast.Sub | ast.Div) and ast.dump(node.left) == ast.dump(node.right):
        return True
    neutral = 0 if isinstance(node.op, ast.Add | ast.Sub) else 1 if isinstance(node.op, ast.Mult | ast.Div) else None
    sides = (node.right,) if isinstance(node.op, ast.Div) else (node.left, node.right)
    return neutral is not None and any(isinstance(side, ast.Constant) and side.value == neutral for side in sides)
