"""Every contract of a Module, run over the table of every layer, in every array library."""

from dataclasses import replace

import numpy as np
import pytest
from layers import ABSTRACT, ROWS, arrays, copies, random_like
from rounding import same, terms

import minivae as mv
from minivae import backend, nn
from minivae.errors import DTypeError, MinivaeError, ShapeError
from minivae.nn.in_place_rule import declares

pytestmark = pytest.mark.usefixtures("library")
DTYPES = (np.float32, np.float64)
each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


def excused(row, contract):
    if contract in row.excused:
        pytest.skip(f"{row.name} is excused from {contract}: {row.excused[contract]}")


def made(row, dtype=np.float32):
    module = row.make()
    return module.double() if dtype == np.float64 else module


def run(module, input, grad_output=None, **options):
    """(copies of output and grad_input) of one forward and backward with fixed noise."""
    output = copies(module.forward(input))
    grad_input = module.backward(input, random_like(output) if grad_output is None else grad_output, **options)
    return output, copies(grad_input)


def grads(module):
    return [copies(grad) for grad in module.parameters()[1]]


def on_device(value):
    return tuple(map(on_device, value)) if isinstance(value, tuple) else backend.from_numpy(value)


def test_every_layer_has_a_row():
    layers = {name for name, cls in vars(nn).items() if isinstance(cls, type) and issubclass(cls, nn.Module)}
    held = {type(module).__name__ for row in ROWS.values() for module in row.make().list_modules()}
    assert layers - ABSTRACT == held, "add a row for each new layer to tests/layers.py"


@each_row
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradient(row, dtype):
    excused(row, "gradient")
    mv.gradcheck(made(row, dtype), row.input(dtype=dtype)).raise_if_failed()


@each_row
def test_gradients_accumulate_with_scale(row):
    module, input = made(row, np.float64).hold_noise(), row.input(dtype=np.float64)
    module.zero_grad_parameters()
    run(module, input)
    once = grads(module)
    run(module, input, scale=0.5)
    for grad, first in zip(grads(module), once):
        np.testing.assert_allclose(grad, 1.5 * first, rtol=1e-12)
    module.zero_grad_parameters()
    assert all(not grad.any() for grad in grads(module))


@each_row
def test_input_and_grad_output_stay_as_they_were(row):
    module, input = made(row), row.input()
    before = copies(input)
    grad_output = random_like(copies(module.forward(input)))
    kept = copies(grad_output)
    module.backward(input, grad_output)
    assert same(input, before)
    assert same(grad_output, kept)


@each_row
def test_buffers_are_reused(row):
    module = made(row)
    run(module, row.input())
    addresses = [backend.address(a) for a in _buffers(module)]
    run(module, row.input(seed=5))
    run(module, row.input(rows=2))
    run(module, row.input())
    assert [backend.address(a) for a in _buffers(module)] == addresses


@each_row
def test_other_sizes_take_no_more_buffers(row):
    """Images of any size, one after the other, give what a new layer gives, from as many buffers as one."""
    module, numbers = made(row), set()
    for more in (0, 1, 2, 3, 0):
        input, found = replace(row, shape=_wider(row.shape, more)).input(), []
        try:
            for each in (module.clone().clear_state(), module):
                backend.manual_seed(0)
                found.append(run(each, input))
        except ShapeError:
            assert more > 0
            continue
        assert same(*found, terms(module, 3))
        numbers.add(len(_buffers(module)))
    assert len(numbers) == 1


def _wider(shape, more):
    """The shape of a row, or a table of shapes, whose last two axes are longer; of fewer than three, the last."""
    if isinstance(shape[0], tuple):
        return tuple(_wider(each, more) for each in shape)
    last = min(2, len(shape) - 1) or 1
    return (*shape[:-last], *(length + more for length in shape[-last:]))


def _buffers(module):
    return [array for each in module.list_modules() for array in each.buffers.values()]


@each_row
def test_what_comes_out_is_no_one_elses_array(row):
    """An output is the module's own buffer, or, in a pass-through layer, the input itself."""
    module, input = made(row), row.input()
    first = copies(module.forward(input))
    module.forward(row.input(seed=9))
    assert same(input, row.input()) and ("batch" in row.excused or arrays(first)[0].shape[0] % 3 == 0)
    module.evaluate().forward(input)
    module.training().forward(row.input(seed=9))
    module.backward(row.input(seed=9), random_like(copies(module.output)))
    assert same(input, row.input()), "a buffer of the module was the caller's array"


@each_row
def test_held_noise_repeats_and_another_shape_raises(row):
    module, input = made(row).hold_noise(), row.input()
    assert same(copies(module.forward(input)), copies(module.forward(input)))
    if [each for each in module.list_modules() if each.noise is not None]:
        with pytest.raises(ShapeError, match=r"holds noise of shape .* hold_noise\(False\)"):
            module.forward(row.input(rows=2))
        module.hold_noise(False)
        assert not same(copies(module.forward(input)), copies(module.forward(input)))


@each_row
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_is_kept_and_another_refused(row, dtype):
    module, input = made(row, dtype), row.input(dtype=dtype)
    output, grad_input = run(module, input)
    assert {a.dtype for a in arrays(output) + arrays(grad_input) + module.parameters()[0]} == {np.dtype(dtype)}
    if row.name != "Identity":
        with pytest.raises(DTypeError, match="has dtype"):
            module.forward(row.input(dtype=np.float64 if dtype == np.float32 else np.float32))


@each_row
def test_same_numbers_in_both_dtypes(row):
    single, double = row.make().hold_noise(), row.make().double().hold_noise()
    double.load_state_dict(single.state_dict())
    single.forward(row.input())
    for mine, other in zip(single.list_modules(), double.list_modules()):
        other.noise = None if mine.noise is None else mine.noise.astype(np.float64)
    out32, grad32 = run(single, row.input())
    out64, grad64 = run(double, _widened(row.input()), _widened(random_like(out32)))
    for a, b in zip(arrays(out32) + arrays(grad32), arrays(out64) + arrays(grad64), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def _widened(value):
    return tuple(_widened(part) for part in value) if isinstance(value, tuple) else value.astype(np.float64)


@each_row
def test_clone_is_equal_and_apart(row):
    module, input = made(row).hold_noise(), row.input()
    output, _ = run(module, input)
    twin = module.clone()
    assert same(twin.forward(input), output, terms(twin, 3))
    for mine, its in zip(module.parameters()[0], twin.parameters()[0], strict=True):
        its += 1
        assert same(mine + 1, its)


@each_row
def test_state_dict_round_trip(row):
    module, other = made(row), made(row)
    other.load_state_dict(module.state_dict())
    for name, array in module.state_dict().items():
        assert np.array_equal(array, other.state_dict()[name])
        assert name.rsplit(".", 1)[-1] in ("weight", "bias", "running_mean", "running_var", "prior_logits")


@each_row
def test_repr_names_the_class_and_tells_options_apart(row):
    text = repr(row.make())
    assert text.startswith(f"nn.{type(row.make()).__name__}")
    assert str(row.make()) == text


@each_row
def test_wrong_shape_is_refused_with_a_reason(row):
    excused(row, "wrong shape")
    with pytest.raises((ShapeError, DTypeError), match=r"(has shape|is (an array|of type|a table)).*(expected|\()"):
        made(row).forward(on_device(np.zeros(row.wrong, dtype=np.float32)))


@each_row
def test_wrong_grad_output_is_refused(row):
    excused(row, "wrong shape")
    module, input = made(row), row.input()
    with pytest.raises(MinivaeError):
        module.backward(input, on_device(np.zeros((3, 99), dtype=np.float32)))
    output, wrong = copies(module.forward(input)), on_device(np.zeros((3, 99), dtype=np.float32))
    with pytest.raises(MinivaeError, match="grad_output"):
        module.backward(input, (wrong,) * len(output) if isinstance(output, tuple) else wrong)


@each_row
def test_column_major_and_strided_inputs_give_the_same(row):
    module, input = made(row).hold_noise(), row.input(rows=4)
    output, grad_input = run(module, input)
    def column_major(array):
        if isinstance(array, tuple):
            return tuple(map(column_major, array))
        return on_device(np.ascontiguousarray(copies(array).T)).T
    def strided(array):
        if isinstance(array, tuple):
            return tuple(map(strided, array))
        wide = on_device(np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype))
        wide[..., ::2] = array
        return wide[..., ::2]
    for change in (column_major, strided):
        changed = change(input)
        again, grad_again = run(module, changed)
        for a, b in zip(arrays(output) + arrays(grad_input), arrays(again) + arrays(grad_again), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@each_row
def test_an_output_declared_spare_is_its_own_and_not_read_again(row):
    """What `spare_output` promises: the next layer may overwrite the output."""
    module, input = made(row).hold_noise(), row.input()
    if module.children() or not declares(module, "spare_output"):
        return
    _, wanted = run(module, input)
    grads_wanted = grads(module)
    module.zero_grad_parameters()
    output = module.forward(input)
    grad_output = random_like(copies(output))
    output.fill(np.nan)
    assert same(input, row.input()), "the output is no array of its own"
    n = terms(module, 3)
    assert same(module.backward(input, grad_output), wanted, n), "backward reads the output"
    assert same(tuple(grads(module)), tuple(grads_wanted), n), "backward reads the output"


@each_row
@pytest.mark.parametrize("follower", [nn.ReLU, nn.Sigmoid])
def test_an_inplace_layer_may_follow_any_layer(row, follower):
    """It overwrites what came in or it does not: the numbers are those of one that never does."""
    layer, input = made(row).hold_noise(), row.input()
    if isinstance(layer.forward(input), tuple):
        return
    plain, inner = nn.Sequential(layer.clone(), follower()), nn.Sequential()
    model = nn.Sequential(inner, nn.Sequential(follower(inplace=True)))
    inner.add(layer.clone())  # parent first, so that no container could have refused
    wanted, found, n = run(plain, input), run(model, input), terms(plain, 3)
    assert same(found, wanted, n) and same(tuple(grads(model)), tuple(grads(plain)), n)
    assert same(input, row.input())


@each_row
def test_backward_with_another_input_than_forwards_is_refused(row):
    module = made(row)
    output = module.forward(row.input(rows=2))
    for wrong in (row.input(rows=5), (row.input(rows=2), row.input(rows=2))):
        for grad_output in (random_like(copies(output)), random_like(copies(made(row).forward(row.input(rows=5))))):
            with pytest.raises(ShapeError):
                module.backward(wrong, grad_output)


@each_row
def test_empty_batch_gives_an_empty_output(row):
    module, input = made(row), row.input(rows=0)
    output, grad_input = run(module, input)
    assert "batch" in row.excused or all(len(a) == 0 for a in arrays(output) + arrays(grad_input))
