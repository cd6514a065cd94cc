"""EarlyStopping in the place of Keras's: arguments, attributes, metrics, loops of one's own."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from test_stopping import Case, Weights, random_case

from epochlab import (
    AnyOf,
    EarlyStopping,
    Patience,
    Rule,
    StopReason,
    Target,
    TrainEvaluation,
    fit_interruptible,
    replay,
)

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 5)).astype("float32"), RNG.normal(size=(24, 1)).astype("float32")
VALIDATION = {"validation_data": (X[:9], Y[:9])}
PLAIN = {"batch_size": 8, "shuffle": False, "verbose": 0}
ATTRIBUTES = ("best", "best_epoch", "best_weights", "wait", "stopped_epoch")


def regression(*metrics):
    keras.utils.set_random_seed(3)
    model = keras.Sequential([layers.Dense(1)])
    model.compile("sgd", "mse", metrics=list(metrics), jit_compile=False)
    return model


def drive(callback, case, model=None, interfere=lambda epoch: None):
    """Call a callback as fit does; return its attributes after each epoch, and how it ended."""
    model = Weights() if model is None else model
    callback.set_model(model)
    callback.on_train_begin()
    seen = []
    for epoch, value in enumerate(case.values, case.initial_epoch):
        model.weights = epoch
        callback.on_epoch_end(
            epoch, {"loss": 1.0} | ({} if value is None else {callback.monitor: value})
        )
        interfere(epoch)
        seen.append([getattr(callback, name) for name in ATTRIBUTES])
        if model.stop_training:
            break
    model.weights = None
    callback.on_train_end()
    return seen, model.weights


def theirs(settings):
    return keras.callbacks.EarlyStopping(restore_best_weights=True, **settings)


@pytest.mark.filterwarnings("ignore:Early stopping conditioned on metric")
@pytest.mark.filterwarnings("ignore:val_own never was")
@pytest.mark.parametrize("block", range(2))
def test_after_each_epoch_it_is_what_keras_would_be(block):
    finite = 0
    for number in range(300):
        case = random_case(block + 100, number)
        expected = drive(theirs({"monitor": "val_own", **case.settings}), case)
        rule = Patience(**case.settings, check_finite=False)
        # As text, where NaN equals NaN.
        ours = drive(EarlyStopping("val_own", rule=rule), case)
        assert repr(ours) == repr(expected), case
        if all(value is None or np.isfinite(value) for value in case.values):
            finite += 1
            ours = drive(EarlyStopping("val_own", **case.settings), case)
            assert repr(ours) == repr(expected), case
    assert finite > 100


def test_what_is_set_between_epochs_is_followed_as_in_keras():
    case = Case([0.9, 0.5, 0.6, 0.7, 0.4, 0.45, 0.46, 0.47], 0, {"patience": 2})
    changes = (
        lambda callback: setattr(callback, "wait", 0),
        lambda callback: setattr(callback, "best", 0.45),
        lambda callback: setattr(callback, "patience", 4),
        lambda callback: setattr(callback, "baseline", 0.1),
        lambda callback: setattr(callback, "best_weights", "mine"),
        lambda callback: setattr(callback, "best_epoch", 7),
        lambda callback: setattr(callback, "min_delta", -0.3),
    )
    ends = []
    for change in changes:
        results = []
        for callback in (theirs(case.settings), EarlyStopping(**case.settings)):

            def interfere(epoch, callback=callback, change=change):
                if epoch == 2:
                    # Keras has given min_delta its sign by then.
                    change(callback)

            results.append(drive(callback, case, interfere=interfere))
        assert repr(results[0]) == repr(results[1])
        ends.append(repr(results[0]))
    assert len(set(ends)) > 4


def test_everything_begins_anew_with_each_fit():
    stopping = EarlyStopping(patience=2)
    for name, value in zip(ATTRIBUTES, (0.1, 3, "weights", 5, 8), strict=True):
        setattr(stopping, name, value)
    first = drive(stopping, Case([0.5, 0.6, 0.6], 0, {}))
    assert first[0][0] == [0.5, 0, 0, 0, 0]
    assert drive(stopping, Case([0.5, 0.6, 0.6], 0, {})) == first
    stopping.on_train_begin()
    assert [getattr(stopping, name) for name in ATTRIBUTES] == [None, 0, None, 0, 0]
    assert stopping.report is None


@pytest.mark.slow
def test_the_mode_is_read_from_the_metric_or_taken_as_given():
    model = regression("mse", "mae", keras.metrics.R2Score(name="r2"))
    for monitor, mode, expected in (
        ("val_mse", "auto", ops.less),
        ("val_mse", "min", ops.less),
        ("val_mse", "max", ops.greater),  # taken, as in Keras
        ("r2", "auto", ops.greater),
        ("val_r2", "min", ops.less),
        ("loss", "max", ops.greater),
    ):
        stopping = EarlyStopping(monitor, mode=mode, patience=9)
        assert stopping.monitor_op is None
        history = model.fit(X, Y, epochs=3, callbacks=[stopping], **PLAIN, **VALIDATION)
        assert stopping.monitor_op is expected
        choose = max if expected is ops.greater else min
        assert stopping.best == pytest.approx(choose(history.history[monitor]))
    evaluation, stopping = TrainEvaluation(X, Y), EarlyStopping("train_r2")
    model.fit(X, Y, epochs=2, callbacks=[evaluation, stopping], **PLAIN)
    assert stopping.monitor_op is ops.greater


def test_a_mode_that_keras_does_not_know_is_asked_for():
    class Add(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["own"] = 0.5

    model = regression()
    with pytest.raises(ValueError, match='mode must be "min" or "max" to monitor own.*Keras does'):
        model.fit(X, Y, epochs=3, callbacks=[Add(), EarlyStopping("own")], **PLAIN)
    stopping = EarlyStopping("own", mode="max")
    model.fit(X, Y, epochs=3, callbacks=[Add(), stopping], **PLAIN)
    assert stopping.report.stopped_epoch == 1


def test_the_comparison_may_be_set():
    curve = Case([0.5, 0.6, 0.7, 0.4, 0.3], 0, {})
    for comparison in (ops.greater, np.greater):
        stopping = EarlyStopping(patience=2)
        stopping.monitor_op = comparison
        assert stopping.monitor_op is ops.greater
        drive(stopping, curve)
        assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (0.7, 2, 4)
    with pytest.raises(ValueError, match="monitor_op must be keras.ops.less or keras.ops.greater"):
        stopping.monitor_op = lambda a, b: a < 0.9 * b
    with pytest.raises(ValueError, match="no rule be given"):
        EarlyStopping(rule=Patience(2)).monitor_op = ops.less


def test_a_nan_is_never_the_best_unless_the_rule_says_so():
    for callback, best in (
        (EarlyStopping(patience=9), 1),
        (EarlyStopping(rule=Patience(9, check_finite=False)), 0),
        (theirs({"patience": 9}), 0),
    ):
        drive(callback, Case([np.nan, 0.5, 0.6], 0, {}))
        assert callback.best_epoch == best


def test_verbose_prints_the_report(capsys):
    for verbose, printed in ((0, ""), (1, "Patience ran out after epoch 2; the best was epoch 1")):
        drive(EarlyStopping(verbose=verbose), Case([0.5, 0.6], 0, {}))
        assert capsys.readouterr().out.startswith(printed) and bool(printed) == bool(verbose)


def test_a_rule_stands_in_for_all_that_belongs_into_it():
    rule = Patience(4, min_delta=0.1, mode="max", baseline=0.2, start_from_epoch=3)
    stopping = EarlyStopping(rule=rule)
    assert stopping.rule is rule
    for name in ("patience", "min_delta", "mode", "baseline", "start_from_epoch"):
        assert getattr(stopping, name) == getattr(rule, name)
        with pytest.raises(ValueError, match=f"rule must be given without {name}, which belongs"):
            EarlyStopping(rule=rule, **{name: getattr(rule, name)})
    same = EarlyStopping(patience=4, min_delta=-0.1, mode="max", baseline=0.2, start_from_epoch=3)
    assert same.rule == rule
    assert EarlyStopping(rule=Target(0.5), patience=0, mode="auto").mode == "min"
    assert EarlyStopping().rule == Patience(0)


def test_a_rule_in_the_place_of_the_monitor_is_refused_with_the_cure():
    for arguments in ({}, {"monitor": "loss"}):
        with pytest.raises(TypeError, match=r"write EarlyStopping\(rule=Patience\(patience=2\)"):
            EarlyStopping(Patience(2), **arguments)
    assert EarlyStopping("loss", rule=AnyOf(Patience(2))).monitor == "loss"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"mode": "best"}, ValueError, 'mode must be "auto", "min" or "max"; got \'best\''),
        ({"patience": 1.5}, TypeError, "patience must be an integer.*got 1.5"),
        ({"patience": -1}, ValueError, "patience must be an integer, at least 0; got -1"),
        ({"min_delta": "0"}, TypeError, "min_delta must be a finite number; got '0'"),
        ({"min_delta": np.nan}, ValueError, "min_delta must be a finite number; got nan"),
        ({"baseline": "x"}, TypeError, "baseline must be a finite number"),
        ({"start_from_epoch": -1}, ValueError, "start_from_epoch must be.*got -1"),
        ({"verbose": "auto"}, TypeError, "verbose must be 0 or 1; got 'auto'"),
        ({"monitor": ["loss"]}, TypeError, "monitor must be a name in the logs"),
        ({"rule": Rule}, TypeError, "rule must be a rule"),
    ],
)
def test_bad_arguments_are_refused_at_once(settings, error, message):
    with pytest.raises(error, match=message):
        EarlyStopping(**settings)


# Metrics


@pytest.mark.slow
@pytest.mark.parametrize("fit", [keras.Model.fit, fit_interruptible])
def test_an_array_of_one_number_is_a_number(fit):
    """F1Score without an average logs one per class."""
    y = np.eye(3, dtype="float32")[RNG.integers(0, 3, 24)]
    for classes in (1, 3):
        keras.utils.set_random_seed(0)
        model = keras.Sequential([layers.Dense(classes, "sigmoid")])
        f1 = keras.metrics.F1Score(name="f1")
        model.compile("sgd", "binary_crossentropy", metrics=[f1], jit_compile=False)
        stopping = EarlyStopping("val_f1", patience=2)
        data = X, y[:, :classes]
        settings = {"epochs": 4, "validation_data": data, "callbacks": [stopping], **PLAIN}
        if classes == 3:
            with pytest.raises(ValueError, match=r"single number per epoch; val_f1 .* \(3,\)"):
                fit(model, *data, **settings)
            continue
        history = fit(model, *data, **settings)
        values = [float(np.ravel(value)[0]) for value in history.history["val_f1"]]
        assert values[0] == history.history["val_f1"][0] and type(stopping.best) is float
        assert stopping.report == replay(values, Patience(2, mode="max"))


# What only a call of fit knows


class OwnLoop(keras.Model):
    """Its fit is a loop of its own."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def fit(self, x, y, validation_data=None, callbacks=()):
        self.run((x, y), callbacks)

    def run(self, batches, callbacks):
        callbacks = keras.callbacks.CallbackList(callbacks, model=self)
        self.stop_training = False
        callbacks.on_train_begin()
        losses = iter([0.9, 0.5, 0.6, 0.7, 0.4])
        for epoch in range(5):
            callbacks.on_epoch_begin(epoch)
            callbacks.on_epoch_end(
                epoch, {"loss": self.train_on_batch(*batches), "own": next(losses)}
            )
            if self.stop_training:
                break
        callbacks.on_train_end()


class OwnLoopOfOtherNames(OwnLoop):
    def fit(self, x, y, validation_data=None, watching=()):
        self.run((x, y), watching)


@pytest.mark.parametrize("kind", [OwnLoop, OwnLoopOfOtherNames])
def test_a_loop_of_ones_own_is_as_good_as_fit(kind):
    for stopping in (
        theirs({"monitor": "own", "mode": "min", "patience": 2}),
        EarlyStopping("own", mode="min", patience=2),
    ):
        model = kind()
        model.compile("sgd", "mse", jit_compile=False)
        model.fit(X, Y, None, [stopping])
        assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (0.5, 1, 3)
    assert stopping.report.reason == StopReason.PATIENCE


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_without_the_call_a_missing_monitor_shows_after_an_epoch_with_validation():
    model = regression("mae")
    for monitor, settings, epochs in (
        ("val_mse", VALIDATION, 1),
        ("val_mse", {"validation_freq": 3, **VALIDATION}, 3),
        ("mse", {}, 1),
    ):
        begun = []
        count = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, logs, b=begun: b.append(e))
        callbacks = [count, EarlyStopping(monitor)]
        with pytest.raises(ValueError, match=f"monitor must be one of .*; got '{monitor}'"):
            model.fit(X, Y, epochs=4, callbacks=callbacks, **settings, **PLAIN)
        assert len(begun) == epochs
        begun.clear()
        with pytest.raises(ValueError, match=f"monitor must be one of .*; got '{monitor}'"):
            fit_interruptible(model, X, Y, epochs=4, callbacks=callbacks, **settings, **PLAIN)
        assert not begun
    # Without any validation nobody can tell, and Keras warns, too.
    with pytest.warns(
        UserWarning, match="val_loss never was .*no epoch was the best; there were loss, mae"
    ):
        model.fit(X, Y, epochs=2, callbacks=[stopping := EarlyStopping()], **PLAIN)
    assert stopping.report.best_epoch is None and stopping.report.epochs_run == 2
