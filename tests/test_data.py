"""Rectangles, their entropy, and batches."""

from math import log

import numpy as np
import pytest

import minivae as mv
from minivae import backend, evaluation, models
from minivae.data import Batches, Images, Redrawn, entropy, is_full_square, rectangles
from minivae.errors import DTypeError, MinivaeError, OptionError


def test_rectangles_are_the_articles_squares():
    images = rectangles(20000)
    assert images.shape == (20000, 1, 24, 24) and images.dtype == np.uint8
    assert set(np.unique(images)) == {0, 1}
    assert (images.sum(axis=(1, 2, 3)) == 81).all() and is_full_square(images).all()
    assert len(np.unique(images.reshape(len(images), -1).argmax(axis=1))) == 256  # corners of the squares
    assert images[:, 0, 0, :].any() and images[:, 0, 23, :].any()


def test_rectangles_repeat_with_their_seed():
    assert np.array_equal(rectangles(50, seed=3), rectangles(50, seed=3))
    assert not np.array_equal(rectangles(50, seed=3), rectangles(50, seed=4))


def test_sides_are_drawn_from_their_range():
    images = rectangles(2000, 10, 12, sides=(2, 4))
    heights, widths = images.any(axis=3).sum(axis=2)[:, 0], images.any(axis=2).sum(axis=2)[:, 0]
    assert set(heights) == set(widths) == {2, 3, 4}
    assert (images.sum(axis=(1, 2, 3)) == heights * widths).all()


def test_entropy_is_that_of_the_drawn_images():
    assert entropy() == pytest.approx(log(256)) == pytest.approx(5.545, abs=5e-4)
    images = rectangles(40000, 5, 5, sides=(2, 3)).reshape(40000, -1)
    share = np.unique(images, axis=0, return_counts=True)[1] / len(images)
    assert entropy(5, 5, (2, 3)) == pytest.approx(-(share * np.log(share)).sum(), abs=0.01)


@pytest.mark.parametrize("options", [
    {"n": 0}, {"sides": (0, 3)}, {"sides": (5, 3)}, {"sides": (9, 30)}, {"n": 1.5}, {"n": True}, {"height": 5.5},
    {"width": "9"}, {"sides": 3}, {"sides": (1, 2, 3)}, {"sides": (1.5, 2)}])
def test_impossible_rectangles_are_refused(options):
    with pytest.raises(OptionError, match="rectangles"):
        rectangles(**{"n": 5, **options})


def test_full_square_wants_one_square_without_holes():
    square = np.zeros((4, 24, 24))
    square[:, 3:12, 5:14] = 0.6
    square[1, 4, 6] = 0.4  # a hole
    square[2, 0, 0] = 1  # a speck
    square[3, 3:12, 5:14], square[3, :81 // 3, :3] = 0, 1  # 72 pixels in another shape
    assert is_full_square(square).tolist() == [True, False, False, False]
    rows = np.zeros((1, 24, 24))
    rows[0, list(range(0, 9, 2)) + list(range(9, 17, 2)), 0:9] = 1  # 81 pixels in nine rows apart
    assert not is_full_square(rows)[0]


def test_random_batches_are_scaled_and_reuse_their_buffer():
    pixels = np.arange(20, dtype=np.uint8).reshape(10, 2)
    batches = Batches(pixels, 4, scale=1 / 255)
    first = batches.next()
    assert first.shape == (4, 2) and first.dtype == np.float32 and len(batches) == 2
    assert np.isin(np.rint(first[:, 0] * 255), pixels[:, 0]).all()
    assert batches.next() is first


def test_random_batches_draw_every_image_equally():
    batches = Batches(np.arange(10, dtype=np.uint8)[:, None], 10)
    counts = np.bincount(np.concatenate([batches.next()[:, 0].copy() for _ in range(500)]).astype(int), minlength=10)
    assert (abs(counts - 500) < 5 * np.sqrt(500 * 0.9)).all()


def test_an_epoch_has_each_image_once_and_a_short_last_batch():
    batches = Batches(np.arange(10, dtype=np.uint8)[:, None], 4, by_epoch=True)
    assert len(batches) == 3
    epochs = [[batches.next()[:, 0].tolist() for _ in range(3)], [batch[:, 0].tolist() for batch in batches]]
    for epoch in epochs:
        assert [len(batch) for batch in epoch] == [4, 4, 2] and sorted(np.concatenate(epoch)) == list(range(10))
    assert epochs[0] != epochs[1]


def test_batches_continue_from_their_state():
    pixels = np.arange(10, dtype=np.uint8)[:, None]
    batches, other = Batches(pixels, 4, by_epoch=True), Batches(pixels, 4, by_epoch=True)
    batches.next()
    other.set_state(batches.get_state())
    random = backend.get_random_state()
    following = [batches.next().tolist() for _ in range(4)]
    backend.set_random_state(random)
    assert [other.next().tolist() for _ in range(4)] == following


def test_images_are_taken_for_their_pixels():
    images = Images.of(np.random.default_rng(0).integers(0, 256, (6, 3, 3), np.uint8))
    model = models.bernoulli_vae(image=(3, 3), hidden=4, code=2)
    for made in (lambda images: Batches(images, 2, 1 / 255, by_epoch=True).next().sum(), Redrawn,
                 lambda images: evaluation.encode(model, images, 1 / 255)[1].sum(),
                 lambda images: evaluation.elbo(model, Redrawn(images)).value):
        mv.manual_seed(0)
        of_images = made(images)
        mv.manual_seed(0)
        of_pixels = made(images.pixels)
        assert of_images.grey is of_pixels.grey if made is Redrawn else of_images == of_pixels


@pytest.mark.parametrize("wrong", [[rectangles(1)[0]] * 2, (rectangles(1)[0],) * 2, rectangles(2).tolist(), "x", None])
def test_what_is_no_array_is_refused(wrong):
    """With a cure that makes images of several."""
    for taken in (Redrawn, lambda images: Batches(images, 1)):
        with pytest.raises(DTypeError, match=rf"an array, got {type(wrong).__name__}; numpy\.asarray\(images\) makes"):
            taken(wrong)


@pytest.mark.parametrize(("wrong", "says"), [
    (np.array(3.0), r"no images in an array of shape \(\)"), (np.zeros((0, 3, 3)), r"no images .* shape \(0, 3, 3\)"),
    (np.zeros((3, 0)), r"no images .* shape \(3, 0\)"), (np.zeros((3, 9), object), "dtype object, expected whole"),
    (np.full((3, 9), "1"), "dtype <U1, expected"), (np.ones((3, 9), complex), "dtype complex128, expected")])
def test_an_array_without_pixels_is_refused(wrong, says):
    model = models.bernoulli_vae(image=(3, 3), hidden=4, code=2)
    for taken in (lambda images: Batches(images, 1), lambda images: evaluation.elbo(model, images), Redrawn):
        with pytest.raises(MinivaeError, match=says):
            taken(wrong)


@pytest.mark.parametrize("size", [0, 11, 2.5])
def test_impossible_batch_size_is_refused(size):
    with pytest.raises(OptionError, match="from 1"):
        Batches(np.zeros((10, 2), np.uint8), size)


def test_the_short_last_batch_can_be_left_out():
    """Ten images in batches of 3: three batches an epoch, of nine different images, and then another order."""
    images = np.arange(10, dtype=np.uint8).reshape(10, 1)
    batches, twin = (Batches(images, 3, by_epoch=True, drop_last=True) for _ in range(2))
    assert len(batches) == 3 and len(Batches(images, 3, by_epoch=True)) == 4
    orders = []
    for _ in range(3):
        epoch = [batches.next().ravel().tolist() for _ in range(3)]
        assert all(len(each) == 3 for each in epoch) and len({number for each in epoch for number in each}) == 9
        orders.append(epoch)
    assert orders[0] != orders[1] != orders[2]
    twin.set_state(batches.get_state())
    assert twin.position == 9 and len(twin.next()) == 3
    for scale in ("1", None, float("nan")):
        with pytest.raises(OptionError, match=r"Batches\(scale=.*is what pixels are multiplied by"):
            Batches(images, 3, scale)
