"""Stopping rules: what real Keras does, bit for bit; Prechelt's formulas by hand; their replay."""

import json
import math
from collections import Counter
from dataclasses import FrozenInstanceError, astuple, dataclass
from fractions import Fraction
from functools import partial
from importlib.metadata import PackageNotFoundError

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import printed

from epochlab import (
    GeneralizationLoss,
    Patience,
    ProgressQuotient,
    Rule,
    StopReason,
    StopReport,
    SuccessiveIncreases,
    Target,
    Warmup,
    replay,
    sweep_rules,
)
from epochlab.stopping import following
from epochlab.stopping.following import advance

NAN, INF = math.nan, math.inf
TINY = float(np.finfo("float32").tiny)  # TensorFlow's comparisons take what is smaller for zero
HUGE = float(np.finfo("float32").max)  # Keras refuses what is larger

BLOCKS, CASES = 10, 600

# The pools that curves are drawn from, each with the values of min_delta that matter there.
NEAR_ZERO = [0.0, 5e-324, 1e-45, 1e-40, TINY / 2, 2 * TINY, TINY]
NEAR_ZERO += [TINY * (1 - 2.0**-k) for k in (23, 24, 25, 50)] + [TINY * (1 + 2.0**-23)]
NEAR_HUGE = [HUGE, HUGE * (1 - 2.0**-24), HUGE * (1 - 2.0**-25), 1e38, 1.0]
POOLS = {
    "levels": ([k / 10 for k in range(1, 10)], [0.0, 0.1, 0.2, 0.3]),
    "near one": ([1 + k * 2.0**-25 for k in range(-8, 9)], [0.0, 2.0**-25, 2.0**-24, 2.0**-23]),
    "near zero": (NEAR_ZERO + [-x for x in NEAR_ZERO], [0.0, 1e-45, TINY / 2, TINY]),
    "near huge": (NEAR_HUGE + [-x for x in NEAR_HUGE], [0.0, 1.0, 1e30]),
    "any": (None, [0.0, 0.05]),
}


@dataclass
class Case:
    """A random curve and how to follow it; the same on every machine."""

    values: list
    initial_epoch: int
    settings: dict  # as EarlyStopping and Patience both take them


def random_case(block, number):
    rng = np.random.default_rng([block, number])

    def chance(p):
        return rng.random() < p

    def one_of(things):
        return things[int(rng.integers(len(things)))]

    mode = one_of(["min", "max"])
    pool, steps = POOLS[one_of([*POOLS, "near one", "near zero"])]
    pool = pool or [float(x) for x in rng.normal(size=30)]
    values = [one_of(pool) for _ in range(rng.integers(1, 31))]
    if chance(0.6):  # ever better, but for a few epochs
        values.sort(reverse=mode == "min")
        values = [one_of(pool) if chance(0.1) else value for value in values]
    strange = one_of([0, 0, 0.1, 0.4])
    values = [one_of([NAN, INF, -INF, None]) if chance(strange) else value for value in values]
    if chance(0.05):
        values[0] = NAN
    settings = {
        "patience": int(rng.integers(0, 7)),
        "min_delta": one_of(steps) if chance(0.6) else 0.0,
        "mode": mode,
        "baseline": one_of(pool) if chance(0.4) else None,
        "start_from_epoch": int(rng.integers(0, 8)) if chance(0.3) else 0,
    }
    return Case(values, int(rng.integers(0, 6)) if chance(0.3) else 0, settings)


class Weights:
    """What EarlyStopping needs of a model; the weights are the epoch they come from."""

    def __init__(self):
        self.stop_training, self.weights = False, None

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = weights


def keras_report(case):
    """What the EarlyStopping of the installed Keras does, called as fit calls it."""
    model = Weights()
    callback = keras.callbacks.EarlyStopping(restore_best_weights=True, **case.settings)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, value in enumerate(case.values, case.initial_epoch):
        model.weights = epoch
        callback.on_epoch_end(epoch, {"loss": 1.0} | ({} if value is None else {"val_loss": value}))
        if model.stop_training:
            break
    model.weights = None  # so that what is there at the end has been restored
    callback.on_train_end()
    return StopReport(
        StopReason.PATIENCE if model.stop_training else StopReason.EPOCHS,
        epoch - case.initial_epoch + 1,
        callback.stopped_epoch if model.stop_training else None,
        None if callback.best is None else callback.best_epoch,
        callback.best,
        model.weights,
    )


def our_report(case, values=None, **changes):
    rule = Patience(**(case.settings | changes), check_finite=False)
    return replay(values or case.values, rule, initial_epoch=case.initial_epoch)


def coverage(case, report):
    """Name what the case puts to the test; each name has its lower bound in the test below."""
    settings, seen = case.settings, case.values[: report.epochs_run]
    monitored = [value for value in seen[settings["start_from_epoch"] :] if value is not None]

    def differs(**changes):
        return repr(our_report(case, **changes)) != repr(report)

    yield report.reason
    yield from ("absent" for value in seen if value is None)
    if report.best_epoch is None:
        yield "nothing monitored"
    elif math.isnan(report.best_value) and len(monitored) > 2:
        yield "NaN first"
    elif any(map(math.isnan, monitored)):
        yield "NaN later"
    if monitored.count(report.best_value) > 1:
        yield "tie"
    if any(map(math.isinf, monitored)):
        yield "infinite"
    if case.initial_epoch and settings["start_from_epoch"] > case.initial_epoch:
        yield "both epochs"
    for name, nothing in (("baseline", None), ("min_delta", 0.0), ("start_from_epoch", 0)):
        if settings[name] != nothing and differs(**{name: nothing}):
            yield name
    if settings["baseline"] is None and not settings["min_delta"]:
        # Whole numbers in the same order, with what is equal in double or in single precision:
        # if these end otherwise, the rounding decided, or that the smallest are taken for zero.
        floats = [NAN if value is None else value for value in case.values]
        for kind, name in ((float, "rounding"), (np.float32, "smallest")):
            ranks = np.unique(np.array(floats, kind), return_inverse=True)[1].tolist()
            ranks = [
                value if value is None or value != value else rank
                for value, rank in zip(case.values, ranks, strict=True)
            ]
            ours = our_report(case, ranks)
            if (ours.stopped_epoch, ours.best_epoch) != (report.stopped_epoch, report.best_epoch):
                yield name


AT_LEAST = {  # in each block, about half of what there is
    "patience": 250,
    "epochs": 60,
    "absent": 50,
    "nothing monitored": 5,
    "tie": 60,
    "NaN first": 8,
    "NaN later": 30,
    "infinite": 50,
    "both epochs": 8,
    "min_delta": 15,
    "start_from_epoch": 40,
    "rounding": 10,
    "smallest": 5,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Early stopping conditioned on metric")
@pytest.mark.parametrize("block", range(BLOCKS))
def test_patience_is_the_installed_early_stopping_bit_for_bit(block):
    counts = Counter()
    for number in range(CASES):
        case = random_case(block, number)
        expected, ours = keras_report(case), our_report(case)
        # As text, where NaN equals NaN and 0.0 is not -0.0, nor a NumPy number a Python one.
        assert repr(ours) == repr(expected), f"random_case({block}, {number}) is {case}"
        counts.update(coverage(case, expected))
    for name, least in AT_LEAST.items():
        assert counts[name] >= least, (name, counts)
    # keras#23559 took its meaning from the baseline.
    assert counts["baseline"] >= 10 if following.baseline_holds_wait() else not counts["baseline"]


class Script(keras.callbacks.Callback):
    """Writes the validation losses of a script, and the epoch into the weights."""

    def __init__(self, values):
        super().__init__()
        self.values, self.seen = values, []

    def on_epoch_end(self, epoch, logs=None):
        if "val_loss" in logs:
            logs["val_loss"] = self.values[len(self.seen)]
        self.seen.append(logs.get("val_loss"))
        self.model.set_weights([np.full((1, 1), epoch), np.zeros(1)])


@pytest.fixture(scope="module")
def model():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Early stopping conditioned on metric")
@pytest.mark.parametrize(
    ("settings", "frequency", "initial_epoch"),
    [
        ({"patience": 2}, 1, 0),
        ({"patience": 2}, 2, 0),
        ({"patience": 1, "min_delta": 0.1}, 1, 3),
        ({"patience": 1, "start_from_epoch": 4}, 1, 2),
        ({"patience": 3, "baseline": 0.2}, 3, 1),
        ({"patience": 9}, 1, 5),
        ({"patience": 0, "start_from_epoch": 99}, 1, 0),
    ],
)
def test_fit_does_what_its_callback_does_by_hand(model, settings, frequency, initial_epoch):
    script = Script([0.9, 0.5, 0.55, 0.45, 0.6, 0.5, 0.7, 0.4, 0.8, 0.9, 0.9, 0.9])
    callback = keras.callbacks.EarlyStopping(restore_best_weights=True, **settings)
    data = np.zeros((2, 1), "float32")
    model.fit(
        *(data, data),
        epochs=initial_epoch + len(script.values),
        initial_epoch=initial_epoch,
        validation_data=(data, data),
        validation_freq=frequency,
        callbacks=[script, callback],
        verbose=0,
    )
    case = Case(script.seen, initial_epoch, settings)
    report = keras_report(case)
    assert repr(our_report(case)) == repr(report)
    ended_at = initial_epoch + report.epochs_run - 1
    assert len(script.seen) == report.epochs_run
    assert callback.stopped_epoch == (report.stopped_epoch or 0)
    restored = ended_at if report.restored_epoch is None else report.restored_epoch
    assert float(model.get_weights()[0][0, 0]) == restored
    if report.stopped_epoch is not None:  # the curve goes on, and the replay ends there
        longer = Case(script.seen + [0.0] * 5, initial_epoch, settings)
        assert our_report(longer) == report


def test_what_rounds_to_the_smallest_float32_is_not_taken_for_zero():
    # A double below TINY that float32 rounds to TINY: Keras rounds first, then flushes.
    case = Case([0.0, -TINY * (1 - 2.0**-30)], 0, {"patience": 9, "mode": "min"})
    assert repr(our_report(case)) == repr(keras_report(case))
    assert our_report(case).best_epoch == 1


@pytest.mark.parametrize("patience", [-3, -1])
def test_negative_patience_is_what_the_installed_keras_makes_of_it(patience):
    for values in ([0.5], [0.5, 0.4, 0.4], [0.5, 0.6]):
        case = Case(values, 0, {"patience": patience})
        try:
            expected = keras_report(case)
        except ValueError:
            with pytest.raises(ValueError, match=f"patience must be.*got {patience}"):
                our_report(case)
        else:
            assert repr(our_report(case)) == repr(expected)


@pytest.fixture
def installed_keras(monkeypatch):
    """Calls this with the version of Keras that is to be found installed, or an error."""

    def find(version):
        def found(name):
            assert name == "keras"
            if isinstance(version, Exception):
                raise version
            return version

        monkeypatch.setattr(following, "version", found)
        following.baseline_holds_wait.cache_clear()

    yield find
    following.baseline_holds_wait.cache_clear()


IMPROVING = [0.9, 0.8, 0.7, 0.75, 0.6]


@pytest.mark.parametrize(
    ("version", "stopped_epoch"),
    [("3.15.1", 3), ("3.11.0", 3), (PackageNotFoundError("keras"), 3), ("3.15.2", None)],
)
def test_the_baseline_holds_the_wait_up_to_keras_3_15_1(installed_keras, version, stopped_epoch):
    installed_keras(version)
    # Up to 3.15.1 the wait grows to 3 while it improves, so that the first worse epoch stops.
    assert replay(IMPROVING, Patience(2, baseline=0.5)).stopped_epoch == stopped_epoch
    # The best is the best, whatever the baseline; past it, both versions agree.
    assert replay(IMPROVING, Patience(9, baseline=0.5)).best_epoch == 4
    assert replay([0.9, 0.4, 0.5, 0.5, 0.5], Patience(2, baseline=0.5)).stopped_epoch == 3
    # The baseline, too, must be beaten by more than min_delta.
    beaten = replay([0.4, 0.5, 0.5], Patience(2, baseline=0.5, min_delta=0.25))
    assert beaten.stopped_epoch == (1 if stopped_epoch else 2)
    upward = [1 - value for value in IMPROVING]
    assert replay(upward, Patience(2, baseline=0.5, mode="max")).stopped_epoch == stopped_epoch


def test_negative_patience_in_both_versions(installed_keras):
    installed_keras("3.15.1")
    negative = Patience(-1, check_finite=False)
    for values in ([0.5], [0.5, 0.5], [0.5, 0.4, 0.6]):
        assert replay(values, negative) == replay(values, Patience(0, check_finite=False))
    with pytest.raises(ValueError, match="patience must be an integer, at least 0; got -1"):
        Patience(-1)
    installed_keras("3.16.0")
    for check_finite in (True, False):
        with pytest.raises(ValueError, match="patience must be an integer, at least 0; got -1"):
            Patience(-1, check_finite=check_finite)


def stopped(values, rule, **rest):
    return replay(values, rule, **rest).stopped_epoch


def test_patience():
    assert stopped([0.5, 0.6], Patience(1)) == stopped([0.5, 0.6], Patience(0)) == 1
    assert stopped([0.5, 0.6, 0.4, 0.6, 0.6], Patience(2)) == 4
    assert stopped([0.5, 0.4, 0.4], Patience(1)) == 2  # a tie is no improvement
    assert stopped([0.5, 0.25, 0.0], Patience(1, min_delta=0.25)) == 1  # nor is min_delta itself
    assert stopped([0.5, 0.6], Patience(1, mode="max")) is None
    # Epochs without validation, and those before start_from_epoch, do not count.
    assert stopped([0.5, None, 0.6, None, 0.6, 0.6], Patience(2)) == 4
    report = replay([0.1, 0.5, 0.6, 0.6], Patience(2, start_from_epoch=1))
    assert astuple(report) == ("patience", 4, 3, 1, 0.5, 1)
    # The first epoch never stops a run, but the first epoch of a later fit may.
    assert stopped([NAN, NAN], Patience(1)) == 1
    assert stopped([NAN, NAN], Patience(1), initial_epoch=5) == 5


def test_target():
    assert stopped([0.5, 0.3, 0.2], Target(0.3)) == 1  # reached is enough
    assert stopped([0.5, 0.7, 0.8], Target(0.7, mode="max")) == 1
    assert stopped([0.5, 0.31], Target(0.3)) is None
    assert stopped([0.2, 0.9], Target(0.3)) == 0  # unlike patience, in the first epoch, too
    assert stopped([0.2, 0.9], Target(0.3), initial_epoch=4) == 4
    assert stopped([None, NAN, -INF, 0.2], Target(0.3)) == 3
    # Keras computes an accuracy of 90 of 100 in single precision: 0.89999998.
    for accuracy in (float(np.float32(90) / np.float32(100)), np.nextafter(0.9, 1), 0.9):
        assert stopped([0.5, accuracy], Target(0.9, mode="max")) == 1
        assert stopped([1.0, accuracy], Target(0.9)) == 1
    assert stopped([0.5, 0.9 - 1e-7], Target(0.9, mode="max")) is None
    assert replay([0.2], Target(0.3)).reason == "target"


def test_generalization_loss_by_hand():
    # The lowest of 1, 1/2 is 1/2, so that 5/8 is 100 (5/8 / 1/2 − 1) = 25 percent above it.
    errors = [1.0, 0.5, 0.625, 0.5]
    assert stopped(errors, GeneralizationLoss(25)) is None  # not more than 25
    assert stopped(errors, GeneralizationLoss(24.99)) == 2
    assert stopped([0.5, 1.0, 0.625], GeneralizationLoss(100)) is None
    assert stopped([0.5, 1.0, 0.625], GeneralizationLoss(99)) == 1
    assert stopped([0.5, 0.5, 0.5], GeneralizationLoss(0)) is None
    assert stopped([0.0, 0.0, 0.1], GeneralizationLoss(1e9)) == 2  # infinitely many times 0
    # In an epoch without a finite value the error is the last one.
    assert stopped([0.5, None, NAN, INF, 0.6], GeneralizationLoss(10)) == 4
    report = replay(errors, GeneralizationLoss(10))
    assert astuple(report) == ("criterion", 3, 2, 1, 0.5, 1)


def test_progress_quotient_by_hand():
    # GL = 100 (3/4 / 1/2 − 1) = 50. The strip 1, 1/2, 9/16 has the sum 33/16 and the mean 11/16:
    # P = 1000 (33/16 / (3 · 1/2) − 1) = 375, and PQ = 50 / 375 = 0.133.
    # With the first element alone PQ would be 50 / 1000 = 0.05, with the last 50 / 125 = 0.4.
    errors, losses = [1.0, 0.5, 0.75], [1.0, 0.5, 0.5625]
    assert stopped(errors, ProgressQuotient(0.1, strip=3), train_values=losses) == 2
    assert stopped(errors, ProgressQuotient(0.2, strip=3), train_values=losses) is None
    # Mean 3/4, minimum 1/2, P = 500, PQ = 50 / 500 = 0.1: not above 0.1.
    errors, losses = [1.0, 0.5, 0.5, 0.75], [1.0, 0.5, 0.75, 0.75]
    assert stopped(errors, ProgressQuotient(0.1, strip=4), train_values=losses) is None
    assert stopped(errors, ProgressQuotient(0.09, strip=4), train_values=losses) == 3
    assert replay(errors, ProgressQuotient(0, strip=4), train_values=losses).reason == "criterion"
    # Only the last strip counts. In the second, 1/4 and 3/8: mean 5/16, P = 1000 (5/4 − 1) = 250,
    # GL = 25, PQ = 0.1. With the whole history, mean 21/32, it would be 25 / 1625 = 0.015.
    errors, losses = [1.0, 0.5, 0.5, 0.625], [1.0, 1.0, 0.25, 0.375]
    assert stopped(errors, ProgressQuotient(0.09, strip=2), train_values=losses) == 3


def test_progress_quotient_looks_at_the_ends_of_strips():
    losses = [1.0, 0.9] * 3
    rule = ProgressQuotient(0.1, strip=2)
    assert stopped([1.0, 0.5, 5.0, 0.5, 5.0, 0.5], rule, train_values=losses) is None
    assert stopped([1.0, 0.5, 0.5, 5.0, 0.5, 0.5], rule, train_values=losses) == 3
    # Strips are counted from where the run began.
    values = [0.5, 0.5, 0.5, 5.0]
    assert stopped(values, rule, train_values=losses[:4], initial_epoch=3) == 6


@pytest.mark.parametrize("loss", [0.1, 0.3, 0.7, 1.0, 0.0])
@pytest.mark.parametrize("strip", range(1, 11))
def test_without_progress_any_loss_stops_and_no_loss_does_not(loss, strip):
    # The mean of equal numbers may round to below them: P = −2e-13 must not hide the loss.
    rule, losses = ProgressQuotient(1e6, strip=strip), [loss] * 2 * strip
    rising = [0.5] * strip + [0.6] * strip
    assert stopped(rising, rule, train_values=losses) == (2 * strip - 1 if strip > 1 else 1)
    assert stopped([0.5] * 2 * strip, rule, train_values=losses) is None


def test_successive_increases_by_hand():
    # The ends of the strips are 1, 2, 3, 4: the first comparison is at the second one.
    errors = [9.0, 1.0, 0.5, 2.0, 0.5, 3.0, 0.5, 4.0]
    for strips in (1, 2, 3):
        assert stopped(errors, SuccessiveIncreases(strips, strip=2)) == 2 * strips + 1
    assert stopped(errors, SuccessiveIncreases(4, strip=2)) is None
    # What lies between does not matter.
    between = [0.0, 1.0, 99.0, 2.0, 0.0, 3.0, 99.0, 4.0]
    assert stopped(between, SuccessiveIncreases(3, strip=2)) == 7
    # A strip without an increase begins the count anew: 1, 2, 2, 3, 4.
    assert stopped([1.0, 2.0, 2.0, 3.0, 4.0], SuccessiveIncreases(2, strip=1)) == 4
    assert stopped([1.0, 2.0, 1.5, 1.8, 1.9], SuccessiveIncreases(2, strip=1)) == 4
    # It is the strip before that is compared, not the lowest: 9, 1, 2 rises.
    assert stopped([9.0, 1.0, 2.0], SuccessiveIncreases(1, strip=1)) == 2
    assert stopped([5.0, 1.0, 5.0, 2.0], SuccessiveIncreases(1, strip=2), initial_epoch=7) == 10
    # An end without a value has the last one before it: 1, 2, 2.
    assert stopped([1.0, 2.0, None], SuccessiveIncreases(2, strip=1)) is None
    assert stopped([1.0, 5.0, 0.5, 2.0, None], SuccessiveIncreases(1, strip=2)) is None
    assert stopped([0.5, 1.0, 2.0, None], SuccessiveIncreases(1, strip=2)) == 3


@pytest.mark.parametrize("number", [np.uint8, np.array, tf.constant])
def test_counts_of_any_library_become_those_of_python(number):
    """-np.uint8(100) is 156, and three of them are 44."""
    rising, up = np.arange(1.0, 301.0), partial(SuccessiveIncreases, 2)
    rule = SuccessiveIncreases(number(2), strip=number(100))
    assert rule == up(strip=100) and repr(rule) == repr(up(strip=100)) and hash(rule)
    assert stopped(rising, rule) == 299
    rule, losses = ProgressQuotient(0.5, strip=number(200)), [1.0] * 56 + [0.5] * 144
    assert stopped([1.0, *[1.5] * 199], rule, train_values=losses) is None  # PQ is 0.18
    rule = Patience(number(2), start_from_epoch=number(1))
    assert rule == Patience(2, start_from_epoch=1) and hash(rule)
    assert Warmup(rule, number(3)) == Warmup(rule, 3)


def known(values):
    """The curve with the last finite value where there is none."""
    last, filled = NAN, []
    for value in values:
        last = value if value is not None and math.isfinite(value) else last
        filled.append(last)
    return filled


def loss_by_formula(errors, t):
    errors = [Fraction(error) for error in errors[: t + 1] if not math.isnan(error)]
    return 100 * (errors[-1] / min(errors) - 1) if errors else 0


def gl_stops(errors, alpha, t):
    return loss_by_formula(errors, t) > Fraction(alpha)


def pq_stops(errors, losses, alpha, strip, t):
    if (t + 1) % strip:
        return False
    latest = [Fraction(loss) for loss in losses[t + 1 - strip : t + 1]]
    progress = 1000 * (sum(latest) / (strip * min(latest)) - 1)
    return loss_by_formula(errors, t) > Fraction(alpha) * progress  # PQ > alpha, without a quotient


def up_stops(errors, strips, strip, t):
    if (t + 1) % strip:
        return False
    for back in range(strips):
        end = t - back * strip
        if end - strip < 0 or not errors[end] > errors[end - strip]:
            return False
    return True


def test_prechelts_criteria_are_his_formulas_on_random_curves():
    rng = np.random.default_rng(5)
    ends = Counter()
    for _ in range(400):
        length, strip = int(rng.integers(1, 40)), int(rng.integers(1, 7))
        alpha, strips = float(rng.uniform(0, 20)), int(rng.integers(1, 4))
        # As Keras records them, in single precision.
        errors = rng.uniform(0.5, 0.6, length).cumsum() / np.arange(1, length + 1)
        errors = (errors + rng.normal(0, 0.03, length)).astype("float32").astype(float).tolist()
        losses = rng.uniform(0.5, 0.6, length).astype("float32").astype(float).tolist()
        if rng.random() < 0.2:
            losses = [losses[0]] * length
        gaps = rng.random(length) < 0.2
        values = [
            [None, NAN, INF, -INF][rng.integers(4)] if gap else error
            for gap, error in zip(gaps, errors, strict=True)
        ]
        errors = known(values)
        small = alpha / 100  # PQ is smaller than GL by about the progress
        for rule, by_formula in (
            (GeneralizationLoss(alpha), partial(gl_stops, errors, alpha)),
            (ProgressQuotient(small, strip=strip), partial(pq_stops, errors, losses, small, strip)),
            (SuccessiveIncreases(strips, strip=strip), partial(up_stops, errors, strips, strip)),
        ):
            expected = next((t for t in range(length) if by_formula(t)), None)
            assert stopped(values, rule, train_values=losses) == expected, (values, losses, rule)
            ends[type(rule), expected is None] += 1
    assert len(ends) == 6 and min(ends.values()) > 50, ends  # each stops often, and often not


def test_what_is_not_finite_is_no_improvement_and_never_the_best():
    # In the first epoch it costs patience, as any epoch without an improvement.
    assert astuple(replay([NAN, 0.5, 0.6, 0.7], Patience(2))) == ("patience", 4, 3, 1, 0.5, 1)
    for bad in (NAN, INF, -INF):
        for mode in ("min", "max"):
            report = replay([0.5, bad, 0.5, 0.5], Patience(3, mode=mode))
            assert astuple(report) == ("patience", 4, 3, 0, 0.5, 0)
            # Here nothing but the wait knows of it: no run ends for that alone.
            report = replay([0.5, bad], Patience(2, mode=mode))
            assert astuple(report) == ("epochs", 2, None, 0, 0.5, 0)
            report = replay([bad] * 5, Patience(9, mode=mode))
            assert astuple(report) == ("epochs", 5, None, None, None, None)
            assert astuple(replay([bad] * 5, Patience(2, mode=mode)))[:3] == ("patience", 2, 1)
            for rule in (GeneralizationLoss(1), Target(0.1, mode=mode), SuccessiveIncreases(1)):
                assert replay([bad] * 20, rule).epochs_run == 20
    # Keras keeps the first NaN for ever.
    report = replay([NAN, 0.5, 0.4], Patience(9, check_finite=False))
    assert (report.best_epoch, math.isnan(report.best_value)) == (0, True)


def test_what_a_report_says():
    # A stop on the last epoch is a stop by the rule; what follows is not consumed.
    assert astuple(replay([0.5, 0.6], Patience(1))) == ("patience", 2, 1, 0, 0.5, 0)
    assert astuple(replay([0.5, 0.6, 0.1], Patience(1))) == ("patience", 2, 1, 0, 0.5, 0)
    assert astuple(replay([0.5, 0.4], Patience(1))) == ("epochs", 2, None, 1, 0.4, 1)
    # stopped_epoch, best_epoch and restored_epoch are absolute, epochs_run is not.
    report = replay([0.5, 0.6, 0.6], Patience(2), initial_epoch=10)
    assert astuple(report) == ("patience", 3, 12, 10, 0.5, 10)
    # Nothing was monitored: no best, nothing restored.
    for nothing in (
        replay([None, None], Patience(0)),
        replay([0.5, 0.4], Patience(0, start_from_epoch=2)),
        replay([0.5, 0.4], Patience(0, start_from_epoch=7, check_finite=False), initial_epoch=5),
    ):
        assert astuple(nothing) == ("epochs", 2, None, None, None, None)
    json.dumps(astuple(replay(np.array([0.5, 0.6], "float32"), Patience(1))))  # plain numbers


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (
            (StopReason.PATIENCE, 8, 7, 4, 0.3125, 4),
            "Patience ran out after epoch 8; the best was epoch 5, with 0.3125, and was restored.",
        ),
        (
            (StopReason.CRITERION, 8, 7, 4, 1 / 3),
            "The criterion was met after epoch 8; the best was epoch 5, with 0.3333, and was not "
            "restored.",
        ),
        (
            (StopReason.TARGET, 1, 0, 0, 0.9, 0),
            "The target was reached after epoch 1; the best was epoch 1, with 0.9, and was "
            "restored.",
        ),
        (
            (StopReason.NON_FINITE, 3, 2, 1, 2.0, 0),
            "Stopped in epoch 3: the training loss was not finite; the best was epoch 2, with 2, "
            "and epoch 1 was restored.",
        ),
        ((StopReason.NON_FINITE, 1, 0), "Stopped in epoch 1: the training loss was not finite."),
        ((StopReason.EPOCHS, 1), "Trained for the only epoch."),
        ((StopReason.EPOCHS, 12), "Trained for all 12 epochs."),
        (
            (StopReason.EPOCHS, 2, None, 1, 0.5, 1),
            "Trained for all 2 epochs; the best was epoch 2, with 0.5, and was restored.",
        ),
        ((StopReason.INTERRUPTED, 0), "Interrupted; epochs that were finished: 0."),
        (
            (StopReason.OTHER, 3, None, 0, 0.5, 0),
            "Stopped by something else; epochs run: 3; the best was epoch 1, with 0.5, and was "
            "restored.",
        ),
    ],
)
def test_a_report_reads_as_one_sentence_with_epochs_counted_from_one(report, sentence):
    assert str(StopReport(*report)) == sentence


def test_every_reason_has_a_sentence():
    sentences = {str(StopReport(reason, 3, 2)) for reason in StopReason}
    assert len(sentences) == len(StopReason) == 7
    assert {*StopReason} == {
        *("patience", "criterion", "target", "non_finite", "epochs", "interrupted", "other")
    }


# A rule of one's own is one dataclass.
@dataclass(frozen=True)
class Plateau(Rule):
    """Stop when the last `window` values lie within `width`."""

    window: int
    width: float = 0.05
    mode: str = "min"

    def stops(self, state):
        latest = np.stack(state.values[-self.window :])
        flat = np.ptp(latest, axis=0) < self.width
        return flat & (state.epochs_run >= self.window)


def test_a_new_rule_is_one_dataclass():
    rule = Plateau(3)
    report = replay([0.9, 0.5, 0.52, None, 0.1], rule)
    assert astuple(report) == ("criterion", 4, 3, 1, 0.5, 1)
    assert replay([0.9, 0.5, 0.52], Plateau(2, mode="max")).best_epoch == 0
    table = sweep_rules([[0.9, 0.5, 0.52, None, 0.1], [0.5, 0.4, 0.3, 0.2]], [rule])
    assert table["rule"].tolist() == ["Plateau(window=3, width=0.05, mode='min')"] * 2
    assert table["epochs_run"].tolist() == [4, 4]
    assert table["reason"].tolist() == ["criterion", "epochs"]


RULES = [
    Patience(0),
    Patience(2, min_delta=0.05),
    Patience(3, baseline=0.4, start_from_epoch=2),
    Patience(2, check_finite=False),
    Patience(50),
    Patience(1, mode="max"),
    Target(0.3),
    Target(0.9, mode="max"),
    GeneralizationLoss(20),
    SuccessiveIncreases(2, strip=2),
    ProgressQuotient(0.5, strip=3),
    Plateau(2),
]


def random_table(seed):
    """A table as sweep(..., curves=True) returns it, with epochs that were not validated."""
    rng = np.random.default_rng(seed)
    rows = []
    for run in range(30):
        keys = {"learning_rate": [0.1, 0.01][run % 2], "widths": [[8], [8, 8]][run // 2 % 2]}
        length = int(rng.integers(1, 15))
        for epoch in range(length):
            if rng.random() < 0.2 and epoch < length - 1:
                continue
            loss, val_loss, val_auc = rng.uniform(0.2, 1, 3)
            rows.append(
                keys
                | {"seed": run // 4, "epochs": length, "steps": 5 * length, "seconds": 0.1}
                | {"epoch": epoch, "step": 5 * epoch + 4, "loss": loss}
                | {"val_loss": val_loss if rng.random() < 0.9 else NAN}
                | {"val_auc": val_auc, "restored_epoch": 0, "reason": "epochs"}
            )
    return pd.DataFrame(rows).sample(frac=1, random_state=seed)


def check_row(row, values, losses, rule):
    """Compare a row of sweep_rules with the replay of its curve."""
    report = replay(values, rule, train_values=losses)
    assert row["rule"] == str(rule) and row["reason"] == str(report.reason)
    assert row["epochs_run"] == report.epochs_run
    for name in ("stopped_epoch", "best_epoch", "restored_epoch"):
        expected = getattr(report, name)
        assert pd.isna(row[name]) if expected is None else row[name] == expected, name
    value = NAN if report.best_value is None else report.best_value
    np.testing.assert_equal(row["best_value"], value)
    return report.restored_epoch


@pytest.mark.parametrize(
    ("monitor", "rules"),
    [("val_loss", [rule for rule in RULES if rule.mode == "min"]), ("val_auc", RULES)],
    ids=["val_loss", "val_auc"],
)
def test_a_sweep_over_a_table_is_the_replay_of_each_curve(monitor, rules):
    table = random_table(3)
    before = table.copy(deep=True)
    result = sweep_rules(table, rules, monitor=monitor)
    pd.testing.assert_frame_equal(table, before)
    keys = ["learning_rate", "widths", "seed"]
    fields = ["reason", "epochs_run", "stopped_epoch", "best_epoch", "best_value"]
    measured = ["loss", "val_loss", "val_auc"]
    assert [*result] == ["rule", *keys, *fields, "restored_epoch", *measured]
    assert (result.dtypes[["stopped_epoch", "best_epoch", "restored_epoch"]] == "Int64").all()
    assert len(result) == 30 * len(rules) and result.index.tolist() == [*range(len(result))]
    assert result["rule"].unique().tolist() == [str(rule) for rule in rules]
    # Within a rule the runs are in the order in which the table names them first.
    order = list(dict.fromkeys(repr(row) for row in table[keys].values.tolist()))
    assert [repr(row) for row in result[keys].values.tolist()] == order * len(rules)

    runs = {}
    for row in table.to_dict("records"):
        runs.setdefault(repr([row[key] for key in keys]), {})[row["epoch"]] = row
    restored = 0
    for row, rule in zip(result.to_dict("records"), np.repeat(rules, 30), strict=True):
        epochs = runs[repr([row[key] for key in keys])]
        steps = range(max(epochs) + 1)
        values = [epochs[t][monitor] if t in epochs else None for t in steps]
        losses = [epochs[t]["loss"] if t in epochs else NAN for t in steps]
        epoch = check_row(row, values, losses, rule)
        for name in measured:
            np.testing.assert_equal(row[name], NAN if epoch is None else epochs[epoch][name])
        restored += epoch is not None
    assert 25 * len(rules) < restored < len(result)  # of some curves nothing is the best


def test_a_sweep_over_sequences_is_the_replay_of_each():
    rng = np.random.default_rng(4)
    curves = [
        [[None, NAN, INF, 0.5, 0.6, 0.7, 0.4, 0.3][i] for i in rng.integers(0, 8, length)]
        for length in rng.integers(1, 25, 40)
    ]
    rules = [rule for rule in RULES if not rule.needs_train_values]
    result = sweep_rules(curves, rules)
    assert [*result][:2] == ["rule", "curve"]
    assert result["curve"].tolist() == [*range(40)] * len(rules)
    for row, rule in zip(result.to_dict("records"), np.repeat(rules, 40), strict=True):
        check_row(row, curves[row["curve"]], None, rule)
    # Arrays, a generator of curves and of rules are as good.
    arrays = sweep_rules((np.array([0.5, x, 0.1]) for x in (0.4, 0.6)), (Patience(p) for p in [1]))
    assert arrays["stopped_epoch"].tolist() == [pd.NA, 1]


def test_the_table_of_a_single_run_has_no_keys():
    epochs = pd.DataFrame({"epoch": [0, 1, 3], "step": [1, 3, 7], "val_loss": [0.5, 0.4, 0.6]})
    result = sweep_rules(epochs, [Patience(1), Patience(2)])
    assert result["rule"].tolist() == ["Patience(patience=1)", "Patience(patience=2)"]
    assert result["epochs_run"].tolist() == [4, 4] and "step" not in result
    assert result["stopped_epoch"].tolist() == [3, pd.NA]
    assert result["val_loss"].tolist() == [0.4, 0.4]


@pytest.mark.slow
def test_all_curves_are_followed_side_by_side(monkeypatch):
    """A hundred rules take as many steps on a thousand curves as on one."""
    steps = np.arange(200)
    noise = np.random.default_rng(0).normal(0, 0.1, (1000, 200))
    table = pd.DataFrame({"seed": np.repeat(np.arange(1000), 200), "epoch": np.tile(steps, 1000)})
    table["val_loss"] = (np.exp(-steps / 50) + np.abs(noise)).ravel()
    table["loss"] = np.exp(-steps / 50).repeat(1000)
    rules = [Patience(patience) for patience in range(60, 100)]
    rules += [GeneralizationLoss(1e3 * alpha) for alpha in range(20, 40)]
    rules += [ProgressQuotient(1e3 * alpha) for alpha in range(20, 40)]
    rules += [SuccessiveIncreases(9, strip=strip) for strip in range(1, 21)]
    calls = []

    def counted(*arguments):
        calls.append(arguments[0])
        return advance(*arguments)

    monkeypatch.setattr("epochlab.stopping.replay.advance", counted)
    result = sweep_rules(table, rules)
    assert len(rules) < len(calls) <= len(rules) * len(steps)
    assert len(result) == 100_000 and (result["epochs_run"] == 200).mean() > 0.3


def test_rules_are_values():
    assert Patience(3) == Patience(3) != Patience(4) and Patience(3) != Target(3)
    assert len({Patience(3), Patience(3), Target(3), GeneralizationLoss(3)}) == 3
    with pytest.raises(FrozenInstanceError):
        Patience(3).patience = 4
    with pytest.raises(FrozenInstanceError):
        replay([0.5], Patience(0)).epochs_run = 4
    with pytest.raises(TypeError, match="positional"):
        Patience(3, 0.1)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Patience(0), "Patience(patience=0)"),
        (Patience(5), "Patience(patience=5)"),
        (Patience(5, min_delta=0.0, mode="max"), "Patience(patience=5, mode='max')"),
        (Patience(1, check_finite=False), "Patience(patience=1, check_finite=False)"),
        (Target(0.9, mode="max"), "Target(value=0.9, mode='max')"),
        (GeneralizationLoss(5), "GeneralizationLoss(alpha=5)"),
        (ProgressQuotient(0.5), "ProgressQuotient(alpha=0.5)"),
        (SuccessiveIncreases(3, strip=2), "SuccessiveIncreases(strips=3, strip=2)"),
    ],
)
def test_a_rule_shows_what_is_not_the_default(rule, text):
    assert repr(rule) == str(rule) == text
    assert eval(text) == rule


def test_a_rule_shows_numbers_of_numpy_as_those_of_python():
    # Rules come from np.arange as from range; in a table their text is the key.
    assert Patience(np.int64(5)) == Patience(5)
    assert repr(Patience(np.int64(5))) == repr(Patience(5))
    assert repr(Target(np.float64(0.5))) == repr(Target(0.5))


def test_rules_and_their_replay_load_neither_tensorflow_nor_keras():
    code = (
        "import sys, epochlab as e; print(e.replay([0.5, 0.6], e.Patience(1)));"
        "e.sweep_rules([[0.5, 0.6]], [e.Target(0.1)]);"
        "print({'tensorflow', 'keras', 'matplotlib'} & {*sys.modules})"
    )
    assert printed(code).splitlines() == [
        "Patience ran out after epoch 2; the best was epoch 1, with 0.5, and was restored.",
        "set()",
    ]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Patience(-1), ValueError, "patience must be an integer, at least 0; got -1"),
        (lambda: Patience(2.0), TypeError, r"patience must be an integer.*got 2.0 \(float\)"),
        (lambda: Patience(True), TypeError, r"patience must be an integer.*got True \(bool\)"),
        (lambda: Patience("3"), TypeError, r"patience must be an integer.*got '3' \(str\)"),
        (lambda: Patience(1.5, check_finite=False), TypeError, "patience must be.*got 1.5"),
        (
            lambda: Patience(0, min_delta=-0.1),
            ValueError,
            "min_delta must be.*at least 0; got -0.1",
        ),
        (lambda: Patience(0, min_delta=NAN), ValueError, "min_delta must be a finite.*got nan"),
        (lambda: Patience(0, min_delta="0"), TypeError, r"min_delta must be.*got '0' \(str\)"),
        (lambda: Patience(0, baseline=NAN), ValueError, "baseline must be a finite.*got nan"),
        (lambda: Patience(0, baseline="1"), TypeError, r"baseline must be.*got '1' \(str\)"),
        (lambda: Patience(0, mode="auto"), ValueError, 'mode must be "min" or "max"; got \'auto\''),
        (lambda: Patience(0, mode=None), ValueError, 'mode must be "min" or "max"; got None'),
        (lambda: Patience(0, start_from_epoch=-1), ValueError, "start_from_epoch.*got -1"),
        (lambda: Patience(0, start_from_epoch=0.5), TypeError, "start_from_epoch.*got 0.5"),
        (lambda: Patience(0, check_finite=1), TypeError, r"check_finite must be.*got 1 \(int\)"),
        (lambda: Target("0.9"), TypeError, r"value must be a finite number; got '0.9' \(str\)"),
        (lambda: Target(None), TypeError, "value must be a finite number; got None"),
        (lambda: Target(True), TypeError, "value must be a finite number; got True"),
        (lambda: Target(INF), ValueError, "value must be a finite number; got inf"),
        (lambda: Target(0.9, mode="auto"), ValueError, "mode must be.*got 'auto'"),
        (lambda: GeneralizationLoss(-5), ValueError, "alpha must be.*at least 0; got -5"),
        (lambda: GeneralizationLoss("5"), TypeError, r"alpha must be.*got '5' \(str\)"),
        (lambda: ProgressQuotient(-0.5), ValueError, "alpha must be.*at least 0; got -0.5"),
        (lambda: ProgressQuotient(1, strip=0), ValueError, "strip must be.*at least 1; got 0"),
        (lambda: ProgressQuotient(1, strip=2.0), TypeError, "strip must be.*got 2.0"),
        (lambda: SuccessiveIncreases(0), ValueError, "strips must be.*at least 1; got 0"),
        (lambda: SuccessiveIncreases(1.0), TypeError, "strips must be.*got 1.0"),
        (lambda: SuccessiveIncreases(1, strip=0), ValueError, "strip must be.*at least 1; got 0"),
    ],
)
def test_bad_rules_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


CURVE = "values must be a list of numbers, with None where an epoch was not validated; got "
RULE = r"rule must be a rule such as Patience\(5\); got "
PQ = ProgressQuotient(0.5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], Patience(0)), ValueError, CURVE + "none"),
        ((np.array([]), Patience(0)), ValueError, CURVE + "none"),
        ((None, Patience(0)), TypeError, CURVE + "None"),
        ((0.5, Patience(0)), TypeError, CURVE + r"0.5 \(float\)"),
        (("0.5", Patience(0)), TypeError, CURVE + r"'0.5' \(str\)"),
        (({0: 0.5}, Patience(0)), TypeError, CURVE + r"{0: 0.5} \(dict\)"),
        (([0.5, "0.4"], Patience(0)), TypeError, CURVE + r"'0.4' \(str\) in place 1"),
        (([0.5, True], Patience(0)), TypeError, CURVE + r"True \(bool\) in place 1"),
        ((np.array([True]), Patience(0)), TypeError, CURVE + ".*True.* in place 0"),
        (([0.5, 1j], Patience(0)), TypeError, CURVE + r"1j \(complex\) in place 1"),
        (([[0.5, 0.4]], Patience(0)), ValueError, CURVE + r"\[0.5, 0.4\] in place 0.*dimension"),
        (([[0.5]], Patience(0)), ValueError, CURVE + r"\[0.5\] in place 0.*dimension"),
        ((np.zeros((2, 3)), Patience(0)), ValueError, CURVE + ".* in place 0.*dimension"),
        ((np.zeros((2, 1)), Patience(0)), ValueError, CURVE + ".* in place 0.*dimension"),
        (([0.5],), TypeError, "missing.*'rule'"),
        (([0.5], Patience), TypeError, RULE + r"<class .*Patience.*\(type\)"),
        (([0.5], None), TypeError, RULE + "None"),
        (([0.5], 3), TypeError, RULE + r"3 \(int\)"),
        (([0.5, -0.1], GeneralizationLoss(5)), ValueError, "values must be.*-0.1 after epoch 2"),
        (([0.5] * 5, PQ), ValueError, r"train_values must be given for ProgressQuotient\(alpha"),
    ],
)
def test_bad_curves_and_rules_are_refused_by_replay(arguments, error, message):
    with pytest.raises(error, match=message):
        replay(*arguments)


@pytest.mark.parametrize(
    ("rest", "error", "message"),
    [
        ({"train_values": [0.5]}, ValueError, r"train_values must be as long.*\(2\); got 1"),
        ({"train_values": [0.5, None]}, ValueError, "train_values must have a number.*got None"),
        ({"train_values": []}, ValueError, "train_values must be a list.*got none"),
        ({"train_values": "ab"}, TypeError, "train_values must be a list.*got 'ab'"),
        ({"train_values": [[1], [2]]}, ValueError, "train_values must be.*place 0.*dimension"),
        ({"initial_epoch": -1}, ValueError, "initial_epoch must be.*at least 0; got -1"),
        pytest.param(
            *({"initial_epoch": 10**400}, ValueError, r"initial_epoch must be below 2\*\*62"),
            id="huge",
        ),
        ({"initial_epoch": 1.0}, TypeError, "initial_epoch must be an integer.*got 1.0"),
        ({"initial_epoch": None}, TypeError, "initial_epoch must be an integer.*got None"),
    ],
)
@pytest.mark.parametrize("rule", [PQ, Patience(0)])
def test_bad_losses_and_first_epochs_are_refused_by_replay(rest, error, message, rule):
    with pytest.raises(error, match=message):
        replay([0.5, 0.4], rule, **({"train_values": [0.5, 0.4]} | rest))


TABLE = pd.DataFrame(
    {"rate": [0.1] * 3, "seed": [0, 0, 1], "epoch": [0, 1, 0], "val_loss": [0.5, 0.4, 0.3]}
)


@pytest.mark.parametrize(
    ("curves", "rules", "error", "message"),
    [
        ([], [Patience(0)], ValueError, "curves must hold at least one curve; got none"),
        ([[]], [Patience(0)], ValueError, r"curves\[0\] must be a list of numbers.*got none"),
        ([[0.5], ["x"]], [Patience(0)], TypeError, r"curves\[1\] must be.*got 'x' \(str\)"),
        ([0.5, 0.4], [Patience(0)], TypeError, r"curves\[0\] must be a list.*got 0.5"),
        ([np.zeros((2, 2))], [Patience(0)], ValueError, r"curves\[0\] must be.*dimension"),
        ([[0.5]], [PQ], ValueError, r"curves must be a table.*loss for ProgressQuotient\(alpha"),
        ([[0.5]], [], ValueError, "rules must hold at least one rule; got none"),
        ([[0.5]], Patience(0), TypeError, r"rules must be a list.*got Patience\(patience=0\)"),
        ([[0.5]], [Patience(0), Target], TypeError, RULE + "<class"),
        (TABLE, [3], TypeError, RULE + "3"),
        (TABLE, [PQ], ValueError, "columns epoch, val_loss, loss; got none of name loss"),
        (
            TABLE[["seed", "val_loss"]],
            [Patience(0)],
            ValueError,
            "got none of name epoch, but seed",
        ),
        (TABLE[:0], [Patience(0)], ValueError, "curves must hold.*got a table without rows"),
        (TABLE[["epoch", "val_loss"]], [Patience(0)], ValueError, "epoch 0 twice for the only run"),
        (
            TABLE.assign(epoch=[1, 1, 0]),
            [Patience(0)],
            ValueError,
            "epoch once per run; got epoch 1 twice for {'rate': 0.1, 'seed': 0}",
        ),
        (TABLE.assign(val_loss="x"), [Patience(0)], TypeError, "val_loss must be.*got 'x'"),
        (TABLE.assign(epoch=[-1, 0, 0]), [Patience(0)], ValueError, "epoch.*-1"),
        (TABLE.assign(epoch=[0.5, 1, 0]), [Patience(0)], (TypeError, ValueError), "epoch.*0.5"),
    ],
)
def test_bad_input_is_refused_by_sweep_rules(curves, rules, error, message):
    with pytest.raises(error, match=message):
        sweep_rules(curves, rules)


@pytest.mark.parametrize("curves", [None, 3, {"a": [0.5]}, "abc"])
def test_what_are_no_curves_is_refused_by_sweep_rules(curves):
    with pytest.raises(TypeError, match="curves.* must be"):
        sweep_rules(curves, [Patience(0)])


@pytest.mark.parametrize(
    ("monitor", "wrong", "right"),
    [
        *((name, "min", "max") for name in ("val_accuracy", "accuracy", "val_acc")),
        *((name, "max", "min") for name in ("val_loss", "loss")),
    ],
)
def test_a_mode_that_takes_the_worst_epoch_for_the_best_is_refused(monitor, wrong, right):
    table = TABLE.rename(columns={"val_loss": monitor})
    rules = [Patience(1, mode=right), Patience(1, mode=wrong)]
    message = rf'rule must have mode "{right}" to monitor {monitor}; got Patience.*"{wrong}"'
    with pytest.raises(ValueError, match=message):
        sweep_rules(table, rules, monitor=monitor)
    assert len(sweep_rules(table, rules[:1], monitor=monitor)) == 2
    # Of another name nobody knows; and curves in a list have none.
    assert len(sweep_rules(table.rename(columns={monitor: "f1"}), rules, monitor="f1")) == 4
    assert len(sweep_rules([[0.5, 0.6]], rules)) == 2


def test_a_missing_monitor_is_named():
    with pytest.raises(ValueError, match="got none of name val_acc, but rate, seed, epoch"):
        sweep_rules(TABLE, [Patience(0, mode="max")], monitor="val_acc")
    with pytest.raises(ValueError, match="values must be errors.*GeneralizationLoss.*-0.5"):
        sweep_rules([[0.5], [-0.5]], [GeneralizationLoss(1)])
