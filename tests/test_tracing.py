"""The trace of a pass: every verb in order, the numbers as they were, and the walk through it."""

import io

import numpy as np
import pytest
from layers import ROWS
from rounding import same, terms

import minivae as mv
from minivae import backend, checkpoint, debug, models, nn
from minivae.cli import main
from minivae.cli.walk import Walk
from minivae.data import Batches, rectangles
from minivae.debug.profiling import profile
from minivae.errors import OptionError
from minivae.training import Training


def small(**options):
    return models.vae(image=(1, 4, 4), hidden=5, **options)


def images(n=3):
    return np.random.default_rng(0).integers(0, 2, (n, 1, 4, 4)).astype(np.float32)


def test_verbs_come_in_the_order_in_which_they_happen():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    trace = mv.trace(model, np.ones((2, 4), np.float32), nn.BCEWithLogitsCriterion(), np.ones((2, 3), np.float32))
    assert [(step.path, step.verb) for step in trace] == [
        ("", "update_output"), ("0", "update_output"), ("1", "update_output"), ("criterion", "update_output"),
        ("criterion", "update_grad_input"), ("", "backward"), ("1", "update_grad_input"), ("0", "update_grad_input"),
        ("0", "acc_grad_parameters")]
    assert [step.depth for step in trace] == [0, 1, 1, 0, 0, 0, 1, 1, 1] and trace[0].inside == 2 == len(trace[1:3])
    assert [step.number for step in trace] == list(range(9))


def test_numbers_are_those_of_a_pass_by_hand():
    model, x = small(), images()
    trace = mv.trace(model, x, seed=5)
    twin = model.clone()
    with backend.seeded(5):
        output = twin.forward(x)
    criterion = twin.criterion()
    loss = criterion.forward(output, x)
    grad_input = twin.backward(x, criterion.backward(output, x))
    allowed = terms(twin, len(x))  # the two models' weights need not be aligned alike
    assert same(trace[0]["output"], output, allowed) and np.array_equal(trace[0]["input"], x)
    by_verb = {(step.path, step.verb): step for step in trace}
    assert by_verb["criterion", "update_output"]["output"] == pytest.approx(loss, rel=1e-6)
    assert same(by_verb["", "backward"]["grad_input"], grad_input, allowed)
    for path, module in twin.named_modules():
        if isinstance(module, nn.Linear):
            step = by_verb[path, "acc_grad_parameters"]
            assert same((step["grad_weight"], step["grad_bias"]), (module.grad_weight, module.grad_bias), allowed)
    assert same(by_verb["kl", "update_output"]["output[1]"], twin.encode(x)[1], allowed)


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_every_layer_can_be_traced(row):
    trace = mv.trace(row.make(), row.input())
    assert len(trace) >= 2 and trace.first_nonfinite() is None
    assert row.make().title in str(trace) and all(str(step) for step in trace)


def test_the_model_and_the_stream_stay_as_they_were():
    model, x, state = small(), images(), backend.get_random_state()
    flat, grads = model.get_parameters()
    grads[...] = 7
    kept = flat.copy()
    mv.trace(model, x)
    assert np.array_equal(flat, kept) and (grads == 7).all() and model.output is None
    assert backend.get_random_state() == state
    assert not any("update_output" in vars(module) for module in model.list_modules())


def test_arrays_are_copies_of_what_was():
    """An inplace layer overwrites its input later on; the trace still has what it was."""
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True))
    step = mv.trace(model, np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32))[1]
    assert (step["output"] < 0).any()


def test_shared_memory_zeros_and_dtypes_are_told():
    trace = mv.trace(nn.Sequential(nn.View(16), nn.Linear(16, 4), nn.ReLU()), images())
    view, linear, relu = trace[1:4]
    assert view.made[0].shared == "input" and not linear.made[0].shared
    assert relu.made[0].zeros == (relu["output"] == 0).mean() > 0
    assert "is input" in str(trace) and "float32" in str(trace) and "3×16" in str(trace)


def test_parameters_noise_and_divergence_are_in_it():
    model, x = small(), images()
    by_path = {step.path: step for step in mv.trace(model, x) if step.verb == "update_output"}
    linear, sampler = by_path["decoder.0"], by_path["sampler"]
    assert np.array_equal(linear["weight"], model.decoder[0].weight) and "weight" in str(linear)
    mean, log_var = by_path["kl"]["output[0]"], by_path["kl"]["output[1]"]
    np.testing.assert_allclose(sampler["output"], mean + np.exp(log_var / 2) * sampler["noise"], rtol=1e-5)
    assert by_path["kl"]["divergence"] == pytest.approx(0.5 * (mean**2 + np.exp(log_var) - 1 - log_var).sum(), 1e-4)


def test_a_report_alone_in_a_cell_shows_as_it_prints():
    x, bits, vae = images(), models.bernoulli_vae(image=(1, 4, 4), hidden=3, code=2), small()
    trace, gradients = mv.trace(nn.Tanh(), x), mv.gradcheck(nn.Tanh(), x)
    for report in (trace, trace[0], gradients, gradients.checks[0], debug.check_noise(nn.GaussianNoise(1)),
                   debug.estimator_report(bits, x, 3, 2), debug.signal_to_noise(vae, x, 3, (1,)),
                   profile(Training(vae, Batches(x, 2)), 1)):
        assert repr(report) == str(report) != ""


def test_a_notebook_shows_the_page_in_a_frame():
    text = mv.trace(nn.Sequential(nn.Linear(2, 3), nn.Tanh()), np.ones((2, 2), np.float32))._repr_html_()
    assert text.startswith('<iframe srcdoc="&lt;!doctype html&gt;') and text.endswith("</iframe>")
    assert text.count("<") == 2 and text.count('"') == 8


@pytest.mark.parametrize(("plant", "path", "verb"), [
    (lambda model: model.encoder[1].weight.fill(np.inf), "encoder.1", "update_output"),
    (lambda model: model.encoder[5][1].bias.fill(2000), "kl", "update_output"),
    (lambda model: model.decoder[2].weight.fill(3e38), "decoder.2", "update_output")])
def test_first_nonfinite_names_where_it_arose(plant, path, verb):
    model = small()
    plant(model)
    with np.errstate(all="ignore"):
        trace = mv.trace(model, images())
    assert (trace.first_nonfinite().path, trace.first_nonfinite().verb) == (path, verb)
    assert "not finite" in str(trace)


def test_unknown_arrays_are_explained():
    with pytest.raises(OptionError, match=r"step 0 has no 'weight'; it has input, output"):
        mv.trace(nn.Tanh(), np.ones((2, 2), np.float32))[0]["weight"]


def walk(commands, trace=None):
    """What the prompt writes for these commands, and the Walk."""
    out = io.StringIO()
    typed = io.StringIO("".join(f"{each}\n" for each in commands))
    walker = Walk(trace or mv.trace(small(), images()), stdin=typed, stdout=out)
    walker.cmdloop()
    return out.getvalue(), walker


def test_walk_goes_over_into_back_and_to():
    assert walk([])[1].at == -1
    for commands in (["into", "into"], ["next", "into"], ["n", "n", "back 99", "n", "i"]):
        assert walk(commands)[1].at == 1
    text, walker = walk(["next", "next"])
    assert walker.step.path == "criterion" and "BCEWithLogitsCriterion.update_output" in text
    assert walk(["n 3", "b"])[1].at == walker.at
    assert walk(["goto decoder.0"])[1].step.path == "decoder.0"
    assert walk(["goto 4", "", "back 2"])[1].at < 5
    text, walker = walk(["next 99", "into", "next"])
    assert "that was the last step" in text


@pytest.mark.parametrize("command", ["next abc", "n 0", "next -5", "back xyz", "b 1.5", "back 0", "next " + 5000 * "9"])
def test_walk_explains_what_is_no_number_of_steps(command):
    text, walker = walk(["next", "into", command])
    assert walker.at == 1 and f"{command.split()[1]!r} is no number of steps; give a whole number from 1" in text


def test_walk_prints_watches_and_explains():
    text, _ = walk(["next", "print output", "print weight", "watch grad_weight", "next 3", "w grad_weight", "w nope",
                    "list", "nonfinite", "dance", "goto nowhere", "help", "help sing", "q"])
    for words in ("output (3, 1, 4, 4) =", "step 0 has no 'weight'", "watching grad_weight", "watching nothing", "->  ",
                  "every number is finite", "unknown command 'dance'", "no step 'nowhere'", "no command 'sing'",
                  "no module or array 'nope'", "on to the next step of this module"):
        assert words in text, words


def test_walk_prints_what_there_is_and_says_what_it_leaves_out():
    text, _ = walk(["print input", "print output", "next", "print output"])
    assert text.count("input (3, 1, 4, 4) =\n") == text.count("output (3, 1, 4, 4) =\n") == 1
    assert "nothing is called yet: there is input, and no output" in text
    text, _ = walk(["next", "p output"], mv.trace(nn.Tanh(), np.ones((2, 2001), np.float32)))
    assert "output (2, 2001), the outermost of 4,002 numbers =\n" in text and "..." in text.split("=")[-1]


def test_walk_begins_ahead_of_the_first_verb_with_the_image():
    x = np.zeros((1, 1, 24, 24), np.float32)
    x[0, 0, 3:12, 5:14] = 1
    model = models.vae(hidden=4)
    text, _ = walk([], mv.trace(model, x))
    assert "output " not in text and "Nothing is called yet" in text
    rows = [line for line in text.splitlines() if "█" in line]
    assert rows == [2 * 5 * " " + 2 * 9 * "█"] * 9
    text, _ = walk(["next"], mv.trace(model, x))
    assert "[0] VAE.update_output" in text and "output  1×1×24×24" not in text, "before it has computed"
    text, _ = walk(["goto encoder.0"], mv.trace(model, x))
    assert "output  1×576" in text, "after it has"


@pytest.mark.parametrize(("encoding", "full"), [("utf-8", "█"), ("cp437", "█"), ("cp1252", "#"), ("ascii", "#")])
def test_walk_draws_in_letters_that_the_terminal_has(encoding, full):
    terminal = io.TextIOWrapper(io.BytesIO(), encoding, "replace")
    Walk(mv.trace(nn.Tanh(), np.eye(8, dtype=np.float32)[None, None]), stdin=io.StringIO(), stdout=terminal).cmdloop()
    terminal.seek(0)
    rows = [line.strip() for line in terminal]
    assert rows.count(2 * full) == 8


def test_walk_draws_the_planes_of_a_convolution_as_wide_as_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text, walker = walk(["goto encoder.1"], mv.trace(models.conv_vae(), np.ones((2, 1, 24, 24), np.float32)))
    assert "output, 2 of 8 planes of the first, from" in text and walker.step["output"].shape == (2, 8, 24, 24)


def test_walk_shows_equations_and_the_loss_per_image():
    text, walker = walk(["goto decoder.0", "goto criterion"])
    assert "    Affine map of every row: y = x Wᵀ + b\n" in text
    loss = float(walker.step["output"])
    assert f"output = {loss:.6g} for 3 images, {loss / 3:.6g} per image" in text
    text, walker = walk(["goto kl", "goto 30", "goto decoder.0", "n"])
    assert "∂L/∂W += scale Gᵀ x" in text and f"{float(walker.trace[10]['divergence']) / 3:.6g} per image" in text


def test_walk_watches_under_headings():
    text, _ = walk(["goto encoder.1", "w encoder.1", "w noise", "n"])
    heading, *rows = text.split("(step) ")[-2].splitlines()[-2:]
    assert heading.split()[:4] == ["watching", "verb", "array", "shape"] and rows[0].startswith("encoder.1")
    assert heading.index("shape") == rows[0].index("3×5")


def test_step_takes_another_size_of_a_new_model(capsys):
    assert main(["step", "vae", "--hidden", "8", "--table"]) == 0
    assert "encoder.3 Linear(8 -> 8).update_output" in capsys.readouterr().out
    assert main(["step", "conv", "--hidden", "8"]) == 1
    assert "model 'conv' has no such parameter" in capsys.readouterr().err
    assert main(["step", "runs/none", "--hidden", "8"]) == 1
    assert "--hidden is for a new model" in capsys.readouterr().err


def test_walk_finds_what_is_not_finite():
    model = small()
    model.decoder[2].bias[...] = np.nan
    text, walker = walk(["nonfinite"], mv.trace(model, images()))
    assert walker.step.path == "decoder.2" and "not finite" in text


def test_step_of_a_model_and_of_a_run(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["step", "vae", "--table"]) == 0
    assert "decoder.4 Linear(1152 -> 576).acc_grad_parameters" in capsys.readouterr().out
    training = Training(models.vae(hidden=4), Batches(rectangles(64), 16))
    training.run(2, progress=False)
    checkpoint.save("checkpoint.npz", training, {"model": "vae", "options": {"hidden": 4},
                                                 "data": {"name": "rectangles", "images": 64}})
    assert main(["step", ".", "--table", "--images", "3"]) == 0
    assert "3×1×24×24" in capsys.readouterr().out
    assert main(["step", "gan"]) == 1
    assert "'gan' is no run and none of vae, denoising, bernoulli, categorical, aevb" in capsys.readouterr().err
