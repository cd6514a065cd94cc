"""epochlab.training against real Keras: `fit`, `train_on_batch` and `evaluate`."""

import gc
import math
import signal
import weakref
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import layers
from tensorflow.python.eager.polymorphic_function import polymorphic_function

from epochlab import (
    Data,
    GeneralizationLoss,
    Patience,
    ProgressQuotient,
    StopReason,
    SuccessiveIncreases,
    Target,
    replay,
    train,
)
from epochlab.training import program
from epochlab.training.preparing import PARTS, use_xla

CLASSES = 4
ALL = ("train", "validation", "test")
EVALUATION = {"batch_size": 10_000, "verbose": 0, "return_dict": True}  # all at once, as train does


def images(n, rng):
    """Images that show their labels, so that a few steps change the weights a lot."""
    y = rng.integers(0, CLASSES, n).astype("int32")
    x = rng.random((n, 6, 6, 1)).astype("float32")
    x[np.arange(n), y] += 1
    return x, y


def make_data(n_train=70, n_validation=70, n_test=70):
    rng = np.random.default_rng(1)
    parts = [images(n, rng) for n in (n_train, n_validation, n_test)]
    return Data(*sum(parts, ()), class_names=tuple("abcd"), source="made up")


DATA = make_data()


def dense():
    return [layers.Flatten(), layers.Dense(8, "relu"), layers.Dense(CLASSES)]


def convolution():
    pooled = [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D()]
    return [*pooled, layers.Flatten(), layers.Dense(CLASSES)]


def batch_normalization():
    normalized = [layers.Flatten(), layers.Dense(8), layers.BatchNormalization(), layers.ReLU()]
    return [*normalized, layers.Dense(CLASSES)]


def dropout():
    dropped = [layers.Flatten(), layers.Dense(32, "relu"), layers.Dropout(0.5)]
    return [*dropped, layers.Dense(CLASSES)]


def regularized():
    penalty = keras.regularizers.L2(0.05)
    return [layers.Flatten(), layers.Dense(CLASSES, kernel_regularizer=penalty)]


def constrained():
    norm = keras.constraints.MaxNorm(0.5)
    return [layers.Flatten(), layers.Dense(CLASSES, kernel_constraint=norm)]


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def build(make_layers=dense, optimizer=None, seed=3, loss=None, metrics=("accuracy",), **compile):
    """A compiled model; the same seed gives the same weights and the same Dropout."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((6, 6, 1)), *make_layers()])
    compile = {"jit_compile": False, "metrics": list(metrics), **compile}
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss or cross_entropy(), **compile)
    return model


def orders(seed, epochs, n=70):
    return [np.random.default_rng([seed, epoch]).permutation(n) for epoch in range(epochs)]


def fit(model, *, batch_size, epochs, seed, data=DATA):
    """Plain Keras on the order of samples that train draws; an evaluation after each epoch."""
    rows = []
    for order in orders(seed, epochs, len(data.x_train)):
        shuffled = data.x_train[order], data.y_train[order]
        model.fit(*shuffled, batch_size=batch_size, shuffle=False, verbose=0)
        rows.append(evaluations(model, data))
    return rows


def evaluations(model, data=DATA, parts=("train", "validation")):
    """What `Run.epochs` shows, measured by `model.evaluate`."""
    prefixes = {"train": "", "validation": "val_", "test": "test_"}
    return {
        prefixes[part] + name: value
        for part in parts
        for name, value in model.evaluate(
            getattr(data, f"x_{part}"), getattr(data, f"y_{part}"), **EVALUATION
        ).items()
    }


def state(model):
    return [v.numpy().copy() for v in (*model.weights, *model.optimizer.variables)]


def same(states, others):
    return len(states) == len(others) and all(map(np.array_equal, states, others))


def distance(states, others):
    """The largest difference, relative to the largest value of its variable or to 1."""
    return max(
        np.abs(a - b).max() / max(np.abs(b).max(), 1)
        for a, b in zip(states, others, strict=True)
        if a.dtype.kind == "f"  # not the counts of steps
    )


def cosine():
    return keras.optimizers.schedules.CosineDecay(0.2, decay_steps=20)


sgd = keras.optimizers.SGD
# Per feature: layers, optimizer, batch size. Of 70 samples, 16 leaves a short last batch.
FEATURES = {
    "momentum": (dense, lambda: sgd(0.1, momentum=0.9), 16),
    "Adam": (dense, lambda: keras.optimizers.Adam(0.01), 16),
    "AdamW": (dense, lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1), 16),
    "RMSprop": (dense, lambda: keras.optimizers.RMSprop(0.01), 16),
    "Conv2D": (convolution, lambda: sgd(0.1), 16),
    "Dropout": (dropout, lambda: sgd(0.1), 16),
    "L2": (regularized, lambda: sgd(0.1), 16),
    "constraint": (constrained, lambda: sgd(0.1), 16),
    # 5 steps per epoch: an accumulation goes on over the end of an epoch, one is left at the end.
    "accumulation": (dense, lambda: sgd(0.1, 0.9, gradient_accumulation_steps=4), 16),
    "cosine schedule": (dense, lambda: sgd(cosine()), 16),
    "clipnorm": (dense, lambda: sgd(0.1, clipnorm=0.2), 16),
    "averaged weights": (dense, lambda: sgd(0.1, use_ema=True, ema_momentum=0.8), 16),
    "divisible": (dense, lambda: sgd(0.1), 14),
    "lone last sample": (dense, lambda: sgd(0.1), 23),
    "one batch": (dense, lambda: sgd(0.1), 70),
}
NORMALIZED = (batch_normalization, lambda: sgd(0.1), 16)
# fit overwrites the weights with their averages at its end, so it is one fit of one epoch.
EPOCHS = {"averaged weights": 1}


@pytest.mark.slow
@pytest.mark.parametrize("feature", FEATURES)
def test_plain_graph_is_fit_bit_for_bit(feature):
    make_layers, make_optimizer, batch_size = FEATURES[feature]
    arguments = {"batch_size": batch_size, "epochs": EPOCHS.get(feature, 2), "seed": 5}
    model, reference = (build(make_layers, make_optimizer()) for _ in range(2))
    before = state(model)
    run = train(model, DATA, jit_compile=False, **arguments)
    rows = fit(reference, **arguments)
    assert same(state(model), state(reference))
    assert not same(state(model)[: len(before)], before)
    if feature != "averaged weights":  # whose rows are of the weights before the averages
        assert run.epochs.drop(columns=["epoch", "step"]).to_dict("records") == rows


@pytest.mark.slow
@pytest.mark.parametrize(
    ("feature", "jit_compile"),
    [
        # Keras leaves the number of rows open, so that its graph averages with other rounding.
        (NORMALIZED, False),
        (NORMALIZED, True),
        (FEATURES["Adam"], True),
        (FEATURES["Conv2D"], True),
        (FEATURES["accumulation"], True),
    ],
    ids=["BatchNormalization", "BatchNormalization XLA", "Adam", "Conv2D", "accumulation"],
)
def test_fit_to_rounding(feature, jit_compile):
    make_layers, make_optimizer, batch_size = feature
    arguments = {"batch_size": batch_size, "epochs": 2, "seed": 5}
    model, reference = (build(make_layers, make_optimizer()) for _ in range(2))
    run = train(model, DATA, jit_compile=jit_compile, **arguments)
    rows = fit(reference, **arguments)
    assert distance(state(model), state(reference)) < 1e-6  # measured: at most 2.5e-7
    assert model.optimizer.iterations == reference.optimizer.iterations
    np.testing.assert_allclose(run.epochs["loss"], [row["loss"] for row in rows], rtol=2e-6)


@pytest.mark.slow
def test_dropout_with_xla_has_the_same_distribution():
    def losses(jit_compile):
        model = build(dropout, keras.optimizers.SGD(0.0))
        arguments = {"batch_size": 70, "steps": 200, "validate_every": 200}
        return train(model, DATA, jit_compile=jit_compile, **arguments).steps

    plain, xla = losses(False), losses(True)
    assert len(set(xla)) > 190  # a mask for each step
    standard_error = math.hypot(plain.std(), xla.std()) / math.sqrt(200)
    assert abs(plain.mean() - xla.mean()) < 5 * standard_error
    assert 0.7 < xla.std() / plain.std() < 1.4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch_size", "steps", "validate_every", "validated"),
    [
        (16, 12, None, [4, 9, 11]),  # 5 steps per epoch
        (16, 12, 3, [2, 5, 8, 11]),
        (16, 11, 4, [3, 7, 10]),
        (23, 7, 100, [6]),  # 4 steps per epoch, the last of one sample
        (35, 4, 1, [0, 1, 2, 3]),
    ],
)
def test_steps_and_rows(batch_size, steps, validate_every, validated):
    model, reference = build(), build()
    arguments = {"batch_size": batch_size, "validate_every": validate_every, "seed": 5}
    run = train(model, DATA, steps=steps, evaluate_test=True, jit_compile=False, **arguments)
    losses, rows, per_epoch = [], [], run.plan.steps_per_epoch
    batches = [
        order[start : start + batch_size]
        for order in orders(5, epochs=4)
        for start in range(0, len(order), batch_size)
    ]
    for step, batch in enumerate(batches[:steps]):
        reference.reset_metrics()  # or Keras returns the mean since the last reset
        x, y = DATA.x_train[batch], DATA.y_train[batch]
        losses.append(reference.train_on_batch(x, y, return_dict=True)["loss"])
        if step in validated:
            rows.append(
                {"epoch": step // per_epoch, "step": step} | evaluations(reference, parts=ALL)
            )
    np.testing.assert_allclose(run.steps, losses, rtol=1e-6)
    assert run.epochs.to_dict("records") == [pytest.approx(row, rel=1e-6) for row in rows]
    assert (run.report.reason, run.report.epochs_run) == (StopReason.EPOCHS, -(-steps // per_epoch))
    assert repr(run).startswith(f"Run of {steps} steps in ")


def test_evaluation_in_parts(monkeypatch):
    monkeypatch.setattr(program, "_EVALUATION_BATCH", 20)
    data = make_data(70, 45, 21)  # a last part of 10, 5 and 1
    model = build(regularized)
    row = train(model, data, steps=1, evaluate_test=True, jit_compile=False).epochs.iloc[-1]
    assert row.drop(["epoch", "step"]).to_dict() == pytest.approx(evaluations(model, data, ALL))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_every_sample_once_per_epoch_in_an_order_of_its_own(jit_compile):
    # Sample i is 2 ** i, in x and in y, and the loss adds up: its bits tell who was in the batch.
    ids = np.float32(2) ** np.arange(23, dtype="float32")
    parts = {"x_train": ids[:, None], "y_train": ids, "x_validation": ids[:, None]}
    data = replace(DATA, **parts, y_validation=ids)

    def loss(y_true, y_pred):
        together = keras.ops.all(keras.ops.ravel(y_true) == keras.ops.ravel(y_pred))
        return keras.ops.where(together, keras.ops.sum(y_true), -1) + 0 * keras.ops.sum(y_pred)

    dense = layers.Dense(1, use_bias=False, kernel_initializer="ones")
    model = keras.Sequential([keras.Input((1,)), dense])
    model.compile(keras.optimizers.SGD(0.0), loss)
    seen = []
    for seed in (0, 1, 0):
        run = train(model, data, batch_size=5, epochs=4, seed=seed, jit_compile=jit_compile)
        for epoch in run.steps.reshape(4, 5):
            assert [int(total).bit_count() for total in epoch] == [5, 5, 5, 5, 3]
            # 23 powers of two add up to this only if all are different.
            assert epoch.sum() == 2**23 - 1
        seen.append([tuple(epoch) for epoch in run.steps.reshape(4, 5)])
    first, other, again = seen
    assert len({*first, *other}) == 8
    assert again == first


@pytest.mark.slow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiles_once_and_repeats(jit_compile):
    model = build(optimizer=keras.optimizers.Adam(0.01))
    start = model.get_weights()
    arguments = {"batch_size": 16, "jit_compile": jit_compile}
    first = train(model, DATA, epochs=3, **arguments)
    after, traced = state(model), program._programs[model]._compiled
    assert traced.experimental_get_tracing_count() == 2  # the full batches, and the short one

    # Other windows take no time to compile, not even within XLA, where no trace shows it.
    windows = ({"epochs": 1, "validate_every": 3}, {"steps": 7}, {"steps": 8, "seed": 3})
    for window in windows:
        run = train(model, DATA, **window, **arguments)
        assert run.compile_seconds < 0.1 * first.compile_seconds
        assert run.seconds < 0.3 * first.compile_seconds
    assert model.optimizer.iterations == 15 + 5 + 7 + 8

    # From the same start the same numbers, from another seed others.
    for seed in (0, 1):
        model.set_weights(start)
        for variable in model.optimizer.variables:
            if variable is not model.optimizer._learning_rate:
                variable.assign(keras.ops.zeros_like(variable))
        run = train(model, DATA, epochs=3, seed=seed, **arguments)
        assert np.array_equal(run.steps, first.steps) == same(state(model), after) == (seed == 0)

    model.optimizer.learning_rate = 0.0
    before = model.get_weights()
    train(model, DATA, epochs=1, **arguments)
    assert same(model.get_weights(), before)
    assert program._programs[model]._compiled is traced
    assert traced.experimental_get_tracing_count() == 2


def triple(y_true, y_pred):
    return 3 * keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


def freeze(model):
    model.layers[1].trainable = False
    model.compile(keras.optimizers.SGD(0.1), cross_entropy(), jit_compile=False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.compile(keras.optimizers.Adam(0.01), model.loss, jit_compile=False),
        lambda model: model.compile(model.optimizer, triple, jit_compile=False),
        lambda model: model.compile(
            model.optimizer,
            model.loss,
            metrics=["accuracy", "sparse_categorical_crossentropy"],
            jit_compile=False,
        ),
        freeze,
    ],
    ids=["optimizer", "loss", "metrics", "trainable"],
)
def test_what_compile_changes_counts(change):
    model, reference = build(), build()
    arguments = {"batch_size": 35, "epochs": 1, "seed": 0}
    train(model, DATA, jit_compile=False, **arguments)
    reference.set_weights(model.get_weights())
    change(model)
    change(reference)
    row = train(model, DATA, jit_compile=False, **arguments).epochs.iloc[-1]
    assert fit(reference, **arguments) == [row.drop(["epoch", "step"]).to_dict()]
    assert same(model.get_weights(), reference.get_weights())


def test_a_layer_frozen_without_compile():
    model = build()
    train(model, DATA, steps=1, jit_compile=False)
    model.layers[1].trainable = False
    frozen, free = model.layers[1].get_weights(), model.layers[2].get_weights()
    train(model, DATA, steps=1, jit_compile=False)
    assert same(model.layers[1].get_weights(), frozen)
    assert not same(model.layers[2].get_weights(), free)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.parts = dense()

    def call(self, x):  # without a training argument
        for part in self.parts:
            x = part(x)
        return x


def compiled(model, loss=None, **metrics):
    model.compile(keras.optimizers.SGD(0.1), loss or cross_entropy(), jit_compile=False, **metrics)
    return model


def functional():
    inputs = keras.Input((6, 6, 1))
    flat = layers.Flatten()(inputs)
    outputs = layers.Dense(CLASSES)(layers.Concatenate()([flat, layers.Dense(8)(flat)]))
    return compiled(keras.Model(inputs, outputs), metrics=["accuracy"])


KINDS = {
    "no metrics": lambda: compiled(keras.Sequential([keras.Input((6, 6, 1)), *dense()])),
    "several metrics": lambda: compiled(
        keras.Sequential([keras.Input((6, 6, 1)), *dense()]),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top_2")],
        weighted_metrics=["accuracy", "sparse_categorical_crossentropy"],
    ),
    "loss by name": lambda: compiled(
        keras.Sequential([*dense(), layers.Softmax()]), "sparse_categorical_crossentropy"
    ),
    "functional": functional,
    "subclassed": lambda: compiled(Subclassed(), metrics=["accuracy"]),
    "nested": lambda: compiled(
        keras.Sequential([keras.Sequential(dropout()), layers.Activation("linear")])
    ),
    "not built": lambda: compiled(keras.Sequential(dropout()), metrics=["accuracy"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_models(kind):
    models = []
    for _ in range(2):
        keras.utils.set_random_seed(3)
        models.append(KINDS[kind]())
    arguments = {"batch_size": 35, "epochs": 1, "seed": 0}
    run = train(models[0], DATA, jit_compile=False, **arguments)
    assert program._programs[models[0]]._compiled.experimental_get_tracing_count() == 1
    rows = fit(models[1], **arguments)
    assert run.epochs.drop(columns=["epoch", "step"]).to_dict("records") == rows
    assert same(state(models[0]), state(models[1]))


class Convolving(layers.Layer):
    """By its name it does nothing of the kind."""

    def call(self, x):
        return keras.ops.conv(x, keras.ops.ones((3, 3, 1, 2)))


@pytest.mark.parametrize(
    ("make_layers", "gpus", "jit_compile", "expected"),
    [
        (dense, [], "auto", True),
        (convolution, [], "auto", False),
        (lambda: [keras.Sequential(convolution())], [], "auto", False),
        (lambda: [Convolving(), layers.Flatten(), layers.Dense(3)], [], "auto", False),
        (dropout, [], "auto", False),
        (lambda: [layers.Reshape((6, 6)), layers.GRU(2), layers.Dense(3)], [], "auto", True),
        (lambda: [layers.Reshape((6, 6)), layers.GRU(2, dropout=0.5)], [], "auto", True),
        (convolution, ["GPU"], "auto", True),
        (convolution, [], True, True),
        (dense, [], False, False),
    ],
)
def test_choice_of_xla(monkeypatch, make_layers, gpus, jit_compile, expected):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: gpus)
    assert use_xla(build(make_layers), DATA.x_train, jit_compile) is expected


def jump(step):
    """A learning rate that is far too large from that step on, counted from 0."""
    return keras.optimizers.schedules.PiecewiseConstantDecay([step - 1], [0.01, 1e30])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "length", "validate_every", "rows", "steps", "epochs_run"),
    [
        (1e30, {"epochs": 5}, None, 1, 5, 1),
        (jump(7), {"epochs": 5}, None, 2, 10, 2),
        (jump(7), {"epochs": 5}, 2, 4, 8, 2),
        (jump(7), {"epochs": 5}, 20, 1, 10, 2),  # before the first row was due
        (jump(7), {"steps": 8}, None, 2, 8, 2),  # by the last update, so that no step shows it
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_loss_that_is_not_finite(rate, length, validate_every, rows, steps, epochs_run):
    model = build(optimizer=keras.optimizers.SGD(rate))
    arguments = {"batch_size": 16, "jit_compile": False, "validate_every": validate_every}
    run = train(model, DATA, **length, **arguments)
    assert run.report.reason == StopReason.NON_FINITE
    assert (run.report.epochs_run, run.report.stopped_epoch) == (epochs_run, epochs_run - 1)
    assert (len(run.epochs), len(run.steps)) == (rows, steps)
    assert np.isfinite(run.epochs["loss"]).tolist() == [True] * (rows - 1) + [False]
    assert str(run.report) == f"Stopped in epoch {epochs_run}: the training loss was not finite."


RNG = np.random.default_rng(8)
RANDOM_LABELS = replace(DATA, y_train=RNG.permutation(DATA.y_train))  # that get worse to train on
RULES = [
    Patience(0),
    Patience(3, min_delta=0.01),
    GeneralizationLoss(20),
    ProgressQuotient(1, strip=3),
    SuccessiveIncreases(2, strip=2),
    Target(1.5),
    Target(0.0),  # never
]


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("make_layers", [dense, batch_normalization])
def test_a_rule_stops_and_restores_as_its_replay(make_layers, rule):
    def model():
        return build(make_layers, keras.optimizers.Adam(0.02))

    arguments = {"batch_size": 16, "seed": 4, "jit_compile": False}
    recorded = train(model(), RANDOM_LABELS, epochs=20, **arguments)
    expected = replay(recorded.epochs["val_loss"], rule, train_values=recorded.epochs["loss"])
    stopped = model()
    run = train(stopped, RANDOM_LABELS, epochs=20, rule=rule, **arguments)
    assert run.report == expected
    assert (expected.reason is StopReason.EPOCHS) == (rule == Target(0.0))
    assert run.epochs.equals(recorded.epochs[: expected.epochs_run])
    assert run.steps.tolist() == recorded.steps[: len(run.steps)].tolist()
    assert 0 <= expected.restored_epoch < 19  # so that restoring is not doing nothing
    reference = model()
    train(reference, RANDOM_LABELS, epochs=expected.restored_epoch + 1, **arguments)
    assert same(stopped.get_weights(), reference.get_weights())
    assert stopped.optimizer.iterations == len(run.steps)  # the optimizer's state is the last


def test_a_rule_on_a_metric_and_a_partial_last_epoch():
    rule, arguments = Patience(30, mode="max"), {"batch_size": 16, "steps": 53}
    run = train(build(), DATA, rule=rule, monitor="val_accuracy", **arguments)
    assert run.report == replay(run.epochs["val_accuracy"], rule)
    assert (run.report.epochs_run, run.report.reason) == (11, StopReason.EPOCHS)


def test_a_rule_restores_when_the_loss_is_not_finite():
    model = build(optimizer=keras.optimizers.SGD(jump(12)))
    run = train(model, DATA, batch_size=16, epochs=9, rule=Patience(5), jit_compile=False)
    assert (run.report.reason, run.report.stopped_epoch) == (StopReason.NON_FINITE, 2)
    assert (run.report.best_epoch, run.report.restored_epoch) == (1, 1)
    assert evaluations(model)["val_loss"] == run.epochs["val_loss"][1] == run.report.best_value


def test_a_rule_restores_the_weights_and_not_their_averages():
    model = build(optimizer=keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8))
    run = train(model, DATA, batch_size=16, epochs=3, rule=Patience(5), jit_compile=False)
    assert evaluations(model)["val_loss"] == run.report.best_value


@pytest.mark.slow
def test_after_ctrl_c_a_rule_leaves_the_best_weights(monkeypatch):
    arguments = {"batch_size": 16, "jit_compile": False, "rule": Patience(50)}
    recorded = train(
        build(optimizer=keras.optimizers.Adam(0.02)), RANDOM_LABELS, epochs=12, **arguments
    )
    evaluate, calls = program.Program.evaluate, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2 * 11 + 1:
            raise KeyboardInterrupt
        return evaluate(*arguments)

    monkeypatch.setattr(program.Program, "evaluate", interrupted)
    model = build(optimizer=keras.optimizers.Adam(0.02))
    with pytest.raises(KeyboardInterrupt):
        train(model, RANDOM_LABELS, epochs=12, **arguments)
    best = recorded.epochs["val_loss"][:11].idxmin()
    assert best < 10
    assert evaluations(model, RANDOM_LABELS)["val_loss"] == recorded.epochs["val_loss"][best]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"rule": Patience}, TypeError, "rule must be a rule such as Patience.5.; got <class"),
        ({"rule": 5}, TypeError, "rule must be a rule"),
        (
            {"rule": Patience(5), "validate_every": 3},
            ValueError,
            "validate_every must be None with a rule; got 3",
        ),
        (
            {"rule": Patience(5), "monitor": "val_acc"},
            ValueError,
            "monitor must be one of (loss, accuracy, val_loss, val_accuracy|"
            "accuracy, loss, val_accuracy, val_loss); got 'val_acc'.$",
        ),
        (
            {"rule": Patience(5), "monitor": "test_loss", "evaluate_test": True},
            ValueError,
            "got 'test_loss': choosing on the test data spoils them",
        ),
        (
            {"rule": Patience(5), "monitor": "val_accuracy"},
            ValueError,
            'rule must have mode "max" to monitor val_accuracy',
        ),
        (
            {"rule": GeneralizationLoss(5), "monitor": "accuracy"},
            ValueError,
            'rule must have mode "max" to monitor accuracy; got GeneralizationLoss',
        ),
    ],
)
def test_bad_rules(arguments, error, match):
    model = build()
    weights = model.get_weights()
    with pytest.raises(error, match=match):
        train(model, DATA, epochs=2, **arguments)
    assert same(model.get_weights(), weights)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in Keras
def test_afterwards_the_model_is_a_keras_model(tmp_path):
    model = build(optimizer=keras.optimizers.Adam(0.01))
    run = train(model, DATA, batch_size=35, epochs=1, jit_compile=False)
    row = run.epochs.iloc[-1]
    validation = model.evaluate(DATA.x_validation, DATA.y_validation, **EVALUATION)
    assert validation == {"loss": row["val_loss"], "accuracy": row["val_accuracy"]}
    labels = model.predict(DATA.x_train, verbose=0).argmax(axis=1)
    assert np.mean(labels == DATA.y_train) == pytest.approx(row["accuracy"])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.fit(DATA.x_train, DATA.y_train, shuffle=False, verbose=0, batch_size=35)
        train(each, DATA, batch_size=35, epochs=1, jit_compile=False)
    assert model.optimizer.iterations == 6
    assert same(state(model), state(loaded))


@pytest.fixture
def ctrl_c_after():
    """Presses Ctrl-C again and again, from so many seconds on: one press may be lost."""
    alarm = signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds, 0.3 if seconds else 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, ctrl_c)
    signal.signal(signal.SIGALRM, alarm)


def test_after_ctrl_c_the_model_trains_on(ctrl_c_after):
    model = build()
    train(model, DATA, epochs=1, jit_compile=False)
    with pytest.raises(KeyboardInterrupt):
        ctrl_c_after(0.3)
        train(model, DATA, epochs=10**6, jit_compile=False)
    ctrl_c_after(0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    done = int(model.optimizer.iterations)
    assert done > 6
    assert evaluations(model)["accuracy"] > 0.9
    train(model, DATA, epochs=1, jit_compile=False)
    model.fit(DATA.x_train, DATA.y_train, verbose=0)
    assert model.optimizer.iterations == done + 3 + 3


def test_ctrl_c_inside_of_tensorflow_waits_for_the_end_of_an_epoch(ctrl_c_after, monkeypatch):
    """There, it could end the process: each call here is pressed into."""
    model, call, calls = build(), program.Program._call, []

    def pressed(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        calls.append(arguments)
        return call(self, *arguments)

    monkeypatch.setattr(program.Program, "_call", pressed)
    with pytest.raises(KeyboardInterrupt):
        train(model, DATA, batch_size=35, epochs=3, jit_compile=False)
    assert len(calls) == 2  # one to compile, and the first epoch
    assert model.optimizer.iterations == 2


@pytest.mark.slow
def test_many_models_without_a_warning(caplog, monkeypatch):
    # TensorFlow warns of the fifth trace in a few calls, but only twice in a process.
    limit = "FREQUENT_TRACING_WARNING_MAX_WARNING_PER_DETECTOR"
    monkeypatch.setattr(polymorphic_function, limit, 10**6)
    for seed in range(3):
        train(build(seed=seed), make_data(70, 30, 20), epochs=1, jit_compile=False)
    assert caplog.messages == []


def test_a_model_no_longer_used_is_freed():
    model = build()
    train(model, DATA, steps=1, jit_compile=False)
    reference = weakref.ref(model)
    del model
    gc.collect()
    assert reference() is None


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


def other_shape():
    return compiled(keras.Sequential([keras.Input((5, 5, 1)), *dense()]))


def without_weights():
    model = build()
    model.trainable = False
    return compiled(model)


one_hot = replace(
    DATA, **{f"y_{part}": np.eye(CLASSES)[getattr(DATA, f"y_{part}")] for part in PARTS.values()}
)


class TwoOutputs(keras.Model):
    """A model whose loss is its own, of outputs that are not one tensor."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode = keras.layers.Dense(2), keras.layers.Dense(36)

    def call(self, x):
        code = self.encode(keras.ops.reshape(x, (-1, 36)))
        return self.decode(code), {"code": code}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.ops.square(y_pred[0] - keras.ops.reshape(x, (-1, 36))))


def test_outputs_that_are_not_one_tensor_train():
    model = TwoOutputs()
    model.compile("sgd")
    run = train(model, DATA, batch_size=20, epochs=3)
    assert run.epochs["loss"].iloc[-1] < run.epochs["loss"].iloc[0]


def test_labels_that_the_loss_ignores_are_no_classes():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    ignored = replace(DATA, y_train=np.where(np.arange(70) < 5, -1, DATA.y_train))
    assert np.isfinite(train(build(loss=loss), ignored, **ONE_EPOCH).steps).all()


late = np.zeros(70, "int32")
late[-1] = CLASSES  # not among the first rows, which are tried
ONE_EPOCH = {"epochs": 1}
TESTED = {"epochs": 1, "evaluate_test": True}
nothing_to_validate = replace(DATA, x_validation=DATA.x_test[:0], y_validation=DATA.y_test[:0])
untested = replace(DATA, y_test=DATA.y_test[:0])


@pytest.mark.parametrize(
    ("make_model", "data", "arguments", "error", "match"),
    [
        (lambda: keras.Sequential(dense()), DATA, ONE_EPOCH, ValueError, "model must be compiled"),
        (lambda: compiled(keras.Sequential([])), DATA, ONE_EPOCH, ValueError, "model must "),
        (lambda: compiled(OwnStep(dense())), DATA, ONE_EPOCH, ValueError, "of its own: use fit"),
        (other_shape, DATA, ONE_EPOCH, ValueError, r"model must take rows of shape \(6, 6, 1\)"),
        (without_weights, DATA, ONE_EPOCH, ValueError, "model must have weights to train"),
        (object, DATA, ONE_EPOCH, TypeError, "model must be a keras.Model"),
        (build, (DATA.x_train, DATA.y_train), ONE_EPOCH, TypeError, "data must be a Data"),
        *(
            (
                lambda wrong=wrong: build(**wrong),
                DATA,
                ONE_EPOCH,
                ValueError,
                r"labels of shape \(\)",
            )
            for wrong in (
                {"loss": keras.losses.CategoricalCrossentropy(from_logits=True)},
                {"loss": "mse"},
                {"metrics": [keras.metrics.F1Score()]},
            )
        ),
        *(
            (
                build,
                replace(DATA, **{part: late}),
                TESTED,
                ValueError,
                f"labels from 0 to 3, as the model has 4 outputs; got 0 to 4 in {part}",
            )
            for part in ("y_train", "y_validation", "y_test")
        ),
        (
            build,
            replace(DATA, y_test=-late),
            TESTED,
            ValueError,
            "from 0 to 3.*got -4 to 0 in y_te",
        ),
        (
            lambda: build(loss="categorical_crossentropy", metrics=[keras.metrics.F1Score()]),
            one_hot,
            ONE_EPOCH,
            ValueError,
            "metrics of one number each; f1_score has 4",
        ),
        (
            lambda: build(loss=keras.losses.SparseCategoricalCrossentropy(name="ce")),
            replace(DATA, y_train=late),
            ONE_EPOCH,
            ValueError,
            "as the model has 4 outputs",
        ),
        *(
            (build, replace(DATA, **{part: short}), ONE_EPOCH, ValueError, message)
            for part, short, message in (
                ("y_train", DATA.y_train[1:], "y_train for each row.*69 labels for 70 rows"),
                ("y_validation", DATA.y_validation[:0], "y_validation for each row.*0 labels"),
                ("x_validation", DATA.x_validation[:9], "x_validation, and.*70 labels for 9"),
            )
        ),
        (build, nothing_to_validate, ONE_EPOCH, ValueError, "at least one; got 0 labels for 0 ro"),
        (build, untested, TESTED, ValueError, "y_test for each row of x_test.*0 labels for 70"),
        (build, DATA, {}, ValueError, "either epochs or steps; got epochs=None, steps=None"),
        (build, DATA, {"epochs": 2, "steps": 3}, ValueError, "got epochs=2, steps=3"),
        (build, DATA, {"batch_size": 71, **ONE_EPOCH}, ValueError, r"batch_size .* \(70\); got 71"),
        *(
            (
                build,
                DATA,
                {"jit_compile": wrong, **ONE_EPOCH},
                ValueError,
                "jit_compile must be True",
            )
            for wrong in ("yes", 1, None, np.zeros(2), pd.NA, pd.DataFrame())
        ),
        (
            build,
            DATA,
            {"evaluate_test": 1, **ONE_EPOCH},
            TypeError,
            "evaluate_test must be True or",
        ),
    ],
)
def test_bad_input(make_model, data, arguments, error, match):
    model = make_model()
    weights = model.get_weights() if isinstance(model, keras.Model) else []
    with pytest.raises(error, match=match):
        train(model, data, **arguments)
    if weights:
        assert same(model.get_weights(), weights)
    if getattr(model, "optimizer", None) is not None:
        assert model.optimizer.iterations == 0


def test_no_optimizer():
    model = build()
    model.compile(None, cross_entropy())
    with pytest.raises(ValueError, match="model must be compiled, with an optimizer"):
        train(model, DATA, epochs=1)


NAMES = ["batch_size", "epochs", "steps", "validate_every", "seed"]
BAD_COUNTS = [(name, value) for name in NAMES for value in (0, -1, 3.0, True, "3")]


@pytest.mark.parametrize(("name", "value"), [pair for pair in BAD_COUNTS if pair != ("seed", 0)])
def test_counts_that_cannot_be_right(name, value):
    model = build()
    weights = model.get_weights()
    arguments = {name: value} if name in ("epochs", "steps") else {"epochs": 1, name: value}
    wanted = f"{name} must be an integer, at least {int(name != 'seed')}; got "
    kind = TypeError if isinstance(value, (bool, float, str)) else ValueError
    with pytest.raises(kind) as error:
        train(model, DATA, **arguments)
    assert str(error.value).startswith(wanted)
    assert same(model.get_weights(), weights)
    assert model.optimizer.iterations == 0


def test_counts_of_small_types_do_not_overflow():
    """-70 // np.uint8(64) is an OverflowError."""
    run = train(build(), DATA, batch_size=np.uint8(64), steps=np.uint8(3), jit_compile=False)
    assert len(run.steps) == 3 and run.plan.epochs == 2
