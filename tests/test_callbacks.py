"""Callbacks: called after each epoch, in their order; any of them may end a training, and none of them changes it."""

import numpy as np
import pytest

import minivae as mv
from minivae import backend, checkpoint, evaluation, models
from minivae.callbacks import Bound, Patience
from minivae.data import Batches, rectangles
from minivae.errors import MinivaeError, OptionError
from minivae.protocol import Protocol
from minivae.training import Training

LENGTH = 5  # batches in an epoch


def training(*callbacks):
    backend.manual_seed(0)
    model = models.build("denoising", image=(1, 6, 6), hidden=8, code=2)
    return Training(model, Batches(rectangles(80, 6, 6, sides=(3, 3)), 16), callbacks=callbacks)


def test_they_are_called_after_each_epoch_with_the_training():
    seen = []
    run = training(lambda it: seen.append((it, it.steps, "a")), lambda it: seen.append((it, it.steps, "b")))
    run.run(7, progress=False)
    run.run(9, progress=False)  # the second epoch ends in its third step
    assert seen == [(run, steps, name) for steps in (5, 10, 15) for name in "ab"]


@pytest.mark.parametrize("true", [True, np.True_])
def test_one_that_returns_true_ends_it(true):
    seen = []
    run = training(lambda it: true if it.steps == 10 else None, lambda it: seen.append(it.steps))
    run.run(20, progress=False)
    assert run.steps == 10 and run.ended and not run.stopped and seen == [5, 10]
    run.run(5, progress=False)
    assert run.steps == 15 and not run.ended


@pytest.mark.parametrize("answer", [0, 1, 0.5, "stop", [True], np.zeros(2)])
def test_an_answer_that_is_neither_is_refused(answer):
    with pytest.raises(OptionError, match=r"returned .*; return True to end the training, or nothing"):
        training(lambda it: answer).run(5, progress=False)


def test_a_look_changes_nothing():
    def rude(it):
        it.model.evaluate()
        evaluation.log_likelihood(it.model, rectangles(20, 6, 6, sides=(3, 3)), samples=3)
        x = it.batches.pixels[:2].astype("float32")
        mv.trace(it.model, x)
        mv.gradcheck(it.model.kl, it.model.encode(x))
        with backend.seeded(0):
            it.model.sample(2)
            it.model.training().forward(x)

    images = rectangles(30, 6, 6, sides=(3, 3), seed=1)
    looked_at = training(Bound(images), rude)
    looked_at.run(12, progress=False)
    alone = training()
    alone.run(12, progress=False)
    assert np.array_equal(looked_at.parameters, alone.parameters)
    assert looked_at.protocol.rows == alone.protocol.rows and [row[0] for row in looked_at.protocol.tests] == [5, 10]
    at_ten = training()
    at_ten.run(10, progress=False)
    estimate = evaluation.elbo(at_ten.model, images)
    assert looked_at.protocol.tests[1] == (10, estimate.reconstruction, estimate.divergence)


def test_what_draws_from_its_stream_changes_its_steps():
    def draw(it):
        it.model.sample(2)

    looked_at, alone = (training(*callbacks).run(LENGTH + 1, progress=False).rows for callbacks in ([draw], []))
    assert looked_at[:LENGTH] == alone[:LENGTH] and looked_at[LENGTH] != alone[LENGTH]


@pytest.mark.parametrize(("totals", "best", "waited"), [
    ([3], 0, 0), ([3, 2, 1], 2, 0), ([3, 1, 2], 1, 1), ([1, 1, 1], 0, 2),
    ([np.nan, np.inf], 0, 1), ([np.nan, 5, np.inf, -7], 3, 0)])
def test_patience_counts_the_epochs_since_the_best(totals, best, waited):
    run = training()
    run.protocol = Protocol(())
    run.protocol.tests = [(k, total - 1, 1) for k, total in enumerate(totals)]
    assert run.protocol.best() == best
    for epochs in (1, 2, 3):
        assert Patience(epochs)(run) == (waited >= epochs)
    with pytest.raises(OptionError, match="whole number from 1"):
        Patience(0)


def test_patience_without_a_look_says_what_to_do():
    with pytest.raises(OptionError, match=r"put a Bound\(images, scale\) before it"):
        training(Patience(2)).run(4 * LENGTH, progress=False)


def test_patience_waits_for_looks_that_come_later_or_seldom():
    bound = Bound(rectangles(4, 6, 6, sides=(3, 3)))
    seldom = [lambda it: bound(it) if it.steps % (2 * LENGTH) == 0 else None, Patience(1)]
    for callbacks in ([Patience(1), bound], seldom):
        run = training(*callbacks)
        run.run(2 * LENGTH, progress=False)
        assert run.steps == 2 * LENGTH and run.protocol.tests


@pytest.mark.parametrize(("images", "scale", "message"), [
    ("x", 1, "expected an array, got str"),
    (rectangles(4), "x", "scale='x'.* such as 1/255"), (rectangles(4)[:0], 1, "no images")])
def test_a_bound_looks_at_its_images_when_it_is_made(images, scale, message):
    with pytest.raises(MinivaeError, match=message):
        Bound(images, scale)


def test_what_a_training_has_is_shown_in_a_line():
    run = training(Bound(rectangles(4, 6, 6, sides=(3, 3)), 1 / 255), Patience(3))
    assert repr(run) == "Training(VAE, Batches((80, 1, 6, 6), batch_size=16, scale=1), steps=0)"
    assert repr(run.callbacks) == "[Bound((4, 1, 6, 6), scale=0.003922), Patience(3)]"
    assert repr(run.run(2, progress=False)).startswith("Protocol(2 rows: step, reconstruction, divergence, total, ")
    with pytest.raises(OptionError, match=r"callbacks=Patience\(3\)\): wanted a list of functions; \[...\] makes one"):
        Training(run.model, run.batches, callbacks=Patience(3))


def test_patience_is_kept_over_a_checkpoint(tmp_path):
    def worse(it):
        it.protocol.tests.append((float(it.steps), float(it.steps), 0.0))

    whole = training(worse, Patience(3))
    whole.run(100, progress=False)
    first = training(worse, Patience(3))
    first.run(2 * LENGTH + 1, progress=False)
    checkpoint.save(tmp_path / "one.npz", first, {"model": "denoising", "options": {}})
    second = training(worse, Patience(3))
    checkpoint.restore(tmp_path / "one.npz", second)
    second.run(100, progress=False)
    assert whole.steps == second.steps == 4 * LENGTH and np.array_equal(whole.parameters, second.parameters)
