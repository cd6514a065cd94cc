"""EarlyStopping and fit_interruptible: every ending, Ctrl-C, crashes, and real Keras beside."""

import json
import os
import pickle
import random
import signal
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import PROCESSES
from keras import layers
from keras.callbacks import LambdaCallback, ReduceLROnPlateau, TerminateOnNaN

from epochlab import (
    EarlyStopping,
    GeneralizationLoss,
    Patience,
    ProgressQuotient,
    Rule,
    StopReason,
    SuccessiveIncreases,
    Target,
    TrainEvaluation,
    fit_interruptible,
    history_table,
    replay,
)
from epochlab.stopping.state_file import StateFile

EPOCHS = 100  # of a run that is killed
KILLS = int(os.environ.get("EPOCHLAB_KILLS", 6))  # 20 by hand

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 5)).astype("float32"), RNG.integers(0, 3, 24)
X_VAL, Y_VAL = RNG.normal(size=(16, 5)).astype("float32"), RNG.integers(0, 3, 16)
VALIDATION = {"validation_data": (X_VAL, Y_VAL)}
PLAIN = {"batch_size": 8, "shuffle": False, "verbose": 0}
CURVE = [0.9, 0.5, 0.4, 0.6, 0.7, 0.8, 0.3]  # its best is epoch 2, before patience runs out


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def sequential(optimizer="sgd", **compile):
    """Not built before its first batch."""
    keras.utils.set_random_seed(7)
    model = keras.Sequential([layers.Dense(8, "relu"), layers.Dense(3)])
    model.compile(optimizer, cross_entropy(), metrics=["accuracy"], jit_compile=False, **compile)
    return model


def regularized(width=16):
    keras.utils.set_random_seed(7)
    parts = [layers.Dense(width, "relu"), layers.BatchNormalization(), layers.Dropout(0.4)]
    model = keras.Sequential([keras.Input((5,)), *parts, layers.Dense(3)])
    optimizer = keras.optimizers.Adam(0.05, gradient_accumulation_steps=2)
    model.compile(optimizer, cross_entropy(), metrics=["accuracy"], jit_compile=False)
    return model


def two_outputs():
    inputs = keras.Input((5,))
    outputs = {"a": layers.Dense(3, name="a")(inputs), "b": layers.Dense(1, name="b")(inputs)}
    model = keras.Model(inputs, outputs)
    loss, metrics = {"a": cross_entropy(), "b": "mse"}, {"a": ["accuracy"], "b": ["mae"]}
    model.compile("sgd", loss, metrics=metrics, jit_compile=False)
    return model


@pytest.fixture(scope="module")
def traced():
    """A model that is traced once; each test finds it as at first."""
    model = sequential(keras.optimizers.SGD(0.1))
    model.fit(X, Y, epochs=1, **PLAIN, **VALIDATION)
    return model, model.get_weights()


@pytest.fixture(autouse=True)
def interruptible():
    """A shell's background job ignores Ctrl-C, and its children do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Feed(keras.callbacks.Callback):
    """Puts a made-up curve into the logs, `None` for no validation, and keeps all weights."""

    def __init__(self, values, name="val_loss"):
        super().__init__()
        self.values, self.name, self.weights = values, name, []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.get_weights())
        if self.values[epoch] is not None:
            logs[self.name] = self.values[epoch]


def at(epoch, do, hook="on_epoch_end"):
    """A callback that does something in one epoch."""
    return LambdaCallback(**{hook: lambda now, logs: do() if now == epoch else None})


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)  # where the interrupt arrives


def crash():
    raise OSError("as if the machine had failed")


def same(weights, others):
    return len(weights) == len(others) and all(map(np.array_equal, weights, others))


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def parts(state):
    """What is being written."""
    return list(state.parent.glob("*.part"))  # hidden ones, too


def variables(model):
    return [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


# Endings


@pytest.mark.slow
@pytest.mark.parametrize("restore", [True, False])
@pytest.mark.parametrize("fit", [keras.Model.fit, fit_interruptible])
@pytest.mark.parametrize(
    ("rule", "curve", "expected"),
    [
        (Patience(2), CURVE, (StopReason.PATIENCE, 5, 4, 2)),
        (Patience(4), CURVE[:-1], (StopReason.EPOCHS, 6, None, 2)),
        (Patience(3), CURVE[:-1], (StopReason.PATIENCE, 6, 5, 2)),  # in the last epoch
        (Target(0.4), CURVE, (StopReason.TARGET, 3, 2, 2)),
        (GeneralizationLoss(60), CURVE, (StopReason.CRITERION, 5, 4, 2)),
        (SuccessiveIncreases(2, strip=1), CURVE, (StopReason.CRITERION, 5, 4, 2)),
        (Patience(3), [0.6, 0.5, None, 0.4, 0.6, None], (StopReason.EPOCHS, 6, None, 3)),
        (Patience(2), [np.nan, None, np.inf, 0.4, 0.6], (StopReason.PATIENCE, 3, 2, None)),
    ],
)
def test_rules_end_a_run_as_their_replay_says(model, rule, curve, expected, restore, fit):
    feed, stopping = Feed(curve), EarlyStopping(rule=rule, restore_best_weights=restore)
    assert stopping.report is None
    fit(model, X, Y, epochs=len(curve), callbacks=[feed, stopping], **PLAIN)
    report = stopping.report
    assert (report.reason, report.epochs_run, report.stopped_epoch, report.best_epoch) == expected
    assert len(feed.weights) == report.epochs_run
    replayed = replay(curve, rule)
    assert (report.reason, report.best_epoch) == (replayed.reason, replayed.best_epoch)
    if restore:
        assert report == replayed
    assert report.restored_epoch == (report.best_epoch if restore else None)
    kept = -1 if report.restored_epoch is None else report.restored_epoch
    assert same(model.get_weights(), feed.weights[kept])


def test_training_losses_reach_the_rules_that_need_them(model):
    rule, feed = ProgressQuotient(0.5, strip=2), Feed([1.0, 0.8, 0.9, 1.0, 1.2, 1.5] * 2)
    losses = Feed([1.0, 0.8, 0.75, 0.75, 0.75, 0.75] * 2, "loss")
    stopping = EarlyStopping(rule=rule)
    model.fit(X, Y, epochs=12, callbacks=[feed, losses, stopping], **PLAIN)
    assert stopping.report == replay(feed.values, rule, train_values=losses.values)
    assert stopping.report.stopped_epoch == 3


def test_another_callback_that_stops_is_told_apart(model):
    def stop():
        model.stop_training = True

    for epoch in (3, 5):  # 5 is the last
        feed, stopping = Feed(CURVE), EarlyStopping(rule=Patience(9))
        model.fit(X, Y, epochs=6, callbacks=[feed, stopping, at(epoch, stop)], **PLAIN)
        report = stopping.report
        assert (report.reason, report.epochs_run) == (StopReason.OTHER, epoch + 1)
        assert report.stopped_epoch is None and report.restored_epoch == 2
        assert same(model.get_weights(), feed.weights[2])
    # The rule's own stop in the same epoch comes first.
    stopping = EarlyStopping(rule=Patience(2))
    model.fit(X, Y, epochs=6, callbacks=[Feed(CURVE), at(4, stop), stopping], **PLAIN)
    assert stopping.report.reason == StopReason.PATIENCE


def test_a_loss_that_is_not_finite_ends_the_run_with_the_best_weights(model):
    def spoil():
        model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])

    stopping, feed = EarlyStopping(rule=Patience(9)), Feed(CURVE)
    callbacks = [feed, stopping, TerminateOnNaN(), at(4, spoil, "on_epoch_begin")]
    model.fit(X, Y, epochs=7, callbacks=callbacks, **PLAIN)
    report = stopping.report
    assert (report.reason, report.epochs_run, report.stopped_epoch) == ("non_finite", 5, 4)
    assert report.restored_epoch == 2 and same(model.get_weights(), feed.weights[2])
    assert "Stopped in epoch 5" in str(report)
    stopping = EarlyStopping(rule=Patience(9))  # the same without a callback that stops
    callbacks = [Feed(CURVE), stopping, at(4, spoil, "on_epoch_begin")]
    model.fit(X, Y, epochs=7, callbacks=callbacks, **PLAIN)
    assert stopping.report.reason == StopReason.EPOCHS


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_real_runs_end_as_with_keras(seed, model):
    rng, first = np.random.default_rng(seed), model.get_weights()
    patience, delta = int(rng.integers(0, 4)), float(rng.choice([0, 0.01]))
    ours = EarlyStopping(rule=Patience(patience, min_delta=delta, check_finite=False))
    theirs = keras.callbacks.EarlyStopping(
        patience=patience, min_delta=delta, restore_best_weights=True
    )
    y, results = rng.permutation(Y), []
    for stopping in (theirs, ours):
        model.set_weights(first)
        model.optimizer.learning_rate = 0.5
        settings = {"epochs": 30, "callbacks": [stopping], **PLAIN, **VALIDATION}
        history = model.fit(X, y, **settings)
        results.append((history.epoch, history.history, model.get_weights()))
    model.optimizer.learning_rate = 0.1
    assert results[0][:2] == results[1][:2] and same(results[0][2], results[1][2])
    report = ours.report
    assert (report.best_epoch, report.best_value) == (theirs.best_epoch, theirs.best)
    assert (report.stopped_epoch or 0) == theirs.stopped_epoch


@pytest.mark.parametrize("curve", [[np.nan, 0.5, 0.4, 0.3], [np.inf, 0.5, np.nan, 0.6, 0.7]])
def test_without_check_finite_a_nan_is_what_it_is_in_keras(model, curve):
    results = []
    for stopping in (
        keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
        EarlyStopping(rule=Patience(2, check_finite=False)),
    ):
        feed = Feed(curve)
        model.fit(X, Y, epochs=len(curve), callbacks=[feed, stopping], **PLAIN)
        [best] = [i for i, w in enumerate(feed.weights) if same(w, model.get_weights())]
        results.append((best, len(feed.weights)))
    assert results[0] == results[1]


def test_a_callback_serves_again_from_any_epoch(model):
    stopping = EarlyStopping(rule=Patience(2))
    model.fit(X, Y, epochs=6, callbacks=[Feed(CURVE), stopping], **PLAIN)
    settings = {"epochs": 6, "initial_epoch": 2, **PLAIN}
    model.fit(X, Y, callbacks=[Feed([0, 0, *CURVE[3:]]), stopping], **settings)
    report = stopping.report
    assert (report.reason, report.epochs_run, report.stopped_epoch) == ("patience", 3, 4)
    assert (report.best_epoch, report.best_value) == (2, 0.6)
    model.fit(X, Y, epochs=2, initial_epoch=2, callbacks=[stopping], **PLAIN, **VALIDATION)
    assert (stopping.report.reason, stopping.report.epochs_run) == ("epochs", 0)


# Ctrl-C


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end"])
@pytest.mark.parametrize("epoch", [0, 3, 6])
@pytest.mark.parametrize("before", [True, False])
def test_ctrl_c_keeps_history_and_best_weights(model, epoch, hook, before):
    """An epoch is finished when the rule has seen it; then the history has it, too."""
    first = model.get_weights()
    feed, stopping = Feed(CURVE), EarlyStopping(rule=Patience(9))
    rate = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(late=epoch))
    interrupt = at(epoch, ctrl_c, hook)
    callbacks = [feed, *([interrupt, stopping] if before else [stopping, interrupt]), rate]
    history = fit_interruptible(model, X, Y, epochs=7, callbacks=callbacks, **PLAIN)
    done = epoch + (hook == "on_epoch_end" and not before)
    assert history.epoch == list(range(done)) and model.history is history
    assert all(len(values) == done for values in history.history.values())
    assert len(history_table(history)) == done
    assert history.history.get("val_loss", []) == CURVE[:done]
    report = stopping.report
    assert (report.reason, report.epochs_run) == (StopReason.INTERRUPTED, done)
    assert report.stopped_epoch is None
    if done:
        assert report.restored_epoch == np.argmin(CURVE[:done])
        assert same(model.get_weights(), feed.weights[report.restored_epoch])
    elif hook == "on_epoch_begin":
        assert same(model.get_weights(), first) and report.best_epoch is None


@pytest.mark.parametrize("interrupted", ["batch", "validation", "train end"])
def test_ctrl_c_anywhere_else(model, interrupted):
    epoch, stopping = [0], EarlyStopping(rule=Patience(9), monitor="val_loss")

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_begin(self, now, logs=None):
            epoch[0] = now

        def on_train_batch_end(self, batch, logs=None):
            if interrupted == "batch" and (epoch[0], batch) == (2, 1):
                ctrl_c()

        def on_test_batch_end(self, batch, logs=None):
            if interrupted == "validation" and (epoch[0], batch) == (2, 1):
                ctrl_c()

        def on_train_end(self, logs=None):
            if interrupted == "train end":
                ctrl_c()

    kept, settings = Feed([None] * 4), {**PLAIN, **VALIDATION}
    callbacks = [Interrupt(), kept, stopping]
    history = fit_interruptible(model, X, Y, epochs=4, callbacks=callbacks, **settings)
    done = 4 if interrupted == "train end" else 2
    assert history.epoch == list(range(done)) and stopping.report.epochs_run == done
    assert stopping.report.reason == StopReason.INTERRUPTED
    best = int(np.argmin(history.history["val_loss"]))
    assert stopping.report.restored_epoch == best
    assert same(model.get_weights(), kept.weights[best])
    # The rule's own stop stays one.
    stopping = EarlyStopping(rule=Patience(2))
    callbacks = [Feed(CURVE), stopping, at(4, ctrl_c)]
    fit_interruptible(model, X, Y, epochs=7, callbacks=callbacks, **PLAIN)
    assert (stopping.report.reason, stopping.report.stopped_epoch) == (StopReason.PATIENCE, 4)


def test_ctrl_c_before_training_returns_no_earlier_history(model):
    model.fit(X, Y, epochs=2, **PLAIN)
    stopping = EarlyStopping(rule=Patience(9))
    stopping.report = "of an earlier run"

    def batches():
        ctrl_c()
        yield X, Y

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            ctrl_c()  # before callbacks exist

    for data in (batches(), Batches()):
        callbacks = [Feed(CURVE), stopping]
        history = fit_interruptible(model, data, epochs=2, callbacks=callbacks, verbose=0)
        assert history.epoch == [] and history.history == {} and model.history is history
        assert (stopping.report.reason, stopping.report.epochs_run) == ("interrupted", 0)


def test_an_error_restores_the_best_weights_and_is_raised(model):
    feed, stopping = Feed(CURVE), EarlyStopping(rule=Patience(9))
    for epoch, hook in ((5, "on_epoch_begin"), (4, "on_epoch_end")):
        feed.weights.clear()
        callbacks = [feed, stopping, at(epoch, crash, hook)]
        with pytest.raises(OSError, match="as if"):
            fit_interruptible(model, X, Y, epochs=7, callbacks=callbacks, **PLAIN)
        assert (stopping.report.reason, stopping.report.epochs_run) == (StopReason.OTHER, 5)
        assert same(model.get_weights(), feed.weights[2])
        assert model.history.epoch == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_fit_interruptible_is_fit(model):
    first, results = model.get_weights(), []
    for fit in (keras.Model.fit, fit_interruptible):
        for callbacks in (None, [], LambdaCallback(), [[LambdaCallback()], LambdaCallback()]):
            model.set_weights(first)
            given = list(callbacks) if isinstance(callbacks, list) else callbacks
            history = fit(model, X, Y, 8, 2, 0, given, shuffle=False, **VALIDATION)
            assert given == callbacks  # not changed
            results.append((history.epoch, history.history, model.get_weights()))
    for epoch, history, weights in results[1:]:
        assert (epoch, history) == results[0][:2] and same(weights, results[0][2])
    theirs = keras.callbacks.History()
    history = fit_interruptible(model, X, Y, epochs=2, callbacks=[theirs], **PLAIN)
    assert (history.epoch, history.history) == (theirs.epoch, theirs.history)


# The monitor


def refused(
    model, monitor, *, fit=fit_interruptible, callbacks=(), rule=None, y=Y, x=X, **settings
):
    """Return the message and the epochs that were run before."""
    begun, stopping = [], EarlyStopping(rule=rule or Patience(1), monitor=monitor)
    count = LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch))
    with pytest.raises(ValueError) as error:
        fit(model, x, y, epochs=4, verbose=0, callbacks=[count, *callbacks, stopping], **settings)
    return str(error.value), len(begun)


@pytest.mark.parametrize("monitor", ["value_loss", "val_loss", "val_acc", "acc", "train_loss"])
def test_a_monitor_that_cannot_appear_is_refused_before_the_first_epoch(monitor):
    names = "accuracy, loss; got"
    message, begun = refused(sequential(), monitor)
    assert f"one of {names} {monitor!r}" in message and begun == 0
    message, begun = refused(
        sequential(), monitor, x=tf.data.Dataset.from_tensor_slices((X, Y)).batch(8), y=None
    )
    assert f"one of {names} {monitor!r}" in message and begun == 0
    if monitor != "val_loss":
        for validation in (VALIDATION, {"validation_split": 0.5}):
            message, begun = refused(sequential(), monitor, **validation)
            assert "accuracy, loss, val_accuracy, val_loss; got" in message and begun == 0
        callbacks = [TerminateOnNaN(), keras.callbacks.ModelCheckpoint("never.keras")]
        assert refused(sequential(), monitor, callbacks=callbacks)[1] == 0


@pytest.mark.slow
def test_names_of_several_outputs():
    model, y = two_outputs(), {"a": Y, "b": Y.astype("float32")}
    names = "a_accuracy, a_loss, b_loss, b_mae, loss"
    message, begun = refused(model, "accuracy", y=y)
    assert f"one of {names}; got 'accuracy'" in message and begun == 0
    for monitor, mode in (("a_accuracy", "max"), ("b_loss", "min"), ("b_mae", "min")):
        wrong = {"min": "max", "max": "min"}[mode]
        message, begun = refused(model, monitor, y=y, rule=Patience(1, mode=wrong))
        assert f'mode "{mode}" to monitor {monitor}' in message and begun == 0
        stopping = EarlyStopping(rule=Patience(5, mode=mode), monitor=f"val_{monitor}")
        settings = {"epochs": 2, "callbacks": [stopping], "verbose": 0}
        model.fit(X, y, validation_data=(X_VAL, {"a": Y_VAL, "b": Y_VAL}), **settings)
        assert stopping.report.best_epoch is not None


def test_what_only_an_epoch_can_show_is_refused_at_its_end(model):
    feed = Feed(CURVE, "val_f1")
    message, begun = refused(model, "val_f2", callbacks=[feed])
    assert "accuracy, loss, val_f1; got 'val_f2'" in message and begun == 1
    message, begun = refused(model, "val_f2", callbacks=[Feed([None] * 4)])
    assert "accuracy, loss; got 'val_f2'" in message and begun == 1
    settings = {"validation_freq": 3, **VALIDATION}
    assert refused(model, "val_f2", callbacks=[Feed([None] * 4)], **settings)[1] == 3
    for callback in (LambdaCallback(on_epoch_end=lambda epoch, logs: None), Feed([None] * 4)):
        assert refused(model, "f1", callbacks=[callback])[1] == 1
    assert refused(model, "f1", callbacks=[LambdaCallback(on_epoch_begin=print)])[1] == 0

    class Own(keras.Sequential):
        def train_step(self, data):
            return super().train_step(data) | {"own": 1.0}

    own = Own([layers.Dense(3)])
    own.compile("sgd", cross_entropy())
    message, begun = refused(own, "other")
    assert "loss, own; got 'other'" in message and begun == 1
    stopping = EarlyStopping(rule=Patience(1), monitor="own")
    own.fit(X, Y, epochs=3, callbacks=[stopping], verbose=0)
    assert stopping.report.stopped_epoch == 1

    # A callback that adds the name, but too late.
    stopping, late = EarlyStopping(rule=Patience(1), monitor="train_loss"), TrainEvaluation(X, Y)
    with pytest.raises(ValueError, match="must come before this one"):
        model.fit(X, Y, callbacks=[stopping, late], **PLAIN)


@pytest.mark.filterwarnings("error:.*[Ee]arly stopping")
def test_what_others_add_is_found(model):
    for monitor, adding in (
        ("train_loss", TrainEvaluation(X, Y)),
        ("learning_rate", ReduceLROnPlateau("loss")),
        ("f1", Feed([0.1, 0.2, 0.3], "f1")),
    ):
        stopping = EarlyStopping(rule=Patience(9), monitor=monitor)
        history = model.fit(X, Y, epochs=3, callbacks=[adding, stopping], **PLAIN)
        assert stopping.report.best_value == min(history.history[monitor])
    stopping = EarlyStopping(rule=Patience(9))
    settings = {"epochs": 5, "validation_freq": 2, **PLAIN, **VALIDATION}
    history = model.fit(X, Y, callbacks=[stopping], **settings)
    best = int(np.argmin(history.history["val_loss"]))
    assert stopping.report.best_epoch == 2 * best + 1 and stopping.report.epochs_run == 5


def test_a_mode_against_the_metric_is_refused(model):
    message, begun = refused(model, "val_accuracy", rule=Patience(5), **VALIDATION)
    assert 'must have mode "max" to monitor val_accuracy; got Patience(patience=5)' in message
    assert 'mode is "min"' in message and begun == 0
    for monitor, rule in (("loss", Target(1, mode="max")), ("accuracy", GeneralizationLoss(5))):
        message, begun = refused(model, monitor, rule=rule)
        assert "rule must have mode" in message and begun == 0
    callback = TrainEvaluation(X, Y)
    message, begun = refused(model, "train_accuracy", callbacks=[callback])
    assert 'mode "max"' in message and begun == 0


def test_driven_by_hand_nothing_is_known_of_validation():
    stopping = EarlyStopping(rule=Patience(1))
    stopping.set_model(sequential())
    stopping.on_train_begin()
    for epoch, logs in enumerate([{}, {"loss": 1.0}, {"val_loss": 0.5}, {}, {"val_loss": 0.6}]):
        stopping.on_epoch_end(epoch, logs)
    assert stopping.model.stop_training
    with pytest.raises(ValueError, match="next epoch must be 5; got 7"):
        stopping.on_epoch_begin(7)


# The state


class SlowDown(keras.callbacks.Callback):
    """Changes the learning rate after an epoch, as ReduceLROnPlateau does, with no memory."""

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = float(self.model.optimizer.learning_rate)
        if logs["val_loss"] > 1:
            self.model.optimizer.learning_rate = 0.8 * logs["learning_rate"]


def fit_state(model, folder, *, epochs=12, rule=None, callbacks=(), **settings):
    """One call, whether it begins or goes on; returns its history and report."""
    stopping = EarlyStopping(rule=rule or Patience(2), state_path=folder)
    settings = {"epochs": epochs, **PLAIN, **VALIDATION, **settings}
    callbacks = [*callbacks, stopping, SlowDown()]
    history = fit_interruptible(model, X, Y, callbacks=callbacks, **settings)
    return history, stopping.report


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    model = regularized()
    history, report = fit_state(model, tmp_path_factory.mktemp("state") / "new" / "folder")
    assert report.reason == StopReason.PATIENCE and 3 < report.epochs_run < 12
    assert len(set(history.history["learning_rate"])) > 2
    return model, history, report


def check_same(model, history, report, uninterrupted):
    expected, whole, ended = uninterrupted
    assert report == ended and history.epoch == whole.epoch and history.history == whole.history
    assert same(variables(model), variables(expected))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["begin", "batch", "validation", "end"])
def test_a_crash_at_any_epoch_changes_nothing(tmp_path, uninterrupted, where):

    class Crash(keras.callbacks.Callback):
        epoch, batch = None, 0

        def __init__(self, last):
            super().__init__()
            self.last = last

        def at(self, name, epoch):
            self.epoch = epoch
            if (name, epoch) == (where, self.last):
                crash()

        def on_epoch_begin(self, epoch, logs=None):
            self.at("begin", epoch)

        def on_train_batch_begin(self, batch, logs=None):
            if batch == 1:
                self.at("batch", self.epoch)

        def on_test_batch_end(self, batch, logs=None):
            self.at("validation", self.epoch)

        def on_epoch_end(self, epoch, logs=None):
            self.at("end", epoch)

    n = uninterrupted[2].epochs_run
    for last in range(n):
        if not (tmp_path / "state.npz").exists():
            model = regularized()
        with pytest.raises(OSError, match="as if"):
            fit_state(model, tmp_path, callbacks=[Crash(last)])
    model = regularized()  # as in a new process
    history, report = fit_state(model, tmp_path)
    check_same(model, history, report, uninterrupted)
    before = (tmp_path / "state.npz").read_bytes()

    # Called again when finished, it trains nothing, calls nobody else and gives the same.
    model = regularized()
    history, report = fit_state(model, tmp_path, callbacks=[at(0, crash), Crash(n)], epochs=50)
    check_same(model, history, report, uninterrupted)
    assert (tmp_path / "state.npz").read_bytes() == before
    assert files(tmp_path) == ["state.lock", "state.npz"]
    # Nothing of it stays on the model.
    assert model.fit(X, Y, epochs=3, **PLAIN).epoch == [0, 1, 2]


@pytest.mark.slow
def test_ctrl_c_goes_on_later_and_epochs_may_grow(tmp_path, uninterrupted):
    model = regularized()
    for epoch in (2, 2, 3):  # the second time at once
        interrupt = at(epoch, ctrl_c, "on_epoch_begin")
        history, report = fit_state(model, tmp_path, callbacks=[interrupt])
        assert (report.reason, report.epochs_run) == (StopReason.INTERRUPTED, epoch)
        assert history.epoch == list(range(epoch))
        best = int(np.argmin(history.history["val_loss"]))
        assert report.restored_epoch == best
    last = uninterrupted[2].epochs_run - 1
    for epochs in (4, last):
        history, report = fit_state(model, tmp_path, epochs=epochs)
        assert (report.reason, report.epochs_run) == (StopReason.EPOCHS, epochs)
        assert history.epoch == list(range(epochs))
    history, report = fit_state(model, tmp_path)
    check_same(model, history, report, uninterrupted)


def test_a_run_that_another_callback_has_ended_does_not_go_on(tmp_path):
    model = regularized()
    stop = at(1, lambda: setattr(model, "stop_training", True))
    ended = fit_state(model, tmp_path, callbacks=[stop])
    assert (ended[1].reason, ended[1].epochs_run) == (StopReason.OTHER, 2)
    before = (tmp_path / "state.npz").read_bytes()
    again = regularized()  # as in a new process
    check_same(again, *fit_state(again, tmp_path, callbacks=[stop]), (model, *ended))
    assert (tmp_path / "state.npz").read_bytes() == before


@pytest.mark.slow
def test_a_model_that_is_not_built_goes_on(tmp_path):
    whole = sequential()
    expected = fit_state(whole, tmp_path / "whole", epochs=4, rule=Patience(9))
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    for folder, x, y in ((tmp_path / "a", X, Y), (tmp_path / "b", data, None)):
        for epochs in (2, 4):
            model, stopping = sequential(), EarlyStopping(rule=Patience(9), state_path=folder)
            callbacks = [stopping, SlowDown()]
            settings = {**PLAIN, "batch_size": 8 if y is not None else None, **VALIDATION}
            settings["validation_batch_size"] = 8
            history = fit_interruptible(model, x, y, epochs=epochs, callbacks=callbacks, **settings)
        check_same(model, history, stopping.report, (whole, *expected))

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return X[:8], Y[:8]

    stopping = EarlyStopping(rule=Patience(9), state_path=folder)
    with pytest.raises(ValueError, match="model must be built"):
        fit_interruptible(sequential(), Batches(), epochs=6, callbacks=[stopping], verbose=0)


@pytest.mark.slow
def test_without_restoring_the_last_weights_come_back(tmp_path):
    """Also with steps_per_execution, averaged weights, and an epoch to begin with."""
    rule, settings = Patience(9), {"initial_epoch": 3, **PLAIN, **VALIDATION}

    def run(folder, epochs):
        optimizer = keras.optimizers.SGD(0.1, use_ema=True)
        model = sequential(optimizer, steps_per_execution=2)
        stopping = EarlyStopping(rule=rule, restore_best_weights=False, state_path=folder)
        callbacks = [stopping]
        history = fit_interruptible(model, X, Y, epochs=epochs, callbacks=callbacks, **settings)
        return model, history, stopping.report

    expected = run(tmp_path / "whole", 7)
    assert expected[2].epochs_run == 4 and expected[2].restored_epoch is None
    run(tmp_path / "parts", 5)
    model, history, report = run(str(tmp_path / "parts"), 7)  # a path may be text
    check_same(model, history, report, (expected[0], expected[1], expected[2]))
    assert history.epoch == [3, 4, 5, 6]
    model, history, report = run(tmp_path / "parts", 7)
    check_same(model, history, report, (expected[0], expected[1], expected[2]))


@pytest.mark.slow
def test_bfloat16_and_values_that_json_does_not_know(tmp_path):
    def run(folder, epochs):
        keras.utils.set_random_seed(7)
        model = keras.Sequential([keras.Input((5,)), layers.Dense(3, dtype="bfloat16")])
        uphill = keras.optimizers.SGD(-0.1)  # so that the first epoch is the best
        model.compile(uphill, cross_entropy(), jit_compile=False)
        adding = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(a=np.ones(2)))
        rule = Patience(np.int64(9))
        return model, *fit_state(model, folder, epochs=epochs, rule=rule, callbacks=[adding])

    expected = run(tmp_path / "whole", 4)
    assert expected[2].best_epoch == 0
    run(tmp_path / "parts", 2)
    model, _, report = run(tmp_path / "parts", 4)
    assert same(variables(model), variables(expected[0])) and report == expected[2]


@pytest.fixture
def state(tmp_path):
    """A folder with the state of two epochs."""
    fit_state(regularized(), tmp_path, epochs=2)
    return tmp_path


def other_optimizer():
    model = regularized()
    model.compile("sgd", cross_entropy(), metrics=["accuracy"])
    return model


@pytest.mark.slow
def test_a_state_of_something_else_is_refused_and_left_alone(state):
    before = (state / "state.npz").read_bytes()
    for change, model, message in (
        ({"rule": Patience(4)}, regularized(), "same rule.*patience=2.*patience=4"),
        ({"rule": Patience(2, min_delta=0.1)}, regularized(), "same rule"),
        ({"rule": Target(0.1)}, regularized(), "same rule.*Patience.*Target"),
        ({"initial_epoch": 1}, regularized(), "same initial_epoch.*has 0, this run 1"),
        ({}, regularized(17), r"same model.*dense/kernel \(5, 16\) float32.*\(5, 17\) float32"),
        ({}, other_optimizer(), "same model.*optimizer Adam.*optimizer SGD"),
    ):
        weights = model.get_weights()
        with pytest.raises(ValueError, match=message):
            fit_state(model, state, **change)
        assert same(model.get_weights(), weights)
    for change, message in (
        ({"monitor": "loss"}, "same monitor.*has 'val_loss', this run 'loss'"),
        ({"restore_best_weights": False}, "same restore_best_weights"),
    ):
        stopping = EarlyStopping(rule=Patience(2), state_path=state, **change)
        with pytest.raises(ValueError, match=message):
            fit_interruptible(regularized(), X, Y, epochs=4, callbacks=[stopping], **PLAIN)
    stopping = EarlyStopping(rule=Patience(2), state_path=state)
    for _ in range(2):
        with pytest.raises(ValueError, match="holds one: continue it with fit_interruptible"):
            regularized().fit(X, Y, epochs=4, callbacks=[stopping], **PLAIN, **VALIDATION)
    assert (state / "state.npz").read_bytes() == before
    assert files(state) == ["state.lock", "state.npz"]


def test_another_rule_of_the_same_text_is_refused(tmp_path):
    def own(epochs_run):
        class Own(Rule):
            def stops(self, state):
                return state.epochs_run >= epochs_run

        return EarlyStopping("loss", rule=Own(), state_path=tmp_path)

    fit_interruptible(sequential(), X, Y, epochs=1, callbacks=[own(7)], **PLAIN)
    with pytest.raises(ValueError, match="state of the same rule, .* 'Own.. Own .*, this run 'Own"):
        fit_interruptible(sequential(), X, Y, epochs=2, callbacks=[own(4)], **PLAIN)


@pytest.mark.slow
def test_a_torn_state_is_named_and_left_alone(state):
    path, model = state / "state.npz", regularized()
    whole, weights = path.read_bytes(), model.get_weights()
    flips = random.Random(0).sample(range(len(whole)), 150)
    damaged = [whole[:n] for n in (0, 1, 100, len(whole) // 2, len(whole) - 1)]
    damaged += [whole[:i] + bytes([whole[i] ^ 0x55]) + whole[i + 1 :] for i in flips]
    damaged += [b"not a state at all", whole[: len(whole) // 2] * 2]
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        stopping = EarlyStopping(rule=Patience(2), state_path=state)
        file = stopping._state_file
        try:
            file.open(stopping, 0)
        except ValueError as error:
            assert "state.npz is damaged" in str(error)
            refused += 1
        else:  # a byte that says nothing about the content, as the time of writing
            _, arrays = file._saved
            path.write_bytes(whole)
            file.open(stopping, 0)
            assert arrays.keys() == file._saved[1].keys()
            assert all(np.array_equal(file._saved[1][k], v) for k, v in arrays.items())
    assert refused > 0.7 * len(damaged)
    path.write_bytes(whole[:-40])
    with pytest.raises(ValueError, match="state.npz is damaged"):
        fit_state(model, state)
    assert path.read_bytes() == whole[:-40] and same(model.get_weights(), weights)


@pytest.mark.slow
def test_ctrl_c_or_a_full_disk_while_committing(tmp_path, uninterrupted, monkeypatch):
    for error in (KeyboardInterrupt, OSError):
        for name in ("fsync", "replace"):
            calls, real = [], getattr(os, name)

            def fail(*arguments, name=name, calls=calls, error=error, real=real):
                calls.append(arguments)
                if len(calls) == 2:
                    raise error("while committing")
                return real(*arguments)

            with monkeypatch.context() as patch:
                patch.setattr(os, name, fail)
                try:
                    history, report = fit_state(regularized(), tmp_path)
                    assert history.epoch == list(range(report.epochs_run))
                except OSError:
                    assert error is OSError
                assert len(calls) == 2
    model = regularized()
    history, report = fit_state(model, tmp_path)
    check_same(model, history, report, uninterrupted)
    assert files(tmp_path) == ["state.lock", "state.npz"]


@pytest.mark.slow
def test_the_keywords_go_on_as_a_rule_does(tmp_path):
    """The mode that epochs have shown goes on, too, before the metrics are built again."""

    def run(folder, epochs, **settings):
        stopping = EarlyStopping("val_accuracy", state_path=folder, **{"patience": 3} | settings)
        settings = {"epochs": epochs, "callbacks": [stopping], **PLAIN, **VALIDATION}
        model = regularized()
        fit_interruptible(model, X, Y, **settings)
        return model, stopping

    whole, expected = run(tmp_path / "whole", 9)
    assert expected.monitor_op is keras.ops.greater and expected.stopped_epoch
    for epochs in (1, 3, 9):
        model, stopping = run(tmp_path / "parts", epochs)
    assert stopping.report == expected.report and same(variables(model), variables(whole))
    for name in ("best", "best_epoch", "wait", "stopped_epoch", "monitor_op"):
        assert getattr(stopping, name) == getattr(expected, name)
    for change in ({"patience": 4}, {"mode": "max"}, {"min_delta": 0.1}):
        [(name, value)] = change.items()
        with pytest.raises(ValueError, match=f"same {name}, .*, this run {value!r}"):
            run(tmp_path / "parts", 9, **change)


def test_a_state_of_another_format_is_refused_and_left_alone(state):
    path = state / "state.npz"
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays["header"].tobytes())
    for other in (None, 1, 3):
        header["format"] = other
        if other is None:
            del header["format"]  # as it was before there were several
        arrays["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
        np.savez(path, **arrays)
        before = path.read_bytes()
        with pytest.raises(ValueError, match="state_path .*state.npz is of another.*Move it away"):
            fit_state(regularized(), state)
        assert path.read_bytes() == before


def test_a_link_is_not_followed(tmp_path):
    foreign = tmp_path / "foreign"
    foreign.write_text("of somebody else")
    folder = tmp_path / "state"
    folder.mkdir()
    for name in ("state.part", "state.npz.part", ".state.npz.part"):
        (folder / name).symlink_to(foreign)
    fit_state(regularized(), folder, epochs=2)
    assert foreign.read_text() == "of somebody else"
    (folder / "state.lock").unlink()
    (folder / "state.lock").symlink_to(foreign)
    with pytest.raises(OSError):
        fit_state(regularized(), folder)
    assert foreign.read_text() == "of somebody else"


# Other processes


def hold(folder, held):
    file = StateFile(folder)
    file.acquire()
    held.set()
    time.sleep(600)


@pytest.mark.slow
def test_a_second_process_is_refused_by_name_and_writes_nothing(state):
    def contents():
        return {path.name: path.read_bytes() for path in state.iterdir()}

    held = PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(state, held))
    process.start()
    assert held.wait(60)
    before = contents()
    model = regularized()
    stopping = EarlyStopping(rule=Patience(2), state_path=state)
    fits = (
        lambda: fit_state(model, state),
        lambda: model.fit(X, Y, epochs=4, callbacks=[stopping], **PLAIN, **VALIDATION),
    )
    for fit in fits:
        with pytest.raises(ValueError, match=f"{state} is in use by one that is still running"):
            fit()
    assert contents() == before and model.optimizer.iterations == 0
    process.kill()  # with -9: no code of its own releases anything
    process.join()
    history, _ = fit_state(model, state)
    assert history.epoch[:3] == [0, 1, 2]


@pytest.mark.slow
def test_a_fit_that_failed_does_not_lock_its_own_process_out(tmp_path):
    stopping = EarlyStopping(rule=Patience(2), state_path=tmp_path)
    callbacks = [stopping, at(2, crash)]
    with pytest.raises(OSError, match="as if"):  # of plain fit, no callback hears of the end
        regularized().fit(X, Y, epochs=4, callbacks=callbacks, **PLAIN, **VALIDATION)
    history, _ = fit_state(regularized(), tmp_path, epochs=4)
    assert history.epoch == [0, 1, 2, 3]


def train_to_the_end(folder, result):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    model = regularized()
    history, report = fit_state(model, folder, epochs=EPOCHS, rule=Patience(EPOCHS // 2))
    part = Path(result).with_suffix(".part")
    part.write_bytes(pickle.dumps((history.epoch, history.history, report, variables(model))))
    part.replace(result)


def start(*arguments):
    process = PROCESSES.Process(target=train_to_the_end, args=arguments)
    process.start()
    return process


def stamp(path):
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_the_same(tmp_path):
    result, moments = tmp_path / "result", random.Random(1)
    process = start(tmp_path / "whole", result)
    process.join()
    assert process.exitcode == 0
    epoch, history, report, weights = pickle.loads(result.read_bytes())
    result.unlink()
    state = tmp_path / "state" / "state.npz"
    # Spread over the run: the k-th kill comes some commits after the one before it.
    kills = []
    for _ in range(KILLS):
        process = start(state.parent, result)
        last, commits, wanted = stamp(state), 0, moments.randint(0, len(epoch) // KILLS)
        while process.is_alive() and commits < wanted:
            if stamp(state) != last:
                last, commits = stamp(state), commits + 1
            time.sleep(0.0005)
        if len(kills) % 2:  # while it writes, or right after
            while process.is_alive() and not parts(state):
                pass
        else:
            time.sleep(moments.uniform(0, 0.03 if wanted else 2))
        if not process.is_alive():
            break
        process.kill()
        process.join()
        kills.append((wanted, bool(parts(state))))
    print("killed after commits, while writing:", kills)
    assert len(kills) > KILLS // 2  # a busy machine may come too late for the last of them
    process = start(state.parent, result)
    process.join()
    assert process.exitcode == 0
    again = pickle.loads(result.read_bytes())
    assert again[:3] == (epoch, history, report) and same(again[3], weights)
    assert files(state.parent) == ["state.lock", "state.npz"]


@pytest.mark.slow
def test_ctrl_c_from_outside(tmp_path):
    result, state = tmp_path / "result", tmp_path / "state" / "state.npz"
    process = start(state.parent, result)
    while process.is_alive() and not state.exists():
        time.sleep(0.001)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 0
    epoch, history, report, _ = pickle.loads(result.read_bytes())
    assert report.reason == StopReason.INTERRUPTED and 0 < report.epochs_run < EPOCHS
    assert epoch == list(range(report.epochs_run)) and len(history["val_loss"]) == len(epoch)
    assert report.restored_epoch == np.argmin(history["val_loss"])


# Bad input


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"rule": 5}, TypeError, "rule must be a rule"),
        ({"rule": Patience}, TypeError, "rule must be a rule"),
        ({"monitor": 3}, TypeError, "monitor must be a name"),
        ({"restore_best_weights": 1}, TypeError, "restore_best_weights must be True or False"),
        ({"state_path": ""}, ValueError, "state_path must be the path of a folder; got ''"),
        ({"state_path": 3}, TypeError, "state_path must be the path of a folder"),
        ({"state_path": __file__}, ValueError, "state_path must be a folder; got the file"),
    ],
)
def test_bad_settings_are_refused_at_once(change, error, message):
    with pytest.raises(error, match=message):
        EarlyStopping(**{"rule": Patience(1), **change})


def test_bad_calls_are_refused_before_anything_runs(model, tmp_path):
    before = model.get_weights()
    two = [EarlyStopping(rule=Patience(1), state_path=tmp_path / str(i)) for i in range(2)]
    for arguments, error, message in (
        ((3, X, Y), TypeError, "model must be a keras.Model; got 3"),
        ((model, X, Y, 8, 1, 0, [3]), TypeError, "callbacks must be a list of Keras callbacks"),
        ((model, X, Y, 8, 1, 0, EarlyStopping), TypeError, "callbacks must be a list"),
        (
            (model, X, Y, 8, 1, 0, keras.callbacks.CallbackList()),
            TypeError,
            "got a CallbackList",
        ),
        ((model, X, Y, 8, 1, 0, two), ValueError, "at most one EarlyStopping.*got 2"),
    ):
        with pytest.raises(error, match=message):
            fit_interruptible(*arguments)
    with pytest.raises(TypeError, match="epoch_number"):
        fit_interruptible(model, X, Y, epoch_number=3)
    twice = EarlyStopping(rule=Patience(9))
    with pytest.raises(ValueError, match="listed twice"):
        model.fit(X, Y, epochs=3, callbacks=[twice, twice], **PLAIN, **VALIDATION)
    model.set_weights(before)
    assert list(tmp_path.iterdir()) == []


def test_the_rule_that_needs_training_losses_says_so():
    stopping = EarlyStopping(rule=ProgressQuotient(1.0))
    stopping.set_model(sequential())
    stopping.on_train_begin()
    with pytest.raises(ValueError, match="without the training loss; got ProgressQuotient"):
        stopping.on_epoch_end(0, {"val_loss": 1.0})
    assert stopping._rows == ()
