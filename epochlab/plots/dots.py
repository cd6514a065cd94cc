"""Dots: a row for each kind of run, a dot for each seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from .._arguments import instance
from .._statistics import sample
from ..results import by_seed, check_runs, is_accuracy
from .grouping import axis_label, check_seeds, split
from .labels import axes, dark, keep_inside, wrap


def plot_dots(
    runs: pd.DataFrame,
    column: str,
    by: str,
    *,
    names: Mapping[Any, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw a row of dots for each value of key `by`: a dot per seed, beside them their mean.

    `runs` is the table of `sweep`, or another with the same columns. `names` maps values of `by`
    to the names of their rows, by default key and value: "batch size 4". Accuracies are shown in
    percent.

    Raises `ValueError` for a column or key that is not there, another key with several values
    left, a value that is not finite, fewer than two seeds, and a name for a value that is not
    there.

    >>> import matplotlib.pyplot as plt
    >>> rows = [(4, 0, 0.91), (4, 1, 0.93), (512, 0, 0.85), (512, 1, 0.86)]
    >>> runs = pd.DataFrame(rows, columns=["batch_size", "seed", "test_accuracy"])
    >>> ax = plot_dots(runs, "test_accuracy", by="batch_size")
    >>> ax.get_xlabel(), [name.get_text() for name in ax.get_yticklabels()]
    ('test accuracy in %, one dot per seed', ['batch size 4', 'batch size 512'])
    >>> plt.close()
    """
    check_runs(runs, column)
    instance("by", by, str, "a key of the runs")
    groups = {name: by_seed(rows, column, name) for name, rows in split(runs, by, names, column)}
    ax = _draw_dots(groups, ax, " %" * is_accuracy(column))
    ax.set_xlabel(f"{axis_label(column)}, one dot per seed")
    return ax


def seed_dots(groups: Mapping[Any, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Draw one row of dots per group, one dot per seed, with their mean as a number beside them.

    `groups` maps each row's name to its values, in the unit of the x axis. Without `ax` it draws
    a new figure. Raises `ValueError` for fewer than two seeds: one shows no spread.

    >>> import matplotlib.pyplot as plt
    >>> from epochlab import describe
    >>> describe(seed_dots({"batch size 8": [91.0, 93.0], "batch size 500": [85.0, 86.0]}))
    'batch size 8: 2 dots, mean 92. batch size 500: 2 dots, mean 85.5.'
    >>> plt.close()
    """
    instance("groups", groups, Mapping, "a mapping from names to values")
    for name, values in groups.items():
        check_seeds(f"groups[{name!r}]", len(sample(f"groups[{name!r}]", values)))
    return _draw_dots(groups, ax)


def _draw_dots(groups: Mapping[Any, Any], ax: Axes | None, unit: str = "") -> Axes:
    ax = axes(ax, figsize=(8, 1 + 0.5 * len(groups)))
    for row, (name, values) in enumerate(groups.items()):
        mean = np.mean(values)
        at = [row] * len(values)
        dots = ax.scatter(values, at, s=70, alpha=0.5, linewidth=0, label=str(name))
        color = dark(np.asarray(dots.get_facecolor())[0, :3])
        ax.plot(mean, row, "|", color=color, markersize=22, markeredgewidth=2)
        ax.annotate(
            f"mean {mean:,.0f}{unit}" if abs(mean) >= 1000 else f"mean {mean:.3g}{unit}",
            (1, row),
            xycoords=ax.get_yaxis_transform(),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=color,
        )
    keep_inside(ax)
    ax.set_yticks(range(len(groups)), map(wrap, map(str, groups)))
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    return ax
