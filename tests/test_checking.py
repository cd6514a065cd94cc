"""check_fit: each mistake is named, really goes wrong in Keras, and is not seen where it is not."""

import hashlib
import json
import math
import random
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from keras import callbacks, layers

import epochlab
from epochlab import Finding, Patience, Target, check_fit, load_data
from epochlab.data import datasets

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 4)).astype("float32"), RNG.integers(0, 3, 40)
X_VAL, Y_VAL = RNG.normal(size=(16, 4)).astype("float32"), RNG.integers(0, 3, 16)
VALIDATION = {"validation_data": (X_VAL, Y_VAL)}
SORTED = {"x": X, "y": np.repeat([0, 1, 2, 3], 10)}
SHUFFLED = "`shuffle=True` was passed"  # what Keras says of each dataset, fit's default being True


def compiled(model, metrics=("accuracy",), optimizer="sgd", **compile):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = list(metrics) if isinstance(metrics, tuple) else metrics
    model.compile(optimizer, loss, metrics=metrics, **({"run_eagerly": True} | compile))
    return model


def plain(*between, built=False, **compile):
    """Four classes, not built before its first batch unless told so."""
    first = [keras.Input((4,))] if built else []
    return compiled(keras.Sequential([*first, *between, layers.Dense(4)]), **compile)


def two_outputs(**compile):
    inputs = keras.Input((4,))
    outputs = {name: layers.Dense(4, name=name)(inputs) for name in ("a", "b")}
    return compiled(keras.Model(inputs, outputs), {"a": ["accuracy"], "b": ["accuracy"]}, **compile)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(4)

    def call(self, x):
        return self.dense(x)


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data) | {"own": tf.constant(0.5)}


def agreement(y_true, y_pred):
    """A metric of which Keras cannot know what is better."""
    right = keras.ops.equal(keras.ops.argmax(y_pred, -1), keras.ops.cast(y_true, "int64"))
    return keras.ops.cast(right, "float32")


def dataset(n=40, size=8, **batch):
    return tf.data.Dataset.from_tensor_slices((X[:n], Y[:n])).batch(size, **batch)


def generator(n=40, size=8):
    for start in range(0, n, size):
        yield X[start : start + size], Y[start : start + size]


def endless():
    while True:
        yield from generator()


class Batches(keras.utils.PyDataset):
    def __init__(self, length=5):
        super().__init__()
        self.length, self.asked = length, 0

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.asked += 1
        return X[index * 8 : index * 8 + 8], Y[index * 8 : index * 8 + 8]


class Counting(callbacks.Callback):
    """Counts the batches of each epoch."""

    def on_train_begin(self, logs=None):
        self.batches = []

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.append(0)

    def on_train_batch_end(self, batch, logs=None):
        self.batches[-1] += 1


def fit(model, x, y=None, **arguments):
    """Run the call and return its history, its batches and its warnings."""
    counting = Counting()
    arguments["callbacks"] = [counting, *arguments.get("callbacks", [])]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = model.fit(x, y, **({"verbose": 0} | arguments)).history
    said = [str(w.message) for w in caught if w.category is UserWarning]
    return history, counting.batches, [text for text in said if not text.startswith(SHUFFLED)]


def names(*args, **arguments):
    return [finding.name for finding in check_fit(*args, **arguments)]


def stopping(monitor="val_loss", **arguments):
    return callbacks.EarlyStopping(monitor, **({"patience": 2} | arguments))


def ours(monitor="val_loss", **arguments):
    return epochlab.EarlyStopping(monitor, **({"patience": 2} | arguments))


def plateau(monitor="val_loss", **arguments):
    return callbacks.ReduceLROnPlateau(monitor, **arguments)


def checkpoint(path, monitor="val_loss", **arguments):
    file = path / "{epoch}.weights.h5"
    return callbacks.ModelCheckpoint(file, monitor, save_weights_only=True, **arguments)


@pytest.fixture(autouse=True)
def seeded():
    keras.utils.set_random_seed(7)


# Healthy calls


def frozen():
    model = plain(layers.BatchNormalization(), built=True)
    model.layers[0].trainable = False
    return compiled(model)


def convolutional():
    parts = [layers.Reshape((2, 2, 1)), layers.Conv2D(2, 1), layers.BatchNormalization()]
    return plain(*parts, layers.Flatten(), built=True)


def trained():
    model = plain()
    model.fit(X, Y, verbose=0)
    return model


def scheduled():
    return plain(optimizer=keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 20)))


SHUFFLED_LABELS = {"y": RNG.permutation(np.repeat([0, 1, 2, 3], 10)), "validation_split": 0.2}
HEALTHY = {
    "arrays": (plain, {}),
    "several epochs": (plain, {"epochs": 3, "batch_size": 7}),
    "one epoch of fewer steps": (plain, {"batch_size": 8, "steps_per_epoch": 4}),
    "as many steps as batches": (plain, {"batch_size": 8, "steps_per_epoch": 5, "epochs": 3}),
    "steps that divide a pass": (plain, {"batch_size": 10, "steps_per_epoch": 2, "epochs": 4}),
    "only steps": (plain, {"steps_per_epoch": 4, "epochs": 3}),
    "no steps, no batch size": (plain, {"steps_per_epoch": 0, "batch_size": 0, "epochs": 2}),
    "executions of several steps": (
        lambda: plain(steps_per_execution=2, run_eagerly=False),
        {"x": lambda: dataset().repeat(), "steps_per_epoch": 4, "epochs": 2},
    ),
    "a dataset": (plain, {"x": dataset, "epochs": 2}),
    "a dataset and its steps": (plain, {"x": dataset, "steps_per_epoch": 5, "epochs": 2}),
    "a dataset that repeats": (
        plain,
        {"x": lambda: dataset().repeat(), "steps_per_epoch": 3, "epochs": 3},
    ),
    "a dataset of unknown length": (
        plain,
        {"x": lambda: dataset().filter(lambda *_: True), "steps_per_epoch": 5},
    ),
    "one whole batch, remainder dropped": (
        plain,
        {"x": lambda: dataset(9, drop_remainder=True), "epochs": 2},
    ),
    "a PyDataset": (plain, {"x": Batches, "epochs": 2}),
    "a generator once": (plain, {"x": generator, "steps_per_epoch": 5}),
    "an endless generator": (plain, {"x": endless, "steps_per_epoch": 3, "epochs": 3}),
    "a validation generator once": (plain, {"validation_data": generator, "validation_steps": 5}),
    "an endless validation generator": (
        plain,
        {"validation_data": endless, "validation_steps": 2, "epochs": 2},
    ),
    "a data frame": (plain, {"x": pd.DataFrame(X), "y": pd.Series(Y), "batch_size": 8}),
    "tensors": (plain, {"x": tf.constant(X), "y": tf.constant(Y)}),
    "validation": (plain, VALIDATION | {"validation_batch_size": 4, "epochs": 2}),
    "a validation dataset": (plain, {"validation_data": dataset, "epochs": 2}),
    "a split of shuffled labels": (plain, SHUFFLED_LABELS),
    "sorted labels and validation data": (plain, SORTED | VALIDATION),
    "sorted labels, split nowhere": (plain, SORTED),
    "sorted labels in both, validation data wins": (
        plain,
        SORTED | VALIDATION | {"validation_split": 0.2},
    ),
    "a rare label in the tail": (plain, {"y": np.r_[Y[:-1], 3], "validation_split": 0.2}),
    "a split of sorted numbers": (
        lambda: compiled_for_regression(),
        {"y": np.linspace(0, 1, 40), "validation_split": 0.2},
    ),
    "counts in the order of time": (
        lambda: compiled_for_regression(),
        {"y": np.arange(40), "validation_split": 0.2},
    ),
    "early stopping": (plain, VALIDATION | {"callbacks": lambda: [stopping()]}),
    "early stopping on an accuracy": (
        plain,
        VALIDATION | {"callbacks": lambda: [stopping("val_accuracy"), plateau()]},
    ),
    "early stopping on the training loss": (
        plain,
        {"callbacks": lambda: [stopping("loss", mode="min")]},
    ),
    "early stopping on a split": (
        plain,
        {"validation_split": 0.2, "callbacks": lambda: [stopping("val_accuracy", mode="max")]},
    ),
    "early stopping of epochlab": (
        plain,
        VALIDATION | {"epochs": 3, "callbacks": lambda: [ours(), ours("accuracy", mode="max")]},
    ),
    "a target": (
        plain,
        {"callbacks": lambda: [epochlab.EarlyStopping("loss", rule=Target(0.1))]},
    ),
    "early stopping on one of two outputs": (
        two_outputs,
        {
            "y": {"a": Y, "b": Y},
            "callbacks": lambda: [
                stopping("b_accuracy", mode="max"),
                stopping("a_loss", mode="min"),
            ],
        },
    ),
    "a metric of one's own, and its mode": (
        lambda: plain(metrics=[agreement]),
        {"callbacks": lambda: [stopping("agreement", mode="max")]},
    ),
    "a metric object of another name": (
        lambda: plain(metrics=[keras.metrics.SparseCategoricalAccuracy(name="right")]),
        {"callbacks": lambda: [stopping("right"), stopping("right", mode="max")]},
    ),
    "the learning rate": (
        plain,
        {"callbacks": lambda: [plateau("loss"), stopping("learning_rate", mode="min")]},
    ),
    "a subclass, never trained": (
        lambda: compiled(Subclassed()),
        {"callbacks": lambda: [stopping("accuracy")]},
    ),
    "a step of one's own": (
        lambda: compiled(OwnStep([layers.Dense(4)])),
        {"callbacks": lambda: [stopping("own", mode="max")]},
    ),
    "logs of one's own": (
        plain,
        {
            "callbacks": lambda: [
                callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(f1=0.5)),
                stopping("f1", mode="max"),
            ]
        },
    ),
    "validation now and then": (
        plain,
        VALIDATION | {"epochs": 4, "validation_freq": 2, "callbacks": lambda: [ours()]},
    ),
    "validation in a list of epochs": (
        plain,
        VALIDATION | {"epochs": 2, "validation_freq": [1], "callbacks": lambda: [ours()]},
    ),
    "going on": (trained, {"initial_epoch": 1, "epochs": 2}),
    "compiled anew": (lambda: compiled(trained()), {}),
    "a schedule": (scheduled, {"epochs": 4, "batch_size": 8}),
    "weights": (plain, {"sample_weight": np.ones(40), "epochs": 2}),
    "class weights": (plain, {"class_weight": {0: 1.0, 1: 2.0, 2: 1.0}}),
    "batches for normalization": (
        lambda: plain(layers.BatchNormalization()),
        {"batch_size": 8, "epochs": 2},
    ),
    "the lone sample is dropped": (
        lambda: plain(layers.BatchNormalization()),
        {"x": lambda: dataset(33, drop_remainder=True)},
    ),
    "a lone sample without normalization": (plain, {"batch_size": 39}),
    "a lone sample that is not reached": (
        lambda: plain(layers.BatchNormalization()),
        {"batch_size": 13, "steps_per_epoch": 3},
    ),
    "a lone sample in frozen normalization": (frozen, {"batch_size": 13}),
    "a lone sample with pixels": (convolutional, {"batch_size": 13}),
}


def compiled_for_regression():
    model = keras.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    return model


def made(arguments):
    """Datasets, generators and callbacks are good for one call."""
    return {name: value() if callable(value) else value for name, value in arguments.items()}


@pytest.mark.slow
@pytest.mark.parametrize("case", HEALTHY)
def test_a_healthy_call_has_no_findings_and_makes_no_noise(case):
    build, arguments = HEALTHY[case]
    arguments = made(arguments)
    x = arguments.pop("x", X)
    y = arguments.pop("y", Y if isinstance(x, np.ndarray) else None)
    model = build()
    assert check_fit(model, x, y, **arguments) == []
    if not {"callbacks", "steps_per_epoch"} & arguments.keys() and x is X:
        return  # nothing that Keras could warn of
    history, batches, said = fit(model, x, y, **arguments)
    assert history["loss"] and np.isfinite(history["loss"]).all()
    if case not in ("a generator once", "a validation generator once"):
        assert said == [], case


def test_a_checkpoint_of_each_epoch_monitors_nothing(tmp_path):
    arguments = {"epochs": 2, "callbacks": [checkpoint(tmp_path)]}
    assert names(plain(), X, Y, **arguments) == []
    assert fit(plain(), X, Y, **arguments)[2] == []
    assert len(list(tmp_path.iterdir())) == 2


# Mistakes

RAN_OUT = "Your input ran out of data"


def one(name, model, x, y=None, **arguments):
    """Return the only finding, which is the one that is named."""
    (finding,) = check_fit(model, x, y, **arguments)
    assert finding.name == name
    assert_shown(finding)
    return finding


def assert_shown(finding):
    """The section that a finding refers to exists."""
    path, section = finding.see.removeprefix("notebooks/").split("#")
    cells = json.loads((NOTEBOOKS / path).read_text(encoding="utf-8"))["cells"]
    markdown = (cell["source"] for cell in cells if cell["cell_type"] == "markdown")
    text = "\n".join("".join(source) for source in markdown)
    headings = re.findall("^#+ (.+)$", text, re.MULTILINE)
    assert section in [heading.replace("`", "").replace(" ", "-") for heading in headings]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("monitor", "mode", "right"),
    [("val_accuracy", "min", "higher"), ("val_loss", "max", "lower"), ("loss", "max", "lower")],
)
def test_wrong_mode_takes_the_worst_epoch_for_the_best(monitor, mode, right):
    stop = stopping(monitor, mode=mode, patience=9, restore_best_weights=True)
    arguments = VALIDATION | {"callbacks": [stop], "epochs": 3}
    model = plain(optimizer=keras.optimizers.SGD(0.5))
    assert right in one("wrong-mode", model, X, Y, **arguments).cause
    history = fit(model, X, Y, **arguments)[0][monitor]
    worst = {"min": np.argmin, "max": np.argmax}[mode](history)
    assert stop.best_epoch == worst and (len(set(history)) > 1 or "accuracy" in monitor)


def test_wrong_mode_of_other_callbacks(tmp_path):
    save = checkpoint(tmp_path, "val_accuracy", save_best_only=True, mode="min")
    for callback in (plateau("accuracy", mode="min"), save):
        one("wrong-mode", plain(), X, Y, callbacks=[callback], **VALIDATION)
    rule = Patience(2, mode="min")
    for callback in (ours("accuracy", mode="min"), ours("accuracy", rule=rule, patience=0)):
        arguments = {"callbacks": [callback]}
        assert "refused" in one("wrong-mode", plain(), X, Y, **arguments).symptom
    with pytest.raises(ValueError, match="mode"):
        fit(plain(), X, Y, **arguments)
    arguments = {"y": {"a": Y, "b": Y}, "callbacks": [stopping("a_accuracy", mode="min")]}
    one("wrong-mode", two_outputs(), X, **arguments)
    arguments = {"initial_epoch": 1, "epochs": 2, "callbacks": [plateau("loss", mode="max")]}
    one("wrong-mode", trained(), X, Y, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("build", "monitor"),
    [
        (lambda: plain(metrics=[agreement]), "agreement"),
        (lambda: plain(metrics=[agreement], built=True), "agreement"),
        (two_outputs, "b_accuracy"),
        (two_outputs, "a_loss"),
    ],
)
def test_undecidable_mode_fails_after_an_epoch(build, monitor, tmp_path):
    y = {"a": Y, "b": Y} if build is two_outputs else Y
    others = () if build is two_outputs else (plateau, lambda name: checkpoint(tmp_path, name))
    for make in (stopping, *others):
        arguments = {"callbacks": [make(monitor)], "epochs": 2}
        model = build()
        assert monitor in one("undecidable-mode", model, X, y, **arguments).cause
        with pytest.raises(ValueError, match="automatically determine"):
            fit(model, X, y, **arguments)
        assert model.optimizer.iterations == 2  # the whole epoch


def test_undecidable_mode_is_of_no_matter_once_decided():
    stop = stopping("agreement", mode="max")
    fit(plain(metrics=[agreement]), X, Y, callbacks=[stop])
    stop.mode = "auto"
    assert names(plain(metrics=[agreement]), X, Y, callbacks=[stop]) == []


@pytest.mark.parametrize(
    ("monitor", "arguments", "reason"),
    [
        ("val_loss", {}, "no validation data"),
        ("val_accuracy", {"validation_split": 0}, "no validation data"),
        ("val_loss", VALIDATION | {"validation_freq": 4}, "validation_freq=4"),
        ("val_loss", VALIDATION | {"validation_freq": [4, 9]}, r"validation_freq=\[4, 9\]"),
    ],
)
def test_missing_monitor_never_stops(monitor, arguments, reason):
    stop = stopping(monitor, patience=1, restore_best_weights=True)
    arguments = arguments | {"callbacks": [stop], "epochs": 3}
    model = plain(optimizer=keras.optimizers.SGD(0.0))  # never improves
    finding = one("missing-monitor", model, X, Y, **arguments)
    assert re.search(reason, finding.cause) and "accuracy, loss" in finding.cure
    assert "no best weights" in finding.symptom
    stop.restore_best_weights = False  # as in Keras, where none are asked for
    assert "best weights" not in one("missing-monitor", model, X, Y, **arguments).symptom
    stop.restore_best_weights = True
    history, batches, said = fit(model, X, Y, **arguments)
    assert len(batches) == 3 and stop.best_weights is None
    assert sum("not available" in text for text in said) == 3


def test_missing_monitor_that_is_misspelt(tmp_path):
    arguments = VALIDATION | {"epochs": 2, "callbacks": [stopping("val_acc")]}
    assert "ValueError" in one("missing-monitor", plain(), X, Y, **arguments).symptom
    with pytest.raises(ValueError, match="automatically determine"):
        fit(plain(), X, Y, **arguments)
    arguments["callbacks"] = [stopping("val_acc", mode="max", patience=1)]
    assert "never stops" in one("missing-monitor", plain(), X, Y, **arguments).symptom
    assert "val_accuracy" in one("missing-monitor", plain(), X, Y, **arguments).cure
    assert any("not available" in text for text in fit(plain(), X, Y, **arguments)[2])
    for shape in (lambda: plain(built=True), trained):
        assert "missing-monitor" in names(shape(), X, Y, **arguments)
    y = {"a": Y, "b": Y}
    one("missing-monitor", two_outputs(), X, y, callbacks=[stopping("accuracy", mode="max")])


@pytest.mark.slow
def test_missing_monitor_of_other_callbacks(tmp_path):
    save = checkpoint(tmp_path, save_best_only=True)
    arguments = {"epochs": 3, "callbacks": [save]}
    model = plain(optimizer=keras.optimizers.SGD(0.0))
    assert "Each epoch" in one("missing-monitor", model, X, Y, **arguments).symptom
    assert any("Can save best model only" in text for text in fit(model, X, Y, **arguments)[2])
    assert len(list(tmp_path.iterdir())) == 3

    arguments["callbacks"] = [plateau(patience=1)]
    model = plain(optimizer=keras.optimizers.SGD(1e-12))
    assert "never reduced" in one("missing-monitor", model, X, Y, **arguments).symptom
    assert len(set(fit(model, X, Y, **arguments)[0]["learning_rate"])) == 1

    arguments["callbacks"] = [ours("val_acc", mode="max")]
    validated = arguments | VALIDATION
    assert "ValueError" in one("missing-monitor", plain(), X, Y, **validated).symptom
    with pytest.raises(ValueError, match="monitor"):
        fit(plain(), X, Y, **validated)
    # What only the call of fit knows, a callback cannot refuse.
    arguments["callbacks"] = [ours()]
    for validation in ({}, VALIDATION | {"validation_freq": 9}):
        call = arguments | validation
        assert "never stops" in one("missing-monitor", plain(), X, Y, **call).symptom
        _, batches, said = fit(plain(), X, Y, **call)
        assert len(batches) == 3 and "never was in the logs" in said[0]


def test_missing_monitor_that_a_later_callback_adds():
    adding, reading = epochlab.TrainEvaluation(X, Y), stopping("train_loss", mode="min")
    assert names(plain(), X, Y, epochs=3, callbacks=[adding, reading]) == []
    arguments = {"epochs": 3, "callbacks": [reading, adding]}
    finding = one("missing-monitor", plain(), X, Y, **arguments)
    assert "must come before" in finding.cause and "train_loss" not in finding.cure
    assert any("not available" in text for text in fit(plain(), X, Y, **arguments)[2])


def test_missing_monitor_beside_an_input_that_is_left_out():
    class First(layers.Layer):
        def call(self, a, b=None):
            return a

    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b", optional=True)
    model = compiled(keras.Model({"a": a, "b": b}, layers.Dense(4)(First()(a, b))))
    arguments = {"validation_split": 0.2, "callbacks": [stopping()], "epochs": 3}
    assert names(model, {"a": X, "b": None}, Y, **arguments) == []


def test_missing_monitor_of_a_model_that_was_never_built():
    arguments = {"epochs": 2, "callbacks": [stopping(mode="min", patience=1)]}
    finding = one("missing-monitor", compiled(Subclassed()), X, Y, **arguments)
    assert "no validation data" in finding.cause
    said = fit(compiled(Subclassed()), X, Y, **arguments)[2]
    assert any("not available" in text for text in said)
    assert names(compiled(Subclassed()), X, Y, **arguments, **VALIDATION) == []
    logs = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=1.0))
    arguments["callbacks"] = [logs, stopping(mode="min", patience=1)]
    assert names(compiled(Subclassed()), X, Y, **arguments) == []


@pytest.mark.parametrize(
    ("path", "arguments", "epochs_run"),
    [
        ("{epoch}-{val_acc:.2f}.keras", VALIDATION, 1),
        ("{val_loss:.2f}.keras", {}, 1),
        ("{val_loss:.2f}.keras", VALIDATION | {"validation_freq": 2}, 1),
        ("{batch}.keras", VALIDATION, 1),
        ("{val_loss:.2f}.keras", VALIDATION | {"save_freq": 1}, 0),
    ],
)
def test_missing_in_path(path, arguments, epochs_run, tmp_path):
    arguments = dict(arguments)
    save = {name: arguments.pop(name) for name in ("save_freq",) if name in arguments}
    arguments |= {"epochs": 2, "callbacks": [callbacks.ModelCheckpoint(tmp_path / path, **save)]}
    model = plain()
    finding = one("missing-in-path", model, X, Y, **arguments)
    assert path.split("{")[-1].split("}")[0].split(":")[0] in finding.cause
    with pytest.raises(KeyError, match="Failed to format"):
        fit(model, X, Y, **arguments)
    assert len(model.history.epoch) == 0 and model.optimizer.iterations == 2**epochs_run


def test_missing_in_path_what_a_later_callback_adds(tmp_path):
    save = callbacks.ModelCheckpoint(tmp_path / "{learning_rate}.keras")
    schedule = callbacks.LearningRateScheduler(lambda epoch: 0.1)
    assert names(plain(), X, Y, callbacks=[schedule, save]) == []
    finding = one("missing-in-path", plain(), X, Y, callbacks=[save, schedule])
    assert "must come before" in finding.cause
    with pytest.raises(KeyError, match="Failed to format"):
        fit(plain(), X, Y, callbacks=[save, schedule])


def test_nothing_is_missing_in_a_path_that_nobody_can_format(tmp_path):
    arguments = {"callbacks": [callbacks.ModelCheckpoint(tmp_path / "{.keras")]}
    assert names(plain(), X, Y, **arguments) == []
    with pytest.raises(ValueError, match="expected '}'"):
        fit(plain(), X, Y, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize("make", [stopping, ours], ids=["Keras", "epochlab"])
def test_patience_0_and_1_stop_at_the_same_epoch(make):
    ran = []
    for patience in (0, 1, 2):
        stop = stopping("loss", patience=patience)
        if make is ours:
            stop = ours("loss", rule=Patience(patience), patience=0)
        arguments = {"callbacks": [stop], "epochs": 9, "shuffle": False}
        model = plain(optimizer=keras.optimizers.SGD(0.0))
        if patience == 0:
            assert "1 stops at the same" in one("patience-0", model, X, Y, **arguments).cause
        else:
            assert names(model, X, Y, **arguments) == []
        ran.append(len(fit(model, X, Y, **arguments)[1]))
    assert ran == [2, 2, 3]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("callback", "arguments"),
    [
        (lambda: stopping("loss", patience=4), {}),
        (lambda: stopping("loss", patience=2, start_from_epoch=2), {}),
        (lambda: stopping(patience=2), VALIDATION | {"validation_freq": 2}),
        (lambda: stopping("loss", patience=2), {"initial_epoch": 2}),
        (lambda: ours("loss", patience=4, restore_best_weights=False), {}),
        (lambda: plateau("loss", patience=4), {}),
    ],
)
def test_long_patience_has_no_effect(callback, arguments):
    callback, arguments = callback(), {"epochs": 4} | arguments | {"callbacks": []}
    arguments["callbacks"] = [callback]
    model = plain(optimizer=keras.optimizers.SGD(1e-12))  # never improves by much
    finding = one("long-patience", model, X, Y, **arguments)
    assert f"patience={callback.patience}" in finding.cause
    history, batches, _ = fit(model, X, Y, **arguments)
    assert len(batches) == 4 - arguments.get("initial_epoch", 0)
    assert len(set(history.get("learning_rate", [0]))) == 1
    if not isinstance(callback, callbacks.ReduceLROnPlateau):
        assert callback.best_weights is None
    callback.patience -= 1
    assert names(plain(), X, Y, **arguments) == []


def test_long_patience_that_restores_the_best_weights_has_an_effect():
    stop = stopping("loss", restore_best_weights=True, patience=9)
    arguments = {"epochs": 3, "callbacks": [stop]}
    model = plain(optimizer=keras.optimizers.SGD(100.0))  # ever worse
    assert names(model, X, Y, **arguments) == []
    fit(model, X, Y, **arguments)
    assert all(map(np.array_equal, model.get_weights(), stop.best_weights))
    assert names(plain(), X, Y, epochs=1, callbacks=[stopping("loss", patience=9)]) == []  # a trial


@pytest.mark.parametrize("make", [stopping, ours], ids=["Keras", "epochlab"])
def test_late_start_never_looks(make):
    stop = make("loss", start_from_epoch=3, patience=1, restore_best_weights=True)
    arguments = {"epochs": 3, "callbacks": [stop]}
    model = plain(optimizer=keras.optimizers.SGD(0.0))
    assert "start_from_epoch=3" in one("late-start", model, X, Y, **arguments).cause
    assert len(fit(model, X, Y, **arguments)[1]) == 3 and stop.best_weights is None
    assert names(plain(), X, Y, **arguments | {"epochs": 5}) == []


def test_scheduled_plateau_fails_at_the_first_plateau():
    def call(schedule):
        rate = keras.optimizers.schedules.ExponentialDecay(1e-12, 9, 0.9) if schedule else 1e-12
        return plain(optimizer=keras.optimizers.SGD(rate))

    arguments = {"epochs": 4, "callbacks": [plateau("loss", patience=1, min_delta=0.1)]}
    model = call(True)
    assert "ExponentialDecay" in one("scheduled-plateau", model, X, Y, **arguments).cause
    with pytest.raises(TypeError, match="LearningRateSchedule"):
        fit(model, X, Y, **arguments)
    assert model.optimizer.iterations == 4  # two epochs
    assert names(call(False), X, Y, **arguments) == []
    scaled = keras.optimizers.LossScaleOptimizer(call(True).optimizer)
    one("scheduled-plateau", plain(optimizer=scaled), X, Y, **arguments)


@pytest.mark.parametrize(
    ("x", "arguments", "ran"),
    [
        (X, {"batch_size": 12, "steps_per_epoch": 3}, [3, 1, 3, 1]),  # 40 // 12
        (X, {"batch_size": 7, "steps_per_epoch": 4, "validation_split": 0.2}, [4, 1, 4, 1]),
        (lambda: dataset(size=12), {"steps_per_epoch": 3}, [3, 1, 3, 1]),
        (Batches, {"steps_per_epoch": 4}, [4, 1, 4, 1]),
    ],
)
def test_short_epochs(x, arguments, ran):
    x = x() if callable(x) else x
    y = Y if x is X else None
    arguments = arguments | {"epochs": 4}
    finding = one("short-epochs", plain(), x, y, **arguments)
    assert ", ".join(map(str, ran)) in finding.symptom
    history, batches, said = fit(plain(), x, y, **arguments)
    assert batches == ran and any(RAN_OUT in text for text in said)


@pytest.mark.parametrize(
    ("x", "arguments", "there"),
    [
        (dataset, {"steps_per_epoch": 6}, 5),
        (X, {"batch_size": 8, "steps_per_epoch": 6}, 5),
        (X, {"steps_per_epoch": 30}, 20),  # which makes batches of two
        (Batches, {"steps_per_epoch": 50}, 5),
    ],
)
def test_too_many_steps(x, arguments, there):
    x = x() if callable(x) else x
    y = Y if x is X else None
    arguments = arguments | {"epochs": 2}
    assert f" {there} batches" in one("too-many-steps", plain(), x, y, **arguments).symptom
    history, batches, said = fit(plain(), x, y, **arguments)
    assert batches == [there, there] and sum(text.startswith(RAN_OUT) for text in said) >= 2


def test_short_epochs_are_counted_without_running_through_them():
    arguments = {"batch_size": 1, "steps_per_epoch": 3, "epochs": 10**400}
    one("short-epochs", plain(), X, Y, **arguments)
    assert names(plain(), X, Y, **arguments | VALIDATION | {"validation_freq": 7}) != []
    few = {"batch_size": 1, "steps_per_epoch": 3, "epochs": 13}  # 39 batches of 40
    assert names(plain(), X, Y, **few) == []
    one("short-epochs", plain(), X, Y, **few | {"epochs": 14})
    grouped = plain(steps_per_execution=4, run_eagerly=False)
    for steps, found in ((3, []), (5, []), (13, ["short-epochs"])):  # 4, 8 and 16 of 40 run
        arguments = {"batch_size": 1, "steps_per_epoch": steps, "epochs": 10}
        assert names(grouped, X, Y, **arguments) == found


class Enough(Exception):
    pass


class Limit(callbacks.Callback):
    """Ends what does not end by itself, in training or in validation."""

    def __init__(self, name="x"):
        super().__init__()
        self.name = name

    def on_train_batch_end(self, batch, logs=None):
        self.count(batch, self.name == "x")

    def on_test_batch_end(self, batch, logs=None):
        self.count(batch, self.name == "validation_data")

    def count(self, batch, endless):
        if batch > 100:  # of the 5 there are
            assert endless
            raise Enough


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x", "validation_data"])
def test_endless_data_never_ends(name):
    x, validation = dataset().repeat(), {}
    if name == "validation_data":
        x, validation = dataset(), {"validation_data": x}
    finding = one("endless-data", plain(), x, **validation)
    assert name in finding.cause
    with pytest.raises(Enough):
        fit(plain(), x, callbacks=[Limit(name)], **validation)
    steps = {"steps_per_epoch": 3} if name == "x" else {"validation_steps": 3}
    assert names(plain(), x, **validation, **steps) == []
    fit(plain(), x, callbacks=[Limit(name)], **validation, **steps)


def test_spent_generator():
    finding = one("spent-generator", plain(), generator(), epochs=3)
    assert fit(plain(), generator(), epochs=3)[1] == [5, 2, 2]
    assert names(plain(), generator(), epochs=1) == []
    # Whether a generator ends is not known: what is said must be right for both.
    assert one("spent-generator", plain(), endless(), epochs=3) == finding
    assert "later pass the first two" in finding.symptom and "If x never ends" in finding.symptom
    with pytest.raises(Enough):
        fit(plain(), endless(), epochs=3, callbacks=[Limit()])

    arguments = {"epochs": 2, "validation_freq": 1, "batch_size": 40}
    assert "validation_data" in (
        one("spent-generator", plain(), X, Y, validation_data=generator(), **arguments).cause
    )
    model = plain(optimizer=keras.optimizers.SGD(0.0))
    history, _, said = fit(model, X, Y, validation_data=generator(), **arguments)
    whole, rest = history["val_loss"]
    assert not math.isclose(whole, rest, rel_tol=1e-3)  # of the same weights
    first_two = model.evaluate(X[:16], Y[:16], verbose=0)[0]
    assert math.isclose(rest, first_two, rel_tol=1e-5)
    arguments["validation_freq"] = 2
    assert names(plain(), X, Y, validation_data=generator(), **arguments) == []


def test_zero_batches():
    nothing = dataset(7, drop_remainder=True)
    model = plain(built=True, run_eagerly=False, jit_compile=False)
    weights = model.get_weights()
    before = one("zero-batches", model, nothing, epochs=2)
    assert one("zero-batches", model, X[:0], Y[:0]) == before
    assert one("zero-batches", model, X[:0], Y[:0], validation_split=0.2) == before
    assert names(model, X[:0], Y[:0], steps_per_epoch=2) == ["zero-batches"]
    assert fit(model, nothing, epochs=2)[0] == {}
    assert fit(model, X[:0], Y[:0])[0] == {}
    assert all(map(np.array_equal, model.get_weights(), weights))

    stop = stopping(patience=1, restore_best_weights=True)
    arguments = {"validation_data": nothing, "epochs": 2, "callbacks": [stop]}
    assert "val_" in one("zero-batches", plain(), X, Y, **arguments).symptom
    assert fit(plain(), X, Y, **arguments)[0].keys() == {"accuracy", "loss"}
    assert stop.best_weights is None
    arguments["validation_data"] = X[:0], Y[:0]
    assert "val_" in one("zero-batches", plain(), X, Y, **arguments).symptom
    assert fit(plain(), X, Y, **arguments)[0].keys() == {"accuracy", "loss"}

    assert names(plain(), Batches(0)) == []  # Keras tells
    with pytest.raises(ValueError, match="length 0"):
        fit(plain(), Batches(0))


@pytest.mark.parametrize("make", [dataset, Batches, generator])
def test_ignored_batch_size(make):
    finding = one("ignored-batch-size", plain(), make(), batch_size=2)
    assert type(make()).__name__ in finding.cause
    _, batches, said = fit(plain(), make(), batch_size=2)
    assert batches == [5] and not any("batch_size" in text for text in said)
    assert names(plain(), X, Y, validation_data=make(), batch_size=2) == []
    (finding,) = check_fit(plain(), X, Y, validation_data=make(), validation_batch_size=2)
    assert "validation_batch_size=2" in finding.symptom


@pytest.mark.parametrize("split", [0.1, 0.25, 0.5])
@pytest.mark.parametrize(
    "labels",
    [
        SORTED["y"],
        SORTED["y"][::-1].reshape(-1, 1),
        SORTED["y"].astype("float32"),
        np.eye(4, dtype="float32")[SORTED["y"]],
        pd.Series(SORTED["y"]),
        tf.constant(SORTED["y"]),
    ],
    ids=["sorted", "column", "floats", "one-hot", "series", "tensor"],
)
def test_sorted_split(labels, split):
    model = plain()
    if len(labels.shape) == 2 and labels.shape[1] > 1:
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True))
    finding = one("sorted-split", model, X, labels, validation_split=split)
    symptom = finding.symptom.replace(".0", "")
    backwards = tuple(labels.shape) == (40, 1)
    first, half = ("label 0", "labels 0, 1") if backwards else ("label 3", "labels 2, 3")
    last = half if split == 0.5 else first
    assert f"Of the 4 labels, the validation data has only {last}. " in symptom
    assert (f"never sees {last}. " in symptom) == (split > 0.1)


@pytest.mark.slow
def test_sorted_split_validates_on_what_was_never_trained():
    x = np.eye(4, dtype="float32")[SORTED["y"]]  # the label can be read off
    order = np.random.default_rng(1).permutation(40)
    seen = {}
    for name, rows in (("sorted", slice(None)), ("shuffled", order)):
        model = plain(optimizer=keras.optimizers.SGD(2.0))
        arguments = {"validation_split": 0.25, "epochs": 5}
        found = names(model, x[rows], SORTED["y"][rows], **arguments)
        assert found == (["sorted-split"] if name == "sorted" else [])
        history = fit(model, x[rows], SORTED["y"][rows], **arguments)[0]
        seen[name] = history["val_accuracy"][-1]
    assert seen == {"sorted": 0, "shuffled": 1}


def test_sorted_split_that_is_not_sorted_but_withholds_a_label():
    y = np.r_[RNG.integers(0, 3, 30), np.full(10, 3)]
    y[30:] = RNG.permutation(np.r_[y[20:25], [3] * 5])  # half the tail
    assert names(plain(), X, y, validation_split=0.25) == []  # may be chance: 0.25 ** 5
    y[30:] = 3
    finding = one("sorted-split", plain(), X, y, validation_split=0.1 + 0.15)
    assert "never sees label 3." in finding.symptom
    two = {"a": y, "b": RNG.permutation(y)}
    assert names(two_outputs(), X, two, validation_split=0.25) == ["sorted-split"]


def test_sorted_split_of_numbers_is_none():
    ages = np.repeat([20, 30, 40, 50], 10)
    for loss in ("mse", "mae", keras.losses.Huber(), "poisson", lambda y, p: keras.ops.abs(y - p)):
        model = keras.Sequential([layers.Dense(1)])
        model.compile("sgd", loss)
        assert names(model, X, ages, validation_split=0.2) == []
    for loss in ("hinge", keras.losses.squared_hinge, "crossentropy", "ce"):
        model.compile("sgd", loss)
        assert "sorted-split" in names(model, X, ages, validation_split=0.2)
    model.compile("sgd", "mse")
    assert names(model, X, np.eye(4)[SORTED["y"]], validation_split=0.2) == ["sorted-split"]


def test_sorted_split_takes_the_loss_of_the_same_output():
    inputs = keras.Input((4,))
    outputs = {name: layers.Dense(1, "sigmoid", name=name)(inputs) for name in ("aa", "bb")}
    two = keras.Model(inputs, list(outputs.values()))
    keyed = keras.Model(inputs, outputs)
    in_order, mixed = np.repeat([0, 1], 20), RNG.permutation(np.repeat([0, 1], 20))
    losses = ["mse", "binary_crossentropy"]
    by_name = dict(zip(outputs, losses, strict=True))
    for model, loss in ((two, losses), (two, by_name), (keyed, losses), (keyed, by_name)):
        model.compile("sgd", loss)
        for aa, bb, found in ((in_order, mixed, []), (mixed, in_order, ["sorted-split"])):
            for y in ({"bb": bb, "aa": aa}, [aa, bb]):
                assert names(model, X, y, validation_split=0.2) == found
    # Keras pairs them so.
    two.compile(keras.optimizers.SGD(0.0), ["mse", "mae"])
    two.set_weights([np.zeros_like(weight) for weight in two.get_weights()])  # they say 0.5
    history = fit(two, X, {"bb": np.full(40, 2.5), "aa": np.full(40, 3.5)})[0]
    assert (history["aa_loss"], history["bb_loss"]) == ([9], [2])
    single = keras.Model(inputs, outputs["aa"])
    single.compile("sgd", {"aa": "binary_crossentropy"})
    for y in (in_order, [in_order], {"aa": in_order}):
        assert names(single, X, y, validation_split=0.2) == ["sorted-split"]


def test_sorted_split_of_a_text_in_order():
    words = np.random.default_rng(0).zipf(1.5, 5_000) % 500
    words[-300::30] = 501
    finding = one("sorted-split", plain(), np.zeros((5_000, 4)), words, validation_split=0.1)
    assert "y is not shuffled" in finding.cause
    finding = one("sorted-split", plain(), X, SORTED["y"], validation_split=0.1)
    assert "y is sorted by its labels" in finding.cause


def test_sorted_split_of_labels_that_do_not_compare():
    assert names(plain(), X, np.array([None, "a"] * 20, object), validation_split=0.2) == []


@pytest.mark.parametrize("seed", range(5))
def test_sorted_split_is_not_seen_in_shuffled_labels(seed):
    rng, model = np.random.default_rng(seed), plain()
    for n, kinds in ((4, 2), (10, 2), (40, 4), (2_000, 10), (2_000, 1_500), (5_000, 3)):
        y = rng.zipf(1.5, n) % kinds if seed % 2 else rng.integers(0, kinds, n)
        x = np.zeros((n, 4))
        for split in (0.05, 0.2, 0.5, 0.9):
            if n * split >= 1 and n * (1 - split) >= 1:
                assert names(model, x, y, validation_split=split) == []


# The test set


@pytest.fixture
def mnist(monkeypatch):
    """Labels that stand for those of MNIST's test set."""
    labels = RNG.integers(0, 4, 500).astype(np.uint8)
    digest = hashlib.sha256(labels.tobytes()).hexdigest()
    monkeypatch.setitem(datasets.DATA_SETS["mnist"].sha256, "y_test", digest)
    return labels


def test_test_set_by_its_labels(mnist):
    x = np.zeros((500, 4))  # whatever was done to the images
    for callback in (stopping(), plateau("val_accuracy"), ours()):
        for y in (mnist, mnist.astype("int64"), np.eye(4)[mnist], mnist.reshape(-1, 1)):
            arguments = {"validation_data": (x, y), "callbacks": [callback]}
            assert "MNIST" in one("test-set", plain(), X, Y, **arguments).cause
    arguments["callbacks"] = [stopping("loss")]  # looks on, and does not choose
    assert names(plain(), X, Y, **arguments) == []
    arguments |= {"callbacks": [stopping()], "validation_data": (x, np.roll(mnist, 1))}
    assert names(plain(), X, Y, **arguments) == []
    arguments["validation_data"] = tf.data.Dataset.from_tensor_slices((x, mnist)).batch(50)
    assert names(plain(), X, Y, **arguments) == []  # nothing is read from a dataset


def test_test_set_of_data_sets_that_share_a_stand_in(monkeypatch):
    # As Fashion-MNIST does with MNIST, where it is added as CONTRIBUTING.md says.
    x, y = RNG.integers(0, 256, (50, 4)).astype(np.uint8), np.zeros(50, int)
    found = {name: datasets.Images(f"stand-in for {name}", ("0",), x, y, x, y) for name in "AB"}
    monkeypatch.setattr(datasets, "loaded", lambda: list(found.values()))
    arguments = {"validation_data": (x / 255, y), "callbacks": [stopping()]}
    finding = one("test-set", plain(), X, Y, **arguments)
    assert "the test set of stand-in for A or stand-in for B." in finding.cause


@pytest.mark.slow
def test_test_set_by_its_images(monkeypatch):
    data = load_data("mnist", n_train=100, n_validation=100, n_test=50, seed=3)
    model = compiled(keras.Sequential([layers.Flatten(), layers.Dense(10)]))
    arguments = {"callbacks": [stopping()]}

    def found(x, y):
        validation = {"validation_data": (x, y)}
        return names(model, data.x_train, data.y_train, **validation, **arguments)

    assert found(data.x_test, data.y_test) == ["test-set"]
    monkeypatch.setenv("EPOCHLAB_DATA", "nowhere")  # what is in memory stays what it is
    assert found(data.x_test.reshape(50, 784) * 255, data.y_test) == ["test-set"]
    assert found(data.x_test[::-1].astype("float64"), data.y_test) == ["test-set"]
    assert found(data.x_validation, data.y_validation) == []
    few = np.r_[data.x_test[:10], data.x_validation]
    assert found(few, np.zeros(len(few), int)) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(np.where(data.x_test > 0.5, np.nan, data.x_test), data.y_test) == []
    both = [data.x_test, data.y_test]
    one("test-set", model, data.x_train, data.y_train, validation_data=both, **arguments)


# Batches of one


def normalized(**compile):
    layer = layers.BatchNormalization(momentum=0.0, name="norm")
    model = keras.Sequential([keras.Input((4,)), layer, layers.Dense(4)])
    return compiled(model, **compile)


def test_lone_sample_has_no_variance():
    for batch_size, variance in ((13, 0), (10, None)):
        model = normalized(optimizer=keras.optimizers.SGD(0.0))
        expected = ["lone-sample"] if variance == 0 else []
        assert names(model, X, Y, batch_size=batch_size) == expected
        fit(model, X, Y, batch_size=batch_size)
        moving = model.get_layer("norm").moving_variance.numpy()
        assert (moving == 0).all() if variance == 0 else (moving > 0.1).all()
    layer = model.get_layer("norm")
    layer.beta.assign([1, 2, 3, 4])
    np.testing.assert_array_equal(layer(X[:1], training=True), [[1, 2, 3, 4]])
    assert "norm returns its beta" in one("lone-sample", normalized(), X, Y, batch_size=13).symptom


def test_lone_sample_wherever_the_layer_is():
    inside = keras.Sequential([layers.Dense(3), layers.BatchNormalization()])
    for model in (
        plain(layers.BatchNormalization()),
        plain(keras.Sequential([inside])),
        compiled(keras.Model(inputs := keras.Input((4,)), layers.Dense(4)(inside(inputs)))),
    ):
        one("lone-sample", model, X, Y, batch_size=39)
    for arguments in (
        {"validation_split": 0.2, "batch_size": 31},
        {"batch_size": 1},
        {"batch_size": 13, "steps_per_epoch": 4},
    ):
        one("lone-sample", normalized(), X, Y, **arguments)
    one("lone-sample", normalized(), X[:33], Y[:33])  # in batches of 32
    assert names(normalized(), X, Y, validation_split=0.2, batch_size=39) == []


def test_lone_sample_of_a_model_that_was_never_built():
    norm = layers.BatchNormalization
    over_words = [layers.Embedding(9, 4), layers.Conv1D(4, 3), norm(), layers.Flatten()]
    assert names(plain(*over_words), RNG.integers(0, 9, (33, 12)), Y[:33]) == []
    parts = [layers.Flatten(), keras.Sequential([layers.Dense(4), norm()])]
    model, pixels = plain(*parts), np.zeros((33, 2, 2, 1))
    assert "one batch of each pass" in one("lone-sample", model, pixels, Y[:33]).symptom
    assert not any(layer.built for layer in model.layers)
    finding = one("lone-sample", model, pixels, Y[:33], batch_size=1)
    assert "For every batch," in finding.symptom and "Each batch is one" in finding.cause
    for unknown in (layers.Lambda(lambda x: 1 / 0), type("Own", (layers.Flatten,), {})()):
        assert names(plain(unknown, norm()), X[:33], Y[:33]) == []


# The last layer


def ending(activation, loss, *after, units=4, dtype=None):
    first = [keras.Input((4,)), layers.Dense(units, activation, dtype=dtype, name="last")]
    model = keras.Sequential([*first, *after])
    model.compile(keras.optimizers.SGD(1.0), loss, run_eagerly=True)
    return model


SPARSE, BINARY = keras.losses.SparseCategoricalCrossentropy, keras.losses.BinaryCrossentropy


def learned(*args, y, **arguments):
    """Return the loss after some epochs of a task that is easy."""
    keras.utils.set_random_seed(3)
    return fit(ending(*args, **arguments), X, y, epochs=8)[0]["loss"][-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "kind", "units", "y"),
    [("softmax", SPARSE, 4, X.argmax(axis=1)), ("sigmoid", BINARY, 1, X[:, :1] > 0)],
)
def test_wrong_logits_make_a_wrong_loss(activation, kind, units, y):
    half = {"units": units, "dtype": "mixed_bfloat16"}
    for loss in (kind(), kind().name, kind.__name__):
        finding = one("wrong-logits", ending(None, loss, units=units), X, y)
        assert "last returns logits" in finding.cause and "=True" in finding.cure
    finding = one("wrong-logits", ending(activation, kind(from_logits=True), **half), X, y)
    assert "last returns probabilities" in finding.cause and "=False" in finding.cure
    healthy = [(None, kind(from_logits=True)), (activation, kind()), (activation, kind().name)]
    right = [learned(last, loss, y=y, units=units) for last, loss in healthy]
    for last, loss in healthy:
        assert names(ending(last, loss, units=units), X, y) == []
    assert np.ptp(right) < 1e-3
    assert learned(None, kind(), y=y, units=units) > 1.5 * right[0]
    assert learned(activation, kind(from_logits=True), y=y, **half) > 1.2 * right[0]
    # In single precision, Keras finds the softmax, says so, and takes the logits before it.
    model = ending(activation, kind(from_logits=True), units=units)
    one("wrong-logits", model, X, y)
    assert any("was produced by a S" in text for text in fit(model, X, y)[2])


def test_wrong_logits_wherever_the_last_layer_is():
    inside = keras.Sequential([layers.Dense(4)])
    inputs = keras.Input((4,))
    for model in (
        keras.Sequential([inside]),
        keras.Sequential([layers.Dense(4)]),
        keras.Model(inputs, inside(inputs)),
        keras.Model(inputs, layers.Dense(4)(inputs)),
    ):
        model.compile("sgd", "sparse_categorical_crossentropy")
        one("wrong-logits", model, X, Y)
    outputs = {"b": layers.Dense(4, "softmax")(inputs), "a": layers.Dense(4)(inputs)}
    model = keras.Model(inputs, outputs)
    loss = SPARSE(from_logits=True)
    for losses, found in (
        ({"a": loss, "b": "sparse_categorical_crossentropy"}, []),
        ({"a": "mse", "b": loss}, ["wrong-logits"]),
        (SPARSE(), ["wrong-logits"]),
        ([loss, SPARSE()], []),
    ):
        model.compile("sgd", losses)
        assert names(model, X, {"a": Y, "b": Y}) == found
    for after in (layers.Softmax(), layers.Activation("softmax", dtype="float32")):
        assert names(ending(None, SPARSE(), after), X, Y) == []
        assert names(ending(None, SPARSE(from_logits=True), after), X, Y) == ["wrong-logits"]
    two = keras.Model(inputs, [layers.Dense(4, "softmax")(inputs), layers.Dense(4)(inputs)])
    model = keras.Model(inputs, two(inputs))  # which of the two is not known
    model.compile("sgd", [SPARSE(), loss])
    assert names(model, X, [Y, Y]) == []
    # What is not known is no mistake.
    passed = layers.Activation("linear", dtype="float32")
    for last in (passed, layers.Lambda(keras.ops.softmax), layers.Reshape((4,))):
        assert names(ending(None, SPARSE(), last), X, Y) == []
    for own in (Subclassed(), OwnStep([layers.Dense(4)])):
        own.compile("sgd", SPARSE())
        assert names(own, X, Y) == []
    assert names(ending(None, lambda y, p: SPARSE(from_logits=True)(y, p)), X, Y) == []
    assert names(ending(keras.ops.abs, SPARSE()), X, Y) == []


def test_constant_softmax_says_1():
    for loss in ("binary_crossentropy", "mse"):
        model = ending("softmax", loss, units=1)
        assert "sigmoid" in one("constant-softmax", model, X, Y % 2).cure
        fit(model, X, Y % 2, epochs=2)
        assert (model.predict(X, verbose=0) == 1).all()
        assert names(ending("sigmoid", loss, units=1), X, Y % 2) == []
    for last in (layers.Softmax, lambda: layers.Activation("softmax")):
        inputs = keras.Input((4,))
        for model in (
            keras.Sequential([inputs, layers.Dense(1), last()]),
            keras.Sequential([layers.Dense(1), last()]),
            keras.Model(inputs, last()(layers.Dense(1)(inputs))),
        ):
            model.compile("sgd", "binary_crossentropy")
            one("constant-softmax", model, X, Y % 2)
            assert (model.predict(X, verbose=0) == 1).all()
    assert names(plain(layers.Dense(1), layers.Dense(3, "softmax")), X, Y) == []
    weights = layers.Dense(1), layers.Softmax(axis=0)  # over the batch
    assert names(plain(*weights), X, Y) == []


# A model that was trained


def test_no_epochs_are_left():
    model = trained()
    arguments = {"initial_epoch": 5, "epochs": 5}
    assert "set epochs=10" in one("no-epochs", model, X, Y, **arguments).cure
    before = model.get_weights()
    assert fit(model, X, Y, **arguments)[0] == {}
    assert all(map(np.array_equal, model.get_weights(), before))
    one("no-epochs", model, X, Y, initial_epoch=5, epochs=3)
    assert names(model, X, Y, initial_epoch=5, epochs=6) == []


def test_trained_model_goes_on():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 2)
    model = plain(optimizer=keras.optimizers.SGD(schedule))
    assert names(model, X, Y) == []
    fit(model, X, Y)
    assert "2 updates" in one("trained-model", model, X, Y).cause
    before = model.get_weights()
    fit(model, X, Y)
    assert model.history.epoch == [0] and model.optimizer.iterations == 4
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)  # the schedule is at its end


# Nothing changes


def test_mistakes_are_all_named_together():
    found = names(
        trained(),
        X,
        SORTED["y"],
        batch_size=7,
        steps_per_epoch=4,
        epochs=3,
        validation_split=0.2,
        callbacks=[stopping(mode="max", patience=0)],
    )
    assert found == ["wrong-mode", "patience-0", "short-epochs", "sorted-split", "trained-model"]
    assert names(plain(), X, Y, callbacks=stopping(patience=0)) == ["missing-monitor", "patience-0"]


def drawn():
    """A number from each generator that training may use."""
    numbers = [random.random(), np.random.rand(), float(tf.random.uniform([]))]  # noqa: NPY002
    return [*numbers, float(keras.random.uniform(())), layers.Dense(1).name]


def run(check, x, y=None):
    """Train with every kind of randomness and return all that came out."""
    keras.utils.set_random_seed(5)
    keras.backend.clear_session()
    optimizer = keras.optimizers.Adam()
    parts = [layers.Dropout(0.5), layers.BatchNormalization()]
    model = plain(*parts, optimizer=optimizer, metrics=["accuracy", agreement])
    shared = {
        "epochs": 1,
        "callbacks": [stopping("loss"), plateau("accuracy"), ours("accuracy", mode="max")],
    }
    x = x()
    if check:
        check_fit(model, x, y, **shared)
        assert not model.built and not model.optimizer.variables[2:]
        assert shared["callbacks"][0].monitor_op is None
    history = fit(model, x, y, **shared)[0]
    return history, [w.tolist() for w in model.get_weights()], drawn()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["arrays", "dataset", "generator"])
def test_nothing_is_changed_before_training(kind):
    x, y = {
        "arrays": (lambda: X, Y),
        "dataset": (lambda: dataset().shuffle(40), None),
        "generator": (generator, None),
    }[kind]
    assert run(True, x, y) == run(False, x, y)


def test_nothing_is_changed_after_training():
    model = plain(layers.Dropout(0.5), metrics=["accuracy", agreement])
    fit(model, X, Y, **VALIDATION)
    states = [model.variables, model.optimizer.variables, *(m.variables for m in model.metrics)]

    def state():
        return [v.numpy().tolist() for part in states for v in part]

    before, history = state(), model.history
    keras.utils.set_random_seed(5)
    check_fit(
        model, X, SORTED["y"], validation_split=0.2, callbacks=[stopping("agreement"), ours()]
    )
    assert state() == before and model.history is history
    after = drawn()
    keras.utils.set_random_seed(5)
    assert drawn()[:3] == after[:3]


def test_nothing_is_taken_from_data():
    batches = Batches()
    check_fit(plain(), batches, validation_data=batches, callbacks=[stopping()])
    assert batches.asked == 0
    source = generator()
    check_fit(plain(), source, validation_data=source, epochs=3, callbacks=[stopping()])
    assert len(list(source)) == 5
    taken = []
    pulled = tf.data.Dataset.from_generator(
        lambda: (taken.append(1), (X, Y))[1:], output_signature=dataset().element_spec
    )
    check_fit(plain(), pulled, validation_data=pulled, callbacks=[stopping()])
    assert taken == []


# Arguments


@pytest.mark.parametrize(
    ("error", "match", "arguments"),
    [
        (TypeError, r"model must be a keras.Model; got 3 \(int\)", {"model": 3}),
        (
            ValueError,
            "model must be compiled; got 'bare'",
            {"model": keras.Sequential(name="bare")},
        ),
        (TypeError, "fit_arguments must be among batch_size, epochs.*got 'epoch'", {"epoch": 3}),
        (TypeError, "epochs must be an integer, at least 0; got 2.5", {"epochs": 2.5}),
        (ValueError, "initial_epoch must be an integer, at least 0; got -1", {"initial_epoch": -1}),
        (TypeError, "batch_size must be an integer, at least 1; got 4.0", {"batch_size": 4.0}),
        (TypeError, "steps_per_epoch must be .*; got '5'", {"steps_per_epoch": "5"}),
        (ValueError, "validation_freq must be .*at least 1; got 0", {"validation_freq": 0}),
        (TypeError, r"validation_freq must be .*; got \(1, 2\)", {"validation_freq": (1, 2)}),
        (TypeError, "validation_freq must be .*; got 2.0", {"validation_freq": 2.0}),
        (
            TypeError,
            r"monitor of EarlyStopping must be a name in the logs; got 3 \(int\)",
            {"callbacks": callbacks.EarlyStopping(3)},
        ),
        (ValueError, "validation_split must be a number in", {"validation_split": 1.5}),
        (ValueError, "validation_split must leave samples", {"validation_split": 0.999}),
        (ValueError, r"validation_data must be \(x, y\).*a list of 0", {"validation_data": []}),
    ],
)
def test_arguments_that_are_none(error, match, arguments):
    model = arguments.pop("model", None) or plain()
    with pytest.raises(error, match=match):
        check_fit(model, X, Y, **arguments)


@pytest.mark.parametrize("freq", [0, (1, 2), np.int64(2)])
def test_a_validation_freq_that_is_refused_fails_after_an_epoch(freq):
    model = plain()
    with pytest.raises((ValueError, ZeroDivisionError)):
        fit(model, X, Y, validation_freq=freq, **VALIDATION)
    assert model.optimizer.iterations == 2  # the whole epoch


def test_it_takes_exactly_what_fit_takes():
    model = plain()
    history = {"initial_epoch": 0, "verbose": 0, "shuffle": False, "class_weight": None}
    assert check_fit(model=model, x=X, y=Y, sample_weight=None, **history) == []
    assert check_fit(model, X, Y, validation_split=None) == []
    with pytest.raises(TypeError):
        check_fit(model)
    with pytest.raises(TypeError, match="'self'"):
        check_fit(model, X, Y, self=model)


def test_no_epochs_no_findings_about_monitors():
    assert names(plain(), X, Y, epochs=0, callbacks=[stopping()], **VALIDATION) == []


def test_finding_is_readable_and_frozen():
    finding = Finding("patience-0", "It stops.", "Because " * 30, "Wait.", "notebooks/x.ipynb#y")
    assert str(finding).splitlines()[0] == "patience-0: It stops."
    assert max(map(len, str(finding).splitlines())) <= 88
    assert str(finding).splitlines()[-1] == "  see:   notebooks/x.ipynb#y"
    with pytest.raises(AttributeError):
        finding.name = "other"
