"""The tree of modules: the verbs that change it, what stays in step, and every other door to it."""

import operator

import numpy as np
import pytest
from rounding import same, terms

import minivae as mv
from minivae import nn
from minivae.errors import DTypeError, MinivaeError, ShapeError
from minivae.nn.in_place import InPlace
from minivae.optim import adam, sgd

X = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)


def chain():
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


def paths(model):
    return [(path, module.path, type(module).__name__) for path, module in model.named_modules()]


def expect_learns(model, x=X):
    """Every parameter is in the vector, and one step of gradient descent along it is w − rate · gradient, for each."""
    flat, grad = model.get_parameters()
    before, wanted = model.state_dict(), {}

    def feval(_):
        model.zero_grad_parameters()
        output = model.forward(x)
        model.backward(x, np.ones_like(output), need_grad_input=False)
        wanted.update({path: before[path] - 0.1 * each for path, _, each in model.named_parameters()})
        return 0.0, grad

    sgd(feval, flat, {"learning_rate": 0.1})
    assert flat.size == sum(array.size for array in model.parameters()[0])
    assert wanted.keys() == model.state_dict().keys()
    for path, array in model.state_dict().items():
        np.testing.assert_allclose(array, wanted[path], rtol=1e-6, atol=1e-7, err_msg=path)
        assert not np.array_equal(array, before[path]), f"{path} did not move"


# -- the verbs ----------------------------------------------------------------------------------------


def test_insert_counts_the_later_ones_anew():
    model = chain()
    model.get_parameters()
    assert model.insert(nn.Tanh(), 1) is model
    assert paths(model)[1:] == [("0", "0", "Linear"), ("1", "1", "Tanh"), ("2", "2", "Linear")]
    assert model.size() == len(model) == 3 and model.get(2) is model.get(-1) is model[2] is model.modules[-1]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    expect_learns(model.insert(nn.Linear(2, 2), 3).insert(nn.Linear(3, 3), 0))
    assert mv.gradcheck(model, X).ok


def test_names_that_were_given_stay():
    model = mv.models.vae(image=(1, 3, 3), hidden=4)
    kl, decoder = model.kl, model.decoder
    model.insert(nn.Identity(), 1).insert(nn.Identity(), 0, "first")
    assert model.names == ("first", "encoder", "2", "kl", "sampler", "decoder")
    assert model.kl is kl and model.decoder is decoder and model.get("decoder").path == "decoder"
    assert model.decoder[0].path == "decoder.0"


def test_remove_gives_the_module_back():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Linear(3, 4)), nn.Linear(4, 2))
    model.get_parameters()
    inner = model.remove(1)
    assert paths(inner) == [("", "", "Sequential"), ("0", "0", "Linear")] and model[1].path == "1"
    assert model.remove().n_out == 2 and len(model) == 1
    expect_learns(model)
    expect_learns(inner)
    expect_learns(model.add(inner))
    assert inner[0].path == "1.0"


@pytest.mark.parametrize("mistake, message", [
    (lambda m: m.insert(1, nn.Tanh()), r"insert\(module, number\) takes a number from 0 to 2"),
    (lambda m: m.insert(nn.Tanh(), 3), "number from 0 to 2, got 3"),
    (lambda m: m.insert(nn.Tanh, 1), r"write Tanh\(\), not Tanh"),
    (lambda m: m.insert(m[0], 1), "is in it already"),
    (lambda m: m.insert(nn.Sequential(m), 1), "is in it already"),
    (lambda m: m.add(nn.Tanh(), "1"), "the name '1' is taken"),
    (lambda m: m.add(nn.Tanh(), "a.b"), "has a dot"),
    (lambda m: m.remove(2), "there is no module 2; it has 0, 1"),
    (lambda m: m.get("encoder"), "there is no module 'encoder'; it has 0, 1"),
    *((lambda m, get=get, which=which: get(m, which), "there is no module .*; it has 0, 1")
      for which in (2, -3, 1.5, "x", None, [1], np.zeros(2)) for get in (
          nn.Sequential.get, nn.Sequential.remove, operator.getitem, lambda m, which: m.modules[which],
          lambda m, which: m.modules.__setitem__(which, nn.Tanh()), lambda m, which: m.modules.__delitem__(which))),
    (lambda m: m.insert(nn.Tanh(), np.zeros(2)), r"number from 0 to 2, got array\(\[0., 0.\]\)"),
    *((lambda m, which=which: m.modules.insert(which, nn.Tanh()), "number from 0 to 2, got")
      for which in (1.5, None, np.zeros(2))),
    (lambda m: m.replace(5), r"replace\(function=5\): function is a function"),
    (lambda m: nn.Sequential().replace(5), r"replace\(function=5\): function is a function"),
    *((lambda m, of=of: m.find_modules(of), "find_modules takes a class, such as nn.Linear, got an instance of ")
      for of in ("Linear", nn.Tanh(), None)),
    (lambda m: setattr(m, "modules", 5), r"\(modules=5\): modules are modules in a list; write \(5,\) for one alone"),
    (lambda m: m.modules.__setitem__(slice(0, 1), nn.Tanh()), r"write \(nn.Tanh,\) for one alone"),
    (lambda m: m.apply(5), r"apply\(function=5\): function is a function"),
    (lambda m: nn.Sequential().remove(), "it has none"),
    (lambda m: m.replace(lambda each: None), "expected a module, got None"),
    (lambda m: m.replace(lambda each: m[0]), "is in it already")])
def test_a_wrong_call_says_what_to_do_and_changes_nothing(mistake, message):
    model = chain()
    before = model.names, list(model.modules)
    with pytest.raises(MinivaeError, match=message):
        mistake(model)
    assert (model.names, list(model.modules)) == before


def test_a_container_is_a_sequence_for_python():
    model = chain()
    assert [*model] == [*model.modules] == [model[0], model[-1]] and [*reversed(model)] == [model[1], model[0]]
    assert model[np.int64(1)] is model[1] is model["1"] and model[:1] == (model[0],)
    with pytest.raises(IndexError):
        model.modules.pop(7)
    with pytest.raises(IndexError):
        model[2]


def test_replace_reaches_the_whole_tree():
    model = mv.models.conv_vae(image=(8, 8), planes=(2, 4), batch_normalization=True)
    before = {path: type(module) for path, module in model.named_modules()}
    made = model.replace(lambda m: nn.Tanh() if isinstance(m, nn.ReLU) else m)
    assert made is model and len(model.find_modules(nn.Tanh)) == 4
    after = {path: type(module) for path, module in model.named_modules()}
    assert after == {path: nn.Tanh if cls is nn.ReLU else cls for path, cls in before.items()}
    wrapped = chain().replace(lambda m: nn.Sequential(m, nn.Tanh()) if isinstance(m, nn.Linear) else m)
    assert list(wrapped.state_dict()) == ["0.0.weight", "0.0.bias", "1.0.weight", "1.0.bias"]
    expect_learns(wrapped)
    assert isinstance(nn.Linear(2, 2).replace(lambda m: nn.Identity()), nn.Identity)


def test_list_modules_goes_depth_first_over_nested_tables():
    a, b, c, d, e = (nn.Linear(2, 2) for _ in range(5))
    inner = nn.ParallelTable(b, nn.Identity())
    table = nn.ConcatTable(a, c)
    model = nn.Sequential(nn.ConcatTable(d, nn.Sequential(e)), inner, nn.ParallelTable(table, nn.Identity()))
    wanted = [model, model[0], d, model[0][1], e, inner, b, inner[1], model[2], table, a, c, model[2][1]]
    assert [id(each) for each in model.list_modules()] == [id(each) for each in wanted]
    assert [path for path, _ in model.named_modules()] == [
        "", "0", "0.0", "0.1", "0.1.0", "1", "1.0", "1.1", "2", "2.0", "2.0.0", "2.0.1", "2.1"]


# -- every other door ---------------------------------------------------------------------------------

LISTS = {
    "insert": lambda m: m.insert(1, nn.Linear(2, 2)), "append": lambda m: m.append(nn.Linear(2, 2)),
    "extend": lambda m: m.extend([nn.Linear(2, 2), nn.Tanh()]), "pop": lambda m: m.pop(),
    "pop first": lambda m: m.pop(0),
    "remove": lambda m: m.remove(m[0]), "clear": lambda m: m.clear(), "reverse": lambda m: m.reverse(),
    "set": lambda m: m.__setitem__(0, nn.Linear(2, 2)), "set last": lambda m: m.__setitem__(-1, nn.Linear(2, 2)),
    "delete": lambda m: m.__delitem__(-2), "insert far": lambda m: m.insert(99, nn.Tanh()),
    "insert before last": lambda m: m.insert(-1, nn.Linear(2, 2)),
    "delete several": lambda m: m.__delitem__(slice(0, 2)),
    "delete every other": lambda m: m.__delitem__(slice(2, None, -2)),
    "set several": lambda m: m.__setitem__(slice(1, None), [nn.Tanh(), nn.Linear(2, 2), nn.Tanh()]),
    "exchange": lambda m: m.__setitem__(slice(0, 2), m[1::-1])}


@pytest.mark.parametrize("change", LISTS.values(), ids=LISTS.keys())
@pytest.mark.parametrize("make", [nn.Sequential, nn.ConcatTable])
@pytest.mark.parametrize("assigned", [False, True])
def test_a_change_of_the_list_of_modules_is_the_containers_own(change, make, assigned):
    """What a list of the same modules would hold, with names, paths and parameters in step."""
    model = make(nn.Linear(2, 2), nn.Tanh(), nn.Linear(2, 2))
    model.get_parameters()
    plain, x = list(model.modules), X[:, :2].copy()
    if assigned:
        change(plain)
        model.modules = plain
    else:
        change(model.modules)
        made = list(model.modules)
        change(plain)
        assert [type(each) for each in made] == [type(each) for each in plain]
        assert all(a is b for a, b in zip(made, plain) if a in model.modules and b in made)
    assert paths(model)[1:] == [(str(k), str(k), type(each).__name__) for k, each in enumerate(model.modules)]
    linears = [k for k, each in enumerate(model.modules) if isinstance(each, nn.Linear)]
    assert list(model.state_dict()) == [f"{k}.{name}" for k in linears for name in ("weight", "bias")]
    assert model.get_parameters()[0].size == 6 * len(linears)
    if make is nn.Sequential:
        expect_learns(model, x)
    model.forward(x)


@pytest.mark.parametrize("change", [
    lambda m: m.append(nn.Tanh), lambda m: m.append(m[0]), lambda m: m.__setitem__(0, m[1]),
    lambda m: m.insert(0, "x"), lambda m: m.__setitem__(0, None)])
def test_a_wrong_change_of_the_list_is_refused_at_once(change):
    model = chain()
    before = paths(model), list(model.modules)
    with pytest.raises(MinivaeError, match=r"is in it already|got (<class.*; write Tanh\(\), not Tanh|'x'|None)$"):
        change(model.modules)
    assert (paths(model), list(model.modules)) == before


def test_the_name_of_a_part_stays_when_it_is_exchanged():
    model = mv.models.vae(image=(1, 3, 3), hidden=4)
    model.modules[0] = mv.models.vae(image=(1, 3, 3), hidden=5).encoder.clone()
    assert model.names == ("encoder", "kl", "sampler", "decoder") and model.encoder[3].n_out == 5
    model.modules = [nn.Identity(), *model.modules]
    assert model.names == ("0", "encoder", "kl", "sampler", "decoder")
    model.modules[3:] = [*model.modules[:2:-1], nn.Identity()]
    assert model.names == ("0", "encoder", "kl", "decoder", "sampler", "5")
    del model.modules[::2]
    assert model.names == ("encoder", "decoder", "2")


def test_names_cannot_be_changed_behind_the_containers_back():
    with pytest.raises(MinivaeError, match=r"named when it comes in: add\(module, name\)"):
        chain().names = ["a", "b"]
    with pytest.raises((TypeError, AttributeError)):
        chain().names[0] = "a"


def other_weight(m):
    m[0].weight = np.ones_like(m[0].weight)


def new_parameters(m):
    m[0].new_parameter("weight", (4, 3))
    m[0].reset()


def rebound_gradient(m):
    m[0].grad_weight = m[0].grad_weight + 1


def no_bias(m):
    m[0].no_bias()


def bias_restored(m):
    m[0].no_bias().new_parameter("bias", (4,))


def taken_along(m):
    nn.Sequential(m[0]).add(nn.Linear(4, 7)).get_parameters()


def converted_part(m):
    m[0].float()


def shared(m):
    m[0].share(nn.Linear(3, 4), "weight", "bias")


CHANGES = {
    "weight = array": other_weight, "parameters anew": new_parameters, "gradient anew": rebound_gradient,
    "layer added": lambda m: m.add(nn.Linear(2, 2)), "layer inserted": lambda m: m.insert(nn.Linear(3, 3), 0),
    "layer removed": lambda m: m.remove(), "first removed": lambda m: m.remove(0) and m.insert(nn.Linear(3, 4), 0),
    "layer inside added": lambda m: m.insert(nn.Sequential(), 1).get(1).add(nn.Linear(4, 4)),
    "replaced": lambda m: m.replace(lambda each: nn.Linear(3, 4) if each is m[0] else each),
    "no bias": no_bias, "bias restored": bias_restored, "another model takes a layer": taken_along,
    "a part is converted": converted_part, "shared": shared}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("step", [adam, sgd])
@pytest.mark.parametrize("trained", [False, True])
def test_a_change_after_get_parameters_is_right_or_says_what_to_do(change, step, trained):
    """The vector from before is refused in the first step after the change, before anything moves; a new one is right.
    """
    model = chain()
    flat, grad = model.get_parameters()

    def feval(_):
        model.zero_grad_parameters()
        model.backward(X, np.ones_like(model.forward(X)), need_grad_input=False)
        return 0.0, grad

    if trained:
        step(feval, flat, {})
    change(model)
    before = model.state_dict()
    with pytest.raises(MinivaeError, match=r"no longer the model's.*call get_parameters\(\) again"):
        step(feval, flat, {})
    assert all(np.array_equal(array, before[path]) for path, array in model.state_dict().items())
    expect_learns(model)


@pytest.mark.parametrize("spoil, error, message", [
    (lambda m: setattr(m[0], "weight", m[0].weight.astype(np.float64)), DTypeError, "0.weight is .* dtype float64"),
    (lambda m: setattr(m[0], "weight", m[0].weight.tolist()), DTypeError, "0.weight is a list of 4"),
    (lambda m: setattr(m[0], "weight", m[0].weight[:2].copy()), ShapeError, r"0.weight has shape \(2, 3\) and its"),
    (lambda m: setattr(m[0], "grad_weight", None), DTypeError, "the gradient of 0.weight is None"),
    (lambda m: setattr(m[0], "bias", m[1].bias), ShapeError, r"0.bias has shape \(2,\) and its gradient \(4,\)")])
@pytest.mark.parametrize("verb", [lambda m: m.forward(X), lambda m: m.get_parameters(),
                                  lambda m: m.zero_grad_parameters(), lambda m: m.parameters()])
def test_a_parameter_of_another_kind_is_refused(spoil, error, message, verb):
    model = chain()
    model.forward(X)
    spoil(model)
    with pytest.raises(error, match=message):
        verb(model)


def test_one_module_in_two_places_is_refused_however_it_was_built():
    layer, left, right = nn.Linear(3, 3), nn.Sequential(), nn.Sequential()
    model = nn.ConcatTable(left, right)
    left.add(layer)
    model.forward(X)
    right.add(layer)
    for verb in (lambda: model.forward(X), model.get_parameters, model.zero_grad_parameters, model.parameters):
        with pytest.raises(MinivaeError, match=r"Linear is in this model twice, as 0\.0 and 1\.0.*clone\(share="):
            verb()
    right.remove()
    right.add(layer.clone(share=("weight", "bias")))
    assert mv.gradcheck(model, X).ok and model.get_parameters()[0].size == 12
    loop = nn.Sequential(nn.Sequential())
    with pytest.raises(MinivaeError, match="is in it already"):
        loop[0].add(loop)


def test_the_tree_is_looked_at_once():
    model = nn.Sequential(nn.Linear(3, 4), nn.ConcatTable(nn.Linear(4, 2), nn.Sequential(nn.ReLU(inplace=True))))
    model.forward(X)
    seen = model.inventory()
    model.zero_grad_parameters()
    model.get_parameters()
    after = model.inventory()
    for _ in range(3):
        model.zero_grad_parameters()
        output = model.forward(X)
        model.backward(X, output)
        model.double().float()
        model.get_parameters()
        assert model.inventory() is not seen
        after = model.inventory()
        model.forward(X)
        model.evaluate().training()
        assert model.inventory() is after


# -- inplace ------------------------------------------------------------------------------------------


def overwritten(model, x=X):
    """The layers whose output their inplace follower has overwritten."""
    model.forward(x)
    return [a.path for a in model.list_modules() for b in model.list_modules()
            if a is not b and isinstance(b, InPlace) and b.output is a.output and not isinstance(a, nn.Container)]


def test_inplace_saves_a_buffer_where_it_may():
    relu = nn.ReLU(inplace=True)
    assert overwritten(nn.Sequential(nn.Linear(3, 4), relu)) == ["0"] and "output" not in relu.buffers
    inner = nn.Sequential()
    outer = nn.Sequential(nn.Sequential(nn.Linear(3, 4)), inner)
    assert overwritten(outer) == []
    inner.add(nn.ReLU(inplace=True))
    assert overwritten(outer) == ["0.0"]
    inner.insert(nn.Tanh(), 0)
    assert overwritten(outer) == []
    inner.remove(0)
    assert overwritten(outer) == ["0.0"]


class Halved(nn.Linear):
    """A Linear whose derivative is read off its output: what its base class says of the output holds no longer."""

    def update_grad_input(self, input, grad_output):
        self.output.sum()
        return super().update_grad_input(input, grad_output)


class Renamed(nn.Linear):
    """A Linear with no verb of its own."""


class Residual(nn.Sequential):
    """x + f(x): not a chain, although its class is one's."""

    def update_output(self, input):
        self.output = input + super().update_output(input)
        return self.output

    def update_grad_input(self, input, grad_output):
        return grad_output + super().update_grad_input(input, grad_output)

    def backward(self, input, grad_output, scale=1, need_grad_input=True):
        self.grad_input = grad_output + super().backward(input, grad_output, scale)
        return self.grad_input


@pytest.mark.parametrize("build, wanted", [
    (lambda r: [r], []), (lambda r: [nn.Linear(3, 3), nn.Identity(), r], []), (lambda r: [nn.Linear(3, 3), r], ["0"]),
    (lambda r: [nn.Linear(3, 3), nn.Sigmoid(), r], []), (lambda r: [nn.Linear(3, 3), nn.ConcatTable(r)], []),
    (lambda r: [nn.Linear(3, 3), nn.ConcatTable(nn.Identity(), r)], []), (lambda r: [Halved(3, 3), r], []),
    (lambda r: [nn.Linear(3, 3), nn.ConcatTable(r, nn.Identity())], []), (lambda r: [Renamed(3, 3), r], ["0"]),
    (lambda r: [nn.Linear(3, 3), Residual(r)], []), (lambda r: [nn.Linear(3, 3), nn.Sequential(), r], []),
    (lambda r: [nn.Linear(3, 3), Residual(nn.Linear(3, 3)), r], []),
    (lambda r: [nn.Linear(3, 3), nn.Sequential(nn.Sequential(r))], ["0"]),
    (lambda r: [nn.Linear(3, 3), nn.View(3, 1), r], []), (lambda r: [nn.BernoulliSampler(), r], ["0"]),
    (lambda r: [nn.Linear(3, 3), nn.ReLU(inplace=True), r], ["0"])])
@pytest.mark.parametrize("make", [nn.ReLU, nn.Sigmoid])
@pytest.mark.parametrize("parent_first", [False, True])
def test_inplace_never_changes_a_number(build, wanted, make, parent_first):
    modules = build(make(inplace=True))
    model = nn.Sequential() if parent_first else nn.Sequential(*modules)
    whole = nn.Sequential(model)
    for module in modules if parent_first else ():
        model.add(module)
    plain = whole.clone()
    for module in plain.find_modules(InPlace):
        module.inplace = False
    runs = []
    for each in (whole, plain):
        x = X.copy()
        with mv.backend.seeded(0):
            output = each.forward(x)
        grad_output = tuple(map(np.ones_like, output)) if isinstance(output, tuple) else np.cos(output)
        kept = output if isinstance(output, tuple) else (output.copy(),)
        grad = each.backward(x, grad_output).copy()
        runs.append((*map(np.array, kept), grad, *map(np.array, each.parameters()[1])))
        assert np.array_equal(x, X), "the caller's array was overwritten"
    assert same(*runs, terms(plain, len(X)))
    assert overwritten(whole) == ["0." + path for path in wanted]


def test_a_part_run_by_itself_leaves_the_callers_array():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU(inplace=True), nn.Linear(3, 3)))
    model.forward(X)
    x = X.copy()
    model[1].forward(x)
    model[1][0].forward(x)
    assert np.array_equal(x, X)
    assert overwritten(model) == ["0"]


# -- what containers hand on --------------------------------------------------------------------------


class Bare(nn.Module):
    """y = w x, with verbs that only return: neither output nor grad_input is set."""

    parameter_names = ("weight",)

    def __init__(self):
        super().__init__()
        self.new_parameter("weight", (1,))
        self.weight.fill(3)

    def update_output(self, input):
        return self.weight * input

    def update_grad_input(self, input, grad_output):
        return self.weight * grad_output

    def acc_grad_parameters(self, input, grad_output, scale=1):
        self.grad_weight += scale * (input * grad_output).sum()


@pytest.mark.parametrize("build", [
    lambda a, b, c: nn.Sequential(a, b, c), lambda a, b, c: nn.Sequential(a, nn.Sequential(b, c)),
    lambda a, b, c: nn.Sequential(nn.ConcatTable(nn.Sequential(a, b), c)),
    lambda a, b, c: nn.Sequential(nn.ConcatTable(a, b), nn.ParallelTable(nn.Sequential(c), nn.Identity()))])
def test_separate_verbs_equal_backward_though_layers_keep_nothing(build):
    """Twice, with another gradient, so that what was left from the first time would show."""
    model = build(Bare(), Bare(), Bare())
    x = np.full((1, 1), 2, np.float32)
    output = model.forward(x)
    for g in (1, 10):
        grad_output = tuple(g * np.ones_like(y) for y in output) if isinstance(output, tuple) else g * np.ones_like(x)
        model.zero_grad_parameters()
        together = np.array(model.backward(x, grad_output))
        wanted = [np.array(grad) for grad in model.parameters()[1]]
        model.zero_grad_parameters()
        assert np.array_equal(model.update_grad_input(x, grad_output), together)
        model.acc_grad_parameters(x, grad_output)
        assert all(map(np.array_equal, model.parameters()[1], wanted))
    assert mv.gradcheck(model, x).ok


def test_concat_table_takes_nested_tables_and_others_in_the_next_call():
    table = nn.ConcatTable(nn.Identity(), nn.Identity(), nn.Identity())
    a, b, c = (np.full((n, 2), n, np.float32) for n in (1, 2, 3))
    for x in ((a, (b, c)), (c, (a, b)), ((a, b), c, a), a, (a,), ((a, (b, (c, a))), b), (a, (b, c))):
        y = table.forward(x)
        assert y == (x, x, x)
        grad = table.backward(x, (x, x, x))
        assert _same(grad, _times(3, x))
        assert _same(table.update_grad_input(x, (x, x, x)), _times(3, x))


def _times(factor, x):
    return tuple(_times(factor, each) for each in x) if isinstance(x, tuple) else factor * x


def _same(a, b):
    if isinstance(b, tuple):
        return isinstance(a, tuple) and len(a) == len(b) and all(map(_same, a, b))
    return np.array_equal(a, b)


def test_empty_containers():
    model = nn.Sequential()
    assert model.forward(X) is X and model.backward(X, X) is X
    assert nn.ConcatTable().forward(X) == nn.ParallelTable().forward(()) == ()
    for each in (model, nn.ConcatTable(), nn.ParallelTable()):
        assert each.get_parameters()[0].size == 0 and repr(each)


def test_channels_last_is_refused():
    model = mv.models.conv_vae(image=(3, 8, 8), planes=(2, 4))
    x = np.random.default_rng(0).random((5, 3, 8, 8), dtype=np.float32)
    assert model.reconstruct(x).shape == x.shape
    assert same(model.reconstruct(x.reshape(5, -1)), model.reconstruct(x), terms(model, 5))
    for verb in (model.reconstruct, model.encode, model.forward):
        with pytest.raises(ShapeError, match=r"has shape \(5, 8, 8, 3\), expected \(N, 3, 8, 8\).*channels first"):
            verb(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))


@pytest.mark.parametrize("sizes, shape, right", [
    ((3, 8, 8), (192,), True), ((192,), (3, 8, 8), True), ((192,), (8, 8, 3), True), ((3, 8, 8), (3, 8, 8), True),
    ((1, 8, 8), (8, 8), True), ((8, 8), (1, 8, 8), True), ((8, 8, 1), (1, 8, 8), True), ((1, 64), (64, 1), True),
    ((3, 8, 8), (8, 8, 3), False), ((3, 8, 8), (8, 3, 8), False), ((3, 64), (3, 8, 8), False),
    ((2, 3), (3, 2), False), ((4, 4), (2, 8), False), ((24, 8), (3, 8, 8), False), ((3, 8, 8), (1, 3, 64), False)])
def test_view_orders_nothing_anew(sizes, shape, right):
    x = np.arange(2 * np.prod(shape), dtype=np.float32).reshape(2, *shape)
    if right:
        assert np.array_equal(nn.View(*sizes).forward(x), x.reshape(2, *sizes))
    else:
        with pytest.raises(ShapeError, match="a View orders nothing anew"):
            nn.View(*sizes).forward(x)


class Spoiled(nn.Linear):
    """A Linear whose methods end in `spoil`."""

    def update_output(self, input):
        return self.spoil("output", super().update_output(input))

    def update_grad_input(self, input, grad_output):
        return self.spoil("grad_input", super().update_grad_input(input, grad_output))


@pytest.mark.parametrize(("spoil", "kind", "message"), [
    (lambda what, y: None if what == "grad_input" else y, DTypeError, "grad_input of 1 is None.*without return"),
    (lambda what, y: y.tolist() if what == "grad_input" else y, DTypeError, "grad_input of 1 is a list of 3"),
    (lambda what, y: y[:1] if what == "grad_input" else y, ShapeError, r"grad_input of 1 has shape \(1, 4\), expected"),
    (lambda what, y: None if what == "output" else y, ShapeError, "its update_output returned None"),
])
def test_what_a_branch_gives_back_is_looked_at(spoil, kind, message):
    branch, x, grad = Spoiled(4, 2), np.ones((3, 4), np.float32), np.ones((3, 2), np.float32)
    branch.spoil = spoil
    table = nn.ConcatTable(nn.Linear(4, 2), branch)
    table.forward(x)
    with pytest.raises(kind, match=message):
        table.backward(x, (grad, grad))


@pytest.mark.parametrize("place", [1.5, None, "a", 2, -3])
def test_a_place_that_is_none_is_refused(place):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    for use in (model.get, model.remove):
        with pytest.raises(MinivaeError, match=r"there is no module .*it has 0, 1"):
            use(place)
    if place != 2:
        with pytest.raises(MinivaeError, match="takes a number from 0 to 2, got"):
            model.insert(nn.ReLU(), place)
    assert model.size() == 2
