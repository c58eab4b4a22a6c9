"""Module's verbs on whole models: flat parameters, sharing, copies, conversions, paths, printing."""

import copy
import inspect
import re

import numpy as np
import pytest

import minivae as mv
from minivae import backend, callbacks, nn, schedules
from minivae.data import Batches
from minivae.errors import BackendError, DTypeError, MinivaeError, OptionError, ShapeError
from minivae.optim import adam


def small():
    return mv.models.denoising_vae(image=(1, 3, 3), hidden=5, code=2)


def images(n=4):
    return np.random.default_rng(0).integers(0, 2, (n, 1, 3, 3)).astype(np.float32)


def expect_true_views(model):
    """Writing to the flat vectors changes every weight and gradient, and they cover one another exactly."""
    flat, flat_grad = model.get_parameters()
    parameters, grads = model.parameters()
    assert flat.size == sum(p.size for p in parameters) == flat_grad.size
    flat[...] = np.arange(flat.size)
    flat_grad[...] = -np.arange(flat.size)
    assert np.array_equal(np.concatenate([p.reshape(-1) for p in parameters]), flat)
    assert np.array_equal(np.concatenate([g.reshape(-1) for g in grads]), flat_grad)


@pytest.mark.parametrize("change", [
    lambda m: m,
    lambda m: m.double(),
    lambda m: m.double().float(),
    lambda m: m.to("numpy"),
    lambda m: m.clone(),
    lambda m: m.load_state_dict(small().state_dict()) or m,
    lambda m: m.clear_state(),
], ids=["as built", "double", "float", "to", "clone", "load_state_dict", "clear_state"])
@pytest.mark.parametrize("flat_before", [True, False])
def test_flat_parameters_are_views(change, flat_before):
    model = small()
    if flat_before:
        model.get_parameters()
    expect_true_views(change(model))


CONVERTIBLE = pytest.mark.parametrize("make", [lambda: nn.Linear(2, 2), small, nn.BCECriterion,
                                               lambda: nn.ExpectedCriterion(nn.BCECriterion())])


@CONVERTIBLE
@pytest.mark.parametrize("dtype", [float, np.float64, "float64", ">f8", np.dtype("float64")])
def test_a_dtype_may_be_written_in_every_way(make, dtype):
    one = make().convert(None, dtype)
    assert one.dtype is backend.FLOATS["float64"] and one.convert(None, None).dtype == np.float64
    assert not isinstance(one, nn.Module) or all(array.dtype == np.float64 for array in one.parameters()[0])
    backend.set_default_dtype(dtype)
    assert make().dtype is backend.FLOATS["float64"]


@CONVERTIBLE
@pytest.mark.parametrize("dtype", [int, "float16", "double precision", bool, 64, {"a": 1}])
def test_a_dtype_that_nothing_computes_in_is_refused(make, dtype):
    one = make()
    for convert in (lambda dtype: one.convert(None, dtype), backend.set_default_dtype):
        with pytest.raises(OptionError, match=r"dtype .*; choose float32 or float64"):
            convert(dtype)
    with pytest.raises(OptionError, match="unknown backend 'jax'"):
        one.convert("jax", None)
    assert one.dtype == np.float32 == make().dtype and one.backend == "numpy"
    assert not isinstance(one, nn.Module) or all(array.dtype == np.float32 for array in one.parameters()[0])


def test_flattening_keeps_values_and_repeats():
    model = small()
    before = model.state_dict()
    flat, flat_grad = model.get_parameters()
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())
    again, grad_again = model.get_parameters()
    assert again is flat and grad_again is flat_grad


def test_part_of_a_model_gives_views_of_the_same_storage():
    model = small()
    flat, _ = model.get_parameters()
    part, _ = model.decoder.get_parameters()
    assert np.shares_memory(part, flat)
    part[...] = 7
    assert flat[-1] == 7 and flat[0] != 7
    assert model.get_parameters()[0] is flat


def test_a_vector_left_behind_is_refused():
    model = small()
    flat, grad = model.get_parameters()
    model.double()
    with pytest.raises(MinivaeError, match="no longer the model's"):
        adam(lambda x: (0.0, grad), flat, {})
    part, part_grad = model.encoder.get_parameters()
    model.get_parameters()
    assert adam(lambda x: (1.5, part_grad), part, {})[1] == 1.5  # a view of what is in use


def test_vector_of_a_part_is_refused_after_the_whole_was_flattened():
    model = small()
    part, grad = model.encoder.get_parameters()
    model.get_parameters()
    with pytest.raises(MinivaeError, match="get_parameters"):
        adam(lambda x: (0.0, grad), part, {})


def test_shared_parameters_count_once_and_add_their_gradients():
    first = nn.Linear(3, 3)
    model = nn.Sequential(first, nn.Tanh(), first.clone(share=("weight", "bias")))
    flat, _ = model.get_parameters()
    assert flat.size == 12 and len(model.parameters()[0]) == 2
    assert model[0].weight is model[2].weight and model[0].grad_weight is model[2].grad_weight
    expect_true_views(model)
    mv.gradcheck(model, np.ones((2, 3), np.float32)).raise_if_failed()
    assert model.double()[0].weight is model[2].weight


def test_one_module_twice_is_refused():
    layer = nn.Linear(3, 3)
    with pytest.raises(MinivaeError, match="share="):
        nn.Sequential(layer, nn.Tanh(), layer)


def test_converting_a_part_leaves_the_others_usable():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2))
    model.get_parameters()
    model[0].float()
    flat, grad = model[2].get_parameters()
    assert adam(lambda x: (1.0, grad), flat, {})[1] == 1.0


def test_a_parameter_that_was_replaced_is_flattened_anew():
    model = small()
    model.get_parameters()
    model.encoder[2].weight = np.ones_like(model.encoder[2].weight)
    expect_true_views(model)


def test_half_a_share_is_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    with pytest.raises(MinivaeError, match=r"2\.weight is shared .* but its gradient is not"):
        model.get_parameters()
    with pytest.raises(MinivaeError, match="out of bias, weight"):
        model.clone(share=("weigth",))


def test_names_in_a_container_are_unique():
    with pytest.raises(MinivaeError, match="'1' is taken"):
        nn.Sequential().add(nn.Linear(2, 2), "1").add(nn.Linear(2, 2))


def test_clone_of_a_part_leaves_the_model_alone():
    model = small()
    flat, _ = model.get_parameters()
    twin = model.decoder.clone()
    twin.get_parameters()[0][...] = 0
    assert flat[-1] != 0 and model.get_parameters()[0] is flat
    assert twin[0].path == "0" and model.decoder[0].path == "decoder.0"


def test_deepcopy_is_a_working_copy():
    model = small()
    model.get_parameters()
    twin = copy.deepcopy(model)
    flat, grad = twin.get_parameters()
    assert adam(lambda x: (1.0, grad), flat, {})[1] == 1.0
    assert not np.shares_memory(flat, model.get_parameters()[0])


def test_load_state_dict_checks_everything_before_it_writes():
    model = small()
    before = model.state_dict()
    for spoil, message in ((lambda s: s.pop("decoder.0.bias"), "missing .*decoder.0.bias"),
                           (lambda s: s.update(extra=np.zeros(1)), "unknown .*extra"),
                           (lambda s: s.update({"decoder.4.bias": np.zeros(3)}), r"decoder\.4\.bias: .*\(3,\)"),
                           (lambda s: s.update({"decoder.4.bias": np.full_like(s["decoder.4.bias"], -1e300, float)}),
                            r"decoder\.4\.bias: .* holds -1e\+300, which is beyond float32; .*\.double\(\)")):
        state = {name: value + 1 for name, value in before.items()}
        spoil(state)
        with pytest.raises((ShapeError, DTypeError), match=message):
            model.load_state_dict(state)
        assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("junk", ["vae.npz", None, [1]])
def test_a_state_that_is_none_is_named(junk):
    with pytest.raises(OptionError, match=r"load_state_dict\(state=.*: state is an instance of Mapping; .*numpy.load"):
        small().load_state_dict(junk)


def test_state_dict_is_a_copy():
    model = small()
    state = model.state_dict()
    state["encoder.2.weight"][...] = 0
    assert model.encoder[2].weight.any()


def test_update_parameters_and_reset():
    linear = nn.Linear(2, 2)
    before = linear.weight.copy()
    linear.grad_weight.fill(2)
    linear.update_parameters(0.25)
    assert linear.weight == pytest.approx(before - 0.5)
    linear.reset()
    assert not np.array_equal(linear.weight, before) and abs(linear.weight).max() <= 2**-0.5


def test_need_grad_input_false_gives_the_same_gradients():
    model, x = small().hold_noise(), images()
    output = model.forward(x)
    g = np.ones_like(output)
    model.zero_grad_parameters()
    model.backward(x, g)
    wanted = [np.array(grad) for grad in model.parameters()[1]]
    model.zero_grad_parameters()
    model.encoder[2].buffers["grad_input"].fill(np.nan)
    assert model.backward(x, g, need_grad_input=False) is None
    assert all(np.array_equal(a, b) for a, b in zip(model.parameters()[1], wanted))
    assert np.isnan(model.encoder[2].buffers["grad_input"]).all(), "∂L/∂x was computed although nobody asked"


def test_modes_reach_every_module():
    model = small().evaluate()
    assert not any(module.train for module in model.list_modules())
    assert all(module.train for module in model.training().list_modules())
    assert all(module.holding_noise for module in model.hold_noise().list_modules())
    assert len(model.find_modules(nn.Linear)) == 7


def test_paths_are_those_of_state_dict():
    model = small()
    assert {path: module.path for path, module in model.named_modules()} == {p: p for p, _ in model.named_modules()}
    assert model.encoder[6][0].title == "encoder.6.0 Linear(5 -> 2)"
    assert "encoder.6.0.weight" in model.state_dict()


def test_a_class_of_ones_own_is_printed_as_itself():
    class LeakyReLU(nn.ReLU):
        pass

    class Pair(nn.ConcatTable):
        pass

    class Chain(nn.Sequential):
        pass

    class Loss(nn.BCECriterion):
        pass

    assert repr(Chain(nn.Linear(4, 3), LeakyReLU())) == (
        "Chain {\n  [input -> (0) -> (1) -> output]\n  (0): nn.Linear(4 -> 3)\n  (1): LeakyReLU\n}")
    assert repr(Pair(nn.Tanh(), nn.Tanh())).startswith("Pair {") and repr(Loss(samples=2)) == "Loss(samples=2)"


def test_repr_is_torch7s_tree():
    assert repr(nn.Sequential(nn.Linear(4, 3), nn.ReLU())) == (
        "nn.Sequential {\n  [input -> (0) -> (1) -> output]\n  (0): nn.Linear(4 -> 3)\n  (1): nn.ReLU\n}")
    assert "|-> (0): nn.Linear(5 -> 2)" in repr(small()) and "`-> (1): nn.Linear(5 -> 2)" in repr(small())


def test_a_typo_raises_at_once():
    with pytest.raises(AttributeError):
        nn.Linear(2, 2).wieght  # noqa: B018


NOT_ARRAYS = {  # what is given to a Linear(2, 2): what its error says
    "a list": ([[1.0, 2.0]], r"input is a list of 1, expected an array of numpy; numpy\.asarray\(x, dtype='float32'\)"),
    "a table": ((np.zeros((1, 2)),) * 2, "input is a tuple of 2, expected an array of numpy; a table goes into"),
    "arrays in a list": ([np.zeros((1, 2))] * 2, r"input is a list of 2, expected an array.*; tuple\(...\) makes"),
    "a number": (1.5, r"input is of type float, expected an array of numpy; an array has a batch axis.*full\(\(1, 1\)"),
    "NumPy's number": (np.float32(1), "input is one number, of type float32, expected an array .*an array has a batch"),
    "a text": ("x", r"input is of type str, expected an array of numpy; numpy\.asarray"),
    "matrix": (np.ones((2, 3), np.float32).view(np.matrix), "input is of type matrix.*numpy.asarray"),
    "masked": (np.ma.masked_array(np.ones((2, 3), np.float32)), r"input is of type MaskedArray.*x.filled\(0\)"),
    "nothing": (None, "input is None, expected an array of numpy"),
    "no axes": (np.array(1, np.float32), r"input has shape \(\), expected \(N, 2\)"),
    "float64": (np.zeros((1, 2)), r"float64, expected float32; convert it with \.astype\('float32'\), or the module "
                                  r"with \.double\(\)$"),
    "float16": (np.zeros((1, 2), np.float16), r"float16, expected float32; convert it with \.astype\('float32'\)$"),
    "complex": (np.zeros((1, 2), complex), r"complex128, expected float32; convert it with \.astype\('float32'\)$"),
    "pixels": (np.zeros((1, 2), np.uint8), r"uint8, expected float32; scale pixels first: x\.astype\('float32'\) / 2"),
}


@pytest.mark.parametrize(("thing", "said"), NOT_ARRAYS.values(), ids=NOT_ARRAYS.keys())
def test_what_a_layer_cannot_take_is_named_with_its_cure(thing, said):
    with pytest.raises(MinivaeError, match=said):
        nn.Linear(2, 2).forward(thing)


def test_float32_batches_for_a_model_in_float64_have_two_cures():
    linear = nn.Linear(2, 2).double()
    with pytest.raises(DTypeError, match=r"convert it with \.astype\('float64'\), or the module with \.float\(\); "
                                         r"new Batches give float64 after .*set_default_dtype\('float64'\)$"):
        linear.forward(np.zeros((1, 2), np.float32))
    backend.set_default_dtype("float64")
    linear.forward(Batches(np.zeros((4, 2), np.uint8), 2).next())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("convert", ["float", "double"])
@pytest.mark.parametrize("size", ["f4", "f8"])
def test_the_cure_for_a_dtype_is_one(order, convert, size):
    """The array is converted as the error says, or the module is: then it is taken."""
    module, x = getattr(nn.Linear(2, 2), convert)(), np.zeros((1, 2), order + size)
    try:
        module.forward(x)
    except DTypeError as error:
        module.forward(x.astype(re.search(r"\.astype\('(\w+)'\)", str(error))[1]))
        if cure := re.search(r"or the module with \.(\w+)\(\)", str(error)):
            getattr(module, cure[1])().forward(x)
    else:
        assert x.dtype == module.dtype


class Forgetful(nn.Module):
    def __init__(self):
        self.size = 3

    def update_output(self, input):
        return input


class WithoutComma(nn.Module):
    parameter_names = ("weight")


def forgetful(base):
    """A class of one's own whose constructor does nothing."""
    return type("Forgetful", (base,), {"__init__": lambda self: None, "update_output": lambda self, *given: given[0]})()


X = np.zeros((1, 2), np.float32)


@pytest.mark.parametrize(("base", "verb"), [
    *((base, verb) for base in (nn.Module, nn.Container, nn.Criterion)
      for verb in ("forward", "backward", "clone", "to", "float", "double", "cpu")),
    *((base, verb) for base in (nn.Module, nn.Container)
      for verb in ("get_parameters", "parameters", "zero_grad_parameters", "state_dict", "list_modules", "training",
                   "evaluate", "hold_noise", "clear_state")),
    *((nn.Container, verb) for verb in ("add", "insert", "remove"))])
def test_a_constructor_that_was_not_called_is_named_by_every_verb(base, verb):
    given = {"forward": (X, X) if base is nn.Criterion else (X,), "backward": (X, X), "to": ("numpy",),
             "add": (nn.Tanh(),), "insert": (nn.Tanh(), 0)}
    with pytest.raises(MinivaeError, match=r"^Forgetful: its __init__ does not call super\(\).__init__\(\)"):
        getattr(forgetful(base), verb)(*given.get(verb, ()))


def test_a_constructor_that_was_not_called_is_named_by_what_takes_the_module():
    for use in (lambda: nn.Sequential(Forgetful()), lambda: Forgetful().new_parameter("weight", (2,)),
                lambda: mv.gradcheck(Forgetful(), X), lambda: mv.trace(Forgetful(), X),
                lambda: mv.gradcheck_criterion(forgetful(nn.Criterion), X, X)):
        with pytest.raises(MinivaeError, match=r"^Forgetful: its __init__ does not call super\(\).__init__\(\)"):
            use()


class Kept(nn.Module):
    """Keeps modules in the way of a Module, not of a Container."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def update_output(self, input):
        return input

    def update_grad_input(self, input, grad_output):
        return grad_output


class KeptInContainer(Kept, nn.Container):
    pass


LOOKS = {"forward": lambda module: module.forward(X), "gradcheck": lambda module: mv.gradcheck(module, X),
         "get_parameters": lambda module: module.get_parameters(), "state_dict": lambda module: module.state_dict(),
         "inside another": lambda module: nn.Sequential(module).get_parameters()}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("cls", [Kept, KeptInContainer])
@pytest.mark.parametrize("kept", [lambda: nn.Linear(2, 2), lambda: [nn.Linear(2, 2)], lambda: (nn.Linear(2, 2), 2),
                                  lambda: {"a": nn.Linear(2, 2)}], ids=["layer", "list", "tuple", "dict"])
def test_a_layer_that_no_container_holds_is_named(cls, kept, look):
    with pytest.raises(MinivaeError, match=r"self\.kept holds Linear, which stands in no container: .* extend "
                                           r"nn\.Container .* self\.add\(module\)"):
        LOOKS[look](cls(kept()))


def test_a_layer_may_know_another_one_of_its_model_or_have_it_as_a_child_or_without_parameters():
    assert Kept(nn.Tanh()).get_parameters()[0].size == 0
    first = nn.Linear(2, 2)
    model = nn.Sequential(first, Kept(first))
    assert model.get_parameters()[0].size == 6 and mv.gradcheck(model, np.ones((2, 2), np.float32)).ok
    model[1].forward(X)
    layer = KeptInContainer(nn.Linear(2, 2))
    assert layer.add(layer.kept).get_parameters()[0].size == 6


class Unlisted(nn.Module):
    parameter_names = ("weight",)

    def __init__(self, name):
        super().__init__()
        self.new_parameter(name, (2,))


class Unmade(Kept):
    parameter_names = ("weight",)


LOOKS_AT_PARAMETERS = LOOKS | {"double": lambda module: module.double(), "clone": lambda module: module.clone(),
                               "named_parameters": lambda module: list(module.named_parameters()),
                               "load": lambda module: module.load_state_dict({}),
                               "share": lambda module: module.share(nn.Linear(2, 2), "weight")}


@pytest.mark.parametrize("look", LOOKS_AT_PARAMETERS)
@pytest.mark.parametrize("weight", [False, True])
def test_a_listed_parameter_that_was_not_made_is_named(weight, look):
    layer = Unmade(())
    if weight:
        layer.weight = X[0]
    missing = "grad_weight" if weight else "weight"
    with pytest.raises(MinivaeError, match=rf"Unmade: parameter_names lists 'weight', and there is no {missing}; "
                                           r"new_parameter\('weight', shape\)"):
        LOOKS_AT_PARAMETERS[look](layer)


@pytest.mark.parametrize(("shape", "said"), [
    (4, r"shape=4\): shape is a tuple of sizes; write \(4,\) for one alone"), ((-1,), "whole number from 1"),
    ((4.5,), "shape=4.5"), ((0,), "shape=0"), ("x", "shape='x'")])
def test_a_parameter_of_no_shape_is_refused(shape, said):
    with pytest.raises(MinivaeError, match=said):
        Unlisted("weight").new_parameter("weight", shape)


def test_slips_in_a_layer_of_ones_own_are_named():
    with pytest.raises(MinivaeError, match=r"^Unlisted: new_parameter\('scale'\) .*parameter_names = "
                                           r"\('weight', 'scale'\)"):
        Unlisted("scale")
    assert Unlisted("weight").get_parameters()[0].size == 2
    with pytest.raises(MinivaeError, match=r"^WithoutComma: parameter_names is the text 'weight', .*\('weight',\)"):
        WithoutComma()


def test_what_is_no_table_is_refused():
    linear = nn.Linear(2, 2)
    with pytest.raises(ShapeError, match=r"is a list of 2, expected a table .* of 2 arrays; tuple\(\.\.\.\) makes"):
        nn.GaussianKL().forward([np.zeros((1, 2), np.float32)] * 2)
    linear.forward(np.zeros((1, 2), np.float32))
    with pytest.raises(ShapeError, match=r"grad_output has shape \(1, 3\), expected \(1, 2\); ∂L/∂output has the "
                                         "shape of the output, which is that of the last forward$"):
        linear.backward(np.zeros((1, 2), np.float32), np.zeros((1, 3), np.float32))
    linear = nn.Linear(2, 2)
    with pytest.raises(ShapeError, match=r"a table \(a tuple\) of 2 arrays"):
        nn.GaussianKL().forward(np.zeros((1, 2), np.float32))
    with pytest.raises(ShapeError, match="backward before forward"):
        linear.backward(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float32))
    with pytest.raises(MinivaeError, match=r"write Tanh\(\), not Tanh"):
        nn.Sequential(nn.Tanh)
    for cls in (nn.Sequential, nn.ConcatTable, nn.ParallelTable):
        with pytest.raises(MinivaeError, match=rf"got \[.*\]; write {cls.__name__}\(\*modules\)$"):
            cls([nn.Tanh(), nn.ReLU()])


def test_to_a_library_that_cannot_run_says_why(monkeypatch):
    monkeypatch.setitem(mv.backend.require.__globals__, "available", lambda name: (False, "there is no device"))
    with pytest.raises(BackendError, match="there is no device"):
        nn.Linear(2, 2).cuda()


JUNK = ("a", -1, [1], 3.5, object, None)


@pytest.mark.parametrize("cls", [each for space in (nn, schedules, callbacks) for each in vars(space).values()
                                 if inspect.isclass(each) and each.__module__.startswith("minivae.")
                                 and not issubclass(each, Exception)],
                         ids=lambda cls: cls.__name__)
def test_an_option_of_a_wrong_kind_is_explained(cls):
    """Whatever is given for one of them, a class takes it or says what it wants."""
    parameters = [each for each in inspect.signature(cls).parameters.values()
                  if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    needed = {each.name: 4 for each in parameters if each.default is each.empty}
    for parameter in parameters:
        for junk in JUNK:
            try:
                repr(cls(**needed | {parameter.name: junk}))
            except MinivaeError as error:
                assert len(str(error)) > 20
