"""BatchRecorder, TrainEvaluation and history_table against what Keras computes."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers

from epochlab import BatchRecorder, EarlyStopping, TrainEvaluation, _keras, history_table

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(22, 4)).astype("float32"), RNG.normal(size=(22, 1)).astype("float32")
WEIGHTS = RNG.uniform(0, 3, 22).astype("float32")
VALIDATION = (X[:9], Y[:9])
PLAIN = {"batch_size": 8, "shuffle": False, "verbose": 0}  # batches of 8, 8 and 6


def build(steps_per_execution=1, accumulation=None, **compile):
    keras.utils.set_random_seed(3)
    dense = layers.Dense(8, "relu", kernel_regularizer=keras.regularizers.L2(0.1))
    model = keras.Sequential([keras.Input((4,)), dense, layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.05, gradient_accumulation_steps=accumulation)
    model.compile(
        optimizer,
        "mse",
        metrics=["mae"],
        jit_compile=False,
        steps_per_execution=steps_per_execution,
        **compile,
    )
    return model


@pytest.fixture(scope="module")
def traced():
    model = build()
    model.fit(X, Y, **PLAIN)
    return model, model.get_weights()


def batches(epochs, weights=None):
    """The batches of each epoch, cut by hand."""
    for epoch in range(epochs):
        for start in range(0, 22, 8):
            rows = slice(start, start + 8)
            yield epoch, X[rows], Y[rows], None if weights is None else weights[rows]


# BatchRecorder


@pytest.mark.slow
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("accumulation", [None, 2])
def test_batches_are_those_of_train_on_batch(accumulation, weights):
    recorder, model, twin = (
        BatchRecorder(),
        build(accumulation=accumulation),
        build(accumulation=accumulation),
    )
    assert recorder.batches.empty
    settings = {"epochs": 3, "validation_data": VALIDATION, "sample_weight": weights, **PLAIN}
    history = model.fit(X, Y, callbacks=[recorder], **settings)
    expected = []
    for step, (epoch, x, y, w) in enumerate(batches(3, weights)):
        twin.reset_metrics()
        loss = twin.train_on_batch(x, y, w, return_dict=True)["loss"]
        expected.append((epoch, step, len(x), float(loss)))
    table = recorder.batches
    expected = pd.DataFrame(expected, columns=["epoch", "step", "samples", "loss"])
    pd.testing.assert_frame_equal(table, expected, rtol=2e-6)
    # Their mean over the samples is what Keras logs.
    means = (table["loss"] * table["samples"]).groupby(table["epoch"]).sum() / 22
    np.testing.assert_allclose(means, history.history["loss"], rtol=1e-6)


def test_sample_weights_are_divided_by_the_number_of_samples(model):
    recorder = BatchRecorder()
    before = ((model(X[:8]).numpy() - Y[:8]) ** 2)[:, 0]
    penalty = float(sum(model.losses))
    model.fit(X[:8], Y[:8], sample_weight=WEIGHTS[:8], callbacks=[recorder], **PLAIN)
    expected = (WEIGHTS[:8] * before).sum() / 8 + penalty
    assert recorder.batches["loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("known", [True, False])
def test_steps_per_execution_gives_groups(known):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    if not known:
        data = data.filter(lambda x, y: True)  # of a length nobody knows
    grouped, single, model = BatchRecorder(), BatchRecorder(), build()
    model.fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[single])
    build(steps_per_execution=2).fit(data, epochs=2, shuffle=False, verbose=0, callbacks=[grouped])
    single, grouped = single.batches, grouped.batches
    assert grouped["epoch"].tolist() == [0, 0, 1, 1]
    assert grouped["samples"].tolist() == [16, 6, 16, 6]
    if known:
        assert grouped["step"].tolist() == [1, 2, 4, 5]
    group = single["epoch"] * 2 + single["step"] % 3 // 2
    total = (single["loss"] * single["samples"]).groupby(group).sum()
    means = total / single["samples"].groupby(group).sum()
    np.testing.assert_allclose(grouped["loss"], means, rtol=2e-6)


def test_an_evaluation_in_between_and_a_second_fit_disturb_nothing(model):
    class Evaluate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.evaluate(X[:3], Y[:3], verbose=0)

    weights, first, second = model.get_weights(), BatchRecorder(), BatchRecorder()
    model.fit(X, Y, epochs=2, callbacks=[first], **PLAIN)
    model.set_weights(weights)
    second._rows = ["of an earlier fit"]
    model.fit(X, Y, epochs=5, initial_epoch=3, callbacks=[second, Evaluate()], **PLAIN)
    expected = first.batches.assign(epoch=first.batches["epoch"] + 3)
    pd.testing.assert_frame_equal(second.batches, expected, rtol=2e-6)


@pytest.mark.slow
def test_many_batches_are_exact_enough():
    x, y = np.tile(X, (40, 1)), np.tile(Y, (40, 1))
    recorder, model = BatchRecorder(), build()
    model.optimizer.learning_rate = 0.0
    model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[recorder])
    errors = (model.predict(x, verbose=0) - y)[:, 0] ** 2 + float(sum(model.losses))
    assert len(recorder.batches) == 880
    assert np.abs(recorder.batches["loss"] - errors).max() < 1e-7 * 880 * errors.mean()


def test_a_model_that_trains_otherwise_is_refused():
    class Own(keras.Sequential):
        def train_step(self, data):
            return super().train_step(data)

    own = Own([layers.Dense(1)])
    own.compile("sgd", "mse")
    with pytest.raises(ValueError, match="got a Own with a train_step of its own"):
        own.fit(X, Y, callbacks=[BatchRecorder()], **PLAIN)


def test_a_model_with_metrics_of_its_own_is_recorded_all_the_same(model):
    class Own(keras.Model):
        @property
        def metrics(self):
            return [self.own]

    inputs = keras.Input((4,))
    keras.utils.set_random_seed(3)
    own = Own(inputs, layers.Dense(1)(layers.Dense(8, "relu")(inputs)))
    own.own = keras.metrics.Mean(name="own")
    twin = keras.models.clone_model(own)
    twin = keras.Model(twin.inputs, twin.outputs)
    twin.set_weights(own.get_weights())
    recorders = BatchRecorder(), BatchRecorder()
    for one, recorder in zip((own, twin), recorders, strict=True):
        one.compile("sgd", "mse", jit_compile=False)
        one.fit(X, Y, epochs=2, callbacks=[recorder], **PLAIN)
    pd.testing.assert_frame_equal(recorders[0].batches, recorders[1].batches, rtol=2e-6)
    assert np.isfinite(recorders[0].batches["loss"]).all()


def test_a_loss_that_nobody_counts_is_refused(monkeypatch, model):
    monkeypatch.setattr(_keras, "loss_tracker", lambda model: None)
    recorder = BatchRecorder()
    with pytest.raises(ValueError, match="must count its loss as keras.Model does; got a Sequent"):
        model.fit(X, Y, callbacks=[recorder], **PLAIN)
    assert recorder.batches.empty


# TrainEvaluation


@pytest.mark.slow
@pytest.mark.parametrize("validation_freq", [1, 2])
def test_the_loss_after_each_epoch_joins_the_logs(model, validation_freq):
    settings = {"epochs": 4, "validation_data": VALIDATION, "validation_freq": validation_freq}
    results, weights = [], model.get_weights()
    evaluated = []

    class Evaluate(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            evaluated.append(self.model.evaluate(X, Y, verbose=0, return_dict=True))

    stopping = EarlyStopping("train_loss", patience=9)
    for callbacks in ([Evaluate()], [TrainEvaluation(X, Y), stopping]):
        model.set_weights(weights)
        history = model.fit(X, Y, callbacks=callbacks, **settings, **PLAIN)
        results.append((dict(history.history), model.get_weights()))
    (plain, _), (measured, _) = results
    for name in ("loss", "mae"):
        values = measured.pop(f"train_{name}")
        assert values == [logs[name] for logs in evaluated]
        if name == "loss":
            assert stopping.report.best_value == min(values)
            assert values != plain["loss"]
    # fit's own numbers, the validation's and the training are what they are without it.
    assert measured == plain
    best = stopping.report.best_epoch
    assert model.evaluate(X, Y, verbose=0, return_dict=True) == evaluated[best]


def test_arrays_of_several_inputs_and_outputs():
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((4,), name="b")}
    outputs = layers.Dense(1)(layers.Add()([*inputs.values()]))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    x = {"a": X, "b": X}
    callback = TrainEvaluation(x, tf.constant(Y), batch_size=22)
    history = model.fit(x, Y, callbacks=[callback], **PLAIN)
    assert history.history["train_loss"] == [model.evaluate(x, Y, verbose=0, batch_size=22)]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, Y[:-1]), ValueError, "x and y must be arrays of one length.*lengths 21, 22"),
        (({"a": X, "b": X[:3]}, Y), ValueError, "lengths 3, 22"),
        ((X[:0], Y[:0]), ValueError, "at least 1; got the lengths 0"),
        ((3, Y), TypeError, r"x must be an array; got 3 \(int\)"),
        ((X, "abc"), TypeError, "y must be an array; got 'abc'"),
        (([], []), ValueError, r"x must be an array; got \[\], which holds none"),
        ((X, {}), ValueError, "y must be an array; got {}, which holds none"),
        ((X, np.float32(3)), TypeError, "y must be an array"),
    ],
)
def test_bad_arrays_are_refused_at_once(arguments, error, message):
    with pytest.raises(error, match=message):
        TrainEvaluation(*arguments)
    with pytest.raises(ValueError, match="batch_size must be an integer"):
        TrainEvaluation(X, Y, batch_size=0)


# history_table


@pytest.mark.slow
@pytest.mark.parametrize("initial_epoch", [0, 3])
@pytest.mark.parametrize("validation_freq", [1, 2, 3, 99, [1, 5], [2, 4, 6]])
def test_rows_are_epochs(model, validation_freq, initial_epoch):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append({"epoch": epoch, **logs})

    settings = {"epochs": 7, "initial_epoch": initial_epoch, "validation_freq": validation_freq}
    history = model.fit(X, Y, callbacks=[Look()], validation_data=VALIDATION, **settings, **PLAIN)
    table = history_table(history, validation_freq=validation_freq)
    expected = pd.DataFrame(seen)
    assert sorted(table) == sorted(expected) and [*table][0] == "epoch"
    pd.testing.assert_frame_equal(table, expected[[*table]])
    assert table["epoch"].tolist() == list(range(initial_epoch, 7))


def recorded(epochs, **values):
    history = keras.callbacks.History()
    history.epoch, history.history = list(epochs), values
    return history


def test_lists_that_do_not_fit_are_refused():
    wrong = recorded(range(6), loss=[0.0] * 6, val_loss=[0.0] * 3)
    for freq in (1, 3, [1, 2], [1, 9]):
        with pytest.raises(ValueError, match="validation_freq must be what fit had; got 3 values"):
            history_table(wrong, validation_freq=freq)
    assert history_table(wrong, validation_freq=2)["val_loss"].count() == 3
    assert history_table(wrong, validation_freq=[1, 3, 4, 9])["val_loss"].count() == 3
    every = recorded(range(6), loss=[0.0] * 6, val_loss=[0.0] * 6)
    with pytest.raises(ValueError, match="got 6 values of val_loss for 3 epochs of 6"):
        history_table(every, validation_freq=2)
    for reused in (
        recorded(range(3), loss=[0.0] * 5),
        recorded(range(3), loss=[0.0] * 3, val_loss=[0.0] * 5),
        recorded(range(3), loss=[0.0] * 2),
    ):
        with pytest.raises(ValueError, match="history must be of one fit"):
            history_table(reused)
    with pytest.raises(ValueError, match="a fit that has begun"):
        history_table(keras.callbacks.History())
    with pytest.raises(TypeError, match="history must be the History that fit returns; got {}"):
        history_table({})
    for freq, error in ((0, ValueError), (1.0, TypeError), ((1, 2), TypeError), ([0], ValueError)):
        with pytest.raises(error, match="validation_freq must be"):
            history_table(every, validation_freq=freq)
    assert history_table(recorded([])).shape == (0, 1)


def test_a_history_that_served_twice_is_refused(model):
    history = keras.callbacks.History()
    model.fit(X, Y, epochs=2, callbacks=[history], **PLAIN)
    model.fit(X, Y, epochs=3, callbacks=[history], **PLAIN)
    with pytest.raises(ValueError, match="of one fit, with a History of its own; got 5 values"):
        history_table(history)
