"""From a table of runs to a difference, a best epoch, a last epoch, so that nobody pivots.

A table has a row per run: first the run's keys, then `seed`, then what was measured. `sweep`
returns such tables; one made by hand serves as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, overload

import numpy as np
import pandas as pd

from ._arguments import choice, instance
from .evidence import Interval, paired_difference


@overload
def difference(runs: pd.DataFrame, column: str, /, **pair: Any) -> Interval: ...
@overload
def difference(
    first: pd.DataFrame, second: pd.DataFrame, column: str, /, **fixed: Any
) -> Interval: ...
def difference(*tables_and_column: Any, **keys: Any) -> Interval:
    """Return how far two kinds of runs are apart in `column`, paired by seed: first minus second.

    `difference(runs, column, key=(a, b))` takes the runs where `key` is `a` and those where it is
    `b`. `difference(first, second, column)` takes two tables, such as those of `best_epochs` and
    `last_epochs`. A key with one value, such as `learning_rate=0.1`, keeps the runs that have it;
    numbers are equal to seven digits, and None is a value. One run per seed must be left.

    Accuracies, fractions in a column whose name ends in "accuracy" or "acc", are compared in
    points of a hundred; everything else in its own unit.

    Raises `ValueError` for a key, value or column that is not there, a key of which several
    values are left, a seed that only one of the two has or that one has twice, a value that is
    not finite, an accuracy above 1, and as `paired_difference` does.

    >>> rows = [(4, 0, 0.91), (4, 1, 0.93), (512, 0, 0.85), (512, 1, 0.86)]
    >>> runs = pd.DataFrame(rows, columns=["batch_size", "seed", "test_accuracy"])
    >>> print(difference(runs, "test_accuracy", batch_size=(4, 512)))
    +6.5 [0.147, 12.9] points
    """
    if len(tables_and_column) not in (2, 3):
        got = f"none by keyword; got {len(tables_and_column)} of these"
        raise TypeError(f"difference takes a table or two, then a column, {got}.")
    *tables, column = tables_and_column
    for table in tables:
        check_runs(table, column)
        for key in keys:
            if key not in keys_of(table):
                raise ValueError(f"{key!r} is no key of the runs; these are {keys_of(table)}.")
    if len(tables) == 2:
        names = ["the first table", "the second table"]
        sides = [_select(table, keys) for table in tables]
    else:
        pairs = [key for key, value in keys.items() if _is_pair(value, tables[0][key])]
        if len(pairs) != 1:
            raise ValueError(
                "difference must get one key with two values, such as batch_size=(4, 512); got "
                f"{' and '.join(pairs) or _words(keys) or 'none'}."
            )
        fixed = {key: value for key, value in keys.items() if key not in pairs}
        names = [f"{pairs[0]}={value!r}" for value in keys[pairs[0]]]
        sides = [_select(tables[0], fixed | {pairs[0]: value}) for value in keys[pairs[0]]]
    for rows in sides:
        check_left(rows, keys)
    first, second = (by_seed(rows, column, name) for rows, name in zip(sides, names, strict=True))
    for seed in sorted(first.index.symmetric_difference(second.index)):
        has, lacks = names if seed in first.index else names[::-1]
        raise ValueError(f"seed {seed} has no partner: {has} has it, {lacks} has not.")
    unit = "points" if is_accuracy(column) else ""
    return replace(paired_difference(first, second[first.index]), unit=unit)


def best_epochs(
    curves: pd.DataFrame, monitor: str = "val_loss", *, mode: str | None = None
) -> pd.DataFrame:
    """Return the row of each run's best epoch, from the table of `sweep(…, curves=True)`.

    Best is the highest accuracy, the lowest loss; for a `monitor` that is neither, `mode` must
    say "max" or "min". Among equals it is the earliest epoch, and never one that is not finite.
    Raises `ValueError` for a run without a finite value.

    >>> rows = [(0, 0, 0.9), (0, 1, 0.4), (0, 2, 0.6), (1, 0, 0.8), (1, 1, 0.5), (1, 2, 0.5)]
    >>> curves = pd.DataFrame(rows, columns=["seed", "epoch", "val_loss"])
    >>> best_epochs(curves)["epoch"].tolist()
    [1, 1]
    """
    check_runs(curves, monitor)
    mode = known_mode(monitor) if mode is None else mode
    choice(f"mode for monitor={monitor!r}", mode, "min", "max")
    best = []
    for name, run in _runs(curves):
        values = run[monitor].where(np.isfinite(run[monitor])).dropna()
        if values.empty:
            raise ValueError(f"{monitor} must be finite in some epoch; it never is in {name}.")
        best.append(values.idxmin() if mode == "min" else values.idxmax())
    return curves.reset_index(drop=True).loc[best].reset_index(drop=True)


def last_epochs(curves: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each run's last epoch, from the table of `sweep(…, curves=True)`.

    >>> curves = pd.DataFrame({"seed": [0, 0, 1], "epoch": [0, 1, 0], "loss": [0.9, 0.4, 0.8]})
    >>> last_epochs(curves)["loss"].tolist()
    [0.4, 0.8]
    """
    last = [run.index[-1] for _, run in _runs(curves)]
    return curves.reset_index(drop=True).loc[last].reset_index(drop=True)


def check_runs(runs: pd.DataFrame, *columns: str) -> None:
    """Raise unless `runs` is a table with seeds and with numbers in `columns`."""
    instance("runs", runs, pd.DataFrame, "a table of runs, such as sweep returns")
    for column in ("seed", *columns):
        instance("column", column, str, "the name of a column")
        if column not in runs or not runs.columns.is_unique:
            raise ValueError(f"runs must have one column {column!r}; its columns are {list(runs)}.")
        kind = runs[column].dtype
        if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
            raise ValueError(f"the column {column!r} must hold numbers; got {kind}.")


def keys_of(runs: pd.DataFrame) -> list[str]:
    """Return what distinguishes the rows of one seed: what stands before it, and the epoch."""
    *keys, _ = run_columns(runs)
    several = "epoch" in runs and any(len(rows) > 1 for rows in _positions(runs).values())
    return keys + ["epoch"] * (several and "epoch" not in keys)


def run_columns(runs: pd.DataFrame) -> list[str]:
    """Return the columns that tell the runs apart: their keys, and the seed."""
    return runs.columns[: list(runs).index("seed") + 1].tolist()


def is_accuracy(column: str) -> bool:
    """Whether the column holds an accuracy, a fraction that is shown in percent."""
    return column.endswith(("accuracy", "acc"))


def known_mode(column: str) -> str | None:
    """Return "max" for an accuracy, "min" for a loss, `None` for a column that is neither."""
    return "max" if is_accuracy(column) else "min" if column.endswith("loss") else None


def measured(rows: pd.DataFrame, column: str) -> pd.Series:
    """Return the column as it is shown: accuracies in percent, the rest in its own unit."""
    values = rows[column].astype(float)
    if not is_accuracy(column):
        return values
    if (values > 1 + 1e-6).any():  # float32 rounds
        raise ValueError(f"{column} must be a fraction from 0 to 1; got {values.max():g}.")
    return 100 * values


def plain(value: Any) -> Hashable:
    """Return what equals every form of a value that means the same: 0.1 from any computation.

    >>> plain([0.1 + 0.2, 4.0]) == plain((np.float32(0.3), 4)), plain(float("nan"))
    (True, None)
    """
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    if value is pd.NA:
        return None
    if isinstance(value, float):
        if value != value:  # what pandas makes of None among numbers
            return None
        return value if value.is_integer() else float(f"{value:.7g}")
    return value if isinstance(value, Hashable) else repr(value)


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return each value once, as it first occurs; the None of a column may come as NaN."""
    return list({plain(value): value for value in reversed(list(values))}.values())[::-1]


def check_left(rows: pd.DataFrame, chosen: Iterable[str], advice: str = "add {key}=…") -> None:
    """Raise with the advice if a key that was not chosen has several values left."""
    for key in keys_of(rows):
        count = len(distinct(rows[key]))
        if key not in chosen and count > 1:
            words = key.replace("_", " ") + ("" if key.endswith("s") else "s")
            number = {2: "two", 3: "three", 4: "four", 5: "five"}.get(count, count)
            what = advice.format(key=key)
            if key == "epoch":
                what += ", or take best_epochs or last_epochs first"
            raise ValueError(f"{number} {words} are left ({_listed(rows[key])}): {what}.")


def by_seed(rows: pd.DataFrame, column: str, name: str) -> pd.Series:
    """Return the one value of each seed, as it is shown, of rows that share a name.

    Raises `ValueError` where a seed has several rows or a value that is not finite.
    """
    for seed in rows["seed"][rows["seed"].duplicated()]:
        raise ValueError(f"{name}: seed {seed} has several rows, not one.")
    for seed in rows["seed"][~np.isfinite(rows[column])]:
        raise ValueError(f"{name}: {column} is not finite for seed {seed}.")
    return measured(rows, column).set_axis(rows["seed"]).sort_index()


def _select(rows: pd.DataFrame, choice: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows that have these values of these keys; raise where there are none."""
    where: dict[str, Any] = {}
    for key, value in choice.items():
        same = [plain(other) == plain(value) for other in rows[key]]
        if not any(same):
            run = f"run with {_words(where)}" if where else "run"
            raise ValueError(f"no {run} has {key}={value!r}, only {_listed(rows[key])}.")
        rows, where[key] = rows[same], value
    return rows


def _is_pair(value: Any, values: pd.Series) -> bool:
    """Whether it is two different values, not one that is a tuple itself."""
    itself = plain(value) in map(plain, values)
    return isinstance(value, tuple) and len({*map(plain, value)}) == len(value) == 2 and not itself


def _words(choice: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in choice.items())


def _listed(values: Iterable[Any]) -> str:
    """Name up to ten different values."""
    found = [repr(plain(value)) for value in distinct(values)]
    return ", ".join(found[:10] + ["…"] * (len(found) > 10))


def _positions(runs: pd.DataFrame) -> dict[tuple[Hashable, ...], list[int]]:
    """Return which rows each run has: those with the same keys and seed."""
    positions: dict[tuple[Hashable, ...], list[int]] = {}
    columns = (map(plain, runs[name]) for name in run_columns(runs))
    for i, run in enumerate(zip(*columns, strict=True)):
        positions.setdefault(run, []).append(i)
    return positions


def _runs(curves: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield each run's name and rows, its epochs in order, rows named by position."""
    check_runs(curves, "epoch")
    rows = curves.reset_index(drop=True)
    for run, positions in _positions(curves).items():
        name = _words(dict(zip(run_columns(curves), run, strict=True)))
        yield name, rows.loc[positions].sort_values("epoch", kind="stable")
