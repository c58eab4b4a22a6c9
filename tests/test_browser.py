"""The pages in a real browser: what is painted is what Python decodes, and the walk shows the trace."""

import base64
import io
import re

import numpy as np
import pytest
from few import few
from PIL import Image

from minivae import backend, models, objectives
from minivae.data import data_set, rectangles
from minivae.debug.nudging import nudges
from minivae.debug.tracing import trace
from minivae.figures.explorer import explorer
from minivae.figures.step_page import step_page

FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))"
SHOWN = """() => {
    const names = (which) => Array.from(document.querySelectorAll(which + " .head code"), each => each.textContent);
    return { title: document.getElementById("title").textContent, more: !document.getElementById("next").disabled,
        made: names(".half.made"), later: names(".half.later"), numbers: Object.fromEntries(
            minivae.data.steps[minivae.state.at].records.map(({ name, array }) =>
                [name, Array.from(minivae.arrays[array].values.data)])) } }"""


@pytest.fixture
def visit(open_page, tmp_path):
    """A function: (text, what follows the address, width, touch) -> the open page; nothing may go wrong in it."""

    def opened(text, after="", width=1200, touch=False):
        file = tmp_path / "page.html"
        file.write_text(text, encoding="utf-8")
        page = open_page(viewport={"width": width, "height": 900}, has_touch=touch)
        page.goto(file.as_uri() + after)
        page.evaluate(FRAMES)
        return page

    return opened


def rectangle_data():
    return data_set.build("rectangles", images=16)


def halved(model):
    """The model with the weights as the page has them."""
    twin = model.clone()
    twin.load_state_dict({name: array.astype(np.float16 if array.ndim > 1 else np.float32).astype(np.float32)
                          for name, array in model.state_dict().items()})
    return twin


def pixels(page, canvas):
    """What a canvas shows, from 0 to 1, flat."""
    url = page.evaluate("id => document.getElementById(id).toDataURL()", canvas)
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("L")).ravel() / 255


def state_of(page):
    return np.array(page.evaluate("Array.from(minivae.state.z)"), dtype=np.float32)


def expect_painted(page, model, canvas="decoded", label=None):
    """Assert that the canvas shows what Python decodes from the embedded weights; returns the code."""
    page.evaluate(FRAMES)
    z, twin = state_of(page), halved(model)
    if label is not None:
        twin.condition(label)
    decoded = np.clip(twin.decode(z[None]), 0, 1).ravel()
    painted = pixels(page, canvas)
    assert painted.shape == decoded.shape and np.abs(painted - decoded).max() <= 1 / 255
    return z


def expect_address(page, part):
    """Assert that the address comes to hold this; the page writes it when things have come to rest."""
    for _ in range(100):
        if part in page.evaluate("location.hash"):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"{part} is not in {page.evaluate('location.hash')}")


def number_in(text):
    return float(text.replace("−", "-"))


def spread(model, factor=6):
    """The model with a decoder whose images differ from code to code."""
    for layer in model.decoder.list_modules():
        if "weight" in layer.parameter_names:
            layer.weight *= factor
    return model


def test_a_drag_over_the_plane_repaints_what_python_decodes(visit):
    model = spread(models.vae(hidden=64))
    page = visit(explorer(model, rectangle_data(), "vae"))
    start = expect_painted(page, model)
    box = page.locator("#plane").bounding_box()
    at = lambda x, y: (box["x"] + x * box["width"], box["y"] + y * box["height"])  # noqa: E731
    page.mouse.move(*at(0.5, 0.5))
    page.mouse.down()
    before = pixels(page, "decoded")
    for x, y in ((0.6, 0.4), (0.75, 0.25)):
        page.mouse.move(*at(x, y))
        z = expect_painted(page, model)
        span = float(page.locator("#control .slider input").first.get_attribute("max"))
        np.testing.assert_allclose(z, [(2 * x - 1) * span, (1 - 2 * y) * span], atol=0.02)
    page.mouse.up()
    assert not np.allclose(start, z) and np.abs(pixels(page, "decoded") - before).max() > 0.1


def test_keys_move_the_code_choose_images_and_the_address_comes_back(visit):
    model = spread(models.vae(hidden=16))
    text = explorer(model, rectangle_data(), "vae")
    page = visit(text)
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "plane":
            break
    for key in ("ArrowRight", "ArrowRight", "Shift+ArrowUp", "ArrowDown"):
        page.keyboard.press(key)
    np.testing.assert_allclose(expect_painted(page, model), [0.1, 0.45], atol=1e-6)
    expect_address(page, "z=0.100,0.450")
    assert "Code 0.10, 0.45." in page.locator("#mirror").text_content()
    page.keyboard.press("n")
    mean = model.encode(rectangles(2048, seed=1)[:1].astype(np.float32))[0][0]
    np.testing.assert_allclose(expect_painted(page, model), mean, atol=1e-6)
    expect_address(page, "image=0")
    again = visit(text, page.evaluate("location.hash") + "&theme=dark")
    np.testing.assert_allclose(state_of(again), mean, atol=1e-3)
    assert again.evaluate("getComputedStyle(document.body).backgroundColor") != page.evaluate(
        "getComputedStyle(document.body).backgroundColor")
    assert again.locator("#thumbnails [aria-pressed=true]").count() == 1


def test_the_label_that_is_chosen_is_decoded_under(visit):
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 6, 6), np.uint8)
    labels = np.arange(30) % 3
    data = data_set.DataSet(images, images, labels, 1 / 255, None, True, True, "three", ("a", "b", "c"),
                            train_labels=labels).labelled()
    model = spread(models.conditional_vae(image=(1, 6, 6), labels=3, hidden=8, code=3), 3)
    text = explorer(model, data, "three")
    page, seen = visit(text), []
    for label in (2, 0, 1):
        page.locator("#label").select_option(str(label))
        expect_painted(page, model, label=label)
        seen.append(pixels(page, "decoded"))
        expect_address(page, f"label={label}")
        assert f"Label {'abc'[label]}." in page.locator("#mirror").text_content()
    assert not np.allclose(seen[0], seen[1], atol=0.05) and not np.allclose(seen[1], seen[2], atol=0.05)
    page.locator("#thumbnails button").nth(5).click()
    assert page.locator("#label").input_value() == "2"
    expect_painted(page, model, label=2)
    again = visit(text, "#label=1")
    assert again.locator("#label").input_value() == "1"
    assert visit(explorer(models.vae(hidden=4), rectangle_data(), "vae")).locator("#label").is_hidden()


def test_a_code_beyond_the_range_widens_it(visit):
    model, data = spread(models.vae(hidden=16)), rectangle_data()
    layer = next(each for each in model.encoder.list_modules() if getattr(each, "weight", None) is not None)
    layer.weight *= 300
    means = model.encode(data.test[:500].astype(np.float32))[0]
    far = int(np.abs(means[:24]).max(axis=1).argmax())
    assert np.abs(means[far]).max() > 6
    text = explorer(model, data, "far")
    page = visit(text)
    page.locator("#thumbnails button").nth(far).click()
    np.testing.assert_allclose(expect_painted(page, model), means[far], atol=1e-5)
    expect_address(page, f"image={far}")
    np.testing.assert_allclose(state_of(visit(text, page.evaluate("location.hash"))), means[far], atol=1e-3)
    again = visit(text, f"#z={means[far][0]},{means[far][1]}")
    np.testing.assert_allclose(state_of(again), means[far], atol=1e-3)
    page.locator(".slider", has_text="range").locator("input").fill("6")
    expect_address(page, "range=6&")
    narrow = visit(text, page.evaluate("location.hash"))
    assert np.abs(state_of(narrow)).max() == 6
    assert narrow.locator("#control .slider input").first.get_attribute("max") == "6"


def test_a_large_bright_image_is_put_in_words(visit, tmp_path):
    np.save(tmp_path / "white.npy", np.full((20, 400, 400), 255, np.uint8))
    model = models.aevb(image=(1, 400, 400), hidden=2)
    model.decoder.parameters()[0][-1][...] = 9
    page = visit(explorer(model, data_set.build("own", path=str(tmp_path / "white.npy")), "white"))
    expect_address(page, "z=")
    assert "160000 of 160000 pixels are above ½, in rows 0 to 399, columns 0 to 399." in page.locator(
        "#mirror").text_content()


HELD = """() => {
    const left = [];
    for (const key of ["ArrowLeft", "Home", "n", "p"]) for (const held of ["altKey", "ctrlKey", "metaKey"]) {
        const event = new KeyboardEvent("keydown", { key, [held]: true, bubbles: true, cancelable: true });
        left.push(document.querySelector("#plane, canvas.heatmap").dispatchEvent(event));
    }
    return left; }"""


@pytest.mark.parametrize("kind", ["plane", "step"])
def test_keys_of_the_browser_are_left_to_it(visit, kind):
    model, x = models.vae(hidden=4), rectangles(1, seed=1).astype(np.float32)
    page = visit(explorer(model, rectangle_data(), "vae") if kind == "plane" else step_page(trace(model, x), "vae"))
    before = page.evaluate("JSON.stringify(minivae.state)")
    assert all(page.evaluate(HELD)) and page.evaluate("JSON.stringify(minivae.state)") == before


def test_sliders_interpolate_and_show_mean_and_deviation(visit):
    model = models.aevb("gaussian", hidden=16, code=3, image=(1, 24, 24))
    spread(model, 2)
    page = visit(explorer(model, rectangle_data(), "gaussian"))
    slider = page.locator("#control .slider input").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    z = expect_painted(page, model)
    assert np.count_nonzero(z) == 1 and z.max() == pytest.approx(0.01)
    deviation = np.exp(halved(model).decoder.forward(z[None])[1] / 2).ravel()
    assert np.abs(pixels(page, "std") - deviation / deviation.max()).max() <= 1 / 255
    images = page.locator("#thumbnails button")
    images.nth(2).click()
    page.locator(".segments button").nth(1).click()
    images.nth(5).click()
    means = model.encode(rectangles(2048, seed=1)[:6].astype(np.float32))[0]
    np.testing.assert_allclose(expect_painted(page, model), means[5], atol=1e-5)
    page.locator(".between .strip button").nth(4).click()
    np.testing.assert_allclose(expect_painted(page, model), (means[2] + means[5]) / 2, atol=1e-5)


def test_the_end_of_a_way_without_its_start_comes_back(visit):
    model = models.aevb("gaussian", hidden=16, code=3, image=(1, 24, 24))
    text = explorer(model, rectangle_data(), "gaussian")
    page = visit(text)
    page.locator(".segments button").nth(1).click()
    page.locator("#thumbnails button").nth(5).click()
    expect_address(page, "to=5")
    again = visit(text, page.evaluate("location.hash"))
    assert "to test image 5" in again.locator(".segments button").nth(1).text_content()
    assert np.array_equal(expect_painted(again, model), np.zeros(3))


def test_switches_flip_bits_and_temperature_relaxes_them(visit):
    model = spread(models.bernoulli_vae(hidden=16, code=6), 3)
    page = visit(explorer(model, rectangle_data(), "bits"))
    z = expect_painted(page, model)
    first = rectangles(2048, seed=1)[:1].astype(np.float32)
    assert np.array_equal(z, model.kl.latent.most_likely(model.encode(first))[0])
    switch = page.locator(".bits button").first
    label = switch.get_attribute("aria-label")
    switch.press("Enter")
    assert np.abs(expect_painted(page, model) - z).sum() == 1 and switch.get_attribute("aria-label") != label
    draw = "() => document.querySelector('.draws canvas').toDataURL()"
    warm = page.evaluate(draw)
    page.locator("#control input[type=range]").fill("-3")
    page.evaluate(FRAMES)
    assert page.evaluate(draw) != warm
    expect_address(page, "T=0.0498")


def test_next_walks_to_the_end_with_the_numbers_of_the_trace(visit):
    model, x = models.vae(hidden=6), rectangles(1, seed=1).astype(np.float32)
    recorded = trace(model.training(), x)
    leaves = [step for step in recorded if step.inside == 0]
    page = visit(step_page(recorded, "vae", nudges(model, x, recorded)))
    for number, step in enumerate(leaves):
        shown = page.evaluate(SHOWN)
        assert shown["title"] == f"{step.title}.{step.verb}"
        assert set(shown["made"]) == {record.name for record in step.made}
        later = {name for other in leaves[number + 1:] if other.path == step.path for name in other.arrays}
        seen = {name for other in leaves[:number + 1] if other.path == step.path for name in other.arrays}
        assert set(shown["later"]) == later - seen
        assert list(shown["numbers"]) == list(step.arrays)
        for name, array in step.arrays.items():
            assert np.array_equal(np.array(shown["numbers"][name], dtype=array.dtype), array.ravel())
        assert shown["more"] == (number < len(leaves) - 1)
        page.keyboard.press("ArrowRight")
    page.locator("#back").click()
    assert page.locator("#phase").text_content() == f"{len(leaves) - 1} of {len(leaves)}"


@pytest.mark.parametrize(("name", "model", "caption"), [
    ("elbo", lambda: models.aevb(image=(1, 24, 24), hidden=6), "L = reconstruction + β·KL"),
    ("iwae", lambda: models.aevb(image=(1, 24, 24), hidden=6, samples=3), "L = reconstruction + weighted KL"),
    ("dreg", lambda: models.aevb(image=(1, 24, 24), hidden=6, samples=3), "L = reconstruction + weighted KL"),
    ("exact_likelihood", lambda: models.bernoulli_vae(hidden=6, code=3), "L = reconstruction + KL of p(z|x)")])
def test_the_parts_of_the_loss_are_those_of_the_objective(visit, name, model, caption):
    objective, x = objectives.build(model(), name), rectangles(1, seed=1).astype(np.float32)
    network = objective.network.training()
    recorded = trace(network, x, objective.criterion, x)
    at = [step.verb for step in recorded if step.inside == 0].index("acc_grad_parameters")
    text = step_page(recorded, name, nudges(network, x, recorded, objective.criterion, x), objective)
    page = visit(text, f"#step={at}")
    with backend.seeded(0):
        _, *terms = objective.terms(objective.criterion.forward(network.forward(x), x))
    losses, divergence = page.locator("#losses"), objective.divergence
    found = re.fullmatch(rf"reconstruction (\S+) nats, {re.escape(divergence)} (\S+) nats", losses.text_content())
    assert list(map(number_in, found.groups())) == pytest.approx(list(map(float, terms)), rel=1e-4)
    assert page.locator("#nudge caption").text_content().endswith(caption)
    page.keyboard.press("Home")
    assert losses.text_content() == f"reconstruction … nats, {divergence} … nats"


def test_numbers_are_read_under_the_pointer_and_by_keys_and_a_weight_is_nudged(visit):
    model, x = models.vae(hidden=6), rectangles(1, seed=1).astype(np.float32)
    recorded = trace(model.training(), x)
    found = nudges(model, x, recorded)
    leaves = [step for step in recorded if step.inside == 0]
    number = next(k for k, step in enumerate(leaves) if (step.path, step.verb) == ("decoder.4", "acc_grad_parameters"))
    page = visit(step_page(recorded, "vae", found), f"#step={number}")
    card = page.locator(".half", has=page.get_by_text("grad_weight", exact=True))
    card.locator("canvas").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
    read = card.locator(".read").text_content()
    entry, value = read.split(" = ")
    grad = leaves[number]["grad_weight"]
    assert entry == "[2, 1]" and number_in(value) == pytest.approx(grad[2, 1], 1e-6)
    box = card.locator("canvas").bounding_box()
    page.mouse.move(box["x"] + 4.5 * box["width"] / 6, box["y"] + box["height"] / 2)
    row, value = re.fullmatch(r"\[(\d+), 4\] = (.*)", card.locator(".read").text_content()).groups()
    assert abs(int(row) - 288) <= 2
    assert number_in(value) == pytest.approx(grad[int(row), 4], 1e-6)
    mine = [each for each in found if each.path == "decoder.4"]
    page.locator("#nudge .buttons button").nth(1).click()
    cells = page.locator("#nudge td").all_text_contents()
    assert number_in(cells[0]) == pytest.approx(mine[1].analytic, 1e-8)
    assert number_in(cells[1]) == pytest.approx(mine[1].numeric, 1e-8)
    page.locator("#nudge input").fill("16")
    assert f"{mine[1].losses[16]:.8g}".rstrip("0") in page.locator("#nudge .read").text_content()


def test_the_walk_comes_back_by_its_address(visit):
    model, x = models.vae(hidden=6), rectangles(1, seed=1).astype(np.float32)
    recorded = trace(model, x)
    at = [step.verb for step in recorded if step.inside == 0].index("acc_grad_parameters")
    text = step_page(recorded, "vae", nudges(model, x, recorded))
    page = visit(text, f"#step={at}")
    page.locator("#nudge .buttons button").nth(1).click()
    page.locator("#theme").click()
    kept = page.evaluate("location.hash")
    assert kept in (f"#step={at}&nudge=1&theme={theme}" for theme in ("dark", "light"))
    again = visit(text, kept)
    assert again.locator("#nudge .buttons button").nth(1).get_attribute("aria-pressed") == "true"
    assert again.evaluate("location.hash") == kept
    last = again.locator("#nudge .buttons button").count() - 1
    for nudge, shown in ((-1, 0), (99, last)):
        assert visit(text, f"#step={at}&nudge={nudge}").evaluate("minivae.state.nudge") == shown


def test_choosers_choose_categories(visit):
    model = spread(models.categorical_vae(hidden=16, code=4, categories=3), 3)
    page = visit(explorer(model, rectangle_data(), "categories"))
    before = expect_painted(page, model)
    chooser = page.locator(".chooser").first
    other = chooser.locator("button[aria-pressed=false]").first.text_content()
    chooser.get_by_text(other, exact=True).press("Enter")
    z = expect_painted(page, model)
    assert np.array_equal(z.reshape(4, 3).sum(axis=1), np.ones(4)) and np.abs(z - before).sum() == 2
    assert chooser.locator("[aria-pressed=true]").text_content() == other


def test_a_notebook_shows_a_trace_that_can_be_walked(visit):
    model, x = models.vae(hidden=6), rectangles(3, seed=1).astype(np.float32)
    page = visit(f"<!doctype html><title>notebook</title>{trace(model, x)._repr_html_()}")
    frame = page.frame_locator("iframe")
    frame.locator("#next").click()
    assert frame.locator("#title").text_content() == "encoder.1 Linear(576 -> 6).update_output"
    assert frame.locator(".half.made .head").text_content().startswith("output3×6")


@pytest.mark.parametrize("kind", few(2, ["plane", "step", "numbers", "bits"]))
def test_a_telephone_shows_all_of_it(visit, kind):
    model = {"numbers": models.aevb(hidden=8, code=12, image=(1, 24, 24)), "bits": models.bernoulli_vae(hidden=8)}.get(
        kind, models.vae(hidden=8))
    if kind == "step":
        text = step_page(trace(model, rectangles(1).astype(np.float32)), "step")
    else:
        text = explorer(model, rectangle_data(), kind)
    page = visit(text, width=375, touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    if kind == "plane":
        page.locator("#plane").tap(position={"x": 60, "y": 60})
        z = expect_painted(page, model)
        assert z[0] < -1 and z[1] > 1
