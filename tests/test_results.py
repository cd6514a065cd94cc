"""Differences, best and last epochs: as a pivot made by hand has them, whatever the table."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochlab import best_epochs, difference, last_epochs, paired_difference


def table(*, keys, seeds=4, seed=0, **measures):
    """A table as `sweep` returns it: each combination of `keys` and each seed, random measures."""
    rng = np.random.default_rng(seed)
    rows = [{}]
    for key, values in keys.items():
        rows = [row | {key: value} for row in rows for value in values]
    rows = [row | {"seed": seed} for row in rows for seed in range(seeds)]
    for name, scale in measures.items():
        rows = [row | {name: scale * rng.random()} for row in rows]
    return pd.DataFrame(rows)


@pytest.fixture
def runs():
    return table(
        keys={"batch_size": [4, 64, 512], "learning_rate": [0.01, 0.1]}, test_accuracy=1, loss=1
    )


def by_hand(runs, column, first, second):
    """Pivot as a notebook would; rows are picked by comparing the keys that `first` names."""
    sides = []
    for side in (first, second):
        rows = runs[np.all([runs[key] == value for key, value in side.items()], axis=0)]
        sides.append(rows.sort_values("seed")[column].to_numpy())
    return paired_difference(*sides)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), seeds=st.integers(2, 12), order=st.randoms())
def test_difference_is_that_of_a_pivot_in_any_order_of_the_rows(seed, seeds, order):
    keys = {"batch_size": [4, 64, 512], "learning_rate": [0.01, 0.1]}
    runs = table(keys=keys, seeds=seeds, seed=seed, test_accuracy=1, loss=3)
    positions = list(range(len(runs)))
    order.shuffle(positions)
    shuffled = runs.iloc[positions]
    for column, scale in (("test_accuracy", 100), ("loss", 1)):
        sides = [{"batch_size": size, "learning_rate": 0.1} for size in (512, 4)]
        expected = by_hand(runs.assign(**{column: scale * runs[column]}), column, *sides)
        for of in (runs, shuffled):
            found = difference(of, column, batch_size=(512, 4), learning_rate=0.1)
            assert (found.mean, found.low, found.high, found.n) == pytest.approx(
                (expected.mean, expected.low, expected.high, seeds)
            )


def test_sign_is_that_of_the_first_value(runs):
    forth = difference(runs, "loss", batch_size=(4, 64), learning_rate=0.1)
    back = difference(runs, "loss", batch_size=(64, 4), learning_rate=0.1)
    assert forth.mean == pytest.approx(-back.mean) and forth.mean != 0


@pytest.mark.parametrize(
    ("column", "scale"),
    [("acc", 100), ("test_accuracy", 100), ("val_binary_accuracy", 100), ("accuracy_gap", 1)],
)
def test_accuracies_are_in_points(column, scale):
    rows = [("a", 0, 0.5), ("a", 1, 0.75), ("b", 0, 0.25), ("b", 1, 0.25)]
    runs = pd.DataFrame(rows, columns=["kind", "seed", column])
    found = difference(runs, column, kind=("a", "b"))
    assert found.mean == pytest.approx(0.375 * scale)
    assert found.unit == ("points" if scale == 100 else "")


def test_keys_of_any_kind_are_told_apart_and_found():
    values = [None, 0.1, [64, 32], [64], "adam", (3, 3), True]
    runs = table(keys={"key": values}, loss=1)
    for value in values:
        other = "adam" if value != "adam" else 0.1
        assert difference(runs, "loss", key=(value, other)).n == 4
    assert difference(runs, "loss", key=([64, 32], (64,))).n == 4  # as a record in JSON has them
    with pytest.raises(ValueError, match="one key with two values"):
        difference(runs, "loss", key=(3, 3))  # itself a value


def test_numbers_are_equal_however_they_were_computed():
    runs = table(keys={"rate": np.linspace(0, 1, 11), "noise": [None, 0.4]}, loss=1)
    assert runs["noise"].isna().any() and 0.3 not in list(runs["rate"])
    assert difference(runs, "loss", rate=(0.3, 0.7), noise=None).n == 4
    assert difference(runs.astype("float32"), "loss", rate=(0.1, 0.7), noise=0.4).n == 4
    assert difference(runs, "loss", rate=(0.1, 0.7), noise=float("nan")).n == 4
    assert difference(runs, "loss", rate=(0.1, 0.7), noise=pd.NA).n == 4
    counts = table(keys={"n": [10_000_001, 10_000_002, None]}, loss=1)  # floats in the table
    assert difference(counts, "loss", n=(10_000_001, 10_000_002)).n == 4


def test_two_tables_are_compared_row_by_row():
    curves = table(keys={"label_noise": [0.0, 0.4]}, loss=0).merge(
        pd.DataFrame({"epoch": [0, 1]}), "cross"
    )
    rng = np.random.default_rng(0)
    curves["val_accuracy"] = rng.random(len(curves))
    best, last = best_epochs(curves, "val_accuracy"), last_epochs(curves)
    found = difference(best, last, "val_accuracy", label_noise=0.4)
    pivot = curves[curves["label_noise"] == 0.4].pivot(
        index="seed", columns="epoch", values="val_accuracy"
    )
    assert found.mean == pytest.approx(100 * (pivot.max(axis=1) - pivot[1]).mean())
    assert difference(last, best, "val_accuracy", label_noise=0.4).mean == -found.mean
    with pytest.raises(ValueError, match="two label noises are left .*: add label_noise=…"):
        difference(best, last, "val_accuracy")
    with pytest.raises(ValueError, match="seed 3 has no partner: the first table has it, the sec"):
        difference(best, last[last["seed"] < 3], "val_accuracy", label_noise=0.4)


def test_a_rate_of_its_own_for_each_size_needs_no_choice(runs):
    best = pd.concat(
        [
            runs[(runs["batch_size"] == 4) & (runs["learning_rate"] == 0.01)],
            runs[(runs["batch_size"] == 512) & (runs["learning_rate"] == 0.1)],
        ]
    )
    assert difference(best, "loss", batch_size=(4, 512)).n == 4


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"batch_size": (4, 512)},
            r"two learning rates are left \(0.01, 0.1\): add learning_rate=…",
        ),
        ({"batch_size": (4, 8), "learning_rate": 0.1}, "batch_size=8, only 4, 64, 512"),
        ({"batch_size": (4, 8)}, "no run has batch_size=8, only 4, 64, 512"),
        ({"batch_size": (4, 64), "learning_rate": 1}, "has learning_rate=1, only 0.01, 0.1"),
        ({"batch": (4, 64)}, r"'batch' is no key of the runs; these are \['batch_size', 'lea"),
        ({"seed": (0, 1)}, "'seed' is no key of the runs"),
        ({"batch_size": 4}, r"one key with two values, such as .*; got batch_size=4"),
        ({}, "one key with two values, such as .*; got none"),
        ({"batch_size": (4, 4.0)}, r"one key with two values.*; got batch_size=\(4, 4.0\)"),
        ({"batch_size": (4, 64), "learning_rate": (0.01, 0.1)}, "got batch_size and learning_rate"),
        ({"batch_size": (4, 64, 512)}, r"one key with two values.*; got batch_size=\(4, 64, 512\)"),
    ],
)
def test_what_cannot_be_compared_says_what_to_change(runs, keys, message):
    with pytest.raises(ValueError, match=message):
        difference(runs, "loss", **keys)


def test_a_combination_that_was_not_run_is_named(runs):
    runs = runs[(runs["batch_size"] != 4) | (runs["learning_rate"] == 0.01)]
    message = "no run with learning_rate=0.1 has batch_size=4, only 64, 512"
    with pytest.raises(ValueError, match=message):
        difference(runs, "loss", learning_rate=0.1, batch_size=(4, 512))


def test_faults_of_the_table_are_named(runs):
    choice = {"batch_size": (4, 512), "learning_rate": 0.1}
    with pytest.raises(
        ValueError, match="seed 0 has no partner: batch_size=512 has it, batch_size=4"
    ):
        of_4 = (runs["batch_size"] == 4) & (runs["seed"] == 0)
        difference(runs[~of_4], "loss", **choice)
    with pytest.raises(ValueError, match="batch_size=4: seed 0 has several rows, not one"):
        difference(pd.concat([runs, runs]), "loss", **choice)
    with pytest.raises(ValueError, match="batch_size=4: loss is not finite for seed 0"):
        difference(runs.assign(loss=np.nan), "loss", **choice)
    with pytest.raises(ValueError, match="one column 'val_loss'; its columns are"):
        difference(runs, "val_loss", **choice)
    with pytest.raises(ValueError, match="'reason' must hold numbers; got"):
        difference(runs.assign(reason="epochs"), "reason", **choice)
    with pytest.raises(ValueError, match="test_accuracy must be a fraction from 0 to 1; got 9"):
        percent = runs.assign(test_accuracy=90 + runs["test_accuracy"])
        difference(percent, "test_accuracy", **choice)
    with pytest.raises(ValueError, match="one column 'seed'"):
        difference(runs.drop(columns="seed"), "loss", **choice)
    with pytest.raises(TypeError, match="runs must be a table of runs"):
        difference(runs.to_dict(), "loss", **choice)
    with pytest.raises(TypeError, match="none by keyword; got 1 of these"):
        difference(runs, column="loss", **choice)
    with pytest.raises(TypeError, match="column must be the name of a column"):
        difference(runs, ["loss"], **choice)


@pytest.fixture
def curves():
    """Two runs that are best at epochs 2 and 0; the first ends later."""
    rows = [
        (4, 0, 0, 0.9, 0.2),
        (4, 0, 1, np.nan, 0.5),
        (4, 0, 2, 0.3, 0.7),
        (4, 0, 3, 0.3, 0.7),
        (512, 0, 0, 0.8, 0.8),
        (512, 0, 1, 1.2, np.nan),
    ]
    columns = ["batch_size", "seed", "epoch", "val_loss", "val_accuracy"]
    return pd.DataFrame(rows, columns=columns)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
def test_best_epoch_is_the_earliest_of_the_best_and_never_nan(curves, monitor):
    for table in (curves, curves.iloc[[5, 1, 3, 2, 4, 0]]):
        best = best_epochs(table, monitor).sort_values("batch_size")
        assert best["epoch"].tolist() == [2, 0] and list(best) == list(curves)
        assert best["val_accuracy"].tolist() == [0.7, 0.8]
    assert best_epochs(curves)["batch_size"].tolist() == [4, 512]  # the order of the table
    assert best_epochs(curves).index.tolist() == [0, 1]


def test_last_epoch_is_that_of_each_run(curves):
    assert last_epochs(curves)["epoch"].tolist() == [3, 1]
    assert last_epochs(curves[::-1])["epoch"].tolist() == [1, 3]


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6))
def test_best_epochs_are_those_of_a_pivot(seed):
    epochs = pd.DataFrame({"epoch": range(5)})
    curves = table(keys={"layers": [[64], [64, 32]], "noise": [None, 0.4]}, loss=1).merge(
        epochs, "cross"
    )
    rng = np.random.default_rng(seed)
    curves["val_loss"] = rng.integers(0, 4, len(curves)) / 4
    shuffled = curves.sample(frac=1, random_state=seed, ignore_index=True)
    expected = curves["val_loss"].to_numpy().reshape(-1, 5).argmin(axis=1)
    for of in (curves, shuffled):
        best = best_epochs(of)
        order = [str([row.layers, row.noise, row.seed]) for row in best.itertuples()]
        wanted = [str([r.layers, r.noise, r.seed]) for r in curves[::5].itertuples()]
        found = dict(zip(order, best["epoch"], strict=True))
        assert [found[run] for run in wanted] == expected.tolist()


def test_what_has_no_best_epoch_is_named(curves):
    broken = curves.assign(val_loss=np.where(curves["batch_size"] == 512, np.nan, 0.5))
    with pytest.raises(ValueError, match="val_loss must be finite .* in batch_size=512, seed=0"):
        best_epochs(broken)
    with pytest.raises(ValueError, match="mode for monitor='val_auc' must be \"min\" or"):
        best_epochs(curves.assign(val_auc=0.5), "val_auc")
    assert best_epochs(curves.assign(val_auc=[0, 1, 0, 0, 1, 0]), "val_auc", mode="max")[
        "epoch"
    ].tolist() == [1, 0]
    with pytest.raises(ValueError, match='mode for .* must be "min" or "max"; got \'up\''):
        best_epochs(curves, mode="up")
    with pytest.raises(ValueError, match="one column 'epoch'"):
        last_epochs(curves.drop(columns="epoch"))


def test_curves_are_compared_at_an_epoch_or_say_what_to_take():
    epochs = pd.DataFrame({"epoch": range(3)})
    curves = table(keys={"batch_size": [4, 512]}, loss=1).merge(epochs, "cross")
    assert difference(curves, "loss", batch_size=(4, 512), epoch=2).n == 4
    with pytest.raises(ValueError, match="three epochs are left .* or take best_epochs or last_"):
        difference(curves, "loss", batch_size=(4, 512))
