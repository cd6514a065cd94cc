"""One look for every figure, readable at notebook width and described in words."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._arguments import instance
from .evidence import _numbers, interval
from .steps import TrainingPlan

if TYPE_CHECKING:  # drawing a plan must not load TensorFlow
    from .training import Run

# Okabe and Ito's palette, told apart with every kind of colour vision.
BLUE, ORANGE, GREEN, PINK, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"

_STYLE = {
    "axes.prop_cycle": plt.cycler(color=[BLUE, ORANGE, GREEN, PINK, SKY]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlepad": 10,
    "axes.labelsize": 11,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "figure.figsize": (8, 3.4),
    "figure.dpi": 100,
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "legend.frameon": False,
    "lines.linewidth": 2,
}

_MOST_BATCHES = 60  # drawn side by side; more of them blur into one bar


def set_style() -> None:
    """Give every following figure the collection's look and, in Jupyter, an alt text.

    Changes `matplotlib.rcParams`; in Jupyter it also switches to inline figures, whose alt text
    is `describe` of their axes, stored in the notebook as the metadata `alt` of the picture.

    >>> with plt.rc_context():  # so that the look ends with the example
    ...     set_style()
    ...     plt.rcParams["axes.spines.top"]
    False
    """
    plt.rcParams.update(_STYLE)
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if getattr(shell, "kernel", None) is None:
        return
    shell.run_line_magic("matplotlib", "inline")  # sets the formatter that is wrapped here
    formatter = shell.display_formatter.formatters["image/png"]
    picture = formatter.lookup_by_type(Figure)

    def picture_with_alt_text(figure: Figure) -> tuple[str, dict[str, object]]:
        data = picture(figure)
        data, metadata = data if isinstance(data, tuple) else (data, {})
        return data, metadata | {"alt": _alt_text(figure)}

    formatter.for_type(Figure, picture_with_alt_text)


def describe(ax: Axes) -> str:
    """Return the alt text of `ax`: its own label if it has one, else what it shows, in words.

    The words name the title, the axes with their units, and for each labelled line its ends and a
    turn between them, the same for scattered dots, for a row of dots its mean, for bars their
    heights.

    >>> _, ax = plt.subplots()
    >>> _ = ax.plot([1, 2, 3], [0.9, 0.5, 0.4], label="training")
    >>> _ = ax.set(title="Loss falls", xlabel="epoch", ylabel="loss")
    >>> describe(ax)
    'Loss falls. loss against epoch. training: from 0.9 at 1 to 0.4 at 3.'
    >>> plt.close()
    """
    instance("ax", ax, Axes, "Axes of matplotlib")
    if ax.get_label():
        return str(ax.get_label())
    sentences = [ax.get_title(loc) for loc in ("left", "center", "right")]
    axis_labels = filter(None, (ax.get_ylabel(), ax.get_xlabel()))
    sentences.append(" against ".join(axis_labels))
    for line in ax.get_lines():
        x, y = (np.asarray(values, float) for values in line.get_data())
        if len(x) > 1 and not line.get_label().startswith("_"):
            sentences.append(f"{line.get_label()}: {_course(x, y)}")
    for dots in ax.collections:
        if not dots.get_label().startswith("_"):
            x, y = np.asarray(dots.get_offsets(), float).T
            order = np.argsort(x, kind="stable")
            shown = f"mean {x.mean():.3g}" if np.ptp(y) == 0 else _course(x[order], y[order])
            sentences.append(f"{dots.get_label()}: {len(x)} dots, {shown}")
    for bars in ax.containers:
        heights = ", ".join(f"{bar.get_height():.3g}" for bar in bars.patches[:12])
        if heights and not bars.get_label().startswith("_"):
            sentences.append(f"{bars.get_label()}: {heights}")
    return " ".join(f"{sentence.rstrip('.')}." for sentence in sentences if sentence)


def _course(x: np.ndarray, y: np.ndarray) -> str:
    """Return where a curve begins and ends, and where it is well beyond both."""
    course = f"from {y[0]:.3g} at {x[0]:.4g} to {y[-1]:.3g} at {x[-1]:.4g}"
    for name, sign in (("lowest", -1), ("highest", 1)):
        if np.isfinite(y).all() and max(sign * y) > max(sign * y[[0, -1]]) + 0.05 * np.ptp(y):
            at = np.argmax(sign * y)
            course += f", {name} {y[at]:.3g} at {x[at]:.4g}"
    return course


def seed_band(ax: Axes, x: Sequence[float], values: np.ndarray, *, label: str) -> Axes:
    """Draw the mean over seeds with its 95 % interval as a band.

    `values` has shape `(seeds, len(x))`. Raises `ValueError` for fewer than two seeds: one seed
    shows nothing about a difference.

    >>> _, ax = plt.subplots()
    >>> describe(seed_band(ax, [1, 2], [[0.9, 0.4], [0.7, 0.2]], label="loss"))
    'loss: from 0.8 at 1 to 0.3 at 2.'
    >>> plt.close()
    """
    instance("ax", ax, Axes, "Axes of matplotlib")
    values = np.asarray(values, float)
    if values.ndim != 2 or len(values) < 2 or values.shape[1] != len(x):
        raise ValueError(
            f"values must have shape (seeds, {len(x)}) with at least 2 seeds; got {values.shape}."
        )
    bands = [interval(column) for column in values.T]
    (line,) = ax.plot(x, [band.mean for band in bands], label=label)
    ax.fill_between(
        x,
        [band.low for band in bands],
        [band.high for band in bands],
        color=line.get_color(),
        alpha=0.2,
        linewidth=0,
    )
    return ax


def seed_dots(groups: Mapping[str, Sequence[float]], ax: Axes | None = None) -> Axes:
    """Draw one row of dots per group, one dot per seed, with their mean as a number beside them.

    `groups` maps each row's name to its values, in the unit of the x axis. Without `ax` it draws
    a new figure. Raises `ValueError` for fewer than two seeds: one shows no spread.

    >>> describe(seed_dots({"batch size 8": [91.0, 93.0], "batch size 500": [85.0, 86.0]}))
    'batch size 8: 2 dots, mean 92. batch size 500: 2 dots, mean 85.5.'
    >>> plt.close()
    """
    instance("groups", groups, Mapping, "a mapping from names to values")
    for name, values in groups.items():
        if len(_numbers(f"groups[{name!r}]", values)) < 2:
            raise ValueError(f"groups[{name!r}] must hold at least 2 seeds; got {len(values)}.")
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 1 + 0.5 * len(groups)))
    for row, (name, values) in enumerate(groups.items()):
        dots = ax.scatter(values, [row] * len(values), s=70, alpha=0.5, label=name)
        ax.annotate(
            f"mean {np.mean(values):.3g}",
            (np.max(values), row),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            color=dots.get_facecolor()[0, :3],
        )
    ax.set_yticks(range(len(groups)), groups)
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.margins(x=0.15)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    return ax


def plot_sweep(
    table: pd.DataFrame, x: str, y: str, *, label: str | None = None, ax: Axes | None = None
) -> Axes:
    """Draw column `y` of a sweep's table against its grid key `x`, with a band over seeds.

    `label` names the line, by default `y`. Draws on a new figure without `ax`; an `x` that grows
    by factors gets a logarithmic axis. Raises `ValueError` for a column that is not there, and
    where a value of `x` has not exactly one row per seed (pick the others' values first).

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
    if table.duplicated([x, "seed"]).any():
        raise ValueError(f"table must have one row per {x} and seed; pick one of the rest first.")
    by_x = table.pivot(index="seed", columns=x, values=y)
    if ax is None:
        _, ax = plt.subplots()
    positions = by_x.columns.to_numpy()
    if len(positions) > 2 and positions[-1] / positions[0] > 8:
        ax.set_xscale("log", base=2)
        ax.set_xticks(positions, [f"{position:,}" for position in positions])
        ax.minorticks_off()
    return seed_band(ax, positions, by_x.to_numpy(), label=label or y)


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
    figure, axes = plt.subplots(1, 3, sharey=True, figsize=(8, 3))
    for name, of_name in runs.items():
        tables = [run.epochs for run in of_name]
        steps = 1 + tables[0]["step"].to_numpy()
        if any(y not in table or list(table["step"]) != list(steps - 1) for table in tables):
            plt.close(figure)
            raise ValueError(
                f"runs[{name!r}] must all be validated at the same steps and have {y!r}."
            )
        values = np.array([table[y] for table in tables])
        second = np.mean([run.seconds / len(run.steps) for run in of_name])
        clocks = (steps / of_name[0].plan.steps_per_epoch, steps, steps * second)
        for ax, clock in zip(axes, clocks, strict=True):
            seed_band(ax, clock, values, label=name)
    for ax, clock in zip(axes, ("epochs", "updates", "seconds of training"), strict=True):
        # Logarithmic, so that a run that is so many times faster is the same curve further left.
        ax.set(xlabel=clock, xscale="log")
    axes[0].set_ylabel(y)
    axes[0].legend()
    return axes


def draw_plan(plan: TrainingPlan, ax: Axes | None = None) -> Axes:
    """Draw a run: one row per epoch, one box per batch as wide as it has samples.

    The boxes are numbered as iterations over the whole run; a short last batch has a colour of
    its own. Raises `ValueError` for more than 60 steps per epoch or 12 epochs, which nobody could
    read.

    >>> ax = draw_plan(TrainingPlan(100, 32, 2))
    >>> [text.get_text() for text in ax.texts[:8]]
    ['1', '2', '3', '4', '5', '6', '7', '8']
    >>> plt.close()
    """
    instance("plan", plan, TrainingPlan, "a TrainingPlan")
    if plan.steps_per_epoch > _MOST_BATCHES or plan.epochs > 12:
        raise ValueError(
            f"plan must have at most {_MOST_BATCHES} steps per epoch and 12 epochs to be drawn; "
            f"got {plan.steps_per_epoch:,} and {plan.epochs:,}."
        )
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 0.9 + 0.55 * plan.epochs))
    steps = plan.steps_per_epoch
    sizes = np.array([plan.batch_size] * (steps - 1) + [plan.last_batch_size])
    starts = np.cumsum(sizes) - sizes
    short = plan.last_batch_size < plan.batch_size
    colours = [SKY] * (steps - 1) + [ORANGE if short else SKY]
    for epoch in range(plan.epochs):
        ax.barh(epoch, sizes, 0.7, left=starts, color=colours, edgecolor="white", linewidth=1.5)
        for step, (start, size) in enumerate(zip(starts, sizes, strict=True)):
            number = epoch * steps + step + 1
            ax.text(start + size / 2, epoch, str(number), ha="center", va="center", fontsize=9)
    if short:
        text = f"the last batch:\n{plan.last_batch_size} of {plan.batch_size} samples"
        ax.annotate(
            text, (1.01, 0.5), xycoords="axes fraction", va="center", color=ORANGE, fontsize=10
        )
    ax.set_yticks(range(plan.epochs), [f"epoch {epoch + 1}" for epoch in range(plan.epochs)])
    ax.tick_params(axis="y", length=0)
    ax.set(ylim=(plan.epochs - 0.5, -0.5), xlim=(0, sizes.sum()), xlabel="training sample")
    ax.grid(False)
    ax.spines[["left", "bottom"]].set_visible(False)
    last = f", the last of them only {plan.last_batch_size}" if short else ""
    ax.set_label(
        f"{plan.epochs} rows, one per epoch, each cut into {steps} boxes of {plan.batch_size} "
        f"samples{last}. The boxes are numbered from 1 to {plan.total_steps} through all epochs."
    )
    return ax


def _alt_text(figure: Figure) -> str:
    return " ".join(filter(None, (describe(ax) for ax in figure.axes))) or "A figure."
