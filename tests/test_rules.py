"""Rules of one's own and rules that combine others; the state that they look at."""

from collections import Counter
from dataclasses import astuple, dataclass, replace

import keras
import numpy as np
import pandas as pd
import pytest
from helpers import printed

from epochlab import (
    AnyOf,
    EarlyStopping,
    GeneralizationLoss,
    Patience,
    ProgressQuotient,
    Rule,
    State,
    StopReason,
    SuccessiveIncreases,
    Target,
    Warmup,
    fit_interruptible,
    load_data,
    replay,
    sweep_rules,
    train,
)
from epochlab.stopping import following


# A rule in ten lines, as the README shows it.
class Plateau(Rule):
    """Stop when the last `window` values differ by less than `width`."""

    def __init__(self, width, window=3):
        self.width, self.window = width, window

    def stops(self, state):
        latest = state.values[-self.window :]
        return (len(latest) == self.window) & (np.ptp(latest, axis=0) < self.width)


CURVES = [[0.9, 0.5, 0.49, 0.48, 0.2, 0.1], [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0.5, 0.5, 0.5]]


def test_a_plain_class_is_a_rule():
    rule = Plateau(0.05)
    assert repr(rule) == str(rule) == "Plateau(width=0.05, window=3)"
    assert repr(Plateau(np.float64(0.05))) == repr(rule)
    assert astuple(replay(CURVES[0], rule)) == ("criterion", 4, 3, 3, 0.48, 3)
    table = sweep_rules(CURVES, [rule, Patience(1)])
    assert table["rule"].unique().tolist() == [str(rule), "Patience(patience=1)"]
    assert table["epochs_run"].tolist() == [4, 6, 3, 6, 6, 2]
    assert table["reason"].tolist()[:3] == ["criterion", "epochs", "criterion"]


def test_a_rule_may_answer_for_all_curves_at_once():
    class Third(Rule):
        reason = StopReason.TARGET
        mode = "max"

        def stops(self, state):
            return state.epochs_run == 3

    assert repr(Third()) == "Third()"
    assert astuple(replay(CURVES[0], Third())) == ("target", 3, 2, 0, 0.9, 0)
    assert sweep_rules(CURVES, [Third()])["epochs_run"].tolist() == [3, 3, 3]
    assert sweep_rules(CURVES, [AnyOf(Third(), Patience(1, mode="max"))])["reason"].tolist() == [
        *("patience", "patience", "patience")
    ]


def test_a_mode_that_is_neither_min_nor_max_is_refused():
    class Lowest(Rule):
        mode = "lowest"

    for use in (AnyOf, lambda rule: EarlyStopping(rule=rule), lambda rule: replay([0.5], rule)):
        with pytest.raises(ValueError, match='mode of Lowest must be "min" or "max"; got .lowest'):
            use(Lowest())


@pytest.mark.parametrize("answer", [None, 1, np.array([0.5]), "yes"])
def test_an_answer_that_is_neither_yes_nor_no_is_refused(answer):
    class Wrong(Rule):
        def stops(self, state):
            return answer

    with pytest.raises(TypeError, match=r"stops of Wrong\(\) must return True or False"):
        replay(CURVES[0], Wrong())


# The state


def test_the_state_is_what_its_text_says():
    states = []

    class Look(Rule):
        start_from_epoch = 4
        needs_train_values = True

        def stops(self, state):
            states.append(state)
            return False

    values, losses = [0.1, 0.5, None, np.nan, 0.6, 0.4], [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    replay(values, Look(), train_values=losses, initial_epoch=3)
    last = states[-1]
    assert isinstance(last, State)
    assert (last.epoch, last.epochs_run) == (8, 6)
    assert [state.monitored[0] for state in states] == [False, True, False, True, True, True]
    assert [state.improved[0] for state in states] == [False, True, False, False, False, True]
    assert [state.wait[0] for state in states] == [0, 0, 0, 1, 2, 0]
    assert (last.best_epoch[0], last.best_value[0]) == (8, 0.4)
    np.testing.assert_array_equal(last.values[:, 0], [np.nan, 0.5, 0.5, 0.5, 0.6, 0.4])
    np.testing.assert_array_equal(last.train_values[:, 0], losses)
    for state in states:  # those from before have not changed meanwhile
        rows = state.epochs_run
        assert state.values.shape == (rows, 1)
        np.testing.assert_array_equal(state.values, last.values[:rows])


def test_a_replay_takes_memory_and_time_in_proportion_to_its_length(monkeypatch):
    """Its history is copied only as often as its length doubles."""
    real, rows = np.empty, Counter()

    def counted(shape, *rest):
        rows[length] += shape[0] if isinstance(shape, tuple) else 0
        return real(shape, *rest)

    monkeypatch.setattr(following.np, "empty", counted)
    for length in (500, 1000, 2000):
        replay(np.linspace(1, 0, length), SuccessiveIncreases(2, strip=1))
    for length in (1000, 2000):
        assert length <= rows[length] < 6 * length
        assert rows[length] < 2.5 * rows[length // 2]


# AnyOf and Warmup

SIMPLE = [Patience(2), Target(0.3), GeneralizationLoss(20), SuccessiveIncreases(2, strip=1)]


@pytest.mark.slow
def test_any_of_stops_and_reports_as_the_first_of_its_rules_that_stops():
    rng, seen = np.random.default_rng(0), Counter()
    for _ in range(300):
        curve = rng.choice(
            [0.2, 0.4, 0.5, 0.6, 0.7, np.nan], rng.integers(1, 15), p=[0.05] + [0.19] * 5
        )
        rules = [SIMPLE[i] for i in rng.permutation(4)[: rng.integers(1, 5)]]
        reports = [replay(curve, rule) for rule in rules]
        first = min(reports, key=lambda report: report.epochs_run + (report.reason == "epochs"))
        report = replay(curve, AnyOf(*rules))
        assert report == first and isinstance(report.reason, StopReason), (curve, rules)
        [row] = sweep_rules([curve], [AnyOf(*rules)]).to_dict("records")
        assert (row["reason"], row["epochs_run"]) == (str(report.reason), report.epochs_run)
        seen[report.reason] += 1
    assert len(seen) == 4 and min(seen.values()) > 20, seen


def test_any_of_in_a_table_tells_the_reason_of_each_curve():
    curves = [[0.9, 0.2, 0.1], [0.9, 0.95, 0.96], [0.9, 0.8, 0.7], [0.9, 0.5, 0.9]]
    rule = AnyOf(Warmup(Patience(1), 2), Target(0.2), GeneralizationLoss(50))
    assert sweep_rules(curves, [rule])["reason"].tolist() == [
        *("target", "patience", "epochs", "patience")
    ]


def test_warmup_asks_later_and_counts_from_the_start():
    curve = [0.1, 0.9, 0.8, 0.7, 0.6]
    for epochs, stopped in ((0, 1), (1, 1), (2, 2), (3, 3), (5, None)):
        report = replay(curve, Warmup(Patience(1), epochs), initial_epoch=10)
        expected = None if stopped is None else 10 + stopped
        assert (report.stopped_epoch, report.best_epoch) == (expected, 10)
        assert report.reason == ("epochs" if stopped is None else "patience")
    # It is not asked at all: a negative error would be refused.
    assert replay([-0.1, 0.5, 0.4], Warmup(GeneralizationLoss(5), 1)).epochs_run == 3
    losses = [1.0, 0.8, 0.75, 0.75]
    rule = Warmup(ProgressQuotient(0.5, strip=2), 3)
    assert replay([1.0, 0.8, 0.9, 1.0], rule, train_values=losses).stopped_epoch == 3
    with pytest.raises(ValueError, match="train_values must be given for Warmup"):
        replay(curve, rule)


def test_combinations_follow_as_their_rules_do():
    for rule in (
        Patience(3, mode="max", min_delta=0.1, start_from_epoch=2),
        Patience(3, check_finite=False),
        Patience(2, baseline=0.45),
    ):
        rng = np.random.default_rng(1)
        for curve in rng.choice([0.1, 0.3, 0.4, 0.5, 0.8, np.nan, np.inf], (60, 12)):
            expected = repr(replay(curve, rule))
            for same in (AnyOf(rule), Warmup(rule, 0), AnyOf(Warmup(rule, 0), rule)):
                assert repr(replay(curve, same)) == expected, (curve, same)

    class HalfAgain(Rule):  # what is better is its own affair
        def improves(self, values, than):
            return values < 0.5 * than

        def stops(self, state):
            return state.wait >= 2

    curve = [1.0, 0.6, 0.55, 0.1]
    for rule in (HalfAgain(), AnyOf(HalfAgain()), Warmup(HalfAgain(), 1)):
        assert astuple(replay(curve, rule)) == ("criterion", 3, 2, 0, 1.0, 0)
    with pytest.raises(ValueError, match="must agree on improves"):
        AnyOf(HalfAgain(), Target(0.1))

    class Relative(HalfAgain):
        def __init__(self, factor, **others):
            self.__dict__ |= {"factor": factor, **others}

        def improves(self, values, than):
            return values < self.factor * than

    class Never(Relative):
        def stops(self, state):
            return False

    rule = AnyOf(Relative(np.float64(0.9), width=1), Warmup(Never(0.9), 1))
    assert replay(curve, rule) == replay(curve, Relative(0.9))
    with pytest.raises(ValueError, match=r"agree on improves.*factor=0.9\).*factor=0.01\)"):
        AnyOf(Relative(0.9), Relative(0.01))


def test_combinations_are_values_that_show_themselves():
    rule = AnyOf(Warmup(Patience(5), 3), Target(np.float64(0.1)))
    text = "AnyOf(Warmup(rule=Patience(patience=5), epochs=3), Target(value=0.1))"
    assert repr(rule) == text and eval(text) == rule
    assert AnyOf(Patience(1)) != AnyOf(Patience(2)) and len({rule, eval(text)}) == 1
    assert replace(Warmup(Patience(5), 3), epochs=4) == Warmup(Patience(5), 4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: AnyOf(), ValueError, "AnyOf must have at least one rule; got none"),
        (lambda: AnyOf(Patience(1), 3), TypeError, r"rule must be a rule.*got 3 \(int\)"),
        (lambda: AnyOf([Patience(1)]), TypeError, "rule must be a rule"),
        (lambda: Warmup(Patience, 3), TypeError, "rule must be a rule"),
        (lambda: Warmup(Patience(1), -1), ValueError, "epochs must be.*at least 0; got -1"),
        (lambda: Warmup(Patience(1), 1.0), TypeError, "epochs must be an integer.*got 1.0"),
        (
            lambda: AnyOf(Patience(1), Target(0.9, mode="max")),
            ValueError,
            r"agree on mode.*'min' of Patience\(patience=1\) and 'max' of Target\(value=0.9",
        ),
        (
            lambda: AnyOf(Target(0.1), Warmup(Patience(1, min_delta=0.1), 2)),
            ValueError,
            r"agree on min_delta.*got 0.0 of Target\(value=0.1\) and 0.1 of Warmup",
        ),
        (lambda: AnyOf(Target(1), Patience(1, baseline=1)), ValueError, "agree on baseline"),
        (lambda: AnyOf(Target(1), Patience(1, check_finite=False)), ValueError, "check_finite"),
        (lambda: AnyOf(Target(1), Patience(1, start_from_epoch=2)), ValueError, "start_from_e"),
        (lambda: Patience(), TypeError, "missing 1 required positional argument: 'patience'"),
    ],
)
def test_bad_combinations_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


# Everywhere


@dataclass(frozen=True, repr=False)
class Epochs(Rule):
    """Stop after a number of epochs."""

    number: int

    def stops(self, state):
        return state.epochs_run >= self.number


ANY = AnyOf(Warmup(Patience(30), 2), Epochs(4), Plateau(1e-9))


def linear():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(10))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"], jit_compile=False)
    return model


@pytest.mark.slow
def test_new_rules_stop_train_and_fit_and_go_on_from_a_file(tmp_path):
    data = load_data(n_train=300)
    run = train(linear(), data, epochs=9, rule=ANY)
    assert (run.report.reason, run.report.epochs_run) == ("criterion", 4)
    assert isinstance(run.report.reason, StopReason)
    assert replay(run.epochs["val_loss"], ANY) == run.report

    def fit(folder, epochs):
        stopping = EarlyStopping(rule=ANY, state_path=folder)
        fit_interruptible(
            linear(),
            data.x_train,
            data.y_train,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            validation_data=(data.x_validation, data.y_validation),
            callbacks=[stopping],
        )
        return stopping.report

    whole = fit(tmp_path / "whole", 9)
    assert (whole.reason, whole.epochs_run) == ("criterion", 4)
    assert fit(tmp_path / "parts", 2).reason == "epochs"
    assert fit(tmp_path / "parts", 9) == whole
    other = EarlyStopping(rule=AnyOf(Epochs(5)), state_path=tmp_path / "parts")
    with pytest.raises(ValueError, match=r"same rule.*Epochs\(number=4\).*Epochs\(number=5\)"):
        fit_interruptible(linear(), data.x_train, data.y_train, callbacks=[other], verbose=0)


def test_rules_and_replay_work_where_keras_and_pandas_are_not_installed():
    code = """
import importlib.metadata, sys

def version(name, real=importlib.metadata.version):
    if name == "keras":
        raise importlib.metadata.PackageNotFoundError(name)
    return real(name)

importlib.metadata.version = version
for name in ("keras", "tensorflow", "pandas", "scipy", "matplotlib", "filelock"):
    sys.modules[name] = None  # an import of it fails
import epochlab as e
print(e.replay([0.5, 0.6, 0.6], e.AnyOf(e.Warmup(e.Patience(1, baseline=0.1), 2))))
"""
    assert printed(code).splitlines() == [
        "Patience ran out after epoch 3; the best was epoch 1, with 0.5, and was restored."
    ]


# Bad input


@pytest.mark.parametrize("values", [{0.5, 0.4}, frozenset([0.5]), {0: 0.5}.keys(), np.array(0.5)])
def test_what_has_no_order_or_no_length_is_no_curve(values):
    for name, arguments in (("values", {}), ("train_values", {"train_values": values})):
        curve = [0.5] if arguments else values
        with pytest.raises(TypeError, match=f"{name} must be a list of numbers"):
            replay(curve, Patience(1), **arguments)
    with pytest.raises(TypeError, match="curves.* must be a (table or a )?list"):
        sweep_rules(values, [Patience(1)])
    with pytest.raises(TypeError, match=r"curves\[0\] must be a list of numbers"):
        sweep_rules([values], [Patience(1)])


def test_a_number_too_large_for_a_float_is_named():
    with pytest.raises(ValueError, match=r"values\[1\] must be a finite number"):
        replay([0.5, 10**400], Patience(1))
    assert replay([1, 0, 2], Patience(1)).best_value == 0.0


TABLE = pd.DataFrame({"seed": [0, 0, 1], "epoch": [0, 1, 0], "val_loss": [0.5, 0.4, 0.3]})


def test_epochs_of_any_kind_of_integer_are_taken_and_others_named():
    expected = sweep_rules(TABLE, [Patience(1)])
    for kind in (object, "Int64", "uint8"):
        table = TABLE.astype({"epoch": kind})
        pd.testing.assert_frame_equal(sweep_rules(table, [Patience(1)]), expected)
    for wrong, error in (("1", TypeError), (None, TypeError), (0.5, TypeError), (-1, ValueError)):
        table = TABLE.assign(epoch=pd.Series([0, wrong, 0], dtype=object))
        with pytest.raises(error, match=f"epoch of curves must be an integer.*got {wrong!r}"):
            sweep_rules(table, [Patience(1)])
    for monitor in (3, None, ["val_loss"]):
        with pytest.raises(TypeError, match="monitor must be the name of a column"):
            sweep_rules(TABLE, [Patience(1)], monitor=monitor)
