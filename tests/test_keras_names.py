"""Each private name of Keras and TensorFlow that is used: what it is today, what if it goes.

A test that fails says that Keras has changed: mend `epochlab/_keras.py`, nowhere else.
"""

import importlib
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import callbacks, layers, metrics, optimizers

from epochlab import _keras, check_fit

X, Y = np.ones((8, 4), "float32"), np.arange(8) % 3


class Without:
    """Something that lacks one attribute."""

    def __init__(self, thing, name):
        self.__dict__.update(_thing=thing, _name=name)

    def __getattr__(self, name):
        if name == self._name:
            raise AttributeError(name)
        return getattr(self._thing, name)


def model(*between, built=True, **compile):
    first = [keras.Input((4,))] if built else []
    made = keras.Sequential([*first, *between, layers.Dense(3, "softmax", name="last")])
    arguments = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    made.compile("sgd", **(arguments | compile))
    return made


def functional(**compile):
    inputs = keras.Input((4,))
    outputs = {name: layers.Dense(3, "softmax", name=name)(inputs) for name in ("a", "b")}
    made = keras.Model(inputs, outputs)
    made.compile("sgd", "sparse_categorical_crossentropy", **compile)
    return made


def test_flatten_layers():
    inside = keras.Sequential([layers.Dense(2), layers.Dense(2)])
    outside = model(inside)
    found = _keras.flatten_layers(outside)
    assert found[0] is outside and {inside, *inside.layers, *outside.layers} <= set(found)
    found = _keras.flatten_layers(Without(outside, "_flatten_layers"))
    assert found[1:] == outside.layers


@pytest.mark.parametrize("name", ["_compile_metrics", "_compile_loss"])
def test_compiled_parts(name):
    whole = model()
    parts = _keras.compiled_parts(whole)
    assert [part.built for part in parts] == [False, False]
    whole.fit(X, Y, verbose=0)
    assert [part.built for part in parts] == [True, True]
    kept = _keras.compiled_parts(Without(whole, name))
    assert kept == [part for part in parts if part is not getattr(whole, name)]


def test_loss_tracker():
    whole = model()
    before = _keras.loss_tracker(whole)
    assert before.name == "loss" and before is whole.metrics[0]
    whole.compile("sgd", "mse")
    assert _keras.loss_tracker(whole) not in (None, before)
    assert _keras.loss_tracker(Without(whole, "_loss_tracker")) is None


def test_outputs_struct_and_producer():
    whole = functional()
    outputs = _keras.outputs_struct(whole)
    assert {name: _keras.producer(tensor).name for name, tensor in outputs.items()} == {
        "a": "a",
        "b": "b",
    }
    assert _keras.outputs_struct(Without(whole, "_outputs_struct")) is None
    assert _keras.producer(Without(outputs["a"], "_keras_history")) is None


def test_symbolic_build():
    batch = keras.KerasTensor((None, 4)), keras.KerasTensor((None,), "int64")
    whole = model(built=False)
    _keras.symbolic_build(Without(whole, "_symbolic_build"), batch)
    assert not whole.built
    _keras.symbolic_build(whole, batch)
    assert whole.built and whole.optimizer.built
    assert _keras.logged_names(whole) == {"loss", "accuracy"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "kinds",
    [
        ["accuracy", metrics.TopKCategoricalAccuracy],
        [metrics.F1Score, metrics.F1Score],
        [metrics.AUC, "AUC", metrics.R2Score],
        None,
    ],
)
def test_logged_names_of_metrics_built_apart(kinds):
    y = np.eye(3)[Y]
    compile = {"loss": "categorical_crossentropy", "metrics": kinds, "weighted_metrics": ["mae"]}
    whole = model(**compile)
    assert _keras.logged_names(whole) is None  # not built
    outputs, before = keras.KerasTensor((None, 1)), dict(_keras.name_counters())
    apart = _keras.built_apart(whole, outputs)
    assert _keras.name_counters() == before and not _keras.compiled_parts(whole)[0].built
    logs = whole.fit(X, y, verbose=0).history.keys()
    assert _keras.logged_names(apart) == _keras.logged_names(whole) == logs


@pytest.mark.slow
def test_logged_names_of_several_outputs():
    for given in ({"a": ["accuracy"], "b": ["accuracy"]}, [["accuracy"], []], None):
        whole = functional(metrics=given)
        apart = _keras.built_apart(whole, _keras.outputs_struct(whole))
        logs = whole.fit(X, {"a": Y, "b": Y}, verbose=0).history.keys()
        assert _keras.logged_names(apart) == _keras.logged_names(whole) == logs


def test_what_cannot_be_built_is_unknown():
    whole = functional(metrics={"c": ["accuracy"]})
    assert _keras.built_apart(whole, _keras.outputs_struct(whole)) is None


def test_a_metric_that_gives_several_values():
    class Several(metrics.Mean):
        def update_state(self, y_true, y_pred, sample_weight=None):
            return super().update_state(y_pred, sample_weight)

        def result(self):
            return {"low": super().result(), "high": super().result()}

    whole = model(metrics=[Several(name="range")])
    logs = whole.fit(X, Y, verbose=0).history.keys()
    assert _keras.logged_names(whole) == logs == {"loss", "low", "high"}


@pytest.mark.parametrize("name", ["_user_metrics", "_user_weighted_metrics"])
def test_user_metrics(name, monkeypatch):
    whole = model(metrics=["accuracy"], weighted_metrics=["mae"])
    given = {"_user_metrics": ["accuracy"], "_user_weighted_metrics": ["mae"]}
    assert getattr(whole._compile_metrics, name) == given[name]
    monkeypatch.delattr(whole._compile_metrics, name)
    assert _keras.built_apart(whole, keras.KerasTensor((None, 1))) is None


@pytest.mark.parametrize("name", ["_flat_metrics", "_flat_weighted_metrics"])
def test_flat_metrics(name, monkeypatch):
    whole = model()
    whole.fit(X, Y, verbose=0)
    assert len(getattr(whole._compile_metrics, name)) == 1
    monkeypatch.delattr(whole._compile_metrics, name)
    assert _keras.logged_names(whole) is None


def test_direction(monkeypatch):
    known = metrics.MeanAbsoluteError(name="gap")
    kinds = ["accuracy", known, metrics.FalsePositives(name="alarms")]
    whole = model(loss="mse", metrics=kinds)
    whole.fit(X, np.eye(3)[Y], verbose=0)
    modes = {"val_accuracy": "max", "gap": "min", "loss": "min", "alarms": None, "none": None}
    assert {name: _keras.metric_mode(whole, name) for name in modes} == modes
    monkeypatch.delattr(known, "_direction")
    assert _keras.metric_mode(whole, "gap") is None


def test_set_monitor_op(monkeypatch):
    whole = model()
    whole.fit(X, Y, verbose=0)
    assert not _keras.fails_on_auto(whole, "val_accuracy") and _keras.fails_on_auto(whole, "acc")
    kind = callbacks.EarlyStopping
    owner = next(base for base in kind.__mro__ if "_set_monitor_op" in vars(base))
    monkeypatch.delattr(owner, "_set_monitor_op")
    assert not _keras.fails_on_auto(whole, "acc")


def test_learning_rate():
    schedule = optimizers.schedules.CosineDecay(0.1, 9)
    optimizer = optimizers.SGD(schedule)
    assert _keras.learning_rate_schedule(optimizer) is schedule
    assert _keras.learning_rate_schedule(optimizers.LossScaleOptimizer(optimizer)) is schedule
    assert _keras.learning_rate_schedule(optimizers.SGD(0.1)) is None
    assert _keras.learning_rate_schedule(Without(optimizer, "_learning_rate")) is None


def test_exclude_from_weight_decay():
    optimizer = optimizers.AdamW()
    assert not _keras.excludes_from_weight_decay(optimizer)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert _keras.excludes_from_weight_decay(optimizer)
    gone = Without(optimizer, "_exclude_from_weight_decay")
    assert not _keras.excludes_from_weight_decay(gone)


def test_omit_frequent_tracing_warning(caplog):
    for omit in (False, True):
        caplog.clear()
        for _ in range(9):
            function = tf.function(lambda x: x)
            if omit:
                assert not function._omit_frequent_tracing_warning
                _keras.omit_tracing_warning(function)
            for value in range(6):
                function(value)
        assert omit or not caplog.messages or "retracing" in caplog.text
    _keras.omit_tracing_warning(Without(function, "_omit_frequent_tracing_warning"))


def without_internals(monkeypatch):
    """Let the modules that are not public have nothing in them."""
    there, gone = importlib.import_module, ("keras.src.", "tensorflow.python.")
    monkeypatch.setattr(
        importlib,
        "import_module",
        # Keras imports TensorFlow so, when it is first used.
        lambda name, *of: object() if name.startswith(gone) else there(name, *of),
    )


def test_name_counters(monkeypatch):
    counters = _keras.name_counters()
    before = counters["auc"]
    metrics.AUC()
    with _keras.names_from_the_start():
        assert metrics.AUC().name == "auc"
    assert _keras.name_counters()["auc"] == before + 1
    whole, outputs = model(), keras.KerasTensor((None, 1))
    without_internals(monkeypatch)
    assert _keras.name_counters() is None
    with _keras.names_from_the_start():
        metrics.AUC()
    assert _keras.built_apart(whole, outputs) is None


def drawn():
    """Draw from everything that has a global seed, Keras's own generator included."""
    python, numpy = random.random(), np.random.rand()  # noqa: NPY002
    return [python, numpy, *(float(draw(())) for draw in (keras.random.uniform, tf.random.uniform))]


def after(between):
    keras.utils.clear_session()  # in Keras 3.11 its generator goes on, whatever the seed
    keras.utils.set_random_seed(3)
    drawn()
    between()
    return drawn()


def elsewhere():
    with _keras.random_numbers_kept():
        keras.utils.set_random_seed(7)
        drawn()


def test_random_numbers_kept(monkeypatch):
    assert after(elsewhere) == after(lambda: None) != after(drawn)
    without_internals(monkeypatch)
    expected = after(lambda: tf.random.set_seed(3))  # TensorFlow begins again
    found = after(elsewhere)
    assert found[:2] + found[3:] == expected[:2] + expected[3:]


@pytest.mark.parametrize("known", [True, False])
def test_no_seed_is_kept(known, monkeypatch):
    tf.random.set_seed(None)
    if not known:
        without_internals(monkeypatch)
    elsewhere()
    assert tf.compat.v1.random.get_seed(None) == (None, None)


MODEL = ["_flatten_layers", "_compile_metrics", "_compile_loss", "_loss_tracker", "_symbolic_build"]


@pytest.mark.parametrize("name", [*MODEL, "_outputs_struct"])
@pytest.mark.parametrize("make", [model, functional], ids=["Sequential", "functional"])
def test_check_fit_finds_nothing_where_a_name_is_gone(name, make, monkeypatch):
    """A subclass hides the name, as if Keras had renamed it."""
    whole = make()
    y = Y if make is model else {"a": Y, "b": Y}
    stop = callbacks.EarlyStopping("val_loss", patience=1, restore_best_weights=True)

    class Hiding(type(whole)):
        def __getattribute__(self, wanted):
            if wanted == name:
                raise AttributeError(wanted)
            return super().__getattribute__(wanted)

    for monitor in ("accuracy", "val_a_accuracy", "loss"):
        stop.monitor = monitor
        whole = make()
        whole.__class__ = Hiding
        # Of the four rows to train on, one is left alone, so that its layers are looked through.
        arguments = {"epochs": 2, "batch_size": 3, "validation_split": 0.5, "callbacks": [stop]}
        found = check_fit(whole, X, y, **arguments)
        assert {finding.name for finding in found} <= {"missing-monitor", "undecidable-mode"}
        if name in ("_compile_metrics", "_compile_loss"):
            assert found == []
