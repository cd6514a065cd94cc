"""The worlds of the evidence: their data by seed, their models by setting."""

import hashlib
import pickle
from pydoc_data.topics import topics

import keras
import numpy as np
import pytest

from epochlab import sweep
from epochlab.worlds import WORLDS, make_optimizer, photos_model, text_data, text_model

every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


@pytest.mark.slow
@every_world
def test_the_same_seed_has_the_same_rows_another_seed_others(world):
    first, again, other = (world.data(seed, n_train=100) for seed in (0, 0, 1))
    for name in ("x_train", "y_train", "x_validation", "x_test"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
        assert not np.array_equal(getattr(first, name), getattr(other, name))
    assert len(first.y_train) == 100


@every_world
def test_a_world_travels_to_another_process(world):
    assert pickle.loads(pickle.dumps(world)) == world


def test_each_row_of_text_is_followed_by_its_next_characters():
    data = text_data(3, n_train=5, n_validation=7)
    text = "\n".join(topics[name] for name in sorted(topics))
    for x, y in zip(data.x_train, data.y_train, strict=True):
        row = "".join(data.class_names[i] for i in [*x, y[-1]])
        assert row in text
        np.testing.assert_array_equal(x[1:], y[:-1])
    assert data.y_validation.shape == (7, 64)
    assert data.y_test.shape == (500, 64)
    assert data.source.endswith(hashlib.sha256(text.encode()).hexdigest()[:16])


def test_text_is_cut_once_and_no_piece_is_in_two_parts():
    most = 10**6
    with pytest.raises(ValueError, match=r"n_train \+ n_validation must be at most [\d,]+ beside"):
        text_data(0, n_train=most)
    text = "".join(topics[name] + "\n" for name in sorted(topics))
    n_rows = (len(text) - 2) // 64
    data = text_data(0, n_train=n_rows - 600, n_validation=100)
    counted = np.concatenate([data.x_train, data.x_validation, data.x_test])
    assert len(counted) == n_rows
    whole = np.bincount([data.class_names.index(c) for c in text[: n_rows * 64]])
    np.testing.assert_array_equal(np.bincount(counted.ravel(), minlength=len(whole)), whole)


def test_more_rows_of_text_are_added_to_those_of_a_smaller_number():
    small, large = (text_data(0, n_train=n, n_validation=n) for n in (50, 80))
    np.testing.assert_array_equal(large.x_train[:50], small.x_train)
    np.testing.assert_array_equal(large.x_validation[-50:], small.x_validation)
    np.testing.assert_array_equal(large.x_test, small.x_test)


def test_the_transformer_sees_the_past_only_and_where_it_is():
    model = text_model()
    assert 110_000 < model.count_params() < 120_000
    x = np.full((1, 64), 7, np.int32)
    changed = x.copy()
    changed[0, 40] = 8
    before, after = (keras.ops.convert_to_numpy(model(row)) for row in (x, changed))
    np.testing.assert_allclose(before[0, :40], after[0, :40], rtol=1e-5, atol=1e-5)
    assert np.abs(before[0, 40:] - after[0, 40:]).max(axis=1).min() > 1e-3
    assert np.abs(before[0, 0] - before[0, 1]).max() > 1e-3  # the same character, another place


def test_the_variants_of_the_cnn():
    def kinds(**variant):
        return [type(layer).__name__ for layer in photos_model(**variant).layers]

    plain = kinds()
    assert kinds(augmentation=True) == ["RandomFlip", "RandomTranslation", *plain]
    normalized = kinds(batch_normalization=True)
    assert normalized.count("BatchNormalization") == 2
    assert [kind for kind in normalized if kind != "BatchNormalization"] == plain


@pytest.mark.parametrize(
    ("schedule", "expected"),  # the rate before steps 0, 25, 75, 90 and 99 of 100
    [
        ("constant", [0.5, 0.5, 0.5, 0.5, 0.5]),
        ("cosine", [0.5, 0.427, 0.073, 0.012, 0.0]),
        ("one-cycle", [0.02, 0.42, 0.142, 0.025, 0.0]),
        ("cooldown", [0.5, 0.5, 0.5, 0.25, 0.003]),
    ],
)
def test_a_schedule_ends_with_the_run(schedule, expected):
    optimizer = make_optimizer("sgd", 0.5, schedule, steps=100)
    rates = []
    for step in (0, 25, 75, 90, 99):
        optimizer.iterations.assign(step)
        rates.append(float(optimizer.learning_rate))
    np.testing.assert_allclose(rates, expected, atol=0.001)


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adamw"])
def test_the_last_step_puts_the_average_of_the_weights_in_their_place(kind):
    plain, averaged = keras.Variable([1.0]), keras.Variable([1.0])
    plain_optimizer = make_optimizer(kind, 0.1)
    optimizer = make_optimizer(kind, 0.1, steps=4, ema_momentum=0.75)
    average = None
    for step in range(4):
        gradient = keras.ops.array([float(step + 1)])
        for variable, each in ((plain, plain_optimizer), (averaged, optimizer)):
            each.apply([gradient], [variable])
        value = float(plain[0])
        average = value if average is None else 0.75 * average + 0.25 * value
        assert float(averaged[0]) == pytest.approx(average if step == 3 else value)


def test_names_that_nobody_knows_and_missing_steps_are_refused():
    with pytest.raises(ValueError, match=r"optimizer must be one of .*'adamw'.*; got 'adam'"):
        make_optimizer("adam")
    with pytest.raises(ValueError, match=r"schedule must be one of .*; got 'linear'"):
        make_optimizer(schedule="linear")
    for setting in ({"schedule": "cosine"}, {"ema_momentum": 0.9}):
        with pytest.raises(TypeError, match="steps must be an integer, at least 1; got None"):
            make_optimizer(**setting)


@pytest.mark.slow
@every_world
def test_every_world_can_be_swept_and_learns(world):
    grid = {"schedule": ["one-cycle"], "steps": [100], "n_train": [400], "n_validation": [100]}
    grid |= {"optimizer": [world.optimizers[-1]], "learning_rate": [0.005]}
    (run,) = sweep(world.build_model, world.data, grid, seeds=1).itertuples()
    labels = world.data(0, n_train=400).y_train
    share_of_the_most_frequent = np.bincount(labels.ravel()).max() / labels.size
    assert run.val_accuracy > share_of_the_most_frequent + 0.05
    assert run.steps == 100
