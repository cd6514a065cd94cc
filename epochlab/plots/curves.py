"""Curves over epochs, updates or a key: the mean over seeds with its band."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .._arguments import instance
from .._statistics import t_quantile
from ..results import check_runs, keys_of, measured
from .grouping import axis_label, check_seeds, number, split
from .labels import EndLabel, axes

if TYPE_CHECKING:  # drawing must not load TensorFlow
    from ..training.run import Run

_MOST_LINES = 7  # each with a colour of its own
_COUNTED_FROM_0 = {"epoch": "epoch", "step": "updates"}


def plot_curves(
    curves: pd.DataFrame,
    column: str,
    by: str | None = None,
    *,
    x: str = "epoch",
    names: Mapping[Any, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the mean of `column` over seeds with its 95 % band, a line for each value of key `by`.

    `curves` is the table of `sweep(…, curves=True)`, or another with the same columns. `x` is
    "epoch" or "step", both 0-based there and counted from 1 in the figure, or a key such as
    "batch_size"; its axis is logarithmic if the key grows by factors or the lines end far apart.
    `names` maps values of `by` to the names written at the lines' ends, by default key and value:
    "batch size 4". Without `by` there is one line, named after its column, and a second call with
    the same `ax` adds another. Accuracies are shown in percent. A line has the points where all
    its seeds have a finite value; one that ends in NaN says so.

    The axes end where the data ends; the band of a few seeds may go beyond.

    Raises `ValueError` for a column or key that is not there, another key with several values
    left, fewer than two seeds, more than seven lines, and a name for a value that is not there.

    >>> from epochlab import describe
    >>> rows = [(4, 0, 0, 0.5), (4, 0, 1, 0.9), (4, 1, 0, 0.6), (4, 1, 1, 0.9)]
    >>> curves = pd.DataFrame(rows, columns=["batch_size", "seed", "epoch", "val_accuracy"])
    >>> describe(plot_curves(curves, "val_accuracy", by="batch_size")).split(". ")[1]
    'batch size 4: from 55 at 1 to 90 at 2.'
    >>> plt.close()
    """
    check_runs(curves, column, x)
    from_0 = x in _COUNTED_FROM_0
    if not from_0 and x not in keys_of(curves):
        raise ValueError(f'x must be "epoch", "step" or a key of the runs; got {x!r}.')
    measure = column if by is not None else column.removeprefix("val_").removeprefix("test_")
    lines = {}
    for name, rows in split(curves, by, names, column, x, *["epoch"] * from_0):
        if rows.duplicated([x, "seed"]).any():
            raise ValueError(f"{name}: each seed must have one row per {x}; one has several.")
        lines[name] = rows.assign(x=rows[x] + from_0, y=measured(rows, column))
    if len(lines) > _MOST_LINES:
        raise ValueError(
            f"{by} must have at most {_MOST_LINES} values to draw; got {len(lines)}: keep the rows "
            "of some."
        )
    ax = axes(ax)
    for name, points in lines.items():
        _draw_line(ax, points, name)
    counts = [points["seed"].nunique() for points in lines.values()]
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)})))
    ax.set(
        xlabel=_COUNTED_FROM_0.get(x, axis_label(x)),
        ylabel=f"{axis_label(measure)}\nmean of {seeds} seeds, 95 % band",
    )
    ends = [points["x"].max() for points in lines.values()]
    if from_0 and max(ends) > 8 * min(ends):
        ax.set_xscale("log")
        ax.xaxis.set_major_formatter("{x:,.0f}")
        ax.minorticks_off()
    elif from_0:
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10]))
    else:
        _by_factors(ax, np.unique(np.concatenate([points["x"] for points in lines.values()])))
    ax.margins(x=0)
    return ax


def seed_band(ax: Axes, x: Sequence[float] | np.ndarray, values: np.ndarray, *, label: str) -> Axes:
    """Draw the mean over seeds with its 95 % interval as a band.

    `values` has shape `(seeds, len(x))`. Raises `ValueError` for fewer than two seeds: one seed
    shows nothing about a difference.

    >>> from epochlab import describe
    >>> _, ax = plt.subplots()
    >>> describe(seed_band(ax, [1, 2], [[0.9, 0.4], [0.7, 0.2]], label="loss"))
    'loss: from 0.8 at 1 to 0.3 at 2.'
    >>> plt.close()
    """
    instance("ax", ax, Axes, "Axes of matplotlib")
    try:
        values = np.asarray(values, float)
    except (TypeError, ValueError):  # rows of different lengths, or no numbers
        wanted = f"values must be numbers of shape (≥ 2 seeds, {len(x)})"
        raise ValueError(f"{wanted}; got {values!r}.") from None
    if values.ndim != 2 or len(values) < 2 or values.shape[1] != len(x):
        raise ValueError(f"values must have shape (≥ 2 seeds, {len(x)}); got {values.shape}.")
    if not np.isfinite(values).all():
        raise ValueError(f"values must be finite numbers; got {values[~np.isfinite(values)][0]}.")
    _draw_band(ax, x, values, label)
    return ax


def plot_sweep(
    table: pd.DataFrame, x: str, y: str, *, label: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw column `y` of a sweep's table against its grid key `x`, with a band over seeds.

    `label` names the line, by default `y`. Draws on a new figure without `ax`; an `x` that grows
    by factors gets a logarithmic axis. Raises `ValueError` for a column that is not there, and
    where a value of `x` has not exactly one row per seed (pick the others' values first).

    >>> from epochlab import describe
    >>> rows = [(8, 0, 91.0), (8, 1, 93.0), (500, 0, 85.0), (500, 1, 86.0)]
    >>> table = pd.DataFrame(rows, columns=["batch_size", "seed", "val_accuracy"])
    >>> describe(plot_sweep(table, "batch_size", "val_accuracy"))
    'val_accuracy: from 92 at 8 to 85.5 at 500.'
    >>> plt.close()
    """
    instance("table", table, pd.DataFrame, "the DataFrame that sweep returns")
    for name, column in (("x", x), ("y", y), ("table", "seed")):
        if column not in table:
            raise ValueError(f"{name} must be a column of {list(table)}; got {column!r}.")
        if not pd.api.types.is_numeric_dtype(table[column].infer_objects()):
            raise ValueError(f"{name} must be a column of numbers; got {column!r}, which is none.")
    if table.duplicated([x, "seed"]).any():
        raise ValueError(f"table must have one row per {x} and seed; pick one of the rest first.")
    by_x = table.pivot(index="seed", columns=x, values=y)
    ax = axes(ax)
    _by_factors(ax, by_x.columns.to_numpy())
    return seed_band(ax, by_x.columns.to_numpy(), by_x.to_numpy(), label=label or y)


def three_clocks(runs: Mapping[str, Sequence[Run]], *, y: str = "val_accuracy") -> np.ndarray:
    """Draw the same runs against epochs, updates and seconds; return the three axes.

    `runs` maps a name to its runs, one per seed, as `train` returns them, validated at the same
    steps. `y` is a column of `Run.epochs`. Seconds are those of training alone, the mean over
    seeds. Raises `ValueError` for one seed, other steps or a missing column.

    >>> import keras
    >>> from epochlab import load_data, train
    >>> print("Loaded", end=" "); data = load_data(n_train=100); print(".")  # doctest: +ELLIPSIS
    Loaded ....
    >>> model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    >>> model.compile("sgd", "sparse_categorical_crossentropy")
    >>> runs = [train(model, data, epochs=2, seed=seed) for seed in range(2)]
    >>> [ax.get_xlabel() for ax in three_clocks({"batch size 32": runs}, y="val_loss")]
    ['epochs', 'updates', 'seconds of training']
    >>> plt.close()
    """
    instance("runs", runs, Mapping, "a mapping from names to lists of runs")
    for name, of_name in runs.items():
        check_seeds(f"runs[{name!r}]", len(of_name))
    figure, panels = plt.subplots(1, 3, sharey=True, figsize=(8, 3))
    for name, of_name in runs.items():
        tables = [run.epochs for run in of_name]
        steps = 1 + tables[0]["step"].to_numpy()
        if any(y not in table or list(table["step"]) != list(steps - 1) for table in tables):
            plt.close(figure)
            raise ValueError(f"runs[{name!r}] must all have {y!r}, validated at the same steps.")
        values = np.array([table[y] for table in tables])
        second = np.mean([run.seconds / len(run.steps) for run in of_name])
        clocks = (steps / of_name[0].plan.steps_per_epoch, steps, steps * second)
        for ax, clock in zip(panels, clocks, strict=True):
            seed_band(ax, clock, values, label=name)
    for ax, unit in zip(panels, ("epochs", "updates", "seconds of training"), strict=True):
        # Logarithmic, so that a run that is so many times faster is the same curve further left.
        ax.set(xlabel=unit, xscale="log")
    panels[0].set_ylabel(y)
    panels[0].legend()
    return panels


def _draw_band(
    ax: Axes, x: Sequence[float] | np.ndarray, values: np.ndarray, label: str
) -> np.ndarray:
    """Draw mean and band where all seeds have a finite value; return mean, low and high."""
    finite = np.where(np.isfinite(values), values, np.nan)
    mean, n = finite.mean(axis=0), len(values)
    half_width = t_quantile(n - 1, 0.025) * finite.std(axis=0, ddof=1) / math.sqrt(n)
    bands = np.array([mean, mean - half_width, mean + half_width])
    (line,) = ax.plot(x, bands[0], label=label)
    ax.fill_between(x, *bands[1:], color=line.get_color(), alpha=0.2, linewidth=0)
    return bands


def _draw_line(ax: Axes, points: pd.DataFrame, name: str) -> None:
    limits = ax.dataLim.frozen()
    by_seed = points.pivot(index="seed", columns="x", values="y")
    x, values = by_seed.columns.to_numpy(), by_seed.to_numpy()
    bands = _draw_band(ax, x, values, name)
    # The band of two seeds is many times their range: beside it, all else would be one flat line.
    ax.dataLim.set(limits)
    for edge in np.clip(bands, values.min(axis=0), values.max(axis=0)):
        ax.update_datalim(np.column_stack([x, edge]))
    drawn = np.flatnonzero(np.isfinite(bands[0]))
    line = ax.get_lines()[-1]
    line.set_marker("o" if len(drawn) == 1 else "")
    end = (x[drawn[-1]], bands[0, drawn[-1]]) if len(drawn) else (np.nan, np.nan)
    if not (points["x"][~np.isfinite(points["y"])] <= end[0]).all():
        name += ", then NaN" if len(drawn) else ": NaN"
    EndLabel(ax, name, end, line.get_color())


def _by_factors(ax: Axes, positions: np.ndarray) -> None:
    """Make the x axis logarithmic if the positions grow by factors."""
    if len(positions) > 2 and positions[0] > 0 and positions[-1] / positions[0] > 8:
        ax.set_xscale("log", base=2)
        ax.set_xticks(positions, map(number, positions))
        ax.minorticks_off()
