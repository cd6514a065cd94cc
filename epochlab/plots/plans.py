"""A plan, drawn: what a run does, batch by batch."""

import numpy as np
from matplotlib.axes import Axes

from .._arguments import instance
from ..steps import TrainingPlan
from .labels import axes
from .style import ORANGE, SKY

_MOST_BATCHES = 60  # drawn side by side; more of them blur into one bar


def draw_plan(plan: TrainingPlan, ax: Axes | None = None) -> Axes:
    """Draw a run: one row per epoch, one box per batch as wide as it has samples.

    The boxes are numbered as iterations over the whole run; a short last batch has a colour of
    its own. Raises `ValueError` for more than 60 steps per epoch or 12 epochs, which nobody could
    read.

    >>> import matplotlib.pyplot as plt
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
    ax = axes(ax, figsize=(8, 0.9 + 0.55 * plan.epochs))
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
