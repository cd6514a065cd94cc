"""What a rule is, and the one state machine behind `replay`, `sweep_rules`, `train`, the callback.

`advance` follows any number of curves side by side, an epoch at a time; a `StopReport` says how a
run ended.
"""

from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import numpy as np
from packaging.version import Version

from .._arguments import choice, instance


class StopReason(StrEnum):
    """Why a run ended."""

    PATIENCE = "patience"
    CRITERION = "criterion"
    TARGET = "target"
    NON_FINITE = "non_finite"
    EPOCHS = "epochs"
    INTERRUPTED = "interrupted"
    OTHER = "other"


@dataclass(frozen=True)
class StopReport:
    """How a run ended; epochs are 0-based, `None` where there is none.

    `epochs_run` counts the epochs, `stopped_epoch` is the one after which the rule ended the run,
    `best_epoch` the one with the best monitored value, `best_value`, and `restored_epoch` the one
    whose weights the model has. Prints as one sentence, with epochs counted from 1.

    >>> print(StopReport(StopReason.EPOCHS, epochs_run=5))
    Trained for all 5 epochs.
    >>> print(StopReport(StopReason.PATIENCE, 8, 7, best_epoch=4, best_value=0.31))
    Patience ran out after epoch 8; the best was epoch 5, with 0.31, and was not restored.
    """

    reason: StopReason
    epochs_run: int
    stopped_epoch: int | None = None
    best_epoch: int | None = None
    best_value: float | None = None
    restored_epoch: int | None = None

    def __str__(self) -> str:
        last = None if self.stopped_epoch is None else self.stopped_epoch + 1
        every = "the only epoch" if self.epochs_run == 1 else f"all {self.epochs_run} epochs"
        ended = {
            StopReason.PATIENCE: f"Patience ran out after epoch {last}",
            StopReason.CRITERION: f"The criterion was met after epoch {last}",
            StopReason.TARGET: f"The target was reached after epoch {last}",
            StopReason.NON_FINITE: f"Stopped in epoch {last}: the training loss was not finite",
            StopReason.EPOCHS: f"Trained for {every}",
            StopReason.INTERRUPTED: f"Interrupted; epochs that were finished: {self.epochs_run}",
            StopReason.OTHER: f"Stopped by something else; epochs run: {self.epochs_run}",
        }[self.reason]
        if self.best_epoch is None:
            return f"{ended}."
        restored = "was restored"
        if self.restored_epoch is None:
            restored = "was not restored"
        elif self.restored_epoch != self.best_epoch:
            restored = f"epoch {self.restored_epoch + 1} was restored"
        best = f"the best was epoch {self.best_epoch + 1}, with {self.best_value:.4g}"
        return f"{ended}; {best}, and {restored}."


class State(NamedTuple):
    """What a rule may look at after an epoch, for n curves that it follows side by side.

    `epoch` is the one that has just ended (0-based, counted from `initial_epoch`), `epochs_run`
    how many there were. Of shape `(n,)`: `monitored`, whether the epoch counts (it was validated
    and is not before `start_from_epoch`); `improved`, whether it is the best so far; `wait`, the
    monitored epochs since; `best_epoch`, -1 before there is one; `best_value`. Of shape
    `(epochs_run, n)`, oldest first: `values`, the monitored ones, where an epoch without a finite
    value has the one before it (NaN at first), and `train_values`, the training losses.

    >>> class RisesTwice(Rule):
    ...     def stops(self, state):
    ...         if state.epochs_run < 3:
    ...             return False
    ...         return (np.diff(state.values[-3:], axis=0) > 0).all(axis=0)
    >>> from epochlab import replay
    >>> replay([0.9, 0.5, 0.6, 0.7, 0.4], RisesTwice()).stopped_epoch
    3
    """

    epoch: int
    epochs_run: int
    monitored: np.ndarray
    improved: np.ndarray
    wait: np.ndarray
    best_epoch: np.ndarray
    best_value: np.ndarray
    values: np.ndarray
    train_values: np.ndarray


def begin(n_curves: int = 1, initial_epoch: int = 0) -> State:
    """Return the state before the first epoch."""
    nothing, none = np.zeros(n_curves, bool), np.empty((0, n_curves))
    wait, best_epoch, best = (np.full(n_curves, start) for start in (0, -1, np.nan))
    return State(initial_epoch - 1, 0, nothing, nothing, wait, best_epoch, best, none, none)


class Rule:
    """What all rules share. A rule of one's own is a subclass that says when it `stops`.

    It is a value without a memory: what it needs of the past is in the `State`. It may be a frozen
    dataclass, which can be compared, or a plain class, and may set as attributes: `mode`, "min" or
    "max"; `reason`, the `StopReason` that reports give; `needs_train_values`, whether it looks at
    the training loss; and, as `Patience` explains them, `min_delta`, `baseline`,
    `start_from_epoch`, `check_finite`.

    >>> class Plateau(Rule):
    ...     def __init__(self, width):
    ...         self.width = width
    ...     def stops(self, state):  # the last three values differ by less than the width
    ...         return (state.epochs_run >= 3) & (np.ptp(state.values[-3:], axis=0) < self.width)
    >>> from epochlab import replay
    >>> print(replay([0.9, 0.5, 0.49, 0.48, 0.47], Plateau(0.05)))
    The criterion was met after epoch 4; the best was epoch 4, with 0.48, and was restored.
    >>> Plateau(0.05)
    Plateau(width=0.05)
    """

    mode: str = "min"
    min_delta: float = 0.0
    baseline: float | None = None
    start_from_epoch: int = 0
    check_finite: bool = True  # a NaN or an infinity is never the best
    reason: StopReason = StopReason.CRITERION
    needs_train_values: bool = False

    def stops(self, state: State) -> np.ndarray | bool:
        """Return for which curves to stop after the epoch that `state` ends with."""
        raise NotImplementedError

    def reasons(self, state: State) -> np.ndarray:
        """Return why each curve stops, for those that do."""
        return np.array([self.reason] * len(state.wait), object)

    def improves(self, values: np.ndarray, than: np.ndarray | float) -> np.ndarray:
        """Compare as Keras does: min_delta in double precision, then as float32."""
        if self.mode == "min":
            return float32(values + self.min_delta) < float32(than)
        return float32(values - self.min_delta) > float32(than)

    def resets_wait(self, values: np.ndarray) -> np.ndarray | bool:
        """Return for which improvements the wait starts anew."""
        if self.baseline is None or not baseline_holds_wait():
            return True
        return self.improves(values, self.baseline)

    def __repr__(self) -> str:
        parts: tuple[Any, ...] = fields(self) if is_dataclass(self) else ()
        defaults = {part.name: part.default for part in parts}
        changed = []
        for name in defaults or vars(self):
            value, default = getattr(self, name), defaults.get(name, MISSING)
            if default is MISSING or value != default:
                # NumPy 2 shows its own numbers otherwise.
                value = value.item() if isinstance(value, np.generic) else value
                changed.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(changed)})"


@cache
def baseline_holds_wait() -> bool:
    """Whether the installed Keras, if any, is from before keras#23559.

    Since then, that is after 3.15.1, any improvement resets the wait, whatever the baseline, and a
    negative patience is refused.
    """
    try:
        return Version(version("keras")) <= Version("3.15.1")
    except PackageNotFoundError:
        return True


def float32(values: np.ndarray | float) -> np.ndarray:
    """Round as TensorFlow does to compare, which takes the smallest numbers for zero."""
    with np.errstate(over="ignore"):
        values = np.asarray(values, float).astype(np.float32)
    return np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0), values)


def advance(
    rule: Rule, state: State, values: np.ndarray, seen: np.ndarray, train_values: np.ndarray
) -> tuple[State, np.ndarray]:
    """Return the state after one more epoch and for which curves to stop there.

    `seen` says which curves were validated in that epoch; the others' values do not matter. Go on
    from the newest state only: it shares the memory of its history with those before it.
    """
    epoch = state.epoch + 1
    finite = np.isfinite(values) if rule.check_finite else True
    monitored = seen & (epoch >= rule.start_from_epoch)
    better = (state.best_epoch < 0) | rule.improves(values, state.best_value)
    improved = monitored & finite & better
    known = state.values[-1] if state.epochs_run else np.nan
    state = State(
        epoch=epoch,
        epochs_run=state.epochs_run + 1,
        monitored=monitored,
        improved=improved,
        wait=np.where(improved & rule.resets_wait(values), 0, state.wait + monitored),
        best_epoch=np.where(improved, epoch, state.best_epoch),
        best_value=np.where(improved, values, state.best_value),
        values=_with_row(state.values, np.where(monitored & np.isfinite(values), values, known)),
        train_values=_with_row(state.train_values, train_values),
    )
    stops = np.broadcast_to(rule.stops(state), len(values))
    if stops.dtype != bool:
        raise TypeError(f"stops of {rule} must return True or False per curve; got {stops[0]!r}.")
    return state, stops


def _with_row(rows: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Return the rows and one more, copying them only each time that their number doubles."""
    n, room = len(rows), rows.base
    if room is None or len(room) == n:
        room = np.empty((max(8, 2 * n), rows.shape[1]))
        room[:n] = rows
    room[n] = row
    return room[: n + 1]


def report(state: State, reason: StopReason, stopped: int | None, restored: bool) -> StopReport:
    """Return how the run of the first curve ended."""
    best_epoch, best_value = int(state.best_epoch[0]), float(state.best_value[0])
    best = (best_epoch, best_value, best_epoch if restored else None) if best_epoch >= 0 else ()
    return StopReport(reason, state.epochs_run, stopped, *best)


def check_rule(rule: Any) -> None:
    """Raise for what is no rule, a rule's class included, and for one of an unknown mode."""
    instance("rule", rule, Rule, "a rule such as Patience(5)")
    choice(f"mode of {type(rule).__name__}", rule.mode, "min", "max")


def check_mode(rule: Rule, monitor: str, mode: str | None) -> None:
    """Raise `ValueError` for a rule whose mode is not the monitor's, if that is known."""
    if mode not in (None, rule.mode):
        raise ValueError(
            f'rule must have mode "{mode}" to monitor {monitor}; got {rule}, whose mode is '
            f'"{rule.mode}".'
        )
