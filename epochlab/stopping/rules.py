"""When to stop, and how a run ended.

A rule is a small frozen dataclass that says what is better and when to stop. `advance` is the one
state machine behind `replay`, `sweep_rules`, `train` and the callback: it follows any number of
curves side by side, an epoch at a time. A new rule is one dataclass with a method `stops`.
"""

import sys
from dataclasses import KW_ONLY, dataclass, fields
from enum import StrEnum
from importlib.metadata import version
from typing import Any, ClassVar, NamedTuple

import numpy as np
from packaging.version import Version

from .._arguments import instance, integer, number

# keras#23559, merged after Keras 3.15.1: any improvement resets the wait, whatever the baseline,
# and a negative patience is refused.
_BASELINE_HOLDS_WAIT = Version(version("keras")) <= Version("3.15.1")


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
    """What a rule may look at after an epoch of n curves; arrays have shape `(n,)`."""

    epoch: int  # the last one, absolute
    epochs_run: int
    monitored: np.ndarray  # whether it counts: validated, and not before start_from_epoch
    improved: np.ndarray  # whether it was the best so far
    wait: np.ndarray  # monitored epochs since the last improvement
    best_epoch: np.ndarray  # -1 before there is one
    best_value: np.ndarray
    values: tuple[np.ndarray, ...]  # per epoch, the last one known; NaN before there is one
    train_values: tuple[np.ndarray, ...]


def begin(n_curves: int = 1, initial_epoch: int = 0) -> State:
    """Return the state before the first epoch."""
    nothing = np.zeros(n_curves, bool)
    best = np.full(n_curves, np.nan)
    wait, best_epoch = np.zeros(n_curves, int), np.full(n_curves, -1)
    return State(initial_epoch - 1, 0, nothing, nothing, wait, best_epoch, best, (), ())


class Rule:
    """What all rules share; a subclass is a frozen dataclass that says when it `stops`."""

    mode: str = "min"
    check_finite: bool = True  # a NaN or an infinity is never the best
    start_from_epoch: int = 0
    min_delta: float = 0.0
    reason: ClassVar[StopReason] = StopReason.CRITERION
    needs_train_values: ClassVar[bool] = False

    def stops(self, state: State) -> np.ndarray:
        """Return for which curves to stop after the epoch that `state` ends with."""
        raise NotImplementedError

    def improves(self, values: np.ndarray, than: np.ndarray | float) -> np.ndarray:
        """Compare as Keras does: min_delta in double precision, then as float32."""
        if self.mode == "min":
            return _float32(values + self.min_delta) < _float32(than)
        return _float32(values - self.min_delta) > _float32(than)

    def resets_wait(self, values: np.ndarray) -> np.ndarray | bool:
        """Return for which improvements the wait starts anew."""
        return True

    def __repr__(self) -> str:
        changed = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                # NumPy 2 shows its own numbers otherwise.
                value = value.item() if isinstance(value, np.generic) else value
                changed.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(changed)})"


def _float32(values: np.ndarray | float) -> np.ndarray:
    """Round as TensorFlow does to compare, which takes the smallest numbers for zero."""
    with np.errstate(over="ignore"):
        values = np.asarray(values, float).astype(np.float32)
    return np.where(np.abs(values) < np.finfo(np.float32).tiny, np.float32(0), values)


@dataclass(frozen=True, repr=False)
class Patience(Rule):
    """Stop after `patience` epochs without an improvement by more than `min_delta`.

    `mode` is "min" or "max". Epochs before `start_from_epoch` do not count, nor do epochs without
    validation. Until a value is better than `baseline`, improvements do not reset the wait (in
    Keras after 3.15.1 the baseline no longer matters). As in Keras, the first epoch never stops a
    run, so that 0 and 1 are the same. With `check_finite`, a NaN or an infinity counts as no
    improvement. Without, this is `keras.callbacks.EarlyStopping` of the installed Keras bit for
    bit, where a NaN in the first epoch is the best for ever.

    Raises `ValueError` or `TypeError` for a negative or fractional patience, a negative
    `min_delta`, a mode that is neither "min" nor "max".

    >>> from epochlab import replay
    >>> print(replay([0.9, 0.5, 0.6, 0.55, 0.4], Patience(2)))
    Patience ran out after epoch 4; the best was epoch 2, with 0.5, and was restored.
    """

    reason: ClassVar[StopReason] = StopReason.PATIENCE

    patience: int = 0
    _: KW_ONLY
    min_delta: float = 0.0
    mode: str = "min"
    baseline: float | None = None
    start_from_epoch: int = 0
    check_finite: bool = True

    def __post_init__(self) -> None:
        instance("check_finite", self.check_finite, bool, "True or False")
        if self.check_finite or not _BASELINE_HOLDS_WAIT:
            integer("patience", self.patience, minimum=0)
        else:
            integer("patience", self.patience, minimum=-sys.maxsize)
        number("min_delta", self.min_delta, minimum=0)
        if self.baseline is not None:
            number("baseline", self.baseline)
        integer("start_from_epoch", self.start_from_epoch, minimum=0)
        _check_mode(self.mode)

    def stops(self, state: State) -> np.ndarray:
        waited = state.monitored & ~state.improved & (state.wait >= self.patience)
        return waited & (state.epoch > 0)

    def resets_wait(self, values: np.ndarray) -> np.ndarray | bool:
        if self.baseline is None or not _BASELINE_HOLDS_WAIT:
            return True
        return self.improves(values, self.baseline)


@dataclass(frozen=True, repr=False)
class Target(Rule):
    """Stop as soon as the monitored value is as good as `value`.

    Not what Keras calls `baseline`, which stops a run that does *not* get there. Compared as
    float32, so that an accuracy of 90 of 100 reaches 0.9.

    Raises `TypeError` for a `value` that is no number, `ValueError` for a mode that is neither
    "min" nor "max".

    >>> from epochlab import replay
    >>> print(replay([0.5, 0.8, 0.9, 0.95], Target(0.9, mode="max")))
    The target was reached after epoch 3; the best was epoch 3, with 0.9, and was restored.
    """

    reason: ClassVar[StopReason] = StopReason.TARGET

    value: float
    _: KW_ONLY
    mode: str = "min"

    def __post_init__(self) -> None:
        number("value", self.value)
        _check_mode(self.mode)

    def stops(self, state: State) -> np.ndarray:
        last, target = _float32(state.values[-1]), _float32(self.value)
        return last <= target if self.mode == "min" else last >= target


@dataclass(frozen=True, repr=False)
class GeneralizationLoss(Rule):
    """Stop when the error is more than `alpha` percent above the lowest so far: Prechelt's GL.

    GL(t) = 100 (E(t) / E_lowest − 1), of validation errors that are not negative. An epoch
    without a finite value has the last one before it.

    Source: Prechelt (1998), Early stopping, but when? Raises `TypeError` for an `alpha` that is
    no number, `ValueError` for a negative one, or for a negative error.

    >>> from epochlab import replay
    >>> replay([1.0, 0.5, 0.52, 0.53], GeneralizationLoss(5)).stopped_epoch
    3
    """

    alpha: float

    def __post_init__(self) -> None:
        number("alpha", self.alpha, minimum=0)

    def stops(self, state: State) -> np.ndarray:
        return _generalization_loss(self, state) > self.alpha


@dataclass(frozen=True, repr=False)
class ProgressQuotient(Rule):
    """Stop when the generalization loss outgrows the training progress: Prechelt's PQ.

    Looked at after every `strip` epochs: PQ(t) = GL(t) / P(t), where the progress
    P(t) = 1000 (mean of the training errors of the strip / their minimum − 1). Stops when PQ is
    above `alpha`; without any progress, as soon as there is a loss. An epoch without a finite
    validation error has the last one before it.

    Source: Prechelt (1998), Early stopping, but when? Needs training losses, `loss` or
    `train_values`. Raises as `GeneralizationLoss` does, and for a `strip` below 1.

    >>> from epochlab import replay
    >>> val, loss = [1.0, 0.8, 0.9, 1.0], [1.0, 0.8, 0.75, 0.75]
    >>> replay(val, ProgressQuotient(0.5, strip=2), train_values=loss).stopped_epoch
    3
    """

    needs_train_values: ClassVar[bool] = True

    alpha: float
    _: KW_ONLY
    strip: int = 5

    def __post_init__(self) -> None:
        number("alpha", self.alpha, minimum=0)
        integer("strip", self.strip)

    def stops(self, state: State) -> np.ndarray:
        if state.epochs_run % self.strip:
            return np.zeros_like(state.improved)
        errors = np.stack(state.train_values[-self.strip :])
        mean, lowest = errors.mean(axis=0), errors.min(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            # The mean of equal numbers may be rounded below them, and they may all be 0.
            progress = np.where(mean <= lowest, 0, 1000 * (mean / lowest - 1))
            return _generalization_loss(self, state) / progress > self.alpha


@dataclass(frozen=True, repr=False)
class SuccessiveIncreases(Rule):
    """Stop when the error rose over each of the last `strips` strips of epochs: Prechelt's UP.

    Looked at after every `strip` epochs: the error there is compared with the one a strip before,
    whatever lies between. An epoch without a finite value has the last one before it, so validate
    at least once per strip.

    Source: Prechelt (1998), Early stopping, but when? Raises `ValueError` or `TypeError` for
    counts that are not integers of at least 1.

    >>> from epochlab import replay
    >>> replay([1.0, 0.5, 0.7, 0.6, 0.8, 0.9], SuccessiveIncreases(2, strip=2)).stopped_epoch
    5
    """

    strips: int
    _: KW_ONLY
    strip: int = 5

    def __post_init__(self) -> None:
        integer("strips", self.strips)
        integer("strip", self.strip)

    def stops(self, state: State) -> np.ndarray:
        if state.epochs_run % self.strip or state.epochs_run < (self.strips + 1) * self.strip:
            return np.zeros_like(state.improved)
        ends = np.stack(state.values[:: -self.strip][: self.strips + 1])  # the latest first
        return (ends[:-1] > ends[1:]).all(axis=0)


def _check_mode(mode: str) -> None:
    if mode not in ("min", "max"):
        raise ValueError(f'mode must be "min" or "max"; got {mode!r}.')


def _generalization_loss(rule: Rule, state: State) -> np.ndarray:
    last = state.values[-1]
    if (last < 0).any():
        raise ValueError(
            f"values must be errors that are never negative for {rule}; got {np.nanmin(last)} "
            f"after epoch {state.epoch + 1}."
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100 * (last / state.best_value - 1)


def advance(
    rule: Rule, state: State, values: np.ndarray, seen: np.ndarray, train_values: np.ndarray
) -> tuple[State, np.ndarray]:
    """Return the state after one more epoch and for which curves to stop there.

    `seen` says which curves were validated in that epoch; the others' values do not matter.
    """
    epoch = state.epoch + 1
    finite = np.isfinite(values) if rule.check_finite else True
    monitored = seen & (epoch >= rule.start_from_epoch)
    better = (state.best_epoch < 0) | rule.improves(values, state.best_value)
    improved = monitored & finite & better
    known = state.values[-1] if state.values else np.full(len(values), np.nan)
    state = State(
        epoch=epoch,
        epochs_run=state.epochs_run + 1,
        monitored=monitored,
        improved=improved,
        wait=np.where(improved & rule.resets_wait(values), 0, state.wait + monitored),
        best_epoch=np.where(improved, epoch, state.best_epoch),
        best_value=np.where(improved, values, state.best_value),
        values=(*state.values, np.where(monitored & np.isfinite(values), values, known)),
        train_values=(*state.train_values, train_values),
    )
    return state, rule.stops(state)


def report(
    state: State,
    reason: StopReason,
    *,
    stopped_epoch: int | None = None,
    restored: bool = True,
    curve: int = 0,
) -> StopReport:
    """Return how the run of one of the curves ended."""
    best_epoch, best_value = int(state.best_epoch[curve]), float(state.best_value[curve])
    if best_epoch < 0:
        return StopReport(reason, state.epochs_run, stopped_epoch)
    return StopReport(
        reason,
        state.epochs_run,
        stopped_epoch,
        best_epoch,
        best_value,
        best_epoch if restored else None,
    )


def check_rule(rule: Any) -> None:
    """Raise `TypeError` for what is no rule, a rule's class included."""
    instance("rule", rule, Rule, "a rule such as Patience(5)")
